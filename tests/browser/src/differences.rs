//! Where browsers are known to leave the standard: each as a change of the case
//! after which the standard does what the browser did. The README says why.

use envoy_cors::browser::{Credentials, Mode, Request, check_sendable, preflight_for};
use envoy_cors::header;

use crate::case::{Case, Lines};

/// What a browser takes a case for.
pub struct Taken {
    /// What it decides on.
    pub case: Case,
    /// The headers that it sends.
    pub carried: Lines,
    /// What else becomes of a request that is redirected.
    pub redirected: Vec<Redirected>,
    pub refuses_nul: bool,
    pub refuses_user_names: bool,
    pub repeats_names: bool,
    pub preflights_as_the_page: bool,
    pub preflights_again: bool,
    pub restores_headers: bool,
}

/// Gets the request after a redirect, the origin that redirects, and the page's.
type Redirected = fn(&mut Request, &str, &str);

/// A known difference.
pub struct Difference {
    pub name: &'static str,
    pub apply: fn(&mut Taken),
}

impl Taken {
    pub fn as_it_is(case: &Case) -> Self {
        Self {
            case: case.clone(),
            carried: case.headers.clone(),
            redirected: Vec::new(),
            refuses_nul: false,
            refuses_user_names: false,
            repeats_names: false,
            preflights_as_the_page: false,
            preflights_again: false,
            restores_headers: false,
        }
    }

    /// Whether a page of the same server can make the request at all.
    fn is_sendable(&self) -> bool {
        check_sendable(&self.case.request(&self.case.hops[0].origin)).is_ok()
    }
}

/// The differences of a browser.
pub fn of(browser: &str) -> &'static [Difference] {
    match browser {
        "chromium" => &CHROMIUM,
        "firefox" => &FIREFOX,
        _ => &WEBKIT,
    }
}

const NUL: Difference =
    Difference { name: "a NUL in a header is no HTTP", apply: |taken| taken.refuses_nul = true };

const AUTHORIZATION: Difference =
    Difference { name: "* in ACAH covers authorization", apply: cover_authorization };

const JOIN: Difference = Difference { name: "lines of one header are one header", apply: join };

const CHROMIUM: [Difference; 7] = [
    NUL,
    AUTHORIZATION,
    JOIN,
    Difference { name: "client hints are safelisted", apply: safelist_hints },
    Difference { name: "client hints are dropped by a redirect to others", apply: drop_hints },
    Difference { name: "Origin of a redirected no-cors POST is null", apply: taint_no_cors },
    Difference {
        name: "no URL may hold a user name",
        apply: |taken| taken.refuses_user_names = true,
    },
];

const WEBKIT: [Difference; 6] = [
    NUL,
    AUTHORIZATION,
    JOIN,
    Difference { name: "joined lines may end in a space", apply: count_space },
    Difference { name: "bytes= may be in any case", apply: lower_ranges },
    Difference { name: "bytes from 0x80 are sent as UTF-8", apply: encode },
];

const FIREFOX: [Difference; 11] = [
    NUL,
    AUTHORIZATION,
    Difference {
        name: "of several lines, an empty one in unusual case does not count",
        apply: drop_empty_lines,
    },
    Difference { name: "bytes from 0x80 are not safelisted without CORS", apply: drop_values },
    Difference { name: "lines of one header are merged late", apply: merge },
    Difference {
        name: "ACRH repeats the name of a header that is set twice",
        apply: |taken| taken.repeats_names = true,
    },
    Difference { name: "bytes from 0x80 are not safelisted, 1024 bytes are", apply: judge_values },
    Difference {
        name: "Origin of a preflight is never null",
        apply: |taken| taken.preflights_as_the_page = true,
    },
    Difference {
        name: "after a preflight and a redirect there is another preflight",
        apply: |taken| taken.preflights_again = true,
    },
    Difference {
        name: "headers that a redirect drops come back after the next",
        apply: |taken| taken.restores_headers = true,
    },
    Difference { name: "* in ACEH counts before what is no name", apply: expose_any },
];

fn cover_authorization(taken: &mut Taken) {
    if taken.case.credentials == Credentials::Include {
        return;
    }
    for hop in &mut taken.case.hops {
        let lines = &mut hop.preflight.headers;
        let any = |value: &[u8]| value.split(|b| *b == b',').any(|name| trim(name) == b"*");
        let is_acah = |name: &str| name.eq_ignore_ascii_case("access-control-allow-headers");
        if lines.iter().any(|(name, value)| is_acah(name) && any(value)) {
            lines.push(("Access-Control-Allow-Headers".into(), b"authorization".to_vec()));
        }
    }
}

/// The headers that are sent, the lines of each put together.
fn joined(taken: &Taken, join: impl Fn(&str, &[u8], &[u8]) -> Vec<u8>) -> Lines {
    let mut joined: Lines = Vec::new();
    for (name, value) in taken.case.request("").sent_headers() {
        match joined.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            Some((_, all)) => *all = join(name, all, value),
            None => joined.push((name.to_owned(), value.to_vec())),
        }
    }
    joined
}

