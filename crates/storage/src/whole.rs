//! The store as a whole: read at one moment, and replaced in one commit. What a snapshot is made of and restored by.
//!
//! Invariants: a view never shows a part of a commit, nor one that came after it; a replacement happens whole or not at
//! all, also when the process is killed in its middle. Neither holds more than a portion of an engine's data in memory
//! where the engine itself does not. Knows nothing of the form in which rows travel.

use crate::{Entry, StoreError};

/// Everything in a store at one moment, in byte order of the keys.
pub trait View: Send {
    /// The next entries, about `bytes` of keys and values, at least one; none at the end.
    fn portion(&mut self, bytes: usize) -> Result<Vec<Entry>, StoreError>;
}

/// A key with its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What takes the place of everything: rows in strictly ascending order of their keys. After an error nothing is replaced.
pub type Rows = Box<dyn Iterator<Item = Result<Row, StoreError>> + Send>;

/// Refuses rows that are not in order or over an engine's limits; every engine asks this for each row.
pub(crate) struct Ascending {
    last: Option<Vec<u8>>,
    limits: crate::Limits,
}

impl Ascending {
    pub(crate) fn new(limits: crate::Limits) -> Self {
        Self { last: None, limits }
    }

    pub(crate) fn check(&mut self, (key, value): &Row) -> Result<(), StoreError> {
        if key.len() > self.limits.key_bytes {
            return Err(StoreError::TooLarge { what: "a key", limit: self.limits.key_bytes });
        }
        if value.len() > self.limits.value_bytes {
            return Err(StoreError::TooLarge { what: "a value", limit: self.limits.value_bytes });
        }
        if self.last.as_ref().is_some_and(|last| last >= key) {
            return Err(StoreError::KeyTwice);
        }
        self.last = Some(key.clone());
        Ok(())
    }
}
