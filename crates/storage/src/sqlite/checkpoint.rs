//! Keeps the write-ahead log short: moves its frames into the file before it grows past some tens of MiB. Runs on the writing
//! thread only. A failed sync in here is as final as one in a commit.

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

/// What is known of the log.
#[derive(Default)]
pub(super) struct Log {
    /// Frames in it, whether they are in the file already or not.
    frames: i64,
    /// Frames in it that are not in the file yet.
    waiting: i64,
    /// Frames in it at the last attempt that did not move them all.
    tried_at: i64,
}

struct Progress {
    frames: i64,
    moved: i64,
}

impl Log {
    /// Whether there is nothing in it, which is more than that everything is in the file.
    pub(super) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// After a commit: moves the frames when there are many. Waits for nobody, unless the log has become very long.
    pub(super) fn keep_short(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.note(&checkpoint(connection, "NOOP")?);
        if self.frames < self.tried_at {
            self.tried_at = 0;
        }
        if self.waiting < SHORT || self.frames < self.tried_at + SHORT {
            return Ok(());
        }
        self.tried_at = self.frames;
        if self.frames < LONG {
            self.move_frames(connection, "PASSIVE")
        } else {
            self.start_anew(connection, "RESTART")
        }
    }

    /// Moves the frames however few they are, so that the next commit may write where the log's beginning is.
    pub(super) fn keep_short_on_full_disk(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.move_frames(connection, "PASSIVE")
    }

    /// Moves all frames and makes the log an empty file; less when somebody still reads from it.
    pub(super) fn empty(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.start_anew(connection, "TRUNCATE")
    }

    /// Empties the log and lets SQLite remove it, so that a closed store is a single file.
    pub(super) fn close(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.empty(connection)?;
        if self.waiting == 0 {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        Ok(())
    }

    fn start_anew(&mut self, connection: &Connection, mode: &'static str) -> Result<(), Failure> {
        connection.busy_timeout(PATIENCE)?;
        let moved = self.move_frames(connection, mode);
        connection.busy_timeout(Duration::ZERO)?;
        moved
    }

    fn move_frames(&mut self, connection: &Connection, mode: &'static str) -> Result<(), Failure> {
        self.note(&checkpoint(connection, mode)?);
        if self.waiting == 0 {
            self.tried_at = 0;
        }
        Ok(())
    }

    fn note(&mut self, found: &Progress) {
        (self.frames, self.waiting) = (found.frames, found.frames - found.moved);
    }
}

/// `NOOP` only counts (SQLite 3.51). The first column of the answer, whether somebody was in the way, follows from the
/// other two.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Progress> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    statement.query_row([], |row| Ok(Progress { frames: row.get(1)?, moved: row.get(2)? }))
}
