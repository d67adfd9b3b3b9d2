//! The rules of resources, with those that they hand over to
//! ([`Delegate`](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate)).
//!
//! A rule that names a delegate has no route of its own: the rules of the delegate
//! stand in its place, each for what both ask for. One that asks for something else
//! is dropped (`pilot/pkg/model/virtualservice.go`, `mergeHTTPRoute`).

use std::collections::HashSet;

use crate::cli::import::account::{Account, Field};
use crate::cli::import::remark::Remark;
use crate::cli::tree::{Content, Node};

/// A resource.
pub struct VirtualService<'d> {
    resource: Field<'d>,
    pub spec: Field<'d>,
}

/// A rule as it is in force.
pub struct Rule<'d> {
    /// What to name its policy after.
    pub name: String,
    /// Where it stands.
    pub field: Field<'d>,
    /// The rule that hands over to it, if one does.
    root: Option<Field<'d>>,
    /// Its `corsPolicy`, which may be that of the root.
    pub policy: Option<Field<'d>>,
    /// What it is for: one of these, each with all that is asked for, the words of
    /// the delegate first. None: everything.
    pub alternatives: Vec<Vec<Field<'d>>>,
}

impl<'d> VirtualService<'d> {
    /// A resource, if it is one.
    pub fn of(resource: &Field<'d>) -> Option<Self> {
        if resource.text_at(&["kind"]) != Some("VirtualService") {
            return None;
        }
        Some(Self { spec: resource.get("spec")?, resource: resource.clone() })
    }

    pub fn has_no_hosts(&self) -> bool {
        self.spec.list("hosts").is_empty()
    }

    /// Those that no rule of others hands over to.
    pub fn roots(all: &[Self]) -> impl Iterator<Item = &Self> {
        let mut delegates = HashSet::new();
        for root in all.iter().filter(|root| !root.has_no_hosts()) {
            let rules = root.spec.list("http").into_iter();
            let references = rules.filter_map(|rule| rule.get("delegate"));
            delegates.extend(
                references.filter_map(|it| root.delegate(&it, all)).map(std::ptr::from_ref),
            );
        }
        all.iter().filter(move |one| !delegates.contains(&std::ptr::from_ref(*one)))
    }

    fn name(&self) -> Option<&'d str> {
        self.resource.text_at(&["metadata", "name"])
    }

    /// `None`: that in which it is applied.
    pub fn namespace(&self) -> Option<&'d str> {
        let namespace = self.resource.text_at(&["metadata", "namespace"]);
        namespace.filter(|namespace| !namespace.is_empty())
    }

    fn rules(&self) -> Vec<Rule<'d>> {
        let fields = self.spec.list("http");
        let several = fields.len() > 1;
        let of = self.name().unwrap_or("virtual-service");
        let rules = fields.into_iter().enumerate().map(|(index, field)| {
            let own = field.text_at(&["name"]).map(str::to_owned);
            let own = own.or_else(|| several.then(|| (index + 1).to_string()));
            Rule {
                name: own.map_or(of.to_owned(), |own| format!("{of}-{own}")),
                root: None,
                policy: field.get("corsPolicy"),
                alternatives: field.list("match").into_iter().map(|one| vec![one]).collect(),
                field,
            }
        });
        rules.collect()
    }

    /// What a rule of this one hands over to.
    fn delegate<'a>(&self, reference: &Field<'d>, all: &'a [Self]) -> Option<&'a Self> {
        let namespace = reference.text_at(&["namespace"]).filter(|namespace| !namespace.is_empty());
        let namespace = namespace.or(self.namespace());
        let named = || {
            let name = reference.text_at(&["name"]);
            all.iter().filter(move |one| one.has_no_hosts() && one.name() == name)
        };
        // Files often leave the namespace to who applies them.
        let is_unknown = |one: &&Self| namespace.is_none() || one.namespace().is_none();
        named().find(|one| one.namespace() == namespace).or_else(|| named().find(is_unknown))
    }

    /// Whether rules of another one may hand over to this one.
    fn is_exported_to(&self, root: &Self) -> bool {
        let (own, namespace) = (self.namespace(), root.namespace());
        let to = self.spec.list("exportTo");
        to.is_empty()
            || own.is_none()
            || namespace.is_none()
            || to.iter().filter_map(Field::text).any(|to| match to {
                "*" => true,
                "." => own == namespace,
                to => Some(to) == namespace,
            })
    }
}

