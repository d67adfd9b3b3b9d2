//! The configuration as it was written: JSON (or, for `lint`, YAML) read into
//! fields of the right type. What the values mean is [`crate::policy`]'s to say.
//!
//! Nothing here stops at the first mistake: a field that cannot be read is
//! reported and left at its default, so that the rest is checked as well.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::{Diagnostic, Diagnostics, Problem};

/// Whether a policy acts (`enforce`) or only decides (`shadow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Answers preflights and owns the response headers.
    #[default]
    Enforce,
    /// Touches nothing.
    Shadow,
}

/// What becomes of an actual request from an origin that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisallowedRequests {
    /// It goes upstream, and its response is stripped.
    #[default]
    Forward,
    /// It is refused with 403 before upstream sees it.
    Reject,
}

/// What becomes of a preflight from an origin that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmatchedPreflights {
    /// It is refused with 403.
    #[default]
    Reject,
    /// It is upstream's to answer.
    Forward,
}

/// Who owns ACAO, ACAC and ACEH on responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamHeaders {
    /// The filter: upstream's are replaced or removed.
    #[default]
    Replace,
    /// Upstream, on a response that already has ACAO.
    Keep,
}

/// A whole configuration.
#[derive(Debug, Default)]
pub struct Config<'t> {
    /// `environment`
    pub environment: Option<Text>,
    /// `policies`
    pub policies: Vec<PolicyConfig<'t>>,
    /// The policy fields at the top level, unless there is none beside `policies`.
    pub default: Option<PolicyConfig<'t>>,
}

/// The fields of one policy.
#[derive(Debug, Default)]
pub struct PolicyConfig<'t> {
    /// Its place: `policies[0]`, or nothing for the top level.
    pub at: String,
    /// `name`
    pub name: Option<Text>,
    /// `match`
    pub scope: Option<ScopeConfig<'t>>,
    /// `allowOrigins`
    pub allow_origins: Option<OriginsConfig<'t>>,
    /// `allowMethods`
    pub allow_methods: List<'t>,
    /// `allowHeaders`
    pub allow_headers: List<'t>,
    /// `exposeHeaders`
    pub expose_headers: List<'t>,
    /// `maxAge`, in seconds
    pub max_age: Option<u32>,
    /// `allowCredentials`
    pub allow_credentials: bool,
    /// `mode`
    pub mode: Mode,
    /// `disallowedRequests`
    pub disallowed_requests: DisallowedRequests,
    /// `unmatchedPreflights`
    pub unmatched_preflights: UnmatchedPreflights,
    /// `upstreamHeaders`
    pub upstream_headers: UpstreamHeaders,
    /// `dangerouslyAllowInsecureOrigins`
    pub dangerously_allow_insecure_origins: bool,
    /// `dangerouslyAllowPublicSuffixes`
    pub dangerously_allow_public_suffixes: bool,
}

/// `match`: the requests that a named policy is for.
#[derive(Debug, Default)]
pub struct ScopeConfig<'t> {
    /// Its place.
    pub at: String,
    /// `hosts`
    pub hosts: Option<List<'t>>,
    /// `pathPrefixes`
    pub path_prefixes: Option<List<'t>>,
}

/// `allowOrigins`, in either of its forms.
#[derive(Debug)]
pub enum OriginsConfig<'t> {
    /// One list for every environment.
    Same(List<'t>),
    /// A list an environment.
    PerEnvironment {
        /// Its place.
        at: String,
        /// Environments by name, in the order they were written.
        lists: Vec<(String, List<'t>)>,
    },
}

/// A text and its place.
#[derive(Debug)]
pub struct Text {
    /// The path of the field.
    pub at: String,
    /// What it says.
    pub text: String,
}

/// A list of texts and its place.
#[derive(Debug, Default)]
pub struct List<'t> {
    /// The path of the field.
    pub at: String,
    /// The texts with their index in the list: elements of another type were
    /// reported and left out. They borrow from the configuration: a list may
    /// have a hundred thousand.
    pub items: Vec<(usize, Cow<'t, str>)>,
}

impl List<'_> {
    /// The path of the element that stands at `index`.
    #[must_use]
    pub fn path(&self, index: usize) -> String {
        format!("{}[{index}]", self.at)
    }
}

/// Longest time that a browser may be asked to cache a preflight for, in
/// seconds: no browser goes beyond a day.
pub const MAX_MAX_AGE: u32 = 86_400;

