use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use strongroom_storage::{Committed, Epoch, Front, Fronted, Memory, Store, StoreError, Txn};

/// The way of one process to the store: it can be cut after some commits, as when the process is killed.
pub(crate) struct Way {
    inner: Arc<Memory>,
    left: AtomicI64,
}

impl Way {
    pub(crate) fn to(inner: &Arc<Memory>) -> Arc<Fronted<Self>> {
        Arc::new(Fronted(Self { inner: Arc::clone(inner), left: AtomicI64::new(i64::MAX) }))
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
impl Front for Way {
    fn behind(&self) -> &dyn Store {
        &*self.inner
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Full);
        }
        self.inner.commit(epoch, txn).await
    }
}
