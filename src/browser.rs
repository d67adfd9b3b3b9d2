//! What a user agent does with a cross-origin request: the browser's half of
//! the [CORS protocol](https://fetch.spec.whatwg.org/#http-cors-protocol).
//!
//! A [`Request`] holds the arguments of a page's `fetch()`. In order:
//!
//! 1. [`check_sendable`]: whether the browser sends it at all;
//! 2. [`preflight_for`]: the question that it asks first, if it does, and
//!    [`check_preflight`] what it makes of the answer;
//! 3. [`check`]: what the page may read of the response, or with [`follow`] the
//!    request that a redirect leads to.
//!
//! ```
//! use envoy_cors::browser::{self, Credentials, Failure, Mode, Request, Response};
//!
//! let request = Request {
//!     page: "https://app.example.com".into(),
//!     target: "https://api.example.com".into(),
//!     method: "PUT".into(),
//!     headers: vec![("Content-Type".into(), b"application/json".to_vec())],
//!     mode: Mode::Cors,
//!     credentials: Credentials::Include,
//! };
//! browser::check_sendable(&request)?;
//! let preflight = browser::preflight_for(&request).ok_or("none")?;
//! assert_eq!((preflight.method.as_str(), preflight.headers.join(",")), ("PUT", "content-type".into()));
//!
//! let answer = Response {
//!     status: 204,
//!     headers: vec![
//!         ("Access-Control-Allow-Origin".into(), b"https://app.example.com".to_vec()),
//!         ("Access-Control-Allow-Credentials".into(), b"true".to_vec()),
//!         ("Access-Control-Allow-Methods".into(), b"GET, POST".to_vec()),
//!     ],
//! };
//! let failure = browser::check_preflight(&request, &answer);
//! assert_eq!(
//!     failure.map_err(|failure| failure.to_string()),
//!     Err("Method PUT is not allowed by Access-Control-Allow-Methods in the answer to the \
//!          preflight, which lists GET, POST"
//!         .into())
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This is the standard's algorithm. `tests/browser` holds it against real
//! browsers, and its README lists where they differ from the standard.

mod check;
mod failure;
mod request;

pub use check::{
    Browser, MAX_REDIRECTS, Readable, ResponseType, check, check_preflight, follow, max_age,
};
pub use failure::{Denial, Failure, Unsendable};
pub use request::{Preflight, check_sendable, preflight_for};

/// A request as a page makes it, with what `fetch()` is told.
///
/// Headers that the browser adds by itself do not stand here, but for one: a
/// body that is a string, a form or a typed `Blob` brings a `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The page's origin as the browser serializes it, `null` for an opaque one.
    pub page: String,
    /// The origin of the URL that is asked, serialized in the same way.
    pub target: String,
    /// The method as the page writes it.
    pub method: String,
    /// The headers that the page sets: names in any case, values as bytes.
    pub headers: Vec<(String, Vec<u8>)>,
    /// [Request mode](https://fetch.spec.whatwg.org/#concept-request-mode)
    pub mode: Mode,
    /// [Credentials mode](https://fetch.spec.whatwg.org/#concept-request-credentials-mode)
    pub credentials: Credentials,
}

/// Whether a page may ask other origins, and read what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `cors`, the default of `fetch()`, and what `XMLHttpRequest` does.
    Cors,
    /// `no-cors`: ask, and read nothing. What `<img>` and `<script>` do.
    NoCors,
    /// `same-origin`: do not ask others.
    SameOrigin,
}

/// Whether cookies, TLS client certificates and HTTP authentication go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `omit`: never.
    Omit,
    /// `same-origin`, the default of `fetch()`: not to other origins.
    SameOrigin,
    /// `include`: to other origins too. `withCredentials` of `XMLHttpRequest`.
    Include,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header lines in order: names in any case, values as bytes.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Response {
    /// The value of a header, its lines joined
    /// ([get](https://fetch.spec.whatwg.org/#concept-header-list-get)).
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let lines: Vec<_> = self.lines(name).collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    }

    /// The values of the lines of a header.
    fn lines<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        let lines = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| request::normalize_value(value))
    }
}
