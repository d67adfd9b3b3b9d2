//! What the README says about deploying: the supported versions, and the Kubernetes manifests with the policies in them.
//! `tests/node` holds the manifests against the types of their resources.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;

use envoy_cors::Policies;
use serde_json::Value;

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

/// The resources of a manifest.
fn resources(manifest: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("envoy/{manifest}")).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn variable(env: &Value) -> Option<&str> {
    env.as_array()?.iter().find(|it| it["name"] == "CORS_ENVIRONMENT")?["value"].as_str()
}

#[test]
fn the_policies_in_manifests_load() {
    let gateway = resources("istio/gateway.yaml");
    let sidecar = resources("istio/sidecar.yaml");
    let envoy_gateway = resources("envoy-gateway/cors.yaml");
    let wasm = &envoy_gateway[0]["spec"]["wasm"][0];
    assert_eq!(wasm["env"]["hostKeys"], serde_json::json!(["CORS_ENVIRONMENT"]));
    let container =
        &envoy_gateway[1]["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"];

    for (name, policy, env) in [
        ("gateway", &gateway[0]["spec"]["pluginConfig"], &gateway[0]["spec"]["vmConfig"]["env"]),
        ("sidecar", &sidecar[0]["spec"]["pluginConfig"], &sidecar[0]["spec"]["vmConfig"]["env"]),
        ("Envoy Gateway", &wasm["config"], &container["env"]),
    ] {
        assert_eq!(variable(env), Some("production"), "{name}");
        let (policies, problems) =
            Policies::from_json(policy.to_string().as_bytes(), variable(env));
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, [""; 0], "{name}");
        assert_eq!(policies.unwrap().environment(), Some("production"), "{name}");
    }
}

#[test]
fn the_readmes_manifests_are_the_files() {
    let shown = README.split("```").filter_map(|block| block.strip_prefix("yaml\napiVersion: "));
    let files = ["istio/gateway.yaml", "envoy-gateway/cors.yaml"];
    for (manifest, file) in shown.clone().zip(files) {
        let text = fs::read_to_string(format!("envoy/{file}")).unwrap();
        assert!(text.contains(&format!("\napiVersion: {manifest}")), "{file}");
        assert!(README.contains(&format!("(envoy/{file})")), "{file}");
    }
    assert_eq!(shown.count(), files.len());
}

#[test]
fn the_image_has_the_version_of_the_crate() {
    let files =
        ["istio/gateway.yaml", "istio/sidecar.yaml", "envoy-gateway/cors.yaml", "Dockerfile"];
    let texts = files.map(|file| fs::read_to_string(format!("envoy/{file}")).unwrap());
    for text in texts.iter().map(String::as_str).chain([README]) {
        let tags: Vec<&str> = text.split("registry.example.com/envoy-cors:").skip(1).collect();
        assert!(!tags.is_empty());
        assert!(tags.iter().all(|tag| tag.starts_with(env!("CARGO_PKG_VERSION"))), "{text}");
    }
}
