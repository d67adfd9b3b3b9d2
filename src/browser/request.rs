//! What is sent: whether at all, whether a preflight goes first, and what that
//! carries.

use std::collections::BTreeSet;

use super::failure::{Failure, Unsendable};
use super::{Credentials, Mode, Request};
use crate::header::{self, request};
use crate::method;

/// Longest value of a safelisted header, in bytes.
const MAX_SAFELISTED_VALUE: usize = 128;

/// Longest values of all safelisted headers together, in bytes.
const MAX_SAFELISTED_VALUES: usize = 1024;

/// The question that a browser asks before a request that a page could not
/// always make: an `OPTIONS` request to the same URL, without credentials
/// ([CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch-0)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// `Origin`
    pub origin: String,
    /// ACRM
    pub method: String,
    /// The names in ACRH: lower-case, sorted, each once. There is no ACRH if
    /// there are none.
    pub headers: Vec<String>,
}

impl Preflight {
    /// The header lines that matter to a server, named in lower case.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("accept", "*/*".to_owned()),
            (request::ORIGIN, self.origin.clone()),
            (request::ACRM, self.method.clone()),
        ];
        if !self.headers.is_empty() {
            lines.push((request::ACRH, self.headers.join(",")));
        }
        lines
    }
}

impl Request {
    /// Whether its response tainting is `cors`: the page asks another origin,
    /// and wants to read the response
    /// ([main fetch](https://fetch.spec.whatwg.org/#concept-main-fetch), step 12).
    #[must_use]
    pub fn is_cors(&self) -> bool {
        self.mode == Mode::Cors && !self.is_same_origin()
    }

    /// Whether the page asks its own origin.
    #[must_use]
    pub fn is_same_origin(&self) -> bool {
        self.page == self.target && self.page != "null"
    }

    /// Whether cookies and other credentials go along
    /// ([HTTP-network-or-cache fetch](https://fetch.spec.whatwg.org/#concept-http-network-or-cache-fetch), step 8.3).
    #[must_use]
    pub fn sends_credentials(&self) -> bool {
        match self.credentials {
            Credentials::Omit => false,
            Credentials::SameOrigin => self.is_same_origin(),
            Credentials::Include => true,
        }
    }

    /// The value of its `Origin` header, if it has one: CORS requests do, and
    /// others with a method beside GET and HEAD, unless a referrer policy other
    /// than the default says `null`
    /// ([append a request `Origin` header](https://fetch.spec.whatwg.org/#append-a-request-origin-header)).
    #[must_use]
    pub fn origin_header(&self) -> Option<&str> {
        let sent = self.is_cors() || !matches!(self.sent_method(), "GET" | "HEAD");
        let downgrade = !self.is_cors()
            && self.page.starts_with("https://")
            && !self.target.starts_with("https://");
        sent.then_some(if downgrade { "null" } else { &self.page })
    }

    /// The method as it is sent.
    #[must_use]
    pub fn sent_method(&self) -> &str {
        method::normalize(&self.method)
    }

    /// The headers as they are sent: white space around values is gone, and so
    /// are headers that the browser keeps to itself; with mode `no-cors` all
    /// that are not safelisted
    /// ([append](https://fetch.spec.whatwg.org/#concept-headers-append)).
    #[must_use]
    pub fn sent_headers(&self) -> Vec<(&str, &[u8])> {
        let mut sent: Vec<(&str, &[u8])> = Vec::new();
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            let value = normalize_value(value);
            let with_those_before = || {
                let before = sent.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
                let values: Vec<_> = before.map(|(_, value)| *value).chain([value]).collect();
                values.join(&b", "[..])
            };
            if !is_forbidden(&lower, value)
                && (self.mode != Mode::NoCors
                    || is_safelisted_without_cors(&lower, &with_those_before()))
            {
                sent.push((name, value));
            }
        }
        sent
    }

    /// The names of headers that the page sets in vain: the browser drops them
    /// without a word.
    pub fn dropped_headers(&self) -> impl Iterator<Item = &str> {
        let sent = self.sent_headers();
        let names = self.headers.iter().map(|(name, _)| name.as_str());
        names.filter(move |name| !sent.iter().any(|(other, _)| other == name))
    }
}

