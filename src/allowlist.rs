//! The origins that a policy allows, in hash tables: what a look-up costs does
//! not depend on how many there are.
//!
//! An exact origin is found by one probe for its bytes. Patterns stand in a
//! second table under their scheme and domain, so that a look-up probes once
//! for the host itself (any-port patterns) and once for each domain above it.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::origin::{MAX_HOST, Origin, domains_above};
use crate::pattern::{HostPattern, OriginPattern, PortPattern};

/// `:65535`
const LONGEST_PORT: usize = 6;

/// A set of origin patterns. The empty one contains no origin.
#[derive(Default)]
pub struct Allowlist {
    any: bool,
    exact: HashTable<Span>,
    /// The texts of `exact`, one behind the other.
    text: String,
    domains: HashTable<Domain>,
    /// Bytes of the longest origin that can be contained.
    longest: usize,
    len: usize,
    hasher: DefaultHashBuilder,
}

/// A place in `Allowlist::text`.
struct Span {
    start: usize,
    len: usize,
}

/// The patterns that name one scheme and domain.
struct Domain {
    scheme: Box<str>,
    name: Box<str>,
    /// Of the domain itself; exact ports stand in `Allowlist::exact`.
    itself: Ports,
    /// Of all hosts below it.
    below: Ports,
}

#[derive(Default)]
struct Ports {
    any: bool,
    /// Sorted.
    listed: Vec<Option<u16>>,
}

impl Ports {
    fn add(&mut self, port: PortPattern) {
        match port {
            PortPattern::Any => self.any = true,
            PortPattern::Exact(port) => {
                if let Err(place) = self.listed.binary_search(&port) {
                    self.listed.insert(place, port);
                }
            }
        }
    }

    fn contains(&self, port: Option<u16>) -> bool {
        self.any || self.listed.binary_search(&port).is_ok()
    }

    /// The port pattern of this set that contains all of `port`.
    fn covering(&self, port: PortPattern) -> Option<PortPattern> {
        match port {
            _ if self.any => Some(PortPattern::Any),
            PortPattern::Exact(exact) if self.contains(exact) => Some(port),
            _ => None,
        }
    }
}

impl<'a> FromIterator<OriginPattern<'a>> for Allowlist {
    fn from_iter<I: IntoIterator<Item = OriginPattern<'a>>>(patterns: I) -> Self {
        let mut list = Self::default();
        for pattern in patterns {
            list.insert(&pattern);
        }
        list
    }
}

impl Allowlist {
    /// Whether the policy is `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// How many patterns were put in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it grants nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the value of an `Origin` header is allowed. Any bytes may come
    /// in; what is not an origin that a browser sends is contained only in `*`.
    #[must_use]
    pub fn contains(&self, origin: &[u8]) -> bool {
        if self.any {
            return true;
        }
        if origin.len() > self.longest {
            return false;
        }
        self.contains_exact(origin) || self.contains_below(origin)
    }

    fn contains_exact(&self, origin: &[u8]) -> bool {
        !self.exact.is_empty()
            && self
                .exact
                .find(self.hasher.hash_one(origin), |span| self.text_at(span) == Some(origin))
                .is_some()
    }

    fn contains_below(&self, origin: &[u8]) -> bool {
        if self.domains.is_empty() {
            return false;
        }
        let Ok(Ok(origin)) = std::str::from_utf8(origin).map(Origin::parse) else {
            return false;
        };
        let itself = self.domain(origin.scheme, origin.host);
        itself.is_some_and(|domain| domain.itself.contains(origin.port))
            || domains_above(origin.host)
                .filter_map(|name| self.domain(origin.scheme, name))
                .any(|domain| domain.below.contains(origin.port))
    }

    /// Another pattern of the list that contains every origin of `pattern`.
    #[must_use]
    pub fn covering<'s>(&'s self, pattern: &OriginPattern<'s>) -> Option<OriginPattern<'s>> {
        let &OriginPattern::Tuple { scheme, host, port } = pattern else {
            return None;
        };
        let (HostPattern::Exact(name) | HostPattern::Below(name)) = host;
        let same = self.domain(scheme, name).and_then(|domain| {
            let ports = match host {
                HostPattern::Exact(_) => &domain.itself,
                HostPattern::Below(_) => &domain.below,
            };
            Some((host, ports.covering(port)?))
        });
        let above = || {
            domains_above(name).find_map(|name| {
                let ports = self.domain(scheme, name)?.below.covering(port)?;
                Some((HostPattern::Below(name), ports))
            })
        };
        let (host, port) = same.filter(|(_, covering)| *covering != port).or_else(above)?;
        Some(OriginPattern::Tuple { scheme, host, port })
    }

