use super::Emergency;
use crate::access_key::AccessKeyId;
use crate::event::shows;
use crate::identity::Entity;
use crate::lease::LeaseScope;
use crate::mount::{Mount, MountClass, MountTable};
use crate::{Cidr, CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_model::policy::Acl;
use strongroom_model::{EntityId, MountId, MountPath, RequestPath, SecretPath};

/// What somebody wants cut off, as they write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// A secret, by its path with or without the section of its mount.
    Secret(String),
    /// An entity by name, id or the name that the trail prints, a token by its accessor, an access key by id or name.
    Principal(String),
    /// Leases below a path.
    LeasePrefix(String),
    /// A mount; `auth/...` for auth methods.
    Mount(String),
    /// A network.
    Address(Cidr),
}

/// What is cut off: the thing itself, whatever it is called later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Target {
    /// A versioned secret.
    Secret {
        /// Its mount.
        mount: MountId,
        /// Its mount's path at that time.
        place: String,
        /// Its name in the mount.
        name: SecretPath,
        /// Whether policies speak of it by sections.
        versioned: bool,
    },
    /// An entity.
    Principal {
        /// Its id.
        entity: EntityId,
        /// Its name at that time.
        name: String,
        /// What people called it, where nobody had named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        called: Option<String>,
    },
    /// One access key, with the sessions that were made with it.
    AccessKey {
        /// Its id.
        key: AccessKeyId,
        /// What people called it at that time.
        name: String,
    },
    /// One token with all that descends from it.
    Token {
        /// Its accessor.
        accessor: String,
    },
    /// Leases.
    LeasePrefix {
        /// The beginning of their ids.
        prefix: String,
    },
    /// A mount.
    Mount {
        /// The mount.
        mount: MountId,
        /// Its path at that time.
        path: String,
        /// Whether it is an auth method.
        auth: bool,
        /// Whether an engine with leases is behind it.
        leases: bool,
    },
    /// A network.
    Address {
        /// The network.
        network: Cidr,
    },
}

impl Target {
    /// As people write it, and as they type it to confirm.
    pub fn text(&self) -> String {
        match self {
            Target::Secret { place, name, .. } => format!("{place}/{name}"),
            Target::Principal { name, called, .. } => called.as_ref().unwrap_or(name).clone(),
            Target::AccessKey { key, .. } => key.to_string(),
            Target::Token { accessor } => accessor.clone(),
            Target::LeasePrefix { prefix } => prefix.clone(),
            Target::Mount { path, .. } => path.clone(),
            Target::Address { network } => network.to_string(),
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Target::Secret { .. } => "secret",
            Target::Principal { .. } => "principal",
            Target::AccessKey { .. } => "access-key",
            Target::Token { .. } => "token",
            Target::LeasePrefix { .. } => "lease-prefix",
            Target::Mount { .. } => "mount",
            Target::Address { .. } => "address",
        }
    }

    /// The paths by which policies show it. None for a network, which only who sees everything may know of.
    pub(crate) fn paths(&self) -> Vec<String> {
        match self {
            Target::Secret { place, name, versioned: true, .. } => {
                vec![format!("{place}/data/{name}"), format!("{place}/metadata/{name}")]
            }
            Target::Secret { .. } => vec![self.text()],
            Target::Principal { entity, name, .. } => {
                vec![format!("identity/entity/id/{entity}"), format!("identity/entity/name/{name}")]
            }
            Target::AccessKey { key, .. } => vec![format!("sys/access-keys/{key}"), "sys/access-keys".to_owned()],
            Target::Token { .. } => vec!["auth/token/accessors".to_owned()],
            Target::LeasePrefix { prefix } => {
                vec![format!("sys/leases/lookup/{prefix}"), format!("sys/leases/revoke-prefix/{prefix}")]
            }
            Target::Mount { path, .. } => {
                let auth = path.strip_prefix("auth/").map(|path| format!("sys/auth/{path}"));
                vec![auth.unwrap_or_else(|| format!("sys/mounts/{path}"))]
            }
            Target::Address { .. } => Vec::new(),
        }
    }

