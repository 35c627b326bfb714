//! Tags.

use crate::aws::input::{Input, wrong};
use crate::aws::refusal::Refusal;
use serde_json::Value;
use std::collections::BTreeMap;

/// The list `Tags` as pairs.
pub(super) fn tags(input: &Input<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut tags = BTreeMap::new();
    for tag in input.list("Tags")?.into_iter().flatten() {
        let text = |name| match tag.get(name) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(wrong("Tags", "a list of objects with Key and Value")),
        };
        let (key, value) = (text("Key")?, text("Value")?);
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refusal::validation(
                "Value at 'tags' failed to satisfy constraint: a key has 1 to 128 characters and a value at most 256",
            ));
        }
        if key.starts_with("aws:") {
            return Err(Refusal::parameter("Tag keys that begin with aws: are reserved."));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}
