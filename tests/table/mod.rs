//! The rows of `tests/cases`: what they say, how they are read, how an answer is compared with one.
//!
//! The same rows are decided natively (`tests/decision.rs`) and by a real Envoy (`tests/envoy`).

// Each of the two uses its part.
#![allow(dead_code)]

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use text::Fields;

/// A policy and the requests made to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Absent only where the gateway under test brings its own.
    #[serde(default, deserialize_with = "text::expanded")]
    pub policy: Option<Value>,
    /// `CORS_ENVIRONMENT` in the VM's environment.
    pub environment: Option<String>,
    pub cases: Vec<Case>,
}

/// A configuration and what its user reads about it, a row of `diagnostics.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnosed {
    pub case: String,
    #[serde(deserialize_with = "text::configuration")]
    pub config: String,
    /// Errors: where there is one, the configuration is refused.
    #[serde(default)]
    pub says: Vec<String>,
    #[serde(default)]
    pub warns: Vec<String>,
    /// Whether a real Envoy is to read it too: each start takes a while.
    #[serde(default)]
    pub envoy: bool,
}

/// One request and the answer it must get.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(rename = "case")]
    pub name: String,
    pub send: Request,
    #[serde(default)]
    pub upstream: Reply,
    pub outcome: Option<Outcome>,
    pub get: Answer,
    only: Option<Only>,
}

/// What the client sends. Header lines in the order of the file, names in lower case.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Request {
    pub method: Vec<u8>,
    pub scheme: Vec<u8>,
    pub authority: Vec<u8>,
    pub path: Vec<u8>,
    pub body: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What upstream answers.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Fields")]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What the client gets: the whole of the `Access-Control-*` and `Vary` headers, each in canonical
/// form.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Fields")]
pub struct Answer {
    pub status: u16,
    pub from: Source,
    pub headers: BTreeMap<String, Vec<u8>>,
}

/// Who made the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Upstream,
    /// Our filter.
    Filter,
    /// Envoy itself, or another of its filters.
    Envoy,
}

/// The decision behind an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    NotCors,
    ActualAllowed,
    ActualDenied,
    SameOrigin,
    ActualRejected,
    PreflightAllowed,
    PreflightDeniedOrigin,
    PreflightDeniedMethod,
    PreflightDeniedHeaders,
    PreflightForwarded,
    /// No policy covers the request.
    Untouched,
}

/// Where a row can be run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Runner {
    Native,
    Http1,
    Http2,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Only {
    Native,
    Http1,
    Http2,
    Envoy,
}

impl Case {
    pub fn runs_on(&self, runner: Runner) -> bool {
        match self.only {
            None => true,
            Some(Only::Native) => runner == Runner::Native,
            Some(Only::Http1) => runner == Runner::Http1,
            Some(Only::Http2) => runner == Runner::Http2,
            Some(Only::Envoy) => runner != Runner::Native,
        }
    }
}

impl Outcome {
    /// The response code details of the filter's own answers.
    pub fn details(self) -> Option<&'static str> {
        match self {
            Self::PreflightAllowed => Some("cors_preflight"),
            Self::PreflightDeniedOrigin => Some("cors_preflight_denied_origin"),
            Self::PreflightDeniedMethod => Some("cors_preflight_denied_method"),
            Self::PreflightDeniedHeaders => Some("cors_preflight_denied_headers"),
            Self::ActualRejected => Some("cors_origin_rejected"),
            Self::NotCors
            | Self::ActualAllowed
            | Self::ActualDenied
            | Self::SameOrigin
            | Self::PreflightForwarded
            | Self::Untouched => None,
        }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new() }
    }
}

