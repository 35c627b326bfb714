//! Ending many leases by one record. A recall says which leases are to end; from the moment it is on disk they count as
//! being revoked, and a sweep gives them to their lanes, page by page, without a write for each.
//!
//! What a lane cannot take now (it is down, or slow) is marked lease by lease instead, so a sweep always comes to an end
//! and waits for no outside system. A crash repeats the sweep. Does not end leases itself: lanes do.

use super::Leases;
use super::book::{Book, PAGE};
use super::lane::{Lane, Recalled};
use super::record::{Cause, Change, Lease, LeaseKey, Recall, RecallScope, Stage, of_entity, of_token, recalls};
use super::whole::Walk;
use crate::CoreError;
use crate::records::Stored;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_model::MountId;
use strongroom_storage::Revision;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

/// Leases that are handed to a lane before the sweep waits for it.
const AHEAD: usize = 512;
/// How long a lane may take no lease until it counts as slow.
const PATIENCE: Duration = Duration::from_secs(2);
/// Sweeps at once.
const SWEEPS: usize = 32;

/// The recalls that are not carried out yet.
#[derive(Default)]
pub(super) struct Recalls {
    open: Mutex<Vec<Arc<Open>>>,
    /// Rung when there are sweeps to begin.
    wake: Notify,
    /// Sweeps that are to begin or run.
    busy: watch::Sender<usize>,
}

/// A recall, as it is on disk.
struct Open {
    recall: Recall,
    rev: Revision,
    /// Its sweep failed or has yet to begin.
    parked: AtomicBool,
}

impl Recalls {
    fn locked(&self) -> MutexGuard<'_, Vec<Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, recall: Recall, rev: Revision) {
        let new = Arc::new(Open { recall, rev, parked: AtomicBool::new(true) });
        let mut open = self.locked();
        // The sweep of an earlier one goes on, and leaves the record to this.
        open.retain(|old| old.recall.scope != new.recall.scope);
        open.push(new);
        drop(open);
        self.begin();
    }

    /// Has all sweeps begin that do not run.
    pub(super) fn begin(&self) {
        let parked = self.locked().iter().filter(|open| open.parked.load(Ordering::SeqCst)).count();
        if parked > 0 {
            self.wake.notify_one();
        }
    }

    /// Those whose sweep is to begin now; they count as busy.
    fn take_parked(&self) -> Vec<Arc<Open>> {
        let open = self.locked();
        let taken: Vec<_> = open.iter().filter(|open| open.parked.swap(false, Ordering::SeqCst)).cloned().collect();
        self.busy.send_modify(|busy| *busy += taken.len());
        taken
    }

    /// The sweep of this one is over.
    fn done(&self, done: &Arc<Open>, carried_out: bool) {
        if carried_out {
            self.locked().retain(|open| !Arc::ptr_eq(open, done));
        } else {
            done.parked.store(true, Ordering::SeqCst);
        }
        self.busy.send_modify(|busy| *busy = busy.saturating_sub(1));
    }

    /// Whether the lease is to end by one of them.
    pub(super) fn cover(&self, key: &LeaseKey, lease: &Lease) -> bool {
        self.locked().iter().any(|open| open.recall.covers(key, lease))
    }

    /// Whether a path as a whole is recalled.
    pub(super) fn cover_path(&self, mount: MountId, path: &str) -> bool {
        let is_it =
            |scope: &RecallScope| matches!(scope, RecallScope::Path { mount: m, path: p } if *m == mount && p == path);
        self.locked().iter().any(|open| is_it(&open.recall.scope))
    }

    /// Waits until no sweep runs.
    pub(super) async fn settle(&self) {
        let mut busy = self.busy.subscribe();
        busy.borrow_and_update();
        self.begin();
        if self.locked().iter().any(|open| open.parked.load(Ordering::SeqCst)) {
            // Until they are begun.
            let _ = busy.changed().await;
        }
        // One that failed is tried again with the next tick; the sender lives as long as `self`.
        let _ = busy.wait_for(|busy| *busy == 0).await;
    }
}

impl Book {
    /// Has all these leases ended, by one record; durable when it returns.
    pub(super) async fn recall(&self, scope: RecallScope, cause: Cause) -> Result<(), CoreError> {
        let recall = Recall { scope, cause, at: self.now() };
        let rev = self.ledger.commit(Change::default().put(recall.place(), &recall)?).await?;
        self.recalls.add(recall, rev);
        Ok(())
    }

    /// Whether a lease is to be revoked, by its own record or by a recall.
    pub(super) fn is_ending(&self, key: &LeaseKey, lease: &Lease) -> bool {
        lease.stage.is_revoking() || self.recalls.cover(key, lease)
    }

    /// Reads what an earlier run left to do.
    pub(super) async fn load_recalls(&self) -> Result<(), CoreError> {
        for listed in self.records.scan_all::<Recall>(&recalls()).await? {
            let place = listed.value.place();
            if let Some(stored) = self.records.get::<Recall>(&place).await? {
                self.recalls.add(stored.value.clone(), stored.rev);
            }
        }
        Ok(())
    }

