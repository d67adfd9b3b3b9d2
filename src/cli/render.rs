//! `envoy-cors render`: a policy in the manifest that deploys it.

mod fit;
mod manifest;
mod module;
#[cfg(test)]
mod properties;
mod source;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use envoy_cors::config::Value;
use envoy_cors::diagnostic::Diagnostics;

use super::document::{Configuration, Document, VmEnvironment};
use super::lint::{self, Allowed, rules};
use super::output;
use super::policy::PolicyFile;
use super::report::{Finding, Findings, Severity};
use manifest::Manifest;

/// What to write, and for whom.
#[derive(clap::Args)]
pub struct Arguments {
    /// The file with the policy; `-` is standard input
    policy: PathBuf,
    /// What to write it into
    #[arg(long, value_name = "TARGET")]
    to: Target,
    /// Where the module is: oci:// for an image, https:// or http:// for the module
    /// itself, file:// for a file in Istio's proxies; a path or https:// for envoy
    #[arg(long)]
    url: String,
    /// The module, of which to take the SHA-256
    #[arg(long, value_name = "FILE", conflicts_with = "sha256")]
    wasm: Option<PathBuf>,
    /// The SHA-256: of the module, for oci:// of the image
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// The name of the resource, or of Envoy's plugin
    #[arg(long, default_value = "cors")]
    name: String,
    /// The namespace: the gateway's or the workload's own
    #[arg(long)]
    namespace: Option<String>,
    /// A label of the pods that get the filter, in Istio; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    selector: Vec<String>,
    /// The Gateway of the Gateway API that gets the filter
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// A port of the workload, the only one to filter; can be repeated
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,
    /// Envoy's cluster to fetch the module through
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The environment, for CORS_ENVIRONMENT in the VM; it wins over what the file
    /// says
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Leave out the findings of a rule, as a comment does; can be repeated
    #[arg(long, value_name = "RULE", value_parser = rules::known)]
    allow: Vec<String>,
}

/// What a policy is written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// Istio's WasmPlugin, for an ingress gateway
    IstioGateway,
    /// Istio's WasmPlugin, for the sidecars of a workload
    IstioWorkload,
    /// Envoy Gateway's EnvoyExtensionPolicy, and the EnvoyProxy that puts it first
    EnvoyGateway,
    /// An entry of Envoy's http_filters
    Envoy,
}

/// Prints the manifest.
///
/// # Errors
///
/// What the operating system says of the output, and a sentence on a policy that
/// no manifest can hold.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let mut problems = arguments.unfit();
    let module = module::of(arguments).map_err(|more| problems.extend(more)).ok();
    let file =
        PolicyFile::read(&arguments.policy).map_err(|error| problems.push(error.to_string())).ok();
    let (Some(module), Some(file), true) = (module, file, problems.is_empty()) else {
        problems.iter().for_each(|problem| complain(problem));
        return Ok(ExitCode::from(2));
    };
    let Some(configuration) = file.configuration() else { return Ok(ExitCode::from(2)) };
    let environment = arguments.environment.as_deref().or(configuration.vm.name());
    let (findings, allowed) = lint::check(&file.document, environment, &arguments.allow);
    if refuses(&file, environment, findings)? {
        return Ok(ExitCode::from(1));
    }
    if environment.is_none() && configuration.vm == VmEnvironment::FromHost {
        let name = &file.document.name;
        complain(&format!(
            "{name}: takes CORS_ENVIRONMENT from the host, and the manifest does not; add --environment NAME"
        ));
    }
    let manifest = Manifest { arguments, module: &module, environment };
    let Some(text) = manifest.render(&file.document, &configuration, &allowed) else {
        let name = &file.document.name;
        let problem = "no manifest can hold the policy so that it is read as the same again";
        return Err(io::Error::other(format!("{name}: {problem}; write it as plain JSON")));
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}

