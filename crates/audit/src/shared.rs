//! What the writer tells everybody else: how far the trail is written, and how it does.

use crate::{Checkpoint, TrailHealth};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How far the trail is written. Bytes behind this may still be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The number of the next line.
    pub(crate) next: u64,
    /// Lines behind the last checkpoint.
    pub(crate) unsigned: u64,
    /// The segment being written, by its first line.
    pub(crate) segment: u64,
    /// Bytes of whole lines in it.
    pub(crate) len: u64,
}

impl Written {
    /// Whether the keeper has something to do: lines to sign, or, without a key, lines to sync.
    pub(crate) fn is_unkept(&self, can_sign: bool, synced: u64) -> bool {
        self.unsigned > 0 && (can_sign || self.next != synced)
    }
}

#[derive(Default)]
struct State {
    written: Written,
    failure: Option<String>,
    alarm: Option<String>,
    can_sign: bool,
    closed: bool,
    nudges: u64,
    /// Who waits for lines: a wake-up that nobody needs still is a system call.
    waiting: usize,
}

/// Shared between the writer, the handle, the keeper and the devices.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    grown: Condvar,
    checkpoint: watch::Sender<Option<Checkpoint>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines were written.
    pub(crate) fn publish(&self, next: u64, unsigned: u64, (segment, len): (u64, u64)) {
        let mut state = self.lock();
        state.written = Written { next, unsigned, segment, len };
        state.failure = None;
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.grown.notify_all();
        }
    }

    /// Lines could not be written.
    pub(crate) fn set_failure(&self, why: &str) {
        self.lock().failure = Some(why.to_owned());
    }

    /// Something is wrong that writing on does not mend.
    pub(crate) fn set_alarm(&self, why: &str) {
        self.lock().alarm = Some(why.to_owned());
    }

    /// A checkpoint is on disk.
    pub(crate) fn set_checkpoint(&self, checkpoint: Checkpoint) {
        self.checkpoint.send_replace(Some(checkpoint));
    }

    /// Whether there is a key now.
    pub(crate) fn set_can_sign(&self, can_sign: bool) {
        self.lock().can_sign = can_sign;
    }

    /// Whether there is a key now.
    pub(crate) fn can_sign(&self) -> bool {
        self.lock().can_sign
    }

    /// The writer has ended.
    pub(crate) fn set_closed(&self) {
        self.lock().closed = true;
        self.checkpoint.send_modify(|_| {});
    }

    /// How far the trail is written.
    pub(crate) fn written(&self) -> Written {
        self.lock().written
    }

    /// Whether the last try to write failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// The last checkpoint that is on disk.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint.borrow().clone()
    }

    /// Waits until a checkpoint is on disk that covers the line; `None` when the writer ends first.
    pub(crate) async fn signed(&self, seq: u64) -> Option<Checkpoint> {
        let mut seen = self.checkpoint.subscribe();
        loop {
            let covering = seen.borrow_and_update().clone().filter(|checkpoint| checkpoint.size > seq);
            if covering.is_some() || self.lock().closed {
                return covering;
            }
            seen.changed().await.ok()?;
        }
    }

    /// How the trail does.
    pub(crate) fn health(&self) -> TrailHealth {
        let state = self.lock();
        TrailHealth {
            writable: state.failure.is_none() && !state.closed,
            entries: state.written.next,
            last_generation: self.checkpoint.borrow().as_ref().map_or(0, |checkpoint| checkpoint.generation),
            error: state.failure.clone().or_else(|| state.alarm.clone()),
        }
    }

    /// Wakes everybody who waits for lines, to look at something else.
    pub(crate) fn nudge(&self) {
        self.lock().nudges += 1;
        self.grown.notify_all();
    }

    /// Waits until a line with the number `next` is there, or somebody nudges (unless that was seen before), or for
    /// the span. How far the trail is written then.
    pub(crate) fn wait_for(&self, next: u64, seen: &mut u64, at_most: Duration) -> Written {
        let mut state = self.lock();
        state.waiting += 1;
        let idle = |state: &mut State| state.written.next <= next && state.nudges == *seen;
        let waited = self.grown.wait_timeout_while(state, at_most, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        let (nudges, written) = (state.nudges, state.written);
        drop(state);
        *seen = nudges;
        written
    }
}
