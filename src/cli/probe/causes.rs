//! Why a page cannot do what it should: the cause of a visit's failure.

use envoy_cors::browser::{Denial, Failure, Unsendable};
use envoy_cors::header::{self, response};
use envoy_cors::origin::Origin;

use super::client::Exchange;
use super::finding::{self as rules, Finding};
use super::observe::Observed;
use super::page::{Verdict, Visit, location};

/// What the failure of one visit comes from.
pub struct Cause<'o> {
    pub observed: &'o Observed,
    pub visit: &'o Visit,
}

/// The exchange that decided, and its status.
type Last<'o> = (&'o Exchange, u16);

impl Cause<'_> {
    /// The finding, if the visit failed.
    pub fn find(&self) -> Option<Finding> {
        let last = self.visit.exchanges.last();
        let status = last.and_then(Exchange::status).unwrap_or_default();
        let origin = &self.visit.request.page;
        let method = self.visit.request.sent_method();
        Some(match (&self.visit.verdict, last) {
            (Verdict::Reads(_) | Verdict::NotSent, _) => return None,
            (Verdict::MixedContent, _) => rules::MIXED_CONTENT.found(
                format!("a page of {origin} cannot ask {} at all", self.observed.plain.url),
                "serve the URL over https",
                last,
            ),
            (Verdict::RedirectLoop, _) => rules::REDIRECT_LOOP.found(
                "the redirects do not end".into(),
                "end them",
                // The others are alike.
                self.visit.exchanges.iter().take(2),
            ),
            (Verdict::Elsewhere(location), _) => rules::REDIRECTED_ELSEWHERE.found(
                format!("{method} is redirected to {location}, which was not asked"),
                "ask the URL that it leads to; where a login is demanded, answer 401 instead, \
                 so that the page can go there",
                last,
            ),
            (Verdict::PreflightUnanswered(clause), _) => rules::PREFLIGHT_UNANSWERED.found(
                format!("the preflight of {method} has no answer: {clause}"),
                ANSWER_PREFLIGHTS,
                last,
            ),
            (Verdict::Fails(failure), None) => self.unsendable(failure),
            (Verdict::Fails(failure), Some(last)) => self.failure(failure, (last, status)),
        })
    }

    fn unsendable(&self, failure: &Failure) -> Finding {
        let remedy = match failure {
            Failure::Unsendable(Unsendable::ForbiddenMethod(_)) => "offer it under another method",
            _ => "correct it",
        };
        rules::NEVER_SENT.found(failure.to_string(), remedy, [])
    }

    fn failure(&self, failure: &Failure, (last, status): Last<'_>) -> Finding {
        match failure {
            Failure::Unsendable(_) | Failure::RedirectUserInfo => self.unsendable(failure),
            Failure::PreflightRedirect(status) => {
                let location = last.answer.as_ref().ok().and_then(location).unwrap_or_default();
                rules::PREFLIGHT_REDIRECTED.found(
                    format!("the preflight is answered with {status}, which leads to {location}"),
                    "let pages ask the URL that it leads to, or answer preflights before redirects",
                    [last],
                )
            }
            Failure::Preflight(denial) => self.denied(denial, true, (last, status)),
            Failure::Response(denial) => self.denied(denial, false, (last, status)),
            Failure::PreflightStatus(401 | 403 | 407) => self.unauthorized((last, status)),
            Failure::PreflightStatus(status) => rules::PREFLIGHT_STATUS.found(
                format!("the preflight gets the right headers, and the status {status}"),
                "answer preflights with 204",
                [last],
            ),
            Failure::AllowMethods(line) => invalid_list("Methods", line, last),
            Failure::AllowHeaders(line) => invalid_list("Headers", line, last),
            Failure::Method { method, listed } => {
                let cased = listed.iter().find(|listed| listed.eq_ignore_ascii_case(method));
                let remedy = match cased {
                    Some(cased) => format!(
                        "methods are case-sensitive: ask with {cased}, which the server allows"
                    ),
                    None => format!("add {method} to the allowed methods"),
                };
                rules::METHOD_NOT_ALLOWED.found(
                    format!("{method} is not among the allowed methods ({})", names(listed)),
                    remedy,
                    [last],
                )
            }
            Failure::Header { name, listed } => rules::HEADER_NOT_ALLOWED.found(
                format!(
                    "{name} is not among the allowed headers ({}){}",
                    names(listed),
                    if listed.iter().any(|listed| listed == "*") {
                        ": with credentials * stands for nothing"
                    } else {
                        ""
                    }
                ),
                format!("add {name} to the allowed headers"),
                [last],
            ),
            Failure::Authorization { listed } => rules::HEADER_NOT_ALLOWED.found(
                format!(
                    "authorization is not among the allowed headers ({}): by the standard * does \
                     not stand for it, though browsers still let it pass",
                    names(listed)
                ),
                "add authorization to the allowed headers".to_owned(),
                [last],
            ),
        }
    }

    /// The CORS check has failed, of a preflight or of a response.
    fn denied(&self, denial: &Denial, preflight: bool, (last, status): Last<'_>) -> Finding {
        let origin = &self.visit.request.page;
        if let Some(finding) = two_authorities(last) {
            return finding;
        }
        match denial {
            Denial::NoAllowOrigin if preflight => self.bare_preflight((last, status)),
            Denial::NoAllowOrigin => self.bare_response((last, status)),
            Denial::AnyWithCredentials => any_with_credentials(last),
            Denial::SeveralOrigins(value) => rules::SEVERAL_ORIGINS.found(
                format!("Access-Control-Allow-Origin lists '{}'", value.escape_ascii()),
                "compare Origin with the list on the server, answer with that one, and add Vary: Origin",
                [last],
            ),
            Denial::NotAnOrigin(value) => self.invalid_allow_origin(value, last),
            Denial::OtherOrigin { allowed, .. } => {
                let text = allowed.escape_ascii().to_string();
                if text != "null" && Origin::parse(&text).is_err() {
                    self.invalid_allow_origin(allowed, last)
                } else {
                    self.origin_not_allowed(&format!("the answer is for {text}"), last)
                }
            }
            Denial::NoCredentials(value) => {
                let seen = match value {
                    Some(value) => format!("is '{}'", value.escape_ascii()),
                    None => "is missing".into(),
                };
                rules::CREDENTIALS_NOT_ALLOWED.found(
                    format!("{origin} asks with credentials, and Access-Control-Allow-Credentials {seen}"),
                    "allow credentials, or let pages ask without them",
                    [last],
                )
            }
        }
    }

    fn invalid_allow_origin(&self, value: &[u8], last: &Exchange) -> Finding {
        rules::INVALID_ALLOW_ORIGIN.found(
            format!(
                "Access-Control-Allow-Origin is '{}', which is no origin",
                value.escape_ascii()
            ),
            format!("answer with {}", self.visit.request.page),
            [last],
        )
    }

    /// A preflight without ACAO: who has answered it?
    fn bare_preflight(&self, (last, status): Last<'_>) -> Finding {
        // Whoever varies has looked at the origin.
        let plain_refused = || {
            let plain = self.observed.plain_options.as_ref().and_then(Exchange::status);
            plain == Some(status) && !last.lines(response::VARY).any(header::varies_on_origin)
        };
        let get = self.get_of_page();
        let get_granted = get.is_some_and(|get| get.lines(response::ALLOW_ORIGIN).next().is_some());
        let get_failed = get.and_then(Exchange::status).is_none_or(|status| status >= 400);
        match status {
            401 | 407 => self.unauthorized((last, status)),
            403 if get_granted || plain_refused() => self.unauthorized((last, status)),
            _ if get_granted => self.preflight_unanswered((last, status)),
            _ if self.is_cors_known() => self.origin_not_allowed("there is no grant", last),
            400.. if get_failed => self.preflight_unanswered((last, status)),
            _ => self.no_cors(last),
        }
    }

    /// A response without ACAO.
    fn bare_response(&self, (last, status): Last<'_>) -> Finding {
        let varies = last.lines(response::VARY).any(header::varies_on_origin);
        let preflighted = self.visit.exchanges.len() > 1;
        if varies && !preflighted && !self.is_page_granted() {
            self.origin_not_allowed("there is no grant", last)
        } else if last.answer.as_ref().ok().and_then(location).is_some() {
            rules::REDIRECT_WITHOUT_CORS.found(
                format!("the redirect ({status}) has no CORS headers"),
                "add them to redirects too, or let pages ask the URL that it leads to",
                [last],
            )
        } else if status >= 400 {
            error_without_cors(last, status)
        } else if preflighted {
            rules::RESPONSE_WITHOUT_CORS.found(
                "the preflight is allowed, and the response has no Access-Control-Allow-Origin"
                    .into(),
                "add Access-Control-Allow-Origin to every response, not to preflights alone",
                &self.visit.exchanges,
            )
        } else if self.is_cors_known() {
            self.origin_not_allowed("there is no grant", last)
        } else {
            self.no_cors(last)
        }
    }

    /// The page's GET that needs no preflight.
    fn get_of_page(&self) -> Option<&Exchange> {
        let of_page = |exchange: &&Exchange| {
            exchange.method == "GET"
                && exchange.sent("origin") == Some(self.visit.request.page.as_bytes())
        };
        self.observed.exchanges().find(of_page)
    }

    /// Whether the page's origin got a grant from the URL.
    pub fn is_page_granted(&self) -> bool {
        let origin = self.visit.request.page.as_bytes();
        self.observed.exchanges().any(|exchange| {
            exchange.sent("origin") == Some(origin)
                && exchange.lines(response::ALLOW_ORIGIN).any(|line| line == origin || line == b"*")
        })
    }

    /// Whether anybody got a CORS header, or could have got one.
    fn is_cors_known(&self) -> bool {
        self.observed.exchanges().any(|exchange| {
            exchange.lines(response::VARY).any(header::varies_on_origin)
                || exchange.answer.as_ref().is_ok_and(|answer| {
                    let mut names = answer.headers.iter().map(|(name, _)| name);
                    names.any(|name| name.starts_with("access-control-"))
                })
        })
    }

    fn no_cors(&self, last: &Exchange) -> Finding {
        let status = match last.status() {
            Some(status) if last.method == "OPTIONS" => format!(" (the preflight gets {status})"),
            _ => String::new(),
        };
        rules::NO_CORS.found(
            format!("no response has a CORS header, whatever the origin{status}"),
            "allow the origins, best at the gateway; if a policy does, it does not cover this URL",
            [last],
        )
    }

    fn origin_not_allowed(&self, clause: &str, last: &Exchange) -> Finding {
        let origin = &self.visit.request.page;
        rules::ORIGIN_NOT_ALLOWED.found(
            format!("{origin} is not allowed: {clause}"),
            format!("add {origin} to the allowed origins"),
            [last],
        )
    }

    fn preflight_unanswered(&self, (last, status): Last<'_>) -> Finding {
        let method = self.visit.request.sent_method();
        rules::PREFLIGHT_UNANSWERED.found(
            format!("the preflight of {method} gets {status} and no CORS headers"),
            ANSWER_PREFLIGHTS,
            [last],
        )
    }

    fn unauthorized(&self, (last, status): Last<'_>) -> Finding {
        let method = self.visit.request.sent_method();
        rules::PREFLIGHT_UNAUTHORIZED.found(
            format!("the preflight of {method} gets {status}"),
            "let CORS stand before authentication, and let OPTIONS requests pass there",
            [last],
        )
    }
}

