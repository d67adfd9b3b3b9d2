//! From what was observed to findings.

use envoy_cors::browser;
use envoy_cors::header::{self, response};

use super::causes::{self, Cause};
use super::client::Exchange;
use super::endpoint::Endpoint;
use super::finding::{self as rules, Finding};
use super::look_alikes;
use super::observe::Observed;
use super::page::{Verdict, Visit};

/// The names of checks that are not a page's.
const ERROR_REPLIES: &str = "error replies";
const STRANGERS: &str = "strangers";
const CACHES: &str = "caches";

/// All findings on one URL: pages first, then strangers, then caches.
pub fn diagnose(endpoint: &Endpoint, observed: &Observed) -> Vec<Finding> {
    let mut findings = Findings::default();
    for visit in &observed.visits {
        let failed = Cause { observed, visit }.find().into_iter();
        findings.add(&visit.name(), failed.chain(unexposed(endpoint, visit)));
    }
    for visit in &observed.refused {
        findings.add(&refusal(visit), allowed_unexpectedly(visit));
    }
    let errors = observed.not_found.iter().chain(&observed.unauthorized);
    findings.add(ERROR_REPLIES, errors.filter_map(|visit| error_reply(observed, visit)));
    findings.add(STRANGERS, observed.exchanges().find_map(causes::two_authorities));
    findings.add(STRANGERS, look_alikes::find(endpoint, observed));
    findings.add(CACHES, vary_missing(endpoint, observed));
    findings.0
}

/// The names of all checks that were made.
pub fn checks(observed: &Observed) -> Vec<String> {
    let mut checks: Vec<String> = observed.visits.iter().map(Visit::name).collect();
    checks.extend(observed.refused.iter().map(refusal));
    if observed.not_found.is_some() || observed.unauthorized.is_some() {
        checks.push(ERROR_REPLIES.into());
    }
    if !observed.strangers.is_empty() {
        checks.push(STRANGERS.into());
    }
    checks.push(CACHES.into());
    checks
}

fn refusal(visit: &Visit) -> String {
    format!("{} is refused", visit.name())
}

/// Each thing is said once, with the first exchange that shows it.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &str, findings: impl IntoIterator<Item = Finding>) {
        for mut finding in findings {
            let rule = finding.rule;
            // These are about the server as a whole.
            let once = [rules::TWO_AUTHORITIES, rules::ANY_ORIGIN_WITH_CREDENTIALS].contains(&rule);
            let said = |said: &&mut Finding| {
                said.rule == rule && (once || said.message == finding.message)
            };
            match self.0.iter_mut().find(said) {
                Some(said) if said.checks.iter().any(|said| said == check) => {}
                Some(said) => said.checks.push(check.to_owned()),
                None => {
                    finding.checks.push(check.to_owned());
                    self.0.push(finding);
                }
            }
        }
    }
}

/// Headers that the page should read, and does not.
fn unexposed<'e>(endpoint: &'e Endpoint, visit: &'e Visit) -> impl Iterator<Item = Finding> + 'e {
    let read = matches!(visit.verdict, Verdict::Reads(_));
    let last = visit.exchanges.last().filter(|_| read);
    last.into_iter().flat_map(move |last| {
        let hidden = endpoint.reads.iter().filter(|name| !is_exposed(visit, last, name));
        hidden.map(move |name| {
            let listed = last.value(response::EXPOSE_HEADERS).unwrap_or_default();
            let seen = match listed.as_str() {
                "" => "there is no Access-Control-Expose-Headers".to_owned(),
                "*" => "Access-Control-Expose-Headers is *, which is no wildcard with credentials"
                    .to_owned(),
                listed => format!("Access-Control-Expose-Headers lists {listed}"),
            };
            rules::HEADER_NOT_EXPOSED.found(
                format!("the page cannot read {name}: {seen}"),
                format!("expose {name}"),
                [last],
            )
        })
    })
}

/// Whether the page could read a header, be it there or not.
fn is_exposed(visit: &Visit, last: &Exchange, name: &str) -> bool {
    let Ok(answer) = &last.answer else { return false };
    let mut answer = answer.clone();
    answer.headers.push((name.to_owned(), Vec::new()));
    browser::check(&visit.request, &answer)
        .is_ok_and(|readable| readable.headers.iter().any(|readable| readable == name))
}

/// What a page makes of a reply that should be an error.
fn error_reply(observed: &Observed, visit: &Visit) -> Option<Finding> {
    let cause = Cause { observed, visit };
    let last = visit.exchanges.last()?;
    match &visit.verdict {
        Verdict::Reads(_) => {
            let status = last.status().filter(|status| *status < 400)?;
            Some(rules::NO_ERROR.found(
                format!("{last} gives {status}, and is to give an error"),
                "name another path",
                [last],
            ))
        }
        // Of a page that is refused everywhere this is no news.
        _ if cause.is_page_granted() => cause.find(),
        _ => None,
    }
}

fn allowed_unexpectedly(visit: &Visit) -> Option<Finding> {
    let last = visit.exchanges.last()?;
    matches!(visit.verdict, Verdict::Reads(_) | Verdict::NotSent).then(|| {
        let (origin, method) = (&visit.request.page, visit.request.sent_method());
        rules::ALLOWED_UNEXPECTEDLY.found(
            format!("{method} of {origin} is allowed"),
            "refuse it, or take it out of the suite",
            [last],
        )
    })
}

/// Responses that differ by origin, and of which a cache is not told so.
fn vary_missing(endpoint: &Endpoint, observed: &Observed) -> Option<Finding> {
    let asks_get = endpoint.methods.iter().any(|method| method.eq_ignore_ascii_case("GET"));
    if !asks_get && observed.plain.status().is_some_and(|status| status >= 400) {
        return None;
    }
    let cached = |exchange: &&Exchange| {
        let no_store = |line: &[u8]| {
            header::elements(line).any(|element| element.eq_ignore_ascii_case(b"no-store"))
        };
        exchange.method == "GET" && !exchange.lines("cache-control").any(no_store)
    };
    let varies = |exchange: &Exchange| exchange.lines(response::VARY).any(header::varies_on_origin);
    let responses: Vec<_> = observed.exchanges().filter(cached).collect();
    let lacking = responses.iter().find(|exchange| !varies(exchange))?;
    let grant = |exchange: &Exchange| exchange.value(response::ALLOW_ORIGIN);
    let other = responses.iter().find(|exchange| grant(exchange) != grant(lacking))?;
    let without = |kind: &str, of: &dyn Fn(&Exchange) -> bool| {
        let missing = responses.iter().any(|exchange| of(exchange) && !varies(exchange));
        missing.then(|| kind.to_owned())
    };
    let kinds: Vec<_> = [
        without("with a grant", &|exchange| grant(exchange).is_some()),
        without("without a grant", &|exchange| {
            grant(exchange).is_none() && exchange.sent("origin").is_some()
        }),
        without("to requests without Origin", &|exchange| exchange.sent("origin").is_none()),
    ]
    .into_iter()
    .flatten()
    .collect();
    Some(rules::VARY_MISSING.found(
        format!(
            "responses differ by Origin, and Vary: Origin is missing on those {}",
            kinds.join(" and ")
        ),
        "add Vary: Origin to every response of the URL, also to those without a grant",
        [*lacking, *other],
    ))
}
