use crate::CoreError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use strongroom_model::{SecretString, Ttl, TtlError};
use zeroize::Zeroize;

/// The parameters of a request or the data of an answer: JSON that may hold secrets. No `Debug`; strings are wiped when
/// it is dropped.
///
/// The readers are as lenient as Vault's: `null` is absent, and numbers, strings and booleans stand for each other
/// where the meaning is clear. A value of the wrong kind is named by its field and never repeated.
#[derive(Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Takes over the map.
    pub fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// The map itself.
    pub fn map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The map itself, for building an answer.
    pub fn map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// Gives the map away; wiping it is then the taker's duty.
    pub fn into_map(mut self) -> Map<String, Value> {
        std::mem::take(&mut self.0)
    }

    /// A second copy, wiped on its own.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The value, unless it is absent or `null`.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field was sent with anything but `null`.
    pub fn has(&self, field: &str) -> bool {
        self.value(field).is_some()
    }

    /// Text; a number or boolean counts as what it prints as.
    pub fn text(&self, field: &str) -> Result<Option<String>, CoreError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(wrong(field, "must be a string")),
        }
    }

    /// Text, empty when absent.
    pub fn text_or_empty(&self, field: &str) -> Result<String, CoreError> {
        Ok(self.text(field)?.unwrap_or_default())
    }

    /// Secret text; empty counts as absent.
    pub fn secret(&self, field: &str) -> Result<Option<SecretString>, CoreError> {
        Ok(self.text(field)?.map(SecretString::new).filter(|text| !text.is_empty()))
    }

    /// Yes or no; `"true"`, `"1"`, `1` count too, as in Go's `ParseBool`.
    pub fn flag(&self, field: &str) -> Result<Option<bool>, CoreError> {
        let text = match self.value(field) {
            None => return Ok(None),
            Some(Value::Bool(flag)) => return Ok(Some(*flag)),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(wrong(field, "must be true or false")),
        };
        match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(wrong(field, "must be true or false")),
        }
    }

    /// A whole number; a string of digits counts too.
    pub fn int(&self, field: &str) -> Result<Option<i64>, CoreError> {
        let text = match self.value(field) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(_) => return Err(wrong(field, "must be a whole number")),
        };
        let number = text.parse().or_else(|_| whole_float(&text).ok_or(()));
        number.map(Some).map_err(|()| wrong(field, "must be a whole number"))
    }

    /// A whole number that is not negative.
    pub fn count(&self, field: &str) -> Result<Option<u64>, CoreError> {
        let number = self.int(field)?;
        number.map(|n| u64::try_from(n).map_err(|_| wrong(field, "cannot be negative"))).transpose()
    }

    /// A span of time: seconds, or the form `1h30m`.
    pub fn ttl(&self, field: &str) -> Result<Option<Ttl>, CoreError> {
        match self.value(field) {
            None => Ok(None),
            Some(value) => Ttl::from_json(value).map(Some).map_err(|error| wrong(field, ttl_problem(&error))),
        }
    }

    /// A list of text; a comma-separated string counts too. Blanks around elements of the string form are dropped.
    pub fn list(&self, field: &str) -> Result<Option<Vec<String>>, CoreError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Some(parts.map(str::to_owned).collect()))
            }
            Some(Value::Array(values)) => {
                values.iter().map(|value| element(field, value)).collect::<Result<_, _>>().map(Some)
            }
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(vec![value.to_string()])),
            Some(Value::Object(_)) => Err(wrong(field, "must be a list")),
            Some(Value::Null) => Ok(None),
        }
    }

    /// Text by key; a list of `key=value` counts too.
    pub fn text_map(&self, field: &str) -> Result<Option<BTreeMap<String, String>>, CoreError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                let pairs = map.iter().filter(|(_, value)| !value.is_null());
                pairs.map(|(key, value)| Ok((key.clone(), element(field, value)?))).collect::<Result<_, _>>().map(Some)
            }
            Some(Value::String(text)) if text.is_empty() => Ok(Some(BTreeMap::new())),
            Some(Value::String(text)) => match serde_json::from_str::<BTreeMap<String, String>>(text) {
                Ok(map) => Ok(Some(map)),
                Err(_) => pairs(field, text.split(',').map(str::trim)),
            },
            Some(Value::Array(values)) => {
                let texts = values.iter().map(|value| element(field, value)).collect::<Result<Vec<_>, _>>()?;
                pairs(field, texts.iter().map(String::as_str))
            }
            Some(_) => Err(wrong(field, "must be a map of strings")),
        }
    }

    /// An object of any content.
    pub fn object(&self, field: &str) -> Result<Option<Fields>, CoreError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields(map.clone()))),
            Some(_) => Err(wrong(field, "must be a JSON object")),
        }
    }
}

fn pairs<'a>(field: &str, texts: impl Iterator<Item = &'a str>) -> Result<Option<BTreeMap<String, String>>, CoreError> {
    let split = |text: &str| {
        let (key, value) = text.split_once('=').ok_or_else(|| wrong(field, "must be a map, or a list of key=value"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    texts.map(split).collect::<Result<_, _>>().map(Some)
}

fn element(field: &str, value: &Value) -> Result<String, CoreError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(wrong(field, "must hold strings only")),
    }
}

/// What is wrong with a span of time, without the value: it may be a secret sent in the wrong field.
fn ttl_problem(error: &TtlError) -> &'static str {
    match error {
        TtlError::Malformed(_) => "must be a duration: seconds (`90`), or a number with a unit, as `1h30m` or `7d`",
        TtlError::Negative(_) => "cannot be negative",
        TtlError::TooLong(_) => "is too long: at most 100 years",
    }
}

fn whole_float(text: &str) -> Option<i64> {
    let float: f64 = text.parse().ok()?;
    (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
}

fn wrong(field: &str, problem: &str) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: problem.to_owned() }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

/// Overwrites every string in a JSON value. Recursion is bounded by the depth that the door lets in.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl FromIterator<(String, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(map) => Fields::new(map),
            _ => Fields::default(),
        }
    }

    #[test]
    fn null_is_absent_and_scalars_stand_for_each_other() {
        let sent =
            fields(json!({"a": null, "n": "12", "t": "true", "s": 5, "f": 3.0, "l": "x, y", "m": ["k=v"], "b": 1}));
        assert!(!sent.has("a"));
        assert_eq!(sent.int("n").unwrap(), Some(12));
        assert_eq!(sent.flag("t").unwrap(), Some(true));
        assert_eq!(sent.flag("b").unwrap(), Some(true));
        assert_eq!(sent.text("s").unwrap().as_deref(), Some("5"));
        assert_eq!(sent.int("f").unwrap(), Some(3));
        assert_eq!(sent.list("l").unwrap().unwrap(), ["x", "y"]);
        assert_eq!(sent.text_map("m").unwrap().unwrap().get("k").map(String::as_str), Some("v"));
    }

    #[test]
    fn a_wrong_value_is_named_by_its_field_and_not_repeated() {
        let sent = fields(json!({"num_uses": "hunter2", "policies": {"a": "hunter2"}, "ttl": "hunter2hunter2"}));
        for error in [sent.int("num_uses").err(), sent.list("policies").err(), sent.ttl("ttl").err()] {
            let text = error.unwrap().to_string();
            assert!(text.starts_with("field `") && !text.contains("hunter2"), "{text}");
        }
        assert!(fields(json!({"n": -1})).count("n").is_err());
        assert!(fields(json!({"n": 1.5})).int("n").is_err());
        assert!(fields(json!({"n": 1e300})).int("n").is_err());
    }
}
