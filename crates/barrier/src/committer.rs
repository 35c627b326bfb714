//! The one task that writes: takes what waits in the queue, up to a limit, commits it at once, and answers each caller.
//!
//! Invariants: a caller is answered only when its change is durable, or surely not made, or its outcome is unknown
//! and it is told so; a caller that goes away disturbs nobody.

use crate::batch::{Batch, Sealed, Staged, Stale};
use crate::change::SealChange;
use crate::interior::{Interior, Ledger, Pending};
use crate::keys::Keys;
use crate::place::SEAL;
use crate::reading::ALTERED;
use crate::{BarrierError, Txn, seal};
use std::sync::Arc;
use strongroom_storage::{Committed, IdemToken, Revision, StoreError};
use tokio::sync::{mpsc, oneshot};

/// Transactions that may wait before callers wait for room.
pub(crate) const QUEUE: usize = 1_024;
/// Transactions in one commit, while not many wait: with more of them nobody would be left whose request is worked on while
/// they are on their way to the disk, and all would wait for each other in turn.
const MANY: usize = 32;
/// From so many on that wait they fill two commits and more: then it counts how many go into one.
const CROWD: usize = 64;
/// Transactions in one commit, when many wait: more would make the first of them wait too long.
const MOST: usize = 256;

/// What the committer can be asked for.
pub(crate) enum Work {
    /// Changes to records; committed together with others that wait.
    Change(Txn),
    /// A change of the seal record; committed alone.
    Seal(SealChange),
    /// Objects to be sealed under the current term; committed alone.
    Reseal(Vec<Stale>),
}

/// Work with the one who waits for it.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Result<Revision, BarrierError>>,
}

impl Job {
    fn answer(self, result: Result<Revision, BarrierError>) {
        // Fails only when the caller has gone away.
        let _ = self.answer.send(result);
    }
}

/// Commits until the last sender of jobs is gone and the queue is empty.
pub(crate) async fn run(interior: Arc<Interior>, mut jobs: mpsc::Receiver<Job>) {
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        carried = commit_waiting(&interior, first, &mut jobs).await;
    }
}

/// Commits the job and those that wait behind it. Gives back one that found no room.
async fn commit_waiting(interior: &Interior, first: Job, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    let most = if jobs.len() < CROWD { MANY } else { MOST };
    if (1..most).contains(&jobs.len()) {
        // Who is about to ask comes along while there is room: a commit of few costs nearly as much as one of some more.
        tokio::task::yield_now().await;
    }
    let mut ledger = interior.ledger.lock().await;
    let keys = match ready(interior, &mut ledger).await {
        Ok(keys) => keys,
        Err(error) => {
            first.answer(Err(error));
            return None;
        }
    };
    let alone = match &first.work {
        Work::Change(_) => None,
        Work::Seal(change) => Some(interior.change_seal(&keys, &mut ledger, change).await),
        Work::Reseal(objects) => Some(reseal(interior, &keys, &mut ledger, objects).await),
    };
    if let Some(result) = alone {
        drop(ledger);
        first.answer(result);
        return None;
    }
    let mut batch = Batch::new(interior, &keys, &ledger.head);
    let mut waiting = Vec::new();
    let mut next = Some(first);
    let mut later = None;
    while let Some(job) = next.take() {
        let Work::Change(txn) = &job.work else {
            later = Some(job);
            break;
        };
        match batch.stage(txn).await {
            Ok(Staged::Taken(rev)) => waiting.push((job, rev)),
            Ok(Staged::Later) => {
                later = Some(job);
                break;
            }
            Err(error) => {
                let error = interior.blame(&keys, &ledger, error).await;
                if matches!(error, BarrierError::Superseded) {
                    interior.stop(&mut ledger, &error);
                }
                job.answer(Err(error));
            }
        }
        if waiting.len() < most {
            next = jobs.try_recv().ok();
        }
    }
    let result = if batch.is_empty() { Ok(()) } else { commit(interior, &mut ledger, batch).await };
    drop(ledger);
    for (job, rev) in waiting {
        job.answer(result.as_ref().map(|()| rev).map_err(BarrierError::again));
    }
    later
}

async fn ready(interior: &Interior, ledger: &mut Ledger) -> Result<Arc<Keys>, BarrierError> {
    interior.settle(ledger).await?;
    match &ledger.stopped {
        Some(error) => Err(error.again()),
        None => interior.keys(),
    }
}

async fn reseal(
    interior: &Interior,
    keys: &Keys,
    ledger: &mut Ledger,
    objects: &[Stale],
) -> Result<Revision, BarrierError> {
    let mut batch = Batch::new(interior, keys, &ledger.head);
    match batch.reseal(objects).await {
        Ok(rev) => commit(interior, ledger, batch).await.map(|()| rev),
        Err(error) => Err(interior.blame(keys, ledger, error).await),
    }
}

async fn commit(interior: &Interior, ledger: &mut Ledger, batch: Batch<'_>) -> Result<(), BarrierError> {
    let idem = IdemToken(interior.entropy.array());
    let sealed = batch.seal(&ledger.head, ledger.head_rev, idem)?;
    // Sealed is sealed, also when the commit fails.
    ledger.head.wraps = sealed.news.head.wraps;
    interior.put(ledger, sealed).await
}

impl Interior {
    /// Commits what is sealed, and finds out what became of it.
    pub(crate) async fn put(&self, ledger: &mut Ledger, sealed: Sealed) -> Result<(), BarrierError> {
        let Sealed { txn, news } = sealed;
        let idem = txn.idem;
        match self.store.commit(self.epoch, txn).await {
            Ok(Committed::At(rev)) => {
                self.publish(ledger, rev, news);
                Ok(())
            }
            // The head is as it was, so nobody else has written: what differs is the seal record, which nobody may touch.
            Ok(Committed::Conflict(keys)) if !keys.is_empty() && keys.iter().all(|key| key == SEAL) => {
                Err(BarrierError::tampered(seal::KIND, ALTERED))
            }
            // Somebody else has written the head.
            Ok(Committed::Conflict(_) | Committed::Fenced) => {
                self.stop(ledger, &BarrierError::Superseded);
                Err(BarrierError::Superseded)
            }
            Ok(Committed::Unknown) => {
                ledger.pending = Some(Pending { idem, news });
                ask(self, ledger, BarrierError::Unknown).await
            }
            Err(error @ (StoreError::Full | StoreError::TooLarge { .. })) => Err(error.into()),
            Err(error) => {
                let error = BarrierError::Store(error);
                if matches!(error, BarrierError::Store(StoreError::Stopped { .. })) {
                    self.stop(ledger, &error);
                }
                ledger.pending = Some(Pending { idem, news });
                ask(self, ledger, error).await
            }
        }
    }
}

/// Asks what became of the attempt: made after all, or not made for the reason given, or still not known.
async fn ask(interior: &Interior, ledger: &mut Ledger, reason: BarrierError) -> Result<(), BarrierError> {
    let before = ledger.head.generation;
    interior.settle(ledger).await?;
    if ledger.head.generation > before { Ok(()) } else { Err(reason) }
}
