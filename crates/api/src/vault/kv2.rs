//! Versioned secrets as KV version 2 spells them: `data/`, `metadata/`, `delete/`, `undelete/`, `destroy/`, `subkeys/`
//! and `config` below a mount. Fields, texts and gaps are those of Vault 1.16; only spelling happens here.

use super::route::{Answer, Context, Route, itself};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_core::Operation::{self, Delete, List, Patch, Read, Write};
use strongroom_core::secret::{
    CustomChange, KvConfigChange, Lifetime, MetadataChange, SecretMetadata, SecretValue, Seen, VersionInfo,
    VersionMetadata, WriteOptions,
};
use strongroom_core::{Access, Captures, CoreError, Endpoint, Fields, Object, Reply, SecretAct, boxed};
use strongroom_model::{FolderPath, SecretPath, Timestamp, Ttl, TtlError, VersionNumber, VersionSelector};

macro_rules! kv {
    ($pattern:literal, $operations:expr, $object:expr, $handler:ident, $help:literal) => {
        Route {
            endpoint: Endpoint { pattern: $pattern, operations: &$operations, access: Access::Token, help: $help },
            object: $object,
            handler: |context| -> Answer<'_> { strongroom_core::boxed(|| $handler(context)) },
        }
    };
}
pub(super) use kv;

pub(crate) const ROUTES: &[Route] = &[
    kv!("config", [Read, Write], itself, config, "Reads or changes what holds for all secrets of the mount."),
    kv!("data/{path..}", [Read, Write, Patch, Delete], of_data, data, "Reads, writes, patches or hides a secret."),
    kv!(
        "delete/{path..}",
        [Write],
        |captures, _| secret(captures, SecretAct::DeleteVersions),
        delete,
        "Hides versions."
    ),
    kv!(
        "undelete/{path..}",
        [Write],
        |captures, _| secret(captures, SecretAct::Undelete),
        undelete,
        "Shows hidden versions again."
    ),
    kv!("destroy/{path..}", [Write], |captures, _| secret(captures, SecretAct::Destroy), destroy, "Shreds versions."),
    kv!("metadata", [List], of_folder, list, "Lists the names at the top of the mount."),
    kv!(
        "metadata/{path..}",
        [Read, Write, Patch, Delete, List],
        of_metadata,
        metadata,
        "Reads or changes what is known of a secret, shreds it with all versions, or lists a folder."
    ),
    kv!(
        "subkeys/{path..}",
        [Read],
        |captures, _| secret(captures, SecretAct::Subkeys),
        subkeys,
        "Reads a secret's field names."
    ),
];

pub(super) fn secret(captures: &Captures, act: SecretAct) -> Result<Object, CoreError> {
    Ok(Object::Secret { path: SecretPath::parse(captures.get("path"))?, act })
}

pub(super) fn of_folder(captures: &Captures, _operation: Operation) -> Result<Object, CoreError> {
    Ok(Object::Folder { path: FolderPath::parse(captures.get("path"))? })
}

fn of_data(captures: &Captures, operation: Operation) -> Result<Object, CoreError> {
    let act = match operation {
        Read => SecretAct::Read,
        Write => SecretAct::Write,
        Patch => SecretAct::Patch,
        Delete => SecretAct::DeleteCurrent,
        List => return Err(CoreError::Unsupported),
    };
    secret(captures, act)
}

fn of_metadata(captures: &Captures, operation: Operation) -> Result<Object, CoreError> {
    let act = match operation {
        Read => SecretAct::ReadMetadata,
        Write => SecretAct::WriteMetadata,
        Patch => SecretAct::PatchMetadata,
        Delete => SecretAct::DeleteAll,
        List => return of_folder(captures, operation),
    };
    secret(captures, act)
}

async fn data(context: Context<'_>) -> Result<Reply, CoreError> {
    match context.operation {
        Read | List => read_data(&context).await,
        // Boxed: reads are many, and each would carry room for a change.
        Write => boxed(|| write_data(context)).await,
        Patch => boxed(|| patch_data(context)).await,
        Delete => boxed(|| context.open.secrets.delete_current(context.grant)).await.map(|()| Reply::empty()),
    }
}

async fn read_data(context: &Context<'_>) -> Result<Reply, CoreError> {
    let secrets = &context.open.secrets;
    match secrets.read_text(context.grant, &selector(context.fields)?, metadata_text).await? {
        Seen::Here(version) => {
            let number = Some(version.info.number.get());
            match version.value {
                Ok(text) => Ok(Reply { version: number, ..Reply::text(text) }),
                Err(value) => {
                    let reply = shown("data", Value::Object(object(value)), &version.info);
                    Ok(reply.of_version("data", version.words))
                }
            }
        }
        Seen::Gone(info) => Ok(Reply { gone: true, ..shown("data", Value::Null, &info) }),
    }
}

