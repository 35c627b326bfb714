//! Leases whose records were taken out of the store, or cannot be read. A walk over a path is compared with the count that
//! is kept of it; what is missing is named by the turns on the shelves of what is due, of which every lease has one.
//!
//! Invariants: nobody takes such a lease for ended; it stands among those that fail until somebody forgets it by force or the
//! record is put back; it holds up no other lease. Does not know its login: the trail does, from when it was made.

use super::book::{Book, PAGE};
use super::record::{Change, Lease, LeaseKey, Turn, due, failing_at};
use crate::CoreError;
use crate::records::{Listed, Stored};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use strongroom_barrier::{Address, BarrierError};
use strongroom_model::MountId;

/// How often a path is walked before a count that does not fit is believed: leases come and go meanwhile.
const WALKS: usize = 3;

/// The leases that are known to be lost, with what became of their records.
#[derive(Default)]
pub(super) struct Lost(Mutex<BTreeMap<LeaseKey, String>>);

impl Lost {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<LeaseKey, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(LeaseKey, String)> {
        self.locked().iter().map(|(key, why)| (key.clone(), why.clone())).collect()
    }

    /// Those of a path.
    pub(super) fn of_path(&self, mount: MountId, path: &str) -> Vec<(LeaseKey, String)> {
        let mut lost = self.all();
        lost.retain(|(key, _)| key.mount == mount && key.path == path);
        lost
    }

    /// What became of the record of this one.
    pub(super) fn find(&self, key: &LeaseKey) -> Option<String> {
        self.locked().get(key).cloned()
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.locked().len()).unwrap_or(u64::MAX)
    }

    fn add(&self, key: &LeaseKey, error: &CoreError) {
        let why = format!("its record cannot be read: {error}; the trail has its login, by its lease_id");
        if self.locked().insert(key.clone(), why).is_none() {
            tracing::error!(path = key.path, lease = key.suffix, %error, "the record of a lease is lost");
        }
    }

    /// It is gone after all, or there again.
    pub(super) fn remove(&self, key: &LeaseKey) {
        self.locked().remove(key);
    }
}

/// Whether the record itself is what is wrong: it was altered or taken out, or is no lease.
pub(super) fn is_lost(error: &CoreError) -> bool {
    matches!(error, CoreError::Unreadable { .. } | CoreError::Barrier(BarrierError::Tampered { .. }))
}

/// A walk over the leases of a path, page by page, past those that cannot be read.
pub(super) struct Walk {
    mount: MountId,
    path: String,
    after: Option<Vec<u8>>,
    over: bool,
    /// How many it met.
    pub(super) seen: u64,
}

impl Walk {
    pub(super) fn over(mount: MountId, path: &str) -> Self {
        Self { mount, path: path.to_owned(), after: None, over: false, seen: 0 }
    }

