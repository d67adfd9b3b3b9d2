//! The serialized origin: what a browser writes into `Origin`, and nothing else.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Most bytes of a scheme. RFC 3986 sets no limit; browsers' own schemes stay
/// far below it.
pub const MAX_SCHEME: usize = 64;
/// Most bytes of a host name ([RFC 1035, 2.3.4](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)).
pub const MAX_HOST: usize = 253;
/// Most bytes of one label of it.
pub const MAX_LABEL: usize = 63;

/// A tuple origin in the one spelling that browsers use:
/// [serialization of an origin](https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin)
/// of a host serialized by the [URL standard](https://url.spec.whatwg.org/#host-serializing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Lower-case.
    pub scheme: &'a str,
    /// A domain, an IPv4 address or an IPv6 address in brackets.
    pub host: &'a str,
    /// `None` stands for the scheme's default port, which is never written.
    pub port: Option<u16>,
}

/// Why a text is not an origin that a browser can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A letter that browsers lower-case.
    UpperCase,
    /// A byte outside ASCII: browsers send A-labels.
    Unicode,
    /// No `://`.
    NoScheme,
    /// A scheme outside its grammar, or longer than [`MAX_SCHEME`].
    Scheme,
    /// `file:` has an opaque origin, which is sent as `null`.
    FileScheme,
    /// An `@`.
    UserInfo,
    /// A single slash at the end.
    TrailingSlash,
    /// A path, query or fragment.
    Path,
    /// Nothing between `://` and the port or the end.
    NoHost,
    /// A host longer than [`MAX_HOST`].
    LongHost,
    /// Two dots in a row, or one at the start.
    EmptyLabel,
    /// A label longer than [`MAX_LABEL`].
    LongLabel,
    /// A byte that is none of letter, digit, hyphen, underscore and dot.
    HostByte,
    /// A label that begins with `xn--` and cannot be an A-label.
    ALabel,
    /// A host that ends in a number and is not four decimals.
    Ipv4,
    /// An address in brackets that is invalid or not in its compressed form.
    Ipv6,
    /// A port that is not a number from 1 to 65535 without leading zeros.
    Port,
    /// The port that browsers leave out for this scheme.
    DefaultPort,
}

impl<'a> Origin<'a> {
    /// Reads an origin.
    ///
    /// # Errors
    ///
    /// The first reason for which no browser would send `text`:
    /// `https://Example.com`, `https://example.com/`, `https://example.com:443`,
    /// `https://127.1`, `https://[::0]`, `null` …
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (scheme, rest) = text.split_once("://").ok_or(Malformed::NoScheme)?;
        Self::from_parts(scheme, rest)
    }

    /// Reads an origin whose text was already split at `://`.
    pub(crate) fn from_parts(scheme: &'a str, rest: &'a str) -> Result<Self, Malformed> {
        check_scheme(scheme)?;
        check_bytes(rest)?;
        let (host, port) = split_port(rest)?;
        check_host(host)?;
        let port = port.map(parse_port).transpose()?;
        if port.is_some() && port == default_port(scheme) {
            return Err(Malformed::DefaultPort);
        }
        Ok(Self { scheme, host, port })
    }
}

/// The port that an origin of this scheme does not write
/// ([URL standard](https://url.spec.whatwg.org/#default-port)).
#[must_use]
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// Whether a host is the user's own machine: `localhost`, everything under it,
/// 127.0.0.0/8 and `[::1]`
/// ([Secure Contexts](https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy)).
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    name == "localhost"
        || name.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a host is an address, so that it has no sub-domains.
#[must_use]
pub fn is_address(host: &str) -> bool {
    host.starts_with('[') || ends_in_number(host)
}

/// The one spelling that browsers use of an IPv6 address in brackets, or
/// `None` if it is not one
/// ([IPv6 serializer](https://url.spec.whatwg.org/#concept-ipv6-serializer)).
#[must_use]
pub fn canonical_ipv6(host: &str) -> Option<String> {
    let inner = host.strip_prefix('[')?.strip_suffix(']')?;
    let ip: Ipv6Addr = inner.parse().ok()?;
    Some(match ip.segments() {
        // The standard library writes these in mixed notation, browsers do not.
        [0, 0, 0, 0, 0, 0xffff, a, b] => format!("[::ffff:{a:x}:{b:x}]"),
        _ => format!("[{ip}]"),
    })
}

