//! What the README says about deploying: the supported versions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;

const README: &str = include_str!("../README.md");
const MAKEFILE: &str = include_str!("../Makefile");

/// The Makefile's variables, those that they name put in.
fn variables() -> BTreeMap<&'static str, String> {
    let mut known = BTreeMap::<&str, String>::new();
    for (name, value) in MAKEFILE.lines().filter_map(|line| line.split_once(" := ")) {
        let value = known.iter().fold(value.to_owned(), |value, (name, known)| {
            value.replace(&format!("$({name})"), known)
        });
        known.insert(name, value);
    }
    known
}

#[test]
fn the_readmes_versions_are_the_tested_ones() {
    let variables = variables();
    let versions: Vec<&str> = variables["SUPPORTED"].split(' ').collect();
    let row = |version: &&str| {
        let whole = [&variables["NEWEST"], &variables["OLDEST"]].iter().any(|it| it == version);
        let cases = if whole { "all cases, and " } else { "" };
        format!("| {version} | {cases}the requests of `make run` |\n")
    };
    let table: String = versions.iter().map(row).collect();
    assert!(README.contains(&format!("|---|---|\n{table}\n")), "{table}");

    let mut pinned: Vec<String> = fs::read_dir("tests/requirements")
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_prefix("envoy-")?.strip_suffix(".txt")?.to_owned())
        })
        .collect();
    pinned.sort_by(|one, other| other.cmp(one));
    assert_eq!(versions, pinned);
}
