//! Istio's `VirtualService`
//! ([`networking/v1`](https://istio.io/latest/docs/reference/config/networking/virtual-service/)).
//!
//! The first rule that matches a request decides. Its `corsPolicy` becomes the
//! configuration of Envoy's own CORS filter for the route
//! (`pilot/pkg/networking/core/route/route.go`).

use super::account::{Account, Field};
use super::cors::{Cors, Named, named};
use super::matcher::{Matcher, OriginMatcher};
use super::remark::Remark;
use super::scope::{Compared, Path, Stated, hosts, of_expression};

/// Reads a resource, if it is one. `list` is the number of the next list of
/// rules.
pub fn read<'d>(
    resource: &Field<'d>,
    list: usize,
    account: &mut Account,
) -> Option<Vec<Stated<'d>>> {
    if resource.text_at(&["kind"]) != Some("VirtualService") {
        return None;
    }
    let spec = resource.get("spec")?;
    let rules = spec.list("http");
    if rules.iter().any(|rule| rule.get("corsPolicy").is_some()) {
        let stated = read_rules(resource, &spec, list, account);
        if stated.iter().all(|stated| stated.cors.is_none()) {
            let why = "no policy for them is carried over";
            spec.get("hosts").inspect(|hosts| account.withdraw(hosts, &Remark::Ignored { why }));
        }
        return Some(stated);
    }
    // Without hosts, another resource says what they are for.
    if spec.list("hosts").is_empty() {
        return Some(Vec::new());
    }
    // Of rules without CORS there is nothing to say but where they stand.
    let mut aside = Account::default();
    let mut stated = read_rules(resource, &spec, list, &mut aside);
    stated.iter_mut().for_each(|one| one.aside.add(&aside));
    Some(stated)
}

fn read_rules<'d>(
    resource: &Field<'d>,
    spec: &Field<'d>,
    list: usize,
    account: &mut Account,
) -> Vec<Stated<'d>> {
    let rules = spec.list("http");
    let name = resource.text_at(&["metadata", "name"]).unwrap_or("virtual-service");
    let named = account.list(spec, "hosts");
    if named.is_empty() {
        account.note(spec, &Remark::NoHosts);
    }
    let of_resource = hosts(&named, |host| host == "*", account);
    spec.get("hosts").inspect(|field| account.close(field));
    if let Some(gateways) = spec.get("gateways") {
        account.remark(&gateways, &Remark::Placement { what: "the source names gateways" });
    }
    let Some(of_resource) = of_resource else {
        let why = "none of its hosts is carried over";
        spec.get("http").inspect(|rules| account.remark(rules, &Remark::Ignored { why }));
        return Vec::new();
    };
    let several = rules.len() > 1;
    let mut stated = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        let (policy, mut aside) = (rule.get("corsPolicy"), Account::default());
        let concerned = if policy.is_some() { &mut *account } else { &mut aside };
        let paths = matches(&rule, concerned);
        // What is around such a path is in force there, too.
        if policy.is_none() && paths.len() < rule.list("match").len() {
            account.add(&std::mem::take(&mut aside));
        }
        if paths.is_empty() {
            let why = "none of its paths is carried over";
            policy.inspect(|policy| account.remark(policy, &Remark::Ignored { why }));
            continue;
        }
        let cors = policy.map(|policy| cors_policy(&policy, account));
        let own = rule.text_at(&["name"]).map(str::to_owned);
        let own = own.or_else(|| several.then(|| (index + 1).to_string()));
        let name = own.map_or(name.to_owned(), |own| format!("{name}-{own}"));
        let (list, hosts) = (Some(list), of_resource.clone());
        let inherited = spec.get("hosts").into_iter().collect();
        stated.push(Stated { name, field: rule, hosts, paths, list, cors, aside, inherited });
    }
    stated
}

