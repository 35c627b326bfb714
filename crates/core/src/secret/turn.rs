//! Who changes what when: changes of one secret take turns, and so do changes of a mount's folders.
//!
//! The store would refuse the loser of a race anyway; taking turns spares it the work and lets any number of writers of
//! one secret succeed. A crowd of secrets shares a fixed number of turns, so nothing here grows with the data.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use strongroom_model::{MountId, SecretPath};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

/// Secrets that share a turn by accident wait for each other's disk sync: enough turns make that rare.
const STRIPES: usize = 1_024;

pub(super) struct Turns {
    secrets: Vec<Mutex<()>>,
    structures: Lock<HashMap<MountId, Arc<Mutex<()>>>>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { secrets: (0..STRIPES).map(|_| Mutex::new(())).collect(), structures: Lock::default() }
    }

    /// The turn to change one secret. Taken before [`Turns::structure`], never after.
    pub(super) async fn secret(&self, mount: MountId, path: &SecretPath) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        (mount, path).hash(&mut hasher);
        match self.secrets.get(hasher.finish() as usize % STRIPES) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// The turn to add or remove names in a mount, so that no folder is removed under somebody who just put something
    /// into it.
    pub(super) async fn structure(&self, mount: MountId) -> OwnedMutexGuard<()> {
        let turn = Arc::clone(self.structures.lock().unwrap_or_else(PoisonError::into_inner).entry(mount).or_default());
        turn.lock_owned().await
    }

    /// Forgets a mount that is no more.
    pub(super) fn forget(&self, mount: MountId) {
        self.structures.lock().unwrap_or_else(PoisonError::into_inner).remove(&mount);
    }
}
