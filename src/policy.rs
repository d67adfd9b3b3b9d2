//! What a policy means: its fields checked, and everything that a decision or
//! an answer needs made ready.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::allowlist::Allowlist;
use crate::config::{
    DisallowedRequests, List, Mode, OriginsConfig, PolicyConfig, UnmatchedPreflights,
    UpstreamHeaders, field_path,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Problem, Severity};
use crate::header::{self, AUTHORIZATION};
use crate::method;
use crate::origin;
use crate::pattern::{HostPattern, InvalidPattern, OriginPattern};

/// The name of the policy at the top level of a configuration.
pub const DEFAULT_NAME: &str = "default";

/// What is allowed for some hosts and paths.
#[derive(Default)]
pub struct Policy {
    pub(crate) index: usize,
    pub(crate) name: Box<str>,
    pub(crate) mode: Mode,
    pub(crate) disallowed_requests: DisallowedRequests,
    pub(crate) unmatched_preflights: UnmatchedPreflights,
    pub(crate) upstream_headers: UpstreamHeaders,
    /// Implies that `origins` is neither `*` nor contains `null`.
    pub(crate) credentials: bool,
    pub(crate) origins: Allowlist,
    pub(crate) methods: Names,
    pub(crate) headers: Names,
    pub(crate) exposed: Names,
    /// The value of ACMA.
    pub(crate) max_age: Option<Box<[u8]>>,
}

/// A list of method or header names.
#[derive(Default)]
pub struct Names {
    /// `*` is listed.
    any: bool,
    /// Sorted, in the case that browsers send.
    listed: Vec<Box<[u8]>>,
    /// The list as a header value, `None` if there is nothing to send.
    value: Option<Box<[u8]>>,
}

impl Policy {
    /// Its place among those that [`deciding`](crate::Policies::deciding) gives.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its name in counters and log lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it acts, or only decides.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The origins of the chosen environment.
    #[must_use]
    pub fn origins(&self) -> &Allowlist {
        &self.origins
    }

    /// Methods beside the safelisted ones; those may be listed as well.
    #[must_use]
    pub fn methods(&self) -> &Names {
        &self.methods
    }

    /// Request headers that scripts may set.
    #[must_use]
    pub fn headers(&self) -> &Names {
        &self.headers
    }

    /// Response headers that scripts may read.
    #[must_use]
    pub fn exposed(&self) -> &Names {
        &self.exposed
    }

    /// Whether cookies and HTTP authentication may go along.
    #[must_use]
    pub fn credentials(&self) -> bool {
        self.credentials
    }

    /// How long browsers may remember a preflight, in seconds.
    #[must_use]
    pub fn max_age(&self) -> Option<u32> {
        std::str::from_utf8(self.max_age.as_deref()?).ok()?.parse().ok()
    }

    /// What becomes of actual requests from other origins.
    #[must_use]
    pub fn disallowed_requests(&self) -> DisallowedRequests {
        self.disallowed_requests
    }

    /// What becomes of preflights from other origins.
    #[must_use]
    pub fn unmatched_preflights(&self) -> UnmatchedPreflights {
        self.unmatched_preflights
    }

    /// Who owns the headers of responses.
    #[must_use]
    pub fn upstream_headers(&self) -> UpstreamHeaders {
        self.upstream_headers
    }

    /// The policy of a request whose path no policy can be trusted with: it
    /// grants nothing, and has every other field at its default.
    pub(crate) fn granting_nobody(index: usize, mode: Mode) -> Self {
        Self { index, mode, name: DEFAULT_NAME.into(), ..Self::default() }
    }

    /// Whether a preflight for this method succeeds
    /// ([CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch-0), step 7.5).
    #[must_use]
    pub fn allows_method(&self, method: &[u8]) -> bool {
        method::is_safelisted(method)
            || self.methods.listed.binary_search_by(|name| (**name).cmp(method)).is_ok()
            || (self.methods.any && method::is_requestable(method))
    }

