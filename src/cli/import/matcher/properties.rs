//! What holds for every matcher.

use envoy_cors::allowlist::Allowlist;
use envoy_cors::origin::Origin;
use envoy_cors::pattern::OriginPattern;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use regex::bytes::{Regex, RegexBuilder};

use super::{Conversion, Matcher, OriginMatcher, parse};

/// A part of an expression, and texts that are near to what it matches.
type Part = (&'static str, &'static [&'static str]);

const SCHEMES: &[Part] = &[
    ("https://", &["https://", "http://"]),
    ("https?://", &["https://", "http://", "httpss://"]),
    ("(http|https|app):\\/\\/", &["app://", "http://", "https://"]),
    (".*://", &["app://", "https://"]),
    ("http.*", &["http://", "https://", "http://a"]),
    (".*", &["http://", "https://", "https://a."]),
    ("https:/*", &["https://"]),
];

const STARTS: &[Part] = &[
    ("", &["", "a."]),
    (".*\\.", &["a.", "a.-.", "a.b.c."]),
    (".+\\.?", &["a", "a.", "a.b."]),
    ("(.*\\.)?", &["", "a.", "a.b."]),
    (".*", &["", "a", "a."]),
    ("[a-z]+\\.", &["a.", "ab.", "1.", "a.b."]),
    ("[^.]+\\.", &["a.", "a.b."]),
    ("([\\w-]+\\.)*", &["", "a.", "_.-."]),
    ("([\\w-]{1,63}\\.)+", &["a.", "a.b."]),
    ("[\\w.-]+\\.", &["a.", "a.b."]),
    ("[a-z0-9-]{2,3}\\.", &["ab.", "a.", "abcd."]),
    ("(www\\.|)", &["", "www.", "a."]),
    ("pr-\\d+\\.", &["pr-1.", "pr-."]),
    ("(a|b|c\\.d)[.]", &["a.", "b.", "c.d.", "d."]),
    ("[ab]?", &["", "a", "b", "c"]),
];

const HOSTS: &[Part] = &[
    ("example\\.com", &["example.com", "examplescom"]),
    ("example.com", &["example.com", "exampleacom", "example-com"]),
    ("EXAMPLE\\.com", &["example.com"]),
    ("e{2}\\.(com|org)", &["ee.com", "ee.org", "e.com"]),
    ("[a-c]\\.d", &["a.d", "c.d", "e.d"]),
    ("localhost", &["localhost", "localhost."]),
    ("127\\.0\\.0\\.1", &["127.0.0.1", "127.0.0.2"]),
    ("\\d+\\.0\\.0\\.1", &["127.0.0.1", "1.0.0.1"]),
    ("\\[::1\\]", &["[::1]", "[::2]"]),
    (".*", &["a", "a.b", "[::1]"]),
];

const ENDS: &[Part] = &[
    ("", &["", ":1", "."]),
    ("(:\\d+)?", &["", ":1", ":80", ":443", ":65535"]),
    (":[0-9]*", &[":1", ":8080", ""]),
    (":\\d{4}", &[":8080", ":80"]),
    ("(:.*)?", &["", ":1"]),
    (":?[0-9]*", &["", ":1", "1"]),
    ("(:(80|443))?", &["", ":80", ":443"]),
    (":300[0-2]", &[":3000", ":3003"]),
    (".*", &["", ":1", "a", ".a"]),
    ("\\.?", &["", "."]),
    ("/?", &["", "/"]),
    ("(?i:A)?", &["", "a"]),
];

/// How alternatives stand in a whole.
const WHOLES: &[fn(&str, &str) -> String] = &[
    |one, _| one.to_owned(),
    |one, _| format!("^{one}$"),
    |one, _| format!("(?i){one}"),
    |one, _| format!("(?m)^(?:{one})$"),
    |one, other| format!("{one}|{other}"),
    |one, other| format!("^{one}|{other}$"),
    |one, other| format!("(?:({one})|{other}|null)?"),
    |one, other| format!("\\A(?:{one}|(?i)\\b{other})\\z"),
];

fn parts() -> impl Strategy<Value = [Part; 4]> {
    (select(SCHEMES), select(STARTS), select(HOSTS), select(ENDS))
        .prop_map(|(scheme, start, host, end)| [scheme, start, host, end])
}

fn written(parts: &[Part; 4]) -> String {
    parts.iter().map(|(expression, _)| *expression).collect()
}

/// An expression, and texts many of which it matches.
fn expression() -> impl Strategy<Value = (String, Vec<String>)> {
    let indexes = vec((any::<bool>(), any::<[Index; 4]>(), any::<Index>(), "[ab1._:-]?"), 60);
    (parts(), parts(), select(WHOLES), indexes).prop_map(|(one, other, whole, indexes)| {
        let texts = indexes.into_iter().map(|(first, indexes, place, inserted)| {
            let parts = if first { one } else { other };
            let mut text: String =
                parts.iter().zip(indexes).map(|((_, texts), index)| *index.get(texts)).collect();
            text.insert_str(place.index(text.len()), &inserted);
            text
        });
        (whole(&written(&one), &written(&other)), texts.collect())
    })
}

fn is_origin(text: &str) -> bool {
    text == "null" || Origin::parse(text).is_ok()
}

/// The whole text, as Envoy asks for it.
fn judge(expression: &str) -> Regex {
    RegexBuilder::new(&format!("\\A(?:{expression})\\z")).unicode(false).build().unwrap()
}

fn list(patterns: &[String]) -> Allowlist {
    let list = parse(patterns);
    assert_eq!(list.len(), patterns.len(), "{patterns:?}");
    list.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_the_same_is_the_same_and_what_differs_differs((expression, texts) in expression()) {
        let matcher = OriginMatcher { matcher: Matcher::Regex(&expression), ignore_case: false };
        let judge = judge(&expression);
        let origins = || texts.iter().filter(|text| is_origin(text));
        let theirs = |origin: &str| judge.is_match(origin.as_bytes());
        prop_assert_eq!(matcher.accepts_star(), theirs("*"));
        match matcher.convert() {
            Conversion::Exact(patterns) => {
                let ours = list(&patterns);
                for origin in origins() {
                    prop_assert_eq!(theirs(origin), ours.contains(origin.as_bytes()), "{}", origin);
                }
            }
            Conversion::Inexact { nearest, more, fewer } => {
                let ours = list(&nearest);
                prop_assert!(more.is_some() || fewer.is_some());
                for (origin, is_ours) in [(more, true), (fewer, false)] {
                    let Some(origin) = origin else { continue };
                    prop_assert!(is_origin(&origin), "{}", origin);
                    prop_assert_eq!(ours.contains(origin.as_bytes()), is_ours, "{}", origin);
                    prop_assert_eq!(theirs(&origin), !is_ours, "{}", origin);
                }
            }
            Conversion::Nothing { .. } => {
                for origin in origins() {
                    prop_assert!(!theirs(origin), "{}", origin);
                }
            }
            Conversion::Unreadable(why) => prop_assert!(false, "{}", why),
        }
    }
}

/// Pieces of the syntax, to be mixed.
const PIECES: &[&str] = &[
    "https://",
    "example",
    "com",
    "localhost",
    ".",
    "\\.",
    ".*",
    ".+",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?P<a>",
    "[",
    "]",
    "[^",
    "-",
    "\\-",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "{1,3}",
    "{0,99}",
    "{,2}",
    "{",
    "}",
    "^",
    "$",
    "\\b",
    "\\d",
    "\\w",
    "\\W",
    "\\Q",
    "\\pL",
    "\\x41",
    "\\",
    "[:alpha:]",
    "&&",
    "--",
    ":",
    "/",
    "0",
    "8080",
    "é",
    "\0",
    "[::1]",
    "127.0.0.1",
    "xn--",
    "null",
];

/// `FUZZ_INPUTS` says how many texts; ten million passed.
#[test]
fn an_expression_never_panics() {
    let number = std::env::var("FUZZ_INPUTS").map_or(1_000, |number| number.parse().unwrap());
    let rows = include_str!("../../../../tests/import/origins.yaml");
    // Those with many states would take most of the time.
    let short = rows.split("# Too large").next().unwrap().lines();
    let texts =
        short.filter_map(|line| line.split('\'').nth(1)).filter(|text| !text.contains("253"));
    let texts: Vec<&str> = texts.collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        // Marsaglia, "Xorshift RNGs", 2003.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 1).unwrap() % below
    };
    let mut outcomes = [0; 4];
    for _ in 0..number {
        let mut text: Vec<char> = match random(3) {
            0 => (0..random(8)).flat_map(|_| PIECES[random(PIECES.len())].chars()).collect(),
            _ => texts[random(texts.len())].chars().collect(),
        };
        for _ in 0..random(4) {
            let at = random(text.len() + 1);
            let piece = PIECES[random(PIECES.len())].chars();
            match random(3) {
                0 => drop(text.splice(at..at, piece)),
                1 => drop(text.splice(at..(at + 1).min(text.len()), piece)),
                _ => text.truncate(at.max(10)),
            }
        }
        let text: String = text.into_iter().collect();
        let matcher = match random(20) {
            0 => Matcher::Exact(&text),
            1 => Matcher::Prefix(&text),
            2 => Matcher::Suffix(&text),
            3 => Matcher::Contains(&text),
            4 => Matcher::Glob(&text),
            _ => Matcher::Regex(&text),
        };
        let matcher = OriginMatcher { matcher, ignore_case: random(2) == 0 };
        matcher.accepts_star();
        let outcome = match matcher.convert() {
            Conversion::Exact(patterns) => {
                assert!(!list(&patterns).is_empty(), "{matcher:?}");
                0
            }
            Conversion::Inexact { nearest, more, fewer } => {
                let ours = list(&nearest);
                for (origin, is_ours) in [(more, true), (fewer, false)] {
                    let Some(origin) = origin else { continue };
                    assert!(is_origin(&origin), "{matcher:?}: {origin}");
                    assert_eq!(ours.contains(origin.as_bytes()), is_ours, "{matcher:?}: {origin}");
                }
                1
            }
            Conversion::Nothing { meant, .. } => {
                assert!(
                    meant.is_none_or(|meant| OriginPattern::parse(&meant).is_ok()),
                    "{matcher:?}"
                );
                2
            }
            Conversion::Unreadable(_) => 3,
        };
        outcomes[outcome] += 1;
    }
    assert!(outcomes.into_iter().all(|n| n > number / 50), "{outcomes:?}");
}
