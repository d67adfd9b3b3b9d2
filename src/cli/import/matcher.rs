//! How other systems compare origins, as patterns of ours.
//!
//! From an expression patterns are proposed, and then compared with it over
//! every origin that a browser can send. So what is given out as the same is the
//! same, and where nothing is, two origins show the difference.

use envoy_cors::Policies;
use envoy_cors::diagnostic::Problem;
use envoy_cors::pattern::{InvalidPattern, OriginPattern};
use regex_syntax::hir::Hir;

use super::compare::compare;
use super::language::{TooLarge, any, matches};
use super::propose::propose;
use super::re2;
use crate::cli::lint::filter::ascii_form;

#[cfg(test)]
mod properties;

/// How another system compares an origin with a text.
#[derive(Clone, Copy, Debug)]
pub enum Matcher<'s> {
    /// Byte for byte.
    Exact(&'s str),
    /// The origin begins with it.
    Prefix(&'s str),
    /// The origin ends in it.
    Suffix(&'s str),
    /// The origin holds it.
    Contains(&'s str),
    /// The whole origin matches this expression of RE2.
    Regex(&'s str),
    /// `*` stands for any text, empty or not, as in Gateway API.
    Glob(&'s str),
}

/// What another system compares an origin with.
#[derive(Clone, Copy, Debug)]
pub struct OriginMatcher<'s> {
    pub matcher: Matcher<'s>,
    /// Expressions do not care for it, as in Envoy.
    pub ignore_case: bool,
}

/// A matcher as patterns.
#[derive(Debug, PartialEq, Eq)]
pub enum Conversion {
    /// These patterns allow the same, for every origin that a browser can send.
    Exact(Vec<String>),
    /// No patterns are known that do.
    Inexact {
        /// What the author seems to mean; may be empty.
        nearest: Vec<String>,
        /// A plain origin that `nearest` allows and the matcher does not. None
        /// where there is none, or the search would have taken too long.
        more: Option<String>,
        /// A plain origin that the matcher allows and `nearest` does not; none as
        /// above.
        fewer: Option<String>,
    },
    /// It matches nothing that a browser sends.
    Nothing {
        /// The text that was meant for an origin.
        text: String,
        /// Why it is none.
        why: Option<InvalidPattern>,
        /// What may have been meant instead.
        meant: Option<String>,
    },
    /// The expression cannot be read or not be compared, and why.
    Unreadable(String),
}

impl<'s> OriginMatcher<'s> {
    /// A matcher that cares for case.
    pub fn new(matcher: Matcher<'s>) -> Self {
        Self { matcher, ignore_case: false }
    }

    /// The patterns that allow what the matcher allows.
    ///
    /// Ask [`accepts_star`](Self::accepts_star) first: in Envoy a matcher that
    /// does allows every origin.
    pub fn convert(&self) -> Conversion {
        match self.matcher {
            Matcher::Exact(text) => self.convert_exact(text),
            _ => self.convert_language().unwrap_or_else(Conversion::Unreadable),
        }
    }

    /// Whether the text `*` matches. Envoy's native filter asks every matcher
    /// for it, and allows every origin if one does.
    pub fn accepts_star(&self) -> bool {
        self.language().is_ok_and(|language| matches(&language, "*"))
    }

    fn convert_exact(&self, text: &str) -> Conversion {
        let text = self.folded(text);
        match OriginPattern::parse(&text) {
            Ok(_) if !text.contains('*') => Conversion::Exact(vec![text]),
            Ok(pattern) => {
                let meant = (pattern != OriginPattern::Any).then(|| text.clone());
                Conversion::Nothing { text, why: None, meant }
            }
            Err(why) => Conversion::Nothing { meant: meant(&text), text, why: Some(why) },
        }
    }

    fn convert_language(&self) -> Result<Conversion, String> {
        let language = self.language()?;
        let proposal = propose(&language);
        let patterns = parse(&proposal.patterns);
        let found = compare(&language, &patterns)?;
        if found.nothing {
            let (text, why) = match proposal.refused {
                Some((text, why)) => (text, Some(why)),
                None => (self.text().to_owned(), None),
            };
            let pattern = proposal.patterns.into_iter().next().filter(|pattern| pattern != "*");
            let meant = pattern.or_else(|| meant(&text));
            return Ok(Conversion::Nothing { text, why, meant });
        }
        if found.equal {
            return Ok(Conversion::Exact(proposal.patterns));
        }
        let (nearest, found) = match (self.written(), &*patterns) {
            // A wildcard of ours, taken for an expression.
            (Some(pattern), _) => {
                let found = compare(&language, &[pattern])?;
                (vec![pattern.to_string()], found)
            }
            // Nobody should open everything because it is near.
            (None, [OriginPattern::Any, ..]) => (Vec::new(), compare(&language, &[])?),
            (None, _) => (proposal.patterns, found),
        };
        Ok(Conversion::Inexact { nearest, more: found.more, fewer: found.fewer })
    }

    /// The text of an expression as a pattern with a wildcard, if it is one.
    fn written(&self) -> Option<OriginPattern<'_>> {
        match self.matcher {
            Matcher::Regex(text) if text.contains("//*.") => OriginPattern::parse(text).ok(),
            _ => None,
        }
    }

    /// What the matcher matches, origins or not.
    fn language(&self) -> Result<Hir, String> {
        let literal = |text: &str| Hir::literal(self.folded(text).into_bytes());
        Ok(match self.matcher {
            Matcher::Exact(text) => literal(text),
            Matcher::Prefix(text) => Hir::concat(vec![literal(text), any()]),
            Matcher::Suffix(text) => Hir::concat(vec![any(), literal(text)]),
            Matcher::Contains(text) => Hir::concat(vec![any(), literal(text), any()]),
            Matcher::Regex(text) => re2::parse(text)?,
            Matcher::Glob(text) => {
                let mut parts = Vec::new();
                for (index, part) in text.split('*').enumerate() {
                    if index > 0 {
                        parts.push(any());
                    }
                    parts.push(literal(part));
                }
                Hir::concat(parts)
            }
        })
    }

    /// A text in the case that it is compared in: browsers send lower case.
    fn folded(&self, text: &str) -> String {
        if self.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() }
    }

    /// What it is called.
    pub fn kind(&self) -> &'static str {
        match self.matcher {
            Matcher::Exact(_) => "origin",
            Matcher::Prefix(_) => "prefix",
            Matcher::Suffix(_) => "suffix",
            Matcher::Contains(_) => "part",
            Matcher::Regex(_) => "regular expression",
            Matcher::Glob(_) => "wildcard",
        }
    }

    /// What it compares with.
    pub fn text(&self) -> &'s str {
        match self.matcher {
            Matcher::Exact(text)
            | Matcher::Prefix(text)
            | Matcher::Suffix(text)
            | Matcher::Contains(text)
            | Matcher::Regex(text)
            | Matcher::Glob(text) => text,
        }
    }
}

