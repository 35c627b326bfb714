use crate::{Address, BarrierError, Record, SealStatus, SealedKey, SealedValue, Shelf, Txn, ValueBinding};
use strongroom_model::{NamespaceId, SecretBytes, SecretId};
use strongroom_storage::Revision;

/// The open barrier: an encrypted store. Exists only while unsealed.
pub struct Barrier {}

/// What the barrier knows about its own writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether commits are taken.
    pub writable: bool,
    /// Counts commits; never goes back. Goes into the trail's checkpoints.
    pub generation: u64,
}

impl Barrier {
    /// The record at that place, verified to be genuine and the latest.
    pub async fn get(&self, _at: &Address) -> Result<Option<Record>, BarrierError> {
        unimplemented!()
    }

    /// Records of the shelf after the given place (from the start when `None`), at most `limit`.
    /// `named` places come in an arbitrary but stable order, `ordered` ones by number.
    pub async fn scan(&self, _shelf: &Shelf, _after: Option<&Address>, _limit: usize) -> Result<Vec<Record>, BarrierError> {
        unimplemented!()
    }

    /// Commits all changes together; durable when it returns. Concurrent callers share one sync of the disk.
    pub async fn commit(&self, _txn: Txn) -> Result<Revision, BarrierError> {
        unimplemented!()
    }

    /// Makes a key for a new secret.
    pub fn new_secret_key(&self, _namespace: NamespaceId, _secret: SecretId) -> Result<SealedKey, BarrierError> {
        unimplemented!()
    }

    /// Seals a version's value under a key used this once.
    pub fn seal_value(&self, _key: &SealedKey, _binding: ValueBinding, _value: &[u8]) -> Result<SealedValue, BarrierError> {
        unimplemented!()
    }

    /// Opens a version's value.
    pub fn open_value(&self, _key: &SealedKey, _binding: ValueBinding, _value: &SealedValue) -> Result<SecretBytes, BarrierError> {
        unimplemented!()
    }

    /// HMAC-SHA-256 under a key of its own for each purpose (`token`, `audit`, `lease`, ...): lookups by secret and
    /// fingerprints in the trail.
    pub fn keyed_hash(&self, _purpose: &'static str, _data: &[u8]) -> [u8; 32] {
        unimplemented!()
    }

    /// Signs with the server's Ed25519 key.
    pub fn sign(&self, _message: &[u8]) -> [u8; 64] {
        unimplemented!()
    }

    /// The public part of that key.
    pub fn public_key(&self) -> [u8; 32] {
        unimplemented!()
    }

    /// Writability and generation.
    pub fn health(&self) -> Health {
        unimplemented!()
    }

    /// What may be told to anybody about the seal.
    pub fn seal_status(&self) -> SealStatus {
        unimplemented!()
    }

    /// Stops taking commits, waits for those under way, and wipes the keys. Later calls fail.
    pub async fn close(&self) {
        unimplemented!()
    }
}
