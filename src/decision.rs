//! What a policy says about one request, and what is answered.
//!
//! This is the server's half of the
//! [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol), and the
//! only place that chooses protocol answers. A request is classified by
//! [`decide`]; the decision is then either answered at once
//! ([`Decision::reply`]) or kept until the response comes
//! ([`Decision::edits`]).

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::{DisallowedRequests, Mode, UnmatchedPreflights, UpstreamHeaders};
use crate::header::{self, request, response};
use crate::origin;
use crate::policy::Policy;
use crate::scope::{Policies, Scoped};

/// What was decided, and why.
pub struct Decision {
    policy: Rc<Policy>,
    outcome: Outcome,
    /// The request's own; empty if it has none.
    origin: Vec<u8>,
    grant: Grant,
    /// What a preflight asks for; empty for all other requests.
    requested: Requested,
}

/// The reason of a decision, in the order of Fetch's checks. The names are
/// those of the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No `Origin`: not a [CORS request](https://fetch.spec.whatwg.org/#cors-request).
    NotCors,
    /// An actual request from an allowed origin.
    ActualAllowed,
    /// One from an origin that is not allowed, forwarded.
    ActualDenied,
    /// One from the gateway's own origin, which needs no permission.
    SameOrigin,
    /// One from an origin that is not allowed, refused.
    ActualRejected,
    /// A [CORS-preflight request](https://fetch.spec.whatwg.org/#cors-preflight-request) that succeeds.
    PreflightAllowed,
    /// One from an origin that is not allowed, refused.
    PreflightDeniedOrigin,
    /// One for a method that is not allowed.
    PreflightDeniedMethod,
    /// One for a header that is not allowed.
    PreflightDeniedHeaders,
    /// One from an origin that is not allowed, left to upstream.
    PreflightForwarded,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NotCors,
        Self::ActualAllowed,
        Self::ActualDenied,
        Self::SameOrigin,
        Self::ActualRejected,
        Self::PreflightAllowed,
        Self::PreflightDeniedOrigin,
        Self::PreflightDeniedMethod,
        Self::PreflightDeniedHeaders,
        Self::PreflightForwarded,
    ];

    /// Whether the policy withholds what the request needs.
    #[must_use]
    pub fn is_denial(self) -> bool {
        match self {
            Self::NotCors | Self::ActualAllowed | Self::SameOrigin | Self::PreflightAllowed => {
                false
            }
            Self::ActualDenied
            | Self::ActualRejected
            | Self::PreflightDeniedOrigin
            | Self::PreflightDeniedMethod
            | Self::PreflightDeniedHeaders
            | Self::PreflightForwarded => true,
        }
    }

    /// What counters and the access log call a decision of `policy`:
    /// `policy.<name>.<outcome>`, in shadow mode `shadow.<name>.<outcome>`.
    #[must_use]
    pub fn label(self, policy: &Policy) -> String {
        let family = match policy.mode {
            Mode::Enforce => "policy",
            Mode::Shadow => "shadow",
        };
        format!("{family}.{}.{}", policy.name, self.name())
    }

    /// Its name in counters and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotCors => "not_cors",
            Self::ActualAllowed => "actual_allowed",
            Self::ActualDenied => "actual_denied",
            Self::SameOrigin => "same_origin",
            Self::ActualRejected => "actual_rejected",
            Self::PreflightAllowed => "preflight_allowed",
            Self::PreflightDeniedOrigin => "preflight_denied_origin",
            Self::PreflightDeniedMethod => "preflight_denied_method",
            Self::PreflightDeniedHeaders => "preflight_denied_headers",
            Self::PreflightForwarded => "preflight_forwarded",
        }
    }
}

/// Whom the response is for.
enum Grant {
    /// Every origin, with the constant `*`.
    Everybody,
    /// The request's own origin.
    Origin,
    /// Nobody, and what upstream grants is taken away.
    Nobody,
    /// Nobody who has to ask: nothing is granted, nothing removed.
    Unasked,
}

