//! What an operator may tell a strategy.

use serde_json::{Map, Value};
use strongroom_core::{CoreError, Fields};

/// Refuses options that the strategy does not know: one that is misspelt must not be passed over.
pub(super) fn check(options: &Map<String, Value>, known: &[&str]) -> Result<(), CoreError> {
    match options.keys().all(|name| known.contains(&name.as_str())) {
        true => Ok(()),
        false if known.is_empty() => Err(CoreError::Invalid("this way to rotate takes no options".to_owned())),
        false => Err(CoreError::Invalid(format!("an unknown option was sent; known are: {}", known.join(", ")))),
    }
}

/// A text, if it was given.
pub(super) fn text(options: &Map<String, Value>, name: &str) -> Result<Option<String>, CoreError> {
    let some = Fields::new(options.clone()).text(name)?;
    Ok(some.filter(|text| !text.is_empty()))
}

/// A list of statements, if it was given.
pub(super) fn statements(options: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, CoreError> {
    match options.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
        Some(Value::Array(list)) => {
            let texts: Option<Vec<String>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
            texts.map(Some).ok_or_else(|| wrong(name))
        }
        Some(_) => Err(wrong(name)),
    }
}

fn wrong(name: &str) -> CoreError {
    CoreError::Field { field: name.to_owned(), problem: "must be a statement or a list of them".to_owned() }
}
