//! Virtual hosts: what is in force on each of their routes.

use super::concerns_cors;
use super::level::{Level, is_in_force, level, own_headers};
use super::listener::Loaded;
use super::policy::{BESIDE_TYPED, OFF, UNREAD, finish, in_force};
use super::route::{Route, clusters, own_headers_of_route, path};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::Cors;
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Path, Stated, hosts};

pub const NO_POLICY: &str = "no policy for them is carried over";

/// A virtual host of a table.
pub struct VirtualHost<'t, 'd> {
    pub field: &'t Field<'d>,
    pub filter: &'t str,
    pub loaded: Loaded,
    pub own: Option<Level<'d>>,
    /// That of the route configuration.
    pub above: &'t [Level<'d>],
    /// In the field that is not read where any level says something.
    pub old: Option<Field<'d>>,
    /// Where routes have nothing of their own, once it is asked for.
    pub inherited: Option<Option<Cors>>,
}

impl<'t, 'd> VirtualHost<'t, 'd> {
    /// What is stated for its domains, one for each route where they differ.
    pub fn read(mut self, account: &mut Account) -> Vec<Stated<'d>> {
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
            finish(old, self.why_unread(&[], UNREAD), account);
        }
        if stated.iter().any(|one| is_in_force(one.cors.as_ref())) {
            own_headers(self.field, account);
        }
        stated
    }

    /// One policy for all routes.
    fn as_one(&mut self, hosts: Vec<String>, account: &mut Account) -> Stated<'d> {
        let cors = self.inherited(account);
        if is_in_force(cors.as_ref()) {
            let routes = self.field.list("routes");
            routes.iter().for_each(|route| own_headers_of_route(route, account));
        }
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
            if is_in_force(cors.as_ref()) {
                own_headers_of_route(&route.field, account);
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
            domains.inspect(|field| account.withdraw(field, &Remark::Ignored { why: NO_POLICY }));
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
            finish(old, self.why_unread(route.own.as_slice(), why), account);
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

    /// Why Envoy does not read an old field; `why` where that is not because of what
    /// stands around it.
    fn why_unread(&self, own: &[Level<'d>], why: &'static str) -> &'static str {
        let is_typed = self.levels(own).any(|level| matches!(level, Level::Policy(_)));
        match self.loaded {
            _ if is_typed => BESIDE_TYPED,
            Loaded::Disabled => OFF,
            Loaded::No | Loaded::Yes => why,
        }
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
        match self.levels(own).next() {
            Some(Level::Disabled) => return None,
            None if self.loaded == Loaded::Disabled => return None,
            _ => {}
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
