//! What the annotations of an Ingress say, written or not.

use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::{Cors, elements};
use crate::cli::import::matcher::{Matcher, OriginMatcher};
use crate::cli::import::remark::Remark;
use crate::cli::tree::Content;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

const DEFAULT_METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
/// Without DNT and Keep-Alive, which no page can set.
const DEFAULT_HEADERS: &str = "User-Agent, X-Requested-With, If-Modified-Since, Cache-Control, Content-Type, Range, Authorization";
const DEFAULT_MAX_AGE: &str = "86400, the most that browsers take of 1728000";

/// An annotation, and its text.
pub fn annotation<'d>(ingress: &Field<'d>, name: &str) -> Option<(Field<'d>, String)> {
    let field = ingress.at(&["metadata", "annotations"])?.get(&format!("{PREFIX}{name}"))?;
    let text = match &field.node.content {
        Content::Text(text) => text.clone(),
        Content::Bool(value) => value.to_string(),
        Content::Number(value) => value.to_string(),
        _ => return None,
    };
    Some((field, text))
}

/// A boolean, as Go reads it.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether an annotation is there and true.
pub fn is_true(ingress: &Field<'_>, name: &str) -> bool {
    annotation(ingress, name).and_then(|(_, text)| boolean(&text)) == Some(true)
}

/// Every annotation about CORS, but for `enable-cors`.
pub fn annotations<'d>(ingress: &Field<'d>) -> Vec<Field<'d>> {
    let Some(all) = ingress.at(&["metadata", "annotations"]) else { return Vec::new() };
    let of_cors = |key: &str| key.strip_prefix(PREFIX).is_some_and(|key| key.starts_with("cors-"));
    all.entries().filter(|(key, _)| of_cors(key)).map(|(_, field)| field).collect()
}

/// What the annotations of an Ingress with `enable-cors` say.
pub fn cors(ingress: &Field<'_>, enable: &Field<'_>, account: &mut Account) -> Cors {
    account.carry(enable);
    let mut read = Annotations { ingress, unwritten: Vec::new() };
    let mut cors = Cors::default();
    let origins = read.origins(account);
    let written = annotation(ingress, "cors-allow-origin");
    let field = written.as_ref().map_or(enable, |(field, _)| field);
    let everybody = origins.iter().flatten().any(|origin| origin == "*");
    read.credentials(&mut cors, enable, everybody, account);
    if let (None, Some((_, text))) = (&origins, &written) {
        cors.lost.push(text.clone());
    }
    for text in origins.iter().flatten() {
        add_origin(&mut cors, field, text, account);
    }
    if let Some(first) = origins.iter().flatten().find(|_| !everybody) {
        let example = match &**first {
            "null" => "https://example.null".to_owned(),
            origin => format!("x{}", origin.replacen('*', "a", 1)),
        };
        account.note(field, &Remark::OpenStart { text: first.clone(), example });
    }
    if origins.as_ref().is_some_and(Vec::is_empty) {
        account.note(field, &Remark::NoOrigins);
    }
    if !everybody {
        account.note(enable, &Remark::ForwardedPreflights { written: false });
    }
    let is_method = |text: &str| is_list(text, |c| c.is_ascii_alphabetic());
    match read.valid("cors-allow-methods", DEFAULT_METHODS, is_method, account) {
        Some((field, text)) => {
            elements(&text).for_each(|name| cors.add_method(&field, name, account));
        }
        None => cors.allow_methods = elements(DEFAULT_METHODS).map(str::to_owned).collect(),
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let are_headers = |text: &str| text.chars().all(|c| is_name(c) || matches!(c, ',' | ' '));
    match read.valid("cors-allow-headers", DEFAULT_HEADERS, are_headers, account) {
        Some((field, text)) => {
            elements(&text).for_each(|name| cors.add_header(&field, name, account));
        }
        None => cors.allow_headers = elements(DEFAULT_HEADERS).map(str::to_owned).collect(),
    }
    let are_exposed = |text: &str| is_list(text, |c| is_name(c) || c == '*');
    if let Some((field, text)) = read.valid("cors-expose-headers", "", are_exposed, account) {
        elements(&text).for_each(|name| cors.add_exposed(&field, name, account));
    }
    let is_number = |text: &str| text.parse::<i64>().is_ok();
    let age = read.valid("cors-max-age", DEFAULT_MAX_AGE, is_number, account);
    match age.and_then(|(field, text)| Some((field, text.parse::<i64>().ok()?))) {
        Some((field, seconds)) => cors.set_max_age(&field, seconds.into(), account),
        None => cors.max_age = Some(86_400.into()),
    }
    if !read.unwritten.is_empty() {
        account.note(enable, &Remark::Defaults { values: read.unwritten });
    }
    for field in annotations(ingress) {
        account.close(&field);
    }
    cors
}

/// The annotations of an Ingress.
struct Annotations<'a, 'd> {
    ingress: &'a Field<'d>,
    /// Those that are not written, with the values that they have all the same.
    unwritten: Vec<(&'static str, &'static str)>,
}

impl<'d> Annotations<'_, 'd> {
    /// An annotation with a valid value; `None` where the default counts instead.
    fn valid(
        &mut self,
        name: &'static str,
        default: &'static str,
        is_valid: impl Fn(&str) -> bool,
        account: &mut Account,
    ) -> Option<(Field<'d>, String)> {
        let Some((field, text)) = annotation(self.ingress, name) else {
            if !default.is_empty() {
                self.unwritten.push((name, default));
            }
            return None;
        };
        if is_valid(&text) && !text.trim().is_empty() {
            return Some((field, text));
        }
        account.remark(&field, &Remark::Invalid { text, instead: default.to_owned() });
        None
    }

    /// The origins of the list; `None` if it is no list, so that there is nothing
    /// to go by.
    fn origins(&mut self, account: &mut Account) -> Option<Vec<String>> {
        let written = annotation(self.ingress, "cors-allow-origin");
        let Some((field, text)) = written.filter(|(_, text)| !text.trim().is_empty()) else {
            self.unwritten.push(("cors-allow-origin", "*"));
            return Some(vec!["*".to_owned()]);
        };
        if elements(&text).any(|origin| origin == "*") {
            return Some(vec!["*".to_owned()]);
        }
        if !are_origins(&text) {
            account.remark(&field, &Remark::InvalidOrigins { text });
            return None;
        }
        let (valid, skipped): (Vec<_>, Vec<_>) =
            elements(&text).map(str::to_owned).partition(|origin| is_origin(origin));
        for text in skipped {
            account.remark(&field, &Remark::Invalid { text, instead: String::new() });
        }
        Some(valid)
    }

    fn credentials(
        &mut self,
        cors: &mut Cors,
        enable: &Field<'_>,
        everybody: bool,
        account: &mut Account,
    ) {
        let is_boolean = |text: &str| boolean(text).is_some();
        let written = self.valid("cors-allow-credentials", "true", is_boolean, account);
        let allowed = written.as_ref().is_none_or(|(_, text)| boolean(text) == Some(true));
        match &written {
            Some((field, _)) if allowed && everybody => {
                account.remark(field, &Remark::DeadCredentials);
            }
            None if everybody => account.note(enable, &Remark::DeadCredentials),
            Some((field, _)) => cors.set_credentials(field, allowed, account),
            None => cors.allow_credentials = true,
        }
    }
}

