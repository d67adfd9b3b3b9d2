//! What holds for every policy and request.

use envoy_cors::browser::{self, Credentials, Failure, Mode, Request, Response};
use envoy_cors::config::Config;
use envoy_cors::diagnostic::Diagnostics;
use envoy_cors::origin::Origin;
use envoy_cors::{Decision, Edit, Policies, decide};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use url::Url;

use super::asked::{Asked, Given};
use super::change::Remedy;
use super::course::End;
use super::explanation::Explanation;
use super::json::edits;
use super::pasted::Pasted;
use super::source::{self, Source};
use super::{curl, fetch, shell, text};
use crate::cli::document::Document;
use crate::cli::hostile;

/// Few names, so that policies and requests meet often. Those at the end cannot
/// stand beside credentials.
const ORIGINS: &[&str] = &[
    "https://a.example",
    "https://b.example",
    "http://localhost:3000",
    "https://*.a.example",
    "http://localhost:*",
    "http://a.example",
    "null",
    "*",
];

fn names(of: &[&'static str]) -> impl Strategy<Value = Value> + use<> {
    subsequence(of.to_vec(), 0..=of.len().min(3)).prop_map(|names| json!(names))
}

fn policy() -> impl Strategy<Value = Value> {
    any::<bool>().prop_flat_map(|credentials| {
        let origins = names(if credentials { &ORIGINS[..5] } else { ORIGINS });
        let other = names(&ORIGINS[..5]);
        let exposed = names(if credentials { &["x-b"] } else { &["x-b", "*"] });
        let methods = names(&["PUT", "patch", "PATCH", "*"]);
        let headers = names(&["content-type", "authorization", "x-a", "*"]);
        (origins, other, methods, headers, exposed, vec(any::<bool>(), 6)).prop_map(
            move |(origins, other, methods, headers, exposed, flags)| {
                let each = json!({ "one": origins, "two": other });
                json!({
                    "allowOrigins": if flags[0] { each } else { origins },
                    "allowMethods": methods,
                    "allowHeaders": headers,
                    "exposeHeaders": exposed,
                    "allowCredentials": credentials,
                    "mode": if flags[1] && flags[2] { "shadow" } else { "enforce" },
                    "disallowedRequests": if flags[3] { "reject" } else { "forward" },
                    "unmatchedPreflights": if flags[4] { "forward" } else { "reject" },
                    "upstreamHeaders": if flags[5] { "keep" } else { "replace" },
                })
            },
        )
    })
}

fn configuration() -> impl Strategy<Value = Value> {
    let scope = select(vec![
        json!({"hosts": ["api.example"]}),
        json!({"hosts": ["api.example", "*.example"], "pathPrefixes": ["/a", "/b/c"]}),
        json!({"pathPrefixes": ["/a"]}),
    ]);
    let named = (policy(), scope).prop_map(|(mut policy, scope)| {
        policy["name"] = "named".into();
        policy["match"] = scope;
        policy
    });
    let both = (prop::option::weighted(0.7, policy()), prop::option::of(named));
    both.prop_map(|(default, named)| {
        let mut all = default.unwrap_or(json!({}));
        match named {
            Some(named) => all["policies"] = json!([named]),
            None if all.get("allowOrigins").is_none() => all["allowOrigins"] = json!([]),
            None => {}
        }
        all["environment"] = "one".into();
        all
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let page = select(vec![
        "https://a.example",
        "https://b.example",
        "http://a.example",
        "http://localhost:3000",
        "https://x.a.example",
        "http://api.example",
        "null",
    ]);
    let url = select(vec![
        "http://api.example/",
        "https://api.example/a/x",
        "https://api.example/b//c",
        "https://other.test:8443/a",
    ]);
    let methods = vec!["GET", "POST", "PUT", "put", "patch", "PURGE"];
    let method = prop_oneof![12 => select(methods), 1 => select(vec!["TRACE", "no method"])];
    let header = select(vec![
        ("x-c", "\u{e9}"),
        ("accept", "*/*"),
        ("accept", "(x)"),
        ("Content-Type", "application/json"),
        ("content-type", "text/plain"),
        ("authorization", "Bearer x"),
        ("X-A", "1"),
        ("x-b", ""),
        ("cookie", "a=b"),
        ("access-control-x", "1"),
    ]);
    let mode = prop_oneof![
        8 => Just(Mode::Cors),
        1 => Just(Mode::NoCors),
        1 => Just(Mode::SameOrigin),
    ];
    let credentials =
        select(vec![Credentials::Omit, Credentials::SameOrigin, Credentials::Include]);
    let headers = vec(header, 0..4);
    (page, url, method, headers, mode, credentials).prop_map(
        |(page, url, method, headers, mode, credentials)| {
            let url = Url::parse(url).unwrap();
            let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into()));
            let request = Request {
                page: page.into(),
                target: url.origin().ascii_serialization(),
                method: method.into(),
                headers: headers.collect(),
                mode,
                credentials,
            };
            Asked { request, url, notes: Vec::new() }
        },
    )
}

/// The verdict, by the functions of both halves and not by those of `explain`.
fn judge(policies: &Policies, request: &Request, url: &Url) -> End {
    let sendable = browser::check_sendable(request).is_ok();
    if sendable && request.page.starts_with("https:") && url.scheme() == "http" {
        return End::MixedContent;
    }
    fn answer(decision: Option<Decision>) -> (Response, bool) {
        let mut response = Response { status: 200, headers: Vec::new() };
        let Some(decision) = decision else { return (response, false) };
        if let Some(reply) = decision.reply() {
            response.status = reply.status.try_into().unwrap();
            let headers = reply.headers.iter();
            response.headers = headers.map(|(name, v)| ((*name).into(), v.to_vec())).collect();
            return (response, true);
        }
        for edit in decision.edits(|_| None) {
            if let Edit::Set(name, value) | Edit::Append(name, value) = edit {
                response.headers.push((name.into(), value.to_vec()));
            }
        }
        (response, false)
    }
    let header = |method: &str, name: &str| match name {
        ":method" => Some(method.to_owned()),
        ":scheme" => Some(url.scheme().to_owned()),
        ":authority" => Some(url.authority().to_owned()),
        ":path" => Some(url.path().to_owned()),
        _ => None,
    };
    let result = (|| {
        browser::check_sendable(request)?;
        if let Some(preflight) = browser::preflight_for(request) {
            let lines = preflight.lines();
            let own = |name: &str| {
                lines.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
            };
            let decision = decide(policies, |name| {
                header("OPTIONS", name).or(own(name)).map(String::into_bytes)
            });
            browser::check_preflight(request, &answer(decision).0)?;
        }
        let decision = decide(policies, |name| {
            let own = || request.origin_header().filter(|_| name == "origin").map(str::to_owned);
            header(request.sent_method(), name).or_else(own).map(String::into_bytes)
        });
        let (response, rejected) = answer(decision);
        let readable = browser::check(request, &response)?;
        Ok::<_, Failure>(if rejected { End::Rejected } else { End::Readable(readable) })
    })();
    result.unwrap_or_else(End::Refused)
}

fn allows(configuration: &Value, request: &Request, url: &Url) -> bool {
    let (policies, _) = Policies::from_json(configuration.to_string().as_bytes(), None);
    policies.is_some_and(|policies| matches!(judge(&policies, request, url), End::Readable(_)))
}

/// The field of a path such as `policies[1].allowOrigins.one`.
fn field<'v>(configuration: &'v mut Value, path: &str) -> &'v mut Value {
    path.split(['.', '[']).fold(configuration, |value, step| match step.strip_suffix(']') {
        Some(index) => &mut value[index.parse::<usize>().unwrap()],
        None => &mut value[step],
    })
}

