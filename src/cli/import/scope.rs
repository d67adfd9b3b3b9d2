//! The requests that a policy is for: hosts and path prefixes.

use envoy_cors::Policies;
use envoy_cors::diagnostic::Diagnostic;
use serde_json::json;

use super::account::{Account, Field};
use super::cors::Cors;
use super::remark::Remark;

/// A policy of a source, or a route without one.
#[derive(Debug)]
pub struct Stated<'d> {
    /// What to name it after: the resource, and its rule if there are several.
    pub name: String,
    /// Where it stands.
    pub field: Field<'d>,
    /// Exact hosts and `*.` wildcards; none: every host.
    pub hosts: Vec<String>,
    /// What else decides, if anything does.
    pub paths: Vec<Path<'d>>,
    /// The list in which it stands, where the first rule that matches decides.
    pub list: Option<usize>,
    /// What it says; `None`: CORS is left to upstream.
    pub cors: Option<Cors>,
    /// What there is to say about a route without CORS, if it comes to a policy.
    pub aside: Account,
    /// What it takes from elsewhere: its hosts, policies around it.
    pub inherited: Vec<Field<'d>>,
}

/// A path of a route.
#[derive(Clone, Debug)]
pub struct Path<'d> {
    /// Where it stands.
    pub field: Field<'d>,
    /// How it is compared in the source.
    pub compared: Compared,
    /// The text as the source has it; empty or `/`: every path.
    pub text: String,
    /// Whether the source takes upper and lower case for the same.
    pub any_case: bool,
    /// Whether the source asks for more than host and path.
    pub conditional: bool,
}

/// How a source compares a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// By whole segments, as the filter does.
    Segments,
    /// By its first bytes.
    Text,
    /// As a whole.
    Whole,
}

impl<'d> Path<'d> {
    /// Every path, for a rule that names none.
    pub fn every(field: &Field<'d>) -> Self {
        Self {
            field: field.clone(),
            compared: Compared::Segments,
            text: String::new(),
            any_case: false,
            conditional: false,
        }
    }

    /// A path as the filter takes it, with a remark where that is not the same.
    /// `None` where the filter refuses it.
    pub fn read(
        field: &Field<'d>,
        text: &str,
        compared: Compared,
        account: &mut Account,
    ) -> Option<Self> {
        if !matches!(text, "" | "/")
            && let Some(said) = refusal("pathPrefixes", text)
        {
            account.remark(field, &Remark::Refused(said));
            return None;
        }
        let path = Self { compared, text: text.to_owned(), ..Self::every(field) };
        account.carry(field);
        match compared {
            Compared::Text if !path.prefix().is_empty() => {
                account.remark(field, &Remark::TextPrefix { prefix: text.to_owned() });
            }
            Compared::Whole => account.remark(field, &Remark::ExactPath { path: text.to_owned() }),
            _ => {}
        }
        Some(path)
    }

    /// The prefix as the filter takes it; empty: every path.
    pub fn prefix(&self) -> &str {
        self.text.strip_suffix('/').unwrap_or(&self.text)
    }

    /// Whether this is for some of the requests of another with the same prefix.
    pub fn is_part_of(&self, other: &Self) -> bool {
        let (is_whole, of_whole) =
            (self.compared == Compared::Whole, other.compared == Compared::Whole);
        (self.conditional || is_whole) && !(other.conditional || of_whole)
    }

    /// Whether a rule with this path takes every request of one with another.
    pub fn takes(&self, other: &Self) -> bool {
        !self.conditional && self.is_around(other)
    }

    /// Whether a rule with this path takes some of the requests for which the filter
    /// has the policy of another, which does not stand above it.
    pub fn takes_some(&self, other: &Self) -> bool {
        let is_inside = self.any_case && covers(&lower(other.prefix()), &lower(self.prefix()));
        is_inside || self.is_around(other)
    }

    /// Whether every path that another one is for is one of this, too.
    fn is_around(&self, other: &Self) -> bool {
        if self.any_case {
            let lower =
                |path: &Self| Self { any_case: false, text: lower(&path.text), ..path.clone() };
            return lower(self).is_around(&lower(other));
        }
        match self.compared {
            Compared::Text => other.text.starts_with(&self.text),
            Compared::Segments => covers(self.prefix(), other.prefix()),
            Compared::Whole => other.compared == Compared::Whole && self.text == other.text,
        }
    }
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// How a path is compared, and its text, if that is all that an expression says which
/// the whole path must match.
pub fn of_expression(expression: &str) -> Option<(Compared, String)> {
    let text = expression.strip_prefix('^').unwrap_or(expression);
    let text = text.strip_suffix('$').unwrap_or(text);
    let ends = [
        ("(/.*)?", Compared::Segments),
        ("(/.*|)", Compared::Segments),
        ("(.*)", Compared::Text),
        (".*", Compared::Text),
        ("", Compared::Whole),
    ];
    let (text, compared) =
        ends.iter().find_map(|(end, compared)| Some((text.strip_suffix(end)?, *compared)))?;
    Some((compared, literal(text)?))
}

/// Whether a character of an expression stands for itself, and one of paths.
pub fn is_literal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/_-~%".contains(c)
}

