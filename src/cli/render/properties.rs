//! What holds for every policy and target.

use std::collections::BTreeSet;

use clap::Parser;
use proptest::prelude::*;
use serde_json::Value;

use super::manifest::Manifest;
use super::{Arguments, Target, module, read};
use crate::cli::document::Document;
use crate::cli::hostile;
use crate::cli::lint;
use crate::cli::tree::{Content, Node};
use strategies::configuration;

#[path = "../../../tests/strategies/mod.rs"]
#[allow(dead_code, missing_docs)]
mod strategies;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

/// Arguments for each target.
fn targets() -> [Arguments; 4] {
    let arguments = |to: &str, more: &[&str]| {
        let sha256 = format!("--sha256={}", "0".repeat(64));
        let fixed = ["render", "cors.yaml", to, "--environment=staging"];
        let all = fixed.iter().chain(more).copied().chain([sha256.as_str()]);
        let arguments = Command::parse_from(all).arguments;
        assert_eq!(arguments.unfit(), [""; 0]);
        arguments
    };
    let image = "--url=oci://registry.example.com/envoy-cors:0.1.0";
    let file = "--url=https://files.example.com/envoy_cors.wasm";
    [
        arguments("--to=istio-gateway", &["--gateway=public", image]),
        arguments("--to=istio-workload", &["--selector=app=checkout", file]),
        arguments("--to=envoy-gateway", &["--gateway=eg", image]),
        arguments("--to=envoy", &["--url=envoy_cors.wasm"]),
    ]
}

/// The manifest for a text that holds one configuration, if one can hold it.
fn rendered(arguments: &Arguments, document: &Document) -> Option<String> {
    let configurations = document.configurations();
    let [configuration] = configurations.as_slice() else { panic!("{}", document.text) };
    let module = module::of(arguments).ok()?;
    let manifest = Manifest { arguments, module: &module, environment: Some("staging") };
    let (_, allowed) = lint::check(document, Some("staging"), &[]);
    manifest.render(document, configuration, &allowed)
}

fn parsed(text: &str) -> Document {
    let document = Document::parse("cors.yaml".to_owned(), text.to_owned().into_bytes());
    document.unwrap_or_else(|(_, error)| panic!("{}: {text}", error.message))
}

/// What lint finds in it.
fn rules(document: &Document) -> BTreeSet<&'static str> {
    let (findings, _) = lint::check(document, Some("staging"), &[]);
    findings.iter().map(|finding| finding.rule).collect()
}

const COMMENT: &str = "# of the shop";

/// As people write it: in one line, in several, as YAML, in manifests.
fn writings(policy: &Value) -> Vec<String> {
    let pretty = serde_json::to_string_pretty(policy).unwrap();
    let yaml = serde_saphyr::to_string(policy).unwrap();
    let indented = yaml.replace('\n', "\n    ");
    let string = Value::from(policy.to_string());
    let any = "type.googleapis.com/google.protobuf.StringValue";
    let filter = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    vec![
        policy.to_string(),
        pretty.replace("  ", "\t"),
        yaml.replace('\n', "\r\n"),
        format!("\u{feff}{COMMENT}\n---\n{yaml}---\n"),
        format!(
            "kind: WasmPlugin\nspec:\n  pluginConfig:\n    {COMMENT}\n    {indented}\n  phase: AUTHN\n"
        ),
        format!(
            "kind: EnvoyExtensionPolicy\nspec: {{ wasm: [{{ config: {{ {COMMENT}\n{} }}] }}\n",
            pretty.trim_start_matches('{')
        ),
        format!(
            "typed_config: {{ '@type': {filter}, config: {{ configuration: {{ '@type': {any}, value: {string} }} }} }}"
        ),
    ]
}