    fn insert(&mut self, pattern: &OriginPattern<'_>) {
        self.len += 1;
        match *pattern {
            OriginPattern::Any => self.any = true,
            OriginPattern::Tuple { scheme, host, port } if pattern.is_wildcard() => {
                let host_len = match host {
                    HostPattern::Exact(host) => host.len(),
                    HostPattern::Below(_) => MAX_HOST,
                };
                let longest = scheme.len() + "://".len() + host_len + LONGEST_PORT;
                self.longest = self.longest.max(longest);
                match host {
                    HostPattern::Exact(name) => self.domain_mut(scheme, name).itself.add(port),
                    HostPattern::Below(name) => self.domain_mut(scheme, name).below.add(port),
                }
            }
            OriginPattern::Null | OriginPattern::Tuple { .. } => {
                self.insert_exact(&pattern.to_string());
            }
        }
    }

    fn insert_exact(&mut self, origin: &str) {
        if self.contains_exact(origin.as_bytes()) {
            return;
        }
        let span = Span { start: self.text.len(), len: origin.len() };
        self.text.push_str(origin);
        self.longest = self.longest.max(origin.len());
        let Self { exact, text, hasher, .. } = self;
        let hash = |text: Option<&[u8]>| hasher.hash_one(text.unwrap_or_default());
        exact.insert_unique(hash(Some(origin.as_bytes())), span, |span| hash(slice(text, span)));
    }

    fn text_at(&self, span: &Span) -> Option<&[u8]> {
        slice(&self.text, span)
    }

    fn domain(&self, scheme: &str, name: &str) -> Option<&Domain> {
        let hash = self.hasher.hash_one((scheme, name));
        self.domains.find(hash, |domain| *domain.scheme == *scheme && *domain.name == *name)
    }

    fn domain_mut(&mut self, scheme: &str, name: &str) -> &mut Domain {
        let hasher = &self.hasher;
        self.domains
            .entry(
                hasher.hash_one((scheme, name)),
                |domain| *domain.scheme == *scheme && *domain.name == *name,
                |domain| hasher.hash_one((&*domain.scheme, &*domain.name)),
            )
            .or_insert_with(|| Domain {
                scheme: scheme.into(),
                name: name.into(),
                itself: Ports::default(),
                below: Ports::default(),
            })
            .into_mut()
    }
}

fn slice<'t>(text: &'t str, span: &Span) -> Option<&'t [u8]> {
    text.as_bytes().get(span.start..)?.get(..span.len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list<'a>(patterns: &[&'a str]) -> Vec<OriginPattern<'a>> {
        patterns.iter().map(|text| OriginPattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn covered_patterns_and_what_covers_them() {
        let patterns = list(&[
            "https://*.example.com",
            "https://app.example.com",
            "https://*.dev.example.com",
            "https://example.com",
            "http://app.example.com",
            "http://localhost:*",
            "http://localhost:3000",
            "http://localhost",
            "https://*.example.org:8443",
            "https://*.example.org:*",
            "https://a.example.org:*",
            "https://a.example.com:*",
        ]);
        let allowlist: Allowlist = patterns.iter().copied().collect();
        let covering: Vec<_> = patterns
            .iter()
            .map(|pattern| allowlist.covering(pattern).map(|c| c.to_string()))
            .collect();
        let expected = [
            None,
            Some("https://*.example.com"),
            Some("https://*.example.com"),
            None,
            None,
            None,
            Some("http://localhost:*"),
            Some("http://localhost:*"),
            Some("https://*.example.org:*"),
            None,
            Some("https://*.example.org:*"),
            None,
        ];
        assert_eq!(covering, expected.map(|text| text.map(str::to_string)));
    }

    /// GHSA-vhxv-fg4m-p2w8 of another library: patterns that share a suffix
    /// must not make up a third.
    #[test]
    fn shared_suffixes_do_not_merge() {
        let allowlist: Allowlist =
            list(&["https://foo.com", "https://bar.com", "https://*.foo.com"])
                .into_iter()
                .collect();
        for origin in ["https://foo.com", "https://bar.com", "https://a.foo.com"] {
            assert!(allowlist.contains(origin.as_bytes()), "{origin}");
        }
        for origin in
            ["https://barfoo.com", "https://foobar.com", "https://oo.com", "https://.foo.com"]
        {
            assert!(!allowlist.contains(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn ten_thousand_origins_of_each_kind() {
        let texts: Vec<String> = (0..10_000)
            .flat_map(|n| {
                [format!("https://a{n}.example"), format!("https://*.b{n}.example:{}", n + 1000)]
            })
            .collect();
        let allowlist: Allowlist =
            texts.iter().map(|text| OriginPattern::parse(text).unwrap()).collect();
        for n in 0..10_000 {
            assert!(allowlist.contains(format!("https://a{n}.example").as_bytes()));
            assert!(
                allowlist.contains(format!("https://x.y.b{n}.example:{}", n + 1000).as_bytes())
            );
            assert!(!allowlist.contains(format!("https://x.b{n}.example:{}", n + 1001).as_bytes()));
            assert!(!allowlist.contains(format!("https://x.a{n}.example").as_bytes()));
        }
    }
}
