//! Typed records over the barrier: JSON in, JSON out, with a cache of what was read.
//!
//! The cache holds decoded records (tokens, entities, policies, heads of secrets), never the values of secrets, though
//! with a head may lie what opens its sealed value, and the keyed hashes that the trail has in its place. A commit drops
//! what it changed before it is acknowledged, so nobody sees an older state than they wrote.

use crate::CoreError;
use crate::boxed;
use crate::metrics::{Metrics, Watch};
use ahash::{AHashMap, RandomState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_barrier::{Address, Barrier, Count, Shelf, Txn};
use strongroom_model::{Clock, SecretBytes};
use strongroom_storage::Revision;

/// A record with the revision that a later compare names.
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// The commit that wrote it.
    pub rev: Revision,
}

/// Reads and writes records of any serialisable type.
pub struct Records {
    barrier: Arc<Barrier>,
    cache: Arc<Cache>,
    meters: Meters,
}

/// What is timed: the ways past the cache.
struct Meters {
    get: Watch,
    put: Watch,
    delete: Watch,
    list: Watch,
}

impl Records {
    /// Records behind this barrier, with an empty cache.
    pub(crate) fn new(barrier: Arc<Barrier>, metrics: &Metrics, clock: &Arc<dyn Clock>) -> Self {
        let watch = |name| metrics.watch(name, clock);
        let meters = Meters {
            get: watch("vault.barrier.get"),
            put: watch("vault.barrier.put"),
            delete: watch("vault.barrier.delete"),
            list: watch("vault.barrier.list"),
        };
        let cache = Arc::new(Cache::default());
        let dropped = Arc::clone(&cache);
        barrier.subscribe(move |changed: &[Address]| dropped.forget(changed));
        Self { barrier, cache, meters }
    }

    /// The barrier itself, for sealed values and hashes.
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// The record at that place, from the cache when it is there.
    pub async fn get<T>(&self, at: &Address) -> Result<Option<Arc<Stored<T>>>, CoreError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.look_up(at, Absence::Forgotten).await
    }

    /// As [`Records::get`], remembering also that there is none: for what one request asks several times. Not for names
    /// that strangers choose, who could fill the cache with them.
    pub(crate) async fn get_again<T>(&self, at: &Address) -> Result<Option<Arc<Stored<T>>>, CoreError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.look_up(at, Absence::Remembered).await
    }

    /// Whether there is such a record, for who is about to write it: what is not there is not looked for in the store.
    pub(crate) async fn is_kept(&self, at: &Address) -> Result<bool, CoreError> {
        match self.cache.look(at) {
            Look::Found(found) => Ok(!found.is::<Absent>()),
            Look::Missing(_) => Ok(self.barrier.lists(at).await?),
        }
    }

    async fn look_up<T>(&self, at: &Address, absence: Absence) -> Result<Option<Arc<Stored<T>>>, CoreError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let ticket = match self.cache.look(at) {
            Look::Found(found) if found.is::<Absent>() => return Ok(None),
            Look::Found(found) => {
                return found.downcast().map(Some).map_err(|_| CoreError::Internal("two record types at one address"));
            }
            Look::Missing(ticket) => ticket,
        };
        // Boxed: most find it above, and whoever looks up would carry room for reading the store.
        let Some(record) = boxed(|| self.meters.get.over(|| self.barrier.get(at))).await? else {
            if absence == Absence::Remembered {
                self.cache.keep(at, ticket, Arc::new(Absent));
            }
            return Ok(None);
        };
        let value = decode(at.shelf.kind, &record.bytes)?;
        let stored = Arc::new(Stored { value, rev: record.rev });
        self.cache.keep(at, ticket, stored.clone());
        Ok(Some(stored))
    }

    /// Records of a shelf with their names and numbers, after a place, at most `limit`; past the cache.
    pub async fn scan<T: DeserializeOwned>(
        &self,
        shelf: &Shelf,
        after: Option<&Address>,
        limit: usize,
    ) -> Result<Vec<Listed<T>>, CoreError> {
        let records = self.meters.list.over(|| self.barrier.scan(shelf, after, limit)).await?;
        let listed = records.into_iter().map(|record| {
            let value = decode(shelf.kind, &record.bytes)?;
            Ok(Listed { name: record.name, number: record.number, value, rev: record.rev })
        });
        listed.collect()
    }

    /// All records of a shelf, in pages. For shelves whose size a person chose (mounts, roles, names in a folder). Of a
    /// counted shelf it fails when one was removed behind the barrier's back.
    pub async fn scan_all<T: DeserializeOwned>(&self, shelf: &Shelf) -> Result<Vec<Listed<T>>, CoreError> {
        if !shelf.counted {
            return self.read_all(shelf).await;
        }
        for _ in 0..ATTEMPTS {
            let before = self.barrier.count(shelf).await?;
            let all = self.read_all(shelf).await?;
            if self.barrier.is_whole(shelf, before, all.len()).await? {
                return Ok(all);
            }
        }
        // It changes all the while, so no list of it is of one moment; the next one may be.
        self.read_all(shelf).await
    }

    /// How many records a counted shelf holds, to be asked before it is walked page by page.
    pub(crate) async fn count(&self, shelf: &Shelf) -> Result<Count, CoreError> {
        Ok(self.barrier.count(shelf).await?)
    }

    /// Fails when a walk over a counted shelf saw fewer records than it holds, as [`Records::scan_all`] does. One that
    /// changed meanwhile passes.
    pub(crate) async fn check_seen(&self, shelf: &Shelf, before: Count, seen: usize) -> Result<(), CoreError> {
        Ok(self.barrier.is_whole(shelf, before, seen).await.map(|_| ())?)
    }

    async fn read_all<T: DeserializeOwned>(&self, shelf: &Shelf) -> Result<Vec<Listed<T>>, CoreError> {
        const PAGE: usize = 512;
        let mut all: Vec<Listed<T>> = Vec::new();
        loop {
            let after = all.last().map(|last| shelf.named(&last.name));
            let page = self.scan(shelf, after.as_ref(), PAGE).await?;
            let complete = page.len() < PAGE;
            all.extend(page);
            if complete {
                return Ok(all);
            }
        }
    }

    /// Commits; durable when it returns.
    pub async fn commit(&self, txn: Txn) -> Result<Revision, CoreError> {
        let meter = if txn.puts_any() || !txn.deletes_any() { &self.meters.put } else { &self.meters.delete };
        Ok(meter.over(|| self.barrier.commit(txn)).await?)
    }
}

