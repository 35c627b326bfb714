//! Counts what happens, for whoever watches the server: counters, gauges and timings by name and labels.
//!
//! Names are Vault's where a dashboard for Vault may look for them, and `strongroom_*` otherwise. Labels hold names of
//! mounts, operations and rules, never a path, a token or a value; so their number stays small. How the numbers are
//! written out is the doors' business.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use strongroom_model::Clock;

/// Upper bounds of the buckets of a timing, in microseconds; a last bucket takes the rest.
pub const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// Sets of labels under one name; more are counted together, under none.
const MOST_LABELS: usize = 1_024;

/// Label names and values, in the order in which they are written out.
pub type Labels = Vec<(&'static str, String)>;

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something happened and how long it took.
#[derive(Default)]
pub struct Timing {
    count: AtomicU64,
    sum_us: AtomicU64,
    buckets: [AtomicU64; BOUNDS_US.len()],
}

impl Timing {
    /// Notes one more.
    pub fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        if let Some(bucket) = BOUNDS_US.iter().position(|bound| us <= *bound).and_then(|at| self.buckets.get(at)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long all took together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }

    /// How many took at most each of [`BOUNDS_US`]; each number includes those before it.
    pub fn cumulated(&self) -> [u64; BOUNDS_US.len()] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        })
    }

    /// The time below which this share of all lay since the start, in microseconds: an estimate, even inside a bucket.
    /// `None` when nothing was noted.
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let rank = share * count as f64;
        let (mut below, mut lower) = (0_u64, 0_u64);
        for (bound, upto) in BOUNDS_US.into_iter().zip(self.cumulated()) {
            if upto as f64 >= rank && upto > below {
                let inside = (rank - below as f64) / (upto - below) as f64;
                return Some(lower as f64 + inside.max(0.0) * (bound - lower) as f64);
            }
            (below, lower) = (upto, bound);
        }
        (count > 0).then_some(lower as f64)
    }
}

/// A timing with the clock that it is taken by. Noting is a few atomic additions; still, nothing that a read does with what
/// memory holds is watched.
#[derive(Clone)]
pub(crate) struct Watch {
    timing: Arc<Timing>,
    clock: Arc<dyn Clock>,
}

impl Watch {
    /// Does something, and notes how long it took, however it ended. It is made here: given as it is, it would be held
    /// twice, once as what was given and once as what is waited for.
    pub(crate) async fn over<F: Future>(&self, act: impl FnOnce() -> F) -> F::Output {
        let began = self.clock.now();
        let done = act().await;
        self.timing.note(self.clock.now().since(began));
        done
    }
}

type Family<T> = BTreeMap<Labels, Arc<T>>;

/// All numbers of one server, sealed or open.
#[derive(Default)]
pub struct Metrics {
    counters: RwLock<BTreeMap<&'static str, Family<Counter>>>,
    timings: RwLock<BTreeMap<&'static str, Family<Timing>>>,
}

impl Metrics {
    /// The counter of that name and these labels; made when it is not there.
    pub fn counter(&self, name: &'static str, labels: Labels) -> Arc<Counter> {
        find(&self.counters, name, labels)
    }

    /// The timing of that name and these labels; made when it is not there.
    pub fn timing(&self, name: &'static str, labels: Labels) -> Arc<Timing> {
        find(&self.timings, name, labels)
    }

    /// The timing of that name without labels, to be taken by that clock.
    pub(crate) fn watch(&self, name: &'static str, clock: &Arc<dyn Clock>) -> Watch {
        Watch { timing: self.timing(name, Labels::new()), clock: Arc::clone(clock) }
    }

    /// The same under several names: what is one act here and several in Vault.
    pub(crate) fn watch_as(&self, name: &'static str, others: &[&'static str], clock: &Arc<dyn Clock>) -> Watch {
        let watch = self.watch(name, clock);
        others.iter().for_each(|other| self.also_name(&watch.timing, other));
        watch
    }

    /// Gives a timing without labels a second name, so that what has two names is noted once.
    pub fn also_name(&self, timing: &Arc<Timing>, name: &'static str) {
        let mut known = self.timings.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(name).or_default().insert(Labels::new(), Arc::clone(timing));
    }

    /// Every counter, by name and labels.
    pub fn counters(&self) -> Vec<(&'static str, Labels, u64)> {
        list(&self.counters).into_iter().map(|(name, labels, counter)| (name, labels, counter.value())).collect()
    }

    /// Every timing, by name and labels.
    pub fn timings(&self) -> Vec<(&'static str, Labels, Arc<Timing>)> {
        list(&self.timings)
    }
}

fn find<T: Default>(
    families: &RwLock<BTreeMap<&'static str, Family<T>>>,
    name: &'static str,
    labels: Labels,
) -> Arc<T> {
    let known = families.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(name).and_then(|family| family.get(&labels)) {
        return Arc::clone(found);
    }
    drop(known);
    let mut known = families.write().unwrap_or_else(PoisonError::into_inner);
    let family = known.entry(name).or_default();
    let labels = if family.len() >= MOST_LABELS && !family.contains_key(&labels) { Labels::new() } else { labels };
    Arc::clone(family.entry(labels).or_default())
}

fn list<T>(families: &RwLock<BTreeMap<&'static str, Family<T>>>) -> Vec<(&'static str, Labels, Arc<T>)> {
    let known = families.read().unwrap_or_else(PoisonError::into_inner);
    let all = known.iter().flat_map(|(name, family)| {
        family.iter().map(move |(labels, found)| (*name, labels.clone(), Arc::clone(found)))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_the_bucket_that_holds_them() {
        let timing = Timing::default();
        assert_eq!(timing.quantile_us(0.5), None);
        for _ in 0..90 {
            timing.note(Duration::from_micros(80));
        }
        for _ in 0..10 {
            timing.note(Duration::from_millis(40));
        }
        let (half, most) = (timing.quantile_us(0.5).unwrap(), timing.quantile_us(0.99).unwrap());
        assert!(half > 0.0 && half <= 100.0, "{half}");
        assert!(most > 25_000.0 && most <= 50_000.0, "{most}");
        assert_eq!((timing.count(), timing.sum_us()), (100, 90 * 80 + 10 * 40_000));
        timing.note(Duration::from_secs(60));
        assert_eq!(timing.cumulated().last(), Some(&100), "what is past the last bound is in none");
        assert_eq!(timing.quantile_us(1.0), Some(10_000_000.0));
    }

    #[test]
    fn the_same_name_and_labels_are_the_same_counter_and_labels_are_bounded() {
        let metrics = Metrics::default();
        metrics.counter("a", vec![("x", "1".to_owned())]).add(1);
        metrics.counter("a", vec![("x", "1".to_owned())]).add(1);
        assert_eq!(metrics.counters(), [("a", vec![("x", "1".to_owned())], 2)]);
        for n in 0..2 * MOST_LABELS {
            metrics.counter("a", vec![("x", n.to_string())]).add(1);
        }
        assert_eq!(metrics.counters().len(), MOST_LABELS + 1);
        assert_eq!(metrics.counters().iter().map(|(.., value)| value).sum::<u64>(), 2 * MOST_LABELS as u64 + 2);
    }
}