    /// The next page; none at the end. What stood on an earlier one may come again.
    pub(super) async fn next(&mut self, book: &Book) -> Result<Option<Vec<Listed<Lease>>>, CoreError> {
        if self.over {
            return Ok(None);
        }
        let page = match book.page(self.mount, &self.path, self.after.as_deref()).await {
            Err(error) if is_lost(&error) => {
                (self.over, self.seen) = (true, 0);
                book.readable(self.mount, &self.path).await?
            }
            page => page?,
        };
        self.seen += u64::try_from(page.len()).unwrap_or(u64::MAX);
        match page.last() {
            Some(last) => self.after = Some(last.name.clone()),
            None => self.over = true,
        }
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

/// What a turn leads to.
struct Found {
    key: LeaseKey,
    turn: Address,
    lease: Option<Stored<Lease>>,
}

impl Book {
    /// Finds out which leases of a path are lost when a walk over it met fewer than there are. Fails when there are such that
    /// nothing names.
    pub(super) async fn note_missing(&self, mount: MountId, path: &str) -> Result<(), CoreError> {
        for _ in 0..WALKS {
            let before = self.ledger.count_of(mount, path);
            let found = self.by_turns(mount, path).await?;
            let readable = self.count_readable(mount, path).await?;
            let lost = found.iter().filter(|found| found.lease.is_none()).count();
            let met = readable + u64::try_from(lost).unwrap_or(u64::MAX);
            if met >= before || before != self.ledger.count_of(mount, path) {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(BarrierError::Tampered { kind: "lease".to_owned(), how: "removed" }.into())
    }

    async fn count_readable(&self, mount: MountId, path: &str) -> Result<u64, CoreError> {
        let mut walk = Walk::over(mount, path);
        while walk.next(self).await?.is_some() {}
        Ok(walk.seen)
    }

    /// The leases of a path that can be read, where a walk cannot get past those that cannot.
    async fn readable(&self, mount: MountId, path: &str) -> Result<Vec<Listed<Lease>>, CoreError> {
        let found = self.by_turns(mount, path).await?;
        let listed = |found: Found| {
            let Stored { value, rev } = found.lease?;
            Some(Listed { name: found.key.suffix.into_bytes(), number: 0, value, rev })
        };
        Ok(found.into_iter().filter_map(listed).collect())
    }

    /// Every lease of a path that has a turn; notes those that cannot be read as lost. Reads all turns of the mount.
    async fn by_turns(&self, mount: MountId, path: &str) -> Result<Vec<Found>, CoreError> {
        let mut all = Vec::new();
        for lane in self.lanes.all().into_iter().filter(|lane| lane.mount == mount) {
            let (shelf, mut after) = (due(mount, &lane.name), None);
            loop {
                let page = self.records.scan::<Turn>(&shelf, after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(shelf.ordered(last.number, &last.name));
                for turn in page.into_iter().filter(|turn| turn.value.path == path) {
                    let at = shelf.ordered(turn.number, &turn.name);
                    let key = LeaseKey { mount, path: turn.value.path, suffix: turn.value.suffix };
                    match self.peek(&key).await {
                        // A turn that leads nowhere.
                        Ok(None) => {}
                        Ok(lease) => all.push(Found { key, turn: at, lease }),
                        Err(error) if is_lost(&error) => {
                            self.lost.add(&key, &error);
                            all.push(Found { key, turn: at, lease: None });
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(all)
    }

    /// What a read of one lease gave; nothing, and noted, when its record is lost.
    pub(super) fn unless_lost<T>(
        &self,
        key: &LeaseKey,
        read: Result<Option<T>, CoreError>,
    ) -> Result<Option<T>, CoreError> {
        match read {
            Err(error) if is_lost(&error) => {
                self.lost.add(key, &error);
                Ok(None)
            }
            read => read,
        }
    }

    /// Those that are still lost: a record may have been put back.
    pub(super) async fn still_lost(&self) -> Result<Vec<(LeaseKey, String)>, CoreError> {
        for (key, _) in self.lost.all() {
            match self.peek(&key).await {
                Err(error) if is_lost(&error) => {}
                Err(error) => return Err(error),
                Ok(_) => self.lost.remove(&key),
            }
        }
        Ok(self.lost.all())
    }

    /// The lost leases of a path, each with its turn.
    pub(super) async fn lost_turns(&self, mount: MountId, path: &str) -> Result<Vec<(LeaseKey, Address)>, CoreError> {
        let found = self.by_turns(mount, path).await?.into_iter();
        Ok(found.filter(|found| found.lease.is_none()).map(|found| (found.key, found.turn)).collect())
    }

    /// Forgets a lost lease with all that is left of it.
    pub(super) async fn forget_lost(&self, key: &LeaseKey, turn: Address) -> Result<(), CoreError> {
        let mut gone = Change::default().delete(key.at()).delete(turn).delete(failing_at(key));
        gone.counts.push((key.clone(), false));
        self.ledger.commit(gone).await?;
        self.lost.remove(key);
        self.moved();
        Ok(())
    }
}
