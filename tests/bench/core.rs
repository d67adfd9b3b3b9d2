//! What a look-up and a decision cost natively, without Envoy around them.

#![allow(clippy::unwrap_used, missing_docs)]

use divan::{Bencher, black_box};
use envoy_cors::allowlist::Allowlist;
use envoy_cors::pattern::OriginPattern;
use envoy_cors::{Outcome, Policies, decide};

const SIZES: [usize; 4] = [1, 1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

fn allowlist(size: usize, pattern: impl Fn(usize) -> String) -> Allowlist {
    let texts: Vec<String> = (0..size).map(pattern).collect();
    texts.iter().map(|text| OriginPattern::parse(text).unwrap()).collect()
}

fn look_up(bencher: Bencher, list: &Allowlist, origin: &str, expected: bool) {
    assert_eq!(list.contains(origin.as_bytes()), expected);
    bencher.bench_local(|| list.contains(black_box(origin.as_bytes())));
}

#[divan::bench(args = SIZES)]
fn exact_hit(bencher: Bencher, size: usize) {
    let list = allowlist(size, |n| format!("https://app{n}.example.com"));
    look_up(bencher, &list, &format!("https://app{}.example.com", size - 1), true);
}

#[divan::bench(args = SIZES)]
fn exact_miss(bencher: Bencher, size: usize) {
    let list = allowlist(size, |n| format!("https://app{n}.example.com"));
    look_up(bencher, &list, "https://apq0.example.com", false);
}

#[divan::bench(args = SIZES)]
fn wildcard_hit(bencher: Bencher, size: usize) {
    let list = allowlist(size, |n| format!("https://*.shop{n}.example.com"));
    look_up(bencher, &list, &format!("https://eu.shop{}.example.com", size - 1), true);
}

/// Labels above the domain that is listed; 120 is about what fits into a host.
#[divan::bench(args = [1, 4, 16, 120])]
fn wildcard_depth(bencher: Bencher, labels: usize) {
    let list = allowlist(1, |_| "https://*.example.com".to_owned());
    look_up(bencher, &list, &format!("https://{}example.com", "a.".repeat(labels)), true);
}

/// Values of `Access-Control-Request-Headers` from browsers and from attackers.
#[divan::bench(args = ["none", "one", "16 KiB of one name", "60 KiB of commas", "256 names"])]
fn preflight(bencher: Bencher, requested: &str) {
    let headers = match requested {
        "none" => String::new(),
        "one" => "x-a".to_owned(),
        "16 KiB of one name" => "a".repeat(16 * 1024),
        "60 KiB of commas" => ",".repeat(60 * 1024),
        _ => vec!["x-a"; 256].join(","),
    };
    let json = br#"{"allowOrigins": ["https://app.example.com"], "allowHeaders": ["x-a"]}"#;
    let policies = Policies::from_json(json, None).0.unwrap();
    let header = |name: &str| match name {
        ":method" => Some(b"OPTIONS".to_vec()),
        "origin" => Some(b"https://app.example.com".to_vec()),
        "access-control-request-method" => Some(b"GET".to_vec()),
        "access-control-request-headers" => Some(headers.clone().into_bytes()),
        _ => None,
    };
    bencher.bench_local(|| decide(&policies, header).map(|decision| decision.outcome()));
}

#[divan::bench]
fn actual(bencher: Bencher) {
    let json = br#"{"allowOrigins": ["https://app.example.com"]}"#;
    let policies = Policies::from_json(json, None).0.unwrap();
    let header = |name: &str| (name == "origin").then(|| b"https://app.example.com".to_vec());
    bencher.bench_local(|| {
        let decision = decide(&policies, header).unwrap();
        assert_eq!(decision.outcome(), Outcome::ActualAllowed);
        decision.edits(|_| None).count()
    });
}