    /// The leases that go with it.
    pub(super) fn leases(&self) -> Option<LeaseScope<'_>> {
        match self {
            Target::Principal { entity, .. } => Some(LeaseScope::Entity(*entity)),
            Target::LeasePrefix { prefix } => Some(LeaseScope::Below(prefix)),
            Target::Mount { path, leases: true, .. } => Some(LeaseScope::Below(path)),
            _ => None,
        }
    }
}

impl Target {
    pub(super) fn of(entity: &Entity, table: &MountTable) -> Self {
        let (name, title) = (entity.name.to_string(), entity.title(table));
        let called = Some(title).filter(|title| *title != name);
        Target::Principal { entity: entity.id, name, called }
    }
}

impl Emergency {
    /// What was meant, if the caller may know of it. Refuses to cut off who asks: nobody could see it through.
    pub(super) async fn resolve(&self, grant: &Grant, aim: &Aim) -> Result<Target, CoreError> {
        let target = match aim {
            Aim::Secret(text) => self.secret(text).await?,
            Aim::Principal(text) => self.principal(grant.acl().ok_or(CoreError::Denied)?, text).await?,
            Aim::LeasePrefix(text) => {
                let prefix = text.trim_matches('/').to_owned();
                RequestPath::parse(&prefix)?;
                Some(Target::LeasePrefix { prefix })
            }
            Aim::Mount(text) => self.mount(text)?,
            Aim::Address(network) => Some(Target::Address { network: *network }),
        };
        let acl = grant.acl().ok_or(CoreError::Denied)?;
        let known = |target: &Target| {
            let paths = target.paths();
            paths.is_empty() || paths.iter().any(|path| shows(acl, path))
        };
        let target = target.filter(known).ok_or_else(|| unknown(aim))?;
        self.meets_leases(&target)?;
        self.spares(grant, &target).await?;
        Ok(target)
    }

    /// Refuses a beginning of leases with none below it: whoever misspelt it would think them cut off.
    fn meets_leases(&self, target: &Target) -> Result<(), CoreError> {
        match target {
            Target::LeasePrefix { prefix } if !self.rooms.leases.any_below(prefix) => {
                Err(CoreError::NotFound(format!(
                    "no lease lies below `{prefix}`, so there is nothing to cut off: a beginning is whole parts of the ids of \
                 leases, such as `database/creds/app`; `strongroom list sys/leases/lookup/` lists them part by part"
                )))
            }
            _ => Ok(()),
        }
    }

    async fn secret(&self, text: &str) -> Result<Option<Target>, CoreError> {
        let path = RequestPath::parse(text.trim_matches('/'))?;
        let table = Arc::clone(&self.rooms.mounts.table());
        let Some((mount, below)) = table.resolve(&path).filter(|(mount, _)| mount.kind == "kv") else {
            return Ok(None);
        };
        let name = match below.split_once('/') {
            Some(("data" | "metadata", name)) if mount.is_versioned_kv() => name,
            _ => below,
        };
        let Ok(name) = SecretPath::parse(name) else { return Ok(None) };
        let known = self.rooms.secrets.known(&mount, &name).await?;
        let (place, versioned) = (mount.path.to_string(), mount.is_versioned_kv());
        Ok(known.map(|_| Target::Secret { mount: mount.id, place, name, versioned }))
    }

    async fn principal(&self, acl: &Acl, text: &str) -> Result<Option<Target>, CoreError> {
        let table = Arc::clone(&self.rooms.mounts.table());
        let entities = self.rooms.identity.called(&table, text).await?;
        let entities = entities.iter().map(|entity| Target::of(&entity.value, &table));
        match only_one(acl, text, entities.collect())? {
            Some(Target::Principal { entity, .. }) if is_of_tokens(text) => {
                return Err(meant_otherwise(text, "entity", &entity.to_string()));
            }
            Some(target) => return Ok(Some(target)),
            None => {}
        }
        if self.rooms.tokens.key_of_accessor(text).await?.is_some() {
            return Ok(Some(Target::Token { accessor: text.to_owned() }));
        }
        self.access_key(acl, text).await
    }

