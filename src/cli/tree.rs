//! A YAML or JSON text as a tree in which every node knows where it stands.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use envoy_cors::config::{Value, snake_case};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

/// The bytes of a text that something stands in.
pub type Span = Range<usize>;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Of an object, the first key; of a list, its bracket or first dash; of an
    /// alias, the alias.
    pub span: Span,
    /// What stands there.
    pub content: Content,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Content {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// Every entry, also those whose key was given before.
    Map(Vec<(Key, Node)>),
}

/// The key of an entry.
#[derive(Clone, Debug)]
pub struct Key {
    pub span: Span,
    pub text: String,
}

/// Why a text has no tree.
#[derive(Debug)]
pub struct SyntaxError {
    /// The byte at which reading stopped, or the length of the text.
    pub at: usize,
    /// The parser's words.
    pub message: String,
}

/// Most nodes of a text, those that aliases repeat included: about 300 MB.
const MAX_NODES: usize = 2_000_000;

/// Most nodes that aliases may stand for: two long lists of origins.
const MAX_ANCHORED: usize = 250_000;

/// Most levels of a text. Envoy's own configurations stay below 50.
const MAX_DEPTH: usize = 100;

/// Reads all documents of a YAML text; JSON is one. Empty ones are left out.
///
/// # Errors
///
/// The first place at which the text is not YAML, or where it is larger than
/// any configuration: two million nodes, a hundred levels, 250,000 nodes that
/// aliases stand for.
pub fn documents(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let options = serde_saphyr::options! {
        // `yes` and `no` are words, as in YAML 1.2 and in JSON.
        strict_booleans: true,
        // The filter has its own sentence on fields that are given twice.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_documents: MAX_NODES,
            max_recorded_anchor_events: MAX_ANCHORED,
            // A list may well be used a hundred times.
            enforce_alias_anchor_ratio: false,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let (start, line) = line_of(text, line);
        let within = line.char_indices().nth(index(column)).map_or(line.len(), |(at, _)| at);
        SyntaxError::new(start + within, &error.without_snippet().to_string())
    })
}

/// Checks that a text is JSON, which YAML only resembles.
///
/// # Errors
///
/// The first place at which it is not.
pub fn check_json(text: &str) -> Result<(), SyntaxError> {
    // The filter leaves it out as well.
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read: Result<Value<'_>, _> = serde_json::from_str(json);
    read.map(drop).map_err(|error| {
        let (start, line) = line_of(json, error.line() as u64);
        // This parser counts bytes, and may stop within a character.
        let before = |at: &usize| *at <= index(error.column() as u64);
        let within = line.char_indices().map(|(at, _)| at).take_while(before).last();
        let at = text.len() - json.len() + start + within.unwrap_or_default();
        SyntaxError::new(at, &error.to_string())
    })
}

/// Where a line begins, and what it says.
fn line_of(text: &str, line: u64) -> (usize, &str) {
    let start = text.split_inclusive('\n').take(index(line)).map(str::len).sum();
    (start, text.get(start..).unwrap_or_default().lines().next().unwrap_or_default())
}

/// The index of what parsers count from 1.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1)
}

impl SyntaxError {
    fn new(at: usize, message: &str) -> Self {
        // The parsers end their messages with the place.
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = beyond(message).unwrap_or(message).to_owned();
        Self { at, message }
    }

    /// The character at which reading stopped.
    pub fn span(&self, text: &str) -> Span {
        let rest = text.get(self.at..).unwrap_or_default();
        self.at..self.at + rest.chars().next().map_or(0, char::len_utf8)
    }
}

/// Which bound a text is beyond, in place of the parsers' own words for it.
fn beyond(message: &str) -> Option<&'static str> {
    let budget = message.strip_prefix("budget breached: ");
    Some(match budget {
        None if message != "recursion limit exceeded" => return None,
        Some(nodes) if nodes.starts_with("Nodes") || nodes.starts_with("Events") => {
            "there are more than two million values, aliases included"
        }
        Some(other) if !other.starts_with("Depth") => {
            "there are more or larger aliases than in any configuration"
        }
        _ => "too many levels stand in each other",
    })
}

