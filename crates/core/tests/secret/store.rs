//! A store in memory that can be told to run full after some commits, as a disk does, and to let one call wait, so that
//! a test decides who comes first.

use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use strongroom_storage::{Committed, Entry, Epoch, Front, Limits, Memory, Store, StoreError, Txn};
use tokio::sync::Semaphore;

tokio::task_local! {
    /// Set for the task whose reads a stop is meant for.
    pub(crate) static MEETS: ();
}

pub(crate) struct Fragile {
    inner: Memory,
    left: AtomicI64,
    pub(crate) reading: Stop,
    pub(crate) writing: Stop,
}

/// Where the next call waits, once it is put up.
pub(crate) struct Stop {
    up: AtomicBool,
    go: Semaphore,
}

impl Stop {
    fn new() -> Self {
        Self { up: AtomicBool::new(false), go: Semaphore::new(0) }
    }

    /// Lets the next call wait, and only that one.
    pub(crate) fn put_up(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    /// Comes back when a call waits.
    pub(crate) async fn reached(&self) {
        while self.up.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    /// Lets it go on.
    pub(crate) fn open(&self) {
        self.go.add_permits(1);
    }

    async fn pass(&self) {
        if self.up.swap(false, Ordering::SeqCst) {
            self.go.acquire().await.unwrap().forget();
        }
    }
}

impl Fragile {
    pub(crate) fn new() -> Self {
        Self { inner: Memory::new(), left: AtomicI64::new(i64::MAX), reading: Stop::new(), writing: Stop::new() }
    }

    /// Takes that many commits more and refuses the others.
    pub(crate) fn full_after(&self, commits: i64) {
        self.left.store(commits, Ordering::SeqCst);
    }

    /// Takes commits again.
    pub(crate) fn mend(&self) {
        self.full_after(i64::MAX);
    }
}

#[async_trait]
impl Front for Fragile {
    fn behind(&self) -> &dyn Store {
        &self.inner
    }

    fn limits(&self) -> Limits {
        Limits::PORTABLE
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        // Housekeeping reads too, at moments of its own.
        if MEETS.try_with(|_| ()).is_ok() {
            self.reading.pass().await;
        }
        self.inner.get(key).await
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        self.writing.pass().await;
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Full);
        }
        self.limits().check(&txn)?;
        self.inner.commit(epoch, txn).await
    }
}
