//! Envoy's own route configuration
//! ([`config.route.v3`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route.proto)),
//! wherever it stands: in a bootstrap, in resources of xDS, in a `config_dump`, or a
//! part of it by itself.
//!
//! A level is what can have a policy: the cluster of a weighted route, the route, the
//! virtual host, the route configuration. Envoy's filter takes each field from the
//! most specific level that has it, and asks that level alone whether it is enabled
//! (`source/extensions/filters/http/cors/cors_filter.cc`).

use super::account::{Account, Field};
use super::cors::{Cors, Named, named};
use super::matcher::{Matcher, OriginMatcher};
use super::remark::Remark;
use super::scope::{Compared, Path, Stated, hosts};
use crate::cli::tree::Content;

/// Reads what a document holds of it.
pub fn read<'d>(resource: &Field<'d>, account: &mut Account) -> Option<Vec<Stated<'d>>> {
    if resource.text_at(&["kind"]).is_some_and(|kind| !HOLDERS.contains(&kind)) {
        return None;
    }
    let mut found = Found::default();
    found.look_in(resource, account);
    found.tables.retain(|table| table.all().any(concerns_cors));
    let mut stated = Vec::new();
    for table in &found.tables {
        stated.extend(table.read(account));
    }
    for policy in &found.policies {
        if found.tables.is_empty() {
            stated.push(alone(policy, account));
        } else {
            account.remark(policy, &Remark::Elsewhere);
        }
    }
    Some(stated)
}

/// The resources of others that hold parts of Envoy's configuration.
const HOLDERS: [&str; 3] = ["ConfigMap", "EnvoyFilter", "EnvoyPatchPolicy"];

/// What stands in a document.
#[derive(Default)]
struct Found<'d> {
    tables: Vec<Table<'d>>,
    /// Policies that stand in no table.
    policies: Vec<Field<'d>>,
}

/// Virtual hosts that stand together, in a route configuration or by themselves.
struct Table<'d> {
    configuration: Option<Field<'d>>,
    virtual_hosts: Vec<Field<'d>>,
}

impl<'d> Found<'d> {
    fn look_in(&mut self, field: &Field<'d>, account: &mut Account) {
        let is_list = |name: &str| {
            field.get(name).is_some_and(|list| matches!(list.node.content, Content::List(_)))
        };
        if is_list("virtualHosts") {
            let virtual_hosts = field.list("virtualHosts");
            return self.tables.push(Table { configuration: Some(field.clone()), virtual_hosts });
        }
        if is_list("domains") {
            let virtual_hosts = vec![field.clone()];
            return self.tables.push(Table { configuration: None, virtual_hosts });
        }
        if let Some(policy) = policy(field).or_else(|| is_bare_policy(field).then(|| field.clone()))
        {
            return self.policies.push(policy);
        }
        if let (Some(configuration), Some(filters)) =
            (field.get("routeConfig"), field.get("httpFilters"))
            && concerns_cors(&configuration)
            && !filters.elements().any(|filter| is_cors_filter(&filter))
        {
            account.note(&configuration, &Remark::NotLoaded);
        }
        if let (Some(_), Some(key)) = (field.get("routeConfiguration"), field.get("key")) {
            account.remark(&key, &Remark::Condition { what: "the scope's key".to_owned() });
        }
        for (key, inner) in field.entries() {
            // Of a config_dump, what is no longer or was never in force.
            if !matches!(key, "error_state" | "draining_state" | "errorState" | "drainingState") {
                self.look_in(&inner, account);
            }
        }
        field.elements().for_each(|inner| self.look_in(&inner, account));
    }
}

/// A policy by its type, which may be wrapped.
fn policy<'d>(any: &Field<'d>) -> Option<Field<'d>> {
    let url = any.text_at(&["@type"])?;
    match url {
        _ if url.ends_with(".CorsPolicy") => Some(any.clone()),
        _ if url.ends_with(".TypedStruct") => {
            let of_policy = any.text_at(&["typeUrl"])?.ends_with(".CorsPolicy");
            any.get("value").filter(|_| of_policy)
        }
        _ if is_wrapper(url) => policy(&any.get("config")?),
        _ => None,
    }
}

