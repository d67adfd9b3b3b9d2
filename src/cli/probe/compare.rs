//! Two environments side by side: where the same question gets two answers.

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::{Table, presets};
use envoy_cors::browser;
use envoy_cors::header::{self, response};
use serde::Serialize;

use super::client::Exchange;
use super::endpoint::Endpoint;
use super::observe::Observed;
use super::outcome::{clean, told};
use super::page::{Grant, Visit};

/// What was compared, and what differs.
#[derive(Serialize)]
pub struct Comparison {
    pub bases: [String; 2],
    pub endpoints: Vec<Compared>,
}

/// An endpoint that was asked in both environments.
#[derive(Serialize)]
pub struct Compared {
    pub name: String,
    /// Why one of them could not be asked.
    pub errors: Vec<Failed>,
    /// Who asked what.
    pub subjects: Vec<String>,
    pub differences: Vec<Difference>,
}

/// An answer that differs.
#[derive(Serialize)]
pub struct Difference {
    pub subject: String,
    /// What of the answer.
    pub field: &'static str,
    pub answers: [String; 2],
}

#[derive(Serialize)]
pub struct Failed {
    pub url: String,
    pub error: String,
}

/// Who asked what, and a part of the answer: with its value.
type Facts = Vec<(Key, String)>;
type Key = (String, &'static str);

impl Compared {
    /// What both answered.
    pub fn new(endpoints: [&Endpoint; 2], observed: [Result<Observed, String>; 2]) -> Self {
        let [name, _] = endpoints.map(|endpoint| clean(&endpoint.name));
        let (mut errors, mut answered) = (Vec::new(), Vec::new());
        for (endpoint, observed) in endpoints.into_iter().zip(observed) {
            match observed {
                Ok(observed) => answered.push(facts(&observed)),
                Err(error) => {
                    let url = clean(endpoint.url.as_str());
                    errors.push(Failed { url, error: clean(&error) });
                }
            }
        }
        let mut compared = Self { name, errors, subjects: Vec::new(), differences: Vec::new() };
        if let [one, other] = answered.as_slice() {
            compared.take([one, other]);
        }
        compared
    }

    fn take(&mut self, facts: [&Facts; 2]) {
        let known = facts.map(|facts| {
            facts.iter().map(|(key, value)| (key, value.as_str())).collect::<BTreeMap<_, _>>()
        });
        let [one, other] = facts;
        let [of_one, _] = &known;
        let keys = one.iter().chain(other.iter().filter(|(key, _)| !of_one.contains_key(key)));
        for (key, _) in keys {
            let (subject, field) = key;
            if !self.subjects.contains(subject) {
                self.subjects.push(subject.clone());
            }
            let [a, b] = known.each_ref().map(|of| of.get(key).copied().unwrap_or("not asked"));
            if a != b {
                let answers = [a.to_owned(), b.to_owned()];
                self.differences.push(Difference { subject: subject.clone(), field, answers });
            }
        }
    }
}

impl Comparison {
    /// Every difference, with the name of its endpoint.
    pub fn differences(&self) -> impl Iterator<Item = (&str, &Difference)> {
        self.endpoints.iter().flat_map(|compared| {
            let of = move |difference| (compared.name.as_str(), difference);
            compared.differences.iter().map(of)
        })
    }

    /// What could not be asked.
    pub fn errors(&self) -> impl Iterator<Item = &Failed> {
        self.endpoints.iter().flat_map(|compared| &compared.errors)
    }

    /// Writes a table that can be pasted into Markdown.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write_text(&self, to: &mut impl Write) -> io::Result<()> {
        if self.differences().next().is_some() {
            let mut table = Table::new();
            table.load_style(presets::ASCII_MARKDOWN);
            let [a, b] = &self.bases;
            table.set_header(["endpoint", "who asks what", "answer", a, b]);
            for (name, Difference { subject, field, answers: [a, b] }) in self.differences() {
                table.add_row([name, subject, field, a, b].map(|cell| cell.replace('|', "\\|")));
            }
            writeln!(to, "{table}\n")?;
        }
        writeln!(to, "{}", self.summary())
    }

    /// As in `compared 3 endpoints: 2 differences`.
    pub fn summary(&self) -> String {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let compared = self.endpoints.iter().filter(|compared| compared.errors.is_empty()).count();
        let differences = self.differences().count();
        format!("compared {}: {}", count(compared, "endpoint"), count(differences, "difference"))
    }
}

fn facts(observed: &Observed) -> Facts {
    let mut facts = Facts::new();
    of_answer("a request without Origin", &observed.plain, &mut facts);
    let visits = observed.visits.iter().chain(&observed.refused);
    visits.for_each(|visit| of_visit(&visit.name(), visit, &mut facts));
    for (name, visit) in [
        ("the error reply", &observed.not_found),
        ("the reply without a login", &observed.unauthorized),
    ] {
        visit.iter().for_each(|visit| of_visit(name, visit, &mut facts));
    }
    let stranger = observed.strangers.first().map_or(Grant::None, |tried| tried.grant);
    for (index, tried) in observed.strangers.iter().enumerate() {
        let value = match tried.grant {
            grant if index > 0 && grant <= stranger => "no more than a stranger",
            Grant::None => "no",
            Grant::Anonymous => "yes",
            Grant::WithCredentials => "yes, with credentials",
        };
        facts.push(((tried.stranger.origin.clone(), "allowed"), value.to_owned()));
    }
    facts
}

fn of_visit(name: &str, visit: &Visit, facts: &mut Facts) {
    let (allowed, ..) = told(visit);
    let value = if allowed { "yes" } else { "no" };
    facts.push(((name.to_owned(), "allowed"), value.to_owned()));
    let mut exchanges = visit.exchanges.iter();
    if browser::preflight_for(&visit.request).is_some()
        && let Some(preflight) = exchanges.next()
    {
        of_answer(&format!("{name}: preflight"), preflight, facts);
    }
    if let Some(exchange) = exchanges.next() {
        of_answer(name, exchange, facts);
    }
}

/// Status and CORS headers. The order of a list does not matter, nor the case of
/// header names.
fn of_answer(subject: &str, exchange: &Exchange, facts: &mut Facts) {
    const NAMES: &[(&str, &str)] = &[
        ("Access-Control-Allow-Origin", response::ALLOW_ORIGIN),
        ("Access-Control-Allow-Credentials", response::ALLOW_CREDENTIALS),
        ("Access-Control-Allow-Methods", response::ALLOW_METHODS),
        ("Access-Control-Allow-Headers", response::ALLOW_HEADERS),
        ("Access-Control-Expose-Headers", response::EXPOSE_HEADERS),
        ("Access-Control-Max-Age", response::MAX_AGE),
        ("Vary", response::VARY),
    ];
    let status = match &exchange.answer {
        Ok(answer) => answer.status.to_string(),
        Err(clause) => clean(clause),
    };
    facts.push(((subject.to_owned(), "status"), status));
    for (title, name) in NAMES {
        let mut elements: Vec<_> = exchange
            .lines(name)
            .flat_map(header::elements)
            .map(|element| element.escape_ascii().to_string())
            .collect();
        if matches!(*name, response::ALLOW_HEADERS | response::EXPOSE_HEADERS | response::VARY) {
            elements.iter_mut().for_each(|element| element.make_ascii_lowercase());
        }
        elements.sort();
        let value = match elements.as_slice() {
            [] => "none".to_owned(),
            [empty] if empty.is_empty() => "empty".to_owned(),
            _ => clean(&elements.join(", ")),
        };
        facts.push(((subject.to_owned(), title), value));
    }
}
