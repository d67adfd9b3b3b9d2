//! `envoy-cors probe` against the gateway that is shipped: it finds what the policy means, and
//! nothing else, and prints what the README shows.

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
        let ports = [("10000", gateway.port("gateway")), ("10001", upstream.port("upstream"))];
        check_readme(&ports.map(|(written, port)| (written, port.to_string())))?;
        Ok(())
    })
}

/// The README's transcripts, with these ports for those that are written there.
fn check_readme(ports: &[(&str, String)]) -> Result<()> {
    let readme = include_str!("../../README.md");
    let transcripts = readme.split("    $ dist/envoy-cors probe ").skip(1);
    let mut checked = 0;
    for transcript in transcripts.filter(|it| it.lines().next().unwrap().contains("localhost")) {
        let (arguments, rest) = transcript.split_once('\n').unwrap();
        let printed = rest
            .lines()
            .map_while(|line| if line.is_empty() { Some(line) } else { line.strip_prefix("    ") });
        let expected = printed.collect::<Vec<_>>().join("\n");
        let command = format!("'{}' probe {arguments}", env!("CARGO_BIN_EXE_envoy-cors"));
        let here = ports.iter().fold(command, |text, (written, port)| text.replace(written, port));
        let output = Command::new("sh").args(["-c", &here]).output()?;
        let actual = String::from_utf8(output.stdout)?;
        let actual =
            ports.iter().fold(actual, |text, (written, port)| text.replace(port.as_str(), written));
        assert_eq!(actual.trim_end(), expected.trim_end(), "{arguments}");
        checked += 1;
    }
    assert_eq!(checked, 2);
    Ok(())
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