/// The text that a part of an expression stands for, if it is one.
pub fn literal(expression: &str) -> Option<String> {
    let is_text = expression.replace("\\.", "").chars().all(is_literal);
    is_text.then(|| expression.replace("\\.", "."))
}

/// Whether a prefix is another one, or stands above it.
pub fn covers(prefix: &str, other: &str) -> bool {
    other.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The hosts of a list; of an empty one `None`, which is every host.
pub fn or_every(hosts: &[String]) -> impl Iterator<Item = Option<&str>> {
    let every = hosts.is_empty().then_some(None);
    every.into_iter().chain(hosts.iter().map(|host| Some(&**host)))
}

/// Whether a host, wildcard or `None` for every host, takes all that another one
/// takes.
pub fn host_covers(host: Option<&str>, other: Option<&str>) -> bool {
    match (host, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(host), Some(other)) => {
            host == other || host.strip_prefix('*').is_some_and(|domain| other.ends_with(domain))
        }
    }
}

/// The hosts of a source, those that the filter does not take remarked. An empty
/// list is every host; `None` is no host at all.
pub fn hosts<'d>(
    fields: &[Field<'d>],
    every: impl Fn(&str) -> bool,
    account: &mut Account,
) -> Option<Vec<String>> {
    let (mut hosts, mut all) = (Vec::new(), fields.is_empty());
    for field in fields {
        let Some(text) = field.text() else { continue };
        if every(text) {
            account.carry(field);
            all = true;
            continue;
        }
        let Some(host) = host(field, text, account) else { continue };
        if has_port(text) && !fields.iter().any(|other| is_any_port(other, &host)) {
            account.note(field, &Remark::Port { host: host.clone() });
        }
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if all { Some(Vec::new()) } else { Some(hosts).filter(|hosts| !hosts.is_empty()) }
}

/// A host of a source; `None`, with a remark, where the filter does not take it.
pub fn host(field: &Field<'_>, text: &str, account: &mut Account) -> Option<String> {
    let host = without_port(text).to_ascii_lowercase();
    if let Some(said) = refusal("hosts", &host) {
        account.remark(field, &Remark::Refused(said));
        return None;
    }
    account.carry(field);
    Some(host)
}

/// A host without its port, which the filter ignores.
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if port == "*" || port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    }
}

fn has_port(text: &str) -> bool {
    without_port(text).len() < text.len() && !text.ends_with(":*")
}

/// Whether a field is the host without a port, or with any.
fn is_any_port(field: &Field<'_>, host: &str) -> bool {
    let text = field.text().unwrap_or_default();
    text.strip_suffix(":*").unwrap_or(text).eq_ignore_ascii_case(host)
}

/// Why the filter does not take a host or a path prefix.
fn refusal(list: &str, text: &str) -> Option<Diagnostic> {
    let policy = json!({
        "policies": [{ "name": "a", "match": { list: [text] }, "allowOrigins": [] }],
        "allowOrigins": [],
    });
    let (_, said) = Policies::from_json(policy.to_string().as_bytes(), None);
    said.iter().find(|said| said.at.starts_with("policies")).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_paths_where_they_say_no_more() {
        let rows = [
            ("/.*", Some((Compared::Text, "/"))),
            (".*", Some((Compared::Text, ""))),
            ("^/api/.*$", Some((Compared::Text, "/api/"))),
            ("/api(.*)", Some((Compared::Text, "/api"))),
            ("/api(/.*)?", Some((Compared::Segments, "/api"))),
            ("/v1\\.0/users", Some((Compared::Whole, "/v1.0/users"))),
            ("/v1.0", None),
            ("/v[0-9]+/.*", None),
            ("/a|/b", None),
            ("/a.*b", None),
            ("/a\\.*", None),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(compared, text)| (compared, text.to_owned()));
            assert_eq!(of_expression(text), expected, "{text}");
        }
    }
}