const ANSWER_PREFLIGHTS: &str = "answer OPTIONS requests that have Origin and \
    Access-Control-Request-Method, best at the gateway, before routing by method";

/// An error reply that a page cannot read.
pub fn error_without_cors(exchange: &Exchange, status: u16) -> Finding {
    rules::ERROR_WITHOUT_CORS.found(
        format!("the {status} has no CORS headers"),
        "add them to error replies too, those of the gateway and its authentication included: \
         let CORS stand first",
        [exchange],
    )
}

fn any_with_credentials(exchange: &Exchange) -> Finding {
    rules::ANY_ORIGIN_WITH_CREDENTIALS.found(
        "Access-Control-Allow-Origin is *, and the request is with credentials".into(),
        "list the origins and answer with the one that asks, or do without credentials",
        [exchange],
    )
}

fn invalid_list(of: &str, line: &[u8], exchange: &Exchange) -> Finding {
    rules::INVALID_ALLOW_LIST.found(
        format!("Access-Control-Allow-{of} is '{}'", line.escape_ascii()),
        "write names with commas between them",
        [exchange],
    )
}

/// A header of which there may be one, but two have been written: on lines of
/// their own, or joined by somebody in between.
pub fn two_authorities(exchange: &Exchange) -> Option<Finding> {
    let twice = |name: &str| {
        let lines: Vec<_> = exchange.lines(name).collect();
        let elements: Vec<_> = lines.iter().flat_map(|line| header::elements(line)).collect();
        let again = |(n, element): (usize, &&[u8])| {
            elements.iter().take(n).any(|earlier| earlier == element)
        };
        let any = elements.len() > 1 && elements.contains(&&b"*"[..]);
        lines.len() > 1 || any || elements.iter().enumerate().any(again)
    };
    let (title, name) = [
        ("Access-Control-Allow-Origin", response::ALLOW_ORIGIN),
        ("Access-Control-Allow-Credentials", response::ALLOW_CREDENTIALS),
    ]
    .into_iter()
    .find(|(_, name)| twice(name))?;
    Some(rules::TWO_AUTHORITIES.found(
        format!("{title} has two values: {}", exchange.value(name).unwrap_or_default()),
        "let one of them do it: remove the headers upstream, or let the gateway replace them",
        [exchange],
    ))
}

fn names(listed: &[String]) -> String {
    if listed.is_empty() { "none".into() } else { listed.join(", ") }
}
