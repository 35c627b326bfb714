//! `auth/token/`: making, looking at, renewing and revoking tokens.

mod create;
mod role;

use super::route::{Answer, Context, Route, itself};
use super::sys::route;
use serde_json::{Value, json};
use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::token::{Bearer, Token};
use strongroom_core::{Access, Auth, Cidr, CoreError, Endpoint, Reply, boxed};
use strongroom_model::{SecretString, Ttl};

pub(super) const ROUTES: &[Route] = &[
    route!("create", [Write], Token, create::child, "Makes a token that descends from the caller's."),
    route!("create-orphan", [Write], Token, create::orphan, "Makes a token that outlives the caller's."),
    route!("create/{name}", [Write], Token, create::by_role, "Makes a token as the role says."),
    route!("roles", [List], Token, role::list, "Lists the token roles."),
    Route {
        endpoint: Endpoint {
            pattern: "roles/{name}",
            operations: &[Read, Write, Delete],
            access: Access::Token,
            help: "Reads, writes or deletes a token role.",
        },
        object: role::object,
        handler: |context| -> Answer<'_> { boxed(|| role::one(context)) },
    },
    route!("lookup", [Read, Write], Token, lookup, "Tells about a token."),
    route!("lookup-self", [Read, Write], Token, lookup_self, "Tells about the caller's token."),
    route!("lookup-accessor", [Read, Write], Token, lookup_accessor, "Tells about the token behind an accessor."),
    route!("renew", [Write], Token, renew, "Prolongs a token."),
    route!("renew-self", [Write], Token, renew_self, "Prolongs the caller's token."),
    route!("renew-accessor", [Write], Token, renew_accessor, "Prolongs the token behind an accessor."),
    route!("revoke", [Write], Token, revoke, "Revokes a token and everything that descends from it."),
    route!(
        "revoke-self",
        [Write],
        Token,
        revoke_self,
        "Revokes the caller's token and everything that descends from it."
    ),
    route!("revoke-accessor", [Write], Token, revoke_accessor, "Revokes the token behind an accessor."),
    route!("revoke-orphan", [Write], Sudo, revoke_orphan, "Revokes a token and leaves what descends from it."),
    route!("accessors", [List], Sudo, accessors, "Lists the accessors of all tokens."),
    route!("tidy", [Write], Token, tidy, "Removes index entries that lead to no token."),
];

/// Of the token sent, or of the caller's when none is, as in Vault.
async fn lookup(context: Context<'_>) -> Result<Reply, CoreError> {
    let Some(token) = context.fields.secret("token")? else { return lookup_self(context).await };
    let bearer = context.open.tokens.find(&token).await?;
    let bearer = bearer.ok_or_else(|| CoreError::DeniedBecause("bad token".to_owned()))?;
    Ok(Reply::data(shown(&bearer, Some(&token), context.vault)))
}

async fn lookup_self(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = context.grant.require_bearer()?;
    let token = context.grant.credential();
    Ok(Reply::data(shown(bearer, token, context.vault)))
}

async fn lookup_accessor(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = behind_accessor(&context).await?;
    Ok(Reply::data(shown(&bearer, None, context.vault)))
}

fn shown(bearer: &Bearer, id: Option<&SecretString>, vault: &super::Vault) -> Value {
    let token: &Token = bearer.token();
    let now = vault.strongroom.clock().now();
    let mut shown = json!({
        "id": id.map(SecretString::expose).unwrap_or_default(),
        "accessor": token.accessor,
        "policies": token.policies,
        "path": token.path,
        "meta": if token.metadata.is_empty() { Value::Null } else { json!(token.metadata) },
        "display_name": token.display_name,
        "num_uses": token.uses_left,
        "orphan": token.parent.is_none(),
        "creation_time": token.created.secs(),
        "creation_ttl": token.creation_ttl.secs(),
        "expire_time": token.expires,
        "ttl": token.ttl_left(now).secs(),
        "explicit_max_ttl": token.explicit_max_ttl.secs(),
        "entity_id": token.entity.map(|id| id.to_string()).unwrap_or_default(),
        "type": token.token_type,
    });
    let Some(map) = shown.as_object_mut() else { return shown };
    if token.expires.is_some() {
        map.insert("issue_time".into(), json!(token.created));
        map.insert("renewable".into(), json!(token.renewable));
    }
    if let Some(renewed) = token.renewed {
        map.insert("last_renewal".into(), json!(renewed));
        map.insert("last_renewal_time".into(), json!(renewed.secs()));
    }
    if !token.period.is_zero() {
        map.insert("period".into(), json!(token.period.secs()));
    }
    if let Some(role) = &token.role {
        map.insert("role".into(), json!(role));
    }
    if !token.bound_cidrs.is_empty() {
        map.insert("bound_cidrs".into(), json!(token.bound_cidrs.iter().map(Cidr::to_string).collect::<Vec<_>>()));
    }
    if !bearer.identity_policies().is_empty() {
        map.insert("identity_policies".into(), json!(bearer.identity_policies()));
    }
    shown
}

