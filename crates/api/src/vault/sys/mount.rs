use crate::vault::route::Context;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_core::mount::{Mount, MountClass, MountConfig, MountSpec};
use strongroom_core::{CoreError, Fields, Operation, Reply};
use strongroom_model::{MountPath, RequestId, RequestPath};

/// `sys/mounts`.
pub(super) async fn list_secret(context: Context<'_>) -> Result<Reply, CoreError> {
    list(&context, MountClass::Secret)
}

/// `sys/auth`.
pub(super) async fn list_auth(context: Context<'_>) -> Result<Reply, CoreError> {
    list(&context, MountClass::Auth)
}

/// `sys/mounts/PATH`.
pub(super) async fn secret(context: Context<'_>) -> Result<Reply, CoreError> {
    let text = context.captures.get("path").to_owned();
    if context.operation == Operation::Write {
        return enable(context, MountPath::parse_unreserved(&text)?, MountClass::Secret).await;
    }
    one(context, MountPath::parse(&text)?, MountClass::Secret, "No secret engine mount at").await
}

/// `sys/auth/PATH`.
pub(super) async fn auth(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = MountPath::auth(context.captures.get("path"))?;
    if context.operation == Operation::Write {
        return enable(context, path, MountClass::Auth).await;
    }
    one(context, path, MountClass::Auth, "No auth engine at").await
}

/// `sys/mounts/PATH/tune`.
pub(super) async fn tune_secret(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = MountPath::parse(context.captures.get("path"))?;
    tune(context, path).await
}

/// `sys/auth/PATH/tune`.
pub(super) async fn tune_auth(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = MountPath::auth(context.captures.get("path"))?;
    tune(context, path).await
}

/// `sys/remount`: both paths as they are typed, auth methods with `auth/` in front.
pub(super) async fn remount(context: Context<'_>) -> Result<Reply, CoreError> {
    let from = MountPath::parse(&context.fields.text("from")?.ok_or(CoreError::Missing("from"))?)?;
    let to = context.fields.text("to")?.ok_or(CoreError::Missing("to"))?;
    let to = match (from.as_str().strip_prefix("auth/"), to.strip_prefix("auth/")) {
        (Some(_), Some(name)) => MountPath::auth(name)?,
        (None, None) => MountPath::parse_unreserved(&to)?,
        _ => {
            return Err(CoreError::Invalid(
                "a secrets engine cannot become an auth method, nor the reverse".to_owned(),
            ));
        }
    };
    let target = to.clone();
    context.open.leases.relocate(context.grant, &from, to).await?;
    let id = context.grant.visit().request;
    context.vault.moves.note(id, from, target);
    Ok(Reply::data(json!({ "migration_id": id })))
}

/// `sys/remount/status/ID`: a mount is moved at once, so that a move that is known is done.
pub(super) async fn remount_status(context: Context<'_>) -> Result<Reply, CoreError> {
    let id = context.captures.get("id");
    let (from, to) = context.vault.moves.find(id).ok_or(CoreError::Nothing)?;
    Ok(Reply::data(json!({
        "migration_id": id,
        "migration_info": { "source_mount": from.with_slash(), "target_mount": to.with_slash(), "status": "success" },
    })))
}

/// The latest moves of mounts, by their ids; forgotten at the end of the process, as in Vault.
#[derive(Default)]
pub(in crate::vault) struct Moves(Mutex<VecDeque<(RequestId, MountPath, MountPath)>>);

impl Moves {
    /// How many are remembered.
    const MOST: usize = 256;

    fn note(&self, id: RequestId, from: MountPath, to: MountPath) {
        let mut moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moves.push_back((id, from, to));
        if moves.len() > Self::MOST {
            moves.pop_front();
        }
    }

    fn find(&self, id: &str) -> Option<(MountPath, MountPath)> {
        let moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moves.iter().find(|(known, ..)| known.to_string() == id).map(|(_, from, to)| (from.clone(), to.clone()))
    }
}

