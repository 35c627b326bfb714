//! A store to try things on: its own folder, its own clock, its own tokens.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Committed, Compare, Entry, Epoch, Expectation, IdemToken, Op, Revision, Store, Txn};

/// A clock turned by hand.
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn advance(&self, span: Duration) {
        self.0.fetch_add(span.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    tokens: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(open: impl FnOnce(&Path, Arc<dyn Clock>) -> Box<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock(AtomicU64::new(Timestamp::from_secs(1_700_000_000).nanos())));
        let store = Arc::from(open(folder.path(), Arc::clone(&clock) as Arc<dyn Clock>));
        Self { store, clock, tokens: AtomicU64::new(0), _folder: folder }
    }

    pub(crate) fn run(self, promise: impl AsyncFnOnce(&Bench)) {
        block_on(promise(&self));
    }

    pub(crate) fn token(&self) -> IdemToken {
        let mut token = [0; 16];
        token[..8].copy_from_slice(&self.tokens.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        IdemToken(token)
    }

    pub(crate) fn txn(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Txn {
        Txn { compares, ops, idem: self.token() }
    }

    pub(crate) async fn commit(&self, compares: Vec<Compare>, ops: Vec<Op>) -> Committed {
        self.store.commit(Epoch(0), self.txn(compares, ops)).await.unwrap()
    }

    /// Commits without conditions and gives the revision.
    pub(crate) async fn write(&self, ops: Vec<Op>) -> Revision {
        match self.commit(Vec::new(), ops).await {
            Committed::At(rev) => rev,
            other => panic!("an unconditional commit ended as {other:?}"),
        }
    }

    pub(crate) async fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.store.get(key).await.unwrap().map(|entry| entry.value)
    }

    pub(crate) async fn keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
        let entries: Vec<Entry> = self.store.list(prefix, after, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

pub(crate) fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Op {
    Op::Put { key: key.as_ref().to_vec(), value: value.as_ref().to_vec() }
}

pub(crate) fn delete(key: impl AsRef<[u8]>) -> Op {
    Op::Delete { key: key.as_ref().to_vec() }
}

pub(crate) fn expect(key: impl AsRef<[u8]>, expect: Expectation) -> Compare {
    Compare { key: key.as_ref().to_vec(), expect }
}
