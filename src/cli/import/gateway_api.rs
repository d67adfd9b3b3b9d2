//! Gateway API's `HTTPRoute` with a CORS filter
//! ([`gateway.networking.k8s.io/v1`](https://gateway-api.sigs.k8s.io/reference/spec/)),
//! and what `SecurityPolicy` says about routes and Gateways.
//!
//! Of the rules of all routes the most specific one that matches decides, as in
//! the filter. Hosts that a route does not name are those of its listeners.

mod resources;

use std::collections::HashSet;

use serde_json::Value;

use super::account::{Account, Field};
use super::cors::{Cors, Named, named};
use super::envoy_gateway::{self, Policy};
use super::matcher::{Matcher, OriginMatcher};
use super::remark::Remark;
use super::scope::{Compared, Path, Stated, host_covers, hosts, of_expression};
use crate::cli::tree::Content;
pub use resources::{Listener, Resources, age, is_gateway, name, namespace};
use resources::{is_route, whole};

/// A route, with the hosts and paths of its rules.
pub struct Route<'r, 'd> {
    /// The index of its resource.
    pub index: usize,
    /// Where it is in force.
    pub places: Vec<Place<'r, 'd>>,
    /// Where it names them, if it does.
    pub named: Option<Field<'d>>,
    /// Those with a path that the filter can tell apart.
    pub rules: Vec<Rule<'d>>,
}

/// What a route takes on a listener.
pub struct Place<'r, 'd> {
    /// Exact hosts and wildcards; an empty list is every host.
    pub hosts: Vec<String>,
    /// `None`: what is not among the resources.
    pub listener: Option<&'r Listener<'d>>,
}

/// A rule of a route.
pub struct Rule<'d> {
    pub field: Field<'d>,
    /// What a `sectionName` calls it.
    pub section: Option<&'d str>,
    /// What to name a policy after.
    pub name: String,
    pub paths: Vec<Path<'d>>,
    /// The others, if it has no CORS of its own, and what is lost where others have.
    pub lost: Lost<'d>,
    /// What its own filter says.
    pub cors: Option<Cors>,
    /// What there is to say about its paths, if it comes to a policy.
    pub aside: Account,
}

/// Fields with what there is to say about them.
pub type Lost<'d> = Vec<(Field<'d>, Remark)>;

/// Reads all routes, Gateways and policies that are attached to them.
pub fn read<'d>(resources: &[Field<'d>], account: &mut Account) -> Vec<Stated<'d>> {
    let resources = &Resources::new(resources);
    let policies = envoy_gateway::policies(resources, account);
    let concerned: HashSet<usize> = policies.iter().flat_map(Policy::concerned).collect();
    let all = resources.all.iter().enumerate();
    let mut found: Vec<_> = all.filter(|(_, resource)| is_route(resource)).collect();
    found.sort_by_cached_key(|(_, resource)| age(resource));
    let mut routes = Vec::new();
    for (index, resource) in found {
        own_headers(resource, account);
        let has_policy = concerned.contains(&index);
        // Of a route without CORS there is nothing to say but where it stands.
        let mut aside = Account::default();
        let concerned = has_policy || has_filter(resource);
        let account = if concerned { &mut *account } else { &mut aside };
        routes.extend(route(index, has_policy, resources, account));
    }
    envoy_gateway::attach(routes, policies, resources, account)
}

