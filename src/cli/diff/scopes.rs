//! The hosts and paths that policies tell requests apart by.

use std::collections::BTreeSet;

use envoy_cors::config::{List, PolicyConfig};
use envoy_cors::origin;

/// Which requests the policies of a configuration are for.
#[derive(Default)]
pub struct Scopes(Vec<Scope>);

struct Scope {
    hosts: Vec<Host>,
    /// Without a slash at the end; empty for every path.
    prefixes: Vec<String>,
}

/// The hosts of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    Exact(String),
    /// `*.` and this domain.
    Below(String),
    Anywhere,
}

/// Requests that neither configuration tells apart.
pub struct Region {
    /// The most specific host in either configuration that they fall under.
    pub host: Host,
    pub paths: Paths,
    /// The host and the path of one of them.
    pub example: (String, String),
    /// Whether the path can be read in several ways, and the policies of the old
    /// or the new configuration depend on how.
    pub ambiguous: [bool; 2],
}

/// The paths of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// All that no longer prefix covers; the empty prefix covers every path.
    Below(String),
    /// Those that servers may read in several ways.
    Ambiguous,
}

impl Scopes {
    /// Adds those of a policy, which the filter accepts.
    pub fn add(&mut self, policy: &PolicyConfig<'_>) {
        let scope = policy.scope.as_ref();
        let texts = |list: Option<&List<'_>>| -> Option<Vec<String>> {
            Some(list?.items.iter().map(|(_, text)| text.clone().into_owned()).collect())
        };
        let hosts = texts(scope.and_then(|scope| scope.hosts.as_ref()));
        let prefixes = texts(scope.and_then(|scope| scope.path_prefixes.as_ref()));
        let prefix = |text: &String| text.strip_suffix('/').unwrap_or(text).to_owned();
        self.0.push(Scope {
            hosts: hosts
                .map_or(vec![Host::Anywhere], |all| all.iter().map(|h| Host::of(h)).collect()),
            prefixes: prefixes.map_or(vec![String::new()], |all| all.iter().map(prefix).collect()),
        });
    }

    /// The path prefixes that make a difference to requests for a host.
    fn prefixes<'s>(&'s self, host: &'s Host) -> impl Iterator<Item = &'s String> {
        let scopes = self.0.iter();
        let relevant = scopes.filter(|scope| scope.hosts.iter().any(|other| other.holds(host)));
        relevant.flat_map(|scope| &scope.prefixes).filter(|prefix| !prefix.is_empty())
    }
}

impl Host {
    /// The host that a policy names, in the one spelling that it is compared in.
    fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = origin::canonical_ipv6(name).unwrap_or_else(|| name.to_owned());
        if below { Self::Below(name) } else { Self::Exact(name) }
    }

    /// Whether a policy for this host is for requests that fall under `other`.
    fn holds(&self, other: &Self) -> bool {
        let is_below = |name: &str, domain: &str| {
            name.strip_suffix(domain).is_some_and(|labels| labels.ends_with('.'))
        };
        match (self, other) {
            (Self::Anywhere, _) => true,
            (Self::Below(domain), Self::Exact(name) | Self::Below(name)) => {
                is_below(name, domain) || self == other
            }
            _ => self == other,
        }
    }
}

/// Every region of two configurations.
pub fn regions(old: &Scopes, new: &Scopes) -> Vec<Region> {
    let scopes = || old.0.iter().chain(&new.0);
    let mut hosts: BTreeSet<Host> = scopes().flat_map(|scope| scope.hosts.clone()).collect();
    hosts.insert(Host::Anywhere);
    hosts.iter().flat_map(|host| regions_of(host, &hosts, old, new)).collect()
}

fn regions_of(host: &Host, hosts: &BTreeSet<Host>, old: &Scopes, new: &Scopes) -> Vec<Region> {
    let name = example(host, hosts);
    let scoped = [old, new].map(|scopes| scopes.prefixes(host).next().is_some());
    let prefixes: BTreeSet<&String> = old.prefixes(host).chain(new.prefixes(host)).collect();
    let region = |paths, path: &str, ambiguous| Region {
        host: host.clone(),
        paths,
        example: (name.clone(), path.to_owned()),
        ambiguous,
    };
    let below = prefixes.into_iter().map(|prefix| {
        // The prefix itself is a path that no longer prefix covers.
        region(Paths::Below(prefix.clone()), prefix, [false, false])
    });
    let rest = [region(Paths::Below(String::new()), "/", [false, false])];
    let ambiguous = scoped.contains(&true).then(|| region(Paths::Ambiguous, "//", scoped));
    below.chain(rest).chain(ambiguous).collect()
}

/// A name that falls under a host, and under no other one of `hosts`.
fn example(host: &Host, hosts: &BTreeSet<Host>) -> String {
    let free = |name: &String| {
        let own = Host::Exact(name.clone());
        let mut closer = hosts.iter().filter(|other| other.holds(&own) && !other.holds(host));
        closer.next().is_none()
    };
    let numbers = 0..=hosts.len();
    let mut names: Box<dyn Iterator<Item = String>> = match host {
        Host::Exact(name) => return name.clone(),
        Host::Below(domain) => {
            let first = std::iter::once(format!("any.{domain}"));
            Box::new(first.chain(numbers.map(move |n| format!("any-{n}.{domain}"))))
        }
        Host::Anywhere => {
            let first = std::iter::once("any.example".to_owned());
            // These are below no domain.
            Box::new(first.chain(numbers.map(|n| format!("any-{n}"))))
        }
    };
    names.find(free).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_what_falls_under_them() {
        for (host, other, holds) in [
            ("a.example", "A.example.", true),
            ("*.example", "a.example", true),
            ("*.example", "*.a.example", true),
            ("*.example", "*.example", true),
            ("*.example", "example", false),
            ("*.example", "a-example", false),
            ("*.a.example", "*.example", false),
            ("[0::1]", "[::1]", true),
        ] {
            assert_eq!(Host::of(host).holds(&Host::of(other)), holds, "{host} {other}");
            assert!(Host::Anywhere.holds(&Host::of(other)));
            assert!(!Host::of(host).holds(&Host::Anywhere));
        }
    }
}
