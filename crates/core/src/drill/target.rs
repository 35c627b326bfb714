//! What a caller wants drilled, as far as they may: who could not read it is told that it is not there.

use super::record::{CredentialType, Key};
use super::{Drills, Rehearses};
use crate::mount::Mount;
use crate::plugin::SecretsEngine;
use crate::{CoreError, Grant};
use std::sync::Arc;
use strongroom_model::policy::{Acl, Question};
use strongroom_model::{Capability, RequestPath, SecretPath};

/// A target that is there.
pub(super) struct Target {
    pub(super) mount: Arc<Mount>,
    pub(super) key: Key,
    /// The path that policies speak of when it is read.
    pub(super) path: String,
    /// What can be tried on it, in the order in which that is done.
    pub(super) credentials: Vec<CredentialType>,
    pub(super) engine: Option<Arc<dyn SecretsEngine>>,
}

impl Target {
    /// How its engine's credentials are tried.
    pub(super) fn rehearses(&self) -> Result<&dyn Rehearses, CoreError> {
        let engine = self.engine.as_ref().and_then(|engine| engine.rehearses());
        engine.ok_or(CoreError::Internal("a drill of an engine that cannot be tried"))
    }

    /// Whether a policy can name its path, and nothing else by it.
    pub(super) fn has_plain_path(&self) -> bool {
        !self.path.contains(['*', '+', '{', '}', '"', '\\'])
    }

    /// The folder of a secret, with its slash.
    pub(super) fn folder(&self) -> &str {
        let name = self.key.name.as_str();
        name.rfind('/').and_then(|slash| name.get(..=slash)).unwrap_or_default()
    }
}

fn unknown() -> CoreError {
    CoreError::NotFound("there is no such secret or role, or you may not read it".to_owned())
}

/// Whether policies let somebody do this there.
pub(super) fn allows(acl: &Acl, path: &str, capability: Capability) -> bool {
    let Ok(path) = RequestPath::parse(path) else { return false };
    let question = Question { path: &path, capability, sudo: false, parameters: None, wrap_ttl: None };
    acl.decide(&question).granted
}

impl Drills {
    /// What somebody typed, if they could read it themselves.
    pub(super) async fn target(&self, grant: &Grant, typed: &str) -> Result<Target, CoreError> {
        let acl = grant.acl().ok_or(CoreError::Denied)?;
        let key = self.key_of(typed)?;
        let target = self.target_of(&key).await?;
        match target.filter(|target| allows(acl, &target.path, Capability::Read)) {
            Some(target) if target.has_plain_path() => Ok(target),
            Some(_) => Err(CoreError::Unfit(
                "what has one of * + { } \" or a backslash in its path cannot be drilled: policies read them otherwise"
                    .to_owned(),
            )),
            None => Err(unknown()),
        }
    }

    /// What was typed, taken apart by the mount that it lies in.
    pub(super) fn key_of(&self, typed: &str) -> Result<Key, CoreError> {
        let path = RequestPath::parse(typed.trim_matches('/'))?;
        let table = Arc::clone(&self.rooms.mounts.table());
        let (mount, below) = table.resolve(&path).ok_or_else(unknown)?;
        if mount.kind == "kv" {
            let name = match below.split_once('/') {
                Some(("data" | "metadata", name)) if mount.is_versioned_kv() => name,
                _ => below,
            };
            let name = SecretPath::parse(name).map_err(|_| unknown())?;
            return Ok(Key { mount: mount.id, name: name.as_str().to_owned(), is_secret: true });
        }
        let engine = table.engine(mount.id);
        let place = engine.as_ref().and_then(|engine| engine.rehearses()).and_then(|tried| tried.place(below));
        Ok(Key { mount: mount.id, name: place.unwrap_or_else(|| below.to_owned()), is_secret: false })
    }

    /// What is behind a key now; `None` when it is gone.
    pub(super) async fn target_of(&self, key: &Key) -> Result<Option<Target>, CoreError> {
        let Some(target) = self.place_of(key) else { return Ok(None) };
        let is_there = match (key.is_secret, SecretPath::parse(&key.name)) {
            (true, Ok(name)) => self.rooms.secrets.known(&target.mount, &name).await?.is_some(),
            (true, Err(_)) => false,
            (false, _) => match target.engine.as_ref().and_then(|engine| engine.rehearses()) {
                Some(tried) => tried.is_there(&key.name).await?,
                None => false,
            },
        };
        Ok(is_there.then_some(target))
    }

    /// Where a key leads to now, whether or not something is there; `None` when its mount is gone.
    pub(super) fn place_of(&self, key: &Key) -> Option<Target> {
        let table = Arc::clone(&self.rooms.mounts.table());
        let mount = table.by_id(key.mount).cloned()?;
        if !key.is_secret {
            let engine = table.engine(mount.id);
            let path = format!("{}/{}", mount.path, key.name);
            let credentials = vec![CredentialType::Login];
            return Some(Target { path, key: key.clone(), credentials, engine, mount });
        }
        let mut credentials = vec![CredentialType::Token, CredentialType::Principal];
        if mount.is_versioned_kv() {
            credentials.insert(0, CredentialType::SecretVersion);
            if self.doorway.get().is_ok_and(|door| door.region_of(&mount.path).is_some()) {
                credentials.push(CredentialType::AccessKey);
            }
        }
        let path = path_of(&mount, &key.name);
        Some(Target { path, key: key.clone(), credentials, engine: None, mount })
    }

    /// The path of a key, as its mount is called now; `None` when the mount is gone.
    pub(super) fn shown_path(&self, key: &Key) -> Option<String> {
        let table = self.rooms.mounts.table();
        let mount = table.by_id(key.mount)?;
        Some(if key.is_secret { path_of(mount, &key.name) } else { format!("{}/{}", mount.path, key.name) })
    }
}

/// The path of a secret's value.
pub(super) fn path_of(mount: &Mount, name: &str) -> String {
    match mount.is_versioned_kv() {
        true => format!("{}/data/{name}", mount.path),
        false => format!("{}/{name}", mount.path),
    }
}
