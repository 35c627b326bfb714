//! `identity/`: entities and their aliases.

use super::route::{Context, Route, itself};
use super::sys::route;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::identity::{Alias, Entity, EntityChange};
use strongroom_core::{Access, CoreError, Endpoint, Fields, Operation, Reply, Stored};
use strongroom_model::{EntityId, EntityName, PolicyName};

pub(super) const ROUTES: &[Route] = &[
    route!("entity", [Write], Token, write_entity, "Makes or changes an entity."),
    route!("entity/id", [List], Token, list_ids, "Lists entities by id."),
    route!(
        "entity/id/{id}",
        [Read, Write, Delete],
        Token,
        entity_by_id,
        "Reads, changes or removes an entity by its id."
    ),
    route!("entity/batch-delete", [Write], Token, remove_many, "Removes entities by their ids."),
    route!("entity/merge", [Write], Token, merge, "Makes one entity out of several."),
    route!("entity/name", [List], Token, list_names, "Lists entities by name."),
    route!(
        "entity/name/{name..}",
        [Read, Write, Delete],
        Token,
        entity_by_name,
        "Reads, makes, changes or removes an entity by its name."
    ),
    route!("entity-alias", [Write], Token, write_alias, "Makes or changes an alias."),
    route!("entity-alias/id", [List], Token, list_aliases, "Lists aliases by id."),
    route!(
        "entity-alias/id/{id}",
        [Read, Write, Delete],
        Token,
        alias_by_id,
        "Reads, changes or removes an alias by its id."
    ),
    route!("lookup/entity", [Write], Token, lookup, "Finds an entity by id, name or alias."),
];

type Found = Option<Arc<Stored<Entity>>>;

async fn write_entity(context: Context<'_>) -> Result<Reply, CoreError> {
    let name = context.fields.text("name")?.filter(|name| !name.is_empty());
    let name = name.map(|name| EntityName::parse(&name)).transpose()?;
    let id = context.fields.text("id")?.filter(|id| !id.is_empty()).map(|id| parse_id(&id)).transpose()?;
    let known = match (&id, &name) {
        (Some(id), _) => Some(*id),
        (None, Some(name)) => context.open.identity.by_name(name).await?.map(|entity| entity.value.id),
        (None, None) => None,
    };
    save(context, known, name).await
}

async fn entity_by_id(context: Context<'_>) -> Result<Reply, CoreError> {
    if is_gone(&context) {
        return Ok(Reply::empty());
    }
    let id = parse_id(context.captures.get("id"))?;
    match context.operation {
        Operation::Read => Ok(Reply::data(shown(&context, context.open.identity.by_id(id).await?)?)),
        Operation::Delete => remove(context, Some(id)).await,
        _ => {
            let name = context.fields.text("name")?.filter(|name| !name.is_empty());
            let name = name.map(|name| EntityName::parse(&name)).transpose()?;
            save(context, Some(id), name).await
        }
    }
}

async fn entity_by_name(context: Context<'_>) -> Result<Reply, CoreError> {
    let name = EntityName::parse(context.captures.get("name"))?;
    let found: Found = context.open.identity.by_name(&name).await?;
    match context.operation {
        Operation::Read => Ok(Reply::data(shown(&context, found)?)),
        Operation::Delete => remove(context, found.map(|entity| entity.value.id)).await,
        _ => save(context, found.map(|entity| entity.value.id), Some(name)).await,
    }
}

async fn save(context: Context<'_>, known: Option<EntityId>, name: Option<EntityName>) -> Result<Reply, CoreError> {
    let change = change(context.fields)?;
    match known {
        Some(id) => {
            context.open.identity.update(context.grant, id, name, change).await?;
            Ok(Reply::empty())
        }
        None => {
            let entity = context.open.identity.create(context.grant, name, change).await?;
            Ok(Reply::data(json!({ "id": entity.id, "name": entity.name, "aliases": null })))
        }
    }
}

async fn remove(context: Context<'_>, id: Option<EntityId>) -> Result<Reply, CoreError> {
    if let Some(id) = id {
        context.open.identity.delete(context.grant, id).await?;
        context.open.wake_housekeeping();
    }
    Ok(Reply::empty())
}

/// Ids that are none are passed over, as those of entities that are gone.
async fn remove_many(context: Context<'_>) -> Result<Reply, CoreError> {
    let ids = context.fields.list("entity_ids")?.ok_or(CoreError::Missing("entity_ids"))?;
    for id in ids.iter().filter_map(|id| EntityId::parse(id)) {
        context.open.identity.delete(context.grant, id).await?;
        context.open.wake_housekeeping();
    }
    Ok(Reply::empty())
}

