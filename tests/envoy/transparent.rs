//! What the filter leaves alone, byte by byte: every request, and in shadow mode every answer.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::bootstrap::{
    SCHEMES, filter, listener, listener_name, manager, of_listeners, string_value,
};
use crate::client::{Protocol, Result};
use crate::live::{equal, until};
use crate::process::Envoy;
use crate::rows::{protocols_of, replies};
use crate::table::{self, Case, Group, Outcome};
use crate::wire::{Exchange, Upstream};

/// What Envoy answers by itself, and a filter behind ours. Upstream gets every other path.
const LOCAL_REPLIES: [&str; 5] = ["/direct", "/redirect", "/no-cluster", "/no-host", "/denied"];

const REQUESTS: [&str; 4] = [
    "{}",
    "{ origin: https://app.example.com }",
    "{ method: POST, origin: https://evil.example.net }",
    "{ method: OPTIONS, origin: https://app.example.com, acrm: PUT }",
];

pub fn trials() -> [Trial; 2] {
    let shadow = Trial::test("shadow mode touches no byte", || {
        let mut groups = groups();
        groups.iter_mut().for_each(cast_in_shadow);
        let envoy = each_beside_none(&groups, |with, without| with == without)?;
        until("each was decided", || Ok(decided(&envoy, "shadow")? == requests(&groups)))?;
        equal("decided in earnest", 0, decided(&envoy, "policy")?)
    });
    let requests = Trial::test("upstream gets each request as it was sent", || {
        each_beside_none(&groups(), |with, without| {
            // Where the filter does not answer.
            with.forwarded.is_empty() || with.forwarded == without.forwarded
        })
        .map(drop)
    });
    [shadow, requests]
}

/// How many requests the filter counts.
fn decided(envoy: &Envoy, mode: &str) -> Result<u64> {
    let prefix = format!("wasmcustom.envoy_cors.{mode}.");
    Ok(envoy.stats()?.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|it| it.1).sum())
}

/// How many of them there are, without those that no policy covers.
fn requests(groups: &[Group]) -> u64 {
    let cases = groups.iter().flat_map(|group| &group.cases);
    let covered = cases.filter(|case| case.outcome != Some(Outcome::Untouched));
    covered.flat_map(protocols).count() as u64
}

/// Every row there is, and requests for what Envoy answers.
fn groups() -> Vec<Group> {
    let mut yaml = String::from("[{ policy: { allowOrigins: [https://app.example.com] }, cases: [");
    for path in LOCAL_REPLIES {
        for request in REQUESTS {
            let send = request.replace('{', &format!("{{ path: {path}, "));
            yaml += &format!("{{ case: '{path} {request}', send: {send}, ");
            yaml += "get: { status: 200, from: envoy } },";
        }
    }
    let mut groups = table::load();
    groups.extend(table::parse(&(yaml + "] }]")));
    groups
}

fn cast_in_shadow(group: &mut Group) {
    let policy = group.policy.as_mut().expect("a policy");
    // Without origins the top level is no policy.
    if policy.get("allowOrigins").or(policy.get("allow_origins")).is_some() {
        policy["mode"] = "shadow".into();
    }
    let others = policy.get_mut("policies").and_then(Value::as_array_mut);
    for policy in others.into_iter().flatten() {
        policy["mode"] = "shadow".into();
    }
}

/// Sends every row through the filter and past it.
fn each_beside_none(
    groups: &[Group],
    same: impl Fn(&Exchange, &Exchange) -> bool,
) -> std::result::Result<Envoy, Failed> {
    let upstream = Upstream::start(replies(groups))?;
    let envoy = Envoy::start(config(groups, upstream.port), 1)?;
    for (index, group) in groups.iter().enumerate() {
        for case in &group.cases {
            let with = listener_name(index, &case.send.scheme);
            let without = listener_name(groups.len(), &case.send.scheme);
            for protocol in protocols(case) {
                let with = upstream.exchange(envoy.port(&with), protocol, case);
                let without = upstream.exchange(envoy.port(&without), protocol, case);
                let told = |e| format!("{protocol:?}, {}: {e}", case.name);
                let (with, without) = (with.map_err(told)?, without.map_err(told)?);
                if !same(&with, &without) {
                    return Err(told(
                        format!("with the filter\n{with:?}\nwithout it\n{without:?}").into(),
                    )
                    .into());
                }
            }
        }
    }
    Ok(envoy)
}

/// Handshakes have another form over HTTP/2, and are left out there.
fn protocols(case: &Case) -> impl Iterator<Item = Protocol> {
    let is_handshake = case.send.headers.iter().any(|(name, _)| name == "upgrade");
    protocols_of(case).filter(move |it| *it == Protocol::Http1 || !is_handshake)
}

/// A listener for each of `groups`, and one without our filter, for each scheme.
fn config(groups: &[Group], upstream: u16) -> Value {
    let filters = groups.iter().map(|group| {
        let policy = group.policy.as_ref().expect("a policy").to_string();
        Some(filter(&string_value(&policy), group.environment.as_deref()))
    });
    let mut listeners = Vec::new();
    for (index, filter) in filters.chain([None]).enumerate() {
        for scheme in SCHEMES {
            let name = listener_name(index, scheme.as_bytes());
            let mut listener = listener(&name, filter.as_ref());
            let manager = manager(&mut listener);
            manager["scheme_header_transformation"] = json!({ "scheme_to_overwrite": scheme });
            make_repeatable(manager);
            add_local_replies(manager);
            listeners.push(listener);
        }
    }
    let mut config = of_listeners(&listeners, upstream);
    let clusters = config["static_resources"]["clusters"].as_array_mut().expect("a list");
    clusters.push(json!({ "name": "nobody", "load_assignment": { "cluster_name": "nobody" } }));
    config
}

/// The same request gets the same bytes each time: no identifiers, no times.
fn make_repeatable(manager: &mut Value) {
    manager["generate_request_id"] = false.into();
    let filters = manager["http_filters"].as_array_mut().expect("a list");
    filters.last_mut().expect("a router")["typed_config"]["suppress_envoy_headers"] = true.into();
    manager["route_config"]["response_headers_to_add"] = json!([{
        "header": { "key": "date", "value": "Thu, 01 Jan 1970 00:00:00 GMT" },
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }]);
}

fn add_local_replies(manager: &mut Value) {
    let routes = [
        json!({ "match": { "path": "/direct" },
            "direct_response": { "status": 200, "body": { "inline_string": "hello\n" } } }),
        json!({ "match": { "path": "/redirect" }, "redirect": { "path_redirect": "/elsewhere" } }),
        json!({ "match": { "path": "/no-cluster" }, "route": { "cluster": "absent" } }),
        json!({ "match": { "path": "/no-host" }, "route": { "cluster": "nobody" } }),
    ];
    let config = &mut manager["route_config"];
    config["validate_clusters"] = false.into();
    let all = config["virtual_hosts"][0]["routes"].as_array_mut().expect("a list");
    all.splice(..0, routes);
    let rbac = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "DENY", "policies": { "denied": {
                "permissions": [{ "url_path": { "path": { "exact": "/denied" } } }],
                "principals": [{ "any": true }],
            } } },
        },
    });
    let filters = manager["http_filters"].as_array_mut().expect("a list");
    filters.insert(filters.len() - 1, rbac);
}
