//! Tags of parameters.

use super::{name, ours};
use crate::aws::input::Input;
use crate::aws::operation::{Asked, Call, Place};
use crate::aws::refusal::Refusal;
use crate::aws::secrets::{nothing, tags};
use serde_json::{Value, json};
use strongroom_core::Operation::{Read, Write};
use strongroom_core::secret::ParticularsChange;
use strongroom_core::{CoreError, Reply, SecretAct};

pub(super) fn asks_read(input: &Input<'_>) -> Result<Asked, Refusal> {
    asks(input, Read, SecretAct::ReadMetadata)
}

pub(super) fn asks_write(input: &Input<'_>) -> Result<Asked, Refusal> {
    asks(input, Write, SecretAct::WriteMetadata)
}

fn asks(input: &Input<'_>, operation: strongroom_core::Operation, act: SecretAct) -> Result<Asked, Refusal> {
    if input.need("ResourceType")? != "Parameter" {
        let text = "The resource type isn't valid. Of the resources that can have tags, only parameters are kept here.";
        return Err(Refusal::said("InvalidResourceType", text));
    }
    let named = name::plain(input, "ResourceId").map_err(|_| no_resource())?;
    Ok(Asked { operation, place: Place::Secret { path: named.path, act } })
}

/// `AddTagsToResource`.
pub(super) async fn add(call: Call<'_>) -> Result<Reply, Refusal> {
    call.input.list("Tags")?.ok_or_else(|| missing("tags"))?;
    change(call, |input| Ok(ParticularsChange { tags: tags(input)?, ..ParticularsChange::default() })).await
}

/// `RemoveTagsFromResource`.
pub(super) async fn remove(call: Call<'_>) -> Result<Reply, Refusal> {
    let untag = |input: &Input<'_>| {
        let keys = input.texts("TagKeys")?.ok_or_else(|| missing("tagKeys"))?;
        let untag = keys.into_iter().map(str::to_owned).collect();
        Ok(ParticularsChange { untag, ..ParticularsChange::default() })
    };
    change(call, untag).await
}

/// `ListTagsForResource`.
pub(super) async fn list(call: Call<'_>) -> Result<Reply, Refusal> {
    let seen = call.open.secrets.granted_sight(call.grant).await.map_err(ours)?.ok_or_else(no_resource)?;
    let tags = seen.meta.particulars().tags.iter().flatten();
    let tags: Vec<Value> = tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(Reply::data(json!({ "TagList": tags })))
}

async fn change(
    call: Call<'_>,
    read: impl Fn(&Input<'_>) -> Result<ParticularsChange, Refusal>,
) -> Result<Reply, Refusal> {
    let secrets = &call.open.secrets;
    secrets.granted_sight(call.grant).await.map_err(ours)?.ok_or_else(no_resource)?;
    secrets.describe(call.grant, &read(&call.input)?).await.map_err(|error| match error {
        CoreError::Quota(_) => {
            Refusal::from(error).coded("TooManyTagsError").reworded("A parameter can have a maximum of 50 tags.")
        }
        CoreError::Nothing => no_resource(),
        other => ours(other),
    })?;
    Ok(nothing())
}

fn no_resource() -> Refusal {
    let text = "The resource ID isn't valid. Verify that you entered the correct ID and try again.";
    Refusal::not_found(text).coded("InvalidResourceId")
}

fn missing(name: &str) -> Refusal {
    Refusal::validation(format!("Value at '{name}' failed to satisfy constraint: Member must not be null"))
}
