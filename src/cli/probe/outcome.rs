//! What is reported of a run, in any format: plain text, safe to print, without
//! secrets.

use envoy_cors::browser::{self, Browser};
use serde::Serialize;

use super::client::Exchange;
use super::diagnose;
use super::endpoint::Endpoint;
use super::finding::Finding;
use super::observe::{Observed, Tried};
use super::page::{Grant, Verdict, Visit};
use crate::cli::report::Severity;

/// What came of all URLs.
#[derive(Serialize)]
pub struct Report {
    pub endpoints: Vec<Outcome>,
}

/// What came of one URL.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How it is called: by its URL, if it has no other name.
    pub name: String,
    pub url: String,
    /// Why it could not be asked, or not to the end.
    pub error: Option<String>,
    /// What the pages can do.
    pub pages: Vec<Page>,
    /// What others can do.
    pub strangers: Strangers,
    /// Every check that was made.
    pub checks: Vec<String>,
    pub findings: Vec<Found>,
    /// How many findings were left out, because they are meant.
    pub allowed: usize,
}

/// What a page can do.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub origin: String,
    pub method: String,
    /// The names of the headers that it sets.
    pub headers: Vec<String>,
    pub credentials: bool,
    /// Whether it can do what it wants.
    pub allowed: bool,
    /// Whether the response was sent, and the page reads it.
    pub read: bool,
    /// In a sentence.
    pub result: String,
    /// What people find in Chromium's console.
    pub console: Option<&'static str>,
    /// What was answered last, to a preflight or a request.
    pub status: Option<u16>,
    /// The names of the headers that the page can read.
    pub readable: Vec<String>,
    /// How long browsers remember the preflight.
    pub max_age: Option<MaxAge>,
}

/// In seconds.
#[derive(Serialize)]
pub struct MaxAge {
    pub chromium: u32,
    pub firefox: u32,
    pub webkit: u32,
}

/// What the origins can do that nobody means to allow.
#[derive(Serialize)]
pub struct Strangers {
    pub tried: usize,
    pub allowed: Vec<Allowed>,
}

#[derive(Serialize)]
pub struct Allowed {
    pub origin: String,
    pub credentials: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub rule: &'static str,
    #[serde(serialize_with = "name")]
    pub severity: Severity,
    pub message: String,
    pub why: &'static str,
    pub remedy: String,
    pub checks: Vec<String>,
    pub exchanges: Vec<Shown>,
}

fn name<S: serde::Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(severity.name())
}

/// An exchange as it is shown: what matters for CORS.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Method and URL.
    pub request: String,
    /// Header lines.
    pub request_headers: Vec<String>,
    /// Status code, or why there is none.
    pub answer: String,
    pub answer_headers: Vec<String>,
}

impl Outcome {
    /// Of a URL that was asked, or not to the end.
    pub fn new(endpoint: &Endpoint, observed: Result<Observed, String>) -> Self {
        let mut outcome = Self {
            name: clean(&endpoint.name),
            url: clean(endpoint.url.as_str()),
            error: None,
            pages: Vec::new(),
            strangers: Strangers { tried: 0, allowed: Vec::new() },
            checks: Vec::new(),
            findings: Vec::new(),
            allowed: 0,
        };
        match observed {
            Ok(observed) => outcome.take(endpoint, &observed),
            Err(error) => outcome.error = Some(clean(&error)),
        }
        outcome
    }

    fn take(&mut self, endpoint: &Endpoint, observed: &Observed) {
        self.pages = observed.visits.iter().map(Page::new).collect();
        let granted = observed.strangers.iter().filter(|tried| tried.grant > Grant::None);
        self.strangers = Strangers {
            tried: observed.strangers.len(),
            allowed: granted.map(Allowed::new).collect(),
        };
        self.checks = diagnose::checks(observed);
        let findings = diagnose::diagnose(endpoint, observed);
        let is_meant =
            |finding: &Finding| endpoint.allowed.iter().any(|(rule, _)| rule == finding.rule.id);
        let (meant, found): (Vec<_>, Vec<_>) = findings.into_iter().partition(is_meant);
        self.allowed = meant.len();
        self.findings = found.iter().map(Found::new).collect();
    }

    /// As in `1 error, 0 warnings, 2 notes`.
    pub fn counts(&self) -> String {
        let number = |severity: Severity| {
            let n = self.findings.iter().filter(|found| found.severity == severity).count();
            format!("{n} {}{}", severity.name(), if n == 1 { "" } else { "s" })
        };
        let all = [Severity::Error, Severity::Warning, Severity::Note].map(number).join(", ");
        match self.allowed {
            0 => all,
            n => format!("{all}; {n} allowed"),
        }
    }

    /// Whether something has to be done.
    pub fn is_bad(&self) -> bool {
        self.findings.iter().any(|found| found.severity < Severity::Note)
    }
}

impl Page {
    fn new(visit: &Visit) -> Self {
        let last = visit.exchanges.last();
        let (allowed, result, console) = told(visit);
        let readable = match &visit.verdict {
            Verdict::Reads(readable) => readable.headers.iter().map(|name| clean(name)).collect(),
            _ => Vec::new(),
        };
        Self {
            origin: visit.request.page.clone(),
            method: visit.request.sent_method().to_owned(),
            headers: visit
                .request
                .sent_headers()
                .into_iter()
                .map(|(name, _)| name.to_owned())
                .collect(),
            credentials: visit.request.sends_credentials(),
            allowed,
            read: matches!(visit.verdict, Verdict::Reads(_)),
            result: clean(&result),
            console,
            status: last.and_then(Exchange::status),
            readable,
            max_age: max_age(visit).filter(|_| allowed),
        }
    }
}