/// Adds what nginx lets in for the text of an origin, but for what stands before
/// it, at which nginx does not look.
fn add_origin(cors: &mut Cors, field: &Field<'_>, text: &str, account: &mut Account) {
    let lower = text.to_ascii_lowercase();
    let Some((before, after)) = lower.split_once('*').filter(|_| text != "*") else {
        let matcher = OriginMatcher::new(Matcher::Exact(&lower));
        return cors.add_origin(field, &matcher, ("origin", text), account);
    };
    let (before, after) = (before.replace('.', "\\."), after.replace('.', "\\."));
    let expression = format!(r"{before}[a-z0-9\-]+{after}");
    let matcher = OriginMatcher::new(Matcher::Regex(&expression));
    cors.add_origin(field, &matcher, ("wildcard", text), account);
}

/// Words with at most a comma and a space behind each.
fn is_list(text: &str, is_part: impl Fn(char) -> bool) -> bool {
    let mut before = ' ';
    text.starts_with(&is_part)
        && text.chars().all(|c| {
            let follows = match c {
                ',' => is_part(before),
                ' ' => is_part(before) || before == ',',
                c => is_part(c),
            };
            before = c;
            follows
        })
}

/// Whether a list of origins is valid as a whole, spaces left out: names, commas,
/// `*.`, `:` before a digit, and `://` behind a small letter.
fn are_origins(text: &str) -> bool {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    let (mut rest, mut before) = (&*text, ' ');
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | ',' => 1,
            '*' if rest.starts_with("*.") => 2,
            ':' if rest.starts_with("://") && before.is_ascii_lowercase() => 3,
            ':' if rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => 1,
            _ => return false,
        };
        before = c;
        rest = rest.get(taken..).unwrap_or_default();
    }
    true
}

/// Whether an element of such a list counts: `null`, or a scheme in small letters, a
/// host that may begin with `*.`, and a port if there is one.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return text == "null" };
    let rest = rest.strip_prefix("*.").unwrap_or(rest);
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    !scheme.is_empty()
        && scheme.chars().all(|c| c.is_ascii_lowercase())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        && port.is_none_or(|port| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_valid_as_in_the_controller() {
        let rows = [
            ("https://a.example.com", true),
            ("https://a.example.com, http://*.b.example.com:8080,null", true),
            ("a.example.com:80", true),
            ("https://a.example.com https://b.example.com", true),
            ("https://a.example.com,", true),
            ("https://a.example.com/", false),
            ("HTTPS://a.example.com", false),
            ("https://a.example.com,*", false),
            ("https://*", false),
            ("https://a.example.com:*", false),
            ("https://a.example.com:", false),
            ("https://a_b.example.com", false),
            ("https://a.example.com\n", false),
            ("https://münchen.example", false),
        ];
        for (text, valid) in rows {
            assert_eq!(are_origins(text), valid, "{text:?}");
        }
    }

    #[test]
    fn elements_count_as_in_the_controller() {
        let rows = [
            ("https://a.example.com", true),
            ("myprotocol://*.A.example.com:9000", true),
            ("https://", true),
            ("null", true),
            ("a.example.com", false),
            ("h2://a.example.com", false),
            ("https://a.example.com https://b.example.com", false),
            ("https://*.*.example.com", false),
            ("https://a.example.com:80:81", false),
            ("Null", false),
        ];
        for (text, counts) in rows {
            assert_eq!(is_origin(text), counts, "{text:?}");
        }
    }

    #[test]
    fn words_are_valid_as_in_the_controller() {
        let rows = [
            ("GET", true),
            ("GET, put", true),
            ("GET,PUT", true),
            ("GET PUT", true),
            ("GET, ", true),
            ("GET,  PUT", false),
            ("GET,,PUT", false),
            (" GET", false),
            ("GET ,PUT", false),
            ("X-GET", false),
            ("", false),
        ];
        for (text, valid) in rows {
            assert_eq!(is_list(text, |c| c.is_ascii_alphabetic()), valid, "{text:?}");
        }
    }
}
