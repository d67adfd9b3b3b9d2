//! The verdicts of web-platform-tests, as cases.

use envoy_cors::browser::{Credentials, Mode, Response};

use crate::case::{Case, Hop, Lines, Origins};
use crate::expect::Trace;

/// What web-platform-tests say of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The page can read the response.
    Pass,
    /// It cannot.
    Fail,
    /// No preflight goes first.
    Simple,
    /// One does.
    Preflight,
}

impl Verdict {
    pub fn holds(self, trace: &Trace) -> bool {
        let asked = trace.sent.first().is_some_and(|line| line.contains("access-control-request"));
        match self {
            Self::Pass => !trace.is_rejected(),
            Self::Fail => trace.is_rejected(),
            Self::Simple => !asked,
            Self::Preflight => asked,
        }
    }
}

pub fn cases(origins: &Origins) -> Vec<(String, Case, Verdict)> {
    let rows = include_str!("../wpt.tsv").lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut columns = row.split('\t');
        let mut column = || columns.next().expect("four columns");
        let (kind, value, verdict) = (column(), column(), column());
        let verdict = match verdict {
            "pass" => Verdict::Pass,
            "fail" => Verdict::Fail,
            "simple" => Verdict::Simple,
            "preflight" => Verdict::Preflight,
            other => panic!("no verdict: {other}"),
        };
        (format!("{kind} {value}"), case(kind, value, origins), verdict)
    })
    .collect()
}

fn case(kind: &str, value: &str, origins: &Origins) -> Case {
    let host = origins.page.strip_prefix("http://").expect("http");
    let value = value.replace("web.example", host);
    let mut case = Case {
        method: "GET".into(),
        headers: Lines::new(),
        mode: Mode::Cors,
        credentials: Credentials::Omit,
        hops: vec![Hop {
            origin: origins.other.clone(),
            user_info: false,
            preflight: Response { status: 204, headers: lines("Access-Control-Allow-Origin", "*") },
            response: Response { status: 200, headers: lines("Access-Control-Allow-Origin", "*") },
        }],
    };
    let Hop { preflight, response, .. } = &mut case.hops[0];
    match kind {
        "acao" => response.headers = lines("Access-Control-Allow-Origin", &value),
        "acao-two-headers" => {
            let (one, other) = value.split_once('|').expect("two values");
            response.headers = [one.strip_suffix(' ').unwrap_or(one), other]
                .iter()
                .flat_map(|value| lines("Access-Control-Allow-Origin", value))
                .collect();
        }
        "content-type" | "range" => case.headers = lines(kind, &value),
        "header" => {
            let (name, value) = value.split_once(": ").expect("a header");
            case.headers = lines(name, value);
        }
        "preflight-status" => {
            case.method = "PUT".into();
            preflight.status = value.parse().expect("a status");
            preflight.headers.extend(lines("Access-Control-Allow-Methods", "PUT"));
        }
        "preflight-allow-methods" | "preflight-allow-headers" => {
            case.headers = lines("x-test", "");
            preflight.headers.extend(lines("Access-Control-Allow-Headers", "x-test"));
            preflight.headers.extend(lines(&kind.replace("preflight", "Access-Control"), &value));
        }
        "preflight-star" => star(&mut case, &value, &origins.page),
        other => panic!("no kind: {other}"),
    }
    case
}

/// `credentials=1 allow-methods=* allow-headers=* method=PUT header=X-Test`
fn star(case: &mut Case, text: &str, page: &str) {
    let Hop { preflight, response, .. } = &mut case.hops[0];
    for word in text.split(' ') {
        match word.split_once('=').expect("a word with a value") {
            (_, "") => {}
            ("credentials", "1") => {
                case.credentials = Credentials::Include;
                for answer in [&mut *preflight, &mut *response] {
                    answer.headers = lines("Access-Control-Allow-Origin", page);
                    answer.headers.extend(lines("Access-Control-Allow-Credentials", "true"));
                }
            }
            ("credentials", _) => {}
            ("method", method) => case.method = method.into(),
            ("header", name) => case.headers = lines(name, "1"),
            (name, list) => {
                preflight.headers.extend(lines(&format!("Access-Control-{name}"), list))
            }
        }
    }
}

/// One line, with `\xNN` for bytes.
fn lines(name: &str, value: &str) -> Lines {
    let mut bytes = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).expect("two hex digits"));
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    vec![(name.into(), bytes)]
}
