//! Request methods, as the Fetch standard classes them.

use crate::header::is_token;

/// Methods that a browser sends without asking first, so no policy can refuse
/// them: [CORS-safelisted method](https://fetch.spec.whatwg.org/#cors-safelisted-method).
#[must_use]
pub fn is_safelisted(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"POST")
}

/// Methods that a page cannot send at all:
/// [forbidden method](https://fetch.spec.whatwg.org/#forbidden-method).
#[must_use]
pub fn is_forbidden(method: &[u8]) -> bool {
    [&b"CONNECT"[..], b"TRACE", b"TRACK"]
        .iter()
        .any(|forbidden| method.eq_ignore_ascii_case(forbidden))
}

/// A method that a preflight may ask for: a token, and not forbidden.
#[must_use]
pub fn is_requestable(method: &[u8]) -> bool {
    is_token(method) && !is_forbidden(method)
}

/// The name as a browser sends it: six methods are upper-cased, all others are
/// case-sensitive and stay as they are
/// ([normalize](https://fetch.spec.whatwg.org/#concept-method-normalize)).
#[must_use]
pub fn normalize(method: &str) -> &str {
    ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(method))
        .unwrap_or(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_methods_are_normalized() {
        for (written, sent) in [
            ("get", "GET"),
            ("Head", "HEAD"),
            ("post", "POST"),
            ("put", "PUT"),
            ("delete", "DELETE"),
            ("options", "OPTIONS"),
            ("patch", "patch"),
            ("Patch", "Patch"),
            ("chicken", "chicken"),
        ] {
            assert_eq!(normalize(written), sent);
        }
    }

    #[test]
    fn classes() {
        for method in ["GET", "HEAD", "POST"] {
            assert!(is_safelisted(method.as_bytes()), "{method}");
        }
        for method in ["get", "PUT", "OPTIONS", ""] {
            assert!(!is_safelisted(method.as_bytes()), "{method}");
        }
        for method in ["CONNECT", "trace", "Track", "", "P UT", "PUT,DELETE"] {
            assert!(!is_requestable(method.as_bytes()), "{method}");
        }
        for method in ["GET", "patch", "PROPFIND", "M-SEARCH", "*"] {
            assert!(is_requestable(method.as_bytes()), "{method}");
        }
    }
}