/// How often a counted shelf is read before a list of it goes out that was not compared with its count.
const ATTEMPTS: usize = 3;

/// Adds to a transaction what is to happen with it; asked again for each attempt. `&Ok` adds nothing.
pub(crate) type Along<'a> = &'a (dyn Fn(Txn) -> Result<Txn, CoreError> + Send + Sync);

/// A record found by listing.
pub struct Listed<T> {
    /// The name it was put under.
    pub name: Vec<u8>,
    /// The number it was put under; 0 on unordered shelves.
    pub number: u64,
    /// The record.
    pub value: T,
    /// The commit that wrote it.
    pub rev: Revision,
}

impl<T> Listed<T> {
    /// The name as text; records are put under text or raw ids, and who lists knows which.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// Adds typed puts to a transaction.
pub(crate) trait PutRecord: Sized {
    /// Writes the record as JSON.
    fn put_record<T: Serialize>(self, at: Address, value: &T) -> Result<Self, CoreError>;
}

impl PutRecord for Txn {
    fn put_record<T: Serialize>(self, at: Address, value: &T) -> Result<Self, CoreError> {
        let kind = at.shelf.kind;
        let bytes = serde_json::to_vec(value).map_err(|_| CoreError::Unreadable { kind })?;
        Ok(self.put(at, bytes))
    }
}

pub(crate) fn decode<T: DeserializeOwned>(kind: &'static str, bytes: &SecretBytes) -> Result<T, CoreError> {
    serde_json::from_slice(bytes.expose()).map_err(|_| CoreError::Unreadable { kind })
}

/// In the cache: there is no such record.
struct Absent;

/// Whether the cache learns that a record is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    Remembered,
    Forgotten,
}

const SHARDS: usize = 16;
/// Records per shard: in all 32,768, with what is kept beside each (up to some kilobytes of words): tens of megabytes where records
/// are as they mostly are, and in the worst case what the largest records take.
const PER_SHARD: usize = 2_048;

#[derive(Default)]
struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    /// Says in which shard a record lies.
    spread: RandomState,
}

#[derive(Default)]
struct Shard {
    records: AHashMap<Address, Arc<dyn Any + Send + Sync>>,
    /// Counts invalidations: a reader that began before one must not bring back what it read.
    epoch: u64,
}

/// The shard's epoch when a reader missed.
struct Ticket(u64);

enum Look {
    Found(Arc<dyn Any + Send + Sync>),
    Missing(Ticket),
}

impl Cache {
    fn with<R>(&self, at: &Address, act: impl FnOnce(&mut Shard) -> R) -> Option<R> {
        let shard = self.shards.get(self.spread.hash_one(at) as usize % SHARDS)?;
        Some(act(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn look(&self, at: &Address) -> Look {
        let look = self.with(at, |shard| match shard.records.get(at) {
            Some(found) => Look::Found(Arc::clone(found)),
            None => Look::Missing(Ticket(shard.epoch)),
        });
        look.unwrap_or(Look::Missing(Ticket(u64::MAX)))
    }

    fn keep(&self, at: &Address, ticket: Ticket, record: Arc<dyn Any + Send + Sync>) {
        self.with(at, |shard| {
            if shard.epoch != ticket.0 {
                return;
            }
            if shard.records.len() >= PER_SHARD {
                let victim = shard.records.keys().next().cloned();
                victim.map(|victim| shard.records.remove(&victim));
            }
            shard.records.insert(at.clone(), record);
        });
    }

    fn forget(&self, changed: &[Address]) {
        for at in changed {
            self.with(at, |shard| {
                shard.epoch += 1;
                shard.records.remove(at);
            });
        }
    }
}
