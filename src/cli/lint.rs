//! `envoy-cors lint`: what the filter would say of a configuration, and what only
//! a person with time would see.

mod allow;
mod environments;
pub mod filter;
mod names;
mod origins;
pub mod rules;
mod smell;
mod surroundings;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use envoy_cors::Policies;
use envoy_cors::config::{Config, OriginsConfig};
use envoy_cors::diagnostic::{self, Diagnostics, Quoted};
use serde_json::json;

pub use allow::Allowed;
use smell::Smell;

use super::document::{Configuration, Document, Kind, VmEnvironment};
use super::report::{self, Findings, Severity, count, write_list};
use super::sarif;
use super::tree::{Content, Node, Span, SyntaxError};
use super::{input, output};

/// What to check, and how to say it.
#[derive(clap::Args)]
pub struct Arguments {
    /// Files with policies; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The environment, as CORS_ENVIRONMENT names it in the VM; it wins over what
    /// the files say
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Leave out the findings of a rule, as a comment does; can be repeated
    #[arg(long, value_name = "RULE", value_parser = rules::known)]
    allow: Vec<String>,
    /// How to print the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people: each with its line
    Text,
    /// For programs
    Json,
    /// For code hosts: SARIF 2.1.0
    Sarif,
}

/// A finding, and what else `lint` needs to know of it.
pub struct Finding {
    found: report::Finding,
    /// The filter refuses the configuration for it.
    refused: bool,
}

impl Finding {
    /// A finding about a place, and about no field.
    fn plain(span: Span, smell: &Smell) -> Self {
        Self::new(smell, String::new(), None, span, None)
    }

    fn new(
        smell: &Smell,
        at: String,
        value: Option<&str>,
        span: Span,
        string_start: Option<usize>,
    ) -> Self {
        let (clause, remedy) = smell.sentence();
        let value = value.map(|value| format!("{}: ", Quoted(value))).unwrap_or_default();
        let place = if at.is_empty() { String::new() } else { format!("{}: ", at.escape_debug()) };
        let rule = smell.rule();
        let severity = rules::rule(rule).map_or(Severity::Error, |rule| rule.severity);
        let message = format!("{place}{value}{clause}");
        let found = report::Finding { rule, severity, at, message, remedy, span, string_start };
        Self { found, refused: false }
    }
}

/// The findings about the fields of one configuration.
pub struct Smells<'c> {
    configuration: &'c Configuration<'c>,
    findings: Vec<Finding>,
}

impl Smells<'_> {
    /// Adds a finding about a field, and about its value where it has one.
    fn add(&mut self, at: &str, value: Option<&str>, smell: &Smell) {
        let span = self.configuration.span(at, false);
        let string_start = self.configuration.string_start();
        self.findings.push(Finding::new(smell, at.to_owned(), value, span, string_start));
    }
}

/// What was found in one file.
struct Checked {
    name: String,
    text: String,
    findings: Vec<report::Finding>,
    configurations: usize,
    allowed: usize,
}

/// Checks files and prints what was found.
///
/// # Errors
///
/// What the operating system says of standard output.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let (mut documents, mut unreadable) = (Vec::new(), false);
    for path in &arguments.files {
        match read(path) {
            Ok(document) => documents.push(document),
            Err(error) => {
                // Nobody is left to tell where this fails too.
                let _ = writeln!(io::stderr(), "envoy-cors: {}: {error}", input::name(path));
                unreadable = true;
            }
        }
    }
    let ordered = documents
        .iter()
        .filter_map(|document| document.as_ref().ok())
        .any(|document| document.roots.iter().any(surroundings::orders_filters));
    let checked: Vec<Checked> =
        documents.into_iter().map(|document| arguments.check(document, ordered)).collect();
    output::even_unread(arguments.print(&checked, !unreadable))?;
    let findings = || checked.iter().flat_map(|file| &file.findings);
    let found = findings().any(|finding| finding.severity < Severity::Note);
    Ok(ExitCode::from(if unreadable { 2 } else { u8::from(found) }))
}

type Parsed = Result<Document, (Document, SyntaxError)>;

fn read(path: &Path) -> io::Result<Parsed> {
    Ok(Document::parse(input::name(path), input::read(path)?))
}

impl Arguments {
    fn print(&self, checked: &[Checked], complete: bool) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        match self.format {
            Format::Text => write_text(checked, &mut stdout)?,
            Format::Json => write_json(checked, &mut stdout)?,
            Format::Sarif => {
                sarif::write(checked.iter().map(Checked::findings), complete, &mut stdout)?;
            }
        }
        stdout.flush()
    }

    fn check(&self, document: Parsed, ordered: bool) -> Checked {
        let (document, findings, configurations) = match document {
            Ok(document) => {
                let environment = self.environment.as_deref();
                let (findings, configurations) = check_document(&document, environment, ordered);
                (document, findings, configurations)
            }
            Err((document, error)) => {
                let found = syntax(&document, error);
                (document, vec![Finding { found, refused: true }], 0)
            }
        };
        let (findings, allowed) = without_allowed(&document, &self.allow, findings);
        let allowed = allowed.len();
        let Document { name, text, .. } = document;
        Checked { name, text, findings, configurations, allowed }
    }
}