/// The request that a preflight announces.
#[derive(Default)]
struct Requested {
    method: Vec<u8>,
    headers: Vec<u8>,
}

/// Decides on a request.
///
/// `header` gives the value of a request header or pseudo-header, and is asked
/// only for those that matter here; several lines of one header arrive joined
/// by commas. An empty header counts as absent. `None` means that no policy
/// covers the request, which is then none of ours.
pub fn decide(policies: &Policies, header: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Decision> {
    let header = |name: &str| header(name).filter(|value| !value.is_empty());
    let Scoped { policy, ambiguous } = policies.select(&header)?;
    let any = policy.origins.is_any() && !ambiguous;

    let Some(origin) = header(request::ORIGIN) else {
        let grant = if any { Grant::Everybody } else { Grant::Unasked };
        return Some(Decision::new(policy, Outcome::NotCors, grant));
    };
    let allowed = !ambiguous && policy.origins.contains(&origin);
    let mut requested = Requested::default();
    let outcome = match preflight_method(header) {
        Some(method) if allowed => {
            requested = Requested { method, headers: header(request::ACRH).unwrap_or_default() };
            check_preflight(&policy, &requested)
        }
        Some(_) => match policy.unmatched_preflights {
            UnmatchedPreflights::Reject => Outcome::PreflightDeniedOrigin,
            UnmatchedPreflights::Forward => Outcome::PreflightForwarded,
        },
        None if allowed => Outcome::ActualAllowed,
        None if is_same_origin(&origin, header) => Outcome::SameOrigin,
        None => match policy.disallowed_requests {
            DisallowedRequests::Forward => Outcome::ActualDenied,
            DisallowedRequests::Reject => Outcome::ActualRejected,
        },
    };
    let grant = match outcome {
        Outcome::SameOrigin | Outcome::PreflightForwarded => Grant::Unasked,
        _ if any => Grant::Everybody,
        _ if allowed => Grant::Origin,
        _ => Grant::Nobody,
    };
    Some(Decision { origin, requested, ..Decision::new(policy, outcome, grant) })
}

/// The method that a CORS request asks for, if it is a
/// [CORS-preflight request](https://fetch.spec.whatwg.org/#cors-preflight-request).
/// ACRM comes first because most requests do not have it.
fn preflight_method(header: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let method = header(request::ACRM)?;
    header(request::METHOD).is_some_and(|method| method == b"OPTIONS").then_some(method)
}

/// The checks that a browser makes on the answer to a preflight, in its order:
/// [CORS-preflight fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch-0),
/// step 7. The origin has passed already.
fn check_preflight(policy: &Policy, requested: &Requested) -> Outcome {
    if !policy.allows_method(&requested.method) {
        return Outcome::PreflightDeniedMethod;
    }
    let allowed = header::requested_names(&requested.headers)
        .is_some_and(|mut names| names.all(|name| policy.allows_header(name)));
    if allowed { Outcome::PreflightAllowed } else { Outcome::PreflightDeniedHeaders }
}

/// Whether the browser sends `Origin` though the page is the gateway's own, as
/// it does on every request but GET and HEAD
/// ([append a request `Origin` header](https://fetch.spec.whatwg.org/#append-a-request-origin-header)).
fn is_same_origin(origin: &[u8], header: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    is_own_origin(origin, &header)
        || header(request::SEC_FETCH_SITE)
            .is_some_and(|site| matches!(&*site, b"same-origin" | b"none"))
}

/// Whether an origin is that of a page that the request's own `:scheme` and
/// `:authority` name.
fn is_own_origin(origin: &[u8], header: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let authority = header(request::AUTHORITY).unwrap_or_default();
    let Ok(authority) = String::from_utf8(authority) else { return false };
    let own_host = match authority.rsplit_once(':') {
        Some((host, port)) if is_default_port(scheme, port) => host,
        _ => &authority,
    };
    // Clients may write these in any case, browsers write origins in lower case.
    let is = |own: &[u8], text: &str| own.iter().map(u8::to_ascii_lowercase).eq(text.bytes());
    is(own_host.as_bytes(), host) && header(request::SCHEME).is_some_and(|own| is(&own, scheme))
}

fn is_default_port(scheme: &str, port: &str) -> bool {
    port.parse().is_ok_and(|port: u16| Some(port) == origin::default_port(scheme))
}

/// An answer that the filter gives itself. The body is empty.
pub struct Reply<'d> {
    /// The status code.
    pub status: u32,
    /// The headers, in order.
    pub headers: Vec<(&'static str, Cow<'d, [u8]>)>,
    /// Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub details: &'static str,
}