impl<'t> Config<'t> {
    /// Reads the bytes that Envoy hands over.
    ///
    /// Problems are added to `problems`. `None` means that the text cannot be
    /// read as JSON at all.
    #[must_use]
    pub fn from_json(bytes: &'t [u8], problems: &mut Diagnostics) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            problems.push(Diagnostic::new("", Problem::Empty));
            return None;
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::from_value(value, problems),
            Err(_) if is_struct(bytes) => {
                problems.push(Diagnostic::new("", Problem::StructBytes));
                None
            }
            Err(error) => {
                problems.push(Diagnostic::new("", Problem::NotJson(error.to_string())));
                None
            }
        }
    }

    /// Reads a tree that was parsed from JSON or YAML.
    #[must_use]
    pub fn from_value(value: Value<'t>, problems: &mut Diagnostics) -> Option<Self> {
        if value == Value::Null {
            problems.push(Diagnostic::new("", Problem::Empty));
            return None;
        }
        let mut fields = Fields::of(String::new(), value, problems)?;
        let environment = fields.text("environment");
        let policies = fields.take("policies").map(|(at, value)| {
            let policies = fields.elements(&at, value);
            if policies.as_ref().is_some_and(Vec::is_empty) {
                fields.report(&at, Problem::EmptyPolicies);
            }
            policies.unwrap_or_default()
        });
        let is_default = policies.is_none() || fields.any_of(&POLICY_FIELDS);
        let default = PolicyConfig::from_fields(&mut fields);
        fields.finish("the top level", &[&["environment", "policies"], &POLICY_FIELDS]);
        Some(Self {
            environment,
            policies: policies
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(at, value)| PolicyConfig::named(at, value, problems))
                .collect(),
            default: is_default.then_some(default),
        })
    }
}

/// The fields that every policy may have.
const POLICY_FIELDS: [&str; 12] = [
    "allowOrigins",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
    "allowCredentials",
    "mode",
    "disallowedRequests",
    "unmatchedPreflights",
    "upstreamHeaders",
    "dangerouslyAllowInsecureOrigins",
    "dangerouslyAllowPublicSuffixes",
];

impl<'t> PolicyConfig<'t> {
    fn named(at: String, value: Value<'t>, problems: &mut Diagnostics) -> Option<Self> {
        let mut fields = Fields::of(at, value, problems)?;
        let name = fields.text("name");
        let scope = fields.take("match");
        let policy = Self { name, ..Self::from_fields(&mut fields) };
        fields.finish("a policy", &[&["name", "match"], &POLICY_FIELDS]);
        let scope = scope.map(|(at, value)| ScopeConfig::from_value(at, value, problems));
        Some(Self { scope, ..policy })
    }

    fn from_fields(fields: &mut Fields<'_, 't>) -> Self {
        Self {
            at: fields.at.clone(),
            name: None,
            scope: None,
            allow_origins: fields.origins("allowOrigins"),
            allow_methods: fields.list("allowMethods").unwrap_or_default(),
            allow_headers: fields.list("allowHeaders").unwrap_or_default(),
            expose_headers: fields.list("exposeHeaders").unwrap_or_default(),
            max_age: fields.max_age("maxAge"),
            allow_credentials: fields.flag("allowCredentials"),
            mode: fields.one_of("mode", &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)]),
            disallowed_requests: fields.one_of(
                "disallowedRequests",
                &[("forward", DisallowedRequests::Forward), ("reject", DisallowedRequests::Reject)],
            ),
            unmatched_preflights: fields.one_of(
                "unmatchedPreflights",
                &[
                    ("reject", UnmatchedPreflights::Reject),
                    ("forward", UnmatchedPreflights::Forward),
                ],
            ),
            upstream_headers: fields.one_of(
                "upstreamHeaders",
                &[("replace", UpstreamHeaders::Replace), ("keep", UpstreamHeaders::Keep)],
            ),
            dangerously_allow_insecure_origins: fields.flag("dangerouslyAllowInsecureOrigins"),
            dangerously_allow_public_suffixes: fields.flag("dangerouslyAllowPublicSuffixes"),
        }
    }
}

impl<'t> ScopeConfig<'t> {
    fn from_value(at: String, value: Value<'t>, problems: &mut Diagnostics) -> Self {
        let Some(mut fields) = Fields::of(at.clone(), value, problems) else {
            return Self { at, ..Self::default() };
        };
        let hosts = fields.list("hosts");
        let path_prefixes = fields.list("pathPrefixes");
        fields.finish("match", &[&["hosts", "pathPrefixes"]]);
        Self { at, hosts, path_prefixes }
    }
}

