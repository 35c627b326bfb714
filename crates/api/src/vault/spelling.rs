//! Names in paths that know no case have one spelling, which policy, trail, limits and leases see: a rule for
//! `sys/policies/acl/admin` must not be passed by writing `ADMIN`.

use super::{Found, find, sys};
use strongroom_core::mount::Mount;
use strongroom_core::{Captures, CoreError, Open, Visit};
use strongroom_model::RequestPath;

/// The endpoints whose `{path..}` is the beginning of leases' ids.
const LEASE_PREFIXES: [&str; 5] = [
    "leases/lookup/{path..}",
    "leases/revoke-prefix/{path..}",
    "leases/revoke-force/{path..}",
    "revoke-prefix/{path..}",
    "revoke-force/{path..}",
];

impl Found {
    /// Whether a part `{name}` of its path is the name of a policy, a role, a connection or a user, whose case does not
    /// count.
    fn has_caseless_names(&self) -> bool {
        match self {
            Found::Ours(line) => sys::ROUTES.as_ptr_range().contains(&std::ptr::from_ref(*line)),
            Found::Method(..) | Found::Engine(..) => true,
        }
    }

    /// Puts the one spelling of names without case into the parts of a path; `false` when that changed nothing.
    pub(super) fn respell(&self, open: &Open, captures: &mut Captures) -> bool {
        if !self.has_caseless_names() {
            return false;
        }
        // What lies at the end of such a path is the beginning of other paths, by which leases are named.
        let is_prefix = matches!(self, Found::Ours(_)) && LEASE_PREFIXES.contains(&self.endpoint().pattern);
        let prefix = is_prefix.then(|| RequestPath::parse(captures.get("path").trim_end_matches('/')).ok()).flatten();
        match prefix.and_then(|prefix| one_spelling(open, &prefix)) {
            Some(one) => captures.replace("path", one.to_string()),
            None => captures.lower("name"),
        }
    }
}

/// Puts the one spelling of a name that knows no case into the path, before policy and trail see it: a rule for
/// `sys/policies/acl/admin` must not be passed by writing `ADMIN`.
pub(super) fn rewrite(visit: &mut Visit, mount: &Mount, found: &Found, captures: &Captures) -> Result<(), CoreError> {
    let path = RequestPath::parse(&format!("{}/{}", mount.path, found.endpoint().path(captures)))?;
    let typed = std::mem::replace(&mut visit.path, path).to_string();
    visit.typed.get_or_insert(typed);
    Ok(())
}

/// The one spelling of a path, where it was written in another: for whoever speaks of a path without asking for it.
pub(crate) fn one_spelling(open: &Open, path: &RequestPath) -> Option<RequestPath> {
    if !path.as_str().bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let (mount, below) = open.mounts.table().resolve(path)?;
    let (found, mut captures) = find(open, &mount, below)?;
    let other = found.respell(open, &mut captures);
    let whole = || RequestPath::parse(&format!("{}/{}", mount.path, found.endpoint().path(&captures))).ok();
    other.then(whole).flatten()
}
