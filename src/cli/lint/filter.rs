//! What the filter itself says of a configuration, each under a rule.

use envoy_cors::diagnostic::{Diagnostic, Diagnostics, InvalidHost, Problem, Severity};
use envoy_cors::origin::Malformed;
use envoy_cors::pattern::{InvalidPattern, OriginPattern};

use super::rules;
use crate::cli::document::Configuration;
use crate::cli::report::{self, Finding};

/// A problem as a finding. What the filter cannot know, `lint` adds: the ASCII
/// form of a Unicode host.
pub fn finding(configuration: &Configuration<'_>, diagnostic: &Diagnostic) -> Finding {
    let says = diagnostic.to_string();
    let (message, remedy) = says.rsplit_once("; ").unwrap_or((&says, ""));
    let remedy = match ascii_form(diagnostic) {
        Some(text) => format!("write {text:?}"),
        None => remedy.to_owned(),
    };
    let problem = &diagnostic.problem;
    let about_key = matches!(problem, Problem::UnknownField { .. } | Problem::FieldTwice { .. });
    let json_error =
        || configuration.json_error().filter(|_| matches!(problem, Problem::NotJson(_)));
    Finding {
        rule: rule(problem),
        severity: match diagnostic.severity() {
            Severity::Error => report::Severity::Error,
            Severity::Warning => report::Severity::Warning,
        },
        at: diagnostic.at.clone(),
        message: message.to_owned(),
        remedy,
        span: json_error().unwrap_or_else(|| configuration.span(&diagnostic.at, about_key)),
        string_start: configuration.string_start(),
    }
}

/// All problems for which the filter refuses a configuration, in the order of
/// its text.
pub fn errors(configuration: &Configuration<'_>, problems: &Diagnostics) -> Vec<Finding> {
    let errors = problems.iter().filter(|problem| problem.severity() == Severity::Error);
    let mut findings: Vec<_> = errors.map(|problem| finding(configuration, problem)).collect();
    findings.sort_by_key(|finding| finding.span.start);
    findings
}

/// Which rule a problem breaks.
pub fn rule(problem: &Problem) -> &'static str {
    match problem {
        Problem::Empty => rules::NO_POLICY,
        Problem::StructBytes => rules::STRUCT_CONFIGURATION,
        Problem::NotJson(_) => rules::SYNTAX,
        Problem::UnknownField { .. } => rules::UNKNOWN_FIELD,
        Problem::FieldTwice { .. } => rules::DUPLICATE_FIELD,
        Problem::WrongType { .. }
        | Problem::NotOneOf(_)
        | Problem::MaxAge
        | Problem::FlushInterval
        | Problem::ReportInterval
        | Problem::MaxAgeTooLarge => rules::WRONG_VALUE,
        Problem::NoName | Problem::InvalidName | Problem::ReservedName | Problem::NameTwice(_) => {
            rules::POLICY_NAME
        }
        Problem::Host(InvalidHost::Malformed(Malformed::Unicode))
        | Problem::Pattern(InvalidPattern::Malformed(Malformed::Unicode), _) => rules::UNICODE_HOST,
        Problem::EmptyPolicies
        | Problem::NoMatch
        | Problem::EmptyMatch
        | Problem::EmptyMatchList
        | Problem::Host(_)
        | Problem::PathPrefix(_) => rules::INVALID_MATCH,
        Problem::SameScope(_) => rules::SAME_SCOPE,
        Problem::NoDefault => rules::NO_DEFAULT_POLICY,
        Problem::NoAllowOrigins => rules::MISSING_ORIGINS,
        Problem::NoEnvironment | Problem::UnknownEnvironment { .. } => rules::UNKNOWN_ENVIRONMENT,
        Problem::Pattern(..) => rules::INVALID_ORIGIN,
        Problem::AnyWithCredentials => rules::ANY_ORIGIN_WITH_CREDENTIALS,
        Problem::NullWithCredentials => rules::NULL_ORIGIN_WITH_CREDENTIALS,
        Problem::InsecureWithCredentials => rules::INSECURE_ORIGIN_WITH_CREDENTIALS,
        Problem::PublicSuffixWithCredentials => rules::PUBLIC_SUFFIX_WITH_CREDENTIALS,
        Problem::Null => rules::NULL_ORIGIN,
        Problem::EntryTwice(_) | Problem::ScopeTwice(_) => rules::DUPLICATE_ENTRY,
        Problem::BesideAny | Problem::CoveredBy(_) => rules::COVERED_ENTRY,
        Problem::InvalidMethod | Problem::ForbiddenMethod => rules::INVALID_METHOD,
        Problem::InvalidHeader
        | Problem::ForbiddenRequestHeader
        | Problem::ForbiddenResponseHeader
        | Problem::ProhibitedHeader => rules::INVALID_HEADER,
        Problem::SafelistedMethod | Problem::SafelistedResponseHeader => rules::SAFELISTED_ENTRY,
        Problem::AnyExposedWithCredentials => rules::ANY_EXPOSED_WITH_CREDENTIALS,
        Problem::ForwardAndReplace => rules::FORWARDED_PREFLIGHTS,
    }
}

/// What browsers send for a host that was written in Unicode.
pub fn ascii_form(diagnostic: &Diagnostic) -> Option<String> {
    let text = diagnostic.value.as_deref()?;
    match diagnostic.problem {
        Problem::Host(InvalidHost::Malformed(Malformed::Unicode)) => ascii_host(text),
        Problem::Pattern(_, None) if !text.is_ascii() => {
            let (scheme, rest) = text.trim().split_once("://")?;
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) => (host, format!(":{port}")),
                None => (rest, String::new()),
            };
            let meant = format!("{}://{}{port}", scheme.to_ascii_lowercase(), ascii_host(host)?);
            OriginPattern::parse(&meant).is_ok().then_some(meant)
        }
        _ => None,
    }
}

fn ascii_host(host: &str) -> Option<String> {
    match host.strip_prefix("*.") {
        Some(domain) => Some(format!("*.{}", idna::domain_to_ascii(domain).ok()?)),
        None => idna::domain_to_ascii(host).ok(),
    }
}
