//! A thread that moves frames of the log into the file while the writer goes on: for 16 MiB that takes some ten
//! milliseconds, most of them waiting for the disk. Its connection only moves (`PASSIVE`): the log is never started anew
//! here, and nobody is waited for.

use super::failure::Failure;
use super::{checkpoint, schema};
use crate::StoreError;
use rusqlite::Connection;
use std::path::Path;
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
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_checkpointer(path)?;
        let (orders, received) = sync_channel(1);
        let (tell, ends) = sync_channel(1);
        let work = move || {
            while received.recv().is_ok() && tell.send(move_frames(&connection)).is_ok() {}
        };
        let thread = thread::Builder::new().name("storage-log".to_owned()).spawn(work);
        let thread = thread.map_err(|source| StoreError::Io { what: "starting a thread".to_owned(), source })?;
        Ok(Self { orders: Some(orders), ends, thread: Some(thread), is_busy: false })
    }

    /// Whether frames are being moved.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Moves what is in the log now, unless that is being done.
    pub(super) fn begin(&mut self) {
        // The channel has room for one, and a thread that has died is found out when its answer is waited for.
        self.is_busy = self.is_busy || self.orders.as_ref().is_some_and(|orders| orders.try_send(()).is_ok());
    }

    /// Whether what was begun has ended since the last question. An error is told once.
    pub(super) fn has_ended(&mut self) -> Result<bool, Failure> {
        if !self.is_busy {
            return Ok(false);
        }
        let end = match self.ends.try_recv() {
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => Err(dead()),
            Ok(end) => end,
        };
        self.is_busy = false;
        end.map(|()| true)
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
    pub(super) fn end(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

fn move_frames(connection: &Connection) -> Result<(), Failure> {
    checkpoint::run(connection, "PASSIVE").map(drop)
}

fn dead() -> Failure {
    Failure::Other("the thread that moves it has ended".to_owned())
}
