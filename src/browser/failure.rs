//! Why a page cannot read a response, and the sentences that say so.

use std::error::Error;
use std::fmt;

/// The first step at which a browser refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request is not even sent.
    Unsendable(Unsendable),
    /// The preflight is answered with a redirect, with this status.
    PreflightRedirect(u16),
    /// The answer to the preflight fails the CORS check.
    Preflight(Denial),
    /// The answer to the preflight has a status that is not from 200 to 299.
    PreflightStatus(u16),
    /// This line of ACAM is no list of methods.
    AllowMethods(Vec<u8>),
    /// This line of ACAH is no list of header names.
    AllowHeaders(Vec<u8>),
    /// ACAM does not cover the method.
    Method {
        /// The method as it would be sent.
        method: String,
        /// What ACAM lists.
        listed: Vec<String>,
    },
    /// ACAH does not cover a header.
    Header {
        /// Its name, in lower case: `authorization` if it is among them, else
        /// the first one.
        name: String,
        /// What ACAH lists.
        listed: Vec<String>,
    },
    /// ACAH covers every header with `*`, but for `authorization`, which it does
    /// not name. Browsers have not followed the standard in this: the request
    /// passes in all of them.
    Authorization {
        /// What ACAH lists.
        listed: Vec<String>,
    },
    /// The response fails the CORS check.
    Response(Denial),
    /// A redirect leads to a URL with a user name or a password.
    RedirectUserInfo,
}

/// Why the [CORS check](https://fetch.spec.whatwg.org/#concept-cors-check) fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// There is no ACAO.
    NoAllowOrigin,
    /// ACAO is `*`, and the request is with credentials.
    AnyWithCredentials,
    /// ACAO has a comma or a space in it, or there are two.
    SeveralOrigins(Vec<u8>),
    /// ACAO is not even a URL, nor `*` or `null`.
    NotAnOrigin(Vec<u8>),
    /// ACAO is not, byte for byte, the request's origin.
    OtherOrigin {
        /// ACAO
        allowed: Vec<u8>,
        /// `Origin`
        origin: String,
    },
    /// The request is with credentials, and ACAC is missing or not `true`.
    NoCredentials(Option<Vec<u8>>),
}

/// Why a request is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// A method that is no token.
    InvalidMethod(String),
    /// `CONNECT`, `TRACE` or `TRACK`.
    ForbiddenMethod(String),
    /// A method beside GET, HEAD and POST, with mode `no-cors`.
    MethodWithoutCors(String),
    /// A header name that is no token.
    InvalidHeaderName(String),
    /// A header of this name whose value holds a line break or a NUL.
    InvalidHeaderValue(String),
    /// A URL of another origin, with mode `same-origin`.
    OtherOrigin,
}

impl Failure {
    /// What Chromium's console says of this step, in its own words: the part
    /// that does not depend on the request, and that people search for.
    /// `None` where there is no such line.
    #[must_use]
    pub fn console_phrase(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unsendable(_) | Self::Authorization { .. } => return None,
            Self::PreflightRedirect(_) => "Redirect is not allowed for a preflight request",
            Self::Preflight(denial) | Self::Response(denial) => denial.console_phrase(),
            Self::PreflightStatus(_) => "does not have HTTP ok status",
            Self::AllowMethods(_) => "Cannot parse Access-Control-Allow-Methods",
            Self::AllowHeaders(_) => "Cannot parse Access-Control-Allow-Headers",
            Self::Method { .. } => "is not allowed by Access-Control-Allow-Methods",
            Self::Header { .. } => "is not allowed by Access-Control-Allow-Headers",
            Self::RedirectUserInfo => "contains a username and password",
        })
    }
}

impl Denial {
    fn console_phrase(&self) -> &'static str {
        match self {
            Self::NoAllowOrigin => {
                "No 'Access-Control-Allow-Origin' header is present on the requested resource"
            }
            Self::AnyWithCredentials => {
                "must not be the wildcard '*' when the request's credentials mode is 'include'"
            }
            Self::SeveralOrigins(_) => "contains multiple values",
            Self::NotAnOrigin(_) => "contains the invalid value",
            Self::OtherOrigin { .. } => "is not equal to the supplied origin",
            Self::NoCredentials(_) => {
                "must be 'true' when the request's credentials mode is 'include'"
            }
        }
    }
}