/// `CorsPolicy`
fn cors_policy(policy: &Field<'_>, account: &mut Account) -> Cors {
    let mut cors = Cors::default();
    if let Some(field) = policy.get("allowCredentials")
        && let Some(allowed) = field.flag()
    {
        cors.set_credentials(&field, allowed, account);
    }
    let matchers = account.list(policy, "allowOrigins");
    let matchers: Vec<_> = matchers.iter().filter_map(string_match).collect();
    let exact = account.list(policy, "allowOrigin");
    if policy.get("allowOrigins").is_none() {
        let exact = exact.iter().filter_map(|field| {
            Some((field.clone(), OriginMatcher::new(Matcher::Exact(field.text()?))))
        });
        cors.add_origins(&exact.collect::<Vec<_>>(), account);
    } else if let Some(field) = policy.get("allowOrigin") {
        let why = "Istio does not read it beside allowOrigins";
        account.remark(&field, &Remark::Ignored { why });
    }
    cors.add_origins(&matchers, account);
    if policy.node.entries().is_empty() {
        account.remark(policy, &Remark::NoOrigins);
    } else if matchers.is_empty() && exact.is_empty() {
        account.note(policy, &Remark::NoOrigins);
    }
    for (name, add) in [
        ("allowMethods", Cors::add_methods as fn(&mut Cors, &[Named<'_>], &mut Account)),
        ("allowHeaders", Cors::add_headers),
        ("exposeHeaders", Cors::add_exposed_headers),
    ] {
        let names = named(&account.list(policy, name));
        add(&mut cors, &names, account);
    }
    if let Some(field) = policy.get("maxAge")
        && let Some(text) = field.text()
    {
        cors.set_max_age(&field, text.into(), account);
    }
    match policy.get("unmatchedPreflights") {
        Some(field) if field.text() == Some("IGNORE") => account.carry(&field),
        Some(field) => account.remark(&field, &Remark::ForwardedPreflights { written: true }),
        None => account.note(policy, &Remark::ForwardedPreflights { written: false }),
    }
    account.close(policy);
    cors
}

/// `StringMatch`, a field that is exact, prefix or regex.
fn string_match<'d>(field: &Field<'d>) -> Option<(Field<'d>, OriginMatcher<'d>)> {
    let (key, value) = field.entries().next()?;
    let text = value.text()?;
    let matcher = match key {
        "exact" => Matcher::Exact(text),
        "prefix" => Matcher::Prefix(text),
        "regex" => Matcher::Regex(text),
        _ => return None,
    };
    Some((value, OriginMatcher::new(matcher)))
}

/// The paths of a rule.
fn matches<'d>(rule: &Field<'d>, account: &mut Account) -> Vec<Path<'d>> {
    let alternatives = account.list(rule, "match");
    rule.get("match").filter(|_| alternatives.is_empty()).inspect(|all| account.close(all));
    if alternatives.is_empty() {
        return vec![Path::every(rule)];
    }
    let has_cors = rule.get("corsPolicy").is_some();
    let mut paths = Vec::new();
    for alternative in alternatives {
        let mut path = Some(Path::every(&alternative));
        let (mut any_case, mut conditional) = (false, false);
        for (key, field) in alternative.entries() {
            match key {
                "name" | "statPrefix" => account.leave(&field),
                "uri" => path = uri(&field, has_cors, account),
                "ignoreUriCase" if field.flag() == Some(false) => account.carry(&field),
                "ignoreUriCase" => {
                    any_case = true;
                    account.remark(&field, &Remark::PathCase);
                }
                "gateways" => {
                    let what = "the source names gateways";
                    account.remark(&field, &Remark::Placement { what });
                }
                _ => {
                    conditional = true;
                    account.remark(&field, &Remark::Condition { what: key.to_owned() });
                }
            }
        }
        account.close(&alternative);
        paths.extend(path.map(|path| Path { any_case, conditional, ..path }));
    }
    paths
}

fn uri<'d>(field: &Field<'d>, has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
    let (key, value) = field.entries().next()?;
    let text = value.text()?;
    match key {
        "prefix" => Path::read(&value, text, Compared::Text, account),
        "exact" => Path::read(&value, text, Compared::Whole, account),
        _ => match of_expression(text) {
            Some((compared, text)) => Path::read(&value, &text, compared, account),
            None => {
                let (what, text) = ("regular expression", text.to_owned());
                account.remark(
                    &value,
                    &if has_cors {
                        Remark::InexactPath { what, text }
                    } else {
                        Remark::LostPath { what, text }
                    },
                );
                None
            }
        },
    }
}
