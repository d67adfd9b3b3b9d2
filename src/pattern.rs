//! Origin patterns: what a policy may write into `allowOrigins`.

use std::fmt;

use crate::origin::{self, Malformed, Origin};

/// One entry of `allowOrigins`. It borrows the text that it was read from;
/// `Display` gives that text back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginPattern<'a> {
    /// `*`: every origin.
    Any,
    /// `null`: the opaque origin, which anybody can produce.
    Null,
    /// `scheme://host[:port]`, where `*.` may stand before the host and `:*`
    /// for the port.
    Tuple {
        /// Lower-case.
        scheme: &'a str,
        /// Which hosts.
        host: HostPattern<'a>,
        /// Which ports.
        port: PortPattern,
    },
}

/// The host of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPattern<'a> {
    /// This host.
    Exact(&'a str),
    /// `*.` and this domain: every host that has one or more labels before it.
    Below(&'a str),
}

/// The port of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortPattern {
    /// This port; `None` is the scheme's default, which is not written.
    Exact(Option<u16>),
    /// `:*`: every port that a browser would write, and the default.
    Any,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPattern {
    /// Without its wildcards it is not an origin.
    Malformed(Malformed),
    /// A `*` that is neither `*.` before the host nor `:*` behind it.
    MisplacedWildcard,
    /// A regular expression, which other systems take here.
    RegularExpression,
    /// `*.` before an IP address.
    WildcardAddress,
}

impl From<Malformed> for InvalidPattern {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl<'a> OriginPattern<'a> {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// The first reason for which no request could match:
    /// `https://example.com/`, `https://example.*`, `https://*`, `*.example.com`,
    /// `https://*.1.2.3.4` …
    pub fn parse(text: &'a str) -> Result<Self, InvalidPattern> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ if text.contains(['^', '$', '(', '|'])
                || text.contains("://.*")
                || text.contains("\\.") =>
            {
                return Err(InvalidPattern::RegularExpression);
            }
            _ => {}
        }
        let (scheme, rest) = text.split_once("://").ok_or(Malformed::NoScheme)?;
        let (rest, below) = match rest.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (rest, any_port) = match rest.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        if scheme.contains('*') || rest.contains('*') {
            return Err(InvalidPattern::MisplacedWildcard);
        }
        let origin = Origin::from_parts(scheme, rest)?;
        if any_port && origin.port.is_some() {
            return Err(Malformed::Port.into());
        }
        if below {
            Self::check_below(origin.host)?;
        }
        Ok(Self::Tuple {
            scheme,
            host: if below {
                HostPattern::Below(origin.host)
            } else {
                HostPattern::Exact(origin.host)
            },
            port: if any_port { PortPattern::Any } else { PortPattern::Exact(origin.port) },
        })
    }

    fn check_below(domain: &str) -> Result<(), InvalidPattern> {
        if origin::is_address(domain) {
            Err(InvalidPattern::WildcardAddress)
        } else if domain.len() + "a.".len() > origin::MAX_HOST {
            Err(Malformed::LongHost.into())
        } else {
            Ok(())
        }
    }
}

impl<'a> HostPattern<'a> {
    /// The host, or the domain above the hosts.
    #[must_use]
    pub fn domain(&self) -> &'a str {
        match self {
            Self::Exact(host) => host,
            Self::Below(domain) => domain,
        }
    }
}

impl fmt::Display for OriginPattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Null => f.write_str("null"),
            Self::Tuple { scheme, host, port } => write!(f, "{scheme}://{host}{port}"),
        }
    }
}

impl fmt::Display for HostPattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl fmt::Display for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(None) => Ok(()),
            Self::Exact(Some(port)) => write!(f, ":{port}"),
            Self::Any => f.write_str(":*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_and_written_back() {
        for text in [
            "*",
            "null",
            "https://example.com",
            "https://*.example.com",
            "http://localhost:*",
            "https://*.example.com:*",
            "https://*.example.com:8443",
            "https://*.com",
            "https://*.example.com.",
            "http://[::1]:*",
            "http://127.0.0.1:*",
            "capacitor://localhost",
            "chrome-extension://*.x:*",
        ] {
            assert_eq!(OriginPattern::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn rejected() {
        use InvalidPattern::{MisplacedWildcard, RegularExpression, WildcardAddress};
        for (text, why) in [
            ("", Malformed::NoScheme.into()),
            ("NULL", Malformed::NoScheme.into()),
            ("*.example.com", Malformed::NoScheme.into()),
            ("**", Malformed::NoScheme.into()),
            ("https://*", MisplacedWildcard),
            ("https://*:*", MisplacedWildcard),
            ("https://*example.com", MisplacedWildcard),
            ("https://a.*.example.com", MisplacedWildcard),
            ("https://*.*.example.com", MisplacedWildcard),
            ("https://**.example.com", MisplacedWildcard),
            ("https://e*.com", MisplacedWildcard),
            ("https://.*", RegularExpression),
            ("https://example\\.com", RegularExpression),
            ("^https://example.com$", RegularExpression),
            ("https://(a|b).example.com", RegularExpression),
            ("*://example.com", MisplacedWildcard),
            ("https://example.com:8*", MisplacedWildcard),
            ("https://example.com:*:*", MisplacedWildcard),
            ("https://*.", Malformed::NoHost.into()),
            ("https://*..example.com", Malformed::EmptyLabel.into()),
            ("https://example.com:80:*", Malformed::Port.into()),
            ("https://*.example.com/", Malformed::TrailingSlash.into()),
            ("https://*.example.com:443", Malformed::DefaultPort.into()),
            ("http://*.1.2.3.4", WildcardAddress),
            ("http://*.3.4", Malformed::Ipv4.into()),
            ("http://*.[::1]", WildcardAddress),
        ] {
            assert_eq!(OriginPattern::parse(text), Err(why), "{text}");
        }
        let long = format!("https://*.{}{}", "a.".repeat(125), "aa");
        assert_eq!(OriginPattern::parse(&long), Err(Malformed::LongHost.into()));
        let longest = format!("https://*.{}{}", "a.".repeat(125), "a");
        assert!(OriginPattern::parse(&longest).is_ok());
    }
}
