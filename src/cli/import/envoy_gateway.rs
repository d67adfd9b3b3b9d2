//! Envoy Gateway's `SecurityPolicy`
//! ([`gateway.envoyproxy.io/v1alpha1`](https://gateway.envoyproxy.io/docs/api/extension_types/)).
//!
//! It is attached to routes and Gateways, which say for which hosts and paths it
//! is. For each rule of a route the most specific policy counts, as a whole, and
//! before all of them the rule's own CORS filter (`internal/gatewayapi/securitypolicy.go`,
//! `internal/xds/translator/cors.go`).

mod attach;
mod inherited;

use super::account::{Account, Field};
use super::cors::Cors;
use super::gateway_api::{Resources, age, cors, is_gateway, namespace};
use super::remark::Remark;
pub use attach::attach;

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
    /// The indices of the resources about whose CORS it says something.
    pub fn concerned(&self) -> impl Iterator<Item = usize> {
        let targets = self.object.iter().flat_map(|_| &self.targets);
        targets.map(|target| target.index)
    }
}

/// Reads all policies: those that count first stand first.
pub fn policies<'d>(resources: &Resources<'_, 'd>, account: &mut Account) -> Vec<Policy<'d>> {
    let mut found: Vec<&Field<'d>> = resources
        .all
        .iter()
        .filter(|resource| resource.text_at(&["kind"]) == Some("SecurityPolicy"))
        .collect();
    found.sort_by_cached_key(|resource| age(resource));
    found.into_iter().filter_map(|resource| policy(resource, resources, account)).collect()
}

fn policy<'d>(
    resource: &Field<'d>,
    resources: &Resources<'_, 'd>,
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
        if let Some(listener) =
            listener.filter(|_| resources.all.get(target.index).is_some_and(is_gateway))
        {
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

/// What a policy is attached to, and what of it is not among the resources.
fn targets<'d>(
    resource: &Field<'d>,
    spec: &Field<'d>,
    resources: &Resources<'_, 'd>,
) -> (Vec<Target<'d>>, Vec<(Field<'d>, String)>) {
    let (mut targets, mut absent) = (Vec::new(), Vec::new());
    let references = spec.get("targetRef").into_iter().chain(spec.list("targetRefs"));
    for reference in references {
        let kind = reference.text_at(&["kind"]).unwrap_or_default();
        let named = reference.text_at(&["name"]).unwrap_or_default();
        let section = reference.text_at(&["sectionName"]);
        let found = resources
            .find(kind, namespace(resource), named)
            .filter(|index| resources.all.get(*index).is_some_and(|one| has_section(one, section)));
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
        let all = resources.all.iter().enumerate().filter(|(_, other)| selected(other));
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
