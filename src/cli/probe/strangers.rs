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
    /// The registrable domain is the end of a longer one: `notexample.com`.
    Suffix,
    /// The host is the end of a longer one: `notapp.example.com`. It is below
    /// the registrable domain, so that a wildcard may cover it.
    Glued,
    /// A dot has become another character.
    UnescapedDot,
    /// The host is followed by a character that ends a word.
    SpecialCharacter,
    /// `http` for `https`.
    Insecure,
    /// A sub-domain.
    Subdomain,
    /// Another sub-domain of the registrable domain.
    Sibling,
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
    /// The allowed origin that it resembles.
    pub resembles: Option<String>,
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
        Stranger { kind: Kind::Stranger, origin: stranger(), resembles: None },
        Stranger { kind: Kind::Null, origin: "null".into(), resembles: None },
    ];
    for origin in allowed {
        for (kind, look_alike) in look_alikes(origin) {
            let known = |stranger: &Stranger| stranger.origin == look_alike;
            if !allowed.contains(&look_alike) && !strangers.iter().any(known) {
                let resembles = Some(origin.clone());
                strangers.push(Stranger { kind, origin: look_alike, resembles });
            }
        }
    }
    strangers.retain(|stranger| !allowed.contains(&stranger.origin));
    strangers
}

/// Origins that resemble one. Of those that no page has (`App.example.com`,
/// `app.example.com_`) it says that they are not compared as they are.
fn look_alikes(allowed: &str) -> Vec<(Kind, String)> {
    let Ok(Origin { scheme, host, port }) = Origin::parse(allowed) else { return Vec::new() };
    let suffix = port.map(|port| format!(":{port}")).unwrap_or_default();
    let with_host = |host: String| format!("{scheme}://{host}{suffix}");
    let mut found = Vec::new();
    let mut add = |kind, origin| found.push((kind, origin));

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
    add(Kind::Subdomain, with_host(format!("stranger.{host}")));
    add(Kind::Case, with_host(host.to_ascii_uppercase()));
    if !host.ends_with('.') {
        add(Kind::TrailingDot, with_host(format!("{host}.")));
    }
    let Some(domain) = psl::domain_str(host) else {
        add(Kind::Suffix, with_host(format!("not{host}")));
        return found;
    };
    add(Kind::Suffix, with_host(format!("not{domain}")));
    match host.strip_suffix(domain).and_then(|below| below.strip_suffix('.')) {
        Some(below) => {
            add(Kind::Glued, with_host(format!("not{host}")));
            add(Kind::Sibling, with_host(format!("stranger.{domain}")));
            add(Kind::UnescapedDot, with_host(format!("{below}x{domain}")));
        }
        None => add(Kind::UnescapedDot, with_host(domain.replacen('.', "x", 1))),
    }
    found
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
            (Subdomain, "https://stranger.a.shop.co.uk:8443"),
            (Case, "https://A.SHOP.CO.UK:8443"),
            (TrailingDot, "https://a.shop.co.uk.:8443"),
            (Suffix, "https://notshop.co.uk:8443"),
            (Glued, "https://nota.shop.co.uk:8443"),
            (Sibling, "https://stranger.shop.co.uk:8443"),
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