/// A change of one header of a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit<'d> {
    /// The header has this one value, whatever it had.
    Set(&'static str, &'d [u8]),
    /// The header's list gets one more element.
    Append(&'static str, &'d [u8]),
    /// There is no such header.
    Remove(&'static str),
}

/// What an answer to a preflight depends on. Shared caches do not keep answers
/// to OPTIONS unless told to, and then must not mix them.
const PREFLIGHT_VARY: &[u8] =
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

impl Decision {
    fn new(policy: Rc<Policy>, outcome: Outcome, grant: Grant) -> Self {
        Self { policy, outcome, origin: Vec::new(), grant, requested: Requested::default() }
    }

    /// The policy that decided.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What it decided, and why. In shadow mode it is not acted upon.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The request's `Origin`, any bytes; empty if it has none.
    #[must_use]
    pub fn origin(&self) -> &[u8] {
        &self.origin
    }

    /// What a refused preflight asked for in vain: the method, or the first
    /// header that is not allowed. Any bytes; empty for all other decisions,
    /// and where the list of headers cannot be read.
    #[must_use]
    pub fn refused(&self) -> &[u8] {
        match self.outcome {
            Outcome::PreflightDeniedMethod => &self.requested.method,
            Outcome::PreflightDeniedHeaders => header::requested_names(&self.requested.headers)
                .and_then(|mut names| names.find(|name| !self.policy.allows_header(name)))
                .unwrap_or_default(),
            _ => b"",
        }
    }

    /// Whether an entry of the policy's `allowOrigins` allows the origin.
    #[must_use]
    pub fn allows_origin(&self) -> bool {
        !self.origin.is_empty() && self.allow_origin().is_some()
    }

    /// What counters and the access log call it, as [`Outcome::label`].
    #[must_use]
    pub fn label(&self) -> String {
        self.outcome.label(&self.policy)
    }

