//! A thread that moves frames of the log into the file while the writer goes on, and syncs it: for 16 MiB that takes some
//! ten milliseconds, most of them waiting for the disk. Its connection only moves (`PASSIVE`): the log is never started
//! anew here, and nobody is waited for.

use super::failure::Failure;
use super::place::Place;
use super::{checkpoint, schema};
use crate::StoreError;
use rusqlite::Connection;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

/// The thread, as the writer sees it. Dropping it ends it.
pub(super) struct Checkpointer {
    /// `None` when it is told to end.
    orders: Option<SyncSender<()>>,
    ends: Receiver<Result<(), Failure>>,
    thread: Option<JoinHandle<()>>,
    is_busy: bool,
}

impl Checkpointer {
    /// Starts the thread. The tables must be there.
    pub(super) fn start(place: &Place) -> Result<Self, StoreError> {
        let (connection, file) = (schema::open_checkpointer(&place.path)?, Arc::clone(&place.file));
        let (orders, received) = sync_channel(1);
        let (tell, ends) = sync_channel(1);
        let work = move || {
            while received.recv().is_ok() && tell.send(move_frames(&connection, &file)).is_ok() {}
        };
        let thread = thread::Builder::new().name("storage-log".to_owned()).spawn(work);
        let thread = thread.map_err(|source| StoreError::Io { what: "starting a thread".to_owned(), source })?;
        Ok(Self { orders: Some(orders), ends, thread: Some(thread), is_busy: false })
    }

    /// Moves what is in the log now, unless that is being done.
    pub(super) fn begin(&mut self) {
        if !self.is_busy {
            // The channel has room for one. That the thread has died is found out when its answer is asked for.
            let _ = self.orders.as_ref().map(|orders| orders.try_send(()));
            self.is_busy = true;
        }
    }

    /// How what was begun has ended; `None` while it goes on, and when nothing was begun since the last answer.
    pub(super) fn take_end(&mut self) -> Option<Result<(), Failure>> {
        if !self.is_busy {
            return None;
        }
        let end = match self.ends.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(dead()),
            Ok(end) => end,
        };
        self.is_busy = false;
        Some(end)
    }

    /// Waits for the end of what was begun.
    pub(super) fn wait(&mut self) -> Result<(), Failure> {
        if !self.is_busy {
            return Ok(());
        }
        self.is_busy = false;
        self.ends.recv().unwrap_or_else(|_| Err(dead()))
    }

    /// Closes the connection, after what was begun.
    pub(super) fn close(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.close();
    }
}

/// SQLite syncs the file only when nothing was written meanwhile. What is synced here, the writer has not to wait for.
fn move_frames(connection: &Connection, file: &File) -> Result<(), Failure> {
    checkpoint::run(connection, "PASSIVE")?;
    file.sync_data().map_err(|error| Failure::Io(format!("syncing the file: {error}")))
}

/// Nobody knows how far it came.
fn dead() -> Failure {
    Failure::Io("the thread that moves the log has died".to_owned())
}
