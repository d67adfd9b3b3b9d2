//! `envoy-cors probe`: what pages can do with a live endpoint, and why not.

mod causes;
mod client;
mod compare;
mod diagnose;
mod endpoint;
mod finding;
mod html;
mod junit;
mod look_alikes;
mod observe;
mod outcome;
mod page;
mod parse;
mod strangers;
mod suite;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use client::{Address, Client, Settings};
use compare::{Compared, Comparison};
use endpoint::Endpoint;
use outcome::{Outcome, Report};
use page::Pages;

use super::report::Findings;
use super::{input, output};

const EXAMPLES: &str = "\
Examples:
  envoy-cors probe https://api.example.com/items --origin https://app.example.com
  envoy-cors probe https://api.example.com/items --origin https://app.example.com \\
      -X GET -X PUT -H 'Content-Type: application/json' --credentials --unauthorized /login
  envoy-cors probe --suite cors-suite.yaml --format junit > cors.xml
  envoy-cors probe --suite cors-suite.yaml \\
      --compare https://staging.example.com https://api.example.com

A suite:
  base: https://api.example.com           # what the paths below are relative to; --base wins
  origins: [https://app.example.com]      # the pages of every endpoint without its own
  endpoints:
    - url: /items                         # required: a path or a whole URL
      name: items                         # all others may be left out
      origins: [https://app.example.com, https://admin.example.com]
      methods: [GET, PUT]                 # GET alone, if nothing is said
      headers: { content-type: application/json }
      credentials: true
      reads: [x-request-id]
      refuse:                             # beside the strangers; of all origins, if none is named
        - { methods: [DELETE] }
        - { origins: [https://old.example.com] }
      notFound: /items/none
      unauthorized: /login
      allow: { subdomain-allowed: previews live there } # a rule, and why its findings are meant
    - url: /public
      public: true                        # every page should be allowed, without credentials";

/// What to ask, and how to say what came of it.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// What pages ask. A path, if --base or --compare says what it is relative to
    #[arg(required_unless_present_any = ["suite", "rules"], value_name = "URL")]
    urls: Vec<String>,
    /// A YAML file that says what to ask, and what should come of it
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "urls", "origins", "methods", "headers", "credentials", "reads", "public", "not_found",
            "unauthorized", "allow",
        ]
    )]
    suite: Option<PathBuf>,
    /// What paths are relative to, instead of the suite's own `base`
    #[arg(long, value_name = "URL", value_parser = parse::base)]
    base: Option<Url>,
    /// Ask everything of two bases, and show where the answers differ
    #[arg(
        long,
        num_args = 2,
        value_names = ["BASE-A", "BASE-B"],
        value_parser = parse::base,
        conflicts_with = "base"
    )]
    compare: Vec<Url>,
    /// The origin of a page that should be allowed; can be repeated. Without any, only strangers
    /// are tried
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = parse::origin)]
    origins: Vec<String>,
    /// A method that pages use; can be repeated
    #[arg(short = 'X', long = "method", value_name = "METHOD", default_value = "GET", value_parser = parse::method)]
    methods: Vec<String>,
    /// A header that pages set, `NAME: VALUE` or `NAME` alone; can be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = parse::header_line)]
    headers: Vec<(String, Vec<u8>)>,
    /// Pages ask with the user's credentials (`credentials: "include"`)
    #[arg(long)]
    credentials: bool,
    /// A response header that pages should be able to read; can be repeated
    #[arg(long = "reads", value_name = "NAME", value_parser = parse::header_name)]
    reads: Vec<String>,
    /// Every page should be allowed, without credentials
    #[arg(long, conflicts_with = "credentials")]
    public: bool,
    /// A path of the same host that gives 404 or another error, to see whether pages can read it
    #[arg(long, value_name = "PATH")]
    not_found: Option<String>,
    /// A path of the same host that demands a login
    #[arg(long, value_name = "PATH")]
    unauthorized: Option<String>,
    /// Leave out the findings of a rule; can be repeated
    #[arg(long, value_name = "RULE", value_parser = finding::known)]
    allow: Vec<String>,
    /// List the rules, with the severity of their findings, and ask nothing
    #[arg(long)]
    rules: bool,
    /// A Cookie header to send where a browser would: with credentials, but not with preflights
    #[arg(long, value_name = "COOKIES")]
    cookie: Option<String>,
    /// Send requests that may change something (POST, PUT ...), with an empty body. Without this,
    /// only their preflight is sent
    #[arg(long)]
    send_unsafe: bool,
    /// Do not try origins that nobody means to allow
    #[arg(long)]
    no_strangers: bool,
    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For build servers: a case for each check
    Junit,
    /// For people: one page, nothing to load
    Html,
}

