//! Reading an object field by field, with a problem for each that cannot be
//! read, and for each that is left.

use super::{List, MAX_MAX_AGE, OriginsConfig, Text, Value, element_path, field_path};
use crate::diagnostic::{Diagnostic, Diagnostics, Problem};

/// The fields of one object, taken one by one; what is left is unknown.
pub(super) struct Fields<'p, 't> {
    pub(super) at: String,
    entries: Vec<(String, Value<'t>)>,
    problems: &'p mut Diagnostics,
}

impl<'p, 't> Fields<'p, 't> {
    pub(super) fn of(at: String, value: Value<'t>, problems: &'p mut Diagnostics) -> Option<Self> {
        match value {
            Value::Map(entries) => Some(Self { at, entries, problems }),
            other => {
                let problem = Problem::WrongType { expected: "an object", found: other.kind() };
                problems.push(Diagnostic::new(&at, problem));
                None
            }
        }
    }

    pub(super) fn report(&mut self, at: &str, problem: Problem) {
        self.problems.push(Diagnostic::new(at, problem));
    }

    fn wrong_type<T>(&mut self, at: &str, expected: &'static str, found: &Value<'_>) -> Option<T> {
        self.report(at, Problem::WrongType { expected, found: found.kind() });
        None
    }

    fn path(&self, key: &str) -> String {
        field_path(&self.at, key)
    }

    pub(super) fn any_of(&self, names: &[&str]) -> bool {
        self.entries.iter().any(|(key, _)| names.iter().any(|name| spells(key, name)))
    }

    /// The value of a field in either spelling, with the path as written.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(String, Value<'t>)> {
        let mut taken = self.entries.extract_if(.., |(key, _)| spells(key, name));
        let (first, value) = taken.next()?;
        let again: Vec<String> = taken.map(|(key, _)| key).collect();
        for key in again {
            self.report(&self.path(&key), Problem::FieldTwice { first: first.clone() });
        }
        Some((self.path(&first), value))
    }

    /// Reports what was not taken.
    pub(super) fn finish(self, place: &'static str, known: &[&[&'static str]]) {
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

    pub(super) fn text(&mut self, name: &'static str) -> Option<Text> {
        let (at, value) = self.take(name)?;
        match value {
            Value::String(text) => Some(Text { at, text: text.into_owned() }),
            other => self.wrong_type(&at, "a string", &other),
        }
    }

    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        let Some((at, value)) = self.take(name) else { return false };
        match value {
            Value::Bool(flag) => flag,
            other => self.wrong_type(&at, "true or false", &other).unwrap_or_default(),
        }
    }

    pub(super) fn one_of<T: Copy + Default>(
        &mut self,
        name: &'static str,
        values: &[(&'static str, T)],
    ) -> T {
        let Some(Text { at, text }) = self.text(name) else { return T::default() };
        if let Some((_, value)) = values.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let words = values.iter().map(|(word, _)| *word).collect();
        self.problems.push(Diagnostic::about(&at, &text, Problem::NotOneOf(words)));
        T::default()
    }

    pub(super) fn elements(
        &mut self,
        at: &str,
        value: Value<'t>,
    ) -> Option<Vec<(String, Value<'t>)>> {
        match value {
            Value::List(values) => Some(
                values.into_iter().enumerate().map(|(i, v)| (element_path(at, i), v)).collect(),
            ),
            other => self.wrong_type(at, "a list", &other),
        }
    }

    pub(super) fn list(&mut self, name: &'static str) -> Option<List<'t>> {
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
                self.report(&element_path(&at, index), problem);
                None
            }
        };
        let items = values.into_iter().enumerate().filter_map(&mut text).collect();
        List { at, items }
    }

    pub(super) fn origins(&mut self, name: &'static str) -> Option<OriginsConfig<'t>> {
        let (at, value) = self.take(name)?;
        let Value::Map(entries) = value else {
            let expected = "a list of strings, or an object with a list for each environment";
            return Some(OriginsConfig::Same(self.texts(at, value, expected)));
        };
        let mut lists: Vec<(String, List<'t>)> = Vec::new();
        for (name, value) in entries {
            let path = field_path(&at, &name);
            if lists.iter().any(|(known, _)| *known == name) {
                self.report(&path, Problem::FieldTwice { first: name });
                continue;
            }
            let list = self.texts(path, value, "a list of strings");
            lists.push((name, list));
        }
        Some(OriginsConfig::PerEnvironment { at, lists })
    }

    pub(super) fn max_age(&mut self, name: &'static str) -> Option<u32> {
        let Time { at, written, milliseconds } = self.time(name)?;
        let problem = match milliseconds.filter(|time| time % 1_000 == 0).map(|time| time / 1_000) {
            Some(seconds) if seconds <= u64::from(MAX_MAX_AGE) => {
                return u32::try_from(seconds).ok();
            }
            Some(_) => Problem::MaxAgeTooLarge,
            None => Problem::MaxAge,
        };
        self.problems.push(Diagnostic { value: written, ..Diagnostic::new(&at, problem) });
        None
    }

    /// A time in `range`, in milliseconds.
    pub(super) fn interval(
        &mut self,
        name: &'static str,
        range: impl Fn(u32) -> bool,
        problem: Problem,
    ) -> Option<u32> {
        let Time { at, written, milliseconds } = self.time(name)?;
        let interval = milliseconds.and_then(|time| u32::try_from(time).ok()).filter(|t| range(*t));
        if interval.is_none() {
            self.problems.push(Diagnostic { value: written, ..Diagnostic::new(&at, problem) });
        }
        interval
    }

    fn time(&mut self, name: &'static str) -> Option<Time> {
        let (at, value) = self.take(name)?;
        let (written, milliseconds) = match value {
            Value::Number(number) => (written(number), whole_seconds(number).map(|s| s * 1_000)),
            Value::String(text) => {
                let milliseconds = duration(&text);
                (Some(text.into_owned()), milliseconds)
            }
            other => return self.wrong_type(&at, "seconds or a duration", &other),
        };
        Some(Time { at, written, milliseconds })
    }
}

/// Seconds or a duration, where it stands, and what it says.
struct Time {
    at: String,
    written: Option<String>,
    /// `None` if it is neither.
    milliseconds: Option<u64>,
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
    // Everything above a day is refused afterwards.
    (number >= 0.0 && number.fract() == 0.0).then_some(number.min(1e12) as u64)
}

/// A [Gateway API duration](https://gateway-api.sigs.k8s.io/geps/gep-2257/) in
/// milliseconds: one to four numbers of up to five digits, each with its unit.
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
            return Some(milliseconds);
        }
    }
    None
}

/// Whether `key` is `name`, in camelCase or, as protobuf's JSON allows, in
/// `snake_case`.
fn spells(key: &str, name: &str) -> bool {
    key == name || key == snake_case(name)
}

/// The other spelling of a field's name: `maxAge` gives `max_age`.
#[must_use]
pub fn snake_case(name: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("7200s", 7_200_000),
            ("2h", 7_200_000),
            ("1h30m", 5_400_000),
            ("1h1m1s1ms", 3_661_001),
            ("1500ms500ms", 2_000),
            ("99999h", 359_996_400_000),
        ] {
            assert_eq!(duration(text), Some(milliseconds), "{text}");
        }
        for text in ["", "7200", "2 h", "h", "1.5h", "-2h", "2H", "100000s", "1s1s1s1s1s", "2d"] {
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
}
