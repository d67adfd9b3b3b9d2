//! What becomes of a request: the gateway's half by the filter's own decision,
//! the browser's half by the Fetch standard.

use envoy_cors::browser::{self, Failure, Preflight, Readable, Request, Response};
use envoy_cors::header::request as name;
use envoy_cors::{Decision, Edit, Policies, decide};
use url::{Position, Url};

use crate::cli::site::{is_mixed_content, is_trustworthy, site};

/// What a browser sends, as far as it gets, and how that ends.
pub struct Course {
    pub preflight: Option<Exchange>,
    pub actual: Option<Exchange>,
    pub end: End,
}

/// Names in lower case, pseudo-headers first, and values.
pub type Lines = [(String, Vec<u8>)];

/// How a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The page can read this much of the response.
    Readable(Readable),
    /// The browser refuses.
    Refused(Failure),
    /// The browser refuses to ask for an URL without TLS, because the page came
    /// with it.
    MixedContent,
    /// The gateway refuses a request whose response no page could read anyway.
    Rejected,
}

/// A request and its answer.
pub struct Exchange {
    /// Pseudo-headers and the headers that matter here.
    pub sent: Vec<(String, Vec<u8>)>,
    /// `None` if no policy covers the request.
    pub decision: Option<Decision>,
    /// The gateway's own answer; or upstream's with the gateway's changes, where
    /// upstream says 200 and nothing about CORS.
    pub response: Response,
    /// Envoy's response code details, if the gateway answers itself.
    pub details: Option<&'static str>,
    /// Headers that the gateway takes away if upstream sends them.
    pub removed: Vec<&'static str>,
}

impl Course {
    /// Plays a request through.
    pub fn of(policies: &Policies, request: &Request, url: &Url) -> Self {
        if let Err(failure) = browser::check_sendable(request) {
            return Self { preflight: None, actual: None, end: End::Refused(failure) };
        }
        if is_mixed_content(&request.page, url) {
            return Self { preflight: None, actual: None, end: End::MixedContent };
        }
        let preflight = browser::preflight_for(request)
            .map(|preflight| Exchange::of(policies, preflight_lines(request, &preflight, url)));
        let failure = preflight
            .as_ref()
            .and_then(|exchange| browser::check_preflight(request, &exchange.response).err());
        if let Some(failure) = failure {
            return Self { preflight, actual: None, end: End::Refused(failure) };
        }
        let actual = Exchange::of(policies, actual_lines(request, url));
        let end = match browser::check(request, &actual.response) {
            Err(failure) => End::Refused(failure),
            Ok(_) if actual.details.is_some() => End::Rejected,
            Ok(readable) => End::Readable(readable),
        };
        Self { preflight, actual: Some(actual), end }
    }

    pub fn is_allowed(&self) -> bool {
        matches!(self.end, End::Readable(_))
    }
}

impl Exchange {
    fn of(policies: &Policies, sent: Vec<(String, Vec<u8>)>) -> Self {
        let decision = decide(policies, |name| lookup(&sent, name));
        let mut exchange = Self {
            sent,
            decision: None,
            response: Response { status: 200, headers: Vec::new() },
            details: None,
            removed: Vec::new(),
        };
        let Some(decision) = decision else { return exchange };
        if let Some(reply) = decision.reply() {
            exchange.details = Some(reply.details);
            exchange.response.status = u16::try_from(reply.status).unwrap_or_default();
            let headers = reply.headers.iter();
            exchange.response.headers =
                headers.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        } else {
            for edit in decision.edits(|_| None) {
                match edit {
                    Edit::Set(name, value) | Edit::Append(name, value) => {
                        exchange.response.headers.push((name.to_owned(), value.to_vec()));
                    }
                    Edit::Remove(name) => exchange.removed.push(name),
                }
            }
        }
        Self { decision: Some(decision), ..exchange }
    }
}

/// The value of a header, its lines joined as Envoy joins them.
pub fn lookup(sent: &Lines, name: &str) -> Option<Vec<u8>> {
    let lines = sent.iter().filter(|(other, _)| other == name);
    let values: Vec<_> = lines.map(|(_, value)| value.as_slice()).collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

fn preflight_lines(request: &Request, preflight: &Preflight, url: &Url) -> Vec<(String, Vec<u8>)> {
    let mut lines = target_lines("OPTIONS", request, url);
    let own = preflight.lines().into_iter();
    lines.extend(own.map(|(name, value)| (name.to_owned(), value.into_bytes())));
    lines
}

fn actual_lines(request: &Request, url: &Url) -> Vec<(String, Vec<u8>)> {
    let mut lines = target_lines(request.sent_method(), request, url);
    let origin = request.origin_header().map(|origin| (name::ORIGIN.to_owned(), origin.into()));
    lines.extend(origin);
    let own = request.sent_headers();
    lines.extend(own.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())));
    lines
}

fn target_lines(method: &str, request: &Request, url: &Url) -> Vec<(String, Vec<u8>)> {
    let mut lines = vec![
        (name::METHOD, method),
        (name::SCHEME, url.scheme()),
        (name::AUTHORITY, &url[Position::BeforeHost..Position::AfterPort]),
        (name::PATH, &url[Position::BeforePath..Position::AfterQuery]),
    ];
    // Only trustworthy servers are told.
    if is_trustworthy(url) {
        lines.push((name::SEC_FETCH_SITE, site(&request.page, url)));
    }
    lines.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}
