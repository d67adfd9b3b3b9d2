//! Header names by their role in the CORS protocol, the name classes of the
//! Fetch standard, and the list syntax of header values.

/// Request headers and pseudo-headers that a decision may ask for, in the
/// spelling of HTTP/2.
pub mod request {
    /// Host and port that the client asked for.
    pub const AUTHORITY: &str = ":authority";
    /// The request's method.
    pub const METHOD: &str = ":method";
    /// Path and query.
    pub const PATH: &str = ":path";
    /// `http` or `https`, as the gateway sees it.
    pub const SCHEME: &str = ":scheme";
    /// [`Origin`](https://fetch.spec.whatwg.org/#origin-header)
    pub const ORIGIN: &str = "origin";
    /// ACRM: the method of the request that a preflight announces.
    pub const ACRM: &str = "access-control-request-method";
    /// ACRH: the names of its headers that are not safelisted.
    pub const ACRH: &str = "access-control-request-headers";
    /// [`Sec-Fetch-Site`](https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header)
    pub const SEC_FETCH_SITE: &str = "sec-fetch-site";
}

/// Response headers that a decision sets, removes or merges.
pub mod response {
    /// ACAO
    pub const ALLOW_ORIGIN: &str = "access-control-allow-origin";
    /// ACAC
    pub const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
    /// ACAM
    pub const ALLOW_METHODS: &str = "access-control-allow-methods";
    /// ACAH
    pub const ALLOW_HEADERS: &str = "access-control-allow-headers";
    /// ACEH
    pub const EXPOSE_HEADERS: &str = "access-control-expose-headers";
    /// ACMA
    pub const MAX_AGE: &str = "access-control-max-age";
    /// [`Vary`](https://www.rfc-editor.org/rfc/rfc9110#field.vary)
    pub const VARY: &str = "vary";
}

/// The one name that `*` in `Access-Control-Allow-Headers` does not cover:
/// [CORS non-wildcard request-header name](https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name).
pub const AUTHORIZATION: &[u8] = b"authorization";

/// A [token](https://www.rfc-editor.org/rfc/rfc9110#name-tokens): what method
/// and header names are made of.
#[must_use]
pub fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Request headers that a page cannot set, by name alone:
/// [forbidden request-header](https://fetch.spec.whatwg.org/#forbidden-request-header).
/// The name is lower-case.
#[must_use]
pub fn is_forbidden_request_name(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "accept-charset",
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "date",
        "dnt",
        "expect",
        "host",
        "keep-alive",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    NAMES.contains(&name) || name.starts_with("proxy-") || name.starts_with("sec-")
}

/// Response headers that a page can never read:
/// [forbidden response-header name](https://fetch.spec.whatwg.org/#forbidden-response-header-name).
/// The name is lower-case.
#[must_use]
pub fn is_forbidden_response_name(name: &str) -> bool {
    matches!(name, "set-cookie" | "set-cookie2")
}

/// Response headers that a page can always read:
/// [CORS-safelisted response-header name](https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name).
/// The name is lower-case.
#[must_use]
pub fn is_safelisted_response_name(name: &str) -> bool {
    matches!(
        name,
        "cache-control"
            | "content-language"
            | "content-length"
            | "content-type"
            | "expires"
            | "last-modified"
            | "pragma"
    )
}

/// Names of the CORS protocol itself, which no policy may list. The name is
/// lower-case.
#[must_use]
pub fn is_prohibited(name: &str) -> bool {
    name == "origin" || name.starts_with("access-control-")
}

/// The elements of a comma-separated value, without the optional white space
/// around them. Empty elements are kept.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(|element| {
        let is_ows = |b: &u8| matches!(b, b' ' | b'\t');
        let start = element.iter().position(|b| !is_ows(b));
        let end = element.iter().rposition(|b| !is_ows(b));
        match (start, end) {
            (Some(start), Some(end)) => element.get(start..=end).unwrap_or_default(),
            _ => &[],
        }
    })
}

/// Longest `Access-Control-Request-Headers` that is examined, in bytes: far
/// above what browsers send, and small enough to walk on any request.
const MAX_REQUESTED_BYTES: usize = 16 * 1024;

/// Most elements of it, empty ones included.
const MAX_REQUESTED_ELEMENTS: usize = 256;

/// The header names in a value of `Access-Control-Request-Headers`, or `None`
/// if it is longer than 16 KiB, has more than 256 elements, or holds anything
/// but tokens, commas and optional white space. Names keep their case; empty
/// elements are skipped ([RFC 9110, 5.6.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2)).
pub fn requested_names(value: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let bounded =
        value.len() <= MAX_REQUESTED_BYTES && elements(value).nth(MAX_REQUESTED_ELEMENTS).is_none();
    let names = || elements(value).filter(|name| !name.is_empty());
    (bounded && names().all(is_token)).then(names)
}

/// Whether `Vary` already says that the response depends on `Origin`.
#[must_use]
pub fn varies_on_origin(vary: &[u8]) -> bool {
    elements(vary).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(value: &str) -> Option<Vec<&str>> {
        requested_names(value.as_bytes())
            .map(|names| names.map(|n| std::str::from_utf8(n).unwrap()).collect())
    }

    #[test]
    fn requested_names_are_tokens_between_commas() {
        for (value, names) in [
            ("", vec![]),
            ("x-a", vec!["x-a"]),
            ("x-a,x-b", vec!["x-a", "x-b"]),
            ("x-b \t,\t X-A", vec!["x-b", "X-A"]),
            (",, ,x-a,\t,", vec!["x-a"]),
            ("!#$%&'*+-.^_`|~", vec!["!#$%&'*+-.^_`|~"]),
        ] {
            assert_eq!(requested(value), Some(names), "{value:?}");
        }
        for value in ["x a", "x-a;", "x-a,é", "x-a\u{0}", "\"x\"", "x:y", "x-a\u{b}"] {
            assert_eq!(requested(value), None, "{value:?}");
        }
    }

    #[test]
    fn requested_names_are_bounded() {
        assert!(requested(&",".repeat(255)).is_some());
        assert!(requested(&",".repeat(256)).is_none());
        assert!(requested(&"a".repeat(16 * 1024)).is_some());
        assert!(requested(&"a".repeat(16 * 1024 + 1)).is_none());
    }

    #[test]
    fn vary_is_read_as_a_list() {
        for vary in ["origin", "Origin", "accept, ORIGIN", "*", "accept,\t*"] {
            assert!(varies_on_origin(vary.as_bytes()), "{vary}");
        }
        for vary in ["", "accept", "origin-x", "x-origin", "accept origin", "**"] {
            assert!(!varies_on_origin(vary.as_bytes()), "{vary}");
        }
    }

    #[test]
    fn name_classes() {
        for name in ["cookie", "host", "sec-ch-ua", "proxy-authorization", "via"] {
            assert!(is_forbidden_request_name(name), "{name}");
        }
        for name in ["authorization", "content-type", "security", "x-sec-a", "proxy"] {
            assert!(!is_forbidden_request_name(name), "{name}");
        }
        for name in ["origin", "access-control-allow-origin", "access-control-x"] {
            assert!(is_prohibited(name), "{name}");
        }
        assert!(!is_prohibited("access-control"));
        assert!(!is_prohibited("x-origin"));
    }
}
