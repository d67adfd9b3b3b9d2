//! The difference of two configurations, as whoever keeps them writes it.

use std::collections::HashSet;

use envoy_cors::config::{Config, List, OriginsConfig, PolicyConfig, field_path, snake_case};
use serde_json::{Value, json};

/// What changes in one field.
#[derive(Debug, PartialEq)]
pub struct Edit {
    /// Its path, as in `policies[1].allowHeaders`.
    pub field: String,
    pub what: What,
}

#[derive(Debug, PartialEq)]
pub enum What {
    /// It gets this value.
    Set(Value),
    /// Its list loses and gains elements, and is then `now`.
    List { remove: Vec<String>, append: Vec<String>, now: Vec<Value> },
    /// Its list gains a policy with these fields.
    Policy(Vec<(&'static str, Value)>),
}

/// What has to be written into `before` to make `after` of it.
pub fn edits(before: &Config<'_>, after: &Config<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for policy in after.policies.iter().chain(&after.default) {
        let mut known = before.policies.iter().chain(&before.default);
        match known.find(|known| known.at == policy.at) {
            Some(known) => compare(known, policy, &mut edits),
            None => {
                let what = What::Policy(whole(policy));
                edits.push(Edit { field: "policies".to_owned(), what });
            }
        }
    }
    edits
}

fn compare(before: &PolicyConfig<'_>, after: &PolicyConfig<'_>, edits: &mut Vec<Edit>) {
    let mut set = |name: &str, value: Value| {
        let field = path(after, name);
        edits.push(Edit { field, what: What::Set(value) });
    };
    if before.mode != after.mode {
        set("mode", after.mode.name().into());
    }
    if before.allow_credentials != after.allow_credentials {
        set("allowCredentials", after.allow_credentials.into());
    }
    for (before, after) in lists(before).into_iter().zip(lists(after)) {
        let texts = |list: &'_ List<'_>, other: &'_ List<'_>| -> Vec<String> {
            // Lists may have a hundred thousand elements.
            let known: HashSet<&str> = other.items.iter().map(|(_, text)| &**text).collect();
            let texts = list.items.iter().filter(|(_, text)| !known.contains(&**text));
            texts.map(|(_, text)| text.clone().into_owned()).collect()
        };
        let (remove, append) = (texts(before, after), texts(after, before));
        if !(remove.is_empty() && append.is_empty()) {
            let what = What::List { remove, append, now: values(after) };
            edits.push(Edit { field: after.at.clone(), what });
        }
    }
}

/// The path of a field that may not be written yet, in the spelling of those
/// that are.
pub fn path(policy: &PolicyConfig<'_>, field: &str) -> String {
    let origins = match &policy.allow_origins {
        Some(OriginsConfig::Same(list)) => &list.at,
        Some(OriginsConfig::PerEnvironment { at, .. }) => at,
        None => "",
    };
    let field =
        if origins.ends_with("allow_origins") { snake_case(field) } else { field.to_owned() };
    field_path(&policy.at, &field)
}

/// All lists, in one order.
fn lists<'p, 't>(policy: &'p PolicyConfig<'t>) -> Vec<&'p List<'t>> {
    let mut lists: Vec<_> = match &policy.allow_origins {
        None => Vec::new(),
        Some(OriginsConfig::Same(list)) => vec![list],
        Some(OriginsConfig::PerEnvironment { lists, .. }) => {
            lists.iter().map(|(_, list)| list).collect()
        }
    };
    lists.extend([&policy.allow_methods, &policy.allow_headers, &policy.expose_headers]);
    lists
}

fn values(list: &List<'_>) -> Vec<Value> {
    list.items.iter().map(|(_, text)| Value::from(&**text)).collect()
}

/// The fields that a new policy has.
fn whole(policy: &PolicyConfig<'_>) -> Vec<(&'static str, Value)> {
    let mut fields = vec![("name", super::selection::name(policy).into())];
    if let Some(hosts) = policy.scope.as_ref().and_then(|scope| scope.hosts.as_ref()) {
        fields.push(("match", json!({ "hosts": values(hosts) })));
    }
    if let Some(OriginsConfig::Same(list)) = &policy.allow_origins {
        fields.push(("allowOrigins", values(list).into()));
    }
    let listed = [("allowMethods", &policy.allow_methods), ("allowHeaders", &policy.allow_headers)];
    let listed = listed.into_iter().filter(|(_, list)| !list.items.is_empty());
    fields.extend(listed.map(|(name, list)| (name, values(list).into())));
    if policy.allow_credentials {
        fields.push(("allowCredentials", true.into()));
    }
    fields
}