/// How connections are made.
#[derive(clap::Args)]
#[command(next_help_heading = "Connections")]
struct Connection {
    /// Longest time for a connection, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse::seconds)]
    connect_timeout: Duration,
    /// Longest time for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse::seconds)]
    timeout: Duration,
    /// Connect to an address instead of asking a name server, as curl does; can be repeated
    #[arg(long, value_name = "HOST:PORT:ADDRESS", value_parser = parse::address)]
    resolve: Vec<Address>,
    /// A file of certificates in PEM to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    insecure: bool,
}

/// Asks, and prints what came of it.
///
/// # Errors
///
/// A sentence on arguments and files that are wrong, and what the operating
/// system says of standard output.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    if arguments.rules {
        text::write_rules(&mut anstream::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    let suite = arguments.suite.as_deref().map(Suite::read).transpose()?;
    if let [one, other] = arguments.compare.as_slice() {
        let endpoints = [
            arguments.endpoints(suite.as_ref(), Some(one))?,
            arguments.endpoints(suite.as_ref(), Some(other))?,
        ];
        return arguments.compare([one, other], &endpoints);
    }
    let endpoints = arguments.endpoints(suite.as_ref(), arguments.base.as_ref())?;
    arguments.probe(&endpoints)
}

/// The file, as it was read.
struct Suite {
    name: String,
    text: String,
}

impl Suite {
    fn read(path: &Path) -> io::Result<Self> {
        let name = input::name(path);
        let of_file = |clause: String| io::Error::other(format!("{name}: {clause}"));
        let bytes = input::read(path).map_err(|error| of_file(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| of_file("it is no text".into()))?;
        Ok(Self { name, text })
    }

    /// Everything that is wrong with it goes to standard error.
    fn endpoints(&self, base: Option<&Url>) -> io::Result<Vec<Endpoint>> {
        suite::read(&self.text, base).or_else(|problems| {
            let findings = Findings { name: &self.name, text: &self.text, findings: &problems };
            output::even_unread(findings.write_text(&mut anstream::stderr()))?;
            Err(io::Error::other(format!("{}: nothing was asked", self.name)))
        })
    }
}

impl Arguments {
    fn endpoints(&self, suite: Option<&Suite>, base: Option<&Url>) -> io::Result<Vec<Endpoint>> {
        let endpoints = match suite {
            Some(suite) => suite.endpoints(base)?,
            None => {
                let urls = self.urls.iter().map(|url| self.endpoint(url, base));
                urls.collect::<Result<_, _>>().map_err(io::Error::other)?
            }
        };
        if self.cookie.is_some() && !endpoints.iter().any(|endpoint| endpoint.credentials) {
            return Err(io::Error::other("--cookie: browsers send it with credentials only"));
        }
        Ok(endpoints)
    }

    fn endpoint(&self, text: &str, base: Option<&Url>) -> Result<Endpoint, String> {
        let of = |argument: &str, clause: String| format!("{argument}: {clause}");
        let url = parse::target(base, text).map_err(|clause| of(text, clause))?;
        let beside = |argument: &str, path: &Option<String>| {
            let path = path.as_ref().map(|path| parse::beside(base, &url, path));
            path.transpose().map_err(|clause| of(argument, clause))
        };
        let mut origins = self.origins.clone();
        if self.public && origins.is_empty() {
            origins.push(strangers::stranger());
        }
        let reason = |rule: &String| (rule.clone(), String::new());
        Ok(Endpoint {
            name: endpoint::name(text, &url),
            origins,
            public: self.public,
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            credentials: self.credentials,
            reads: self.reads.clone(),
            refused: Vec::new(),
            not_found: beside("--not-found", &self.not_found)?,
            unauthorized: beside("--unauthorized", &self.unauthorized)?,
            allowed: self.allow.iter().map(reason).collect(),
            url,
        })
    }

