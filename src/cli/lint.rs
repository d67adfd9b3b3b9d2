//! `envoy-cors lint`: the filter's own errors and warnings, with their lines.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use envoy_cors::Policies;
use envoy_cors::diagnostic::{Diagnostics, Severity};

use super::document::{self, Places};

/// Prints one line for each problem of a file, and a last one that counts them.
pub fn run(file: &Path, environment: Option<&str>) -> ExitCode {
    let name = file.display().to_string();
    let printed = fs::read(file).and_then(|text| {
        let report = lint(&name, &text, environment);
        io::Write::write_all(&mut io::stdout(), report.text.as_bytes())?;
        Ok(report.refused)
    });
    match printed {
        Ok(refused) => ExitCode::from(u8::from(refused)),
        Err(error) => {
            eprintln!("envoy-cors: {name}: {error}");
            ExitCode::from(2)
        }
    }
}

struct Report {
    text: String,
    refused: bool,
}

fn lint(name: &str, text: &[u8], environment: Option<&str>) -> Report {
    let mut problems = Diagnostics::default();
    let (config, places) = if name.ends_with(".json") {
        document::read_json(text, &mut problems)
    } else {
        match document::read_yaml(text, &mut problems) {
            Ok(read) => read,
            Err(message) => {
                let text = format!("{name}: error: not valid YAML ({message})\n");
                return Report { text, refused: true };
            }
        }
    };
    if let Some(config) = config {
        // The policies themselves are for the filter.
        let _ = Policies::compile(config, environment, &mut problems);
    }
    Report { text: print(name, &problems, &places), refused: problems.has_errors() }
}

fn print(name: &str, problems: &Diagnostics, places: &Places) -> String {
    let mut placed: Vec<_> = problems.iter().map(|p| (places.of(&p.at), p)).collect();
    placed.sort_by_key(|(place, _)| *place);
    let mut text = String::new();
    for (place, problem) in placed {
        let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}{place}: {}: {problem}", problem.severity());
    }
    let count = |severity, noun| {
        let n = problems.iter().filter(|problem| problem.severity() == severity).count();
        format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
    };
    let (errors, warnings) = (count(Severity::Error, "error"), count(Severity::Warning, "warning"));
    let _ = writeln!(text, "{name}: {errors}, {warnings}");
    text
}