impl Manifest<'_> {
    /// The manifest with a configuration in it, if one can hold it.
    fn render(
        &self,
        document: &Document,
        configuration: &Configuration<'_>,
        allowed: &[Allowed<'_>],
    ) -> Option<String> {
        let tree = configuration.tree()?;
        let forms = match self.arguments.to {
            Target::Envoy => source::json(document, configuration, tree),
            _ => source::yaml(document, configuration, tree),
        };
        let value = tree.value();
        let manifest =
            forms.into_iter().flatten().find_map(|form| read(self.with(&form), &value))?;
        if allowed.iter().all(|allowed| allowed.comment.is_none()) {
            return Some(manifest.text);
        }
        let (found, _) = lint::check(&manifest, self.environment, &self.arguments.allow);
        let commented = with_comments(&manifest.text, &found, allowed);
        Some(read(commented, &value).unwrap_or(manifest).text)
    }
}

fn complain(problem: &str) {
    // Nobody is left to tell where this fails too.
    let _ = writeln!(io::stderr(), "envoy-cors: {problem}");
}

/// Rules about what stands around a policy, which is not carried over.
const AROUND: [&str; 4] = [
    rules::FILTER_BEFORE_CORS,
    rules::GATEWAY_FILTER_ORDER,
    rules::SECOND_CORS_LAYER,
    rules::FAIL_OPEN,
];

/// Prints the errors and warnings of a policy to standard error. Gives whether
/// there is an error.
fn refuses(
    file: &PolicyFile,
    environment: Option<&str>,
    mut findings: Vec<Finding>,
) -> io::Result<bool> {
    let Document { name, text, .. } = &file.document;
    findings.retain(|found| found.severity < Severity::Note && !AROUND.contains(&found.rule));
    let mut stderr = anstream::stderr().lock();
    output::even_unread(Findings { name, text, findings: &findings }.write_text(&mut stderr))?;
    let errors = findings.iter().filter(|found| found.severity == Severity::Error).count();
    // What chose the environment where the policy was, the manifest does not have.
    let mut problems = Diagnostics::default();
    let compiled = file.compile(environment, &mut problems);
    if errors == 0 && compiled.is_none() {
        output::even_unread(file.write(&problems, &mut stderr))?;
    }
    if errors == 0 && compiled.is_some() {
        return Ok(false);
    }
    let is_open = |found: &Finding| found.rule == rules::UNKNOWN_ENVIRONMENT;
    let names = file.environments();
    if environment.is_none() && (errors == 0 || findings.iter().any(is_open)) && !names.is_empty() {
        complain(&format!("choose one with --environment NAME: {}", names.join(", ")));
    }
    complain(&format!("{name}: not rendered, since there are errors"));
    Ok(true)
}

/// A manifest that holds this policy and no other, or nothing.
fn read(manifest: String, policy: &Value<'_>) -> Option<Document> {
    let document = Document::parse("manifest.yaml".to_owned(), manifest.into_bytes()).ok()?;
    let is_same = match document.configurations().as_slice() {
        [configuration] => {
            configuration.json_error().is_none()
                && configuration.tree().is_some_and(|tree| tree.value() == *policy)
        }
        _ => false,
    };
    is_same.then_some(document)
}

/// The text of a manifest with the comments that allow what was `found` in it:
/// those whose place did not come with the policy's text.
fn with_comments(manifest: &str, found: &[Finding], allowed: &[Allowed<'_>]) -> String {
    let key = |finding: &Finding| (finding.rule, finding.at.clone(), finding.message.clone());
    let comments: HashMap<_, _> = allowed
        .iter()
        .filter_map(|allowed| Some((key(&allowed.finding), allowed.comment?)))
        .collect();
    let mut lines: BTreeSet<(usize, &str)> = BTreeSet::new();
    for finding in found {
        let at = finding.string_start.unwrap_or(finding.span.start);
        let before = manifest.get(..at).and_then(|before| before.rfind('\n'));
        let comment = comments.get(&key(finding));
        lines.extend(comment.map(|comment| (before.map_or(0, |end| end + 1), *comment)));
    }
    let mut text = manifest.to_owned();
    for (line, comment) in lines.into_iter().rev() {
        let rest = manifest.get(line..).unwrap_or_default();
        let indentation = rest.len() - rest.trim_start_matches(' ').len();
        text.insert_str(line, &format!("{:indentation$}{comment}\n", ""));
    }
    text
}
