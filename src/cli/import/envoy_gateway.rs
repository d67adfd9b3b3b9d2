//! Envoy Gateway's `SecurityPolicy`
//! ([`gateway.envoyproxy.io/v1alpha1`](https://gateway.envoyproxy.io/docs/api/extension_types/)).
//!
//! It is attached to routes and Gateways, which say for which hosts and paths it
//! is. For each rule of a route the most specific policy counts, as a whole, and
//! before all of them the rule's own CORS filter (`internal/gatewayapi/securitypolicy.go`,
//! `internal/xds/translator/cors.go`).

use super::account::{Account, Field};
use super::cors::Cors;
use super::gateway_api::{
    Route, age, cors, find, hostnames, is_gateway, listeners, name, namespace, parents,
};
use super::remark::Remark;
use super::scope::{Path, Stated, covers, host_covers, hosts};

/// A policy.
pub struct Policy<'d> {
    resource: Field<'d>,
    /// `spec.cors`, if it is there.
    object: Option<Field<'d>>,
    /// What that says.
    cors: Option<Cors>,
    /// Whether the policy of the Gateway counts where this one says nothing.
    merges: bool,
    targets: Vec<Target<'d>>,
    /// Whether it decides about anything.
    decides: bool,
}

/// What a policy is attached to.
struct Target<'d> {
    /// What says so.
    reference: Field<'d>,
    /// The index of a resource.
    index: usize,
    /// The name of a rule or listener, if not all are meant.
    section: Option<&'d str>,
}

impl Policy<'_> {
    /// Whether it says something about CORS and a resource.
    pub fn is_for(&self, index: usize) -> bool {
        self.object.is_some() && self.targets.iter().any(|target| target.index == index)
    }
}

/// Reads all policies: those that count first stand first.
pub fn policies<'d>(resources: &[Field<'d>], account: &mut Account) -> Vec<Policy<'d>> {
    let mut found: Vec<&Field<'d>> = resources
        .iter()
        .filter(|resource| resource.text_at(&["kind"]) == Some("SecurityPolicy"))
        .collect();
    found.sort_by_key(|resource| age(resource));
    found.into_iter().filter_map(|resource| policy(resource, resources, account)).collect()
}

fn policy<'d>(
    resource: &Field<'d>,
    resources: &[Field<'d>],
    account: &mut Account,
) -> Option<Policy<'d>> {
    let spec = resource.get("spec")?;
    let object = spec.get("cors");
    // What a policy without CORS is attached to has no finding.
    let mut aside = Account::default();
    let notes = if object.is_some() { &mut *account } else { &mut aside };
    let (targets, absent) = targets(resource, &spec, resources);
    if targets.is_empty() {
        if let Some(object) = &object {
            let targets = absent.into_iter().map(|(_, target)| target).collect();
            notes.remark(object, &Remark::MissingTarget { targets });
        }
        return None;
    }
    for (field, target) in absent {
        notes.remark(&field, &Remark::MissingTarget { targets: vec![target] });
    }
    for target in &targets {
        for (key, field) in target.reference.entries() {
            match key {
                "group" => notes.leave(&field),
                _ => notes.carry(&field),
            }
        }
        let listener = target.reference.get("sectionName");
        if let Some(listener) = listener.filter(|_| is_gateway_at(target.index, resources)) {
            notes.note(&listener, &Remark::Placement { what: "the source names a listener" });
        }
    }
    let merges = spec.get("mergeType").is_some();
    let cors = object
        .as_ref()
        .filter(|_| !merges)
        .map(|object| cors(std::slice::from_ref(object), account));
    Some(Policy { resource: resource.clone(), object, cors, merges, targets, decides: false })
}

