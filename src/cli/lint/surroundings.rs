//! What stands around the filter: other filters before it, other things that add
//! CORS headers, and what happens when it fails.

use std::collections::HashSet;

use super::smell::Smell;
use crate::cli::document::{Configuration, Document, Kind, is_our_filter, plugin_config};
use crate::cli::tree::{Content, Node, Span};

/// Calls `add` with what is wrong right around a configuration.
pub fn check(configuration: &Configuration<'_>, add: &mut impl FnMut(&Span, &Smell)) {
    let holder = configuration.holder;
    match configuration.kind {
        Kind::Policy => {}
        Kind::EnvoyFilter => {
            fail_open(plugin_config(holder), &["failurePolicy", "failOpen"], add);
        }
        Kind::WasmPlugin => {
            late_phase(holder, add);
            fail_open(holder.get("spec"), &["failStrategy"], add);
        }
        Kind::EnvoyExtensionPolicy => fail_open(Some(holder), &["failOpen"], add),
    }
}

/// Calls `add` with what is wrong anywhere in a document that has a
/// configuration.
pub fn check_all(document: &Document, add: &mut impl FnMut(&Span, &Smell)) {
    let mut ours = HashSet::new();
    for root in &document.roots {
        root.walk(&mut |node| ours.extend(name_of_ours(node)));
    }
    for root in &document.roots {
        root.walk(&mut |node| {
            filters_before(node, &ours, add);
            for (span, what) in layers(node) {
                add(&span, &Smell::SecondCorsLayer { what: what.to_owned() });
            }
        });
    }
}

/// Filters that answer requests, by the name of their type, and whether they ask
/// for credentials.
const ANSWERING: [(&str, bool); 15] = [
    ("jwt_authn", true),
    ("ext_authz", true),
    ("oauth2", true),
    ("basic_auth", true),
    ("api_key_auth", true),
    ("rbac", true),
    ("ext_proc", false),
    ("ratelimit", false),
    ("local_ratelimit", false),
    ("rate_limit_quota", false),
    ("csrf", false),
    ("fault", false),
    ("buffer", false),
    ("admission_control", false),
    ("adaptive_concurrency", false),
];

/// The name of an HTTP filter, or of the resource that it is delivered by, that
/// loads ours.
fn name_of_ours(node: &Node) -> Option<&str> {
    node.get("typedConfig").is_some_and(is_our_filter).then(|| node.text_at(&["name"]))?
}

/// The filters before ours in a chain of HTTP filters. A chain may name a filter
/// that is delivered by itself, as Istio's do.
fn filters_before(chain: &Node, ours: &HashSet<&str>, add: &mut impl FnMut(&Span, &Smell)) {
    let filters = chain.elements();
    let is_delivered = |filter: &Node| {
        let name = filter.text_at(&["name"]);
        filter.get("configDiscovery").is_some() && name.is_some_and(|name| ours.contains(name))
    };
    let is_ours = |filter: &Node| {
        filter.get("typedConfig").is_some_and(is_our_filter) || is_delivered(filter)
    };
    let Some(place) = filters.iter().position(is_ours) else { return };
    for filter in filters.iter().take(place) {
        if let Some((name, authenticates)) = answering(filter) {
            let at = filter.get("name").map_or(&filter.span, |name| &name.span);
            let filter = name.to_owned();
            add(at, &Smell::FilterBefore { filter, authenticates });
        }
    }
}

fn answering(filter: &Node) -> Option<(&'static str, bool)> {
    let is_off = |node: &Node| matches!(node.content, Content::Bool(true));
    if filter.get("disabled").is_some_and(is_off) {
        return None;
    }
    let type_url = ["@type", "typeUrl"].map(|key| filter.text_at(&["typedConfig", key]));
    let named = type_url.into_iter().chain([filter.text_at(&["name"])]).flatten();
    let mut parts = named.flat_map(|name| name.split('.'));
    parts.find_map(|part| ANSWERING.into_iter().find(|(name, _)| *name == part))
}

fn late_phase(plugin: &Node, add: &mut impl FnMut(&Span, &Smell)) {
    let phase = plugin.at(&["spec", "phase"]);
    let name = phase.and_then(Node::text).map(str::to_owned);
    if name.as_deref() != Some("AUTHN") {
        let at = phase.or(plugin.get("spec")).unwrap_or(plugin);
        add(&at.span, &Smell::LatePhase { phase: name });
    }
}

fn fail_open(settings: Option<&Node>, fields: &[&str], add: &mut impl FnMut(&Span, &Smell)) {
    for field in fields {
        let Some((key, value)) = settings.and_then(|settings| settings.entry(field)) else {
            continue;
        };
        let open = match &value.content {
            Content::Text(text) => text == "FAIL_OPEN",
            Content::Bool(flag) => *flag,
            _ => false,
        };
        if open {
            add(&value.span, &Smell::FailOpen { field: key.text.clone() });
        }
    }
}

/// Whether a file says where Envoy Gateway puts Wasm filters.
pub fn orders_filters(root: &Node) -> bool {
    const AUTHENTICATION: [&str; 5] =
        ["jwt_authn", "oauth2", "basic_auth", "api_key_auth", "ext_authz"];
    let order = root.at(&["spec", "filterOrder"]).map(Node::elements).unwrap_or_default();
    root.text_at(&["kind"]) == Some("EnvoyProxy")
        && order.iter().any(|entry| {
            let before = entry.text_at(&["before"]).unwrap_or_default();
            entry.text_at(&["name"]) == Some("envoy.filters.http.wasm")
                && AUTHENTICATION.iter().any(|kind| before.ends_with(kind))
        })
}

/// The fields of one object that add CORS headers.
fn layers(node: &Node) -> Vec<(Span, &'static str)> {
    let mut found = Vec::new();
    let per_route = node.get("typedPerFilterConfig").map(Node::entries).unwrap_or_default();
    let native = per_route.iter().filter(|(key, _)| key.text == "envoy.filters.http.cors");
    found.extend(native.map(|(key, _)| (key.span.clone(), "Envoy's own CORS filter")));
    if let Some((key, _)) = node.entry("corsPolicy") {
        found.push((key.span.clone(), "this corsPolicy"));
    }
    if let Some((key, cors)) = node.entry("cors")
        && cors.entries().iter().any(|(key, _)| key.text.starts_with("allow"))
    {
        found.push((key.span.clone(), "this cors section"));
    }
    let elements = |name: &str| node.get(name).map(Node::elements).unwrap_or_default();
    let added = elements("responseHeadersToAdd");
    let added = added.iter().filter_map(|entry| entry.at(&["header", "key"]));
    // Gateway API's modifier of response headers has the names as values.
    let modifier = node.get("responseHeaderModifier");
    let of_gateway = |operation| modifier.and_then(|all| all.get(operation)).map(Node::elements);
    let named = ["set", "add"].into_iter().filter_map(of_gateway).flatten();
    let named = named.filter_map(|entry| entry.get("name"));
    let texts = added.chain(named).filter_map(|name| Some((name.text()?, &name.span)));
    // Istio's has them as keys.
    let istio = node.at(&["headers", "response"]);
    let of_istio = |operation| istio.and_then(|all| all.get(operation)).map(Node::entries);
    let keys = ["set", "add"].into_iter().filter_map(of_istio).flatten();
    let keys = keys.map(|(key, _)| (key.text.as_str(), &key.span));
    let ours = |(name, _): &(&str, &Span)| name.to_ascii_lowercase().starts_with("access-control-");
    let headers = texts.chain(keys).filter(ours);
    found.extend(headers.map(|(_, span)| (span.clone(), "this response header")));
    found
}