/// `force` is about secrets of second factors, of which there are none here.
async fn merge(context: Context<'_>) -> Result<Reply, CoreError> {
    let ids = |field: &'static str| -> Result<Vec<EntityId>, CoreError> {
        let texts = context.fields.list(field)?.unwrap_or_default();
        let parsed = texts.iter().map(|text| EntityId::parse(text));
        let wrong = || CoreError::Invalid(format!("{field} holds something that is no id"));
        parsed.map(|id| id.ok_or_else(wrong)).collect()
    };
    let (from, keep) = (ids("from_entity_ids")?, ids("conflicting_alias_ids_to_keep")?);
    let into = context.fields.text("to_entity_id")?.filter(|id| !id.is_empty());
    let into = into.ok_or_else(|| CoreError::Invalid("missing entity id to merge to".to_owned()))?;
    if from.is_empty() {
        return Err(CoreError::Invalid("missing entity ids to merge from".to_owned()));
    }
    let into =
        EntityId::parse(&into).ok_or_else(|| CoreError::Invalid("entity id to merge to is invalid".to_owned()))?;
    context.open.identity.merge(context.grant, into, &from, &keep).await?;
    context.open.wake_housekeeping();
    Ok(Reply::empty())
}

/// Whether something is to be removed under an id that can be nobody's: as in Vault, that is done already.
fn is_gone(context: &Context<'_>) -> bool {
    context.operation == Operation::Delete && EntityId::parse(context.captures.get("id")).is_none()
}

fn change(fields: &Fields) -> Result<EntityChange, CoreError> {
    let policies = fields.list("policies")?;
    let policies =
        policies.map(|names| names.iter().map(|name| PolicyName::parse(name)).collect::<Result<Vec<_>, _>>());
    Ok(EntityChange {
        policies: policies.transpose()?,
        metadata: fields.text_map("metadata")?,
        disabled: fields.flag("disabled")?,
    })
}

async fn list_ids(context: Context<'_>) -> Result<Reply, CoreError> {
    let entities = context.open.identity.list().await?;
    let info: Map<_, _> = entities.iter().map(|entity| (entity.id.to_string(), brief(&context, entity))).collect();
    keys(entities.iter().map(|entity| entity.id.to_string()).collect(), info)
}

async fn list_names(context: Context<'_>) -> Result<Reply, CoreError> {
    let mut names: Vec<String> =
        context.open.identity.list().await?.iter().map(|entity| entity.name.to_string()).collect();
    names.sort();
    Reply::keys(names)
}

async fn list_aliases(context: Context<'_>) -> Result<Reply, CoreError> {
    let entities = context.open.identity.list().await?;
    let aliases = entities.iter().flat_map(|entity| entity.aliases.iter().map(move |alias| (entity, alias)));
    let info: Map<_, _> =
        aliases.map(|(entity, alias)| (alias.id.to_string(), shown_alias(&context, entity, alias))).collect();
    keys(info.keys().cloned().collect(), info)
}

fn keys(keys: Vec<String>, info: Map<String, Value>) -> Result<Reply, CoreError> {
    if keys.is_empty() { Err(CoreError::Nothing) } else { Ok(Reply::data(json!({ "keys": keys, "key_info": info }))) }
}

fn brief(context: &Context<'_>, entity: &Entity) -> Value {
    let aliases: Vec<Value> = entity.aliases.iter().map(|alias| shown_alias(context, entity, alias)).collect();
    json!({ "name": entity.name, "aliases": aliases })
}

fn shown(context: &Context<'_>, found: Found) -> Result<Value, CoreError> {
    let found = found.ok_or(CoreError::Nothing)?;
    let entity = &found.value;
    let aliases: Vec<Value> = entity.aliases.iter().map(|alias| shown_alias(context, entity, alias)).collect();
    Ok(json!({
        "id": entity.id, "name": entity.name, "policies": entity.policies, "disabled": entity.disabled,
        "metadata": if entity.metadata.is_empty() { Value::Null } else { json!(entity.metadata) },
        "aliases": aliases, "creation_time": entity.created, "last_update_time": entity.updated,
        "group_ids": [], "direct_group_ids": [], "inherited_group_ids": [], "merged_entity_ids": or_null(&entity.merged),
        "namespace_id": "root", "bucket_key": "",
    }))
}

/// As Vault writes lists that hold nothing.
fn or_null(ids: &[EntityId]) -> Value {
    if ids.is_empty() { Value::Null } else { json!(ids) }
}

fn shown_alias(context: &Context<'_>, entity: &Entity, alias: &Alias) -> Value {
    let table = context.open.mounts.table();
    let mount = table.by_accessor(&alias.mount_accessor);
    json!({
        "id": alias.id, "name": alias.name, "canonical_id": entity.id, "mount_accessor": alias.mount_accessor,
        "mount_path": mount.map(|mount| mount.path.with_slash()).unwrap_or_default(),
        "mount_type": mount.map(|mount| mount.kind.clone()).unwrap_or_default(),
        "custom_metadata": if alias.custom_metadata.is_empty() { Value::Null } else { json!(alias.custom_metadata) },
        "metadata": null, "merged_from_canonical_ids": or_null(&alias.merged_from), "local": false, "namespace_id": "root",
        "creation_time": alias.created, "last_update_time": alias.updated,
    })
}

