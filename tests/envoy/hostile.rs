//! Bytes that no browser sends, in everything that the filter reads: the worker that got them
//! still answers.

use libtest_mimic::{Failed, Trial};

use crate::client::{self, Protocol, Result};
use crate::rows::{Table, check};
use crate::table::{self, Case, Request};
use crate::wire;

const ORDINARY: &str = r#"
- policy:
    policies:
      - name: api
        match: { hosts: [api.example.com, "*.api.example.com"], pathPrefixes: [/api] }
        allowOrigins: [https://app.example.com, "https://*.example.com", "http://localhost:*"]
        allowMethods: ["*"]
        allowHeaders: ["*"]
        allowCredentials: true
    allowOrigins: []
    disallowedRequests: reject
  cases:
    - case: an ordinary preflight
      send: { method: OPTIONS, path: /api/x, origin: https://app.example.com, acrm: PUT, acrh: x-a }
      outcome: preflight_allowed
      get:
        status: 204
        from: filter
        acao: https://app.example.com
        acac: true
        acam: PUT
        acah: x-a
        vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
    - case: an ordinary request
      send: { path: /api/x, origin: https://app.example.com }
      get: { status: 200, from: upstream, acao: https://app.example.com, acac: true, vary: Origin }
    - case: an upstream that sends no UTF-8
      send: { path: /api/x, origin: https://app.example.com }
      upstream: { acao: "\xff", acac: "\xfe", aceh: "\xc3(", vary: "\xff" }
      get:
        status: 200
        from: upstream
        acao: https://app.example.com
        acac: true
        vary: "\xff, Origin"
"#;

const HEADERS: [&str; 4] =
    ["origin", "access-control-request-method", "access-control-request-headers", "sec-fetch-site"];

/// Not UTF-8 from the start, at the end of something valid, in a list, in two forms of its own;
/// and far too much of it.
fn values() -> [Vec<u8>; 5] {
    let spliced = b"https://app.example.com\xff".to_vec();
    [
        b"\xff".to_vec(),
        spliced,
        b"x-a,\xc3(,\x80".to_vec(),
        b"\xc0\xaf\xed\xa0\x80".to_vec(),
        vec![0xfe; 10_000],
    ]
}

pub fn trial() -> Trial {
    Trial::test("hostile bytes leave the worker alive", || {
        let groups = table::parse(ORDINARY);
        let table = Table::start(&groups, 1)?;
        let cases = &groups[0].cases;
        let port = table.port(0, &cases[0]);
        for value in values() {
            for name in HEADERS {
                for protocol in [Protocol::Http1, Protocol::Http2] {
                    cases.iter().try_for_each(|case| header(port, case, name, &value, protocol))?;
                    alive(port, cases, name)?;
                }
            }
        }
        for value in [b"/\xff/api".as_slice(), b"/api/\xff", b"/api/\xc3("] {
            path(port, &cases[0].send, value)?;
            alive(port, cases, ":path")?;
        }
        Ok(())
    })
}

/// Sends `case` with one header line replaced.
fn header(
    port: u16,
    case: &Case,
    name: &str,
    value: &[u8],
    protocol: Protocol,
) -> std::result::Result<(), Failed> {
    let mut send = case.send.clone();
    send.headers.retain(|(it, _)| it != name);
    send.headers.push((name.into(), value.to_vec()));
    let shown = value.get(..80).unwrap_or(value).escape_ascii();
    let response = client::send(port, protocol, client::request(&send, &case.name, protocol)?)
        .map_err(|e| format!("no answer to {name}: {shown}: {e:?}"))?;
    let status = response.status;
    if ![200, 204, 403].contains(&status) {
        return Err(format!("{status} to {name}: {shown}").into());
    }
    if name == "origin" && response.headers.contains_key("access-control-allow-origin") {
        return Err(format!("a grant to {name}: {shown}").into());
    }
    Ok(())
}

fn alive(port: u16, cases: &[Case], after: &str) -> std::result::Result<(), Failed> {
    let told = |e: Failed| {
        Failed::from(format!("after hostile {after}: {}", e.message().unwrap_or_default()))
    };
    cases.iter().try_for_each(|case| check(port, case, Protocol::Http1).map_err(told))
}

/// An answer to a preflight for `value`, over HTTP/2, where Envoy lets such bytes through.
fn path(port: u16, preflight: &Request, value: &[u8]) -> Result<()> {
    let request = Request { path: value.into(), ..preflight.clone() };
    client::run(wire::http2(port, "any", &request)).map(drop)
}
