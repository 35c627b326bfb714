//! `auth/token/roles`: token roles in Vault's words.

use crate::vault::route::Context;
use serde_json::{Value, json};
use strongroom_core::token::{PolicyGlob, RoleChange, TokenRole, TypeRule};
use strongroom_core::{Captures, Cidr, CoreError, Fields, Object, Operation, Reply};
use strongroom_model::{NameError, PolicyName, TokenRoleName, Ttl};

/// The role that a path names, as the gate sees it: policies tell the making of a role from its changing.
pub(super) fn object(captures: &Captures, _operation: Operation) -> Result<Object, CoreError> {
    Ok(Object::TokenRole { name: TokenRoleName::parse(captures.get("name"))? })
}

/// `auth/token/roles`.
pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.tokens.roles().await?)
}

/// `auth/token/roles/ROLE`.
pub(super) async fn one(context: Context<'_>) -> Result<Reply, CoreError> {
    let name = TokenRoleName::parse(context.captures.get("name"))?;
    match context.operation {
        Operation::Read => {
            let role = context.open.tokens.role(&name).await?.ok_or(CoreError::Nothing)?;
            Ok(Reply::data(shown(&role.value)))
        }
        Operation::Delete => {
            context.open.tokens.delete_role(context.grant, &name).await?;
            Ok(Reply::empty())
        }
        _ => {
            let mut warnings = doubled(context.fields);
            let change = change(context.fields)?;
            warnings.extend(context.open.tokens.write_role(context.grant, name, change).await?);
            Ok(Reply { warnings, ..Reply::default() })
        }
    }
}

/// Both spellings of the fields that Vault renamed carry the same value.
fn shown(role: &TokenRole) -> Value {
    let mut shown = json!({
        "name": role.name,
        "allowed_policies": role.allowed_policies,
        "allowed_policies_glob": role.allowed_policies_glob,
        "disallowed_policies": role.disallowed_policies,
        "disallowed_policies_glob": role.disallowed_policies_glob,
        "orphan": role.orphan,
        "renewable": role.renewable,
        "path_suffix": role.path_suffix,
        "allowed_entity_aliases": role.allowed_entity_aliases,
        "token_type": role.token_type.word(),
        "token_no_default_policy": role.no_default_policy,
        "period": role.period.secs(),
        "token_period": role.period.secs(),
        "explicit_max_ttl": role.explicit_max_ttl.secs(),
        "token_explicit_max_ttl": role.explicit_max_ttl.secs(),
    });
    let Some(map) = shown.as_object_mut() else { return shown };
    if !role.bound_cidrs.is_empty() {
        let networks = json!(role.bound_cidrs.iter().map(Cidr::to_string).collect::<Vec<_>>());
        map.insert("bound_cidrs".to_owned(), networks.clone());
        map.insert("token_bound_cidrs".to_owned(), networks);
    }
    if role.num_uses > 0 {
        map.insert("token_num_uses".to_owned(), json!(role.num_uses));
    }
    shown
}

/// Fields that Vault renamed: the new name, then the old one, which counts only when the new one is absent.
const RENAMED: [(&str, &str); 3] =
    [("token_period", "period"), ("token_bound_cidrs", "bound_cidrs"), ("token_explicit_max_ttl", "explicit_max_ttl")];

fn doubled(fields: &Fields) -> Vec<String> {
    let both = RENAMED.iter().filter(|(new, old)| fields.has(new) && fields.has(old));
    let warning = |(new, old): &(&str, &str)| {
        format!("Both '{new}' and deprecated '{old}' value supplied, ignoring the deprecated value")
    };
    both.map(warning).collect()
}

fn change(fields: &Fields) -> Result<RoleChange, CoreError> {
    let [period, bound_cidrs, explicit_max_ttl] = RENAMED.map(|(new, old)| if fields.has(new) { new } else { old });
    Ok(RoleChange {
        allowed_policies: names(fields, "allowed_policies", PolicyName::parse)?,
        allowed_policies_glob: names(fields, "allowed_policies_glob", PolicyGlob::parse)?,
        disallowed_policies: names(fields, "disallowed_policies", PolicyName::parse)?,
        disallowed_policies_glob: names(fields, "disallowed_policies_glob", PolicyGlob::parse)?,
        orphan: fields.flag("orphan")?,
        renewable: fields.flag("renewable")?,
        path_suffix: fields.text("path_suffix")?,
        allowed_entity_aliases: fields.list("allowed_entity_aliases")?,
        token_type: token_type(fields)?,
        no_default_policy: fields.flag("token_no_default_policy")?,
        num_uses: fields.count("token_num_uses")?,
        period: seconds(fields, period)?,
        explicit_max_ttl: seconds(fields, explicit_max_ttl)?,
        bound_cidrs: networks(fields, bound_cidrs)?,
    })
}

fn names<T>(
    fields: &Fields,
    field: &str,
    parse: fn(&str) -> Result<T, NameError>,
) -> Result<Option<Vec<T>>, CoreError> {
    let Some(texts) = fields.list(field)? else { return Ok(None) };
    let texts = texts.iter().filter(|text| !text.is_empty());
    Ok(Some(texts.map(|text| parse(text)).collect::<Result<_, _>>()?))
}

fn token_type(fields: &Fields) -> Result<Option<TypeRule>, CoreError> {
    let Some(word) = fields.text("token_type")? else { return Ok(None) };
    let unknown = || {
        let words = "`service`, `batch`, `default-service` or `default-batch`";
        CoreError::Field { field: "token_type".to_owned(), problem: format!("must be {words}") }
    };
    TypeRule::parse(&word).map(Some).ok_or_else(unknown)
}

/// A span in whole seconds: zero means "none", so what is shorter than a second must not become zero.
fn seconds(fields: &Fields, field: &str) -> Result<Option<Ttl>, CoreError> {
    let span = fields.ttl(field)?;
    if span.is_some_and(|span| span.secs() == 0 && !span.is_zero()) {
        let problem = "must be zero or at least one second".to_owned();
        return Err(CoreError::Field { field: field.to_owned(), problem });
    }
    Ok(span.map(|span| Ttl::from_secs(span.secs())))
}

fn networks(fields: &Fields, field: &str) -> Result<Option<Vec<Cidr>>, CoreError> {
    let Some(texts) = fields.list(field)? else { return Ok(None) };
    let wrong =
        |error| CoreError::Field { field: field.to_owned(), problem: format!("holds something that is {error}") };
    let texts = texts.iter().filter(|text| !text.is_empty());
    texts.map(|text| Cidr::parse(text).map_err(wrong)).collect::<Result<_, _>>().map(Some)
}