    /// A page of what a recall may mean, after a place in it.
    async fn page_of(
        &self,
        scope: &RecallScope,
        (walk, after): (&mut Option<Walk>, &mut Option<Vec<u8>>),
    ) -> Result<Option<Vec<(LeaseKey, Stored<Lease>)>>, CoreError> {
        let shelf = match scope {
            RecallScope::Path { mount, path } => {
                let walk = walk.get_or_insert_with(|| Walk::over(*mount, path));
                let Some(page) = walk.next(self).await? else { return Ok(None) };
                let found = page.into_iter().map(|listed| {
                    let key = LeaseKey { mount: *mount, path: path.clone(), suffix: listed.text() };
                    (key, Stored { value: listed.value, rev: listed.rev })
                });
                return Ok(Some(found.collect()));
            }
            RecallScope::Token(token) => of_token(*token),
            RecallScope::Entity { entity, .. } => of_entity(*entity),
        };
        let from = after.as_ref().map(|name| shelf.named(name));
        let links = self.records.scan::<LeaseKey>(&shelf, from.as_ref(), PAGE).await?;
        let Some(last) = links.last() else { return Ok(None) };
        *after = Some(last.name.clone());
        let mut found = Vec::with_capacity(links.len());
        for link in links {
            if let Some(lease) = self.unless_lost(&link.value, self.peek(&link.value).await)? {
                found.push((link.value, lease));
            }
        }
        Ok(Some(found))
    }
}

/// One sweep.
struct Sweep {
    open: Arc<Open>,
    /// Lanes that took nothing for too long.
    slow: HashSet<(MountId, String)>,
    /// Lanes that leases were handed to.
    used: BTreeMap<(MountId, String), Arc<Lane>>,
}

impl Leases {
    /// The task that carries recalls out.
    pub(super) async fn keep_recalls(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let (mut sweeps, room) = (JoinSet::new(), Arc::new(Semaphore::new(SWEEPS)));
        loop {
            tokio::select! {
                () = self.book.recalls.wake.notified() => {}
                Some(_) = sweeps.join_next() => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            }
            for open in self.book.recalls.take_parked() {
                let (leases, room) = (Arc::clone(&self), Arc::clone(&room));
                sweeps.spawn(async move { leases.carry_out(open, &room).await });
            }
        }
    }

    async fn carry_out(self: Arc<Self>, open: Arc<Open>, room: &Semaphore) {
        let Ok(_place) = room.acquire().await else { return };
        let sweep = Sweep { open: Arc::clone(&open), slow: HashSet::new(), used: BTreeMap::new() };
        let done = self.sweep(sweep).await;
        if let Err(error) = &done {
            tracing::warn!(%error, "leases could not be recalled; it is tried again");
        }
        self.book.recalls.done(&open, done.is_ok());
        self.book.moved();
    }

    /// Goes over all that is meant until nothing is left, then forgets the recall.
    async fn sweep(self: &Arc<Self>, mut sweep: Sweep) -> Result<(), CoreError> {
        let mut is_first = true;
        while self.sweep_once(&mut sweep, is_first).await? > 0 {
            is_first = false;
            self.drained(&sweep, 0).await;
        }
        let gone =
            Change::default().expect(sweep.open.recall.place(), sweep.open.rev).delete(sweep.open.recall.place());
        match self.book.ledger.commit(gone).await {
            // A later recall has taken its place.
            Ok(_) | Err(CoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Hands what is in force to its lane, and marks what cannot be handed over; says how many were handed over.
    async fn sweep_once(self: &Arc<Self>, sweep: &mut Sweep, is_first: bool) -> Result<usize, CoreError> {
        let (recall, mut after, mut given) = (sweep.open.recall.clone(), None, 0);
        let mut walk = None;
        while let Some(page) = self.book.page_of(&recall.scope, (&mut walk, &mut after)).await? {
            let (mut marks, mut gifts) = (Vec::new(), BTreeMap::<_, Vec<Recalled>>::new());
            let now = self.book.now();
            for (key, lease) in page.into_iter().filter(|(key, lease)| recall.covers(key, &lease.value)) {
                match &lease.value.stage {
                    Stage::Active if !self.is_slow(sweep, &key, &lease.value) => {
                        let lane = (key.mount, lease.value.lane.clone());
                        let gift = Recalled { key, lease: Arc::new(lease), cause: recall.cause };
                        gifts.entry(lane).or_default().push(gift);
                    }
                    // One that failed before is tried at once.
                    Stage::Revoking(_) if !is_first || lease.value.due <= now => {}
                    _ => marks.push(key),
                }
            }
            self.book.mark(&marks, recall.cause).await?;
            for (lane, leases) in gifts {
                given += leases.len();
                self.give(sweep, lane, leases).await;
            }
        }
        if let (RecallScope::Path { mount, path }, Some(walk)) = (&recall.scope, walk)
            && given == 0
            && walk.seen < self.book.ledger.count_of(*mount, path)
        {
            self.book.note_missing(*mount, path).await?;
        }
        Ok(given)
    }

    fn is_slow(self: &Arc<Self>, sweep: &Sweep, key: &LeaseKey, lease: &Lease) -> bool {
        let is_down = || self.lane(key.mount, &lease.lane).outage().is_some();
        sweep.slow.contains(&(key.mount, lease.lane.clone())) || is_down()
    }

    /// Gives leases of one lane to it, and waits until it has room for more.
    async fn give(self: &Arc<Self>, sweep: &mut Sweep, (mount, name): (MountId, String), leases: Vec<Recalled>) {
        let lane = self.lane(mount, &name);
        lane.push_recalled(leases.into_iter());
        lane.beat.ring();
        sweep.used.insert((mount, name.clone()), Arc::clone(&lane));
        if tokio::time::timeout(PATIENCE, self.has_room(&lane, AHEAD)).await.is_err() {
            sweep.slow.insert((mount, name));
        }
    }

    /// Waits until all lanes that were given leases have at most so many left.
    async fn drained(&self, sweep: &Sweep, most: usize) {
        for lane in sweep.used.values() {
            self.has_room(lane, most).await;
        }
    }

    async fn has_room(&self, lane: &Lane, most: usize) {
        let mut progress = self.book.progress.subscribe();
        while lane.recalled() > most {
            progress.borrow_and_update();
            if lane.recalled() <= most || progress.changed().await.is_err() {
                return;
            }
        }
    }
}
