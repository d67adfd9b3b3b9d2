//! Which policy a request falls under, by its host and path.

use std::fmt;
use std::rc::Rc;

use hashbrown::HashMap;

use crate::config::{Config, List, Mode, PolicyConfig, ScopeConfig, Settings};
use crate::diagnostic::{Diagnostic, Diagnostics, InvalidHost, InvalidPathPrefix, Problem};
use crate::header::request;
use crate::origin::{self, Malformed, domains_above};
use crate::policy::{DEFAULT_NAME, Policy};

/// All policies of a configuration.
pub struct Policies {
    policies: Vec<Rc<Policy>>,
    environment: Option<String>,
    settings: Settings,
    hosts: HashMap<Box<str>, Rules>,
    /// Hosts that begin with `*.`, without it.
    below: HashMap<Box<str>, Rules>,
    /// The rules for every host, the policy `default` among them.
    anywhere: Rules,
    granting_nobody: [Rc<Policy>; 2],
}

/// The policies of one host, longest path prefix first.
type Rules = Vec<Rule>;

struct Rule {
    /// Without a slash at the end; empty for every path.
    prefix: Box<[u8]>,
    policy: Rc<Policy>,
    /// The place in the configuration, for the report of a conflict.
    at: String,
}

/// The policy that a request falls under.
pub(crate) struct Scoped {
    pub(crate) policy: Rc<Policy>,
    /// The path could belong to several policies, depending on who reads it:
    /// nothing may be granted.
    pub(crate) ambiguous: bool,
}

impl Policies {
    /// Reads and checks a configuration.
    ///
    /// `environment` is what the VM says (`CORS_ENVIRONMENT`); it wins over the
    /// configuration's own, unless it is empty. The problems hold warnings also where there are
    /// policies; there are none if and only if a problem is an error.
    #[must_use]
    pub fn from_json(bytes: &[u8], environment: Option<&str>) -> (Option<Self>, Diagnostics) {
        let mut problems = Diagnostics::default();
        let policies = Config::from_json(bytes, &mut problems)
            .and_then(|config| Self::compile(config, environment, &mut problems));
        (policies, problems)
    }

    /// Checks a configuration that was read already; as [`Policies::from_json`].
    #[must_use]
    pub fn compile(
        config: Config<'_>,
        environment: Option<&str>,
        problems: &mut Diagnostics,
    ) -> Option<Self> {
        let environment = environment
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .or(config.environment.map(|environment| environment.text));
        let mut all = Self {
            policies: Vec::new(),
            environment,
            settings: config.settings,
            hosts: HashMap::new(),
            below: HashMap::new(),
            anywhere: Rules::new(),
            granting_nobody: Default::default(),
        };
        let mut names: HashMap<String, String> = HashMap::new();
        for policy in config.policies {
            check_name(&policy, &mut names, problems);
            all.add_named(policy, problems);
        }
        match config.default {
            Some(policy) => all.add_default(policy, problems),
            None if all.anywhere.iter().all(|rule| !rule.prefix.is_empty()) => {
                problems.push(Diagnostic::new("", Problem::NoDefault));
            }
            None => {}
        }
        let next = all.policies.len();
        all.granting_nobody = [(next, Mode::Enforce), (next + 1, Mode::Shadow)]
            .map(|(index, mode)| Rc::new(Policy::granting_nobody(index, mode)));
        for rules in all.hosts.values_mut().chain(all.below.values_mut()).chain([&mut all.anywhere])
        {
            rules.sort_unstable_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        }
        (!problems.has_errors()).then_some(all)
    }

    /// The environment that its origins are for.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }

