//! Tags.

use super::write::check_suffix;
use crate::aws::input::{Input, wrong};
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use strongroom_core::Reply;
use strongroom_core::secret::ParticularsChange;

/// `TagResource`.
pub(super) async fn tag(call: Call<'_>) -> Result<Reply, Refusal> {
    check_suffix(&call).await?;
    call.input.list("Tags")?.ok_or_else(|| missing("tags"))?;
    let change = ParticularsChange { tags: tags(&call.input)?, ..ParticularsChange::default() };
    call.open.secrets.describe(call.grant, &change).await?;
    Ok(nothing())
}

/// `UntagResource`.
pub(super) async fn untag(call: Call<'_>) -> Result<Reply, Refusal> {
    check_suffix(&call).await?;
    let keys = call.input.texts("TagKeys")?.ok_or_else(|| missing("tagKeys"))?;
    let untag = keys.into_iter().map(str::to_owned).collect();
    let change = ParticularsChange { untag, ..ParticularsChange::default() };
    call.open.secrets.describe(call.grant, &change).await?;
    Ok(nothing())
}

fn missing(name: &str) -> Refusal {
    Refusal::validation(format!("Value at '{name}' failed to satisfy constraint: Member must not be null"))
}

/// An answer without members.
pub(in crate::aws) fn nothing() -> Reply {
    Reply::data(Value::Object(Map::new()))
}

/// The list `Tags` as pairs.
pub(in crate::aws) fn tags(input: &Input<'_>) -> Result<BTreeMap<String, String>, Refusal> {
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