fn is_wrapper(url: &str) -> bool {
    url.ends_with("envoy.config.route.v3.FilterConfig")
}

/// Whether an object without a type is a policy: the fields of these names are in
/// nothing else.
fn is_bare_policy(field: &Field<'_>) -> bool {
    ["allowOriginStringMatch", "allowOriginRegex"].iter().any(|name| field.get(name).is_some())
}

fn is_cors_filter(filter: &Field<'_>) -> bool {
    let url = filter.text_at(&["typedConfig", "@type"]);
    url.is_some_and(|url| url.ends_with(".Cors"))
        || filter.text_at(&["name"]).is_some_and(|name| name.ends_with("cors"))
}

fn concerns_cors(field: &Field<'_>) -> bool {
    let mut concerns = false;
    field.node.walk(&mut |node| {
        let is_policy =
            |name: &str| node.text_at(&[name]).is_some_and(|url| url.ends_with(".CorsPolicy"));
        concerns |= is_policy("@type") || is_policy("typeUrl") || node.get("cors").is_some();
    });
    concerns
}

/// A policy that stands by itself.
fn alone<'d>(policy: &Field<'d>, account: &mut Account) -> Stated<'d> {
    let cors = in_force(std::slice::from_ref(policy), account);
    finish(policy, UNREAD, account);
    account.note(policy, &Remark::Alone);
    Stated {
        name: "cors".to_owned(),
        field: policy.clone(),
        hosts: Vec::new(),
        paths: vec![Path::every(policy)],
        list: None,
        cors,
        aside: Account::default(),
        inherited: Vec::new(),
    }
}

/// What a level says about the filter.
#[derive(Clone)]
enum Level<'d> {
    /// The filter does not run.
    Disabled,
    /// It runs, with what other levels say.
    Enabled,
    Policy(Field<'d>),
}

impl<'d> Table<'d> {
    fn all(&self) -> impl Iterator<Item = &Field<'d>> {
        self.configuration.iter().chain(&self.virtual_hosts)
    }

    fn read(&self, account: &mut Account) -> Vec<Stated<'d>> {
        let filter = self.filter();
        let levels: Vec<Level<'d>> =
            self.configuration.iter().filter_map(|of| level(of, filter, account)).collect();
        if let Some(header) =
            self.configuration.as_ref().and_then(|of| of.get("alternateHeaderForHostMatching"))
        {
            account.remark(&header, &Remark::Condition { what: "this header".to_owned() });
        }
        let mut stated = Vec::new();
        for field in &self.virtual_hosts {
            stated.extend(VirtualHost::of(field, filter, &levels, account).read(account));
        }
        if let Some(Level::Policy(policy)) = levels.first() {
            finish(policy, UNREAD, account);
        }
        stated
    }

    /// The name of the filter, by which its policies are found: the usual one, or the
    /// first that has one.
    fn filter(&self) -> &'d str {
        const USUAL: &str = "envoy.filters.http.cors";
        let mut names: Vec<&'d str> = Vec::new();
        for level in self.levels() {
            let Some(of_filters) = level.get("typedPerFilterConfig") else { continue };
            let of_cors = of_filters.entries().filter(|(_, any)| policy(any).is_some());
            names.extend(of_cors.map(|(name, _)| name));
        }
        names.iter().find(|name| **name == USUAL).or(names.first()).unwrap_or(&USUAL)
    }

    /// All that can have a policy.
    fn levels(&self) -> Vec<Field<'d>> {
        let routes = || self.virtual_hosts.iter().flat_map(|of| of.list("routes"));
        let clusters = routes().flat_map(|route| clusters(&route));
        let hosts = self.virtual_hosts.iter().cloned();
        self.configuration.iter().cloned().chain(hosts).chain(routes()).chain(clusters).collect()
    }
}

fn clusters<'d>(route: &Field<'d>) -> Vec<Field<'d>> {
    let all = route.at(&["route", "weightedClusters"]);
    all.map(|all| all.list("clusters")).unwrap_or_default()
}

