use super::record::backoff;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_model::Timestamp;
use tokio::sync::Semaphore;

/// Calls to one outside system at once.
const AT_ONCE: usize = 8;
/// Lanes nobody uses are forgotten when there are more.
const MOST: usize = 1_024;

/// One outside system: calls to it are bounded, and while it cannot be reached nothing new is begun there.
pub(super) struct Lane {
    pub(super) permits: Semaphore,
    outage: Mutex<(u32, Timestamp)>,
}

impl Lane {
    fn new() -> Self {
        Self { permits: Semaphore::new(AT_ONCE), outage: Mutex::default() }
    }

    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).1 > now
    }

    pub(super) fn went_down(&self, now: Timestamp, part: u8) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if outage.1 <= now {
            outage.0 = outage.0.saturating_add(1);
            outage.1 = now.plus(backoff(outage.0, part));
        }
    }

    /// Lets it be tried now, though it did not answer lately: somebody wants to know.
    pub(super) fn look_again(&self) {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).1 = Timestamp::default();
    }

    pub(super) fn came_up(&self) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = (0, Timestamp::default());
    }
}

/// All lanes, by name.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Arc<Lane>>>);

impl Lanes {
    pub(super) fn get(&self, name: &str) -> Arc<Lane> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() > MOST {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        Arc::clone(lanes.entry(name.to_owned()).or_insert_with(|| Arc::new(Lane::new())))
    }
}
