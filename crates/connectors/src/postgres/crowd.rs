//! Callers who want the same done to different names at the same moment, so that one message does it for all of them: as
//! with commits, what each costs falls as they grow more. Who comes when nobody is at work begins at once, so nobody waits
//! for company.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

/// Names in one message; each takes a lock until it is done.
const MOST: usize = 64;
/// Messages at once. While one is under way, all who come gather for the next.
const AT_ONCE: usize = 1;

/// Those who wait.
pub(super) struct Crowd {
    waiting: Mutex<Vec<Waiter>>,
    numbers: AtomicU64,
    leaders: Semaphore,
}

struct Waiter {
    number: u64,
    name: String,
    tell: oneshot::Sender<()>,
}

/// What a caller has to do.
pub(super) enum Turn<'a> {
    /// Nothing: another did it.
    Done,
    /// It, for all of these.
    Lead(Group<'a>),
    /// It, for itself alone: it did not go well with the others.
    Alone,
}

/// Those for whom one acts. Dropped without [`Group::done`], each of them has to act alone.
pub(super) struct Group<'a> {
    waiters: Vec<Waiter>,
    _leader: Option<SemaphorePermit<'a>>,
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self { waiting: Mutex::default(), numbers: AtomicU64::new(0), leaders: Semaphore::new(AT_ONCE) }
    }

    /// Waits until another has acted for this name too, or it is its turn to act.
    pub(super) async fn turn(&self, name: &str) -> Turn<'_> {
        let (tell, mut told) = oneshot::channel();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.waiting().push(Waiter { number, name: name.to_owned(), tell });
        let told_of = |told: Result<(), _>| if told.is_ok() { Turn::Done } else { Turn::Alone };
        let leader = tokio::select! {
            biased;
            told = &mut told => return told_of(told),
            leader = self.leaders.acquire() => leader,
        };
        match self.gather(number) {
            Some(waiters) => Turn::Lead(Group { waiters, _leader: leader.ok() }),
            // Another took this name along just now.
            None => {
                drop(leader);
                told_of(told.await)
            }
        }
    }

    /// Takes this one and others out of the waiting; `None` when it was taken already.
    fn gather(&self, number: u64) -> Option<Vec<Waiter>> {
        let mut waiting = self.waiting();
        waiting.retain(|waiter| !waiter.tell.is_closed());
        let at = waiting.iter().position(|waiter| waiter.number == number)?;
        waiting.swap(0, at);
        let most = waiting.len().min(MOST);
        Some(waiting.drain(..most).collect())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group<'_> {
    /// For whom, each once.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.waiters.iter().map(|waiter| waiter.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Tells all that it is done.
    pub(super) fn done(self) {
        for waiter in self.waiters {
            let _ = waiter.tell.send(());
        }
    }
}
