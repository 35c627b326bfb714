//! Leases: looking them up, prolonging and ending them, as Vault spells it and as it did before. Those of tokens are
//! looked at and renewed through `auth/token`; revoking by prefix takes them too.

use crate::vault::route::Context;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use strongroom_core::lease::LeaseView;
use strongroom_core::{CoreError, Operation, Reply};
use strongroom_model::{EntityId, RequestPath};

/// How many leases are listed that could not be revoked, unless more are asked for (Vault: `MaxIrrevocableLeases`).
const MOST_IRREVOCABLE: usize = 10_000;

/// `sys/leases/lookup`.
pub(super) async fn lookup(context: Context<'_>) -> Result<Reply, CoreError> {
    if context.operation == Operation::List {
        return list(context).await;
    }
    let found = context.open.leases.lookup(context.grant, &lease_id(&context)?).await?;
    found.map(|lease| Reply::data(shown(&lease))).ok_or_else(|| CoreError::Invalid("invalid lease".to_owned()))
}

fn shown(lease: &LeaseView) -> Value {
    json!({
        "id": lease.id, "issue_time": lease.issued, "expire_time": lease.expires, "last_renewal": lease.renewed,
        "renewable": lease.renewable, "ttl": lease.ttl,
        // Ours.
        "state": lease.state, "subject": lease.subject, "role": lease.role, "display_name": lease.display_name,
        "entity_id": lease.entity, "failed_attempts": lease.attempts, "last_error": lease.error,
        "next_attempt": lease.next_attempt,
    })
}

/// `sys/leases/lookup/PREFIX`.
pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.leases.list(context.grant, context.captures.get("path")).await?)
}

/// `sys/leases/renew`.
pub(super) async fn renew(context: Context<'_>) -> Result<Reply, CoreError> {
    let id = lease_id(&context)?;
    let increment = context.fields.ttl("increment")?.unwrap_or_default();
    context.open.leases.renew(context.grant, &id, increment).await
}

/// `sys/leases/revoke`: what is not there needs no revoking.
pub(super) async fn revoke(context: Context<'_>) -> Result<Reply, CoreError> {
    let (id, wait) = (lease_id(&context)?, waits(&context)?);
    context.open.leases.revoke(context.grant, &id, wait).await?;
    done(wait)
}

/// `sys/leases/revoke-prefix/PREFIX`.
pub(super) async fn revoke_prefix(context: Context<'_>) -> Result<Reply, CoreError> {
    let (prefix, wait) = (prefix(&context)?, waits(&context)?);
    let leases = context.open.leases.revoke_prefix(context.grant, prefix.as_str(), wait).await?;
    let tokens = revoke_tokens(&context, &prefix).await?;
    tracing::info!(leases, tokens, "leases were revoked by prefix");
    done(wait)
}

/// `sys/leases/revoke-force/PREFIX`.
pub(super) async fn revoke_force(context: Context<'_>) -> Result<Reply, CoreError> {
    let prefix = prefix(&context)?;
    let leases = context.open.leases.force(context.grant, prefix.as_str()).await?;
    let tokens = revoke_tokens(&context, &prefix).await?;
    tracing::warn!(leases, tokens, "leases were forgotten by force; their credentials may still be there");
    Ok(Reply::empty())
}

/// `sys/leases/revoke-entity/ID`: all that one principal asked for, by whichever token. Vault has no such thing.
pub(super) async fn revoke_entity(context: Context<'_>) -> Result<Reply, CoreError> {
    let entity = EntityId::parse(context.captures.get("id"));
    let entity = entity.ok_or_else(|| CoreError::Invalid("that is not the id of an entity".to_owned()))?;
    let marked = context.open.leases.revoke_entity(context.grant, entity).await?;
    Ok(Reply::data(json!({ "lease_count": marked })).accepted())
}

/// Tokens have their login's path, which lies below `auth`.
async fn revoke_tokens(context: &Context<'_>, prefix: &RequestPath) -> Result<usize, CoreError> {
    if prefix.segments().next() != Some("auth") {
        return Ok(0);
    }
    context.open.tokens.revoke_prefix(context.grant, prefix).await
}

