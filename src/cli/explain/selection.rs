//! Which policy a request falls under, and why that one.

use envoy_cors::config::{Config, List, OriginsConfig, PolicyConfig, ScopeConfig, Text};
use envoy_cors::diagnostic::Diagnostics;
use envoy_cors::{Decision, Policies, decide};

use super::course::{Exchange, Lines, lookup};

/// The policy of a request.
pub struct Selection<'c> {
    /// `None` if no policy of the configuration covers it.
    pub policy: Option<&'c PolicyConfig<'c>>,
    /// Servers may read the path in different ways, and policies depend on it:
    /// no origin is allowed.
    pub ambiguous: bool,
    /// Why this policy, in clauses.
    pub because: Vec<String>,
}

/// Most policies that are named though they were not chosen.
const MOST_OTHERS: usize = 5;

impl<'c> Selection<'c> {
    pub fn of(config: &'c Config<'c>, exchange: &Exchange) -> Self {
        let sent = &exchange.sent;
        let policy = exchange.decision.as_ref().and_then(|decision| written(config, decision));
        let named = config.policies.iter();
        let ambiguous = is_ambiguous(sent) && named.clone().any(|p| depends_on_path(p, sent));
        let mut because = vec![match policy {
            Some(PolicyConfig { scope: Some(scope), .. }) => covering(scope, sent),
            Some(_) if config.policies.is_empty() => "it is for every request".to_owned(),
            Some(_) => "no other policy covers this host and path".to_owned(),
            None => "no policy covers this host and path".to_owned(),
        }];
        if ambiguous {
            because.push(
                "servers may read this path in different ways, so no origin is allowed".to_owned(),
            );
        }
        let others = named.filter(|other| policy.is_none_or(|chosen| chosen.at != other.at));
        because.extend(others.filter_map(|other| near_miss(other, sent)).take(MOST_OTHERS));
        Self { policy, ambiguous, because }
    }
}

/// The fields of a decision's policy; `None` for the one that grants nobody
/// anything, which stands nowhere.
pub fn written<'c>(config: &'c Config<'c>, decision: &Decision) -> Option<&'c PolicyConfig<'c>> {
    config.policies.iter().chain(&config.default).nth(decision.policy().index())
}

pub fn name<'p>(policy: &'p PolicyConfig<'_>) -> &'p str {
    policy.name.as_ref().map_or(envoy_cors::policy::DEFAULT_NAME, |name| &name.text)
}

fn covering(scope: &ScopeConfig<'_>, sent: &Lines) -> String {
    let host = covering_host(scope, sent).map(|host| format!("the host {host}"));
    let prefix = covering_prefix(scope, sent).map(|prefix| format!("paths below {prefix}"));
    let parts: Vec<_> = host.into_iter().chain(prefix).collect();
    format!("its match covers {}", parts.join(" and "))
}

/// What a policy lacks that nearly covers the request, or comes second.
fn near_miss(other: &PolicyConfig<'_>, sent: &Lines) -> Option<String> {
    let scope = other.scope.as_ref()?;
    let name = name(other);
    if scope.hosts.is_some() && covering_host(scope, sent).is_none() {
        return None;
    }
    Some(match &scope.path_prefixes {
        Some(prefixes) if covering_prefix(scope, sent).is_none() => {
            format!("not {name}: it covers paths below {} only", enumerate(prefixes))
        }
        _ => format!("not {name}: it covers the request as well, and is less specific"),
    })
}

fn enumerate(list: &List<'_>) -> String {
    list.items.iter().map(|(_, text)| &**text).collect::<Vec<_>>().join(", ")
}

/// An exact host before a wildcard, a longer wildcard before a shorter one.
fn covering_host<'s>(scope: &'s ScopeConfig<'_>, sent: &Lines) -> Option<&'s str> {
    let hosts = scope.hosts.as_ref()?.items.iter().map(|(_, host)| &**host);
    let covering = hosts.filter(|host| covers(scope_of(Some(host), None), sent));
    covering.max_by_key(|host| (!host.starts_with("*."), host.len()))
}

fn covering_prefix<'s>(scope: &'s ScopeConfig<'_>, sent: &Lines) -> Option<&'s str> {
    let prefixes = scope.path_prefixes.as_ref()?.items.iter().map(|(_, prefix)| &**prefix);
    let covering = prefixes.filter(|prefix| covers(scope_of(None, Some(prefix)), sent));
    covering.max_by_key(|prefix| prefix.len())
}

fn depends_on_path(policy: &PolicyConfig<'_>, sent: &Lines) -> bool {
    let Some(scope) = &policy.scope else { return false };
    let some_paths = |prefixes: &List<'_>| prefixes.items.iter().any(|(_, text)| text != "/");
    scope.path_prefixes.as_ref().is_some_and(some_paths)
        && (scope.hosts.is_none() || covering_host(scope, sent).is_some())
}

fn scope_of<'t>(host: Option<&'t str>, prefix: Option<&'t str>) -> ScopeConfig<'t> {
    let list = |text: &'t str| List { items: vec![(0, text.into())], ..List::default() };
    ScopeConfig { at: String::new(), hosts: host.map(list), path_prefixes: prefix.map(list) }
}

// What a `match` covers is for the filter to say: it is asked with a
// configuration that holds nothing else.

fn covers(scope: ScopeConfig<'_>, sent: &Lines) -> bool {
    chosen(scope, sent) == Some(0)
}

/// The policy that grants nobody anything stands behind those that are written.
fn is_ambiguous(sent: &Lines) -> bool {
    chosen(scope_of(None, Some("/-")), sent) == Some(1)
}

fn chosen(scope: ScopeConfig<'_>, sent: &Lines) -> Option<usize> {
    let policy = PolicyConfig {
        name: Some(Text { at: String::new(), text: "only".to_owned() }),
        scope: Some(scope),
        allow_origins: Some(OriginsConfig::Same(List::default())),
        ..PolicyConfig::default()
    };
    let config = Config { policies: vec![policy], ..Config::default() };
    let policies = Policies::compile(config, None, &mut Diagnostics::default())?;
    decide(&policies, |name| lookup(sent, name)).map(|decision| decision.policy().index())
}