    /// Whether a preflight for this request header succeeds (steps 7.6 and 7.7
    /// there). `*` covers `authorization` only where there are credentials,
    /// since then the names are written out.
    #[must_use]
    pub fn allows_header(&self, name: &[u8]) -> bool {
        let sent = || name.iter().map(u8::to_ascii_lowercase);
        self.headers.listed.binary_search_by(|listed| listed.iter().copied().cmp(sent())).is_ok()
            || (self.headers.any && (self.credentials || !name.eq_ignore_ascii_case(AUTHORIZATION)))
    }

    /// Compiles the fields of a policy. Where a field has an error, the policy
    /// is still returned, so that the rest can be checked, but is of no use.
    pub(crate) fn compile(
        index: usize,
        config: PolicyConfig<'_>,
        environment: Option<&str>,
        problems: &mut Diagnostics,
    ) -> Self {
        let PolicyConfig {
            at,
            name,
            scope: _, // is for `Policies`
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age,
            allow_credentials: credentials,
            mode,
            disallowed_requests,
            unmatched_preflights,
            upstream_headers,
            dangerously_allow_insecure_origins: insecure,
            dangerously_allow_public_suffixes: public_suffixes,
        } = config;
        let checks = OriginChecks { credentials, insecure, public_suffixes };
        let origins = match allow_origins {
            Some(origins) => choose(origins, environment, &checks, problems),
            None => {
                problems.push(Diagnostic::new(
                    &field_path(&at, "allowOrigins"),
                    Problem::NoAllowOrigins,
                ));
                Allowlist::default()
            }
        };
        if unmatched_preflights == UnmatchedPreflights::Forward
            && upstream_headers == UpstreamHeaders::Replace
        {
            let at = field_path(&at, "unmatchedPreflights");
            problems.push(Diagnostic::new(&at, Problem::ForwardAndReplace));
        }
        Self {
            index,
            name: name.map_or(DEFAULT_NAME.into(), |name| name.text.into()),
            mode,
            disallowed_requests,
            unmatched_preflights,
            upstream_headers,
            credentials,
            origins,
            methods: methods(&allow_methods, credentials, problems),
            headers: headers(&allow_headers, credentials, problems),
            exposed: exposed(&expose_headers, credentials, problems),
            max_age: max_age.map(|seconds| seconds.to_string().into_bytes().into()),
        }
    }
}

impl Names {
    /// Whether `*` is listed.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any
    }

    /// The names but `*`, sorted, in the case that browsers send.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.listed.iter().filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The list as a header value.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

/// What makes an origin unacceptable beside credentials.
struct OriginChecks {
    credentials: bool,
    insecure: bool,
    public_suffixes: bool,
}

/// The origins of the chosen environment; those of the others are checked too.
fn choose(
    origins: OriginsConfig<'_>,
    environment: Option<&str>,
    checks: &OriginChecks,
    problems: &mut Diagnostics,
) -> Allowlist {
    let (at, lists) = match origins {
        OriginsConfig::Same(list) => return checks.allowlist(&list, problems),
        OriginsConfig::PerEnvironment { at, lists } => (at, lists),
    };
    let mut chosen = None;
    for (name, list) in &lists {
        let allowlist = checks.allowlist(list, problems);
        if environment == Some(name) {
            chosen = Some(allowlist);
        }
    }
    chosen.unwrap_or_else(|| {
        let problem = match environment {
            Some(name) => Problem::UnknownEnvironment {
                name: name.to_owned(),
                known: lists.into_iter().map(|(name, _)| name).collect(),
            },
            None => Problem::NoEnvironment,
        };
        problems.push(Diagnostic::new(&at, problem));
        Allowlist::default()
    })
}

impl OriginChecks {
    fn allowlist(&self, list: &List<'_>, problems: &mut Diagnostics) -> Allowlist {
        let bytes = list.items.iter().map(|(_, text)| text.len()).sum();
        let mut allowlist = Allowlist::with_capacity(bytes);
        // Patterns are read twice rather than kept: the list may be long.
        let (mut first_of_their_kind, mut repeated) = (Vec::new(), Vec::new());
        for item @ (index, text) in &list.items {
            match OriginPattern::parse(text) {
                Ok(pattern) if allowlist.insert(&pattern) => first_of_their_kind.push(item),
                Ok(_) => repeated.push(item),
                Err(why) => {
                    let problem = Problem::Pattern(why, meant(text, why));
                    problems.push(Diagnostic::about(&list.path(*index), text, problem));
                }
            }
        }
        report_repeated(list, &repeated, problems);
        for (index, text) in first_of_their_kind {
            if let Ok(pattern) = OriginPattern::parse(text) {
                for problem in self.problems(&pattern, &allowlist) {
                    problems.push(Diagnostic::about(&list.path(*index), text, problem));
                }
            }
        }
        allowlist
    }

