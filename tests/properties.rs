//! What holds for every pattern, policy and request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use envoy_cors::allowlist::Allowlist;
use envoy_cors::browser::{
    self, Credentials, Denial, Failure, Mode, Readable, Request, Response, ResponseType,
};
use envoy_cors::origin::Origin;
use envoy_cors::pattern::OriginPattern;
use envoy_cors::{Decision, Edit, Outcome, Policies, decide};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

mod strategies;

use strategies::{configuration, origin, pattern, policy, request};

/// The definition of matching, by the text of the contract and not by tables.
fn matches(pattern: &str, origin: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == origin;
    }
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let (pattern_scheme, pattern_rest) = pattern.split_once("://").unwrap();
    let (pattern_host, pattern_port) = match pattern_rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (pattern_rest, None),
    };
    scheme == pattern_scheme
        && match pattern_host.strip_prefix("*.") {
            None => host == pattern_host,
            Some(domain) => host
                .strip_suffix(domain)
                .and_then(|before| before.strip_suffix('.'))
                .is_some_and(|before| before.split('.').all(is_label)),
        }
        && match (pattern_port, port) {
            (Some("*"), None) => true,
            (Some("*"), Some(port)) => is_written_port(scheme, port),
            _ => port == pattern_port,
        }
}

fn is_label(label: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=63).contains(&label.len()) && label.chars().all(known)
}

fn is_written_port(scheme: &str, port: &str) -> bool {
    let number: Option<u32> = port.parse().ok();
    number.is_some_and(|n| (1..=65535).contains(&n) && n.to_string() == port)
        && !matches!((scheme, port), ("http", "80") | ("https", "443"))
}

/// What the response says after a decision, of the headers in question.
struct Grant {
    origin: Option<Vec<u8>>,
    credentials: Option<Vec<u8>>,
}

impl Grant {
    fn of(decision: &Decision) -> Self {
        let reply = decision.reply();
        let edits: Vec<_> = decision.edits(|_| None).collect();
        let value = |header: &str| match &reply {
            Some(reply) => {
                reply.headers.iter().find(|(name, _)| *name == header).map(|(_, v)| v.to_vec())
            }
            None => edits.iter().find_map(|edit| match edit {
                Edit::Set(name, value) if *name == header => Some(value.to_vec()),
                _ => None,
            }),
        };
        Self {
            origin: value("access-control-allow-origin"),
            credentials: value("access-control-allow-credentials"),
        }
    }
}

/// A policy, and what a page asks of `https://api.example.com`, or of its own
/// server. The policy allows most of these pages.
fn policy_and_request() -> impl Strategy<Value = (Value, Request)> {
    let header = (
        prop_oneof![3 => Just("X-A"), 3 => Just("Authorization"), 3 => Just("content-type"), 1 => Just("x-b")],
        prop_oneof![Just("text/plain"), Just("application/json")],
    );
    let headers = vec(header, 0..3).prop_map(|headers| -> Vec<_> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        headers.into_iter().map(owned).collect()
    });
    let credentials = prop_oneof![
        Just(Credentials::Omit),
        Just(Credentials::SameOrigin),
        Just(Credentials::Include)
    ];
    let method = prop_oneof![Just("GET"), Just("put"), Just("PATCH"), Just("post"), Just("*")];
    let own = prop::bool::weighted(0.1);
    let page = (any::<prop::sample::Index>(), prop::bool::weighted(0.2), origin());
    (policy(), page, own, method, headers, credentials).prop_map(
        |(policy, (index, other, origin), own, method, headers, credentials)| {
            let patterns = policy["allowOrigins"].as_array().unwrap();
            let allowed = patterns.get(index.index(patterns.len().max(1)));
            let allowed = allowed.map_or("*", |pattern| pattern.as_str().unwrap());
            let allowed = allowed.replace("*.", "a.b.").replace(":*", ":8080");
            let page = if other || allowed == "*" { origin } else { allowed };
            let page = if Origin::parse(&page).is_ok() { page } else { "null".to_owned() };
            let own = own && page != "null";
            let target = if own { page.clone() } else { "https://api.example.com".into() };
            let method = method.to_owned();
            (policy, Request { page, target, method, headers, mode: Mode::Cors, credentials })
        },
    )
}

