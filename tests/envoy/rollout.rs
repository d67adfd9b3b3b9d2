//! From Envoy's own CORS filter, or Istio's `corsPolicy`, which becomes one, to this filter: while
//! both stand in the chain, browsers get the answers of one of them, and never a mixture.

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, manager, of_listeners, string_value};
use crate::client::{self, Protocol, Response, Result};
use crate::process::Envoy;
use crate::table::{Reply, Request};
use crate::upstream;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// What both allow, each in its own words.
const ORIGIN: &str = "https://app.example.com";

const REQUESTS: &str = r"
- {}
- { origin: https://app.example.com }
- { origin: https://evil.example.net }
- { method: OPTIONS, origin: https://app.example.com, acrm: PUT, acrh: x-a }
- { method: OPTIONS, origin: https://app.example.com, acrm: PURGE }
- { method: OPTIONS, origin: https://evil.example.net, acrm: PUT }
";

pub fn trial() -> Trial {
    Trial::test("from Envoy's own CORS filter without a gap", || {
        let ours = |mode: &str| {
            let policy = json!({
                "mode": mode,
                "allowOrigins": [ORIGIN],
                "allowMethods": ["PUT"],
                "allowHeaders": ["x-a"],
                "exposeHeaders": ["x-b"],
                "allowCredentials": true,
                "maxAge": 10,
            });
            filter(&string_value(&policy.to_string()), None)
        };
        let listeners = [
            with_native(listener("native", None)),
            with_native(listener("shadow, native", Some(&ours("shadow")))),
            with_native(listener("enforce, native", Some(&ours("enforce")))),
            listener("enforce", Some(&ours("enforce"))),
        ];
        let upstream = upstream::start([("row".into(), Reply::default())].into())?;
        let envoy = Envoy::start(of_listeners(&listeners, upstream), 1)?;
        let requests: Vec<Row> = serde_saphyr::from_str(REQUESTS).unwrap();
        for request in &requests {
            let seen = |listener: &str| answer(&envoy, listener, &request.0);
            same(request, "shadow", &seen("native")?, &seen("shadow, native")?)?;
            same(request, "enforce", &seen("enforce")?, &seen("enforce, native")?)?;
        }
        Ok(())
    })
}

#[derive(Debug, Deserialize)]
struct Row(Request);

/// Envoy's own filter in front of the router, behind all others.
fn with_native(mut listener: Value) -> Value {
    let manager = manager(&mut listener);
    let filters = manager["http_filters"].as_array_mut().unwrap();
    let last = filters.len() - 1;
    let native = json!({ "@type": format!("{TYPES}.filters.http.cors.v3.Cors") });
    filters.insert(last, json!({ "name": "envoy.filters.http.cors", "typed_config": native }));
    manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] = json!({
        "envoy.filters.http.cors": {
            "@type": format!("{TYPES}.filters.http.cors.v3.CorsPolicy"),
            "allow_origin_string_match": [{ "exact": ORIGIN }],
            // Not what ours answers, so that each can be told from the other.
            "allow_methods": "PUT, GET",
            "allow_headers": "x-a, x-native",
            "expose_headers": "x-native",
            "allow_credentials": true,
            "max_age": "20",
        },
    });
    listener
}

fn answer(envoy: &Envoy, listener: &str, send: &Request) -> Result<Response> {
    let request = client::request(send, "row", Protocol::Http1)?;
    client::send(envoy.port(listener), Protocol::Http1, request)
}

/// Status and all headers that do not tell the time.
fn same(
    request: &Row,
    mode: &str,
    expected: &Response,
    actual: &Response,
) -> std::result::Result<(), Failed> {
    let seen = |response: &Response| {
        let mut headers = response.headers.clone();
        headers.remove("date");
        headers.remove("x-envoy-upstream-service-time");
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort();
        (response.status, lines)
    };
    if seen(expected) == seen(actual) {
        return Ok(());
    }
    Err(format!("{mode}, {request:?}: expected {:#?}, got {:#?}", seen(expected), seen(actual))
        .into())
}
