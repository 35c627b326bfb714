//! Who changes what when: changes of one secret take turns, and nobody removes names while others add some.
//!
//! The store refuses the loser of a race for one record anyway; taking turns spares it the work and lets any number of
//! writers of one secret succeed. Adding names goes on side by side, so that it shares the syncs of the disk. A crowd of
//! secrets shares a fixed number of turns: nothing here grows with the data.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use strongroom_model::{MountId, SecretPath};
use tokio::sync::{Mutex, MutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Secrets that share a turn by accident wait for each other's disk sync: enough turns make that rare.
const STRIPES: usize = 1_024;

pub(super) struct Turns {
    secrets: Vec<Mutex<()>>,
    folders: Lock<HashMap<MountId, Arc<RwLock<()>>>>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { secrets: (0..STRIPES).map(|_| Mutex::new(())).collect(), folders: Lock::default() }
    }

    /// The turn to change one secret. Taken before the turns for folders, never after.
    pub(super) async fn secret(&self, mount: MountId, path: &SecretPath) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        (mount, path).hash(&mut hasher);
        match self.secrets.get(hasher.finish() as usize % STRIPES) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// The turn to add names to a mount, beside others who do.
    pub(super) async fn add_names(&self, mount: MountId) -> OwnedRwLockReadGuard<()> {
        self.folders(mount).read_owned().await
    }

    /// The turn to remove names from a mount, alone: a folder that was found empty must still be so when it goes, and
    /// no compare of the store can say so.
    pub(super) async fn remove_names(&self, mount: MountId) -> OwnedRwLockWriteGuard<()> {
        self.folders(mount).write_owned().await
    }

    /// Forgets a mount that is no more.
    pub(super) fn forget(&self, mount: MountId) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).remove(&mount);
    }

    fn folders(&self, mount: MountId) -> Arc<RwLock<()>> {
        Arc::clone(self.folders.lock().unwrap_or_else(PoisonError::into_inner).entry(mount).or_default())
    }
}