/// What is found in a document by itself, in the order of its text, and what is
/// allowed in it, by its comments or by the rules in `by_arguments`.
pub fn check<'d>(
    document: &'d Document,
    environment: Option<&str>,
    by_arguments: &[String],
) -> (Vec<report::Finding>, Vec<Allowed<'d>>) {
    let ordered = document.roots.iter().any(surroundings::orders_filters);
    let (findings, _) = check_document(document, environment, ordered);
    without_allowed(document, by_arguments, findings)
}

fn without_allowed<'d>(
    document: &'d Document,
    by_arguments: &[String],
    mut findings: Vec<Finding>,
) -> (Vec<report::Finding>, Vec<Allowed<'d>>) {
    let allowed = allow::apply(document, by_arguments, &mut findings);
    let mut findings: Vec<_> = findings.into_iter().map(|finding| finding.found).collect();
    findings.sort_by_key(|finding| (finding.span.start, finding.severity));
    // An alias repeats what it stands for, and a dump its listeners.
    findings.dedup_by(|one, other| {
        (one.rule, &one.span) == (other.rule, &other.span) && one.message == other.message
    });
    (findings, allowed)
}

/// All findings, and the number of configurations.
fn check_document(
    document: &Document,
    environment: Option<&str>,
    ordered: bool,
) -> (Vec<Finding>, usize) {
    let mut findings = Vec::new();
    let configurations = document.configurations();
    for configuration in &configurations {
        findings.extend(check_fields(configuration, environment));
        let mut add = |span: &Span, smell: &Smell| {
            findings.push(Finding::plain(span.clone(), smell));
        };
        surroundings::check(configuration, &mut add);
        if configuration.kind == Kind::EnvoyExtensionPolicy && !ordered {
            add(&configuration.holder.span, &Smell::GatewayFilterOrder);
        }
    }
    let mut add = |span: &Span, smell: &Smell| {
        findings.push(Finding::plain(span.clone(), smell));
    };
    if configurations.is_empty() {
        add(&(0..0), &Smell::NoPolicy);
    } else {
        surroundings::check_all(document, &mut add);
    }
    (findings, configurations.len())
}

fn check_fields(configuration: &Configuration<'_>, environment: Option<&str>) -> Vec<Finding> {
    let mut problems = Diagnostics::default();
    let mut smells = Smells { configuration, findings: Vec::new() };
    if configuration.tree().is_some_and(is_too_large) {
        smells.add("", None, &Smell::TooLarge);
        return smells.findings;
    }
    if let Some(config) = configuration.read(&mut problems) {
        let environment =
            environment.map(str::to_owned).or_else(|| environment_of(configuration, &config));
        for policy in config.policies.iter().chain(&config.default) {
            origins::check(policy, environment.as_deref(), &mut smells);
            names::check(policy, &mut smells);
            environments::check(policy, &mut smells);
        }
        // The policies themselves are for the filter.
        let _ = Policies::compile(config, environment.as_deref(), &mut problems);
    }
    let of_filter = problems.iter().map(|problem| Finding {
        found: filter::finding(configuration, problem),
        refused: problem.severity() == diagnostic::Severity::Error,
    });
    of_filter.chain(smells.findings).collect()
}

/// The environment of the VM. Where only the host knows it, one of those that
/// the origins are listed for, so that the rest is checked.
fn environment_of(configuration: &Configuration<'_>, config: &Config<'_>) -> Option<String> {
    let vm = match &configuration.vm {
        VmEnvironment::Set(name) if !name.is_empty() => Some(name.clone()),
        VmEnvironment::FromHost if config.environment.is_none() => {
            config.policies.iter().chain(&config.default).find_map(|policy| {
                match &policy.allow_origins {
                    Some(OriginsConfig::PerEnvironment { lists, .. }) => {
                        lists.first().map(|(name, _)| name.clone())
                    }
                    _ => None,
                }
            })
        }
        _ => None,
    };
    vm.or_else(|| config.environment.as_ref().map(|environment| environment.text.clone()))
}

/// Whether it would take long to compare each value with each: more than 20,000
/// fields, names and hosts, or more than 250,000 with the origins.
fn is_too_large(tree: &Node) -> bool {
    let mut all = 0;
    tree.walk(&mut |_| all += 1);
    all > 250_000 || size(tree, false) > 20_000
}

/// How many values there are, without the origins in lists.
fn size(node: &Node, in_origins: bool) -> usize {
    match &node.content {
        Content::List(elements) if !in_origins => {
            elements.iter().map(|node| size(node, false)).sum::<usize>() + 1
        }
        Content::Map(entries) => {
            let is_origins = |key: &str| matches!(key, "allowOrigins" | "allow_origins");
            let sizes =
                entries.iter().map(|(key, node)| size(node, in_origins || is_origins(&key.text)));
            sizes.sum::<usize>() + 1
        }
        _ => 1,
    }
}