/// A gateway with these policies, in front of a server that knows no CORS.
fn ask(
    policies: &Policies,
    target: &str,
    method: &str,
    lines: &[(&str, String)],
) -> (Option<Outcome>, Response) {
    let (scheme, authority) = target.split_once("://").unwrap();
    let pseudo =
        [(":method", method), (":scheme", scheme), (":authority", authority), (":path", "/")];
    let header = |name: &str| {
        let lines = lines.iter().map(|(name, value)| (*name, value.as_str()));
        pseudo.into_iter().chain(lines).find(|(other, _)| *other == name).map(|(_, v)| v.into())
    };
    let upstream = vec![("X-A".to_owned(), b"1".to_vec()), ("etag".to_owned(), b"1".to_vec())];
    let mut response = Response { status: 200, headers: upstream };
    let Some(decision) = decide(policies, header) else { return (None, response) };
    if let Some(reply) = decision.reply() {
        let line = |(name, value): &(&str, std::borrow::Cow<'_, [u8]>)| {
            ((*name).to_owned(), value.to_vec())
        };
        response.status = reply.status.try_into().unwrap();
        response.headers = reply.headers.iter().map(line).collect();
    } else {
        for edit in decision.edits(|_| None) {
            if let Edit::Set(name, value) | Edit::Append(name, value) = edit {
                response.headers.push((name.to_owned(), value.to_vec()));
            }
        }
    }
    (Some(decision.outcome()), response)
}

