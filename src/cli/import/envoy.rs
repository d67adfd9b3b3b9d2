//! Envoy's own route configuration
//! ([`config.route.v3`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route.proto)),
//! wherever it stands: in a bootstrap, in resources of xDS, in a `config_dump`, or a
//! part of it by itself.
//!
//! A level is what can have a policy: the cluster of a weighted route, the route, the
//! virtual host, the route configuration. Envoy's filter takes each field from the
//! most specific level that has it, and asks that level alone whether it is enabled
//! (`source/extensions/filters/http/cors/cors_filter.cc`).

mod level;
mod listener;
mod policy;
mod route;
mod table;
mod virtual_host;

use std::collections::HashMap;

use super::account::{Account, Field};
use super::remark::Remark;
use super::scope::{Path, Stated};
use crate::cli::tree::Content;
use listener::{Listener, Loaded};
use policy::{UNREAD, finish, in_force, is_bare_policy, policy};
use table::Table;

/// Reads what resources hold of it.
pub fn read<'d>(resources: &[Field<'d>], account: &mut Account) -> Vec<Stated<'d>> {
    let all: Vec<Found<'d>> = resources.iter().map(|it| Found::of(it, account)).collect();
    let listeners: Vec<&Listener<'d>> = all.iter().flat_map(|found| &found.listeners).collect();
    // Those that stand by themselves are of one configuration.
    let any_alone =
        all.iter().flat_map(|found| &found.tables).any(|it| it.is_alone() && it.concerns_cors());
    let (mut stated, mut others) = (Vec::new(), Vec::new());
    for found in &all {
        let (concerned, rest): (Vec<_>, Vec<_>) = found
            .tables
            .iter()
            .partition(|table| table.concerns_cors() || table.is_alone() && any_alone);
        others.extend(rest);
        for table in &concerned {
            let loaded = Loaded::before(table, &listeners);
            if let (Loaded::No, Some(configuration)) = (loaded, &table.configuration) {
                account.note(configuration, &Remark::NotLoaded);
            }
            let of_table = table.read(loaded, account);
            table.all().for_each(|field| find_unread(field, account));
            if table.is_alone() || of_table.iter().any(|one| one.cors.is_some()) {
                stated.extend(of_table);
            } else {
                table.withdraw_domains(account);
                others.push(table);
            }
        }
        for policy in &found.policies {
            if concerned.is_empty() {
                stated.extend(alone(policy, account));
            } else {
                account.remark(policy, &Remark::Elsewhere);
            }
        }
    }
    // Where the filter is not loaded, nobody puts another one in its place.
    others.retain(|table| Loaded::before(table, &listeners) != Loaded::No);
    for table in others {
        table.remark_place(&stated, account);
    }
    stated
}

/// The resources of others that hold parts of Envoy's configuration.
const HOLDERS: [&str; 3] = ["ConfigMap", "EnvoyFilter", "EnvoyPatchPolicy"];

/// What stands in a document.
#[derive(Default)]
struct Found<'d> {
    tables: Vec<Table<'d>>,
    listeners: Vec<Listener<'d>>,
    /// Policies that stand in no table.
    policies: Vec<Field<'d>>,
}

impl<'d> Found<'d> {
    fn of(resource: &Field<'d>, account: &mut Account) -> Self {
        let mut found = Self::default();
        if resource.text_at(&["kind"]).is_none_or(|kind| HOLDERS.contains(&kind)) {
            found.look_in(resource, account);
        }
        found.tables = distinct(found.tables);
        found
    }

    fn look_in(&mut self, field: &Field<'d>, account: &mut Account) {
        let is_list = |name: &str| {
            field.get(name).is_some_and(|list| matches!(list.node.content, Content::List(_)))
        };
        if is_list("virtualHosts") {
            let (configuration, virtual_hosts) = (Some(field.clone()), field.list("virtualHosts"));
            let copies = Vec::new();
            return self.tables.push(Table { configuration, virtual_hosts, copies });
        }
        if is_list("domains") && (is_list("routes") || concerns_cors(field)) {
            let (virtual_hosts, copies) = (vec![field.clone()], Vec::new());
            return self.tables.push(Table { configuration: None, virtual_hosts, copies });
        }
        if let Some(policy) = policy(field).or_else(|| is_bare_policy(field).then(|| field.clone()))
        {
            return self.policies.push(policy);
        }
        self.listeners.extend(Listener::of(field));
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

/// Each table once: a config_dump has what is static up to three times.
fn distinct(tables: Vec<Table<'_>>) -> Vec<Table<'_>> {
    let mut distinct: Vec<Table<'_>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for table in tables {
        let index = *known.entry(table.text()).or_insert(distinct.len());
        match distinct.get_mut(index) {
            Some(first) => first.copies.extend(table.configuration),
            None => distinct.push(table),
        }
    }
    distinct
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