    /// What operators see of the decisions, and how often.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The policies in the order of the configuration, `default` last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Policy> {
        self.policies.iter().map(|policy| &**policy)
    }

    /// All policies that decisions can be of: behind those of the configuration
    /// stand two that grant nobody anything, one for each mode, for requests
    /// whose path cannot be trusted and that no policy would match otherwise.
    pub fn deciding(&self) -> impl Iterator<Item = &Policy> {
        self.iter().chain(self.granting_nobody.iter().map(|policy| &**policy))
    }

    fn compile_one(&mut self, policy: PolicyConfig<'_>, problems: &mut Diagnostics) -> Rc<Policy> {
        let (index, environment) = (self.policies.len(), self.environment.as_deref());
        let policy = Rc::new(Policy::compile(index, policy, environment, problems));
        self.policies.push(Rc::clone(&policy));
        policy
    }

    fn add_default(&mut self, policy: PolicyConfig<'_>, problems: &mut Diagnostics) {
        let policy = self.compile_one(policy, problems);
        let rule = Rule { prefix: Box::default(), policy, at: "allowOrigins".to_owned() };
        self.add_rule(&HostScope::Anywhere, rule, problems);
    }

    /// Adds a rule unless another policy has the same host and prefix.
    fn add_rule(&mut self, host: &HostScope, rule: Rule, problems: &mut Diagnostics) {
        let rules = match host {
            HostScope::Anywhere => &mut self.anywhere,
            HostScope::Exact(name) => self.hosts.entry_ref(name.as_str()).or_default(),
            HostScope::Below(name) => self.below.entry_ref(name.as_str()).or_default(),
        };
        match rules.iter().find(|other| other.prefix == rule.prefix) {
            Some(other) => {
                let scope = format!("{host}{}", String::from_utf8_lossy(&rule.prefix));
                let value = Some(scope).filter(|scope| !scope.is_empty());
                let problem = Problem::SameScope(other.at.clone());
                problems.push(Diagnostic { value, ..Diagnostic::new(&rule.at, problem) });
            }
            None => rules.push(rule),
        }
    }

    fn add_named(&mut self, mut policy: PolicyConfig<'_>, problems: &mut Diagnostics) {
        let scope = policy.scope.take();
        let at = policy.at.clone();
        let policy = self.compile_one(policy, problems);
        let Some(ScopeConfig { at, hosts, path_prefixes }) = scope else {
            problems.push(Diagnostic::new(&at, Problem::NoMatch));
            return;
        };
        if hosts.is_none() && path_prefixes.is_none() {
            problems.push(Diagnostic::new(&at, Problem::EmptyMatch));
            return;
        }
        let hosts = parsed(hosts, problems, |text| HostScope::parse(text).map_err(Problem::Host));
        let prefixes =
            parsed(path_prefixes, problems, |text| parse_prefix(text).map_err(Problem::PathPrefix));
        for host in hosts {
            for prefix in &prefixes {
                let policy = Rc::clone(&policy);
                let rule = Rule { prefix: prefix.as_bytes().into(), policy, at: at.clone() };
                self.add_rule(&host, rule, problems);
            }
        }
    }

    /// Finds the policy of a request: exact host before wildcard host before
    /// none, longer wildcard before shorter, then the longest path prefix.
    /// Reads only the headers that make a difference here.
    pub(crate) fn select(&self, request: &impl Fn(&str) -> Option<Vec<u8>>) -> Option<Scoped> {
        let host = if self.hosts.is_empty() && self.below.is_empty() {
            String::new()
        } else {
            host_of(request(request::AUTHORITY).unwrap_or_default())
        };
        let tiers = || {
            let exact = self.hosts.get(host.as_str());
            let below = domains_above(&host).filter_map(|domain| self.below.get(domain));
            exact.into_iter().chain(below).chain([&self.anywhere])
        };
        let path = if tiers().flatten().any(|rule| !rule.prefix.is_empty()) {
            request(request::PATH).unwrap_or_default()
        } else {
            Vec::new()
        };
        let path = path.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        let ambiguous = is_ambiguous(path);
        let policy = tiers()
            .flatten()
            .find(|rule| rule.prefix.is_empty() || (!ambiguous && covers(&rule.prefix, path)))
            .map(|rule| &rule.policy);
        let policy = if ambiguous {
            let [enforced, shadow] = &self.granting_nobody;
            // Policies that touch nothing do not make another touch something.
            let in_shadow = || tiers().flatten().all(|rule| rule.policy.mode() == Mode::Shadow);
            policy.or_else(|| Some(if in_shadow() { shadow } else { enforced }))
        } else {
            policy
        };
        policy.map(|policy| Scoped { policy: Rc::clone(policy), ambiguous })
    }
}

