//! What comes back: the checks on responses, and what a page may read.

use std::collections::BTreeSet;

use url::Url;

use super::failure::{Denial, Failure};
use super::request::{check_sendable, unsafe_names};
use super::{Credentials, Mode, Request, Response};
use crate::header::{self, AUTHORIZATION, response};
use crate::method;

/// How many redirects a browser follows for one request
/// ([HTTP-redirect fetch](https://fetch.spec.whatwg.org/#concept-http-redirect-fetch), step 7).
pub const MAX_REDIRECTS: usize = 20;

/// What a page may read of a response
/// ([filtered response](https://fetch.spec.whatwg.org/#concept-filtered-response)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// What `response.type` says.
    pub kind: ResponseType,
    /// The names of the headers that it may read: lower-case, sorted, each
    /// once. Status and body are readable too, but not if `kind` is opaque.
    pub headers: Vec<String>,
}

/// [Response type](https://fetch.spec.whatwg.org/#concept-response-type)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// `basic`: from the page's own origin.
    Basic,
    /// `cors`: from another origin, which shares it.
    Cors,
    /// `opaque`: from another origin, with mode `no-cors`. Not even the status
    /// can be read.
    Opaque,
}

/// What a page may read of the response to its request
/// ([main fetch](https://fetch.spec.whatwg.org/#concept-main-fetch), steps 12 and 14). A
/// preflight, where one is due, has passed [`check_preflight`].
///
/// # Errors
///
/// [`Failure::Response`] if the [CORS check](https://fetch.spec.whatwg.org/#concept-cors-check)
/// fails, [`Failure::Unsendable`] if there can be no response.
pub fn check(request: &Request, response: &Response) -> Result<Readable, Failure> {
    check_sendable(request)?;
    let kind = if request.is_same_origin() {
        ResponseType::Basic
    } else if request.mode == Mode::NoCors {
        ResponseType::Opaque
    } else {
        cors_check(request, response).map_err(Failure::Response)?;
        ResponseType::Cors
    };
    let exposed = exposed_names(request, response);
    let names: BTreeSet<_> =
        response.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let readable = |name: &String| match kind {
        ResponseType::Opaque => false,
        ResponseType::Basic => !header::is_forbidden_response_name(name),
        ResponseType::Cors => {
            !header::is_forbidden_response_name(name)
                && (header::is_safelisted_response_name(name) || exposed.exposes(name))
        }
    };
    Ok(Readable { kind, headers: names.into_iter().filter(readable).collect() })
}

/// What ACEH says.
enum Exposed {
    Any,
    Listed(Vec<String>),
}

impl Exposed {
    fn exposes(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(names) => names.iter().any(|listed| listed.eq_ignore_ascii_case(name)),
        }
    }
}

/// A value that is no list exposes nothing.
fn exposed_names(request: &Request, response: &Response) -> Exposed {
    let names = list(response, response::EXPOSE_HEADERS).unwrap_or_default();
    let any = request.credentials != Credentials::Include && names.iter().any(|name| name == "*");
    if any { Exposed::Any } else { Exposed::Listed(names) }
}

/// Whether the answer to a preflight lets the request through
/// ([CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch-0), step 7).
///
/// # Errors
///
/// The first step that fails, in the standard's order; but a redirect is named
/// before anything else, because browsers do not look further.
pub fn check_preflight(request: &Request, response: &Response) -> Result<(), Failure> {
    if is_redirect(response) {
        return Err(Failure::PreflightRedirect(response.status));
    }
    cors_check(request, response).map_err(Failure::Preflight)?;
    if !(200..=299).contains(&response.status) {
        return Err(Failure::PreflightStatus(response.status));
    }
    let methods = list(response, response::ALLOW_METHODS).map_err(Failure::AllowMethods)?;
    let names = list(response, response::ALLOW_HEADERS).map_err(Failure::AllowHeaders)?;

    let listed =
        |list: &[String], name: &str| list.iter().any(|listed| listed.eq_ignore_ascii_case(name));
    let any = |list: &[String]| {
        request.credentials != Credentials::Include && list.iter().any(|listed| listed == "*")
    };
    let method = request.sent_method();
    if !methods.iter().any(|listed| listed == method)
        && !method::is_safelisted(method.as_bytes())
        && !any(&methods)
    {
        return Err(Failure::Method { method: method.to_owned(), listed: methods });
    }
    let is_authorization = |name: &str| name.as_bytes().eq_ignore_ascii_case(AUTHORIZATION);
    if request.sent_headers().iter().any(|(name, _)| is_authorization(name))
        && !listed(&names, "authorization")
    {
        return Err(if any(&names) {
            Failure::Authorization { listed: names }
        } else {
            Failure::Header { name: "authorization".to_owned(), listed: names }
        });
    }
    let refused =
        unsafe_names(request).into_iter().find(|name| !listed(&names, name) && !any(&names));
    match refused {
        Some(name) => Err(Failure::Header { name, listed: names }),
        None => Ok(()),
    }
}

