//! The rules of `envoy-cors lint`: each has a page, a file in which it is found and the same file
//! put right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder(rule: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint").join(rule)
}

/// The exit status, and what was printed.
fn run(arguments: &[&str], folder: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn rules() -> Vec<Value> {
    let (status, printed) = run(&["explain", "--rules", "--format=json"], &folder(""));
    assert_eq!(status, 0);
    serde_json::from_str(&printed).unwrap()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

/// With `BLESS` in the environment, what is printed becomes what is expected.
#[test]
fn each_is_found_in_its_bad_file_and_not_in_its_good_one() {
    for rule in rules() {
        let id = text(&rule, "id");
        let folder = folder(id);
        let (status, printed) = run(&["lint", "bad.yaml"], &folder);
        assert_eq!(status, i32::from(text(&rule, "severity") != "note"), "{id}");
        let expected = folder.join("expected.txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &printed).unwrap();
        }
        assert_eq!(printed, std::fs::read_to_string(expected).unwrap(), "{id}");

        let (_, json) = run(&["lint", "bad.yaml", "--format=json"], &folder);
        let json: Value = serde_json::from_str(&json).unwrap();
        let findings = json["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{id}");
        for field in ["rule", "severity"] {
            assert_eq!(findings[0][field], rule[field.replace("rule", "id")], "{id}");
        }

        let (status, printed) = run(&["lint", "good.yaml"], &folder);
        let (_, found) = printed.split_once(": ").unwrap();
        assert!(found.starts_with("nothing found") && status == 0, "{id}: {printed}");
    }
}

#[test]
fn there_are_files_for_these_rules_only() {
    let files = std::fs::read_dir(folder("")).unwrap();
    let files: BTreeSet<String> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let rules: BTreeSet<String> = rules().iter().map(|rule| text(rule, "id").to_owned()).collect();
    assert!(rules.len() > 40, "only {} rules", rules.len());
    assert_eq!(files, rules);
}

#[test]
fn each_has_a_page() {
    for rule in rules() {
        let (id, title) = (text(&rule, "id"), text(&rule, "title"));
        let (status, page) = run(&["explain", "--rule", id], &folder(""));
        assert_eq!(status, 0);
        let head = format!("{id} ({})\n{title}\n\n", text(&rule, "severity"));
        assert!(page.starts_with(&head), "{page}");
        assert!(!title.is_empty() && !title.ends_with('.'), "{title}");
        assert!(text(&rule, "page").lines().all(|line| line.len() <= 88), "{id}");
        assert!(text(&rule, "page").len() > 100, "{id}");
        for file in ["bad", "good"] {
            let written = std::fs::read_to_string(folder(id).join(format!("{file}.yaml"))).unwrap();
            assert_eq!(text(&rule, file), written, "{id}");
            assert!(page.contains(written.lines().next().unwrap()), "{id}");
        }
    }
}
