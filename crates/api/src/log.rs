//! How much is logged, changed while the server runs. The binary owns the log; this is the handle that it gives.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Applies levels by room; says whether it could.
type Apply = Box<dyn Fn(&BTreeMap<String, String>) -> bool + Send + Sync>;

/// The levels that exist, in Vault's words.
pub const LOG_LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// Sets the levels of the operator log.
pub struct LogControl {
    configured: Mutex<String>,
    levels: Mutex<BTreeMap<String, String>>,
    apply: Apply,
}

impl LogControl {
    /// A handle for these rooms, all at one level now.
    pub fn new(
        rooms: impl IntoIterator<Item = &'static str>,
        level: &str,
        apply: impl Fn(&BTreeMap<String, String>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let levels = rooms.into_iter().map(|room| (room.to_owned(), level.to_owned())).collect();
        Self { configured: Mutex::new(level.to_owned()), levels: Mutex::new(levels), apply: Box::new(apply) }
    }

    /// The level of each room.
    pub fn levels(&self) -> BTreeMap<String, String> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The level of the configuration, which `sys/loggers` goes back to.
    pub fn configured(&self) -> String {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes another level from the configuration, for all rooms; `false` when the log refuses.
    pub fn configure(&self, level: &str) -> bool {
        let done = self.set(None, level);
        if done {
            level.clone_into(&mut self.configured.lock().unwrap_or_else(PoisonError::into_inner));
        }
        done
    }

    /// Sets the level of one room, or of all; `false` when there is no such room or the log refuses.
    pub fn set(&self, room: Option<&str>, level: &str) -> bool {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = levels.clone();
        match room {
            None => changed.values_mut().for_each(|known| *known = level.to_owned()),
            Some(room) => match changed.get_mut(room) {
                Some(known) => *known = level.to_owned(),
                None => return false,
            },
        }
        let done = (self.apply)(&changed);
        if done {
            *levels = changed;
        }
        done
    }
}
