//! The fields that all sources have, in the words of our policies.

use envoy_cors::Policies;
use envoy_cors::diagnostic::{Diagnostic, Problem, Severity};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use serde_saphyr::FlowSeq;

use super::account::{Account, Field};
use super::matcher::{Conversion, Matcher, OriginMatcher};
use super::remark::Remark;
use crate::cli::document::Document;
use crate::cli::{lint, report};

/// What a policy says, without the requests that it is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
    pub allow_origins: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "names")]
    pub allow_methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "names")]
    pub allow_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "names")]
    pub expose_headers: Vec<String>,
    /// Whole seconds, or a duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// What the source says and this does not, so that nobody takes two policies for
    /// one that only look the same without it.
    #[serde(skip)]
    pub lost: Vec<String>,
}

impl Cors {
    /// A policy that touches nothing.
    pub fn left_alone() -> Self {
        Self { mode: Some("shadow"), ..Self::default() }
    }

    /// Adds the origins that matchers let in, credentials being known.
    pub fn add_origins(
        &mut self,
        matchers: &[(Field<'_>, OriginMatcher<'_>)],
        account: &mut Account,
    ) {
        for (field, matcher) in matchers {
            self.add_origin(field, matcher, (matcher.kind(), matcher.text()), account);
        }
    }

