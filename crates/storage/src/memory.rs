//! The engine that forgets: a `BTreeMap` behind a lock, for development servers and tests, and the yardstick against
//! which the other engines are tested. Keeps every promise of [`Store`] except that nothing outlives the process.

use crate::{
    Change, Changes, Committed, Compare, Entry, Epoch, Expectation, IdemToken, LeaderLease, Limits, Op, Revision, Rows,
    Store, StoreError, Txn, View, whole::Ascending,
};
use async_trait::async_trait;
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};

/// How many commits `changes` and `outcome` reach back.
const REMEMBERED: usize = 20_000;

/// A store in memory.
pub struct Memory {
    state: Mutex<State>,
    clock: Option<Arc<dyn Clock>>,
}

impl Memory {
    /// An empty store. Without a clock its leases last until they are given back.
    pub fn new() -> Self {
        Self { state: Mutex::default(), clock: None }
    }

    /// An empty store whose leases expire by this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), clock: Some(clock) }
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map(|clock| clock.now()).unwrap_or_default()
    }

    /// No code can panic between two halves of a change, so a poisoned lock still guards a whole state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for Memory {
    fn limits(&self) -> Limits {
        Limits::LOCAL
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let state = self.state();
        Ok(state.values.get(key).map(|stored| stored.entry(key)))
    }

    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let state = self.state();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let tail = state.values.range::<[u8], _>((from, Bound::Unbounded));
        let below = tail.take_while(|(key, _)| key.starts_with(prefix));
        Ok(below.take(limit).map(|(key, stored)| stored.entry(key)).collect())
    }

    async fn current_rev(&self) -> Result<Revision, StoreError> {
        Ok(self.state().rev)
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        self.limits().check(&txn)?;
        Ok(self.state().commit(epoch, txn))
    }

    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError> {
        let state = self.state();
        Ok(state.tokens.get(&idem).map_or(Committed::Conflict(Vec::new()), |rev| Committed::At(*rev)))
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        let state = self.state();
        let forgotten = state.rev.0 - state.history.len() as u64;
        if after.0 < forgotten || after > state.rev {
            return Ok(Changes::TooOld);
        }
        let later = state.history.iter().filter(|commit| commit.change.rev > after);
        Ok(Changes::Since(later.take(limit).map(|commit| commit.change.clone()).collect()))
    }

    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<LeaderLease>, StoreError> {
        let now = self.now();
        let mut state = self.state();
        if state.leases.get(name).is_some_and(|held| held.lasts_at(now)) {
            return Ok(None);
        }
        let epoch = Epoch(state.epoch.0 + 1);
        state.epoch = epoch;
        state.leases.insert(name.to_owned(), Held { epoch, expires: now.plus(ttl) });
        Ok(Some(LeaderLease { name: name.to_owned(), epoch }))
    }

    async fn renew(&self, lease: &LeaderLease, ttl: Duration) -> Result<bool, StoreError> {
        let now = self.now();
        let mut state = self.state();
        let held = state.leases.get_mut(&lease.name).filter(|held| held.epoch == lease.epoch && held.lasts_at(now));
        Ok(held.map(|held| held.expires = now.plus(ttl)).is_some())
    }

    async fn release(&self, lease: LeaderLease) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.leases.get(&lease.name).is_some_and(|held| held.epoch == lease.epoch) {
            state.leases.remove(&lease.name);
        }
        Ok(())
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        let state = self.state();
        Ok(Box::new(Moment(state.values.iter().map(|(key, stored)| stored.entry(key)).collect())))
    }

    async fn replace(&self, epoch: Epoch, rows: Rows) -> Result<Committed, StoreError> {
        let mut order = Ascending::new(self.limits());
        let mut values = BTreeMap::new();
        for row in rows {
            let row = row?;
            order.check(&row)?;
            values.insert(row.0, row.1);
        }
        Ok(self.state().replace(epoch, values))
    }

    fn spool(&self) -> Result<File, StoreError> {
        let what = "making a file in memory".to_owned();
        let made = memfd_create("strongroom-spool", MemfdFlags::CLOEXEC);
        made.map(File::from).map_err(|error| StoreError::Io { what, source: error.into() })
    }
}

/// A copy of everything: this engine holds it in memory anyway.
struct Moment(VecDeque<Entry>);

impl View for Moment {
    fn portion(&mut self, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let (mut portion, mut taken) = (Vec::new(), 0);
        while taken < bytes
            && let Some(entry) = self.0.pop_front()
        {
            taken += entry.key.len() + entry.value.len();
            portion.push(entry);
        }
        Ok(portion)
    }
}

#[derive(Default)]
struct State {
    values: BTreeMap<Vec<u8>, Stored>,
    rev: Revision,
    epoch: Epoch,
    history: VecDeque<Commit>,
    tokens: HashMap<IdemToken, Revision>,
    leases: HashMap<String, Held>,
}

impl State {
    fn commit(&mut self, epoch: Epoch, txn: Txn) -> Committed {
        if let Some(rev) = self.tokens.get(&txn.idem) {
            return Committed::At(*rev);
        }
        if epoch < self.epoch {
            return Committed::Fenced;
        }
        let unmet = txn.compares.into_iter().filter(|compare| !self.holds(compare));
        let unmet: Vec<_> = unmet.map(|compare| compare.key).collect();
        if !unmet.is_empty() {
            return Committed::Conflict(unmet);
        }
        let rev = Revision(self.rev.0 + 1);
        self.rev = rev;
        let keys = txn.ops.into_iter().map(|op| self.apply(op, rev)).collect();
        self.remember(Commit { idem: txn.idem, change: Change { rev, keys } });
        Committed::At(rev)
    }

    fn replace(&mut self, epoch: Epoch, values: BTreeMap<Vec<u8>, Vec<u8>>) -> Committed {
        if epoch < self.epoch {
            return Committed::Fenced;
        }
        let rev = Revision(self.rev.0 + 1);
        self.rev = rev;
        self.history.clear();
        self.tokens.clear();
        self.values = values.into_iter().map(|(key, value)| (key, Stored { value, rev })).collect();
        Committed::At(rev)
    }

    fn holds(&self, compare: &Compare) -> bool {
        let found = self.values.get(&compare.key).map(|stored| stored.rev);
        match compare.expect {
            Expectation::Absent => found.is_none(),
            Expectation::Present => found.is_some(),
            Expectation::RevIs(rev) => found == Some(rev),
        }
    }

    fn apply(&mut self, op: Op, rev: Revision) -> Vec<u8> {
        match op {
            Op::Put { key, value } => {
                self.values.insert(key.clone(), Stored { value, rev });
                key
            }
            Op::Delete { key } => {
                self.values.remove(&key);
                key
            }
        }
    }

    fn remember(&mut self, commit: Commit) {
        self.tokens.insert(commit.idem, commit.change.rev);
        self.history.push_back(commit);
        if self.history.len() > REMEMBERED
            && let Some(oldest) = self.history.pop_front()
        {
            self.tokens.remove(&oldest.idem);
        }
    }
}

struct Stored {
    value: Vec<u8>,
    rev: Revision,
}

impl Stored {
    fn entry(&self, key: &[u8]) -> Entry {
        Entry { key: key.to_vec(), value: self.value.clone(), rev: self.rev }
    }
}

struct Commit {
    idem: IdemToken,
    change: Change,
}

struct Held {
    epoch: Epoch,
    expires: Timestamp,
}

impl Held {
    fn lasts_at(&self, now: Timestamp) -> bool {
        now < self.expires
    }
}