async fn renew(context: Context<'_>) -> Result<Reply, CoreError> {
    let token = sent_token(&context)?;
    let bearer = context.open.tokens.find(&token).await?;
    let bearer = bearer.ok_or_else(|| CoreError::Invalid("token not found".to_owned()))?;
    prolong(&context, &bearer, token).await
}

async fn renew_self(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = context.grant.require_bearer()?;
    let token = context.grant.credential().map(SecretString::duplicate).ok_or(CoreError::Denied)?;
    prolong(&context, bearer, token).await
}

async fn renew_accessor(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = by_accessor(&context).await?;
    prolong(&context, &bearer, SecretString::new(String::new())).await
}

async fn prolong(context: &Context<'_>, bearer: &Bearer, token: SecretString) -> Result<Reply, CoreError> {
    let increment: Ttl = context.fields.ttl("increment")?.unwrap_or_default();
    let (auth, warnings): (Auth, _) = context.open.tokens.renew(bearer, token, increment).await?;
    Ok(Reply { auth: Some(auth), warnings, ..Reply::default() })
}

async fn revoke(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.tokens.revoke(&sent_token(&context)?).await?;
    Ok(Reply::empty())
}

async fn revoke_self(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.tokens.revoke(context.grant.credential().ok_or(CoreError::Denied)?).await?;
    Ok(Reply::empty())
}

async fn revoke_accessor(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = behind_accessor(&context).await?;
    // What has an accessor is stored.
    let key = bearer.key().ok_or(CoreError::Internal("a token with an accessor and without a name"))?;
    context.open.tokens.revoke_tree(key).await?;
    Ok(Reply::empty())
}

async fn revoke_orphan(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = context.open.tokens.find(&sent_token(&context)?).await?;
    let bearer = bearer.ok_or_else(|| CoreError::Invalid("token to revoke not found".to_owned()))?;
    let key = bearer.key().ok_or_else(|| CoreError::Invalid("batch tokens cannot be revoked".to_owned()))?;
    context.open.tokens.revoke_orphan(key).await?;
    Ok(Reply::empty())
}

/// Vault starts it and answers at once; here it is done when the answer comes.
async fn tidy(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(match context.open.tokens.tidy(context.grant).await? {
        Some(tidied) => Reply::data(json!({ "entries_seen": tidied.seen, "entries_removed": tidied.removed })),
        None => Reply::empty().warn("Tidy operation already in progress."),
    })
}

async fn accessors(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.tokens.accessors().await?)
}

fn sent_token(context: &Context<'_>) -> Result<SecretString, CoreError> {
    context.fields.secret("token")?.ok_or_else(|| CoreError::Invalid("missing token ID".to_owned()))
}

async fn by_accessor(context: &Context<'_>) -> Result<Bearer, CoreError> {
    let bearer = context.open.tokens.by_accessor(&sent_accessor(context)?).await?;
    bearer.ok_or_else(unknown_accessor)
}

/// Of a token that is refused, too: who sees its accessor in the list must be able to end it.
async fn behind_accessor(context: &Context<'_>) -> Result<Bearer, CoreError> {
    let bearer = context.open.tokens.behind_accessor(&sent_accessor(context)?).await?;
    bearer.ok_or_else(unknown_accessor)
}

fn sent_accessor(context: &Context<'_>) -> Result<String, CoreError> {
    let accessor = context.fields.text("accessor")?.filter(|accessor| !accessor.is_empty());
    accessor.ok_or_else(|| CoreError::Invalid("missing accessor".to_owned()))
}

fn unknown_accessor() -> CoreError {
    CoreError::Invalid("invalid accessor".to_owned())
}
