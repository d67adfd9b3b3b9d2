//! What one policy allows beyond another.

use std::collections::HashSet;

use envoy_cors::Policy;
use envoy_cors::allowlist::Allowlist;
use envoy_cors::config::{DisallowedRequests, Mode, UnmatchedPreflights, UpstreamHeaders};
use envoy_cors::header::{AUTHORIZATION, is_safelisted_response_name};
use envoy_cors::pattern::OriginPattern;
use envoy_cors::policy::Names;

use super::request::{Request, origin_beyond, stranger};

/// Who decides on the requests of a region.
#[derive(Clone, Copy)]
pub enum Side<'p> {
    /// Nobody: the filter does not load the configuration.
    Refused,
    /// Upstream alone: no policy is for these requests.
    Upstream,
    /// A policy. It grants nothing if the path is ambiguous.
    Policy { policy: &'p Policy, ambiguous: bool },
}

/// Something that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub kind: Kind,
    /// The origin pattern, the method or the header; empty for all other kinds.
    pub value: String,
    /// A request that shows it.
    pub example: Request,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Origin,
    Method,
    RequestHeader,
    ResponseHeader,
    Credentials,
    /// Requests from origins that are not allowed reach upstream.
    ForwardedRequests,
    /// Their preflights do.
    ForwardedPreflights,
    /// Upstream's own CORS headers reach browsers.
    UpstreamHeaders,
    /// The policy grants what upstream's own headers may not.
    PolicyHeaders,
    /// Upstream decides alone.
    Upstream,
}

impl Kind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Method => "method",
            Self::RequestHeader => "requestHeader",
            Self::ResponseHeader => "responseHeader",
            Self::Credentials => "credentials",
            Self::ForwardedRequests => "forwardedRequests",
            Self::ForwardedPreflights => "forwardedPreflights",
            Self::UpstreamHeaders => "upstreamHeaders",
            Self::PolicyHeaders => "policyHeaders",
            Self::Upstream => "upstream",
        }
    }
}

/// A policy that is in force.
struct Force<'p> {
    policy: &'p Policy,
    /// `None` where nothing is granted.
    origins: Option<&'p Allowlist>,
}

impl<'p> Side<'p> {
    /// Whether its policy only watches.
    pub fn is_shadow(&self) -> bool {
        matches!(self, Side::Policy { policy, .. } if policy.mode() == Mode::Shadow)
    }

    /// What decides in the end: a policy that only watches leaves everything to
    /// upstream, unless `watching` counts.
    pub fn in_force(self, watching: bool) -> Self {
        if self.is_shadow() && !watching { Self::Upstream } else { self }
    }

    fn force(&self) -> Option<Force<'p>> {
        match *self {
            Side::Policy { policy, ambiguous } => {
                Some(Force { policy, origins: (!ambiguous).then_some(policy.origins()) })
            }
            _ => None,
        }
    }
}

/// What `new` allows and `old` does not, in the region of these examples.
///
/// Policies in shadow mode count like others, for whoever compares two of
/// them: an upstream that they leave everything to is [`Side::Upstream`].
pub fn beyond(old: &Side<'_>, new: &Side<'_>, host: &str, path: &str) -> Vec<Grant> {
    let nothing = Allowlist::default();
    let place = (host, path);
    let upstream = |example| Grant { kind: Kind::Upstream, value: String::new(), example };
    let comparison = match (old.force(), new.force()) {
        (Some(old), None) if matches!(new, Side::Upstream) => {
            return withheld(&old, place).map(upstream).into_iter().collect();
        }
        (None, None) if matches!((old, new), (Side::Refused, Side::Upstream)) => {
            return vec![upstream(request(place, &stranger(&[]), None))];
        }
        (_, None) => return Vec::new(),
        (old_force, Some(new)) => Comparison {
            old_origins: old_force.as_ref().and_then(|old| old.origins).unwrap_or(&nothing),
            new_origins: new.origins.unwrap_or(&nothing),
            old: match (old, old_force) {
                (_, Some(force)) => Before::Policy(force.policy),
                (Side::Refused, None) => Before::Nothing,
                (_, None) => Before::Everything,
            },
            new: new.policy,
            place,
        },
    };
    comparison.grants()
}

/// What reaches upstream, and browsers from there, before a policy is in force.
#[derive(Clone, Copy)]
enum Before<'c> {
    Nothing,
    Everything,
    /// What this one leaves.
    Policy(&'c Policy),
}

struct Comparison<'c> {
    old: Before<'c>,
    new: &'c Policy,
    old_origins: &'c Allowlist,
    new_origins: &'c Allowlist,
    /// Host and path of the examples.
    place: (&'c str, &'c str),
}

