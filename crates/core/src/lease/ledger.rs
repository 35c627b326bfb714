//! Commits the changes of leases: those that wait together go into one transaction, with the counts of how many leases
//! each path has. As the only writer of the counts it keeps them in memory too, so that a limit is checked without a
//! scan and never passed, however many ask at once.
//!
//! When changes come fast, a commit waits a moment for more of them: each costs a sync of the disk, and an outside system
//! takes longer than that for whatever the change is about. It waits longer while many credentials are being asked for at
//! once, of which most wait for the outside system anyway, and longest where nobody waits for any of the changes.
//!
//! Invariants: counts are written in the commit that changes them; a change that conflicts does not hurt those beside it.

use super::record::{Change, PathNote, paths};
use crate::records::{PutRecord, Records};
use crate::{CoreError, task::Tasks};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strongroom_barrier::{Address, Txn};
use strongroom_model::MountId;
use strongroom_storage::Revision;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

/// Changes that may wait.
const QUEUE: usize = 1_024;
/// So many changes within [`WINDOW`] are many ...
const MANY: u32 = 20;
const WINDOW: Duration = Duration::from_millis(100);
/// ... and then one waits so long for others.
const GATHER: Duration = Duration::from_millis(2);
/// From so many credentials on that are asked for at once ...
const CROWD: usize = 16;
/// ... it waits so long ...
const GATHER_IN_CROWD: Duration = Duration::from_millis(6);
/// ... and on, up to this, while for so many of them the outside system is asked, or will be: it has enough to do then, and
/// makes none later because the record of another one came a moment later.
const GATHER_LONGEST: Duration = Duration::from_millis(20);
const ELSEWHERE: usize = 12;
/// Changes that nobody waits for are committed when there are so many ...
const ENOUGH: usize = 64;
/// ... or after so long. They lie at random places of the store, so the more go together the fewer pages each writes.
const GATHER_AT_LEISURE: Duration = Duration::from_millis(20);
/// Operations in one transaction; a store that takes fewer gets it in parts.
const MOST_OPS: usize = 1_000;

/// A limit on how many leases there may be, as it applies to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cap {
    /// `None`: all mounts together.
    pub(crate) mount: Option<MountId>,
    pub(crate) scope: CapScope,
    pub(crate) most: u64,
    /// What the caller is told.
    pub(crate) refusal: String,
}

/// Which paths of the mount count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CapScope {
    All,
    Path(String),
    Start(String),
    /// The last part of the path.
    Role(String),
}

impl CapScope {
    pub(crate) fn holds(&self, path: &str) -> bool {
        match self {
            CapScope::All => true,
            CapScope::Path(only) => path == only,
            CapScope::Start(start) => path.starts_with(start),
            CapScope::Role(role) => path.rsplit('/').next().is_some_and(|last| last == role),
        }
    }
}

/// Whether somebody waits for a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    Soon,
    /// Nobody: it may wait for company.
    AtLeisure,
}

type Counts = HashMap<MountId, BTreeMap<String, u64>>;

struct Job {
    change: Change,
    haste: Haste,
    answer: oneshot::Sender<Result<Revision, CoreError>>,
}

pub(super) struct Ledger {
    records: Arc<Records>,
    queue: mpsc::Sender<Job>,
    /// Taken by the task.
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
    counts: Mutex<Counts>,
    /// Credentials that are being asked for: each will bring changes.
    asked: AtomicUsize,
}

