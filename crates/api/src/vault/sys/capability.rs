use crate::vault::one_spelling;
use crate::vault::route::Context;
use serde_json::{Map, Value, json};
use strongroom_core::token::Bearer;
use strongroom_core::{CoreError, Open, Reply};
use strongroom_model::policy::Acl;
use strongroom_model::{Capability, RequestPath, SecretString};

/// `sys/capabilities`: of the token in the body.
pub(super) async fn of_token(context: Context<'_>) -> Result<Reply, CoreError> {
    let token = context.fields.secret("token")?.ok_or(CoreError::Missing("token"))?;
    let bearer = known(context.open.tokens.find(&token).await?)?;
    answer(&context, &bearer).await
}

/// `sys/capabilities-accessor`.
pub(super) async fn of_accessor(context: Context<'_>) -> Result<Reply, CoreError> {
    let accessor = context.fields.text("accessor")?.ok_or(CoreError::Missing("accessor"))?;
    let bearer = known(context.open.tokens.by_accessor(&accessor).await?)?;
    answer(&context, &bearer).await
}

/// `sys/capabilities-self`: of the caller; a token in the body is looked at only if it is the caller's.
pub(super) async fn of_self(context: Context<'_>) -> Result<Reply, CoreError> {
    let bearer = context.grant.require_bearer()?;
    let named: Option<SecretString> = context.fields.secret("token")?;
    let name = |token: &SecretString| context.open.tokens.key_of(token);
    if named.is_some_and(|token| context.grant.credential().map(name) != Some(name(&token))) {
        return Err(CoreError::Denied);
    }
    answer(&context, bearer).await
}

fn known(bearer: Option<Bearer>) -> Result<Bearer, CoreError> {
    bearer.ok_or_else(|| CoreError::Invalid("invalid token".to_owned()))
}

async fn answer(context: &Context<'_>, bearer: &Bearer) -> Result<Reply, CoreError> {
    let paths = context.fields.list("paths")?.or(context.fields.list("path")?).unwrap_or_default();
    if paths.is_empty() {
        return Err(CoreError::Invalid("paths must be supplied".to_owned()));
    }
    let acl = context.open.policies.acl(bearer.policies(), bearer.entity(), &context.open.identity).await?;
    let mut answer = Map::new();
    for path in &paths {
        answer.insert(path.clone(), json!(capabilities(context.open, &acl, path)?));
    }
    if let [only] = paths.as_slice() {
        let single = answer.get(only).cloned().unwrap_or(Value::Null);
        answer.insert("capabilities".to_owned(), single);
    }
    Ok(Reply::data(Value::Object(answer)))
}

fn capabilities(open: &Open, acl: &Acl, path: &str) -> Result<Vec<&'static str>, CoreError> {
    let typed = RequestPath::parse(path.strip_prefix('/').unwrap_or(path))?;
    let path = one_spelling(open, &typed).unwrap_or(typed);
    if acl.is_root() {
        return Ok(vec!["root"]);
    }
    let set = acl.capabilities(&path);
    if set.is_empty() || set.contains(Capability::Deny) {
        return Ok(vec!["deny"]);
    }
    Ok(set.iter().map(Capability::word).collect())
}
