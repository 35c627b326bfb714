//! A store whose log was cut at any frame, as a power cut may leave it: it opens with the state of a commit, whole, however
//! much of the journal had been moved to its places by then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Changes, Committed, Entry, Epoch, IdemToken, Op, Revision, Sqlite, Store, Txn};

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

fn open(path: &Path, journal: usize) -> Sqlite {
    Sqlite::open_with_journal(path, Arc::new(StoppedClock), journal).unwrap()
}

/// The same numbers for the same seed (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

type Contents = BTreeMap<Vec<u8>, (Vec<u8>, Revision)>;

fn contents(entries: Vec<Entry>) -> Contents {
    entries.into_iter().map(|entry| (entry.key, (entry.value, entry.rev))).collect()
}

/// What the store held after each commit, with the commit that had replaced everything before it.
struct History {
    now: Contents,
    replaced: Revision,
    states: BTreeMap<Revision, (Contents, Revision)>,
    tokens: Vec<(IdemToken, Revision)>,
}

impl History {
    fn new() -> Self {
        let states = BTreeMap::from([(Revision(0), (Contents::new(), Revision(0)))]);
        Self { now: Contents::new(), replaced: Revision(0), states, tokens: Vec::new() }
    }

    /// Up to three keys of thirty are written or deleted.
    async fn commit(&mut self, store: &Sqlite, random: &mut Random) {
        let mut changes = BTreeMap::new();
        for _ in 0..random.below(4) {
            let key = format!("k{}", random.below(30)).into_bytes();
            let value = vec![random.below(250) as u8; random.below(300) as usize];
            changes.insert(key, (random.below(10) >= 3).then_some(value));
        }
        let op = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| match value.clone() {
            Some(value) => Op::Put { key: key.clone(), value },
            None => Op::Delete { key: key.clone() },
        };
        let idem = IdemToken((self.tokens.len() as u128).to_be_bytes());
        let txn = Txn { compares: Vec::new(), ops: changes.iter().map(op).collect(), idem };
        let Committed::At(rev) = store.commit(Epoch(0), txn).await.unwrap() else { panic!("it was refused") };
        for (key, value) in changes {
            match value {
                Some(value) => self.now.insert(key, (value, rev)),
                None => self.now.remove(&key),
            };
        }
        self.tokens.push((idem, rev));
        self.states.insert(rev, (self.now.clone(), self.replaced));
    }

    async fn replace(&mut self, store: &Sqlite) {
        let rows: Vec<_> = (10..30_u8).map(|n| (format!("k{n}").into_bytes(), vec![n; 40])).collect();
        let ended = store.replace(Epoch(0), Box::new(rows.clone().into_iter().map(Ok))).await.unwrap();
        let Committed::At(rev) = ended else { panic!("it was refused") };
        self.now = rows.into_iter().map(|(key, value)| (key, (value, rev))).collect();
        self.replaced = rev;
        self.states.insert(rev, (self.now.clone(), rev));
    }

    /// That the store is as it was after one of the commits, by every way of asking; which one.
    async fn knows(&self, store: &Sqlite) -> Revision {
        store.integrity_check().unwrap();
        let rev = store.current_rev().await.unwrap();
        let (expected, replaced) = &self.states[&rev];
        assert_eq!(&contents(store.list(b"", None, usize::MAX).await.unwrap()), expected);
        let (mut view, mut seen) = (store.view().await.unwrap(), Vec::new());
        while let Some(portion) = Some(view.portion(700).unwrap()).filter(|portion| !portion.is_empty()) {
            seen.extend(portion);
        }
        assert_eq!(&contents(seen), expected);
        for key in (0..30).map(|n| format!("k{n}").into_bytes()) {
            let found = store.get(&key).await.unwrap().map(|entry| (entry.value, entry.rev));
            assert_eq!(found.as_ref(), expected.get(&key));
        }
        let Changes::Since(changes) = store.changes(*replaced, usize::MAX).await.unwrap() else { panic!("forgotten") };
        let told: Vec<_> = changes.iter().map(|change| change.rev.0).collect();
        assert_eq!(told, (replaced.0 + 1..=rev.0).collect::<Vec<_>>());
        for (idem, made_at) in &self.tokens {
            let is_known = *made_at <= rev && made_at > replaced;
            assert_eq!(
                store.outcome(*idem).await.unwrap() == Committed::At(*made_at),
                is_known,
                "{made_at:?} at {rev:?}"
            );
        }
        rev
    }
}

/// SQLite's log begins with 32 bytes, and each page has 24 before it ("Database File Format", 4).
const HEADER: usize = 32;
const FRAME: usize = 24 + 8_192;

#[tokio::test]
async fn a_log_that_was_cut_anywhere_gives_the_state_of_a_commit() {
    for (journal, seed) in [(0, 1), (300, 2), (3_000, 3), (20_000, 4), (8 << 20, 5)] {
        let (folder, mut random, mut history) = (tempfile::tempdir().unwrap(), Random(seed), History::new());
        let path = folder.path().join("store.db");
        let store = open(&path, journal);
        for number in 0..250 {
            if number == 150 {
                history.replace(&store).await;
            }
            history.commit(&store, &mut random).await;
        }
        let (log, file) = (fs::read(folder.path().join("store.db-wal")).unwrap(), fs::read(&path).unwrap());
        let frames = (log.len() - HEADER) / FRAME;
        let mut seen = BTreeSet::new();
        for cut in (0..=frames).step_by((frames / 60).max(1)) {
            let copy = tempfile::tempdir().unwrap();
            let path = copy.path().join("store.db");
            fs::write(&path, &file).unwrap();
            fs::write(copy.path().join("store.db-wal"), &log[..HEADER + cut * FRAME]).unwrap();
            let store = open(&path, journal);
            seen.insert(history.knows(&store).await);
            // It closes, and opens with another journal, as what it was.
            store.close().unwrap();
            let store = open(&path, 8 << 20);
            assert!(seen.contains(&history.knows(&store).await));
        }
        assert!(seen.len() > 20, "only {} states were met", seen.len());
        assert_eq!(history.knows(&store).await, *history.states.keys().max().unwrap());
    }
}