/// Somebody who asks for a credential, until they have it.
pub(super) struct Asker<'a>(&'a AtomicUsize);

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    pub(super) fn new(records: Arc<Records>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let waiting = Mutex::new(Some(waiting));
        Self { records, queue, waiting, counts: Mutex::default(), asked: AtomicUsize::new(0) }
    }

    /// Notes that somebody asks for a credential, until what this gives is dropped.
    pub(super) fn asker(&self) -> Asker<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asker(&self.asked)
    }

    /// How long a commit waits for company, when changes come fast.
    fn patience(&self) -> Duration {
        if self.asked.load(Ordering::Relaxed) < CROWD { GATHER } else { GATHER_IN_CROWD }
    }

    /// Reads the counts of these mounts, and begins to commit.
    pub(super) async fn begin(
        self: &Arc<Self>,
        mounts: impl Iterator<Item = MountId>,
        tasks: &Tasks,
    ) -> Result<(), CoreError> {
        for mount in mounts {
            let notes = self.records.scan_all::<PathNote>(&paths(mount)).await?;
            let counts = notes.into_iter().map(|listed| (listed.value.path, listed.value.leases));
            self.locked().insert(mount, counts.collect());
        }
        if let Some(jobs) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let ledger = Arc::clone(self);
            tasks.start(|stop| async move { ledger.run(jobs, stop).await });
        }
        Ok(())
    }

    /// Commits a change; durable when it returns. `Conflict` when something was not as expected.
    pub(super) async fn commit(&self, change: Change) -> Result<Revision, CoreError> {
        self.commit_in(Haste::Soon, change).await
    }

    /// As [`Ledger::commit`], now or when there is company.
    pub(super) async fn commit_in(&self, haste: Haste, change: Change) -> Result<Revision, CoreError> {
        let (answer, wait) = oneshot::channel();
        self.queue.send(Job { change, haste, answer }).await.map_err(|_| CoreError::Sealed)?;
        wait.await.unwrap_or(Err(CoreError::Sealed))
    }

    /// The paths of a mount that have leases, and how many.
    pub(super) fn paths(&self, mount: MountId) -> Vec<(String, u64)> {
        let counts = self.locked();
        counts.get(&mount).into_iter().flatten().map(|(path, count)| (path.clone(), *count)).collect()
    }

    /// How many leases a path has.
    pub(super) fn count_of(&self, mount: MountId, path: &str) -> u64 {
        self.locked().get(&mount).and_then(|paths| paths.get(path)).copied().unwrap_or(0)
    }

    /// How many leases there are in a scope.
    pub(super) fn count(&self, mount: Option<MountId>, scope: &CapScope) -> u64 {
        let counts = self.locked();
        let mounts = counts.iter().filter(|(id, _)| mount.is_none_or(|mount| mount == **id));
        mounts.flat_map(|(_, paths)| paths).filter(|(path, _)| scope.holds(path)).map(|(_, count)| count).sum()
    }

    /// Mounts that have leases, and how many.
    pub(super) fn totals(&self) -> Vec<(MountId, u64)> {
        let sums = self.locked();
        sums.iter().map(|(mount, paths)| (*mount, paths.values().sum())).filter(|(_, sum)| *sum > 0).collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when told to and nothing waits any more.
    async fn run(&self, mut jobs: mpsc::Receiver<Job>, mut stop: watch::Receiver<bool>) {
        let (mut waiting, mut pace) = (VecDeque::new(), Pace::new());
        loop {
            if waiting.is_empty() {
                let next = tokio::select! {
                    next = jobs.recv() => next,
                    _ = stop.wait_for(|stop| *stop), if !jobs.is_closed() => {
                        jobs.close();
                        continue;
                    }
                };
                match next {
                    Some(job) => waiting.push_back(job),
                    None => return,
                }
                if pace.is_fast() && !jobs.is_closed() {
                    self.gather(&mut waiting, &mut jobs).await;
                }
            }
            fill(&mut waiting, &mut jobs);
            let taken = self.take(&mut waiting);
            pace.count(taken.len());
            self.commit_all(taken).await;
        }
    }

    /// Waits a moment for company; on and on while nobody waits for any of these changes and they are few, or while waiting
    /// keeps nobody from anything.
    async fn gather(&self, waiting: &mut VecDeque<Job>, jobs: &mut mpsc::Receiver<Job>) {
        let begun = Instant::now();
        loop {
            fill(waiting, jobs);
            if waiting.len() >= ENOUGH || jobs.is_closed() {
                return;
            }
            sleep(self.patience()).await;
            fill(waiting, jobs);
            let longest = match waiting.iter().all(|job| job.haste == Haste::AtLeisure) {
                true => GATHER_AT_LEISURE,
                false if self.is_busy_elsewhere(waiting.len()) => GATHER_LONGEST,
                false => return,
            };
            if begun.elapsed() >= longest {
                return;
            }
        }
    }

    /// Whether most of many that ask for a credential wait for something else than these changes.
    fn is_busy_elsewhere(&self, waiting: usize) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked >= CROWD && asked.saturating_sub(waiting) >= ELSEWHERE
    }

    /// As many of those that wait as fit into one transaction, of which none changes what another changes or looks at;
    /// answers those that are over a limit. Many may look at one place, as all leases of a token do at the token.
    fn take(&self, waiting: &mut VecDeque<Job>) -> Vec<Job> {
        let (mut changed, mut expected) = (HashSet::<Address>::new(), HashSet::<Address>::new());
        let (mut taken, mut rest, mut ops) = (Vec::new(), VecDeque::new(), 0);
        for job in waiting.drain(..) {
            let is_free = job.change.changed().all(|at| !changed.contains(at) && !expected.contains(at))
                && job.change.expected().all(|at| !changed.contains(at));
            changed.extend(job.change.changed().cloned());
            expected.extend(job.change.expected().cloned());
            if !is_free || (ops > 0 && ops + job.change.size() > MOST_OPS) {
                rest.push_back(job);
                continue;
            }
            if let Some(cap) = job.change.cap.as_ref().filter(|cap| self.is_full(cap, &taken)) {
                let _ = job.answer.send(Err(CoreError::Limited(cap.refusal.clone())));
                continue;
            }
            ops += job.change.size();
            taken.push(job);
        }
        *waiting = rest;
        taken
    }

    fn is_full(&self, cap: &Cap, taken: &[Job]) -> bool {
        let coming = taken.iter().flat_map(|job| &job.change.counts);
        let coming = coming
            .filter(|(key, comes)| *comes && cap.mount.is_none_or(|m| m == key.mount) && cap.scope.holds(&key.path));
        let coming = u64::try_from(coming.count()).unwrap_or(u64::MAX);
        self.count(cap.mount, &cap.scope) + coming >= cap.most
    }

    async fn commit_all(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        // What does not go together is tried in halves, so that whose fault it is gets an answer of its own.
        let mut parts = vec![jobs];
        while let Some(mut jobs) = parts.pop() {
            match self.commit_once(&jobs).await {
                Ok(rev) => jobs.into_iter().for_each(|job| drop(job.answer.send(Ok(rev)))),
                Err(error) if jobs.len() == 1 => {
                    jobs.pop().into_iter().zip([error]).for_each(|(job, error)| drop(job.answer.send(Err(error))));
                }
                Err(_) => {
                    let second = jobs.split_off(jobs.len() / 2);
                    // The earlier ones first.
                    parts.extend([second, jobs]);
                }
            }
        }
    }

    async fn commit_once(&self, jobs: &[Job]) -> Result<Revision, CoreError> {
        let counted = self.counted(jobs);
        let mut txn = jobs.iter().fold(Txn::new(), |txn, job| job.change.add_to(txn));
        for ((mount, path), leases) in &counted {
            let at = paths(*mount).named(path);
            txn = match leases {
                0 => txn.delete(at),
                _ => txn.put_record(at, &PathNote { path: path.clone(), leases: *leases })?,
            };
        }
        match self.records.commit(txn).await {
            Ok(rev) => {
                counted.into_iter().for_each(|((mount, path), leases)| self.set(mount, path, leases));
                Ok(rev)
            }
            Err(error) => {
                // What became of it may be unknown: what the store says now counts.
                if !matches!(error, CoreError::Conflict) {
                    for (mount, path) in counted.into_keys() {
                        self.reread(mount, path).await;
                    }
                }
                Err(error)
            }
        }
    }

    /// The counts that these changes alter, as they will be.
    fn counted(&self, jobs: &[Job]) -> BTreeMap<(MountId, String), u64> {
        let all = jobs.iter().flat_map(|job| &job.change.counts);
        let touched: BTreeSet<_> = all.clone().map(|(key, _)| (key.mount, key.path.clone())).collect();
        let known = self.locked();
        let mut counted: BTreeMap<_, u64> = BTreeMap::new();
        for (mount, path) in touched {
            let now = known.get(&mount).and_then(|paths| paths.get(&path)).copied().unwrap_or(0);
            let of_path = all.clone().filter(|(key, _)| key.mount == mount && key.path == path);
            let count = of_path.fold(now, |n, (_, comes)| if *comes { n + 1 } else { n.saturating_sub(1) });
            counted.insert((mount, path), count);
        }
        counted
    }

    async fn reread(&self, mount: MountId, path: String) {
        let at = paths(mount).named(&path);
        match self.records.get::<PathNote>(&at).await {
            Ok(note) => self.set(mount, path, note.map_or(0, |note| note.value.leases)),
            Err(error) => tracing::warn!(%error, "how many leases a path has could not be read again"),
        }
    }

    fn set(&self, mount: MountId, path: String, leases: u64) {
        let mut counts = self.locked();
        let of_mount = counts.entry(mount).or_default();
        if leases == 0 {
            of_mount.remove(&path);
        } else {
            of_mount.insert(path, leases);
        }
        if of_mount.is_empty() {
            counts.remove(&mount);
        }
    }
}

/// Takes in what has come meanwhile.
fn fill(waiting: &mut VecDeque<Job>, jobs: &mut mpsc::Receiver<Job>) {
    while waiting.len() < QUEUE
        && let Ok(job) = jobs.try_recv()
    {
        waiting.push_back(job);
    }
}

/// How fast changes come: how many there were in this window and in the one before.
struct Pace {
    since: Instant,
    now: u32,
    before: u32,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), now: 0, before: 0 }
    }

    fn count(&mut self, changes: usize) {
        self.turn();
        self.now = self.now.saturating_add(u32::try_from(changes).unwrap_or(u32::MAX));
    }

    fn is_fast(&mut self) -> bool {
        self.turn();
        self.now.max(self.before) >= MANY
    }

    fn turn(&mut self) {
        let gone = self.since.elapsed();
        if gone >= WINDOW {
            self.before = if gone < 2 * WINDOW { self.now } else { 0 };
            (self.since, self.now) = (Instant::now(), 0);
        }
    }
}