async fn write_alias(context: Context<'_>) -> Result<Reply, CoreError> {
    if let Some(id) = context.fields.text("id")?.filter(|id| !id.is_empty()) {
        return change_alias(context, parse_id(&id)?).await;
    }
    let fields = context.fields;
    let name = fields.text("name")?.filter(|name| !name.is_empty()).ok_or(CoreError::Missing("alias name"))?;
    let accessor = fields.text("mount_accessor")?.ok_or(CoreError::Missing("mount_accessor"))?;
    if context.open.mounts.table().by_accessor(&accessor).is_none() {
        return Err(CoreError::Invalid("invalid mount accessor".to_owned()));
    }
    let canonical = fields.text("canonical_id")?.or(fields.text("entity_id")?).filter(|id| !id.is_empty());
    let metadata = fields.text_map("custom_metadata")?.unwrap_or_default();
    let identity = &context.open.identity;
    let entity = match (canonical, identity.by_alias(&accessor, &name).await?) {
        (None, Some(known)) => return Ok(alias_reply(&known.value, &accessor)),
        (Some(id), Some(known)) if known.value.id.to_string() == id => return Ok(alias_reply(&known.value, &accessor)),
        (Some(id), _) => parse_id(&id)?,
        (None, None) => {
            let made = identity.create_with_alias(context.grant, &accessor, &name, metadata).await?;
            return Ok(alias_reply(&made.0, &accessor));
        }
    };
    let alias = identity.add_alias(context.grant, entity, &accessor, &name, metadata).await?;
    Ok(Reply::data(json!({ "id": alias.id, "canonical_id": entity })))
}

fn alias_reply(entity: &Entity, accessor: &str) -> Reply {
    let alias = entity.aliases.iter().find(|alias| alias.mount_accessor == accessor);
    Reply::data(json!({ "id": alias.map(|alias| alias.id), "canonical_id": entity.id }))
}

async fn alias_by_id(context: Context<'_>) -> Result<Reply, CoreError> {
    if is_gone(&context) {
        return Ok(Reply::empty());
    }
    let id = parse_id(context.captures.get("id"))?;
    match context.operation {
        Operation::Read => {
            let found = context.open.identity.by_alias_id(id).await?.ok_or(CoreError::Nothing)?;
            let alias = found.value.aliases.iter().find(|alias| alias.id == id).ok_or(CoreError::Nothing)?;
            Ok(Reply::data(shown_alias(&context, &found.value, alias)))
        }
        Operation::Delete => {
            context.open.identity.delete_alias(context.grant, id).await?;
            Ok(Reply::empty())
        }
        _ => change_alias(context, id).await,
    }
}

async fn change_alias(context: Context<'_>, id: EntityId) -> Result<Reply, CoreError> {
    let found = context
        .open
        .identity
        .by_alias_id(id)
        .await?
        .ok_or_else(|| CoreError::Invalid("invalid alias id".to_owned()))?;
    let canonical =
        context.fields.text("canonical_id")?.or(context.fields.text("entity_id")?).filter(|id| !id.is_empty());
    if canonical.is_some_and(|canonical| canonical != found.value.id.to_string()) {
        return Err(CoreError::Invalid(
            "an alias cannot be moved to another entity: delete it and make it anew there".to_owned(),
        ));
    }
    let alias = found.value.aliases.iter().find(|alias| alias.id == id);
    if let Some(accessor) = context.fields.text("mount_accessor")?.filter(|accessor| !accessor.is_empty()) {
        if context.open.mounts.table().by_accessor(&accessor).is_none() {
            return Err(CoreError::Invalid("invalid mount accessor".to_owned()));
        }
        if alias.is_some_and(|alias| alias.mount_accessor != accessor) {
            return Err(CoreError::Invalid(
                "an alias cannot be moved to another mount: delete it and make it anew there".to_owned(),
            ));
        }
    }
    let name = context.fields.text("name")?.filter(|name| !name.is_empty());
    context.open.identity.update_alias(context.grant, id, name, context.fields.text_map("custom_metadata")?).await?;
    Ok(Reply::data(json!({ "id": id, "canonical_id": found.value.id })))
}

async fn lookup(context: Context<'_>) -> Result<Reply, CoreError> {
    let fields = context.fields;
    let text = |field| fields.text(field).map(|text: Option<String>| text.filter(|text| !text.is_empty()));
    let identity = &context.open.identity;
    let found = if let Some(id) = text("id")? {
        match EntityId::parse(&id) {
            Some(id) => identity.by_id(id).await?,
            None => None,
        }
    } else if let Some(name) = text("name")? {
        identity.by_name(&EntityName::parse(&name)?).await?
    } else if let Some(id) = text("alias_id")? {
        match EntityId::parse(&id) {
            Some(id) => identity.by_alias_id(id).await?,
            None => None,
        }
    } else if let (Some(name), Some(accessor)) = (text("alias_name")?, text("alias_mount_accessor")?) {
        identity.by_alias(&accessor, &name).await?
    } else {
        return Err(CoreError::Invalid(
            "send one of: id, name, alias_id, or alias_name with alias_mount_accessor".to_owned(),
        ));
    };
    match found {
        None => Ok(Reply::empty()),
        some => Ok(Reply::data(shown(&context, some)?)),
    }
}

fn parse_id(text: &str) -> Result<EntityId, CoreError> {
    EntityId::parse(text).ok_or(CoreError::Nothing)
}
