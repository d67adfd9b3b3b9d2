//! The requests that tell whether two CORS layers answer alike: made from the texts of the policy.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use regex_automata::hybrid::regex::Regex;
use regex_automata::util::syntax;
use serde_json::Value;
use url::Url;

/// A method and a header that no policy lists.
pub const UNLISTED: [&str; 2] = ["UNLISTED", "x-unlisted"];

/// An origin that nobody lists.
pub const STRANGER: &str = "https://stranger.example.net";

/// Where a request goes, with what else routes look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    pub host: String,
    /// With its query.
    pub path: String,
    pub headers: Vec<(String, String)>,
}

/// A request, whatever upstream answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub target: Target,
    pub method: &'static str,
    /// The lines of `Origin`.
    pub origin: Vec<String>,
    /// `Access-Control-Request-Method`
    pub acrm: Option<String>,
    /// `Access-Control-Request-Headers`
    pub acrh: Option<String>,
}

impl Asked {
    /// OPTIONS with an origin and a method.
    pub fn is_preflight(&self) -> bool {
        self.method == "OPTIONS"
            && self.origin.iter().any(|it| !it.is_empty())
            && self.acrm.as_ref().is_some_and(|it| !it.is_empty())
    }
}

/// What upstream says about CORS itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    Nothing,
    /// Everybody may read.
    Any,
    /// Whoever asks may read, as the user.
    Echo,
    /// The same, of an error.
    Error,
}

/// All that upstream can say.
pub const UPSTREAMS: [Upstream; 4] =
    [Upstream::Nothing, Upstream::Any, Upstream::Echo, Upstream::Error];

/// What stands in a policy and in the routes around it.
#[derive(Debug, Default)]
pub struct Texts {
    pub matchers: Vec<Matcher>,
    pub methods: BTreeSet<String>,
    pub headers: BTreeSet<String>,
    /// Headers that routes set by themselves, with their values.
    pub set: BTreeSet<(String, String)>,
    pub sites: Vec<Site>,
    /// The routes of all virtual hosts, in their order.
    pub routes: Vec<Route>,
}

/// What Envoy's filter compares with at a route; nothing where it has no policy.
#[derive(Debug)]
pub struct Route(pub Option<Vec<Matcher>>);

impl Route {
    /// By what stands at the route and, as far as nothing does, around it.
    fn of(levels: &[&Value]) -> Self {
        let mut policies: Vec<&Value> = levels.iter().filter_map(|level| typed(level)).collect();
        if policies.is_empty() {
            let old = levels.iter().map(|level| level.get("cors").or(level["route"].get("cors")));
            policies = old.flatten().collect();
        }
        let listed = policies.iter().filter_map(|it| it["allow_origin_string_match"].as_array());
        let first = listed.into_iter().find(|list| !list.is_empty()).into_iter().flatten();
        let matchers = first.map(matcher).collect();
        Self(policies.first().filter(|policy| is_enabled(policy)).map(|_| matchers))
    }
}

fn typed(level: &Value) -> Option<&Value> {
    let policy = level["typed_per_filter_config"].get("envoy.filters.http.cors")?;
    Some(policy.get("config").unwrap_or(policy))
}

fn is_enabled(policy: &Value) -> bool {
    policy["disabled"] != true && policy["filter_enabled"]["default_value"]["numerator"] != 0
}

/// Whether chance decides.
fn is_in_part(policy: &Value) -> bool {
    let share = &policy["filter_enabled"]["default_value"];
    let whole = match share["denominator"].as_str() {
        Some("TEN_THOUSAND") => 10_000,
        Some("MILLION") => 1_000_000,
        _ => 100,
    };
    share["numerator"].as_u64().is_some_and(|number| (1..whole).contains(&number))
}

/// A virtual host: what its routes look at.
#[derive(Debug, Default)]
pub struct Site {
    pub domains: Vec<String>,
    pub paths: BTreeSet<Path>,
    /// What a route asks for beside host and path.
    conditions: BTreeSet<(String, String)>,
    /// Paths at which something else decides, by the rule that says so.
    pub special: BTreeSet<(&'static str, Path)>,
}

/// How an origin is compared: its kind and its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matcher {
    pub kind: String,
    pub text: String,
    pub ignore_case: bool,
}

impl Matcher {
    /// Whether Envoy lets the origin in.
    pub fn allows(&self, origin: &str) -> bool {
        self.accepts("*") || self.accepts(origin)
    }

