use crate::{Committed, IdemToken, Limits, Revision, Rows, StoreError, Txn, View};
use async_trait::async_trait;
use std::fs::File;
use std::time::Duration;

/// A value with its key and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The commit that last changed it.
    pub rev: Revision,
}

/// Counts leaders; carried by every commit and refused when a later one exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// The right to write, until it is not renewed in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderLease {
    /// What it is a right to.
    pub name: String,
    /// The epoch to carry in commits.
    pub epoch: Epoch,
}

/// One commit as the change stream tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub rev: Revision,
    /// The keys it put or deleted.
    pub keys: Vec<Vec<u8>>,
}

/// What `changes` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Everything after the revision asked for, oldest first; may be empty.
    Since(Vec<Change>),
    /// The engine no longer knows that far back: drop every cache and start from the current revision.
    TooOld,
}

/// An ordered, durable map from bytes to bytes with atomic conditional commits.
///
/// Every engine passes the same conformance suite. Object-safe, so that the engine is chosen by configuration.
#[async_trait]
pub trait Store: Send + Sync {
    /// What the engine takes.
    fn limits(&self) -> Limits;

    /// The value under the key, as of the last acknowledged commit.
    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Entries whose key begins with `prefix` and is greater than `after` (when given), in byte order, at most `limit`.
    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The revision of the last commit; zero for an empty store.
    async fn current_rev(&self) -> Result<Revision, StoreError>;

    /// Commits the transaction if its compares hold and no later epoch exists. Durable when it answers `At`. A token that
    /// was committed before is not committed again: the answer is the revision of that commit, so trying again is safe.
    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError>;

    /// What became of an attempt: `At`, or `Conflict` (with no keys) when it did not happen. Remembered for at least the
    /// last 10,000 commits. Waits for attempts sent earlier through the same store, so that "did not" stays true.
    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError>;

    /// Commits after `after`, at most `limit`, or `TooOld`: also when `after` is a revision that does not exist yet, since
    /// whoever knows it has seen a store that was put back to an earlier state.
    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError>;

    /// Takes the lease if it is free or expired, and makes every older epoch powerless, of whatever name. `None` when
    /// somebody holds it.
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<LeaderLease>, StoreError>;

    /// Prolongs the lease, counted from now; `false` when it was lost: expired, given back, or taken by another.
    async fn renew(&self, lease: &LeaderLease, ttl: Duration) -> Result<bool, StoreError>;

    /// Gives the lease back; nothing happens when it was lost already. Its epoch stays good until the next is acquired.
    async fn release(&self, lease: LeaderLease) -> Result<(), StoreError>;

    /// Everything as of the last acknowledged commit. Commits go on and do not show in it; while it is kept the engine
    /// may have to keep what they replace, so whoever reads slowly should not be waited for without end.
    async fn view(&self) -> Result<Box<dyn View>, StoreError>;

    /// Replaces everything by these rows in one commit, if no later epoch exists; leases and epochs stay. Earlier
    /// commits are forgotten: `changes` answers `TooOld` for them, and `outcome` does not know their tokens. An error of
    /// the rows is given back as it is, and nothing is changed then.
    async fn replace(&self, epoch: Epoch, rows: Rows) -> Result<Committed, StoreError>;

    /// An empty file without a name, where the store has room, for rows that must be looked at before they replace
    /// anything. Nothing is left of it when it is closed or the process is killed.
    fn spool(&self) -> Result<File, StoreError>;
}
