//! Gateway API's `HTTPRoute` with a CORS filter
//! ([`gateway.networking.k8s.io/v1`](https://gateway-api.sigs.k8s.io/reference/spec/)),
//! and what `SecurityPolicy` says about routes and Gateways.
//!
//! Of the rules of all routes the most specific one that matches decides, as in
//! the filter. Hosts that a route does not name are those of its listeners.

use serde_json::Value;

use super::account::{Account, Field};
use super::cors::{Cors, Named, named};
use super::envoy_gateway;
use super::matcher::{Matcher, OriginMatcher};
use super::remark::Remark;
use super::scope::{Compared, Path, Stated, host_covers, hosts};
use crate::cli::tree::Content;

/// A route, with the hosts and paths of its rules.
pub struct Route<'d> {
    /// The index of its resource.
    pub index: usize,
    /// Exact hosts and wildcards; an empty list is every host.
    pub hosts: Vec<String>,
    /// Where it names them, if it does.
    pub named: Option<Field<'d>>,
    /// Those with a path that the filter can tell apart.
    pub rules: Vec<Rule<'d>>,
}

/// A rule of a route.
pub struct Rule<'d> {
    pub field: Field<'d>,
    /// What a `sectionName` calls it.
    pub section: Option<&'d str>,
    /// What to name a policy after.
    pub name: String,
    pub paths: Vec<Path<'d>>,
    /// What its own filter says.
    pub cors: Option<Cors>,
    /// What there is to say about its paths, if it comes to a policy.
    pub aside: Account,
}

/// Reads all routes, Gateways and policies that are attached to them.
pub fn read<'d>(resources: &[Field<'d>], account: &mut Account) -> Vec<Stated<'d>> {
    let policies = envoy_gateway::policies(resources, account);
    let mut found: Vec<_> = resources.iter().enumerate().filter(|(_, one)| is_route(one)).collect();
    found.sort_by_key(|(_, resource)| age(resource));
    let mut routes = Vec::new();
    for (index, resource) in found {
        let has_policy = policies.iter().any(|policy| policy.is_for(index));
        // Of a route without CORS there is nothing to say but where it stands.
        let mut aside = Account::default();
        let concerned = has_policy || has_filter(resource);
        let account = if concerned { &mut *account } else { &mut aside };
        routes.extend(route(index, has_policy, resources, account));
    }
    envoy_gateway::attach(routes, policies, resources, account)
}

/// By what the older of two resources counts: when it was made, or else its name.
pub fn age<'d>(resource: &Field<'d>) -> impl Ord + use<'d> {
    let created = resource.text_at(&["metadata", "creationTimestamp"]);
    (created, namespace(resource), name(resource))
}

/// Whether a resource is a route to which policies may be attached.
fn is_route(resource: &Field<'_>) -> bool {
    matches!(resource.text_at(&["kind"]), Some("HTTPRoute" | "GRPCRoute"))
}

/// Whether a resource has listeners.
pub fn is_gateway(resource: &Field<'_>) -> bool {
    matches!(resource.text_at(&["kind"]), Some("Gateway" | "ListenerSet" | "XListenerSet"))
}

/// The name of a resource.
pub fn name<'d>(resource: &Field<'d>) -> Option<&'d str> {
    resource.text_at(&["metadata", "name"])
}

/// The namespace of a resource, if it is written.
pub fn namespace<'d>(resource: &Field<'d>) -> Option<&'d str> {
    resource.text_at(&["metadata", "namespace"])
}

/// The index of a resource. A namespace that is not written may be any.
pub fn find(
    resources: &[Field<'_>],
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Option<usize> {
    resources.iter().position(|resource| {
        let other = self::namespace(resource);
        resource.text_at(&["kind"]) == Some(kind)
            && self::name(resource) == Some(name)
            && (namespace.is_none() || other.is_none() || namespace == other)
    })
}

/// The Gateways and sets of listeners of a route, or of a set of listeners, with
/// the listener if only one is meant; `None` where it is not among the resources.
pub fn parents<'d>(
    resource: &Field<'d>,
    resources: &[Field<'d>],
) -> Vec<(Option<usize>, Field<'d>)> {
    let Some(spec) = resource.get("spec") else { return Vec::new() };
    let several = spec.list("parentRefs");
    let one = spec.get("parentRef").into_iter();
    let index = |parent: &Field<'d>| {
        let kind = parent.text_at(&["kind"]).unwrap_or("Gateway");
        let namespace = parent.text_at(&["namespace"]).or_else(|| namespace(resource));
        find(resources, kind, namespace, parent.text_at(&["name"])?)
            .filter(|index| resources.get(*index).is_some_and(is_gateway))
    };
    several.into_iter().chain(one).map(|parent| (index(&parent), parent)).collect()
}

/// The listeners of a Gateway: all of them, or those that a reference names.
pub fn listeners<'d>(gateway: &Field<'d>, reference: Option<&Field<'d>>) -> Vec<Field<'d>> {
    let named = reference.and_then(|reference| reference.text_at(&["sectionName"]));
    let port = reference.and_then(|reference| reference.get("port"));
    let mut listeners = gateway.get("spec").map(|spec| spec.list("listeners")).unwrap_or_default();
    listeners.retain(|listener| {
        let is_port =
            |port: &Field<'_>| listener.get("port").is_some_and(|own| whole(&own) == whole(port));
        matches!(listener.text_at(&["protocol"]), None | Some("HTTP" | "HTTPS"))
            && (named.is_none() || listener.text_at(&["name"]) == named)
            && port.as_ref().is_none_or(is_port)
    });
    listeners
}

/// The hosts of listeners: `None` is every host.
pub fn hostnames<'d>(listeners: &[Field<'d>]) -> Option<Vec<Field<'d>>> {
    let of = |listener: &Field<'d>| {
        listener.get("hostname").filter(|host| host.text().is_some_and(|text| !text.is_empty()))
    };
    listeners.iter().map(of).collect()
}