async fn write_data(context: Context<'_>) -> Result<Reply, CoreError> {
    let cas = cas(context.fields)?;
    let value = SecretValue::Object(sent_data(context.fields)?);
    let options = WriteOptions { cas, ..WriteOptions::default() };
    Ok(written(&context.open.secrets.write(context.grant, &value, options).await?))
}

async fn patch_data(context: Context<'_>) -> Result<Reply, CoreError> {
    let patch = sent_data(context.fields)?;
    match context.open.secrets.patch(context.grant, &patch, cas(context.fields)?).await? {
        Seen::Here(version) => Ok(written(&version.info)),
        Seen::Gone(info) => Ok(Reply { gone: true, ..written(&info) }),
    }
}

async fn subkeys(context: Context<'_>) -> Result<Reply, CoreError> {
    let depth = context.fields.int("depth")?.unwrap_or(0);
    let depth = u64::try_from(depth).unwrap_or(0);
    match context.open.secrets.subkeys(context.grant, &selector(context.fields)?, depth).await? {
        Seen::Here(version) => Ok(shown("subkeys", Value::Object(version.value.into_map()), &version.info)),
        Seen::Gone(info) => Ok(Reply { gone: true, ..shown("subkeys", Value::Null, &info) }),
    }
}

async fn delete(context: Context<'_>) -> Result<Reply, CoreError> {
    let numbers = numbers(context.fields, "No version number provided")?;
    context.open.secrets.delete_versions(context.grant, &numbers).await.map(|()| Reply::empty())
}

async fn undelete(context: Context<'_>) -> Result<Reply, CoreError> {
    let numbers = numbers(context.fields, "No version number provided")?;
    context.open.secrets.undelete(context.grant, &numbers).await.map(|()| Reply::empty())
}

async fn destroy(context: Context<'_>) -> Result<Reply, CoreError> {
    let numbers = numbers(context.fields, "no version number provided")?;
    context.open.secrets.destroy(context.grant, &numbers).await.map(|()| Reply::empty())
}

pub(super) async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.secrets.list(context.grant).await?)
}

async fn metadata(context: Context<'_>) -> Result<Reply, CoreError> {
    let secrets = &context.open.secrets;
    let written = match context.operation {
        List => return list(context).await,
        Read => return Ok(known(&secrets.read_metadata(context.grant).await?)),
        Delete => return secrets.delete_all(context.grant).await.map(|()| Reply::empty()),
        Write => secrets.write_metadata(context.grant, &metadata_change(context.fields)?).await?,
        Patch => secrets.patch_metadata(context.grant, &metadata_patch(context.fields)?).await?,
    };
    if written.cas_overruled {
        return Ok(Reply::empty()
            .warn("\"cas_required\" set to false, but is mandated by backend config. This value will be ignored."));
    }
    Ok(Reply::empty())
}

async fn config(context: Context<'_>) -> Result<Reply, CoreError> {
    if context.operation == Write {
        let change = KvConfigChange {
            max_versions: max_versions(context.fields)?,
            cas_required: context.fields.flag("cas_required")?,
            delete_version_after: lifetime(context.fields)?,
        };
        return context.open.secrets.write_config(context.grant, change).await.map(|()| Reply::empty());
    }
    let config = context.open.secrets.read_config(context.grant).await?;
    let life = match config.delete_version_after {
        Lifetime::Unset => go_duration(Duration::ZERO),
        Lifetime::After(seconds) => go_duration(Duration::from_secs(seconds)),
        Lifetime::Never => "-1s".to_owned(),
    };
    Ok(Reply::data(json!({
        "max_versions": config.max_versions,
        "cas_required": config.cas_required,
        "delete_version_after": life,
    })))
}

/// The object under `data`. `null` is as good as nothing.
fn sent_data(fields: &Fields) -> Result<Fields, CoreError> {
    fields.object("data")?.ok_or_else(|| CoreError::Invalid("no data provided".to_owned()))
}

/// `options.cas`. Vault converts a negative number to an unsigned one, which no version has; so do we.
fn cas(fields: &Fields) -> Result<Option<u64>, CoreError> {
    let Some(options) = fields.object("options")? else { return Ok(None) };
    let number =
        options.int("cas").map_err(|_| CoreError::Invalid("error parsing check-and-set parameter".to_owned()))?;
    Ok(number.map(|number| u64::try_from(number).unwrap_or(u64::MAX)))
}

/// `version`; nothing, zero and below mean the current one.
fn selector(fields: &Fields) -> Result<VersionSelector, CoreError> {
    let number = fields.int("version")?.and_then(|number| u64::try_from(number).ok());
    Ok(number.and_then(VersionNumber::new).map_or(VersionSelector::Current, VersionSelector::Number))
}

