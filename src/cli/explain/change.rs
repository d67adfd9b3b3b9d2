//! The smallest change to a policy that allows a request, found by trying.
//!
//! Each step at which a browser refuses has one remedy: the entry that the
//! policy lacks, and nothing wider. It is put into a copy of the configuration,
//! and the request is played through again, until it is allowed.

use std::borrow::Cow;

use envoy_cors::Policies;
use envoy_cors::browser::{Credentials, Denial, Failure, Request};
use envoy_cors::config::{
    Config, List, Mode, OriginsConfig, PolicyConfig, ScopeConfig, Text, element_path,
};
use envoy_cors::diagnostic::{Diagnostic, Diagnostics, Severity};
use envoy_cors::origin::{Origin, is_loopback};
use url::Url;

use super::course::{Course, End};
use super::edit::path;
use super::selection::{name, written};

/// One entry of a configuration that is put in, or taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A new policy for a host, with this name. It grants nothing yet.
    Policy { name: String, host: String },
    /// `mode: enforce`
    Enforce,
    /// `allowCredentials: true`
    Credentials,
    /// An element of `allowOrigins`.
    Origin(String),
    /// An element of `allowMethods`.
    Method(String),
    /// An element of `allowHeaders`.
    Header(String),
    /// The element at this path goes, for the filter refuses it beside the rest.
    Without(String),
}

/// What would allow a request.
pub enum Remedy {
    /// This, all of it.
    Change(Vec<Part>),
    /// This, but the filter refuses it.
    Refused { parts: Vec<Part>, problems: Vec<Diagnostic> },
    /// Nothing that a policy could say.
    Nothing,
}

/// Another way, tried out as well.
pub struct Instead {
    /// What the page or whoever keeps the policy has to do.
    pub what: &'static str,
    /// The request as it is then.
    pub request: Request,
    /// What the policy needs beside that.
    pub parts: Vec<Part>,
}

impl Instead {
    fn new(what: &'static str, request: Request, remedy: Remedy) -> Option<Self> {
        match remedy {
            Remedy::Change(parts) => Some(Self { what, request, parts }),
            Remedy::Refused { .. } | Remedy::Nothing => None,
        }
    }
}

/// A configuration to be changed for a request.
pub struct Search<'c> {
    pub config: &'c Config<'c>,
    pub environment: Option<&'c str>,
    pub url: &'c Url,
    /// The place of the policy to change: the request's own, or a new one.
    pub at: String,
}

impl<'c> Search<'c> {
    pub fn new(
        config: &'c Config<'c>,
        environment: Option<&'c str>,
        url: &'c Url,
        policy: Option<&PolicyConfig<'_>>,
    ) -> Self {
        let new = || format!("policies[{}]", config.policies.len());
        let at = policy.map_or_else(new, |policy| policy.at.clone());
        Self { config, environment, url, at }
    }

    /// The smallest change that allows a request.
    pub fn remedy(&self, request: &Request) -> Remedy {
        self.grow(request, Vec::new())
    }

    /// Other ways, where the smallest change is refused or not the best.
    pub fn instead(&self, request: &Request, remedy: &Remedy) -> Vec<Instead> {
        match remedy {
            Remedy::Change(parts) => self.upper_case(request, parts).into_iter().collect(),
            Remedy::Refused { parts, problems } => self.beside(request, parts, problems),
            Remedy::Nothing => Vec::new(),
        }
    }

    /// `patch`, where the policy lists `PATCH`.
    fn upper_case(&self, request: &Request, parts: &[Part]) -> Option<Instead> {
        let is_method = |part: &Part| matches!(part, Part::Method(_));
        if !parts.iter().any(is_method) {
            return None;
        }
        let what = "write the method in upper case in the page's code, for browsers send it as it is there";
        let request = Request { method: request.method.to_ascii_uppercase(), ..request.clone() };
        let remedy = self.remedy(&request);
        Instead::new(what, request, remedy).filter(|way| !way.parts.iter().any(is_method))
    }

