//! Storage that fails, at every single step.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strongroom_storage::StoreError;
use support::*;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

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

/// Who comes while a commit is under way is judged by what becomes of it.
#[tokio::test]
async fn what_waits_behind_a_commit_that_fails_does_not_count_on_it() {
    for (fault, made) in [
        (None, true),
        (Some(Fault::AppliedButUnknown), true),
        (Some(Fault::AppliedButFails), true),
        (Some(Fault::LostAndUnknown), false),
        (Some(Fault::LostAndFails), false),
        (Some(Fault::Full), false),
    ] {
        let (store, barrier) = fresh().await;
        let place = |name: &str| shelf("k").named(name);
        barrier.commit(put(&place("old"), "1")).await.unwrap();
        let gate = Arc::new(Semaphore::new(0));
        *store.gate.lock().unwrap() = Some(gate.clone());
        store.faults.lock().unwrap().extend(fault);
        // A namespace that has no key yet, and a tally that begins.
        let mut other = shelf("counted").counted();
        other.namespace = namespace(7);
        let mut tasks = JoinSet::new();
        for (name, txn) in [
            ("under way", put(&place("new"), "1").delete(place("old")).put(other.named("first"), b"1".to_vec())),
            ("if made", put(&place("if made"), "1").expect_present(place("new"))),
            ("if not", put(&place("if not"), "1").expect_present(place("old"))),
            ("over it", put(&place("new"), "2").put(other.named("second"), b"2".to_vec())),
        ] {
            let barrier = barrier.clone();
            tasks.spawn(async move { (name, barrier.commit(txn).await.is_ok()) });
            // Until it waits for the gate, or for the one that does.
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
        gate.add_permits(100);
        let answers: BTreeMap<_, _> = tasks.join_all().await.into_iter().collect();
        let expected = [("under way", made), ("if made", made), ("if not", !made), ("over it", true)];
        assert_eq!(answers, BTreeMap::from(expected), "{fault:?}");
        let expected = |there: bool| there.then(|| "1".to_owned());
        for (name, there) in [("if made", made), ("if not", !made), ("old", !made)] {
            assert_eq!(text(&barrier, &place(name)).await.unwrap(), expected(there), "{name} with {fault:?}");
        }
        assert_eq!(text(&barrier, &place("new")).await.unwrap().as_deref(), Some("2"), "{fault:?}");
        let count = barrier.count(&other).await.unwrap();
        assert!(barrier.is_whole(&other, count, if made { 2 } else { 1 }).await.unwrap(), "{fault:?}");
        assert_eq!(barrier.verify_all().await.unwrap(), [], "{fault:?}");
        let again = reopen(&store).await.unwrap();
        assert_eq!(text(&again, &place("new")).await.unwrap().as_deref(), Some("2"), "{fault:?}");
        assert_eq!(again.verify_all().await.unwrap(), [], "{fault:?}");
    }
}

/// Many who write while commits fail now and then: what was answered well is there once, what was refused is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_add_up_though_commits_fail_under_those_who_wait() {
    let faults =
        [Fault::Full, Fault::AppliedButUnknown, Fault::LostAndUnknown, Fault::AppliedButFails, Fault::LostAndFails];
    let (store, barrier) = fresh().await;
    store.slow.store(true, Ordering::Relaxed);
    let counter = |number: usize| shelf("counter").counted().named([b'0' + number as u8]);
    let mut tasks = JoinSet::new();
    for task in 0..12_usize {
        let (barrier, store) = (barrier.clone(), store.clone());
        tasks.spawn(async move {
            let mut refused = 0;
            for round in 0..40_usize {
                if round % 3 == 0 {
                    store.fault(faults[(task + round) % faults.len()]);
                }
                let at = counter((task + round) % 5);
                loop {
                    let found = barrier.get(&at).await.unwrap();
                    let count = found.as_ref().map_or(0, |record| record.bytes.expose()[0]);
                    let txn = match &found {
                        None => Txn::new().expect_absent(at.clone()),
                        Some(record) => Txn::new().expect(at.clone(), record.rev),
                    };
                    let own = shelf("own").named([task as u8, round as u8]);
                    let txn = txn.put(at.clone(), vec![count + 1]).expect_absent(own.clone());
                    match barrier.commit(txn.put(own, vec![7])).await {
                        Ok(_) => break,
                        Err(BarrierError::Conflict) => {}
                        Err(BarrierError::Store(_) | BarrierError::Unknown) => refused += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            refused
        });
    }
    let refused: usize = tasks.join_all().await.into_iter().sum();
    assert!(refused > 0, "no commit failed");
    let mut sum = 0;
    for number in 0..5 {
        sum += usize::from(barrier.get(&counter(number)).await.unwrap().unwrap().bytes.expose()[0]);
    }
    assert_eq!(sum, 12 * 40);
    assert_eq!(barrier.scan(&shelf("own"), None, 1_000).await.unwrap().len(), 12 * 40);
    assert_eq!(barrier.verify_all().await.unwrap(), []);
    assert_eq!(reopen(&store).await.unwrap().verify_all().await.unwrap(), []);
}