fn route<'r, 'd>(
    index: usize,
    has_policy: bool,
    resources: &'r Resources<'_, 'd>,
    account: &mut Account,
) -> Option<Route<'r, 'd>> {
    let resource = resources.all.get(index)?;
    let spec = resource.get("spec")?;
    let Some(places) = places(resource, &spec, resources, account) else {
        let why = "none of its hosts is carried over";
        spec.get("rules").inspect(|rules| account.remark(rules, &Remark::Ignored { why }));
        return None;
    };
    let name = name(resource).unwrap_or("route");
    let fields = spec.list("rules");
    let several = fields.len() > 1;
    let mut rules = Vec::new();
    for (index, field) in fields.into_iter().enumerate() {
        let mut aside = Account::default();
        let has_cors = has_policy || !own_filters(&field).is_empty();
        let (paths, mut lost) = matches(&field, &mut aside);
        if has_cors {
            lost.drain(..).for_each(|(field, remark)| aside.note(&field, &remark));
        }
        if paths.is_empty() && has_cors {
            let why = "none of its paths is carried over";
            account.add(&aside);
            for object in own_filters(&field) {
                account.remark(&object, &Remark::Ignored { why });
            }
        }
        let cors = if paths.is_empty() { None } else { filters(&field, account) };
        let section = field.text_at(&["name"]);
        let own = section.map(str::to_owned);
        let own = own.or_else(|| several.then(|| (index + 1).to_string()));
        let name = own.map_or(name.to_owned(), |own| format!("{name}-{own}"));
        rules.push(Rule { field, section, name, paths, lost, cors, aside });
    }
    Some(Route { index, places, named: spec.get("hostnames"), rules })
}

/// The hosts that a route names, as far as its listeners take them, or else those
/// of the listeners.
fn places<'r, 'd>(
    resource: &Field<'d>,
    spec: &Field<'d>,
    resources: &'r Resources<'_, 'd>,
    account: &mut Account,
) -> Option<Vec<Place<'r, 'd>>> {
    let named = account.list(spec, "hostnames");
    let own = hosts(&named, |_| false, account);
    spec.get("hostnames").inspect(|field| account.close(field));
    let own = own?;
    let parents = resources.parents(resource);
    if let Some(field) = spec.get("parentRefs") {
        account.remark(&field, &Remark::Placement { what: "the source names its Gateways" });
    }
    let of_parent = |(index, field): &(Option<usize>, Field<'d>)| {
        index.map(|index| resources.of(index, field)).into_iter().flatten()
    };
    let listeners: Vec<&Listener<'d>> = parents.iter().flat_map(of_parent).collect();
    let place = |listener: &&'r Listener<'d>| {
        Some(Place { hosts: resources.hosts(listener, &own)?, listener: Some(*listener) })
    };
    let mut places: Vec<Place<'r, 'd>> = listeners.iter().filter_map(place).collect();
    let is_taken = |host: &str| {
        places.iter().any(|place| {
            place.hosts.is_empty()
                || place.hosts.iter().any(|one| host_covers(Some(host), Some(one)))
        })
    };
    let (others, taken): (Vec<String>, Vec<String>) =
        own.iter().cloned().partition(|host| !is_taken(host));
    let absent = parents.iter().find(|(index, _)| index.is_none());
    if parents.is_empty() || absent.is_some() {
        if named.is_empty() {
            account.note(
                absent.map_or(spec, |(_, field)| field),
                &match absent {
                    Some((_, field)) => Remark::EveryHost {
                        parent: field.text_at(&["name"]).unwrap_or_default().to_owned(),
                    },
                    None => Remark::NoHosts,
                },
            );
        }
        // Nothing is known of the listeners there.
        if named.is_empty() || !others.is_empty() {
            places.push(Place { hosts: others, listener: None });
        }
        return Some(places);
    }
    if listeners.is_empty() {
        let why = "its Gateways have no such listener for HTTP";
        spec.get("parentRefs").inspect(|field| account.note(field, &Remark::Ignored { why }));
        return None;
    }
    for field in named {
        let host = field.text().unwrap_or_default().to_ascii_lowercase();
        if own.contains(&host) && !taken.contains(&host) {
            let why = "no listener of its Gateway takes this host";
            account.withdraw(&field, &Remark::Ignored { why });
        }
    }
    Some(places).filter(|places| !places.is_empty())
}

/// Whether a route has CORS filters.
fn has_filter(resource: &Field<'_>) -> bool {
    let rules = resource.get("spec").map(|spec| spec.list("rules")).unwrap_or_default();
    let has = |holder: &Field<'_>| !own_filters(holder).is_empty();
    rules.iter().any(|rule| has(rule) || rule.list("backendRefs").iter().any(has))
}