fn is_gateway_at(index: usize, resources: &[Field<'_>]) -> bool {
    resources.get(index).is_some_and(is_gateway)
}

/// What a policy is attached to, and what of it is not among the resources.
fn targets<'d>(
    resource: &Field<'d>,
    spec: &Field<'d>,
    resources: &[Field<'d>],
) -> (Vec<Target<'d>>, Vec<(Field<'d>, String)>) {
    let (mut targets, mut absent) = (Vec::new(), Vec::new());
    let references = spec.get("targetRef").into_iter().chain(spec.list("targetRefs"));
    for reference in references {
        let kind = reference.text_at(&["kind"]).unwrap_or_default();
        let named = reference.text_at(&["name"]).unwrap_or_default();
        let section = reference.text_at(&["sectionName"]);
        let found = find(resources, kind, namespace(resource), named)
            .filter(|index| resources.get(*index).is_some_and(|one| has_section(one, section)));
        match found {
            Some(index) => targets.push(Target { reference, index, section }),
            None => {
                let within = section.map(|section| format!("{section:?} of ")).unwrap_or_default();
                let place = namespace(resource).map(|one| format!("{one}/")).unwrap_or_default();
                absent.push((reference, format!("{within}{kind} {place}{named}")));
            }
        }
    }
    for selector in spec.list("targetSelectors") {
        let kind = selector.text_at(&["kind"]).unwrap_or_default();
        let selected = |other: &Field<'_>| {
            let near = [namespace(resource), namespace(other)];
            other.text_at(&["kind"]) == Some(kind)
                && (near.contains(&None) || near[0] == near[1])
                && has_labels(other, &selector)
        };
        let before = targets.len();
        let all = resources.iter().enumerate().filter(|(_, other)| selected(other));
        targets.extend(all.map(|(index, _)| Target {
            reference: selector.clone(),
            index,
            section: None,
        }));
        let elsewhere =
            selector.text_at(&["namespaces", "from"]).is_some_and(|from| from != "Same");
        if elsewhere {
            absent.push((selector, format!("each {kind} of other namespaces that it selects")));
        } else if targets.len() == before {
            absent.push((selector, format!("each {kind} that it selects")));
        }
    }
    (targets, absent)
}

/// Whether a resource has a rule or listener of a name, if one is asked for.
fn has_section(resource: &Field<'_>, section: Option<&str>) -> bool {
    let Some(spec) = resource.get("spec").filter(|_| section.is_some()) else {
        return section.is_none();
    };
    let named = |field: &Field<'_>| field.text_at(&["name"]) == section;
    spec.list("rules").iter().any(named) || spec.list("listeners").iter().any(named)
}

/// Whether a resource has the labels that a selector asks for.
fn has_labels(resource: &Field<'_>, selector: &Field<'_>) -> bool {
    let label = |key: &str| resource.node.at(&["metadata", "labels"])?.text_at(&[key]);
    let exact = selector.get("matchLabels").is_none_or(|labels| {
        labels.entries().all(|(key, value)| value.text().is_some() && label(key) == value.text())
    });
    exact
        && selector.list("matchExpressions").iter().all(|expression| {
            let value = expression.text_at(&["key"]).and_then(label);
            let values = expression.list("values");
            let listed = value.is_some() && values.iter().any(|one| one.text() == value);
            match expression.text_at(&["operator"]) {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => value.is_some(),
                Some("DoesNotExist") => value.is_none(),
                _ => false,
            }
        })
}

