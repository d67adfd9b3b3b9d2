//! How long browsers remember a preflight, as far as it can be seen at once:
//! whether the same request, made again, is preceded by another one.

use envoy_cors::browser::{self, Credentials, Mode, Response};

use crate::case::{Case, Hop, Lines, Origins};

/// How often each request is made. Firefox sometimes asks twice before it uses
/// what it has remembered.
pub const REQUESTS: usize = 3;

const VALUES: [&[&str]; 13] = [
    &[],
    &["0"],
    &["60"],
    &["86400"],
    &["99999999999999999999"],
    &["-1"],
    &["+60"],
    &["1h"],
    &["1.5"],
    &["\"60\""],
    &[""],
    &["60", "60"],
    &["60", "0"],
];

/// One case for each way to write ACMA.
pub fn cases(origins: &Origins) -> Vec<Case> {
    VALUES.iter().map(|values| case(values, origins)).collect()
}

fn case(values: &[&str], origins: &Origins) -> Case {
    let line = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let shared = vec![line("Access-Control-Allow-Origin", "*")];
    let mut headers = shared.clone();
    headers.push(line("Access-Control-Allow-Methods", "PUT"));
    headers.extend(values.iter().map(|value| line("Access-Control-Max-Age", value)));
    Case {
        method: "PUT".into(),
        headers: Lines::new(),
        mode: Mode::Cors,
        credentials: Credentials::Omit,
        hops: vec![Hop {
            origin: origins.other.clone(),
            user_info: false,
            preflight: Response { status: 204, headers },
            response: Response { status: 200, headers: shared },
        }],
    }
}

/// Whether a browser remembers the answer to the preflight at all.
pub fn is_remembered(case: &Case, browser: &str) -> bool {
    let browser = match browser {
        "chromium" => browser::Browser::Chromium,
        "firefox" => browser::Browser::Firefox,
        _ => browser::Browser::WebKit,
    };
    browser::max_age(&case.hops[0].preflight, browser) > 0
}

/// The lines of its ACMA.
pub fn values(case: &Case) -> Vec<String> {
    let lines = case.hops[0].preflight.headers.iter();
    let lines = lines.filter(|(name, _)| name == "Access-Control-Max-Age");
    lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}
