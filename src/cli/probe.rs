//! `envoy-cors probe`: what pages can do with a live endpoint, and why not.

mod causes;
mod client;
mod diagnose;
mod endpoint;
mod finding;
mod html;
mod junit;
mod look_alikes;
mod observe;
mod outcome;
mod page;
mod strangers;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use envoy_cors::diagnostic::Problem;
use envoy_cors::header;
use envoy_cors::origin::Origin;
use envoy_cors::pattern::InvalidPattern;
use url::Url;

use client::{Address, Client, Settings};
use endpoint::Endpoint;
use outcome::{Outcome, Report};
use page::Pages;

/// What to ask, and how to say what came of it.
#[derive(clap::Args)]
pub struct Arguments {
    /// What pages ask
    #[arg(required = true, value_name = "URL", value_parser = url)]
    urls: Vec<Url>,
    /// The origin of a page that should be allowed; can be repeated. Without any, only strangers
    /// are tried
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<String>,
    /// A method that pages use; can be repeated
    #[arg(long = "method", value_name = "METHOD", default_value = "GET", value_parser = method)]
    methods: Vec<String>,
    /// A header that pages set, `NAME: VALUE` or `NAME` alone; can be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = header_line)]
    headers: Vec<(String, Vec<u8>)>,
    /// Pages ask with the user's credentials (`credentials: "include"`)
    #[arg(long)]
    credentials: bool,
    /// A Cookie header to send where a browser would: not with preflights
    #[arg(long, value_name = "COOKIES", requires = "credentials")]
    cookie: Option<String>,
    /// A response header that pages should be able to read; can be repeated
    #[arg(long = "reads", value_name = "NAME")]
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
    /// Send requests that may change something (POST, PUT ...), with an empty body. Without this,
    /// only their preflight is sent
    #[arg(long)]
    send_unsafe: bool,
    /// Do not try origins that nobody means to allow
    #[arg(long)]
    no_strangers: bool,
    /// Leave out the findings of a rule; can be repeated
    #[arg(long, value_name = "RULE", value_parser = rule)]
    allow: Vec<String>,
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
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    connect_timeout: Duration,
    /// Longest time for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Connect to an address instead of asking a name server, as curl does; can be repeated
    #[arg(long, value_name = "HOST:PORT:ADDRESS", value_parser = address)]
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
/// What the operating system says of standard output, and of the file of
/// certificates.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let endpoints = arguments.endpoints().map_err(io::Error::other)?;
    let settings = arguments.connection.settings()?;
    let client = Client::new(settings, endpoints.iter().map(|endpoint| &endpoint.url));
    let client = client.map_err(|clause| arguments.connection.complain(&clause))?;
    let pages = Pages {
        client: &client,
        cookie: arguments.cookie.as_deref(),
        send_unsafe: arguments.send_unsafe,
    };
    let outcomes = endpoints
        .iter()
        .map(|endpoint| Outcome::new(endpoint, pages.observe(endpoint, !arguments.no_strangers)))
        .collect();
    let report = Report { endpoints: outcomes };
    let outcomes = &report.endpoints;
    let mut stdout = anstream::stdout().lock();
    match arguments.format {
        Format::Text => text::write(outcomes, &mut stdout)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut stdout, &report)?;
            writeln!(stdout)?;
        }
        Format::Junit => junit::write(outcomes, &mut stdout)?,
        Format::Html => html::write(outcomes, &mut stdout)?,
    }
    stdout.flush()?;
    for outcome in outcomes {
        if let Some(error) = &outcome.error {
            eprintln!("envoy-cors: {}: {error}", outcome.url);
        }
    }
    let failed = outcomes.iter().any(|outcome| outcome.error.is_some());
    let found = outcomes.iter().any(Outcome::is_bad);
    Ok(ExitCode::from(if failed { 2 } else { u8::from(found) }))
}

impl Arguments {
    /// # Errors
    ///
    /// A sentence on a path that cannot be one.
    fn endpoints(&self) -> Result<Vec<Endpoint>, String> {
        self.urls.iter().map(|url| self.endpoint(url)).collect()
    }

    fn endpoint(&self, url: &Url) -> Result<Endpoint, String> {
        let path = |path: &Option<String>| {
            path.as_ref().map(|path| endpoint::at_path(url, path)).transpose()
        };
        let mut origins = self.origins.clone();
        if self.public && origins.is_empty() {
            origins.push(strangers::stranger());
        }
        let reason = |rule: &String| (rule.clone(), String::new());
        Ok(Endpoint {
            name: url.to_string(),
            url: url.clone(),
            origins,
            public: self.public,
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            credentials: self.credentials,
            reads: self.reads.iter().map(|name| name.to_ascii_lowercase()).collect(),
            refused: Vec::new(),
            not_found: path(&self.not_found)?,
            unauthorized: path(&self.unauthorized)?,
            allowed: self.allow.iter().map(reason).collect(),
        })
    }
}

impl Connection {
    fn settings(&self) -> io::Result<Settings> {
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| self.complain(&error.to_string()));
        Ok(Settings {
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            insecure: self.insecure,
            authorities: self.cacert.as_ref().map(read).transpose()?,
            addresses: self.resolve.clone(),
        })
    }

    /// Of the file of certificates.
    fn complain(&self, clause: &str) -> io::Error {
        let path = self.cacert.as_deref().unwrap_or(Path::new("certificates")).display();
        io::Error::other(format!("{path}: {clause}"))
    }
}

/// What a URL may be that a page asks.
pub fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            "write a whole URL, as in https://api.example.com/items".to_owned()
        }
        error => error.to_string(),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https can be probed".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("pages cannot ask a URL with a user name or a password; take it out".into());
    }
    Ok(url)
}

/// An origin as browsers write it.
pub fn origin(text: &str) -> Result<String, String> {
    if text != "null"
        && let Err(why) = Origin::parse(text)
    {
        return Err(Problem::Pattern(InvalidPattern::Malformed(why), None).to_string());
    }
    Ok(text.to_owned())
}

/// A method as a page writes it. Whether browsers send it is for them to say.
fn method(text: &str) -> Result<String, String> {
    if header::is_token(text.as_bytes()) {
        Ok(text.to_owned())
    } else {
        Err("it is no method".into())
    }
}

fn header_line(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let name = name.trim();
    if !header::is_token(name.as_bytes()) {
        return Err("write `NAME: VALUE`".into());
    }
    Ok((name.to_owned(), value.trim().as_bytes().to_vec()))
}

fn rule(id: &str) -> Result<String, String> {
    if finding::rule(id).is_some() {
        return Ok(id.to_owned());
    }
    let ids: Vec<_> = finding::RULES.iter().map(|rule| rule.id).collect();
    Err(format!("there is no such rule, but {}", ids.join(", ")))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "write a number above 0".into())
}

fn address(text: &str) -> Result<Address, String> {
    let parts = || {
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once("]:")?;
                (format!("[{host}]"), rest)
            }
            None => {
                let (host, rest) = text.split_once(':')?;
                (host.to_ascii_lowercase(), rest)
            }
        };
        let (port, address) = rest.split_once(':')?;
        let port = port.parse().ok()?;
        let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some(Address { host, port, address: std::net::SocketAddr::new(address, port) })
    };
    parts().ok_or_else(|| "write it as in api.example.com:443:127.0.0.1".into())
}