/// What routes and policies come to.
pub fn attach<'d>(
    routes: Vec<Route<'d>>,
    mut policies: Vec<Policy<'d>>,
    resources: &[Field<'d>],
    account: &mut Account,
) -> Vec<Stated<'d>> {
    let mut stated: Vec<Stated<'d>> = Vec::new();
    let mut rest = Vec::new();
    for route in routes {
        let parent = of_parents(route.index, &policies, resources);
        // The rules of a route that have the same policy go together.
        let mut together: Vec<(usize, usize)> = Vec::new();
        for rule in route.rules {
            let own = |section| position(&policies, route.index, section);
            let of_rule = rule.section.and_then(|section| own(Some(section)));
            let is_open = rule.cors.is_none() && !rule.paths.is_empty();
            let policy = of_rule.or_else(|| own(None)).filter(|_| is_open);
            let mut one = Stated {
                name: rule.name,
                field: rule.field,
                hosts: route.hosts.clone(),
                paths: rule.paths,
                list: None,
                cors: rule.cors,
                aside: rule.aside,
                inherited: route.named.clone().into_iter().collect(),
            };
            if let Some(index) = policy {
                one.cors = of_policy(index, parent, &mut policies, account);
                one.inherited.extend(policies.get(index).and_then(|one| one.object.clone()));
            } else if one.cors.is_none() {
                rest.push((one, parent));
                continue;
            }
            if one.cors.is_some() {
                account.add(&std::mem::take(&mut one.aside));
            }
            let known = together.iter().find(|(known, _)| Some(*known) == policy);
            if let Some(known) = known.and_then(|(_, place)| stated.get_mut(*place)) {
                known.paths.append(&mut one.paths);
                continue;
            }
            if let Some(index) = policy.filter(|_| one.cors.is_some()) {
                let named = policies.get(index).and_then(|policy| name(&policy.resource));
                one.name = named.map_or(one.name, str::to_owned);
                together.push((index, stated.len()));
            }
            stated.push(one);
        }
    }
    of_gateways(&mut policies, resources, &mut stated);
    for (mut one, parent) in rest {
        let policy = parent.and_then(|index| policies.get(index));
        one.cors = policy.and_then(|policy| policy.cors.clone());
        // What is around such a path is in force there, too.
        if one.paths.len() < one.field.list("matches").len()
            && stated.iter().any(|other| other.cors.is_some() && meets(other, &one.hosts))
        {
            account.add(&std::mem::take(&mut one.aside));
        }
        let more = inherited(one, &stated, account);
        stated.extend(more);
    }
    for policy in policies.iter().filter(|policy| !policy.decides) {
        if let Some(object) = &policy.object {
            let why = "what it is attached to has something more specific or older, or is not carried over";
            account.withdraw(object, &Remark::Ignored { why });
        }
    }
    stated
}

/// The policy that is attached to a resource or a section of it: the first counts.
fn position(policies: &[Policy<'_>], index: usize, section: Option<&str>) -> Option<usize> {
    policies.iter().position(|policy| {
        policy.targets.iter().any(|target| target.index == index && target.section == section)
    })
}

/// The policy of the Gateways of a route: that of its listener, of the set in which
/// the listener stands, or of the Gateway.
fn of_parents(index: usize, policies: &[Policy<'_>], resources: &[Field<'_>]) -> Option<usize> {
    let (above, reference): (Vec<_>, Vec<_>) =
        parents(resources.get(index)?, resources).into_iter().unzip();
    above.into_iter().zip(reference).find_map(|(above, reference)| {
        let gateway = resources.get(above?)?;
        let of_listener = listeners(gateway, Some(&reference))
            .into_iter()
            .find_map(|listener| position(policies, above?, Some(listener.text_at(&["name"])?)));
        of_listener.or_else(|| position(policies, above?, None)).or_else(|| {
            let (gateway, _) = parents(gateway, resources).into_iter().next()?;
            position(policies, gateway?, None)
        })
    })
}

/// What a policy says about a route.
fn of_policy(
    index: usize,
    parent: Option<usize>,
    policies: &mut [Policy<'_>],
    account: &mut Account,
) -> Option<Cors> {
    let above = parent.and_then(|parent| policies.get(parent)?.object.clone());
    let policy = policies.get_mut(index)?;
    policy.decides = true;
    if !policy.merges {
        return policy.cors.clone();
    }
    let objects: Vec<_> = policy.object.clone().into_iter().chain(above).collect();
    (!objects.is_empty()).then(|| cors(&objects, account))
}

/// Adds what is attached to listeners, and then to Gateways, for the hosts about
/// which nothing was said before.
fn of_gateways<'d>(
    policies: &mut [Policy<'d>],
    resources: &[Field<'d>],
    stated: &mut Vec<Stated<'d>>,
) {
    for sections in [true, false] {
        for policy in policies.iter_mut() {
            for target in &policy.targets {
                let Some(gateway) = resources.get(target.index).filter(|one| is_gateway(one))
                else {
                    continue;
                };
                if target.section.is_some() != sections {
                    continue;
                }
                let mut listeners = listeners(gateway, None);
                if target.section.is_none() {
                    listeners.extend(of_sets(target.index, resources));
                }
                listeners.retain(|listener| {
                    target.section.is_none() || listener.text_at(&["name"]) == target.section
                });
                let of_listeners = match hostnames(&listeners) {
                    Some(fields) => hosts(&fields, |_| false, &mut Account::default()),
                    None => Some(Vec::new()),
                };
                let mut one = Stated {
                    name: name(&policy.resource).unwrap_or("security-policy").to_owned(),
                    field: target.reference.clone(),
                    hosts: Vec::new(),
                    paths: vec![Path::every(&target.reference)],
                    list: None,
                    cors: policy.cors.clone(),
                    aside: Account::default(),
                    inherited: policy.object.clone().into_iter().collect(),
                };
                let is_new = |host: Option<&str>| !says(stated, host, "");
                match of_listeners {
                    Some(every) if every.is_empty() && is_new(None) => {}
                    Some(some) if !some.is_empty() => {
                        one.hosts = some.into_iter().filter(|host| is_new(Some(host))).collect();
                        if one.hosts.is_empty() {
                            continue;
                        }
                    }
                    _ => continue,
                }
                policy.decides = true;
                stated.push(one);
            }
        }
    }
}

/// The listeners that sets add to a Gateway.
fn of_sets<'d>(gateway: usize, resources: &[Field<'d>]) -> Vec<Field<'d>> {
    let is_added = |set: &&Field<'d>| {
        is_gateway(set)
            && parents(set, resources).first().is_some_and(|(above, _)| *above == Some(gateway))
    };
    resources.iter().filter(is_added).flat_map(|set| listeners(set, None)).collect()
}