fn route<'d>(
    index: usize,
    has_policy: bool,
    resources: &[Field<'d>],
    account: &mut Account,
) -> Option<Route<'d>> {
    let resource = resources.get(index)?;
    let spec = resource.get("spec")?;
    let Some(hosts) = route_hosts(resource, &spec, resources, account) else {
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
        let paths = matches(&field, has_cors, &mut aside);
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
        rules.push(Rule { field, section, name, paths, cors, aside });
    }
    Some(Route { index, hosts, named: spec.get("hostnames"), rules })
}

/// The hosts that a route names, as far as its listeners take them, or else those
/// of the listeners.
fn route_hosts<'d>(
    resource: &Field<'d>,
    spec: &Field<'d>,
    resources: &[Field<'d>],
    account: &mut Account,
) -> Option<Vec<String>> {
    let named = account.list(spec, "hostnames");
    let own = hosts(&named, |_| false, account);
    spec.get("hostnames").inspect(|field| account.close(field));
    let own = own?;
    let parents = parents(resource, resources);
    let references = spec.get("parentRefs");
    if let Some(field) = &references {
        account.remark(field, &Remark::Placement { what: "the source names its Gateways" });
    }
    let absent = parents.iter().find(|(index, _)| index.is_none());
    if let Some((_, field)) = absent {
        if named.is_empty() {
            let name = field.text_at(&["name"]).unwrap_or_default().to_owned();
            account.note(field, &Remark::EveryHost { parent: name });
        }
        return Some(own);
    }
    let listeners: Vec<_> = parents
        .iter()
        .filter_map(|(index, parent)| Some(listeners(resources.get((*index)?)?, Some(parent))))
        .flatten()
        .collect();
    if let (true, Some(field)) = (listeners.is_empty(), references) {
        account.note(&field, &Remark::Ignored { why: "the Gateway has no such listener" });
        return None;
    }
    let Some(limits) = hostnames(&listeners).filter(|limits| !limits.is_empty()) else {
        return Some(own);
    };
    let limits = hosts(&limits, |_| false, &mut Account::default()).unwrap_or_default();
    if named.is_empty() {
        return Some(limits).filter(|limits| !limits.is_empty());
    }
    let mut common: Vec<String> = Vec::new();
    for host in &own {
        for limit in &limits {
            match narrower(host, limit) {
                Some(host) if !common.iter().any(|known| known == host) => {
                    common.push(host.to_owned());
                }
                _ => {}
            }
        }
    }
    for field in named {
        let host = field.text().unwrap_or_default().to_ascii_lowercase();
        if own.contains(&host) && !limits.iter().any(|limit| narrower(&host, limit).is_some()) {
            let why = "no listener of its Gateway takes this host";
            account.withdraw(&field, &Remark::Ignored { why });
        }
    }
    Some(common).filter(|common| !common.is_empty())
}

/// The hosts that two hosts or wildcards have in common.
fn narrower<'h>(one: &'h str, other: &'h str) -> Option<&'h str> {
    if host_covers(Some(one), Some(other)) {
        Some(other)
    } else {
        host_covers(Some(other), Some(one)).then_some(one)
    }
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
        match (field.text(), whole(&field)) {
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

/// A number without fraction.
fn whole(field: &Field<'_>) -> Option<i64> {
    match field.node.content {
        Content::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// The paths of a rule.
fn matches<'d>(rule: &Field<'d>, has_cors: bool, account: &mut Account) -> Vec<Path<'d>> {
    let alternatives = account.list(rule, "matches");
    if alternatives.is_empty() {
        return vec![Path::every(rule)];
    }
    let mut paths = Vec::new();
    for alternative in alternatives {
        let (mut path, mut conditional) = (Some(Path::every(&alternative)), false);
        for (key, field) in alternative.entries() {
            match (key, &field.node.content) {
                ("path", _) => path = http_path(&field, has_cors, account),
                // Of a GRPCRoute.
                ("method", Content::Map(_)) => path = grpc_path(&field, has_cors, account),
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
        account.close(&alternative);
        paths.extend(path.map(|path| Path { conditional, ..path }));
    }
    paths
}

fn inexact(what: &'static str, text: String, has_cors: bool) -> Remark {
    if has_cors { Remark::InexactPath { what, text } } else { Remark::LostPath { what, text } }
}

/// `HTTPPathMatch`
fn http_path<'d>(field: &Field<'d>, has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
    let (kind, value) = (field.get("type"), field.get("value"));
    let text = value.as_ref().and_then(Field::text).unwrap_or("/");
    let value = value.as_ref().unwrap_or(field);
    let compared = match kind.as_ref().and_then(Field::text) {
        None | Some("PathPrefix") => Compared::Segments,
        Some("Exact") => Compared::Whole,
        Some(_) => {
            account.remark(field, &inexact("regular expression", text.to_owned(), has_cors));
            return None;
        }
    };
    kind.inspect(|kind| account.carry(kind));
    Path::read(value, text, compared, account)
}

/// `GRPCMethodMatch`: the path is `/service/method`.
fn grpc_path<'d>(field: &Field<'d>, has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
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
            account.remark(field, &inexact("match", text, has_cors));
            None
        }
    }
}