    /// What is wrong with an entry that is a pattern and stands there once.
    fn problems(
        &self,
        pattern: &OriginPattern<'_>,
        allowlist: &Allowlist,
    ) -> impl Iterator<Item = Problem> {
        let dangers = match *pattern {
            OriginPattern::Any => [self.credentials.then_some(Problem::AnyWithCredentials), None],
            OriginPattern::Null if self.credentials => [Some(Problem::NullWithCredentials), None],
            OriginPattern::Null => [Some(Problem::Null), None],
            OriginPattern::Tuple { .. } if !self.credentials => [None, None],
            OriginPattern::Tuple { scheme, host, .. } => {
                let insecure = scheme == "http" && !origin::is_loopback(host.domain());
                let public = matches!(host, HostPattern::Below(name) if is_single_label(name));
                [
                    (insecure && !self.insecure).then_some(Problem::InsecureWithCredentials),
                    (public && !self.public_suffixes)
                        .then_some(Problem::PublicSuffixWithCredentials),
                ]
            }
        };
        let useless = match pattern {
            OriginPattern::Any => None,
            _ if allowlist.is_any() => Some(Problem::BesideAny),
            _ => allowlist.covering(pattern).map(|by| Problem::CoveredBy(by.to_string())),
        };
        dangers.into_iter().flatten().chain(useless)
    }
}

