//! The hosts and paths of an Ingress.

use std::collections::HashSet;

use super::annotations::{annotation, is_true};
use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::elements;
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Compared, Path, Stated, host, hosts, literal};

/// The hosts of the rules of an Ingress; the empty text is every host.
pub fn named<'d>(ingress: &Field<'d>) -> Vec<&'d str> {
    let rules = ingress.get("spec").map(|spec| spec.list("rules")).unwrap_or_default();
    rules.iter().map(|rule| rule.text_at(&["host"]).unwrap_or_default()).collect()
}

/// Whether an Ingress makes all paths of its hosts regular expressions.
pub fn has_expressions(ingress: &Field<'_>) -> bool {
    let rewrites = || {
        let (_, target) = annotation(ingress, "rewrite-target")?;
        let rules = ingress.get("spec")?.list("rules");
        let mut paths =
            rules.iter().filter_map(|rule| rule.get("http")).flat_map(|http| http.list("paths"));
        Some(!target.is_empty() && paths.any(|path| path.text_at(&["path"]) != Some(&*target)))
    };
    is_true(ingress, "use-regex") || rewrites().unwrap_or(false)
}

/// The hosts and paths of an Ingress, without what it says.
pub fn rules<'d>(
    ingress: &Field<'d>,
    has_cors: bool,
    expressions: &HashSet<&str>,
    account: &mut Account,
) -> Vec<Stated<'d>> {
    let name = ingress.text_at(&["metadata", "name"]).unwrap_or("ingress");
    let Some(spec) = ingress.get("spec") else { return Vec::new() };
    let rules = spec.list("rules");
    let fallback = spec.get("defaultBackend").map(|field| Path::every(&field));
    let mut stated: Vec<Stated<'d>> = Vec::new();
    let mut state = |field, hosts: Vec<String>, paths: Vec<Path<'d>>, aside| {
        // Hosts with the same paths go together.
        let same = stated.iter_mut().find(|one| {
            let is_host = !hosts.is_empty() && !one.hosts.is_empty();
            is_host && one.paths.iter().map(Path::prefix).eq(paths.iter().map(Path::prefix))
        });
        if let Some(one) = same {
            one.hosts.extend(hosts);
            one.aside.add(&aside);
        } else {
            stated.push(Stated {
                name: name.to_owned(),
                field,
                hosts,
                paths,
                list: None,
                cors: None,
                aside,
                inherited: Vec::new(),
            });
        }
    };
    if let (true, Some(path)) = (rules.is_empty(), &fallback) {
        state(spec, Vec::new(), vec![path.clone()], Account::default());
    }
    for rule in rules {
        let mut aside = Account::default();
        let account = if has_cors { &mut *account } else { &mut aside };
        let Some(hosts) = rule_hosts(ingress, &rule, account) else { continue };
        let mut paths = rule_paths(ingress, &rule, expressions, account);
        if !paths.iter().any(|path| path.prefix().is_empty()) {
            paths.extend(fallback.clone());
        }
        if !paths.is_empty() {
            state(rule, hosts, paths, aside);
        }
    }
    if stated.len() > 1 {
        for (index, one) in stated.iter_mut().enumerate() {
            one.name = format!("{name}-{}", index + 1);
        }
    }
    stated
}

/// The hosts of a rule.
fn rule_hosts(ingress: &Field<'_>, rule: &Field<'_>, account: &mut Account) -> Option<Vec<String>> {
    let named: Vec<_> = rule.get("host").into_iter().collect();
    let mut hosts = hosts(&named, str::is_empty, account)?;
    for (field, host) in named.iter().zip(&hosts) {
        if host.starts_with("*.") {
            account.note(field, &Remark::OneLabel { host: host.clone() });
        }
    }
    if !hosts.is_empty() {
        hosts.extend(aliases(ingress, account));
    }
    Some(hosts)
}

