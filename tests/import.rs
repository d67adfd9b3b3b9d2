//! `envoy-cors import`, the real binary on what stands in `tests/import/KIND/NAME`:
//!
//! - `source.yaml` (or `.json`), and `source-2.yaml` and so on: what is imported;
//! - `policy.yaml`: what is printed;
//! - `findings.txt`: what is said on standard error, but for what is said of every policy;
//! - `native.yaml`, where the source is not Envoy's own: the virtual hosts that the control plane
//!   makes of it (`nginx.conf` of ingress-nginx);
//! - `suite.yaml`, in some: what `probe` finds where the policy is loaded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use envoy_cors::config::snake_case;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use run::run;

/// A folder with a source and what it comes to.
struct Golden {
    folder: PathBuf,
    /// Its sources, in their order.
    sources: Vec<String>,
}

fn goldens() -> Vec<Golden> {
    let folders = |of: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let kinds = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import"));
    let mut all: Vec<_> = kinds.iter().flat_map(|kind| folders(kind)).map(Golden::of).collect();
    all.sort_by(|one, other| one.folder.cmp(&other.folder));
    assert!(all.len() > 3, "only {} folders", all.len());
    all
}

impl Golden {
    fn of(folder: PathBuf) -> Self {
        let files = fs::read_dir(&folder).unwrap();
        let mut sources: Vec<String> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("source"))
            .collect();
        sources.sort_by_key(|name| (name.len(), name.clone()));
        assert!(!sources.is_empty(), "no source in {}", folder.display());
        Self { folder, sources }
    }

    fn name(&self) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
        self.folder.strip_prefix(root).unwrap().display().to_string()
    }

    /// The documents of each source.
    fn documents(&self) -> Vec<(String, Vec<Value>)> {
        let read = |name: &String| {
            let text = fs::read_to_string(self.folder.join(name)).unwrap();
            let mut documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            documents.iter_mut().for_each(open_config_map);
            (name.clone(), documents)
        };
        self.sources.iter().map(read).collect()
    }

    fn import(&self, arguments: &[&str]) -> (i32, String, String) {
        let sources = self.sources.iter().map(String::as_str);
        let all: Vec<&str> =
            ["import"].into_iter().chain(arguments.iter().copied()).chain(sources).collect();
        run(&all, &self.folder, "")
    }
}

/// Behind the findings.
const EVERY_POLICY: &str = "What else changes, whatever the policy:\n";

