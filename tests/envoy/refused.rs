//! Envoy does not start with a configuration that the filter refuses, and its log says why.

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, of_listeners, string_value};
use crate::process::Process;
use crate::table::{self, Diagnosed};

pub fn trials() -> Vec<Trial> {
    let rows: Vec<Diagnosed> = table::read(&table::tests().join("diagnostics.yaml"));
    let mut trials: Vec<_> = rows
        .into_iter()
        .filter(|row| row.envoy)
        .map(|row| trial(&row.case, string_value(&row.config), row.says))
        .collect();
    assert!(!trials.is_empty(), "no row of diagnostics.yaml is meant for Envoy");
    let value = json!({ "allowOrigins": ["https://app.example.com"] });
    let as_struct =
        json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": value });
    trials.push(trial("a Struct", as_struct, vec!["google.protobuf.StringValue".into()]));
    trials.push(trial("no configuration", Value::Null, vec!["write a policy as JSON text".into()]));
    trials
}

fn trial(case: &str, configuration: Value, says: Vec<String>) -> Trial {
    Trial::test(format!("refused: {case}"), move || {
        let nobody = 1;
        let listeners = [listener("refused", Some(&filter(&configuration, None)))];
        let mut envoy = Process::spawn(of_listeners(&listeners, nobody), 1)?;
        let ended = envoy.exit()?;
        let log = envoy.log();
        match ended {
            None => Err(Failed::from("Envoy runs with it")),
            Some(status) if status.success() => Err("Envoy ended as if all were well".into()),
            Some(_) => told(&log, &says),
        }
    })
}

fn told(log: &str, says: &[String]) -> Result<(), Failed> {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("[info]")).collect();
    let is_error = |line: &&&str| line.contains("[error]") && line.contains("wasm log");
    let errors: Vec<_> = lines.iter().filter(is_error).collect();
    let is_said = |text: &String| errors.iter().any(|line| line.contains(text));
    if errors.len() == says.len() && says.iter().all(is_said) {
        return Ok(());
    }
    Err(format!("the log should say {says:#?}, and says\n{}", lines.join("\n")).into())
}
