//! What routes and the policies that are attached to them come to.

use super::{Policy, Target};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::Cors;
use crate::cli::import::gateway_api::{
    Route, cors, hostnames, is_gateway, listeners, name, parents,
};
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Path, Stated, covers, host_covers, hosts};

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
            let targets = policy.targets.iter();
            for target in targets.filter(|target| target.section.is_some() == sections) {
                let Some(mut hosts) = of_listeners(target, resources) else { continue };
                let is_every = hosts.is_empty();
                hosts.retain(|host| !says(stated, Some(host), ""));
                if if is_every { says(stated, None, "") } else { hosts.is_empty() } {
                    continue;
                }
                policy.decides = true;
                stated.push(Stated {
                    name: name(&policy.resource).unwrap_or("security-policy").to_owned(),
                    field: target.reference.clone(),
                    hosts,
                    paths: vec![Path::every(&target.reference)],
                    list: None,
                    cors: policy.cors.clone(),
                    aside: Account::default(),
                    inherited: policy.object.clone().into_iter().collect(),
                });
            }
        }
    }
}

/// The hosts of the listeners that a policy is attached to, if it is: an empty list
/// is every host.
fn of_listeners(target: &Target<'_>, resources: &[Field<'_>]) -> Option<Vec<String>> {
    let gateway = resources.get(target.index).filter(|one| is_gateway(one))?;
    let mut listeners = listeners(gateway, None);
    if target.section.is_some() {
        listeners.retain(|listener| listener.text_at(&["name"]) == target.section);
    } else {
        listeners.extend(of_sets(target.index, resources));
    }
    match hostnames(&listeners) {
        Some(fields) if fields.is_empty() => None,
        Some(fields) => hosts(&fields, |_| false, &mut Account::default()),
        None => Some(Vec::new()),
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
