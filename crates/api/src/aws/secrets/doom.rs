//! Giving secrets up, with a window or at once, and bringing them back.

use super::value::epoch;
use super::write::check_suffix;
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::json;
use strongroom_core::{CoreError, Reply};
use strongroom_model::Ttl;

/// Days for which a secret can be brought back where nothing is said.
const USUAL: u64 = 30;

/// `DeleteSecret`.
pub(super) async fn delete(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let secrets = &call.open.secrets;
    let path = check_suffix(&call).await;
    let days = input.number("RecoveryWindowInDays", 0, u64::MAX)?;
    if input.flag("ForceDeleteWithoutRecovery")? {
        if days.is_some() {
            return Err(Refusal::parameter(
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
            ));
        }
        let path = path?;
        // One that is not there is as good as deleted, as in AWS.
        let suffix = secrets.granted_suffix(call.grant).await?.unwrap_or_else(|| "000000".to_owned());
        secrets.delete_all(call.grant).await?;
        let now = call.grant.visit().arrived;
        return Ok(Reply::data(
            json!({ "ARN": input.names.arn(&path, &suffix), "Name": path.aws_name(), "DeletionDate": epoch(now) }),
        ));
    }
    let days = days.unwrap_or(USUAL);
    if !(7..=30).contains(&days) {
        return Err(Refusal::parameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."));
    }
    let path = path?;
    let seen = secrets.mark(call.grant, Ttl::from_secs(days * 86_400)).await?;
    let due = seen.meta.particulars().deletion.ok_or(CoreError::Internal("a marked secret without a day"))?.due;
    Ok(Reply::data(
        json!({ "ARN": input.names.arn(&path, &seen.suffix()), "Name": path.aws_name(), "DeletionDate": epoch(due) }),
    ))
}

/// `RestoreSecret`.
pub(super) async fn restore(call: Call<'_>) -> Result<Reply, Refusal> {
    let path = check_suffix(&call).await?;
    let seen = call.open.secrets.restore(call.grant).await?;
    Ok(Reply::data(json!({ "ARN": call.input.names.arn(&path, &seen.suffix()), "Name": path.aws_name() })))
}
