//! One route: what it is for, and what it has of its own.

use super::level::{Level, own_headers};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Compared, Path, of_expression};

/// A route, and what it has of its own.
pub struct Route<'d> {
    pub field: Field<'d>,
    pub own: Option<Level<'d>>,
    /// In the field that is not read where any level says something.
    pub old: Option<Field<'d>>,
    /// Of each cluster, if the route has several.
    pub clusters: Vec<Option<Level<'d>>>,
}

impl Route<'_> {
    pub fn has_own(&self) -> bool {
        self.own.is_some() || self.old.is_some() || self.clusters.iter().any(Option::is_some)
    }

    /// Whether Envoy's filter does anything on it: it asks upstream, for what pages
    /// can send.
    pub fn is_asked(&self) -> bool {
        !ANSWERED.iter().any(|action| self.field.get(action).is_some())
            && self.field.at(&["match", "connectMatcher"]).is_none()
    }
}

/// The clusters among which chance decides.
pub fn clusters<'d>(route: &Field<'d>) -> Vec<Field<'d>> {
    let all = route.at(&["route", "weightedClusters"]);
    all.map(|all| all.list("clusters")).unwrap_or_default()
}

/// Says which headers of CORS a route sets beside policies.
pub fn own_headers_of_route(route: &Field<'_>, account: &mut Account) {
    own_headers(route, account);
    clusters(route).iter().for_each(|cluster| own_headers(cluster, account));
}

/// What a route does instead of asking upstream.
const ANSWERED: [&str; 4] = ["redirect", "directResponse", "filterAction", "nonForwardingAction"];

/// The path of a route, which has CORS or not.
pub fn path<'d>(matched: &Field<'d>, has_cors: bool, account: &mut Account) -> Option<Path<'d>> {
    let (mut path, mut any_case, mut conditional) = (None, false, false);
    let inexact = |what, text: Option<&str>| {
        Remark::inexact_path(what, text.unwrap_or_default().to_owned(), has_cors)
    };
    for (key, field) in matched.entries() {
        let text = field.text();
        match (key, text) {
            ("prefix", Some(text)) => path = Path::read(&field, text, Compared::Text, account),
            ("path", Some(text)) => path = Path::read(&field, text, Compared::Whole, account),
            ("path_separated_prefix" | "pathSeparatedPrefix", Some(text)) => {
                path = Path::read(&field, text, Compared::Segments, account);
            }
            ("safe_regex" | "safeRegex", _) => {
                let regex = field.text_at(&["regex"]);
                match regex.and_then(of_expression) {
                    Some((compared, text)) => path = Path::read(&field, &text, compared, account),
                    None => account.remark(&field, &inexact("regular expression", regex)),
                }
            }
            ("path_match_policy" | "pathMatchPolicy", _) => {
                let template = field.text_at(&["typedConfig", "pathTemplate"]);
                let template = template.or(field.text_at(&["name"]));
                account.remark(&field, &inexact("template", template));
            }
            // No page can send CONNECT.
            ("connect_matcher" | "connectMatcher", _) => account.leave(&field),
            ("case_sensitive" | "caseSensitive", _) => match field.flag() {
                Some(true) => account.carry(&field),
                _ => {
                    any_case = true;
                    account.remark(&field, &Remark::PathCase);
                }
            },
            _ => {
                conditional = true;
                account.remark(&field, &Remark::Condition { what: key.to_owned() });
            }
        }
    }
    account.close(matched);
    Some(Path { any_case, conditional, ..path? })
}