/// What the `typed_per_filter_config` of a route, or of what is around it, says
/// about a filter of that name.
fn level<'d>(of: &Field<'d>, filter: &str, account: &mut Account) -> Option<Level<'d>> {
    let mut level = None;
    for (name, any) in of.get("typedPerFilterConfig")?.entries() {
        let policy = policy(&any);
        if name != filter {
            if policy.is_some() {
                account.remark(&any, &Remark::OtherFilter { name: filter.to_owned() });
            }
            continue;
        }
        let is_wrapped = any.text_at(&["@type"]).is_some_and(is_wrapper);
        let disabled = any.get("disabled").filter(|_| is_wrapped);
        let is_disabled = disabled.as_ref().is_some_and(|field| field.flag() == Some(true));
        disabled.inspect(|field| account.carry(field));
        level = match policy {
            Some(policy) if is_disabled => {
                account.remark(&policy, &Remark::Ignored { why: "disabled is set beside it" });
                Some(Level::Disabled)
            }
            Some(policy) => Some(Level::Policy(policy)),
            None if is_disabled => Some(Level::Disabled),
            None if is_wrapped => Some(Level::Enabled),
            None => {
                account.close(&any);
                None
            }
        };
    }
    level
}

struct VirtualHost<'t, 'd> {
    field: &'t Field<'d>,
    filter: &'t str,
    own: Option<Level<'d>>,
    /// That of the route configuration.
    above: &'t [Level<'d>],
    /// In the field that is not read where any level says something.
    old: Option<Field<'d>>,
    /// Where routes have nothing of their own, once it is asked for.
    inherited: Option<Option<Cors>>,
}

