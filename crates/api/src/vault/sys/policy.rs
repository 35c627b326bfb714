use crate::vault::route::Context;
use serde_json::json;
use strongroom_core::{CoreError, Operation, Reply};
use strongroom_model::PolicyName;

/// `sys/policy` in the old spelling, which has the names under two keys.
pub(super) async fn list_legacy(context: Context<'_>) -> Result<Reply, CoreError> {
    let names = context.open.policies.names().await?;
    Ok(Reply::data(json!({ "policies": names, "keys": names })))
}

/// `sys/policies/acl`.
pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(json!({ "keys": context.open.policies.names().await? })))
}

/// `sys/policy/NAME` in the old spelling: the text is under `rules`.
pub(super) async fn legacy(context: Context<'_>) -> Result<Reply, CoreError> {
    serve(context, "rules").await
}

/// `sys/policies/acl/NAME`: the text is under `policy`.
pub(super) async fn acl(context: Context<'_>) -> Result<Reply, CoreError> {
    serve(context, "policy").await
}

async fn serve(context: Context<'_>, text_field: &str) -> Result<Reply, CoreError> {
    let name = match (PolicyName::parse(context.captures.get("name")), context.operation) {
        (Ok(name), _) => name,
        (Err(error), Operation::Write) => return Err(error.into()),
        // A name that no policy can have is one that no policy has.
        (Err(_), Operation::Delete) => return Ok(Reply::empty()),
        (Err(_), _) => return Err(CoreError::Nothing),
    };
    match context.operation {
        Operation::Read => match context.open.policies.source(&name).await? {
            Some(source) => Ok(Reply::data(json!({ "name": name, text_field: source }))),
            None => Err(CoreError::Nothing),
        },
        Operation::Delete => {
            context.open.policies.delete(context.grant, &name).await?;
            Ok(Reply::empty())
        }
        _ => write(context, name).await,
    }
}

async fn write(context: Context<'_>, name: PolicyName) -> Result<Reply, CoreError> {
    let sent = context.fields.text("policy")?.or(context.fields.text("rules")?).filter(|text| !text.is_empty());
    let sent = sent.ok_or_else(|| CoreError::Invalid("'policy' parameter not supplied or empty".to_owned()))?;
    // Some clients send the text in base64; a policy begins with a letter, a comment or a brace, and has blanks.
    let source = decode_base64(&sent).unwrap_or(sent);
    context.open.policies.write(context.grant, name, &source).await?;
    Ok(Reply::empty())
}

fn decode_base64(text: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    String::from_utf8(bytes).ok().filter(|decoded| decoded.contains("path"))
}
