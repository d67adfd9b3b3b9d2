//! `envoy-cors audit`, the real binary on logs with known counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod run;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use run::run;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit")
}

/// Exit status, standard output, standard error.
fn audit(arguments: &[&str], folder: &Path, stdin: &[u8]) -> (i32, String, String) {
    run(&[&["audit"], arguments].concat(), folder, stdin)
}

/// With `BLESS` in the environment, what is printed becomes what is expected.
fn check_golden(name: &str, printed: &str) {
    let expected = folder().join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&expected, printed).unwrap();
    }
    assert_eq!(printed, std::fs::read_to_string(expected).unwrap(), "{name}");
}

#[test]
fn reports() {
    for format in ["text", "json", "html"] {
        let (status, printed, complaints) =
            audit(&["policy.yaml", "log.json", "--format", format], &folder(), b"");
        assert_eq!((status, complaints.as_str()), (0, ""));
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!printed.contains(control) && printed.is_ascii(), "{format}");
        check_golden(&format!("report.{format}"), &printed);
    }
}

#[test]
fn the_page_is_safe() {
    let page = std::fs::read_to_string(folder().join("report.html")).unwrap();
    for hostile in ["<script", "<img", "<b>", "javascript:", "http-equiv"] {
        assert!(!page.contains(hostile), "{hostile}");
    }
    // Nothing is loaded. The log has an image in a path; it is text here.
    assert!(page.contains("/accounts/&#60;img src=x onerror=alert(1)&#62;"));
    let page_alone = page.replace("&#60;img src=x", "");
    for attribute in ["src=", "href=", "url(", "@import"] {
        assert!(!page_alone.contains(attribute), "{attribute}");
    }
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let svg = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "svg")));
    assert_eq!(svg.count(), 1);
    assert!(page.contains("prefers-color-scheme: dark"));
}

const POLICY: &str = r#"{
    "allowOrigins": ["https://app.example.com", "https://unused.example.com"],
    "allowMethods": ["PUT"]
}"#;

/// A log of so many lines, and what a report says of it.
fn known(lines: usize) -> (String, Value) {
    let mut log = String::new();
    let origins = ["https://app.example.com", "https://a.example.net", "https://b.example.net"];
    let mut counts = [0_u64; 5];
    for n in 0..lines {
        let line = |origin: Option<&str>, method: &str| {
            let minute = n / 60 % 60;
            json!({
                "time": format!("2026-11-22T{:02}:{minute:02}:{:02}.000Z", n / 3_600, n % 60),
                "method": if method.is_empty() { "GET" } else { "OPTIONS" },
                "host": "api.example.com", "path": format!("/a/{}/{n}", n % 2),
                "origin": origin,
                "request_method": Some(method).filter(|method| !method.is_empty()),
                "details": "via_upstream", "denied": null,
            })
        };
        let (kind, line) = match n % 7 {
            0 | 1 => (0, line(None, "")),
            2 => (1, line(Some(origins[0]), "")),
            3 => (2, line(Some(origins[0]), "PUT")),
            4 => (3, line(Some(origins[0]), "PATCH")),
            _ => (4, line(Some(origins[1 + n % 7 % 5]), "")),
        };
        counts[kind] += 1;
        writeln!(log, "{line}").unwrap();
    }
    let outcomes = json!({
        "not_cors": counts[0], "actual_allowed": counts[1], "preflight_allowed": counts[2],
        "preflight_denied_method": counts[3], "actual_denied": counts[4],
    });
    (log, outcomes)
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn known_counts_however_the_log_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let (log, outcomes) = known(20_000);
    let cut = log.len() / 2;
    let (first, second) = log.as_bytes().split_at(cut);
    let line = first.iter().rposition(|b| *b == b'\n').unwrap() + 1;
    assert!(line < cut, "the cut is not within a line");
    let (before, after) = log.as_bytes().split_at(line);
    put("cors.json", POLICY.as_bytes());
    put("plain", log.as_bytes());
    put("log.gz", &compressed(log.as_bytes()));
    put("log.1", first);
    put("log", second);
    put("halves.gz", &[compressed(before), compressed(after)].concat());
    put("crlf", log.replace('\n', "\r\n").as_bytes());
    for (logs, stdin, requests, left_out) in [
        (&["plain"][..], &b""[..], 20_000, 0),
        (&["log.gz"], b"", 20_000, 0),
        (&["halves.gz"], b"", 20_000, 0),
        (&["crlf"], b"", 20_000, 0),
        (&["-"], log.as_bytes(), 20_000, 0),
        (&["-"], &compressed(log.as_bytes()), 20_000, 0),
        // The line that was cut is in neither.
        (&["log.1", "log"], b"", 19_999, 2),
    ] {
        let arguments = [&["cors.json"], logs, &["--format=json"]].concat();
        let (status, printed, complaints) = audit(&arguments, folder.path(), stdin);
        assert_eq!((status, complaints.as_str()), (0, ""), "{logs:?}");
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(report["lines"]["requests"], requests, "{logs:?}");
        let lines = ["other", "broken"].map(|kind| report["lines"][kind].as_u64().unwrap());
        assert_eq!(lines.iter().sum::<u64>(), left_out, "{logs:?}");
        let policy = &report["policies"][0];
        let same = requests < 20_000 || policy["outcomes"] == outcomes;
        assert!(same, "{logs:?}: {} {outcomes}", policy["outcomes"]);
        assert_eq!(policy["unused"], json!(["https://unused.example.com"]));
        let sum = |periods: &Value, kind: &str| -> u64 {
            periods.as_array().unwrap().iter().map(|period| period[kind].as_u64().unwrap()).sum()
        };
        for (kind, total) in [("allowed", &policy["allowed"]), ("blocked", &policy["blocked"])] {
            assert_eq!(json!(sum(&report["timeline"]["periods"], kind)), *total, "{logs:?}");
        }
        let against = &report["againstLog"];
        assert_eq!(against["newlyRefused"], policy["blocked"], "{logs:?}");
    }
}