    /// Adds the origins that a matcher lets in, which is written as something
    /// else: what it is, and its text.
    pub fn add_origin(
        &mut self,
        field: &Field<'_>,
        matcher: &OriginMatcher<'_>,
        (what, text): (&'static str, &str),
        account: &mut Account,
    ) {
        let written = text;
        let text = text.to_owned();
        let everybody = || vec!["*".to_owned()];
        let conversion = match matcher.matcher {
            Matcher::Exact("*") => Conversion::Exact(everybody()),
            _ => matcher.convert(),
        };
        let remark = match conversion {
            Conversion::Exact(patterns) if patterns == everybody() => {
                if self.add_pattern(field, "*", account) && text != "*" {
                    account.remark(field, &Remark::OpenToAll { text, carried: true });
                }
                return;
            }
            _ if matcher.accepts_star() => Remark::OpenToAll { text, carried: false },
            Conversion::Exact(patterns) => {
                for pattern in patterns {
                    self.add_pattern(field, &pattern, account);
                }
                return;
            }
            Conversion::Inexact { mut nearest, more, fewer } => {
                if !nearest.iter().all(|origin| self.may_be_advised(origin)) {
                    nearest.clear();
                }
                Remark::InexactOrigin { what, text, nearest, more, fewer }
            }
            Conversion::Nothing { text, why, meant } => {
                let meant = meant.filter(|origin| self.may_be_advised(origin));
                Remark::NoOrigin { text, why, meant }
            }
            Conversion::Unreadable(why) => Remark::UnreadableOrigin { what, text, why },
        };
        self.lost.push(written.to_owned());
        account.remark(field, &remark);
    }

    /// Whether `lint` finds no error in an origin, credentials being known.
    fn may_be_advised(&self, origin: &str) -> bool {
        let policy =
            json!({ "allowOrigins": [origin], "allowCredentials": self.allow_credentials });
        let document = Document::parse(String::new(), policy.to_string().into_bytes());
        document.is_ok_and(|document| {
            let (findings, _) = lint::check(&document, None, &[]);
            findings.iter().all(|finding| finding.severity != report::Severity::Error)
        })
    }

    fn add_pattern(&mut self, field: &Field<'_>, pattern: &str, account: &mut Account) -> bool {
        let accepted = self.accepts("allowOrigins", &pattern.into(), field, account);
        if accepted {
            push(&mut self.allow_origins, pattern);
        }
        accepted
    }

    /// Adds a method.
    pub fn add_method(&mut self, field: &Field<'_>, name: &str, account: &mut Account) {
        if self.accepts("allowMethods", &name.into(), field, account) {
            push(&mut self.allow_methods, name);
            let upper = name.to_ascii_uppercase();
            if name != upper && ["DELETE", "OPTIONS", "PUT"].contains(&&*upper) {
                account.remark(field, &Remark::UpperCased { name: name.to_owned() });
            }
        }
    }

    /// Adds the name of a request header.
    pub fn add_header(&mut self, field: &Field<'_>, name: &str, account: &mut Account) {
        if self.accepts("allowHeaders", &name.into(), field, account) {
            push(&mut self.allow_headers, name);
        }
    }

    /// Adds methods that Envoy's filter lists: it answers `*` by itself with the one
    /// that was asked for.
    pub fn add_methods(&mut self, names: &[Named<'_>], account: &mut Account) {
        for (field, name) in self.meant(names, account) {
            self.add_method(field, name, account);
        }
    }

    /// Adds request headers that Envoy's filter lists: it answers `*` by itself with
    /// those that were asked for.
    pub fn add_headers(&mut self, names: &[Named<'_>], account: &mut Account) {
        for (field, name) in self.meant(names, account) {
            self.add_header(field, name, account);
        }
        // Which the standard's `*` does not cover.
        if is_asked_for(names) && !self.allow_credentials {
            push(&mut self.allow_headers, "authorization");
        }
    }

    /// Adds response headers that Envoy's filter lists.
    pub fn add_exposed_headers(&mut self, names: &[Named<'_>], account: &mut Account) {
        for (field, name) in names {
            self.add_exposed(field, name, account);
        }
    }

    /// Without a `*` that browsers take for a name.
    fn meant<'a, 'd>(
        &mut self,
        names: &'a [Named<'d>],
        account: &mut Account,
    ) -> Vec<(&'a Field<'d>, &'d str)> {
        let is_name = !is_asked_for(names) && self.allow_credentials;
        let mut meant = Vec::new();
        for (field, name) in names {
            if is_name && *name == "*" {
                self.lost.push("*".to_owned());
                account.remark(field, &Remark::AnyBesideNames);
            } else {
                meant.push((field, *name));
            }
        }
        meant
    }

    /// Adds the name of a response header, credentials being known.
    pub fn add_exposed(&mut self, field: &Field<'_>, name: &str, account: &mut Account) {
        if self.accepts("exposeHeaders", &name.into(), field, account) {
            push(&mut self.expose_headers, name);
        }
    }

    /// Sets how long browsers may remember a preflight: seconds or a duration.
    pub fn set_max_age(&mut self, field: &Field<'_>, age: Value, account: &mut Account) {
        let said = self.says("maxAge", &age);
        if said.iter().any(|said| said.problem == Problem::MaxAgeTooLarge) {
            self.max_age = Some(86_400.into());
            account.carry(field);
            let age = age.as_str().map_or_else(|| age.to_string(), str::to_owned);
            account.remark(field, &Remark::LongMaxAge { age });
        } else if self.accepts("maxAge", &age, field, account) {
            self.max_age = Some(age);
        }
    }

    /// Sets whether credentials are allowed.
    pub fn set_credentials(&mut self, field: &Field<'_>, allowed: bool, account: &mut Account) {
        self.allow_credentials = allowed;
        account.carry(field);
    }

    /// Whether a value goes into the policy. What the filter says about it is
    /// remarked.
    fn accepts(
        &mut self,
        name: &str,
        value: &Value,
        field: &Field<'_>,
        account: &mut Account,
    ) -> bool {
        let mut accepted = true;
        for said in self.says(name, value) {
            // No page can make use of it: nothing is lost without it.
            let idle = matches!(
                said.problem,
                Problem::SafelistedMethod
                    | Problem::SafelistedResponseHeader
                    | Problem::ForbiddenMethod
                    | Problem::ForbiddenRequestHeader
                    | Problem::ForbiddenResponseHeader
            );
            accepted &= !idle && said.severity() == Severity::Warning;
            if !idle && said.severity() == Severity::Error {
                self.lost.push(value.to_string());
            }
            account.remark(
                field,
                &match said.severity() {
                    _ if idle => Remark::Idle(said),
                    Severity::Error => Remark::Refused(said),
                    Severity::Warning => Remark::Warned(said),
                },
            );
        }
        if accepted {
            account.carry(field);
        }
        accepted
    }

    /// What the filter says about a value, or an element of a list, alone.
    fn says(&self, name: &str, value: &Value) -> Vec<Diagnostic> {
        let mut policy = json!({ "allowOrigins": [], "allowCredentials": self.allow_credentials });
        let value = if name == "maxAge" { value.clone() } else { json!([value]) };
        if let Some(fields) = policy.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
        let (_, said) = Policies::from_json(policy.to_string().as_bytes(), None);
        said.iter().filter(|said| said.at.starts_with(name)).cloned().collect()
    }
}

/// Longest list of names on one line, in characters.
const LONGEST_LINE: usize = 80;

/// Writes a list of names on one line, where it is short.
///
/// # Errors
///
/// What the serializer says.
pub fn names<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    if names.iter().map(|name| name.len() + 2).sum::<usize>() < LONGEST_LINE {
        FlowSeq(names).serialize(serializer)
    } else {
        names.serialize(serializer)
    }
}

fn push(list: &mut Vec<String>, name: &str) {
    if !list.iter().any(|known| known == name) {
        list.push(name.to_owned());
    }
}

/// Whether a list is what Envoy's filter answers with what was asked for: `*` to the
/// byte.
fn is_asked_for(names: &[Named<'_>]) -> bool {
    matches!(names, [(field, "*")] if field.text() == Some("*"))
}

/// A name and where it stands.
pub type Named<'d> = (Field<'d>, &'d str);

/// The names in texts, each of which may be a list, as in `PUT, DELETE`.
pub fn named<'d>(fields: &[Field<'d>]) -> Vec<Named<'d>> {
    let of_field = |field: &Field<'d>| {
        let names = elements(field.text().unwrap_or_default());
        names.map(|name| (field.clone(), name)).collect::<Vec<_>>()
    };
    fields.iter().flat_map(of_field).collect()
}

/// The elements of a list that stands in a text, as in `PUT, DELETE`.
pub fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}
