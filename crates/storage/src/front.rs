//! A store in front of another, which passes on everything but what it does itself: tests count, hold up and lose calls
//! with it.

use crate::{
    Changes, Committed, Entry, Epoch, IdemToken, LeaderLease, Limits, Revision, Rows, Store, StoreError, Txn, View,
};
use async_trait::async_trait;
use std::fs::File;
use std::ops::Deref;
use std::time::Duration;

/// What stands in front; each call goes to the store behind unless it is written anew.
#[async_trait]
pub trait Front: Send + Sync {
    /// The store behind.
    fn behind(&self) -> &dyn Store;

    /// See [`Store::limits`].
    fn limits(&self) -> Limits {
        self.behind().limits()
    }

    /// See [`Store::get`].
    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.behind().get(key).await
    }

    /// See [`Store::list`].
    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.behind().list(prefix, after, limit).await
    }

    /// See [`Store::commit`].
    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        self.behind().commit(epoch, txn).await
    }

    /// See [`Store::outcome`].
    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError> {
        self.behind().outcome(idem).await
    }
}

/// Makes a store of what stands in front of one.
pub struct Fronted<F>(pub F);

impl<F> Deref for Fronted<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

#[async_trait]
impl<F: Front> Store for Fronted<F> {
    fn limits(&self) -> Limits {
        self.0.limits()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.0.get(key).await
    }

    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.list(prefix, after, limit).await
    }

    async fn current_rev(&self) -> Result<Revision, StoreError> {
        self.behind().current_rev().await
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        self.0.commit(epoch, txn).await
    }

    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError> {
        self.0.outcome(idem).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.behind().changes(after, limit).await
    }

    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<LeaderLease>, StoreError> {
        self.behind().acquire(name, ttl).await
    }

    async fn renew(&self, lease: &LeaderLease, ttl: Duration) -> Result<bool, StoreError> {
        self.behind().renew(lease, ttl).await
    }

    async fn release(&self, lease: LeaderLease) -> Result<(), StoreError> {
        self.behind().release(lease).await
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        self.behind().view().await
    }

    async fn replace(&self, epoch: Epoch, rows: Rows) -> Result<Committed, StoreError> {
        self.behind().replace(epoch, rows).await
    }

    fn spool(&self) -> Result<File, StoreError> {
        self.behind().spool()
    }
}
