//! The configuration's text as a tree of values, each of which can be found again in the text.
//!
//! `serde_yaml` loads the values. It tells where something stands only through an error, so a place is looked up by
//! loading the text once more and failing on purpose at the value in question: the same parser gives value and
//! place, and only a file with problems pays for it.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use serde::de;
use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use crate::config::scan;
use crate::config::scan::Refusal;

/// The number of a value or key in the order of the text: a handle to its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At(usize);

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// What may stand in a configuration.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Whole(u64),
    /// Any number that is not a whole one from zero up, as text.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a block and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) at: At,
    pub(crate) key: String,
    pub(crate) node: Node,
}

/// Loads `text`.
pub(crate) fn load(text: &str) -> Result<Node, Refusal> {
    walk(text, None).map_err(|error| scan::explain(text, &error))
}

/// The bytes of `text` that the value numbered `at` begins with: a word, a quoted text or a bracket.
pub(crate) fn locate(text: &str, at: At) -> Option<Range<usize>> {
    let error = walk(text, Some(at)).err()?;
    Some(scan::word_at(text, error.location()?.index()))
}

fn walk(text: &str, stop: Option<At>) -> Result<Node, serde_yaml::Error> {
    let walk = Walk { next: &Cell::new(0), stop, depth: 0 };
    walk.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// Goes through the text, numbering what it meets; fails at `stop`.
struct Walk<'a> {
    next: &'a Cell<usize>,
    stop: Option<At>,
    depth: usize,
}

impl Walk<'_> {
    fn number<E: de::Error>(&self) -> Result<At, E> {
        if self.depth > scan::MAX_DEPTH {
            return Err(E::custom(scan::TOO_DEEP));
        }
        let at = At(self.next.get());
        self.next.set(at.0 + 1);
        if self.stop == Some(at) {
            return Err(E::custom("here"));
        }
        Ok(at)
    }

    fn leaf<E: de::Error>(&self, value: Value) -> Result<Node, E> {
        let at = self.number()?;
        Ok(Node { at, value })
    }

    fn inside(&self) -> Self {
        Self { depth: self.depth + 1, ..*self }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plain value, a list or a block")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.leaf(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.leaf(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.leaf(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.leaf(Value::Whole(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.leaf(Value::Number(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.leaf(Value::Number(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.leaf(Value::Number(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.leaf(Value::Number(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.leaf(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let at = self.number()?;
        let mut list = Vec::new();
        while let Some(node) = access.next_element_seed(self.inside())? {
            list.push(node);
        }
        let value = Value::List(list);
        Ok(Node { at, value })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let at = self.number()?;
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(self.inside())? {
            let node = access.next_value_seed(self.inside())?;
            entries.push(Entry { at: key.at, key: name(key.value)?, node });
        }
        let value = Value::Map(entries);
        Ok(Node { at, value })
    }
}

fn name<E: de::Error>(key: Value) -> Result<String, E> {
    match key {
        Value::Text(text) | Value::Number(text) => Ok(text),
        Value::Null => Ok("null".to_owned()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Whole(value) => Ok(value.to_string()),
        Value::List(_) | Value::Map(_) => Err(E::custom("a list or block stands where a key is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_found_again_in_the_text() {
        // 0 is the block, 1 its first key, 2 that key's value.
        for (text, found) in [
            ("a: word # note\nb: 2", "word"),
            ("é: \"quo: ted\"", "\"quo: ted\""),
            ("a: 'it''s'", "'it''s'"),
            ("a:\n  b: 1\n", "b"),
            ("a: [x, y]", "["),
            ("a:\r\n- x\r\n", "-"),
            ("{a: x, b: y}", "x"),
        ] {
            let place = locate(text, At(2)).and_then(|span| text.get(span));
            assert_eq!(place, Some(found), "{text:?}");
        }
    }

    #[test]
    fn a_number_beyond_the_last_is_nowhere() {
        assert_eq!(locate("a: 1", At(9)), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let mut deep = String::new();
        for level in 0..40 {
            deep.extend([" ".repeat(level).as_str(), "a:\n"]);
        }
        assert!(load(&deep).unwrap_err().text.contains("nested"));
    }
}