    fn probe(&self, endpoints: &[Endpoint]) -> io::Result<ExitCode> {
        let client = self.connection.client(endpoints)?;
        let (pages, bar) = (self.pages(&client), progress(endpoints.len()));
        let observed = endpoints.iter().map(|endpoint| {
            let outcome = Outcome::new(endpoint, pages.observe(endpoint, !self.no_strangers));
            bar.inc(1);
            outcome
        });
        let report = Report { endpoints: observed.collect() };
        bar.finish_and_clear();
        output::even_unread(self.print(&report))?;
        let outcomes = &report.endpoints;
        let failed =
            outcomes.iter().filter_map(|outcome| Some((&outcome.url, outcome.error.as_ref()?)));
        Ok(status(failed, outcomes.iter().any(Outcome::is_bad)))
    }

    fn print(&self, report: &Report) -> io::Result<()> {
        let (outcomes, mut stdout) = (&report.endpoints, anstream::stdout().lock());
        match self.format {
            Format::Text => text::write(outcomes, &mut stdout)?,
            Format::Json => json(report, &mut stdout)?,
            Format::Junit => junit::write(outcomes, &mut stdout)?,
            Format::Html => html::write(outcomes, &mut stdout)?,
        }
        stdout.flush()
    }

    fn compare(&self, bases: [&Url; 2], endpoints: &[Vec<Endpoint>; 2]) -> io::Result<ExitCode> {
        let [one, other] = endpoints;
        if let Some((endpoint, _)) = one.iter().zip(other).find(|(one, other)| one.url == other.url)
        {
            let sentence = "the bases make no difference to it; write a path";
            return Err(io::Error::other(format!("{}: {sentence}", endpoint.name)));
        }
        let client = self.connection.client(one.iter().chain(other))?;
        let (pages, bar) = (self.pages(&client), progress(one.len()));
        let compared = one.iter().zip(other).map(|(one, other)| {
            let pair = [one, other];
            let observe = |endpoint| pages.observe(endpoint, !self.no_strangers);
            let compared = Compared::new(pair, pair.map(observe));
            bar.inc(1);
            compared
        });
        let endpoints = compared.collect();
        let comparison = Comparison { bases: bases.map(Url::to_string), endpoints };
        bar.finish_and_clear();
        output::even_unread(self.print_comparison(&comparison))?;
        let failed = comparison.errors().map(|failed| (&failed.url, &failed.error));
        Ok(status(failed, comparison.differences().next().is_some()))
    }

    fn print_comparison(&self, comparison: &Comparison) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        match self.format {
            Format::Text => comparison.write_text(&mut stdout)?,
            Format::Json => json(comparison, &mut stdout)?,
            Format::Junit => junit::write_comparison(comparison, &mut stdout)?,
            Format::Html => html::write_comparison(comparison, &mut stdout)?,
        }
        stdout.flush()
    }

    fn pages<'c>(&'c self, client: &'c Client) -> Pages<'c> {
        Pages { client, cookie: self.cookie.as_deref(), send_unsafe: self.send_unsafe }
    }
}

/// Says which URLs failed, and how the command ends.
fn status<'s>(failed: impl Iterator<Item = (&'s String, &'s String)>, found: bool) -> ExitCode {
    let count = failed.map(|(url, error)| eprintln!("envoy-cors: {url}: {error}")).count();
    ExitCode::from(if count > 0 { 2 } else { u8::from(found) })
}

fn json(report: &impl serde::Serialize, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, report)?;
    writeln!(to)
}

/// How far a long suite is, where standard error is a terminal.
fn progress(endpoints: usize) -> ProgressBar {
    let bar =
        if endpoints > 1 { ProgressBar::new(endpoints as u64) } else { ProgressBar::hidden() };
    // The template is a valid one.
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} endpoints, {elapsed}");
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

impl Connection {
    /// A client that asks the hosts of these endpoints.
    fn client<'e>(&self, endpoints: impl IntoIterator<Item = &'e Endpoint>) -> io::Result<Client> {
        let path = self.cacert.as_deref().unwrap_or(Path::new("certificates"));
        let of_file = |clause: String| io::Error::other(format!("{}: {clause}", path.display()));
        let read = |path| std::fs::read(path).map_err(|error| of_file(error.to_string()));
        let settings = Settings {
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            insecure: self.insecure,
            authorities: self.cacert.as_deref().map(read).transpose()?,
            addresses: self.resolve.clone(),
        };
        let urls = endpoints.into_iter().map(|endpoint| &endpoint.url);
        Client::new(settings, urls).map_err(of_file)
    }
}
