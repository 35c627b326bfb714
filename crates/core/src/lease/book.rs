//! The records of leases: finding them, marking them as to be revoked, forgetting them. Knows no engine: what it marks
//! is carried out by the lanes.

use super::lane::{Lane, Lanes};
use super::ledger::{Haste, Ledger};
use super::recall::Recalls;
use super::record::{
    AT_ONCE, Cause, Change, Lease, LeaseKey, Recall, RecallScope, Revoking, Stage, cuts, failing, leases, of_entity,
    of_token,
};
use super::whole::{Lost, Walk};
use crate::CoreError;
use crate::records::{Listed, Records, Stored, decode};
use crate::token::TokenKey;
use std::sync::Arc;
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{Clock, EntityId, MountId, Timestamp};
use strongroom_storage::Revision;
use tokio::sync::watch;

/// Records looked at in one go.
pub(super) const PAGE: usize = 256;
/// Leases marked in one transaction. More than these are recalled by one record.
pub(super) const MARKS: usize = 64;

/// The records of leases.
pub(crate) struct Book {
    pub(super) records: Arc<Records>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) lanes: Lanes,
    pub(super) recalls: Recalls,
    /// Leases whose records were found missing or unreadable.
    pub(super) lost: Lost,
    pub(super) clock: Arc<dyn Clock>,
    /// Changes whenever a lease ended or failed to.
    pub(super) progress: watch::Sender<u64>,
}

impl Book {
    pub(crate) fn new(records: Arc<Records>, clock: Arc<dyn Clock>) -> Self {
        let ledger = Arc::new(Ledger::new(Arc::clone(&records)));
        let (lanes, recalls, lost) = (Lanes::default(), Recalls::default(), Lost::default());
        Self { records, ledger, lanes, recalls, lost, clock, progress: watch::Sender::new(0) }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) async fn get(&self, key: &LeaseKey) -> Result<Option<Arc<Stored<Lease>>>, CoreError> {
        self.records.get(&key.at()).await
    }

    /// As [`Book::get`], past the cache: for walks over many, which would drive everything else out of it.
    pub(super) async fn peek(&self, key: &LeaseKey) -> Result<Option<Stored<Lease>>, CoreError> {
        let at = key.at();
        let Some(record) = self.records.barrier().get(&at).await? else { return Ok(None) };
        Ok(Some(Stored { value: decode(at.shelf.kind, &record.bytes)?, rev: record.rev }))
    }

    /// Whether a lease is still as it was read.
    pub(super) async fn is_still(&self, key: &LeaseKey, rev: Revision) -> Result<bool, CoreError> {
        Ok(self.records.barrier().revision(&key.at()).await? == Some(rev))
    }

    /// A page of the leases of a path, after one of them.
    pub(super) async fn page(
        &self,
        mount: MountId,
        path: &str,
        after: Option<&[u8]>,
    ) -> Result<Vec<Listed<Lease>>, CoreError> {
        let shelf = leases(mount, path);
        let after = after.map(|name| shelf.named(name));
        self.records.scan(&shelf, after.as_ref(), PAGE).await
    }

    /// How often a lease ended or failed to.
    pub(super) fn happened(&self) -> u64 {
        *self.progress.borrow()
    }

