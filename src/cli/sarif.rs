//! Findings in [SARIF 2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/), as code hosts take
//! them.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::lint::rules::{RULES, Rule};
use super::report::{Findings, Placed, write_list};

/// Writes the findings of some files as one run of the tool.
///
/// # Errors
///
/// What the writer says.
pub fn write<'f>(
    files: impl Iterator<Item = Findings<'f>>,
    complete: bool,
    to: &mut impl Write,
) -> io::Result<()> {
    let tool = json!({ "driver": {
        "name": "envoy-cors",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": RULES.iter().map(rule).collect::<Value>(),
    }});
    let invocation = json!({ "executionSuccessful": complete });
    let schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
    write!(to, "{{\"$schema\": \"{schema}\", \"version\": \"2.1.0\", \"runs\": [{{")?;
    write!(to, "\"tool\": {tool}, \"invocations\": [{invocation}], ")?;
    write!(to, "\"columnKind\": \"unicodeCodePoints\", \"results\": ")?;
    let results = files.flat_map(|file| {
        let uri = uri(file.name);
        file.placed().map(move |placed| result(&placed, &uri))
    });
    write_list(results, to)?;
    writeln!(to, "}}]}}")
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title() },
        "help": { "text": rule.page() },
        "defaultConfiguration": { "level": rule.severity.name() },
    })
}

fn result(placed: &Placed<'_>, uri: &str) -> Value {
    let finding = placed.finding;
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri },
        "region": {
            "startLine": placed.line,
            "startColumn": placed.column,
            "endColumn": placed.end_column,
        },
    }});
    if let (Some(location), false) = (location.as_object_mut(), finding.at.is_empty()) {
        let field = json!([{ "fullyQualifiedName": finding.at }]);
        location.insert("logicalLocations".to_owned(), field);
    }
    let separator = if finding.remedy.is_empty() { "" } else { "; " };
    let text = [finding.message.as_str(), separator, finding.remedy.as_str()].concat();
    json!({
        "ruleId": finding.rule,
        "level": finding.severity.name(),
        "message": { "text": text },
        "locations": [location],
    })
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
