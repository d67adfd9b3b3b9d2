//! Istio's `VirtualService`
//! ([`networking/v1`](https://istio.io/latest/docs/reference/config/networking/virtual-service/)).
//!
//! The first rule that matches a request decides. Its `corsPolicy` becomes the
//! configuration of Envoy's own CORS filter for the route
//! (`pilot/pkg/networking/core/route/route.go`).

mod delegates;

use super::account::{Account, Field};
use super::cors::{Cors, Named, named};
use super::headers;
use super::matcher::{Matcher, OriginMatcher};
use super::remark::Remark;
use super::scope::{Compared, Path, Stated, hosts, of_expression};
use delegates::{Rule, VirtualService, ignored, rules};

/// Reads all of them.
pub fn read<'d>(resources: &[Field<'d>], account: &mut Account) -> Vec<Stated<'d>> {
    let services: Vec<VirtualService<'d>> =
        resources.iter().filter_map(VirtualService::of).collect();
    // What others hand over to states nothing by itself.
    let read: Vec<(&VirtualService<'d>, Vec<Rule<'d>>)> = VirtualService::roots(&services)
        .map(|service| (service, rules(service, &services, account)))
        .collect();
    for policy in ignored(&services, &read, account) {
        account.remark(&policy, &Remark::Ignored { why: "Istio makes no route with it" });
    }
    let mut stated = Vec::new();
    for (list, (service, rules)) in read.iter().enumerate() {
        stated.extend(read_service(service, rules, list, account));
    }
    stated
}

/// Reads one. `list` is the number of its list of rules.
fn read_service<'d>(
    service: &VirtualService<'d>,
    rules: &[Rule<'d>],
    list: usize,
    account: &mut Account,
) -> Vec<Stated<'d>> {
    if rules.iter().any(|rule| rule.policy.is_some()) {
        let stated = read_rules(service, rules, list, account);
        if stated.iter().all(|stated| stated.cors.is_none()) {
            let why = "no policy for them is carried over";
            let hosts = service.spec.get("hosts");
            hosts.inspect(|hosts| account.withdraw(hosts, &Remark::Ignored { why }));
        }
        return stated;
    }
    // Without hosts, another resource says what they are for.
    if service.has_no_hosts() {
        return Vec::new();
    }
    // Of rules without CORS there is nothing to say but where they stand.
    let mut aside = Account::default();
    let mut stated = read_rules(service, rules, list, &mut aside);
    stated.iter_mut().for_each(|one| one.aside.add(&aside));
    stated
}

fn read_rules<'d>(
    service: &VirtualService<'d>,
    rules: &[Rule<'d>],
    list: usize,
    account: &mut Account,
) -> Vec<Stated<'d>> {
    let spec = &service.spec;
    let named = account.list(spec, "hosts");
    if named.is_empty() {
        account.note(spec, &Remark::NoHosts);
    }
    named.iter().for_each(|host| remark_short(host, &named, service, account));
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
    let mut stated = Vec::new();
    for rule in rules {
        let mut aside = Account::default();
        let concerned = if rule.policy.is_some() { &mut *account } else { &mut aside };
        let paths = matches(rule, concerned);
        // What is around such a path is in force there, too.
        if rule.policy.is_none() && paths.len() < rule.alternatives.len() {
            account.add(&std::mem::take(&mut aside));
        }
        if paths.is_empty() {
            let why = "none of its paths is carried over";
            let policy = rule.policy.as_ref();
            policy.inspect(|policy| account.remark(policy, &Remark::Ignored { why }));
            continue;
        }
        let cors = rule.policy.as_ref().map(|policy| cors_policy(policy, account));
        if cors.is_some() {
            own_headers(rule, account);
        }
        stated.push(Stated {
            name: rule.name.clone(),
            field: rule.field.clone(),
            hosts: of_resource.clone(),
            paths,
            list: Some(list),
            cors,
            aside,
            inherited: spec.get("hosts").into_iter().chain(rule.inherited()).collect(),
        });
    }
    stated
}

/// Says of a host of one label what Istio makes of it
/// (`ResolveShortnameToFQDN` in `pilot/pkg/model/config.go`, and
/// `GenerateAltVirtualHosts` in `pilot/pkg/networking/core/httproute.go`).
fn remark_short(
    host: &Field<'_>,
    all: &[Field<'_>],
    service: &VirtualService<'_>,
    account: &mut Account,
) {
    let Some(text) = host.text().filter(|text| !text.contains(['.', '*', ':'])) else { return };
    let namespace = service.namespace().unwrap_or("<namespace>");
    let names = ["", ".svc", ".svc.cluster.local"].map(|end| format!("{text}.{namespace}{end}"));
    let is_listed = |name: &String| all.iter().any(|field| field.text() == Some(name));
    let names: Vec<String> = names.into_iter().filter(|name| !is_listed(name)).collect();
    if !names.is_empty() {
        account.note(host, &Remark::ShortHost { text: text.to_owned(), names });
    }
}

/// Says which headers of CORS a rule sets beside its policy.
fn own_headers(rule: &Rule<'_>, account: &mut Account) {
    let of_destinations = rule.field.list("route");
    let of_destinations = of_destinations.iter().filter_map(|one| one.get("headers"));
    for set in rule.part("headers").into_iter().chain(of_destinations) {
        for how in ["set", "add"] {
            let Some(names) = set.at(&["response", how]) else { continue };
            names.entries().for_each(|(name, field)| headers::remark_own(&field, name, account));
        }
    }
}

/// `CorsPolicy`
fn cors_policy(policy: &Field<'_>, account: &mut Account) -> Cors {
    let mut cors = Cors::default();
    if let Some(field) = policy.get("allowCredentials")
        && let Some(allowed) = field.flag()
    {
        cors.set_credentials(&field, allowed, account);
    }
    let listed = account.list(policy, "allowOrigins");
    let matchers: Vec<_> = listed.iter().filter_map(string_match).collect();
    let exact = account.list(policy, "allowOrigin");
    // A list that is empty says what its absence says.
    if listed.is_empty() {
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
fn matches<'d>(rule: &Rule<'d>, account: &mut Account) -> Vec<Path<'d>> {
    let own = account.list(&rule.field, "match");
    rule.field.get("match").filter(|_| own.is_empty()).inspect(|all| account.close(all));
    if rule.alternatives.is_empty() {
        return vec![Path::every(&rule.field)];
    }
    let has_cors = rule.policy.is_some();
    let paths = rule.alternatives.iter();
    paths.filter_map(|requests| path(requests, has_cors, account)).collect()
}

/// The path of what a delegate and the rule before it ask for, or of one alone.
fn path<'d>(requests: &[Field<'d>], has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
    let deciding = requests.iter().find(|request| request.get("uri").is_some());
    let deciding = deciding.or(requests.first())?;
    let mut path = Some(Path::every(deciding));
    let (mut any_case, mut conditional) = (false, false);
    for request in requests {
        for (key, field) in request.entries() {
            match key {
                "name" | "statPrefix" => account.leave(&field),
                // The other one lies inside of it.
                "uri" | "ignoreUriCase" if !std::ptr::eq(request, deciding) => {
                    account.carry(&field);
                }
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
        account.close(request);
    }
    path.map(|path| Path { any_case, conditional, ..path })
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
                let text = text.to_owned();
                let remark = Remark::inexact_path("regular expression", text, has_cors);
                account.remark(&value, &remark);
                None
            }
        },
    }
}
