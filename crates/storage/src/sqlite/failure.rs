use crate::StoreError;
use rusqlite::ffi::{self, ErrorCode};
use std::io;

/// What SQLite's errors mean to a store. Can be given to every request of a group, which [`StoreError`] cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No room: SQLite writes the frame that makes a commit last of all, so the transaction did not happen.
    Full,
    /// Reading, writing or syncing failed. Linux reports a failed sync once and then takes the lost pages for clean
    /// (<https://wiki.postgresql.org/wiki/Fsync_Errors>), so nothing may be written after this one.
    Io(String),
    /// The file does not hold what SQLite wrote.
    Damaged(String),
    /// Anything that leaves the file as it was: another program's lock, no memory.
    Other(String),
}

impl Failure {
    /// Whether this one forbids every later write.
    pub(super) fn stops_writing(&self) -> bool {
        matches!(self, Failure::Io(_) | Failure::Damaged(_))
    }

    /// How an operator would call it.
    pub(super) fn text(&self) -> String {
        match self {
            Failure::Full => "the disk is full".to_owned(),
            Failure::Io(what) | Failure::Damaged(what) | Failure::Other(what) => what.clone(),
        }
    }

    /// The answer to who wanted to write.
    pub(super) fn of_write(&self) -> StoreError {
        match self {
            Failure::Full => StoreError::Full,
            Failure::Io(why) => StoreError::Stopped { why: why.clone() },
            Failure::Damaged(why) => StoreError::Damaged { why: why.clone() },
            Failure::Other(why) => system("writing to it, and nothing was changed", why),
        }
    }

    /// The answer to who wanted to read, or to copy the store to another file.
    pub(super) fn of(&self, what: &str) -> StoreError {
        match self {
            Failure::Damaged(why) => StoreError::Damaged { why: why.clone() },
            other => system(what, &other.text()),
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        let Some(cause) = error.sqlite_error() else {
            return Failure::Damaged(text);
        };
        let text = format!("{text} (SQLite error {})", cause.extended_code);
        match cause.code {
            ErrorCode::DiskFull => Failure::Full,
            ErrorCode::SystemIoFailure => Failure::Io(text),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Failure::Damaged(text),
            _ => Failure::Other(text),
        }
    }
}

fn system(what: &str, why: &str) -> StoreError {
    StoreError::Io { what: what.to_owned(), source: io::Error::other(why.to_owned()) }
}

/// Whether the error says that the file is no SQLite file at all.
pub(super) fn is_no_database(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|cause: &ffi::Error| cause.code == ErrorCode::NotADatabase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Failure {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn only_a_full_disk_and_foreign_locks_let_writing_go_on() {
        assert_eq!(failure(ffi::SQLITE_FULL), Failure::Full);
        assert!(!failure(ffi::SQLITE_FULL).stops_writing());
        assert!(!failure(ffi::SQLITE_BUSY).stops_writing());
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_CORRUPT]
        {
            assert!(failure(code).stops_writing(), "{code}");
        }
    }

    #[test]
    fn a_failed_read_does_not_claim_that_writing_stopped() {
        let answer = failure(ffi::SQLITE_IOERR_READ).of("reading it");
        assert!(matches!(answer, StoreError::Io { .. }), "{answer}");
    }
}
