use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};

/// A clock that stands still until it is turned.
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock at 2026-11-21T00:00:00Z.
    pub fn new() -> Self {
        Self(AtomicU64::new(Timestamp::from_secs(1_795_219_200).nanos()))
    }

    /// Turns it forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Turns it back, as a machine whose clock is corrected does.
    pub fn turn_back(&self, span: Duration) {
        self.0.fetch_sub(u64::try_from(span.as_nanos()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}
