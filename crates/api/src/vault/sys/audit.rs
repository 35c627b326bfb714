use crate::vault::route::Context;
use serde_json::{Map, Value, json};
use strongroom_core::{AUDIT_TRAIL, AuditDevice, CoreError, Operation, Reply};
use strongroom_model::MountPath;

/// `sys/audit`.
pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    let devices = context.open.devices.list().await?;
    let shown = devices.iter().map(|device| {
        let path = format!("{}/", device.path);
        let entry = json!({
            "path": path, "type": device.kind, "description": device.description, "options": device.options, "local": false,
        });
        (path, entry)
    });
    Ok(Reply::data(Value::Object(shown.collect::<Map<_, _>>())))
}

/// `sys/audit/PATH`.
pub(super) async fn device(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = MountPath::parse(context.captures.get("path"))?;
    if context.operation == Operation::Delete {
        context.open.devices.disable(context.grant, path.as_str()).await?;
        return Ok(Reply::empty());
    }
    let device = AuditDevice {
        path: path.as_str().to_owned(),
        kind: context.fields.text("type")?.ok_or(CoreError::Missing("type"))?,
        description: context.fields.text_or_empty("description")?,
        options: context.fields.text_map("options")?.unwrap_or_default(),
    };
    context.open.devices.enable(context.grant, device).await?;
    Ok(Reply::empty())
}

/// `sys/audit-hash/PATH`: as in the device at that path, or in the trail itself, which is ours.
pub(super) async fn hash(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = MountPath::parse(context.captures.get("path"))?;
    let device = Some(path.as_str()).filter(|path| *path != AUDIT_TRAIL);
    if device.is_some() && !context.open.devices.list().await?.iter().any(|device| device.path == path.as_str()) {
        return Err(CoreError::Invalid(format!("unknown audit backend: {}", path.with_slash())));
    }
    let input = context.fields.text("input")?.ok_or(CoreError::Missing("input"))?;
    Ok(Reply::data(json!({ "hash": context.open.devices.hash(context.grant, device, &input) })))
}
