//! Keeps the write-ahead log short: moves its frames into the file before it grows past some tens of MiB. Most of them are
//! moved by a thread of its own; the writing thread moves the few that came meanwhile, so that the log can start anew. A
//! failed sync in here is as final as one in a commit: what was acknowledged is still in the log then.

use super::checkpointer::Checkpointer;
use super::failure::Failure;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::time::Duration;

/// Frames (pages of 8 KiB) after which they are moved into the file: 16 MiB. Records lie at random places, so a page is
/// written to the log many times; the longer the log, the fewer times into the file.
const SHORT: i64 = 2_048;

/// Frames after which readers are made to wait for moments, so that the log can start anew: 64 MiB. Readers that always
/// overlap would otherwise let it grow for ever ("Write-Ahead Logging", 6: checkpoint starvation).
const LONG: i64 = 8_192;

/// How long readers may be waited for, and are made to wait, so that the log can start anew.
const PATIENCE: Duration = Duration::from_millis(200);

/// What is known of the log, and who moves it.
pub(super) struct Log {
    checkpointer: Checkpointer,
    /// Frames in it, whether they are in the file already or not.
    frames: i64,
    /// Frames in it that are not in the file yet.
    waiting: i64,
    /// Frames in it at the last attempt that did not move them all.
    tried_at: i64,
}

/// How far the frames of the log have been moved.
pub(super) struct Progress {
    frames: i64,
    moved: i64,
}

impl Log {
    pub(super) fn new(checkpointer: Checkpointer) -> Self {
        Self { checkpointer, frames: 0, waiting: 0, tried_at: 0 }
    }

    /// Whether there is nothing in it, which is more than that everything is in the file.
    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// After a commit: has the frames moved when there are many. Waits for nobody, unless the log has become very long.
    pub(super) fn keep_short(&mut self, connection: &Connection) -> Result<(), Failure> {
        let has_ended = self.checkpointer.has_ended()?;
        self.note(&run(connection, "NOOP")?);
        if self.frames < self.tried_at {
            self.tried_at = 0;
        }
        if has_ended {
            return self.move_frames(connection, "PASSIVE");
        }
        if self.frames >= LONG && self.frames >= self.tried_at + SHORT {
            self.tried_at = self.frames;
            return self.start_anew(connection, "RESTART");
        }
        if self.waiting >= SHORT && self.frames >= self.tried_at + SHORT && !self.checkpointer.is_busy() {
            self.tried_at = self.frames;
            self.checkpointer.begin();
        }
        Ok(())
    }

    /// Moves the frames however few they are, so that the next commit may write where the log's beginning is.
    pub(super) fn keep_short_on_full_disk(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.checkpointer.wait()?;
        self.move_frames(connection, "PASSIVE")
    }

    /// Moves all frames and makes the log an empty file; less when somebody still reads from it.
    pub(super) fn empty(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.start_anew(connection, "TRUNCATE")
    }

    /// Empties the log and lets SQLite remove it, so that a closed store is a single file. The connection has to be the last
    /// that is closed.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.empty(connection)?;
        self.checkpointer.end();
        if self.waiting == 0 {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        Ok(())
    }

    fn start_anew(&mut self, connection: &Connection, mode: &'static str) -> Result<(), Failure> {
        self.checkpointer.wait()?;
        connection.busy_timeout(PATIENCE)?;
        let moved = self.move_frames(connection, mode);
        connection.busy_timeout(Duration::ZERO)?;
        moved
    }

    fn move_frames(&mut self, connection: &Connection, mode: &'static str) -> Result<(), Failure> {
        self.note(&run(connection, mode)?);
        if self.waiting == 0 {
            self.tried_at = 0;
        }
        Ok(())
    }

    fn note(&mut self, found: &Progress) {
        (self.frames, self.waiting) = (found.frames, found.frames - found.moved);
    }
}

/// Runs a checkpoint. `NOOP` only counts (SQLite 3.51). The first column of the answer, whether somebody was in the way,
/// follows from the other two.
pub(super) fn run(connection: &Connection, mode: &str) -> Result<Progress, Failure> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    Ok(statement.query_row([], |row| Ok(Progress { frames: row.get(1)?, moved: row.get(2)? }))?)
}