fn prefix(context: &Context<'_>) -> Result<RequestPath, CoreError> {
    Ok(RequestPath::parse(context.captures.get("path").trim_end_matches('/'))?)
}

/// Vault waits unless told not to.
fn waits(context: &Context<'_>) -> Result<bool, CoreError> {
    Ok(context.fields.flag("sync")?.unwrap_or(true))
}

/// Vault answers 202 when asked not to wait.
fn done(waited: bool) -> Result<Reply, CoreError> {
    let reply = Reply::empty();
    Ok(if waited { reply } else { reply.accepted() })
}

/// `sys/leases/tidy`: every commit keeps the indexes in order, so that what is left is to try at once what is put off.
pub(super) async fn tidy(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.leases.tidy(context.grant);
    context.open.wake_housekeeping();
    let text =
        "Tidy operation successfully started. Any information from the operation will be printed to the server's logs.";
    Ok(Reply::empty().warn(text).accepted())
}

/// `sys/leases/count`: of those that could not be revoked, by the accessor of their mount; with `type=all`, which Vault
/// does not have, of all of them by mount.
pub(super) async fn count(context: Context<'_>) -> Result<Reply, CoreError> {
    let counts: BTreeMap<String, u64> = match wanted_type(&context)? {
        Wanted::All => context.open.leases.counts().into_iter().collect(),
        Wanted::Irrevocable => {
            let (leases, _) = context.open.leases.irrevocable(context.grant, usize::MAX).await?;
            let each = leases.into_iter().map(|lease| lease.mount_accessor);
            each.fold(BTreeMap::new(), |mut counts, mount| {
                *counts.entry(mount).or_default() += 1;
                counts
            })
        }
    };
    Ok(Reply::data(json!({ "lease_count": counts.values().sum::<u64>(), "counts": counts })))
}

/// `sys/leases`.
pub(super) async fn irrevocable(context: Context<'_>) -> Result<Reply, CoreError> {
    if !matches!(wanted_type(&context)?, Wanted::Irrevocable) {
        return Err(CoreError::Nothing);
    }
    let (leases, has_more) = context.open.leases.irrevocable(context.grant, limit(&context)?).await?;
    let each = leases.iter().map(|lease| json!({ "lease_id": lease.id, "error": lease.error }));
    let mut data = Map::new();
    data.insert("lease_count".to_owned(), json!(leases.len()));
    data.insert("leases".to_owned(), each.collect());
    let reply = Reply::data(Value::Object(data));
    Ok(if has_more { reply.warn("There are more; ask with limit=none for all of them.") } else { reply })
}

fn limit(context: &Context<'_>) -> Result<usize, CoreError> {
    if context.fields.flag("force")?.unwrap_or(false) || context.fields.text_or_empty("limit")? == "none" {
        return Ok(usize::MAX);
    }
    let limit = context.fields.count("limit")?.and_then(|limit| usize::try_from(limit).ok());
    Ok(limit.filter(|limit| *limit > 0).unwrap_or(MOST_IRREVOCABLE))
}

enum Wanted {
    Irrevocable,
    All,
}

/// Vault knows of no other type than `irrevocable`, and answers 404 to every other.
fn wanted_type(context: &Context<'_>) -> Result<Wanted, CoreError> {
    match context.fields.text_or_empty("type")?.to_ascii_lowercase().as_str() {
        "irrevocable" => Ok(Wanted::Irrevocable),
        "all" => Ok(Wanted::All),
        _ => Err(CoreError::Nothing),
    }
}

/// The lease named in the body, or in the path.
fn lease_id(context: &Context<'_>) -> Result<String, CoreError> {
    let named = context.fields.text("lease_id")?.filter(|id| !id.is_empty());
    let id = named.unwrap_or_else(|| context.captures.get("path").to_owned());
    if id.is_empty() { Err(CoreError::Invalid("lease_id must be specified".to_owned())) } else { Ok(id) }
}
