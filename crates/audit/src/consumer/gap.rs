//! The times between reads, in a histogram that can be merged: four steps to each doubling, with their sums, so that a
//! period comes out more exactly than the steps are wide.

use crate::index::codec::{Taker, put};
use std::collections::BTreeMap;

/// Times between two reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps(BTreeMap<u8, (u64, u64)>);

/// A run of neighbouring steps that holds many of the gaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peak {
    /// How many gaps lie in it.
    pub(crate) count: u64,
    /// Of how many.
    pub(crate) all: u64,
    /// Their mean, in milliseconds.
    pub(crate) mean_ms: u64,
}

/// How many neighbouring steps make a peak: together they are a factor of 1.7 wide.
const WIDTH: u8 = 3;

impl Gaps {
    /// Adds one, in nanoseconds.
    pub(crate) fn add(&mut self, nanos: u64) {
        let ms = nanos / 1_000_000;
        let step = self.0.entry(step(ms)).or_default();
        step.0 += 1;
        step.1 = step.1.saturating_add(ms);
    }

    pub(crate) fn merge(&mut self, other: &Gaps) {
        for (step, (count, sum)) in &other.0 {
            let ours = self.0.entry(*step).or_default();
            ours.0 += count;
            ours.1 = ours.1.saturating_add(*sum);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    /// The neighbouring steps that hold the most.
    pub(crate) fn peak(&self) -> Option<Peak> {
        let all = self.len();
        let around = |from: u8| {
            let within = self.0.range(from..from.saturating_add(WIDTH));
            within.fold((0, 0_u64), |(count, sum), (_, (c, s))| (count + c, sum.saturating_add(*s)))
        };
        let (count, sum) = self.0.keys().map(|step| around(*step)).max_by_key(|(count, _)| *count)?;
        Some(Peak { count, all, mean_ms: sum / count.max(1) })
    }

    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        put(bytes, self.0.len() as u64);
        for (step, (count, sum)) in &self.0 {
            [u64::from(*step), *count, *sum].into_iter().for_each(|number| put(bytes, number));
        }
    }

    pub(crate) fn decode(taker: &mut Taker<'_>) -> Option<Self> {
        let mut gaps = Self::default();
        for _ in 0..taker.number()? {
            let step = u8::try_from(taker.number()?).ok()?;
            gaps.0.insert(step, (taker.number()?, taker.number()?));
        }
        Some(gaps)
    }
}

/// In whole numbers, so that every machine counts alike.
fn step(ms: u64) -> u8 {
    let Some(high) = ms.checked_ilog2() else { return 0 };
    let below = if high >= 2 { (ms >> (high - 2)) & 3 } else { (ms << (2 - high)) & 3 };
    (high * 4 + below as u32 + 1).min(255) as u8
}
