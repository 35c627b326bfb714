//! Random transactions against a plain map: after each one the engine and the map must tell the same.

use crate::bench::{Bench, block_on};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeMap;
use strongroom_storage::{Change, Changes, Committed, Compare, Entry, Epoch, Expectation, Op, Revision};

/// Few, so that transactions meet; with the bytes at which orders go wrong.
const KEYS: [&[u8]; 12] =
    [b"\0", b"a", b"a\0", b"a\0\0", b"a/", b"a/b", b"a/b/c", b"a0", b"b", &[0xFE, 0xFF], &[0xFF], &[0xFF, 0xFF]];

#[derive(Clone, Debug)]
enum Expected {
    Absent,
    Present,
    /// The revision that the map has for the key, plus this.
    RevOff(u64),
}

#[derive(Clone, Debug)]
struct Step {
    compares: Vec<(&'static [u8], Expected)>,
    ops: BTreeMap<&'static [u8], Option<Vec<u8>>>,
    list: (&'static [u8], usize, Option<&'static [u8]>, usize),
    since: Index,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || select(&KEYS[..]);
    // Mostly the revision that is there, so that many transactions do happen.
    let expected = prop_oneof![
        1 => Just(Expected::Absent),
        2 => Just(Expected::Present),
        3 => Just(Expected::RevOff(0)),
        1 => Just(Expected::RevOff(1)),
    ];
    let value =
        prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..40), 1 => (0usize..20_000).prop_map(|n| vec![9; n])];
    let ops = prop::collection::btree_map(key(), prop::option::weighted(0.7, value), 0..6);
    let compares = prop::collection::vec((key(), expected), 0..3);
    let list = (key(), 0usize..3, prop::option::of(key()), 0usize..14);
    (compares, ops, list, any::<Index>()).prop_map(|(compares, ops, list, since)| Step { compares, ops, list, since })
}

#[derive(Default)]
struct Model {
    map: BTreeMap<Vec<u8>, (Vec<u8>, Revision)>,
    history: Vec<Change>,
}

impl Model {
    fn rev(&self) -> Revision {
        Revision(self.history.len() as u64)
    }

    fn compare(&self, key: &[u8], expected: &Expected) -> (Compare, bool) {
        let found = self.map.get(key).map(|(_, rev)| *rev);
        let (expect, holds) = match expected {
            Expected::Absent => (Expectation::Absent, found.is_none()),
            Expected::Present => (Expectation::Present, found.is_some()),
            Expected::RevOff(off) => {
                let rev = Revision(found.unwrap_or_default().0 + off);
                (Expectation::RevIs(rev), found == Some(rev))
            }
        };
        (Compare { key: key.to_vec(), expect }, holds)
    }

    fn apply(&mut self, ops: &BTreeMap<&'static [u8], Option<Vec<u8>>>) -> Revision {
        let rev = Revision(self.rev().0 + 1);
        for (key, value) in ops {
            match value {
                Some(value) => drop(self.map.insert(key.to_vec(), (value.clone(), rev))),
                None => drop(self.map.remove(*key)),
            }
        }
        self.history.push(Change { rev, keys: ops.keys().map(|key| key.to_vec()).collect() });
        rev
    }

    fn entry(&self, key: &[u8]) -> Option<Entry> {
        self.map.get(key).map(|(value, rev)| Entry { key: key.to_vec(), value: value.clone(), rev: *rev })
    }

    fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<Entry> {
        let keys = self.map.keys().filter(|key| key.starts_with(prefix));
        let keys = keys.filter(|key| after.is_none_or(|after| key.as_slice() > after));
        keys.take(limit).filter_map(|key| self.entry(key)).collect()
    }
}

async fn take(bench: &Bench, model: &mut Model, step: &Step) {
    let compared: Vec<_> = step.compares.iter().map(|(key, expected)| model.compare(key, expected)).collect();
    let unmet: Vec<_> = compared.iter().filter(|(_, holds)| !holds).map(|(compare, _)| compare.key.clone()).collect();
    let ops = step.ops.iter().map(|(key, value)| match value {
        Some(value) => Op::Put { key: key.to_vec(), value: value.clone() },
        None => Op::Delete { key: key.to_vec() },
    });
    let txn = bench.txn(compared.into_iter().map(|(compare, _)| compare).collect(), ops.collect());
    let token = txn.idem;
    let expected = if unmet.is_empty() { Committed::At(model.apply(&step.ops)) } else { Committed::Conflict(unmet) };
    assert_eq!(bench.store.commit(Epoch(0), txn).await.unwrap(), expected);

    let remembered = match expected {
        Committed::Conflict(_) => Committed::Conflict(Vec::new()),
        at => at,
    };
    assert_eq!(bench.store.outcome(token).await.unwrap(), remembered);
    assert_eq!(bench.store.current_rev().await.unwrap(), model.rev());
    for key in KEYS {
        assert_eq!(bench.store.get(key).await.unwrap(), model.entry(key));
    }
    let (key, cut, after, limit) = step.list;
    let prefix = &key[..cut.min(key.len())];
    assert_eq!(bench.store.list(prefix, after, limit).await.unwrap(), model.list(prefix, after, limit));
    let since = step.since.index(model.history.len() + 1);
    let changes = Changes::Since(model.history[since..].to_vec());
    assert_eq!(bench.store.changes(Revision(since as u64), usize::MAX).await.unwrap(), changes);
}

pub(crate) fn walk_beside_a_map(open: impl Fn() -> Bench) {
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        let (bench, mut model) = (open(), Model::default());
        block_on(async {
            for step in &steps {
                take(&bench, &mut model, step).await;
            }
        });
    });
}