fn request(place: (&str, &str), origin: &str, preflight: Option<(&str, &str)>) -> Request {
    Request {
        host: place.0.to_owned(),
        path: place.1.to_owned(),
        origin: origin.to_owned(),
        preflight: preflight.map(|(method, names)| (method.to_owned(), names.to_owned())),
    }
}

impl Comparison<'_> {
    fn grants(&self) -> Vec<Grant> {
        let mut grants = self.origins();
        let old = match self.old {
            Before::Policy(old) => old,
            Before::Everything => return grants,
            Before::Nothing => {
                grants.extend(self.forwarded(None));
                return grants;
            }
        };
        // Without origins on both sides, whatever else differs is part of what
        // these are granted.
        if !self.old_origins.is_empty()
            && let Some(origin) = self.some_origin()
        {
            grants.extend(self.methods(old, &origin));
            grants.extend(self.request_headers(old, &origin));
            grants.extend(self.response_headers(old, &origin));
            if keeps(old) && !keeps(self.new) {
                grants.push(self.grant(Kind::PolicyHeaders, "", &origin, None));
            }
            if self.new.credentials() && !old.credentials() {
                grants.push(self.grant(Kind::Credentials, "", &origin, None));
            }
        }
        grants.extend(self.forwarded(Some(old)));
        grants
    }

    fn grant(&self, kind: Kind, value: &str, origin: &str, ask: Option<(&str, &str)>) -> Grant {
        Grant { kind, value: value.to_owned(), example: request(self.place, origin, ask) }
    }

    fn origins(&self) -> Vec<Grant> {
        let patterns = patterns_beyond(self.new_origins, self.old_origins, self.place.0);
        let grant =
            |(text, origin): (String, String)| self.grant(Kind::Origin, &text, &origin, None);
        patterns.map(grant).collect()
    }

    /// An origin that the new policy allows; one that the old policy allows too
    /// if that is easy to find, so that an example differs in one thing only.
    fn some_origin(&self) -> Option<String> {
        let (old, new) = (self.old_origins, self.new_origins);
        let nothing = Allowlist::default();
        let some = |list: &Allowlist, holds: &dyn Fn(&str) -> bool| {
            let mut patterns: Vec<_> = list.patterns().collect();
            patterns.sort_by_cached_key(ToString::to_string);
            let mut origins =
                patterns.iter().filter_map(|p| origin_beyond(p, list, &nothing, self.place.0));
            origins.find(|origin| holds(origin))
        };
        some(new, &|origin| old.contains(origin.as_bytes()))
            .or_else(|| some(old, &|origin| new.contains(origin.as_bytes())))
            .or_else(|| some(new, &|_| true))
    }

    fn methods(&self, old: &Policy, origin: &str) -> Vec<Grant> {
        let asked = |method: &str| Some((method.to_owned(), String::new()));
        let is_new = |method: &&str| {
            self.new.allows_method(method.as_bytes()) && !old.allows_method(method.as_bytes())
        };
        let grant = |value: &str, ask: Option<(String, String)>| {
            let ask = ask.as_ref().map(|(method, names)| (method.as_str(), names.as_str()));
            self.grant(Kind::Method, value, origin, ask)
        };
        if self.new.methods().any() {
            if old.methods().any() {
                return Vec::new();
            }
            return vec![grant("*", asked(&refused_method(old)))];
        }
        self.new
            .methods()
            .iter()
            .filter(is_new)
            .map(|method| grant(method, asked(method)))
            .collect()
    }

    fn request_headers(&self, old: &Policy, origin: &str) -> Vec<Grant> {
        let is_new = |name: &str| {
            self.new.allows_header(name.as_bytes()) && !old.allows_header(name.as_bytes())
        };
        let grant = |value: &str, name: &str| {
            self.grant(Kind::RequestHeader, value, origin, Some(("GET", name)))
        };
        let mut grants = Vec::new();
        if self.new.headers().any() {
            let mut some = (0..=names_in(old.headers())).map(|n| format!("x-any-{n}"));
            grants.extend(some.find(|name| is_new(name)).map(|name| grant("*", &name)));
            // The one that `*` does not always stand for.
            let authorization = std::str::from_utf8(AUTHORIZATION).unwrap_or_default();
            grants.extend(is_new(authorization).then(|| grant(authorization, authorization)));
        } else {
            let names = self.new.headers().iter().filter(|name| is_new(name));
            grants.extend(names.map(|name| grant(name, name)));
        }
        grants
    }

    fn response_headers(&self, old: &Policy, origin: &str) -> Vec<Grant> {
        let (old, new) = (old.exposed(), self.new.exposed());
        let grant = |value: &str| self.grant(Kind::ResponseHeader, value, origin, None);
        if old.any() {
            Vec::new()
        } else if new.any() {
            vec![grant("*")]
        } else {
            let known: HashSet<&str> = old.iter().collect();
            let names = new.iter().filter(|name| !is_safelisted_response_name(name));
            names.filter(|name| !known.contains(name)).map(grant).collect()
        }
    }

    /// What reaches upstream, or browsers from there, and did not under an old
    /// policy, or without one.
    fn forwarded(&self, old: Option<&Policy>) -> Vec<Grant> {
        let (new, any) = (self.new, self.new_origins.is_any());
        let rejected = old.is_none_or(rejects);
        let [forwarded, kept] = [forwards, keeps].map(|leaves| old.is_some_and(leaves));
        let lists = [self.old_origins, self.new_origins];
        let mut grants = Vec::new();
        if rejected && !rejects(new) && !self.old_origins.is_any() && !any {
            grants.push(self.grant(Kind::ForwardedRequests, "", &stranger(&lists), None));
        }
        if forwards(new) && !any {
            // Preflights from origins that were listed may have been refused for
            // their method.
            let lost = patterns_beyond(self.old_origins, self.new_origins, self.place.0).next();
            let lost = lost.map(|(_, origin)| origin);
            let others = || (!forwarded).then(|| stranger(&lists));
            let origin = if self.old_origins.is_any() { lost } else { others().or(lost) };
            let method = old.map_or_else(|| "PUT".to_owned(), refused_method);
            grants.extend(origin.map(|origin| {
                self.grant(Kind::ForwardedPreflights, "", &origin, Some((&method, "")))
            }));
        }
        if keeps(new) && !kept {
            let allowed = self.some_origin();
            let origin = allowed.or_else(|| (!rejects(new)).then(|| stranger(&lists)));
            grants
                .extend(origin.map(|origin| self.grant(Kind::UpstreamHeaders, "", &origin, None)));
        }
        grants
    }
}

