//! What lies behind the barrier: the store, the keys, and what is known about freshness. Shared by readers and the
//! one committer.
//!
//! Invariants: the ledger's lock is held over every commit, so that who holds it sees store and memory agree; readers
//! take it only when something they read looks wrong. No lock of the standard library is held across an await.

use crate::fresh::{Freshness, Head, Page};
use crate::keys::Keys;
use crate::opening::Ground;
use crate::ring::Ring;
use crate::seal::SealRecord;
use crate::sweep::Sweep;
use crate::{Address, BarrierError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, NamespaceId};
use strongroom_storage::{Committed, Epoch, IdemToken, Revision, Store};

type Watcher = Box<dyn Fn(&[Address]) + Send + Sync>;

/// A store with its keys.
pub(crate) struct Interior {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) epoch: Epoch,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) ledger: tokio::sync::Mutex<Ledger>,
    keys: RwLock<Option<Arc<Keys>>>,
    /// The seal record as the store has it.
    seal: RwLock<Arc<SealRecord>>,
    /// What the key of the current term has sealed since the last commit.
    wraps: AtomicU64,
    /// The same, as the last commit has it.
    encryptions: AtomicU64,
    /// How far sealing under the current term has come.
    pub(crate) sweep: tokio::sync::Mutex<Sweep>,
    fresh: Mutex<Freshness>,
    generation: AtomicU64,
    writable: AtomicBool,
    watchers: RwLock<Vec<Watcher>>,
}

/// What only the one who commits may change.
pub(crate) struct Ledger {
    /// The freshness head as it is in the store.
    pub(crate) head: Head,
    /// The storage commit that wrote it: another one there means another writer.
    pub(crate) head_rev: Revision,
    /// The storage commit that wrote the seal record.
    pub(crate) seal_rev: Revision,
    /// A commit whose outcome is not known yet.
    pub(crate) pending: Option<Pending>,
    /// Why no more commits are taken.
    pub(crate) stopped: Option<BarrierError>,
}

pub(crate) struct Pending {
    pub(crate) idem: IdemToken,
    pub(crate) news: News,
}

/// What memory must know once a commit is durable.
pub(crate) struct News {
    pub(crate) head: Head,
    pub(crate) pages: Vec<(u16, Arc<Page>)>,
    pub(crate) keys: HashMap<NamespaceId, Arc<LockedKey>>,
    pub(crate) changed: Vec<Address>,
    /// The seal record and the ring, when they change.
    pub(crate) seal: Option<(SealRecord, Ring)>,
}

/// What a barrier begins with.
pub(crate) struct Beginning {
    pub(crate) keys: Keys,
    pub(crate) fresh: Freshness,
    pub(crate) head: Head,
    pub(crate) head_rev: Revision,
    pub(crate) seal: SealRecord,
    pub(crate) seal_rev: Revision,
}

impl Interior {
    pub(crate) fn new(ground: &Ground, beginning: Beginning) -> Self {
        let Beginning { keys, fresh, head, head_rev, seal, seal_rev } = beginning;
        Self {
            store: Arc::clone(&ground.store),
            epoch: ground.epoch,
            entropy: Arc::clone(&ground.entropy),
            keys: RwLock::new(Some(Arc::new(keys))),
            seal: RwLock::new(Arc::new(seal)),
            wraps: AtomicU64::new(0),
            encryptions: AtomicU64::new(head.wraps),
            sweep: tokio::sync::Mutex::default(),
            fresh: Mutex::new(fresh),
            generation: AtomicU64::new(head.generation),
            writable: AtomicBool::new(true),
            watchers: RwLock::default(),
            ledger: tokio::sync::Mutex::new(Ledger { head, head_rev, seal_rev, pending: None, stopped: None }),
        }
    }

    /// The seal record.
    pub(crate) fn seal(&self) -> Arc<SealRecord> {
        Arc::clone(&self.seal.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that the key of the current term is about to seal something.
    pub(crate) fn count_wrap(&self) {
        self.wraps.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been sealed since this was last asked.
    pub(crate) fn take_wraps(&self) -> u64 {
        self.wraps.swap(0, Ordering::Relaxed)
    }

    /// How often the key of the current term has sealed something.
    pub(crate) fn encryptions(&self) -> u64 {
        self.encryptions.load(Ordering::Relaxed) + self.wraps.load(Ordering::Relaxed)
    }

    /// The keys, unless the barrier was closed.
    pub(crate) fn keys(&self) -> Result<Arc<Keys>, BarrierError> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(BarrierError::Closed)
    }

    /// Lets go of the keys; they are wiped when the last call under way is done.
    pub(crate) fn forget_keys(&self) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).take();
        self.writable.store(false, Ordering::Release);
    }

    pub(crate) fn fresh(&self) -> MutexGuard<'_, Freshness> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        self.watchers.write().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    /// Takes no more commits, and answers them with this error.
    pub(crate) fn stop(&self, ledger: &mut Ledger, why: &BarrierError) {
        tracing::error!(error = %why, "the barrier takes no more commits");
        ledger.stopped = Some(why.again());
        self.writable.store(false, Ordering::Release);
    }

    /// Makes memory agree with a commit that is durable, and tells the watchers.
    pub(crate) fn publish(&self, ledger: &mut Ledger, rev: Revision, news: News) {
        if let Ok(keys) = self.keys() {
            news.keys.into_iter().for_each(|(namespace, key)| keys.remember(namespace, key));
            if let Some((record, ring)) = news.seal {
                keys.install(ring);
                *self.seal.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(record);
                ledger.seal_rev = rev;
            }
        }
        let mut fresh = self.fresh();
        for (bucket, page) in news.pages {
            fresh.set_generation(bucket, page.generation);
            fresh.keep(bucket, page);
        }
        drop(fresh);
        self.encryptions.store(news.head.wraps, Ordering::Relaxed);
        self.generation.store(news.head.generation, Ordering::Release);
        ledger.head = news.head;
        ledger.head_rev = rev;
        for watcher in self.watchers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            watcher(&news.changed);
        }
    }

    /// Finds out what became of a commit whose outcome was not known. `Unknown` while the store does not say.
    pub(crate) async fn settle(&self, ledger: &mut Ledger) -> Result<(), BarrierError> {
        let Some(Pending { idem, news }) = ledger.pending.take() else { return Ok(()) };
        match self.store.outcome(idem).await {
            Ok(Committed::At(rev)) => self.publish(ledger, rev, news),
            // A late arrival of the attempt cannot do harm: it compares the head's revision, as every commit does.
            Ok(Committed::Conflict(_) | Committed::Fenced) => {}
            Ok(Committed::Unknown) | Err(_) => {
                ledger.pending = Some(Pending { idem, news });
                return Err(BarrierError::Unknown);
            }
        }
        Ok(())
    }
}
