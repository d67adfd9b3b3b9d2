//! What `envoy-cors import` makes of a policy, beside Envoy's own CORS filter with the policy as it
//! was: the same requests get the same answers, but for what `import` says itself.
//!
//! Each folder of `tests/import` that holds what a control plane makes of its source is a case.

mod compare;
mod nginx;
mod requests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use envoy_cors::config::snake_case;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, manager, of_listeners, string_value};
use crate::client::{self, Http2, Protocol, Result};
use crate::process::Envoy;
use crate::table::{self, Reply, Request};
use crate::upstream;
use compare::{Difference, Exchange, Finding, Got, Known, ROUTE};
use requests::{Asked, Site, Texts, UPSTREAMS, Upstream};

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// The kinds of sources whose policies Envoy's own filter is in charge of.
const KINDS: [&str; 4] = ["istio", "envoy", "gateway-api", "envoy-gateway"];

/// Sources of which Envoy has no routes: a text inside of another resource, a policy by itself, routes
/// that a tree of matchers chooses, and what Envoy refuses; and listeners that differ in their filters.
const NOT_COMPARED: [&str; 8] = [
    "envoy/bootstrap",
    "envoy/envoy-filter",
    "envoy/fragment",
    "envoy/fragment-off",
    "envoy/listeners",
    "envoy/matcher",
    "envoy/unreadable",
    "istio/unreadable",
];

/// Requests that are on their way at once.
const BATCH: usize = 64;

/// A source, what it is in Envoy, and what `import` makes of it.
struct Case {
    name: String,
    /// A route configuration.
    native: Value,
    policy: Value,
    findings: Vec<Finding>,
    /// The ids of what differs whatever the policy.
    differences: Vec<String>,
    texts: Texts,
}

pub fn trials() -> [Trial; 2] {
    [trial(), nginx::trial()]
}

fn trial() -> Trial {
    Trial::test("imported policies, beside Envoy's own filter", || {
        let folders = KINDS.iter().flat_map(|kind| folders(kind));
        let cases: Vec<Case> =
            folders.map(Case::of).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        assert!(cases.len() > 20, "only {} cases", cases.len());
        let replies = Replies::of(&cases);
        let listeners: Vec<Value> = cases.iter().flat_map(Case::listeners).collect();
        let port = upstream::start(replies.all.clone())?;
        let envoy = Envoy::start(of_listeners(&listeners, port), 1)?;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut unexplained = Vec::new();
        let mut count = 0;
        for case in &cases {
            let ports = ["native", "imported"].map(|which| envoy.port(&case.listener_name(which)));
            let mut exchanges = exchanges(ports, case.texts.requests(), &replies)?;
            let more = case.more(&exchanges);
            exchanges.extend(self::exchanges(ports, more, &replies)?);
            count += exchanges.len();
            let known = Known::of(&case.texts, &case.findings, &exchanges);
            let reasons =
                |exchange: &Exchange, difference: &Difference| known.reasons(exchange, difference);
            unexplained.extend(case.unexplained(&exchanges, &mut seen, reasons));
        }
        conclude(&cases, count, &seen, &unexplained).map_err(Failed::from)
    })
}

/// Fails where a difference has no reason, or where none is seen that is said to be of every policy.
fn conclude(
    cases: &[Case],
    count: usize,
    seen: &BTreeMap<String, usize>,
    unexplained: &[String],
) -> std::result::Result<(), String> {
    let fixed: BTreeSet<&String> = cases.iter().flat_map(|case| &case.differences).collect();
    let unseen: Vec<_> = fixed.into_iter().filter(|id| !seen.contains_key(*id)).collect();
    if unexplained.is_empty() && unseen.is_empty() {
        eprintln!("{count} requests");
        return Ok(());
    }
    let shown: Vec<_> = unexplained.iter().take(10).cloned().collect();
    Err(format!(
        "{count} requests, {} differences without one reason, listed but not seen: {unseen:?}\n\n{}\n\nseen: {seen:#?}",
        unexplained.len(),
        shown.join("\n\n")
    ))
}

fn folders(kind: &str) -> Vec<PathBuf> {
    let folder = table::tests().join("import").join(kind);
    let entries = folder.read_dir().into_iter().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|it| !NOT_COMPARED.iter().any(|name| it.ends_with(name)));
    folders.sort();
    folders
}