#[test]
fn logs_that_cannot_be_read_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = known(20_000);
    let bytes = compressed(log.as_bytes());
    std::fs::write(folder.path().join("cors.json"), POLICY).unwrap();
    std::fs::write(folder.path().join("cut.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let arguments = ["cors.json", "cut.gz", "-", "--format=json"];
    let (status, printed, complaints) = audit(&arguments, folder.path(), known(10).0.as_bytes());
    assert_eq!(status, 2);
    let report: Value = serde_json::from_str(&printed).unwrap();
    let requests = report["lines"]["requests"].as_u64().unwrap();
    assert!((5_000..20_000).contains(&requests), "{requests}");
    let error = report["files"][0]["error"].as_str().unwrap();
    assert_eq!(complaints, format!("envoy-cors: cut.gz: {error}\n"));
    assert_eq!(report["files"][1], json!({ "name": "<stdin>", "error": null }));
}

#[test]
fn arguments_and_logs_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("cors.json", POLICY);
    put("bad.json", r#"{"allowOrigins": ["https://a/"]}"#);
    put("empty", "");
    put("text", "[2026-11-22 18:00:00.000][12][info][main] hello\n");
    put("verbs", "{\"verb\": \"GET\"}\n");
    for (arguments, complaint) in [
        (&["cors.json", "no-such-file"][..], "envoy-cors: no-such-file: No such file"),
        (&["no-such-file", "empty"], "envoy-cors: no-such-file: No such file"),
        (&["bad.json", "verbs"], "error[invalid-origin]: allowOrigins[0]: "),
        (&["cors.json", "empty"], "envoy-cors: the logs are empty\n"),
        (&["cors.json", "text"], "envoy-cors: no line is a JSON object; write access logs with"),
        (&["cors.json", "verbs"], "envoy-cors: no line has a method; name the keys of the log"),
        (
            &["cors.json", "verbs", "--field", "verb=method"],
            "envoy-cors: --field verb=method: write FIELD=KEY with a FIELD of time, method, ",
        ),
        (&["cors.json", "."], "envoy-cors: .: Is a directory"),
        (&["cors.json"], "error: the following required arguments were not provided:\n  <LOG>..."),
    ] {
        let (status, printed, complaints) = audit(arguments, folder.path(), b"");
        assert_eq!((status, printed.as_str()), (2, ""), "{arguments:?}");
        assert!(complaints.starts_with(complaint), "{complaints}");
    }
}

#[test]
fn other_keys_and_new_refusals() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cors.json"), POLICY).unwrap();
    let log = br#"{"ts": 1795372145.5, "verb": "POST", "http_origin": "https://x.example", "origin": "https://app.example.com", "denied": null}"#;
    let arguments =
        ["cors.json", "-", "--field=time=ts", "--field=method=verb", "--field=origin=http_origin"];
    let (status, printed, _) = audit(&arguments, folder.path(), log);
    let expected = "\
1 request from 2026-11-22 18:29 to 2026-11-22 18:29 UTC

policy default: 0 allowed, 1 blocked, 0 without Origin
  unused, 2 of 2 entries:
    https://app.example.com
    https://unused.example.com
  blocked origins:
          1  https://x.example
             on  (1)

against the log: 1 newly refused, 0 no longer refused, 0 otherwise different
          1  now policy.default.actual_denied; the log says not refused
             from https://x.example (1)
";
    assert_eq!((status, printed.as_str()), (0, expected));
    let deny = |arguments: &[&str]| {
        audit(&[arguments, &["--deny-new-refusals"]].concat(), folder.path(), log).0
    };
    assert_eq!(deny(&arguments), 1);
    assert_eq!(deny(&["cors.json", "-", "--field=method=verb"]), 0);
}

