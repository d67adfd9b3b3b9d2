//! An explanation for programs.

use envoy_cors::browser::{Browser, Credentials, Mode, max_age};
use serde_json::{Value, json};

use super::change::{Instead, Part, Remedy};
use super::checks::{Check, recognised};
use super::course::{End, Exchange, Lines};
use super::edit::{Edit, What};
use super::explanation::Explanation;
use super::selection::name;
use super::source::Source;

/// Everything that the text says.
pub fn of(explanation: &Explanation<'_>, source: &Source<'_>) -> Value {
    let course = &explanation.course;
    let exchange = |exchange: &Option<Exchange>, is_preflight| {
        exchange.as_ref().map(|exchange| of_exchange(explanation, exchange, is_preflight))
    };
    let instead = explanation.remedy.as_ref().map(|(_, instead)| instead.as_slice());
    let instead = instead.unwrap_or_default().iter().map(|Instead { what, request, parts }| {
        json!({
            "what": what,
            "origin": request.page,
            "method": request.method,
            "credentials": credentials(request.credentials),
            "edits": edits(explanation, parts),
        })
    });
    json!({
        "allowed": course.is_allowed(),
        "page": page(explanation),
        "policy": policy(explanation, source),
        "preflight": exchange(&course.preflight, true),
        "request": exchange(&course.actual, false),
        "browser": verdict(&course.end),
        "change": change(explanation),
        "instead": instead.collect::<Vec<_>>(),
    })
}

fn page(explanation: &Explanation<'_>) -> Value {
    let asked = explanation.asked;
    let request = &asked.request;
    json!({
        "origin": request.page,
        "url": asked.url.as_str(),
        "method": request.method,
        "headers": lines(&request.headers),
        "droppedHeaders": request.dropped_headers().collect::<Vec<_>>(),
        "mode": match request.mode {
            Mode::Cors => "cors",
            Mode::NoCors => "no-cors",
            Mode::SameOrigin => "same-origin",
        },
        "credentials": credentials(request.credentials),
        "notes": asked.notes,
    })
}

fn credentials(mode: Credentials) -> &'static str {
    match mode {
        Credentials::Include => "include",
        Credentials::SameOrigin => "same-origin",
        Credentials::Omit => "omit",
    }
}

fn policy(explanation: &Explanation<'_>, source: &Source<'_>) -> Option<Value> {
    let selection = explanation.selection.as_ref()?;
    Some(json!({
        "name": selection.policy.map(name),
        "field": selection.policy.map(|policy| &policy.at),
        "place": selection.policy.map(|policy| source.place(&policy.at)),
        "mode": selection.policy.map(|policy| policy.mode.name()),
        "environment": explanation.environment,
        "ambiguousPath": selection.ambiguous,
        "because": selection.because,
    }))
}

fn of_exchange(explanation: &Explanation<'_>, exchange: &Exchange, is_preflight: bool) -> Value {
    let response = &exchange.response;
    let decision = exchange.decision.as_ref().map(|decision| {
        json!({
            "recognised": recognised(decision.outcome()),
            "checks": checks(&explanation.gateway(exchange)),
            "outcome": decision.outcome().name(),
        })
    });
    let age = |browser| max_age(response, browser);
    json!({
        "sent": lines(&exchange.sent),
        "gateway": decision,
        "answer": {
            "by": if exchange.details.is_some() { "gateway" } else { "upstream" },
            "details": exchange.details,
            "status": response.status,
            "headers": lines(&response.headers),
            "removedHeaders": exchange.removed,
        },
        "browser": checks(&explanation.browser(exchange, is_preflight)),
        "maxAge": is_preflight.then(|| json!({
            "chromium": age(Browser::Chromium),
            "firefox": age(Browser::Firefox),
            "webkit": age(Browser::WebKit),
        })),
    })
}

fn lines(lines: &Lines) -> Vec<Value> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    lines.iter().map(|(name, value)| json!([name, text(value)])).collect()
}

fn checks(checks: &[Check]) -> Vec<Value> {
    let check = |Check { name, passed, because }: &Check| json!({ "check": name, "passed": passed, "because": because });
    checks.iter().map(check).collect()
}

fn verdict(end: &End) -> Value {
    match end {
        End::Readable(readable) => json!({ "readableHeaders": readable.headers }),
        End::Refused(failure) => {
            json!({ "failure": failure.to_string(), "console": failure.console_phrase() })
        }
        End::MixedContent => json!({ "failure": "mixed content" }),
        End::Rejected => json!({ "failure": "rejected by the gateway" }),
    }
}

fn change(explanation: &Explanation<'_>) -> Option<Value> {
    let (remedy, _) = explanation.remedy.as_ref()?;
    match remedy {
        Remedy::Change(parts) => Some(json!({ "edits": edits(explanation, parts), "works": true })),
        Remedy::Refused { parts, problems } => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let edits = edits(explanation, parts);
            Some(json!({ "edits": edits, "works": false, "refused": problems }))
        }
        Remedy::Nothing => None,
    }
}

/// A change, field by field.
pub fn edits(explanation: &Explanation<'_>, parts: &[Part]) -> Vec<Value> {
    let edit = |Edit { field, what }: Edit| match what {
        What::Set(value) => json!({ "field": field, "set": value }),
        What::List { remove, append, now: _ } => {
            json!({ "field": field, "remove": remove, "append": append })
        }
        What::Policy(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            json!({ "field": field, "remove": [], "append": [Value::Object(fields.collect())] })
        }
    };
    explanation.edits(parts).into_iter().map(edit).collect()
}
