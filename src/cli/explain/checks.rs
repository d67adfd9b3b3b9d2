//! The checks that a request passes or fails, in the order of the Fetch
//! standard, and what each of them compares.

use envoy_cors::allowlist::Allowlist;
use envoy_cors::browser::{Credentials, Denial, Failure, Request, Response};
use envoy_cors::config::{List, OriginsConfig, PolicyConfig};
use envoy_cors::header::{self, request, response};
use envoy_cors::origin::Origin;
use envoy_cors::pattern::{HostPattern, OriginPattern};
use envoy_cors::{Decision, Outcome, method};

use super::course::{Exchange, lookup};
use super::selection::Selection;

/// A comparison and how it came out.
pub struct Check {
    pub name: &'static str,
    pub passed: bool,
    /// What was compared with what.
    pub because: String,
}

impl Check {
    fn new(name: &'static str, passed: bool, because: impl Into<String>) -> Self {
        Self { name, passed, because: because.into() }
    }
}

/// What the gateway takes a request for.
pub fn recognised(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotCors => "not a CORS request: it has no Origin",
        Outcome::ActualAllowed
        | Outcome::ActualDenied
        | Outcome::SameOrigin
        | Outcome::ActualRejected => "an actual request: it has an Origin",
        Outcome::PreflightAllowed
        | Outcome::PreflightDeniedOrigin
        | Outcome::PreflightDeniedMethod
        | Outcome::PreflightDeniedHeaders
        | Outcome::PreflightForwarded => {
            "a preflight: OPTIONS with Origin and Access-Control-Request-Method"
        }
    }
}

/// The gateway's checks, as far as it got.
pub fn of_gateway(
    decision: &Decision,
    selection: &Selection<'_>,
    environment: Option<&str>,
    exchange: &Exchange,
) -> Vec<Check> {
    let outcome = decision.outcome();
    if outcome == Outcome::NotCors {
        return Vec::new();
    }
    let nothing = PolicyConfig::default();
    let policy = selection.policy.unwrap_or(&nothing);
    let mut checks = vec![origin(decision, policy, environment, selection.ambiguous)];
    let preflight = matches!(
        outcome,
        Outcome::PreflightAllowed
            | Outcome::PreflightDeniedMethod
            | Outcome::PreflightDeniedHeaders
    );
    if preflight {
        let asked = lookup(&exchange.sent, request::ACRM).unwrap_or_default();
        let asked = String::from_utf8_lossy(&asked);
        let passed = outcome != Outcome::PreflightDeniedMethod;
        checks.push(Check::new("method", passed, allowed_method(&asked, passed, policy)));
        if passed {
            checks.extend(headers(decision, policy, exchange));
        }
    }
    checks
}

fn origin(
    decision: &Decision,
    policy: &PolicyConfig<'_>,
    environment: Option<&str>,
    ambiguous: bool,
) -> Check {
    let text = String::from_utf8_lossy(decision.origin());
    let list = origins(policy, environment);
    let because = match (decision.outcome(), list) {
        (Outcome::SameOrigin, _) => {
            format!("{text} is the gateway's own, and need not be allowed")
        }
        _ if ambiguous => "no origin is allowed, because of the path".to_owned(),
        (_, Some(list)) if decision.allows_origin() => allowed_origin(decision, &text, list),
        (_, Some(list)) => {
            let near = near_miss(&text, policy, list).map(|near| format!("; {near}"));
            let near = near.unwrap_or_default();
            match list.items.len() {
                0 => format!("{text} is not allowed, for {} is empty{near}", list.at),
                1 => format!("{text} is not the one entry of {}{near}", list.at),
                n => format!("{text} is none of the {n} entries of {}{near}", list.at),
            }
        }
        (_, None) => format!("{text} is not allowed: no origin is"),
    };
    let passed = decision.allows_origin() || decision.outcome() == Outcome::SameOrigin;
    Check::new("origin", passed, because)
}

