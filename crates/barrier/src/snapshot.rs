//! What a snapshot of the store needs of who holds the keys: a moment of it with its generation, what its seal record
//! says in clear, and whether the keys of now open it.
//!
//! Invariants: a moment is of exactly the generation that it names; an heir opens only a store whose keyring is under
//! the root key that was in force when the heir was made. Nothing here is read in clear: rows leave as they lie in the
//! store. Does not know the form of a snapshot, nor replaces a store.

use crate::keys::Keys;
use crate::place::SEAL;
use crate::seal::{SealRecord, status_of};
use crate::{Barrier, BarrierError, SealStatus, Sealed};
use std::sync::Arc;
use strongroom_memory::LockedKey;
use strongroom_storage::View;

/// The whole store, sealed as it lies, at one moment.
pub struct Moment {
    /// The rows.
    pub view: Box<dyn View>,
    /// The number of the last commit in it.
    pub generation: u64,
    /// What may be told of its seal.
    pub seal: SealStatus,
}

/// What remains of an open barrier to open the store again after it was replaced: the key that opens the keyring.
pub struct Heir {
    cluster: [u8; 16],
    wrapping: LockedKey,
}

impl Heir {
    /// Whether the keyring in this seal record (the row as it is stored) is one of this cluster, under the same root
    /// key. `false` after unseal keys were replaced together with the root key.
    pub fn opens(&self, seal_row: &[u8]) -> bool {
        SealRecord::decode(seal_row).is_ok_and(|record| self.keys(&record).is_ok())
    }

    fn keys(&self, record: &SealRecord) -> Result<Keys, BarrierError> {
        if record.cluster_id.into_bytes() != self.cluster {
            return Err(BarrierError::Seal("the store belongs to another strongroom".to_owned()));
        }
        Keys::unwrap(self.cluster, self.wrapping.duplicate(), &record.keyring.0)
    }
}

impl Barrier {
    /// The whole store as of the last commit. Commits wait for a moment only; later ones do not show in it.
    pub async fn moment(&self) -> Result<Moment, BarrierError> {
        let interior = self.interior();
        interior.keys()?;
        let mut ledger = interior.ledger.lock().await;
        interior.settle(&mut ledger).await?;
        let view = interior.store.view().await?;
        Ok(Moment { view, generation: ledger.head.generation, seal: self.seal_status() })
    }

    /// What can open the store again once this barrier is closed.
    pub fn heir(&self) -> Result<Heir, BarrierError> {
        let keys = self.interior().keys()?;
        Ok(Heir { cluster: keys.cluster, wrapping: keys.ring().wrapping.duplicate() })
    }
}

impl Sealed {
    /// Whether this heir can open it.
    pub fn is_open_to(&self, heir: &Heir) -> bool {
        heir.keys(self.record()).is_ok()
    }

    /// Opens without shares or key file: for who had it open before the store was replaced.
    pub async fn reopen(&self, heir: &Heir) -> Result<Arc<Barrier>, BarrierError> {
        let keys = heir.keys(self.record())?;
        self.open_with(keys).await
    }
}

/// What the seal record in a row says in clear; `None` when the row is another one. Nothing vouches for it yet.
pub fn seal_of_row(key: &[u8], value: &[u8]) -> Option<Result<SealStatus, BarrierError>> {
    (key == SEAL).then(|| SealRecord::decode(value).map(|record| status_of(&record)))
}

/// Whether a signature over a message is by the server key with this public part ([`Barrier::sign`]).
pub fn is_signed_by(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}
