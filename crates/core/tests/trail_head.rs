//! Store and trail know of each other: neither can be removed or put back alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use strongroom_audit::{Entry, Place, Report, Trail, VerifyOptions, verify};
use strongroom_barrier::SystemEntropy;
use strongroom_core::{CoreError, Init, Plugins, Setup, Share, SlotSpec, Strongroom};
use strongroom_model::{Clock, Kind, Kinded as _, Timestamp};
use strongroom_storage::{Epoch, Sqlite};
use tempfile::TempDir;

/// A clock that goes on with each look, over all lives: trails that begin at the same moment are the same.
#[derive(Clone, Default)]
struct Ticking(Arc<AtomicU64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_219_200 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A server's folder over all its lives.
struct House {
    dir: TempDir,
    key: String,
    clock: Ticking,
}

impl House {
    /// Initialised, and unsealed once.
    async fn new() -> Self {
        let mut house = Self { dir: tempfile::tempdir().unwrap(), key: String::new(), clock: Ticking::default() };
        let (strongroom, trail) = house.start(false).await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        house.key = strongroom.init(init).await.unwrap().shares[0].to_hex();
        house.unseal(&strongroom).await.unwrap();
        be_busy(&trail).await;
        strongroom.close().await;
        house
    }

    async fn start(&self, accept_rollback: bool) -> (Arc<Strongroom>, Arc<Trail>) {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let trail = Trail::open(Place::Folder(self.trail()), Arc::clone(&clock)).await.unwrap();
        // As requests at the door leave them before the unsealing.
        trail.append(Entry::event("knocked", "", "")).await.unwrap();
        let setup = Setup {
            store: Arc::new(Sqlite::open(&self.database(), Arc::clone(&clock)).unwrap()),
            epoch: Epoch::default(),
            trail: Arc::clone(&trail),
            plugins: Arc::new(Plugins::new()),
            settings: Default::default(),
            clock,
            entropy: Arc::new(SystemEntropy),
            static_keys: Vec::new(),
            accept_rollback,
        };
        (Strongroom::start(setup).await.unwrap(), trail)
    }

    async fn unseal(&self, strongroom: &Strongroom) -> Result<(), CoreError> {
        strongroom.unseal(Share::parse(&self.key).unwrap()).await.map(|_| ())
    }

    /// A life in which something is stored and recorded.
    async fn live(&self, accept_rollback: bool) -> Result<(), CoreError> {
        let (strongroom, trail) = self.start(accept_rollback).await;
        let unsealed = self.unseal(&strongroom).await;
        if unsealed.is_ok() {
            strongroom.dev_root(None).await.unwrap();
            be_busy(&trail).await;
        }
        strongroom.close().await;
        unsealed
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("strongroom.db")
    }

    fn trail(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    fn segment(&self) -> PathBuf {
        self.trail().join("00000000000000000000.jsonl")
    }

    fn lines(&self) -> u64 {
        fs::read_to_string(self.segment()).unwrap().lines().count() as u64
    }

    fn check(&self) -> Report {
        verify(&self.trail(), &VerifyOptions::default()).unwrap()
    }
}

async fn be_busy(trail: &Trail) {
    for _ in 0..5 {
        trail.append(Entry::event("changed", "", "")).await.unwrap();
    }
}

fn copy(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap()
}

/// Deleting the trail also took away what knows the store's generation, so an old copy of the store opened.
#[tokio::test]
async fn an_old_store_does_not_open_with_the_trail_removed() {
    let house = House::new().await;
    let old = copy(&house.database());
    let known = house.lines();
    house.live(false).await.unwrap();
    fs::write(house.database(), old).unwrap();
    fs::remove_dir_all(house.trail()).unwrap();
    let error = house.live(false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Tampered);
    let text = error.to_string();
    assert!(text.contains("the audit trail has 2 lines") && text.contains("-accept-rollback"), "{text}");
    assert!(text.contains(&format!("remembers {} signed", known - 1)), "{text}");
}

#[tokio::test]
async fn a_trail_cut_behind_an_earlier_checkpoint_is_refused_until_it_is_accepted() {
    let house = House::new().await;
    let old = copy(&house.segment());
    house.live(false).await.unwrap();
    let longer = house.lines();
    fs::write(house.segment(), old).unwrap();
    let shorter = house.lines();
    assert!(matches!(house.live(false).await, Err(CoreError::TrailCut { found, .. }) if found == shorter + 1));
    house.live(true).await.unwrap();
    let report = house.check();
    assert_eq!(report.first_bad, None);
    let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
    assert!(note.what.contains(&format!("the {} lines", longer - 1)), "{note:?}");
    assert!(note.what.contains(&format!("of {} lines", shorter + 2)), "{note:?}");
    // What was accepted is what the store knows from now on.
    house.live(false).await.unwrap();
}

#[tokio::test]
async fn another_trail_is_refused_however_long_it_is() {
    let house = House::new().await;
    let long = house.lines();
    fs::remove_file(house.segment()).unwrap();
    let grown = Trail::open(Place::Folder(house.trail()), Arc::new(house.clock.clone())).await.unwrap();
    for _ in 0..long {
        grown.append(Entry::event("made_up", "", "")).await.unwrap();
    }
    grown.close().await;
    let error = house.live(false).await.unwrap_err();
    assert!(matches!(error, CoreError::TrailReplaced { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Tampered);
}

/// `audit verify` failed for good after a restored backup.
#[tokio::test]
async fn a_store_put_back_and_accepted_leaves_a_trail_that_verifies_with_a_note() {
    let house = House::new().await;
    let old = copy(&house.database());
    house.live(false).await.unwrap();
    fs::write(house.database(), old).unwrap();
    assert!(matches!(house.live(false).await, Err(CoreError::Barrier(_))));
    house.live(true).await.unwrap();
    let report = house.check();
    assert_eq!((report.first_bad, report.unsigned_tail), (None, 0));
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].what.contains("went back from generation"), "{:?}", report.notes);
    house.live(false).await.unwrap();
    assert_eq!(house.check().notes.len(), 1, "what needs no accepting is not noted");
}

#[tokio::test]
async fn a_crash_right_after_unsealing_leaves_the_store_knowing_the_trail() {
    let house = House::new().await;
    let known = house.lines() - 3;
    let (strongroom, trail) = house.start(false).await;
    house.unseal(&strongroom).await.unwrap();
    let (store, lines) = (copy(&house.database()), copy(&house.segment()));
    let (wal, shm) = (house.database().with_extension("db-wal"), house.database().with_extension("db-shm"));
    let wal_bytes = wal.exists().then(|| copy(&wal));
    strongroom.close().await;
    drop((strongroom, trail));
    // As the files stood at the crash; but the trail as it stood before the unsealing.
    fs::write(house.database(), store).unwrap();
    let _ = fs::remove_file(shm);
    if let Some(bytes) = wal_bytes {
        fs::write(wal, bytes).unwrap();
    }
    let cut: Vec<u8> = lines.split_inclusive(|byte| *byte == b'\n').take(known as usize).flatten().copied().collect();
    fs::write(house.segment(), cut).unwrap();
    let error = house.live(false).await.unwrap_err();
    assert!(matches!(error, CoreError::TrailCut { found, .. } if found == known + 1), "{error}");
}

#[tokio::test]
async fn a_trail_edited_while_no_server_ran_is_refused_and_what_the_store_remembers_stays() {
    let house = House::new().await;
    let old = copy(&house.segment());
    for _ in 0..2 {
        house.live(false).await.unwrap();
    }
    let whole = copy(&house.segment());
    let edited = String::from_utf8(whole.clone()).unwrap().replacen("\"changed\"", "\"chanced\"", 1);
    fs::write(house.segment(), edited).unwrap();
    for _ in 0..2 {
        let opened = Trail::open(Place::Folder(house.trail()), Arc::new(house.clock.clone())).await;
        assert!(opened.is_err_and(|error| error.kind() == Kind::Tampered));
    }
    fs::write(house.segment(), old).unwrap();
    assert!(matches!(house.live(false).await, Err(CoreError::TrailCut { .. })));
    fs::write(house.segment(), whole).unwrap();
    house.live(false).await.unwrap();
}
