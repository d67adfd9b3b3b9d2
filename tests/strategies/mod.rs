//! Patterns, policies and requests to generate, for the tests of properties.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The headers and pseudo-headers of a request.
pub type Headers = Vec<(&'static str, Vec<u8>)>;

/// Few schemes, labels and ports, so that patterns and origins meet often.
fn scheme() -> impl Strategy<Value = String> {
    "https?|app|a-b"
}

fn labels() -> impl Strategy<Value = String> {
    vec("[ab]|com|a_-", 1..5).prop_map(|labels| labels.join("."))
}

fn port() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just(":8080".into()), Just(":1".into()), Just(":65535".into())]
}

pub fn pattern() -> impl Strategy<Value = String> {
    let port = prop_oneof![3 => port(), 1 => Just(":*".to_owned())];
    let star = prop_oneof![Just(""), Just("*.")];
    let tuple = (scheme(), star, labels(), prop::bool::weighted(0.1), port).prop_map(
        |(scheme, star, labels, dot, port)| {
            format!("{scheme}://{star}{labels}{}{port}", if dot { "." } else { "" })
        },
    );
    prop_oneof![30 => tuple, 1 => Just("null".to_owned())]
}

/// Origins, and texts that are one step away from one.
pub fn origin() -> impl Strategy<Value = String> {
    let origin = (scheme(), labels(), port())
        .prop_map(|(scheme, labels, port)| format!("{scheme}://{labels}{port}"))
        .boxed();
    let broken = (origin.clone(), any::<prop::sample::Index>(), "[A*.:/@%\\-é\u{1}0]").prop_map(
        |(origin, index, inserted)| {
            let (start, end) = origin.split_at(index.index(origin.len() + 1));
            start.to_owned() + &inserted + end
        },
    );
    prop_oneof![4 => origin, 3 => broken, 1 => pattern()]
}

/// A policy that is accepted.
pub fn policy() -> impl Strategy<Value = Value> {
    let origins = prop_oneof![4 => vec(pattern(), 0..6), 1 => Just(vec!["*".to_owned()])];
    let names =
        |name: &'static str| vec(prop_oneof![Just("*".to_owned()), Just(name.to_owned())], 0..2);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (origins, names("PUT"), names("authorization"), option::of(0..86_400u32), flags).prop_map(
        |(origins, methods, headers, max_age, (credentials, reject, forward, keep, shadow))| {
            let everybody = origins.iter().any(|origin| origin == "*" || origin == "null");
            let mut policy = json!({
                "allowOrigins": origins,
                "allowMethods": methods,
                "allowHeaders": headers,
                "exposeHeaders": ["x-a"],
                "allowCredentials": credentials && !everybody,
                "disallowedRequests": if reject { "reject" } else { "forward" },
                "unmatchedPreflights": if forward { "forward" } else { "reject" },
                "upstreamHeaders": if keep { "keep" } else { "replace" },
                "mode": if shadow { "shadow" } else { "enforce" },
                "dangerouslyAllowInsecureOrigins": true,
                "dangerouslyAllowPublicSuffixes": true,
            });
            if let Some(seconds) = max_age {
                policy["maxAge"] = seconds.into();
            }
            policy
        },
    )
}

/// Several of them, by host and path.
pub fn configuration() -> impl Strategy<Value = Value> {
    (policy(), vec(policy(), 0..3)).prop_map(|(mut default, mut named)| {
        let scopes = [
            json!({"hosts": ["api.example.com"]}),
            json!({"hosts": ["*.example.com"], "pathPrefixes": ["/a", "/a/b"]}),
        ];
        for (index, (policy, scope)) in named.iter_mut().zip(scopes).enumerate() {
            policy["name"] = format!("p{index}").into();
            policy["match"] = scope;
        }
        named.truncate(2);
        if !named.is_empty() {
            default["policies"] = named.into();
        }
        default
    })
}

/// The headers of a request: sensible values, and any bytes.
pub fn request() -> impl Strategy<Value = Headers> {
    let value = |sensible: BoxedStrategy<String>| {
        let bytes = vec(any::<u8>(), 0..40);
        option::of(prop_oneof![6 => sensible.prop_map(String::into_bytes), 1 => bytes])
    };
    let words = |words: &'static str| words.boxed();
    (
        value(words("OPTIONS|GET|POST")),
        value(words("https?")),
        value(words("(api|x)\\.example\\.com(:80)?|a\\.com")),
        value(words("/(a(/b)?|%2e|a//b|\\.\\.)?")),
        value(origin().boxed()),
        value(words("PUT|GET|\\*|CONNECT")),
        value(words("(authorization|x-a|,| ){0,4}")),
        value(words("same-origin|none|cross-site")),
    )
        .prop_map(|(method, scheme, authority, path, origin, acrm, acrh, site)| {
            let headers = [
                (":method", method),
                (":scheme", scheme),
                (":authority", authority),
                (":path", path),
                ("origin", origin),
                ("access-control-request-method", acrm),
                ("access-control-request-headers", acrh),
                ("sec-fetch-site", site),
            ];
            headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
        })
}
