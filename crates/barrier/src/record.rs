use crate::Address;
use strongroom_model::{NamespaceId, SecretBytes};
use strongroom_storage::{Expectation, Revision};

/// A record as it was read: authentic, and the latest that was written.
pub struct Record {
    /// What was put.
    pub bytes: SecretBytes,
    /// The name it was put under (the shelf hides it in the store, so it travels inside the record).
    pub name: Vec<u8>,
    /// The number it was put under; 0 for `named` ones.
    pub number: u64,
    /// The commit that wrote it, for a later `expect`.
    pub rev: Revision,
}

/// Changes to records that happen together or not at all.
#[derive(Default)]
pub struct Txn {
    pub(crate) compares: Vec<(Address, Expectation)>,
    pub(crate) puts: Vec<(Address, SecretBytes)>,
    pub(crate) deletes: Vec<Address>,
    /// A namespace that must have a key afterwards, whether or not anything is put there.
    pub(crate) namespace: Option<NamespaceId>,
}

impl Txn {
    /// A transaction that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits only if there is no such record.
    pub fn expect_absent(mut self, at: Address) -> Self {
        self.compares.push((at, Expectation::Absent));
        self
    }

    /// Commits only if there is such a record, whatever its revision.
    pub fn expect_present(mut self, at: Address) -> Self {
        self.compares.push((at, Expectation::Present));
        self
    }

    /// Commits only if the record is still the one that was read.
    pub fn expect(mut self, at: Address, rev: Revision) -> Self {
        self.compares.push((at, Expectation::RevIs(rev)));
        self
    }

    /// Writes the record, over whatever is there.
    pub fn put(mut self, at: Address, bytes: impl Into<SecretBytes>) -> Self {
        self.puts.push((at, bytes.into()));
        self
    }

    /// Removes the record; no error when it is not there.
    pub fn delete(mut self, at: Address) -> Self {
        self.deletes.push(at);
        self
    }

    /// Whether it writes a record.
    pub fn puts_any(&self) -> bool {
        !self.puts.is_empty()
    }

    /// Whether it removes a record.
    pub fn deletes_any(&self) -> bool {
        !self.deletes.is_empty()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}
