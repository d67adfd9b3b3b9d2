//! Origins that load, and that nobody should allow.

use envoy_cors::config::{List, OriginsConfig, PolicyConfig};
use envoy_cors::origin;
use envoy_cors::pattern::{HostPattern, OriginPattern};

use super::Smells;
use super::environments::is_production;
use super::smell::Smell;

/// Checks every list of a policy's origins. `environment` is the one that a
/// list for all environments is used in.
pub fn check(policy: &PolicyConfig<'_>, environment: Option<&str>, smells: &mut Smells<'_>) {
    match &policy.allow_origins {
        None => {}
        Some(OriginsConfig::Same(list)) => check_list(policy, list, environment, smells),
        Some(OriginsConfig::PerEnvironment { lists, .. }) => {
            for (name, list) in lists {
                check_list(policy, list, Some(name), smells);
            }
        }
    }
}

fn check_list(
    policy: &PolicyConfig<'_>,
    list: &List<'_>,
    environment: Option<&str>,
    smells: &mut Smells<'_>,
) {
    let production = environment.filter(|name| is_production(name));
    for (index, text) in &list.items {
        let Ok(OriginPattern::Tuple { scheme, host, .. }) = OriginPattern::parse(text) else {
            continue;
        };
        let found = [
            production.and_then(|name| exposed(policy, scheme, &host, name)),
            public_suffix(policy, &host),
            is_refused_name(host.domain()).then_some(Smell::InvalidALabel),
        ];
        for smell in found.into_iter().flatten() {
            smells.add(&list.path(*index), Some(text), &smell);
        }
    }
}

/// What is wrong with an origin in production.
fn exposed(
    policy: &PolicyConfig<'_>,
    scheme: &str,
    host: &HostPattern<'_>,
    environment: &str,
) -> Option<Smell> {
    let environment = environment.to_owned();
    // The filter refuses these by itself.
    let refused = policy.allow_credentials && !policy.dangerously_allow_insecure_origins;
    if matches!(scheme, "http" | "https") && origin::is_loopback(host.domain()) {
        Some(Smell::LoopbackInProduction { environment })
    } else if scheme == "http" && !refused {
        Some(Smell::InsecureInProduction { environment })
    } else {
        None
    }
}

fn public_suffix(policy: &PolicyConfig<'_>, host: &HostPattern<'_>) -> Option<Smell> {
    let HostPattern::Below(domain) = host else { return None };
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let suffix = psl::suffix(domain.as_bytes())?;
    if !suffix.is_known() || suffix.as_bytes() != domain.as_bytes() {
        return None;
    }
    let suffix = domain.to_owned();
    match (policy.allow_credentials, policy.dangerously_allow_public_suffixes) {
        (false, _) => Some(Smell::PublicSuffix { suffix }),
        (true, true) => None,
        // The filter refuses single labels by itself.
        (true, false) if !domain.contains('.') => None,
        (true, false) => Some(Smell::PublicSuffixWithCredentials { suffix }),
    }
}

/// Whether browsers refuse a host for one of its A-labels.
fn is_refused_name(host: &str) -> bool {
    let has_a_label = host.split('.').any(|label| label.starts_with("xn--"));
    has_a_label && idna::domain_to_ascii(host).ok().as_deref() != Some(host)
}