    fn beside(&self, request: &Request, parts: &[Part], problems: &[Diagnostic]) -> Vec<Instead> {
        let without = |problem: &Diagnostic| Part::Without(problem.at.clone());
        let mut ways = Vec::new();
        if request.credentials == Credentials::Include {
            let request = Request { credentials: Credentials::SameOrigin, ..request.clone() };
            let remedy = self.remedy(&request);
            ways.extend(Instead::new("let the page ask without credentials", request, remedy));
        }
        let page = Origin::parse(&request.page);
        if page.is_ok_and(|page| page.scheme == "http" && !is_loopback(page.host)) {
            let page = request.page.replacen("http://", "https://", 1);
            let request = Request { page, ..request.clone() };
            let remedy = match self.remedy(&request) {
                Remedy::Refused { problems, .. } => {
                    self.grow(&request, problems.iter().map(without).collect())
                }
                remedy => remedy,
            };
            ways.extend(Instead::new("serve the page over https", request, remedy));
        }
        let own = |problem: &&Diagnostic| problem.value.as_deref() == Some(&request.page);
        let others = problems.iter().filter(|problem| !own(problem)).map(without);
        let remedy = self.grow(request, parts.iter().cloned().chain(others).collect());
        let what = "take away what the filter refuses beside it, from whoever needs it";
        ways.extend(Instead::new(what, request.clone(), remedy));
        ways
    }

    /// Adds what is missing, part by part; then takes away what was not needed.
    fn grow(&self, request: &Request, mut parts: Vec<Part>) -> Remedy {
        loop {
            let config = self.changed(&parts);
            let mut problems = Diagnostics::default();
            let policies = Policies::compile(config.clone(), self.environment, &mut problems);
            let Some(policies) = policies else {
                let errors = problems.iter().filter(|p| p.severity() == Severity::Error);
                return Remedy::Refused { parts, problems: errors.cloned().collect() };
            };
            let course = Course::of(&policies, request, self.url);
            if course.is_allowed() {
                return Remedy::Change(self.shrink(request, parts));
            }
            match self.missing(&config, &course, request) {
                Some(part) if !parts.contains(&part) => parts.push(part),
                _ => return Remedy::Nothing,
            }
        }
    }

    fn shrink(&self, request: &Request, mut parts: Vec<Part>) -> Vec<Part> {
        for index in (0..parts.len()).rev() {
            let mut fewer = parts.clone();
            fewer.remove(index);
            if self.allows(request, &fewer) {
                parts = fewer;
            }
        }
        parts
    }

    /// Whether the filter takes the changed configuration, and a page can then
    /// read the response.
    pub fn allows(&self, request: &Request, parts: &[Part]) -> bool {
        let problems = &mut Diagnostics::default();
        Policies::compile(self.changed(parts), self.environment, problems)
            .is_some_and(|policies| Course::of(&policies, request, self.url).is_allowed())
    }

    /// The remedy of the step at which a request fails.
    fn missing(&self, config: &Config<'_>, course: &Course, request: &Request) -> Option<Part> {
        let last = course.actual.as_ref().or(course.preflight.as_ref())?;
        let Some(decision) = &last.decision else { return self.new_policy() };
        if written(config, decision)?.mode == Mode::Shadow {
            return Some(Part::Enforce);
        }
        match &course.end {
            End::Refused(Failure::Preflight(denial) | Failure::Response(denial)) => match denial {
                Denial::AnyWithCredentials | Denial::NoCredentials(_) => Some(Part::Credentials),
                _ => Some(Part::Origin(request.page.clone())),
            },
            End::Refused(Failure::Method { method, .. }) => Some(Part::Method(method.clone())),
            End::Refused(Failure::Header { name, .. }) => Some(Part::Header(name.clone())),
            End::Refused(Failure::Authorization { .. }) => {
                Some(Part::Header("authorization".to_owned()))
            }
            End::Rejected => Some(Part::Origin(request.origin_header()?.to_owned())),
            _ => None,
        }
    }

