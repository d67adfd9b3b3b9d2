//! Envoy's configuration for a table: one listener for each group of rows.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::client::Result;
use crate::table::Group;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// A listener for each of `groups` and each scheme that its rows speak of, all in front of the same
/// upstream.
pub fn of_groups(groups: &[Group], upstream: u16) -> Value {
    let mut listeners = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let policy = group.policy.as_ref().expect("a policy").to_string();
        let filter = filter(&string_value(&policy), group.environment.as_deref());
        for scheme in SCHEMES {
            if group.cases.iter().any(|case| case.send.scheme == scheme.as_bytes()) {
                let name = listener_name(index, scheme.as_bytes());
                let mut listener = listener(&name, Some(&filter));
                manager(&mut listener)["scheme_header_transformation"] =
                    json!({ "scheme_to_overwrite": scheme });
                listeners.push(listener);
            }
        }
    }
    of_listeners(&listeners, upstream)
}

/// What `:scheme` can be without TLS: Envoy overwrites it with either.
pub const SCHEMES: [&str; 2] = ["http", "https"];

pub fn listener_name(group: usize, scheme: &[u8]) -> String {
    format!("{group} {}", scheme.escape_ascii())
}

/// The one HTTP connection manager of `listener`.
pub fn manager(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]
}

/// Envoy hands this over to the filter as it stands.
pub fn string_value(text: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text })
}

pub fn of_listeners(listeners: &[Value], upstream: u16) -> Value {
    json!({
        "static_resources": {
            "listeners": listeners,
            "clusters": [{
                "name": "upstream",
                "load_assignment": {
                    "cluster_name": "upstream",
                    "endpoints": [{
                        "lb_endpoints": [{ "endpoint": { "address": loopback(upstream) } }],
                    }],
                },
            }],
        },
    })
}

/// Our filter. One whose code, VM and environment are another's shares its VM, as in Istio.
pub fn filter(configuration: &Value, environment: Option<&str>) -> Value {
    let code = json!({ "local": { "filename": wasm().unwrap() } });
    let mut vm = json!({ "runtime": "envoy.wasm.runtime.v8", "code": code });
    if let Some(name) = environment {
        // Before Envoy 1.39 a VM is shared with others that have the same code and other variables.
        vm["vm_id"] = name.into();
        vm["environment_variables"] = json!({ "key_values": { "CORS_ENVIRONMENT": name } });
    }
    let mut config =
        json!({ "name": "envoy_cors", "failure_policy": "FAIL_CLOSED", "vm_config": vm });
    if !configuration.is_null() {
        config["configuration"] = configuration.clone();
    }
    json!({
        "name": "envoy.filters.http.wasm",
        "typed_config": { "@type": format!("{TYPES}.filters.http.wasm.v3.Wasm"), "config": config },
    })
}

/// The filter under test.
pub fn wasm() -> Result<PathBuf> {
    let path = std::env::var_os("ENVOY_CORS_WASM").unwrap_or_else(|| "dist/envoy_cors.wasm".into());
    Ok(std::fs::canonicalize(&path)
        .map_err(|e| format!("{}: {e}; `make build` makes it", path.display()))?)
}

/// With our filter first, or without any.
pub fn listener(name: &str, filter: Option<&Value>) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
    });
    let filters: Vec<_> = filter.into_iter().chain([&router]).collect();
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "table",
        "http_filters": filters,
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }],
        }] },
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "http_protocol_options": { "allow_custom_methods": true },
        "http2_protocol_options": { "allow_connect": true },
        "max_request_headers_kb": 96,
        // The filter is to see the paths that rows send.
        "normalize_path": false,
        "merge_slashes": false,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "local_reply_config": details_in_a_header(),
    });
    json!({
        "name": name,
        "address": loopback(0),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    })
}

/// `%RESPONSE_CODE_DETAILS%` of what Envoy and its filters answer, where the client sees it.
pub fn details_in_a_header() -> Value {
    json!({ "mappers": [{
        "filter": { "not_health_check_filter": {} },
        "headers_to_add": [{ "header": { "key": "x-details", "value": "%RESPONSE_CODE_DETAILS%" } }],
    }] })
}

pub fn loopback(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
