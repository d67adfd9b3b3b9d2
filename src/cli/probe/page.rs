//! A page and its browser: the preflight where one is due, the request, and
//! where redirects lead.

use envoy_cors::browser::{self, Credentials, Failure, Readable, Request, Response};
use url::Url;

use super::client::{Client, Exchange};
use crate::cli::site::{is_mixed_content, is_trustworthy, site};

/// What a page did.
#[derive(Clone, Debug)]
pub struct Visit {
    /// As the page made it.
    pub request: Request,
    /// What was sent and answered, in order. The last one decided.
    pub exchanges: Vec<Exchange>,
    pub verdict: Verdict,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The page reads the response.
    Reads(Readable),
    /// The request was not sent: it may change something. Its preflight, if it
    /// has one, is allowed.
    NotSent,
    /// The browser refuses, and the page learns nothing.
    Fails(Failure),
    /// The preflight has no answer, for this reason.
    PreflightUnanswered(String),
    /// An `https` page, and an URL without TLS.
    MixedContent,
    /// A redirect leads where nobody was to be asked.
    Elsewhere(String),
    /// More redirects than a browser follows.
    RedirectLoop,
}

/// Browsers of pages of any origin.
pub struct Pages<'c> {
    pub client: &'c Client,
    /// The `Cookie` header of requests with credentials.
    pub cookie: Option<&'c str>,
    /// Send requests that may change something.
    pub send_unsafe: bool,
}

impl Visit {
    /// How reports call it.
    pub fn name(&self) -> String {
        format!("{} {}", self.request.page, self.request.sent_method())
    }
}

impl Pages<'_> {
    /// Does what a page's `fetch()` does.
    ///
    /// # Errors
    ///
    /// Why a request has no answer. An unanswered preflight is no error.
    pub fn visit(&self, request: Request, url: &Url) -> Result<Visit, String> {
        let mut exchanges = Vec::new();
        let verdict = self.fetch(request.clone(), url.clone(), &mut exchanges)?;
        Ok(Visit { request, exchanges, verdict })
    }

    fn fetch(
        &self,
        mut request: Request,
        mut url: Url,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Verdict, String> {
        for _ in 0..=browser::MAX_REDIRECTS {
            if let Err(failure) = browser::check_sendable(&request) {
                return Ok(Verdict::Fails(failure));
            }
            if is_mixed_content(&request.page, &url) {
                return Ok(Verdict::MixedContent);
            }
            if let Some(exchange) = self.preflight(&request, &url) {
                let verdict = match &exchange.answer {
                    Err(clause) => Some(Verdict::PreflightUnanswered(clause.clone())),
                    Ok(answer) => {
                        browser::check_preflight(&request, answer).err().map(Verdict::Fails)
                    }
                };
                exchanges.push(exchange);
                if let Some(verdict) = verdict {
                    return Ok(verdict);
                }
            }
            if !self.send_unsafe && !is_safe(request.sent_method()) {
                return Ok(Verdict::NotSent);
            }
            let exchange = self.request(&request, &url);
            let answer = exchange.answer.clone()?;
            exchanges.push(exchange);
            let Some(location) = location(&answer) else {
                return Ok(match browser::check(&request, &answer) {
                    Ok(readable) => Verdict::Reads(readable),
                    Err(failure) => Verdict::Fails(failure),
                });
            };
            // A browser checks the redirect itself first.
            if let Err(failure) = browser::check(&request, &answer) {
                return Ok(Verdict::Fails(failure));
            }
            let next = match url.join(&location) {
                Ok(next) if self.client.may_ask(&next) => next,
                Ok(next) => return Ok(Verdict::Elsewhere(next.into())),
                Err(_) => return Ok(Verdict::Elsewhere(location)),
            };
            let user_info = !next.username().is_empty() || next.password().is_some();
            let target = next.origin().ascii_serialization();
            request = match browser::follow(&request, &answer, &target, user_info) {
                Ok(request) => request,
                Err(failure) => return Ok(Verdict::Fails(failure)),
            };
            url = next;
        }
        Ok(Verdict::RedirectLoop)
    }

    /// The preflight, if one is due.
    pub fn preflight(&self, request: &Request, url: &Url) -> Option<Exchange> {
        let preflight = browser::preflight_for(request)?;
        let mut headers: Vec<_> = preflight
            .lines()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .collect();
        headers.extend(fetch_metadata(&request.page, url));
        Some(self.client.ask("OPTIONS", url, headers))
    }

    /// The request itself.
    pub fn request(&self, request: &Request, url: &Url) -> Exchange {
        let owned = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let mut headers: Vec<_> = request
            .sent_headers()
            .into_iter()
            .map(|(name, value)| owned(&name.to_ascii_lowercase(), value))
            .collect();
        if let Some(origin) = request.origin_header() {
            headers.push(owned("origin", origin.as_bytes()));
        }
        if let Some(cookie) = self.cookie.filter(|_| request.sends_credentials()) {
            headers.push(owned("cookie", cookie.as_bytes()));
        }
        headers.extend(fetch_metadata(&request.page, url));
        self.client.ask(request.sent_method(), url, headers)
    }
}

/// Whether a request changes nothing
/// ([RFC 9110, 9.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1)).
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// The target of a redirect.
pub fn location(answer: &Response) -> Option<String> {
    let mut lines = answer.headers.iter().filter(|(name, _)| name == "location");
    let redirects = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
    let (_, value) = lines.next().filter(|_| redirects)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// What the browser tells of the page beside its origin
/// ([Fetch Metadata](https://w3c.github.io/webappsec-fetch-metadata/)).
fn fetch_metadata(page: &str, url: &Url) -> Vec<(String, Vec<u8>)> {
    if !is_trustworthy(url) {
        return Vec::new();
    }
    [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", site(page, url))]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into()
}

/// What a page may do with the answer to its request without a preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Nothing.
    None,
    /// Read what everybody gets.
    Anonymous,
    /// Read what the user who is logged in gets.
    WithCredentials,
}

impl Grant {
    /// What the answer to a request or to its preflight grants its origin.
    pub fn of(request: &Request, exchange: &Exchange, is_preflight: bool) -> Self {
        let Ok(answer) = &exchange.answer else { return Self::None };
        let granted = |credentials| {
            let request = Request { credentials, ..request.clone() };
            if is_preflight {
                browser::check_preflight(&request, answer).is_ok()
            } else {
                browser::check(&request, answer).is_ok()
            }
        };
        if granted(Credentials::Include) {
            Self::WithCredentials
        } else if granted(Credentials::Omit) {
            Self::Anonymous
        } else {
            Self::None
        }
    }
}
