//! Keeps the write-ahead log short: moves its frames into the file before it grows past some tens of MiB. Most of them are
//! moved by a thread of its own; the writing thread moves the few that came meanwhile, so that the log can start anew. A
//! failed sync in here is as final as one in a commit: what was acknowledged is still in the log then.

use super::checkpointer::Checkpointer;
use super::failure::Failure;
use super::schema::PATIENCE;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::time::Duration;

/// Frames (pages of 8 KiB) after which they are moved into the file: 16 MiB. Records lie at random places, so a page is
/// written to the log many times; the longer the log, the fewer times into the file.
const SHORT: i64 = 2_048;

/// Frames after which readers are made to wait for moments, so that the log can start anew: 64 MiB. Readers that always
/// overlap would otherwise let it grow for ever ("Write-Ahead Logging", 6: checkpoint starvation).
const LONG: i64 = 8_192;

/// How long reads are waited for after every [`SHORT`], so that the log can start anew: most take microseconds.
const MOMENT: Duration = Duration::from_millis(5);

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

    /// After a commit: has the frames moved when there are many. Waits for moments, unless the log has become very long.
    pub(super) fn keep_short(&mut self, connection: &Connection) -> Result<(), Failure> {
        let end = self.checkpointer.take_end().transpose()?;
        self.note(&run(connection, "NOOP")?);
        if self.frames < self.tried_at {
            self.tried_at = 0;
        }
        let is_time = self.frames >= self.tried_at + SHORT;
        if end.is_some() {
            self.start_anew(connection, MOMENT)?;
        } else if is_time && self.frames >= LONG {
            self.tried_at = self.frames;
            self.settle()?;
            self.start_anew(connection, PATIENCE)?;
        } else if is_time && self.waiting >= SHORT {
            self.tried_at = self.frames;
            self.checkpointer.begin();
        }
        Ok(())
    }

    /// Moves the frames however few they are, so that the next commit may write where the log's beginning is.
    pub(super) fn keep_short_on_full_disk(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.settle()?;
        self.move_frames(connection, "PASSIVE")
    }

    /// Moves all frames and makes the log an empty file; less when somebody still reads from it.
    pub(super) fn empty(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.settle()?;
        self.move_frames(connection, "TRUNCATE")
    }

    /// Empties the log and lets SQLite remove it, so that a closed store is a single file. The connection has to be the last
    /// that is closed.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.empty(connection)?;
        self.checkpointer.close();
        if self.waiting == 0 {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        Ok(())
    }

    /// Moves all frames, and waits so long for those who read from the log.
    fn start_anew(&mut self, connection: &Connection, patience: Duration) -> Result<(), Failure> {
        connection.busy_timeout(patience)?;
        let moved = self.move_frames(connection, "RESTART");
        connection.busy_timeout(PATIENCE)?;
        moved
    }

    /// Waits until nobody else moves frames. What was in the way there may not be here, unless writing must stop.
    fn settle(&mut self) -> Result<(), Failure> {
        self.checkpointer.wait().or_else(|failure| if failure.stops_writing() { Err(failure) } else { Ok(()) })
    }

    fn move_frames(&mut self, connection: &Connection, mode: &'static str) -> Result<(), Failure> {
        self.note(&run(connection, mode)?);
        if self.waiting == 0 {
            self.tried_at = 0;
        }
        Ok(())
    }

    /// SQLite gives -1 for what it could not find out, as another program was in the way.
    fn note(&mut self, found: &Progress) {
        if found.frames >= 0 && found.moved >= 0 {
            (self.frames, self.waiting) = (found.frames, found.frames - found.moved);
        }
    }
}

/// Runs a checkpoint. `NOOP` only counts (SQLite 3.51).
pub(super) fn run(connection: &Connection, mode: &str) -> Result<Progress, Failure> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    Ok(statement.query_row([], |row| Ok(Progress { frames: row.get(1)?, moved: row.get(2)? }))?)
}