/// With `BLESS` in the environment, what is printed becomes what is expected.
#[test]
fn sources_come_to_their_policies() {
    let mut different = Vec::new();
    for golden in goldens() {
        let (status, policy, findings) = golden.import(&[]);
        let (findings, rest) = findings.split_once(EVERY_POLICY).unwrap_or((&findings, ""));
        assert_eq!(rest.is_empty(), policy.is_empty(), "{}: {findings}", golden.name());
        let found = ["error[", "warning["].iter().any(|level| findings.contains(level));
        assert_eq!(status, i32::from(found), "{}: {findings}", golden.name());
        for (name, printed) in [("policy.yaml", &*policy), ("findings.txt", findings)] {
            let file = golden.folder.join(name);
            if std::env::var_os("BLESS").is_some() {
                fs::write(&file, printed).unwrap();
            }
            if fs::read_to_string(&file).ok().as_deref() != Some(printed) {
                different.push(format!("{}/{name} is now:\n{printed}", golden.name()));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What `lint` calls an error: the filter refuses the policy, or it lets strangers in.
fn lint_errors(policy: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (_, report, complaint) = run(&["lint", "-", "--format=json"], folder.path(), policy);
    assert_eq!(complaint, "");
    let report: Value = serde_json::from_str(&report).unwrap();
    let errors = report["findings"].as_array().unwrap().iter();
    errors.filter(|found| found["severity"] == "error").map(|found| found.to_string()).collect()
}

#[test]
fn the_filter_loads_what_is_printed() {
    for golden in goldens() {
        let (_, policy, _) = golden.import(&[]);
        // Where nothing is in force, nothing is printed.
        if !policy.is_empty() {
            assert_eq!(lint_errors(&policy), Vec::<String>::new(), "{}", golden.name());
        }
    }
}

/// Reads the files in a `ConfigMap`.
fn open_config_map(document: &mut Value) {
    if document["kind"] == "ConfigMap" {
        for file in document["data"].as_object_mut().unwrap().values_mut() {
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(file.as_str().unwrap()).unwrap();
            *file = documents.into();
        }
    }
}

/// Where CORS stands in the resources of a kind that hold a field: paths in which `*` is every
/// element or entry. An annotation is named by what stands behind its slash.
const CONCERNED: [(&str, &str, &[&str]); 4] = [
    (
        "VirtualService",
        "corsPolicy",
        &["spec.hosts", "spec.gateways", "spec.http.*.corsPolicy", "spec.http.*.match"],
    ),
    (
        "HTTPRoute",
        "cors",
        &[
            "spec.hostnames",
            "spec.parentRefs",
            "spec.rules.*.matches",
            "spec.rules.*.filters.*.cors",
            "spec.rules.*.backendRefs.*.filters.*.cors",
        ],
    ),
    ("SecurityPolicy", "cors", &["spec.cors"]),
    (
        "Ingress",
        "nginx.ingress.kubernetes.io/enable-cors",
        &[
            "metadata.annotations.cors-allow-origin",
            "metadata.annotations.cors-allow-methods",
            "metadata.annotations.cors-allow-headers",
            "metadata.annotations.cors-allow-credentials",
            "metadata.annotations.cors-expose-headers",
            "metadata.annotations.cors-max-age",
            "metadata.annotations.cors-allow-private-network",
            "metadata.annotations.configuration-snippet",
            "metadata.annotations.server-alias",
        ],
    ),
];

/// What a document says about CORS, by the path of each value.
fn concerned(document: &Value) -> Vec<String> {
    let mut leaves = Vec::new();
    let mut document = document.clone();
    drop_copies(&mut document, &mut Vec::new());
    resources(&document, "", &mut |resource, at| {
        for (kind, field, roots) in CONCERNED {
            if resource["kind"] == kind && holds(resource, &|key, _| key == field) {
                for root in roots {
                    let steps: Vec<&str> = root.split('.').collect();
                    follow(resource, at, &steps, &mut |part, at| collect(part, at, &mut leaves));
                }
            }
        }
        let kind = resource["kind"].as_str();
        if matches!(kind, None | Some("ConfigMap" | "EnvoyFilter" | "EnvoyPatchPolicy")) {
            in_envoy(resource, at.trim_end_matches('.'), &mut leaves);
        }
    });
    leaves
}

/// Takes out the route configurations that the document has before: they say nothing new.
fn drop_copies(value: &mut Value, seen: &mut Vec<Value>) {
    if value["virtual_hosts"].is_array() {
        let mut said = value.clone();
        said.as_object_mut().unwrap().remove("@type");
        if seen.contains(&said) {
            *value = Value::Null;
        }
        return seen.push(said);
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|it| drop_copies(it, seen)),
        Value::Array(elements) => elements.iter_mut().for_each(|it| drop_copies(it, seen)),
        _ => {}
    }
}

fn resources(document: &Value, at: &str, visit: &mut impl FnMut(&Value, &str)) {
    if document["kind"] != "List" {
        return visit(document, at);
    }
    for (index, item) in document["items"].as_array().unwrap().iter().enumerate() {
        resources(item, &format!("{at}items[{index}]."), visit);
    }
}

fn holds(value: &Value, what: &impl Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(fields) => {
            fields.iter().any(|(key, field)| what(key, field) || holds(field, what))
        }
        Value::Array(elements) => elements.iter().any(|element| holds(element, what)),
        _ => false,
    }
}

/// Of Envoy's configuration: policies, the domains of virtual hosts that have one, and the matches
/// of routes that can have their own.
fn in_envoy(value: &Value, at: &str, leaves: &mut Vec<String>) {
    let is_type = |key: &str| ["@type", "type_url", "typeUrl", "is_optional"].contains(&key);
    let is_policy = |key: &str, field: &Value| {
        let types = ["envoy.config.route.v3.FilterConfig", ".CorsPolicy"];
        let of_type = |url: &str| types.iter().any(|name| url.ends_with(name));
        key == "cors" && field.is_object() || is_type(key) && field.as_str().is_some_and(of_type)
    };
    match value {
        Value::Object(fields) => {
            let inside = if at.is_empty() { String::new() } else { format!("{at}.") };
            if fields.iter().any(|(key, field)| key != "cors" && is_policy(key, field)) {
                for (key, field) in fields.iter().filter(|(key, _)| !is_type(key)) {
                    // What a wrapper holds has a type again.
                    match key.as_str() {
                        "config" => in_envoy(field, &format!("{inside}{key}"), leaves),
                        _ => collect(field, &format!("{inside}{key}"), leaves),
                    }
                }
                return;
            }
            if fields.contains_key("domains") && holds(value, &is_policy) {
                collect(&value["domains"], &format!("{inside}domains"), leaves);
                let mut around = value.clone();
                let routes = around["routes"].take();
                for (index, route) in routes.as_array().into_iter().flatten().enumerate() {
                    // Where no route has its own, the virtual host alone counts.
                    if holds(route, &is_policy)
                        || holds(&routes, &is_policy) && holds(&around, &is_policy)
                    {
                        collect(&route["match"], &format!("{inside}routes[{index}].match"), leaves);
                    }
                }
            }
            for (key, field) in fields.iter().filter(|(key, _)| *key != "error_state") {
                let at = format!("{inside}{key}");
                match key.as_str() {
                    "cors" if field["@type"].is_null() => collect(field, &at, leaves),
                    _ => in_envoy(field, &at, leaves),
                }
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                in_envoy(element, &format!("{at}[{index}]"), leaves);
            }
        }
        _ => {}
    }
}

/// `at` ends in a dot, or is empty.
fn follow(value: &Value, at: &str, steps: &[&str], visit: &mut impl FnMut(&Value, &str)) {
    let Some((step, rest)) = steps.split_first() else {
        return visit(value, at.trim_end_matches('.'));
    };
    match value {
        Value::Object(fields) => {
            let fits = |key: &str| {
                let name = key.rsplit('/').next().unwrap();
                *step == "*" || name == *step || key == snake_case(step)
            };
            for (key, field) in fields.iter().filter(|(key, _)| fits(key)) {
                follow(field, &format!("{at}{key}."), rest, visit);
            }
        }
        Value::Array(elements) if *step == "*" => {
            for (index, element) in elements.iter().enumerate() {
                let at = at.trim_end_matches('.');
                follow(element, &format!("{at}[{index}]."), rest, visit);
            }
        }
        _ => {}
    }
}

fn collect(value: &Value, at: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let dot = if at.is_empty() { "" } else { "." };
            for (key, field) in fields {
                collect(field, &format!("{at}{dot}{key}"), leaves);
            }
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(n, element)| collect(element, &format!("{at}[{n}]"), leaves));
        }
        Value::Null => {}
        _ => leaves.push(at.to_owned()),
    }
}