/// Whether the browser sends the request at all, rather than to throw a
/// `TypeError` at once
/// ([the Request constructor](https://fetch.spec.whatwg.org/#dom-request), steps 25, 32 and 33;
/// [main fetch](https://fetch.spec.whatwg.org/#concept-main-fetch), step 12).
///
/// # Errors
///
/// Always [`Failure::Unsendable`].
pub fn check_sendable(request: &Request) -> Result<(), Failure> {
    let method = request.method.as_bytes();
    let unsendable = |why| Err(Failure::Unsendable(why));
    if !header::is_token(method) {
        return unsendable(Unsendable::InvalidMethod(request.method.clone()));
    }
    if method::is_forbidden(method) {
        return unsendable(Unsendable::ForbiddenMethod(request.method.clone()));
    }
    if request.mode == Mode::NoCors && !method::is_safelisted(request.sent_method().as_bytes()) {
        return unsendable(Unsendable::MethodWithoutCors(request.method.clone()));
    }
    for (name, value) in &request.headers {
        if !header::is_token(name.as_bytes()) {
            return unsendable(Unsendable::InvalidHeaderName(name.clone()));
        }
        if normalize_value(value).iter().any(|b| matches!(b, b'\0' | b'\r' | b'\n')) {
            return unsendable(Unsendable::InvalidHeaderValue(name.clone()));
        }
    }
    if request.mode == Mode::SameOrigin && !request.is_same_origin() {
        return unsendable(Unsendable::OtherOrigin);
    }
    Ok(())
}

/// The preflight that goes before a request, if one does
/// ([main fetch](https://fetch.spec.whatwg.org/#concept-main-fetch), step 12, and
/// [CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch-0), steps 1 to 5).
///
/// As if nothing were cached. Two things that a [`Request`] does not hold call
/// for one as well: a listener for upload progress, and a body that is a stream.
#[must_use]
pub fn preflight_for(request: &Request) -> Option<Preflight> {
    let headers = unsafe_names(request);
    let method = request.sent_method();
    let due =
        request.is_cors() && (!method::is_safelisted(method.as_bytes()) || !headers.is_empty());
    due.then(|| Preflight {
        origin: request.page.clone(),
        method: method.to_owned(),
        headers: headers.into_iter().collect(),
    })
}

/// [CORS-unsafe request-header names](https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names)
pub(super) fn unsafe_names(request: &Request) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut safelisted = BTreeSet::new();
    let mut safelisted_bytes = 0;
    for (name, value) in request.sent_headers() {
        let name = name.to_ascii_lowercase();
        if is_safelisted(&name, value) {
            safelisted.insert(name);
            safelisted_bytes += value.len();
        } else {
            names.insert(name);
        }
    }
    if safelisted_bytes > MAX_SAFELISTED_VALUES {
        names.append(&mut safelisted);
    }
    names
}

/// [CORS-safelisted request-header](https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
/// The name is lower-case.
fn is_safelisted(name: &str, value: &[u8]) -> bool {
    value.len() <= MAX_SAFELISTED_VALUE
        && match name {
            "accept" => !value.iter().any(is_unsafe_byte),
            "accept-language" | "content-language" => {
                value.iter().all(|b| b.is_ascii_alphanumeric() || b" *,-.;=".contains(b))
            }
            "content-type" => !value.iter().any(is_unsafe_byte) && is_form_type(value),
            "range" => is_simple_range(value),
            _ => false,
        }
}

/// [no-CORS-safelisted request-header](https://fetch.spec.whatwg.org/#no-cors-safelisted-request-header).
/// The name is lower-case.
fn is_safelisted_without_cors(name: &str, value: &[u8]) -> bool {
    name != "range" && is_safelisted(name, value)
}

/// [CORS-unsafe request-header byte](https://fetch.spec.whatwg.org/#cors-unsafe-request-header-byte)
fn is_unsafe_byte(byte: &u8) -> bool {
    (*byte < b' ' && *byte != b'\t') || b"\"():<>?@[\\]{}\x7f".contains(byte)
}

