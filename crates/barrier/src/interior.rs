//! What lies behind the barrier: the store, the keys, and what is known about freshness. Shared by readers and the
//! one committer.
//!
//! Invariants: the ledger's lock is held over every commit, so that who holds it sees store and memory agree; readers
//! take it only when something they read looks wrong. No lock of the standard library is held across an await.

use crate::fresh::{Freshness, Head, Page};
use crate::keys::Keys;
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
}

impl Interior {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        epoch: Epoch,
        entropy: Arc<dyn Entropy>,
        keys: Keys,
        fresh: Freshness,
        head: Head,
        head_rev: Revision,
    ) -> Self {
        let generation = AtomicU64::new(head.generation);
        Self {
            store,
            epoch,
            entropy,
            ledger: tokio::sync::Mutex::new(Ledger { head, head_rev, pending: None, stopped: None }),
            keys: RwLock::new(Some(Arc::new(keys))),
            fresh: Mutex::new(fresh),
            generation,
            writable: AtomicBool::new(true),
            watchers: RwLock::default(),
        }
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
        }
        let mut fresh = self.fresh();
        for (bucket, page) in news.pages {
            fresh.set_generation(bucket, page.generation);
            fresh.keep(bucket, page);
        }
        drop(fresh);
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
