//! Servers that allow others than they mean to.

use crate::row::*;
use crate::server::reply;

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row {
        case: "null",
        server: |asked| like_healthy(asked, |origin| origin == APP || origin == "null"),
        arguments: FULL,
        finds: &[("error null-allowed", "null is allowed, with credentials")],
    },
    Row {
        case: "any origin is reflected, with credentials",
        server: |asked| like_healthy(asked, |_| true),
        arguments: FULL,
        finds: &[("error origin-reflected", "every origin is allowed, with credentials, https://stranger.example too")],
    },
    Row {
        case: "any origin is reflected, without credentials",
        server: |asked| reply(200, &[(ORIGIN, asked.origin()), VARY]),
        arguments: SIMPLE,
        finds: &[("warning origin-reflected", "every origin is allowed, https://stranger.example too")],
    },
    Row {
        case: "strangers are allowed by their preflight alone",
        server: |asked| if asked.is_preflight() { like_healthy(asked, |_| true) } else { healthy(asked) },
        arguments: FULL,
        finds: &[("error origin-reflected", "every origin is allowed, with credentials, https://stranger.example too")],
    },
    Row {
        case: "starts_with",
        server: |asked| like_healthy(asked, |origin| origin.starts_with(APP)),
        arguments: FULL,
        finds: &[("error origin-prefix", "https://app.example.com.stranger.example is allowed, with credentials: it begins with https://app.example.com")],
    },
    Row {
        case: "ends_with the domain",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with("example.com")),
        arguments: FULL,
        finds: &[("error origin-suffix", "https://notexample.com is allowed, with credentials: it ends like https://app.example.com")],
    },
    Row {
        case: "ends_with the host",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with("app.example.com")),
        arguments: FULL,
        finds: &[("error origin-suffix", "https://notapp.example.com is allowed, with credentials: it ends like https://app.example.com")],
    },
    Row {
        case: "contains",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.contains("app.example.com")),
        arguments: FULL,
        finds: &[("error origin-substring", "https://notapp.example.com.stranger.example is allowed, with credentials: it holds the host of https://app.example.com")],
    },
    Row {
        case: "an expression with bare dots",
        server: |asked| like_healthy(asked, |origin| {
            origin.len() == APP.len() && origin.starts_with("https://app") && origin.ends_with("example.com")
        }),
        arguments: FULL,
        finds: &[("error origin-unescaped-dot", "https://appxexample.com is allowed, with credentials: it has another character for a dot of https://app.example.com")],
    },
    Row {
        case: "an expression that ends at a word",
        server: |asked| like_healthy(asked, |origin| {
            origin.strip_prefix(APP).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || ":.-".contains(c)))
        }),
        arguments: FULL,
        finds: &[("error origin-special-character", "https://app.example.com_.stranger.example is allowed, with credentials: https://app.example.com ends there for the expression")],
    },
    Row {
        case: "the scheme is not compared",
        server: |asked| like_healthy(asked, |origin| origin.ends_with("://app.example.com")),
        arguments: FULL,
        finds: &[("error insecure-origin", "http://app.example.com is allowed, with credentials, and https://app.example.com without TLS is another origin")],
    },
    Row {
        case: "a wildcard",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with(".example.com")),
        arguments: FULL,
        finds: &[("note subdomain-allowed", "https://stranger.example.com is allowed, with credentials, beside https://app.example.com")],
    },
    Row {
        case: "a wildcard further down",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with(".preview.example.com")),
        arguments: &["--origin=https://pr-7.preview.example.com"],
        finds: &[("note subdomain-allowed", "https://stranger.preview.example.com is allowed, with credentials, beside https://pr-7.preview.example.com")],
    },
    Row {
        case: "a wildcard for one page, and a suffix without a dot for another",
        server: |asked| like_healthy(asked, |origin| {
            origin.starts_with("https://") && (origin.ends_with(".one.example") || origin.ends_with("two.example"))
        }),
        arguments: &["--origin=https://a.one.example", "--origin=https://a.two.example"],
        finds: &[
            ("note subdomain-allowed", "https://stranger.one.example is allowed, with credentials, beside https://a.one.example"),
            ("error origin-suffix", "https://nottwo.example is allowed, with credentials: it ends like https://a.two.example"),
        ],
    },
    Row {
        case: "sub-domains",
        server: |asked| like_healthy(asked, |origin| {
            origin.strip_suffix("app.example.com").is_some_and(|rest| rest == "https://" || (rest.starts_with("https://") && rest.ends_with('.')))
        }),
        arguments: FULL,
        finds: &[("note subdomain-allowed", "https://stranger.app.example.com is allowed, with credentials, beside https://app.example.com")],
    },
    Row {
        case: "any port",
        server: |asked| like_healthy(asked, |origin| origin == APP || origin.starts_with("https://app.example.com:")),
        arguments: FULL,
        finds: &[("note port-ignored", "https://app.example.com:8443 is allowed, with credentials like https://app.example.com")],
    },
    Row {
        case: "any case",
        server: |asked| like_healthy(asked, |origin| origin.eq_ignore_ascii_case(APP)),
        arguments: FULL,
        finds: &[("note case-ignored", "https://APP.EXAMPLE.COM is allowed, with credentials like https://app.example.com")],
    },
    Row {
        case: "a dot at the end",
        server: |asked| like_healthy(asked, |origin| origin.trim_end_matches('.') == APP),
        arguments: FULL,
        finds: &[("note trailing-dot-allowed", "https://app.example.com. is allowed, with credentials like https://app.example.com")],
    },
    Row {
        case: "no page is named",
        server: |asked| like_healthy(asked, |_| true),
        arguments: &[],
        finds: &[("error origin-reflected", "every origin is allowed, with credentials, https://stranger.example too")],
    },
    Row {
        case: "no stranger is tried",
        server: |asked| like_healthy(asked, |_| true),
        arguments: &["--origin=https://app.example.com", "--no-strangers"],
        finds: &[],
    },
];

#[test]
fn each_comparison_is_told_from_the_others() {
    check(ROWS);
}