/// The folders of all kinds that hold a file of this name.
pub fn folders_with(file: &str) -> Vec<PathBuf> {
    let folders = KINDS.iter().flat_map(|kind| folders(kind));
    folders.filter(|folder| folder.join(file).exists()).collect()
}

/// The files of a source, in their order.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir()?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<Result<Vec<_>>>()?;
    files.retain(|it| it.file_name().unwrap().to_string_lossy().starts_with("source"));
    files.sort_by_key(|file| (file.as_os_str().len(), file.clone()));
    Ok(files)
}

impl Case {
    /// One for each route configuration.
    fn of(folder: PathBuf) -> Result<Vec<Self>> {
        let files = sources(&folder)?;
        let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
            .args(["import", "--format=json"])
            .args(&files)
            .output()?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("{}: {e}: {}", folder.display(), output.stderr.escape_ascii()))?;
        let read = |file: &PathBuf| Ok((file.display().to_string(), fs::read_to_string(file)?));
        let sources = files.iter().map(read).collect::<Result<BTreeMap<_, _>>>()?;
        let (native, conf) = (folder.join("native.yaml"), folder.join("nginx.conf"));
        let natives = if native.exists() { vec![native] } else { files.clone() };
        let mut configs = Vec::new();
        if conf.exists() {
            configs.push(nginx::read(&conf));
        } else {
            for file in &natives {
                // `off` is a name here.
                let options = serde_saphyr::options! { strict_booleans: true };
                let text = fs::read_to_string(file)?;
                let documents: Vec<Value> =
                    serde_saphyr::from_multiple_with_options(&text, options)?;
                let documents = documents.into_iter().map(in_snake_case);
                documents.for_each(|it| collect_routes(&it, &mut configs));
            }
        }
        let name = folder.strip_prefix(table::tests().join("import"))?.display().to_string();
        if configs.is_empty() {
            return Err(format!("{name}: there are no virtual hosts").into());
        }
        let ids = report["differences"].as_array().ok_or("no differences")?;
        let of_one = |(number, mut native): (usize, Value)| {
            to_one_cluster(&mut native);
            // What is attached to a Gateway is for all that it serves.
            if !name.starts_with("envoy-gateway/") {
                serve_all(&mut native);
            }
            Self {
                name: format!("{name} {number}"),
                texts: Texts::of(&native),
                native,
                policy: report["policy"].clone(),
                findings: compare::findings(&report, &sources),
                differences: ids.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect(),
            }
        };
        Ok(configs.into_iter().enumerate().map(of_one).collect())
    }

    fn listener_name(&self, which: &str) -> String {
        format!("{} {which}", self.name)
    }

    /// One with Envoy's own filter, one with ours and the routes alone.
    fn listeners(&self) -> [Value; 2] {
        let mut native = listener(&self.listener_name("native"), None);
        let cors = json!({
            "name": "envoy.filters.http.cors",
            "typed_config": { "@type": format!("{TYPES}.filters.http.cors.v3.Cors") },
        });
        let of_native = manager(&mut native);
        of_native["http_filters"].as_array_mut().unwrap().insert(0, cors);
        of_native["route_config"] = self.native.clone();
        number_routes(&mut of_native["route_config"]);
        let mut ours = self.imported();
        let of_ours = manager(&mut ours);
        of_ours["route_config"] = self.native.clone();
        drop_cors(&mut of_ours["route_config"]);
        [native, ours]
    }

    /// With our filter, and a route for everything.
    fn imported(&self) -> Value {
        let ours = filter(&string_value(&self.policy.to_string()), None);
        listener(&self.listener_name("imported"), Some(&ours))
    }

    /// What else to ask: where an origin is allowed at a route, all that it can ask for.
    fn more(&self, exchanges: &[Exchange]) -> Vec<(Asked, Upstream)> {
        let routes = self.texts.sites.iter().flat_map(Site::routes);
        let more = routes.flat_map(|target| {
            let here = exchanges.iter().filter(|it| it.asked.target == target);
            let bare = here.filter(|it| it.upstream.is_empty() && !it.asked.origin.is_empty());
            let allowed = bare.filter(|it| it.native.grants());
            // One that is allowed still shows more.
            let best = allowed.max_by_key(|it| it.ours.grants());
            best.map(|it| self.texts.more(&target, &it.asked.origin)).unwrap_or_default()
        });
        more.collect()
    }

    /// The differences that nothing says, each with its request; the others are counted in `seen`.
    fn unexplained<'k>(
        &self,
        exchanges: &[Exchange],
        seen: &mut BTreeMap<String, usize>,
        reasons: impl Fn(&Exchange, &Difference) -> BTreeSet<&'k str>,
    ) -> Vec<String> {
        // One of each: an error tends to show in many requests.
        let mut unexplained = BTreeMap::new();
        for exchange in exchanges {
            for difference in exchange.differences() {
                let reasons: Vec<&str> = reasons(exchange, &difference).into_iter().collect();
                match reasons[..] {
                    [reason] if self.says(reason) => {
                        *seen.entry(reason.to_owned()).or_default() += 1
                    }
                    _ => {
                        let what = format!("{}: {difference:?}: {reasons:?}", self.name);
                        unexplained.entry(what).or_insert_with(|| exchange.to_string());
                    }
                }
            }
        }
        unexplained.into_iter().map(|(what, exchange)| format!("{what}\n{exchange}")).collect()
    }

    /// The first of some rules of which `import` has a finding.
    fn rules<const N: usize>(&self, rules: [&str; N]) -> BTreeSet<&str> {
        let found = |rule: &&str| self.findings.iter().find(|it| it.rule == **rule);
        rules.iter().find_map(found).map(|it| &*it.rule).into_iter().collect()
    }

    /// Whether `import` says so, of this policy or of all.
    fn says(&self, reason: &str) -> bool {
        self.differences.iter().any(|id| id == reason)
            || self.findings.iter().any(|it| it.rule == reason)
    }
}

