//! The patterns that the author of an expression may have meant. Whether they
//! allow the same is for [`compare`](super::compare) to find out.

use envoy_cors::allowlist::Allowlist;
use envoy_cors::origin::{MAX_HOST, MAX_SCHEME, is_loopback};
use envoy_cors::pattern::{InvalidPattern, OriginPattern};
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::universe::ALPHABET;

/// What an expression comes to.
pub struct Proposal {
    /// Patterns, none of them covered by another.
    pub patterns: Vec<String>,
    /// The first of its texts that is no pattern, and why.
    pub refused: Option<(String, InvalidPattern)>,
}

/// Most texts that an expression is written out to.
const MOST: usize = 256;
/// No pattern is longer.
const LONGEST: usize = MAX_SCHEME + MAX_HOST + 16;
/// Stands for text that the expression leaves open.
const OPEN: char = '\0';

/// Proposes patterns for an expression.
pub fn propose(expression: &Hir) -> Proposal {
    let texts = Writer { classes: true }
        .texts(expression)
        .or_else(|| Writer { classes: false }.texts(expression))
        .unwrap_or_default();
    let mut patterns: Vec<String> = Vec::new();
    let mut refused = None;
    for text in &texts {
        for pattern in patterns_of(text) {
            match OriginPattern::parse(&pattern) {
                Ok(_) => patterns.push(pattern),
                Err(why) => refused = refused.or(Some((pattern, why))),
            }
        }
    }
    Proposal { patterns: without_covered(&patterns), refused }
}

fn without_covered(texts: &[String]) -> Vec<String> {
    let patterns = texts.iter().filter_map(|text| OriginPattern::parse(text).ok());
    let mut allowlist = Allowlist::default();
    let new: Vec<_> = patterns.filter(|pattern| allowlist.insert(pattern)).collect();
    let kept = |pattern: &OriginPattern<'_>| match pattern {
        OriginPattern::Any => true,
        _ => !allowlist.is_any() && allowlist.covering(pattern).is_none(),
    };
    new.iter().filter(|pattern| kept(pattern)).map(ToString::to_string).collect()
}

/// Writes out the texts of an expression, with [`OPEN`] where they are endless
/// or too many.
struct Writer {
    /// Each character of a class makes a text of its own.
    classes: bool,
}

impl Writer {
    /// `None` if there are too many.
    fn texts(&self, expression: &Hir) -> Option<Vec<String>> {
        let texts = match expression.kind() {
            HirKind::Empty | HirKind::Look(_) => vec![String::new()],
            HirKind::Literal(literal) => vec![String::from_utf8_lossy(&literal.0).into_owned()],
            HirKind::Class(class) => self.characters(class),
            HirKind::Repetition(repetition) => self.repeated(repetition)?,
            HirKind::Capture(capture) => self.texts(&capture.sub)?,
            HirKind::Concat(parts) => parts
                .iter()
                .try_fold(vec![String::new()], |before, part| join(&before, &self.texts(part)?))?,
            HirKind::Alternation(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.texts(part)?);
                    if all.len() > MOST {
                        return None;
                    }
                }
                all
            }
        };
        Some(texts)
    }

    fn characters(&self, class: &Class) -> Vec<String> {
        let members: Vec<char> = ALPHABET
            .iter()
            .filter(|byte| holds(class, **byte))
            .map(|byte| char::from(*byte))
            .collect();
        match *members {
            [] => first(class).into_iter().map(String::from).collect(),
            // Nobody who means any character would ask for one alone.
            _ if is_nearly_any(class) => vec![".".to_owned()],
            [_] => members.iter().map(char::to_string).collect(),
            _ if self.classes => members.iter().map(char::to_string).collect(),
            _ => vec![OPEN.to_string()],
        }
    }

    fn repeated(&self, repetition: &Repetition) -> Option<Vec<String>> {
        let class = match repetition.sub.kind() {
            HirKind::Class(class) => Some(class),
            _ => None,
        };
        let is_open = class.is_some_and(|class| !self.classes || is_nearly_any(class));
        let counted = match repetition.max {
            Some(max) if max <= 1 || !is_open => self.counted(repetition, max),
            _ => None,
        };
        if counted.is_some() {
            return counted;
        }
        if class.is_some() {
            return Some(vec![OPEN.to_string()]);
        }
        let never = (repetition.min == 0).then(String::new);
        Some(never.into_iter().chain(self.texts(&repetition.sub)?).collect())
    }

    /// As often as it may be repeated.
    fn counted(&self, repetition: &Repetition, max: u32) -> Option<Vec<String>> {
        let once = self.texts(&repetition.sub)?;
        let (mut all, mut texts) = (Vec::new(), vec![String::new()]);
        for n in 0..=max {
            if n >= repetition.min {
                all.extend(texts.iter().cloned());
            }
            if all.len() > MOST || texts.is_empty() {
                break;
            }
            texts = join(&texts, &once)?;
        }
        (all.len() <= MOST).then_some(all)
    }
}

