//! `envoy-cors explain`: what a policy says of a request, and what a browser
//! makes of it; or what a rule of `lint` is about.

mod asked;
mod change;
mod checks;
mod course;
mod curl;
mod edit;
mod explanation;
mod fetch;
mod json;
mod pasted;
#[cfg(test)]
mod properties;
mod rule;
mod selection;
mod shell;
mod source;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use envoy_cors::Policies;
use envoy_cors::browser::Credentials;
use envoy_cors::diagnostic::{Diagnostics, Problem};

use asked::{Asked, Given};
use explanation::Explanation;
use pasted::Pasted;
use source::Source;

use super::document::Document;
use super::{input, lint, output};

const EXAMPLES: &str = "\
Examples:
  envoy-cors explain cors.yaml --origin https://app.example.com --url https://api.example.com
  envoy-cors explain cors.yaml -- curl https://api.example.com -H 'Origin: https://app.example.com'
  envoy-cors explain cors.yaml --curl -     and paste what developer tools copied as cURL (bash)
  envoy-cors explain cors.yaml --fetch -    or as fetch, and end it with Ctrl-D
  envoy-cors explain --rule public-suffix";

/// What to explain, and how.
#[derive(clap::Args)]
#[command(arg_required_else_help = true, after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The file with the policy; `-` is standard input
    #[arg(value_name = "POLICY", required_unless_present_any = ["rule", "rules"])]
    file: Option<PathBuf>,
    /// The origin of the page, as in https://app.example.com
    #[arg(long)]
    origin: Option<String>,
    /// What the page asks for
    #[arg(long)]
    url: Option<String>,
    /// The method, as the page writes it [default: GET]
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// A header that the page sets; can be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = asked::parse_header)]
    headers: Vec<(String, String)>,
    /// Whether cookies go along: include, same-origin or omit [default:
    /// same-origin; without a value: include]
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true,
        default_missing_value = "include", value_parser = asked::parse_credentials)]
    credentials: Option<Credentials>,
    /// The environment, as CORS_ENVIRONMENT names it in the VM; it wins over what
    /// the file says
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The line of the policy, in a file that holds several
    #[arg(long, value_name = "NUMBER")]
    line: Option<usize>,
    /// A curl command with the request; `-` reads it from standard input. The other
    /// arguments win over it
    #[arg(long, value_name = "COMMAND")]
    curl: Option<String>,
    /// A call of fetch() with the request; `-` reads it from standard input
    #[arg(long, value_name = "CALL", conflicts_with = "curl")]
    fetch: Option<String>,
    /// A curl command, as it is
    #[arg(last = true, value_name = "curl …", conflicts_with_all = ["curl", "fetch"])]
    command: Vec<String>,
    /// The page of a rule: what it finds, why, and what to write instead
    #[arg(long, value_name = "ID", value_parser = lint::rules::known, conflicts_with = "file")]
    rule: Option<String>,
    /// List the rules
    #[arg(long, conflicts_with_all = ["rule", "file"])]
    rules: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Explains a request, or a rule.
///
/// # Errors
///
/// What the operating system says of standard output.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let Some(file) = &arguments.file else {
        let chosen = arguments.rule.as_deref().and_then(lint::rules::rule);
        rule::write(chosen, arguments.format, &mut anstream::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    };
    let allowed = explain(arguments, file)?;
    Ok(ExitCode::from(allowed.map_or(2, |allowed| u8::from(!allowed))))
}

/// Whether the page can read the response; `None` after complaints.
fn explain(arguments: &Arguments, file: &Path) -> io::Result<Option<bool>> {
    let name = input::name(file);
    let bytes = input::read(file).map_err(|error| vec![format!("{name}: {error}")]);
    let (asked, bytes) = match (arguments.asked(), bytes) {
        (Ok(asked), Ok(bytes)) => (asked, bytes),
        (asked, bytes) => {
            let problems = [bytes.err(), asked.err()];
            problems.iter().flatten().flatten().for_each(|problem| complain(problem));
            return Ok(None);
        }
    };
    let document = match Document::parse(name, bytes) {
        Ok(document) => document,
        Err((document, error)) => {
            let finding = lint::syntax(&document, error);
            return source::report(&document, &[finding]).map(|()| None);
        }
    };
    let configurations = document.configurations();
    let configuration = match source::choose(&document, &configurations, arguments.line) {
        Ok(configuration) => configuration,
        Err(problem) => {
            complain(&format!("{}: {problem}", document.name));
            return Ok(None);
        }
    };
    let source = Source { document: &document, configuration };
    let environment = arguments.environment.as_deref().or(configuration.vm.name());
    let mut problems = Diagnostics::default();
    let config = configuration.read(&mut problems);
    let policies =
        config.clone().and_then(|config| Policies::compile(config, environment, &mut problems));
    let (Some(config), Some(policies)) = (config, policies) else {
        source::report(&document, &lint::filter::errors(configuration, &problems))?;
        if problems.iter().any(|problem| problem.problem == Problem::NoEnvironment) {
            complain("choose one for this explanation with --environment");
        }
        return Ok(None);
    };
    let explanation = Explanation::new(&config, &policies, &asked);
    output::even_unread(print(&explanation, &source, arguments.format))?;
    Ok(Some(explanation.course.is_allowed()))
}

fn print(explanation: &Explanation<'_>, source: &Source<'_>, format: Format) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match format {
        Format::Text => text::write(explanation, source, &mut stdout)?,
        Format::Json => writeln!(stdout, "{:#}", json::of(explanation, source))?,
    }
    stdout.flush()
}

fn complain(problem: &str) {
    eprintln!("envoy-cors: {problem}");
}

impl Arguments {
    fn asked(&self) -> Result<Asked, Vec<String>> {
        let given = Given {
            origin: self.origin.clone(),
            url: self.url.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            credentials: self.credentials,
        };
        let pasted = self.pasted().map_err(|problem| vec![problem])?;
        Asked::new(given, pasted)
    }

    fn pasted(&self) -> Result<Pasted, String> {
        match (&self.curl, &self.fetch) {
            (Some(command), _) => curl::parse(&self.text(command)?),
            (_, Some(call)) => fetch::parse(&self.text(call)?),
            _ if self.command.is_empty() => Ok(Pasted::default()),
            _ => curl::from_words(self.command.clone()),
        }
    }

    fn text(&self, text: &str) -> Result<String, String> {
        if text != "-" {
            return Ok(text.to_owned());
        }
        let stdin = Path::new("-");
        if self.file.as_deref() == Some(stdin) {
            return Err("standard input cannot hold the policy and the request".to_owned());
        }
        let bytes = input::read(stdin).map_err(|error| format!("standard input: {error}"))?;
        String::from_utf8(bytes).map_err(|_| "standard input is not UTF-8".to_owned())
    }
}
