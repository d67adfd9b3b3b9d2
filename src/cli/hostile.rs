//! What nobody means to write, for the tests of all that reads what others
//! wrote. The names of these tests end in `never_panics`, by which `make fuzz`
//! finds them.

// The core's tests use a part.
#![allow(dead_code)]

use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use serde_json::Value;

/// Inputs of a test, unless `FUZZ_INPUTS` says how many.
const INPUTS: u64 = 10_000;

/// What parsers stumble over, whatever they read.
const WORDS: &[&str] = &[
    "\0",
    "\t",
    "\n",
    "\r\n",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "é",
    "\u{202e}",
    "\u{2028}",
    "\u{fffe}",
    "\u{feff}",
    "😀",
    "'",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<!--",
    "%",
    "%2e",
    "*",
    "-",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    ",",
    ".",
    "..",
    "/",
    ":",
    "://",
    ";",
    "=",
    "@",
    "#",
    "?",
    "null",
    "true",
    "xn--",
];

/// Gives `read` all samples, and then samples with changes, mostly few: other
/// bytes, parts left out, doubled or taken from other samples, and words. `read`
/// says whether it made something of an input, or refused it. The same inputs
/// come with every run.
///
/// # Panics
///
/// Where `read` does: the input is printed then. And if nearly all inputs are
/// refused, or hardly any: half of the code was not asked.
pub fn each(samples: &[Vec<u8>], words: &[&str], mut read: impl FnMut(&[u8]) -> bool) {
    let inputs = std::env::var("FUZZ_INPUTS").map_or(INPUTS, |number| number.parse().unwrap());
    let (start, mut understood) = (Instant::now(), 0);
    for number in 0..inputs {
        let input = Input { number, bytes: input(number, samples, words) };
        understood += u64::from(read(&input.bytes));
    }
    eprintln!("{inputs} inputs, {understood} of them understood, {:.0?}", start.elapsed());
    let seldom = inputs / 50;
    assert!((seldom..=inputs - seldom).contains(&understood), "{understood} of {inputs}");
}

/// Texts as [`each`] takes them.
pub fn samples<T: Into<Vec<u8>>>(texts: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
    texts.into_iter().map(Into::into).collect()
}

/// What a table of `tests` has in these fields of its rows, in lists and objects
/// too.
pub fn rows(table: &str, fields: &[&str]) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(table);
    let text = std::fs::read_to_string(file).unwrap();
    let rows: Vec<Value> = serde_saphyr::from_str(&text).unwrap();
    let mut texts = Vec::new();
    for value in rows.iter().flat_map(|row| fields.iter().filter_map(|field| row.get(field))) {
        collect(value, &mut texts);
    }
    texts
}

/// Policies, manifests and Envoy's configurations, as YAML and some as JSON.
pub fn documents() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
    let rules = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = rules.flat_map(|rule| ["bad.yaml", "good.yaml"].map(|name| rule.join(name)));
    let mut files: Vec<_> = files.collect();
    // The same order everywhere.
    files.sort();
    let mut texts: Vec<_> = files.iter().filter_map(|f| std::fs::read_to_string(f).ok()).collect();
    texts.extend(rows("documents.yaml", &["files", "stdin"]));
    texts.extend(rows("findings.yaml", &["text"]));
    texts.retain(|text| text.len() <= 1_000);
    let as_json = |text: &String| Some(serde_saphyr::from_str::<Value>(text).ok()?.to_string());
    texts.extend(texts.iter().filter_map(as_json).collect::<Vec<_>>());
    samples(texts)
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(values) => values.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

/// Checks that a text for people does nothing to a terminal but to change its
/// colours.
pub fn check_shown(text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next();
    let behind_colours = pieces.filter_map(|piece| {
        piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').strip_prefix('m')
    });
    let is_obeyed = |c: char| c.is_control() && c != '\n';
    let shown: Vec<&str> = first.into_iter().chain(behind_colours).collect();
    assert_eq!(shown.len(), text.matches("\u{1b}[").count() + 1, "{text:?}");
    assert!(!shown.iter().any(|piece| piece.contains(is_obeyed)), "{text:?}");
}

/// An input, which a panic prints.
struct Input {
    number: u64,
    bytes: Vec<u8>,
}

impl Drop for Input {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input {}: b\"{}\"", self.number, self.bytes.escape_ascii());
        }
    }
}

fn input(number: u64, samples: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    if let Some(sample) = usize::try_from(number).ok().and_then(|number| samples.get(number)) {
        return sample.clone();
    }
    let mut random = Rng::with_seed(number);
    let mut bytes = some(samples, &mut random).clone();
    loop {
        change(&mut bytes, samples, words, &mut random);
        if random.bool() {
            return bytes;
        }
    }
}

fn change(bytes: &mut Vec<u8>, samples: &[Vec<u8>], words: &[&str], random: &mut Rng) {
    let (at, end) = part(bytes, random);
    match random.u8(0..8) {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.u8(0..8)),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let doubled = bytes[at..end].to_vec();
            bytes.splice(at..at, doubled);
        }
        4 => {
            let other = some(samples, random);
            let (from, to) = part(other, random);
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        5 => {
            let other = some(samples, random);
            bytes.truncate(at);
            bytes.extend(&other[random.usize(0..=other.len())..]);
        }
        _ => {
            let word = random.usize(0..WORDS.len() + words.len());
            let word = WORDS.iter().chain(words).nth(word).unwrap();
            // Many of them are what bounds are for.
            let times = if random.u8(0..64) == 0 { random.usize(1..300) } else { 1 };
            let end = if random.bool() { end } else { at };
            bytes.splice(at..end, word.repeat(times).into_bytes());
        }
    }
}

fn some<'s>(samples: &'s [Vec<u8>], random: &mut Rng) -> &'s Vec<u8> {
    &samples[random.usize(0..samples.len())]
}

/// A place in some bytes, and one at or a little behind it.
fn part(bytes: &[u8], random: &mut Rng) -> (usize, usize) {
    let at = random.usize(0..=bytes.len());
    (at, (at + random.usize(0..=16)).min(bytes.len()))
}
