//! `envoy-cors audit`: what the requests of access logs come to under a policy.

mod against_log;
mod bars;
mod chart;
mod frequent;
mod html;
mod key;
mod lines;
mod nearest;
mod paths;
mod record;
mod report;
mod tally;
mod text;
mod timeline;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use envoy_cors::Policies;
use envoy_cors::denials::printable;
use envoy_cors::diagnostic::Diagnostics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::policy::PolicyFile;
use super::{input, output};
use lines::Lines;
use record::{Keys, Record, Unreadable};
use report::{File, Report, Settings};
use tally::Tally;

/// What to audit, and how to say it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The file with the policy; `-` is standard input
    policy: PathBuf,
    /// Access logs, compressed with gzip or not; `-` is standard input
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// The environment, as CORS_ENVIRONMENT names it in the VM
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The key that a field has in the logs, as in `origin=http_origin`; can be
    /// repeated. Fields: time, method, host, path, origin, request_method,
    /// request_headers, scheme, sec_fetch_site, details, denied
    #[arg(long, value_name = "FIELD=KEY")]
    field: Vec<String>,
    /// How many origins, methods and headers to tell of each policy
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Exit with 1 if a request is refused that the log says was not
    #[arg(long)]
    deny_new_refusals: bool,
    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// One page with a picture
    Html,
}

/// Reads logs and prints what they come to.
///
/// # Errors
///
/// What the operating system says, and a sentence on a file without a policy,
/// on logs without a request and on wrong arguments.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let keys = Keys::new(&arguments.field).map_err(io::Error::other)?;
    let file = PolicyFile::read(&arguments.policy)?;
    let mut problems = Diagnostics::default();
    let Some(policies) = file.compile(arguments.environment.as_deref(), &mut problems) else {
        output::even_unread(file.write(&problems, &mut anstream::stderr().lock()))?;
        return Ok(ExitCode::from(2));
    };
    // Before hours are spent on the others.
    for path in arguments.logs.iter().filter(|path| path.as_os_str() != "-") {
        let place = |error| io::Error::other(format!("{}: {error}", input::name(path)));
        path.metadata().map_err(place)?;
    }
    let bar = progress(&arguments.logs);
    let mut log = Log { keys, tally: Tally::new(&policies), lines: report::Lines::default() };
    let mut files = Vec::new();
    for path in &arguments.logs {
        let error = log.read(path, &bar).err().map(|error| error.to_string());
        files.push(File { name: printable(input::name(path).as_bytes()), error });
    }
    bar.finish_and_clear();
    for File { name, error } in &files {
        if let Some(error) = error {
            eprintln!("envoy-cors: {name}: {error}");
        }
    }
    let read_all = files.iter().all(|file| file.error.is_none());
    if log.lines.requests == 0 {
        if read_all {
            eprintln!("envoy-cors: {}", log.nothing());
        }
        return Ok(ExitCode::from(2));
    }
    let (places, elsewhere) = (places(&file), elsewhere(&file, &policies));
    let settings = Settings { places: &places, elsewhere: &elsewhere, top: arguments.top };
    let report = Report::new(&log.tally, files, log.lines, &settings);
    for complaint in log.keys.unseen() {
        eprintln!("envoy-cors: {complaint}");
    }
    let status = match arguments.deny_new_refusals {
        _ if !read_all => 2,
        true if report.against_log.compared == 0 => {
            eprintln!("envoy-cors: {}; --deny-new-refusals compares nothing", text::NOT_COMPARED);
            2
        }
        true if log.keys.unseen().next().is_some() => 2,
        deny => u8::from(deny && report.against_log.newly_refused > 0),
    };
    output::even_unread(arguments.print(&report))?;
    Ok(ExitCode::from(status))
}

impl Arguments {
    fn print(&self, report: &Report) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        match self.format {
            Format::Text => text::write(report, &mut stdout)?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut stdout, report)?;
                writeln!(stdout)?;
            }
            Format::Html => html::write(report, &mut stdout)?,
        }
        stdout.flush()
    }
}

