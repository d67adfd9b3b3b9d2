//! The entry of an allowlist that a blocked origin is closest to.

use envoy_cors::origin::{self, Origin};
use envoy_cors::pattern::{HostPattern, OriginPattern};
use envoy_cors::{Policies, Policy};
use serde::Serialize;

/// An entry, and how an origin differs from it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Near {
    #[serde(flatten)]
    pub difference: Difference,
    pub entry: String,
}

/// From the nearest to the farthest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "difference")]
pub enum Difference {
    /// The entry allows the origin; the paths are those that are never allowed.
    AmbiguousPath,
    /// The entry is in the list of another environment.
    Environment {
        environment: String,
    },
    Scheme,
    Port,
    /// The entry's host is above the origin's.
    SubDomain,
    /// The entry is for sub-domains of the origin's host.
    BareDomain,
    /// The entry's host is below the origin's.
    MissingSubDomain,
    /// So many letters differ.
    Letters {
        letters: usize,
    },
}

impl Near {
    /// In words.
    pub fn told(&self) -> String {
        let Self { difference, entry } = self;
        match difference {
            Difference::AmbiguousPath => {
                format!("{entry} allows it, but not on paths that servers may read in several ways")
            }
            Difference::Environment { environment } => {
                format!("{entry} is allowed in {}", environment.escape_debug())
            }
            Difference::Scheme => format!("another scheme than {entry}"),
            Difference::Port => format!("another port than {entry}"),
            Difference::SubDomain => format!("a sub-domain of {entry}"),
            Difference::BareDomain => format!("{entry} holds sub-domains only"),
            Difference::MissingSubDomain => format!("a sub-domain is missing: {entry}"),
            Difference::Letters { letters: 1 } => format!("one letter off {entry}"),
            Difference::Letters { letters } => format!("{letters} letters off {entry}"),
        }
    }
}

/// The nearest entry of a policy, or of the same policy in other environments,
/// which `elsewhere` has by their names.
pub fn nearest(origin: &str, policy: &Policy, elsewhere: &[(String, Policies)]) -> Option<Near> {
    if let Some(entry) = policy.origins().allowing(origin.as_bytes()) {
        return Some(Near { difference: Difference::AmbiguousPath, entry: entry.to_string() });
    }
    let other = elsewhere.iter().find_map(|(environment, policies)| {
        let policy = policies.iter().nth(policy.index())?;
        let entry = policy.origins().allowing(origin.as_bytes())?.to_string();
        let difference = Difference::Environment { environment: environment.clone() };
        Some(Near { difference, entry })
    });
    other.or_else(|| {
        let origin = Origin::parse(origin).ok()?;
        let near = policy.origins().patterns().filter_map(|pattern| {
            let difference = difference(&origin, &pattern)?;
            Some(Near { difference, entry: pattern.to_string() })
        });
        near.min()
    })
}

fn difference(origin: &Origin<'_>, pattern: &OriginPattern<'_>) -> Option<Difference> {
    let &OriginPattern::Tuple { scheme, host, .. } = pattern else { return None };
    let is_below = |name: &str, domain: &str| {
        name.strip_suffix(domain).is_some_and(|labels| labels.ends_with('.'))
    };
    let same = match host {
        HostPattern::Exact(name) => name == origin.host,
        HostPattern::Below(domain) => is_below(origin.host, domain),
    };
    if same {
        return Some(if scheme == origin.scheme { Difference::Port } else { Difference::Scheme });
    }
    match host {
        HostPattern::Below(domain) if domain == origin.host => Some(Difference::BareDomain),
        HostPattern::Exact(name) if is_below(origin.host, name) => Some(Difference::SubDomain),
        HostPattern::Exact(name) if is_below(name, origin.host) && origin.host.contains('.') => {
            Some(Difference::MissingSubDomain)
        }
        _ => letters(origin.host, &host).map(|letters| Difference::Letters { letters }),
    }
}

/// From this length on, hosts that differ in two letters are near.
const LONG: usize = 8;

fn letters(host: &str, pattern: &HostPattern<'_>) -> Option<usize> {
    let domain = pattern.domain();
    if domain.len() < LONG / 2 || origin::is_address(host) || origin::is_address(domain) {
        return None;
    }
    let host = match pattern {
        HostPattern::Exact(_) => host,
        // The end of the host, by as many labels as the domain has.
        HostPattern::Below(_) => {
            let labels = domain.matches('.').count();
            let (start, _) = host.rmatch_indices('.').nth(labels)?;
            host.get(start + 1..)?
        }
    };
    let most = if domain.len() < LONG { 1 } else { 2 };
    if host.len().abs_diff(domain.len()) > most {
        return None;
    }
    let letters = strsim::osa_distance(host, domain);
    (1..=most).contains(&letters).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_what_is_near_to_them() {
        let json = br#"{"allowOrigins": {
            "production": ["https://app.example.com", "https://*.preview.example.com",
                "http://localhost:3000", "https://shop.example", "http://127.0.0.1"],
            "staging": ["https://staging.example.com", "https://*.test.example.org"]
        }}"#;
        let load = |environment| Policies::from_json(json, Some(environment)).0.unwrap();
        let policies = load("production");
        let elsewhere = [("staging".to_owned(), load("staging"))];
        let policy = policies.iter().next().unwrap();
        for (origin, expected) in [
            ("https://staging.example.com", "https://staging.example.com is allowed in staging"),
            ("https://a.test.example.org", "https://*.test.example.org is allowed in staging"),
            ("http://app.example.com", "another scheme than https://app.example.com"),
            ("https://app.example.com:8443", "another port than https://app.example.com"),
            ("https://a.preview.example.com:1", "another port than https://*.preview.example.com"),
            ("https://localhost:3000", "another scheme than http://localhost:3000"),
            ("http://localhost:5173", "another port than http://localhost:3000"),
            ("https://www.shop.example", "a sub-domain of https://shop.example"),
            ("https://preview.example.com", "https://*.preview.example.com holds sub-domains only"),
            ("https://example.com", "a sub-domain is missing: https://app.example.com"),
            ("https://app.exmaple.com", "one letter off https://app.example.com"),
            ("https://xyapp.example.com", "2 letters off https://app.example.com"),
            ("https://a.previews.example.com", "one letter off https://*.preview.example.com"),
            ("https://stranger.example.net", ""),
            ("https://com", ""),
            ("http://127.0.0.2", ""),
            (
                "http://localhost:3000",
                "http://localhost:3000 allows it, but not on paths that servers may read in several ways",
            ),
            ("null", ""),
            ("https://APP.example.com", ""),
        ] {
            let near = nearest(origin, policy, &elsewhere).map(|near| near.told());
            assert_eq!(near.unwrap_or_default(), expected, "{origin}");
        }
    }
}