/// `sys/internal/ui/mounts`: what the caller has anything to do with; without a token, what is marked as visible.
pub(super) async fn visible(context: Context<'_>) -> Result<Reply, CoreError> {
    let show = if context.grant.bearer().is_some() { brief } else { for_anybody };
    let shown = |class: MountClass| {
        let mounts = context.open.mounts.table().of(class);
        let pairs = mounts.iter().filter(|mount| may_see(&context, mount)).map(|mount| (key(mount), show(mount)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    Ok(Reply::data(json!({ "secret": shown(MountClass::Secret), "auth": shown(MountClass::Auth) })))
}

/// `sys/internal/ui/mounts/PATH`: what the command line asks before every KV command. A path that the caller may not
/// know of, and one that is not there, are answered alike.
pub(super) async fn preflight(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = RequestPath::parse(context.captures.get("path"))?;
    let refused = || {
        CoreError::DeniedBecause(format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}/\""
        ))
    };
    let resolved = context.open.mounts.table().resolve(&path);
    match resolved {
        Some((mount, _)) if context.grant.bearer().is_some() && may_see(&context, &mount) => {
            let mut shown = brief(&mount);
            if let Some(map) = shown.as_object_mut() {
                map.insert("path".to_owned(), json!(mount.path.with_slash()));
            }
            Ok(Reply::data(shown))
        }
        _ => Err(refused()),
    }
}

pub(super) fn may_see(context: &Context<'_>, mount: &Mount) -> bool {
    match context.grant.acl() {
        Some(acl) => acl.touches(mount.path.as_str()),
        None => mount.config.listing_visibility == "unauth",
    }
}

/// No accessor and no settings for who has no token, as in Vault.
fn for_anybody(mount: &Mount) -> Value {
    json!({ "type": mount.kind, "description": mount.description, "options": options(mount) })
}

fn brief(mount: &Mount) -> Value {
    json!({
        "type": mount.kind, "description": mount.description, "accessor": mount.accessor, "uuid": mount.id,
        "options": options(mount), "config": mount.config.shown(mount.class), "local": mount.local,
        "seal_wrap": mount.seal_wrap, "external_entropy_access": false,
    })
}

fn options(mount: &Mount) -> Value {
    if mount.options.is_empty() { Value::Null } else { json!(mount.options) }
}

/// A mount as `sys/mounts` and `sys/auth` list it.
fn full(mount: &Mount) -> Value {
    let mut shown = brief(mount);
    if let Some(map) = shown.as_object_mut() {
        for name in ["plugin_version", "running_plugin_version", "running_sha256"] {
            map.insert(name.to_owned(), json!(""));
        }
        map.insert("deprecation_status".to_owned(), json!("supported"));
    }
    shown
}

fn key(mount: &Mount) -> String {
    let path = mount.path.with_slash();
    path.strip_prefix("auth/").filter(|_| mount.class == MountClass::Auth).map(str::to_owned).unwrap_or(path)
}

fn list(context: &Context<'_>, class: MountClass) -> Result<Reply, CoreError> {
    let mounts = context.open.mounts.table().of(class);
    let shown: Map<_, _> = mounts.iter().map(|mount| (key(mount), full(mount))).collect();
    Ok(Reply::data(Value::Object(shown)))
}

/// Reads or removes a mount of the class. `sys/mounts/auth/approle` is not another way to remove `sys/auth/approle`, which
/// needs `sudo`. It shows it, as in Vault: the Go client and Terraform read an auth method there, and `sys/auth` shows all of
/// them without `sudo` too.
async fn one(context: Context<'_>, path: MountPath, class: MountClass, missing: &str) -> Result<Reply, CoreError> {
    let mount: Option<Arc<Mount>> = context.open.mounts.table().at(&path).cloned();
    if context.operation == Operation::Delete {
        if mount.is_some_and(|mount| mount.class != class) {
            return Err(CoreError::Invalid(format!("cannot unmount \"{}\"", path.with_slash())));
        }
        context.open.mounts.disable(context.grant, &path).await?;
        context.open.wake_housekeeping();
        return Ok(Reply::empty());
    }
    match mount {
        Some(mount) => Ok(Reply::data(full(&mount))),
        None => Err(CoreError::Invalid(format!("{missing} {}", context.captures.get("path")))),
    }
}

async fn enable(context: Context<'_>, path: MountPath, class: MountClass) -> Result<Reply, CoreError> {
    let fields = context.fields;
    let mut config = MountConfig::default();
    config.update(&fields.object("config")?.unwrap_or_default())?;
    let spec = MountSpec {
        kind: fields
            .text("type")?
            .filter(|kind| !kind.is_empty())
            .ok_or_else(|| CoreError::Invalid("backend type must be specified as a string".to_owned()))?,
        description: fields.text_or_empty("description")?,
        options: fields.text_map("options")?.unwrap_or_default(),
        config,
        local: fields.flag("local")?.unwrap_or(false),
        seal_wrap: fields.flag("seal_wrap")?.unwrap_or(false),
    };
    context.open.mounts.enable(context.grant, path, class, spec).await?;
    Ok(Reply::empty())
}

async fn tune(context: Context<'_>, path: MountPath) -> Result<Reply, CoreError> {
    if context.operation == Operation::Read {
        let mount = context.open.mounts.table().at(&path).cloned();
        let mount = mount.ok_or_else(|| CoreError::Invalid(format!("no mount at \"{}\"", path.with_slash())))?;
        return Ok(Reply::data(Value::Object(tuned(&mount, context.vault.system_ttls()))));
    }
    let fields = context.fields;
    context.open.mounts.tune(context.grant, &path, |mount| retune(mount, fields)).await?;
    Ok(Reply::empty())
}

fn retune(mount: &mut Mount, fields: &Fields) -> Result<(), CoreError> {
    mount.config.update(fields)?;
    mount.description = fields.text("description")?.unwrap_or_else(|| mount.description.clone());
    let Some(options) = fields.text_map("options")? else { return Ok(()) };
    match (
        mount.kind.as_str(),
        mount.options.get("version").map(String::as_str),
        options.get("version").map(String::as_str),
    ) {
        // Both versions keep secrets in the same store, so nothing is moved: what was the value is version 1 or later.
        ("kv", Some(now), Some(wanted)) if now != wanted && (now, wanted) != ("1", "2") => Err(CoreError::Invalid(
            "a kv mount can be upgraded from version 1 to 2 and to no other: mount a new one and copy".to_owned(),
        )),
        _ => {
            mount.options.extend(options);
            Ok(())
        }
    }
}

/// A mount's settings as `tune` shows them: TTLs are those in force, not zero for "as the system says".
fn tuned(mount: &Mount, (default, longest): (u64, u64)) -> Map<String, Value> {
    let mut shown = mount.config.shown(mount.class);
    let in_force = |own: u64, system: u64| if own == 0 { system } else { own };
    shown.insert("default_lease_ttl".into(), json!(in_force(mount.config.default_lease_ttl, default)));
    shown.insert("max_lease_ttl".into(), json!(in_force(mount.config.max_lease_ttl, longest)));
    shown.insert("description".into(), json!(mount.description));
    if let Some(lockout) = &mount.config.lockout {
        shown.remove("user_lockout_config");
        shown.extend(lockout.shown());
    }
    if !mount.options.is_empty() {
        shown.insert("options".into(), json!(mount.options));
    }
    shown
}