fn allowed_origin(decision: &Decision, text: &str, list: &List<'_>) -> String {
    let patterns = list.items.iter().filter_map(|(_, text)| OriginPattern::parse(text).ok());
    let allowlist: Allowlist = patterns.collect();
    let by = allowlist.allowing(decision.origin()).map(|by| by.to_string()).unwrap_or_default();
    let place = list.items.iter().find(|(_, text)| **text == by);
    let place = place.map_or(list.at.clone(), |(index, _)| list.path(*index));
    if by == text {
        format!("{text} stands at {place}")
    } else {
        format!("{text} is covered by {by} at {place}")
    }
}

/// The list of origins that is in force.
fn origins<'p, 't>(
    policy: &'p PolicyConfig<'t>,
    environment: Option<&str>,
) -> Option<&'p List<'t>> {
    match policy.allow_origins.as_ref()? {
        OriginsConfig::Same(list) => Some(list),
        OriginsConfig::PerEnvironment { lists, .. } => {
            lists.iter().find(|(name, _)| Some(name.as_str()) == environment).map(|(_, list)| list)
        }
    }
}

/// An entry that somebody may have thought of.
fn near_miss(text: &str, policy: &PolicyConfig<'_>, list: &List<'_>) -> Option<String> {
    let elsewhere = match &policy.allow_origins {
        Some(OriginsConfig::PerEnvironment { lists, .. }) => lists.iter().find(|(_, other)| {
            let patterns = other.items.iter().filter_map(|(_, p)| OriginPattern::parse(p).ok());
            patterns.collect::<Allowlist>().contains(text.as_bytes())
        }),
        _ => None,
    };
    if let Some((name, _)) = elsewhere {
        return Some(format!("it is allowed in the environment {name}"));
    }
    let origin = Origin::parse(text).ok()?;
    list.items.iter().find_map(|(_, entry)| {
        let OriginPattern::Tuple { scheme, host, .. } = OriginPattern::parse(entry).ok()? else {
            return None;
        };
        match host {
            HostPattern::Exact(host) if host == origin.host && scheme != origin.scheme => {
                Some(format!("{entry} has another scheme"))
            }
            HostPattern::Exact(host) if host == origin.host => {
                Some(format!("{entry} has another port"))
            }
            HostPattern::Below(host) if host == origin.host && scheme == origin.scheme => {
                Some(format!("{entry} covers what lies below {host}, and not {host} itself"))
            }
            _ => None,
        }
    })
}

fn allowed_method(asked: &str, passed: bool, policy: &PolicyConfig<'_>) -> String {
    let list = &policy.allow_methods;
    let entry = list.items.iter().find(|(_, text)| method::normalize(text) == asked);
    let other_case = list.items.iter().find(|(_, text)| text.eq_ignore_ascii_case(asked));
    match (entry, other_case) {
        _ if method::is_safelisted(asked.as_bytes()) => format!("{asked} needs no permission"),
        (Some((index, _)), _) => format!("{asked} stands at {}", list.path(*index)),
        _ if passed => format!("{asked} is covered by * in allowMethods"),
        (None, Some((_, other))) => {
            format!("{asked} is not {other}, for methods are case-sensitive")
        }
        _ => missing(asked, list, "allowMethods"),
    }
}

fn missing(asked: &str, list: &List<'_>, field: &str) -> String {
    let listed: Vec<_> = list.items.iter().map(|(_, text)| &**text).collect();
    if listed.is_empty() {
        format!("{asked} is not in {field}, which is empty")
    } else {
        format!("{asked} is not in {field}, which lists {}", listed.join(", "))
    }
}

/// One check for each header, up to the first that is refused.
fn headers(decision: &Decision, policy: &PolicyConfig<'_>, exchange: &Exchange) -> Vec<Check> {
    let asked = lookup(&exchange.sent, request::ACRH).unwrap_or_default();
    let list = &policy.allow_headers;
    let mut checks = Vec::new();
    for name in header::elements(&asked).filter(|name| !name.is_empty()) {
        let passed = name != decision.refused();
        let name = String::from_utf8_lossy(name);
        let entry = list.items.iter().find(|(_, text)| text.eq_ignore_ascii_case(&name));
        let because = match entry {
            Some((index, _)) => format!("{name} stands at {}", list.path(*index)),
            None if passed => format!("{name} is covered by * in allowHeaders"),
            None if list.items.iter().any(|(_, text)| text == "*") => {
                format!("{name} must be listed: without credentials * does not cover it")
            }
            None => missing(&name, list, "allowHeaders"),
        };
        checks.push(Check::new("header", passed, because));
        if !passed {
            break;
        }
    }
    checks
}

