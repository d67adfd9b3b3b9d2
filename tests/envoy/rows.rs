//! Every row of `tests/cases`, over HTTP/1.1 and HTTP/2.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::client::{self, Protocol, Response, Result};
use crate::process::Envoy;
use crate::table::{self, Answer, Case, Group, Runner, Source};
use crate::{bootstrap, upstream};

/// An Envoy with a listener for each group of a table, or two.
pub struct Table(pub Envoy);

impl Table {
    pub fn start(groups: &[Group], workers: u32) -> Result<Self> {
        Self::changed(groups, workers, |_| ())
    }

    /// With a bootstrap that `change` has changed.
    pub fn changed(
        groups: &[Group],
        workers: u32,
        change: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let mut config = bootstrap::of_groups(groups, upstream::start(replies(groups))?);
        change(&mut config);
        Ok(Self(Envoy::start(config, workers)?))
    }

    pub fn port(&self, group: usize, case: &Case) -> u16 {
        self.0.port(&bootstrap::listener_name(group, &case.send.scheme))
    }

    pub fn log(&self) -> String {
        self.0.log()
    }
}

/// What upstream answers to each row.
pub fn replies(groups: &[Group]) -> HashMap<String, table::Reply> {
    let cases = groups.iter().flat_map(|group| &group.cases);
    cases.map(|case| (case.name.clone(), case.upstream.clone())).collect()
}

pub fn trials() -> Vec<Trial> {
    let groups = Arc::new(table::load());
    let table = Arc::new(Lazy::default());
    let mut trials = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        for case in &group.cases {
            for protocol in protocols_of(case) {
                let (case, groups, table) = (case.clone(), Arc::clone(&groups), Arc::clone(&table));
                trials.push(Trial::test(name(&case, protocol), move || {
                    let table = table.get(|| Table::start(&groups, 1))?;
                    check(table.port(index, &case), &case, protocol)
                        .map_err(|e| with_policy(&e, &groups[index]))
                }));
            }
        }
    }
    trials
}

fn with_policy(error: &Failed, group: &Group) -> Failed {
    let policy: String =
        format!("{:#}", group.policy.as_ref().unwrap()).chars().take(3000).collect();
    let environment = group.environment.as_deref().unwrap_or("none");
    format!(
        "{}\n\nenvironment: {environment}\npolicy: {policy}",
        error.message().unwrap_or_default()
    )
    .into()
}

pub fn name(case: &Case, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Http1 => "http1",
        Protocol::Http2 => "http2",
    };
    format!("{protocol}: {}", case.name)
}

/// Where a row is run. One about another scheme than these two is for the native runner.
pub fn protocols_of(case: &Case) -> impl Iterator<Item = Protocol> + use<> {
    let can_be_sent = bootstrap::SCHEMES.iter().any(|it| it.as_bytes() == case.send.scheme);
    let pairs = [(Protocol::Http1, Runner::Http1), (Protocol::Http2, Runner::Http2)];
    pairs
        .map(|(protocol, runner)| (can_be_sent && case.runs_on(runner)).then_some(protocol))
        .into_iter()
        .flatten()
}

/// Started for the first trial that asks, ended after the last.
pub struct Lazy<T>(OnceLock<Option<T>>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Lazy<T> {
    pub fn get(&self, start: impl FnOnce() -> Result<T>) -> std::result::Result<&T, Failed> {
        let report = |error| eprintln!("{error}");
        self.0
            .get_or_init(|| start().map_err(report).ok())
            .as_ref()
            .ok_or_else(|| "Envoy did not start".into())
    }
}

/// Sends one row and compares the answer with it.
pub fn check(port: u16, case: &Case, protocol: Protocol) -> std::result::Result<(), Failed> {
    let request = client::request(&case.send, &case.name, protocol)
        .map_err(|e| format!("{e}: {protocol:?} cannot carry this row, say so in `only`"))?;
    let response =
        client::send(port, protocol, request).map_err(|e| format!("no answer: {e:?}\n\n{case}"))?;
    compare(case, &response)
}

/// How `response` differs from the row, if it does.
pub fn compare(case: &Case, response: &Response) -> std::result::Result<(), Failed> {
    let (actual, details) = (answer(response), details_of(response));
    let mut found = case.get.differences(&actual);
    if actual.from == Source::Filter {
        let expected = case.outcome.and_then(table::Outcome::details).unwrap_or_default();
        if details != expected {
            found.push(format!("details: expected {expected}, got {details}"));
        }
        if !response.body.is_empty() {
            found.push(format!("a body of {} bytes", response.body.len()));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\n{case}\n\ngot: {actual}\n  details: {details}", found.join("\n")).into())
}

pub fn answer(response: &Response) -> Answer {
    let from = if response.headers.contains_key("x-upstream") {
        Source::Upstream
    } else if details_of(response).starts_with("cors_") {
        Source::Filter
    } else {
        Source::Envoy
    };
    let lines = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Answer::new(response.status, from, lines)
}

fn details_of(response: &Response) -> &str {
    response.headers.get("x-details").and_then(|value| value.to_str().ok()).unwrap_or_default()
}