impl Page {
    /// What comes of its request.
    pub fn told(&self) -> String {
        match self.status {
            Some(status) if self.read => {
                let names = self.readable.join(", ");
                let colon = if names.is_empty() { "" } else { "; " };
                format!("{}: {status}{colon}{names}", self.result)
            }
            _ => self.result.clone(),
        }
    }
}

impl MaxAge {
    pub fn told(&self) -> String {
        format!(
            "preflight remembered for {} s in Chromium, {} s in Firefox, {} s in Safari",
            self.chromium, self.firefox, self.webkit
        )
    }
}

fn max_age(visit: &Visit) -> Option<MaxAge> {
    browser::preflight_for(&visit.request)?;
    let answer = visit.exchanges.first()?.answer.as_ref().ok()?;
    Some(MaxAge {
        chromium: browser::max_age(answer, Browser::Chromium),
        firefox: browser::max_age(answer, Browser::Firefox),
        webkit: browser::max_age(answer, Browser::WebKit),
    })
}

/// Whether a page can do what it wants, what comes of it, and what the console
/// says.
pub fn told(visit: &Visit) -> (bool, String, Option<&'static str>) {
    let refused = |sentence: String| (false, sentence, None);
    match &visit.verdict {
        Verdict::Reads(_) => (true, "reads the response".into(), None),
        Verdict::NotSent if visit.exchanges.is_empty() => {
            (true, "needs no preflight; not sent (--send-unsafe)".into(), None)
        }
        Verdict::NotSent => (true, "preflight allowed; not sent (--send-unsafe)".into(), None),
        Verdict::Fails(failure) => (false, failure.to_string(), failure.console_phrase()),
        Verdict::PreflightUnanswered(clause) => {
            refused(format!("the preflight has no answer: {clause}"))
        }
        Verdict::MixedContent => refused("the browser blocks it: the URL has no TLS".into()),
        Verdict::Elsewhere(location) => {
            refused(format!("redirected to {location}, which was not asked"))
        }
        Verdict::RedirectLoop => refused("the redirects do not end".into()),
    }
}

impl Allowed {
    fn new(tried: &Tried) -> Self {
        let credentials = tried.grant == Grant::WithCredentials;
        Self { origin: tried.stranger.origin.clone(), credentials }
    }
}

impl Found {
    fn new(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.id,
            severity: finding.severity,
            message: clean(&finding.message),
            why: finding.rule.why,
            remedy: clean(&finding.remedy),
            checks: finding.checks.clone(),
            exchanges: finding.exchanges.iter().map(Shown::new).collect(),
        }
    }
}

impl Shown {
    /// The lines of both, each with the sign of its direction.
    pub fn lines(&self) -> impl Iterator<Item = (char, &str)> {
        let sent = [&self.request].into_iter().chain(&self.request_headers);
        let answered = [&self.answer].into_iter().chain(&self.answer_headers);
        let sent = sent.map(|line| ('>', line.as_str()));
        sent.chain(answered.map(|line| ('<', line.as_str())))
    }

    fn new(exchange: &Exchange) -> Self {
        let line =
            |name: &str, value: &[u8]| clean(&format!("{}: {}", title(name), value.escape_ascii()));
        let sent = exchange.sent.iter().filter(|(name, _)| is_telling_of_request(name));
        let received = exchange.answer.as_ref().map(|answer| &*answer.headers).unwrap_or_default();
        let received = received.iter().filter(|(name, _)| is_telling_of_answer(name));
        Self {
            request: clean(&exchange.to_string()),
            request_headers: sent
                .map(|(name, value)| line(name, if is_secret(name) { b"..." } else { value }))
                .collect(),
            answer: match &exchange.answer {
                Ok(answer) => answer.status.to_string(),
                Err(clause) => clean(clause),
            },
            answer_headers: received.map(|(name, value)| line(name, value)).collect(),
        }
    }
}

fn is_telling_of_request(name: &str) -> bool {
    name != "accept" && !name.starts_with("sec-fetch-")
}

fn is_secret(name: &str) -> bool {
    !matches!(name, "origin" | "content-type") && !name.starts_with("access-control-")
}

fn is_telling_of_answer(name: &str) -> bool {
    name.starts_with("access-control-")
        || matches!(
            name,
            "allow" | "cache-control" | "location" | "server" | "vary" | "www-authenticate"
        )
}

/// `Content-Type` of `content-type`.
fn title(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let shown = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            shown
        })
        .collect()
}

/// Longest text of others that is shown, in characters.
const LONGEST: usize = 500;

/// A text without what a terminal may obey and XML cannot hold, and not too long.
pub fn clean(text: &str) -> String {
    let end = text.char_indices().nth(LONGEST).map(|(end, _)| end);
    let shown = end.and_then(|end| text.get(..end)).unwrap_or(text);
    let bad = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    let good = shown.chars().map(|c| if bad(c) { '\u{fffd}' } else { c });
    good.chain(end.map(|_| '…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_safe_to_show() {
        let long = "é".repeat(LONGEST);
        for (text, shown) in [
            ("a b", "a b"),
            ("\u{1b}[31m\u{9b}\r\n", "\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}"),
            ("/\u{fffe}\u{ffff}", "/\u{fffd}\u{fffd}"),
            (&long, &long),
            (&format!("{long}é"), &format!("{long}…")),
        ] {
            assert_eq!(clean(text), shown);
        }
    }
}