/// The domains that a host lies below, nearest first: `a.b.c` gives `b.c`, `c`.
/// A host that ends in a dot lies below domains that do.
pub(crate) fn domains_above(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(host.split_once('.').map(|(_, above)| above), |name| {
        name.split_once('.').map(|(_, above)| above)
    })
    .filter(|name| !name.is_empty())
}

fn check_scheme(scheme: &str) -> Result<(), Malformed> {
    let mut bytes = scheme.bytes();
    if scheme.bytes().any(|b| b.is_ascii_uppercase()) {
        Err(Malformed::UpperCase)
    } else if scheme == "file" {
        Err(Malformed::FileScheme)
    } else if scheme.len() <= MAX_SCHEME
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'))
    {
        Ok(())
    } else {
        Err(Malformed::Scheme)
    }
}

/// Finds what cannot stand anywhere behind `://`.
fn check_bytes(rest: &str) -> Result<(), Malformed> {
    if rest.ends_with('/') && rest.bytes().filter(|b| *b == b'/').count() == 1 {
        Err(Malformed::TrailingSlash)
    } else if rest.contains(['/', '\\', '?', '#']) {
        Err(Malformed::Path)
    } else if rest.contains('@') {
        Err(Malformed::UserInfo)
    } else if !rest.is_ascii() {
        Err(Malformed::Unicode)
    } else if rest.bytes().any(|b| b.is_ascii_uppercase()) {
        Err(Malformed::UpperCase)
    } else {
        Ok(())
    }
}

fn split_port(rest: &str) -> Result<(&str, Option<&str>), Malformed> {
    if rest.starts_with("::") {
        return Err(Malformed::Ipv6);
    }
    if !rest.starts_with('[') {
        return Ok(match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        });
    }
    let end = rest.find(']').ok_or(Malformed::Ipv6)?;
    let (host, after) = rest.split_at_checked(end + 1).ok_or(Malformed::Ipv6)?;
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok((host, None)),
        None => Err(Malformed::Ipv6),
        port => Ok((host, port)),
    }
}

fn parse_port(port: &str) -> Result<u16, Malformed> {
    // `parse` alone would accept a sign and leading zeros.
    if port.starts_with('0') || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Malformed::Port);
    }
    port.parse().map_err(|_| Malformed::Port)
}

