//! `envoy-cors lint` on what a running Envoy says that its configuration is.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::bootstrap::manager;
use crate::gateway::in_front_of;
use crate::process::Envoy;

/// Envoy writes the policy as JSON text in a string of JSON, in the bootstrap and in the listener.
pub fn trial() -> Trial {
    Trial::test("config_dump is linted", || {
        let mut config = in_front_of(9);
        let manager = manager(&mut config["static_resources"]["listeners"][0]);
        let filters = manager["http_filters"].as_array_mut().ok_or("no filters")?;
        let policy = &mut filters[0]["typed_config"]["config"]["configuration"]["value"];
        let text = policy.as_str().ok_or("no policy")?.replace("\"PATCH\"", "\"patch\"");
        *policy = text.into();
        filters.swap(0, 1);

        let folder = tempfile::tempdir()?;
        let dump = Envoy::start(config, 1)?.config_dump()?;
        std::fs::write(folder.path().join("dump.json"), &dump)?;
        let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
            .args(["lint", "dump.json", "--format=json"])
            .current_dir(folder.path())
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let findings = report["findings"].as_array().ok_or("no findings")?;
        let found: Vec<String> = findings.iter().map(|finding| about(finding, &dump)).collect();
        let both =
            ["filter-before-cors \"envoy.filters.http.jwt_authn\"", "method-case \\\"patch\\\""];
        if found == [both, both].concat() { Ok(()) } else { Err(format!("{report:#}").into()) }
    })
}

/// The rule of a finding, and the text that it is about.
fn about(finding: &Value, dump: &str) -> String {
    let number = |field: &str| usize::try_from(finding[field].as_u64().unwrap()).unwrap();
    let line = dump.lines().nth(number("line") - 1).unwrap();
    let (start, end) = (number("column"), number("endColumn"));
    let text: String = line.chars().skip(start - 1).take(end - start).collect();
    format!("{} {text}", finding["rule"].as_str().unwrap())
}