/// The rules of a resource, those of delegates in the places of the rules that hand
/// over to them.
pub fn rules<'d>(
    service: &VirtualService<'d>,
    all: &[VirtualService<'d>],
    account: &mut Account,
) -> Vec<Rule<'d>> {
    let mut rules = Vec::new();
    for rule in service.rules() {
        let Some(reference) = rule.field.get("delegate").filter(|_| !service.has_no_hosts()) else {
            rules.push(rule);
            continue;
        };
        match service.delegate(&reference, all) {
            None => {
                let parts = ["namespace", "name"].map(|part| reference.text_at(&[part]));
                let name = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
                account.remark(&rule.field, &Remark::MissingDelegate { name });
            }
            Some(delegate) if !delegate.is_exported_to(service) => {
                let why = "its delegate is not exported to this namespace";
                account.remark(&rule.field, &Remark::Ignored { why });
            }
            Some(delegate) => {
                rules.extend(delegate.rules().into_iter().filter_map(|own| own.under(&rule)));
            }
        }
    }
    rules
}

/// The policies that no rule takes.
pub fn ignored<'d>(
    services: &[VirtualService<'d>],
    read: &[(&VirtualService<'d>, Vec<Rule<'d>>)],
    account: &Account,
) -> Vec<Field<'d>> {
    let rules = read.iter().flat_map(|(_, rules)| rules);
    let taken: HashSet<*const Node> = rules
        .filter_map(|rule| rule.policy.as_ref())
        .map(|it| std::ptr::from_ref(it.node))
        .collect();
    let rules = services.iter().flat_map(|service| service.spec.list("http"));
    let rules = rules.filter(|rule| !account.is_settled(rule.node));
    let policies = rules.filter_map(|rule| rule.get("corsPolicy"));
    policies.filter(|it| !taken.contains(&std::ptr::from_ref(it.node))).collect()
}

impl<'d> Rule<'d> {
    /// A part of it; that of the root where it has none.
    pub fn part(&self, name: &str) -> Option<Field<'d>> {
        self.field.get(name).or_else(|| self.root.as_ref()?.get(name))
    }

    /// What it takes from the root.
    pub fn inherited(&self) -> Option<Field<'d>> {
        let is_own = self.field.get("corsPolicy").is_some();
        self.policy.clone().filter(|_| !is_own)
    }

    /// This rule of a delegate as it is under one that hands over to it. `None`: both
    /// never ask for the same.
    fn under(self, root: &Self) -> Option<Self> {
        let alternatives = if root.alternatives.is_empty() {
            self.alternatives
        } else if self.alternatives.is_empty() {
            root.alternatives.clone()
        } else {
            let mut both = Vec::new();
            for own in self.alternatives.iter().flatten() {
                let roots = root.alternatives.iter().flatten();
                let pairs = roots.filter(|root| !is_conflict(root, own));
                let before = both.len();
                both.extend(pairs.map(|root| vec![own.clone(), root.clone()]));
                if both.len() == before {
                    return None;
                }
            }
            both
        };
        let policy = self.policy.or_else(|| root.policy.clone());
        Some(Self { policy, alternatives, root: Some(root.field.clone()), ..self })
    }
}

/// Whether what a delegate asks for is not a part of what its root does
/// (`hasConflict`).
fn is_conflict<'d>(root: &Field<'d>, own: &Field<'d>) -> bool {
    // What a map of the delegate has, with what the root has under the same key.
    let entries = |name: &'static str| {
        let own = own.get(name);
        let entries = own.iter().flat_map(Field::entries);
        entries.map(|(key, own)| (root.at(&[name, key]), own)).collect::<Vec<_>>()
    };
    let any_case = |of: &Field<'d>| of.get("ignoreUriCase").and_then(|it| it.flag()) == Some(true);
    let port = |of: &Field<'d>| match of.get("port")?.node.content {
        Content::Number(port) => Some(port),
        _ => None,
    };
    let namespace = |of: &Field<'d>| of.text_at(&["sourceNamespace"]).filter(|it| !it.is_empty());
    let texts = ["uri", "scheme", "method", "authority"];
    let maps = ["headers", "withoutHeaders", "queryParams"];
    texts.iter().any(|name| is_text_conflict(root.get(name), own.get(name)))
        || maps
            .iter()
            .flat_map(|name| entries(name))
            .any(|(root, own)| is_text_conflict(root, Some(own)))
        || any_case(root) != any_case(own)
        || port(root).zip(port(own)).is_some_and(|(root, own)| root.total_cmp(&own).is_ne())
        || namespace(root).is_some_and(|root| Some(root) != namespace(own))
        || entries("sourceLabels")
            .into_iter()
            .any(|(root, own)| root.is_some_and(|root| root.text() != own.text()))
        || is_gateway_conflict(&root.list("gateways"), &own.list("gateways"))
}

