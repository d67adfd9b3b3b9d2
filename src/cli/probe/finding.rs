//! What `probe` finds: the rules, and a finding.

use super::client::Exchange;
use crate::cli::report::Severity;

/// Something that a page, or its user, will stumble over.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static Rule,
    pub severity: Severity,
    /// What was seen.
    pub message: String,
    /// What to change.
    pub remedy: String,
    /// What shows it.
    pub exchanges: Vec<Exchange>,
    /// The names of the checks that failed by it.
    pub checks: Vec<String>,
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: &'static str,
    /// Of its findings, unless strangers gain credentials by them.
    pub severity: Severity,
    /// Why it matters, in a sentence.
    pub why: &'static str,
}

impl Rule {
    /// A finding of this rule that these exchanges show.
    pub fn found<'e>(
        &'static self,
        message: String,
        remedy: impl Into<String>,
        exchanges: impl IntoIterator<Item = &'e Exchange>,
    ) -> Finding {
        Finding {
            rule: self,
            severity: self.severity,
            message,
            remedy: remedy.into(),
            exchanges: exchanges.into_iter().cloned().collect(),
            checks: Vec::new(),
        }
    }
}

/// The identifier, if it is one.
///
/// # Errors
///
/// A sentence that says where they are listed.
pub fn known(id: &str) -> Result<String, String> {
    let rule = RULES.iter().find(|rule| rule.id == id);
    rule.map(|rule| rule.id.to_owned())
        .ok_or_else(|| "there is no such rule; `envoy-cors probe --rules` lists them".into())
}

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $why:literal,)*) => {
        $(pub const $name: &Rule =
            &Rule { id: $id, severity: Severity::$severity, why: $why };)*

        /// All rules, by subject.
        pub const RULES: &[&Rule] = &[$($name,)*];
    };
}

rules! {
    NO_CORS "no-cors" Error
        "Browsers keep responses of other origins from pages unless Access-Control-Allow-Origin lets them through.",
    ORIGIN_NOT_ALLOWED "origin-not-allowed" Error
        "Origins are compared byte for byte, scheme and port included.",
    INVALID_ALLOW_ORIGIN "invalid-allow-origin" Error
        "Access-Control-Allow-Origin takes the request's own origin, byte for byte, or * alone.",
    SEVERAL_ORIGINS "several-origins" Error
        "Browsers take one origin or *; a list in Access-Control-Allow-Origin allows nobody.",
    TWO_AUTHORITIES "two-authorities" Error
        "Gateway and upstream both add CORS headers: browsers refuse two values, and the looser one reaches strangers.",
    ANY_ORIGIN_WITH_CREDENTIALS "any-origin-with-credentials" Error
        "Browsers refuse * to requests with credentials.",
    CREDENTIALS_NOT_ALLOWED "credentials-not-allowed" Error
        "With credentials, browsers want Access-Control-Allow-Credentials to be exactly true, on the preflight as well.",
    MIXED_CONTENT "mixed-content" Error
        "Browsers let no https page ask a URL without TLS.",
    PREFLIGHT_UNANSWERED "preflight-unanswered" Error
        "A preflight is an OPTIONS request of its own, and nobody answers it as one.",
    PREFLIGHT_REDIRECTED "preflight-redirected" Error
        "Browsers follow no redirect of a preflight.",
    PREFLIGHT_UNAUTHORIZED "preflight-unauthorized" Error
        "A preflight never carries credentials, so that whoever demands them refuses all of them.",
    PREFLIGHT_STATUS "preflight-status" Error
        "Browsers want a status from 200 to 299 of a preflight.",
    METHOD_NOT_ALLOWED "method-not-allowed" Error
        "Beside GET, HEAD and POST a method must stand in Access-Control-Allow-Methods, in the same case.",
    HEADER_NOT_ALLOWED "header-not-allowed" Error
        "A header that forms cannot send must stand in Access-Control-Allow-Headers.",
    INVALID_ALLOW_LIST "invalid-allow-list" Error
        "A list that is not one of names, with commas between them, allows nothing.",
    RESPONSE_WITHOUT_CORS "response-without-cors" Error
        "A preflight only lets the request out; the response needs the headers again.",
    ERROR_WITHOUT_CORS "error-without-cors" Error
        "The page sees a network error instead of the status, and cannot ask for a login or try again later.",
    REDIRECT_WITHOUT_CORS "redirect-without-cors" Error
        "Browsers check a redirect like any response before they follow it.",
    REDIRECTED_ELSEWHERE "redirected-elsewhere" Warning
        "Behind a redirect to another origin pages are allowed only if that one allows them too, the origin null as a rule.",
    REDIRECT_LOOP "redirect-loop" Error
        "Browsers give up after 20 redirects.",
    HEADER_NOT_EXPOSED "header-not-exposed" Error
        "Pages read seven harmless headers, and beside them what Access-Control-Expose-Headers lists.",
    NEVER_SENT "never-sent" Error
        "Browsers do not send every request that a page may want.",
    VARY_MISSING "vary-missing" Warning
        "A cache gives one origin's response to another, or to all: pages fail at random.",
    ORIGIN_REFLECTED "origin-reflected" Warning
        "Whatever site the user visits may read the responses.",
    ANY_ORIGIN "any-origin" Note
        "Every site may read the responses, which is right for public data.",
    NULL_ALLOWED "null-allowed" Warning
        "Any site gets the origin null by a sandboxed frame, so that this allows everybody.",
    ORIGIN_SUBSTRING "origin-substring" Warning
        "Whoever registers a name with the allowed one inside may read the responses.",
    ORIGIN_PREFIX "origin-prefix" Warning
        "Whoever registers a name that begins like the allowed one may read the responses.",
    ORIGIN_SUFFIX "origin-suffix" Warning
        "Whoever registers a name that ends like the allowed one may read the responses.",
    ORIGIN_UNESCAPED_DOT "origin-unescaped-dot" Warning
        "Whoever registers the name with another character for the dot may read the responses.",
    ORIGIN_SPECIAL_CHARACTER "origin-special-character" Warning
        "Some browsers have pages of such hosts, which anybody can put below a name of his own.",
    INSECURE_ORIGIN "insecure-origin" Warning
        "Whoever sits on the user's network can answer for an http site, and reads the responses.",
    SUBDOMAIN_ALLOWED "subdomain-allowed" Note
        "One sub-domain in wrong hands may read the responses; a wildcard may be meant.",
    PORT_IGNORED "port-ignored" Note
        "Every service on that host may read the responses.",
    TRAILING_DOT_ALLOWED "trailing-dot-allowed" Note
        "Origins are not compared byte for byte.",
    CASE_IGNORED "case-ignored" Note
        "Origins are not compared byte for byte.",
    ALLOWED_UNEXPECTEDLY "allowed-unexpectedly" Error
        "The suite says that it is refused.",
    NO_ERROR "no-error" Note
        "How an error reply looks to a page is not known.",
}