/// Many times what its tables hold.
#[test]
fn memory_does_not_grow_with_the_log() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cors.json"), POLICY).unwrap();
    let log: String = (0..60_000).fold(String::new(), |mut log, n| {
        let padding = "x".repeat(n % 500);
        let line = json!({
            "method": "GET", "path": format!("/{n}/{padding}"), "denied": n,
            "origin": if n % 4 == 0 { "https://often.example".into() } else { format!("https://{n}.example/{padding}") },
        });
        writeln!(log, "{line}").unwrap();
        log
    });
    std::fs::write(folder.path().join("log"), &log).unwrap();
    let run = |limit: u32| {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -v {limit}; exec \"$0\" audit cors.json log log log --top=1 --format=json")])
            .arg(env!("CARGO_BIN_EXE_envoy-cors"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout)
    };
    // A fraction of what stands in the log's keys.
    let report = run(80_000).unwrap();
    assert_eq!(report["lines"]["requests"], 180_000);
    let error = report["error"]["origins"].as_u64().unwrap();
    let policy = &report["policies"][0];
    let often = &policy["origins"][0];
    assert_eq!(often["origin"], "https://often.example");
    let count = often["count"].as_u64().unwrap();
    assert!(error > 0 && (count..=count + error).contains(&45_000), "{count} {error}");
    assert!(policy["blockedOrigins"].as_u64().unwrap() <= 8_192);
}

/// Some thousand things of one kind, beside few that are asked for.
#[test]
fn counts_however_many_paths_there_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cors.json"), POLICY).unwrap();
    let log: String = (0..40_000).fold(String::new(), |mut log, n| {
        let (origin, path) = match n % 4 {
            0 => ("https://quiet.example".to_owned(), "/x".to_owned()),
            1 => (format!("https://{}.example", n / 4 % 8_000), "/y".to_owned()),
            2 => ("https://noisy.example".to_owned(), format!("/orders/{n}/lines")),
            _ => ("https://app.example.com".to_owned(), format!("/orders/{n}")),
        };
        let preflight = n % 4 == 3;
        let line = json!({
            "method": if preflight { "OPTIONS" } else { "GET" }, "path": path, "origin": origin,
            "request_method": preflight.then_some("PATCH"), "denied": null,
        });
        writeln!(log, "{line}").unwrap();
        log
    });
    let arguments = ["cors.json", "-", "--top=2"];
    let (status, printed, _) = audit(&arguments, folder.path(), log.as_bytes());
    let expected = "\
40000 requests
40000 requests without a time that can be read

