//! The seal: what a store is before any key is known, and the ways from there to an open barrier.
//!
//! A store has one root key, which opens the keyring. It is kept only wrapped, once per slot; any one slot opens.
//! Shamir slots wrap it under a key split into shares, static ones under the content of a key file.

mod door;
mod making;
mod new_shares;
mod quorum;
mod record;
mod sealed;
mod slot;
mod static_key;
mod uninitialised;

pub use door::Door;
pub use new_shares::NewShares;
pub use quorum::{Gathering, Quorate, Quorum};
pub(crate) use quorum::{join, shamir_slot};
pub(crate) use record::{Hexed, SealRecord};
pub(crate) use sealed::status_of;
pub use sealed::{Opening, Sealed};
pub use static_key::StaticKey;
pub use uninitialised::{Init, InitOutcome, SlotSpec, Uninitialised};

use serde::{Deserialize, Serialize};

/// What errors call the seal record.
pub(crate) const KIND: &str = "seal";

/// How a slot keeps the root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// Shares held by people.
    Shamir,
    /// A key file on this machine.
    Static,
}

/// What may be told to anybody about the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealStatus {
    /// The kind of the slot that people see: `static` when there is such a slot, be there shares or not.
    pub kind: SealKind,
    /// Shares that exist (0 when there is no Shamir slot).
    pub shares: u8,
    /// Shares needed.
    pub threshold: u8,
    /// Shares handed in so far.
    pub progress: u8,
    /// Names this collection of shares; empty when none is under way.
    pub nonce: String,
    /// The id of the cluster, made at initialisation.
    pub cluster_id: String,
}
