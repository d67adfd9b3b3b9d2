//! `envoy-cors lint --format sarif` against the published schema.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn run(command: &str, arguments: &[&str]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(command).args(arguments).current_dir(root).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The schema of the standard, as the package serde-sarif ships it.
fn schema() -> Value {
    let metadata = run(env!("CARGO"), &["metadata", "--format-version=1", "--locked"]);
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let package = packages.find(|package| package["name"] == "serde-sarif").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let schema = std::fs::read(manifest.with_file_name("src").join("schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let title = "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema";
    assert_eq!(schema["title"], title);
    schema
}

fn lint(files: &[&str]) -> Value {
    let arguments = [&["lint", "--format=sarif"], files].concat();
    run(env!("CARGO_BIN_EXE_envoy-cors"), &arguments)
}

#[test]
fn every_finding_is_valid() {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("sarif.json", schema()).unwrap();
    let sarif = compiler.compile("sarif.json", &mut schemas).unwrap();
    let valid = |report: &Value| {
        let checked = schemas.validate(report, sarif);
        assert!(checked.is_ok(), "{:#}", checked.unwrap_err());
    };
    // The schema is one that can refuse.
    let no_tool = serde_json::json!({ "version": "2.1.0", "runs": [{}] });
    assert!(schemas.validate(&no_tool, sarif).is_err());

    let folders = std::fs::read_dir("tests/lint").unwrap();
    let files: Vec<String> =
        folders.map(|folder| format!("{}/bad.yaml", folder.unwrap().path().display())).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let report = lint(&files);
    valid(&report);
    let run = &report["runs"][0];
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), files.len());
    for result in results {
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["id"] == result["ruleId"]).unwrap();
        assert_eq!(rule["defaultConfiguration"]["level"], result["level"]);
        let rule = rule["id"].as_str().unwrap();
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], format!("tests/lint/{rule}/bad.yaml"));
    }

    valid(&lint(&["envoy/envoy.yaml"]));
    let report = lint(&["no such file.yaml"]);
    valid(&report);
    assert_eq!(report["runs"][0]["invocations"][0]["executionSuccessful"], false);
}

/// One finding, whole.
#[test]
fn a_finding_names_its_rule_place_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a b.yaml");
    std::fs::write(&file, "# é\nallowOrigins: [\"é\", \"null\"]\nallowCredentials: true").unwrap();
    let report = lint(&[file.to_str().unwrap()]);
    let uri = file.to_str().unwrap().replace(' ', "%20");
    let expected = serde_json::json!({
        "ruleId": "null-origin-with-credentials",
        "level": "error",
        "message": { "text": "allowOrigins[1]: \"null\": any page can send this origin from a sandboxed frame, and would act as the user who is logged in; list real origins, or leave allowCredentials out" },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri },
                "region": { "startLine": 2, "startColumn": 21, "endColumn": 27 },
            },
            "logicalLocations": [{ "fullyQualifiedName": "allowOrigins[1]" }],
        }],
    });
    assert_eq!(report["runs"][0]["results"][1], expected);
}
