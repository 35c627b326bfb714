//! The one task that writes: takes what waits in the queue, commits it at once, and answers each caller.
//!
//! Invariants: a caller is answered only when its change is durable, or surely not made, or its outcome is unknown
//! and it is told so; a caller that goes away disturbs nobody.

use crate::batch::{Batch, Sealed, Staged};
use crate::interior::{Interior, Ledger, Pending};
use crate::keys::Keys;
use crate::{BarrierError, Txn};
use std::sync::Arc;
use strongroom_storage::{Committed, IdemToken, Revision, StoreError};
use tokio::sync::{mpsc, oneshot};

/// Transactions that may wait before callers wait for room.
pub(crate) const QUEUE: usize = 1_024;
/// Transactions in one commit: more would make the first of them wait too long.
const MOST: usize = 256;

/// A transaction with the one who waits for it.
pub(crate) struct Job {
    pub(crate) txn: Txn,
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
    let mut ledger = interior.ledger.lock().await;
    let keys = match ready(interior, &mut ledger).await {
        Ok(keys) => keys,
        Err(error) => {
            first.answer(Err(error));
            return None;
        }
    };
    let mut batch = Batch::new(interior, &keys, &ledger.head);
    let mut waiting = Vec::new();
    let mut next = Some(first);
    let mut later = None;
    while let Some(job) = next.take() {
        match batch.stage(&job.txn).await {
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
        if waiting.len() < MOST {
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

async fn commit(interior: &Interior, ledger: &mut Ledger, batch: Batch<'_>) -> Result<(), BarrierError> {
    let idem = IdemToken(interior.entropy.array());
    let Sealed { txn, news } = batch.seal(&ledger.head, ledger.head_rev, idem)?;
    match interior.store.commit(interior.epoch, txn).await {
        Ok(Committed::At(rev)) => {
            interior.publish(ledger, rev, news);
            Ok(())
        }
        // The only compare is of the head: somebody else has written it.
        Ok(Committed::Conflict(_) | Committed::Fenced) => {
            interior.stop(ledger, &BarrierError::Superseded);
            Err(BarrierError::Superseded)
        }
        Ok(Committed::Unknown) => {
            ledger.pending = Some(Pending { idem, news });
            ask(interior, ledger, BarrierError::Unknown).await
        }
        Err(error @ (StoreError::Full | StoreError::TooLarge { .. })) => Err(error.into()),
        Err(error) => {
            let error = BarrierError::Store(error);
            if matches!(error, BarrierError::Store(StoreError::Stopped { .. })) {
                interior.stop(ledger, &error);
            }
            ledger.pending = Some(Pending { idem, news });
            ask(interior, ledger, error).await
        }
    }
}

/// Asks what became of the attempt: made after all, or not made for the reason given, or still not known.
async fn ask(interior: &Interior, ledger: &mut Ledger, reason: BarrierError) -> Result<(), BarrierError> {
    let before = ledger.head.generation;
    interior.settle(ledger).await?;
    if ledger.head.generation > before { Ok(()) } else { Err(reason) }
}
