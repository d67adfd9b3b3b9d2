//! How fast `envoy-cors audit` reads a log: megabytes per second of its own CPU time.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

const LINES: usize = 1_000_000;

const ONE: &str = r#"{
    "allowOrigins": ["https://app.example.com", "https://*.preview.example.com", "http://localhost:*"],
    "allowMethods": ["PUT"], "allowHeaders": ["authorization", "content-type"], "allowCredentials": true
}"#;

/// By host and path, so that these are looked at, too.
const MANY: &str = r#"{
    "policies": [
        { "name": "public", "match": { "hosts": ["api.example.com"], "pathPrefixes": ["/public"] }, "allowOrigins": ["*"] },
        { "name": "orders", "match": { "hosts": ["*.example.com"], "pathPrefixes": ["/v1/orders"] },
          "allowOrigins": ["https://app.example.com", "https://*.preview.example.com"] }
    ],
    "allowOrigins": ["https://app.example.com"]
}"#;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let usual = folder.path().join("usual");
    fs::write(&usual, log(|n| n % 50)).unwrap();
    let hostile = folder.path().join("hostile");
    // Every origin that is refused is another one.
    fs::write(&hostile, log(|n| n)).unwrap();
    let gz = folder.path().join("usual.gz");
    let packed = Command::new("gzip").arg("-c").arg(&usual).output().unwrap();
    fs::write(&gz, packed.stdout).unwrap();
    for (name, policy, path) in [
        ("one policy", ONE, &usual),
        ("three policies", MANY, &usual),
        ("one policy, as many blocked origins as requests from them", ONE, &hostile),
        ("one policy, gzip", ONE, &gz),
    ] {
        let size = fs::metadata(if path == &gz { &usual } else { path }).unwrap().len();
        let file = folder.path().join("cors.json");
        fs::write(&file, policy).unwrap();
        let times = (0..3).map(|_| {
            let before = children();
            let status = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
                .arg("audit")
                .args([&file, path])
                .stdout(Stdio::null())
                .status()
                .unwrap();
            assert!(status.success());
            children() - before
        });
        let fastest = times.min().unwrap();
        println!("{name}: {} MB/s of {} MB", size / 10_000 / fastest, size / 1_000_000);
    }
}

/// CPU time of the children that have ended, in hundredths of a second.
fn children() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // cutime and cstime, the 16th and 17th of all.
    fields.iter().skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Lines as Envoy writes them, a third of them without Origin; `stranger` names
/// the blocked origin of a line.
fn log(stranger: impl Fn(usize) -> usize) -> String {
    let mut log = String::new();
    for n in 0..LINES {
        let origin = match n % 12 {
            0..4 => None,
            4..7 => Some("https://app.example.com".to_owned()),
            7 => Some(format!("https://pr-{}.preview.example.com", n % 50)),
            8 => Some("http://localhost:3000".to_owned()),
            _ => Some(format!("https://stranger-{}.example.net", stranger(n))),
        };
        let path = match n % 5 {
            0 => format!("/v1/orders/{n}"),
            1 => format!("/v1/users/{n}/profile"),
            2 => format!("/v2/search?q={n}&page=2"),
            3 => format!("/assets/app.{n}.js"),
            _ => "/public/status".to_owned(),
        };
        let preflight = origin.is_some() && n % 7 == 0;
        let seconds = n / 200;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let line = json!({
            "time": format!("2026-11-22T{hour:02}:{minute:02}:{second:02}.{:03}Z", n % 1_000),
            "method": if preflight { "OPTIONS" } else { "GET" },
            "host": "api.example.com",
            "path": path,
            "origin": origin,
            "request_method": preflight.then_some("PUT"),
            "request_headers": preflight.then_some("authorization,content-type"),
            "status": 200,
            "details": "via_upstream",
            "denied": null,
        });
        writeln!(log, "{line}").unwrap();
    }
    log
}
