//! The rules of `lint`: an identifier, a severity and a page each.

use std::cmp::Reverse;

use crate::cli::report::Severity;

/// A rule.
pub struct Rule {
    /// Its identifier.
    pub id: &'static str,
    /// How much its findings matter.
    pub severity: Severity,
    /// What it is about, why, and what to write: plain text, the title first.
    page: &'static str,
    /// A file in which it is found, and nothing else.
    pub bad: &'static str,
    /// The same file put right.
    pub good: &'static str,
}

impl Rule {
    /// What it finds, in a line.
    pub fn title(&self) -> &'static str {
        self.page.lines().next().unwrap_or_default()
    }

    /// Its page without the title.
    pub fn page(&self) -> &'static str {
        self.page.split_once("\n\n").map_or("", |(_, page)| page).trim_end()
    }
}

/// The rule of an identifier.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// The identifier of a rule, as an argument names it.
///
/// # Errors
///
/// A sentence, where there is no such rule.
pub fn known(id: &str) -> Result<String, String> {
    match (rule(id), resembling(id)) {
        (Some(rule), _) => Ok(rule.id.to_owned()),
        (None, Some(meant)) => Err(format!("there is no such rule; did you mean {meant}?")),
        (None, None) => {
            Err("there is no such rule; `envoy-cors explain --rules` lists them".to_owned())
        }
    }
}

/// The rule that somebody may have meant, by the words that both have.
pub fn resembling(id: &str) -> Option<&'static str> {
    let words: Vec<&str> = id.split(['-', '_', ' ']).filter(|word| word.len() > 2).collect();
    let shared = |rule: &str| words.iter().filter(|word| rule.contains(**word)).count();
    let best = RULES.iter().max_by_key(|rule| (shared(rule.id), Reverse(rule.id.len())));
    best.map(|rule| rule.id).filter(|rule| 2 * shared(rule) > words.len())
}

/// A constant for each identifier, and the table of all rules.
macro_rules! rules {
    ($($name:ident $id:literal $severity:ident,)*) => {
        $(pub const $name: &str = $id;)*

        /// All rules, by subject.
        pub const RULES: &[Rule] = &[
            $(Rule {
                id: $id,
                severity: Severity::$severity,
                page: include_str!(concat!("pages/", $id, ".txt")),
                bad: include_str!(concat!("../../../tests/lint/", $id, "/bad.yaml")),
                good: include_str!(concat!("../../../tests/lint/", $id, "/good.yaml")),
            },)*
        ];
    };
}

rules! {
    SYNTAX "syntax" Error,
    NO_POLICY "no-policy" Error,
    STRUCT_CONFIGURATION "struct-configuration" Error,
    UNKNOWN_FIELD "unknown-field" Error,
    DUPLICATE_FIELD "duplicate-field" Error,
    WRONG_VALUE "wrong-value" Error,
    POLICY_NAME "policy-name" Error,
    INVALID_MATCH "invalid-match" Error,
    SAME_SCOPE "same-scope" Error,
    NO_DEFAULT_POLICY "no-default-policy" Warning,
    UNKNOWN_ENVIRONMENT "unknown-environment" Error,
    MISSING_ORIGINS "missing-origins" Error,
    INVALID_ORIGIN "invalid-origin" Error,
    UNICODE_HOST "unicode-host" Error,
    INVALID_A_LABEL "invalid-a-label" Warning,
    ANY_ORIGIN_WITH_CREDENTIALS "any-origin-with-credentials" Error,
    NULL_ORIGIN_WITH_CREDENTIALS "null-origin-with-credentials" Error,
    NULL_ORIGIN "null-origin" Warning,
    INSECURE_ORIGIN_WITH_CREDENTIALS "insecure-origin-with-credentials" Error,
    PUBLIC_SUFFIX_WITH_CREDENTIALS "public-suffix-with-credentials" Error,
    PUBLIC_SUFFIX "public-suffix" Note,
    LOOPBACK_IN_PRODUCTION "loopback-in-production" Warning,
    INSECURE_ORIGIN_IN_PRODUCTION "insecure-origin-in-production" Warning,
    OTHER_ENVIRONMENT_IN_PRODUCTION "other-environment-in-production" Warning,
    WIDER_IN_PRODUCTION "wider-in-production" Warning,
    IDENTICAL_ENVIRONMENTS "identical-environments" Warning,
    ENVIRONMENT_OUTLIER "environment-outlier" Note,
    DUPLICATE_ENTRY "duplicate-entry" Warning,
    COVERED_ENTRY "covered-entry" Warning,
    SAFELISTED_ENTRY "safelisted-entry" Warning,
    SAFELISTED_REQUEST_HEADER "safelisted-request-header" Note,
    INVALID_METHOD "invalid-method" Error,
    METHOD_CASE "method-case" Warning,
    OPTIONS_METHOD "options-method" Note,
    INVALID_HEADER "invalid-header" Error,
    ANY_EXPOSED_WITH_CREDENTIALS "any-exposed-with-credentials" Error,
    CONTENT_TYPE_NOT_ALLOWED "content-type-not-allowed" Note,
    AUTHORIZATION_NOT_ALLOWED "authorization-not-allowed" Note,
    INCOMPLETE_GRPC_WEB "incomplete-grpc-web" Warning,
    MAX_AGE_CAPPED "max-age-capped" Note,
    FORWARDED_PREFLIGHTS "forwarded-preflights" Warning,
    FILTER_BEFORE_CORS "filter-before-cors" Warning,
    GATEWAY_FILTER_ORDER "gateway-filter-order" Note,
    SECOND_CORS_LAYER "second-cors-layer" Warning,
    FAIL_OPEN "fail-open" Warning,
    ALLOW_WITHOUT_REASON "allow-without-reason" Warning,
    UNUSED_ALLOW "unused-allow" Warning,
}