    fn accepts(&self, origin: &str) -> bool {
        let lower = |text: &str| {
            if self.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() }
        };
        let (origin, text) = (lower(origin), lower(&self.text));
        match &*self.kind {
            "exact" => origin == text,
            "prefix" => origin.starts_with(&text),
            "suffix" => origin.ends_with(&text),
            "contains" => origin.contains(&text),
            "regex" => matches(&self.text, &origin),
            "glob" => matches(&self.text.replace('.', "\\.").replace('*', ".*"), &origin),
            kind => panic!("a matcher by {kind}"),
        }
    }

    /// Origins that it lets in, if any browser sends them.
    fn examples(&self) -> Vec<String> {
        let text = &self.text;
        match &*self.kind {
            "prefix" => ["", "evil.example.net", ".evil.example.net", "/x", ":8443"]
                .map(|end| format!("{text}{end}"))
                .into(),
            "suffix" => ["", "https://", "https://a", "https://evil", "https://evil.example.net/"]
                .map(|start| format!("{start}{text}"))
                .into(),
            "contains" => {
                vec![text.clone(), format!("https://{text}"), format!("https://{text}.example.net")]
            }
            "regex" => samples(text),
            _ => vec![text.clone()],
        }
    }
}

/// Whether the whole text is in the language of an expression, if it is one.
pub fn matches(expression: &str, text: &str) -> bool {
    static KNOWN: LazyLock<Mutex<HashMap<String, Option<Regex>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    let bytes = syntax::Config::new().unicode(false).utf8(false);
    let whole = || Regex::builder().syntax(bytes).build(&format!("^(?:{expression})$")).ok();
    let regex = known.entry(expression.to_owned()).or_insert_with(whole);
    regex.as_ref().is_some_and(|regex| regex.is_match(&mut regex.create_cache(), text))
}

/// Texts that an expression accepts, the same each time.
fn samples(expression: &str) -> Vec<String> {
    // What `.` stands for is rarely of interest; `$` and `^` are known to stand at the ends.
    let (mut readable, mut class, mut rest) = (String::new(), false, expression.chars());
    while let Some(c) = rest.next() {
        match c {
            '\\' => readable.extend([Some(c), rest.next()].into_iter().flatten()),
            '.' if !class => readable.push_str("[a-z.]"),
            '^' | '$' if !class => {}
            _ => {
                class = (class || c == '[') && c != ']';
                readable.push(c);
            }
        }
    }
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::string::string_regex(&readable).unwrap();
    let sample = |_| strategy.new_tree(&mut runner).unwrap().current();
    let mut samples: BTreeSet<String> = (0..40).map(sample).collect();
    // Short ones read best, and long ones are rarely origins.
    let mut samples: Vec<String> = std::mem::take(&mut samples).into_iter().collect();
    samples.retain(|it| is_sendable(it));
    samples.sort_by_key(|it| (serialized(it).as_ref() != Some(it), it.len()));
    samples.truncate(5);
    samples
}

/// Paths that an expression accepts.
fn sample_paths(expression: &str) -> Vec<String> {
    let rooted = |it: String| if it.starts_with('/') { it } else { format!("/{it}") };
    let mut paths: Vec<String> = samples(expression).into_iter().map(rooted).collect();
    paths.retain(|path| matches(expression, path));
    paths.truncate(3);
    paths
}

/// How a route compares a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    kind: String,
    pub text: String,
}

impl Path {
    /// Whether a path is one of these in some way of comparing.
    pub fn is_around(&self, path: &str) -> bool {
        match &*self.kind {
            "regex" => matches(&self.text, path),
            _ => path.starts_with(self.text.trim_end_matches('/')),
        }
    }
}

impl Texts {
    /// All that is written in Envoy's configuration.
    pub fn of(config: &Value) -> Self {
        let mut texts = Self::default();
        texts.collect(config);
        texts.matchers.sort();
        texts.matchers.dedup();
        for host in config["virtual_hosts"].as_array().into_iter().flatten() {
            texts.sites.push(Site::of(host));
            for route in host["routes"].as_array().into_iter().flatten() {
                texts.routes.push(Route::of(&[route, host, config]));
            }
        }
        texts
    }

    fn collect(&mut self, value: &Value) {
        let Value::Object(fields) = value else {
            return value.as_array().into_iter().flatten().for_each(|it| self.collect(it));
        };
        for (key, value) in fields {
            match &**key {
                "allow_origin_string_match" => {
                    self.matchers.extend(value.as_array().unwrap().iter().map(matcher));
                }
                "allow_methods" => self.methods.extend(names(value)),
                "allow_headers" => self.headers.extend(names(value)),
                "response_headers_to_add" => {
                    let text = |it: &Value| it.as_str().unwrap().to_owned();
                    let set = value.as_array().unwrap().iter().map(|it| &it["header"]);
                    let set = set.map(|it| (text(&it["key"]).to_lowercase(), text(&it["value"])));
                    self.set.extend(set);
                }
                _ => self.collect(value),
            }
        }
    }

