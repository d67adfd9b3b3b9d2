//! `envoy-cors probe`, the real binary against live servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod failures;
mod look_alikes;
mod mistakes;
mod reports;
mod requests;
mod row;
mod server;
mod suites;

use std::process::Command;

/// Exit status, standard output and standard error of `probe`.
fn probe(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .arg("probe")
        .args(arguments)
        .env("http_proxy", "http://127.0.0.1:9") // and yet nobody is asked there
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A host that nobody has: no name server is even asked, because its label is too long.
const UNKNOWN: &str =
    "http://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid";