/// The policy in a manifest, by another reader than ours.
fn policy_in(manifest: &str) -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    let places = ["/spec/pluginConfig", "/spec/wasm/0/config"];
    let in_resource = places.iter().find_map(|place| documents[0].pointer(place));
    in_resource.cloned().unwrap_or_else(|| {
        let text = &documents[0][0]["typed_config"]["config"]["configuration"]["value"];
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_manifest_holds_the_policy(policy in configuration()) {
        for text in writings(&policy) {
            let document = parsed(&text);
            let known = rules(&document);
            for arguments in targets() {
                let manifest = rendered(&arguments, &document).unwrap();
                prop_assert_eq!(&policy_in(&manifest), &policy, "{}\n{}", text, manifest);
                let found = rules(&parsed(&manifest));
                prop_assert!(found.is_subset(&known), "{}\n{}", text, manifest);
                // JSON has no comments.
                let kept = manifest.contains(COMMENT) || arguments.to == Target::Envoy;
                prop_assert!(kept || !text.contains(COMMENT), "{}\n{}", text, manifest);
            }
        }
    }
}

/// Texts that hold a policy, with all that YAML has.
const TEXTS: &[&str] = &[
    "# the shop\nallowOrigins: [https://a.example, 'https://b.example'] # all\nmaxAge: 2h\n",
    "{\n\t\"allowOrigins\": [\"https://a.example\", {\"a\": null}],\n\t\"maxAge\": 1e3\n}\n",
    "--- # shop\nallow_origins:\n  staging:\n  - https://a.example\n  no: &none []\n  \"on\": *none\n...\n",
    "%YAML 1.2\n---\nallowOrigins:\n- >-\n  https://a.example\n\n- |2\n    https\n- ? a\n  : b\n",
    "a: &a {maxAge: 010}\npolicies: [{<<: *a, name: 1_0}, \"x\n  y\", 'it''s', ~, !!str 5, .5]\nallow: yes\n",
    "kind: WasmPlugin\nspec:\n  # why\n  pluginConfig:\n      # envoy-cors: allow null-origin: meant\n      allowOrigins: ['null']\n\n      # end\n    # out\n  phase: AUTHN\n",
    "kind: List\nitems:\n- {kind: EnvoyExtensionPolicy, spec: {wasm: [{config: { # }\n allowOrigins: [], maxAge: 0x10}, name: a}]}}\n",
    "x:\n- '@type': envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    configuration:\n      '@type': google.protobuf.StringValue\n      value: | # envoy-cors: allow max-age-capped: meant\n        {\"allowOrigins\": [],\n         \"maxAge\": \"24h\"}\n",
];

/// What is put into a text: all that means something to YAML, and some that does not.
const PIECES: &[&str] = &[
    "\n",
    " ",
    "  ",
    "\t",
    "\r\n",
    "\r",
    "#",
    " # x",
    ":",
    ": ",
    "- ",
    "---\n",
    "...\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    "\"",
    "|",
    ">",
    "&a ",
    "*a",
    "!",
    "%",
    "@",
    "`",
    "?",
    "~",
    "<<: *a",
    "no",
    "010",
    "1_0",
    "0x1f",
    "é",
    "\u{2028}",
    "\u{85}",
    "\u{feff}",
    "\\",
    "\\u00e9",
    "a: b\n",
    "# envoy-cors: allow null-origin: x\n",
    "allowOrigins: []\n",
    "null",
    ".nan",
    "\u{1f600}",
];

/// Whether the filter may take it: without `allowOrigins` it does not, nor with a
/// key so long that YAML cannot hold it, written with escapes; and a number that is
/// none is not even itself.
fn is_sensible(tree: &Node) -> bool {
    let (mut has_origins, mut has_nan, mut has_long_key) = (false, false, false);
    tree.walk(&mut |node| {
        has_origins |= node.get("allowOrigins").is_some();
        has_nan |= matches!(node.content, Content::Number(n) if !n.is_finite());
        has_long_key |= node.entries().iter().any(|(key, _)| key.text.len() > 1_000 / 6);
    });
    has_origins && !has_nan && !has_long_key
}

/// What is rendered is read again as the same.
#[test]
fn a_policys_text_never_panics() {
    let targets = targets();
    let mut turns = targets.iter().cycle();
    let samples = hostile::samples(TEXTS.iter().copied());
    hostile::each(&samples, PIECES, |text| {
        let Ok(document) = Document::parse("cors.yaml".to_owned(), text.to_vec()) else {
            return false;
        };
        let configurations = document.configurations();
        let [configuration] = configurations.as_slice() else { return false };
        let Some(tree) = configuration.tree() else { return false };
        let arguments = turns.next().unwrap();
        let manifest = rendered(arguments, &document);
        match &manifest {
            Some(manifest) => {
                assert!(read(manifest.clone(), &tree.value()).is_some(), "{manifest}");
            }
            None => assert!(!is_sensible(tree), "{:?}", arguments.to),
        }
        manifest.is_some()
    });
}
