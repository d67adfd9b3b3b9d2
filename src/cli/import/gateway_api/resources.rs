//! The resources of all files by what they are called, and the listeners of
//! Gateways.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cli::import::account::{Account, Field};
use crate::cli::import::scope::{host, host_covers};
use crate::cli::tree::{Content, Node};

/// The resources of all files.
pub struct Resources<'r, 'd> {
    pub all: &'r [Field<'d>],
    /// Their indices by kind and name.
    named: HashMap<(&'d str, &'d str), Vec<usize>>,
    /// What each Gateway or set of listeners has for HTTP.
    pub listeners: BTreeMap<usize, Vec<Listener<'d>>>,
    /// The hosts of the listeners of each Gateway and port.
    hosts: HashSet<(usize, Option<i64>, String)>,
}

/// A listener for HTTP.
pub struct Listener<'d> {
    /// The index of the Gateway or set in which it stands.
    pub holder: usize,
    /// The index of the Gateway.
    pub gateway: Option<usize>,
    node: &'d Node,
    /// Its host, if it does not take every host.
    pub host: Option<String>,
    port: Option<i64>,
}

impl<'d> Listener<'d> {
    /// A listener; `None` if it is not for HTTP, or for a host that no request names.
    fn read(holder: usize, gateway: Option<usize>, field: &Field<'d>) -> Option<Self> {
        if !matches!(field.text_at(&["protocol"]), None | Some("HTTP" | "HTTPS")) {
            return None;
        }
        let named = field.text_at(&["hostname"]).filter(|text| !text.is_empty());
        let host = match named {
            Some(text) => Some(host(field, text, &mut Account::default())?),
            None => None,
        };
        let port = field.node.at(&["port"]).and_then(whole);
        Some(Self { holder, gateway, node: field.node, host, port })
    }

    /// What a `sectionName` calls it.
    pub fn name(&self) -> Option<&'d str> {
        self.node.text_at(&["name"])
    }

    /// What tells it from all others.
    pub fn id(&self) -> *const Node {
        std::ptr::from_ref(self.node)
    }
}

impl<'r, 'd> Resources<'r, 'd> {
    pub fn new(all: &'r [Field<'d>]) -> Self {
        let mut named: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, resource) in all.iter().enumerate() {
            if let (Some(kind), Some(name)) = (resource.text_at(&["kind"]), name(resource)) {
                named.entry((kind, name)).or_default().push(index);
            }
        }
        let (listeners, hosts) = (BTreeMap::new(), HashSet::new());
        let mut resources = Self { all, named, listeners, hosts };
        for (index, resource) in all.iter().enumerate().filter(|(_, one)| is_gateway(one)) {
            let gateway = match resource.text_at(&["kind"]) {
                Some("Gateway") => Some(index),
                _ => resources.parents(resource).into_iter().next().and_then(|(above, _)| above),
            };
            let fields = resource.get("spec").map(|spec| spec.list("listeners"));
            let read = |field: &Field<'d>| Listener::read(index, gateway, field);
            let listeners: Vec<_> = fields.iter().flatten().filter_map(read).collect();
            let named =
                listeners.iter().filter_map(|one| Some((gateway?, one.port, one.host.clone()?)));
            resources.hosts.extend(named);
            resources.listeners.insert(index, listeners);
        }
        resources
    }

    /// The index of a resource. A namespace that is not written may be any.
    pub fn find(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<usize> {
        self.named.get(&(kind, name))?.iter().copied().find(|index| {
            let other = self.all.get(*index).and_then(self::namespace);
            namespace.is_none() || other.is_none() || namespace == other
        })
    }

    /// The Gateways and sets of listeners of a route, or of a set of listeners, with
    /// what names them; `None` where it is not among the resources.
    pub fn parents(&self, resource: &Field<'d>) -> Vec<(Option<usize>, Field<'d>)> {
        let Some(spec) = resource.get("spec") else { return Vec::new() };
        let several = spec.list("parentRefs");
        let one = spec.get("parentRef").into_iter();
        let index = |parent: &Field<'d>| {
            let kind = parent.text_at(&["kind"]).unwrap_or("Gateway");
            let namespace = parent.text_at(&["namespace"]).or_else(|| namespace(resource));
            self.find(kind, namespace, parent.text_at(&["name"])?)
                .filter(|index| self.all.get(*index).is_some_and(is_gateway))
        };
        several.into_iter().chain(one).map(|parent| (index(&parent), parent)).collect()
    }

    /// The listeners of a Gateway or set that a reference names.
    pub fn of<'s>(
        &'s self,
        holder: usize,
        reference: &Field<'d>,
    ) -> impl Iterator<Item = &'s Listener<'d>> + use<'s, 'd> {
        let named = reference.text_at(&["sectionName"]);
        let port = reference.node.at(&["port"]).and_then(whole);
        self.listeners.get(&holder).into_iter().flatten().filter(move |listener| {
            (named.is_none() || named == listener.name())
                && (port.is_none() || port == listener.port)
        })
    }

    /// The hosts that a route takes on a listener, if any, and of those that it
    /// names; an empty list is every host. What another listener of the port is
    /// for by name, that one takes (`computeHosts` in `internal/gatewayapi/helpers.go`).
    pub fn hosts(&self, listener: &Listener<'_>, named: &[String]) -> Option<Vec<String>> {
        let is_elsewhere = |host: &String| {
            listener.host.as_ref() != Some(host)
                && listener.gateway.is_some_and(|gateway| {
                    self.hosts.contains(&(gateway, listener.port, host.clone()))
                })
        };
        let Some(limit) = &listener.host else {
            let hosts = named.iter().filter(|host| !is_elsewhere(host)).cloned().collect();
            return Some(hosts).filter(|hosts: &Vec<_>| named.is_empty() || !hosts.is_empty());
        };
        if named.is_empty() {
            return Some(vec![limit.clone()]);
        }
        let common = named.iter().filter_map(|host| narrower(host, limit)).cloned();
        let mut hosts: Vec<String> = common.filter(|host| !is_elsewhere(host)).collect();
        hosts.dedup();
        Some(hosts).filter(|hosts| !hosts.is_empty())
    }
}

/// The hosts that two hosts or wildcards have in common.
fn narrower<'h>(one: &'h String, other: &'h String) -> Option<&'h String> {
    if host_covers(Some(one), Some(other)) {
        Some(other)
    } else {
        host_covers(Some(other), Some(one)).then_some(one)
    }
}

/// Whether a resource is a route to which policies may be attached.
pub fn is_route(resource: &Field<'_>) -> bool {
    matches!(resource.text_at(&["kind"]), Some("HTTPRoute" | "GRPCRoute"))
}

/// Whether a resource has listeners.
pub fn is_gateway(resource: &Field<'_>) -> bool {
    matches!(resource.text_at(&["kind"]), Some("Gateway" | "ListenerSet" | "XListenerSet"))
}

/// The name of a resource.
pub fn name<'d>(resource: &Field<'d>) -> Option<&'d str> {
    resource.text_at(&["metadata", "name"])
}

/// The namespace of a resource, if it is written.
pub fn namespace<'d>(resource: &Field<'d>) -> Option<&'d str> {
    resource.text_at(&["metadata", "namespace"])
}

/// By what the older of two resources counts: when it was made, or else its name.
pub fn age<'d>(resource: &Field<'d>) -> impl Ord + use<'d> {
    let created = resource.text_at(&["metadata", "creationTimestamp"]);
    (created, namespace(resource), name(resource))
}

/// A number without fraction.
pub fn whole(node: &Node) -> Option<i64> {
    match node.content {
        Content::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}