/// Whether a path is another one, or inside of it.
fn is_under(path: &str, part: &str) -> bool {
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    part.is_empty() || path.strip_prefix(part).is_some_and(is_end)
}

/// Whether a finding speaks of what is missing in a part, or of the part as a whole, and settles no
/// field in it.
fn is_beside(finding: &Value) -> bool {
    let field = finding["field"].as_str().unwrap();
    match finding["rule"].as_str() {
        Some(
            "alone" | "default-value" | "left-alone" | "no-hosts" | "no-origins" | "not-loaded"
            | "null-origin" | "open-start",
        ) => true,
        Some("forwarded-preflights") => !field.to_lowercase().ends_with("preflights"),
        _ => false,
    }
}

/// Whether a path is of a route without CORS that no policy around it covers.
fn is_outside(leaf: &str, leaves: &[String], carried: &[String]) -> bool {
    let of_istio = leaf.split_once(".match[").map(|(route, _)| (route, "corsPolicy"));
    let of_gateway = leaf.split_once(".matches[").map(|(route, _)| (route, "filters"));
    let Some((route, policy)) = of_istio.or(of_gateway) else { return false };
    let policy = format!("{route}.{policy}");
    !leaves.iter().any(|leaf| is_under(leaf, &policy))
        && !carried.iter().any(|field| is_under(field, route))
}

#[test]
fn each_field_is_carried_over_or_found() {
    for golden in goldens() {
        let (_, printed, _) = golden.import(&["--format=json"]);
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let settled = |list: &str, file: &str| -> Vec<String> {
            let entries = printed[list].as_array().unwrap().iter();
            let of_file = entries.filter(|entry| entry["file"] == file);
            let settling = of_file.filter(|entry| !is_beside(entry));
            settling.map(|entry| entry["field"].as_str().unwrap().to_owned()).collect()
        };
        for (file, documents) in golden.documents() {
            let (carried, found) = (settled("carried", &file), settled("findings", &file));
            let name = format!("{}/{file}", golden.name());
            let leaves: Vec<String> = documents.iter().flat_map(concerned).collect();
            for leaf in &leaves {
                let settled = carried.iter().chain(&found).any(|field| is_under(leaf, field));
                let settled = settled || is_outside(leaf, &leaves, &carried);
                assert!(settled, "{name}: nothing is said about {leaf}");
            }
            let mut all = Vec::new();
            documents.iter().for_each(|document| collect(document, "", &mut all));
            for field in &carried {
                let stands = all.iter().any(|leaf| is_under(leaf, field));
                assert!(stands, "{name}: {field} is carried over, and is not there");
            }
        }
    }
}

