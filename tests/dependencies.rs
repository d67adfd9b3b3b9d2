//! What is linked: the wasm holds the crates it was promised to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn the_wasm_links_five_packages_and_what_they_need() {
    let arguments =
        "tree --locked --edges=normal --target=wasm32-wasip1 --no-dedupe --prefix=depth";
    let tree = Command::new(env!("CARGO"))
        .args(arguments.split(' '))
        .arg("--format= {p}")
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
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