    /// The access key with that id, or the lasting one with that name, alone or as the trail prints it.
    async fn access_key(&self, acl: &Acl, text: &str) -> Result<Option<Target>, CoreError> {
        let keys = self.rooms.access_keys.called(text).await?;
        let keys = keys.into_iter().map(|key| Target::AccessKey { key: key.id, name: key.name });
        let found = only_one(acl, text, keys.collect())?;
        match &found {
            Some(Target::AccessKey { key, .. }) if is_of_tokens(text) => {
                Err(meant_otherwise(text, "access key", key.as_str()))
            }
            _ => Ok(found),
        }
    }

    fn mount(&self, text: &str) -> Result<Option<Target>, CoreError> {
        let path = MountPath::parse(text.trim_matches('/'))?;
        let table = self.rooms.mounts.table();
        let Some(mount) = table.at(&path) else { return Ok(None) };
        if mount.is_builtin() {
            return Err(CoreError::Invalid(format!("`{path}` is a part of the server and cannot be cut off")));
        }
        let auth = mount.class == MountClass::Auth;
        let leases = !auth && mount.kind != "kv";
        Ok(Some(Target::Mount { mount: mount.id, path: path.to_string(), auth, leases }))
    }

    /// Refuses what would revoke the token that the order comes with, be it for one that it descends from.
    async fn spares(&self, grant: &Grant, target: &Target) -> Result<(), CoreError> {
        let own = grant.require_bearer()?.token();
        let above = self.rooms.tokens.ancestors(own).await?;
        let mut line = std::iter::once(own).chain(above.iter().map(|(_, token)| token));
        let hit = match target {
            Target::Principal { entity, .. } => line.any(|token| token.entity == Some(*entity)),
            Target::AccessKey { key, .. } => own.accessor == key.as_str(),
            Target::Token { accessor } => line.any(|token| token.accessor == *accessor),
            Target::Mount { mount, .. } => line.any(|token| [token.mount, token.through].contains(&Some(*mount))),
            Target::Address { network } => {
                grant.visit().source.address.is_some_and(|address| network.contains(address))
            }
            Target::Secret { .. } | Target::LeasePrefix { .. } => false,
        };
        if !hit {
            return Ok(());
        }
        Err(CoreError::Invalid(
            "this would cut off yourself, and nobody could see it through: use a credential that it does not reach"
                .to_owned(),
        ))
    }

    /// A mount, as long as it is there.
    pub(crate) fn mount_by_id(&self, id: MountId) -> Option<Arc<Mount>> {
        let table: arc_swap::Guard<Arc<MountTable>> = self.rooms.mounts.table();
        table.by_id(id).cloned()
    }
}

/// What is cut off must be meant: of a name that several bear, as far as the caller may know of them, an id is asked for.
fn only_one(acl: &Acl, text: &str, mut found: Vec<Target>) -> Result<Option<Target>, CoreError> {
    found.retain(|target| target.paths().iter().any(|path| shows(acl, path)));
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let ids: Vec<String> = found
        .iter()
        .map(|target| match target {
            Target::Principal { entity, .. } => entity.to_string(),
            other => other.text(),
        })
        .collect();
    Err(CoreError::Invalid(format!("`{text}` may mean {}: name one of them by its id", ids.join(", "))))
}

/// Whoever read that name in the trail means a token, and not what somebody called the same.
fn meant_otherwise(text: &str, kind: &str, id: &str) -> CoreError {
    CoreError::Invalid(format!(
        "`{text}` may mean the {kind} {id}, or a token that the trail prints so: name the {kind} by its id, or the token by \
         its accessor"
    ))
}

/// Whether the trail prints that of tokens that are no principal's.
fn is_of_tokens(text: &str) -> bool {
    text == "root" || text == "token" || text.starts_with("token-")
}

/// That something is not there, or may not be known of: the same text for both, whatever there is.
fn unknown(aim: &Aim) -> CoreError {
    let hint = match aim {
        Aim::Principal(text) if is_of_tokens(text) => {
            "; what the trail prints so is a token that is no principal's: name it by its accessor, which `audit query \
             -principal -format=json` shows"
        }
        _ => "",
    };
    CoreError::NotFound(format!("there is no such target, or you may not know of it{hint}"))
}
