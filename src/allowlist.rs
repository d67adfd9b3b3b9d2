//! The origins that a policy allows, in hash tables: what a look-up costs does
//! not depend on how many there are.
//!
//! An exact origin is found by one probe for its bytes. Patterns stand in a
//! second table under their scheme and domain, so that a look-up probes once
//! for the host itself (any-port patterns) and once for each domain above it.

use std::fmt::Write;
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
    domains: HashTable<Domain>,
    /// What the spans point into: one piece of memory however many there are.
    text: String,
    /// Bytes of the longest origin that can be contained.
    longest: usize,
    len: usize,
    hasher: DefaultHashBuilder,
}

/// A place in `Allowlist::text`.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

/// The patterns that name one scheme and domain.
struct Domain {
    /// `scheme://domain`
    text: Span,
    /// The domain itself is allowed with any port; exact ports stand in
    /// `Allowlist::exact`.
    any_port: bool,
    /// The ports that are allowed below it.
    below: Ports,
}

#[derive(Default)]
struct Ports {
    any: bool,
    /// Sorted.
    listed: Vec<Option<u16>>,
}

impl Ports {
    /// Whether the port was not there before.
    fn insert(&mut self, port: PortPattern) -> bool {
        match port {
            PortPattern::Any => !std::mem::replace(&mut self.any, true),
            PortPattern::Exact(port) => {
                let place = self.listed.binary_search(&port);
                if let Err(place) = place {
                    self.listed.insert(place, port);
                }
                place.is_err()
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = PortPattern> {
        let any = self.any.then_some(PortPattern::Any);
        any.into_iter().chain(self.listed.iter().copied().map(PortPattern::Exact))
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
    /// An empty list with room for this many bytes of patterns.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ..Self::default() }
    }

    /// Whether the policy is `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// How many different patterns were put in.
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
                .find(self.hasher.hash_one(origin), |span| {
                    slice(&self.text, *span).as_bytes() == origin
                })
                .is_some()
    }

    fn contains_below(&self, origin: &[u8]) -> bool {
        if self.domains.is_empty() {
            return false;
        }
        let Ok(Ok(origin)) = std::str::from_utf8(origin).map(Origin::parse) else {
            return false;
        };
        self.domain(origin.scheme, origin.host).is_some_and(|domain| domain.any_port)
            || domains_above(origin.host)
                .filter_map(|name| self.domain(origin.scheme, name))
                .any(|domain| domain.below.contains(origin.port))
    }

    /// All patterns, each once, in no order.
    pub fn patterns(&self) -> impl Iterator<Item = OriginPattern<'_>> {
        let any = self.any.then_some(OriginPattern::Any);
        let exact = self
            .exact
            .iter()
            .filter_map(|span| OriginPattern::parse(slice(&self.text, *span)).ok());
        let domains = self.domains.iter().flat_map(|domain| {
            let (scheme, name) = parts(&self.text, domain);
            let pattern = move |host, port| OriginPattern::Tuple { scheme, host, port };
            let own = domain.any_port.then_some((HostPattern::Exact(name), PortPattern::Any));
            let below = domain.below.iter().map(|port| (HostPattern::Below(name), port));
            own.into_iter().chain(below).map(move |(host, port)| pattern(host, port))
        });
        any.into_iter().chain(exact).chain(domains)
    }

    /// The pattern that allows an origin; the exact one where wildcards would
    /// as well.
    #[must_use]
    pub fn allowing<'s>(&'s self, origin: &'s [u8]) -> Option<OriginPattern<'s>> {
        if self.any {
            return Some(OriginPattern::Any);
        }
        let text = std::str::from_utf8(origin).ok().filter(|_| self.contains(origin))?;
        let pattern = OriginPattern::parse(text).ok()?;
        if self.contains_exact(origin) { Some(pattern) } else { self.covering(&pattern) }
    }

    /// Another pattern of the list that contains every origin of `pattern`.
    #[must_use]
    pub fn covering<'s>(&'s self, pattern: &OriginPattern<'s>) -> Option<OriginPattern<'s>> {
        let &OriginPattern::Tuple { scheme, host, port } = pattern else {
            return None;
        };
        if self.domains.is_empty() {
            return None;
        }
        let name = host.domain();
        let same = self.domain(scheme, name).and_then(|domain| match host {
            HostPattern::Exact(_) => domain.any_port.then_some(PortPattern::Any),
            HostPattern::Below(_) => domain.below.covering(port),
        });
        let above = || {
            domains_above(name).find_map(|name| {
                let ports = self.domain(scheme, name)?.below.covering(port)?;
                Some((HostPattern::Below(name), ports))
            })
        };
        let same = same.filter(|covering| *covering != port).map(|port| (host, port));
        let (host, port) = same.or_else(above)?;
        Some(OriginPattern::Tuple { scheme, host, port })
    }

    /// Adds a pattern, and tells whether it was not there before.
    pub fn insert(&mut self, pattern: &OriginPattern<'_>) -> bool {
        let new = match *pattern {
            OriginPattern::Any => !std::mem::replace(&mut self.any, true),
            OriginPattern::Tuple { scheme, host: HostPattern::Below(name), port } => {
                self.allow_length(scheme, MAX_HOST);
                self.domain_mut(scheme, name).is_some_and(|domain| domain.below.insert(port))
            }
            OriginPattern::Tuple {
                scheme,
                host: HostPattern::Exact(name),
                port: PortPattern::Any,
            } => {
                self.allow_length(scheme, name.len());
                let domain = self.domain_mut(scheme, name);
                domain.is_some_and(|domain| !std::mem::replace(&mut domain.any_port, true))
            }
            OriginPattern::Null | OriginPattern::Tuple { .. } => self.insert_exact(pattern),
        };
        self.len += usize::from(new);
        new
    }

    fn allow_length(&mut self, scheme: &str, host: usize) {
        self.longest = self.longest.max(scheme.len() + "://".len() + host + LONGEST_PORT);
    }

    fn insert_exact(&mut self, pattern: &OriginPattern<'_>) -> bool {
        let span = self.push(format_args!("{pattern}"));
        let Self { exact, text, hasher, .. } = self;
        let origin = slice(text, span).as_bytes();
        let hash = |span: &Span| hasher.hash_one(slice(text, *span).as_bytes());
        let is_it = |span: &Span| slice(text, *span).as_bytes() == origin;
        let new = exact.find(hash(&span), is_it).is_none();
        if new {
            exact.insert_unique(hash(&span), span, hash);
            self.longest = self.longest.max(origin.len());
        } else {
            self.text.truncate(span.start);
        }
        new
    }

    /// Puts a text behind the others.
    fn push(&mut self, text: std::fmt::Arguments<'_>) -> Span {
        let start = self.text.len();
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
        Span { start, len: self.text.len() - start }
    }

    fn domain(&self, scheme: &str, name: &str) -> Option<&Domain> {
        let hash = self.hasher.hash_one((scheme, name));
        self.domains.find(hash, |domain| parts(&self.text, domain) == (scheme, name))
    }

    fn domain_mut(&mut self, scheme: &str, name: &str) -> Option<&mut Domain> {
        if self.domain(scheme, name).is_none() {
            let text = self.push(format_args!("{scheme}://{name}"));
            let new = Domain { text, any_port: false, below: Ports::default() };
            let Self { domains, text, hasher, .. } = self;
            let hash = |domain: &Domain| hasher.hash_one(parts(text, domain));
            domains.insert_unique(hash(&new), new, hash);
        }
        let hash = self.hasher.hash_one((scheme, name));
        self.domains.find_mut(hash, |domain| parts(&self.text, domain) == (scheme, name))
    }
}

fn slice(text: &str, span: Span) -> &str {
    text.get(span.start..).and_then(|text| text.get(..span.len)).unwrap_or_default()
}

/// The scheme and the name of a domain.
fn parts<'t>(text: &'t str, domain: &Domain) -> (&'t str, &'t str) {
    slice(text, domain.text).split_once("://").unwrap_or_default()
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