/// A bar for all files together; without a length if one of them has none.
fn progress(logs: &[PathBuf]) -> ProgressBar {
    let length = |path: &PathBuf| Some(path.metadata().ok()?.len()).filter(|bytes| *bytes > 0);
    let length: Option<u64> = logs.iter().map(length).sum();
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}, {bytes_per_sec}"),
    };
    // A terminal alone gets it, some times a second.
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    // The template is a valid one.
    let style = ProgressStyle::with_template(template);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

/// The paths of the policies, by their index.
fn places(file: &PolicyFile) -> Vec<String> {
    let mut places = Vec::new();
    file.each_policy(|policy| places.push(policy.at.clone()));
    places
}

/// The policies in all environments but the one that they are compiled for.
fn elsewhere(file: &PolicyFile, policies: &Policies) -> Vec<(String, Policies)> {
    let others = file.environments().into_iter();
    others
        .filter(|name| policies.environment() != Some(name))
        .filter_map(|name| {
            let policies = file.compile(Some(&name), &mut Diagnostics::default())?;
            Some((name, policies))
        })
        .collect()
}

/// Logs that are read.
struct Log<'p> {
    keys: Keys,
    tally: Tally<'p>,
    lines: report::Lines,
}

impl Log<'_> {
    fn read(&mut self, path: &Path, bar: &ProgressBar) -> io::Result<()> {
        let mut lines = Lines::open(path, bar)?;
        let mut error = None;
        loop {
            match lines.next() {
                Ok(Some(line)) => self.add(line),
                Ok(None) => break,
                // What was read before is given out still.
                Err(broken) => error = Some(broken),
            }
        }
        self.lines.too_long += lines.too_long;
        error.map_or(Ok(()), Err)
    }

    fn add(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        match std::str::from_utf8(line) {
            Ok(line) => self.add_text(line),
            Err(_) => self.add_text(&String::from_utf8_lossy(line)),
        }
    }

    fn add_text(&mut self, line: &str) {
        match Record::parse(line, &self.keys) {
            Ok(record) => {
                self.lines.requests += 1;
                self.keys.see(&record);
                self.tally.add(&record);
            }
            Err(Unreadable::Other) => self.lines.other += 1,
            Err(Unreadable::Broken) => self.lines.broken += 1,
        }
    }

    /// Why there is no request.
    fn nothing(&self) -> &'static str {
        if self.lines.broken > 0 {
            "no line has a method; name the keys of the log with --field, as in --field method=verb"
        } else if self.lines.other > 0 {
            "no line is a JSON object; write access logs with a json_format, as envoy/envoy.yaml does"
        } else {
            "the logs are empty"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::hostile;

    #[test]
    fn a_line_of_a_log_never_panics() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit");
        let file = PolicyFile::read(&folder.join("policy.yaml")).unwrap();
        let policies = file.compile(None, &mut Diagnostics::default()).unwrap();
        let text = std::fs::read(folder.join("log.json")).unwrap();
        let lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let keys = Keys::new(&[]).unwrap();
        let mut log = Log { keys, tally: Tally::new(&policies), lines: report::Lines::default() };
        hostile::each(&lines, &["\\u001b", "<script>", "\"method\": ", "T24:00:00Z"], |line| {
            let before = log.lines.requests;
            log.add(line);
            log.lines.requests > before
        });
        let (places, elsewhere) = (places(&file), elsewhere(&file, &policies));
        let settings = Settings { places: &places, elsewhere: &elsewhere, top: 1_000 };
        let report = Report::new(&log.tally, Vec::new(), log.lines, &settings);
        let (mut told, mut page) = (Vec::new(), Vec::new());
        text::write(&report, &mut told).unwrap();
        html::write(&report, &mut page).unwrap();
        for bytes in [&told, &page] {
            assert!(bytes.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
        }
        let page = String::from_utf8(page).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img"));
    }
}