/// Reports entries that stand earlier in the list already.
fn report_repeated(
    list: &List<'_>,
    repeated: &[&(usize, Cow<'_, str>)],
    problems: &mut Diagnostics,
) {
    if repeated.is_empty() {
        return;
    }
    // One walk over the list, however many there are.
    let mut first: HashMap<String, String> = HashMap::new();
    for (index, text) in list.items.iter().rev() {
        first.insert(text.to_string(), list.path(*index));
    }
    for (index, text) in repeated {
        let first = first.get(&**text).cloned().unwrap_or_default();
        let problem = Problem::EntryTwice(first);
        problems.push(Diagnostic::about(&list.path(*index), text, problem));
    }
}

/// A top-level domain is a public suffix; `localhost` belongs to everybody's
/// own machine.
fn is_single_label(domain: &str) -> bool {
    !domain.strip_suffix('.').unwrap_or(domain).contains('.') && !origin::is_loopback(domain)
}

/// The pattern that somebody may have meant who wrote `text`.
fn meant(text: &str, why: InvalidPattern) -> Option<String> {
    if matches!(why, InvalidPattern::MisplacedWildcard | InvalidPattern::RegularExpression) {
        return None;
    }
    let text = text.trim().to_ascii_lowercase();
    if OriginPattern::parse(&text).is_ok() {
        return Some(text);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or_else(|| {
        let local = text.split(':').next().is_some_and(origin::is_loopback);
        (if local { "http" } else { "https" }, &text)
    });
    let authority = rest.split(['/', '\\', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = origin::canonical_ipv6(host).unwrap_or_else(|| host.to_owned());
    let port = port.filter(|port| port.parse().ok() != origin::default_port(scheme));
    let meant = match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    OriginPattern::parse(&meant).is_ok().then_some(meant)
}

fn methods(list: &List<'_>, credentials: bool, problems: &mut Diagnostics) -> Names {
    let check = |name: &str| {
        if method::is_forbidden(name.as_bytes()) {
            Some(Problem::ForbiddenMethod)
        } else if !header::is_token(name.as_bytes()) {
            Some(Problem::InvalidMethod)
        } else {
            method::is_safelisted(name.as_bytes()).then_some(Problem::SafelistedMethod)
        }
    };
    let names = NameList::read(list, |text| method::normalize(text).to_owned(), check, problems);
    names.report_covered(|name| !method::is_safelisted(name.as_bytes()), problems);
    names.finish(!credentials, "")
}

fn headers(list: &List<'_>, credentials: bool, problems: &mut Diagnostics) -> Names {
    let check = |name: &str| {
        if !header::is_token(name.as_bytes()) {
            Some(Problem::InvalidHeader)
        } else if header::is_prohibited(name) {
            Some(Problem::ProhibitedHeader)
        } else {
            header::is_forbidden_request_name(name).then_some(Problem::ForbiddenRequestHeader)
        }
    };
    let names = NameList::read(list, str::to_ascii_lowercase, check, problems);
    let authorization = |name: &str| name.as_bytes() == AUTHORIZATION;
    names.report_covered(|name| credentials || !authorization(name), problems);
    let beside =
        if names.names.iter().any(|(_, name)| authorization(name)) { ",authorization" } else { "" };
    names.finish(!credentials, beside)
}

fn exposed(list: &List<'_>, credentials: bool, problems: &mut Diagnostics) -> Names {
    let check = |name: &str| {
        if !header::is_token(name.as_bytes()) {
            Some(Problem::InvalidHeader)
        } else if header::is_prohibited(name) {
            Some(Problem::ProhibitedHeader)
        } else if header::is_forbidden_response_name(name) {
            Some(Problem::ForbiddenResponseHeader)
        } else {
            let safelisted = header::is_safelisted_response_name(name);
            safelisted.then_some(Problem::SafelistedResponseHeader)
        }
    };
    let names = NameList::read(list, str::to_ascii_lowercase, check, problems);
    if let (Some(index), true) = (names.any, credentials) {
        let problem = Problem::AnyExposedWithCredentials;
        problems.push(Diagnostic::about(&list.path(index), "*", problem));
    }
    names.report_covered(|name| !header::is_safelisted_response_name(name), problems);
    names.finish(true, "")
}

/// The acceptable names of a list, with their places.
struct NameList<'c> {
    list: &'c List<'c>,
    /// Where `*` stands.
    any: Option<usize>,
    names: Vec<(usize, String)>,
}

impl<'c> NameList<'c> {
    fn read(
        list: &'c List<'c>,
        normalize: impl Fn(&str) -> String,
        check: impl Fn(&str) -> Option<Problem>,
        problems: &mut Diagnostics,
    ) -> Self {
        let mut read = Self { list, any: None, names: Vec::new() };
        for (index, text) in &list.items {
            let at = list.path(*index);
            let name = normalize(text);
            let any = read.any.filter(|_| name == "*");
            let twice = read.names.iter().find(|(_, known)| *known == name);
            if let Some(first) = any.or(twice.map(|(first, _)| *first)) {
                let problem = Problem::EntryTwice(list.path(first));
                problems.push(Diagnostic::about(&at, text, problem));
                continue;
            }
            if name == "*" {
                read.any = Some(*index);
                continue;
            }
            let problem = check(&name).map(|problem| Diagnostic::about(&at, text, problem));
            let usable = !problem.as_ref().is_some_and(|p| p.severity() == Severity::Error);
            problem.into_iter().for_each(|problem| problems.push(problem));
            if usable {
                read.names.push((*index, name));
            }
        }
        read
    }

    /// Reports names that `*` makes useless.
    fn report_covered(&self, covers: impl Fn(&str) -> bool, problems: &mut Diagnostics) {
        let covered = self.names.iter().filter(|(_, name)| self.any.is_some() && covers(name));
        for (index, name) in covered {
            let problem = Problem::CoveredBy("*".to_owned());
            problems.push(Diagnostic::about(&self.list.path(*index), name, problem));
        }
    }

    /// `literal`: whether browsers understand a `*` in the header; where they do
    /// not, its value is made for each request. `beside` is what stands behind it.
    fn finish(self, literal: bool, beside: &str) -> Names {
        let any = self.any.is_some();
        let names: Vec<String> = self.names.into_iter().map(|(_, name)| name).collect();
        let value = if any && literal { format!("*{beside}") } else { names.join(",") };
        let mut listed: Vec<Box<[u8]>> =
            names.into_iter().map(|name| name.into_bytes().into()).collect();
        listed.sort_unstable();
        Names { any, listed, value: (!value.is_empty()).then(|| value.into_bytes().into()) }
    }
}