/// The CORS filters of a rule or of a backend.
fn own_filters<'d>(holder: &Field<'d>) -> Vec<Field<'d>> {
    holder.list("filters").iter().filter_map(|filter| filter.get("cors")).collect()
}

/// Remarks on headers of CORS that a route writes without a policy.
fn own_headers(route: &Field<'_>, account: &mut Account) {
    let rules = route.get("spec").map(|spec| spec.list("rules")).unwrap_or_default();
    let backends: Vec<_> = rules.iter().flat_map(|rule| rule.list("backendRefs")).collect();
    for filter in rules.iter().chain(&backends).flat_map(|holder| holder.list("filters")) {
        let Some(modifier) = filter.get("responseHeaderModifier") else { continue };
        for field in modifier.list("set").into_iter().chain(modifier.list("add")) {
            let name = field.text_at(&["name"]).unwrap_or_default().to_ascii_lowercase();
            if name.starts_with("access-control-") {
                account.note(&field, &Remark::OwnHeader { name });
            }
        }
    }
}

/// The CORS filter of a rule.
fn filters(rule: &Field<'_>, account: &mut Account) -> Option<Cors> {
    let mut found: Option<Cors> = None;
    for filter in rule.list("filters") {
        let Some(object) = filter.get("cors") else { continue };
        if filter.text_at(&["type"]) != Some("CORS") {
            account.remark(&object, &Remark::Ignored { why: "its type is not CORS" });
        } else if found.is_some() {
            let why = "the rule has a CORS filter before it";
            account.remark(&object, &Remark::Ignored { why });
        } else {
            let mut cors = cors(std::slice::from_ref(&object), account);
            if cors.allow_origins.iter().any(|origin| origin == "*")
                && let Some(list) = object.get("allowOrigins")
            {
                account.note(&list, &Remark::Null);
            }
            // The API server writes it where nothing else stands.
            cors.max_age = cors
                .max_age
                .or_else(|| object.get("maxAge").is_none().then(|| Value::from(DEFAULT_MAX_AGE)));
            found = Some(cors);
        }
    }
    for object in rule.list("backendRefs").iter().flat_map(own_filters) {
        account.remark(&object, &Remark::OfBackend);
    }
    found
}

const DEFAULT_MAX_AGE: u32 = 5;

/// `HTTPCORSFilter`, or `CORS` of a `SecurityPolicy`. Each field is taken from the
/// first object that has it.
pub fn cors(objects: &[Field<'_>], account: &mut Account) -> Cors {
    let holder = |name: &str| objects.iter().find(|object| object.get(name).is_some());
    let get = |name: &str| holder(name)?.get(name);
    let list = |name: &str, account: &mut Account| {
        holder(name).map(|object| account.list(object, name)).unwrap_or_default()
    };
    let mut cors = Cors::default();
    if let Some(field) = get("allowCredentials")
        && let Content::Bool(allowed) = field.node.content
    {
        cors.set_credentials(&field, allowed, account);
    }
    let origins: Vec<Field<'_>> = list("allowOrigins", account);
    let matchers: Vec<_> = origins
        .iter()
        .filter_map(|field| Some((field.clone(), OriginMatcher::new(glob(field.text()?)))))
        .collect();
    cors.add_origins(&matchers, account);
    let fields = list("allowMethods", account);
    cors.add_methods(&asked_for(&fields, account), account);
    let fields = list("allowHeaders", account);
    cors.add_headers(&asked_for(&fields, account), account);
    let fields = list("exposeHeaders", account);
    cors.add_exposed_headers(&named(&fields), account);
    if let Some(field) = get("maxAge") {
        match (field.text(), whole(field.node)) {
            (Some(duration), _) => cors.set_max_age(&field, duration.into(), account),
            (None, Some(seconds)) => cors.set_max_age(&field, seconds.into(), account),
            (None, None) => {}
        }
    }
    if let Some(object) = objects.first() {
        if object.entries().next().is_none() {
            account.remark(object, &Remark::NoOrigins);
        } else if origins.is_empty() {
            account.note(object, &Remark::NoOrigins);
        }
        account.close(object);
    }
    cors
}

/// Methods or request headers. `*` among others is sent alone (`hasWildcard` in
/// `internal/xds/translator/cors.go`); Gateway API's own list has no others then.
fn asked_for<'d>(fields: &[Field<'d>], account: &mut Account) -> Vec<Named<'d>> {
    let (any, others): (Vec<_>, Vec<_>) =
        named(fields).into_iter().partition(|(_, name)| *name == "*");
    let Some(any) = any.into_iter().next() else { return others };
    for (field, _) in others {
        account.remark(&field, &Remark::Ignored { why: "the \"*\" in the list counts alone" });
    }
    vec![any]
}

