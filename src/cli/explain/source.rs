//! The policy to explain, and where it stands.

use std::io;

use crate::cli::document::{Configuration, Document};
use crate::cli::output;
use crate::cli::report::{Finding, Findings};

/// A policy in its file.
pub struct Source<'d> {
    pub document: &'d Document,
    pub configuration: &'d Configuration<'d>,
}

/// The one policy of a file, or the one that stands at a line.
///
/// # Errors
///
/// If there is none, or if there are several that differ.
pub fn choose<'d>(
    document: &Document,
    configurations: &'d [Configuration<'d>],
    line: Option<usize>,
) -> Result<&'d Configuration<'d>, String> {
    let values = || configurations.iter().map(|one| one.tree().map(|tree| tree.value()));
    let lines = || configurations.iter().map(|one| line_of(document, one.span("", false).start));
    let listed = || lines().map(|line| line.to_string()).collect::<Vec<_>>().join(", ");
    match (configurations, line) {
        ([], _) => Err("holds no policy for this filter".to_owned()),
        (all, Some(line)) => {
            let after = lines().position(|start| start > line).unwrap_or(all.len());
            let found = after.checked_sub(1).and_then(|index| all.get(index));
            found.ok_or_else(|| {
                format!("no policy stands at line {line}; they begin at {}", listed())
            })
        }
        // A dump repeats them for each listener.
        ([first, ..], None) if values().all(|value| Some(value) == values().next()) => Ok(first),
        (all, None) => Err(format!(
            "holds {} policies, which begin at lines {}; choose one with --line",
            all.len(),
            listed()
        )),
    }
}

impl Source<'_> {
    /// File and line of a field, or of the nearest one that it stands in.
    pub fn place(&self, field: &str) -> String {
        let line = line_of(self.document, self.configuration.span(field, false).start);
        format!("{}:{line}", self.document.name)
    }

    /// Whether it is written in JSON, which is YAML as well, but not the other
    /// way round.
    pub fn is_json(&self) -> bool {
        self.configuration.string_start().is_some() || self.document.name.ends_with(".json")
    }
}

fn line_of(document: &Document, at: usize) -> usize {
    document.text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// Writes complaints to standard error.
///
/// # Errors
///
/// What the operating system says of it.
pub fn report(document: &Document, findings: &[Finding]) -> io::Result<()> {
    let Document { name, text, .. } = document;
    let findings = Findings { name, text, findings };
    output::even_unread(findings.write_text(&mut anstream::stderr().lock()))
}
