//! `auth/token/`: making, looking at, renewing and revoking tokens.

use super::route::{Context, Route, itself};
use super::sys::route;
use serde_json::{Value, json};
use strongroom_core::Operation::{List, Read, Write};
use strongroom_core::token::{Bearer, NewToken, Token};
use strongroom_core::{Access, Auth, Cidr, CoreError, Endpoint, Fields, Reply, Terms};
use strongroom_model::{PolicyName, SecretString, Ttl};

pub(super) const ROUTES: &[Route] = &[
    route!("create", [Write], Token, create, "Makes a token that descends from the caller's."),
    route!("create-orphan", [Write], Token, create_orphan, "Makes a token that outlives the caller's."),
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
];

async fn create(context: Context<'_>) -> Result<Reply, CoreError> {
    let orphan = context.fields.flag("no_parent")?.unwrap_or(false);
    if orphan && !context.grant.has_sudo() {
        return Err(CoreError::Invalid("root or sudo privileges required to create orphan token".to_owned()));
    }
    make(context, orphan).await
}

async fn create_orphan(context: Context<'_>) -> Result<Reply, CoreError> {
    make(context, true).await
}

async fn make(context: Context<'_>, orphan: bool) -> Result<Reply, CoreError> {
    let bearer = context.grant.require_bearer()?;
    if bearer.is_counted() {
        return Err(CoreError::Invalid("restricted use token cannot generate child tokens".to_owned()));
    }
    let new = requested(context.fields, bearer, context.grant.has_sudo(), orphan)?;
    let (auth, warnings) = context.open.tokens.issue(context.grant, new).await?;
    Ok(Reply { auth: Some(auth), warnings, ..Reply::default() })
}

/// What the fields ask for, within what the maker may give.
fn requested(fields: &Fields, maker: &Bearer, sudo: bool, orphan: bool) -> Result<NewToken, CoreError> {
    let operators_only =
        |field: &str| CoreError::Invalid(format!("root or sudo privileges required to specify `{field}`"));
    let id = fields.secret("id")?;
    if id.is_some() && !sudo {
        return Err(operators_only("id"));
    }
    let unfit =
        |id: &str| id.contains('.') || id.chars().any(|c| c.is_whitespace() || c.is_control()) || id.len() > 512;
    if id.as_ref().is_some_and(|id| unfit(id.expose())) {
        return Err(CoreError::Invalid(
            "custom token ID cannot contain dots, blanks or more than 512 characters".to_owned(),
        ));
    }
    let period = fields.ttl("period")?.unwrap_or_default();
    if !period.is_zero() && !sudo {
        return Err(operators_only("period"));
    }
    match fields.text_or_empty("type")?.as_str() {
        "" | "service" | "default-service" => {}
        "batch" => return Err(CoreError::Invalid("batch tokens are not available in this version".to_owned())),
        _ => return Err(CoreError::Invalid("type must be `service` or `batch`".to_owned())),
    }
    let (policies, no_default_policy) = policies(fields, maker, sudo)?;
    let terms = Terms {
        ttl: fields.ttl("ttl")?.or(fields.ttl("lease")?).unwrap_or_default(),
        explicit_max_ttl: fields.ttl("explicit_max_ttl")?.unwrap_or_default(),
        period,
        num_uses: fields.count("num_uses")?.unwrap_or(0),
        no_default_policy,
        // A child goes nowhere its parent may not.
        bound_cidrs: if orphan { Vec::new() } else { maker.token().bound_cidrs.clone() },
        ..Terms::default()
    };
    let endless = terms.ttl.is_zero() && terms.period.is_zero() && terms.explicit_max_ttl.is_zero();
    if endless && maker.token().expires.is_some() && policies.iter().any(PolicyName::is_root) {
        return Err(CoreError::Invalid("expiring root tokens cannot create non-expiring root tokens".to_owned()));
    }
    let display_name = match fields.text_or_empty("display_name")?.as_str() {
        "" => "token".to_owned(),
        name => format!("token-{}", sanitised(name)),
    };
    Ok(NewToken {
        id,
        policies,
        terms,
        renewable: fields.flag("renewable")?.unwrap_or(true),
        parent: (!orphan).then(|| maker.key()),
        entity: if orphan { None } else { maker.token().entity },
        display_name,
        metadata: fields.text_map("meta")?.or(fields.text_map("metadata")?).unwrap_or_default(),
        path: if orphan { "auth/token/create-orphan" } else { "auth/token/create" }.to_owned(),
        ..NewToken::default()
    })
}

