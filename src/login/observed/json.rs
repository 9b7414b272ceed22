//! JSON in which every name stands once: of a name that is there twice one parser takes the first and another the last.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Value;

use crate::login::observed::sent::Named;
use crate::login::observed::sent::fold;
use crate::login::observed::sent::reads_as;
use crate::route::FieldPath;

/// The whole value; nothing if it is none, or names something twice, be it in other letters.
pub(crate) fn value(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Clear>(bytes).ok().map(|Clear(value)| value)
}

/// Whom the text at `field` names, which may be a way such as `user.name`. An app that looks elsewhere, or takes another
/// spelling for it, must find nothing there where nothing is found here.
pub(super) fn named(field: &str, bytes: &[u8]) -> Named {
    let Some(value) = value(bytes) else { return Named::Unclear };
    match FieldPath::parse(field).and_then(|way| way.find(&value).cloned()) {
        Some(Value::String(name)) => Named::by(name),
        Some(_) => Named::Unclear,
        None if mentions(field, &value) => Named::Unclear,
        None => Named::Nobody,
    }
}

/// Whether something in `value`, however deep, could be read as the field.
fn mentions(field: &str, value: &Value) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field);
    match value {
        Value::Object(entries) => entries
            .iter()
            .any(|(name, value)| reads_as(field, name) || reads_as(last, name) || mentions(field, value)),
        Value::Array(items) => items.iter().any(|item| mentions(field, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

struct Clear(Value);

impl<'de> Deserialize<'de> for Clear {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Clear(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut map, mut names) = (Map::new(), BTreeSet::new());
        while let Some((name, Clear(value))) = entries.next_entry::<String, Clear>()? {
            // Some parsers ask no more than that the letters are the same.
            if !names.insert(fold(&name)) {
                return Err(A::Error::custom("a name stands here twice"));
            }
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_it_is() {
        let written = r#"{"a": [1, -2, 0.5, null, true, "x", {}], "b": {"c": "d"}}"#;
        assert_eq!(value(written.as_bytes()), serde_json::from_str(written).ok());
        for (field, whom) in [
            ("b.c", Named::User("d".into())),
            ("a", Named::Unclear),
            ("b", Named::Unclear),
            ("x.c", Named::Unclear),
            ("B", Named::Unclear),
            ("x", Named::Nobody),
        ] {
            assert_eq!(named(field, written.as_bytes()), whom, "{field}");
        }
    }

    #[test]
    fn what_names_something_twice_is_not_read() {
        for bad in [
            r#"{"user": "ada", "user": "eve"}"#,
            r#"{"user": "ada", "User": "eve"}"#,
            r#"{"user": "ada", "\u0075ser": "eve"}"#,
            r#"{"user": "ada", "u\u017fer": "eve"}"#,
            "{\"k\": 1, \"\u{212a}\": 2, \"user\": \"ada\"}",
            r#"{"x": {"a": 1, "a": 2}, "user": "ada"}"#,
            r#"{"user": "ada"} {}"#,
            r#"{"user": "ada",}"#,
            "",
        ] {
            assert_eq!(named("user", bad.as_bytes()), Named::Unclear, "{bad}");
        }
        assert!(value("[".repeat(16_000).as_bytes()).is_none());
    }
}