    fn new_policy(&self) -> Option<Part> {
        let host = self.url.host_str()?.to_owned();
        let grammar = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let stem: String = host.chars().map(grammar).take(48).collect();
        let taken = |candidate: &String| {
            self.config.policies.iter().any(|policy| name(policy) == candidate)
        };
        let mut names = std::iter::once(stem.clone()).chain((2..).map(|n| format!("{stem}-{n}")));
        Some(Part::Policy { name: names.find(|candidate| !taken(candidate))?, host })
    }

    /// A copy of the configuration with all parts in it.
    pub fn changed(&self, parts: &[Part]) -> Config<'c> {
        let mut config = self.config.clone();
        for part in parts {
            self.apply(part, &mut config);
        }
        config
    }

    fn apply(&self, part: &Part, config: &mut Config<'c>) {
        let environment = config.environment.as_ref().map(|environment| environment.text.clone());
        let environment = self.environment.map(str::to_owned).or(environment);
        if let Part::Policy { name, host } = part {
            config.policies.push(policy_for(self.at.clone(), name, host));
        }
        if let Part::Without(path) = part {
            for policy in config.policies.iter_mut().chain(&mut config.default) {
                for list in lists(policy) {
                    let at = list.at.clone();
                    list.items.retain(|(index, _)| element_path(&at, *index) != *path);
                }
            }
        }
        let mut policies = config.policies.iter_mut().chain(&mut config.default);
        let Some(policy) = policies.find(|policy| policy.at == self.at) else { return };
        match part {
            Part::Policy { .. } | Part::Without(_) => {}
            Part::Enforce => policy.mode = Mode::Enforce,
            Part::Credentials => policy.allow_credentials = true,
            Part::Method(name) => {
                let at = path(policy, "allowMethods");
                push(&mut policy.allow_methods, at, name);
            }
            Part::Header(name) => {
                let at = path(policy, "allowHeaders");
                push(&mut policy.allow_headers, at, name);
            }
            Part::Origin(origin) => {
                if let Some(list) = origins(policy, environment.as_deref()) {
                    push(list, String::new(), origin);
                }
            }
        }
    }
}

/// Adds an element to a list; `at` is its path if it was not written.
fn push(list: &mut List<'_>, at: String, text: &str) {
    if list.at.is_empty() {
        list.at = at;
    }
    let next = list.items.iter().map(|(index, _)| index + 1).max().unwrap_or_default();
    list.items.push((next, Cow::Owned(text.to_owned())));
}

/// The list of origins that is in force.
fn origins<'p, 'c>(
    policy: &'p mut PolicyConfig<'c>,
    environment: Option<&str>,
) -> Option<&'p mut List<'c>> {
    match policy.allow_origins.as_mut()? {
        OriginsConfig::Same(list) => Some(list),
        OriginsConfig::PerEnvironment { lists, .. } => {
            let chosen = |(name, _): &&mut (String, List<'c>)| Some(name.as_str()) == environment;
            lists.iter_mut().find(chosen).map(|(_, list)| list)
        }
    }
}

fn lists<'p, 'c>(policy: &'p mut PolicyConfig<'c>) -> impl Iterator<Item = &'p mut List<'c>> {
    let origins: Vec<_> = match &mut policy.allow_origins {
        None => Vec::new(),
        Some(OriginsConfig::Same(list)) => vec![list],
        Some(OriginsConfig::PerEnvironment { lists, .. }) => {
            lists.iter_mut().map(|(_, list)| list).collect()
        }
    };
    origins.into_iter().chain([&mut policy.expose_headers])
}

fn policy_for(at: String, name: &str, host: &str) -> PolicyConfig<'static> {
    let host = vec![(0, Cow::Owned(host.to_owned()))];
    let hosts = List { at: format!("{at}.match.hosts"), items: host };
    let scope = ScopeConfig { at: format!("{at}.match"), hosts: Some(hosts), path_prefixes: None };
    let origins = List { at: format!("{at}.allowOrigins"), items: Vec::new() };
    PolicyConfig {
        name: Some(Text { at: format!("{at}.name"), text: name.to_owned() }),
        scope: Some(scope),
        allow_origins: Some(OriginsConfig::Same(origins)),
        at,
        ..PolicyConfig::default()
    }
}