/// A text that cannot be read.
pub fn syntax(document: &Document, error: SyntaxError) -> report::Finding {
    let format = if document.name.ends_with(".json") { "JSON" } else { "YAML" };
    let templated = document.text.contains("{{");
    let span = error.span(&document.text);
    Finding::plain(span, &Smell::Syntax { format, message: error.message, templated }).found
}

impl Checked {
    fn findings(&self) -> Findings<'_> {
        Findings { name: &self.name, text: &self.text, findings: &self.findings }
    }
}

fn write_text(checked: &[Checked], to: &mut impl Write) -> io::Result<()> {
    for file in checked {
        file.findings().write_text(to)?;
    }
    if checked.is_empty() {
        return Ok(());
    }
    let policies = checked.iter().map(|file| file.configurations).sum();
    let policies = count(policies, "policy", "policies");
    let files = count(checked.len(), "file", "files");
    writeln!(to, "checked {policies} in {files}: {}", summary(checked))
}

fn write_json(checked: &[Checked], to: &mut impl Write) -> io::Result<()> {
    let files = checked.iter().map(|file| {
        json!({ "file": file.name, "policies": file.configurations, "allowed": file.allowed })
    });
    let findings = checked
        .iter()
        .flat_map(|file| file.findings().placed().map(|placed| placed.json(&file.name)));
    write!(to, "{{\"files\": ")?;
    write_list(files, to)?;
    write!(to, ",\n\"findings\": ")?;
    write_list(findings, to)?;
    writeln!(to, "}}")
}

fn summary(checked: &[Checked]) -> String {
    let found = report::tally(checked.iter().flat_map(|file| &file.findings));
    let found = found.unwrap_or_else(|| "nothing found".to_owned());
    let allowed: usize = checked.iter().map(|file| file.allowed).sum();
    if allowed == 0 { found } else { format!("{found} ({allowed} allowed)") }
}

#[cfg(test)]
mod tests {
    use super::super::hostile;
    use super::*;

    /// Whether every place that a tree tells of is one.
    fn check_spans(document: &Document) {
        let Document { text, roots, .. } = document;
        let is_place = |span: &Span| text.get(span.clone()).is_some();
        for root in roots {
            root.walk(&mut |node| {
                assert!(is_place(&node.span), "{:?}", node.span);
                assert!(node.entries().iter().all(|(key, _)| is_place(&key.span)));
            });
        }
    }

    /// Whether the filter refuses a file, in the words of `lint`; `None` if it is
    /// more than a policy, or holds what JSON may hold and YAML may not: some
    /// characters, and keys of more than 1,024.
    fn refuses(arguments: &Arguments, read: &Parsed) -> Option<bool> {
        let document = match read {
            Ok(document) => document,
            Err((document, _)) => {
                let in_json_alone =
                    ['\u{7f}'..='\u{9f}', '\u{2028}'..='\u{2029}', '\u{fffe}'..='\u{ffff}'];
                let holds = |c: char| in_json_alone.iter().any(|range| range.contains(&c));
                let in_both = document.text.len() <= 1_024 && !document.text.contains(holds);
                return in_both.then_some(true);
            }
        };
        let [configuration] = &*document.configurations() else { return None };
        let (found, _) = check_document(document, arguments.environment.as_deref(), true);
        let refused = found.iter().any(|finding| finding.refused);
        (configuration.kind == Kind::Policy).then_some(refused)
    }

    #[test]
    fn a_document_never_panics() {
        const WORDS: &[&str] = &[
            "# envoy-cors: allow max-age-capped: reason\n",
            "\n---\n",
            "&a ",
            "*a",
            "!!str ",
            "|\n  ",
            ">-\n",
            "- ",
            ": ",
            "? ",
            "<<: ",
            "allowOrigins: ",
            "allow_origins: ",
            "policies: ",
            "pluginConfig: ",
            "kind: ConfigMap",
            "kind: WasmPlugin",
            "value: '{\"allowOrigins\": [\"\\u0041\"]}'",
            "envoy_cors",
        ];
        let arguments = Arguments {
            files: Vec::new(),
            environment: None,
            allow: Vec::new(),
            format: Format::Text,
        };
        hostile::each(&hostile::documents(), WORDS, |bytes| {
            let [yaml, json] = ["cors.yaml", "cors.json"].map(|name| {
                let read = Document::parse(name.to_owned(), bytes.to_vec());
                match &read {
                    Ok(document) => check_spans(document),
                    Err((document, error)) => {
                        assert!(document.text.is_char_boundary(error.at), "{}", error.at);
                    }
                }
                let is_read = read.is_ok();
                if let ("cors.json", Some(refuses)) = (name, refuses(&arguments, &read)) {
                    assert_eq!(refuses, Policies::from_json(bytes, None).0.is_none());
                }
                let checked = arguments.check(read, true);
                let findings = checked.findings();
                for finding in findings.findings {
                    assert!(checked.text.get(finding.span.clone()).is_some(), "{:?}", finding.span);
                    assert!(!finding.message.contains(char::is_control), "{}", finding.message);
                }
                let mut text = Vec::new();
                findings.write_text(&mut text).unwrap();
                hostile::check_shown(&text);
                is_read
            });
            yaml || json
        });
    }
}
