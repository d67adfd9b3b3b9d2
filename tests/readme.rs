//! The README's transcripts, run: what it shows of a file is written, what it shows of a command is what that prints.
//! Those of `probe` are held by `tests/envoy`, which has a gateway for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

/// The commands of the indented blocks, with the lines behind each.
fn transcripts() -> Vec<(String, Vec<&'static str>)> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    let mut is_open = false;
    for line in include_str!("../README.md").lines() {
        match line.strip_prefix("    ") {
            Some(shown) if shown.starts_with("$ ") => {
                found.push((shown.replacen("$ ", "", 1), Vec::new()));
                is_open = true;
            }
            Some(rest) if found.last().is_some_and(|(command, _)| command.ends_with('\\')) => {
                let (command, _) = found.last_mut().unwrap();
                *command = command.trim_end_matches('\\').to_owned() + rest.trim_start();
            }
            None if !line.is_empty() => is_open = false,
            shown if is_open => found.last_mut().unwrap().1.push(shown.unwrap_or_default()),
            _ => {}
        }
    }
    for (_, lines) in &mut found {
        let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        lines.truncate(end);
    }
    found
}

/// Whether these lines are what is printed. An ellipsis stands for any.
fn compare(command: &str, shown: &[&str], printed: &str) {
    let mut lines = printed.trim_end().lines();
    let mut skips = false;
    for line in shown {
        if line.trim() == "…" {
            skips = true;
        } else if std::mem::take(&mut skips) {
            assert!(lines.any(|other| other == *line), "{command}: {line:?} is not in\n{printed}");
        } else {
            assert_eq!(lines.next(), Some(*line), "{command}");
        }
    }
    assert!(skips || lines.next().is_none(), "{command} prints more:\n{printed}");
}

#[test]
fn transcripts_are_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    write_log(&folder.path().join("access.log.gz"));
    let mut run = BTreeSet::new();
    for (command, shown) in transcripts() {
        let words = shlex::split(&command).unwrap();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["cat", file] => fs::write(folder.path().join(file), shown.join("\n")).unwrap(),
            ["dist/envoy-cors", name, ..] if name != "probe" => {
                let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
                    .args(&words[1..])
                    .current_dir(folder.path())
                    .output()
                    .unwrap();
                let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                compare(&command, &shown, &printed);
                run.insert(name.to_owned());
            }
            _ => {}
        }
    }
    let all = ["audit", "diff", "explain", "import", "lint", "render"];
    assert!(all.into_iter().all(|name| run.contains(name)), "{run:?}");
}

/// The access log of a gateway with `shop.yaml`: a request every two minutes.
fn write_log(path: &Path) {
    const APP: &str = "https://app.example.com";
    let kinds = [
        (2400, None, "GET", "", "via_upstream"),
        (1280, Some(APP), "GET", "", "via_upstream"),
        (80, Some(APP), "OPTIONS", "PUT", "cors_preflight"),
        (120, Some(APP), "OPTIONS", "PATCH", "cors_preflight_denied_method"),
        (60, Some("https://www.app.example.com"), "POST", "", "via_upstream"),
        (32, Some("http://app.example.com"), "GET", "", "via_upstream"),
        (5, Some("https://stranger.example.net"), "GET", "", "via_upstream"),
    ];
    let mut log = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    let mut minutes = 0;
    for (number, origin, method, requested, details) in kinds {
        for n in 0..number {
            let denied = match origin {
                None => None,
                Some(APP) if requested != "PATCH" => None,
                Some(APP) => Some("policy.default.preflight_denied_method"),
                Some(_) => Some("policy.default.actual_denied"),
            };
            let path = match (origin, method) {
                (Some(APP), _) => format!("/orders/{}", n % 40),
                (_, "POST") => "/login".to_owned(),
                (Some("http://app.example.com"), _) => "/orders".to_owned(),
                _ => "/".to_owned(),
            };
            let (day, hour) = (16 + minutes / 1440, minutes / 60 % 24);
            let line = json!({
                "time": format!("2026-11-{day}T{hour:02}:{:02}:00.000Z", minutes % 60),
                "method": method,
                "host": "api.example.com",
                "path": path,
                "origin": origin,
                "request_method": Some(requested).filter(|method| !method.is_empty()),
                "details": details,
                "denied": denied,
            });
            if minutes % 2000 == 0 {
                writeln!(
                    log,
                    "[2026-11-{day} {hour:02}:00:00.000][1][info][main] a line of Envoy's own"
                )
                .unwrap();
            }
            writeln!(log, "{line}").unwrap();
            minutes += 2;
        }
    }
    log.finish().unwrap();
}