fn join(taken: &mut Taken) {
    if taken.is_sendable() {
        taken.carried = joined(taken, |_, one, other| [one, other].join(&b", "[..]));
        taken.case.headers = taken.carried.clone();
    }
}

/// A comma for the space that would be taken off before the bytes are counted.
fn count_space(taken: &mut Taken) {
    for (_, value) in &mut taken.case.headers {
        if value.ends_with(b", ") {
            value.pop();
            value.push(b',');
        }
    }
}

fn merge(taken: &mut Taken) {
    if taken.is_sendable() {
        let no_cors = taken.case.mode == Mode::NoCors;
        taken.carried = joined(taken, |name, one, other| {
            let is = |single: &&str| name.eq_ignore_ascii_case(single);
            if ["authorization", "content-type"].iter().any(is) {
                if no_cors { one.to_vec() } else { other.to_vec() }
            } else if one.is_empty() || other.is_empty() {
                other.to_vec()
            } else {
                [one, other].join(&b", "[..])
            }
        });
    }
}

fn safelist_hints(taken: &mut Taken) {
    if taken.case.mode == Mode::NoCors {
        return;
    }
    taken.case.headers.retain(|(name, value)| {
        let value = String::from_utf8_lossy(trim(value)).into_owned();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let decimal = || match value.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(&value),
        };
        !match name.to_ascii_lowercase().as_str() {
            "device-memory" | "downlink" | "dpr" => decimal(),
            "rtt" | "viewport-width" | "width" => digits(&value),
            "ect" => ["slow-2g", "2g", "3g", "4g"].contains(&value.as_str()),
            "save-data" => value.eq_ignore_ascii_case("on"),
            "intervention" => value.len() <= 128,
            _ => false,
        }
    });
}

fn drop_hints(taken: &mut Taken) {
    const HINTS: [&str; 7] =
        ["device-memory", "downlink", "dpr", "ect", "rtt", "viewport-width", "width"];
    taken.redirected.push(|request, _, page| {
        let is_hint = |name: &str| HINTS.iter().any(|hint| hint.eq_ignore_ascii_case(name));
        if request.target != page {
            request.headers.retain(|(name, _)| !is_hint(name));
        }
    });
}

fn taint_no_cors(taken: &mut Taken) {
    taken.redirected.push(|request, from, _| {
        if request.mode == Mode::NoCors && request.target != from {
            request.page = "null".into();
        }
    });
}

fn drop_empty_lines(taken: &mut Taken) {
    for hop in &mut taken.case.hops {
        for response in [&mut hop.preflight, &mut hop.response] {
            let lines = response.headers.clone();
            response.headers.retain(|(name, value)| {
                let usual = name == "Access-Control-Allow-Origin";
                let same = |other: &str| other.eq_ignore_ascii_case(name);
                let alone = lines.iter().filter(|(other, _)| same(other)).count() == 1;
                usual || alone || !trim(value).is_empty()
            });
        }
    }
}

fn expose_any(taken: &mut Taken) {
    const ACEH: &str = "access-control-expose-headers";
    if taken.case.credentials == Credentials::Include {
        return;
    }
    for hop in &mut taken.case.hops {
        let lines = &mut hop.response.headers;
        let elements: Vec<_> = lines
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(ACEH))
            .flat_map(|(_, value)| value.split(|b| *b == b','))
            .map(trim)
            .collect();
        let valid = |name: &&&[u8]| name.is_empty() || header::is_token(name);
        if elements.iter().take_while(valid).any(|name| *name == b"*") {
            for (name, value) in lines.iter_mut() {
                if name.eq_ignore_ascii_case(ACEH) {
                    *value = b"*".to_vec();
                }
            }
        }
    }
}

/// Whether Firefox takes a value for unsafe that the standard does not.
fn has_high_byte(name: &str, value: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    (is("accept") || is("content-type")) && value.iter().any(|b| *b >= 0x80)
}

fn drop_values(taken: &mut Taken) {
    if taken.case.mode == Mode::NoCors && taken.is_sendable() {
        taken.case.headers.retain(|(name, value)| !has_high_byte(name, value));
        taken.carried = taken.case.headers.clone();
    }
}

fn lower_ranges(taken: &mut Taken) {
    for (name, value) in &mut taken.case.headers {
        if name.eq_ignore_ascii_case("range") {
            value.make_ascii_lowercase();
        }
    }
}

fn encode(taken: &mut Taken) {
    for (_, value) in &mut taken.carried {
        *value = value.iter().map(|b| char::from(*b)).collect::<String>().into_bytes();
    }
}

fn judge_values(taken: &mut Taken) {
    let Some(page) = taken.is_sendable().then(|| taken.case.request("")) else { return };
    for (name, value) in &mut taken.case.headers {
        let alone = Request { headers: vec![(name.clone(), value.clone())], ..page.clone() };
        if has_high_byte(name, value) {
            *value = b"\"".to_vec();
        } else if preflight_for(&Request { method: "GET".into(), ..alone }).is_none()
            && name.eq_ignore_ascii_case("accept")
        {
            value.truncate(1);
        }
    }
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | b' ');
    let start = value.iter().position(|b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    &value[start..end]
}
