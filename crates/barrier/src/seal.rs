use crate::{Barrier, BarrierError, Share};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_model::{Entropy, SecretBytes};
use strongroom_storage::{Epoch, Store};

/// How a slot keeps the root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// Shares held by people.
    Shamir,
    /// A key file on this machine.
    Static,
}

/// A slot to be made at initialisation.
pub enum SlotSpec {
    /// Split a fresh key into shares.
    Shamir {
        /// How many shares, 1 to 255.
        shares: u8,
        /// How many of them open, 1 to `shares` (at least 2 when there is more than one share).
        threshold: u8,
    },
    /// Wrap under this 32-byte key.
    Static {
        /// The key, as the key file holds it.
        key: SecretBytes,
    },
}

/// How to initialise.
pub struct Init {
    /// At least one slot; any one of them will open.
    pub slots: Vec<SlotSpec>,
}

/// What initialising made: the shares are shown once and kept nowhere.
pub struct InitOutcome {
    /// The shares of the Shamir slot, if there is one.
    pub shares: Vec<Share>,
    /// The open barrier.
    pub barrier: Arc<Barrier>,
}

/// What a store is, before any key is known.
pub enum Door {
    /// Never initialised.
    Uninitialised(Uninitialised),
    /// Initialised, and closed.
    Sealed(Sealed),
}

impl Door {
    /// Looks at the store's seal record.
    pub async fn of(_store: Arc<dyn Store>, _epoch: Epoch, _entropy: Arc<dyn Entropy>) -> Result<Self, BarrierError> {
        unimplemented!()
    }
}

/// A store that was never initialised.
pub struct Uninitialised {}

impl Uninitialised {
    /// Makes keys, slots and an empty barrier; refused when somebody else was quicker.
    pub async fn init(&self, _init: Init) -> Result<InitOutcome, BarrierError> {
        unimplemented!()
    }
}

/// A closed store, collecting shares.
pub struct Sealed {}

/// What handing in a share led to.
pub enum Opening {
    /// More shares are needed.
    Progress(SealStatus),
    /// The keys are there.
    Open(Arc<Barrier>),
}

/// What may be told to anybody about the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealStatus {
    /// The kind of the slot that people see: `shamir` when there is such a slot.
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

impl Sealed {
    /// What may be told to anybody.
    pub fn status(&self) -> SealStatus {
        unimplemented!()
    }

    /// Takes one share. A mistyped or foreign one is refused at once and does not disturb the collection; one that was
    /// already handed in changes nothing.
    pub async fn submit(&self, _share: Share) -> Result<Opening, BarrierError> {
        unimplemented!()
    }

    /// Forgets the shares handed in so far.
    pub fn reset(&self) {
        unimplemented!()
    }

    /// Opens by a static slot.
    pub async fn open_static(&self, _key: &SecretBytes) -> Result<Arc<Barrier>, BarrierError> {
        unimplemented!()
    }

    /// Whether there is a slot of that kind.
    pub fn has(&self, _kind: SealKind) -> bool {
        unimplemented!()
    }
}
