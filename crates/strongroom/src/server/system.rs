use std::time::{SystemTime, UNIX_EPOCH};
use strongroom_model::{Clock, Timestamp};

/// The wall clock of the machine. The one place that reads it.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "everything below takes its time from here")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
