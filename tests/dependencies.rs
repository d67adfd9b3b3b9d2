//! What is linked: the wasm holds the crates it was promised to, and every
//! dependency has a licence that lets users ship it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO")).args(arguments).arg("--locked").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_wasm_links_five_packages_and_what_they_need() {
    let tree =
        ["tree", "--edges=normal", "--target=wasm32-wasip1", "--no-dedupe", "--prefix=depth"];
    let tree = String::from_utf8(cargo(&[&tree[..], &["--format= {p}"]].concat())).unwrap();
    let names = |depths: std::ops::Range<u32>| -> BTreeSet<&str> {
        let lines = tree.lines().map(|line| line.split_once(' ').unwrap());
        lines
            .filter(|(depth, _)| depths.contains(&depth.parse().unwrap()))
            .map(|(_, package)| package.split(' ').next().unwrap())
            .collect()
    };
    let promised = ["hashbrown", "log", "proxy-wasm", "serde", "serde_json"];
    assert_eq!(names(1..2), promised.into());
    let needed =
        ["allocator-api2", "equivalent", "foldhash", "itoa", "memchr", "serde_core", "zmij"];
    assert_eq!(names(1..99), promised.into_iter().chain(needed).collect());
}

#[test]
fn every_licence_is_permissive() {
    const ACCEPTED: [&str; 8] = [
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "MIT",
        "Unicode-3.0",
        "Zlib",
    ];
    let metadata: Value =
        serde_json::from_slice(&cargo(&["metadata", "--format-version=1"])).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        // `A OR B` leaves the choice to us, `A AND B` does not.
        let licence = package["license"].as_str().unwrap_or_default().replace(['(', ')'], "");
        let accepted = licence.split(" AND ").all(|all| {
            all.split(" OR ")
                .flat_map(|one| one.split('/'))
                .any(|one| ACCEPTED.contains(&one.trim()))
        });
        assert!(accepted, "{}: {licence:?}", package["name"]);
    }
}