/// Checks that a policy has a name of its own. `names` holds the places of
/// those before it.
fn check_name(
    policy: &PolicyConfig<'_>,
    names: &mut HashMap<String, String>,
    problems: &mut Diagnostics,
) {
    let Some(name) = &policy.name else {
        problems.push(Diagnostic::new(&policy.at, Problem::NoName));
        return;
    };
    let in_grammar = (1..=63).contains(&name.text.len())
        && name.text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    let problem = if !in_grammar {
        Some(Problem::InvalidName)
    } else if name.text == DEFAULT_NAME {
        Some(Problem::ReservedName)
    } else {
        names.insert(name.text.clone(), name.at.clone()).map(Problem::NameTwice)
    };
    if let Some(problem) = problem {
        problems.push(Diagnostic::about(&name.at, &name.text, problem));
    }
}

/// The elements of a list of `match`; a list that is not there matches
/// everything, as the default of `T` does.
fn parsed<T: Default + PartialEq>(
    list: Option<List<'_>>,
    problems: &mut Diagnostics,
    parse: impl Fn(&str) -> Result<T, Problem>,
) -> Vec<T> {
    let Some(list) = list else { return vec![T::default()] };
    if list.items.is_empty() {
        problems.push(Diagnostic::new(&list.at, Problem::EmptyMatchList));
    }
    let mut parsed: Vec<(usize, T)> = Vec::new();
    for (index, text) in &list.items {
        let problem = match parse(text) {
            Err(problem) => problem,
            Ok(element) => match parsed.iter().find(|(_, known)| *known == element) {
                Some((first, _)) => Problem::ScopeTwice(list.path(*first)),
                None => {
                    parsed.push((*index, element));
                    continue;
                }
            },
        };
        problems.push(Diagnostic::about(&list.path(*index), text, problem));
    }
    parsed.into_iter().map(|(_, element)| element).collect()
}

/// An element of `hosts`.
#[derive(Default, PartialEq)]
enum HostScope {
    #[default]
    Anywhere,
    Exact(String),
    Below(String),
}