/// What is carried over has a say: another value there comes to something else.
#[test]
fn what_is_carried_over_matters() {
    for golden in goldens() {
        let sources = golden.documents();
        let original = outcome(&sources);
        // Several documents of a file may have a field of that path.
        let mut carried: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for entry in original["carried"].as_array().unwrap() {
            let place = (entry["file"].as_str().unwrap(), entry["field"].as_str().unwrap());
            *carried.entry(place).or_default() += 1;
        }
        for ((file, field), times) in carried {
            let source = sources.iter().position(|(name, _)| name == file).unwrap();
            let matter = (0..sources[source].1.len()).filter(|document| {
                let mut leaves = Vec::new();
                collect(&sources[source].1[*document], "", &mut leaves);
                leaves.retain(|leaf| is_under(leaf, field));
                let matters = |leaf: &String| {
                    let mut changed = sources.clone();
                    let others = others(find(&mut changed[source].1[*document], leaf).unwrap());
                    others.into_iter().any(|other| {
                        *find(&mut changed[source].1[*document], leaf).unwrap() = other;
                        let now = outcome(&changed);
                        ["policy", "findings"].iter().any(|part| now[part] != original[part])
                    })
                };
                !leaves.is_empty() && leaves.iter().all(matters)
            });
            let name = golden.name();
            assert!(
                matter.count() >= times,
                "{name}/{file}: {field} is carried over, and has no say"
            );
        }
    }
}

/// What `import --format json` prints, without the places of the findings.
fn outcome(sources: &[(String, Vec<Value>)]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["import", "--format=json"];
    for (name, documents) in sources {
        let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
        fs::write(folder.path().join(name), documents.join("\n---\n")).unwrap();
        arguments.push(name);
    }
    let (_, printed, complaint) = run(&arguments, folder.path(), "");
    let Ok(mut printed) = serde_json::from_str::<Value>(&printed) else {
        return json!({ "policy": complaint });
    };
    for finding in printed["findings"].as_array_mut().unwrap() {
        for place in ["line", "column", "endColumn"] {
            finding.as_object_mut().unwrap().remove(place);
        }
    }
    printed
}

/// Other values of the same type.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![(!flag).into()],
        Value::Number(number) => {
            [-1.0, 1.0].map(|step| (number.as_f64().unwrap() + step).into()).into()
        }
        Value::String(text) => vec![format!("{text}x").into()],
        _ => vec!["x".into()],
    }
}

fn find<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    if path.is_empty() {
        return Some(value);
    }
    match value {
        Value::Object(fields) => fields.iter_mut().find_map(|(key, field)| {
            let rest = path.strip_prefix(key.as_str())?;
            if !rest.is_empty() && !rest.starts_with(['.', '[']) {
                return None;
            }
            find(field, rest.strip_prefix('.').unwrap_or(rest))
        }),
        Value::Array(elements) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let element = elements.get_mut(index.parse::<usize>().ok()?)?;
            find(element, rest.strip_prefix('.').unwrap_or(rest))
        }
        _ => None,
    }
}

