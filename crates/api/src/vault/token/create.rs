//! `auth/token/create` in its three ways: what the fields of Vault ask for. What becomes of it is the core's matter.

use crate::vault::route::Context;
use strongroom_core::token::{Means, TokenRequest};
use strongroom_core::{Auth, CoreError, Fields, Reply, Terms};
use strongroom_model::{PolicyName, TokenRoleName, TokenType, Ttl};

/// `auth/token/create`.
pub(super) async fn child(context: Context<'_>) -> Result<Reply, CoreError> {
    make(context, Means::Child).await
}

/// `auth/token/create-orphan`.
pub(super) async fn orphan(context: Context<'_>) -> Result<Reply, CoreError> {
    make(context, Means::Orphan).await
}

/// `auth/token/create/ROLE`.
pub(super) async fn by_role(context: Context<'_>) -> Result<Reply, CoreError> {
    let name = TokenRoleName::parse(context.captures.get("name"))?;
    make(context, Means::Role(name)).await
}

async fn make(context: Context<'_>, means: Means) -> Result<Reply, CoreError> {
    let request = requested(context.fields, means)?;
    let (auth, mut warnings) = context.open.tokens.make(context.grant, request).await?;
    warnings.extend(unwritten(&context, &auth).await?);
    Ok(Reply { auth: Some(auth), warnings, ..Reply::default() })
}

/// Policies that nobody has written yet give nothing, and a token may have them all the same.
async fn unwritten(context: &Context<'_>, auth: &Auth) -> Result<Vec<String>, CoreError> {
    let mut warnings = Vec::new();
    for policy in &auth.token_policies {
        if context.open.policies.source(policy).await?.is_none() {
            warnings.push(format!("Policy \"{policy}\" does not exist"));
        }
    }
    Ok(warnings)
}

fn requested(fields: &Fields, means: Means) -> Result<TokenRequest, CoreError> {
    let token_type = match fields.text_or_empty("type")?.as_str() {
        "" => None,
        "service" => Some(TokenType::Service),
        "batch" => Some(TokenType::Batch),
        _ => return Err(CoreError::Invalid("invalid 'token_type' value: use `service` or `batch`".to_owned())),
    };
    let ttl = fields.ttl("ttl")?.filter(|ttl| !ttl.is_zero());
    let terms = Terms {
        // `lease` is what old clients call it.
        ttl: ttl.or(fields.ttl("lease")?).unwrap_or(Ttl::ZERO),
        explicit_max_ttl: fields.ttl("explicit_max_ttl")?.unwrap_or_default(),
        period: fields.ttl("period")?.unwrap_or_default(),
        num_uses: fields.count("num_uses")?.unwrap_or(0),
        no_default_policy: fields.flag("no_default_policy")?.unwrap_or(false),
        token_type,
        ..Terms::default()
    };
    let policies = fields.list("policies")?.unwrap_or_default();
    let display_name = match fields.text_or_empty("display_name")?.as_str() {
        "" => "token".to_owned(),
        name => format!("token-{}", sanitised(name)),
    };
    Ok(TokenRequest {
        means,
        no_parent: fields.flag("no_parent")?.unwrap_or(false),
        id: fields.secret("id")?,
        policies: policies.iter().map(|name| PolicyName::parse(name)).collect::<Result<_, _>>()?,
        terms,
        renewable: fields.flag("renewable")?.unwrap_or(true),
        display_name,
        metadata: fields.text_map("meta")?.or(fields.text_map("metadata")?).unwrap_or_default(),
        entity_alias: fields.text("entity_alias")?.filter(|alias| !alias.is_empty()),
    })
}

/// A display name stands in logs and templates: letters, digits and dashes only, as in Vault.
fn sanitised(name: &str) -> String {
    let replaced: String = name.chars().take(256).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    replaced.trim_end_matches('-').to_owned()
}
