//! Moving staging labels.

use super::write::check_suffix;
use crate::aws::input::label;
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::json;
use strongroom_core::secret::StageMove;
use strongroom_core::{CoreError, Reply};

/// `UpdateSecretVersionStage`.
pub(super) async fn update(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = check_suffix(&call).await?;
    input.need("VersionStage")?;
    let stage = input.stage("VersionStage")?.ok_or_else(|| Refusal::parameter("VersionStage is missing"))?;
    let order =
        StageMove { stage, from: input.version_id("RemoveFromVersionId")?, to: input.version_id("MoveToVersionId")? };
    let moved = call.open.secrets.move_stage(call.grant, &order).await.map_err(|error| match error {
        CoreError::NotFound(_) => {
            let id = order.to.as_ref().or(order.from.as_ref()).map_or("", |id| id.as_str());
            Refusal::not_found(format!("Secrets Manager can't find the specified secret value for VersionId: {id}"))
        }
        CoreError::Invalid(text) => Refusal::parameter(format!("Staging label {}: {text}.", label(&order.stage))),
        other => other.into(),
    })?;
    Ok(Reply::data(json!({ "ARN": input.names.arn(&path, &moved.suffix()), "Name": path.aws_name() })))
}
