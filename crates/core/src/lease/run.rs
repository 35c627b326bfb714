//! One run over what is due in a lane: what is in hand, what waits, and whether the outside system still answers.
//!
//! Only counts and remembers; the worker decides and acts.

use super::lane::Lane;
use super::ledger::Haste;
use super::record::{Cause, Lease, LeaseKey, Turn};
use crate::CoreError;
use crate::records::{Listed, Stored};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use strongroom_barrier::Address;
use strongroom_model::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Different leases that must go unanswered, with no answer in between, for the outside system to count as down.
const UNANSWERED: usize = 3;

/// What became of one lease.
pub(super) enum End {
    /// Forgotten.
    Gone,
    /// Not due after all, or somebody else's.
    Passed,
    /// Put off, by its own fault.
    Failed,
    /// Put off for a moment: there was no place for it.
    Crowded,
    /// Put off; it was asked for and no answer came.
    Unanswered(String),
    /// The outside system cannot be reached.
    Down(String),
}

/// A lease to see to.
pub(super) struct Turned {
    pub(super) key: LeaseKey,
    pub(super) why: Why,
}

pub(super) enum Why {
    /// Marked as to be revoked.
    Marked,
    /// Recalled for this cause, and not marked itself; as it was read then.
    Recalled(Cause, Arc<Stored<Lease>>),
    /// Its time is over; nobody waits for it.
    Expired,
}

impl Why {
    /// How soon it is to be forgotten when its credential is gone. Of leases that go by the thousand each is awaited by
    /// nobody; what expired goes in small groups, with pauses by how long their commits take.
    pub(super) fn haste(&self) -> Haste {
        match self {
            Why::Recalled(..) => Haste::AtLeisure,
            Why::Marked | Why::Expired => Haste::Soon,
        }
    }
}

/// One run over what is due in a lane.
pub(super) struct Run {
    pub(super) now: Timestamp,
    pub(super) page: VecDeque<Listed<Turn>>,
    pub(super) after: Option<Address>,
    /// The shelf was read to the end of what is due.
    pub(super) read: bool,
    pub(super) in_hand: HashSet<String>,
    /// Of these, how many merely expired.
    pub(super) expired: usize,
    /// When the next may go that merely expired.
    pub(super) pause: Option<Instant>,
    pub(super) began: Instant,
    pub(super) down: Option<String>,
    /// Leases that went unanswered since the last answer.
    pub(super) unanswered: HashSet<String>,
    /// Something may have fallen due since the shelf was read.
    pub(super) again: bool,
    /// Whether what is due comes before what is recalled: they take turns.
    pub(super) due_first: bool,
}

impl Run {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            page: VecDeque::new(),
            after: None,
            read: false,
            in_hand: HashSet::new(),
            expired: 0,
            pause: None,
            began: Instant::now(),
            down: None,
            unanswered: HashSet::new(),
            again: false,
            due_first: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.read && self.page.is_empty() && !self.again
    }

    /// Whether what comes next on the shelf may not go yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.pause.is_some() || !self.page.is_empty()
    }

    /// Whether it neither does nor awaits anything.
    pub(super) fn rests(&self, ending: &JoinSet<(Turned, Result<End, CoreError>)>) -> bool {
        ending.is_empty() && self.pause.is_none()
    }

    pub(super) fn note(
        &mut self,
        lane: &Lane,
        key: &LeaseKey,
        end: Result<End, CoreError>,
        permits: &Semaphore,
    ) -> Result<(), CoreError> {
        self.in_hand.remove(&key.suffix);
        let error = match end? {
            End::Passed | End::Crowded => return Ok(()),
            End::Gone => {
                self.unanswered.clear();
                lane.came_up();
                return Ok(());
            }
            End::Failed => {
                self.unanswered.clear();
                return Ok(());
            }
            End::Unanswered(error) => {
                self.unanswered.insert(key.suffix.clone());
                if self.unanswered.len() < UNANSWERED {
                    return Ok(());
                }
                error
            }
            End::Down(error) => error,
        };
        // Those that wait for their turn need not find out for themselves.
        permits.close();
        self.down = Some(error);
        Ok(())
    }
}