/// The browser's checks on an answer, as far as it gets. `failure` is where it
/// stops.
pub fn of_browser(
    asked: &Request,
    response: &Response,
    is_preflight: bool,
    failure: Option<&Failure>,
) -> Vec<Check> {
    if !asked.is_cors() {
        return Vec::new();
    }
    let origin = value(response, response::ALLOW_ORIGIN);
    let is_own = if origin == "*" { "which is everybody" } else { "which is the page's origin" };
    let mut checks = vec![Check::new(
        "origin",
        true,
        format!("Access-Control-Allow-Origin: {origin}, {is_own}"),
    )];
    checks.push(Check::new(
        "credentials",
        true,
        if asked.credentials == Credentials::Include {
            "Access-Control-Allow-Credentials: true".to_owned()
        } else {
            "none go along, so none need be allowed".to_owned()
        },
    ));
    if is_preflight {
        checks.push(Check::new("status", true, format!("{} is from 200 to 299", response.status)));
        checks.push(Check::new("method", true, answered_method(asked, response)));
        let names = envoy_cors::browser::preflight_for(asked).map(|preflight| preflight.headers);
        let names = names.unwrap_or_default();
        if !names.is_empty() {
            let listed = value(response, response::ALLOW_HEADERS);
            let because =
                format!("Access-Control-Allow-Headers: {listed}, for {}", names.join(", "));
            checks.push(Check::new("headers", true, because));
        }
    }
    if let Some(failure) = failure {
        let failing = checks.iter().position(|check| check.name == failing(failure));
        checks.truncate(failing.unwrap_or_default());
        checks.push(Check::new(self::failing(failure), false, compared(failure)));
    }
    checks
}

fn answered_method(asked: &Request, response: &Response) -> String {
    let method = asked.sent_method();
    if method::is_safelisted(method.as_bytes()) {
        return format!("{method} needs no permission");
    }
    format!(
        "Access-Control-Allow-Methods: {}, for {method}",
        value(response, response::ALLOW_METHODS)
    )
}

fn value(response: &Response, name: &str) -> String {
    let lines = response.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| value.escape_ascii().to_string()).collect::<Vec<_>>().join(", ")
}

/// What a failure compares, in the words of the checks that passed.
fn compared(failure: &Failure) -> String {
    let listed = |listed: &[String]| match listed {
        [] => "is missing".to_owned(),
        listed => format!("lists {}", listed.join(", ")),
    };
    match failure {
        Failure::Preflight(denial) | Failure::Response(denial) => match denial {
            Denial::NoAllowOrigin => "Access-Control-Allow-Origin is missing".to_owned(),
            Denial::AnyWithCredentials => {
                "Access-Control-Allow-Origin: *, which is nobody with credentials".to_owned()
            }
            Denial::NoCredentials(None) => "Access-Control-Allow-Credentials is missing".to_owned(),
            _ => denial.to_string(),
        },
        Failure::PreflightStatus(status) => format!("{status} is not from 200 to 299"),
        Failure::Method { method, listed: methods } => {
            format!("Access-Control-Allow-Methods {}, and not {method}", listed(methods))
        }
        Failure::Header { name, listed: names } => {
            format!("Access-Control-Allow-Headers {}, and not {name}", listed(names))
        }
        Failure::Authorization { listed: names } => {
            format!("Access-Control-Allow-Headers {}, and not authorization", listed(names))
        }
        other => other.to_string(),
    }
}

/// The name of the check that a failure is of.
fn failing(failure: &Failure) -> &'static str {
    match failure {
        Failure::Preflight(denial) | Failure::Response(denial) => match denial {
            Denial::AnyWithCredentials | Denial::NoCredentials(_) => "credentials",
            _ => "origin",
        },
        Failure::PreflightRedirect(_) | Failure::PreflightStatus(_) => "status",
        Failure::Method { .. } | Failure::AllowMethods(_) => "method",
        Failure::Header { .. } | Failure::Authorization { .. } | Failure::AllowHeaders(_) => {
            "headers"
        }
        Failure::Unsendable(_) | Failure::RedirectUserInfo => "request",
    }
}
