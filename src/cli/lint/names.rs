//! Methods and headers: what does nothing, what is missing, what is capped.

use envoy_cors::config::{List, PolicyConfig, field_path};
use envoy_cors::method;

use super::Smells;
use super::smell::Smell;

/// Longest time that Chromium caches a preflight for, in seconds. Firefox goes up
/// to a day, Safari to ten minutes.
const CHROMIUM_MAX_AGE: u32 = 7200;

/// Checks the lists of names of a policy.
pub fn check(policy: &PolicyConfig<'_>, smells: &mut Smells<'_>) {
    methods(&policy.allow_methods, smells);
    safelisted_headers(&policy.allow_headers, smells);
    if is_grpc_web(policy) {
        grpc_web(policy, smells);
    } else {
        content_type(policy, smells);
    }
    authorization(policy, smells);
    if let Some(seconds) = policy.max_age.filter(|seconds| *seconds > CHROMIUM_MAX_AGE) {
        smells.add(&field_path(&policy.at, "maxAge"), None, &Smell::MaxAgeCapped { seconds });
    }
}

fn lists(list: &List<'_>, name: &str) -> bool {
    list.items.iter().any(|(_, text)| text.eq_ignore_ascii_case(name))
}

fn methods(list: &List<'_>, smells: &mut Smells<'_>) {
    for (index, text) in &list.items {
        let (at, name) = (list.path(*index), method::normalize(text));
        let upper = name.to_ascii_uppercase();
        // Both spellings are on purpose.
        let both = || list.items.iter().any(|(_, other)| *other == upper);
        if name == "OPTIONS" && !lists(list, "*") {
            smells.add(&at, Some(text), &Smell::OptionsMethod);
        } else if method::is_requestable(name.as_bytes()) && name != upper && !both() {
            smells.add(&at, Some(text), &Smell::MethodCase { upper });
        }
    }
}

/// [CORS-safelisted request-header](https://fetch.spec.whatwg.org/#cors-safelisted-request-header).
/// `content-type` and `range` are left out: their usual values are not safelisted.
fn safelisted_headers(list: &List<'_>, smells: &mut Smells<'_>) {
    const NAMES: [&str; 3] = ["accept", "accept-language", "content-language"];
    // The filter says so itself beside `*`.
    for (index, text) in list.items.iter().filter(|_| !lists(list, "*")) {
        if NAMES.contains(&text.to_ascii_lowercase().as_str()) {
            smells.add(&list.path(*index), Some(text), &Smell::SafelistedRequestHeader);
        }
    }
}

/// The first of some methods that a list has, with its place.
fn first_of<'l>(list: &'l List<'_>, names: &[&str]) -> Option<(String, &'l str)> {
    let is_one = |text: &str| names.contains(&method::normalize(text));
    let (index, text) = list.items.iter().find(|(_, text)| is_one(text))?;
    Some((list.path(*index), text))
}

fn content_type(policy: &PolicyConfig<'_>, smells: &mut Smells<'_>) {
    let headers = &policy.allow_headers;
    if lists(headers, "content-type") || lists(headers, "*") {
        return;
    }
    if let Some((at, method)) = first_of(&policy.allow_methods, &["PUT", "PATCH"]) {
        smells.add(&at, Some(method), &Smell::ContentTypeNotAllowed);
    }
}

fn authorization(policy: &PolicyConfig<'_>, smells: &mut Smells<'_>) {
    const WORDS: [&str; 8] =
        ["auth", "token", "key", "csrf", "xsrf", "session", "signature", "secret"];
    let headers = &policy.allow_headers;
    if policy.allow_credentials || lists(headers, "authorization") {
        return;
    }
    if let Some((index, text)) = headers.items.iter().find(|(_, text)| text == "*") {
        smells.add(&headers.path(*index), Some(text), &Smell::AuthorizationNotCovered);
        return;
    }
    let authenticates = |text: &str| {
        let name = text.to_ascii_lowercase();
        WORDS.iter().any(|word| name.contains(word))
    };
    if headers.items.iter().any(|(_, text)| authenticates(text)) {
        return;
    }
    if let Some((at, method)) = first_of(&policy.allow_methods, &["PUT", "PATCH", "DELETE"]) {
        smells.add(&at, Some(method), &Smell::AuthorizationNotAllowed);
    }
}

/// What gRPC-Web's clients send, and what they read where a reply has no trailers.
const GRPC_WEB_REQUEST: [&str; 4] = ["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"];
const GRPC_WEB_RESPONSE: [&str; 2] = ["grpc-status", "grpc-message"];

fn is_grpc_web(policy: &PolicyConfig<'_>) -> bool {
    ["x-grpc-web", "grpc-timeout"].iter().any(|name| lists(&policy.allow_headers, name))
        || GRPC_WEB_RESPONSE.iter().any(|name| lists(&policy.expose_headers, name))
}

fn grpc_web(policy: &PolicyConfig<'_>, smells: &mut Smells<'_>) {
    let of_both: [(&'static str, &List<'_>, &[&'static str]); 2] = [
        ("allowHeaders", &policy.allow_headers, &GRPC_WEB_REQUEST),
        ("exposeHeaders", &policy.expose_headers, &GRPC_WEB_RESPONSE),
    ];
    for (field, list, needed) in of_both {
        let missing: Vec<&str> = needed.iter().copied().filter(|name| !lists(list, name)).collect();
        if !missing.is_empty() && !lists(list, "*") {
            let at = field_path(&policy.at, field);
            smells.add(&at, None, &Smell::IncompleteGrpcWeb { field, missing });
        }
    }
}