/// What a JSON or YAML text says, with every key of an object, given twice or
/// not: the usual map types would drop all but one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'t> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number; JSON has one kind of them.
    Number(f64),
    /// A string.
    String(Cow<'t, str>),
    /// An array.
    List(Vec<Value<'t>>),
    /// An object.
    Map(Vec<(String, Value<'t>)>),
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

// Beyond 2^53 a number is rounded, and out of every range that is asked for.
#[allow(clippy::cast_precision_loss)]
impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number as f64)
    }
}

#[allow(clippy::cast_precision_loss)]
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Value<'de>, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
                Ok(Value::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
                Ok(Value::String(Cow::Owned(value.to_owned())))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::String(Cow::Borrowed(value)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Value::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Value::Map(entries))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

/// The fields of one object, taken one by one; what is left is unknown.
struct Fields<'p, 't> {
    at: String,
    entries: Vec<(String, Value<'t>)>,
    problems: &'p mut Diagnostics,
}

impl<'p, 't> Fields<'p, 't> {
    fn of(at: String, value: Value<'t>, problems: &'p mut Diagnostics) -> Option<Self> {
        match value {
            Value::Map(entries) => Some(Self { at, entries, problems }),
            other => {
                let problem = Problem::WrongType { expected: "an object", found: other.kind() };
                problems.push(Diagnostic::new(&at, problem));
                None
            }
        }
    }

    fn report(&mut self, at: &str, problem: Problem) {
        self.problems.push(Diagnostic::new(at, problem));
    }

    fn wrong_type<T>(&mut self, at: &str, expected: &'static str, found: &Value<'_>) -> Option<T> {
        self.report(at, Problem::WrongType { expected, found: found.kind() });
        None
    }

    fn path(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    fn any_of(&self, names: &[&str]) -> bool {
        self.entries.iter().any(|(key, _)| names.iter().any(|name| spells(key, name)))
    }

    /// The value of a field in either spelling, with the path as written.
    fn take(&mut self, name: &'static str) -> Option<(String, Value<'t>)> {
        let mut taken = self.entries.extract_if(.., |(key, _)| spells(key, name));
        let (first, value) = taken.next()?;
        let again: Vec<String> = taken.map(|(key, _)| key).collect();
        for key in again {
            self.report(&self.path(&key), Problem::FieldTwice { first: first.clone() });
        }
        Some((self.path(&first), value))
    }

    /// Reports what was not taken.
    fn finish(self, place: &'static str, known: &[&[&'static str]]) {
        for (key, _) in &self.entries {
            let known = || known.iter().copied().flatten().copied();
            let problem = Problem::UnknownField {
                name: key.clone(),
                place,
                resembles: known()
                    .filter_map(|name| Some((unlikeness(key, name)?, name)))
                    .min()
                    .map(|(_, name)| name),
                known: known().collect(),
            };
            self.problems.push(Diagnostic::new(&self.path(key), problem));
        }
    }

    fn text(&mut self, name: &'static str) -> Option<Text> {
        let (at, value) = self.take(name)?;
        match value {
            Value::String(text) => Some(Text { at, text: text.into_owned() }),
            other => self.wrong_type(&at, "a string", &other),
        }
    }

    fn flag(&mut self, name: &'static str) -> bool {
        let Some((at, value)) = self.take(name) else { return false };
        match value {
            Value::Bool(flag) => flag,
            other => self.wrong_type(&at, "true or false", &other).unwrap_or_default(),
        }
    }

    fn one_of<T: Copy + Default>(&mut self, name: &'static str, values: &[(&'static str, T)]) -> T {
        let Some(Text { at, text }) = self.text(name) else { return T::default() };
        if let Some((_, value)) = values.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let words = values.iter().map(|(word, _)| *word).collect();
        self.problems.push(Diagnostic::about(&at, &text, Problem::NotOneOf(words)));
        T::default()
    }

    fn elements(&mut self, at: &str, value: Value<'t>) -> Option<Vec<(String, Value<'t>)>> {
        match value {
            Value::List(values) => Some(
                values.into_iter().enumerate().map(|(i, v)| (format!("{at}[{i}]"), v)).collect(),
            ),
            other => self.wrong_type(at, "a list", &other),
        }
    }

    fn list(&mut self, name: &'static str) -> Option<List<'t>> {
        let (at, value) = self.take(name)?;
        Some(self.texts(at, value, "a list of strings"))
    }

    fn texts(&mut self, at: String, value: Value<'t>, expected: &'static str) -> List<'t> {
        let Value::List(values) = value else {
            self.wrong_type::<()>(&at, expected, &value);
            return List { at, items: Vec::new() };
        };
        let mut text = |(index, value)| match value {
            Value::String(text) => Some((index, text)),
            other => {
                let problem = Problem::WrongType { expected: "a string", found: other.kind() };
                self.report(&format!("{at}[{index}]"), problem);
                None
            }
        };
        let items = values.into_iter().enumerate().filter_map(&mut text).collect();
        List { at, items }
    }

    fn origins(&mut self, name: &'static str) -> Option<OriginsConfig<'t>> {
        let (at, value) = self.take(name)?;
        let Value::Map(entries) = value else {
            let expected = "a list of strings, or an object with a list for each environment";
            return Some(OriginsConfig::Same(self.texts(at, value, expected)));
        };
        let mut lists: Vec<(String, List<'t>)> = Vec::new();
        for (name, value) in entries {
            let path = format!("{at}.{name}");
            if lists.iter().any(|(known, _)| *known == name) {
                self.report(&path, Problem::FieldTwice { first: name });
                continue;
            }
            let list = self.texts(path, value, "a list of strings");
            lists.push((name, list));
        }
        Some(OriginsConfig::PerEnvironment { at, lists })
    }

    fn max_age(&mut self, name: &'static str) -> Option<u32> {
        let (at, value) = self.take(name)?;
        let (written, seconds) = match value {
            Value::Number(number) => (written(number), whole_seconds(number)),
            Value::String(text) => {
                let seconds = duration(&text);
                (Some(text.into_owned()), seconds)
            }
            other => return self.wrong_type(&at, "seconds or a duration", &other),
        };
        let problem = match seconds {
            Some(seconds) if seconds <= u64::from(MAX_MAX_AGE) => {
                return u32::try_from(seconds).ok();
            }
            Some(_) => Problem::MaxAgeTooLarge,
            None => Problem::MaxAge,
        };
        self.problems.push(Diagnostic { value: written, ..Diagnostic::new(&at, problem) });
        None
    }
}

/// A whole number as it was written. All others would bring the 20 KiB of code
/// that print floating-point numbers into the module.
#[allow(clippy::cast_possible_truncation)]
fn written(number: f64) -> Option<String> {
    (number.fract() == 0.0 && number.abs() < 1e15).then(|| (number as i64).to_string())
}

/// Istio hands numbers over as JSON doubles, so that `600.0` is a whole number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole_seconds(number: f64) -> Option<u64> {
    // The cast saturates, and everything above a day is refused afterwards.
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}

/// A [Gateway API duration](https://gateway-api.sigs.k8s.io/geps/gep-2257/) in
/// whole seconds: one to four numbers of up to five digits, each with its unit.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut milliseconds = 0;
    for _ in 0..4 {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|n| (1..=5).contains(n))?;
        let (number, after) = rest.split_at_checked(digits)?;
        let (unit, after) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
            .into_iter()
            .find_map(|(name, unit)| Some((unit, after.strip_prefix(name)?)))?;
        milliseconds += number.parse::<u64>().ok()? * unit;
        rest = after;
        if rest.is_empty() {
            return (milliseconds % 1_000 == 0).then_some(milliseconds / 1_000);
        }
    }
    None
}

