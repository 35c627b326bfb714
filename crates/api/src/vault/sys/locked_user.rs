use crate::vault::route::Context;
use serde_json::json;
use strongroom_core::{CoreError, Reply};

/// `sys/locked-users`: the most on a mount first.
pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    let accessor = context.fields.text("mount_accessor")?.filter(|accessor| !accessor.is_empty());
    let mut mounts = context.open.logins.shut_out(context.grant, accessor.as_deref()).await?;
    mounts.sort_by_key(|mount| std::cmp::Reverse(mount.aliases.len()));
    let total: usize = mounts.iter().map(|mount| mount.aliases.len()).sum();
    let mounts: Vec<_> = mounts
        .iter()
        .map(|mount| {
            let count = mount.aliases.len();
            json!({ "mount_accessor": mount.accessor, "counts": count, "alias_identifiers": mount.aliases })
        })
        .collect();
    let root = json!({ "namespace_id": "root", "namespace_path": "", "counts": total, "mount_accessors": mounts });
    Ok(Reply::data(json!({ "by_namespace": [root], "total": total })))
}

/// `sys/locked-users/ACCESSOR/unlock/NAME`: as in Vault, who is not shut out is success.
pub(super) async fn unlock(context: Context<'_>) -> Result<Reply, CoreError> {
    let (accessor, name) = (context.captures.get("mount_accessor"), context.captures.get("name"));
    context.open.logins.let_in(context.grant, accessor, name).await?;
    Ok(Reply::empty())
}