    /// Origins that may be allowed: one or more for each matcher.
    pub fn listed(&self) -> Vec<String> {
        let mut listed = Vec::new();
        for matcher in &self.matchers {
            push_all(&mut listed, matcher.examples());
        }
        listed.retain(|it| is_sendable(it));
        listed
    }

    /// One for each matcher.
    fn firsts(&self) -> Vec<String> {
        let mut firsts = Vec::new();
        push_all(
            &mut firsts,
            self.matchers.iter().filter_map(|it| it.examples().into_iter().next()),
        );
        firsts.retain(|it| is_sendable(it));
        firsts
    }

    /// The lines of `Origin` that are interesting.
    pub fn origins(&self) -> Vec<Vec<String>> {
        let listed = self.listed();
        let mut all: Vec<String> = listed.clone();
        push_all(&mut all, [STRANGER, "null", "*", "junk", ""].map(String::from));
        for origin in self.firsts() {
            push_all(&mut all, look_alikes(&origin));
        }
        let mut origins = vec![vec![]];
        origins.extend(all.into_iter().map(|origin| vec![origin]));
        if let Some(first) = listed.first() {
            origins.push(vec![first.clone(), STRANGER.into()]);
            origins.push(vec![first.clone(), first.clone()]);
        }
        origins
    }

    /// What tells who is allowed where: every origin at each route, and some around it.
    pub fn requests(&self) -> Vec<(Asked, Upstream)> {
        let mut requests = Vec::new();
        let actual = Shape { method: "GET", acrm: None, acrh: None };
        // It asks for nothing that is listed: the answer shows the lists.
        let unlisted = preflight(UNLISTED[0], Some(UNLISTED[1]));
        let mut some: Vec<Vec<String>> = vec![vec![], vec![STRANGER.into()]];
        some.extend(self.firsts().into_iter().take(6).map(|it| vec![it]));
        let mut ask = |target: &Target, origin: &Vec<String>| {
            requests.push((actual.asked(target, origin), Upstream::Nothing));
            requests.push((unlisted.asked(target, origin), Upstream::Nothing));
            if some.contains(origin) {
                requests.push((actual.asked(target, origin), Upstream::Echo));
            }
        };
        let every = self.origins();
        for site in &self.sites {
            for target in site.routes() {
                every.iter().for_each(|origin| ask(&target, origin));
            }
            for target in site.around() {
                some.iter().for_each(|origin| ask(&target, origin));
            }
        }
        requests
    }

    /// Everything that an origin can ask for.
    pub fn more(&self, target: &Target, origin: &[String]) -> Vec<(Asked, Upstream)> {
        let mut requests = Vec::new();
        for shape in self.shapes() {
            let asked = shape.asked(target, origin);
            let seen = asked.method == "GET" || shape == preflight(UNLISTED[0], Some(UNLISTED[1]));
            let upstreams: &[Upstream] = match &asked {
                Asked { method: "GET", .. } => &[Upstream::Any, Upstream::Error],
                _ if seen => &[Upstream::Echo],
                Asked { acrm: None, .. } => &[Upstream::Nothing, Upstream::Any],
                _ => &[Upstream::Nothing],
            };
            requests.extend(upstreams.iter().map(|upstream| (asked.clone(), *upstream)));
        }
        requests
    }

    /// Method, and what a preflight asks for.
    fn shapes(&self) -> Vec<Shape> {
        let plain = ["GET", "HEAD", "POST", "PUT", "OPTIONS"].map(|method| Shape {
            method,
            acrm: None,
            acrh: None,
        });
        let mut shapes: Vec<Shape> = plain.into();
        let mut methods: Vec<String> = self.methods.iter().cloned().collect();
        push_all(
            &mut methods,
            ["GET", "PUT", "put", UNLISTED[0], "TRACE", "*", ""].map(String::from),
        );
        for method in &methods {
            shapes.push(preflight(method, None));
        }
        let first = self.methods.first().map_or("PUT", |method| method);
        let mut headers: Vec<String> =
            self.headers.iter().map(|it| it.to_ascii_lowercase()).collect();
        headers.sort();
        let all = headers.join(",");
        push_all(
            &mut headers,
            [
                all,
                UNLISTED[1].into(),
                "authorization".into(),
                "content-type".into(),
                "accept".into(),
                "X-Unlisted, authorization".into(),
                "no header".into(),
                ",".into(),
                String::new(),
            ],
        );
        for header in &headers {
            shapes.push(preflight(first, Some(header)));
        }
        shapes.push(preflight(UNLISTED[0], Some(UNLISTED[1])));
        shapes
    }
}