/// Checks the host of an origin, or what stands behind `*.` in a pattern.
pub(crate) fn check_host(host: &str) -> Result<(), Malformed> {
    if host.is_empty() {
        return Err(Malformed::NoHost);
    }
    if host.starts_with('[') {
        let canonical = canonical_ipv6(host);
        return if canonical.as_deref() == Some(host) { Ok(()) } else { Err(Malformed::Ipv6) };
    }
    if host.len() > MAX_HOST {
        return Err(Malformed::LongHost);
    }
    // One dot at the end is the DNS root, and part of the host's name.
    host.strip_suffix('.').unwrap_or(host).split('.').try_for_each(check_label)?;
    if ends_in_number(host) && host.parse::<Ipv4Addr>().is_err() {
        return Err(Malformed::Ipv4);
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), Malformed> {
    let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if !label.bytes().all(known) {
        Err(Malformed::HostByte)
    } else if label.is_empty() {
        Err(Malformed::EmptyLabel)
    } else if label.len() > MAX_LABEL {
        Err(Malformed::LongLabel)
    } else if label == "xn--" || (label.starts_with("xn--") && label.ends_with('-')) {
        // Punycode of nothing, and of a name that is ASCII already.
        Err(Malformed::ALabel)
    } else {
        Ok(())
    }
}

/// [Ends in a number](https://url.spec.whatwg.org/#ends-in-a-number-checker):
/// such a host is an IPv4 address or nothing.
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    !last.is_empty() && (digits(last) || last.strip_prefix("0x").is_some_and(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_that_browsers_send() {
        for (text, scheme, host, port) in [
            ("https://example.com", "https", "example.com", None),
            ("http://localhost:3000", "http", "localhost", Some(3000)),
            ("https://example.com.", "https", "example.com.", None),
            ("http://a_b.-.example", "http", "a_b.-.example", None),
            ("https://xn--bcher-kva.example", "https", "xn--bcher-kva.example", None),
            ("http://127.0.0.1:65535", "http", "127.0.0.1", Some(65535)),
            ("http://[::1]:8080", "http", "[::1]", Some(8080)),
            ("http://[::ffff:7f00:1]", "http", "[::ffff:7f00:1]", None),
            ("http://[2001:db8::1:0:0:1]", "http", "[2001:db8::1:0:0:1]", None),
            ("https://a.1x", "https", "a.1x", None),
            ("chrome-extension://abcdef", "chrome-extension", "abcdef", None),
            ("capacitor://localhost", "capacitor", "localhost", None),
            ("http://example.com:443", "http", "example.com", Some(443)),
        ] {
            assert_eq!(Origin::parse(text), Ok(Origin { scheme, host, port }), "{text}");
        }
    }

    #[test]
    fn texts_that_no_browser_sends() {
        use Malformed as M;
        for (text, why) in [
            ("", M::NoScheme),
            ("null", M::NoScheme),
            ("example.com", M::NoScheme),
            ("https:example.com", M::NoScheme),
            ("://example.com", M::Scheme),
            ("1http://example.com", M::Scheme),
            ("ht tp://example.com", M::Scheme),
            ("HTTPS://example.com", M::UpperCase),
            ("https://Example.com", M::UpperCase),
            ("file://", M::FileScheme),
            ("https://", M::NoHost),
            ("https://:8080", M::NoHost),
            ("https://example.com/", M::TrailingSlash),
            ("https://example.com/x/", M::Path),
            ("https://example.com?x", M::Path),
            ("https://example.com#x", M::Path),
            ("https://example.com\\x", M::Path),
            ("https://user@example.com", M::UserInfo),
            ("https://bücher.example", M::Unicode),
            ("https://.example.com", M::EmptyLabel),
            ("https://a..example.com", M::EmptyLabel),
            ("https://example.com..", M::EmptyLabel),
            ("https://.", M::EmptyLabel),
            ("https://a b.example.com", M::HostByte),
            ("https://*.example.com", M::HostByte),
            ("https://a%2eb.example.com", M::HostByte),
            ("https://xn--.example", M::ALabel),
            ("https://xn--abc-.example", M::ALabel),
            ("http://127.1", M::Ipv4),
            ("http://127.0.0.1.", M::Ipv4),
            ("http://127.0.0.01", M::Ipv4),
            ("http://1.2.3.256", M::Ipv4),
            ("http://example.0x7f", M::Ipv4),
            ("http://example.9", M::Ipv4),
            ("http://[::0]", M::Ipv6),
            ("http://[::FFFF]", M::UpperCase),
            ("http://[::ffff:127.0.0.1]", M::Ipv6),
            ("http://[fe80::1%1]", M::Ipv6),
            ("http://[::1", M::Ipv6),
            ("http://[::1]x", M::Ipv6),
            ("http://::1", M::Ipv6),
            ("http://example.com:", M::Port),
            ("http://example.com:0", M::Port),
            ("http://example.com:08", M::Port),
            ("http://example.com:+8", M::Port),
            ("http://example.com:65536", M::Port),
            ("http://example.com:80:80", M::Port),
            ("http://example.com:80", M::DefaultPort),
            ("https://example.com:443", M::DefaultPort),
        ] {
            assert_eq!(Origin::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn domains_above_a_host() {
        let above = |host| domains_above(host).collect::<Vec<_>>();
        assert_eq!(above("a.b.c"), ["b.c", "c"]);
        assert_eq!(above("a.b."), ["b."]);
        assert!(above("localhost").is_empty());
    }

    #[test]
    fn limits() {
        let label = "a".repeat(63);
        let host = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(host.len(), MAX_HOST);
        assert!(Origin::parse(&format!("https://{host}")).is_ok());
        assert_eq!(Origin::parse(&format!("https://{host}a")), Err(Malformed::LongHost));
        assert_eq!(Origin::parse(&format!("https://{label}a")), Err(Malformed::LongLabel));
        let scheme = "a".repeat(64);
        assert!(Origin::parse(&format!("{scheme}://x")).is_ok());
        assert_eq!(Origin::parse(&format!("{scheme}a://x")), Err(Malformed::Scheme));
    }

    #[test]
    fn loopback() {
        for host in ["localhost", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["alocalhost", "localhost.com", "128.0.0.1", "169.254.169.254", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
