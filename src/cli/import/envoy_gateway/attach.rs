//! What routes and the policies that are attached to them come to.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::inherited::{Inherited, needed};
use super::{Policy, Target};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::Cors;
use crate::cli::import::gateway_api::{Listener, Place, Resources, Route, cors, name};
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Compared, Path, Stated, or_every};
use crate::cli::tree::Node;

/// What routes and policies come to.
pub fn attach<'d>(
    routes: Vec<Route<'_, 'd>>,
    mut policies: Vec<Policy<'d>>,
    resources: &Resources<'_, 'd>,
    account: &mut Account,
) -> Vec<Stated<'d>> {
    let attached = Attached::of(&policies);
    let (mut stated, mut rest): (Vec<Stated<'d>>, Vec<Inherited<'d>>) = (Vec::new(), Vec::new());
    let mut taken = Taken::new();
    for route in routes {
        let every = union(route.places.iter().map(|place| &place.hosts));
        let above = by_policy(&route.places, &attached);
        // The rules of a route that have the same policy go together.
        let mut together: HashMap<(usize, usize), usize> = HashMap::new();
        for rule in route.rules {
            let own = |section| attached.get(route.index, section);
            let of_rule = rule.section.and_then(|section| own(Some(section)));
            let is_open = rule.cors.is_none() && !rule.paths.is_empty();
            let policy = of_rule.or_else(|| own(None)).filter(|_| is_open);
            let state = |hosts: Vec<String>, cors: Option<Cors>| Stated {
                name: rule.name.clone(),
                field: rule.field.clone(),
                hosts,
                paths: rule.paths.clone(),
                list: None,
                cors,
                aside: rule.aside.clone(),
                inherited: Vec::new(),
            };
            if policy.is_none() && rule.cors.is_none() {
                rest.extend(above.iter().enumerate().map(|(part, (policy, hosts))| Inherited {
                    stated: state(hosts.clone(), None),
                    policy: *policy,
                    reference: reference(&policies, part, *policy),
                    lost: rule.lost.clone(),
                }));
                continue;
            }
            if rule.paths.iter().any(is_every) {
                taken.extend(route.places.iter().flat_map(Place::scopes));
            }
            let merges = policy.and_then(|index| policies.get(index)).is_some_and(|one| one.merges);
            let parts = if merges { above.clone() } else { vec![(None, every.clone())] };
            for (part, (parent, hosts)) in parts.into_iter().enumerate() {
                let mut one = state(hosts, rule.cors.clone());
                one.inherited.extend(route.named.clone());
                for index in policy.into_iter().chain(parent) {
                    one.inherited.extend(policies.get(index).and_then(|one| one.object.clone()));
                }
                if let Some(index) = policy {
                    one.cors = of_policy(index, parent, &mut policies, account);
                }
                one.field = reference(&policies, part, parent).unwrap_or(one.field);
                if one.cors.is_some() {
                    account.add(&std::mem::take(&mut one.aside));
                }
                if let Some(index) = policy.filter(|_| one.cors.is_some()) {
                    let known = together.get(&(index, part));
                    if let Some(known) = known.and_then(|place| stated.get_mut(*place)) {
                        known.paths.append(&mut one.paths);
                        continue;
                    }
                    let named = policies.get(index).and_then(|policy| name(&policy.resource));
                    one.name = named.map_or(one.name, str::to_owned);
                    together.insert((index, part), stated.len());
                }
                stated.push(one);
            }
        }
    }
    stated.extend(of_gateways(&mut policies, &attached, &taken, resources));
    for one in &mut rest {
        let policy = one.policy.and_then(|index| policies.get(index));
        one.stated.cors = policy.and_then(|policy| policy.cors.clone());
        one.stated.inherited.extend(policy.and_then(|policy| policy.object.clone()));
    }
    for one in needed(rest, &stated, account) {
        decides(one.policy, &mut policies);
        stated.push(one.stated);
    }
    remark_idle(&policies, resources, account);
    stated
}

/// The policy of each resource or section of it, and by which of its targets: the
/// first counts.
struct Attached<'d>(HashMap<(usize, Option<&'d str>), (usize, usize)>);

