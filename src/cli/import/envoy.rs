//! Envoy's own route configuration
//! ([`config.route.v3`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route.proto)),
//! wherever it stands: in a bootstrap, in resources of xDS, in a `config_dump`, or a
//! part of it by itself.
//!
//! A level is what can have a policy: the cluster of a weighted route, the route, the
//! virtual host, the route configuration. Envoy's filter takes each field from the
//! most specific level that has it, and asks that level alone whether it is enabled
//! (`source/extensions/filters/http/cors/cors_filter.cc`).

mod policy;
mod routes;

use super::account::{Account, Field};
use super::remark::Remark;
use super::scope::{Path, Stated};
use crate::cli::tree::Content;
use policy::{UNREAD, finish, in_force, is_bare_policy, policy};
use routes::Table;

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
        table.all().for_each(|field| find_unread(field, account));
    }
    for policy in &found.policies {
        if found.tables.is_empty() {
            stated.extend(alone(policy, account));
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

/// Finds the policies that stand where no route is read, as in a `matcher`.
fn find_unread(field: &Field<'_>, account: &mut Account) {
    if account.is_settled(field.node) {
        return;
    }
    if (policy(field).is_some() || is_bare_policy(field)) && !account.any_settled(field.node) {
        return account.remark(field, &Remark::Elsewhere);
    }
    field.entries().for_each(|(_, inner)| find_unread(&inner, account));
    field.elements().for_each(|inner| find_unread(&inner, account));
}

/// A policy that stands by itself, if it is in force.
fn alone<'d>(policy: &Field<'d>, account: &mut Account) -> Option<Stated<'d>> {
    let cors = in_force(std::slice::from_ref(policy), account);
    finish(policy, UNREAD, account);
    let cors = Some(cors?);
    account.note(policy, &Remark::Alone);
    Some(Stated {
        name: "cors".to_owned(),
        field: policy.clone(),
        hosts: Vec::new(),
        paths: vec![Path::every(policy)],
        list: None,
        cors,
        aside: Account::default(),
        inherited: Vec::new(),
    })
}
