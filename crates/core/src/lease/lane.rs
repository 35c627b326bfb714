//! One outside system of one mount: the unit in which revoking is bounded, ordered and put off. What is slow or down in
//! one lane holds up nothing in another.
//!
//! Knows when the lane's next turn is, what is being made in it, and how its outside system does; does no work itself.

use super::beat::Beat;
use super::record::{Cause, LaneNote, Lease, LeaseKey, backoff};
use crate::records::Stored;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strongroom_model::{Entropy, MountId, Timestamp, Ttl};
use tokio::sync::Notify;

/// Marked leases that are kept in memory besides.
const MOST_URGENT: usize = 4_096;

pub(super) struct Lane {
    pub(super) mount: MountId,
    pub(super) name: String,
    pub(super) beat: Beat,
    /// Rung when something urgent came while a run is going on.
    pub(super) hurry: Notify,
    state: Mutex<State>,
    /// Seconds; as it is on disk.
    longest: AtomicU64,
    /// Set when turns may lie too far ahead.
    pub(super) clock_went_back: AtomicBool,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Leases whose credential is being made now, and whether a run passed them over for that. Nobody may revoke them
    /// before it is over.
    making: HashMap<String, bool>,
    urgent: VecDeque<LeaseKey>,
    /// Recalled leases that wait, and how many more are in hand.
    recalled: VecDeque<Recalled>,
    recalled_in_hand: usize,
    outage: Option<Outage>,
    outages: u64,
}

/// How an outside system that cannot be reached is waited for.
#[derive(Clone)]
pub(super) struct Outage {
    pub(super) failures: u32,
    pub(super) until: Timestamp,
    pub(super) error: String,
}

/// A lease that is to end by a recall, as it was read.
pub(super) struct Recalled {
    pub(super) key: LeaseKey,
    pub(super) lease: Arc<Stored<Lease>>,
    pub(super) cause: Cause,
}

impl Lane {
    pub(super) fn new(mount: MountId, name: &str) -> Self {
        Self {
            mount,
            name: name.to_owned(),
            beat: Beat::new(),
            hurry: Notify::new(),
            state: Mutex::default(),
            longest: AtomicU64::new(0),
            clock_went_back: AtomicBool::new(true),
            closed: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the credential of this lease is being made, until the guard is dropped.
    pub(super) fn making(self: &Arc<Self>, key: &LeaseKey) -> Making {
        self.state().making.insert(key.suffix.clone(), false);
        Making { lane: Arc::clone(self), suffix: key.suffix.clone() }
    }

    /// Whether its credential is being made; the lane runs again when that is over.
    pub(super) fn is_making(&self, suffix: &str) -> bool {
        self.state().making.get_mut(suffix).map(|passed| *passed = true).is_some()
    }

    /// Puts a lease that is marked before what is due. When many are there already it waits on the shelf, among the first.
    pub(super) fn push_urgent(&self, key: LeaseKey) {
        let mut state = self.state();
        if state.urgent.len() < MOST_URGENT {
            state.urgent.push_back(key);
        }
        drop(state);
        self.hurry.notify_one();
    }

    pub(super) fn take_urgent(&self) -> Option<LeaseKey> {
        self.state().urgent.pop_front()
    }

    /// Leases to be ended that are marked by a recall only.
    pub(super) fn push_recalled(&self, leases: impl Iterator<Item = Recalled>) {
        self.state().recalled.extend(leases);
        self.hurry.notify_one();
    }

    /// The next of them; it is in hand until [`Lane::recalled_over`].
    pub(super) fn take_recalled(&self) -> Option<Recalled> {
        let mut state = self.state();
        let taken = state.recalled.pop_front();
        state.recalled_in_hand += usize::from(taken.is_some());
        taken
    }

    pub(super) fn recalled_over(&self) {
        let mut state = self.state();
        state.recalled_in_hand = state.recalled_in_hand.saturating_sub(1);
    }

    /// How many of them wait or are in hand.
    pub(super) fn recalled(&self) -> usize {
        let state = self.state();
        state.recalled.len() + state.recalled_in_hand
    }

    /// Gives them back to whoever recalled them: no run has any in hand.
    pub(super) fn drop_recalled(&self) {
        let mut state = self.state();
        state.recalled.clear();
        state.recalled_in_hand = 0;
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.state().outage.clone()
    }

    /// How often the outside system was found down.
    pub(super) fn outages(&self) -> u64 {
        self.state().outages
    }

    /// Whether it is not yet time to try again.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.state().outage.as_ref().is_some_and(|outage| outage.until > now)
    }

    /// Lets it be tried at once, because somebody asks.
    pub(super) fn release(&self) {
        if let Some(outage) = &mut self.state().outage {
            outage.until = Timestamp::default();
        }
    }

    /// Notes that the outside system could not be reached.
    pub(super) fn went_down(&self, error: String, now: Timestamp, entropy: &dyn Entropy) {
        let mut state = self.state();
        let failures = state.outage.as_ref().map_or(1, |outage| outage.failures.saturating_add(1));
        let [part] = entropy.array::<1>();
        let until = now.plus(backoff(failures, part));
        state.outage = Some(Outage { failures, until, error });
        state.outages += 1;
        self.beat.expect(until);
    }

    pub(super) fn came_up(&self) {
        self.state().outage = None;
    }

    /// The changes that make a life this long known, if it is longer than any before it.
    pub(super) fn note_of(&self, ttl: Ttl) -> Option<LaneNote> {
        let is_longer = ttl.secs().max(1) > self.longest.load(Ordering::SeqCst);
        is_longer.then(|| LaneNote {
            mount: self.mount,
            name: self.name.clone(),
            longest: Ttl::from_secs(ttl.secs().max(1)),
        })
    }

    /// The note is on disk.
    pub(super) fn noted(&self, longest: Ttl) {
        self.longest.fetch_max(longest.secs(), Ordering::SeqCst);
    }

    pub(super) fn longest(&self) -> Ttl {
        Ttl::from_secs(self.longest.load(Ordering::SeqCst))
    }

    /// Has its task end.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.drop_recalled();
        self.beat.ring();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// While it lives, nobody revokes the lease: a credential that is made after it was revoked would live for ever.
pub(super) struct Making {
    lane: Arc<Lane>,
    suffix: String,
}

impl Drop for Making {
    fn drop(&mut self) {
        let was_passed = self.lane.state().making.remove(&self.suffix);
        if was_passed == Some(true) {
            self.lane.beat.ring();
        }
    }
}

/// All lanes.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<MountId, BTreeMap<String, Arc<Lane>>>>);

impl Lanes {
    fn locked(&self) -> MutexGuard<'_, HashMap<MountId, BTreeMap<String, Arc<Lane>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, mount: MountId, name: &str) -> Option<Arc<Lane>> {
        self.locked().get(&mount)?.get(name).cloned()
    }

    /// The lane of that name, and whether this made it.
    pub(super) fn find_or_make(&self, mount: MountId, name: &str) -> (Arc<Lane>, bool) {
        let mut lanes = self.locked();
        let of_mount = lanes.entry(mount).or_default();
        if let Some(lane) = of_mount.get(name) {
            return (Arc::clone(lane), false);
        }
        let lane = Arc::new(Lane::new(mount, name));
        of_mount.insert(name.to_owned(), Arc::clone(&lane));
        (lane, true)
    }

    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.locked().values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Takes out the lanes of a mount.
    pub(super) fn remove(&self, mount: MountId) -> Vec<Arc<Lane>> {
        self.locked().remove(&mount).into_iter().flat_map(BTreeMap::into_values).collect()
    }
}