/// The route configurations in a file; a list is the virtual hosts of one.
fn collect_routes(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Array(list) if list.iter().all(|it| it["domains"].is_array()) => {
            found.push(json!({ "virtual_hosts": list, "ignore_port_in_host_matching": true }));
        }
        Value::Array(list) => list.iter().for_each(|it| collect_routes(it, found)),
        Value::Object(fields) if fields.contains_key("virtual_hosts") => {
            let mut config = fields.clone();
            config.remove("@type");
            found.push(config.into());
        }
        Value::Object(fields) if fields.contains_key("domains") => {
            found.push(json!({ "virtual_hosts": [value] }));
        }
        Value::Object(fields) => {
            // Of a config_dump, what was never in force.
            let fields = fields.iter().filter(|(key, _)| *key != "error_state");
            fields.for_each(|(_, it)| collect_routes(it, found));
        }
        _ => {}
    }
}

/// With every key in one spelling.
fn in_snake_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(key, it)| (snake_case(&key), in_snake_case(it))).collect()
        }
        Value::Array(list) => list.into_iter().map(in_snake_case).collect(),
        other => other,
    }
}

/// Sends what any route gets to the one upstream that there is.
fn to_one_cluster(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (&**key, &mut *value) {
                    ("route", Value::Object(action)) => {
                        action.retain(|key, _| {
                            !["cluster_header", "request_mirror_policies"].contains(&&**key)
                        });
                        if !action.contains_key("weighted_clusters") {
                            action.insert("cluster".to_owned(), "upstream".into());
                        }
                    }
                    ("clusters", Value::Array(clusters)) => {
                        clusters.iter_mut().for_each(|cluster| cluster["name"] = "upstream".into());
                    }
                    _ => {}
                }
                to_one_cluster(value);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(to_one_cluster),
        _ => {}
    }
}

/// Serves what no virtual host is for, as another team's service does on the same gateway.
fn serve_all(config: &mut Value) {
    let hosts = config["virtual_hosts"].as_array_mut().unwrap();
    let is_for_all = |host: &Value| host["domains"].as_array().unwrap().contains(&"*".into());
    if !hosts.iter().any(is_for_all) {
        hosts.push(json!({
            "name": "others",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }],
            "typed_per_filter_config": { "envoy.filters.http.cors": {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                "disabled": true,
            } },
        }));
    }
}

/// Takes Envoy's own policies out.
fn drop_cors(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !["cors", "envoy.filters.http.cors"].contains(&&**key));
            fields.values_mut().for_each(drop_cors);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_cors),
        _ => {}
    }
}

