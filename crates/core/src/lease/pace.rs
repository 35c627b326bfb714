//! Lets leases whose time is over, and for whose end nobody waits, step back while requests are served: a few at a time,
//! with pauses that grow with how long their commits take. The further behind they are the less they step back, and past
//! a bound not at all. What somebody ordered to end is never held up here.
//!
//! Lanes take turns, so that one with many leases holds up none with few.
//!
//! Knows no lease, and a lane by a number only; counts requests and hands out turns. Goes by real time, since it is about processors.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Leases that may go together. Their commit is one piece of work, for which a request may have to wait.
const TOGETHER: u32 = 4;
/// How many times longer the pause is than the commit before it.
const REST: u32 = 8;
/// The pause between two groups, at least and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// How long a lane whose turn it is may leave it before the next one gets it.
const LATE: Duration = Duration::from_millis(5);
/// With every so much that they are behind, the pause is halved.
const HALVED_EVERY: Duration = Duration::from_secs(60);
/// So far behind they go at full speed, whatever else is served.
const LATEST: Duration = Duration::from_secs(300);

/// How long requests are counted before their number says something.
const WINDOW: Duration = Duration::from_millis(50);
/// Requests in it that make the server count as busy; one caller who asks again and again does not.
const BUSY: u64 = 2;

/// Whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// Ask again then.
    At(Instant),
}

pub(super) struct Pace {
    visits: AtomicU64,
    state: Mutex<State>,
}

struct State {
    seen: Option<Seen>,
    busy: bool,
    /// What is left of the group that goes now, and whose it is.
    left: u32,
    holder: usize,
    /// Lanes that wait, those first that wait longest.
    waiting: VecDeque<usize>,
    next: Option<Instant>,
    /// How long commits take, smoothed.
    commit: Duration,
}

/// When requests were counted last, and how many there had been.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    visits: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        let state = State {
            seen: None,
            busy: false,
            left: 0,
            holder: 0,
            waiting: VecDeque::new(),
            next: None,
            commit: Duration::ZERO,
        };
        Self { visits: AtomicU64::new(0), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request.
    pub(super) fn visited(&self) {
        self.visits.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more of this lane may go, which is so far behind.
    pub(super) fn ask(&self, lane: usize, now: Instant, behind: Duration) -> Turn {
        let visits = self.visits.load(Ordering::Relaxed);
        let mut state = self.state();
        state.look(now, visits);
        if !state.busy || behind >= LATEST {
            return Turn::Now;
        }
        if state.left > 0 && state.holder == lane {
            state.left -= 1;
            return Turn::Now;
        }
        if let Some(at) = state.not_yet(lane, now) {
            if !state.waiting.contains(&lane) {
                state.waiting.push_back(lane);
            }
            return Turn::At(at);
        }
        state.waiting.retain(|other| *other != lane);
        (state.holder, state.left, state.next) = (lane, TOGETHER - 1, Some(now + state.pause(behind)));
        Turn::Now
    }

    /// Notes how long the commit of an end took.
    pub(super) fn took(&self, commit: Duration) {
        let mut state = self.state();
        state.commit = (state.commit * 7 + commit) / 8;
    }
}

impl State {
    /// Judges by the requests since the last look, if that was long enough ago.
    fn look(&mut self, now: Instant, visits: u64) {
        let seen = *self.seen.get_or_insert(Seen { at: now, visits });
        let span = now.duration_since(seen.at);
        if span >= WINDOW {
            let windows = u64::try_from(span.as_millis() / WINDOW.as_millis()).unwrap_or(u64::MAX);
            self.busy = visits.saturating_sub(seen.visits) >= windows.saturating_mul(BUSY);
            self.seen = Some(Seen { at: now, visits });
        }
    }

    /// When the lane may ask again for a group of its own; nothing when it may have one now.
    fn not_yet(&mut self, lane: usize, now: Instant) -> Option<Instant> {
        let next = self.next?;
        if now < next {
            return Some(next);
        }
        while now >= next + LATE && self.waiting.front().is_some_and(|first| *first != lane) {
            self.waiting.pop_front();
        }
        self.waiting.front().filter(|first| **first != lane).map(|_| next + LATE)
    }

    fn pause(&self, behind: Duration) -> Duration {
        let halvings = u32::try_from(behind.as_secs() / HALVED_EVERY.as_secs()).unwrap_or(u32::MAX).min(31);
        (self.commit * REST).clamp(PAUSES.0, PAUSES.1) / (1 << halvings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Test {
        pace: Pace,
        now: Instant,
    }

    impl Test {
        fn new() -> Self {
            Self { pace: Pace::new(), now: Instant::now() }
        }

        /// Asks ten times in each millisecond of that span, beside so many requests; says how many went.
        fn go(&mut self, span: Duration, behind: Duration, visits: u64) -> usize {
            let mut gone = 0;
            for _ in 0..span.as_millis() {
                self.now += Duration::from_millis(1);
                (0..visits).for_each(|_| self.pace.visited());
                gone += (0..10).filter(|_| self.pace.ask(1, self.now, behind) == Turn::Now).count();
            }
            gone
        }
    }

    #[test]
    fn what_expired_goes_at_full_speed_while_nobody_asks_for_anything() {
        assert_eq!(Test::new().go(SECOND, Duration::ZERO, 0), 10_000);
    }

    #[test]
    fn what_expired_steps_back_while_requests_are_served_and_less_the_further_it_is_behind() {
        let mut test = Test::new();
        test.go(WINDOW * 2, Duration::ZERO, 1);
        let at_first = test.go(SECOND, Duration::ZERO, 1);
        assert!((300..=420).contains(&at_first), "{at_first}");
        let later = test.go(SECOND, HALVED_EVERY * 2, 1);
        assert!(later > 2 * at_first, "{later}");
        assert_eq!(test.go(SECOND, LATEST, 1), 10_000);
    }

    #[test]
    fn slow_commits_make_it_slower_within_bounds_until_the_requests_stop() {
        let mut test = Test::new();
        test.go(WINDOW * 2, Duration::ZERO, 1);
        (0..64).for_each(|_| test.pace.took(SECOND * 9));
        let slowly = test.go(SECOND, Duration::ZERO, 1);
        assert!((8..=24).contains(&slowly), "{slowly}");
        test.go(WINDOW * 2, Duration::ZERO, 0);
        assert_eq!(test.go(SECOND, Duration::ZERO, 0), 10_000);
    }

    #[test]
    fn a_lane_with_many_leases_takes_turns_with_one_that_comes_after_it_and_waits_for_none_that_is_gone() {
        let mut test = Test::new();
        test.go(WINDOW * 2, Duration::ZERO, 1);
        let mut gone = [0; 4];
        for at in 0..3_000 {
            test.now += Duration::from_millis(1);
            test.pace.visited();
            // The third asks no more after a second; the first is always the first to ask.
            let lanes = if at < 1_000 { 1..4 } else { 1..3 };
            for lane in lanes {
                gone[lane] += (0..10).filter(|_| test.pace.ask(lane, test.now, Duration::ZERO) == Turn::Now).count();
            }
        }
        assert!(gone[1].abs_diff(gone[2]) < 50 && gone[3] > 80, "{gone:?}");
        assert!(gone.iter().sum::<usize>() > 700, "{gone:?}");
    }
}