    pub(super) fn moved(&self) {
        self.progress.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Marks the leases that end with a token; durable when it returns.
    pub(crate) async fn end_token(&self, token: TokenKey) -> Result<(), CoreError> {
        self.end_linked(RecallScope::Token(token), &of_token(token), Cause::Token).await.map(|_| ())
    }

    /// Marks the leases of an entity; `all`: also those that belong to its tokens. Says how many may be meant.
    pub(super) async fn end_entity(&self, entity: EntityId, cause: Cause, all: bool) -> Result<u64, CoreError> {
        self.end_linked(RecallScope::Entity { entity, all }, &of_entity(entity), cause).await
    }

    /// Marks all leases that an entity which is gone had asked for; durable when it returns.
    pub(crate) async fn end_gone(&self, entity: EntityId) -> Result<(), CoreError> {
        self.end_entity(entity, Cause::Identity, true).await.map(|_| ())
    }

    /// Carries out what was noted when entities were disabled.
    pub(super) async fn carry_out_cuts(&self) -> Result<(), CoreError> {
        for cut in self.records.scan_all::<EntityId>(&cuts()).await? {
            self.end_entity(cut.value, Cause::Identity, false).await?;
            self.records.commit(Txn::new().delete(cuts().named(cut.value.as_bytes()))).await?;
        }
        Ok(())
    }

    /// Marks the leases that a shelf of links leads to: each for itself while they are few, else all by a recall.
    async fn end_linked(&self, scope: RecallScope, shelf: &Shelf, cause: Cause) -> Result<u64, CoreError> {
        let links = self.records.scan::<LeaseKey>(shelf, None, MARKS + 1).await?;
        if links.len() > MARKS {
            self.recall(scope, cause).await?;
            return self.count_links(shelf).await;
        }
        let meant = Recall { scope, cause, at: Timestamp::from_nanos(u64::MAX) };
        let mut keys = Vec::with_capacity(links.len());
        for link in links {
            let lease = self.unless_lost(&link.value, self.get(&link.value).await)?;
            if lease.is_some_and(|lease| meant.covers(&link.value, &lease.value)) {
                keys.push(link.value);
            }
        }
        self.mark(&keys, cause).await?;
        Ok(count(keys.len()))
    }

    async fn count_links(&self, shelf: &Shelf) -> Result<u64, CoreError> {
        let (mut after, mut links) = (None, 0);
        loop {
            let page = self.records.scan::<LeaseKey>(shelf, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(links) };
            after = Some(shelf.named(&last.name));
            links += count(page.len());
        }
    }

    /// Marks every lease of a path, by a recall when they are many; says how many. Those whose records are lost are noted.
    pub(super) async fn end_path(&self, mount: MountId, path: &str, cause: Cause) -> Result<u64, CoreError> {
        let known = self.ledger.count_of(mount, path);
        if known > count(MARKS) {
            self.recall(RecallScope::Path { mount, path: path.to_owned() }, cause).await?;
            return Ok(known);
        }
        let mut walk = Walk::over(mount, path);
        while let Some(page) = walk.next(self).await? {
            let key = |listed: &Listed<Lease>| LeaseKey { mount, path: path.to_owned(), suffix: listed.text() };
            let keys: Vec<LeaseKey> = page.iter().map(key).collect();
            self.mark(&keys, cause).await?;
        }
        if walk.seen < known {
            self.note_missing(mount, path).await?;
        }
        Ok(walk.seen)
    }

    /// Marks leases as to be revoked, now; one that is being waited for is tried at once. Durable when it returns.
    pub(super) async fn mark(&self, keys: &[LeaseKey], cause: Cause) -> Result<(), CoreError> {
        for keys in keys.chunks(MARKS) {
            let (mut changes, mut marked) = (Change::default(), Vec::new());
            for key in keys {
                if let Some((change, lane)) = self.marking(key, cause).await? {
                    changes = changes.and(change);
                    marked.push((key, lane));
                }
            }
            if marked.is_empty() {
                continue;
            }
            match self.ledger.commit(changes).await {
                Ok(_) => marked.into_iter().for_each(|(key, lane)| self.hurry(key, &lane)),
                Err(CoreError::Conflict) => {
                    for key in keys {
                        self.mark_one(key, cause).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn mark_one(&self, key: &LeaseKey, cause: Cause) -> Result<(), CoreError> {
        loop {
            let Some((change, lane)) = self.marking(key, cause).await? else { return Ok(()) };
            match self.ledger.commit(change).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => {
                    self.hurry(key, &lane);
                    return Ok(());
                }
            }
        }
    }

    /// The changes that mark a lease, and its lane; none when it is gone or has its turn already.
    async fn marking(&self, key: &LeaseKey, cause: Cause) -> Result<Option<(Change, String)>, CoreError> {
        let Some(stored) = self.unless_lost(key, self.get(key).await)? else { return Ok(None) };
        let (lease, now) = (&stored.value, self.now());
        let stage = match &lease.stage {
            Stage::Revoking(_) if lease.due <= now => return Ok(None),
            Stage::Revoking(revoking) => Stage::Revoking(revoking.clone()),
            stage => {
                let handed_out = stage.was_handed_out();
                Stage::Revoking(Revoking { cause, handed_out, attempts: 0, error: None })
            }
        };
        let new = Lease { stage, due: AT_ONCE, ..lease.clone() };
        Ok(Some((lease.replaced(key, stored.rev, &new)?, lease.lane.clone())))
    }

    /// Has leases of some mounts that failed by themselves tried now.
    pub(super) async fn wake_failing(&self, is_meant: impl Fn(MountId) -> bool) -> Result<(), CoreError> {
        let mut after = None;
        loop {
            let page = self.records.scan::<LeaseKey>(&failing(), after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(failing().named(&last.name));
            let keys = page.into_iter().map(|listed| listed.value).filter(|key| is_meant(key.mount));
            self.mark(&keys.collect::<Vec<_>>(), Cause::Revoked).await?;
        }
    }

    /// Puts what was marked before all that merely expired in its lane.
    fn hurry(&self, key: &LeaseKey, lane: &str) {
        if let Some(lane) = self.lanes.find(key.mount, lane) {
            lane.push_urgent(key.clone());
            lane.beat.ring();
        }
    }

    /// Moves a lease to another time, if it still is what was read.
    pub(super) async fn replace(&self, key: &LeaseKey, old: &Stored<Lease>, new: &Lease) -> Result<(), CoreError> {
        self.ledger.commit(old.value.replaced(key, old.rev, new)?).await?;
        Ok(())
    }

    /// Forgets a lease, whatever became of it meanwhile: its credential is gone, or given up.
    pub(super) async fn forget(&self, key: &LeaseKey, haste: Haste) -> Result<(), CoreError> {
        match self.get(key).await? {
            Some(known) => self.forget_known(key, known, haste).await,
            None => Ok(()),
        }
    }

    /// As [`Book::forget`], for who has just read it.
    pub(super) async fn forget_known(
        &self,
        key: &LeaseKey,
        mut known: Arc<Stored<Lease>>,
        haste: Haste,
    ) -> Result<(), CoreError> {
        loop {
            match self.ledger.commit_in(haste, known.value.removed(key, known.rev)).await {
                Err(CoreError::Conflict) => {
                    let Some(now) = self.get(key).await? else { return Ok(()) };
                    known = now;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    self.lost.remove(key);
                    self.moved();
                    return Ok(());
                }
            }
        }
    }

    /// Removes a turn that leads nowhere.
    pub(super) async fn drop_turn(&self, lane: &Lane, number: u64, suffix: &[u8]) -> Result<(), CoreError> {
        let at = super::record::due(lane.mount, &lane.name).ordered(number, suffix);
        self.ledger.commit(Change::default().delete(at)).await?;
        Ok(())
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