/// Whether `key` is `name`, in camelCase or, as protobuf's JSON allows, in
/// `snake_case`.
fn spells(key: &str, name: &str) -> bool {
    key == name || key == snake_case(name)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// How far `key` is from `name`, if someone who wrote the one may have meant
/// the other: the one is part of the other, or at most three letters differ.
fn unlikeness(key: &str, name: &str) -> Option<usize> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (key, name) = (plain(key), plain(name));
    // Longer keys resemble nothing, and cost nothing.
    if !(4..=64).contains(&key.len()) {
        return None;
    }
    let distance = distance(&key, &name);
    (distance <= 3 || name.contains(&key) || key.contains(&name)).then_some(distance)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            left = (diagonal + usize::from(x != y)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Whether the bytes look like a binary `google.protobuf.Struct`: field 1, a
/// map entry, whose own field 1 is the key.
fn is_struct(bytes: &[u8]) -> bool {
    let Some(length) = bytes.strip_prefix(b"\x0a") else { return false };
    let varint = length.iter().take_while(|b| **b >= 0x80).count() + 1;
    length.get(varint) == Some(&0x0a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("0s", 0),
            ("7200s", 7200),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1h1m1s", 3661),
            ("1500ms500ms", 2),
            ("99999h", 359_996_400),
        ] {
            assert_eq!(duration(text), Some(seconds), "{text}");
        }
        for text in
            ["", "7200", "2 h", "h", "1.5h", "-2h", "2H", "1500ms", "100000s", "1s1s1s1s1s", "2d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, n) in
            [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn a_struct_is_told_from_json_that_begins_with_a_line_feed() {
        // {"a": "b"} as protobuf writes it.
        assert!(is_struct(b"\x0a\x08\x0a\x01a\x12\x03\x1a\x01b"));
        let long = [&b"\x0a\x86\x02\x0a\x80\x02"[..], &[b'a'; 256], b"\x12\x00"].concat();
        assert!(is_struct(&long));
        assert!(!is_struct(b"\n{\"allowOrigins\": "));
        assert!(!is_struct(b"{"));
        assert!(!is_struct(b""));
    }
}
