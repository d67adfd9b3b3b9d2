//! One line of an access log.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What a line says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Time,
    Method,
    Host,
    Path,
    Origin,
    RequestMethod,
    RequestHeaders,
    Scheme,
    FetchSite,
    Details,
    Denied,
}

const FIELDS: usize = 11;

impl Field {
    const ALL: [(&'static str, Self); FIELDS] = [
        ("time", Self::Time),
        ("method", Self::Method),
        ("host", Self::Host),
        ("path", Self::Path),
        ("origin", Self::Origin),
        ("request_method", Self::RequestMethod),
        ("request_headers", Self::RequestHeaders),
        ("scheme", Self::Scheme),
        ("sec_fetch_site", Self::FetchSite),
        ("details", Self::Details),
        ("denied", Self::Denied),
    ];
}

/// The keys that fields have in the log.
pub struct Keys {
    /// By [`Field`].
    names: [String; FIELDS],
    /// Those that were given, and that no line had yet: what was given, and the
    /// place of its field.
    unseen: Vec<(String, usize)>,
}

impl Keys {
    /// The keys of `envoy/envoy.yaml`, but for those that are given as
    /// `field=key`.
    ///
    /// # Errors
    ///
    /// What is wrong with the first one that names no field, or with the first
    /// key that two fields have.
    pub fn new(given: &[String]) -> Result<Self, String> {
        let mut names = Field::ALL.map(|(name, _)| name.to_owned());
        let mut unseen = Vec::new();
        for text in given {
            let named = text.split_once('=').filter(|(_, key)| !key.is_empty());
            let known = |name| Field::ALL.iter().position(|(field, _)| *field == name);
            let place = named.and_then(|(name, key)| Some((known(name)?, key)));
            let Some((index, key)) = place else {
                let names = Field::ALL.map(|(name, _)| name).join(", ");
                return Err(format!("--field {text}: write FIELD=KEY with a FIELD of {names}"));
            };
            if let Some(name) = names.get_mut(index) {
                key.clone_into(name);
            }
            unseen.push((text.clone(), index));
        }
        let fields = || Field::ALL.iter().zip(&names);
        for (index, ((field, _), key)) in fields().enumerate() {
            if let Some(((other, _), _)) = fields().skip(index + 1).find(|(_, other)| *other == key)
            {
                return Err(format!("--field: {field} and {other} cannot both have the key {key}"));
            }
        }
        Ok(Self { names, unseen })
    }

    /// Remembers which keys a line has.
    pub fn see(&mut self, record: &Record<'_>) {
        if !self.unseen.is_empty() {
            self.unseen.retain(|(_, index)| !record.has.get(*index).is_some_and(|has| *has));
        }
    }

    /// What is said of keys that were given, and that no line has.
    pub fn unseen(&self) -> impl Iterator<Item = String> {
        self.unseen.iter().map(|(given, _)| format!("--field {given}: no line has this key"))
    }

    fn find(&self, key: &str) -> Option<usize> {
        self.names.iter().position(|known| known == key)
    }
}

/// The fields of a line. They borrow from it unless they have escapes.
#[derive(Default)]
pub struct Record<'l> {
    values: [Option<Cow<'l, str>>; FIELDS],
    /// Whether the line has the key, with a value or without.
    has: [bool; FIELDS],
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No JSON object: a line of Envoy's own log.
    Other,
    /// The start of one, or one without a method.
    Broken,
}

impl<'l> Record<'l> {
    /// Reads a line. What stands before its first brace is skipped, as
    /// containers' logs put a time and a stream there.
    pub fn parse(line: &'l str, keys: &Keys) -> Result<Self, Unreadable> {
        let start = memchr::memchr(b'{', line.as_bytes()).ok_or(Unreadable::Other)?;
        let json = line.get(start..).unwrap_or_default();
        let mut reader = serde_json::Deserializer::from_str(json);
        let read = reader.deserialize_map(Object(keys)).and_then(|read| {
            reader.end()?;
            Ok(read)
        });
        match read {
            Ok(record) if record.get(Field::Method).is_some() => Ok(record),
            // A message that happens to have a brace in it.
            Err(_) if start > 0 => Err(Unreadable::Other),
            _ if start > 0 => Err(Unreadable::Other),
            _ => Err(Unreadable::Broken),
        }
    }

