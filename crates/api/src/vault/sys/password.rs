use crate::vault::route::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use strongroom_core::{CoreError, Operation, Reply};
use strongroom_model::RoleName;

/// `sys/policies/password`.
pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.passwords.names().await?)
}

/// `sys/policies/password/NAME`.
pub(super) async fn policy(context: Context<'_>) -> Result<Reply, CoreError> {
    let (open, grant) = (context.open, context.grant);
    let name = RoleName::parse(context.captures.get("name"))?;
    match context.operation {
        Operation::Write => {
            let sent = context.fields.text("policy")?.filter(|text| !text.is_empty());
            let sent = sent.ok_or_else(|| CoreError::Invalid("missing policy".to_owned()))?;
            let decoded = STANDARD.decode(&sent).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            open.passwords.write(grant, &name, decoded.as_deref().unwrap_or(&sent)).await?;
            Ok(Reply::empty())
        }
        Operation::Delete => {
            open.passwords.delete(grant, &name).await?;
            Ok(Reply::empty())
        }
        _ => {
            let source = open.passwords.source(&name).await?.ok_or_else(no_policy)?;
            Ok(Reply::data(json!({ "policy": source })))
        }
    }
}

/// `sys/policies/password/NAME/generate`.
pub(super) async fn generate(context: Context<'_>) -> Result<Reply, CoreError> {
    let name = RoleName::parse(context.captures.get("name"))?;
    let password = context.open.passwords.generate(&name).await?.ok_or_else(no_policy)?;
    Ok(Reply::data(json!({ "password": password.expose() })))
}

fn no_policy() -> CoreError {
    CoreError::NotFound("policy does not exist".to_owned())
}