/// An origin, in which `*` stands for any text.
fn glob(text: &str) -> Matcher<'_> {
    if text.contains('*') { Matcher::Glob(text) } else { Matcher::Exact(text) }
}

/// The paths of a rule, and those that no prefix says.
fn matches<'d>(rule: &Field<'d>, account: &mut Account) -> (Vec<Path<'d>>, Lost<'d>) {
    let alternatives = account.list(rule, "matches");
    if alternatives.is_empty() {
        return (vec![Path::every(rule)], Vec::new());
    }
    let (mut paths, mut lost) = (Vec::new(), Vec::new());
    for alternative in alternatives {
        let (mut path, mut conditional) = (Some(Path::every(&alternative)), false);
        for (key, field) in alternative.entries() {
            match (key, &field.node.content) {
                ("path", _) => path = http_path(&field, &mut lost, account),
                // Of a GRPCRoute.
                ("method", Content::Map(_)) => path = grpc_path(&field, &mut lost, account),
                (_, Content::List(elements)) if elements.is_empty() => account.leave(&field),
                _ => {
                    conditional = true;
                    account.remark(&field, &Remark::Condition { what: key.to_owned() });
                }
            }
        }
        if alternative.entries().next().is_none() {
            account.leave(&alternative);
        }
        lost.iter().for_each(|(field, _)| account.leave(field));
        account.close(&alternative);
        paths.extend(path.map(|path| Path { conditional, ..path }));
    }
    (paths, lost)
}

/// `HTTPPathMatch`
fn http_path<'d>(
    field: &Field<'d>,
    lost: &mut Lost<'d>,
    account: &mut Account,
) -> Option<Path<'d>> {
    let (kind, value) = (field.get("type"), field.get("value"));
    let text = value.as_ref().and_then(Field::text).unwrap_or("/");
    let value = value.as_ref().unwrap_or(field);
    let (compared, text) = match kind.as_ref().and_then(Field::text) {
        None | Some("PathPrefix") => (Compared::Segments, text.to_owned()),
        Some("Exact") => (Compared::Whole, text.to_owned()),
        Some(kind) => {
            let read = of_expression(text).filter(|_| kind == "RegularExpression");
            let Some(path) = read else {
                let (what, text) = ("regular expression", text.to_owned());
                lost.push((field.clone(), Remark::InexactPath { what, text }));
                return None;
            };
            path
        }
    };
    kind.inspect(|kind| account.carry(kind));
    Path::read(value, &text, compared, account)
}

/// `GRPCMethodMatch`: the path is `/service/method`.
fn grpc_path<'d>(
    field: &Field<'d>,
    lost: &mut Lost<'d>,
    account: &mut Account,
) -> Option<Path<'d>> {
    let (service, method) = (field.text_at(&["service"]), field.text_at(&["method"]));
    match (field.text_at(&["type"]), service, method) {
        (None | Some("Exact"), Some(service), Some(method)) => {
            Path::read(field, &format!("/{service}/{method}"), Compared::Whole, account)
        }
        (None | Some("Exact"), Some(service), None) => {
            Path::read(field, &format!("/{service}"), Compared::Segments, account)
        }
        _ => {
            let text = format!("/{}/{}", service.unwrap_or("*"), method.unwrap_or("*"));
            lost.push((field.clone(), Remark::InexactPath { what: "match", text }));
            None
        }
    }
}
