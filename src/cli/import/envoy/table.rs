//! Route tables: route configurations, and virtual hosts by themselves.

use super::concerns_cors;
use super::level::{Level, is_in_force, level, own_headers};
use super::listener::Loaded;
use super::policy::{UNREAD, finish, policy};
use super::route::clusters;
use super::virtual_host::{NO_POLICY, VirtualHost};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Stated, host_covers, hosts, or_every};

/// Virtual hosts that stand together, in a route configuration or by themselves.
pub struct Table<'d> {
    pub configuration: Option<Field<'d>>,
    pub virtual_hosts: Vec<Field<'d>>,
    /// The configuration where it stands again.
    pub copies: Vec<Field<'d>>,
}

impl<'d> Table<'d> {
    pub fn all(&self) -> impl Iterator<Item = &Field<'d>> {
        self.configuration.iter().chain(&self.virtual_hosts)
    }

    /// Whether it is a virtual host by itself.
    pub fn is_alone(&self) -> bool {
        self.configuration.is_none()
    }

    pub fn concerns_cors(&self) -> bool {
        self.all().any(concerns_cors)
    }

    /// What it says, whatever stands around it.
    pub fn text(&self) -> String {
        let field = self.all().next();
        let mut value = field.and_then(|it| serde_json::to_value(it.node).ok()).unwrap_or_default();
        // A config_dump gives the type of what stands there by itself.
        value.as_object_mut().and_then(|fields| fields.remove("@type"));
        value.to_string()
    }

    /// Says that no policy is for its domains.
    pub fn withdraw_domains(&self, account: &mut Account) {
        let with_cors = self.virtual_hosts.iter().filter(|host| concerns_cors(host));
        for domains in with_cors.filter_map(|host| host.get("domains")) {
            account.withdraw(&domains, &Remark::Ignored { why: NO_POLICY });
        }
    }

    /// Says of a table without CORS that what is stated is not for it, where hosts
    /// are the same.
    pub fn remark_place(&self, stated: &[Stated<'_>], account: &mut Account) {
        let in_force = stated.iter().filter(|one| is_in_force(one.cors.as_ref()));
        let policies: Vec<Option<&str>> = in_force.flat_map(|one| or_every(&one.hosts)).collect();
        let is_inside = |field: &Field<'d>| {
            let domains = field.list("domains");
            let all = hosts(&domains, |domain| domain == "*", &mut Account::default());
            let mut own = all.as_deref().into_iter().flat_map(or_every);
            own.any(|own| policies.iter().any(|policy| host_covers(*policy, own)))
        };
        if let Some(field) = self.all().next()
            && self.virtual_hosts.iter().any(is_inside)
        {
            let what = "no CORS policy was in force for these virtual hosts";
            account.note(field, &Remark::Placement { what });
        }
    }

    pub fn read(&self, loaded: Loaded, account: &mut Account) -> Vec<Stated<'d>> {
        let filter = self.filter();
        let levels: Vec<Level<'d>> =
            self.configuration.iter().filter_map(|of| level(of, filter, account)).collect();
        if let Some(header) = self.configuration.as_ref().and_then(|of| of.get("vhostHeader")) {
            account.remark(&header, &Remark::Condition { what: "this header".to_owned() });
        }
        let mut stated = Vec::new();
        for field in &self.virtual_hosts {
            let own = level(field, filter, account);
            let (old, inherited) = (field.get("cors"), None);
            let host = VirtualHost { field, filter, loaded, own, above: &levels, old, inherited };
            stated.extend(host.read(account));
        }
        if stated.iter().any(|one| is_in_force(one.cors.as_ref())) {
            self.configuration.iter().for_each(|of| own_headers(of, account));
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