impl<'d> Attached<'d> {
    fn of(policies: &[Policy<'d>]) -> Self {
        let mut attached = HashMap::new();
        for (index, policy) in policies.iter().enumerate() {
            for (at, target) in policy.targets.iter().enumerate() {
                attached.entry((target.index, target.section)).or_insert((index, at));
            }
        }
        Self(attached)
    }

    /// The policy of a resource or a section of it.
    fn get(&self, index: usize, section: Option<&'d str>) -> Option<usize> {
        self.0.get(&(index, section)).map(|(policy, _)| *policy)
    }

    /// The policy of a listener, of the set in which it stands, or of the Gateway,
    /// with the target.
    fn above(&self, listener: &Listener<'d>) -> Option<(usize, usize)> {
        let of = |holder, section| self.0.get(&(holder, section)).copied();
        let of_listener = listener.name().and_then(|name| of(listener.holder, Some(name)));
        let of_holder = || of(listener.holder, None);
        of_listener.or_else(of_holder).or_else(|| of(listener.gateway?, None))
    }
}

/// The hosts of listeners at which rules take every request.
type Taken = HashSet<(*const Node, Option<String>)>;

impl Place<'_, '_> {
    fn scopes(&self) -> impl Iterator<Item = (*const Node, Option<String>)> {
        let listener = self.listener.map(Listener::id);
        or_every(&self.hosts).filter_map(move |host| Some((listener?, host.map(str::to_owned))))
    }
}

fn is_every(path: &Path<'_>) -> bool {
    path.prefix().is_empty() && !path.conditional && path.compared != Compared::Whole
}

/// The hosts of a route by the policies of the listeners that take them.
fn by_policy<'d>(
    places: &[Place<'_, 'd>],
    attached: &Attached<'d>,
) -> Vec<(Option<usize>, Vec<String>)> {
    let mut found: Vec<(Option<usize>, Vec<&Vec<String>>)> = Vec::new();
    for place in places {
        let policy = place.listener.and_then(|listener| attached.above(listener));
        let policy = policy.map(|(policy, _)| policy);
        match found.iter_mut().find(|(known, _)| *known == policy) {
            Some((_, hosts)) => hosts.push(&place.hosts),
            None => found.push((policy, vec![&place.hosts])),
        }
    }
    found.into_iter().map(|(policy, hosts)| (policy, union(hosts.into_iter()))).collect()
}

/// All hosts of several lists, of which an empty one is every host.
fn union<'h>(lists: impl Iterator<Item = &'h Vec<String>>) -> Vec<String> {
    let mut all = Vec::new();
    for hosts in lists {
        if hosts.is_empty() {
            return Vec::new();
        }
        all.extend(hosts.iter().filter(|host| !all.contains(*host)).cloned().collect::<Vec<_>>());
    }
    all
}

/// Where a policy is attached, to tell a part of a rule from those before it.
fn reference<'d>(policies: &[Policy<'d>], part: usize, policy: Option<usize>) -> Option<Field<'d>> {
    let policy = policies.get(policy.filter(|_| part > 0)?)?;
    policy.targets.first().map(|target| target.reference.clone())
}

/// What a policy says about a route whose Gateway has another one.
fn of_policy(
    index: usize,
    parent: Option<usize>,
    policies: &mut [Policy<'_>],
    account: &mut Account,
) -> Option<Cors> {
    let above = parent.and_then(|parent| policies.get(parent)?.object.clone());
    decides(Some(index), policies);
    decides(parent, policies);
    let policy = policies.get(index)?;
    if !policy.merges {
        return policy.cors.clone();
    }
    let objects: Vec<_> = policy.object.clone().into_iter().chain(above).collect();
    (!objects.is_empty()).then(|| cors(&objects, account))
}

fn decides(index: Option<usize>, policies: &mut [Policy<'_>]) {
    if let Some(policy) = index.and_then(|index| policies.get_mut(index)) {
        policy.decides = true;
    }
}

/// What is attached to listeners and Gateways, for the hosts of which no rule takes
/// every request: what has CORS first, and of that what is for listeners.
fn of_gateways<'d>(
    policies: &mut [Policy<'d>],
    attached: &Attached<'d>,
    taken: &Taken,
    resources: &Resources<'_, 'd>,
) -> Vec<Stated<'d>> {
    let mut found: BTreeMap<_, Vec<Vec<String>>> = BTreeMap::new();
    for listener in resources.listeners.values().flatten() {
        let Some((index, at)) = attached.above(listener) else { continue };
        let Some(policy) = policies.get(index) else { continue };
        let section = policy.targets.get(at).and_then(|target| target.section);
        if !taken.contains(&(listener.id(), listener.host.clone())) {
            let key = (policy.cors.is_none(), section.is_none(), index, at);
            found.entry(key).or_default().push(listener.host.clone().into_iter().collect());
        }
    }
    let mut stated = Vec::new();
    for ((.., index, at), hosts) in found {
        decides(Some(index), policies);
        let Some(policy) = policies.get(index) else { continue };
        let Some(Target { reference, .. }) = policy.targets.get(at) else { continue };
        stated.push(Stated {
            name: name(&policy.resource).unwrap_or("security-policy").to_owned(),
            field: reference.clone(),
            hosts: union(hosts.iter()),
            paths: vec![Path::every(reference)],
            list: None,
            cors: policy.cors.clone(),
            aside: Account::default(),
            inherited: policy.object.clone().into_iter().collect(),
        });
    }
    stated
}

/// Remarks on policies that decide nothing.
fn remark_idle(policies: &[Policy<'_>], resources: &Resources<'_, '_>, account: &mut Account) {
    for policy in policies.iter().filter(|policy| !policy.decides) {
        let Some(object) = &policy.object else { continue };
        let is_without =
            |target: &Target<'_>| resources.listeners.get(&target.index).is_some_and(Vec::is_empty);
        let why = if policy.targets.iter().all(is_without) {
            "what it is attached to has no listener for HTTP"
        } else {
            "what it is attached to has something more specific or older, or is not carried over"
        };
        account.withdraw(object, &Remark::Ignored { why });
    }
}