/// Whether a text that one asks for is not a part of what the other one does
/// (`stringMatchConflict`).
fn is_text_conflict<'d>(root: Option<Field<'d>>, own: Option<Field<'d>>) -> bool {
    let (Some(root), Some(own)) = (root, own) else { return false };
    let of = |name: &str| {
        [&root, &own].map(|field| field.text_at(&[name]).filter(|text| !text.is_empty()))
    };
    match (of("regex"), of("exact"), of("prefix")) {
        ([None, None], [Some(root), own], [_, None]) => own != Some(root),
        ([None, None], [None, None], [Some(root), Some(own)])
        | ([None, None], [None, Some(own)], [Some(root), None]) => !own.starts_with(root),
        _ => true,
    }
}

/// Whether one asks for a gateway that the other one does not. Which namespace is
/// meant depends on where the name stands, so that names alone are compared.
fn is_gateway_conflict(root: &[Field<'_>], own: &[Field<'_>]) -> bool {
    fn name<'d>(field: &Field<'d>) -> Option<&'d str> {
        field.text()?.rsplit('/').next()
    }
    !root.is_empty() && own.iter().any(|own| !root.iter().any(|root| name(root) == name(own)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::cli::tree::documents;

    #[test]
    fn a_delegate_asks_for_a_part_of_what_its_root_does() {
        for (root, own, conflict) in [
            ("{}", "{ uri: { regex: /a.* } }", false),
            ("{ uri: { prefix: /a } }", "{ headers: { x: { exact: b } } }", false),
            ("{ uri: { prefix: /a } }", "{ uri: { prefix: /ab } }", false),
            ("{ uri: { prefix: /a } }", "{ uri: { exact: /a } }", false),
            ("{ uri: { prefix: /a/b } }", "{ uri: { prefix: /a } }", true),
            ("{ uri: { prefix: /a/b } }", "{ uri: { exact: /a } }", true),
            ("{ uri: { prefix: /a } }", "{ uri: { regex: /a/.* } }", true),
            ("{ uri: { prefix: /a } }", "{ uri: { prefix: '' } }", true),
            ("{ uri: { prefix: '' } }", "{ uri: { prefix: /a } }", true),
            ("{ uri: { exact: /a } }", "{ uri: { exact: /a } }", false),
            ("{ uri: { exact: /a } }", "{ uri: { exact: /b } }", true),
            ("{ uri: { exact: /a } }", "{ uri: { prefix: /a } }", true),
            ("{ uri: { regex: /a } }", "{ uri: { regex: /a } }", true),
            ("{ method: { exact: GET } }", "{ method: { exact: PUT } }", true),
            ("{ headers: { x: { exact: a } } }", "{ headers: { y: { exact: a } } }", false),
            ("{ headers: { x: { exact: a } } }", "{ headers: { x: { exact: b } } }", true),
            ("{ withoutHeaders: { x: { exact: a } } }", "{ withoutHeaders: { x: {} } }", true),
            ("{ queryParams: { x: { exact: a } } }", "{ queryParams: { x: { prefix: a } } }", true),
            ("{ ignoreUriCase: true }", "{}", true),
            ("{ ignoreUriCase: true }", "{ ignoreUriCase: true }", false),
            ("{ ignoreUriCase: false }", "{}", false),
            ("{ port: 80 }", "{}", false),
            ("{ port: 80 }", "{ port: 80 }", false),
            ("{ port: 80 }", "{ port: 81 }", true),
            ("{ sourceNamespace: a }", "{}", true),
            ("{ sourceNamespace: a }", "{ sourceNamespace: a }", false),
            ("{}", "{ sourceNamespace: a }", false),
            ("{ sourceLabels: { x: a } }", "{ sourceLabels: { y: b } }", false),
            ("{ sourceLabels: { x: a } }", "{ sourceLabels: { x: b } }", true),
            ("{ gateways: [a] }", "{ gateways: [ns/a] }", false),
            ("{ gateways: [a] }", "{ gateways: [a, b] }", true),
            ("{}", "{ gateways: [a] }", false),
        ] {
            let nodes = documents(&format!("[{root}, {own}]")).unwrap();
            let field = |index: usize| Field {
                document: 0,
                path: String::new(),
                node: &nodes[0].elements()[index],
            };
            assert_eq!(is_conflict(&field(0), &field(1)), conflict, "{root}, {own}");
        }
    }
}
