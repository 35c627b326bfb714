//! `sys/access-keys` and `sys/aws/roles`: the keys that AWS's clients sign with, and the roles that they assume. A secret
//! is answered once, when it is made.

use crate::vault::route::Context;
use serde_json::{Value, json};
use strongroom_core::access_key::{
    AccessKey, AccessKeyId, AssumableRole, KeyChange, MadeKey, NewAccessKey, RoleChange, WebTrust,
};
use strongroom_core::{Cidr, CoreError, Fields, Operation, Reply};
use strongroom_model::{EntityId, EntityName, PolicyName, RoleName, Timestamp, Ttl};

/// `sys/access-keys`.
pub(super) async fn keys(context: Context<'_>) -> Result<Reply, CoreError> {
    let (open, grant, fields) = (context.open, context.grant, context.fields);
    if context.operation == Operation::List {
        let keys = open.access_keys.list(grant).await?;
        let ids: Vec<String> = keys.iter().map(|key| key.id.to_string()).collect();
        let info = keys.iter().map(|key| (key.id.to_string(), shown(key))).collect::<serde_json::Map<_, _>>();
        if ids.is_empty() {
            return Err(CoreError::Nothing);
        }
        return Ok(Reply::data(json!({ "keys": ids, "key_info": info })));
    }
    let new = NewAccessKey {
        name: fields.text("name")?.ok_or(CoreError::Missing("name"))?,
        entity: entity(&context).await?,
        policies: policies(fields, "policies")?.unwrap_or_default(),
        ttl: fields.ttl("ttl")?.unwrap_or_default(),
        bound_cidrs: cidrs(fields)?,
    };
    Ok(made(&open.access_keys.create(grant, new).await?))
}

/// `sys/access-keys/ID`.
pub(super) async fn key(context: Context<'_>) -> Result<Reply, CoreError> {
    let (open, grant, fields) = (context.open, context.grant, context.fields);
    let id = AccessKeyId::parse(context.captures.get("id"))?;
    match context.operation {
        Operation::Delete => open.access_keys.revoke(grant, &id).await.map(|()| Reply::empty()),
        Operation::Write => {
            let change = KeyChange { name: fields.text("name")?, disabled: fields.flag("disabled")? };
            let key = open.access_keys.update(grant, &id, change).await?;
            Ok(Reply::data(shown(&key)))
        }
        _ => Ok(Reply::data(shown(&open.access_keys.read(grant, &id).await?))),
    }
}

/// `sys/access-keys/ID/rotate`.
pub(super) async fn rotate(context: Context<'_>) -> Result<Reply, CoreError> {
    let id = AccessKeyId::parse(context.captures.get("id"))?;
    let overlap = context.fields.ttl("overlap")?.unwrap_or_default();
    Ok(made(&context.open.access_keys.rotate(context.grant, &id, overlap).await?))
}

/// `sys/aws/roles`.
pub(super) async fn roles(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.access_keys.roles(context.grant).await?)
}

/// `sys/aws/roles/NAME`.
pub(super) async fn role(context: Context<'_>) -> Result<Reply, CoreError> {
    let (keys, grant, fields) = (&context.open.access_keys, context.grant, context.fields);
    let name = RoleName::parse(context.captures.get("name"))?;
    match context.operation {
        Operation::Delete => keys.delete_role(grant, &name).await.map(|()| Reply::empty()),
        Operation::Write => {
            let change = RoleChange {
                policies: policies(fields, "policies")?,
                trusted: trusted(fields)?,
                max_session: fields.ttl("max_session")?,
                web: web(fields)?,
            };
            keys.write_role(grant, &name, change).await.map(|()| Reply::empty())
        }
        _ => {
            let role = keys.role(&name).await?.ok_or(CoreError::Nothing)?;
            Ok(Reply::data(shown_role(&role)))
        }
    }
}

/// The entity that is named by its id or its name.
async fn entity(context: &Context<'_>) -> Result<Option<EntityId>, CoreError> {
    let unknown = || CoreError::Invalid("there is no such entity: name one by its id or its name".to_owned());
    let Some(text) = context.fields.text("entity")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    if let Some(id) = EntityId::parse(&text) {
        return Ok(Some(id));
    }
    let found = context.open.identity.by_name(&EntityName::parse(&text).map_err(|_| unknown())?).await?;
    found.map(|found| Some(found.value.id)).ok_or_else(unknown)
}

