use super::note::{Event, Note};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strongroom_model::{Clock, Entropy};
use tokio::sync::watch;

/// Events that are kept for who reads a little later.
const MOST: usize = 16_384;
/// Bytes that they may take.
const MOST_BYTES: usize = 16 << 20;

/// Where events are told and read. One per unsealing; numbers of another one mean nothing here, and that is noticed by
/// the name in front of them.
pub(crate) struct Hub {
    name: String,
    ring: Mutex<Ring>,
    /// The number behind the last event.
    end: watch::Sender<u64>,
    closed: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The number of the first event that is kept.
    first: u64,
    bytes: usize,
}

/// What came after a place.
pub(super) enum Later {
    /// These events, and the place behind them.
    Events(Vec<Arc<Event>>, u64),
    /// More than is kept; where to go on.
    Missed(u64),
}

impl Hub {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        let name = hex::encode(entropy.array::<4>());
        let (end, closed) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { name, ring: Mutex::default(), end, closed, clock }
    }

    /// Tells everybody. Never waits.
    pub(crate) fn tell(&self, note: Note) {
        self.tell_all(vec![note]);
    }

    /// Tells everybody of several things at once.
    pub(crate) fn tell_all(&self, notes: Vec<Note>) {
        if notes.is_empty() {
            return;
        }
        let time = self.clock.now();
        let end = {
            let mut ring = self.locked();
            for note in notes {
                let id = self.place(ring.end() + 1);
                ring.push(Event { id, time, note });
            }
            ring.end()
        };
        // Two tellers may come here in the other order.
        self.end.send_if_modified(|known| {
            let is_later = end > *known;
            *known = end.max(*known);
            is_later
        });
    }

    /// The place behind everything told so far.
    pub(super) fn now(&self) -> u64 {
        self.locked().end()
    }

    /// At most `most` events after a place.
    pub(super) fn after(&self, place: u64, most: usize) -> Later {
        let ring = self.locked();
        let (first, end) = (ring.first, ring.end());
        if place < first || place > end {
            return Later::Missed(end);
        }
        let skip = usize::try_from(place - first).unwrap_or(usize::MAX);
        let events: Vec<_> = ring.events.iter().skip(skip).take(most).cloned().collect();
        let next = place + events.len() as u64;
        Later::Events(events, next)
    }

    /// The place as readers name it.
    pub(super) fn place(&self, number: u64) -> String {
        format!("{}.{number}", self.name)
    }

    /// The place that a reader named; `None` when it is of another time.
    pub(super) fn number(&self, place: &str) -> Option<u64> {
        let (name, number) = place.split_once('.')?;
        (name == self.name).then(|| number.parse().ok()).flatten()
    }

    /// The oldest place that is kept.
    pub(super) fn oldest(&self) -> u64 {
        self.locked().first
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Ends all waiting.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    fn locked(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn push(&mut self, event: Event) {
        self.bytes += event.note.weight();
        self.events.push_back(Arc::new(event));
        while self.events.len() > MOST || self.bytes > MOST_BYTES {
            let Some(gone) = self.events.pop_front() else { return };
            self.bytes -= gone.note.weight();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use strongroom_barrier::SystemEntropy;
    use strongroom_model::Timestamp;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(7)
        }
    }

    fn paths(later: Later) -> (Vec<String>, u64) {
        match later {
            Later::Events(events, next) => (events.iter().map(|event| event.path().to_owned()).collect(), next),
            Later::Missed(end) => (vec!["missed".to_owned()], end),
        }
    }

    #[test]
    fn what_is_no_longer_kept_is_said_to_be_missed() {
        let hub = Hub::new(Arc::new(Still), &SystemEntropy);
        for n in 0..MOST + 3 {
            hub.tell(Note::new(EventKind::SecretWritten, format!("secret/data/{n}")));
        }
        let end = MOST as u64 + 3;
        assert_eq!((hub.oldest(), hub.now()), (3, end));
        assert_eq!(paths(hub.after(2, 10)), (vec!["missed".to_owned()], end));
        assert_eq!(paths(hub.after(3, 1)), (vec!["secret/data/3".to_owned()], 4));
        assert_eq!(paths(hub.after(end, 10)), (vec![], end));
        assert_eq!(paths(hub.after(end + 1, 10)).1, end, "a place that was never given");
        assert_eq!(hub.number(&hub.place(9)), Some(9));
        let other = Hub::new(Arc::new(Still), &SystemEntropy);
        assert_eq!(other.number(&hub.place(9)), None, "a place of another unsealing");
    }

    #[test]
    fn long_paths_do_not_let_it_grow_past_its_bytes() {
        let hub = Hub::new(Arc::new(Still), &SystemEntropy);
        for _ in 0..MOST {
            hub.tell(Note::new(EventKind::SecretWritten, "x".repeat(8_192)));
        }
        let ring = hub.locked();
        assert!(ring.bytes <= MOST_BYTES && ring.events.len() < MOST, "{} bytes", ring.bytes);
    }
}
