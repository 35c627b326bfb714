use strongroom_model::{Kind, Kinded};
use strongroom_storage::StoreError;
use thiserror::Error;

/// Why the barrier could not answer.
#[derive(Debug, Error)]
pub enum BarrierError {
    /// Stored bytes are not what was written there last.
    #[error("the stored {kind} record has been {how}; it is refused. Restore it from a snapshot, and look for who can write the store")]
    Tampered {
        /// The kind of the record (never its name: the reader of an error may not know it).
        kind: String,
        /// `altered`, `moved from another place`, `rolled back to an earlier state`, `removed` or `added`.
        how: &'static str,
    },
    /// The whole store is older than what the trail's last checkpoint saw.
    #[error("the store has been rolled back: it is at generation {found}, the trail has seen {expected}. If you restored a snapshot on purpose, start once with -accept-rollback")]
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
    #[error("storage did not answer in time, and whether the change was made is not known; read it again before retrying")]
    Unknown,
    /// A share that is not one, or not of this seal.
    #[error(transparent)]
    Share(#[from] crate::ShareError),
    /// The seal refused.
    #[error("{0}")]
    Seal(String),
    /// Storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Kinded for BarrierError {
    fn kind(&self) -> Kind {
        match self {
            BarrierError::Tampered { .. } | BarrierError::RolledBack { .. } => Kind::Tampered,
            BarrierError::Conflict => Kind::Conflict,
            BarrierError::Unknown => Kind::Unavailable,
            BarrierError::Share(_) | BarrierError::Seal(_) => Kind::Invalid,
            BarrierError::Store(error) => error.kind(),
        }
    }
}