/// Where a policy, by its text, refuses a request of another origin.
fn refusal(policy: &Value, request: &Request) -> Option<&'static str> {
    let listed = |field: &str, name: &str| {
        policy[field].as_array().unwrap().iter().any(|listed| listed == name)
    };
    let credentials = policy["allowCredentials"] == true;
    let any = listed("allowOrigins", "*");
    let patterns = policy["allowOrigins"].as_array().unwrap().iter();
    let matched = patterns
        .map(|pattern| pattern.as_str().unwrap())
        .any(|pattern| pattern != "*" && matches(pattern, &request.page));
    if policy["mode"] == "shadow" || !(any || matched) {
        return Some("origin");
    }
    if request.credentials == Credentials::Include && !credentials {
        return Some("credentials");
    }
    let method = request.sent_method();
    if browser::preflight_for(request).is_some()
        && !matches!(method, "GET" | "HEAD" | "POST")
        && !listed("allowMethods", method)
        && !listed("allowMethods", "*")
    {
        return Some("method");
    }
    let names = browser::preflight_for(request).map(|preflight| preflight.headers);
    let allowed = |name: &String| {
        listed("allowHeaders", name)
            || (listed("allowHeaders", "*") && (credentials || name != "authorization"))
    };
    (!names.unwrap_or_default().iter().all(allowed)).then_some("header")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_pattern_is_written_back_as_it_was_read(pattern in pattern()) {
        prop_assert_eq!(OriginPattern::parse(&pattern).unwrap().to_string(), pattern);
    }

    #[test]
    fn any_text_is_refused_or_written_back(text in "\\PC{0,40}|[a-z*:/.\\[\\]0-9-]{0,40}") {
        if let Ok(pattern) = OriginPattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn the_table_agrees_with_the_definition(
        patterns in vec(pattern(), 0..8),
        origins in vec(origin(), 8),
    ) {
        let allowlist: Allowlist =
            patterns.iter().map(|text| OriginPattern::parse(text).unwrap()).collect();
        for origin in origins {
            let expected = patterns.iter().any(|pattern| matches(pattern, &origin));
            prop_assert_eq!(allowlist.contains(origin.as_bytes()), expected, "{}", origin);
            let allowing = allowlist.allowing(origin.as_bytes()).map(|entry| entry.to_string());
            prop_assert_eq!(allowing.is_some(), expected, "{}", origin);
            if let Some(entry) = allowing {
                prop_assert!(patterns.contains(&entry) && matches(&entry, &origin), "{}", entry);
                prop_assert!(entry == origin || !patterns.contains(&origin), "{}", entry);
            }
        }
        let mut listed: Vec<_> = allowlist.patterns().map(|entry| entry.to_string()).collect();
        let mut written = patterns;
        listed.sort();
        written.sort();
        written.dedup();
        prop_assert_eq!(listed, written);
    }

    #[test]
    fn a_covered_pattern_adds_nothing(patterns in vec(pattern(), 1..8), origins in vec(origin(), 8)) {
        let parsed: Vec<_> = patterns.iter().map(|text| OriginPattern::parse(text).unwrap()).collect();
        let allowlist: Allowlist = parsed.iter().copied().collect();
        for (text, pattern) in patterns.iter().zip(&parsed) {
            let Some(covering) = allowlist.covering(pattern) else { continue };
            prop_assert_ne!(covering, *pattern);
            prop_assert!(parsed.contains(&covering), "{} is not in the list", covering);
            for origin in origins.iter().filter(|origin| matches(text, origin)) {
                prop_assert!(matches(&covering.to_string(), origin), "{} {}", covering, origin);
            }
        }
    }

    #[test]
    fn a_grant_is_for_the_origin_that_asked(policy in configuration(), request in request()) {
        let (policies, problems) = Policies::from_json(policy.to_string().as_bytes(), None);
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        prop_assert!(policies.is_some(), "{:?}", problems);
        let header = |name: &str| {
            request.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
        };
        let Some(decision) = decide(&policies.unwrap(), header) else { return Ok(()) };
        let grant = Grant::of(&decision);
        match grant.origin.as_deref() {
            Some(b"*") => prop_assert_eq!(grant.credentials, None),
            Some(origin) => {
                prop_assert_eq!(header("origin"), Some(origin.to_vec()));
                // Nobody is answered with bytes that could break the header.
                prop_assert!(origin.iter().all(u8::is_ascii_graphic));
            }
            None => prop_assert_eq!(grant.credentials, None),
        }
    }

    #[test]
    fn a_browser_sees_what_the_policy_grants((policy, request) in policy_and_request()) {
        let (policies, _) = Policies::from_json(policy.to_string().as_bytes(), None);
        let policies = policies.unwrap();
        let refusal = if request.is_cors() { refusal(&policy, &request) } else { None };

        let mut failure = None;
        let mut outcome = None;
        if let Some(preflight) = browser::preflight_for(&request) {
            let (decided, answer) = ask(&policies, &request.target, "OPTIONS", &preflight.lines());
            outcome = decided;
            failure = browser::check_preflight(&request, &answer).err();
        }
        let origin = request.origin_header().map(|origin| ("origin", origin.to_owned()));
        let (_, response) = ask(&policies, &request.target, request.sent_method(), origin.as_slice());
        let readable = browser::check(&request, &response);
        if failure.is_none() {
            failure = readable.as_ref().err().cloned();
        }
        let named = failure.as_ref().map(|failure| match failure {
            Failure::Preflight(Denial::NoAllowOrigin) | Failure::Response(Denial::NoAllowOrigin) => "origin",
            Failure::Preflight(_) | Failure::Response(_) => "credentials",
            Failure::Method { .. } => "method",
            Failure::Header { .. } | Failure::Authorization { .. } => "header",
            other => panic!("{other}"),
        });
        prop_assert_eq!(named, refusal, "{:?}", failure);

        // The filter counts the step that the browser names; it cannot know of
        // a page that sends credentials where none are allowed.
        let enforced = policy["mode"] == "enforce" && refusal != Some("credentials");
        if let (Some(outcome), true) = (outcome, enforced) {
            let decided = match outcome {
                Outcome::PreflightAllowed => None,
                Outcome::PreflightDeniedOrigin | Outcome::PreflightForwarded => Some("origin"),
                Outcome::PreflightDeniedMethod => Some("method"),
                Outcome::PreflightDeniedHeaders => Some("header"),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(decided, refusal);
        }
        if let (Ok(Readable { kind: ResponseType::Cors, headers }), None) = (readable, refusal) {
            prop_assert_eq!(headers, ["x-a"]);
        }
    }

    #[test]
    fn no_configuration_panics(text in "\\PC{0,80}", bytes in vec(any::<u8>(), 0..80)) {
        let json = json!({"allowOrigins": [text], "allowMethods": [text], "allowHeaders": [text],
            "exposeHeaders": [text], "maxAge": text, "environment": text, "mode": text,
            "policies": [{"name": text, "match": {"hosts": [text], "pathPrefixes": [text]}}]});
        for bytes in [json.to_string().into_bytes(), bytes] {
            let (policies, problems) = Policies::from_json(&bytes, None);
            prop_assert_eq!(policies.is_none(), problems.has_errors());
            for problem in &problems {
                prop_assert!(!problem.to_string().contains(char::is_control), "{}", problem);
            }
        }
    }
}
