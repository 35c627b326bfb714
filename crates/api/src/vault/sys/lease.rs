//! Leases. Secrets engines that hand out credentials are still to come, so there is no lease but those of tokens, and
//! those are looked at and renewed through `auth/token`. These endpoints answer as Vault's do about a lease that is not
//! there; revoking by prefix revokes the tokens that came in below the prefix.

use crate::vault::route::Context;
use serde_json::json;
use strongroom_core::{CoreError, Operation, Reply};
use strongroom_model::RequestPath;

/// `sys/leases/lookup`.
pub(super) async fn lookup(context: Context<'_>) -> Result<Reply, CoreError> {
    if context.operation == Operation::List {
        return list(context).await;
    }
    lease_id(&context)?;
    Err(CoreError::Invalid("invalid lease".to_owned()))
}

/// `sys/leases/lookup/PREFIX`.
pub(super) async fn list(_: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(Vec::new())
}

/// `sys/leases/renew`.
pub(super) async fn renew(context: Context<'_>) -> Result<Reply, CoreError> {
    lease_id(&context)?;
    context.fields.ttl("increment")?;
    Err(CoreError::Invalid("lease not found".to_owned()))
}

/// `sys/leases/revoke`: what is not there needs no revoking.
pub(super) async fn revoke(context: Context<'_>) -> Result<Reply, CoreError> {
    lease_id(&context)?;
    done(&context)
}

/// `sys/leases/revoke-prefix/PREFIX` and `revoke-force`.
pub(super) async fn revoke_prefix(context: Context<'_>) -> Result<Reply, CoreError> {
    let prefix = RequestPath::parse(context.captures.get("path").trim_end_matches('/'))?;
    let revoked = context.open.tokens.revoke_prefix(context.grant, &prefix).await?;
    tracing::info!(revoked, "tokens were revoked by the prefix of their login");
    done(&context)
}

/// Vault answers 202 when asked not to wait. We have always waited.
fn done(context: &Context<'_>) -> Result<Reply, CoreError> {
    let reply = Reply::empty();
    Ok(if context.fields.flag("sync")?.unwrap_or(true) { reply } else { reply.accepted() })
}

/// `sys/leases/tidy`: expiry is an index on disk, so there is nothing to put in order; housekeeping runs.
pub(super) async fn tidy(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.wake_housekeeping();
    let text =
        "Tidy operation successfully started. Any information from the operation will be printed to the server's logs.";
    Ok(Reply::empty().warn(text).accepted())
}

/// `sys/leases/count`.
pub(super) async fn count(context: Context<'_>) -> Result<Reply, CoreError> {
    about_irrevocable(&context)?;
    Ok(Reply::data(json!({ "lease_count": 0, "counts": {} })))
}

/// `sys/leases`.
pub(super) async fn irrevocable(context: Context<'_>) -> Result<Reply, CoreError> {
    about_irrevocable(&context)?;
    Ok(Reply::data(json!({ "lease_count": 0, "leases": [] })))
}

/// Vault knows of no other type, and answers 404 to every other.
fn about_irrevocable(context: &Context<'_>) -> Result<(), CoreError> {
    let kind = context.fields.text_or_empty("type")?;
    if kind.eq_ignore_ascii_case("irrevocable") { Ok(()) } else { Err(CoreError::Nothing) }
}

/// The lease named in the body, or in the path.
fn lease_id(context: &Context<'_>) -> Result<String, CoreError> {
    let named = context.fields.text("lease_id")?.filter(|id| !id.is_empty());
    let id = named.unwrap_or_else(|| context.captures.get("path").to_owned());
    if id.is_empty() { Err(CoreError::Invalid("lease_id must be specified".to_owned())) } else { Ok(id) }
}