    /// The answer to a request that does not go upstream.
    #[must_use]
    pub fn reply(&self) -> Option<Reply<'_>> {
        if self.policy.mode == Mode::Shadow {
            return None;
        }
        let (status, details) = match self.outcome {
            Outcome::PreflightAllowed => (204, "cors_preflight"),
            Outcome::PreflightDeniedOrigin => (403, "cors_preflight_denied_origin"),
            Outcome::PreflightDeniedMethod => (204, "cors_preflight_denied_method"),
            Outcome::PreflightDeniedHeaders => (204, "cors_preflight_denied_headers"),
            Outcome::ActualRejected => (403, "cors_origin_rejected"),
            Outcome::NotCors
            | Outcome::ActualAllowed
            | Outcome::ActualDenied
            | Outcome::SameOrigin
            | Outcome::PreflightForwarded => return None,
        };
        let mut headers = Vec::with_capacity(6);
        self.push_preflight_grant(&mut headers);
        let vary: &[u8] =
            if self.outcome == Outcome::ActualRejected { b"Origin" } else { PREFLIGHT_VARY };
        headers.push((response::VARY, Cow::Borrowed(vary)));
        Some(Reply { status, headers, details })
    }

    /// ACAO, ACAC, ACAM, ACAH and ACMA, if the origin is allowed: also where
    /// the method or a header is not, so that the browser's console can name
    /// what failed.
    fn push_preflight_grant<'d>(&'d self, headers: &mut Vec<(&'static str, Cow<'d, [u8]>)>) {
        let Some(origin) = self.allow_origin() else { return };
        let policy = &self.policy;
        headers.push((response::ALLOW_ORIGIN, origin.into()));
        if policy.credentials {
            headers.push((response::ALLOW_CREDENTIALS, Cow::Borrowed(b"true")));
        }
        if let Some(methods) = self.allow_methods() {
            headers.push((response::ALLOW_METHODS, methods.into()));
        }
        if let Some(names) = self.allow_headers() {
            headers.push((response::ALLOW_HEADERS, names));
        }
        if let (Some(max_age), Outcome::PreflightAllowed) = (&policy.max_age, self.outcome) {
            headers.push((response::MAX_AGE, Cow::Borrowed(max_age)));
        }
    }

    fn allow_origin(&self) -> Option<&[u8]> {
        match &self.grant {
            Grant::Everybody => Some(b"*"),
            Grant::Origin => Some(&self.origin),
            Grant::Nobody | Grant::Unasked => None,
        }
    }

    /// The policy's list; with credentials, where `*` would be a method of that
    /// name, the method that was asked for.
    fn allow_methods(&self) -> Option<&[u8]> {
        let Policy { credentials, methods, .. } = &*self.policy;
        if *credentials && methods.any() && self.policy.allows_method(&self.requested.method) {
            Some(&self.requested.method)
        } else {
            methods.value()
        }
    }

    /// The policy's list; with credentials, where `*` would be a header of that
    /// name, the names that were asked for, written anew.
    fn allow_headers(&self) -> Option<Cow<'_, [u8]>> {
        let Policy { credentials, headers, .. } = &*self.policy;
        if *credentials && headers.any() {
            let names = header::requested_names(&self.requested.headers)?;
            let names: Vec<_> = names.map(<[u8]>::to_ascii_lowercase).collect();
            (!names.is_empty()).then(|| names.join(&b',').into())
        } else {
            headers.value().map(Cow::Borrowed)
        }
    }

    /// The changes to the response, whoever made it: upstream, another filter
    /// or Envoy itself. `header` gives the value of a response header; several
    /// lines of one header arrive joined by commas.
    ///
    /// Not for the filter's own replies, which are complete.
    pub fn edits(
        &self,
        header: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> impl Iterator<Item = Edit<'_>> {
        if self.policy.mode == Mode::Shadow {
            return [None, None, None, None].into_iter().flatten();
        }
        let kept = self.policy.upstream_headers == UpstreamHeaders::Keep
            && !matches!(self.grant, Grant::Unasked)
            && header(response::ALLOW_ORIGIN).is_some();
        let [origin, credentials, exposed] = if kept { [None, None, None] } else { self.grants() };
        let varies = matches!(self.grant, Grant::Everybody)
            || header(response::VARY).is_some_and(|vary| header::varies_on_origin(&vary));
        let vary = (!varies).then_some(Edit::Append(response::VARY, &b"Origin"[..]));
        [origin, credentials, exposed, vary].into_iter().flatten()
    }

    /// What becomes of ACAO, ACAC and ACEH.
    fn grants(&self) -> [Option<Edit<'_>>; 3] {
        use response::{ALLOW_CREDENTIALS, ALLOW_ORIGIN, EXPOSE_HEADERS};
        let Some(origin) = self.allow_origin() else {
            return match self.grant {
                Grant::Nobody => [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE_HEADERS]
                    .map(|name| Some(Edit::Remove(name))),
                _ => [None, None, None],
            };
        };
        let credentials = if self.policy.credentials {
            Some(Edit::Set(ALLOW_CREDENTIALS, b"true"))
        } else if matches!(self.grant, Grant::Everybody) {
            // Beside `*` browsers do not look at upstream's.
            None
        } else {
            Some(Edit::Remove(ALLOW_CREDENTIALS))
        };
        let exposed = match self.policy.exposed.value() {
            Some(names) => Edit::Set(EXPOSE_HEADERS, names),
            None => Edit::Remove(EXPOSE_HEADERS),
        };
        [Some(Edit::Set(ALLOW_ORIGIN, origin)), credentials, Some(exposed)]
    }
}