/// Lets each route tell its number.
fn number_routes(config: &mut Value) {
    let hosts = config["virtual_hosts"].as_array_mut().unwrap().iter_mut();
    let routes = hosts.flat_map(|host| host["routes"].as_array_mut().into_iter().flatten());
    for (number, route) in routes.enumerate() {
        let header = json!({ "header": { "key": ROUTE, "value": number.to_string() } });
        match &mut route["response_headers_to_add"] {
            Value::Array(headers) => headers.push(header),
            none => *none = json!([header]),
        }
    }
}

/// What upstream answers, by the name that a request has for it.
#[derive(Default)]
struct Replies {
    all: HashMap<String, Reply>,
    names: HashMap<(Upstream, Vec<String>), String>,
}

impl Replies {
    fn of(cases: &[Case]) -> Self {
        let mut replies = Self::default();
        for origin in cases.iter().flat_map(|case| case.texts.origins()) {
            UPSTREAMS.iter().for_each(|upstream| replies.add(&origin, *upstream));
        }
        replies
    }

    fn add(&mut self, lines: &[String], upstream: Upstream) {
        let next = self.names.len().to_string();
        let key = (upstream, lines.to_vec());
        if self.names.contains_key(&key) {
            return;
        }
        let origin = lines.first().filter(|it| !it.is_empty());
        let origin = origin.map_or("https://listed.example.org", |it| it);
        let lines: &[(&str, &str)] = match upstream {
            Upstream::Nothing => &[],
            Upstream::Any => &[
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "x-upstream, x-request-id"),
                ("vary", "accept-encoding"),
            ],
            Upstream::Echo | Upstream::Error => &[
                ("access-control-allow-origin", origin),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "PUT, GET"),
                ("access-control-allow-headers", "x-upstream"),
                ("access-control-max-age", "5"),
                ("vary", "origin"),
            ],
        };
        let status = if upstream == Upstream::Error { 500 } else { 200 };
        let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let headers = lines.iter().map(line).collect();
        self.all.insert(next.clone(), Reply { status, headers });
        self.names.insert(key, next);
    }

    fn name(&self, asked: &Asked, upstream: Upstream) -> &str {
        &self.names[&(upstream, asked.origin.clone())]
    }
}

/// Asks both.
fn exchanges(
    ports: [u16; 2],
    all: Vec<(Asked, Upstream)>,
    replies: &Replies,
) -> Result<Vec<Exchange>> {
    let connect = |port| client::run(async move { Ok(Arc::new(Http2::to(port).await?)) });
    let both = [connect(ports[0])?, connect(ports[1])?];
    let mut exchanges = Vec::new();
    for batch in all.chunks(BATCH) {
        let sent: Vec<_> = batch
            .iter()
            .map(|(asked, upstream)| {
                let name = replies.name(asked, *upstream).to_owned();
                both.clone().map(|connection| {
                    let request = client::request(&row(asked), &name, Protocol::Http2);
                    client::spawn(async move { connection.send(request?).await })
                })
            })
            .collect();
        for ((asked, upstream), [native, ours]) in batch.iter().zip(sent) {
            let (native, ours) = client::run(async { Ok((native.await??, ours.await??)) })
                .map_err(|e| format!("{asked:?}: {e}"))?;
            exchanges.push(Exchange {
                asked: asked.clone(),
                upstream: replies.all[replies.name(asked, *upstream)].headers.clone(),
                native: Got::new(&native),
                ours: Got::new(&ours),
            });
        }
    }
    Ok(exchanges)
}

fn row(asked: &Asked) -> Request {
    let line = |name: &str, value: &String| (name.to_owned(), value.as_bytes().to_vec());
    let mut headers: Vec<_> = asked.origin.iter().map(|it| line("origin", it)).collect();
    headers.extend(asked.acrm.iter().map(|it| line("access-control-request-method", it)));
    headers.extend(asked.acrh.iter().map(|it| line("access-control-request-headers", it)));
    headers.extend(asked.target.headers.iter().map(|(name, value)| line(name, value)));
    Request {
        method: asked.method.into(),
        scheme: "http".into(),
        authority: asked.target.host.clone().into(),
        path: asked.target.path.clone().into(),
        body: Vec::new(),
        headers,
    }
}