impl<'t, 'd> VirtualHost<'t, 'd> {
    fn of(
        field: &'t Field<'d>,
        filter: &'t str,
        above: &'t [Level<'d>],
        account: &mut Account,
    ) -> Self {
        let own = level(field, filter, account);
        Self { field, filter, own, above, old: field.get("cors"), inherited: None }
    }

    fn read(mut self, account: &mut Account) -> Vec<Stated<'d>> {
        let domains = account.list(self.field, "domains");
        let Some(hosts) = hosts(&domains, |domain| domain == "*", account) else {
            let why = "none of its domains is carried over";
            let parts = ["typedPerFilterConfig", "cors", "routes"];
            for part in parts.iter().filter_map(|part| self.field.get(part)) {
                if concerns_cors(self.field) {
                    account.remark(&part, &Remark::Ignored { why });
                }
            }
            return Vec::new();
        };
        let routes: Vec<Route<'d>> =
            self.field.list("routes").iter().map(|field| self.route(field, account)).collect();
        let name = self.field.text_at(&["name"]).unwrap_or("virtual-host");
        let list = Some(std::ptr::from_ref(self.field.node).addr());

        let stated = if routes.iter().any(Route::has_own) || !routes.iter().all(Route::is_asked) {
            let mut stated = Vec::new();
            for (index, route) in routes.iter().enumerate() {
                let has_cors =
                    route.is_asked() && (route.has_own() || self.policies().next().is_some());
                let matched = route.field.get("match");
                let mut aside = Account::default();
                let path = matched.as_ref().and_then(|matched| path(matched, has_cors, &mut aside));
                let cors = path.is_some().then(|| self.of_route(route, account)).flatten();
                if cors.is_some() || path.is_none() {
                    account.add(&std::mem::take(&mut aside));
                }
                self.finish(route, path.is_some(), account);
                let (Some(matched), Some(path)) = (matched, path) else { continue };
                let own = route.field.text_at(&["name"]).filter(|name| !name.is_empty());
                let own = own.map_or_else(|| (index + 1).to_string(), str::to_owned);
                let field = if cors.is_some() { route.field.clone() } else { matched };
                let (name, paths, hosts) = (format!("{name}-{own}"), vec![path], hosts.clone());
                let inherited = self.policies().cloned().chain(self.field.get("domains"));
                let inherited = inherited.collect();
                stated.push(Stated { name, field, hosts, paths, list, cors, aside, inherited });
            }
            if concerns_cors(self.field) && stated.iter().all(|stated| stated.cors.is_none()) {
                let why = "no policy for them is carried over";
                let domains = self.field.get("domains");
                domains.inspect(|field| account.withdraw(field, &Remark::Ignored { why }));
            }
            stated
        } else {
            let cors = self.inherited(account);
            let field = match &cors {
                Some(_) => self.field.clone(),
                None => self.field.get("domains").unwrap_or_else(|| self.field.clone()),
            };
            let (name, paths) = (name.to_owned(), vec![Path::every(&field)]);
            let inherited = self.policies().cloned().collect();
            let aside = Account::default();
            vec![Stated { name, field, hosts, paths, list, cors, aside, inherited }]
        };

        if let Some(Level::Policy(policy)) = &self.own {
            finish(policy, UNREAD, account);
        }
        if let Some(old) = &self.old {
            finish(old, if self.is_typed(&[]) { BESIDE_TYPED } else { UNREAD }, account);
        }
        stated
    }

    fn route(&self, field: &Field<'d>, account: &mut Account) -> Route<'d> {
        Route {
            field: field.clone(),
            own: level(field, self.filter, account),
            old: field.at(&["route", "cors"]),
            clusters: clusters(field)
                .iter()
                .map(|cluster| level(cluster, self.filter, account))
                .collect(),
        }
    }

    /// What is in force on a route.
    fn of_route(&mut self, route: &Route<'d>, account: &mut Account) -> Option<Cors> {
        if !route.is_asked() {
            None
        } else if !route.has_own() {
            self.inherited(account)
        } else if route.clusters.iter().any(Option::is_some) {
            self.of_clusters(route, account)
        } else {
            self.decide(route.own.as_slice(), route.old.as_ref(), account)
        }
    }

    /// Ends the reading of what a route has of its own.
    fn finish(&self, route: &Route<'d>, has_path: bool, account: &mut Account) {
        let why = if !route.is_asked() {
            "Envoy's filter does nothing on such a route"
        } else if !has_path {
            "the path of the route is not carried over"
        } else {
            UNREAD
        };
        for level in route.own.iter().chain(route.clusters.iter().flatten()) {
            if let Level::Policy(policy) = level {
                finish(policy, why, account);
            }
        }
        if let Some(old) = &route.old {
            let is_typed = self.is_typed(route.own.as_slice());
            finish(old, if is_typed { BESIDE_TYPED } else { why }, account);
        }
    }

    /// What routes can have a policy from.
    fn policies(&self) -> impl Iterator<Item = &Field<'d>> {
        let typed = self.levels(&[]).filter_map(|level| match level {
            Level::Policy(policy) => Some(policy),
            Level::Disabled | Level::Enabled => None,
        });
        typed.chain(&self.old)
    }

    fn is_typed(&self, own: &[Level<'d>]) -> bool {
        self.levels(own).any(|level| matches!(level, Level::Policy(_)))
    }

    fn levels<'a>(&'a self, own: &'a [Level<'d>]) -> impl Iterator<Item = &'a Level<'d>> {
        own.iter().chain(&self.own).chain(self.above)
    }

    /// What is in force where a part of the requests goes to each cluster.
    fn of_clusters(&self, route: &Route<'d>, account: &mut Account) -> Option<Cors> {
        let mut each = Vec::new();
        for cluster in &route.clusters {
            let levels: Vec<Level<'d>> = cluster.iter().chain(&route.own).cloned().collect();
            each.push(self.decide(&levels, route.old.as_ref(), account));
        }
        if each.iter().all(|cors| Some(cors) == each.first()) {
            return each.pop()?;
        }
        for level in route.clusters.iter().flatten() {
            if let Level::Policy(policy) = level {
                account.withdraw(policy, &Remark::Weighted);
            }
        }
        self.decide(route.own.as_slice(), route.old.as_ref(), account)
    }

    /// What is in force where a route has nothing of its own.
    fn inherited(&mut self, account: &mut Account) -> Option<Cors> {
        if self.inherited.is_none() {
            self.inherited = Some(self.decide(&[], None, account));
        }
        self.inherited.clone().flatten()
    }

    /// What is in force, by the levels of a route and those around it.
    fn decide(
        &self,
        own: &[Level<'d>],
        old: Option<&Field<'d>>,
        account: &mut Account,
    ) -> Option<Cors> {
        if matches!(self.levels(own).next(), Some(Level::Disabled)) {
            return None;
        }
        let typed = self.levels(own).filter_map(|level| match level {
            Level::Policy(policy) => Some(policy.clone()),
            Level::Disabled | Level::Enabled => None,
        });
        let mut policies: Vec<Field<'d>> = typed.collect();
        if policies.is_empty() {
            policies = old.into_iter().chain(&self.old).cloned().collect();
        }
        in_force(&policies, account)
    }
}