fn rule_paths<'d>(
    ingress: &Field<'d>,
    rule: &Field<'d>,
    expressions: &HashSet<&str>,
    account: &mut Account,
) -> Vec<Path<'d>> {
    let is_expression = expressions.contains(rule.text_at(&["host"]).unwrap_or_default());
    if is_expression {
        let field =
            ["use-regex", "rewrite-target"].iter().find_map(|name| annotation(ingress, name));
        account.note(field.as_ref().map_or(rule, |(field, _)| field), &Remark::PathCase);
    }
    let paths = rule.get("http").map(|http| http.list("paths")).unwrap_or_default();
    paths.iter().filter_map(|field| path(field, is_expression, account)).collect()
}

/// Other names of the hosts.
fn aliases(ingress: &Field<'_>, account: &mut Account) -> Vec<String> {
    let Some((field, text)) = annotation(ingress, "server-alias") else { return Vec::new() };
    let mut found = Vec::new();
    for alias in elements(&text).map(str::trim) {
        if alias.starts_with('~') {
            let why = "no host of a policy is a regular expression".to_owned();
            account.remark(&field, &Remark::InexactHost { text: alias.to_owned(), why });
        } else {
            found.extend(host(&field, alias, account));
        }
    }
    found
}

fn path<'d>(field: &Field<'d>, expression: bool, account: &mut Account) -> Option<Path<'d>> {
    let kind = field.get("pathType");
    let Some(value) = field.get("path").filter(|path| path.text() != Some("")) else {
        return Some(Path::every(field));
    };
    let text = value.text()?;
    let inexact = |what, account: &mut Account| {
        account.remark(&value, &Remark::InexactPath { what, text: text.to_owned() });
        None
    };
    if expression {
        return match prefix(text) {
            Some((compared, prefix)) => Path::read(&value, &prefix, compared, account),
            None => inexact("regular expression", account),
        };
    }
    let compared = match kind.as_ref().and_then(Field::text) {
        Some("Exact") => Compared::Whole,
        // With a slash at its end, the path without it is another one.
        None | Some("Prefix" | "ImplementationSpecific") if text.ends_with('/') => Compared::Text,
        None | Some("Prefix" | "ImplementationSpecific") => Compared::Segments,
        Some(_) => return inexact("path", account),
    };
    kind.inspect(|kind| account.carry(kind));
    Path::read(&value, text, compared, account)
}

/// The prefix that an expression comes to which nginx compares with the beginning
/// of a path.
fn prefix(expression: &str) -> Option<(Compared, String)> {
    let segments = ["(/|$)(.*)", "(/|$).*", "(/|$)", "(/.*)?$", "(/.*|$)"];
    let rest = ["/?(.*)", "/?", "(.*)", ".*", ""];
    let strip = |ends: &[&str]| ends.iter().find_map(|end| expression.strip_suffix(end));
    let (compared, text) = match strip(&segments) {
        Some(text) => (Compared::Segments, text),
        None => (Compared::Text, strip(&rest)?),
    };
    Some((compared, literal(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_prefixes_where_they_say_no_more() {
        let rows = [
            ("/api(/|$)(.*)", Some((Compared::Segments, "/api"))),
            ("/api(/|$)", Some((Compared::Segments, "/api"))),
            ("/api", Some((Compared::Text, "/api"))),
            ("/api/(.*)", Some((Compared::Text, "/api/"))),
            ("/api/?(.*)", Some((Compared::Text, "/api"))),
            ("/v1\\.0/.*", Some((Compared::Text, "/v1.0/"))),
            ("/(.*)", Some((Compared::Text, "/"))),
            ("/v1.0", None),
            ("/api(/v1)?", None),
            ("/[a-z]+", None),
            ("/api$", None),
            ("/a|/b", None),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(compared, prefix)| (compared, prefix.to_owned()));
            assert_eq!(prefix(text), expected, "{text}");
        }
    }
}
