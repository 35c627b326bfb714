use std::io;
use strongroom_model::{Kind, Kinded};
use strongroom_storage::StoreError;
use thiserror::Error;

/// Why the barrier could not answer.
#[derive(Debug, Error)]
pub enum BarrierError {
    /// Stored bytes are not what was written there last.
    #[error(
        "the stored {kind} record has been {how}; it is refused. Restore it from a snapshot, and look for who can write the store"
    )]
    Tampered {
        /// The kind of the record (never its name: the reader of an error may not know it).
        kind: String,
        /// `altered`, `moved from another place`, `rolled back to an earlier state`, `removed` or `added`.
        how: &'static str,
    },
    /// The whole store is older than what the trail's last checkpoint saw.
    #[error(
        "the store has been rolled back: it is at generation {found}, the trail has seen {expected}. If you restored a snapshot on purpose, start once with -accept-rollback"
    )]
    RolledBack {
        /// The generation found in the store.
        found: u64,
        /// The latest generation known from outside.
        expected: u64,
    },
    /// A compare of the transaction did not hold; nothing was changed.
    #[error("somebody else changed the same record at the same time; read it again and retry")]
    Conflict,
    /// The outcome of the commit is not known.
    #[error(
        "storage did not answer in time, and whether the change was made is not known; read it again before retrying"
    )]
    Unknown,
    /// One transaction names the same record twice; nothing was changed.
    #[error(
        "a transaction changes the same {kind} record twice, so which change should stand is not known; this is a defect, report it"
    )]
    Twice {
        /// The kind of the record.
        kind: &'static str,
    },
    /// Another process writes the same store, so this one no longer does.
    #[error(
        "another server has taken over writing this store, so this one has stopped; use that one, or stop it and restart this one"
    )]
    Superseded,
    /// The barrier was closed.
    #[error("the barrier is closed and its keys are wiped; unseal the server and try again")]
    Closed,
    /// A share that is not one, or not of this seal.
    #[error(transparent)]
    Share(#[from] crate::ShareError),
    /// The seal refused.
    #[error("{0}")]
    Seal(String),
    /// The cryptographic library refused a call that it has no reason to refuse.
    #[error("the cryptographic library could not {0}; restart the server, and report it if it happens again")]
    Library(&'static str),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BarrierError {
    pub(crate) fn tampered(kind: &str, how: &'static str) -> Self {
        BarrierError::Tampered { kind: kind.to_owned(), how }
    }

    /// The same error once more, for the next of the callers whose changes failed together.
    pub(crate) fn again(&self) -> Self {
        match self {
            BarrierError::Tampered { kind, how } => BarrierError::tampered(kind, how),
            BarrierError::RolledBack { found, expected } => {
                BarrierError::RolledBack { found: *found, expected: *expected }
            }
            BarrierError::Conflict => BarrierError::Conflict,
            BarrierError::Unknown => BarrierError::Unknown,
            BarrierError::Twice { kind } => BarrierError::Twice { kind },
            BarrierError::Superseded => BarrierError::Superseded,
            BarrierError::Closed => BarrierError::Closed,
            BarrierError::Share(error) => BarrierError::Share(error.clone()),
            BarrierError::Seal(text) => BarrierError::Seal(text.clone()),
            BarrierError::Library(what) => BarrierError::Library(what),
            BarrierError::Store(error) => BarrierError::Store(store_again(error)),
        }
    }
}

fn store_again(error: &StoreError) -> StoreError {
    match error {
        StoreError::InUse { path } => StoreError::InUse { path: path.clone() },
        StoreError::Foreign { path, why } => StoreError::Foreign { path: path.clone(), why: why.clone() },
        StoreError::FileSystem { path, kind } => StoreError::FileSystem { path: path.clone(), kind: kind.clone() },
        StoreError::Stopped { why } => StoreError::Stopped { why: why.clone() },
        StoreError::Full => StoreError::Full,
        StoreError::TooLarge { what, limit } => StoreError::TooLarge { what, limit: *limit },
        StoreError::Damaged { why } => StoreError::Damaged { why: why.clone() },
        StoreError::Io { what, source } => {
            StoreError::Io { what: what.clone(), source: io::Error::new(source.kind(), source.to_string()) }
        }
        other => StoreError::Io { what: other.to_string(), source: io::Error::other("see the text before") },
    }
}

impl Kinded for BarrierError {
    fn kind(&self) -> Kind {
        match self {
            BarrierError::Tampered { .. } | BarrierError::RolledBack { .. } => Kind::Tampered,
            BarrierError::Conflict => Kind::Conflict,
            BarrierError::Unknown | BarrierError::Superseded => Kind::Unavailable,
            BarrierError::Closed => Kind::Sealed,
            BarrierError::Share(_) | BarrierError::Seal(_) => Kind::Invalid,
            BarrierError::Twice { .. } | BarrierError::Library(_) => Kind::Internal,
            BarrierError::Store(error) => error.kind(),
        }
    }
}
