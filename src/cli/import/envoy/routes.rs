//! Route tables, and what each of their levels says.

use super::concerns_cors;
use super::policy::{BESIDE_TYPED, UNREAD, finish, in_force, is_wrapper, policy};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::Cors;
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Compared, Path, Stated, hosts, of_expression};

/// Virtual hosts that stand together, in a route configuration or by themselves.
pub struct Table<'d> {
    pub configuration: Option<Field<'d>>,
    pub virtual_hosts: Vec<Field<'d>>,
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
    pub fn all(&self) -> impl Iterator<Item = &Field<'d>> {
        self.configuration.iter().chain(&self.virtual_hosts)
    }

    pub fn read(&self, account: &mut Account) -> Vec<Stated<'d>> {
        let filter = self.filter();
        let levels: Vec<Level<'d>> =
            self.configuration.iter().filter_map(|of| level(of, filter, account)).collect();
        if let Some(header) = self.configuration.as_ref().and_then(|of| of.get("vhostHeader")) {
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
        let all = (!domains.is_empty()).then(|| hosts(&domains, |domain| domain == "*", account));
        self.field.get("domains").inspect(|field| account.close(field));
        let Some(hosts) = all.flatten() else {
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
        let is_one = routes.iter().all(|route| route.is_asked() && !route.has_own());
        let stated = if is_one {
            vec![self.as_one(hosts, account)]
        } else {
            self.by_route(&routes, &hosts, account)
        };
        if let Some(Level::Policy(policy)) = &self.own {
            finish(policy, UNREAD, account);
        }
        if let Some(old) = &self.old {
            finish(old, if self.is_typed(&[]) { BESIDE_TYPED } else { UNREAD }, account);
        }
        stated
    }

    /// One policy for all routes.
    fn as_one(&mut self, hosts: Vec<String>, account: &mut Account) -> Stated<'d> {
        let cors = self.inherited(account);
        let domains = self.field.get("domains").filter(|_| cors.is_none());
        let field = domains.unwrap_or_else(|| self.field.clone());
        Stated {
            name: self.name().to_owned(),
            paths: vec![Path::every(&field)],
            field,
            hosts,
            list: self.list(),
            cors,
            aside: Account::default(),
            inherited: self.policies().cloned().collect(),
        }
    }

    fn by_route(
        &mut self,
        routes: &[Route<'d>],
        hosts: &[String],
        account: &mut Account,
    ) -> Vec<Stated<'d>> {
        let domains = self.field.get("domains");
        let mut stated = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let has_cors =
                route.is_asked() && (route.has_own() || self.policies().next().is_some());
            let (matched, mut aside) = (route.field.get("match"), Account::default());
            let path = matched.as_ref().and_then(|matched| path(matched, has_cors, &mut aside));
            let cors = path.is_some().then(|| self.of_route(route, account)).flatten();
            if cors.is_some() || path.is_none() {
                account.add(&std::mem::take(&mut aside));
            }
            self.finish(route, path.is_some(), account);
            let (Some(matched), Some(path)) = (matched, path) else { continue };
            let own = route.field.text_at(&["name"]).filter(|name| !name.is_empty());
            let own = own.map_or_else(|| (index + 1).to_string(), str::to_owned);
            stated.push(Stated {
                name: format!("{}-{own}", self.name()),
                field: if cors.is_some() { route.field.clone() } else { matched },
                hosts: hosts.to_vec(),
                paths: vec![path],
                list: self.list(),
                cors,
                aside,
                inherited: self.policies().chain(&domains).cloned().collect(),
            });
        }
        if concerns_cors(self.field) && stated.iter().all(|stated| stated.cors.is_none()) {
            let why = "no policy for them is carried over";
            domains.inspect(|field| account.withdraw(field, &Remark::Ignored { why }));
        }
        stated
    }

    fn name(&self) -> &'d str {
        self.field.text_at(&["name"]).unwrap_or("virtual-host")
    }

    /// A number that no other list of routes has.
    fn list(&self) -> Option<usize> {
        Some(std::ptr::from_ref(self.field.node).addr())
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
/// The path of a route, which has CORS or not.
fn path<'d>(matched: &Field<'d>, has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
    let (mut path, mut any_case, mut conditional) = (None, false, false);
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
                match regex.and_then(of_expression) {
                    Some((compared, text)) => path = Path::read(&field, &text, compared, account),
                    None => account.remark(&field, &inexact("regular expression", regex)),
                }
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
                _ => {
                    any_case = true;
                    account.remark(&field, &Remark::PathCase);
                }
            },
            _ => {
                conditional = true;
                account.remark(&field, &Remark::Condition { what: key.to_owned() });
            }
        }
    }
    account.close(matched);
    Some(Path { any_case, conditional, ..path? })
}
