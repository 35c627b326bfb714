use std::sync::atomic::{AtomicU64, Ordering};
use strongroom_model::Timestamp;
use tokio::sync::{Notify, watch};

/// When a task has to run again, by the clock or because somebody rang; and who waits for that run.
pub(super) struct Beat {
    /// Nanoseconds; the far end of time when nothing is known to come.
    next: AtomicU64,
    rings: AtomicU64,
    wake: Notify,
    answered: watch::Sender<u64>,
}

impl Beat {
    /// Due at once.
    pub(super) fn new() -> Self {
        let answered = watch::Sender::new(0);
        Self { next: AtomicU64::new(0), rings: AtomicU64::new(0), wake: Notify::new(), answered }
    }

    /// Notes that there is something to do at that time.
    pub(super) fn expect(&self, at: Timestamp) {
        self.next.fetch_min(at.nanos(), Ordering::SeqCst);
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.next.load(Ordering::SeqCst) <= now.nanos()
    }

    /// Has the task run; the ticket says which run.
    pub(super) fn ring(&self) -> u64 {
        let ticket = self.rings.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        ticket
    }

    /// Waits for a ring; gives the ticket that the run answers.
    pub(super) async fn rung(&self) -> u64 {
        self.wake.notified().await;
        self.rings.load(Ordering::SeqCst)
    }

    /// A run begins: what is expected from now on comes after it.
    pub(super) fn begin(&self) {
        self.next.store(u64::MAX, Ordering::SeqCst);
    }

    /// The run is over.
    pub(super) fn answer(&self, ticket: u64) {
        self.answered.send_modify(|answered| *answered = ticket.max(*answered));
    }

    /// Waits until the run for a ticket is over.
    pub(super) async fn over(&self, ticket: u64) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.answered.subscribe().wait_for(|answered| *answered >= ticket).await;
    }
}
