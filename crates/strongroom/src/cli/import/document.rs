//! Reads JSON and YAML documents into values without losing anything: numbers keep the text they have, a key that stands
//! twice is an error and not the last one's victory, and tags that are not understood are refused. Errors tell the place
//! and never the text there.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use std::collections::BTreeSet;
use std::fmt;

/// Reads JSON.
pub(super) fn json(text: &str) -> Result<Value, String> {
    let place = |error: &serde_json::Error| format!("line {}, column {}", error.line(), error.column());
    let value = serde_json::from_str(text).map_err(|error| format!("it is not JSON ({})", place(&error)))?;
    // The library takes the last of two equal keys; a second look finds them.
    match serde_json::from_str::<Unique>(text) {
        Ok(Unique) => Ok(value),
        Err(error) => Err(format!("a key stands twice in one object ({})", place(&error))),
    }
}

/// Reads YAML: one document.
pub(super) fn yaml(text: &str) -> Result<Value, String> {
    let options = || {
        serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            non_finite_float_policy: NonFiniteFloatPolicy::AsString,
            with_snippet: false,
        }
    };
    let refused = |error: serde_saphyr::Error| match error.location() {
        Some(at) => format!(
            "it is not YAML that can be taken (line {}, column {}): a mistake, a key that stands twice, a tag that is \
             not known, or more than one document",
            at.line(),
            at.column()
        ),
        None => "it is not YAML that can be taken".to_owned(),
    };
    let shape: Shape = serde_saphyr::from_str_with_options(text, options()).map_err(refused)?;
    // The library gives numbers as machine numbers, which would make 1.10 a 1.1. So the text is read once more, and
    // where the first look found a number, its text is asked for.
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |yaml| shape.deserialize(yaml))
        .map_err(refused)
}

/// Accepts any document in which no object has a key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }
    // Some numbers are a map here too, of one key (serde_json's arbitrary precision).
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom("twice"));
            }
            entries.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

/// What a YAML document is made of, without its texts.
enum Shape {
    Null,
    Flag(bool),
    Number,
    Text,
    List(Vec<Shape>),
    Map(Vec<Shape>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Outline)
    }
}

struct Outline;

impl<'de> Visitor<'de> for Outline {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }
    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Shape, D::Error> {
        from.deserialize_any(Outline)
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Shape, E> {
        Ok(Shape::Flag(flag))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_i128<E>(self, _: i128) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_u128<E>(self, _: u128) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Number)
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Shape::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut map = Vec::new();
        while let Some((_, value)) = entries.next_entry::<String, Shape>()? {
            map.push(value);
        }
        Ok(Shape::Map(map))
    }
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        match self {
            Shape::Null => from.deserialize_any(Outline).map(|_| Value::Null),
            Shape::Flag(flag) => from.deserialize_any(Outline).map(|_| Value::Bool(flag)),
            Shape::Number => String::deserialize(from).map(number),
            Shape::Text => String::deserialize(from).map(Value::String),
            Shape::List(shapes) => from.deserialize_seq(Filled(shapes)),
            Shape::Map(shapes) => from.deserialize_map(Filled(shapes)),
        }
    }
}

/// What JSON can write as a number is one; other spellings (`0x1F`, `1_000`, `.5`) stay text, since nobody knows what
/// their reader would have made of them.
fn number(text: String) -> Value {
    let text = text.trim().to_owned();
    match serde_json::from_str::<Number>(&text) {
        Ok(number) => Value::Number(number),
        Err(_) => Value::String(text),
    }
}

struct Filled(Vec<Shape>);

impl<'de> Visitor<'de> for Filled {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same YAML once more")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        for shape in self.0 {
            list.extend(items.next_element_seed(shape)?);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        for shape in self.0 {
            let key: String = entries.next_key()?.ok_or_else(|| A::Error::custom("a key is gone"))?;
            map.insert(key, entries.next_value_seed(shape)?);
        }
        match entries.next_key::<String>()? {
            None => Ok(Value::Object(map)),
            Some(_) => Err(A::Error::custom("a key is new")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        let text = yaml("a: 1.10\nb: 123456789012345678901234567890\nc: [1, -2.50, 1e3]\nd: 0x1F\ne: 007\n").unwrap();
        assert_eq!(
            text.to_string(),
            r#"{"a":1.10,"b":123456789012345678901234567890,"c":[1,-2.50,1e+3],"d":"0x1F","e":"007"}"#
        );
        let long = r#"{"a":1.10,"b":[-1,12345678901234567890,1e400]}"#;
        assert_eq!(json(long).unwrap().to_string(), long.replace("1e400", "1e+400"));
    }

    #[test]
    fn words_are_text_where_only_old_readers_saw_flags() {
        let text =
            "no: NO\nyes: yes\nflag: true\nnothing: ~\nquoted: 'true'\nwhen: 2026-11-21\nlong: |\n  a\n  b\n1: x\n";
        let expected = serde_json::json!({"no": "NO", "yes": "yes", "flag": true, "nothing": null, "quoted": "true",
            "when": "2026-11-21", "long": "a\nb\n", "1": "x"});
        assert_eq!(yaml(text).unwrap(), expected);
        assert_eq!(
            yaml("base: &b {a: 1}\nuse:\n  <<: *b\n  c: 2\n").unwrap()["use"],
            serde_json::json!({"a": 1, "c": 2})
        );
    }

    #[test]
    fn nothing_is_dropped_in_silence() {
        for text in ["a: hunter2\na: hunter3\n", "a: !vault hunter2\n", "a: hunter2\n---\nb: 1\n", "a: [hunter2"] {
            let error = yaml(text).err().unwrap();
            assert!(!error.contains("hunter"), "{error}");
        }
        for text in [r#"{"a": "hunter2", "a": 1}"#, r#"{"b": [{"a": 1, "a": 2}]}"#, r#"{"a": hunter2}"#] {
            let error = json(text).err().unwrap();
            assert!(!error.contains("hunter") && error.contains("line 1"), "{error}");
        }
    }
}
