//! Logins under one name take turns, so that of many guesses sent at once only as many are looked at as may fail; logins with
//! one secret id too, so that none of them comes too late again and again.
//!
//! A crowd of names shares a fixed number of turns: nothing here grows with what strangers send.

use std::hash::{BuildHasher, RandomState};
use tokio::sync::{Mutex, MutexGuard};

/// So many that two names which are busy at once seldom share a turn.
const STRIPES: usize = 256;

pub(crate) struct Turns {
    stripes: Vec<Mutex<()>>,
    /// Keyed at random, so that nobody can choose names that stand in the way of another.
    hasher: RandomState,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// The turn of a name, held until it is dropped.
    pub(crate) async fn take(&self, name: &str) -> Option<MutexGuard<'_, ()>> {
        match self.stripes.get(self.hasher.hash_one(name) as usize % STRIPES) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}
