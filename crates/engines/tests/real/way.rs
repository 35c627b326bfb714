use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use strongroom_storage::{
    Changes, Committed, Entry, Epoch, IdemToken, LeaderLease, Limits, Memory, Revision, Rows, Store, StoreError, Txn,
    View,
};

/// The way of one process to the store: it can be cut after some commits, as when the process is killed.
pub(crate) struct Way {
    inner: Arc<Memory>,
    left: AtomicI64,
}

impl Way {
    pub(crate) fn to(inner: &Arc<Memory>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), left: AtomicI64::new(i64::MAX) })
    }

    pub(crate) fn cut_after(&self, commits: i64) {
        self.left.store(commits, Ordering::SeqCst);
    }

    /// Whether it was cut and somebody has noticed.
    pub(crate) fn is_cut(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

#[async_trait]
impl Store for Way {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(prefix, after, limit).await
    }

    async fn current_rev(&self) -> Result<Revision, StoreError> {
        self.inner.current_rev().await
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Full);
        }
        self.inner.commit(epoch, txn).await
    }

    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError> {
        self.inner.outcome(idem).await
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.inner.changes(after, limit).await
    }

    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<LeaderLease>, StoreError> {
        self.inner.acquire(name, ttl).await
    }

    async fn renew(&self, lease: &LeaderLease, ttl: Duration) -> Result<bool, StoreError> {
        self.inner.renew(lease, ttl).await
    }

    async fn release(&self, lease: LeaderLease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        self.inner.view().await
    }

    async fn replace(&self, epoch: Epoch, rows: Rows) -> Result<Committed, StoreError> {
        self.inner.replace(epoch, rows).await
    }

    fn spool(&self) -> Result<std::fs::File, StoreError> {
        self.inner.spool()
    }
}
