use crate::vault::kv2::go_duration;
use crate::vault::route::Context;
use serde_json::{Value, json};
use std::time::Duration;
use strongroom_core::{CoreError, Operation, Reply};

/// `sys/key-status`. `rewrap` is ours: how far sealing everything under the current term has come.
pub(super) async fn key_status(context: Context<'_>) -> Result<Reply, CoreError> {
    let status = context.open.rotation.status()?;
    let rewrap = status.rewrap.map(|progress| json!({ "done": progress.done, "total": progress.total }));
    Ok(Reply::data(json!({
        "term": status.term,
        "install_time": status.installed,
        "encryptions": status.encryptions,
        "rewrap": rewrap,
    })))
}

/// `sys/rotate`.
pub(super) async fn rotate(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.rotation.rotate(context.grant).await?;
    Ok(Reply::empty())
}

/// `sys/rotate/config`.
pub(super) async fn config(context: Context<'_>) -> Result<Reply, CoreError> {
    let rotation = &context.open.rotation;
    let mut config = rotation.config().await?;
    if context.operation == Operation::Read {
        // Vault: text when there is an interval, the number 0 when there is none.
        let interval = match config.interval {
            0 => json!(0),
            seconds => Value::String(go_duration(Duration::from_secs(seconds))),
        };
        return Ok(Reply::data(json!({
            "max_operations": config.max_operations, "interval": interval, "enabled": config.enabled,
        })));
    }
    let fields = context.fields;
    config.max_operations = fields.count("max_operations")?.unwrap_or(config.max_operations);
    config.interval = fields.ttl("interval")?.map_or(config.interval, |interval| interval.secs());
    config.enabled = fields.flag("enabled")?.unwrap_or(config.enabled);
    rotation.configure(context.grant, config).await?;
    Ok(Reply::empty())
}