impl Answer {
    /// An answer as it was received: of `lines`, what a row states is kept and made canonical.
    pub fn new<'a>(
        status: u16,
        from: Source,
        lines: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut values: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
        for (name, value) in lines {
            let name = name.to_ascii_lowercase();
            if is_compared(&name) {
                values.entry(name).or_default().push(value);
            }
        }
        let headers = values.into_iter().map(|(name, lines)| (name, canonical(&lines))).collect();
        Self { status, from, headers }
    }

    /// One line for each way in which `actual` is not this answer; empty if it is.
    pub fn differences(&self, actual: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.status != actual.status {
            found.push(format!("status: expected {}, got {}", self.status, actual.status));
        }
        if self.from != actual.from {
            found.push(format!("from: expected {:?}, got {:?}", self.from, actual.from));
        }
        let names: BTreeSet<_> = self.headers.keys().chain(actual.headers.keys()).collect();
        for name in names {
            let (expected, got) = (self.headers.get(name), actual.headers.get(name));
            if expected != got {
                found.push(format!("{name}: expected {}, got {}", shown(expected), shown(got)));
            }
        }
        found
    }
}

fn is_compared(name: &str) -> bool {
    name == "vary" || name.starts_with("access-control-")
}

/// What a reader of the lines understands: they are one list.
fn canonical(lines: &[&[u8]]) -> Vec<u8> {
    let elements = lines.iter().flat_map(|line| line.split(|&b| b == b','));
    elements.map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b", "[..])
}

fn shown(value: Option<&Vec<u8>>) -> String {
    value.map_or("none".into(), |value| format!("\"{}\"", value.escape_ascii()))
}

/// As a reader of a failed test wants it.
impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Request { method, scheme, authority, path, .. } = &self.send;
        let [method, scheme, authority, path] =
            [method, scheme, authority, path].map(|it| it.escape_ascii());
        write!(f, "send: {method} {scheme}://{authority}{path}")?;
        write_lines(f, self.send.headers.iter().map(|(name, value)| (name, value)))?;
        write!(f, "\nupstream: {}", self.upstream.status)?;
        write_lines(f, self.upstream.headers.iter().map(|(name, value)| (name, value)))?;
        write!(f, "\nget: {}", self.get)
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {:?}", self.status, self.from)?;
        write_lines(f, &self.headers)
    }
}

fn write_lines<'a>(
    f: &mut Formatter<'_>,
    lines: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>,
) -> fmt::Result {
    for (name, value) in lines {
        let (start, rest) = value.split_at(value.len().min(300));
        write!(f, "\n  {name}: {}", start.escape_ascii())?;
        if !rest.is_empty() {
            write!(f, " and {} bytes more", rest.len())?;
        }
    }
    Ok(())
}

/// Every group of `tests/cases`.
pub fn load() -> Vec<Group> {
    let folder = tests().join("cases");
    let entries = folder.read_dir().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "no rows in {}", folder.display());
    let groups: Vec<Group> = files.iter().flat_map(|file| read::<Vec<Group>>(file)).collect();
    assert!(groups.iter().all(|group| group.policy.is_some()), "a group without a policy");
    checked(groups)
}

/// The groups of a table that stands beside the test that needs it.
pub fn parse(yaml: &str) -> Vec<Group> {
    checked(text::yaml(yaml).unwrap_or_else(|e| panic!("{e}")))
}

/// The folder that holds every table.
pub fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A YAML file as `T`, or a panic that shows where it is wrong.
pub fn read<T: DeserializeOwned>(file: &Path) -> T {
    let yaml = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text::yaml(&yaml).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// What the types cannot say about a whole table.
pub fn checked(groups: Vec<Group>) -> Vec<Group> {
    let mut names = BTreeSet::new();
    let mut problems = String::new();
    for case in groups.iter().flat_map(|group| &group.cases) {
        if !names.insert(&case.name) {
            writeln!(problems, "two rows are called \"{}\"", case.name).unwrap();
        }
        if case.get.from == Source::Filter && case.outcome.and_then(Outcome::details).is_none() {
            writeln!(
                problems,
                "\"{}\": from: filter needs the outcome that makes it answer",
                case.name
            )
            .unwrap();
        }
    }
    assert!(problems.is_empty(), "{problems}");
    assert!(groups.iter().all(|group| !group.cases.is_empty()), "a group without rows");
    groups
}