/// Whether a `Content-Type` is one that an HTML form can have. Parameters do
/// not matter ([parse a MIME type](https://mimesniff.spec.whatwg.org/#parse-a-mime-type)).
fn is_form_type(value: &[u8]) -> bool {
    let essence = value.split(|b| *b == b';').next().unwrap_or_default();
    let essence = normalize_value(essence).to_ascii_lowercase();
    let form: [&[u8]; 3] =
        [b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"];
    form.contains(&&*essence)
}

/// `bytes=N-` or `bytes=N-M`
/// ([parse a single range header value](https://fetch.spec.whatwg.org/#simple-range-header-value)).
fn is_simple_range(value: &[u8]) -> bool {
    let Some(range) = value.strip_prefix(b"bytes=") else { return false };
    let mut numbers = range.splitn(2, |b| *b == b'-');
    let (Some(start), Some(end)) = (numbers.next(), numbers.next()) else { return false };
    let digits = |number: &[u8]| number.iter().all(u8::is_ascii_digit);
    !start.is_empty() && digits(start) && digits(end) && (end.is_empty() || !is_above(start, end))
}

/// Compares decimal numbers of any length.
fn is_above(one: &[u8], other: &[u8]) -> bool {
    let significant =
        |number: &[u8]| -> Vec<u8> { number.iter().skip_while(|b| **b == b'0').copied().collect() };
    let (one, other) = (significant(one), significant(other));
    (one.len(), one) > (other.len(), other)
}

/// [Forbidden request-header](https://fetch.spec.whatwg.org/#forbidden-request-header).
/// The name is lower-case.
fn is_forbidden(name: &str, value: &[u8]) -> bool {
    match name {
        request::ORIGIN | request::ACRM | request::ACRH => true,
        "x-http-method" | "x-http-method-override" | "x-method-override" => {
            header::elements(value).any(method::is_forbidden)
        }
        _ => header::is_forbidden_request_name(name),
    }
}

/// [Normalize](https://fetch.spec.whatwg.org/#concept-header-value-normalize):
/// white space around a value is not part of it.
pub(super) fn normalize_value(value: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | b' ');
    let start = value.iter().position(|b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Request {
            page: "https://web.example".into(),
            target: "https://api.example".into(),
            method: method.into(),
            headers: headers.iter().map(header).collect(),
            mode: Mode::Cors,
            credentials: Credentials::SameOrigin,
        }
    }

    fn acrh(headers: &[(&str, &str)]) -> Option<String> {
        preflight_for(&request("GET", headers)).map(|preflight| preflight.headers.join(","))
    }

    #[test]
    fn safelisted_values_need_no_preflight() {
        let long = "a".repeat(128);
        for (name, value) in [
            ("Accept", "*/*;q=0.1, x/y"),
            ("accept", &long),
            ("accept-language", "de-DE, en;q=0.5, *"),
            ("Content-Language", ""),
            ("content-type", "TEXT/Plain"),
            ("content-type", "text/plain;"),
            ("content-type", "text/plain;garbage"),
            ("content-type", " text/plain ; charset=utf-8"),
            ("content-type", "multipart/form-data"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("range", "bytes=100-200"),
            ("Range", "bytes=200-"),
            ("range", "bytes=0099-100"),
            ("range", "bytes=99999999999999999999-99999999999999999999"),
        ] {
            assert_eq!(acrh(&[(name, value)]), None, "{name}: {value:?}");
        }
    }

    #[test]
    fn other_values_need_one() {
        let long = "a".repeat(129);
        let long_type = "text/plain; ".to_owned() + &long;
        for (name, value) in [
            ("accept", "\""),
            ("accept", &long),
            ("accept-language", "\u{1}"),
            ("accept-language", "@"),
            ("content-language", "de_DE"),
            ("content-language", "a\tb"),
            ("content-type", ""),
            ("content-type", "text/html"),
            ("content-type", "application/json"),
            ("content-type", "text /plain"),
            ("content-type", "text\t/\tplain"),
            ("content-type", "text/plain;garbage\u{1}"),
            ("content-type", "text/plain,"),
            ("content-type", ",text/plain"),
            ("content-type", "text/plain,text/plain"),
            ("content-type", "text/plain\u{b}"),
            ("content-type", "multipart/form-data;\""),
            ("content-type", &long_type),
            ("range", "100-200"),
            ("range", "bytes =100-200"),
            ("range", "bytes= 100-200"),
            ("range", "bytes=100 -200"),
            ("range", "bytes=100-200,300-400"),
            ("range", "bytes=-200"),
            ("range", "bytes=-"),
            ("range", "bytes=200-100"),
            ("range", "bytes=200"),
            ("range", "Bytes=1-2"),
            ("authorization", "x"),
            ("last-event-id", "x"),
            ("x-test", ""),
        ] {
            assert_eq!(acrh(&[(name, value)]), Some(name.into()), "{name}: {value:?}");
        }
    }

    #[test]
    fn requested_names_are_sorted_lower_case_and_unique() {
        let headers = [("X-B", "1"), ("x-a", "2"), ("X-b", "3"), ("Accept", "*/*")];
        let preflight = preflight_for(&request("put", &headers)).unwrap();
        let lines = [
            ("accept", "*/*"),
            ("origin", "https://web.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a,x-b"),
        ];
        assert_eq!(preflight.lines(), lines.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn safelisted_values_are_limited_together() {
        let value = "a".repeat(128);
        let mut headers = vec![("accept", &*value); 8];
        assert_eq!(acrh(&headers), None);
        headers.push(("accept-language", "a"));
        assert_eq!(acrh(&headers), Some("accept,accept-language".into()));
        headers.push(("x-a", ""));
        assert_eq!(acrh(&headers), Some("accept,accept-language,x-a".into()));
    }

    #[test]
    fn methods_beside_three_need_a_preflight() {
        for method in ["GET", "head", "Post"] {
            assert_eq!(preflight_for(&request(method, &[])), None, "{method}");
        }
        for (method, sent) in [("put", "PUT"), ("patch", "patch"), ("OPTIONS", "OPTIONS")] {
            let preflight = preflight_for(&request(method, &[])).unwrap();
            assert_eq!((&*preflight.method, preflight.lines().len()), (sent, 3));
        }
    }

    #[test]
    fn only_cors_requests_have_one() {
        let cors = request("PUT", &[]);
        let opaque = Request { page: "null".into(), target: "null".into(), ..cors.clone() };
        assert!(preflight_for(&opaque).is_some());
        for other in [
            Request { target: cors.page.clone(), ..cors.clone() },
            Request { mode: Mode::NoCors, ..cors.clone() },
            Request { mode: Mode::SameOrigin, ..cors },
        ] {
            assert_eq!(preflight_for(&other), None, "{other:?}");
        }
    }

    #[test]
    fn the_browser_keeps_some_headers_to_itself() {
        let headers = [
            ("Cookie", "a=b"),
            ("Origin", "https://a"),
            ("Access-Control-Request-Method", "PUT"),
            ("Sec-Fetch-Site", "none"),
            ("X-HTTP-Method-Override", "put, trace"),
            ("X-HTTP-Method", "put"),
            ("Content-Type", " text/plain\t"),
            ("Range", "bytes=0-"),
        ];
        let cors = request("GET", &headers);
        let dropped: Vec<_> = cors.dropped_headers().collect();
        assert_eq!(dropped, headers[..5].iter().map(|(name, _)| *name).collect::<Vec<_>>());
        assert_eq!(preflight_for(&cors).unwrap().headers, ["x-http-method"]);

        let no_cors = Request { mode: Mode::NoCors, ..cors };
        assert_eq!(no_cors.sent_headers(), [("Content-Type", &b"text/plain"[..])]);
    }

    #[test]
    fn some_requests_are_never_sent() {
        use Unsendable::*;
        assert_eq!(check_sendable(&request("GET", &[("x-a", " \n\u{1}é ")])), Ok(()));
        let same_origin = Request { mode: Mode::SameOrigin, ..request("GET", &[]) };
        let no_cors = Request { mode: Mode::NoCors, ..request("put", &[]) };
        for (request, why) in [
            (request("", &[]), InvalidMethod("".into())),
            (request("P UT", &[]), InvalidMethod("P UT".into())),
            (request("track", &[]), ForbiddenMethod("track".into())),
            (no_cors, MethodWithoutCors("put".into())),
            (request("GET", &[("x a", "")]), InvalidHeaderName("x a".into())),
            (request("GET", &[("x-a", "1\r\n2")]), InvalidHeaderValue("x-a".into())),
            (request("GET", &[("cookie", "\0")]), InvalidHeaderValue("cookie".into())),
            (same_origin, OtherOrigin),
        ] {
            assert_eq!(check_sendable(&request), Err(Failure::Unsendable(why)));
        }
    }

    #[test]
    fn the_origin_is_sent_where_it_matters() {
        let get = request("GET", &[]);
        let insecure = "http://api.example".to_owned();
        for (request, origin) in [
            (get.clone(), Some("https://web.example")),
            (Request { target: insecure.clone(), ..get.clone() }, Some("https://web.example")),
            (Request { target: get.page.clone(), ..get.clone() }, None),
            (
                Request { target: get.page.clone(), ..request("PUT", &[]) },
                Some("https://web.example"),
            ),
            (Request { mode: Mode::NoCors, ..get }, None),
            (Request { mode: Mode::NoCors, ..request("POST", &[]) }, Some("https://web.example")),
            (
                Request { mode: Mode::NoCors, target: insecure, ..request("POST", &[]) },
                Some("null"),
            ),
        ] {
            assert_eq!(request.origin_header(), origin, "{request:?}");
        }
    }
}