/// The patterns of a list that stand for origins that `other` does not hold,
/// sorted, each with such an origin.
fn patterns_beyond(
    list: &Allowlist,
    other: &Allowlist,
    host: &str,
) -> impl Iterator<Item = (String, String)> {
    let known: HashSet<String> = other.patterns().map(|pattern| pattern.to_string()).collect();
    let mut patterns: Vec<(String, OriginPattern<'_>)> = list
        .patterns()
        // The others stand beside `*` for nothing.
        .filter(|pattern| !list.is_any() || *pattern == OriginPattern::Any)
        .map(|pattern| (pattern.to_string(), pattern))
        .filter(|(text, pattern)| !known.contains(text) && other.covering(pattern).is_none())
        .filter(|_| !other.is_any())
        .collect();
    patterns.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    patterns
        .into_iter()
        .filter_map(|(text, pattern)| Some((text, origin_beyond(&pattern, list, other, host)?)))
}

/// A request that a policy withholds something from that upstream alone would
/// decide on; `None` if it leaves everything to upstream as it is.
fn withheld(force: &Force<'_>, place: (&str, &str)) -> Option<Request> {
    let nothing = Allowlist::default();
    let (policy, origins) = (force.policy, force.origins.unwrap_or(&nothing));
    let method = refused_method(policy);
    let preflight = Some((method.as_str(), ""));
    let others = stranger(&[origins]);
    if origins.is_any() {
        Some(request(place, &others, preflight))
    } else if rejects(policy) || !keeps(policy) {
        Some(request(place, &others, None))
    } else if !forwards(policy) {
        Some(request(place, &others, preflight))
    } else {
        let listed = origins.patterns().find_map(|p| origin_beyond(&p, origins, &nothing, place.0));
        listed.map(|origin| request(place, &origin, preflight))
    }
}

fn rejects(policy: &Policy) -> bool {
    policy.disallowed_requests() == DisallowedRequests::Reject
}

fn forwards(policy: &Policy) -> bool {
    policy.unmatched_preflights() == UnmatchedPreflights::Forward
}

fn keeps(policy: &Policy) -> bool {
    policy.upstream_headers() == UpstreamHeaders::Keep
}

/// A method that a policy allows nobody. One that no page can send is left
/// where it allows all.
fn refused_method(policy: &Policy) -> String {
    let named = ["PUT", "PATCH", "DELETE"].map(str::to_owned);
    let numbered = (0..=names_in(policy.methods())).map(|n| format!("ANY-{n}"));
    let mut methods = named.into_iter().chain(numbered);
    let refused = methods.find(|method| !policy.allows_method(method.as_bytes()));
    refused.unwrap_or_else(|| "CONNECT".to_owned())
}

fn names_in(names: &Names) -> usize {
    names.iter().count()
}
