//! A store whose misbehaviour tests choose, and a barrier over it.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses a part

use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
pub use strongroom_barrier::*;
pub use strongroom_model::*;
use strongroom_storage::{
    Changes, Committed, Entry, Epoch, IdemToken, LeaderLease, Limits, Memory, Op, Revision, Store, StoreError,
};

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Full,
    Stopped,
    /// Happens, and answers an error.
    AppliedButFails,
    /// Does not happen, and answers an error.
    LostAndFails,
    /// Happens, and answers that nobody knows.
    AppliedButUnknown,
    /// Does not happen, and answers that nobody knows.
    LostAndUnknown,
}

/// A store in memory with switches.
pub struct Testing {
    pub inner: Memory,
    pub limits: Limits,
    /// For the next commits, in order.
    pub faults: Mutex<VecDeque<Fault>>,
    /// Operations after which every further one fails.
    pub lives: AtomicUsize,
    /// Whether `outcome` fails too.
    pub mute: AtomicBool,
    /// Each commit takes one permit, when there is a gate.
    pub gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
    /// Whether operations let other tasks run in between.
    pub slow: AtomicBool,
}

impl Default for Testing {
    fn default() -> Self {
        Self::with(Memory::new())
    }
}

impl Testing {
    pub fn with(inner: Memory) -> Self {
        Self {
            limits: inner.limits(),
            inner,
            faults: Mutex::default(),
            lives: AtomicUsize::new(usize::MAX),
            mute: AtomicBool::new(false),
            gate: Mutex::new(None),
            slow: AtomicBool::new(false),
        }
    }

    pub fn fault(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    async fn step(&self) -> Result<(), StoreError> {
        if self.slow.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        let spent = |lives: usize| if lives == usize::MAX { Some(lives) } else { lives.checked_sub(1) };
        self.lives.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent).map(drop).map_err(|_| io())
    }
}

fn io() -> StoreError {
    StoreError::Io { what: "pretend to write".to_owned(), source: std::io::Error::other("pulled the plug") }
}

#[async_trait]
impl Store for Testing {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.step().await?;
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.step().await?;
        self.inner.list(prefix, after, limit).await
    }

    async fn current_rev(&self) -> Result<Revision, StoreError> {
        self.inner.current_rev().await
    }

    async fn commit(&self, epoch: Epoch, txn: strongroom_storage::Txn) -> Result<Committed, StoreError> {
        self.step().await?;
        let (ops, bytes) = (txn.ops.len(), txn.ops.iter().map(size).sum::<usize>());
        assert!(ops <= self.limits.txn_ops && bytes <= self.limits.txn_bytes, "{ops} operations, {bytes} bytes");
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => {
                let committed = self.inner.commit(epoch, txn).await;
                // The change is made, and nobody has been told yet.
                self.step().await?;
                committed
            }
            Some(Fault::Full) => Err(StoreError::Full),
            Some(Fault::Stopped) => Err(StoreError::Stopped { why: "fsync failed".to_owned() }),
            Some(Fault::LostAndFails) => Err(io()),
            Some(Fault::LostAndUnknown) => Ok(Committed::Unknown),
            Some(Fault::AppliedButFails) => self.inner.commit(epoch, txn).await.and(Err(io())),
            Some(Fault::AppliedButUnknown) => self.inner.commit(epoch, txn).await.and(Ok(Committed::Unknown)),
        }
    }

    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError> {
        self.step().await?;
        if self.mute.load(Ordering::SeqCst) {
            return Err(io());
        }
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

    async fn view(&self) -> Result<Box<dyn strongroom_storage::View>, StoreError> {
        self.inner.view().await
    }

    async fn replace(&self, epoch: Epoch, rows: strongroom_storage::Rows) -> Result<Committed, StoreError> {
        self.inner.replace(epoch, rows).await
    }

    fn spool(&self) -> Result<std::fs::File, StoreError> {
        self.inner.spool()
    }
}

fn size(op: &Op) -> usize {
    match op {
        Op::Put { key, value } => key.len() + value.len(),
        Op::Delete { key } => key.len(),
    }
}

/// Everything in the store, as somebody sees it who can read the disk.
pub async fn rows(store: &dyn Store) -> Vec<Entry> {
    store.list(b"", None, usize::MAX >> 1).await.unwrap()
}

/// Writes behind the barrier's back; `None` deletes.
pub async fn overwrite(store: &dyn Store, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    for changes in changes.chunks(50) {
        let ops = changes.iter().cloned().map(|(key, value)| match value {
            Some(value) => Op::Put { key, value },
            None => Op::Delete { key },
        });
        let ops = ops.collect();
        let idem = IdemToken(<dyn Entropy>::array(&SystemEntropy));
        let txn = strongroom_storage::Txn { compares: vec![], ops, idem };
        assert!(matches!(store.commit(Epoch(0), txn).await.unwrap(), Committed::At(_)));
    }
}

/// When tests initialise.
pub const STARTED: Timestamp = Timestamp::from_secs(1_000);

pub fn key_file() -> SecretBytes {
    SecretBytes::new((100..132).collect())
}

pub async fn door(store: &Arc<Testing>) -> Door {
    try_door(store).await.unwrap()
}

pub async fn try_door(store: &Arc<Testing>) -> Result<Door, BarrierError> {
    Door::of(store.clone(), Epoch(0), Arc::new(SystemEntropy)).await
}

/// Initialises with 5 shares of which 3 open, and a key file.
pub async fn init(store: &Arc<Testing>) -> InitOutcome {
    let Door::Uninitialised(fresh) = door(store).await else { panic!("the store is not empty") };
    let slots = vec![SlotSpec::Shamir { shares: 5, threshold: 3 }, SlotSpec::Static { key: key_file() }];
    fresh.init(Init { slots }, STARTED).await.unwrap()
}

pub async fn sealed(store: &Arc<Testing>) -> Sealed {
    let Door::Sealed(sealed) = door(store).await else { panic!("the store was never initialised") };
    sealed
}

/// Opens with the key file, as a restart would.
pub async fn reopen(store: &Arc<Testing>) -> Result<Arc<Barrier>, BarrierError> {
    match try_door(store).await? {
        Door::Sealed(sealed) => sealed.open_static(&key_file()).await,
        Door::Uninitialised(_) => panic!("the store was never initialised"),
    }
}

pub fn namespace(number: u8) -> NamespaceId {
    NamespaceId::from_bytes([number; 16])
}

pub fn shelf(kind: &'static str) -> Shelf {
    Shelf::new(kind, NamespaceId::ROOT)
}

pub fn put(at: &Address, value: &str) -> Txn {
    Txn::new().put(at.clone(), value.as_bytes().to_vec())
}

pub async fn text(barrier: &Barrier, at: &Address) -> Result<Option<String>, BarrierError> {
    let record = barrier.get(at).await?;
    Ok(record.map(|record| String::from_utf8(record.bytes.expose().to_vec()).unwrap()))
}
