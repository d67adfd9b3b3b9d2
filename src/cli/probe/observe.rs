//! Everything that is asked of one URL, in order.

use envoy_cors::browser::{self, Denial, Failure, Request};

use super::client::Exchange;
use super::endpoint::Endpoint;
use super::page::{Grant, Pages, Verdict, Visit};
use super::strangers::{Stranger, strangers};

/// What one URL answered.
pub struct Observed {
    /// A GET without `Origin`.
    pub plain: Exchange,
    /// Of the pages that should be allowed, with every method.
    pub visits: Vec<Visit>,
    /// A GET of each of these pages that needs no preflight, where none of its
    /// visits is one.
    pub looks: Vec<Exchange>,
    /// What should be refused.
    pub refused: Vec<Visit>,
    /// An `OPTIONS` request that is no preflight, where a preflight got 403.
    pub plain_options: Option<Exchange>,
    /// A page's GET of the URL that gives an error.
    pub not_found: Option<Visit>,
    /// A page's GET of the URL that demands a login.
    pub unauthorized: Option<Visit>,
    pub strangers: Vec<Tried>,
}

/// What an origin that nobody means to allow got.
pub struct Tried {
    pub stranger: Stranger,
    /// What it may do.
    pub grant: Grant,
    /// What shows it: a GET, or a preflight that grants more.
    pub exchange: Exchange,
}

impl Observed {
    /// Every exchange on the URL itself.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        let visits = self.visits.iter().chain(&self.refused);
        [&self.plain]
            .into_iter()
            .chain(visits.flat_map(|visit| &visit.exchanges))
            .chain(&self.looks)
            .chain(self.strangers.iter().map(|tried| &tried.exchange))
            .filter(|exchange| exchange.url == self.plain.url)
    }
}

impl Pages<'_> {
    /// Asks everything.
    ///
    /// # Errors
    ///
    /// Why a request has no answer: nothing more is asked then.
    pub fn observe(&self, endpoint: &Endpoint, try_strangers: bool) -> Result<Observed, String> {
        let url = &endpoint.url;
        let plain = self.client.ask("GET", url, Vec::new());
        plain.answer.clone()?;
        let mut observed = Observed {
            plain,
            visits: Vec::new(),
            looks: Vec::new(),
            refused: Vec::new(),
            plain_options: None,
            not_found: None,
            unauthorized: None,
            strangers: Vec::new(),
        };
        for origin in &endpoint.origins {
            for method in &endpoint.methods {
                let request = endpoint.request(origin, method, &endpoint.headers);
                observed.visits.push(self.visit(request, url)?);
            }
            let simple = |visit: &Visit| {
                visit.request.page == *origin
                    && visit.request.sent_method() == "GET"
                    && browser::preflight_for(&visit.request).is_none()
            };
            if !observed.visits.iter().any(simple) {
                let look = self.request(&endpoint.request(origin, "GET", &[]), url);
                look.answer.clone()?;
                observed.looks.push(look);
            }
        }
        for refused in &endpoint.refused {
            for origin in &refused.origins {
                for method in &refused.methods {
                    let request = endpoint.request(origin, method, &refused.headers);
                    observed.refused.push(self.visit(request, url)?);
                }
            }
        }
        if observed.visits.iter().any(is_preflight_refused) {
            observed.plain_options = Some(self.client.ask("OPTIONS", url, Vec::new()));
        }
        if let Some(origin) = endpoint.origins.first() {
            let look = || endpoint.request(origin, "GET", &[]);
            let visit = |url| self.visit(look(), url);
            observed.not_found = endpoint.not_found.as_ref().map(visit).transpose()?;
            observed.unauthorized = endpoint.unauthorized.as_ref().map(visit).transpose()?;
        }
        if try_strangers {
            self.try_strangers(endpoint, &mut observed)?;
        }
        Ok(observed)
    }

    fn try_strangers(&self, endpoint: &Endpoint, observed: &mut Observed) -> Result<(), String> {
        let unanswered = |visit: &Visit| matches!(visit.verdict, Verdict::PreflightUnanswered(_));
        let mut answers_preflights = !observed.visits.iter().any(unanswered);
        let target = endpoint.url.origin().ascii_serialization();
        // Where everybody is welcome, nobody is a look-alike.
        let allowed = if endpoint.public { &[] } else { &*endpoint.origins };
        for stranger in strangers(allowed) {
            if stranger.origin == target {
                continue;
            }
            let request = endpoint.request(&stranger.origin, "GET", &[]);
            let mut exchange = self.request(&request, &endpoint.url);
            exchange.answer.clone()?;
            let mut grant = Grant::of(&request, &exchange, false);
            let preflighted = preflighted(endpoint, &stranger).filter(|_| answers_preflights);
            if let Some(request) = preflighted
                && let Some(preflight) = self.preflight(&request, &endpoint.url)
            {
                answers_preflights = preflight.answer.is_ok();
                let of_preflight = Grant::of(&request, &preflight, true);
                if of_preflight > grant {
                    (grant, exchange) = (of_preflight, preflight);
                }
            }
            observed.strangers.push(Tried { stranger, grant, exchange });
        }
        Ok(())
    }
}

/// The first request of a page's that needs a preflight, as a stranger's.
fn preflighted(endpoint: &Endpoint, stranger: &Stranger) -> Option<Request> {
    let mut requests = endpoint
        .methods
        .iter()
        .map(|method| endpoint.request(&stranger.origin, method, &endpoint.headers));
    requests.find(|request| browser::preflight_for(request).is_some())
}

/// Whether a preflight got 403 and no grant: from CORS, or from whoever guards
/// all `OPTIONS` requests.
fn is_preflight_refused(visit: &Visit) -> bool {
    matches!(&visit.verdict, Verdict::Fails(Failure::Preflight(Denial::NoAllowOrigin)))
        && visit.exchanges.last().and_then(Exchange::status) == Some(403)
}
