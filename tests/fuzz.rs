//! What the filter reads of strangers: its configuration and the headers of requests, as real ones
//! with changes in them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../src/cli/hostile.rs"]
mod hostile;
mod table;

use envoy_cors::denials::Denials;
use envoy_cors::origin::Origin;
use envoy_cors::pattern::OriginPattern;
use envoy_cors::usage::Usage;
use envoy_cors::{Decision, Edit, Policies, decide, header, method};
use hostile::samples;
use serde_json::Value;
use table::{Diagnosed, Group};

/// Longer ones are of one letter, and take their time.
const LONGEST: usize = 1_000;

fn configurations(groups: &[Group]) -> impl Iterator<Item = String> {
    let configurations = groups.iter().map(|group| group.policy.as_ref().unwrap().to_string());
    configurations.filter(|text| text.len() <= LONGEST)
}

#[test]
fn a_configuration_never_panics() {
    const WORDS: &[&str] = &[
        "allowOrigins",
        "allow_origins",
        "policies",
        "match",
        "hosts",
        "pathPrefixes",
        "environment",
        "maxAge",
        "allowCredentials",
        "\"mode\":\"shadow\",",
        "\"https://*.example.com\",",
        "\"1h30m\"",
        "[::1]",
        "127.0.0.1",
        "\n\x0a\x12\x0a\x0c",
    ];
    let rows: Vec<Diagnosed> = table::read(&table::tests().join("diagnostics.yaml"));
    let rows = rows.into_iter().map(|row| row.config).filter(|text| text.len() <= LONGEST);
    // {"allowOrigins": []} as protobuf writes a Struct.
    let binary = "\x0a\x12\x0a\x0callowOrigins\x12\x02\x32\x00".to_owned();
    let groups = table::load();
    let texts = rows.chain(configurations(&groups)).chain([binary]);
    hostile::each(&samples(texts), WORDS, |bytes| {
        let [named, unnamed] = [Some("staging"), None].map(|environment| {
            let (policies, problems) = Policies::from_json(bytes, environment);
            assert_eq!(policies.is_none(), problems.has_errors());
            for problem in &problems {
                let said = problem.to_string();
                assert!(!said.contains(char::is_control) && said.contains(": "), "{said}");
            }
            policies.is_some()
        });
        named || unnamed
    });
}

/// A request, a header or pseudo-header a line.
fn requests(groups: &[Group]) -> impl Iterator<Item = Vec<u8>> {
    let requests = groups.iter().flat_map(|group| &group.cases).map(|case| {
        let send = &case.send;
        let pseudo = [
            (":method", &send.method),
            (":scheme", &send.scheme),
            (":authority", &send.authority),
            (":path", &send.path),
        ];
        let lines = send.headers.iter().chain(&case.upstream.headers);
        let lines = lines.map(|(name, value)| (name.as_str(), value));
        let lines = pseudo.into_iter().chain(lines);
        lines.flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\n"].concat()).collect()
    });
    requests.filter(|lines: &Vec<u8>| lines.len() <= LONGEST)
}

/// Every value that reaches the client or changes a response.
fn sent(decision: &Decision, header: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let reply = decision.reply().into_iter().flat_map(|reply| reply.headers);
    let reply = reply.map(|(name, value)| (name.to_owned(), value.into_owned()));
    let edits = decision.edits(header).filter_map(|edit| match edit {
        Edit::Set(name, value) | Edit::Append(name, value) => Some((name.into(), value.into())),
        Edit::Remove(_) => None,
    });
    reply.chain(edits).collect()
}