/// `versions`: a list or comma-separated text. Numbers that no version can have are passed over, as Vault does.
fn numbers(fields: &Fields, otherwise: &str) -> Result<Vec<VersionNumber>, CoreError> {
    let sent = fields.list("versions")?.unwrap_or_default();
    if sent.is_empty() {
        return Err(CoreError::Invalid(otherwise.to_owned()));
    }
    let wrong = || CoreError::Field { field: "versions".to_owned(), problem: "must hold whole numbers".to_owned() };
    let parsed: Vec<i64> =
        sent.iter().map(|text| text.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    Ok(parsed.into_iter().filter_map(|number| VersionNumber::new(u64::try_from(number).ok()?)).collect())
}

fn max_versions(fields: &Fields) -> Result<Option<u32>, CoreError> {
    let too_many = || CoreError::Field { field: "max_versions".to_owned(), problem: "is too large".to_owned() };
    fields.count("max_versions")?.map(|number| u32::try_from(number).map_err(|_| too_many())).transpose()
}

/// The mount's `delete_version_after`: a negative span switches the deletion off for every secret.
fn lifetime(fields: &Fields) -> Result<Option<Lifetime>, CoreError> {
    let Some(value) = fields.value("delete_version_after") else { return Ok(None) };
    match Ttl::from_json(value) {
        Ok(span) if span.secs() == 0 => Ok(Some(Lifetime::Unset)),
        Ok(span) => Ok(Some(Lifetime::After(span.secs()))),
        Err(TtlError::Negative(_)) => Ok(Some(Lifetime::Never)),
        Err(_) => fields.ttl("delete_version_after").map(|_| None),
    }
}

fn metadata_change(fields: &Fields) -> Result<MetadataChange, CoreError> {
    let custom = fields.object("custom_metadata")?.map(|notes| {
        let note = |key: &String| Ok((key.clone(), notes.text(key).map_err(unfit)?.unwrap_or_default()));
        notes.map().keys().map(note).collect::<Result<BTreeMap<_, _>, CoreError>>()
    });
    Ok(MetadataChange { custom: custom.transpose()?.map(CustomChange::Replace), ..settings_change(fields)? })
}

/// As [`metadata_change`], but `null` says something: it takes a setting or a note back.
fn metadata_patch(fields: &Fields) -> Result<MetadataChange, CoreError> {
    let reset = |field: &str| fields.map().get(field).is_some_and(Value::is_null);
    let mut change = settings_change(fields)?;
    change.max_versions = change.max_versions.or(reset("max_versions").then_some(0));
    change.cas_required = change.cas_required.or(reset("cas_required").then_some(false));
    change.delete_version_after = change.delete_version_after.or(reset("delete_version_after").then_some(0));
    let custom = fields.object("custom_metadata")?.map(|notes| {
        let note = |key: &String| Ok((key.clone(), notes.text(key).map_err(unfit)?));
        notes.map().keys().map(note).collect::<Result<BTreeMap<_, _>, CoreError>>()
    });
    change.custom = match custom.transpose()? {
        Some(notes) => Some(CustomChange::Merge(notes)),
        None if reset("custom_metadata") => Some(CustomChange::Replace(BTreeMap::new())),
        None => None,
    };
    Ok(change)
}

fn settings_change(fields: &Fields) -> Result<MetadataChange, CoreError> {
    Ok(MetadataChange {
        max_versions: max_versions(fields)?,
        cas_required: fields.flag("cas_required")?,
        delete_version_after: fields.ttl("delete_version_after")?.map(Ttl::secs),
        custom: None,
    })
}

fn unfit(error: CoreError) -> CoreError {
    CoreError::Invalid(format!("custom_metadata validation failed: {error}"))
}

/// A value as Vault's clients can read it. Text and bytes come from other dialects: text that is a JSON object reads as
/// that, and other text and bytes stand alone under a name.
pub(super) fn object(value: SecretValue) -> Map<String, Value> {
    let (name, text) = match value.into_object() {
        Ok(fields) | Err(SecretValue::Object(fields)) => return fields.into_map(),
        Err(SecretValue::Text(text)) => ("value", text.expose().to_owned()),
        Err(SecretValue::Bytes(bytes)) => ("value_base64", base64(bytes.expose())),
    };
    [(name.to_owned(), Value::String(text))].into_iter().collect()
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The answer to a read: the value under a name, and beside it what is known of the version.
fn shown(name: &str, value: Value, info: &VersionInfo) -> Reply {
    let mut data = Map::new();
    data.insert(name.to_owned(), value);
    data.insert("metadata".to_owned(), version(info));
    Reply { version: Some(info.number.get()), facts: &["metadata"], ..Reply::data(Value::Object(data)) }
}

/// The answer to a write: what is known of the version.
fn written(info: &VersionInfo) -> Reply {
    Reply { version: Some(info.number.get()), facts: FACTS, ..Reply::data(version(info)) }
}

/// What is known of a version, by name. The notes of people are no facts.
const FACTS: &[&str] = &["created_time", "deletion_time", "destroyed", "version"];

fn version(info: &VersionInfo) -> Value {
    json!({
        "created_time": info.version.created,
        "custom_metadata": notes(&info.custom),
        "deletion_time": moment(info.version.deletion),
        "destroyed": info.version.destroyed,
        "version": info.number,
    })
}

fn metadata_text(info: &VersionInfo) -> String {
    version(info).to_string()
}

fn known(meta: &SecretMetadata) -> Reply {
    let version = |version: &VersionMetadata| {
        json!({
            "created_time": version.created,
            "deletion_time": moment(version.deletion),
            "destroyed": version.destroyed,
        })
    };
    let versions: Map<String, Value> =
        meta.versions.iter().map(|(number, one)| (number.to_string(), version(one))).collect();
    let current = meta.current().map_or(0, VersionNumber::get);
    let data = json!({
        "cas_required": meta.settings.cas_required,
        "created_time": meta.created,
        "current_version": current,
        "custom_metadata": notes(&meta.custom),
        "delete_version_after": go_duration(Duration::from_secs(meta.settings.delete_version_after)),
        "max_versions": meta.settings.max_versions,
        "oldest_version": meta.oldest,
        "updated_time": meta.updated,
        "versions": versions,
    });
    Reply::data(data)
}

/// No notes are `null`, not an empty object.
fn notes(custom: &BTreeMap<String, String>) -> Value {
    if custom.is_empty() { Value::Null } else { json!(custom) }
}

/// A time that may be missing, which Vault writes as empty text.
fn moment(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// A span of whole seconds as Go prints it: `0s`, `30m0s`, `1h0m5s`.
pub(super) fn go_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(map) => Fields::new(map),
            _ => panic!("not an object"),
        }
    }

    #[test]
    fn spans_print_as_go_prints_them() {
        for (seconds, text) in
            [(0, "0s"), (30, "30s"), (60, "1m0s"), (1_800, "30m0s"), (3_605, "1h0m5s"), (2_764_800, "768h0m0s")]
        {
            assert_eq!(go_duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_check_and_set_number_may_be_text_null_or_negative() {
        let sent = |cas: Value| cas_of(json!({"options": {"cas": cas}}));
        fn cas_of(value: Value) -> Result<Option<u64>, String> {
            cas(&fields(value)).map_err(|error| error.to_string())
        }
        assert_eq!(sent(json!(3)), Ok(Some(3)));
        assert_eq!(sent(json!("3")), Ok(Some(3)));
        assert_eq!(sent(json!(0)), Ok(Some(0)));
        assert_eq!(sent(json!(null)), Ok(None));
        assert_eq!(sent(json!(-1)), Ok(Some(u64::MAX)));
        assert_eq!(sent(json!({})), Err("error parsing check-and-set parameter".to_owned()));
        assert_eq!(cas_of(json!({"options": null})), Ok(None));
        assert_eq!(cas_of(json!({})), Ok(None));
    }

    #[test]
    fn version_numbers_come_as_a_list_or_as_text() {
        let sent = |versions: Value| {
            numbers(&fields(json!({ "versions": versions })), "none").map_err(|error| error.to_string())
        };
        let found = |versions| sent(versions).map(|found| found.iter().map(|number| number.get()).collect::<Vec<_>>());
        assert_eq!(found(json!([1, "3"])), Ok(vec![1, 3]));
        assert_eq!(found(json!("1, 3")), Ok(vec![1, 3]));
        assert_eq!(found(json!(2)), Ok(vec![2]));
        assert_eq!(found(json!([0, -4, 7])), Ok(vec![7]));
        assert_eq!(found(json!([])), Err("none".to_owned()));
        assert!(found(json!(["x"])).is_err_and(|text| text.contains("`versions`")));
    }

    #[test]
    fn null_in_a_patch_takes_back_and_in_a_write_says_nothing() {
        let sent = fields(json!({"max_versions": null, "cas_required": null, "custom_metadata": {"a": null, "b": 1}}));
        let patch = metadata_patch(&sent).unwrap();
        assert_eq!((patch.max_versions, patch.cas_required, patch.delete_version_after), (Some(0), Some(false), None));
        let Some(CustomChange::Merge(notes)) = patch.custom else { panic!("no merge") };
        assert_eq!(notes, [("a".to_owned(), None), ("b".to_owned(), Some("1".to_owned()))].into());
        let sent = fields(json!({"max_versions": null, "cas_required": null, "custom_metadata": null}));
        assert!(metadata_change(&sent).unwrap().is_empty());
        assert!(
            matches!(metadata_patch(&sent).unwrap().custom, Some(CustomChange::Replace(notes)) if notes.is_empty())
        );
    }
}
