//! The store's memory of the trail: how long it was at its last signed checkpoint, and how it ended then.
//!
//! The trail bears witness that the store is not an older copy (its checkpoints name a generation); this bears witness
//! that the trail is there and goes on from what was signed. Whoever puts one of them back is found out by the other;
//! whoever puts both back to the same moment is not.
//!
//! Only for a trail on disk: one in memory is new after each start. Does not judge the lines, which is for `verify`.

use super::TrailSeal;
use crate::CoreError;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Entry, Trail};
use strongroom_barrier::{Address, Barrier, BarrierError, Shelf, Txn};
use strongroom_model::NamespaceId;
use tokio::sync::{Mutex, watch};

/// The longest that the memory lags behind a busy trail.
const PACE: Duration = Duration::from_secs(60);

/// A checkpoint of the trail, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// How many lines it speaks of.
    size: u64,
    /// SHA-256 of the last of them, in hexadecimal.
    head: String,
    /// The store's generation then.
    generation: u64,
}

fn place() -> Address {
    Shelf::new("trail-head", NamespaceId::ROOT).named("last")
}

async fn remembered(barrier: &Barrier) -> Result<Option<Head>, CoreError> {
    let Some(record) = barrier.get(&place()).await? else { return Ok(None) };
    let read = serde_json::from_slice(record.bytes.expose());
    read.map(Some).map_err(|_| CoreError::Unreadable { kind: "trail-head" })
}

/// Compares store and trail, which know of each other. What does not fit is refused; with `accept` it is taken, and the
/// trail says so before its next checkpoint.
pub(crate) async fn compare(barrier: &Barrier, trail: &Trail, accept: bool) -> Result<(), CoreError> {
    if let Err(error) = barrier.check_generation(trail.health().last_generation) {
        match error {
            BarrierError::RolledBack { found, expected } if accept => {
                trail.append(Entry::rollback_accepted(expected, found)).await?;
            }
            error => return Err(error.into()),
        }
    }
    if !trail.is_kept() {
        return Ok(());
    }
    let Some(head) = remembered(barrier).await? else { return Ok(()) };
    match continues(trail, &head).await {
        Err(CoreError::TrailCut { found, .. } | CoreError::TrailReplaced { found, .. }) if accept => {
            trail.append(Entry::trail_accepted(head.size, found)).await?;
            Ok(())
        }
        compared => compared,
    }
}

/// Whether the trail still has the lines of that checkpoint.
async fn continues(trail: &Trail, head: &Head) -> Result<(), CoreError> {
    let (found, expected) = (trail.health().entries, head.size);
    if found < expected {
        return Err(CoreError::TrailCut { found, expected });
    }
    // A trail begun anew grows with every request that is answered while sealed: its length alone proves nothing.
    let Some(last) = expected.checked_sub(1) else { return Ok(()) };
    let hash = trail.line_hash(last).await?;
    if hash.is_some_and(|hash| hex::encode(hash) == head.head) {
        return Ok(());
    }
    Err(CoreError::TrailReplaced { found, expected })
}

/// Keeps the memory fresh while the strongroom is open.
pub(crate) struct TrailMemory {
    barrier: Arc<Barrier>,
    trail: Arc<Trail>,
    /// What was written last; held while it is written.
    written: Mutex<Option<Head>>,
}

impl TrailMemory {
    pub(crate) fn new(barrier: Arc<Barrier>, trail: Arc<Trail>) -> Self {
        Self { barrier, trail, written: Mutex::new(None) }
    }

    /// Lets the trail sign from now on, and remembers the first checkpoint.
    pub(crate) async fn begin(&self) {
        self.trail.set_seal(Some(Arc::new(TrailSeal(Arc::clone(&self.barrier))))).await;
        if self.trail.is_kept() {
            self.trail.checkpoint().await;
            self.remember().await;
        }
    }

    /// How many lines the store remembers as of now; none when it could not note any. The last of them has to stay.
    pub(crate) async fn size(&self) -> Option<u64> {
        self.remember().await;
        self.written.lock().await.as_ref().map(|head| head.size)
    }

    /// Remembers a minute's checkpoints, until told to stop.
    pub(crate) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut every_minute = tokio::time::interval(PACE);
        every_minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every_minute.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.remember().await;
        }
    }

    /// The trail signs once more and then no longer; that checkpoint is remembered.
    pub(crate) async fn end(&self) {
        self.trail.set_seal(None).await;
        self.remember().await;
    }

    /// Writes down the last checkpoint if it is another one. Failing, it leaves an older one, which is as true.
    async fn remember(&self) {
        let Some(checkpoint) = self.trail.last_checkpoint().filter(|_| self.trail.is_kept()) else { return };
        let (size, generation) = (checkpoint.size, checkpoint.generation);
        let head = Head { size, head: hex::encode(checkpoint.head), generation };
        let mut written = self.written.lock().await;
        if written.as_ref() == Some(&head) {
            return;
        }
        match self.write(&head).await {
            Ok(()) => *written = Some(head),
            Err(error) => tracing::error!(%error, "the store could not note how long the audit trail is"),
        }
    }

    async fn write(&self, head: &Head) -> Result<(), CoreError> {
        self.barrier.commit(Txn::new().put_record(place(), head)?).await?;
        Ok(())
    }
}