fn policies(fields: &Fields, field: &str) -> Result<Option<Vec<PolicyName>>, CoreError> {
    let Some(names) = fields.list(field)? else { return Ok(None) };
    names.iter().map(|name| Ok(PolicyName::parse(name)?)).collect::<Result<_, CoreError>>().map(Some)
}

fn trusted(fields: &Fields) -> Result<Option<Vec<EntityId>>, CoreError> {
    let Some(ids) = fields.list("trusted_entities")? else { return Ok(None) };
    let wrong =
        || CoreError::Field { field: "trusted_entities".to_owned(), problem: "must hold ids of entities".to_owned() };
    ids.iter().map(|id| EntityId::parse(id).ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
}

/// The identity provider that a role trusts. Who changes one of these says all; an empty issuer takes the trust away.
fn web(fields: &Fields) -> Result<Option<Option<WebTrust>>, CoreError> {
    let Some(issuer) = fields.text("oidc_issuer")? else {
        let stray = ["oidc_audiences", "oidc_subjects", "oidc_keys", "oidc_keys_url", "oidc_ca", "oidc_internal"];
        return match stray.iter().any(|field| fields.has(field)) {
            true => Err(CoreError::Missing("oidc_issuer, which comes with all that is said of the identity provider")),
            false => Ok(None),
        };
    };
    if issuer.is_empty() {
        return Ok(Some(None));
    }
    let some = |field| fields.text(field).map(|text| text.filter(|text| !text.is_empty()));
    let keys = match fields.value("oidc_keys") {
        Some(set @ Value::Object(_)) => Some(set.to_string()),
        _ => some("oidc_keys")?,
    };
    Ok(Some(Some(WebTrust {
        issuer,
        audiences: fields.list("oidc_audiences")?.unwrap_or_default(),
        subjects: fields.list("oidc_subjects")?.unwrap_or_default(),
        keys,
        keys_url: some("oidc_keys_url")?,
        ca: some("oidc_ca")?,
        internal: fields.flag("oidc_internal")?.unwrap_or_default(),
    })))
}

fn cidrs(fields: &Fields) -> Result<Vec<Cidr>, CoreError> {
    let wrong = |_| CoreError::Field {
        field: "bound_cidrs".to_owned(),
        problem: "must hold networks, as 10.0.0.0/8".to_owned(),
    };
    fields.list("bound_cidrs")?.unwrap_or_default().iter().map(|text| Cidr::parse(text).map_err(wrong)).collect()
}

fn made(made: &MadeKey) -> Reply {
    let mut data = shown(&made.key);
    if let Some(map) = data.as_object_mut() {
        map.insert("secret_access_key".to_owned(), json!(made.secret.expose()));
    }
    Reply::data(data).warn("the secret is shown this once; whoever loses it rotates the key")
}

fn shown(key: &AccessKey) -> Value {
    let moment = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let day = key
        .last_used_day
        .map(|day| Timestamp::from_secs(day * 86_400).to_string().chars().take(10).collect::<String>());
    let ttl = |expires: Timestamp| Ttl(expires.since(key.created)).secs();
    json!({
        "access_key_id": key.id, "name": key.name, "policies": key.policies, "disabled": key.disabled,
        "entity_id": key.entity.map(|id| id.to_string()).unwrap_or_default(),
        "creation_time": key.created, "expire_time": moment(key.expires), "ttl": key.expires.map_or(0, ttl),
        "last_used": day.unwrap_or_default(),
        "bound_cidrs": key.bound_cidrs, "temporary": key.session.is_some(),
        "issued_by": key.session.as_ref().and_then(|session| session.issuer.as_ref()).map(|id| id.to_string()).unwrap_or_default(),
        "role": key.session.as_ref().and_then(|session| session.role.as_ref()).map(|role| role.to_string()).unwrap_or_default(),
    })
}

fn shown_role(role: &AssumableRole) -> Value {
    let trusted: Vec<String> = role.trusted.iter().map(ToString::to_string).collect();
    let mut data = json!({
        "name": role.name, "policies": role.policies, "trusted_entities": trusted,
        "max_session": role.max_session.secs(), "creation_time": role.created,
    });
    if let (Some(web), Some(map)) = (&role.web, data.as_object_mut()) {
        let mut put = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        put("oidc_issuer", json!(web.issuer));
        put("oidc_audiences", json!(web.audiences));
        put("oidc_subjects", json!(web.subjects));
        put("oidc_keys", json!(web.keys));
        put("oidc_keys_url", json!(web.keys_url));
        put("oidc_ca", json!(web.ca));
        put("oidc_internal", json!(web.internal));
    }
    data
}