/// A route, and what it has of its own.
struct Route<'d> {
    field: Field<'d>,
    own: Option<Level<'d>>,
    /// In the field that is not read where any level says something.
    old: Option<Field<'d>>,
    /// Of each cluster, if the route has several.
    clusters: Vec<Option<Level<'d>>>,
}

impl Route<'_> {
    fn has_own(&self) -> bool {
        self.own.is_some() || self.old.is_some() || self.clusters.iter().any(Option::is_some)
    }

    /// Whether Envoy's filter does anything on it: it asks upstream, for what pages
    /// can send.
    fn is_asked(&self) -> bool {
        !ANSWERED.iter().any(|action| self.field.get(action).is_some())
            && self.field.at(&["match", "connectMatcher"]).is_none()
    }
}

/// What a route does instead of asking upstream.
const ANSWERED: [&str; 4] = ["redirect", "directResponse", "filterAction", "nonForwardingAction"];

const UNREAD: &str = "no route takes it from here";
const BESIDE_TYPED: &str = "Envoy does not read it beside typed_per_filter_config";

/// What policies come to, the most specific one first. `None` where the filter does
/// nothing.
fn in_force(policies: &[Field<'_>], account: &mut Account) -> Option<Cors> {
    let first = policies.first()?;
    let mut cors = Cors { mode: mode(first, account)?, ..Cors::default() };
    for policy in policies {
        policy.get("@type").inspect(|field| account.leave(field));
    }
    let has = |name: &str, is_set: fn(&Field<'_>) -> bool| {
        policies.iter().find_map(|policy| policy.get(name).filter(is_set))
    };
    let flag = |name: &str| has(name, |field| field.flag().is_some());
    let text = |name: &str| has(name, |field| field.text().is_some_and(|text| !text.is_empty()));

    if let Some(field) = flag("allowCredentials") {
        cors.set_credentials(&field, field.flag() == Some(true), account);
    }
    let has_origins = |policy: &&Field<'_>| {
        ORIGINS
            .iter()
            .any(|name| policy.get(name).is_some_and(|list| list.elements().next().is_some()))
    };
    match policies.iter().find(has_origins) {
        Some(policy) => {
            let matchers = origins(policy, account);
            cors.add_origins(&matchers, account);
        }
        None => account.note(first, &Remark::NoOrigins),
    }
    for (name, add) in [
        ("allowMethods", Cors::add_methods as fn(&mut Cors, &[Named<'_>], &mut Account)),
        ("allowHeaders", Cors::add_headers),
        ("exposeHeaders", Cors::add_exposed_headers),
    ] {
        if let Some(field) = text(name) {
            add(&mut cors, &named(&[field]), account);
        }
    }
    if let Some(field) = text("maxAge") {
        match field.text().and_then(|text| text.parse::<u64>().ok()) {
            Some(seconds) => cors.set_max_age(&field, seconds.into(), account),
            None => {
                let why = "browsers read nothing but whole seconds";
                account.remark(&field, &Remark::Ignored { why });
            }
        }
    }
    if let Some(field) = flag("allowPrivateNetworkAccess") {
        let why = "browsers have given Private Network Access up";
        account.remark(&field, &Remark::Ignored { why });
    }
    match flag("forwardNotMatchingPreflights") {
        Some(field) if cors.mode.is_some() => {
            account.remark(&field, &Remark::Ignored { why: "in shadow mode, all are forwarded" });
        }
        Some(field) if field.flag() == Some(false) => account.carry(&field),
        Some(field) => account.remark(&field, &Remark::ForwardedPreflights { written: true }),
        None if cors.mode.is_some() => {}
        None => account.note(first, &Remark::ForwardedPreflights { written: false }),
    }
    Some(cors)
}

/// The fields of a policy by their types, those of before included.
const ORIGINS: [&str; 3] = ["allowOriginStringMatch", "allowOrigin", "allowOriginRegex"];
const TEXTS: [&str; 4] = ["allowMethods", "allowHeaders", "exposeHeaders", "maxAge"];
const FLAGS: [&str; 4] =
    ["allowCredentials", "allowPrivateNetworkAccess", "forwardNotMatchingPreflights", "enabled"];
const SHARES: [&str; 2] = ["filterEnabled", "shadowEnabled"];

/// The matchers of a policy.
fn origins<'d>(policy: &Field<'d>, account: &mut Account) -> Vec<(Field<'d>, OriginMatcher<'d>)> {
    let mut matchers = Vec::new();
    for field in account.list(policy, "allowOriginStringMatch") {
        matchers.extend(string_matcher(&field, account));
    }
    for (name, matcher) in [
        ("allowOrigin", Matcher::Exact as fn(&'d str) -> Matcher<'d>),
        ("allowOriginRegex", Matcher::Regex),
    ] {
        let list = account.list(policy, name).into_iter();
        matchers.extend(list.filter_map(|field| {
            let matcher = OriginMatcher::new(matcher(field.text()?));
            Some((field, matcher))
        }));
    }
    matchers
}

/// `StringMatcher`
fn string_matcher<'d>(
    field: &Field<'d>,
    account: &mut Account,
) -> Option<(Field<'d>, OriginMatcher<'d>)> {
    let ignore_case = field.get("ignoreCase");
    let found = field.entries().find_map(|(key, value)| {
        let value =
            if matches!(key, "safeRegex" | "safe_regex") { value.get("regex")? } else { value };
        let text = value.text()?;
        let matcher = match key {
            "exact" => Matcher::Exact(text),
            "prefix" => Matcher::Prefix(text),
            "suffix" => Matcher::Suffix(text),
            "contains" => Matcher::Contains(text),
            "safeRegex" | "safe_regex" | "regex" => Matcher::Regex(text),
            _ => return None,
        };
        Some((value, OriginMatcher::new(matcher)))
    });
    let (value, mut matcher) = found?;
    if let Some(engine) = field.at(&["safeRegex", "googleRe2"]) {
        account.leave(&engine);
    }
    if let Some(field) = ignore_case {
        // Envoy's regular expressions have a case of their own.
        matcher.ignore_case =
            field.flag() == Some(true) && !matches!(matcher.matcher, Matcher::Regex(_));
        if matcher.ignore_case && matcher.text().contains(|c: char| c.is_ascii_uppercase()) {
            account.carry(&field);
        } else {
            account.remark(&field, &Remark::Ignored { why: "browsers send origins in lower case" });
        }
    }
    Some((value, matcher))
}

/// In which mode the filter is, by the most specific policy. `None`: in none.
fn mode(policy: &Field<'_>, account: &mut Account) -> Option<Option<&'static str>> {
    let (enabled, shadow) = (enabled(policy), policy.get("shadowEnabled"));
    let shadow_share = shadow.as_ref().map_or(Share::None, share);
    if let Some((field, share)) = &enabled {
        if *share == Share::None && matches!(shadow_share, Share::None | Share::Unreadable) {
            return None;
        }
        settle(field, *share, account);
    }
    let is_enabled = enabled.is_none_or(|(_, share)| share != Share::None);
    match shadow {
        Some(field) if is_enabled => {
            account.remark(&field, &Remark::Ignored { why: "the filter is enabled beside it" });
        }
        Some(field) => settle(&field, shadow_share, account),
        None => {}
    }
    Some((!is_enabled).then_some("shadow"))
}

/// Of how many requests something is true.
#[derive(Clone, Copy, PartialEq)]
enum Share {
    None,
    /// Per cent.
    Some(f64),
    All,
    /// Envoy does not read it either.
    Unreadable,
}

/// For how many requests a policy is enabled, if it says so.
fn enabled<'d>(policy: &Field<'d>) -> Option<(Field<'d>, Share)> {
    let of_fraction = || policy.get("filterEnabled").map(|field| (share(&field), field));
    let of_flag = || {
        let field = policy.get("enabled")?;
        Some((if field.flag()? { Share::All } else { Share::None }, field))
    };
    of_fraction().or_else(of_flag).map(|(share, field)| (field, share))
}

/// `RuntimeFractionalPercent`
fn share(field: &Field<'_>) -> Share {
    let number = |name: &str| match field.at(&["defaultValue", name]).map(|part| &part.node.content)
    {
        None => Some(0.0),
        Some(Content::Number(number)) => Some(*number),
        Some(Content::Text(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let whole = match field.text_at(&["defaultValue", "denominator"]) {
        Some("HUNDRED") => Some(100.0),
        Some("TEN_THOUSAND") => Some(10_000.0),
        Some("MILLION") => Some(1_000_000.0),
        Some(_) => None,
        None => number("denominator").map(|power| 100.0_f64.powf(power + 1.0)),
    };
    match number("numerator").zip(whole).map(|(numerator, whole)| numerator / whole) {
        Some(share) if share >= 1.0 => Share::All,
        Some(share) if share > 0.0 => Share::Some(share * 100.0),
        Some(_) => Share::None,
        None => Share::Unreadable,
    }
}

fn settle(field: &Field<'_>, share: Share, account: &mut Account) {
    if let Some(key) = field.get("runtimeKey") {
        account.remark(&key, &Remark::RuntimeKey);
    }
    let value = field.get("defaultValue").unwrap_or_else(|| field.clone());
    match share {
        Share::Some(percent) => account.remark(&value, &Remark::Share { percent }),
        Share::None | Share::All => account.carry(&value),
        Share::Unreadable => {}
    }
}

/// Ends the reading of a policy: what no route has taken from it is ignored.
fn finish(policy: &Field<'_>, why: &'static str, account: &mut Account) {
    if account.is_settled(policy.node) {
        return;
    }
    let off = enabled(policy).is_some_and(|(_, share)| share == Share::None);
    let why = if off { "the filter is not enabled there" } else { why };
    if !account.any_settled(policy.node) {
        return account.remark(policy, &Remark::Ignored { why });
    }
    for name in ORIGINS.iter().chain(&TEXTS).chain(&FLAGS).chain(&SHARES) {
        if let Some(field) = policy.get(name)
            && is_read(name, &field)
            && !account.any_settled(field.node)
        {
            account.remark(&field, &Remark::Ignored { why });
        }
    }
    account.close(policy);
}

/// Whether a field of a policy has the type that Envoy reads.
fn is_read(name: &str, field: &Field<'_>) -> bool {
    match &field.node.content {
        Content::List(_) => ORIGINS.contains(&name),
        Content::Text(_) => TEXTS.contains(&name),
        Content::Bool(_) => FLAGS.contains(&name),
        Content::Map(_) => SHARES.contains(&name) && share(field) != Share::Unreadable,
        Content::Null | Content::Number(_) => false,
    }
}

/// The path of a route, which has CORS or not.
fn path<'d>(matched: &Field<'d>, has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
    let (mut path, mut conditional) = (None, false);
    let inexact = |what, text: Option<&str>| {
        let text = text.unwrap_or_default().to_owned();
        if has_cors { Remark::InexactPath { what, text } } else { Remark::LostPath { what, text } }
    };
    for (key, field) in matched.entries() {
        let text = field.text();
        match (key, text) {
            ("prefix", Some(text)) => path = Path::read(&field, text, Compared::Text, account),
            ("path", Some(text)) => path = Path::read(&field, text, Compared::Whole, account),
            ("path_separated_prefix" | "pathSeparatedPrefix", Some(text)) => {
                path = Path::read(&field, text, Compared::Segments, account);
            }
            ("safe_regex" | "safeRegex", _) => {
                let regex = field.text_at(&["regex"]);
                account.remark(&field, &inexact("regular expression", regex));
            }
            ("path_match_policy" | "pathMatchPolicy", _) => {
                let template = field.text_at(&["typedConfig", "pathTemplate"]);
                let template = template.or(field.text_at(&["name"]));
                account.remark(&field, &inexact("template", template));
            }
            // No page can send CONNECT.
            ("connect_matcher" | "connectMatcher", _) => account.leave(&field),
            ("case_sensitive" | "caseSensitive", _) => match field.flag() {
                Some(true) => account.carry(&field),
                _ => account.remark(&field, &Remark::PathCase),
            },
            _ => {
                conditional = true;
                account.remark(&field, &Remark::Condition { what: key.to_owned() });
            }
        }
    }
    account.close(matched);
    Some(Path { conditional, ..path? })
}