impl Node {
    /// The value of a field; in either spelling if `name` is in camelCase.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, value)| value)
    }

    /// A field inside a field inside a field.
    pub fn at(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// A field with its key.
    pub fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        let snake = snake_case(name);
        self.entries()
            .iter()
            .find(|(key, _)| key.text == name || key.text == snake)
            .map(|(key, value)| (key, value))
    }

    /// The entries of an object, or none.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list, or none.
    pub fn elements(&self) -> &[Self] {
        match &self.content {
            Content::List(elements) => elements,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a field that is a string.
    pub fn text_at(&self, names: &[&str]) -> Option<&str> {
        self.at(names).and_then(Self::text)
    }

    /// Finds the node that a path of [`envoy_cors::config`] names, or the
    /// nearest one that it stands in. With it comes its key, if the path names
    /// a field and the field is there.
    pub fn find(&self, path: &str) -> (Option<&Key>, &Self) {
        let (mut node, mut key, mut rest) = (self, None, path);
        while !rest.is_empty() {
            let Some((found, next, after)) = node.step(rest) else { return (None, node) };
            (key, node, rest) = (found, next, after);
        }
        (key, node)
    }

    /// Takes the first step of a path. Keys may hold dots and brackets, so the
    /// longest key that fits is taken.
    fn step<'p>(&self, path: &'p str) -> Option<(Option<&Key>, &Self, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if let Some(index) = path.strip_prefix('[') {
            let (index, rest) = index.split_once(']')?;
            return Some((None, self.elements().get(index.parse::<usize>().ok()?)?, rest));
        }
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        let name = path.split(['.', '[']).next().unwrap_or_default();
        let entry = self.entries().iter().filter_map(|(key, value)| {
            let rest = path.strip_prefix(key.text.as_str()).filter(|rest| ends(rest))?;
            Some((Some(key), value, rest))
        });
        entry.min_by_key(|(_, _, rest)| rest.len()).or_else(|| {
            // A path that the core made up is in camelCase.
            let (key, value) = self.entry(name)?;
            Some((Some(key), value, path.strip_prefix(name)?))
        })
    }

    /// Calls `visit` with every node, this one first.
    pub fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        match &self.content {
            Content::List(elements) => elements.iter().for_each(|node| node.walk(visit)),
            Content::Map(entries) => entries.iter().for_each(|(_, node)| node.walk(visit)),
            _ => {}
        }
    }

    /// Moves every span to where `place` says that it stands in another text.
    pub fn move_spans(&mut self, place: &impl Fn(&Span) -> Span) {
        self.span = place(&self.span);
        match &mut self.content {
            Content::List(elements) => elements.iter_mut().for_each(|node| node.move_spans(place)),
            Content::Map(entries) => {
                for (key, node) in entries {
                    key.span = place(&key.span);
                    node.move_spans(place);
                }
            }
            _ => {}
        }
    }

    /// The value alone, as the core reads it.
    pub fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(flag) => Value::Bool(*flag),
            Content::Number(number) => Value::Number(*number),
            Content::Text(text) => Value::String(Cow::Borrowed(text)),
            Content::List(elements) => Value::List(elements.iter().map(Self::value).collect()),
            Content::Map(entries) => Value::Map(
                entries.iter().map(|(key, node)| (key.text.clone(), node.value())).collect(),
            ),
        }
    }
}