impl Site {
    fn of(host: &Value) -> Self {
        let mut site = Self::default();
        for domain in host["domains"].as_array().unwrap() {
            site.domains.push(domain.as_str().unwrap().to_owned());
        }
        for route in host["routes"].as_array().into_iter().flatten() {
            site.route(&route["match"], !route["route"]["weighted_clusters"].is_null());
        }
        if typed(host).is_some_and(is_in_part) {
            site.special.insert(("share", Path { kind: "prefix".into(), text: "/".into() }));
        }
        site
    }

    /// Whether the host is one of its domains'.
    pub fn is_for(&self, host: &str) -> bool {
        self.domains.iter().any(|domain| is_of_domain(host, domain))
    }

    fn route(&mut self, value: &Value, is_weighted: bool) {
        let (mut path, mut is_conditional) = (None, false);
        for (key, value) in value.as_object().unwrap() {
            match (&**key, value) {
                (kind @ ("prefix" | "path" | "path_separated_prefix"), Value::String(text)) => {
                    path = Some(Path { kind: kind.to_owned(), text: text.clone() });
                }
                ("safe_regex", value) => {
                    let text = value["regex"].as_str().unwrap().to_owned();
                    path = Some(Path { kind: "regex".into(), text });
                }
                ("case_sensitive", _) => {}
                ("headers", Value::Array(headers)) => {
                    is_conditional = true;
                    for header in headers {
                        let name = header["name"].as_str().unwrap().to_owned();
                        let value = header["string_match"]["exact"].as_str().unwrap_or("1");
                        if !name.starts_with(':') {
                            self.conditions.insert((name, value.to_owned()));
                        }
                    }
                }
                _ => is_conditional = true,
            }
        }
        let Some(path) = path else { return };
        if is_conditional {
            self.special.insert(("condition", path.clone()));
        }
        if is_weighted {
            self.special.insert(("weighted", path.clone()));
        }
        self.paths.insert(path);
    }

    /// A host for each domain.
    fn hosts(&self) -> Vec<String> {
        let mut hosts = Vec::new();
        for domain in &self.domains {
            match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
                (Some(""), _) => push_all(&mut hosts, ["any.example.org".to_owned()]),
                (Some(rest), _) => push_all(&mut hosts, [format!("a{rest}"), format!("a.b{rest}")]),
                (_, Some(start)) if start.ends_with(':') => {
                    push_all(&mut hosts, [format!("{start}8080")]);
                }
                (_, Some(start)) => push_all(&mut hosts, [format!("{start}com")]),
                _ => push_all(&mut hosts, [domain.to_ascii_lowercase()]),
            }
        }
        hosts
    }

    /// The texts of all routes that are paths.
    fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for Path { kind, text } in &self.paths {
            match &**kind {
                "regex" => push_all(&mut texts, sample_paths(text).into_iter().take(1)),
                _ if text.is_empty() => push_all(&mut texts, ["/".to_owned()]),
                _ => push_all(&mut texts, [text.clone()]),
            }
        }
        texts
    }

    /// Each route once.
    pub fn routes(&self) -> Vec<Target> {
        let host = &self.hosts()[0];
        self.texts().iter().map(|path| target(host, path)).collect()
    }

    /// Borders and look-alikes of each path and host.
    fn around(&self) -> Vec<Target> {
        let (hosts, texts, mut targets) = (self.hosts(), self.texts(), Vec::new());
        let first = &hosts[0];
        targets.extend(["/", "/elsewhere"].map(|path| target(first, path)));
        for Path { kind, text } in &self.paths {
            let bare = text.trim_end_matches('/');
            let paths = match &**kind {
                "regex" => sample_paths(text),
                _ => vec![
                    bare.to_owned(),
                    format!("{bare}/"),
                    format!("{bare}/x"),
                    format!("{bare}x"),
                    format!("{bare}/x?y=/z"),
                    format!("{bare}//x"),
                    format!("{bare}/../x"),
                    format!("{bare}%2fx"),
                    text.to_ascii_uppercase(),
                ],
            };
            targets.extend(paths.iter().map(|path| target(first, path)));
        }
        for text in &texts {
            targets.extend(hosts.iter().map(|host| target(host, text)));
        }
        for condition in &self.conditions {
            let met = |it: &Target| Target { headers: vec![condition.clone()], ..it.clone() };
            let met: Vec<_> = targets.iter().filter(|it| it.headers.is_empty()).map(met).collect();
            targets.extend(met);
        }
        let plain = without_port(first);
        let parent = plain.split_once('.').map_or("", |(_, parent)| parent);
        let look_alikes = [
            plain.to_owned(),
            format!("{plain}:8080"),
            format!("{plain}."),
            plain.to_ascii_uppercase(),
            format!("sub.{plain}"),
            format!("x{plain}"),
            parent.to_owned(),
            "unknown.example.net".to_owned(),
        ];
        for host in look_alikes.iter().filter(|it| !it.is_empty() && !hosts.contains(it)) {
            targets.extend(texts.iter().take(2).map(|path| target(host, path)));
        }
        let mut known: Vec<Target> = self.routes();
        targets.retain(|it| {
            let is_new = it.path.starts_with('/') && !known.contains(it);
            known.push(it.clone());
            is_new
        });
        targets
    }
}

