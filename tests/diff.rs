//! `envoy-cors diff`, the real binary on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod run;
mod strategies;

use std::collections::BTreeSet;
use std::path::Path;

use envoy_cors::{Edit, Outcome, Policies, decide};
use proptest::prelude::*;
use serde_json::{Value, json};

use run::run;

struct Row {
    case: &'static str,
    old: &'static str,
    new: &'static str,
    arguments: &'static [&'static str],
    status: i32,
    prints: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        case: "entries that wildcards cover, order, spelling and names mean nothing",
        old: "{allowOrigins: [https://*.example.com, 'http://localhost:*'], allowMethods: [PUT], allowHeaders: ['*']}",
        new: "{allow_origins: ['http://localhost:*', https://a.example.com, https://*.example.com, 'http://localhost:3000'], allowMethods: [put, GET], allowHeaders: ['*', x-a]}",
        arguments: &["--deny-widening"],
        status: 0,
        prints: "nothing is granted, nothing is taken away\n",
    },
    Row {
        case: "origins, wider and narrower",
        old: "allowOrigins: [https://a.example.com, https://*.b.example, 'null']",
        new: "allowOrigins: [https://*.example.com, 'https://*.b.example:*']",
        arguments: &["--deny-widening"],
        status: 1,
        prints: "\
policy default: every request
  + origin https://*.b.example:*
      GET https://any.example/ with Origin: https://any.b.example:3000
  + origin https://*.example.com
      GET https://any.example/ with Origin: https://any.example.com
  - origin null
      GET https://any.example/ with Origin: null

2 granted, 1 taken away
",
    },
    Row {
        case: "every field of a policy",
        old: "{allowOrigins: [https://a.example], allowMethods: [PUT], allowHeaders: [x-a, x-b], exposeHeaders: [x-a, content-type], maxAge: 5}",
        new: "{allowOrigins: [https://a.example], allowMethods: ['*'], allowHeaders: [X-B, x-c], exposeHeaders: [x-b], maxAge: 1m, allowCredentials: true, unmatchedPreflights: forward, upstreamHeaders: keep}",
        arguments: &[],
        status: 0,
        prints: "\
policy default: every request
  + every method
      OPTIONS https://any.example/ with Origin: https://a.example, Access-Control-Request-Method: PATCH
  + request header x-c
      OPTIONS https://any.example/ with Origin: https://a.example, Access-Control-Request-Method: GET, Access-Control-Request-Headers: x-c
  + response header x-b can be read
      GET https://any.example/ with Origin: https://a.example
  + credentials
      GET https://any.example/ with Origin: https://a.example
  + upstream answers preflights from other origins
      OPTIONS https://any.example/ with Origin: https://stranger.example, Access-Control-Request-Method: PATCH
  + upstream's own CORS headers are kept
      GET https://any.example/ with Origin: https://a.example
  - request header x-a
      OPTIONS https://any.example/ with Origin: https://a.example, Access-Control-Request-Method: GET, Access-Control-Request-Headers: x-a
  - response header x-a can be read
      GET https://any.example/ with Origin: https://a.example
  - the policy's CORS headers replace upstream's own
      GET https://any.example/ with Origin: https://a.example
  ~ preflights are remembered for 60 s; they were remembered for 5 s

6 granted, 3 taken away
",
    },
    Row {
        case: "what nobody is granted is no grant",
        old: "{allowOrigins: [], allowMethods: [PUT]}",
        new: "{allowOrigins: [], allowMethods: ['*'], maxAge: 5}",
        arguments: &["--deny-widening"],
        status: 0,
        prints: "nothing is granted, nothing is taken away\n",
    },
    Row {
        case: "a host that moves to another policy, and a path that gets its own",
        old: "
policies:
- {name: open, match: {hosts: [a.example, b.example]}, allowOrigins: ['*']}
allowOrigins: [https://app.example]
",
        new: "
policies:
- {name: open, match: {hosts: [A.example.]}, allowOrigins: ['*']}
- {name: api, match: {pathPrefixes: [/api/]}, allowOrigins: [https://app.example, https://api.example]}
allowOrigins: [https://app.example]
",
        arguments: &[],
        status: 0,
        prints: "\
policy open: paths on a.example that servers may read in several ways, such as //
  - every origin
      GET https://a.example// with Origin: https://stranger.example

policy api, before open: b.example/api
  - every origin
      GET https://b.example/api with Origin: https://stranger.example

policy default, before open: other paths on b.example
  - every origin
      GET https://b.example/ with Origin: https://stranger.example

policy default, before open: paths on b.example that servers may read in several ways, such as //
  - every origin
      GET https://b.example// with Origin: https://stranger.example

policy api, before default: /api on every other host
  + origin https://api.example
      GET https://any.example/api with Origin: https://api.example

policy default: paths on every other host that servers may read in several ways, such as //
  - origin https://app.example
      GET https://any.example// with Origin: https://app.example

1 granted, 5 taken away
",
    },
    Row {
        case: "a policy that comes, one that goes",
        old: "policies: [{name: a, match: {hosts: [a.example]}, allowOrigins: [https://app.example]}]",
        new: "policies: [{name: b, match: {hosts: [b.example]}, allowOrigins: [https://app.example]}]",
        arguments: &["--deny-widening"],
        status: 1,
        prints: "\
no policy, before a: a.example
  + upstream alone decides
      GET https://a.example/ with Origin: https://stranger.example
  - origin https://app.example
      GET https://a.example/ with Origin: https://app.example

policy b, before none: b.example
  + origin https://app.example
      GET https://b.example/ with Origin: https://app.example
  - upstream alone decides
      GET https://b.example/ with Origin: https://stranger.example

2 granted, 2 taken away
",
    },
    Row {
        case: "modes",
        old: "
policies:
- {name: on, match: {hosts: [on.example]}, mode: shadow, allowOrigins: [https://a.example]}
- {name: off, match: {hosts: [off.example]}, allowOrigins: [https://a.example]}
mode: shadow
allowOrigins: [https://a.example]
",
        new: "
policies:
- {name: on, match: {hosts: [on.example]}, allowOrigins: [https://a.example]}
- {name: off, match: {hosts: [off.example]}, mode: shadow, allowOrigins: [https://a.example]}
mode: shadow
allowOrigins: [https://b.example]
",
        arguments: &[],
        status: 0,
        prints: "\
policy off: off.example
  + upstream alone decides
      GET https://off.example/ with Origin: https://stranger.example
  - origin https://a.example
      GET https://off.example/ with Origin: https://a.example
  ~ the policy is in shadow mode: it decides, and touches nothing

policy on: on.example
  + origin https://a.example
      GET https://on.example/ with Origin: https://a.example
  - upstream alone decides
      GET https://on.example/ with Origin: https://stranger.example
  ~ the policy is enforced

policy default, in shadow mode: every other host
  + origin https://b.example
      GET https://any.example/ with Origin: https://b.example
  - origin https://a.example
      GET https://any.example/ with Origin: https://a.example

2 granted, 2 taken away
",
    },
    Row {
        case: "environments: one that changes, one that is new, one that goes",
        old: "allowOrigins: {test: [https://t.example], production: [https://p.example], old: [https://o.example]}\nenvironment: test\n",
        new: "allowOrigins: {test: [https://t.example], production: [https://p.example, https://q.example], new: [https://n.example]}\nenvironment: production\n",
        arguments: &[],
        status: 0,
        prints: "\
policy default, in production: every request
  + origin https://q.example
      GET https://any.example/ with Origin: https://q.example

refused, before default, in old: every request
  - origin https://o.example
      GET https://any.example/ with Origin: https://o.example
  - requests from other origins reach upstream
      GET https://any.example/ with Origin: https://stranger.example

policy default, before refused, in new: every request
  + origin https://n.example
      GET https://any.example/ with Origin: https://n.example
  + requests from other origins reach upstream
      GET https://any.example/ with Origin: https://stranger.example

policy default, without CORS_ENVIRONMENT: every request
  + origin https://p.example
      GET https://any.example/ with Origin: https://p.example
  + origin https://q.example
      GET https://any.example/ with Origin: https://q.example
  - origin https://t.example
      GET https://any.example/ with Origin: https://t.example

5 granted, 3 taken away
",
    },
    Row {
        case: "an environment that is chosen where none was",
        old: "{allowOrigins: {production: [https://p.example], test: []}, unmatchedPreflights: forward, upstreamHeaders: keep}",
        new: "{allowOrigins: {production: [https://p.example], test: []}, environment: production, unmatchedPreflights: forward, upstreamHeaders: keep}",
        arguments: &["--deny-widening"],
        status: 1,
        prints: "\
policy default, before refused, without CORS_ENVIRONMENT: every request
  + origin https://p.example
      GET https://any.example/ with Origin: https://p.example
  + requests from other origins reach upstream
      GET https://any.example/ with Origin: https://stranger.example
  + upstream answers preflights from other origins
      OPTIONS https://any.example/ with Origin: https://stranger.example, Access-Control-Request-Method: PUT
  + upstream's own CORS headers are kept
      GET https://any.example/ with Origin: https://p.example

4 granted, nothing taken away
",
    },
    Row {
        case: "one that is chosen no more",
        old: "{allowOrigins: {production: [https://p.example]}, environment: production, disallowedRequests: reject}",
        new: "{allowOrigins: {production: [https://p.example]}, disallowedRequests: reject}",
        arguments: &["--deny-widening"],
        status: 0,
        prints: "\
refused, before default, without CORS_ENVIRONMENT: every request
  - origin https://p.example
      GET https://any.example/ with Origin: https://p.example

nothing granted, 1 taken away
",
    },
    Row {
        case: "upstream alone where nothing was",
        old: "{policies: [{name: a, match: {hosts: [a.example]}, allowOrigins: {production: []}}]}",
        new: "{policies: [{name: a, match: {hosts: [a.example]}, allowOrigins: {production: []}}], environment: production}",
        arguments: &[],
        status: 0,
        prints: "\
policy a, before refused, without CORS_ENVIRONMENT: a.example
  + requests from other origins reach upstream
      GET https://a.example/ with Origin: https://stranger.example

no policy, before refused, without CORS_ENVIRONMENT: every other host
  + upstream alone decides
      GET https://any.example/ with Origin: https://stranger.example

2 granted, nothing taken away
",
    },
    Row {
        case: "the same change in every environment is told once, and one can be chosen",
        old: "{allowOrigins: {test: [https://a.example], production: [https://a.example]}}",
        new: "{allowOrigins: {test: [https://a.example, https://b.example], production: [https://a.example, https://b.example]}}",
        arguments: &[],
        status: 0,
        prints: "\
policy default, in every environment: every request
  + origin https://b.example
      GET https://any.example/ with Origin: https://b.example

1 granted, nothing taken away
",
    },
    Row {
        case: "a name that a terminal would obey",
        old: "{allowOrigins: {test: [], \"a\\e[31m\": []}}",
        new: "{allowOrigins: {test: [], \"a\\e[31m\": [https://a.example]}}",
        arguments: &[],
        status: 0,
        prints: "\
policy default, in a\\u{1b}[31m: every request
  + origin https://a.example
      GET https://any.example/ with Origin: https://a.example

1 granted, nothing taken away
",
    },
    Row {
        case: "one environment",
        old: "{allowOrigins: {test: [], production: [https://a.example]}}",
        new: "{allowOrigins: {test: [https://a.example], production: []}}",
        arguments: &["--environment=production", "--deny-widening"],
        status: 0,
        prints: "\
policy default, in production: every request
  - origin https://a.example
      GET https://any.example/ with Origin: https://a.example

nothing granted, 1 taken away
",
    },
    Row {
        case: "credentials for one who had everything else",
        old: "{allowOrigins: ['*'], allowHeaders: ['*']}",
        new: "{allowOrigins: [https://a.example], allowHeaders: ['*'], allowCredentials: true}",
        arguments: &[],
        status: 0,
        prints: "\
policy default: every request
  + request header authorization
      OPTIONS https://any.example/ with Origin: https://a.example, Access-Control-Request-Method: GET, Access-Control-Request-Headers: authorization
  + credentials
      GET https://any.example/ with Origin: https://a.example
  - every origin
      GET https://any.example/ with Origin: https://stranger.example

2 granted, 1 taken away
",
    },
    Row {
        case: "pages of the host itself need no permission",
        old: "allowOrigins: []",
        new: "policies: [{match: {hosts: ['*.a.example']}, name: a, allowOrigins: [https://*.a.example]}]\nallowOrigins: [https://*.example]",
        arguments: &[],
        status: 0,
        prints: "\
policy a, before default: *.a.example
  + origin https://*.a.example
      GET https://any.a.example/ with Origin: https://a.a.example

policy default: every other host
  + origin https://*.example
      GET https://any.example/ with Origin: https://a.example

2 granted, nothing taken away
",
    },
    Row {
        case: "requests that were rejected",
        old: "{allowOrigins: [https://a.example], disallowedRequests: reject}",
        new: "{allowOrigins: [https://a.example]}",
        arguments: &["--deny-widening"],
        status: 1,
        prints: "\
policy default: every request
  + requests from other origins reach upstream
      GET https://any.example/ with Origin: https://stranger.example

1 granted, nothing taken away
",
    },
];

/// Exit status, standard output, standard error.
fn diff(old: &str, new: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.yaml"), old).unwrap();
    std::fs::write(folder.path().join("new.yaml"), new).unwrap();
    run(&[&["diff", "old.yaml", "new.yaml"], arguments].concat(), folder.path(), "")
}

#[test]
fn changes_in_words() {
    for row in ROWS {
        let (status, printed, complaints) = diff(row.old, row.new, row.arguments);
        assert_eq!((printed.as_str(), complaints.as_str()), (row.prints, ""), "{}", row.case);
        assert_eq!(status, row.status, "{}", row.case);
    }
}

#[test]
fn changes_for_programs() {
    let old = "{allowOrigins: {a: [https://a.example], b: []}, maxAge: 1}";
    let new = "{allowOrigins: {a: [https://a.example], b: [https://b.example]}, maxAge: 2}";
    let (status, printed, complaints) = diff(old, new, &["--format=json", "--deny-widening"]);
    assert_eq!((status, complaints.as_str()), (1, ""));
    let change = |environment, effect, kind, value, example| {
        json!({
            "environments": [environment], "requests": ["every request"],
            "oldPolicy": "default", "newPolicy": "default", "shadow": false,
            "effect": effect, "kind": kind, "value": value, "example": example,
        })
    };
    let example = json!({
        "method": "GET", "url": "https://any.example/",
        "headers": { "Origin": "https://b.example" },
        "oldOutcome": "actual_denied", "newOutcome": "actual_allowed",
    });
    let words = "preflights are remembered for 2 s; they were remembered for 1 s";
    assert_eq!(
        serde_json::from_str::<Value>(&printed).unwrap(),
        json!({
            "widens": true,
            "changes": [
                change("a", "other", "note", words, Value::Null),
                change("b", "granted", "origin", "https://b.example", example),
            ],
        })
    );
}

#[test]
fn policies_inside_of_manifests() {
    let old = "
kind: WasmPlugin
spec:
  url: oci://registry.example/envoy-cors:1
  vmConfig: {env: [{name: CORS_ENVIRONMENT, value: production}]}
  pluginConfig: {allowOrigins: {production: [https://a.example], test: []}}
";
    let (status, printed, complaints) = diff(old, "allowOrigins: [https://a.example]", &[]);
    assert_eq!((status, complaints.as_str()), (0, ""));
    let expected = "\
policy default, in test: every request
  + origin https://a.example
      GET https://any.example/ with Origin: https://a.example

1 granted, nothing taken away
";
    assert_eq!(printed, expected);
    let (_, printed, _) = diff(old, &old.replace("value: production", "value: test"), &[]);
    let expected = "\
policy default, in the environment that each file chooses: every request
  - origin https://a.example
      GET https://any.example/ with Origin: https://a.example

nothing granted, 1 taken away
";
    assert_eq!(printed, expected);
}

#[test]
fn files_that_cannot_be_compared() {
    let good = "allowOrigins: []";
    for (old, new, arguments, complaint) in [
        (good, "a: [", &[][..], "envoy-cors: new.yaml: line 1: "),
        ("other: 1", good, &[], "envoy-cors: old.yaml: holds no policy of this filter\n"),
        (
            good,
            "allowOrigins: []\n---\nallowOrigins: []",
            &[],
            "envoy-cors: new.yaml: holds 2 policies; cut out",
        ),
        (
            good,
            "allowOrigins: [https://a.example/]",
            &[],
            "error[invalid-origin]: allowOrigins[0]: ",
        ),
        (
            good,
            "allowOrigins: {a: []}",
            &["--environment=b"],
            "error[unknown-environment]: allowOrigins: ",
        ),
        (good, "allowOrigins: {a: [], b: [x]}", &[], "error[invalid-origin]: allowOrigins.b[0]: "),
        // The filter refuses what it chooses itself, where nobody else does.
        (
            "{allowOrigins: {production: []}, environment: production}",
            "{allowOrigins: {production: []}, environment: prodution}",
            &[],
            "error[unknown-environment]: allowOrigins: ",
        ),
        (
            "{allowOrigins: {production: []}, environment: prodution}",
            "{allowOrigins: {production: []}, environment: production}",
            &[],
            "error[unknown-environment]: allowOrigins: ",
        ),
        (
            good,
            "{kind: WasmPlugin, spec: {url: 'oci://r.example/envoy-cors:1', vmConfig: {env: [{name: CORS_ENVIRONMENT, value: dev}]}, pluginConfig: {allowOrigins: {production: []}}}}",
            &[],
            "error[unknown-environment]: allowOrigins: has no list for the environment \"dev\"",
        ),
        (
            good,
            "allowOrigins: {a: []}",
            &["--environment="],
            "error[unknown-environment]: allowOrigins: lists origins per environment, but",
        ),
        (good, good, &["--deny-widenig"], "error: unexpected argument '--deny-widenig'"),
    ] {
        let (status, printed, complaints) = diff(old, new, arguments);
        assert_eq!((status, printed.as_str()), (2, ""), "{new}");
        assert!(complaints.starts_with(complaint), "{complaints}");
    }
    let (status, _, complaints) =
        run(&["diff", "no/such/file.yaml", "Cargo.toml"], Path::new("."), "");
    assert_eq!(status, 2);
    assert!(complaints.starts_with("envoy-cors: no/such/file.yaml: No such file"), "{complaints}");
}

/// What upstream says of itself.
#[derive(Clone, Copy)]
enum Upstream {
    /// Nothing of CORS.
    Silent,
    /// That the page may have everything.
    Generous,
    /// That another page may have it.
    Elsewhere,
}

/// What becomes of a request.
#[derive(Debug)]
struct Effect {
    reaches_upstream: bool,
    allowed: bool,
    credentials: bool,
    exposed: BTreeSet<String>,
}

impl Effect {
    fn of(policies: &Policies, request: &[(&str, Vec<u8>)], says: Upstream) -> Self {
        let header = |name: &str| {
            request.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
        };
        let origin = header("origin").unwrap();
        let upstream = |name: &str| match (says, name) {
            (Upstream::Generous, "access-control-allow-origin") => Some(origin.clone()),
            (Upstream::Elsewhere, "access-control-allow-origin") => Some(b"https://x".to_vec()),
            (Upstream::Generous, "access-control-allow-credentials") => Some(b"true".to_vec()),
            (Upstream::Generous, "access-control-expose-headers") => Some(b"x-upstream".to_vec()),
            _ => None,
        };
        let decision = decide(policies, header);
        let reply = decision.as_ref().and_then(|decision| decision.reply().map(|_| decision));
        if let Some(decision) = reply {
            return Self {
                reaches_upstream: false,
                allowed: decision.outcome() == Outcome::PreflightAllowed,
                credentials: false,
                exposed: BTreeSet::new(),
            };
        }
        let edits: Vec<_> = decision.iter().flat_map(|decision| decision.edits(upstream)).collect();
        let value = |name: &str| {
            let edited = edits.iter().find_map(|edit| match edit {
                Edit::Set(other, value) if *other == name => Some(Some(value.to_vec())),
                Edit::Remove(other) if *other == name => Some(None),
                _ => None,
            });
            edited.unwrap_or_else(|| upstream(name))
        };
        let granted = value("access-control-allow-origin");
        let own = granted.as_ref() == Some(&origin);
        let allowed = own || granted.as_deref() == Some(b"*");
        let names = value("access-control-expose-headers").unwrap_or_default();
        let names = String::from_utf8(names).unwrap();
        Self {
            reaches_upstream: true,
            allowed,
            credentials: own && value("access-control-allow-credentials").is_some(),
            exposed: names
                .split(',')
                .filter(|name| allowed && !name.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Whether this allows what `other` does not.
    fn is_beyond(&self, other: &Self) -> bool {
        let known = |name: &String| other.exposed.contains(name) || other.exposed.contains("*");
        self.reaches_upstream && !other.reaches_upstream
            || self.allowed && !other.allowed
            || self.credentials && !other.credentials
            || !self.exposed.iter().all(known)
    }
}

fn is_beyond(new: &Policies, old: &Policies, request: &[(&str, Vec<u8>)]) -> bool {
    [Upstream::Silent, Upstream::Generous, Upstream::Elsewhere]
        .into_iter()
        .any(|says| Effect::of(new, request, says).is_beyond(&Effect::of(old, request, says)))
}

/// The request of an example.
fn example(change: &Value) -> strategies::Headers {
    let example = &change["example"];
    let url = example["url"].as_str().unwrap().strip_prefix("https://").unwrap();
    let (host, path) = url.split_at(url.find('/').unwrap());
    let mut request = vec![
        (":method", example["method"].as_str().unwrap().into()),
        (":scheme", b"https".to_vec()),
        (":authority", host.into()),
        (":path", path.into()),
    ];
    for name in ["origin", "access-control-request-method", "access-control-request-headers"] {
        let headers = example["headers"].as_object().unwrap();
        let value = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        request.extend(value.map(|(_, value)| (name, value.as_str().unwrap().into())));
    }
    request
}

/// Two configurations: independent ones, and ones with a few policies in common.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let configuration = || {
        (strategies::configuration(), strategies::policy()).prop_map(|(mut all, other)| {
            // A list for each of two environments, in some policies.
            if other["allowCredentials"] == true {
                let mut lists = json!({});
                lists["a"] = all["allowOrigins"].clone();
                lists["b"] = json!(["https://b.example"]);
                all["allowOrigins"] = lists;
            }
            all
        })
    };
    (configuration(), configuration(), any::<[bool; 12]>()).prop_map(|(old, mut new, kept)| {
        let fields: Vec<String> = old.as_object().unwrap().keys().cloned().collect();
        // An origin is not taken from the policy that it may stand in.
        let together = ["allowOrigins", "allowCredentials"];
        for (field, kept) in fields.iter().zip(kept) {
            if kept && !together.contains(&field.as_str()) {
                new[field] = old[field].clone();
            }
        }
        if kept[0] {
            together.iter().for_each(|field| new[*field] = old[*field].clone());
        }
        (old, new)
    })
}

/// Requests as [`strategies::request`] makes them, from pages that a pattern
/// could stand for.
fn page_request((mut request, pattern): (strategies::Headers, String)) -> strategies::Headers {
    request.retain(|(name, value)| match *name {
        "origin" => false,
        // Browsers ask nobody whether a page may read its own origin's responses.
        ":scheme" | "sec-fetch-site" => value == b"https" || value == b"cross-site",
        _ => std::str::from_utf8(value).is_ok(),
    });
    request.retain(|(name, value)| *name != ":authority" || value != b"a.com");
    let origin = pattern.replace("*.", "a.").replace(":*", ":8080");
    request.push(("origin", origin.into_bytes()));
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_not_told_is_not_granted_and_what_is_told_is(
        (old, new) in pair(),
        requests in prop::collection::vec(
            (strategies::request(), prop_oneof![strategies::pattern(), strategies::origin()])
                .prop_map(page_request),
            40,
        ),
    ) {
        let (status, printed, complaints) =
            diff(&old.to_string(), &new.to_string(), &["--format=json", "--deny-widening"]);
        prop_assert_eq!(&complaints, "");
        let told: Value = serde_json::from_str(&printed).unwrap();
        prop_assert_eq!(status, i32::from(told["widens"] == true));
        let changes = told["changes"].as_array().unwrap();
        for environment in ["a", "b"] {
            let load = |policy: &Value| {
                Policies::from_json(policy.to_string().as_bytes(), Some(environment)).0.unwrap()
            };
            let [old, new] = [load(&old), load(&new)];
            let is_here = |change: &&Value| {
                let named = change["environments"].as_array().unwrap();
                named.is_empty() || named.iter().any(|name| name == environment)
            };
            let here: Vec<&Value> = changes.iter().filter(is_here).collect();
            let effect = |change: &Value, effect: &str| {
                change["effect"] == effect && change["shadow"] == false
            };
            for (told, from, to) in [("granted", &old, &new), ("taken", &new, &old)] {
                for change in here.iter().filter(|change| effect(change, told)) {
                    prop_assert!(is_beyond(to, from, &example(change)), "{:#}", change);
                }
                if !here.iter().any(|change| effect(change, told)) {
                    for request in &requests {
                        prop_assert!(!is_beyond(to, from, request), "{} {:?}", told, request);
                    }
                }
            }
        }
    }
}