/// [CORS check](https://fetch.spec.whatwg.org/#concept-cors-check)
fn cors_check(request: &Request, response: &Response) -> Result<(), Denial> {
    let Some(origin) = response.get(response::ALLOW_ORIGIN) else {
        return Err(Denial::NoAllowOrigin);
    };
    let include = request.credentials == Credentials::Include;
    if origin == b"*" {
        return if include { Err(Denial::AnyWithCredentials) } else { Ok(()) };
    }
    if origin != request.page.as_bytes() {
        return Err(if origin.iter().any(|b| matches!(b, b' ' | b',')) {
            Denial::SeveralOrigins(origin)
        } else if origin == b"null" || is_url(&origin) {
            Denial::OtherOrigin { allowed: origin, origin: request.page.clone() }
        } else {
            Denial::NotAnOrigin(origin)
        });
    }
    match response.get(response::ALLOW_CREDENTIALS) {
        _ if !include => Ok(()),
        Some(value) if value == b"true" => Ok(()),
        value => Err(Denial::NoCredentials(value)),
    }
}

/// Chromium tells these apart, so that its console can be more helpful.
fn is_url(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| Url::parse(text).is_ok())
}

/// The elements of all lines of a header, or the line that is no list of tokens
/// ([extract header list values](https://fetch.spec.whatwg.org/#extract-header-list-values)).
/// A header that is missing lists nothing.
fn list(response: &Response, name: &str) -> Result<Vec<String>, Vec<u8>> {
    let mut names = Vec::new();
    for line in response.lines(name) {
        for element in header::elements(line).filter(|element| !element.is_empty()) {
            if !header::is_token(element) {
                return Err(line.to_vec());
            }
            names.push(String::from_utf8_lossy(element).into_owned());
        }
    }
    Ok(names)
}

/// Whether a response sends the browser elsewhere.
fn is_redirect(response: &Response) -> bool {
    matches!(response.status, 301 | 302 | 303 | 307 | 308) && response.get("location").is_some()
}

/// The request that a redirect leads to, to be treated like a new one. `target`
/// is the origin of its `Location`, `user_info` says whether that holds a user
/// name or password
/// ([HTTP-redirect fetch](https://fetch.spec.whatwg.org/#concept-http-redirect-fetch)).
/// Not more than [`MAX_REDIRECTS`] are followed.
///
/// # Errors
///
/// [`Failure::Response`] if the redirect itself fails the CORS check,
/// [`Failure::RedirectUserInfo`], or [`Failure::Unsendable`] if the mode does
/// not let the request go there.
pub fn follow(
    request: &Request,
    response: &Response,
    target: &str,
    user_info: bool,
) -> Result<Request, Failure> {
    check(request, response)?;
    let cors = request.mode == Mode::Cors;
    if user_info && cors && (request.is_cors() || request.page != target) {
        return Err(Failure::RedirectUserInfo);
    }
    let method = request.sent_method();
    let to_get = match response.status {
        301 | 302 => method == "POST",
        303 => !matches!(method, "GET" | "HEAD"),
        _ => false,
    };
    let elsewhere = request.target != target;
    let of_body = ["content-encoding", "content-language", "content-location", "content-type"];
    let dropped = |name: &str| {
        let is = |other: &&str| name.eq_ignore_ascii_case(other);
        (to_get && of_body.iter().any(is)) || (elsewhere && is(&"authorization"))
    };
    let headers = request.headers.iter().filter(|(name, _)| !dropped(name)).cloned().collect();
    // Whoever redirects to a third origin could be the one who wants to know.
    let tainted = elsewhere && !request.is_same_origin();
    let next = Request {
        page: if tainted { "null".to_owned() } else { request.page.clone() },
        target: target.to_owned(),
        method: if to_get { "GET".to_owned() } else { request.method.clone() },
        headers,
        ..request.clone()
    };
    check_sendable(&next)?;
    Ok(next)
}