/// Values as people write them, right and wrong.
/// No other reader here takes such a text.
#[test]
fn a_field_that_is_given_twice_is_found() {
    let text = "\
kind: VirtualService
metadata: { name: a, name: b }
spec:
  hosts: [a.example.com]
  hosts: [b.example.com]
  http:
  - corsPolicy: { allowOrigins: [exact: https://a.example], allowOrigins: [exact: https://b.example] }
";
    let folder = tempfile::tempdir().unwrap();
    let (status, policy, said) = run(&["import", "-"], folder.path(), text);
    assert_eq!(status, 1, "{said}");
    assert!(policy.contains("https://a.example") && !policy.contains("https://b.example"));
    for field in ["spec.hosts", "spec.http[0].corsPolicy.allowOrigins"] {
        let finding = format!("warning[duplicate-field]: {field}: not carried over: ");
        assert_eq!(said.matches(&finding).count(), 1, "{said}");
        assert_eq!(said.matches(&format!("]: {field}: ")).count(), 1, "{said}");
    }
}

fn virtual_service() -> impl Strategy<Value = Value> {
    let origin = select(vec![
        json!({ "exact": "https://app.example.com" }),
        json!({ "exact": "https://app.example.com:443" }),
        json!({ "exact": "http://app.example.com" }),
        json!({ "exact": "http://localhost:3000" }),
        json!({ "exact": "https://münchen.example" }),
        json!({ "exact": "null" }),
        json!({ "exact": "*" }),
        json!({ "exact": "" }),
        json!({ "prefix": "https://" }),
        json!({ "prefix": "" }),
        json!({ "regex": ".*" }),
        json!({ "regex": r"https://([a-z-]+\.)?example\.com(:\d+)?" }),
        json!({ "regex": r"https://[^.]+\.com" }),
        json!({ "regex": "(" }),
    ]);
    let name =
        select(vec!["GET", "put", "PATCH", "CONNECT", "*", "a b", "", "x-id", "cookie", "Origin"]);
    let age = select(vec!["0s", "10s", "1h30m", "25h", "0.5s", "-1s", "soon"]);
    let uri = select(vec![
        json!({ "prefix": "/" }),
        json!({ "prefix": "/api" }),
        json!({ "prefix": "/api/v1/" }),
        json!({ "prefix": "api" }),
        json!({ "exact": "/api" }),
        json!({ "exact": "/a//b" }),
        json!({ "regex": "/api/.*" }),
    ]);
    let host = select(vec![
        "a.example.com",
        "*.example.com",
        "*.a.example.com",
        "*",
        "reviews",
        "A.EXAMPLE.COM",
        "a..b",
    ]);
    let policy = (
        option::of(vec(origin, 0..4)),
        vec(name.clone(), 0..3),
        vec(name.clone(), 0..3),
        vec(name, 0..3),
        option::of(age),
        option::of(any::<bool>()),
        option::of(select(vec!["IGNORE", "FORWARD", "UNSPECIFIED"])),
    )
        .prop_map(|(origins, methods, headers, exposed, age, credentials, preflights)| {
            let all = json!({
                "allowOrigins": origins,
                "allowMethods": methods,
                "allowHeaders": headers,
                "exposeHeaders": exposed,
                "maxAge": age,
                "allowCredentials": credentials,
                "unmatchedPreflights": preflights,
            });
            let Value::Object(fields) = all else { panic!() };
            Value::Object(fields.into_iter().filter(|(_, field)| !field.is_null()).collect())
        });
    let rule = (option::of(policy), vec(uri, 0..3)).prop_map(|(policy, uris)| {
        let paths: Vec<Value> = uris.into_iter().map(|uri| json!({ "uri": uri })).collect();
        match policy {
            Some(policy) => json!({ "match": paths, "corsPolicy": policy }),
            None => json!({ "match": paths }),
        }
    });
    (vec(host, 0..3), vec(rule, 1..4), "[a-zA-Z. _é-]{0,70}").prop_map(|(hosts, rules, name)| {
        json!({
            "kind": "VirtualService",
            "metadata": { "name": name },
            "spec": { "hosts": hosts, "http": rules },
        })
    })
}

/// The CORS filter of Gateway API, or CORS of Envoy Gateway.
fn cors() -> impl Strategy<Value = Value> {
    let origin = select(vec![
        "*",
        "https://app.example.com",
        "https://*.example.com",
        "https://*",
        "http://localhost:3000",
        "https://a.example.com:443",
        "null",
        "",
    ]);
    let name = select(vec!["*", "PUT", "delete", "x-id", "cookie", "a b", ""]);
    let age = select(vec![json!(5), json!(-1), json!(1e9), json!(0.5), json!("1h"), json!("x")]);
    (vec(origin, 0..4), vec(name, 0..4), option::of(age), any::<bool>()).prop_map(
        |(origins, names, age, credentials)| {
            json!({
                "allowOrigins": origins,
                "allowMethods": names,
                "allowHeaders": names,
                "exposeHeaders": names,
                "maxAge": age,
                "allowCredentials": credentials,
            })
        },
    )
}

/// A route, with what is attached to it or to its Gateway.
fn gateway_api() -> impl Strategy<Value = Value> {
    let host = select(vec!["a.example.com", "*.example.com", "*.a.example.com", "A..b", ""]);
    let path = select(vec!["/", "/api", "/api/", "/api/v1", "api", "/a//b", ""]);
    let kind = select(vec!["PathPrefix", "Exact", "RegularExpression"]);
    let matched =
        (path, kind).prop_map(|(value, kind)| json!({ "path": { "type": kind, "value": value } }));
    let rule = (vec(matched, 0..3), option::of(cors())).prop_map(|(matches, cors)| {
        let filters: Vec<Value> =
            cors.into_iter().map(|cors| json!({ "type": "CORS", "cors": cors })).collect();
        json!({ "name": "one", "matches": matches, "filters": filters })
    });
    let target = (
        select(vec!["HTTPRoute", "Gateway", "GRPCRoute"]),
        select(vec!["a", "b"]),
        option::of(select(vec!["one", "two"])),
    );
    let name = select(vec!["a", "b"]);
    prop_oneof![
        (name.clone(), vec(host.clone(), 0..3), vec(rule, 0..3)).prop_map(|(name, hosts, rules)| {
            json!({
                "kind": "HTTPRoute",
                "metadata": { "name": name },
                "spec": { "parentRefs": [{ "name": "a" }], "hostnames": hosts, "rules": rules },
            })
        }),
        (name.clone(), vec(host, 0..3)).prop_map(|(name, hosts)| {
            let listener = |host: &&str| json!({ "name": "one", "hostname": host });
            let listeners: Vec<Value> = hosts.iter().map(listener).collect();
            json!({
                "kind": "Gateway",
                "metadata": { "name": name },
                "spec": { "listeners": listeners },
            })
        }),
        (name, vec(target, 0..3), option::of(cors()), any::<bool>()).prop_map(
            |(name, targets, cors, merges)| {
                let target = |(kind, name, section): &(&str, &str, Option<&str>)| {
                    json!({ "kind": kind, "name": name, "sectionName": section })
                };
                let targets: Vec<Value> = targets.iter().map(target).collect();
                json!({
                    "kind": "SecurityPolicy",
                    "metadata": { "name": name },
                    "spec": {
                        "targetRefs": targets,
                        "cors": cors,
                        "mergeType": merges.then_some("StrategicMerge"),
                    },
                })
            }
        ),
    ]
}

/// An Ingress with the annotations of ingress-nginx.
fn ingress() -> impl Strategy<Value = Value> {
    let name = select(vec![
        "enable-cors",
        "cors-allow-origin",
        "cors-allow-methods",
        "cors-allow-headers",
        "cors-expose-headers",
        "cors-allow-credentials",
        "cors-max-age",
        "server-alias",
        "use-regex",
        "rewrite-target",
        "canary",
    ]);
    let value = select(vec![
        "true",
        "false",
        "",
        "*",
        "https://app.example.com, https://*.example.com",
        "https://app.example.com/",
        "PUT, DELETE",
        "x-a,cookie",
        "600",
        "-1",
        "/$1",
        "b.example.com,~x",
    ]);
    let path = (
        option::of(select(vec!["/", "/api", "/api/", "/api(/|$)(.*)", "/v[0-9]", "api"])),
        option::of(select(vec!["Exact", "Prefix", "ImplementationSpecific"])),
    )
        .prop_map(|(path, kind)| json!({ "path": path, "pathType": kind }));
    let host = option::of(select(vec!["a.example.com", "*.example.com", "", "a..b"]));
    let rule = (host, vec(path, 0..3))
        .prop_map(|(host, paths)| json!({ "host": host, "http": { "paths": paths } }));
    (vec((name, value), 0..8), vec(rule, 0..3), any::<bool>(), "[a-c]").prop_map(
        |(annotations, rules, default, name)| {
            let mut all = json!({ "nginx.ingress.kubernetes.io/enable-cors": "true" });
            for (name, value) in annotations {
                all[format!("nginx.ingress.kubernetes.io/{name}")] = value.into();
            }
            json!({
                "kind": "Ingress",
                "metadata": { "name": name, "annotations": all },
                "spec": { "rules": rules, "defaultBackend": default.then(|| json!({})) },
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_filter_loads_what_any_source_comes_to(
        resources in prop_oneof![
            vec(virtual_service(), 1..3),
            vec(gateway_api(), 1..6),
            vec(ingress(), 1..3),
        ],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let documents: Vec<String> = resources.iter().map(Value::to_string).collect();
        let (_, policy, complaint) = run(&["import", "-"], folder.path(), documents.join("\n---\n"));
        if !policy.is_empty() {
            prop_assert_eq!(lint_errors(&policy), Vec::<String>::new(), "{}\n{}", policy, complaint);
        }
    }
}