/// Each text of the one before each of the other.
fn join(before: &[String], after: &[String]) -> Option<Vec<String>> {
    if before.len() * after.len() > MOST {
        return None;
    }
    let texts =
        before.iter().flat_map(|start| after.iter().map(move |end| format!("{start}{end}")));
    Some(texts.filter(|text| text.len() <= LONGEST).collect())
}

fn holds(class: &Class, byte: u8) -> bool {
    match class {
        Class::Unicode(class) => {
            let c = char::from(byte);
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&c))
        }
        Class::Bytes(class) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte))
        }
    }
}

fn first(class: &Class) -> Option<char> {
    match class {
        Class::Unicode(class) => class.ranges().first().map(|range| range.start()),
        Class::Bytes(class) => class.ranges().first().map(|range| range.start().into()),
    }
}

/// Whether a class is a dot, or as good as one.
fn is_nearly_any(class: &Class) -> bool {
    b"a0-.".iter().all(|byte| holds(class, *byte))
}

/// What a text of an expression means as patterns, valid or not.
fn patterns_of(text: &str) -> Vec<String> {
    if !text.contains(OPEN) {
        return vec![text.to_owned()];
    }
    if text.chars().all(|c| c == OPEN) {
        return vec!["*".to_owned()];
    }
    let (scheme, rest) = match text.split_once("://") {
        Some(parts) => parts,
        None if text.starts_with(OPEN) => ("\0", text),
        None => return Vec::new(),
    };
    let is_number = |port: &str| port.chars().all(|c| c == OPEN || c.is_ascii_digit());
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if is_number(port) && port.contains(OPEN) => (host, Some("*")),
        Some((host, port)) if is_number(port) => (host, Some(port)),
        _ => (rest, None),
    };
    // `https://example.com.*`
    let ended = host.trim_end_matches(OPEN);
    let is_ended = ended.len() == host.len();
    let mut patterns = Vec::new();
    for Host { domain, below, is_guess } in hosts(ended) {
        let is_guess = is_guess || !is_ended || scheme.contains(OPEN);
        if is_guess && !is_plausible(&domain) {
            continue;
        }
        let is_local = is_loopback(&domain);
        let schemes: &[&str] = match scheme.split_once(OPEN) {
            None => &[scheme],
            Some(("http", _)) => &["http", "https"],
            Some(_) if is_local => &["http"],
            Some(_) => &["https"],
        };
        let star = if below { "*." } else { "" };
        let port = port.or((is_local && !is_ended).then_some("*"));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        patterns.extend(schemes.iter().map(|scheme| format!("{scheme}://{star}{domain}{port}")));
    }
    patterns
}

/// The hosts of a pattern.
struct Host {
    domain: String,
    /// All below it, not the domain itself.
    below: bool,
    /// The expression says something else.
    is_guess: bool,
}

/// What a host means that may be open at its start or in its middle.
fn hosts(host: &str) -> Vec<Host> {
    let one = |domain: &str, below, is_guess| Host { domain: domain.to_owned(), below, is_guess };
    let Some((before, name)) = host.rsplit_once(OPEN) else {
        return vec![one(host, false, false)];
    };
    let begins = before.trim_start_matches(OPEN);
    match name.split_once('.') {
        // `https://.*\.example\.com`
        Some(("", domain)) if begins.is_empty() => vec![one(domain, true, false)],
        // `https://.*example\.com`
        _ if begins.is_empty() && name.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            vec![one(name, false, true), one(name, true, true)]
        }
        // `https://app-.*\.example\.com`
        Some((_, domain)) if is_plausible(domain) => vec![one(domain, true, true)],
        // `https://app.*\.vercel\.app`
        Some(("", _)) if begins.ends_with(|c: char| c.is_ascii_alphanumeric()) => {
            vec![one(&format!("{begins}{name}"), false, true)]
        }
        _ => Vec::new(),
    }
}

/// Whether a domain is worth a guess: nobody means to allow all of `*.com`, or
/// of `*.vercel.app`.
fn is_plausible(domain: &str) -> bool {
    let suffix = psl::suffix(domain.as_bytes());
    is_loopback(domain)
        || (domain.contains('.')
            && !domain.ends_with('.')
            && suffix.is_none_or(|suffix| suffix.as_bytes() != domain.as_bytes()))
}
