//! Origins that nobody means to allow, but sloppy comparisons do.

use envoy_cors::origin::{self, Origin};

/// How an origin differs from the one that it resembles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It resembles none.
    Stranger,
    /// `null`: frames, files, and whoever wants to be it.
    Null,
    /// The host stands inside a longer one.
    Substring,
    /// The origin is the beginning of a longer one.
    Prefix,
    /// The host, or a domain that it lies below, is the end of a longer name:
    /// `notexample.com`.
    Suffix,
    /// Another name below such a domain.
    Subdomain,
    /// A dot has become another character.
    UnescapedDot,
    /// The host is followed by a character that ends a word.
    SpecialCharacter,
    /// `http` for `https`.
    Insecure,
    /// Another port.
    Port,
    /// A host that ends in a dot.
    TrailingDot,
    /// Upper case.
    Case,
}

/// An origin to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    pub kind: Kind,
    pub origin: String,
}

/// The name of the unknown site: reserved, so that nobody has it
/// ([RFC 2606](https://www.rfc-editor.org/rfc/rfc2606#section-2)).
const STRANGER: &str = "stranger.example";

/// The origin of a page of whom nobody has heard.
pub fn stranger() -> String {
    format!("https://{STRANGER}")
}

/// What to try beside the allowed origins: each origin once, none of `allowed`.
pub fn strangers(allowed: &[String]) -> Vec<Stranger> {
    let mut strangers = vec![
        Stranger { kind: Kind::Stranger, origin: stranger() },
        Stranger { kind: Kind::Null, origin: "null".into() },
    ];
    for look_alike in allowed.iter().flat_map(|origin| look_alikes(origin)) {
        if !strangers.iter().any(|known| known.origin == look_alike.origin) {
            strangers.push(look_alike);
        }
    }
    strangers.retain(|stranger| !allowed.contains(&stranger.origin));
    strangers
}

/// Origins that resemble one. Of those that no page has (`App.example.com`,
/// `app.example.com_`) it says that they are not compared as they are.
///
/// The first [`Kind::Suffix`] or [`Kind::Subdomain`] that is allowed tells which
/// of both it is: a suffix without a dot before it, or a wildcard. They come in
/// that order, from the registrable domain down to the host.
pub fn look_alikes(allowed: &str) -> Vec<Stranger> {
    let Ok(Origin { scheme, host, port }) = Origin::parse(allowed) else { return Vec::new() };
    let suffix = port.map(|port| format!(":{port}")).unwrap_or_default();
    let with_host = |host: String| format!("{scheme}://{host}{suffix}");
    let mut found = Vec::new();
    let mut add = |kind, origin| found.push(Stranger { kind, origin });

    let other_port = if port == Some(8443) { 8444 } else { 8443 };
    add(Kind::Port, format!("{scheme}://{host}:{other_port}"));
    if scheme == "https" && !origin::is_loopback(host) {
        add(Kind::Insecure, format!("http://{host}{suffix}"));
    }
    if host.starts_with('[') {
        return found;
    }
    add(Kind::Prefix, with_host(format!("{host}.{STRANGER}")));
    if origin::is_address(host) {
        return found;
    }
    add(Kind::Substring, with_host(format!("not{host}.{STRANGER}")));
    for character in ['_', '!', '`'] {
        add(Kind::SpecialCharacter, with_host(format!("{host}{character}.{STRANGER}")));
    }
    add(Kind::Case, with_host(host.to_ascii_uppercase()));
    if !host.ends_with('.') {
        add(Kind::TrailingDot, with_host(format!("{host}.")));
    }
    let registrable = psl::domain_str(host).unwrap_or(host);
    for domain in domains(host, registrable) {
        add(Kind::Suffix, with_host(format!("not{domain}")));
        add(Kind::Subdomain, with_host(format!("stranger.{domain}")));
    }
    let below = host.strip_suffix(registrable).and_then(|below| below.strip_suffix('.'));
    let without_dot = match below {
        Some(below) => format!("{below}x{registrable}"),
        None => registrable.replacen('.', "x", 1),
    };
    if without_dot != host {
        add(Kind::UnescapedDot, with_host(without_dot));
    }
    found
}

/// The domain, and what lies between it and the host: nearest to the root first.
fn domains<'h>(host: &'h str, domain: &str) -> Vec<&'h str> {
    let above = std::iter::successors(Some(host), |name| Some(name.split_once('.')?.1));
    let mut domains: Vec<_> = above.take_while(|name| name.len() >= domain.len()).collect();
    domains.reverse();
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(allowed: &[&str]) -> Vec<(Kind, String)> {
        let allowed: Vec<_> = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        strangers(&allowed).into_iter().map(|stranger| (stranger.kind, stranger.origin)).collect()
    }

    #[test]
    fn look_alikes_of_a_sub_domain_with_a_port() {
        use Kind::*;
        let expected = [
            (Stranger, "https://stranger.example"),
            (Null, "null"),
            (Port, "https://a.shop.co.uk:8444"),
            (Insecure, "http://a.shop.co.uk:8443"),
            (Prefix, "https://a.shop.co.uk.stranger.example:8443"),
            (Substring, "https://nota.shop.co.uk.stranger.example:8443"),
            (SpecialCharacter, "https://a.shop.co.uk_.stranger.example:8443"),
            (SpecialCharacter, "https://a.shop.co.uk!.stranger.example:8443"),
            (SpecialCharacter, "https://a.shop.co.uk`.stranger.example:8443"),
            (Case, "https://A.SHOP.CO.UK:8443"),
            (TrailingDot, "https://a.shop.co.uk.:8443"),
            (Suffix, "https://notshop.co.uk:8443"),
            (Subdomain, "https://stranger.shop.co.uk:8443"),
            (Suffix, "https://nota.shop.co.uk:8443"),
            (Subdomain, "https://stranger.a.shop.co.uk:8443"),
            (UnescapedDot, "https://axshop.co.uk:8443"),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(kind, origin)| (kind, origin.to_owned())).collect();
        assert_eq!(tried(&["https://a.shop.co.uk:8443"]), expected);
    }

    #[test]
    fn other_hosts_have_fewer() {
        let count = |allowed: &str| tried(&[allowed]).len();
        for (allowed, expected) in [
            ("https://example.com", 14),
            ("http://localhost:3000", 12),
            ("https://127.0.0.1", 4),
            ("http://[::1]", 3),
            ("null", 1),
        ] {
            assert_eq!(count(allowed), expected, "{allowed}: {:?}", tried(&[allowed]));
        }
        assert!(
            tried(&["https://example.com"])
                .contains(&(Kind::UnescapedDot, "https://examplexcom".into()))
        );
    }

    #[test]
    fn allowed_origins_are_no_strangers() {
        let both = ["https://example.com", "http://example.com"];
        assert!(!tried(&both).iter().any(|(_, origin)| both.contains(&&**origin)));
        let mut origins: Vec<_> = tried(&both).into_iter().map(|(_, origin)| origin).collect();
        let count = origins.len();
        origins.sort();
        origins.dedup();
        assert_eq!(origins.len(), count);
    }
}
