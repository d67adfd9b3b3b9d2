//! The notation of the rows: header fields with their short names, bytes written as characters,
//! repetitions.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Answer, Reply, Request, Source, is_compared};

/// `key: value` and `key: [value, value]`, in the order of the file.
pub struct Fields(Vec<(String, Vec<String>)>);

const SHORT_NAMES: [(&str, &str); 8] = [
    ("acao", "access-control-allow-origin"),
    ("acac", "access-control-allow-credentials"),
    ("acam", "access-control-allow-methods"),
    ("acah", "access-control-allow-headers"),
    ("aceh", "access-control-expose-headers"),
    ("acma", "access-control-max-age"),
    ("acrm", "access-control-request-method"),
    ("acrh", "access-control-request-headers"),
];

/// `yes` and `off` are words here, as in the YAML that people's tools write today.
pub fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}

/// A policy, with the repetitions in it written out.
pub fn expanded<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    let mut value = Option::<Value>::deserialize(from)?;
    value.iter_mut().for_each(expand_all);
    Ok(value)
}

/// A configuration as the filter gets it: a string stands for itself, everything else for its JSON.
pub fn configuration<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match expanded(from)? {
        Some(Value::String(text)) => text,
        other => other.unwrap_or_default().to_string(),
    })
}

fn expand_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = expand(text),
        Value::Array(items) => items.iter_mut().for_each(expand_all),
        Value::Object(fields) => fields.values_mut().for_each(expand_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes `{c*n}` out as n times the character c.
fn expand(text: &str) -> String {
    let Some((before, from_brace)) = text.split_once('{') else { return text.to_owned() };
    let (written_out, rest) = repetition(from_brace).unwrap_or(("{".to_owned(), from_brace));
    before.to_owned() + &written_out + &expand(rest)
}

fn repetition(text: &str) -> Option<(String, &str)> {
    let mut chars = text.chars();
    let repeated = chars.next()?;
    let (times, after) = chars.as_str().strip_prefix('*')?.split_once('}')?;
    Some((repeated.to_string().repeat(times.parse().ok()?), after))
}

/// Each character is one byte, so that a row can hold bytes that are not UTF-8.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let byte = |c| {
        u8::try_from(c)
            .map_err(|_| format!("{c:?} is no byte; write its UTF-8 bytes, one by one, as \\x.."))
    };
    expand(text).chars().map(byte).collect()
}

impl Fields {
    fn take(&mut self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(index) = self.0.iter().position(|(name, _)| name == key) else { return Ok(None) };
        match self.0.remove(index).1.as_slice() {
            [value] => bytes(value).map(Some),
            _ => Err(format!("{key} takes one value")),
        }
    }

    fn take_or(&mut self, key: &str, default: &str) -> Result<Vec<u8>, String> {
        Ok(self.take(key)?.unwrap_or_else(|| default.into()))
    }

    fn take_status(&mut self) -> Result<Option<u16>, String> {
        let number = |it: Vec<u8>| {
            str::from_utf8(&it).ok().and_then(|it| it.parse().ok()).ok_or("status is no number")
        };
        Ok(self.take("status")?.map(number).transpose()?)
    }

    /// What is left are header lines.
    fn into_lines(self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        for (key, values) in self.0 {
            let short = SHORT_NAMES.iter().find(|(short, _)| *short == key);
            let name = short.map_or(key, |(_, full)| (*full).to_owned());
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            {
                return Err(format!(
                    "{name:?} is neither a field of a row nor a header name in lower case"
                ));
            }
            if values.is_empty() || !seen.insert(name.clone()) {
                return Err(format!("{name} without a value or twice"));
            }
            for value in &values {
                lines.push((name.clone(), bytes(value)?));
            }
        }
        Ok(lines)
    }
}

impl TryFrom<Fields> for Request {
    type Error = String;

    fn try_from(mut fields: Fields) -> Result<Self, String> {
        Ok(Self {
            method: fields.take_or("method", "GET")?,
            scheme: fields.take_or("scheme", "http")?,
            authority: fields.take_or("authority", "api.example.com")?,
            path: fields.take_or("path", "/")?,
            body: fields.take_or("body", "")?,
            headers: fields.into_lines()?,
        })
    }
}

impl TryFrom<Fields> for Reply {
    type Error = String;

    fn try_from(mut fields: Fields) -> Result<Self, String> {
        let status = fields.take_status()?.unwrap_or(200);
        Ok(Self { status, headers: fields.into_lines()? })
    }
}

impl TryFrom<Fields> for Answer {
    type Error = String;

    fn try_from(mut fields: Fields) -> Result<Self, String> {
        let status = fields.take_status()?.ok_or("get without a status")?;
        let from = match fields.take("from")?.as_deref() {
            Some(b"upstream") => Source::Upstream,
            Some(b"filter") => Source::Filter,
            Some(b"envoy") => Source::Envoy,
            _ => return Err("get needs from: upstream, filter or envoy".into()),
        };
        let lines = fields.into_lines()?;
        if let Some((name, _)) = lines.iter().find(|(name, _)| !is_compared(name)) {
            return Err(format!("{name} is not compared: only access-control-* and vary are"));
        }
        Ok(Self::new(
            status,
            from,
            lines.iter().map(|(name, value)| (name.as_str(), value.as_slice())),
        ))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("header names and values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = Vec::new();
                while let Some((key, Lines(lines))) = map.next_entry()? {
                    fields.push((key, lines));
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(InOrder)
    }
}

/// The value of one field: a text or a list of texts.
struct Lines(Vec<String>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string in quotes, a whole number, true, false, or a list of strings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Lines, E> {
                Ok(Lines(vec![text.to_owned()]))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Lines, E> {
                Ok(Lines(vec![flag.to_string()]))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Lines, E> {
                Ok(Lines(vec![number.to_string()]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Lines, E> {
                Ok(Lines(vec![number.to_string()]))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Lines, S::Error> {
                let mut lines = Vec::new();
                while let Some(line) = items.next_element()? {
                    lines.push(line);
                }
                Ok(Lines(lines))
            }
        }

        from.deserialize_any(OneOrMore)
    }
}
