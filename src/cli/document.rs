//! A configuration file as text: its values, and where each of them stands.

use std::collections::HashMap;
use std::fmt;

use envoy_cors::config::{Config, Value, element_path, field_path};
use envoy_cors::diagnostic::Diagnostics;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// Line and column of each value, by the path of its field.
#[derive(Default)]
pub struct Places(HashMap<String, (u64, u64)>);

impl Places {
    /// Line and column of a field, or of the nearest one that it stands in.
    pub fn of(&self, path: &str) -> Option<(u64, u64)> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(*place);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }
}

/// Reads a file the way the filter reads its bytes.
pub fn read_json<'t>(text: &'t [u8], problems: &mut Diagnostics) -> (Option<Config<'t>>, Places) {
    let config = Config::from_json(text, problems);
    // Nearly all JSON is YAML too; where it is not, lines are not known.
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::FirstWins };
    let tree = std::str::from_utf8(text)
        .ok()
        .and_then(|text| serde_saphyr::from_str_with_options(text, options).ok());
    (config, tree.map(|tree| split(tree).1).unwrap_or_default())
}

/// Reads a file in which a user keeps the configuration for the filter.
///
/// # Errors
///
/// The parser's own words where the text is not YAML.
pub fn read_yaml(
    text: &[u8],
    problems: &mut Diagnostics,
) -> Result<(Option<Config<'static>>, Places), String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    // `yes` and `no` are words, as in YAML 1.2 and in JSON.
    let options = serde_saphyr::options! { strict_booleans: true };
    let tree = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.without_snippet().to_string())?;
    let (value, places) = split(tree);
    Ok((Config::from_value(value, problems), places))
}

/// A [`Value`] with a place at every node.
enum Tree {
    Leaf(Value<'static>),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

fn split(tree: Spanned<Tree>) -> (Value<'static>, Places) {
    let mut places = Places::default();
    let value = places.take(String::new(), tree);
    (value, places)
}

impl Places {
    /// Notes the places of a tree that stands at `path`, and strips them.
    fn take(&mut self, path: String, tree: Spanned<Tree>) -> Value<'static> {
        let place = (tree.referenced.line(), tree.referenced.column());
        let value = match tree.value {
            Tree::Leaf(value) => value,
            Tree::List(items) => Value::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| self.take(element_path(&path, index), item))
                    .collect(),
            ),
            Tree::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, item)| {
                        let value = self.take(field_path(&path, &key.value), item);
                        (key.value, value)
                    })
                    .collect(),
            ),
        };
        self.0.insert(path, place);
        value
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyTree;

        impl<'de> Visitor<'de> for AnyTree {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::Bool(value)))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::from(value)))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::from(value)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::Number(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf(Value::String(value.to_owned().into())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Tree::Map(entries))
            }
        }

        deserializer.deserialize_any(AnyTree)
    }
}
