//! What strangers may do, and how the server compares origins if they may.

use envoy_cors::header::response;

use super::endpoint::Endpoint;
use super::finding::{self as rules, Finding, Rule};
use super::observe::{Observed, Tried};
use super::page::Grant;
use super::strangers::{Kind, look_alikes};
use crate::cli::report::Severity;

/// The kinds that a looser comparison explains as well, by that comparison.
const EXPLAINED: &[(Kind, &[Kind])] = &[
    (
        Kind::Substring,
        &[
            Kind::Prefix,
            Kind::Suffix,
            Kind::SpecialCharacter,
            Kind::Subdomain,
            Kind::Port,
            Kind::TrailingDot,
        ],
    ),
    (Kind::Prefix, &[Kind::SpecialCharacter, Kind::Port, Kind::TrailingDot]),
    (Kind::Suffix, &[Kind::UnescapedDot]),
];

/// What the strangers show.
pub fn find(endpoint: &Endpoint, observed: &Observed) -> Vec<Finding> {
    let of = |kind: Kind| observed.strangers.iter().find(move |tried| tried.stranger.kind == kind);
    let expected = if endpoint.public { Grant::Anonymous } else { Grant::None };
    let stranger = of(Kind::Stranger).filter(|tried| tried.grant > expected);
    let null = of(Kind::Null);

    // Whatever everybody may do is no news of a look-alike.
    let everybody = stranger.map_or(expected, |tried| tried.grant);
    let mut findings: Vec<_> =
        stranger.map(|tried| stranger_allowed(endpoint, observed, tried)).into_iter().collect();
    findings.extend(null.filter(|tried| tried.grant > everybody).map(null_allowed));
    for origin in &endpoint.origins {
        let look_alikes = look_alikes(origin);
        let granted: Vec<&Tried> = look_alikes
            .iter()
            .filter_map(|it| observed.strangers.iter().find(|tried| tried.stranger == *it))
            .filter(|tried| tried.grant > everybody)
            .collect();
        for finding in of_one(origin, &granted) {
            if !findings.iter().any(|known| known.rule == finding.rule) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// What the look-alikes of one origin show that are allowed.
fn of_one(origin: &str, granted: &[&Tried]) -> Vec<Finding> {
    let kind = |tried: &Tried| tried.stranger.kind;
    let is_below = |kind: Kind| matches!(kind, Kind::Suffix | Kind::Subdomain);
    let first_below = granted.iter().map(|tried| kind(tried)).find(|kind| is_below(*kind));
    let first = |of: Kind| {
        let found = granted.iter().find(|tried| kind(tried) == of);
        found.filter(|_| !is_below(of) || first_below == Some(of))
    };
    let explained = |kind: Kind| {
        EXPLAINED.iter().any(|(by, kinds)| kinds.contains(&kind) && first(*by).is_some())
    };
    let telling = TELLING.iter().filter(|telling| !explained(telling.kind));
    telling.filter_map(|telling| Some(telling.of(first(telling.kind)?, origin))).collect()
}

fn null_allowed(tried: &Tried) -> Finding {
    let message = format!("null is allowed{}", credentials(tried.grant));
    let finding = rules::NULL_ALLOWED.found(message, "take null off the list", [&tried.exchange]);
    with_severity(finding, tried.grant)
}

/// A stranger who can use the user's login makes it an error.
fn with_severity(mut finding: Finding, grant: Grant) -> Finding {
    if finding.severity == Severity::Warning && grant == Grant::WithCredentials {
        finding.severity = Severity::Error;
    }
    finding
}

fn credentials(grant: Grant) -> &'static str {
    if grant == Grant::WithCredentials { ", with credentials" } else { "" }
}

fn stranger_allowed(endpoint: &Endpoint, observed: &Observed, tried: &Tried) -> Finding {
    let origin = &tried.stranger.origin;
    let any = |value: Option<String>| value.as_deref() == Some("*");
    if !any(tried.exchange.value(response::ALLOW_ORIGIN)) {
        let finding = rules::ORIGIN_REFLECTED.found(
            format!("every origin is allowed{}, {origin} too", credentials(tried.grant)),
            "compare Origin with a list; for public data write * and allow no credentials",
            [&tried.exchange],
        );
        return with_severity(finding, tried.grant);
    }
    let own = observed.exchanges().find(|exchange| {
        endpoint.origins.iter().any(|origin| {
            exchange.value(response::ALLOW_ORIGIN).as_ref() == Some(origin)
                && exchange.sent("origin") == Some(origin.as_bytes())
        })
    });
    if let Some(own) = own {
        return rules::TWO_AUTHORITIES.found(
            "the pages get their own origin, and strangers *".into(),
            "let one of them do it: remove the headers upstream, or let the gateway replace them",
            [own, &tried.exchange],
        );
    }
    let allow_credentials = tried.exchange.value(response::ALLOW_CREDENTIALS);
    if endpoint.credentials || allow_credentials.as_deref() == Some("true") {
        return rules::ANY_ORIGIN_WITH_CREDENTIALS.found(
            "Access-Control-Allow-Origin is * beside Access-Control-Allow-Credentials".into(),
            "list the origins and answer with the one that asks, or do without credentials",
            [&tried.exchange],
        );
    }
    rules::ANY_ORIGIN.found(
        "every site may read the responses, without credentials".into(),
        "list the origins, if the data is not public",
        [&tried.exchange],
    )
}

/// A look-alike, the rule that it belongs to, and what to say of it.
struct Telling {
    kind: Kind,
    rule: &'static Rule,
    clause: &'static str,
    remedy: &'static str,
}

impl Telling {
    fn of(&self, tried: &Tried, allowed: &str) -> Finding {
        let clause = self.clause.replace("{}", allowed);
        let message =
            format!("{} is allowed{}{clause}", tried.stranger.origin, credentials(tried.grant));
        with_severity(self.rule.found(message, self.remedy, [&tried.exchange]), tried.grant)
    }
}

const WHOLE: &str = "compare whole origins, or anchor the expression at both ends";
const BOUNDARY: &str = "begin the suffix with a dot, or compare whole origins";

#[rustfmt::skip]
const TELLING: &[Telling] = &[
    Telling { kind: Kind::Substring, rule: rules::ORIGIN_SUBSTRING, clause: ": it holds the host of {}", remedy: WHOLE },
    Telling { kind: Kind::Prefix, rule: rules::ORIGIN_PREFIX, clause: ": it begins with {}", remedy: WHOLE },
    Telling { kind: Kind::Suffix, rule: rules::ORIGIN_SUFFIX, clause: ": it ends like {}", remedy: BOUNDARY },
    Telling { kind: Kind::UnescapedDot, rule: rules::ORIGIN_UNESCAPED_DOT, clause: ": it has another character for a dot of {}",
        remedy: "escape the dots of the expression, or compare whole origins" },
    Telling { kind: Kind::SpecialCharacter, rule: rules::ORIGIN_SPECIAL_CHARACTER, clause: ": {} ends there for the expression", remedy: WHOLE },
    Telling { kind: Kind::Insecure, rule: rules::INSECURE_ORIGIN, clause: ", and {} without TLS is another origin", remedy: "compare the scheme too" },
    Telling { kind: Kind::Subdomain, rule: rules::SUBDOMAIN_ALLOWED, clause: ", beside {}", remedy: "list the origins, unless a wildcard is meant" },
    Telling { kind: Kind::Port, rule: rules::PORT_IGNORED, clause: " like {}", remedy: "compare the port too, unless every port is meant" },
    Telling { kind: Kind::TrailingDot, rule: rules::TRAILING_DOT_ALLOWED, clause: " like {}", remedy: "compare byte for byte" },
    Telling { kind: Kind::Case, rule: rules::CASE_IGNORED, clause: " like {}", remedy: "compare byte for byte" },
];
