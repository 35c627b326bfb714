use crate::vault::route::Context;
use strongroom_core::{CoreError, Reply, SealOrder};

/// `PUT sys/seal`. The answer leaves, and its trail entry is written, before the keys are gone: sealing itself happens
/// when the request is complete.
pub(super) async fn seal(context: Context<'_>) -> Result<Reply, CoreError> {
    context.after.order_seal(SealOrder::new(context.grant));
    Ok(Reply::empty())
}
