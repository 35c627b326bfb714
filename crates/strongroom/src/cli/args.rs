//! Reads data given as arguments, the way Vault's users write it: `key=value`, `key=@file`, `key=-` for standard input,
//! `@file` or a lone `-` for a whole JSON object, `key=\@x` for a value that begins with `@`. A key given twice becomes
//! a list. Numbers in JSON keep their text; values from the line are text.
//!
//! Errors name the key or the file, never the value.

use super::error::CliError;
use super::input::Input;
use serde_json::{Map, Value};
use std::path::Path;

/// Reads items into an object.
pub(crate) fn read_data(items: &[String], input: &mut Input) -> Result<Map<String, Value>, CliError> {
    let mut data = Map::new();
    for item in items {
        match item.split_once('=') {
            _ if item == "-" => merge(&mut data, parse_object("standard input", &input.all()?)?),
            None => match item.strip_prefix('@') {
                Some(file) => merge(&mut data, parse_object(file, &input.file(Path::new(file))?)?),
                None => return Err(not_a_pair()),
            },
            Some(("", _)) => return Err(CliError::usage("data without a key: write key=value")),
            Some((key, value)) => add(&mut data, key, read_value(key, value, input)?.into()),
        }
    }
    Ok(data)
}

/// Reads items that can be nothing but text, as a query and a login have them.
pub(crate) fn read_texts(items: &[String], input: &mut Input) -> Result<Vec<(String, String)>, CliError> {
    let mut texts = Vec::new();
    for (key, value) in read_data(items, input)? {
        match value {
            Value::Array(values) => texts.extend(values.iter().map(|value| (key.clone(), plain(value)))),
            value => texts.push((key, plain(&value))),
        }
    }
    Ok(texts)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read_value(key: &str, value: &str, input: &mut Input) -> Result<String, CliError> {
    let bytes = match (value, value.strip_prefix('@')) {
        ("-", _) => input.all()?,
        (_, Some(file)) => input.file(Path::new(file))?,
        _ => return Ok(value.strip_prefix('\\').filter(|rest| rest.starts_with('@')).unwrap_or(value).to_owned()),
    };
    String::from_utf8(bytes.to_vec())
        .map_err(|_| CliError::usage(format!("the value of {key} is not UTF-8 text; encode it, as with base64")))
}

fn parse_object(place: &str, bytes: &[u8]) -> Result<Map<String, Value>, CliError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(CliError::usage(format!("{place} holds JSON, but not an object; write {{\"key\": \"value\"}}"))),
        // The text of the error may quote the value, so only the place is given.
        Err(error) => Err(CliError::usage(format!(
            "{place} does not hold a JSON object (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

fn merge(data: &mut Map<String, Value>, more: Map<String, Value>) {
    data.extend(more);
}

fn add(data: &mut Map<String, Value>, key: &str, value: Value) {
    match data.get_mut(key) {
        None => {
            data.insert(key.to_owned(), value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

/// The item is not repeated: somebody may have typed a password without its key.
fn not_a_pair() -> CliError {
    CliError::usage(
        "Failed to parse K=V data: an argument has no `=`; write key=value, key=@file, key=- (from standard input), \
         @file.json or -",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(items: &[&str], stdin: &str) -> Result<Value, String> {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        read_data(&items, &mut Input::from_text(stdin)).map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn pairs_are_text_and_repeated_keys_make_a_list() {
        assert_eq!(
            read(&["a=1", "b=x=y", "c=", "a=2", "a=3"], "").unwrap(),
            json!({"a": ["1", "2", "3"], "b": "x=y", "c": ""})
        );
    }

    #[test]
    fn values_that_begin_with_a_dash_or_an_at_sign_can_be_given() {
        assert_eq!(
            read(&["password=-x", r"at=\@home", r"back=\x"], "").unwrap(),
            json!({"password": "-x", "at": "@home", "back": r"\x"})
        );
    }

    #[test]
    fn standard_input_gives_one_value_or_a_whole_object() {
        assert_eq!(read(&["a=-"], "pass\n").unwrap(), json!({"a": "pass\n"}));
        let whole = read(&["-", "b=x"], r#"{"a": 1.50, "n": {"m": [true]}}"#).unwrap();
        assert_eq!(whole.to_string(), r#"{"a":1.50,"b":"x","n":{"m":[true]}}"#);
        assert!(read(&["a=-", "b=-"], "x").unwrap_err().contains("already"));
    }

    #[test]
    fn files_give_a_value_or_a_whole_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.json");
        std::fs::write(&path, r#"{"k": "v"}"#).unwrap();
        let (whole, value) = (format!("@{}", path.display()), format!("cert=@{}", path.display()));
        assert_eq!(read(&[&whole, &value], "").unwrap(), json!({"k": "v", "cert": r#"{"k": "v"}"#}));
        assert!(read(&["a=@/no/such/file"], "").unwrap_err().contains("/no/such/file"));
    }

    #[test]
    fn errors_do_not_repeat_what_may_be_a_secret() {
        for (items, stdin) in
            [(&["hunter2"][..], ""), (&["-"], "\"hunter2\""), (&["-"], "{hunter2}"), (&["-"], "{\"a\": hunter2")]
        {
            let text = read(items, stdin).unwrap_err();
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(read(&["=x"], "").unwrap_err().contains("without a key"));
    }
}
