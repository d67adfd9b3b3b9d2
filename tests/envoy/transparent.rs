//! What the filter leaves alone: every request, and in shadow mode every response.

use std::collections::HashMap;

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::bootstrap::{filter, listener, of_listeners, string_value};
use crate::client::{self, Protocol, Result};
use crate::process::Envoy;
use crate::table::{Reply, Request};
use crate::upstream;

const APP: (&str, &str) = ("origin", "https://app.example.com");
const PUT: (&str, &str) = ("access-control-request-method", "PUT");
const NAMES: (&str, &str) = ("access-control-request-headers", "X-B, x-a,,");
const REQUESTS: [(&str, &[(&str, &str)]); 5] = [
    ("GET", &[APP]),
    ("GET", &[("origin", "https://evil.example.net"), ("origin", "https://Evil.example.net")]),
    ("POST", &[]),
    ("OPTIONS", &[APP, PUT, NAMES]),
    ("OPTIONS", &[("origin", "https://evil.example.net"), PUT, NAMES]),
];

/// Everything that the filter might be tempted to touch.
const REPLY: [(&str, &str); 7] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-methods", "GET,PUT"),
    ("access-control-expose-headers", "*"),
    ("access-control-max-age", "1"),
    ("vary", "Accept"),
    ("vary", "accept-encoding,,"),
];

pub fn trials() -> [Trial; 2] {
    let shadow = Trial::test("shadow mode touches nothing", || {
        let policy = json!({ "mode": "shadow", "allowOrigins": [APP.1] });
        each_beside_none(&policy.to_string(), |with, without| with == without)
    });
    let requests = Trial::test("upstream gets the request as it was sent", || {
        let policy = json!({ "unmatchedPreflights": "forward", "allowOrigins": [APP.1] });
        // One of them is a preflight that the filter answers.
        each_beside_none(&policy.to_string(), |with, without| {
            with.status == 204 || with.request == without.request
        })
    });
    [shadow, requests]
}

#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    /// By the client.
    response: Vec<(String, Vec<u8>)>,
    /// By upstream.
    request: String,
}

/// Sends every request through the filter and past it.
fn each_beside_none(
    policy: &str,
    same: impl Fn(&Seen, &Seen) -> bool,
) -> std::result::Result<(), Failed> {
    let headers = REPLY.map(|(name, value)| (name.to_owned(), value.into())).into();
    let upstream =
        upstream::start(HashMap::from([("any".into(), Reply { status: 200, headers })]))?;
    let filter = filter(&string_value(policy), None);
    let listeners = [listener("with", Some(&filter)), listener("without", None)];
    let envoy = Envoy::start(of_listeners(&listeners, upstream), 1)?;
    for (method, lines) in REQUESTS {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let with = seen(envoy.port("with"), method, lines, protocol)?;
            let without = seen(envoy.port("without"), method, lines, protocol)?;
            if !same(&with, &without) {
                return Err(format!("with the filter: {with:#?}\nwithout it: {without:#?}").into());
            }
        }
    }
    Ok(())
}

fn seen(port: u16, method: &str, lines: &[(&str, &str)], protocol: Protocol) -> Result<Seen> {
    let row = Request {
        method: method.into(),
        scheme: "http".into(),
        authority: "api.example.com".into(),
        path: "/a//b/../c?d".into(),
        body: Vec::new(),
        headers: lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
    };
    let response = client::send(port, protocol, client::request(&row, "any", protocol)?)?;
    let of_its_own = ["date", "x-envoy-upstream-service-time"];
    let kept = response.headers.iter().filter(|(name, _)| !of_its_own.contains(&name.as_str()));
    let request =
        str::from_utf8(&response.body)?.lines().filter(|line| !line.starts_with("x-request-id"));
    Ok(Seen {
        status: response.status,
        response: kept.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        request: request.collect::<Vec<_>>().join("\n"),
    })
}
