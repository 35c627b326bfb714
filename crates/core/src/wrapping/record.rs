use super::Contents;
use crate::CoreError;
use crate::records::PutRecord;
use crate::token::TokenKey;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{NamespaceId, SecretBytes, Timestamp};

/// What is kept beside a wrapped answer. No value of a secret is in it, so it may be in the cache.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) ttl: Duration,
    pub(super) created: Timestamp,
    /// The path of the request that was answered.
    pub(super) path: String,
    /// The accessor of the credential inside.
    pub(super) accessor: Option<String>,
    /// The answer tells of something that is gone (Vault: 404 with a body).
    pub(super) gone: bool,
    /// Bytes of the answer.
    pub(super) size: usize,
    pub(super) contents: Contents,
}

/// Bytes of an answer in one record: less than what every storage engine takes, since sealing adds to it.
const PART: usize = 448 * 1024;
const PARTS: u64 = 3;
/// The longest answer: room for the largest secret with its metadata.
pub(super) const LONGEST: usize = PART * PARTS as usize;

pub(super) fn info_at(key: TokenKey) -> Address {
    Shelf::new("wrapping", NamespaceId::ROOT).named(key.as_bytes())
}

/// Where the parts of an answer are, in order.
pub(super) fn parts(key: TokenKey) -> impl Iterator<Item = Address> {
    let shelf = Shelf::new("wrapping-part", NamespaceId::ROOT).within(key.as_bytes());
    (0..PARTS).map(move |number| shelf.ordered(number, []))
}

impl Kept {
    /// Adds the answer and this record.
    pub(super) fn put(&self, txn: Txn, key: TokenKey, body: &SecretBytes) -> Result<Txn, CoreError> {
        let pieces = parts(key).zip(body.expose().chunks(PART));
        let txn = pieces.fold(txn, |txn, (at, piece)| txn.put(at, piece.to_vec()));
        txn.put_record(info_at(key), self)
    }
}

/// Adds the removal of what is under a wrapping token.
pub(crate) fn forget(txn: Txn, key: TokenKey) -> Txn {
    parts(key).fold(txn.delete(info_at(key)), Txn::delete)
}
