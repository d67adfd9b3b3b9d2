//! What `src/browser.rs` says of a case, and what a browser did, in the same form.

use std::fmt;

use envoy_cors::browser::{
    Failure, Mode, Request, Response, ResponseType, check, check_preflight, check_sendable, follow,
    preflight_for,
};

use crate::case::{Case, Hop, Origins};
use crate::differences::Taken;
use crate::driver::Seen;
use crate::server::Arrived;

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

const REJECTED: &str = "rejected";

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
    let Taken { case, unjudged, redirected, blocks_user_names, refuses_nul } = taken;
    let mut unjudged = unjudged.clone();
    let mut request = case.request(&origins.page);
    check_sendable(&request)?;
    let is_http = |response: &Response| {
        !refuses_nul || !response.headers.iter().any(|(_, value)| value.contains(&0))
    };
    for (number, hop) in case.hops.iter().enumerate() {
        if let Some(preflight) = preflight_for(&request) {
            let lines: Vec<_> =
                preflight.lines().iter().map(|(name, value)| format!("{name}: {value}")).collect();
            sent.push(format!("{number} OPTIONS {}", lines.join(" | ")));
            if !is_http(&hop.preflight) {
                return Ok(REJECTED.to_owned());
            }
            check_preflight(&request, &hop.preflight)?;
        }
        sent.push(format!("{number} {}", actual(&request, &unjudged)));
        if !is_http(&hop.response) {
            return Ok(REJECTED.to_owned());
        }
        let response = received(hop);
        match case.hops.get(number + 1) {
            Some(next) => {
                request = follow(&request, &response, &next.origin, next.user_info)?;
                if *blocks_user_names && next.user_info {
                    return Ok(REJECTED.to_owned());
                }
                for change in redirected {
                    change(&mut request, &mut unjudged, &hop.origin, &origins.page);
                }
            }
            None => {
                let readable = check(&request, &response)?;
                let (kind, status) = match readable.kind {
                    ResponseType::Basic => ("basic", response.status),
                    ResponseType::Cors => ("cors", response.status),
                    ResponseType::Opaque => ("opaque", 0),
                };
                return Ok(format!("{kind} {status} {}", readable.headers.join(" ")));
            }
        }
    }
    unreachable!("the last hop returns")
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
fn actual(request: &Request, unjudged: &[(String, Vec<u8>)]) -> String {
    let mut lines: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    let unjudged = unjudged.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    for (name, value) in request.sent_headers().into_iter().chain(unjudged) {
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

fn describe(
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

/// What a browser did.
pub fn observed(
    case: &Case,
    arrived: &[(usize, Arrived)],
    seen: Option<&Seen>,
    console: &[String],
) -> Trace {
    let names: Vec<_> = case.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let sent = arrived.iter().map(|(hop, request)| {
        let text = |name: &str| {
            request.get(name).map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        if request.is_preflight() {
            let names = [
                "accept",
                "origin",
                "access-control-request-method",
                "access-control-request-headers",
                "cookie",
                "authorization",
            ];
            let lines: Vec<_> =
                names.iter().filter_map(|name| Some(format!("{name}: {}", text(name)?))).collect();
            return format!("{hop} OPTIONS {}", lines.join(" | "));
        }
        let mut headers: Vec<_> = request
            .headers
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .filter(|name| names.contains(name) && !is_the_browsers_own(name, case))
            .collect();
        headers.sort();
        headers.dedup();
        let headers =
            headers.into_iter().map(|name| (name.clone(), request.get(&name).unwrap())).collect();
        let cookies = text("cookie").is_some_and(|value| value.contains("session=1"));
        let line = describe(&request.method, text("origin").as_deref(), cookies, headers);
        format!("{hop} {line}")
    });
    let sent = sent.collect();
    let (end, console) = match seen {
        Some(Seen { kind, status, headers }) => {
            (format!("{kind} {status} {}", headers.join(" ")), None)
        }
        None => {
            let blocked = console.iter().find(|line| line.contains("blocked by CORS policy"));
            (REJECTED.to_owned(), blocked.or(console.first()).cloned())
        }
    };
    Trace { sent, end, console }
}

/// Headers that browsers set whatever the page does.
fn is_the_browsers_own(name: &str, case: &Case) -> bool {
    let dropped = [
        "host",
        "connection",
        "cookie",
        "origin",
        "referer",
        "accept-encoding",
        "te",
        "content-length",
        "dnt",
        "keep-alive",
        "upgrade",
    ];
    let page_sends = || {
        let request = case.request("");
        request.sent_headers().iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name))
    };
    dropped.contains(&name)
        || name.starts_with("sec-")
        || (matches!(name, "accept" | "accept-language") && !page_sends())
        || (case.mode == Mode::NoCors && !page_sends())
}
