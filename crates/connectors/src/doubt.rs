//! Remembers connections on which a question was left without its answer. The server may still work on it, or find it
//! when it wakes up, so a later call must end it there before it can say what is and what is not.

use std::sync::{Mutex, PoisonError};

/// What servers call such connections.
pub(crate) struct Abandoned<I> {
    list: Mutex<Vec<I>>,
}

impl<I: Clone> Abandoned<I> {
    pub(crate) fn new() -> Self {
        Self { list: Mutex::new(Vec::new()) }
    }

    /// Counts a connection as abandoned unless that is taken back, also when the call itself is dropped.
    pub(crate) fn unless_answered(&self, connection: I) -> Watch<'_, I> {
        Watch { abandoned: self, connection: Some(connection) }
    }

    /// Those that no later call has dealt with.
    pub(crate) fn all(&self) -> Vec<I> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<I: Clone + PartialEq> Abandoned<I> {
    /// It is gone from the server.
    pub(crate) fn forget(&self, connection: &I) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != connection);
    }
}

/// Watches one question.
pub(crate) struct Watch<'a, I: Clone> {
    abandoned: &'a Abandoned<I>,
    connection: Option<I>,
}

impl<I: Clone> Watch<'_, I> {
    /// The answer came.
    pub(crate) fn answered(mut self) {
        self.connection = None;
    }
}

impl<I: Clone> Drop for Watch<'_, I> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.abandoned.list.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