/// The policies asked for, which must be those of the maker's token unless the maker has `sudo`; all of them when none
/// are asked for. Only a root token makes a root token. And whether `default` is to be left out: it is added to what the
/// maker's token has only if that has it too.
fn policies(fields: &Fields, maker: &Bearer, sudo: bool) -> Result<(Vec<PolicyName>, bool), CoreError> {
    let own = &maker.token().policies;
    let default = PolicyName::default_policy();
    let left_out = fields.flag("no_default_policy")?.unwrap_or(false);
    let asked = fields.list("policies")?.unwrap_or_default();
    let mut asked = asked.iter().map(|name| PolicyName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    if asked.iter().any(PolicyName::is_root) && !own.iter().any(PolicyName::is_root) {
        return Err(CoreError::Invalid("root tokens may not be created without parent token being root".to_owned()));
    }
    let inherits = asked.is_empty();
    if inherits {
        asked = own.clone();
    } else if !sudo && !asked.iter().all(|name| own.contains(name)) {
        return Err(CoreError::Invalid("child policies must be subset of parent".to_owned()));
    }
    if left_out {
        asked.retain(|name| *name != default);
    }
    let may_have_default = own.contains(&default) || (sudo && !inherits);
    Ok((asked, left_out || !may_have_default))
}

/// A display name stands in logs and templates: letters, digits and dashes only, as in Vault.
fn sanitised(name: &str) -> String {
    let replaced: String = name.chars().take(256).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    replaced.trim_end_matches('-').to_owned()
}

/// Of the token sent, or of the caller's when none is, as in Vault.
async fn lookup(context: Context<'_>) -> Result<Reply, CoreError> {
    let Some(token) = context.fields.secret("token")? else { return lookup_self(context).await };
    let bearer = context.open.tokens.bearer(context.open.tokens.key_of(&token)).await?;
    let bearer = bearer.ok_or_else(|| CoreError::DeniedBecause("bad token".to_owned()))?;
    Ok(Reply::data(shown(&bearer, Some(&token), context.vault)))
}

async fn lookup_self(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = context.grant.require_bearer()?;
    let token = context.grant.credential();
    Ok(Reply::data(shown(bearer, token, context.vault)))
}

async fn lookup_accessor(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = by_accessor(&context).await?;
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
    if !token.role.is_empty() {
        map.insert("role".into(), json!(token.role));
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
    let bearer = context.open.tokens.bearer(context.open.tokens.key_of(&token)).await?;
    let bearer = bearer.ok_or_else(|| CoreError::DeniedBecause("bad token".to_owned()))?;
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
    let token = sent_token(&context)?;
    context.open.tokens.revoke_tree(context.open.tokens.key_of(&token)).await?;
    Ok(Reply::empty())
}

async fn revoke_self(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.tokens.revoke_tree(context.grant.require_bearer()?.key()).await?;
    Ok(Reply::empty())
}

async fn revoke_accessor(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = by_accessor(&context).await?;
    context.open.tokens.revoke_tree(bearer.key()).await?;
    Ok(Reply::empty())
}

async fn revoke_orphan(context: Context<'_>) -> Result<Reply, CoreError> {
    let token = sent_token(&context)?;
    let key = context.open.tokens.key_of(&token);
    if context.open.tokens.bearer(key).await?.is_none() {
        return Err(CoreError::Invalid("token to revoke not found".to_owned()));
    }
    context.open.tokens.revoke_orphan(key).await?;
    Ok(Reply::empty())
}

async fn accessors(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.tokens.accessors().await?)
}

fn sent_token(context: &Context<'_>) -> Result<SecretString, CoreError> {
    context.fields.secret("token")?.ok_or_else(|| CoreError::Invalid("missing token ID".to_owned()))
}

async fn by_accessor(context: &Context<'_>) -> Result<Bearer, CoreError> {
    let accessor = context.fields.text("accessor")?.filter(|accessor| !accessor.is_empty());
    let accessor = accessor.ok_or_else(|| CoreError::Invalid("missing accessor".to_owned()))?;
    let bearer = context.open.tokens.by_accessor(&accessor).await?;
    bearer.ok_or_else(|| CoreError::Invalid("invalid accessor".to_owned()))
}