#[test]
fn a_request_never_panics() {
    const WORDS: &[&str] = &[
        "\norigin: ",
        "\n:authority: [::1]:80",
        "\n:path: /a/..;x/%2E//",
        "\naccess-control-request-method: PUT",
        "\naccess-control-request-headers: x-a, ,authorization",
        "\nsec-fetch-site: same-origin",
        "\nvary: accept, origin",
        ":8080",
        "https://app.example.com",
        "OPTIONS",
    ];
    let groups = table::load();
    let load = |group: &Group| {
        let text = group.policy.as_ref().unwrap().to_string();
        Policies::from_json(text.as_bytes(), group.environment.as_deref()).0.unwrap()
    };
    let all: Vec<Policies> = groups.iter().map(load).collect();
    let mut policies = all.iter().cycle();
    let (mut denials, mut usage) = (Denials::default(), Usage::default());
    hostile::each(&samples(requests(&groups)), WORDS, |lines| {
        let named: Vec<(&[u8], &[u8])> = lines
            .split(|b| *b == b'\n')
            .filter_map(|line| {
                let at = line.windows(2).position(|two| two == b": ")?;
                Some((&line[..at], &line[at + 2..]))
            })
            .collect();
        let header = |name: &str| {
            let known = named.iter().find(|(known, _)| *known == name.as_bytes());
            known.map(|(_, value)| value.to_vec())
        };
        let mut is_allowed = false;
        for policies in policies.by_ref().take(10) {
            let Some(decision) = decide(policies, header) else { continue };
            for (name, value) in sent(&decision, header) {
                assert!(value.iter().all(|b| (b' '..=b'~').contains(b)), "{name}");
                if name == "access-control-allow-origin" && value != b"*" {
                    assert_eq!(Some(value), header("origin"));
                }
            }
            assert!(decision.label().is_ascii());
            if decision.outcome().is_denial() {
                let place = [":authority", ":path"].map(|name| header(name).unwrap_or_default());
                denials.add(&decision, &place[0], &place[1]);
            }
            usage.mark(decision.policy(), decision.origin());
            is_allowed |= decision.allows_origin();
        }
        is_allowed
    });
    serde_json::from_str::<Value>(&denials.report()).unwrap();
    for line in all.iter().flat_map(|policies| usage.report(policies)) {
        serde_json::from_str::<Value>(&line).unwrap();
    }
}

#[test]
fn a_header_value_never_panics() {
    let texts = ["x-a, content-type", "X-A,,\tauthorization ,", "Accept, Origin", "*", "PROPFIND"];
    hostile::each(&samples(texts), &[" ,", "\t", "origin", "x-a"], |value| {
        let commas = value.iter().filter(|b| **b == b',').count();
        assert_eq!(header::elements(value).count(), commas + 1);
        let padded = |element: &[u8]| element.trim_ascii_start().len() < element.len();
        let ows = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        for element in header::elements(value).filter(|element| padded(element)) {
            assert!(!ows(element.first()) && !ows(element.last()));
        }
        let _ = header::varies_on_origin(value);
        if let Ok(name) = std::str::from_utf8(value) {
            assert_eq!(method::normalize(method::normalize(name)), method::normalize(name));
        }
        assert!(!method::is_requestable(value) || header::is_token(value));
        let Some(mut names) = header::requested_names(value) else { return false };
        assert!(names.all(header::is_token));
        true
    });
}

#[test]
fn an_origin_never_panics() {
    const WORDS: &[&str] = &["*.", ":*", ":8080", "[::1]", "127.0.0.1", "0x7f", "localhost"];
    let texts = [
        "https://app.example.com",
        "http://localhost:3000",
        "http://127.0.0.1:65535",
        "http://[2001:db8::1]:8080",
        "chrome-extension://abcdef",
        "https://xn--bcher-kva.example",
        "https://*.example.com:*",
    ];
    hostile::each(&samples(texts), WORDS, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let origin = Origin::parse(&text);
        if let Ok(Origin { scheme, host, port }) = origin {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            assert_eq!(format!("{scheme}://{host}{port}"), text);
            // Browsers' own names, but for labels that are checked in form only.
            if matches!(scheme, "http" | "https") && !text.contains("xn--") {
                let url = url::Url::parse(&text).unwrap();
                assert_eq!(url.origin().ascii_serialization(), text);
            }
        }
        let pattern = OriginPattern::parse(&text);
        if let Ok(pattern) = pattern {
            assert_eq!(pattern.to_string(), text);
        }
        assert!(origin.is_err() || pattern.is_ok());
        pattern.is_ok()
    });
}
