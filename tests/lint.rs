//! `envoy-cors lint`, the real binary on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn rows<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let text = std::fs::read_to_string(Path::new("tests").join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Exit status and standard output of `lint` in a folder.
fn lint(arguments: &[String], folder: &Path, stdin: &str) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .arg("lint")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// What `lint --format=json` says of some files.
fn findings(files: &BTreeMap<String, String>, arguments: &[String], stdin: &str) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let names = files.keys().cloned().chain((!stdin.is_empty()).then(|| "-".to_owned()));
    let all: Vec<String> =
        names.chain(arguments.iter().cloned()).chain(["--format=json".to_owned()]).collect();
    let (status, printed) = lint(&all, folder.path(), stdin);
    (status, serde_json::from_str(&printed).unwrap())
}

fn text<'v>(finding: &'v Value, field: &str) -> &'v str {
    finding[field].as_str().unwrap()
}

/// The findings as lines, and whether they make the exit status 1.
fn lines(report: &Value, line: impl Fn(&Value) -> String) -> (Vec<String>, bool) {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().any(|finding| finding["severity"] != "note");
    (findings.iter().map(line).collect(), found)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    case: String,
    text: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    finds: Vec<String>,
    #[serde(default)]
    allowed: u64,
}

#[test]
fn everything_is_found_and_nothing_else() {
    let rows: Vec<Found> = rows("findings.yaml");
    assert!(rows.len() > 30, "only {} rows", rows.len());
    for Found { case, text: file, arguments, finds, allowed } in rows {
        let files = [("cors.yaml".to_owned(), file)].into();
        let (status, report) = findings(&files, &arguments, "");
        let line = |f: &Value| {
            let (rule, message, remedy) = (text(f, "rule"), text(f, "message"), text(f, "remedy"));
            format!("{}:{} {rule}: {message}; {remedy}", f["line"], f["column"])
        };
        let (actual, found) = lines(&report, line);
        assert_eq!(actual, finds, "{case}");
        assert_eq!(report["files"][0]["allowed"], allowed, "{case}");
        assert_eq!(status, i32::from(found), "{case}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placed {
    case: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default = "one")]
    policies: u64,
    #[serde(default)]
    places: Vec<String>,
}

fn one() -> u64 {
    1
}

#[test]
fn policies_are_found_where_they_stand() {
    let rows: Vec<Placed> = rows("documents.yaml");
    assert!(rows.len() > 25, "only {} rows", rows.len());
    for Placed { case, files, stdin, arguments, policies, places } in rows {
        let (status, report) = findings(&files, &arguments, &stdin);
        let line = |f: &Value| {
            let (file, rule) = (text(f, "file"), text(f, "rule"));
            let read = files.get(file).unwrap_or(&stdin);
            let number = |field| f[field].as_u64().unwrap() as usize;
            let (line, column) = (number("line"), number("column"));
            let shown = read.trim_start_matches('\u{feff}').lines().nth(line - 1).unwrap_or("");
            let width = number("endColumn") - column;
            let about: String = shown.chars().skip(column - 1).take(width).collect();
            format!("{file}:{line} {rule} {about}").trim_end().to_owned()
        };
        let (actual, found) = lines(&report, line);
        assert_eq!(actual, places, "{case}");
        let counts = report["files"].as_array().unwrap().iter();
        let counted: u64 = counts.map(|file| file["policies"].as_u64().unwrap()).sum();
        assert_eq!(counted, policies, "{case}");
        assert_eq!(status, i32::from(found), "{case}");
    }
}

/// Carets stand under what they mean, and what a terminal would obey is not printed.
#[test]
fn lines_are_shown_with_carets() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(5000);
    let file = format!(
        "allowOrigins: [\"https://日本.example\", \"https://a\u{202e}.example\"]\nallowHeaders: [\"é\", {long}, {long}]\n"
    );
    std::fs::write(folder.path().join("cors.yaml"), file).unwrap();
    let (status, printed) = lint(&["cors.yaml".to_owned()], folder.path(), "");
    assert_eq!(status, 1);
    let expected = [
        r#"error[unicode-host]: allowOrigins[0]: "https://日本.example": browsers send the ASCII form of a host"#,
        " --> cors.yaml:1:16",
        "  |",
        "1 | allowOrigins: [\"https://日本.example\", \"https://a\u{fffd}.example\"]",
        "  |                ^^^^^^^^^^^^^^^^^^^^^^",
        "  |",
        r#"  = help: write "https://xn--wgv71a.example""#,
        "",
        r#"error[unicode-host]: allowOrigins[1]: "https://a\u{202e}.example": browsers send the ASCII form of a host"#,
        " --> cors.yaml:1:38",
        "  |",
        "1 | allowOrigins: [\"https://日本.example\", \"https://a\u{fffd}.example\"]",
        "  |                                        ^^^^^^^^^^^^^^^^^^^^",
        "  |",
        r#"  = help: write its A-labels, as in "https://xn--bcher-kva.example""#,
        "",
        r#"error[invalid-header]: allowHeaders[0]: "é": not a header name"#,
        "--> cors.yaml:2:16",
        r#" = help: write one name an element, as in "content-type""#,
        "",
    ];
    let shown: Vec<&str> = printed.lines().take(expected.len()).collect();
    assert_eq!(shown, expected);
    let end = "checked 1 policy in 1 file: 3 errors, 1 warning";
    assert_eq!(printed.lines().last(), Some(end));
    let title = printed.lines().nth(20).unwrap();
    assert!(title.len() < 500 && title.contains("…"), "{title}");

    for (text, expected) in [
        ("é: \u{9b}31m\u{9b} [\n", ["1 | é: \u{fffd}31m\u{fffd} [", "  |    ^"]),
        (
            "allowOrigins: [\"htt\r\r\np://a\"]\n",
            ["1 | allowOrigins: [\"htt", "  |                ^^^^"],
        ),
    ] {
        std::fs::write(folder.path().join("cors.yaml"), text).unwrap();
        let (_, printed) = lint(&["cors.yaml".to_owned()], folder.path(), "");
        let shown: Vec<&str> = printed.lines().skip(3).take(2).collect();
        assert_eq!(shown, expected, "{text:?}");
    }
}

const README: &str = include_str!("../README.md");

/// The complete example, the manifests, and the README's policies and excerpts of manifests.
#[test]
fn examples_are_clean() {
    let envoy = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy");
    let (status, printed) = lint(&["envoy.yaml".to_owned()], &envoy, "");
    assert_eq!((status, printed.as_str()), (0, "checked 1 policy in 1 file: nothing found\n"));

    let blocks = README.split("```").skip(1).step_by(2);
    let files = blocks.enumerate().filter_map(|(index, block)| {
        let (language, text) = block.split_once('\n')?;
        let is_policy = matches!(language, "json" | "yaml") && text.contains("allowOrigins");
        is_policy.then(|| (format!("{index}.{language}"), text.to_owned()))
    });
    let mut files: BTreeMap<String, String> = files.collect();
    assert_eq!(files.len(), 4);
    for manifest in ["istio/gateway.yaml", "istio/sidecar.yaml", "envoy-gateway/cors.yaml"] {
        let text = std::fs::read_to_string(envoy.join(manifest)).unwrap();
        files.insert(manifest.replace('/', "-"), text);
    }
    let (status, report) = findings(&files, &[], "");
    assert_eq!((status, &report["findings"]), (0, &Value::Array(Vec::new())));
}
