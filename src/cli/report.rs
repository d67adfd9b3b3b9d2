//! What a command found, as text for people and as JSON for programs.

use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use super::tree::Span;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The filter refuses the configuration, or it lets strangers in.
    Error,
    /// It does something else than whoever wrote it seems to mean.
    Warning,
    /// Worth knowing, and often right as it is.
    Note,
}

impl Severity {
    /// Its name, in SARIF as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something to say about a place of a text.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The identifier of the rule that found it.
    pub rule: &'static str,
    pub severity: Severity,
    /// The path of the field in its configuration, if it is about one.
    pub at: String,
    /// What is wrong, and with what.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// Where it stands.
    pub span: Span,
    /// Where the string begins that holds the configuration, if one does.
    pub string_start: Option<usize>,
}

/// All findings of one file, in the order of its text.
pub struct Findings<'r> {
    /// The file's name.
    pub name: &'r str,
    /// The file's text.
    pub text: &'r str,
    /// Sorted by the start of their spans.
    pub findings: &'r [Finding],
}

/// A finding with its place as people count: from 1, in characters.
pub struct Placed<'r> {
    pub finding: &'r Finding,
    pub line: usize,
    pub column: usize,
    /// Behind the last character, on the same line.
    pub end_column: usize,
    /// The whole line.
    shown: &'r str,
    /// The bytes of it that the finding is about.
    within: Span,
}

/// How many findings of each severity there are, as in `1 error, 2 notes`; `None`
/// if there are none.
pub fn tally<'f>(findings: impl Iterator<Item = &'f Finding> + Clone) -> Option<String> {
    let named = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let number = findings.clone().filter(|finding| finding.severity == severity).count();
        (number, severity.name())
    });
    let named = named.into_iter().filter(|(number, _)| *number > 0);
    let named: Vec<_> =
        named.map(|(number, name)| count(number, name, &format!("{name}s"))).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// A number with its noun.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Writes values as a list, one a line, without holding more than one.
///
/// # Errors
///
/// What the writer says.
pub fn write_list(values: impl Iterator<Item = Value>, to: &mut impl Write) -> io::Result<()> {
    write!(to, "[")?;
    for (index, value) in values.enumerate() {
        write!(to, "{}\n{value}", if index == 0 { "" } else { "," })?;
    }
    write!(to, "]")
}

/// Longest line that is shown.
const LONGEST_SHOWN: usize = 4096;

impl<'r> Findings<'r> {
    /// The findings with their positions. Costs one walk over the text, however
    /// many there are.
    pub fn placed(&self) -> impl Iterator<Item = Placed<'r>> + use<'r> {
        let text = self.text;
        let (mut line, mut span, mut counted, mut column) = (1, line_at(text, 0), 0, 1);
        self.findings.iter().map(move |finding| {
            let start = floor(text, finding.span.start);
            while start > span.end && span.end < text.len() {
                (line, span) = (line + 1, line_at(text, span.end + 1));
                (counted, column) = (span.start, 1);
            }
            column += characters(text, &(counted..start));
            counted = start;
            // What goes on in the next line is shown as far as this one.
            let end = floor(text, finding.span.end).min(span.end).max(start);
            let end_column = column + characters(text, &(start..end));
            let within = start - span.start..end - span.start;
            let shown = text.get(span.clone()).unwrap_or_default();
            Placed { finding, line, column, end_column, shown, within }
        })
    }

    /// Writes each finding with its line and a caret.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write_text(&self, to: &mut impl Write) -> io::Result<()> {
        self.placed().try_for_each(|placed| writeln!(to, "{}\n", placed.rendered(self.name)))
    }
}

impl Placed<'_> {
    /// The finding as an object; `file` is the name of its file.
    pub fn json(&self, file: &str) -> Value {
        let finding = self.finding;
        json!({
            "rule": finding.rule,
            "severity": finding.severity.name(),
            "file": file,
            "line": self.line,
            "column": self.column,
            "endColumn": self.end_column,
            "field": finding.at,
            "message": finding.message,
            "remedy": finding.remedy,
        })
    }

    fn rendered(&self, name: &str) -> String {
        let finding = self.finding;
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let title = level.primary_title(finding.message.as_str()).id(finding.rule);
        let group = if self.shown.len() > LONGEST_SHOWN {
            title.element(Origin::path(name).line(self.line).char_column(self.column))
        } else {
            let shown = self.shown.trim_end_matches('\r');
            // The place may be in what was left out.
            let [start, end] = [self.within.start, self.within.end]
                .map(|at| without_c1(shown.get(..at).unwrap_or(shown)).len());
            let caret = AnnotationKind::Primary.span(start..end);
            let line = Snippet::source(without_c1(shown)).line_start(self.line).path(name);
            title.element(line.annotation(caret))
        };
        let remedy = Some(finding.remedy.as_str()).filter(|remedy| !remedy.is_empty());
        let group = group.elements(remedy.map(|remedy| Level::HELP.message(remedy)));
        Renderer::styled().render(&[group])
    }
}

/// A text without the control characters beyond ASCII, some of which terminals
/// obey. The renderer replaces all others.
fn without_c1(text: &str) -> String {
    text.replace(|c| ('\u{80}'..='\u{9f}').contains(&c), "\u{fffd}")
}

/// The line that begins at a byte, without its line feed.
fn line_at(text: &str, start: usize) -> Span {
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.find('\n').unwrap_or(rest.len())
}

fn characters(text: &str, span: &Span) -> usize {
    text.get(span.clone()).map_or(0, |part| part.chars().count())
}

/// The nearest boundary of a character at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}
