//! What a browser did, in the form of what was expected.

use crate::case::Case;
use crate::driver::Seen;
use crate::expect::{REJECTED, Trace, describe};
use crate::server::Arrived;

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
            .filter(|name| names.contains(name) && !is_the_browsers_own(name, request, case))
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
fn is_the_browsers_own(name: &str, request: &Arrived, case: &Case) -> bool {
    const OWN: [&str; 11] = [
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "dnt",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "te",
        "upgrade",
    ];
    let set = || case.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    OWN.contains(&name)
        || name.starts_with("sec-")
        || request.get(name).is_some_and(|value| {
            let default = match name {
                "accept" => value == b"*/*",
                "accept-language" => value == b"C" || value.starts_with(b"en-US"),
                _ => false,
            };
            default && !set().any(|(_, set)| *set == value)
        })
}