    /// The value of a field. Loggers write an empty one as `-`, too.
    pub fn get(&self, field: Field) -> Option<&str> {
        let value = self.values.get(field as usize)?.as_deref()?;
        Some(value).filter(|value| !matches!(*value, "" | "-"))
    }

    /// Whether the log has such a field at all.
    pub fn has(&self, field: Field) -> bool {
        self.has.get(field as usize).is_some_and(|has| *has)
    }
}

struct Object<'k>(&'k Keys);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
        let mut record = Record::default();
        while let Some(index) = map.next_key_seed(Key(self.0))? {
            let place = index.and_then(|index| {
                let has = record.has.get_mut(index)?;
                *has = true;
                record.values.get_mut(index)
            });
            match place {
                Some(place) => *place = map.next_value_seed(Text)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(record)
    }
}

/// The index of a field, by its key.
struct Key<'k>(&'k Keys);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(key))
    }
}

/// A value that is a string or, as times may be, a number.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, keys: &[&str]) -> Result<[Option<String>; 3], Unreadable> {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        let record = Record::parse(line, &Keys::new(&keys).unwrap())?;
        let get = |field| record.get(field).map(str::to_owned);
        Ok([get(Field::Time), get(Field::Method), get(Field::Origin)])
    }

    #[test]
    fn lines_and_what_they_say() {
        let some = |time: &str, method: &str, origin: &str| {
            Ok([time, method, origin].map(|text| Some(text.to_owned()).filter(|t| !t.is_empty())))
        };
        let broken = Err(Unreadable::Broken);
        let other = Err(Unreadable::Other);
        for (line, expected) in [
            (r#"{"time":"t","method":"GET","origin":"https://a"}"#, some("t", "GET", "https://a")),
            (r#"{"method":"GET","origin":null,"x":{"origin":[1]}}"#, some("", "GET", "")),
            (r#"{"method":"GET","origin":"-","time":17.5}"#, some("17.5", "GET", "")),
            (r#"{"method":"GET","origin":["https://a"],"time":17}"#, some("17", "GET", "")),
            (
                r#"{"method":"GET","origin":"\u001b[31m\ud83d\ude00"}"#,
                some("", "GET", "\x1b[31m😀"),
            ),
            (r#"2026-01-01T00:00:00Z stdout F {"method":"GET"}"#, some("", "GET", "")),
            (
                "[2026-01-01 00:00:00.000][12][info][main] all dependencies initialized",
                other.clone(),
            ),
            (r#"[warning][wasm] wasm log: {"envoy_cors":"denied","total":1}"#, other.clone()),
            ("", other.clone()),
            (r#"{"method":"GET","origin":"https://a"#, broken.clone()),
            (r#"{"method":"GET"} {"method":"GET"}"#, broken.clone()),
            (r#"{"envoy_cors":"denied","total":1}"#, broken.clone()),
            (r#"{"method":"GET","origin":"\ud83d"}"#, broken.clone()),
        ] {
            assert_eq!(read(line, &[]), expected, "{line}");
        }
        let line =
            r#"{"@timestamp":"t","verb":"GET","http_origin":"https://a","origin":"https://b"}"#;
        let keys = ["time=@timestamp", "method=verb", "origin=http_origin"];
        assert_eq!(read(line, &keys), some("t", "GET", "https://a"));
    }

    #[test]
    fn fields_that_share_a_key() {
        for (given, complaint) in [
            (&["origin=host"][..], "--field: host and origin cannot both have the key host"),
            (&["time=a", "path=a"], "--field: time and path cannot both have the key a"),
            (&["time=path", "path=time"], ""),
        ] {
            let given: Vec<_> = given.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(Keys::new(&given).err().unwrap_or_default(), complaint);
        }
    }

    #[test]
    fn fields_that_are_none() {
        for given in ["origin", "origin=", "orign=x", "=x"] {
            let complaint = Keys::new(&[given.to_owned()]).err().unwrap();
            assert!(complaint.starts_with(&format!("--field {given}: write FIELD=KEY")));
        }
    }
}
