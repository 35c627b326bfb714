//! Whether a login of an outside system is another mount's already. Passwords of such logins are changed, and whoever else
//! holds one is locked out by each change, so a plug-in asks before it takes one. Names no mount to the one who asks.

use super::{LockoutLimits, MountTable};
use crate::CoreError;
use arc_swap::ArcSwap;
use std::sync::{Arc, Weak};
use strongroom_model::MountId;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A login that exists in an outside system.
#[derive(Clone, Copy)]
pub struct OutsideLogin<'a> {
    /// The server, in the one spelling that engines give it.
    pub address: &'a str,
    /// The login's name there.
    pub login: &'a str,
}

/// What an engine has to do with a login that it did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// A connection of its own logs in with it.
    Used,
    /// It keeps its password, and changes it.
    Kept,
}

/// The other mounts, as far as one may ask about them.
#[derive(Clone)]
pub struct Neighbours {
    table: Weak<ArcSwap<MountTable>>,
    mount: MountId,
    turn: Arc<Mutex<()>>,
}

impl Neighbours {
    pub(super) fn of(mount: MountId, table: &Arc<ArcSwap<MountTable>>, turn: &Arc<Mutex<()>>) -> Self {
        Self { table: Arc::downgrade(table), mount, turn: Arc::clone(turn) }
    }

    /// When this mount shuts out whoever fails to log in.
    pub(crate) fn lockout(&self) -> LockoutLimits {
        let table = self.table.upgrade().map(|table| table.load_full());
        LockoutLimits::of(table.and_then(|table| table.by_id(self.mount)?.config.lockout))
    }

    /// Waits until no other plug-in is about to take a login: to be held from asking to having written it down.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// What other mounts that serve have to do with a login: `Kept` before `Used`.
    pub async fn holding(&self, login: OutsideLogin<'_>) -> Result<Option<Holding>, CoreError> {
        let Some(table) = self.table.upgrade().map(|table| table.load_full()) else { return Ok(None) };
        let others = table.engines().filter(|(mount, _)| mount.id != self.mount && table.by_id(mount.id).is_some());
        let mut found = None;
        for (_, engine) in others {
            match engine.holds(login).await? {
                Some(Holding::Kept) => return Ok(Some(Holding::Kept)),
                other => found = found.or(other),
            }
        }
        Ok(found)
    }
}
