//! `sys/storage/raft/snapshot`: the whole store, out and in, under the paths by which Vault's clients ask for it. The body
//! that comes in is no JSON and has no bound but the room beside the store, so it is read here, after the gate.

use crate::vault::route::Context;
use http_body_util::BodyExt;
use strongroom_core::snapshot::RestoreOrder;
use strongroom_core::{CoreError, Operation, Reply};
use strongroom_model::RequestPath;
use tokio::time::timeout;

/// Whether the body of a write to this path is left unread until the gate has let it in.
pub(in crate::vault) fn takes_upload(path: &RequestPath) -> bool {
    matches!(path.as_str(), "sys/storage/raft/snapshot" | "sys/storage/raft/snapshot-force")
}

/// `sys/storage/raft/snapshot`.
pub(super) async fn snapshot(context: Context<'_>) -> Result<Reply, CoreError> {
    if context.operation == Operation::Write {
        let order = receive(&context, false).await?;
        context.after.order_restore(order);
        return Ok(Reply::empty());
    }
    if context.grant.visit().wrap_ttl.is_some() {
        return Err(CoreError::Invalid(
            "a snapshot is too large to be wrapped; ask for it without wrapping".to_owned(),
        ));
    }
    Ok(Reply { streamed: Some(context.open.snapshot(context.grant).await?), ..Reply::default() })
}

/// `sys/storage/raft/snapshot-force`.
pub(super) async fn force(context: Context<'_>) -> Result<Reply, CoreError> {
    let order = receive(&context, true).await?;
    context.after.order_restore(order);
    Ok(Reply::empty())
}

async fn receive(context: &Context<'_>, forced: bool) -> Result<RestoreOrder, CoreError> {
    let mut body = context.upload.take().ok_or(CoreError::Internal("the body of a snapshot was read already"))?;
    let mut spool = context.vault.strongroom.spool(context.grant)?;
    // As a whole it may take long; only who sends nothing is not waited for.
    let patience = context.vault.limits.request;
    let late = |_| CoreError::Invalid("the snapshot took too long to arrive; nothing was changed".to_owned());
    while let Some(frame) = timeout(patience, body.frame()).await.map_err(late)? {
        let frame =
            frame.map_err(|_| CoreError::Invalid("the snapshot ended early; nothing was changed".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            spool.write(&data)?;
        }
    }
    context.open.examine(context.grant, spool, forced).await
}
