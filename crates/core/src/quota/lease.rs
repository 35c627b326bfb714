use super::rule::{fits, specificity};
use crate::lease::{Cap, CapScope};
use crate::mount::{Mount, MountTable};
use serde::{Deserialize, Serialize};
use strongroom_model::RequestPath;

/// A limit on how many leases there may be at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseCount {
    /// Empty for all paths; `mount/` for a mount; `mount/a/b` for one path; `mount/a*` for all that begin so.
    pub path: String,
    /// Only paths that end with this role; empty for all.
    pub role: String,
    /// The most there may be.
    pub max_leases: u64,
    /// Kept and given back; this version has no child namespaces.
    pub inheritable: bool,
}

impl LeaseCount {
    pub(super) fn fits(&self, path: &RequestPath) -> bool {
        let ends = path.as_str().rsplit('/').next().is_some_and(|last| last == self.role);
        fits(&self.path, path) && (self.role.is_empty() || ends)
    }

    pub(super) fn specificity(&self) -> (usize, bool, bool) {
        let (length, whole) = specificity(&self.path);
        (length, whole, !self.role.is_empty())
    }

    /// What counts by it on a mount; all mounts when it names none.
    fn scope(&self, mount: &Mount) -> CapScope {
        let below = self.path.strip_prefix(mount.path.as_str()).map(|rest| rest.trim_start_matches('/'));
        match (self.role.as_str(), below.unwrap_or_default()) {
            ("", "" | "*") => CapScope::All,
            ("", path) => match path.strip_suffix('*') {
                Some(start) => CapScope::Start(start.to_owned()),
                None => CapScope::Path(path.to_owned()),
            },
            (role, _) => CapScope::Role(role.to_owned()),
        }
    }

    /// The limit as it applies to a new lease on this path.
    pub(super) fn cap(&self, name: &str, mount: &Mount, path: &RequestPath) -> Cap {
        let refusal = format!(
            "request path \"{path}\": lease count quota exceeded; `{name}` allows {} at once: wait until some have \
             ended, revoke some, or have it raised",
            self.max_leases
        );
        let only = (!self.path.is_empty()).then_some(mount.id);
        Cap { mount: only, scope: self.scope(mount), most: self.max_leases, refusal }
    }

    /// The mount that it is about, if it names one, and what counts there.
    pub(crate) fn place(&self, table: &MountTable) -> Option<Cap> {
        if self.path.is_empty() {
            let scope = if self.role.is_empty() { CapScope::All } else { CapScope::Role(self.role.clone()) };
            return Some(Cap { mount: None, scope, most: self.max_leases, refusal: String::new() });
        }
        let start = self.path.trim_end_matches('*').trim_end_matches('/');
        let (mount, _) = table.resolve(&RequestPath::parse(start).ok()?)?;
        let scope = self.scope(&mount);
        Some(Cap { mount: Some(mount.id), scope, most: self.max_leases, refusal: String::new() })
    }
}