fn span_of(location: &Location) -> Span {
    let span = location.span();
    // Texts are far shorter than 4 GiB, so that all offsets are known.
    let known = |offset: Option<u64>| offset.and_then(|n| usize::try_from(n).ok());
    let start = known(span.byte_offset()).unwrap_or_default();
    start..start + known(span.byte_len()).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key: Spanned<String> = Spanned::deserialize(deserializer)?;
        Ok(Self { span: span_of(&key.referenced), text: key.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node: Spanned<Content> = Spanned::deserialize(deserializer)?;
        let span = match &node.value {
            Content::Map(entries) if node.referenced == node.defined => {
                entries.first().map(|(key, _)| key.span.clone())
            }
            _ => None,
        };
        Ok(Self { span: span.unwrap_or_else(|| span_of(&node.referenced)), content: node.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyContent;

        // Beyond 2^53 a number is rounded, and out of every range that is asked for.
        #[allow(clippy::cast_precision_loss)]
        impl<'de> Visitor<'de> for AnyContent {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
                Ok(Content::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
                Ok(Content::Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
                Ok(Content::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
                Ok(Content::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Content, E> {
                Ok(Content::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Content::List(elements))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Content::Map(entries))
            }
        }

        deserializer.deserialize_any(AnyContent)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.content {
            Content::Null => serializer.serialize_unit(),
            Content::Bool(flag) => serializer.serialize_bool(*flag),
            // A whole number as it was written: 7200, and not 7200.0.
            #[allow(clippy::cast_possible_truncation)]
            Content::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                serializer.serialize_i64(*number as i64)
            }
            Content::Number(number) => serializer.serialize_f64(*number),
            Content::Text(text) => serializer.serialize_str(text),
            Content::List(elements) => serializer.collect_seq(elements),
            Content::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&key.text, node)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(text: &str) -> Vec<&str> {
        let mut spans = Vec::new();
        for document in documents(text).unwrap() {
            document.walk(&mut |node| spans.push(text.get(node.span.clone()).unwrap()));
        }
        spans
    }

    #[test]
    fn nodes_know_their_bytes() {
        for (text, expected) in [
            ("a: é b\nc: 2", &["a", "é b", "2"][..]),
            ("\u{feff}a: 1", &["a", "1"]),
            ("{\"a\": [\"x\", {}]}", &["\"a\"", "[", "\"x\"", "{"]),
            ("a:\n- 1\n- 2\n", &["a", "", "1", "2"]),
            ("a: 'it''s'\r\nb: \"\\n\"", &["a", "'it''s'", "\"\\n\""]),
            ("a: |\n  x\n   y\n\nb: 1", &["a", "x\n   y\n\n", "1"]),
            ("a: &x [1]\nb: *x", &["a", "[", "1", "*x", "*x"]),
            ("a: 1\n---\n# nothing\n---\nb: 2", &["a", "1", "b", "2"]),
        ] {
            assert_eq!(spans(text), expected, "{text}");
        }
    }

    #[test]
    fn paths_lead_to_nodes_or_near_them() {
        let text = "maxAge: 1\nallow_origins:\n  eu.prod: [a, b]\n  eu: [c]\n";
        let document = &documents(text).unwrap()[0];
        for (path, key, value) in [
            ("", None, "maxAge"),
            ("maxAge", Some("maxAge"), "1"),
            ("allow_origins.eu.prod[1]", None, "b"),
            ("allowOrigins.eu[0]", None, "c"),
            ("allowOrigins.eu[7]", None, "["),
            ("allowHeaders", None, "maxAge"),
        ] {
            let (found, node) = document.find(path);
            assert_eq!(found.map(|key| text.get(key.span.clone()).unwrap()), key, "{path}");
            assert_eq!(text.get(node.span.clone()).unwrap(), value, "{path}");
        }
    }

    #[test]
    fn syntax_errors_have_a_place() {
        for (text, at) in [("a: [b\nc: 3: 4", 7), ("é: {", 4), ("a: b: c", 4), ("x: *y", 3)] {
            assert_eq!(documents(text).unwrap_err().at, at, "{text}");
        }
        for (text, at, character) in [
            ("{\"a\": [", 6, "["),
            ("{a}", 1, "a"),
            ("{\"a\": 1,\n \"b\" 2}", 14, "2"),
            ("{\"é\": é}", 7, "é"),
            ("\u{feff}{a}", 4, "a"),
            ("[\"é", 2, "é"),
        ] {
            let error = check_json(text).unwrap_err();
            assert_eq!((error.at, text.get(error.span(text))), (at, Some(character)), "{text}");
        }
        check_json("\u{feff}{}").unwrap();
    }
}
