//! What `src/browser.rs` says of a case.

use std::fmt;

use envoy_cors::browser::{
    Failure, Preflight, Request, Response, ResponseType, check, check_preflight, check_sendable,
    follow, preflight_for,
};

use crate::case::{Hop, Origins};
use crate::differences::Taken;

/// What can be observed of a case.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// What reached the servers, in order.
    pub sent: Vec<String>,
    /// What the page saw.
    pub end: String,
    /// What the console said of the failure.
    pub console: Option<String>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.sent {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "    {}", self.end)?;
        write!(f, "    console: {}", self.console.as_deref().unwrap_or("-"))
    }
}

pub const REJECTED: &str = "rejected";

impl Trace {
    pub fn is_rejected(&self) -> bool {
        self.end == REJECTED
    }

    /// Whether a browser did this, and its console, if it has one, named the step.
    pub fn agrees_with(&self, observed: &Self, logs: bool) -> bool {
        let named = match (&self.console, &observed.console) {
            (Some(phrase), Some(line)) => line.contains(phrase),
            (Some(_), None) => !logs,
            (None, _) => true,
        };
        self.sent == observed.sent && self.end == observed.end && named
    }

    /// How it ends, without what is particular to the case.
    pub fn summary(&self) -> String {
        match (&self.console, self.end.split_once(' ')) {
            (Some(phrase), _) => format!("rejected: {phrase}"),
            (None, Some((kind, _))) => format!("resolved: {kind}"),
            (None, None) => self.end.clone(),
        }
    }
}

/// What `src/browser.rs` says of a case, or of what a browser takes it for.
pub fn expected(taken: &Taken, origins: &Origins) -> Trace {
    let mut sent = Vec::new();
    let (end, console) = match walk(taken, origins, &mut sent) {
        Ok(readable) => (readable, None),
        Err(failure) => (REJECTED.to_owned(), failure.console_phrase().map(str::to_owned)),
    };
    Trace { sent, end, console }
}

fn walk(taken: &Taken, origins: &Origins, sent: &mut Vec<String>) -> Result<String, Failure> {
    let case = &taken.case;
    let mut request = case.request(&origins.page);
    let mut carried = Request { headers: taken.carried.clone(), ..request.clone() };
    let first = Request { page: "null".into(), method: "GET".into(), ..request.clone() };
    let mut asked = preflight_for(&first).is_some();
    let is_http = |response: &Response| {
        !taken.refuses_nul || !response.headers.iter().any(|(_, value)| value.contains(&0))
    };
    check_sendable(&request)?;
    for (number, hop) in case.hops.iter().enumerate() {
        let mut asking = request.clone();
        if let Some(preflight) = due(taken, &asking, asked, origins) {
            asked = true;
            sent.push(format!("{number} OPTIONS {}", question(taken, &asking, &preflight)));
            if !is_http(&hop.preflight) {
                return Ok(REJECTED.to_owned());
            }
            let mut answer = hop.preflight.clone();
            if taken.preflights_as_the_page {
                asking.page.clone_from(&origins.page);
                if hop.origin == origins.page {
                    share_with(&asking.page, &mut answer);
                }
            }
            check_preflight(&asking, &answer)?;
        }
        sent.push(format!("{number} {}", actual(&carried)));
        if !is_http(&hop.response) {
            return Ok(REJECTED.to_owned());
        }
        let response = received(hop);
        let Some(next) = case.hops.get(number + 1) else {
            let readable = check(&request, &response)?;
            let (kind, status) = match readable.kind {
                ResponseType::Basic => ("basic", response.status),
                ResponseType::Cors => ("cors", response.status),
                ResponseType::Opaque => ("opaque", 0),
            };
            return Ok(format!("{kind} {status} {}", readable.headers.join(" ")));
        };
        let lead = |request: &Request| follow(request, &response, &next.origin, next.user_info);
        if taken.restores_headers {
            request.headers.clone_from(&case.headers);
            let (method, headers) = (case.method.clone(), taken.carried.clone());
            let restored = lead(&Request { method, headers, ..carried.clone() })?;
            carried = Request { headers: restored.headers, ..lead(&carried)? };
        } else {
            carried = lead(&carried)?;
        }
        request = lead(&request)?;
        for request in [&mut request, &mut carried] {
            for change in &taken.redirected {
                change(request, &hop.origin, &origins.page);
            }
        }
        if taken.refuses_user_names && next.user_info {
            return Ok(REJECTED.to_owned());
        }
    }
    unreachable!("the last hop returns")
}

/// Makes a response pass the CORS check.
fn share_with(page: &str, response: &mut Response) {
    let (origin, credentials) = ("access-control-allow-origin", "access-control-allow-credentials");
    response.headers.retain(|(name, _)| {
        !name.eq_ignore_ascii_case(origin) && !name.eq_ignore_ascii_case(credentials)
    });
    response.headers.push((origin.into(), page.into()));
    response.headers.push((credentials.into(), b"true".to_vec()));
}

/// The preflight that a browser sends.
fn due(taken: &Taken, request: &Request, asked: bool, origins: &Origins) -> Option<Preflight> {
    let again = taken.preflights_again && asked && request.is_cors();
    let mut preflight = preflight_for(request).or_else(|| {
        let (origin, method) = (request.page.clone(), request.sent_method().to_owned());
        again.then_some(Preflight { origin, method, headers: Vec::new() })
    })?;
    if taken.preflights_as_the_page {
        preflight.origin.clone_from(&origins.page);
    }
    Some(preflight)
}

/// The headers of a preflight.
fn question(taken: &Taken, request: &Request, preflight: &Preflight) -> String {
    let mut preflight = preflight.clone();
    if taken.repeats_names {
        let alone = |line: (&str, &[u8])| {
            let headers = vec![(line.0.to_owned(), line.1.to_vec())];
            preflight_for(&Request { method: "GET".into(), headers, ..request.clone() })
        };
        let names = request.sent_headers().into_iter().filter_map(alone);
        preflight.headers = names.flat_map(|preflight| preflight.headers).collect();
        preflight.headers.sort();
    }
    let lines = preflight.lines();
    let lines: Vec<_> = lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.join(" | ")
}

/// The response with what the server adds.
fn received(hop: &Hop) -> Response {
    let mut response = hop.response.clone();
    if response.status != 204 {
        response.headers.push(("Content-Length".into(), b"0".to_vec()));
    }
    response
}

/// A request as it should arrive: its line, `Origin`, whether cookies come
/// along, and the headers that the page set.
fn actual(request: &Request) -> String {
    let mut lines: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for (name, value) in request.sent_headers() {
        let name = name.to_ascii_lowercase();
        match lines.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push(value.to_vec()),
            None => lines.push((name, vec![value.to_vec()])),
        }
    }
    lines.sort();
    let headers = lines.into_iter().map(|(name, values)| (name, values.join(&b", "[..])));
    describe(
        request.sent_method(),
        request.origin_header(),
        request.sends_credentials(),
        headers.collect(),
    )
}

pub fn describe(
    method: &str,
    origin: Option<&str>,
    cookies: bool,
    headers: Vec<(String, Vec<u8>)>,
) -> String {
    let mut text = format!("{method} origin: {}", origin.unwrap_or("-"));
    if cookies {
        text += " with cookies";
    }
    for (name, value) in &headers {
        // Chromium's cache writes a range that it understands anew.
        let value = if name == "range" { b"..." } else { value.trim_ascii() };
        text += &format!(" | {name}: {}", value.escape_ascii());
    }
    text
}
