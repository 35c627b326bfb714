use std::io;
use strongroom_model::{Kind, Kinded};
use thiserror::Error;

/// Why storage could not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store {path} is in use by another process; stop that one first, or give this one its own path")]
    InUse {
        /// The path of the store.
        path: String,
    },
    /// The file is not a store of ours, or of a later version.
    #[error("{path} is not a store that this version can open: {why}")]
    Foreign {
        /// The path of the store.
        path: String,
        /// What was found instead.
        why: String,
    },
    /// The path lies on a file system that does not keep the promises needed (NFS, CIFS, FUSE).
    #[error("{path} lies on {kind}, which cannot promise durable writes and locks; use a local file system")]
    FileSystem {
        /// The path of the store.
        path: String,
        /// The kind of file system.
        kind: String,
    },
    /// A write failed earlier (disk full, fsync error), so writing has stopped; reads go on. Restart after mending.
    #[error(
        "writing to the store has stopped after an error: {why}; mend the cause and restart, nothing acknowledged is lost"
    )]
    Stopped {
        /// The first error.
        why: String,
    },
    /// The disk is full; nothing was changed, and writing resumes by itself when there is room.
    #[error("the disk of the store is full; nothing was changed; make room and try again")]
    Full,
    /// A key, value or transaction over the engine's limits.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A transaction that changes one key twice, which engines would order differently. A defect of the caller.
    #[error("a transaction changes the same key twice; nothing was changed; merge the two changes into one")]
    KeyTwice,
    /// The file itself is damaged.
    #[error("the store is damaged: {why}; restore it from a snapshot")]
    Damaged {
        /// What the engine says.
        why: String,
    },
    /// Anything else from the system.
    #[error("the store failed: {what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Kinded for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::TooLarge { .. } => Kind::TooLarge,
            StoreError::KeyTwice => Kind::Internal,
            StoreError::Damaged { .. } | StoreError::Foreign { .. } => Kind::Tampered,
            _ => Kind::Unavailable,
        }
    }
}
