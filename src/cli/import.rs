//! `envoy-cors import`: the CORS policies of other systems as one of ours.

mod account;
mod compare;
mod cors;
mod differences;
mod envoy;
mod envoy_gateway;
mod gateway_api;
mod headers;
mod ingress_nginx;
mod istio;
mod language;
mod matcher;
mod merge;
#[cfg(test)]
mod properties;
mod propose;
mod re2;
mod remark;
mod scope;
mod universe;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use account::{Account, Carried, resources};
use differences::Difference;
use merge::Configuration;
use scope::Stated;

use super::document::Document;
use super::report::{self, Finding, Findings, Severity, count, write_list};
use super::{input, output};

/// What to read, and how to print what it comes to.
#[derive(clap::Args)]
pub struct Arguments {
    /// Files with policies of other systems; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to print the policy and the findings
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The policy on standard output, the findings on standard error
    Yaml,
    /// Both as one object, for programs
    Json,
}

/// What all files come to.
struct Imported {
    documents: Vec<Document>,
    account: Account,
    configuration: Configuration,
    /// What is different whatever the policy says.
    differences: Vec<&'static Difference>,
}

/// Imports policies and prints what they come to.
///
/// # Errors
///
/// What the operating system says of a file or of standard output, and a sentence
/// where a file is no YAML or holds no policy.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let documents = arguments.files.iter().map(|path| read(path)).collect::<io::Result<_>>()?;
    let imported = Imported::of(documents);
    if imported.configuration.is_empty() && imported.findings().next().is_none() {
        return Err(io::Error::other(NOTHING));
    }
    output::even_unread(match arguments.format {
        Format::Yaml => imported.write_yaml(),
        Format::Json => imported.write_json(&mut io::stdout().lock()),
    })?;
    let found = imported.findings().any(|finding| finding.severity < Severity::Note);
    Ok(ExitCode::from(u8::from(found)))
}

/// What is said where nothing was found.
const NOTHING: &str = "there is no CORS policy in these files: import reads Istio's VirtualService, Envoy's route configuration, Gateway API's HTTPRoute, Envoy Gateway's SecurityPolicy, and Ingress with annotations of ingress-nginx";

fn read(path: &std::path::Path) -> io::Result<Document> {
    let name = input::name(path);
    let place = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    let bytes = input::read(path).map_err(place)?;
    Document::parse(name.clone(), bytes).map_err(|(document, error)| {
        let line = document.text.get(..error.at).unwrap_or_default().matches('\n').count() + 1;
        place(io::Error::other(format!("line {line}: {}", error.message)))
    })
}

impl Imported {
    fn of(documents: Vec<Document>) -> Self {
        let mut account = Account::default();
        let resources = resources(&documents);
        let mut stated: Vec<Stated<'_>> = istio::read(&resources, &mut account);
        stated.extend(envoy::read(&resources, &mut account));
        stated.extend(gateway_api::read(&resources, &mut account));
        let of_nginx = ingress_nginx::read(&resources, &mut account);
        let differences = differences::of(!stated.is_empty(), !of_nginx.is_empty());
        stated.extend(of_nginx);
        resources.iter().for_each(|resource| account.close_resource(resource));
        let configuration = Configuration::of(&stated, &documents, &mut account);
        Self { documents, account, configuration, differences }
    }

    fn findings(&self) -> impl Iterator<Item = Finding> {
        (0..self.documents.len()).flat_map(|document| self.account.findings(document))
    }

    fn write_yaml(&self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if !self.configuration.is_empty() {
            let policy = serde_saphyr::to_string(&self.configuration).map_err(io::Error::other)?;
            writeln!(stdout, "{}", policy.trim_end())?;
        }
        stdout.flush()?;
        let mut stderr = anstream::stderr().lock();
        for (index, document) in self.documents.iter().enumerate() {
            let findings = self.account.findings(index);
            let (name, text) = (&document.name, &document.text);
            Findings { name, text, findings: &findings }.write_text(&mut stderr)?;
        }
        let findings: Vec<Finding> = self.findings().collect();
        let carried = count(self.account.carried().len(), "value", "values");
        let found = report::tally(findings.iter()).unwrap_or_else(|| "nothing found".to_owned());
        writeln!(stderr, "{carried} carried over: {found}")?;
        differences::write_text(&self.differences, &mut stderr)?;
        stderr.flush()
    }

    fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        let carried = self.account.carried().into_iter().map(|Carried { document, path, .. }| {
            json!({ "file": self.documents.get(*document).map(|document| &document.name), "field": path })
        });
        let policy = Some(&self.configuration).filter(|policy| !policy.is_empty());
        write!(to, "{{\"policy\": {},\n\"carried\": ", serde_json::to_value(policy)?)?;
        write_list(carried, to)?;
        write!(to, ",\n\"findings\": ")?;
        let mut found: Vec<Value> = Vec::new();
        for (index, document) in self.documents.iter().enumerate() {
            let findings = self.account.findings(index);
            let (name, text) = (&document.name, &document.text);
            let placed = Findings { name, text, findings: &findings };
            found.extend(placed.placed().map(|placed| placed.json(name)));
        }
        write_list(found.into_iter(), to)?;
        write!(to, ",\n\"differences\": ")?;
        write_list(self.differences.iter().map(|it| it.json()), to)?;
        writeln!(to, "}}")
    }
}