policy default: 0 allowed, 40000 blocked, 0 without Origin
  unused, 1 of 2 entries:
    https://unused.example.com
  blocked origins, 2 of 8002:
      10000  https://noisy.example
             on /orders/* (10000)
      10000  https://quiet.example
             on /x (10000)
  preflights from allowed origins that were refused for:
      10000  method PATCH
             to allow it, add \"PATCH\" to allowMethods
             on /orders/* (10000)

against the log: 40000 newly refused, 0 no longer refused, 0 otherwise different
      30000  now policy.default.actual_denied; the log says not refused
             from https://noisy.example (10000), https://quiet.example (10000)
      10000  now policy.default.preflight_denied_method; the log says not refused
             from https://app.example.com (10000)
";
    assert_eq!((status, printed.as_str()), (0, expected));
}

/// A policy, a line of the log, arguments, and how it ends.
struct Gate {
    policy: &'static str,
    line: &'static str,
    arguments: &'static [&'static str],
    status: i32,
    told: &'static str,
    complains: &'static str,
}

const OLD: &str = r#"{"allowOrigins": ["https://a.example"]}"#;
const FORWARDING: &str =
    r#"{"allowOrigins": ["https://a.example"], "unmatchedPreflights": "forward"}"#;
const SHADOW: &str = r#"{"allowOrigins": ["https://a.example"], "mode": "shadow"}"#;

const GATES: &[Gate] = &[
    Gate {
        policy: OLD,
        line: r#"{"method": "GET", "origin": "https://x.example"}"#,
        arguments: &[],
        status: 2,
        told: "the log does not say what was decided\n",
        complains: "envoy-cors: the log does not say what was decided; --deny-new-refusals compares nothing\n",
    },
    Gate {
        policy: OLD,
        line: r#"{"method": "GET", "http_origin": "https://x.example", "denied": null}"#,
        arguments: &["--field=origin=http_orign"],
        status: 2,
        told: "the log says the same of every request\n",
        complains: "envoy-cors: --field origin=http_orign: no line has this key\n",
    },
    Gate {
        policy: OLD,
        line: r#"{"method": "GET", "http_origin": "https://x.example", "denied": null}"#,
        arguments: &["--field=origin=http_origin"],
        status: 1,
        told: "against the log: 1 newly refused,",
        complains: "",
    },
    // What leaves no trace in details is unknown, and not new.
    Gate {
        policy: OLD,
        line: r#"{"method": "GET", "origin": "https://x.example", "details": "via_upstream"}
{"method": "GET", "origin": "https://a.example", "details": "via_upstream"}"#,
        arguments: &[],
        status: 0,
        told: "the log does not say what was decided on 1 request; the log says the same of the others\n",
        complains: "",
    },
    Gate {
        policy: FORWARDING,
        line: r#"{"method": "OPTIONS", "origin": "https://x.example", "request_method": "PUT", "details": "via_upstream"}
{"method": "GET", "details": "via_upstream"}"#,
        arguments: &[],
        status: 0,
        told: "the log does not say what was decided on 1 request; the log says the same of the others\n",
        complains: "",
    },
    // What leaves one is.
    Gate {
        policy: OLD,
        line: r#"{"method": "OPTIONS", "origin": "https://x.example", "request_method": "PUT", "details": "via_upstream"}"#,
        arguments: &[],
        status: 1,
        told: "against the log: 1 newly refused,",
        complains: "",
    },
    // Envoy leaves out what is empty, if it is told to.
    Gate {
        policy: OLD,
        line: r#"{"method": "GET", "origin": "https://x.example", "details": "via_upstream"}
{"method": "GET", "origin": "https://y.example", "details": "via_upstream", "denied": "policy.default.actual_denied"}"#,
        arguments: &[],
        status: 1,
        told: "against the log: 1 newly refused, 0 no longer refused, 0 otherwise different\n",
        complains: "",
    },
    Gate {
        policy: SHADOW,
        line: r#"{"method": "OPTIONS", "origin": "https://x.example", "request_method": "PUT", "details": "cors_preflight_denied_origin"}"#,
        arguments: &[],
        status: 0,
        told: "against the log: 0 newly refused, 1 no longer refused, 0 otherwise different\n",
        complains: "",
    },
    Gate {
        policy: SHADOW,
        line: r#"{"method": "GET", "origin": "https://x.example", "details": "via_upstream"}
{"method": "GET", "details": "via_upstream"}"#,
        arguments: &[],
        status: 0,
        told: "the log says the same of the others\n",
        complains: "",
    },
    Gate {
        policy: OLD,
        line: "{}",
        arguments: &["--field=origin=host"],
        status: 2,
        told: "",
        complains: "envoy-cors: --field: host and origin cannot both have the key host\n",
    },
];

#[test]
fn new_refusals() {
    let folder = tempfile::tempdir().unwrap();
    for Gate { policy, line, arguments, status, told, complains } in GATES {
        std::fs::write(folder.path().join("cors.json"), policy).unwrap();
        let arguments = [&["cors.json", "-", "--deny-new-refusals"], *arguments].concat();
        let (ended, printed, complaints) = audit(&arguments, folder.path(), line.as_bytes());
        assert_eq!((ended, complaints.as_str()), (*status, *complains), "{line}");
        assert!(printed.contains(told), "{line}: {printed}");
    }
}

/// Zeros behind the last member, as gzip(1) reads them.
#[test]
fn a_padded_log() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cors.json"), POLICY).unwrap();
    let log = [compressed(known(7).0.as_bytes()), vec![0; 512]].concat();
    let (status, _, complaints) = audit(&["cors.json", "-"], folder.path(), &log);
    assert_eq!((status, complaints.as_str()), (0, ""));
}
