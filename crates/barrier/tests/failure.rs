//! Storage that fails, at every single step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use strongroom_storage::StoreError;
use support::*;

async fn fresh() -> (Arc<Testing>, Arc<Barrier>) {
    let store = Arc::new(Testing::default());
    let barrier = init(&store).await.barrier;
    (store, barrier)
}

/// The moment after any operation of the store may be the last. What was acknowledged is there, a transaction is there
/// wholly or not at all, and nothing looks tampered with.
#[tokio::test]
async fn a_crash_between_any_two_operations_leaves_a_sound_store() {
    let mut lives = 0;
    loop {
        let store = Arc::new(Testing::default());
        store.lives.store(lives, Ordering::SeqCst);
        let (acknowledged, finished) = work(&store).await;
        store.lives.store(usize::MAX, Ordering::SeqCst);
        match try_door(&store).await.unwrap() {
            Door::Uninitialised(_) => assert_eq!(acknowledged, 0, "after {lives} operations"),
            Door::Sealed(sealed) => {
                let barrier = sealed.open_static(&key_file()).await.unwrap();
                check(&barrier, acknowledged, lives).await;
            }
        }
        if finished {
            let middles = rows(&store.inner).await.into_iter().filter(|row| row.key[0] == 4).count();
            assert!(middles > 10, "{middles}");
            break;
        }
        lives += 1;
    }
    assert!(lives > 200, "{lives}");
}

/// Enough that middles are written too.
const ROUNDS: u8 = 120;

fn places(round: u8) -> (Address, Address) {
    let shelf = Shelf::new("k", namespace(round % 4));
    (shelf.named([round % 8]), shelf.ordered(u64::from(round), "n"))
}

/// Writes pairs until the store dies; how many were acknowledged, and whether all were.
async fn work(store: &Arc<Testing>) -> (u8, bool) {
    let Ok(Door::Uninitialised(fresh)) = try_door(store).await else { return (0, false) };
    let Ok(outcome) = fresh.init(Init { slots: vec![SlotSpec::Static { key: key_file() }] }, STARTED).await else {
        return (0, false);
    };
    for round in 0..ROUNDS {
        let (one, other) = places(round);
        let txn = put(&one, &round.to_string()).put(other, vec![round]);
        let txn = (0..6).fold(txn, |txn, n| txn.put(shelf("filler").named([round, n]), vec![0]));
        if outcome.barrier.commit(txn).await.is_err() {
            return (round, false);
        }
    }
    (ROUNDS, true)
}

async fn check(barrier: &Barrier, acknowledged: u8, lives: usize) {
    assert_eq!(barrier.verify_all().await.unwrap(), [], "after {lives} operations");
    let mut last: [Option<String>; 8] = Default::default();
    for round in 0..ROUNDS {
        let (_, other) = places(round);
        let there = barrier.get(&other).await.unwrap().is_some();
        assert!(there || round >= acknowledged, "round {round} was acknowledged, and is lost after {lives} operations");
        assert!(!there || round <= acknowledged, "round {round} was never tried");
        if there {
            last[usize::from(round % 8)] = Some(round.to_string());
        }
    }
    for round in 0..8 {
        assert_eq!(
            text(barrier, &places(round).0).await.unwrap(),
            last[usize::from(round)],
            "torn after {lives} operations"
        );
    }
    barrier.commit(put(&shelf("k").named("after"), "x")).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_writing_resumes() {
    let (store, barrier) = fresh().await;
    let at = shelf("k").named("a");
    store.fault(Fault::Full);
    assert!(matches!(barrier.commit(put(&at, "1")).await, Err(BarrierError::Store(StoreError::Full))));
    assert!(barrier.get(&at).await.unwrap().is_none());
    assert!(barrier.health().writable);
    barrier.commit(put(&at, "2")).await.unwrap();
    assert_eq!(text(&barrier, &at).await.unwrap().as_deref(), Some("2"));
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

#[tokio::test]
async fn a_stopped_store_takes_no_more_and_reading_goes_on() {
    let (store, barrier) = fresh().await;
    let at = shelf("k").named("a");
    barrier.commit(put(&at, "1")).await.unwrap();
    store.fault(Fault::Stopped);
    for _ in 0..3 {
        assert!(matches!(barrier.commit(put(&at, "2")).await, Err(BarrierError::Store(StoreError::Stopped { .. }))));
    }
    assert!(!barrier.health().writable);
    assert_eq!(text(&barrier, &at).await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_commit_whose_answer_got_lost_is_asked_after() {
    for (fault, made) in [
        (Fault::AppliedButUnknown, true),
        (Fault::AppliedButFails, true),
        (Fault::LostAndUnknown, false),
        (Fault::LostAndFails, false),
    ] {
        let (store, barrier) = fresh().await;
        let at = shelf("k").named("a");
        barrier.commit(put(&at, "1")).await.unwrap();
        store.fault(fault);
        assert_eq!(barrier.commit(put(&at, "2")).await.is_ok(), made, "{fault:?}");
        assert_eq!(text(&barrier, &at).await.unwrap().as_deref(), Some(if made { "2" } else { "1" }), "{fault:?}");
        barrier.commit(put(&at, "3")).await.unwrap();
        assert_eq!(barrier.verify_all().await.unwrap(), [], "{fault:?}");
    }
}

#[tokio::test]
async fn while_nobody_knows_readers_are_not_told_of_tampering() {
    for (fault, value) in [(Fault::AppliedButUnknown, "2"), (Fault::LostAndUnknown, "1")] {
        let (store, barrier) = fresh().await;
        let at = shelf("k").named("a");
        barrier.commit(put(&at, "1")).await.unwrap();
        store.fault(fault);
        store.mute.store(true, Ordering::SeqCst);
        assert!(matches!(barrier.commit(put(&at, "2")).await, Err(BarrierError::Unknown)), "{fault:?}");
        match text(&barrier, &at).await {
            Err(BarrierError::Unknown) => assert_eq!(fault, Fault::AppliedButUnknown),
            Ok(found) => assert_eq!((fault, found.as_deref()), (Fault::LostAndUnknown, Some("1"))),
            Err(other) => panic!("{other}"),
        }
        assert!(matches!(barrier.commit(put(&at, "x")).await, Err(BarrierError::Unknown)), "{fault:?}");
        store.mute.store(false, Ordering::SeqCst);
        assert_eq!(text(&barrier, &at).await.unwrap().as_deref(), Some(value), "{fault:?}");
        barrier.commit(put(&at, "3")).await.unwrap();
        assert_eq!(barrier.verify_all().await.unwrap(), []);
    }
}
