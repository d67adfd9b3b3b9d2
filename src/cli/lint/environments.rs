//! Lists of origins per environment, compared with each other.

use std::collections::{HashMap, HashSet};

use envoy_cors::config::{List, OriginsConfig, PolicyConfig};
use envoy_cors::origin;
use envoy_cors::pattern::{HostPattern, OriginPattern, PortPattern};

use super::Smells;
use super::smell::Smell;

/// Whether an environment is where the users are: `production`, `prod-eu`,
/// `live`, but not `pre-prod`.
pub fn is_production(environment: &str) -> bool {
    let name = environment.to_ascii_lowercase();
    !name.starts_with("pre")
        && !name.starts_with("non")
        && words(&name)
            .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
            .any(|word| matches!(word, "production" | "prod" | "prd" | "live"))
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', '-', '_', ' ', '/'])
}

/// Compares the lists of a policy.
pub fn check(policy: &PolicyConfig<'_>, smells: &mut Smells<'_>) {
    let Some(OriginsConfig::PerEnvironment { lists, .. }) = &policy.allow_origins else { return };
    let lists: Vec<Environment<'_>> = lists.iter().map(Environment::new).collect();
    for environment in &lists {
        let others = || lists.iter().filter(|other| other.name != environment.name);
        if is_production(environment.name) {
            let others: Vec<&Environment<'_>> =
                others().filter(|other| !is_production(other.name)).collect();
            named_like_another(environment, &others, smells);
            wider(environment, &others, smells);
        }
        outlier(environment, others().map(|other| other.list.items.len()).max(), smells);
    }
    for (index, environment) in lists.iter().enumerate() {
        let same = lists.iter().take(index).find(|earlier| earlier.origins == environment.origins);
        if let Some(same) = same.filter(|_| !environment.origins.is_empty()) {
            let smell = Smell::IdenticalEnvironments { other: same.name.to_owned() };
            smells.add(&environment.list.at, None, &smell);
        }
    }
}

struct Environment<'c> {
    name: &'c str,
    list: &'c List<'c>,
    origins: HashSet<&'c str>,
}

impl<'c> Environment<'c> {
    fn new((name, list): &'c (String, List<'c>)) -> Self {
        let origins = list.items.iter().map(|(_, text)| text.as_ref()).collect();
        Self { name, list, origins }
    }

    /// How much its widest entry grants, and which one it is.
    fn widest(&self) -> Option<(Width, usize)> {
        let entries = self.list.items.iter();
        let widths = entries.filter_map(|(index, text)| Some((width(text)?, *index)));
        widths.max_by_key(|(width, index)| (*width, std::cmp::Reverse(*index)))
    }
}

/// How many origins an entry stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    One,
    Ports,
    Hosts,
    All,
}

fn width(text: &str) -> Option<Width> {
    Some(match OriginPattern::parse(text).ok()? {
        OriginPattern::Any | OriginPattern::Null => Width::All,
        OriginPattern::Tuple { host: HostPattern::Below(_), .. } => Width::Hosts,
        OriginPattern::Tuple { port: PortPattern::Any, .. } => Width::Ports,
        OriginPattern::Tuple { .. } => Width::One,
    })
}

/// Words that environments are called by, and by which hosts are named.
const SYNONYMS: [&[&str]; 7] = [
    &["staging", "stage", "stg"],
    &["development", "develop", "dev"],
    &["testing", "test", "tst"],
    &["acceptance", "uat", "acc"],
    &["preview", "review"],
    &["qa"],
    &["sandbox"],
];

fn named_like_another(
    production: &Environment<'_>,
    others: &[&Environment<'_>],
    smells: &mut Smells<'_>,
) {
    let names = names_of(others.iter().map(|other| other.name));
    for (index, text) in &production.list.items {
        let Ok(OriginPattern::Tuple { host, .. }) = OriginPattern::parse(text) else { continue };
        // Loopback has a rule of its own.
        let host = Some(host.domain()).filter(|host| !origin::is_loopback(host));
        let other = host.and_then(|host| words(host).find_map(|word| names.get(word)));
        if let Some(other) = other {
            let smell = Smell::OtherEnvironmentInProduction { other: (*other).to_owned() };
            smells.add(&production.list.path(*index), Some(text), &smell);
        }
    }
}

/// The words that hosts of some environments are named by, each with one of them.
fn names_of<'n>(environments: impl Iterator<Item = &'n str>) -> HashMap<String, &'n str> {
    let mut names = HashMap::new();
    for environment in environments {
        let name = environment.to_ascii_lowercase();
        let meant = SYNONYMS.iter().filter(|group| words(&name).any(|word| group.contains(&word)));
        for word in meant.copied().flatten() {
            names.entry((*word).to_owned()).or_insert(environment);
        }
        names.entry(name).or_insert(environment);
    }
    names
}

fn wider(production: &Environment<'_>, others: &[&Environment<'_>], smells: &mut Smells<'_>) {
    let widest_other =
        others.iter().filter_map(|other| other.widest()).map(|(width, _)| width).max();
    let (Some((width, index)), Some(widest_other)) = (production.widest(), widest_other) else {
        return;
    };
    if width >= Width::Hosts && widest_other < Width::Hosts {
        let value = production.list.items.iter().find(|(at, _)| *at == index);
        let smell = Smell::WiderInProduction { environment: production.name.to_owned() };
        smells.add(&production.list.path(index), value.map(|(_, text)| text.as_ref()), &smell);
    }
}

/// From how many entries on a list is compared with the others, and how many
/// times their length makes it suspicious.
const LONG: usize = 20;
const FAR_LONGER: usize = 10;

fn outlier(environment: &Environment<'_>, longest_other: Option<usize>, smells: &mut Smells<'_>) {
    let entries = environment.list.items.len();
    let Some(longest_other) = longest_other.filter(|n| *n > 0) else { return };
    if entries >= LONG && entries >= FAR_LONGER * longest_other {
        let smell = Smell::EnvironmentOutlier { entries, longest_other };
        smells.add(&environment.list.at, None, &smell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_by_its_names() {
        for name in ["production", "PROD", "prod-eu", "eu_production", "live", "prod2"] {
            assert!(is_production(name), "{name}");
        }
        for name in ["staging", "preprod", "pre-production", "non-prod", "product", "alive", ""] {
            assert!(!is_production(name), "{name}");
        }
    }

    #[test]
    fn hosts_named_like_environments() {
        for (host, environment) in [
            ("staging.example.com", "staging"),
            ("app-stg.example.com", "staging"),
            ("app.dev.example.com", "Development"),
            ("blue.example.com", "blue"),
        ] {
            let names = names_of([environment].into_iter());
            assert!(words(host).any(|word| names.contains_key(word)), "{host} {environment}");
        }
        for (host, environment) in [
            ("app.example.com", "staging"),
            ("devices.example.com", "dev"),
            ("qa.example.com", "dev"),
        ] {
            let names = names_of([environment].into_iter());
            assert!(!words(host).any(|word| names.contains_key(word)), "{host} {environment}");
        }
    }
}