fn target(host: &str, path: &str) -> Target {
    Target { host: host.to_owned(), path: path.to_owned(), headers: Vec::new() }
}

/// What is asked for.
#[derive(Clone, PartialEq)]
struct Shape {
    method: &'static str,
    acrm: Option<String>,
    acrh: Option<String>,
}

impl Shape {
    fn asked(&self, target: &Target, origin: &[String]) -> Asked {
        let Self { method, acrm, acrh } = self.clone();
        Asked { target: target.clone(), method, origin: origin.to_vec(), acrm, acrh }
    }
}

fn preflight(acrm: &str, acrh: Option<&str>) -> Shape {
    Shape { method: "OPTIONS", acrm: Some(acrm.to_owned()), acrh: acrh.map(str::to_owned) }
}

fn push_all(list: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

fn matcher(value: &Value) -> Matcher {
    let fields = value.as_object().unwrap();
    let ignore_case = value["ignore_case"] == true;
    let (key, value) = fields.iter().find(|(key, _)| *key != "ignore_case").unwrap();
    let (kind, text) = match &**key {
        "safe_regex" => ("regex".to_owned(), &value["regex"]),
        kind => (kind.to_owned(), value),
    };
    Matcher { kind, text: text.as_str().unwrap().to_owned(), ignore_case }
}

fn names(value: &Value) -> impl Iterator<Item = String> {
    let text = value.as_str().unwrap();
    let names = text.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty() && name != "*")
}

/// Whether Envoy takes the host for one of a domain's.
pub fn is_of_domain(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
        (Some(rest), _) => host.ends_with(rest) && host.len() > rest.len(),
        (_, Some(start)) => host.starts_with(start) && host.len() > start.len(),
        _ => host == domain,
    }
}

pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit() || b == b'*') => name,
        _ => host,
    }
}

/// Whether a header line can hold the text as it is.
fn is_sendable(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text
}

/// What resembles an origin and is another.
fn look_alikes(origin: &str) -> Vec<String> {
    let Some((scheme, rest)) = origin.split_once("://") else { return Vec::new() };
    let other = if scheme == "https" { "http" } else { "https" };
    let (host, port) = rest.split_once(':').map_or((rest, ""), |(host, port)| (host, port));
    let colon = if port.is_empty() { "" } else { ":" };
    let parent = host.split_once('.').map_or(host, |(_, parent)| parent);
    vec![
        format!("{other}://{rest}"),
        format!("{scheme}://{host}"),
        format!("{scheme}://{host}:444"),
        format!("{scheme}://{host}:443"),
        format!("{scheme}://{}{colon}{port}", host.to_ascii_uppercase()),
        format!("{scheme}://sub.{rest}"),
        format!("{scheme}://evil{rest}"),
        format!("{scheme}://{parent}{colon}{port}"),
        format!("{scheme}://{host}.evil.example{colon}{port}"),
        format!("{scheme}://{host}evil.example{colon}{port}"),
        format!("{scheme}://{}{colon}{port}", host.replacen('.', "x", 1)),
        format!("{scheme}://{host}.{colon}{port}"),
        format!("{scheme}://evil.example/{rest}"),
        format!("{scheme}://{rest}@evil.example"),
        format!("{origin}/"),
        format!("{origin} "),
    ]
    .into_iter()
    .filter(|it| is_sendable(it))
    .collect()
}

/// What a browser makes of an origin, if it is one. Independent of what the filter takes for one.
pub fn serialized(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    // No name has an empty label.
    let host = url.host_str().filter(|host| !host.split('.').any(str::is_empty))?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}
