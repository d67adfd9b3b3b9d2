//! A server, and all that is found there.

use serde_json::Value;

use crate::probe;
use crate::server::{Asked, Server, reply};

pub const APP: &str = "https://app.example.com";
pub const ORIGIN: &str = "Access-Control-Allow-Origin";
pub const CREDENTIALS: (&str, &str) = ("Access-Control-Allow-Credentials", "true");
pub const METHODS: (&str, &str) = ("Access-Control-Allow-Methods", "PUT, DELETE");
pub const HEADERS: (&str, &str) = ("Access-Control-Allow-Headers", "authorization, content-type");
pub const VARY: (&str, &str) = ("Vary", "Origin");

/// Pages use GET and PUT, with a header and with credentials.
pub const FULL: &[&str] = &[
    "--origin=https://app.example.com",
    "--method=GET",
    "--method=PUT",
    "--header=Content-Type: application/json",
    "--credentials",
];

/// Pages use GET alone.
pub const SIMPLE: &[&str] = &["--origin=https://app.example.com"];

/// Pages use GET alone, with credentials.
pub const LOGIN: &[&str] = &["--origin=https://app.example.com", "--credentials"];

/// A server that does it right.
pub fn healthy(asked: &Asked) -> Vec<u8> {
    like_healthy(asked, |origin| origin == APP)
}

/// A server that allows the origins that `allows` allows, with credentials.
pub fn like_healthy(asked: &Asked, allows: impl Fn(&str) -> bool) -> Vec<u8> {
    let grant = (ORIGIN, asked.origin());
    let allowed = asked.get("origin").is_some_and(allows);
    match (asked.is_preflight(), allowed) {
        (true, true) => reply(204, &[grant, CREDENTIALS, METHODS, HEADERS, VARY]),
        (true, false) => reply(403, &[VARY]),
        (false, true) => reply(status(asked), &[grant, CREDENTIALS, VARY]),
        (false, false) => reply(status(asked), &[VARY]),
    }
}

pub fn status(asked: &Asked) -> u16 {
    match asked.path.as_str() {
        "/missing" => 404,
        "/private" => 401,
        _ => 200,
    }
}

/// What a server does wrong with preflights, and nothing else.
pub fn with_preflights(asked: &Asked, answer: impl Fn() -> Vec<u8>) -> Vec<u8> {
    if asked.is_preflight() && asked.origin() == APP { answer() } else { healthy(asked) }
}

/// What a server answers to the page's own requests.
pub fn with_requests(asked: &Asked, answer: impl Fn() -> Vec<u8>) -> Vec<u8> {
    if !asked.is_preflight() && asked.origin() == APP { answer() } else { healthy(asked) }
}

/// What a server does, and what is found.
pub struct Row {
    pub case: &'static str,
    pub server: fn(&Asked) -> Vec<u8>,
    pub arguments: &'static [&'static str],
    /// All findings: severity, rule, and the beginning of the message or all of it.
    pub finds: &'static [(&'static str, &'static str)],
}

/// Probes each server, and expects its findings and no others.
pub fn check(rows: &[Row]) {
    let mut failed = Vec::new();
    for row in rows {
        let server = Server::start(row.server);
        let url = format!("{}/items", server.url());
        let arguments = [&[url.as_str(), "--format=json"], row.arguments].concat();
        let (status, printed, complaints) = probe(&arguments);
        assert_eq!(complaints, "", "{}", row.case);
        let report: Value = serde_json::from_str(&printed).unwrap();
        let findings = report["endpoints"][0]["findings"].as_array().unwrap();
        let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
        let found: Vec<_> = findings
            .iter()
            .map(|found| {
                let rule = format!("{} {}", text(found, "severity"), text(found, "rule"));
                (rule, text(found, "message"))
            })
            .collect();
        let matches = found.len() == row.finds.len()
            && found
                .iter()
                .zip(row.finds)
                .all(|(found, (rule, message))| found.0 == *rule && found.1.starts_with(message));
        if !matches {
            failed.push(format!("{}: found {found:#?}, not {:#?}", row.case, row.finds));
            continue;
        }
        let bad = row.finds.iter().any(|(rule, _)| !rule.starts_with("note"));
        assert_eq!(status, i32::from(bad), "{}", row.case);
        for finding in findings {
            assert!(!text(finding, "why").is_empty() && !text(finding, "remedy").is_empty());
            assert!(
                !finding["exchanges"].as_array().unwrap().is_empty()
                    || text(finding, "rule") == "never-sent",
                "{}",
                row.case
            );
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
