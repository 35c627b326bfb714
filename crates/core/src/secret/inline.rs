//! Where the sealed value of a version lies: the one written last in the head itself when it is small, every other in a
//! record of its own.
//!
//! Most secrets are small, and most reads are of the latest version: those find its ciphertext with the head, and a new
//! secret is two records instead of three. It is sealed no differently, so it is as safe in the cache of heads as in the
//! store, and it goes with the head.

use super::head::Head;
use super::place::version_at;
use crate::audit::Hidings;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use strongroom_barrier::{SealedValue, Txn, ValueOpener};
use strongroom_model::{SecretBytes, VersionNumber};

/// A larger value would make every change of the metadata dear, and the cache of heads large.
const LARGEST: usize = 1_024;

/// The sealed value of the version that was written last.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Inline {
    number: VersionNumber,
    pub(super) value: SealedValue,
    /// What opens it, once it was read: it goes with this head, so with the first change of the secret, and when the cache
    /// has no room for the head.
    #[serde(skip)]
    pub(super) opener: Arc<OnceLock<ValueOpener>>,
    /// What the trail says of it as an object, once it was read so.
    #[serde(skip)]
    pub(super) words: Hidings,
}

impl Head {
    /// Takes in the value of a new version. What lay here gets a record of its own, unless its version is no longer known.
    pub(super) fn keep(&mut self, txn: Txn, number: VersionNumber, value: SealedValue) -> Txn {
        if value.as_bytes().len() > LARGEST {
            return self.put(txn, number, &value);
        }
        match self.inline.replace(Inline { number, value, opener: Arc::default(), words: Arc::default() }) {
            Some(earlier) if self.meta.versions.contains_key(&earlier.number) => {
                self.put(txn, earlier.number, &earlier.value)
            }
            _ => txn,
        }
    }

    /// The sealed value of that version, if it lies here.
    pub(super) fn inline(&self, number: VersionNumber) -> Option<&Inline> {
        self.inline.as_ref().filter(|inline| inline.number == number)
    }

    /// This head without the values of these versions.
    pub(super) fn without(&self, shred: &[VersionNumber]) -> Cow<'_, Self> {
        match &self.inline {
            Some(inline) if shred.contains(&inline.number) => Cow::Owned(Self { inline: None, ..self.clone() }),
            _ => Cow::Borrowed(self),
        }
    }

    fn put(&self, txn: Txn, number: VersionNumber, value: &SealedValue) -> Txn {
        txn.put(version_at(self.id, number), SecretBytes::new(value.as_bytes().to_vec()))
    }
}