fn applied(configuration: &Value, edits: &[Value]) -> Value {
    let mut changed = configuration.clone();
    for edit in edits {
        let field = field(&mut changed, edit["field"].as_str().unwrap());
        if let Some(value) = edit.get("set") {
            *field = value.clone();
            continue;
        }
        if field.is_null() {
            *field = json!([]);
        }
        let list = field.as_array_mut().unwrap();
        list.retain(|item| !edit["remove"].as_array().unwrap().contains(item));
        list.extend(edit["append"].as_array().unwrap().iter().cloned());
    }
    changed
}

/// The same changes with one part less, in every way.
fn with_one_part_less(edits: &[Value]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for (index, edit) in edits.iter().enumerate() {
        let mut less = |change: &dyn Fn(&mut Value)| {
            let mut edits = edits.to_vec();
            change(&mut edits[index]);
            all.push(edits);
        };
        if edit.get("set").is_some() {
            less(&|edit| *edit = json!({"field": "environment", "set": "one"}));
            continue;
        }
        for list in ["remove", "append"] {
            for element in 0..edit[list].as_array().unwrap().len() {
                less(&|edit| drop(edit[list].as_array_mut().unwrap().remove(element)));
            }
        }
        // Of a new policy, each element of each list and each flag.
        if let Some(policy) = edit["append"].get(0).and_then(Value::as_object) {
            for (name, value) in policy.iter().filter(|(name, _)| name.starts_with("allow")) {
                for element in 0..value.as_array().map_or(0, Vec::len) {
                    less(&|edit| {
                        drop(edit["append"][0][name].as_array_mut().unwrap().remove(element))
                    });
                }
                if value.is_boolean() {
                    less(&|edit| edit["append"][0][name] = false.into());
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_verdict_is_that_of_both_halves_and_a_change_is_enough_and_no_more(
        configuration in configuration(),
        asked in asked(),
    ) {
        let text = configuration.to_string();
        let mut problems = Diagnostics::default();
        let config = Config::from_json(text.as_bytes(), &mut problems);
        let policies = config.clone().and_then(|config| Policies::compile(config, None, &mut problems));
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        prop_assert!(policies.is_some(), "{:?}", problems);
        let (config, policies) = (config.unwrap(), policies.unwrap());
        let explanation = Explanation::new(&config, &policies, &asked);
        let Asked { request, url, .. } = &asked;
        prop_assert_eq!(&explanation.course.end, &judge(&policies, request, url));
        let Some((remedy, instead)) = &explanation.remedy else { return Ok(()) };
        match remedy {
            Remedy::Change(parts) => {
                let edits = edits(&explanation, parts);
                let changed = applied(&configuration, &edits);
                prop_assert!(allows(&changed, request, url), "{}", changed);
                for fewer in with_one_part_less(&edits) {
                    let changed = applied(&configuration, &fewer);
                    prop_assert!(!allows(&changed, request, url), "{}", changed);
                }
            }
            Remedy::Refused { parts, problems } => {
                let changed = applied(&configuration, &edits(&explanation, parts));
                let (policies, found) = Policies::from_json(changed.to_string().as_bytes(), None);
                prop_assert!(policies.is_none());
                for problem in problems {
                    prop_assert!(found.iter().any(|found| found == problem), "{}", problem);
                }
            }
            Remedy::Nothing => {
                let ambiguous = explanation.selection.as_ref().is_some_and(|s| s.ambiguous);
                let unsendable = browser::check_sendable(request).is_err();
                let mixed = explanation.course.end == End::MixedContent;
                prop_assert!(ambiguous || unsendable || mixed);
            }
        }
        for way in instead {
            let changed = applied(&configuration, &edits(&explanation, &way.parts));
            prop_assert!(allows(&changed, &way.request, url), "{}: {}", way.what, changed);
        }
    }
}

/// What people paste, and where the page is.
fn pastes() -> Vec<Vec<u8>> {
    let mut texts = hostile::rows("explain/requests.yaml", &["stdin"]);
    texts.extend(hostile::rows("explain/problems.yaml", &["stdin"]));
    for table in ["explain/requests.yaml", "explain/problems.yaml"] {
        let arguments = hostile::rows(table, &["arguments"]).into_iter();
        texts.extend(arguments.filter(|text| text.contains("curl ") || text.contains("fetch(")));
    }
    hostile::samples(texts)
}

/// Explains what is pasted, for a policy that has something to say of it.
fn explain_each(samples: &[Vec<u8>], words: &[&str], parse: fn(&str) -> Result<Pasted, String>) {
    let policy =
        b"allowOrigins: ['https://*.example.com', 'http://localhost:*']\nallowMethods: [PUT]";
    let document = Document::parse("cors.yaml".to_owned(), policy.to_vec()).ok().unwrap();
    let configurations = document.configurations();
    let source = Source { document: &document, configuration: &configurations[0] };
    let config = source.configuration.read(&mut Diagnostics::default()).unwrap();
    let policies = Policies::compile(config.clone(), None, &mut Diagnostics::default()).unwrap();
    hostile::each(samples, words, |bytes| {
        let pasted = parse(&String::from_utf8_lossy(bytes)).map_err(|problem| vec![problem]);
        let origin = (bytes.len() % 2 == 0).then(|| "https://app.example.com".to_owned());
        let given = Given { origin, ..Given::default() };
        let asked = match pasted.and_then(|pasted| Asked::new(given, pasted)) {
            Ok(asked) => asked,
            Err(problems) => {
                assert!(problems.iter().any(|problem| !problem.is_empty()));
                return false;
            }
        };
        let Asked { request, url, .. } = &asked;
        let page = &request.page;
        let sent = |page: &String| Url::parse(page).unwrap().origin().ascii_serialization();
        assert!(page == "null" || Origin::parse(page).is_ok() || sent(page) == *page, "{page}");
        assert_eq!(request.target, url.origin().ascii_serialization());
        check_told(&Explanation::new(&config, &policies, &asked), &source);
        true
    });
}

/// Checks that an explanation can be printed, and shown.
fn check_told(explanation: &Explanation<'_>, source: &Source<'_>) {
    let mut told = Vec::new();
    text::write(explanation, source, &mut told).unwrap();
    hostile::check_shown(&told);
    assert!(super::json::of(explanation, source).is_object());
}

#[test]
fn a_policy_to_explain_never_panics() {
    let command = "curl -X PATCH -H 'Origin: https://app.example.com' -H 'x-a: 1' -b a=b https://api.example.com/a";
    let asked = Asked::new(Given::default(), curl::parse(command).unwrap()).unwrap();
    hostile::each(&hostile::documents(), &["environment: ", "name: ", "\"*\""], |bytes| {
        let Ok(document) = Document::parse("cors.yaml".to_owned(), bytes.to_vec()) else {
            return false;
        };
        let configurations = document.configurations();
        let line = document.text.lines().count();
        let Ok(configuration) = source::choose(&document, &configurations, Some(line)) else {
            return false;
        };
        let source = Source { document: &document, configuration };
        let place = source.place("allowOrigins[0]");
        let (_, place) = place.rsplit_once(':').unwrap();
        assert!((1..=line).contains(&place.parse().unwrap()), "{place} of {line}");
        let mut problems = Diagnostics::default();
        let Some(config) = configuration.read(&mut problems) else { return false };
        let environment = configuration.vm.name();
        let policies = Policies::compile(config.clone(), environment, &mut problems);
        let Some(policies) = policies else { return false };
        check_told(&Explanation::new(&config, &policies, &asked), &source);
        true
    });
}

#[test]
fn a_curl_command_never_panics() {
    const WORDS: &[&str] = &[
        "curl ",
        " -H 'origin: https://app.example.com'",
        " -X",
        " --data-raw=",
        " -b",
        " --url ",
        " -u",
        " -I",
        " -G",
        "$'",
        "\\x",
        "\\777",
        "\\U0010ffff",
        " | ",
        "\\\n",
    ];
    explain_each(&pastes(), WORDS, |text| {
        // What is split is the same when quoted again, but for ends of lines.
        if let Some(words) = shell::split(text).filter(|_| !text.contains('\r'))
            && let Ok(again) = shlex::try_join(words.iter().map(String::as_str))
        {
            assert_eq!(shell::split(&again), Some(words));
        }
        curl::parse(text)
    });
}

#[test]
fn a_call_of_fetch_never_panics() {
    const WORDS: &[&str] = &[
        "fetch(",
        "\"headers\": ",
        "credentials: 'include', ",
        "mode: \"cors\",",
        "referrer: \"https://app.example.com/a\",",
        "// ",
        "/*",
        "Infinity",
        "0x",
        "\\u00e9",
        "`",
        "[[\"x-a\", 1]]",
    ];
    let texts = pastes().into_iter().filter(|text| text.windows(6).any(|six| six == b"fetch("));
    explain_each(&texts.collect::<Vec<_>>(), WORDS, fetch::parse);
}
