//! Values as YAML. Stands between serde_json, whose numbers keep their text, and the YAML writer, which knows machine
//! numbers only: a number that a machine number would change is written as the text it was.

use super::error::CliError;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Number, Value};

/// Block style, without a line end at the end.
pub(crate) fn render(value: &Value) -> Result<String, CliError> {
    let text = serde_saphyr::to_string(&Yaml(value)).map_err(|_| CliError::Answer("it has no YAML form".to_owned()))?;
    Ok(text.trim_end().to_owned())
}

struct Yaml<'a>(&'a Value);

impl Serialize for Yaml<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => to.serialize_unit(),
            Value::Bool(flag) => to.serialize_bool(*flag),
            Value::Number(number) => number_or_text(number, to),
            Value::String(text) => to.serialize_str(text),
            Value::Array(items) => {
                let mut list = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Yaml(item)))?;
                list.end()
            }
            Value::Object(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, &Yaml(value)))?;
                map.end()
            }
        }
    }
}

fn number_or_text<S: Serializer>(number: &Number, to: S) -> Result<S::Ok, S::Error> {
    let text = number.to_string();
    if let Some(whole) = number.as_u64().filter(|whole| whole.to_string() == text) {
        return to.serialize_u64(whole);
    }
    if let Some(whole) = number.as_i64().filter(|whole| whole.to_string() == text) {
        return to.serialize_i64(whole);
    }
    match number.as_f64().filter(|fraction| format!("{fraction:?}") == text) {
        Some(fraction) => to.serialize_f64(fraction),
        None => to.serialize_str(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(json: &str) -> String {
        render(&serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn numbers_keep_their_text() {
        let shown = yaml(r#"{"a": 1, "b": -2, "c": 1.5, "d": 123456789012345678901234567890, "e": 3.140}"#);
        for line in ["a: 1", "b: -2", "c: 1.5", "d: \"123456789012345678901234567890\"", "e: \"3.140\""] {
            assert!(shown.lines().any(|shown| shown.replace('\'', "\"") == line), "{line}\n{shown}");
        }
    }

    #[test]
    fn text_that_looks_like_something_else_is_quoted() {
        let shown = yaml(r#"{"a": "true", "b": "1", "c": "- x", "d": null, "e": {"f": ["g", true]}}"#);
        assert!(shown.contains("d: null"), "{shown}");
        for line in ["a: true", "b: 1", "c: - x"] {
            assert!(!shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
        assert!(shown.contains("f:") && shown.contains("- g"));
    }
}
