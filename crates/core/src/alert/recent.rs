use ahash::AHashMap;
use std::collections::VecDeque;
use std::time::Duration;
use strongroom_model::Timestamp;

/// A memory of so many things; the oldest is forgotten for a new one.
pub(super) struct Recent<T> {
    most: usize,
    things: AHashMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Recent<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, things: AHashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.things.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.things.get_mut(key)
    }

    /// Gives it out; its place in the order of forgetting stays.
    pub(super) fn take(&mut self, key: &str) -> Option<T>
    where
        T: Default,
    {
        self.things.get_mut(key).map(std::mem::take)
    }

    pub(super) fn put(&mut self, key: &str, thing: T) {
        if let Some(known) = self.things.get_mut(key) {
            *known = thing;
        } else {
            self.things.insert(key.to_owned(), thing);
            self.order.push_back(key.to_owned());
            if self.order.len() > self.most {
                let oldest = self.order.pop_front();
                oldest.map(|oldest| self.things.remove(&oldest));
            }
        }
    }
}

/// When something happened lately.
#[derive(Default)]
pub(super) struct Window(VecDeque<Timestamp>);

impl Window {
    /// Adds one and says how many there are within the span; no more than `most` are kept.
    pub(super) fn add(&mut self, at: Timestamp, within: Duration, most: usize) -> usize {
        self.0.push_back(at);
        while self.0.len() > most || self.0.front().is_some_and(|first| at.since(*first) > within) {
            self.0.pop_front();
        }
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::new(2);
        for key in ["a", "b", "a", "c"] {
            recent.put(key, 1);
        }
        assert!(recent.get("a").is_none() && recent.get("b").is_some() && recent.get("c").is_some());
        let mut window = Window::default();
        let add = |window: &mut Window, secs| window.add(Timestamp::from_secs(secs), Duration::from_secs(60), 3);
        assert_eq!([1, 2, 3, 4, 100].map(|secs| add(&mut window, secs)), [1, 2, 3, 3, 1]);
    }
}
