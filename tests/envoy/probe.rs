//! `envoy-cors probe` against the gateway that is shipped: it finds what the policy means, and
//! nothing else.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::client::Result;
use crate::gateway::{in_front_of, shipped_upstream};
use crate::process::Envoy;

/// A page, and all that is found of it.
const PAGES: &[(&str, &[&str])] = &[
    ("https://app.example.com", &[]),
    // `https://*.preview.example.com`
    (
        "https://pr-7.preview.example.com",
        &[
            "note: https://stranger.preview.example.com is allowed, with credentials, beside https://pr-7.preview.example.com",
        ],
    ),
    // `http://localhost:*`
    (
        "http://localhost:3000",
        &["note: http://localhost:8443 is allowed, with credentials like http://localhost:3000"],
    ),
    (
        "https://stranger.example.net",
        &["error: https://stranger.example.net is not allowed: there is no grant"],
    ),
];

/// Of every path: upstream's answers, its own CORS headers, and the gateway's refusals.
const PATHS: &[&str] =
    &["/", "/legacy", "/opinionated", "/broken", "/private", "/admin", "/down", "/old", "/healthz"];

pub fn trial() -> Trial {
    Trial::test("the shipped gateway, probed", || {
        let upstream = shipped_upstream()?;
        let gateway = Envoy::start(in_front_of(upstream.port("upstream")), 1)?;
        let base = format!("--base=http://127.0.0.1:{}", gateway.port("gateway"));
        for (origin, expected) in PAGES {
            let found = found(&[&base, &format!("--origin={origin}")])?;
            for (path, found) in PATHS.iter().zip(found) {
                assert_eq!(found, *expected, "{origin} at {path}");
            }
        }
        Ok(())
    })
}

/// The findings on each path.
fn found(arguments: &[&str]) -> Result<Vec<Vec<String>>> {
    let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .args([
            "probe",
            "--format=json",
            "--credentials",
            "--not-found=/down",
            "--unauthorized=/private",
        ])
        .args(["--method=GET", "--method=PUT", "--method=PATCH", "--method=DELETE"])
        .args(["--header=authorization: x", "--header=content-type: application/json"])
        .args(["--reads=x-request-id", "--send-unsafe"])
        .args(PATHS)
        .args(arguments)
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let endpoints = report["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), PATHS.len());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |endpoint: &Value| {
        assert!(endpoint["error"].is_null(), "{endpoint:#}");
        let findings = endpoint["findings"].as_array().unwrap();
        let line = |it: &Value| format!("{}: {}", text(&it["severity"]), text(&it["message"]));
        findings.iter().map(line).collect()
    };
    Ok(endpoints.iter().map(of).collect())
}