impl Error for Failure {}

/// One sentence without a full stop, with Chromium's phrase in it if it has one.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phrase = self.console_phrase().unwrap_or_default();
        match self {
            Self::Unsendable(why) => write!(f, "the browser does not send this request: {why}"),
            Self::PreflightRedirect(status) => {
                write!(f, "{phrase}, and it is answered with {status}")
            }
            Self::Preflight(denial) => {
                write!(f, "the answer to the preflight fails the CORS check: {denial}")
            }
            Self::PreflightStatus(status) => {
                write!(f, "the answer to the preflight {phrase}, but {status}")
            }
            Self::AllowMethods(line) => {
                write!(f, "{phrase}: '{}' is no list of methods", line.escape_ascii())
            }
            Self::AllowHeaders(line) => {
                write!(f, "{phrase}: '{}' is no list of header names", line.escape_ascii())
            }
            Self::Method { method, listed } => {
                write!(f, "Method {method} {phrase} in the answer to the preflight, ")?;
                write_listed(f, listed)
            }
            Self::Header { name, listed } => {
                write!(f, "Request header field {name} {phrase} in the answer to the preflight, ")?;
                write_listed(f, listed)
            }
            Self::Authorization { listed } => write!(
                f,
                "Request header field authorization is not allowed by Access-Control-Allow-Headers \
                 in the answer to the preflight, which lists {}; by the standard * does not cover \
                 it, though browsers still let it pass",
                listed.join(", ")
            ),
            Self::Response(denial) => write!(f, "the response fails the CORS check: {denial}"),
            Self::RedirectUserInfo => write!(f, "the redirect's URL {phrase}"),
        }
    }
}

fn write_listed(f: &mut fmt::Formatter<'_>, listed: &[String]) -> fmt::Result {
    match listed {
        [] => write!(f, "which lists none"),
        _ if listed.iter().any(|name| name == "*") => {
            write!(f, "which lists {}; * is no wildcard with credentials", listed.join(", "))
        }
        _ => write!(f, "which lists {}", listed.join(", ")),
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALLOW_ORIGIN: &str = "'Access-Control-Allow-Origin'";
        let phrase = self.console_phrase();
        match self {
            Self::NoAllowOrigin => write!(f, "{phrase}"),
            Self::AnyWithCredentials => write!(f, "{ALLOW_ORIGIN} {phrase}"),
            Self::SeveralOrigins(value) => {
                write!(f, "{ALLOW_ORIGIN} {phrase} '{}' and may have one", value.escape_ascii())
            }
            Self::NotAnOrigin(value) => {
                write!(f, "{ALLOW_ORIGIN} {phrase} '{}'", value.escape_ascii())
            }
            Self::OtherOrigin { allowed, origin } => {
                let allowed = allowed.escape_ascii();
                write!(f, "{ALLOW_ORIGIN} has a value '{allowed}' that {phrase} '{origin}'")
            }
            Self::NoCredentials(value) => {
                write!(f, "'Access-Control-Allow-Credentials' ")?;
                match value {
                    Some(value) => write!(f, "is '{}'", value.escape_ascii())?,
                    None => write!(f, "is missing")?,
                }
                write!(f, "; it {phrase}")
            }
        }
    }
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidMethod(method) => write!(f, "{method:?} is no method"),
            Self::ForbiddenMethod(method) => write!(f, "a page may not send {method}"),
            Self::MethodWithoutCors(method) => {
                write!(f, "with mode no-cors a page may not send {method}")
            }
            Self::InvalidHeaderName(name) => write!(f, "{name:?} is no header name"),
            Self::InvalidHeaderValue(name) => {
                write!(f, "the value of {name} holds a line break or a NUL")
            }
            Self::OtherOrigin => {
                write!(f, "with mode same-origin a page may not ask another origin")
            }
        }
    }
}
