//! What a caller may know of: a path that their policies let them read or list, in the spelling of the entry or of the
//! secret's metadata.

use crate::mount::{Mount, MountTable, Mounts};
use crate::{CoreError, Grant};
use std::sync::Arc;
use strongroom_audit::{Thing, object_of, path_object};
use strongroom_model::policy::Acl;
use strongroom_model::{Capability, RequestPath};

/// A caller's view.
#[derive(Clone)]
pub(crate) struct Sight {
    /// None for who may see everything.
    acl: Option<Arc<Acl>>,
    table: Arc<MountTable>,
}

/// The sections of a versioned KV mount.
const SECTIONS: [&str; 6] = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"];

impl Sight {
    /// The view of whoever was granted the request: everything with `sudo`, else what their policies show.
    pub(crate) fn of(grant: &Grant, mounts: &Mounts) -> Result<Self, CoreError> {
        let table = Arc::clone(&mounts.table());
        let acl = match (grant.has_sudo(), grant.shared_acl()) {
            (true, _) => None,
            (false, Some(acl)) => Some(acl),
            (false, None) => return Err(CoreError::Denied),
        };
        Ok(Self { acl, table })
    }

    /// The view that policies give alone, whatever `sudo` the request itself has.
    pub(crate) fn by_policies(grant: &Grant, mounts: &Mounts) -> Result<Self, CoreError> {
        let acl = grant.shared_acl().ok_or(CoreError::Denied)?;
        Ok(Self { acl: Some(acl).filter(|acl| !acl.is_root()), table: Arc::clone(&mounts.table()) })
    }

    /// Whether everything is to be seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.acl.is_none()
    }

    /// Whether the caller may know of this path.
    pub(crate) fn shows(&self, path: &str) -> bool {
        let Some(acl) = &self.acl else { return true };
        // Who asks the trail must not tell those who may ask it, too, that somebody looks into them.
        if path.starts_with("sys/trail/") {
            return false;
        }
        // What is noted of an incident names its target and says why. Who may know of that is told by the incident itself.
        if path.starts_with("sys/incidents/") {
            return false;
        }
        let Ok(path) = RequestPath::parse(path) else { return false };
        let may = |path: &RequestPath| {
            let capabilities = acl.capabilities(path);
            capabilities.contains(Capability::Read) || capabilities.contains(Capability::List)
        };
        may(&path) || self.metadata_path(&path).is_some_and(|path| may(&path))
    }

    /// Whether the caller may know of this secret.
    pub(super) fn shows_secret(&self, mount: &Mount, secret: &str) -> bool {
        self.shows(&secret_path(mount, secret))
    }

    fn metadata_path(&self, path: &RequestPath) -> Option<RequestPath> {
        let (mount, below) = self.table.resolve(path)?;
        let (section, name) = below.split_once('/')?;
        let is_secret = mount.is_versioned_kv() && SECTIONS.contains(&section);
        is_secret.then(|| RequestPath::parse(&format!("{}/metadata/{name}", mount.path)).ok()).flatten()
    }

    /// All ways in which entries may name what was typed: the path as it is, the secret behind it whatever its mount was
    /// called then, and what callers of other APIs typed.
    pub(super) fn things(&self, typed: &str) -> Vec<Thing> {
        let typed = typed.trim_matches('/');
        let mut things = vec![Thing::Path(typed.to_owned()), Thing::Typed(typed.to_owned())];
        let path = RequestPath::parse(typed).ok();
        if let Some((mount, below)) = path.as_ref().and_then(|path| self.table.resolve(path)) {
            things.push(Thing::Object(path_object(&mount.accessor, below)));
            if mount.kind == "kv" {
                things.push(Thing::Object(object_of(&mount.accessor, secret_below(&mount, below))));
            }
        }
        things
    }

    /// The secret, or the path on another mount, that was typed: its mount and its one name.
    pub(super) fn object(&self, typed: &str) -> Result<Aim, CoreError> {
        let path = RequestPath::parse(typed.trim_matches('/'))?;
        let unknown = || CoreError::NotFound(format!("there is no mount for \"{path}\""));
        let (mount, below) = self.table.resolve(&path).ok_or_else(unknown)?;
        let is_secret = mount.kind == "kv";
        let name = if is_secret { secret_below(&mount, below) } else { below }.to_owned();
        let object = match is_secret {
            true => object_of(&mount.accessor, &name),
            false => path_object(&mount.accessor, &name),
        };
        let path = if is_secret { secret_path(&mount, &name) } else { path.to_string() };
        Ok(Aim { mount, is_secret, name, object, path })
    }

    /// What an object's one name means now; `None` when its mount is gone.
    pub(super) fn aim(&self, object: &str) -> Option<Aim> {
        let at = object.find([':', '/'])?;
        let (accessor, rest) = object.split_at(at);
        let mount = Arc::clone(self.table.by_accessor(accessor)?);
        let (is_secret, name) = (rest.starts_with(':'), rest.get(1..)?.to_owned());
        let path = if is_secret { secret_path(&mount, &name) } else { format!("{}/{name}", mount.path) };
        Some(Aim { mount, is_secret, name, object: object.to_owned(), path })
    }

    /// The mounts.
    pub(super) fn table(&self) -> &MountTable {
        &self.table
    }
}

/// What a question is about.
pub(super) struct Aim {
    pub(super) mount: Arc<Mount>,
    pub(super) is_secret: bool,
    /// The name below the mount.
    pub(super) name: String,
    /// The one name.
    pub(super) object: String,
    /// The path that policies speak of when it is read.
    pub(super) path: String,
}

/// The path of a secret's value.
pub(super) fn secret_path(mount: &Mount, secret: &str) -> String {
    match mount.is_versioned_kv() {
        true => format!("{}/data/{secret}", mount.path),
        false => format!("{}/{secret}", mount.path),
    }
}

/// People type `secret/app/db` as well as `secret/data/app/db`.
fn secret_below<'b>(mount: &Mount, below: &'b str) -> &'b str {
    match below.split_once('/') {
        Some((section, name)) if mount.is_versioned_kv() && SECTIONS.contains(&section) => name,
        _ => below,
    }
}