/// The engines whose preflight caches are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// Chrome, Edge, Opera …
    Chromium,
    /// Firefox
    Firefox,
    /// Safari
    WebKit,
}

/// How many seconds a browser remembers the answer to a preflight: 5 if ACMA is
/// missing; at most two hours in Chromium, a day in Firefox, ten minutes in
/// WebKit. A value that is no number counts as missing, as in the standard; in
/// Firefox it counts as 0. Below 0 is 0 in all of them.
#[must_use]
pub fn max_age(response: &Response, browser: Browser) -> u32 {
    const DEFAULT: u32 = 5;
    let value = response.get(response::MAX_AGE).filter(|value| !value.is_empty());
    let Some(value) = value.map(|value| String::from_utf8_lossy(&value).into_owned()) else {
        return DEFAULT;
    };
    let (limit, seconds) = match browser {
        Browser::Chromium => (7_200, value.parse::<i64>().ok()),
        Browser::WebKit => (600, value.parse().ok()),
        Browser::Firefox if value.bytes().all(|b| b.is_ascii_digit()) => {
            (86_400, Some(value.parse().unwrap_or(i64::MAX)))
        }
        Browser::Firefox => (86_400, Some(0)),
    };
    let seconds = seconds.map(|seconds| seconds.clamp(0, limit));
    seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "http://web.example";

    fn request(method: &str, headers: &[&str], credentials: Credentials) -> Request {
        Request {
            page: PAGE.into(),
            target: "http://api.example".into(),
            method: method.into(),
            headers: headers.iter().map(|name| ((*name).into(), b"x".to_vec())).collect(),
            mode: Mode::Cors,
            credentials,
        }
    }

    fn response(status: u16, lines: &[(&str, &str)]) -> Response {
        let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Response { status, headers: lines.iter().map(line).collect() }
    }

    fn denial(request: &Request, lines: &[(&str, &str)]) -> Option<Denial> {
        let actual = check(request, &response(200, lines)).err().map(|failure| match failure {
            Failure::Response(denial) => denial,
            other => panic!("{other}"),
        });
        let preflight = check_preflight(request, &response(200, lines)).err();
        assert_eq!(preflight, actual.clone().map(Failure::Preflight));
        actual
    }

    #[test]
    fn allow_origin_is_the_origin_or_any() {
        let omit = request("GET", &[], Credentials::Omit);
        for value in ["*", " * ", "\t*", PAGE, " http://web.example \t "] {
            assert_eq!(denial(&omit, &[("ACCESS-CONTROL-ALLOW-ORIGIN", value)]), None, "{value:?}");
        }
        let other =
            |value: &str| Denial::OtherOrigin { allowed: value.trim().into(), origin: PAGE.into() };
        for value in [
            "http://www.web.example",
            "ftp://web.example",
            "http:/web.example",
            "http:web.example",
            "http://web.example/",
            "http://web.example:80",
            "http://web.example\0",
            "HTTP://WEB.EXAMPLE",
            "null",
            "http://*.example",
        ] {
            let lines = [("access-control-allow-origin", value)];
            assert_eq!(denial(&omit, &lines), Some(other(value)), "{value:?}");
        }
        for value in ["", "-", "**", "\0*", "'*'", "web.example", "//web.example", "*http://*"] {
            let expected = Denial::NotAnOrigin(value.into());
            let lines = [("access-control-allow-origin", value)];
            assert_eq!(denial(&omit, &lines), Some(expected), "{value:?}");
        }
        for value in ["* *", "http://web.example, *", "null http://web.example"] {
            let expected = Denial::SeveralOrigins(value.into());
            let lines = [("access-control-allow-origin", value)];
            assert_eq!(denial(&omit, &lines), Some(expected), "{value:?}");
        }
        for (one, two) in [("*", "*"), (PAGE, PAGE), ("", "*"), ("*", "")] {
            let expected = Denial::SeveralOrigins(format!("{one}, {two}").into());
            let line = "access-control-allow-origin";
            assert_eq!(denial(&omit, &[(line, one), (line, two)]), Some(expected));
        }
        assert_eq!(denial(&omit, &[]), Some(Denial::NoAllowOrigin));
    }

    #[test]
    fn credentials_need_the_origin_and_true() {
        let include = request("GET", &[], Credentials::Include);
        let origin = ("Access-Control-Allow-Origin", PAGE);
        let any = ("Access-Control-Allow-Origin", "*");
        let credentials = |value| ("Access-Control-Allow-Credentials", value);
        assert_eq!(denial(&include, &[origin, credentials("true")]), None);
        let wildcard = Some(Denial::AnyWithCredentials);
        assert_eq!(denial(&include, &[any, credentials("true")]), wildcard);
        for value in ["True", "TRUE", "1", "false", "", "true, true"] {
            let expected = Denial::NoCredentials(Some(value.into()));
            assert_eq!(denial(&include, &[origin, credentials(value)]), Some(expected));
        }
        assert_eq!(denial(&include, &[origin]), Some(Denial::NoCredentials(None)));
        for mode in [Credentials::Omit, Credentials::SameOrigin] {
            assert_eq!(denial(&request("GET", &[], mode), &[origin]), None);
            assert_eq!(denial(&request("GET", &[], mode), &[any, credentials("no")]), None);
        }
    }

    #[test]
    fn preflight_status_is_from_200_to_299() {
        let request = request("PUT", &[], Credentials::Omit);
        let allowed = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "PUT"),
            ("location", "/"),
        ];
        for status in 200..=299 {
            assert_eq!(check_preflight(&request, &response(status, &allowed)), Ok(()));
        }
        for status in [199, 300, 304, 305, 400, 401, 403, 404, 405, 500, 503] {
            let failure = Err(Failure::PreflightStatus(status));
            assert_eq!(check_preflight(&request, &response(status, &allowed)), failure);
        }
        for status in [301, 302, 303, 307, 308] {
            let failure = Err(Failure::PreflightRedirect(status));
            assert_eq!(check_preflight(&request, &response(status, &allowed)), failure);
            let failure = Err(Failure::PreflightStatus(status));
            assert_eq!(check_preflight(&request, &response(status, &allowed[..2])), failure);
        }
    }

    #[test]
    fn preflight_steps_fail_in_order() {
        use Credentials::{Include, Omit};
        let method = |method: &str, listed: &[&str]| {
            let listed = listed.iter().map(|name| (*name).to_owned()).collect();
            Some(Failure::Method { method: method.into(), listed })
        };
        let header = |name: &str, listed: &[&str]| {
            let listed = listed.iter().map(|name| (*name).to_owned()).collect();
            Some(Failure::Header { name: name.into(), listed })
        };
        let uncovered = Some(Failure::Authorization { listed: vec!["*".to_owned()] });
        let two = &["x-b", "X-A"][..];
        let authorization = &["authorization", "a"][..];
        // credentials, method, headers, ACAM, ACAH, failure
        for (credentials, sent, headers, methods, names, failure) in [
            (Omit, "GET", &["X-A"][..], &[][..], &["x-a"][..], None),
            (Omit, "get", &["X-A"], &[], &["x-b, ,X-a,"], None),
            (Omit, "put", &[], &["PUT"], &[], None),
            (Omit, "patch", &[], &["PATCH"], &[], method("patch", &["PATCH"])),
            (Omit, "PUT", &[], &["put"], &[], method("PUT", &["put"])),
            (Omit, "PUT", &[], &[], &[], method("PUT", &[])),
            (Omit, "PUT", &[], &["GET", "PUT"], &[], None),
            (Omit, "OK", two, &["*"], &["*"], None),
            (Include, "PUT", &[], &["*"], &[], method("PUT", &["*"])),
            (Include, "*", &["*"], &["*"], &["*"], None),
            (Include, "GET", two, &["*"], &["*"], header("x-a", &["*"])),
            (Omit, "GET", two, &[], &["x-a"], header("x-b", &["x-a"])),
            (Omit, "PUT", two, &[], &[], method("PUT", &[])),
            (Omit, "GET", authorization, &[], &["*"], uncovered),
            (Include, "GET", authorization, &[], &["*"], header("authorization", &["*"])),
            (Omit, "GET", authorization, &[], &["a"], header("authorization", &["a"])),
            (Omit, "GET", authorization, &[], &["*", "AUTHORIZATION"], None),
            (
                Include,
                "GET",
                authorization,
                &[],
                &["*,authorization"],
                header("a", &["*", "authorization"]),
            ),
            (Omit, "GET", two, &["a b"], &["c d"], Some(Failure::AllowMethods(b"a b".to_vec()))),
            (
                Omit,
                "GET",
                two,
                &["PUT"],
                &["x-a", "c d"],
                Some(Failure::AllowHeaders(b"c d".to_vec())),
            ),
        ] {
            let mut lines = vec![("access-control-allow-origin", PAGE)];
            lines.push(("access-control-allow-credentials", "true"));
            lines.extend(methods.iter().map(|value| ("Access-Control-Allow-Methods", *value)));
            lines.extend(names.iter().map(|value| ("Access-Control-Allow-Headers", *value)));
            let result =
                check_preflight(&request(sent, headers, credentials), &response(204, &lines));
            assert_eq!(result.err(), failure, "{credentials:?} {sent} {headers:?} {lines:?}");
        }
    }

    #[test]
    fn a_page_reads_safelisted_and_exposed_headers() {
        use Credentials::{Include, Omit};
        let safelisted = ["content-length", "pragma"];
        let all = [
            "access-control-allow-origin",
            "access-control-expose-headers",
            "content-length",
            "pragma",
            "x-a",
            "x-b",
        ];
        for (credentials, exposed, readable) in [
            (Omit, &[][..], &safelisted[..]),
            (Omit, &["x-a"], &["content-length", "pragma", "x-a"]),
            (Omit, &["X-B ,,\tX-A", "set-cookie"], &["content-length", "pragma", "x-a", "x-b"]),
            (Omit, &["*"], &all),
            (Omit, &["x-none", "*"], &all),
            (Include, &["*"], &safelisted),
            (Omit, &["x-a x-b"], &safelisted),
            (Omit, &["x-a", "x-b;"], &safelisted),
        ] {
            let mut lines = vec![
                ("Access-Control-Allow-Origin", PAGE),
                ("X-A", ""),
                ("x-b", "1"),
                ("x-b", "2"),
                ("Set-Cookie", "a=b"),
                ("Content-Length", "0"),
                ("Pragma", "no-cache"),
            ];
            if credentials == Include {
                lines.push(("access-control-allow-credentials", "true"));
            }
            lines.extend(exposed.iter().map(|value| ("access-control-expose-headers", *value)));
            let read = check(&request("GET", &[], credentials), &response(404, &lines));
            let headers = readable.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(read, Ok(Readable { kind: ResponseType::Cors, headers }), "{exposed:?}");
        }
    }

    #[test]
    fn modes_decide_what_can_be_read() {
        let lines = [("x-a", "1"), ("set-cookie", "a=b")];
        let read = |mode, target: &str| {
            let request = request("GET", &[], Credentials::Omit);
            check(&Request { mode, target: target.into(), ..request }, &response(200, &lines))
        };
        let basic = Readable { kind: ResponseType::Basic, headers: vec!["x-a".into()] };
        for mode in [Mode::Cors, Mode::NoCors, Mode::SameOrigin] {
            assert_eq!(read(mode, PAGE), Ok(basic.clone()));
        }
        let other = "https://web.example";
        let opaque = Readable { kind: ResponseType::Opaque, headers: vec![] };
        assert_eq!(read(Mode::NoCors, other), Ok(opaque));
        assert_eq!(read(Mode::Cors, other), Err(Failure::Response(Denial::NoAllowOrigin)));
        let unsendable = Failure::Unsendable(super::super::Unsendable::OtherOrigin);
        assert_eq!(read(Mode::SameOrigin, other), Err(unsendable));
    }

    #[test]
    fn redirects_change_the_request() {
        const THIRD: &str = "http://third.example";
        let shared = response(302, &[("access-control-allow-origin", "*"), ("location", "/")]);
        let to = |request: &Request, target: &str| follow(request, &shared, target, false);
        let headers = ["Authorization", "content-type"];
        let post = request("post", &headers, Credentials::Omit);

        // By the same server: a POST becomes a GET.
        let same = to(&post, &post.target).unwrap();
        let get = request("GET", &["Authorization"], Credentials::Omit);
        assert_eq!(same, get);
        // To a third origin, or back to the page's: nobody's origin, and no authorization.
        for target in [THIRD, PAGE] {
            let next = request("GET", &[], Credentials::Omit);
            let next = Request { page: "null".into(), target: target.into(), ..next };
            assert_eq!(to(&post, target).unwrap(), next);
            assert!(next.is_cors());
        }
        // From the page's own server: the page is still known.
        let own = Request { target: PAGE.into(), ..post.clone() };
        assert_eq!(to(&own, THIRD).unwrap().page, PAGE);
        // 307 and 308 change nothing but the target.
        let kept = Response { status: 307, ..shared.clone() };
        assert_eq!(follow(&post, &kept, &post.target, false), Ok(post.clone()));
        // 303 makes a GET of everything but a HEAD.
        let other = Response { status: 303, ..shared.clone() };
        let put = request("PUT", &headers, Credentials::Omit);
        assert_eq!(follow(&put, &other, &put.target, false), Ok(get));
        let head = request("HEAD", &headers, Credentials::Omit);
        assert_eq!(follow(&head, &other, &head.target, false), Ok(head));

        let bare = response(302, &[("location", "/")]);
        let failure = Err(Failure::Response(Denial::NoAllowOrigin));
        assert_eq!(follow(&post, &bare, THIRD, false), failure);
        assert_eq!(follow(&post, &shared, THIRD, true), Err(Failure::RedirectUserInfo));
        assert!(follow(&own, &shared, PAGE, true).is_ok());
        let same_origin = Request { mode: Mode::SameOrigin, ..own };
        let unsendable = Failure::Unsendable(super::super::Unsendable::OtherOrigin);
        assert_eq!(follow(&same_origin, &shared, THIRD, false), Err(unsendable));
    }

    #[test]
    fn browsers_cap_the_max_age() {
        // chromium, firefox, webkit
        for (values, ages) in [
            (&[][..], [5, 5, 5]),
            (&["0"], [0, 0, 0]),
            (&["60"], [60, 60, 60]),
            (&["601"], [601, 601, 600]),
            (&["7201"], [7200, 7201, 600]),
            (&["86401"], [7200, 86400, 600]),
            (&["99999999999999999999"], [5, 86400, 5]),
            (&["060"], [60, 60, 60]),
            (&["-1"], [0, 0, 0]),
            (&["+60"], [60, 0, 60]),
            (&["1h"], [5, 0, 5]),
            (&["1.5"], [5, 0, 5]),
            (&[""], [5, 5, 5]),
            (&["60", "60"], [5, 0, 5]),
        ] {
            let lines: Vec<_> = values.iter().map(|v| ("access-control-max-age", *v)).collect();
            let response = response(204, &lines);
            let measured = [Browser::Chromium, Browser::Firefox, Browser::WebKit]
                .map(|browser| max_age(&response, browser));
            assert_eq!(measured, ages, "{values:?}");
        }
    }
}
