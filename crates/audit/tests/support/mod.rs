//! What the tests of the trail share: a clock turned by hand, a key, a folder, an entry.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_audit::{Entry, EntryKind, Outcome, Place, Seal, Trail};
use strongroom_model::{Clock, RequestId, Timestamp};
use tempfile::TempDir;

pub struct ManualClock(AtomicU64);

impl ManualClock {
    pub fn at(secs: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(secs)))
    }

    pub fn set(&self, secs: u64) {
        self.0.store(secs, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }
}

pub struct Key {
    pair: Ed25519KeyPair,
    generation: u64,
}

impl Key {
    pub fn new(seed: u8, generation: u64) -> Arc<Self> {
        Arc::new(Self { pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), generation })
    }
}

impl Seal for Key {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }

    fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap()
    }

    fn generation(&self) -> u64 {
        self.generation
    }
}

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder in memory where there is such a thing: for tests that write ten thousand times and want no disk.
pub fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

pub async fn open(dir: &TempDir) -> Arc<Trail> {
    Trail::open(Place::Folder(dir.path().join("trail")), ManualClock::at(1)).await.unwrap()
}

pub fn entry(operation: &'static str, path: &str) -> Entry {
    let mut entry = Entry::new(EntryKind::Outcome, RequestId::from_bytes([7; 16]), "vault", operation, path);
    entry.outcome = Some(Outcome::ok());
    entry
}

pub fn segments(dir: &TempDir) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.path().join("trail"))
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    found.sort();
    found
}

pub fn lines(dir: &TempDir) -> Vec<Value> {
    let text: String = segments(dir).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for something that another thread brings about; fails when it does not come.
pub async fn until(what: &str, mut come: impl FnMut() -> bool) {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !come() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        ticks.tick().await;
    }
}
