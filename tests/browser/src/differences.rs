//! Where browsers are known to leave the standard: each as a change of the case
//! after which the standard does what the browser did.

use envoy_cors::browser::{Credentials, Mode, Request, check_sendable};

use crate::case::{Case, Lines};

/// What a browser takes a case for.
pub struct Taken {
    pub case: Case,
    /// Headers that are sent, and play no part in the decision to send.
    pub unjudged: Lines,
    /// What else becomes of a request that is redirected.
    pub redirected: Vec<Redirected>,
    /// Whether no redirect may lead to a URL with a user name.
    pub blocks_user_names: bool,
    /// Whether a NUL in a header makes a network error of the response.
    pub refuses_nul: bool,
}

/// Gets the request after a redirect, the unjudged headers, the origin that
/// redirects, and the page's.
type Redirected = fn(&mut Request, &mut Lines, &str, &str);

/// A known difference.
pub struct Difference {
    pub name: &'static str,
    pub apply: fn(&mut Taken),
}

impl Taken {
    pub fn as_it_is(case: &Case) -> Self {
        Self {
            case: case.clone(),
            unjudged: Vec::new(),
            redirected: Vec::new(),
            blocks_user_names: false,
            refuses_nul: false,
        }
    }
}

/// The differences of a browser.
pub fn of(browser: &str) -> &'static [Difference] {
    match browser {
        "chromium" => &CHROMIUM,
        _ => &[],
    }
}

const CHROMIUM: [Difference; 7] = [
    Difference { name: "a NUL in a header is no HTTP", apply: nul },
    Difference { name: "lines of one header are one header", apply: join },
    Difference { name: "client hints are safelisted", apply: client_hints },
    Difference { name: "client hints are dropped by a redirect to others", apply: dropped_hints },
    Difference { name: "Origin of a redirected no-cors POST is null", apply: no_cors_origin },
    Difference { name: "no URL may hold a user name", apply: user_names },
    Difference { name: "* in ACAH covers authorization", apply: authorization },
];

fn nul(taken: &mut Taken) {
    taken.refuses_nul = true;
}

fn join(taken: &mut Taken) {
    let mut joined: Lines = Vec::new();
    let request = taken.case.request("");
    if check_sendable(&request).is_err() {
        return;
    }
    for (name, value) in request.sent_headers() {
        match joined.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            Some((_, all)) => *all = [all, trim(value)].join(&b", "[..]),
            None => joined.push((name.to_owned(), value.to_vec())),
        }
    }
    taken.case.headers = joined;
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | b' ');
    let start = value.iter().position(|b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    &value[start..end]
}

fn client_hints(taken: &mut Taken) {
    let Taken { case, unjudged, .. } = taken;
    if case.mode == Mode::NoCors {
        return;
    }
    let hints = case.headers.extract_if(.., |(name, value)| {
        let value = String::from_utf8_lossy(trim(value)).into_owned();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let double = || match value.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(&value),
        };
        match name.to_ascii_lowercase().as_str() {
            "device-memory" | "downlink" | "dpr" => double(),
            "rtt" | "viewport-width" | "width" => digits(&value),
            "ect" => ["slow-2g", "2g", "3g", "4g"].contains(&value.as_str()),
            "save-data" => value.eq_ignore_ascii_case("on"),
            "intervention" => value.len() <= 128,
            _ => false,
        }
    });
    unjudged.extend(hints);
}

fn dropped_hints(taken: &mut Taken) {
    const HINTS: [&str; 7] =
        ["device-memory", "downlink", "dpr", "ect", "rtt", "viewport-width", "width"];
    taken.redirected.push(|request, unjudged, _, page| {
        let to_page = request.target == page;
        let kept =
            |name: &str| to_page || !HINTS.iter().any(|hint| hint.eq_ignore_ascii_case(name));
        request.headers.retain(|(name, _)| kept(name));
        unjudged.retain(|(name, _)| kept(name));
    });
}

fn no_cors_origin(taken: &mut Taken) {
    taken.redirected.push(|request, _, from, _| {
        if request.mode == Mode::NoCors && request.target != from {
            request.page = "null".into();
        }
    });
}

fn user_names(taken: &mut Taken) {
    taken.blocks_user_names = true;
}

fn authorization(taken: &mut Taken) {
    if taken.case.credentials == Credentials::Include {
        return;
    }
    for hop in &mut taken.case.hops {
        let lines = &mut hop.preflight.headers;
        let any = |value: &[u8]| value.split(|b| *b == b',').any(|name| trim(name) == b"*");
        if lines.iter().any(|(name, value)| is_allow_headers(name) && any(value)) {
            lines.push(("Access-Control-Allow-Headers".into(), b"authorization".to_vec()));
        }
    }
}

fn is_allow_headers(name: &str) -> bool {
    name.eq_ignore_ascii_case("access-control-allow-headers")
}