impl fmt::Display for HostScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => Ok(()),
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl HostScope {
    fn parse(text: &str) -> Result<Self, InvalidHost> {
        let host = text.to_ascii_lowercase();
        let (name, below) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host.as_str(), false),
        };
        if host == "*" {
            return Err(InvalidHost::Any);
        }
        if name.contains('*') {
            return Err(InvalidHost::MisplacedWildcard);
        }
        if !name.is_ascii() {
            return Err(InvalidHost::Malformed(Malformed::Unicode));
        }
        if name.contains("://") || name.contains(['/', '?', '#', '@']) {
            return Err(InvalidHost::Scheme);
        }
        if name.matches(':').count() > 1 && !name.starts_with('[') {
            return Err(InvalidHost::Malformed(Malformed::Ipv6));
        }
        if without_port(name) != name {
            return Err(InvalidHost::Port);
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let canonical = origin::canonical_ipv6(name);
        let name = canonical.as_deref().unwrap_or(name);
        if below && origin::is_address(name) {
            return Err(InvalidHost::WildcardAddress);
        }
        origin::check_host(name).map_err(InvalidHost::Malformed)?;
        Ok(if below { Self::Below(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }
}

/// The prefix without its slash at the end.
fn parse_prefix(text: &str) -> Result<String, InvalidPathPrefix> {
    let encoded = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '`' | '{' | '}');
    if !text.starts_with('/') {
        Err(InvalidPathPrefix::NoSlash)
    } else if text.contains(['?', '#']) {
        Err(InvalidPathPrefix::Query)
    } else if text.contains('*') {
        Err(InvalidPathPrefix::Wildcard)
    } else if text.contains(encoded) {
        Err(InvalidPathPrefix::NotEncoded)
    } else if is_ambiguous(text.as_bytes()) {
        Err(InvalidPathPrefix::Ambiguous)
    } else {
        Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
    }
}

/// The host of an `:authority`, in the spelling of the configuration; empty if
/// it is not one, so that only policies for every host match.
fn host_of(authority: Vec<u8>) -> String {
    let mut host = String::from_utf8(authority).unwrap_or_default();
    host.make_ascii_lowercase();
    let name = without_port(&host);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.split('.').any(str::is_empty) {
        return String::new();
    }
    if let Some(address) = origin::canonical_ipv6(name) {
        return address;
    }
    host.truncate(name.len());
    host
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a path lies below a prefix, segment by segment. The digits of
/// percent-encodings have no case
/// ([RFC 3986, 6.2.2.1](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.1)).
fn covers(prefix: &[u8], path: &[u8]) -> bool {
    let mut digits = 0;
    let mut same = |(a, b): (&u8, &u8)| {
        let digit = digits > 0;
        digits = if *a == b'%' { 2 } else { digits - i32::from(digit) };
        if digit { a.eq_ignore_ascii_case(b) } else { a == b }
    };
    path.split_at_checked(prefix.len()).is_some_and(|(start, rest)| {
        prefix.iter().zip(start).all(&mut same) && matches!(rest.first(), None | Some(b'/'))
    })
}

/// Whether servers may read a path in different ways: empty and dot segments,
/// backslashes, encodings of what needs none, and broken encodings.
fn is_ambiguous(path: &[u8]) -> bool {
    let dots = |segment: &[u8]| {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    };
    path.contains(&b'\\')
        || path.windows(2).any(|pair| pair == b"//")
        || path.split(|b| *b == b'/').any(dots)
        || path.split(|b| *b == b'%').skip(1).any(is_ambiguous_encoding)
}

/// What stands behind a `%`.
fn is_ambiguous_encoding(digits: &[u8]) -> bool {
    let digit = |index: usize| char::from(*digits.get(index)?).to_digit(16);
    let Some(code) = digit(0).zip(digit(1)).map(|(high, low)| high * 16 + low) else {
        return true;
    };
    // Unreserved characters and separators of segments.
    char::from_u32(code).is_some_and(|c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '/' | '\\')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_cover_whole_segments() {
        for (prefix, path) in [
            ("", "/"),
            ("/api", "/api"),
            ("/api", "/api/"),
            ("/api", "/api/x"),
            ("/caf%C3%A9", "/caf%c3%a9/x"),
            ("/a%2Ab", "/a%2ab"),
        ] {
            assert!(covers(prefix.as_bytes(), path.as_bytes()), "{prefix} {path}");
        }
        for (prefix, path) in [
            ("/api", "/apix"),
            ("/api", "/ap"),
            ("/api", "/API"),
            ("/api", "/x/api"),
            ("/%C3A", "/%c3a"),
        ] {
            assert!(!covers(prefix.as_bytes(), path.as_bytes()), "{prefix} {path}");
        }
    }

    #[test]
    fn ambiguous_paths() {
        for path in [
            "//",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..;x/b",
            "/.;",
            "/a\\b",
            "/%2e",
            "/%2E%2e",
            "/a%2fb",
            "/a%5Cb",
            "/%41",
            "/%7e",
            "/%",
            "/%4",
            "/%zz",
            "/a%2",
        ] {
            assert!(is_ambiguous(path.as_bytes()), "{path}");
        }
        for path in ["/", "/a.b", "/...", "/a;..", "/.well-known/x", "/%20", "/caf%C3%A9", "*", ""]
        {
            assert!(!is_ambiguous(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn hosts_of_authorities() {
        for (authority, host) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com:8443", "api.example.com"),
            ("api.example.com.:443", "api.example.com"),
            ("api.example.com:", "api.example.com"),
            ("[::1]:8080", "[::1]"),
            ("[0:0::1]", "[::1]"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("", ""),
            (".example.com", ""),
            ("a..example.com", ""),
        ] {
            assert_eq!(host_of(authority.into()), host, "{authority}");
        }
        assert_eq!(host_of(b"api\xff.example.com".to_vec()), "");
    }
}