fn parse(patterns: &[String]) -> Vec<OriginPattern<'_>> {
    patterns.iter().filter_map(|text| OriginPattern::parse(text).ok()).collect()
}

/// The pattern that somebody may have meant who wrote a text, as the filter
/// says it of its own configuration.
fn meant(text: &str) -> Option<String> {
    let json = serde_json::json!({ "allowOrigins": [text] }).to_string();
    let (_, problems) = Policies::from_json(json.as_bytes(), None);
    problems.iter().find_map(|problem| match &problem.problem {
        Problem::Pattern(_, meant) => meant.clone().or_else(|| ascii_form(problem)),
        _ => None,
    })
}

impl From<TooLarge> for String {
    fn from(_: TooLarge) -> Self {
        "the expression is too large to be compared".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// One of the first six fields, and what becomes of it.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Row {
        exact: Option<String>,
        prefix: Option<String>,
        suffix: Option<String>,
        contains: Option<String>,
        glob: Option<String>,
        regex: Option<String>,
        #[serde(default)]
        ignore_case: bool,
        #[serde(default)]
        star: bool,
        same: Option<Vec<String>>,
        nearest: Option<Vec<String>>,
        more: Option<String>,
        fewer: Option<String>,
        nothing: Option<String>,
        why: Option<String>,
        meant: Option<String>,
        unreadable: Option<String>,
    }

    impl Row {
        fn matcher(&self) -> OriginMatcher<'_> {
            let matchers = [
                self.exact.as_deref().map(Matcher::Exact),
                self.prefix.as_deref().map(Matcher::Prefix),
                self.suffix.as_deref().map(Matcher::Suffix),
                self.contains.as_deref().map(Matcher::Contains),
                self.glob.as_deref().map(Matcher::Glob),
                self.regex.as_deref().map(Matcher::Regex),
            ];
            let mut matchers = matchers.into_iter().flatten();
            let matcher = matchers.next().unwrap();
            assert!(matchers.next().is_none(), "{matcher:?}");
            OriginMatcher { matcher, ignore_case: self.ignore_case }
        }

        /// Of the outcome, all but `same`, `nearest`, `nothing` or `unreadable`
        /// may be left out where there is none.
        fn expected(&self) -> Conversion {
            let Self { same, nearest, nothing, .. } = self;
            match (same.clone(), nearest.clone(), nothing.clone()) {
                (Some(same), ..) => Conversion::Exact(same),
                (_, Some(nearest), _) => {
                    let (more, fewer) = (self.more.clone(), self.fewer.clone());
                    Conversion::Inexact { nearest, more, fewer }
                }
                (_, _, Some(text)) => {
                    let why = self.why.is_some().then(|| OriginPattern::parse(&text).unwrap_err());
                    Conversion::Nothing { text, why, meant: self.meant.clone() }
                }
                _ => Conversion::Unreadable(self.unreadable.clone().unwrap()),
            }
        }
    }

    #[test]
    fn matchers_and_what_becomes_of_them() {
        let text = include_str!("../../../tests/import/origins.yaml");
        let rows: Vec<Row> = serde_saphyr::from_str(text).unwrap();
        assert!(rows.len() > 80);
        for row in &rows {
            let matcher = row.matcher();
            let conversion = matcher.convert();
            assert_eq!(conversion, row.expected(), "{:?}", matcher.matcher);
            assert_eq!(matcher.accepts_star(), row.star, "{:?}", matcher.matcher);
            if let Conversion::Nothing { why, .. } = conversion {
                assert_eq!(why.map(|why| format!("{why:?}")), row.why, "{:?}", matcher.matcher);
            }
        }
    }
}