/// What a rule takes from its Gateway, as far as it stands inside of something that
/// says otherwise.
fn inherited<'d>(
    rule: Stated<'d>,
    stated: &[Stated<'d>],
    account: &mut Account,
) -> Vec<Stated<'d>> {
    let every = [None];
    let named: Vec<Option<&str>> = rule.hosts.iter().map(|host| Some(&**host)).collect();
    let mut found = Vec::new();
    for host in if named.is_empty() { &every[..] } else { &named } {
        let stands_inside = |path: &&Path<'_>| {
            !says(stated, *host, path.prefix())
                && stated.iter().any(|other| {
                    let differs = other.cors.is_some() && other.cors != rule.cors;
                    differs && takes(other, *host, path.prefix())
                })
        };
        let paths: Vec<_> = rule.paths.iter().filter(stands_inside).cloned().collect();
        if !paths.is_empty() {
            found.push(Stated {
                name: rule.name.clone(),
                field: rule.field.clone(),
                hosts: host.map(str::to_owned).into_iter().collect(),
                paths,
                list: None,
                cors: rule.cors.clone(),
                aside: Account::default(),
                inherited: Vec::new(),
            });
        }
    }
    match found.first_mut() {
        Some(_) if rule.cors.is_some() => account.add(&rule.aside),
        Some(first) => first.aside = rule.aside,
        None => {}
    }
    found
}

/// Whether something is said for exactly these requests.
fn says(stated: &[Stated<'_>], host: Option<&str>, prefix: &str) -> bool {
    stated.iter().any(|one| {
        let same = match host {
            None => one.hosts.is_empty(),
            Some(host) => one.hosts.iter().any(|known| known == host),
        };
        same && one.paths.iter().any(|path| path.prefix() == prefix)
    })
}

/// Whether something is said for more than these requests.
fn takes(stated: &Stated<'_>, host: Option<&str>, prefix: &str) -> bool {
    takes_host(stated, host) && stated.paths.iter().any(|path| covers(path.prefix(), prefix))
}

fn takes_host(stated: &Stated<'_>, host: Option<&str>) -> bool {
    stated.hosts.is_empty() || stated.hosts.iter().any(|known| host_covers(Some(known), host))
}

/// Whether something is said for one of these hosts.
fn meets(stated: &Stated<'_>, hosts: &[String]) -> bool {
    if hosts.is_empty() {
        return takes_host(stated, None);
    }
    hosts.iter().any(|host| takes_host(stated, Some(host)))
}
