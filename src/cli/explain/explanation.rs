//! Everything there is to say about a policy and a request.

use envoy_cors::Policies;
use envoy_cors::config::Config;

use super::asked::Asked;
use super::change::{Instead, Part, Remedy, Search};
use super::checks::{self, Check};
use super::course::{Course, End, Exchange};
use super::edit::{Edit, edits};
use super::selection::Selection;

/// What a policy says of a request, and what would change that.
pub struct Explanation<'c> {
    pub asked: &'c Asked,
    pub environment: Option<&'c str>,
    /// `None` if the request is not even sent.
    pub selection: Option<Selection<'c>>,
    pub course: Course,
    /// `None` if the page can read the response as it is.
    pub remedy: Option<(Remedy, Vec<Instead>)>,
    search: Search<'c>,
}

impl<'c> Explanation<'c> {
    /// `policies` is what `config` compiles to in this environment.
    pub fn new(config: &'c Config<'c>, policies: &'c Policies, asked: &'c Asked) -> Self {
        let course = Course::of(policies, &asked.request, &asked.url);
        let first = course.preflight.as_ref().or(course.actual.as_ref());
        let selection = first.map(|exchange| Selection::of(config, exchange));
        let policy = selection.as_ref().and_then(|selection| selection.policy);
        let environment = policies.environment();
        let search = Search::new(config, environment, &asked.url, policy);
        let remedy = (!course.is_allowed()).then(|| {
            let remedy = search.remedy(&asked.request);
            let instead = search.instead(&asked.request, &remedy);
            (remedy, instead)
        });
        Self { asked, environment, selection, course, remedy, search }
    }

    /// The checks of the gateway on a request of this explanation.
    pub fn gateway(&self, exchange: &Exchange) -> Vec<Check> {
        match (&exchange.decision, &self.selection) {
            (Some(decision), Some(selection)) => {
                checks::of_gateway(decision, selection, self.environment, exchange)
            }
            _ => Vec::new(),
        }
    }

    /// The checks of the browser on the answer.
    pub fn browser(&self, exchange: &Exchange, is_preflight: bool) -> Vec<Check> {
        let failure = match &self.course.end {
            End::Refused(failure) if is_preflight == self.course.actual.is_none() => Some(failure),
            _ => None,
        };
        checks::of_browser(&self.asked.request, &exchange.response, is_preflight, failure)
    }

    /// A change, field by field.
    pub fn edits(&self, parts: &[Part]) -> Vec<Edit> {
        edits(self.search.config, &self.search.changed(parts))
    }
}
