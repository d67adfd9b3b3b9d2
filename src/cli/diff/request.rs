//! Requests that show what a policy grants, and origins that its patterns stand
//! for.

use envoy_cors::allowlist::Allowlist;
use envoy_cors::pattern::{HostPattern, OriginPattern, PortPattern};
use envoy_cors::{Policies, decide};

/// A request of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub host: String,
    pub path: String,
    pub origin: String,
    /// The method and the headers that a preflight asks for; `None` for the
    /// actual request, a GET.
    pub preflight: Option<(String, String)>,
}

impl Request {
    pub fn method(&self) -> &'static str {
        if self.preflight.is_some() { "OPTIONS" } else { "GET" }
    }

    pub fn headers(&self) -> Vec<(&'static str, &str)> {
        let mut headers = vec![("Origin", self.origin.as_str())];
        if let Some((method, names)) = &self.preflight {
            headers.push(("Access-Control-Request-Method", method));
            if !names.is_empty() {
                headers.push(("Access-Control-Request-Headers", names));
            }
        }
        headers
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let value = match name {
            ":method" => self.method(),
            ":scheme" => "https",
            ":authority" => &self.host,
            ":path" => &self.path,
            _ => self.headers().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1,
        };
        Some(value.as_bytes().to_vec())
    }

    /// What becomes of it: the name of the outcome, `None` if no policy is for
    /// it.
    pub fn outcome(&self, policies: &Policies) -> Option<&'static str> {
        decide(policies, |name| self.header(name)).map(|decision| decision.outcome().name())
    }

    /// As text: `GET https://api.example.com/ with Origin: …`.
    pub fn text(&self) -> String {
        let headers: Vec<_> =
            self.headers().into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("{} https://{}{} with {}", self.method(), self.host, self.path, headers.join(", "))
    }
}

/// An origin that no list holds, but for those that hold every origin.
pub fn stranger(lists: &[&Allowlist]) -> String {
    let holds = |list: &Allowlist, origin: &String| !list.is_any() && contains(list, origin);
    let named = ["https://stranger.example", "https://stranger.invalid"].map(str::to_owned);
    // These are below no domain, so that no wildcard holds them.
    let numbered = (1..).map(|n| format!("https://stranger-{n}"));
    let mut origins = named.into_iter().chain(numbered);
    origins.find(|origin| !lists.iter().any(|list| holds(list, origin))).unwrap_or_default()
}

/// An origin that a pattern of `list` stands for, and that is not in `other`;
/// `None` if there is no such origin. It is that of `host`, whose pages need no
/// permission, only if there is no other one.
pub fn origin_beyond(
    pattern: &OriginPattern<'_>,
    list: &Allowlist,
    other: &Allowlist,
    host: &str,
) -> Option<String> {
    let is_beyond = |origin: &String| contains(list, origin) && !contains(other, origin);
    let (scheme, domain, port) = match *pattern {
        OriginPattern::Any => return Some(stranger(&[other])).filter(is_beyond),
        OriginPattern::Null => return Some("null".to_owned()).filter(is_beyond),
        OriginPattern::Tuple { scheme, host, port } => (scheme, host, port),
    };
    let own = format!("https://{host}");
    let mut only_own = None;
    let mut is_foreign = |origin: &String| {
        let foreign = *origin != own;
        if !foreign {
            only_own = Some(origin.clone());
        }
        foreign
    };
    let mut names = names(domain, other.len());
    let foreign = names.find_map(|name| {
        let mut origins = ports(port).map(|port| format!("{scheme}://{name}{port}"));
        origins.find(|origin| is_beyond(origin) && is_foreign(origin))
    });
    foreign.or(only_own)
}

fn contains(list: &Allowlist, origin: &str) -> bool {
    list.contains(origin.as_bytes())
}

/// Hosts that a pattern stands for: more than `listed`, or all of them where
/// names have no room for more.
fn names(host: HostPattern<'_>, listed: usize) -> impl Iterator<Item = String> {
    let single = "abcdefghijklmnopqrstuvwxyz0123456789-_".chars().map(String::from);
    let numbered = (0..=listed).map(|n| format!("any-{n}"));
    let labels = std::iter::once("any".to_owned()).chain(single).chain(numbered);
    let (own, domain) = match host {
        HostPattern::Exact(name) => (Some(name.to_owned()), None),
        HostPattern::Below(domain) => (None, Some(domain)),
    };
    let below = domain
        .into_iter()
        .flat_map(move |domain| labels.clone().map(move |label| format!("{label}.{domain}")));
    own.into_iter().chain(below)
}

/// All ports that a pattern stands for, as they are written.
fn ports(port: PortPattern) -> impl Iterator<Item = String> {
    let (own, any) = match port {
        PortPattern::Exact(port) => (port, None),
        PortPattern::Any => (None, Some([3000, 8080].into_iter().chain(1..=u16::MAX))),
    };
    let own = own.map_or(String::new(), |port| format!(":{port}"));
    std::iter::once(own).chain(any.into_iter().flatten().map(|port| format!(":{port}")))
}
