//! New terms and new unseal keys: what they change, and that neither a crash nor a bystander is hurt.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use strongroom_storage::{Limits, Memory, Store};
use support::*;
use tokio::task::JoinSet;

const LATER: Timestamp = Timestamp::from_secs(2_000);
const KEEP: Duration = Duration::from_secs(3_600);

fn again(share: &Share) -> Share {
    Share::parse(&share.to_hex()).unwrap()
}

async fn sweep(barrier: &Barrier) {
    while barrier.sweep().await.unwrap() {}
}

/// The terms that pages, middles, namespace keys and the head name in their headers.
async fn terms(store: &Testing) -> Vec<u32> {
    let internal = rows(&store.inner).await.into_iter().filter(|row| row.key[0] >= 2);
    let mut terms: Vec<u32> = internal.map(|row| u32::from_be_bytes(row.value[6..10].try_into().unwrap())).collect();
    terms.sort_unstable();
    terms.dedup();
    terms
}

fn places() -> Vec<Address> {
    (0..30_u8).map(|n| Shelf::new("k", namespace(n % 5)).named([n])).collect()
}

/// Five shares of which three open, a key file, and records in five namespaces.
async fn populated(store: &Arc<Testing>) -> InitOutcome {
    let outcome = init(store).await;
    fill(&outcome.barrier).await;
    outcome
}

async fn fill(barrier: &Barrier) {
    for (n, at) in places().iter().enumerate() {
        barrier.commit(put(at, &n.to_string())).await.unwrap();
    }
}

async fn is_whole(barrier: &Barrier) {
    for (n, at) in places().iter().enumerate() {
        assert_eq!(text(barrier, at).await.unwrap(), Some(n.to_string()));
    }
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

/// Three of the shares agree.
async fn agreed(barrier: &Barrier, shares: &[Share]) -> Quorate {
    let mut quorum = barrier.quorum().unwrap();
    for (n, share) in shares.iter().enumerate() {
        match barrier.hand_in(&mut quorum, share).await.unwrap() {
            Gathering::Progress(count) => assert_eq!(usize::from(count), n + 1),
            Gathering::Complete(quorate) => return quorate,
        }
    }
    panic!("not enough shares");
}

async fn opens(store: &Arc<Testing>, shares: &[Share]) -> Result<Arc<Barrier>, BarrierError> {
    let sealed = sealed(store).await;
    for share in shares {
        if let Opening::Open(barrier) = sealed.submit(again(share)).await? {
            return Ok(barrier);
        }
    }
    panic!("not enough shares");
}

/// Everything in the store as it is now, in another one.
async fn copy(store: &Testing) -> Arc<Testing> {
    let other = Arc::new(Testing::default());
    overwrite(&other.inner, rows(&store.inner).await.into_iter().map(|row| (row.key, Some(row.value))).collect()).await;
    other
}

#[tokio::test]
async fn a_new_term_seals_what_is_new_and_in_the_end_everything() {
    for limits in [Limits::LOCAL, Limits::PORTABLE] {
        let store = Arc::new(Testing { limits, ..Testing::default() });
        let barrier = populated(&store).await.barrier;
        let before = barrier.key_status().unwrap();
        assert_eq!((before.term, before.installed, before.terms, before.rewrap), (1, STARTED, 1, None));
        assert!(before.encryptions > 60, "pages and heads of 30 commits: {}", before.encryptions);
        barrier.rotate(LATER).await.unwrap();
        let after = barrier.key_status().unwrap();
        assert_eq!((after.term, after.installed, after.terms, after.encryptions), (2, LATER, 2, 0));
        assert_eq!(terms(&store).await, [1], "the new key seals nothing before it is stored");
        is_whole(&barrier).await;
        barrier.commit(put(&places()[0], "0")).await.unwrap();
        assert_eq!(terms(&store).await, [1, 2]);
        let mut last = 0;
        while barrier.sweep().await.unwrap() {
            let progress = barrier.key_status().unwrap().rewrap.unwrap();
            assert!(last <= progress.done && progress.done <= progress.total && progress.total >= 35, "{progress:?}");
            last = progress.done;
        }
        assert_eq!(terms(&store).await, [2]);
        let done = barrier.key_status().unwrap();
        assert_eq!((done.terms, done.rewrap), (2, None));
        barrier.forget_terms(LATER.plus(KEEP), KEEP).await.unwrap();
        assert_eq!(barrier.key_status().unwrap().terms, 1);
        assert!(!barrier.sweep().await.unwrap());
        is_whole(&barrier).await;
        let seen = barrier.key_status().unwrap();
        barrier.close().await;
        let barrier = reopen(&store).await.unwrap();
        assert_eq!(barrier.key_status().unwrap(), seen, "also after a restart");
        is_whole(&barrier).await;
    }
}

#[tokio::test]
async fn what_callers_carry_stays_good_as_long_as_it_may_live() {
    let store = Arc::new(Testing::default());
    let barrier = populated(&store).await.barrier;
    let carried = barrier.seal_token(b"claims").unwrap();
    barrier.rotate(LATER).await.unwrap();
    barrier.forget_terms(LATER.plus(KEEP), KEEP).await.unwrap();
    assert_eq!(barrier.key_status().unwrap().terms, 2, "the store still needs the first term");
    sweep(&barrier).await;
    barrier.forget_terms(LATER.plus(KEEP - Duration::from_secs(1)), KEEP).await.unwrap();
    assert_eq!(barrier.open_token(&carried).unwrap().unwrap().expose(), b"claims");
    barrier.forget_terms(LATER.plus(KEEP), KEEP).await.unwrap();
    assert!(barrier.open_token(&carried).unwrap().is_none());
    is_whole(&barrier).await;
}

#[tokio::test]
async fn a_sweep_that_was_cut_short_is_taken_up_after_a_restart() {
    let store = Arc::new(Testing::default());
    let barrier = populated(&store).await.barrier;
    barrier.rotate(LATER).await.unwrap();
    for _ in 0..100 {
        assert!(barrier.sweep().await.unwrap());
    }
    barrier.close().await;
    let barrier = reopen(&store).await.unwrap();
    assert_eq!(terms(&store).await, [1, 2]);
    // Another term on top in the middle of it.
    barrier.sweep().await.unwrap();
    barrier.rotate(LATER).await.unwrap();
    sweep(&barrier).await;
    assert_eq!(terms(&store).await, [3]);
    is_whole(&barrier).await;
}

/// An old term is never forgotten on the word of a header that anybody can write.
#[tokio::test]
async fn a_sweep_does_not_pass_over_what_it_cannot_open() {
    let store = Arc::new(Testing::default());
    let barrier = populated(&store).await.barrier;
    barrier.rotate(LATER).await.unwrap();
    let row = rows(&store.inner).await.into_iter().find(|row| row.key[0] == 2).unwrap();
    let mut relabelled = row.value.clone();
    relabelled[9] = 2;
    overwrite(&store.inner, vec![(row.key.clone(), Some(relabelled))]).await;
    let error = loop {
        match barrier.sweep().await {
            Ok(more) => assert!(more, "the sweep ended"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, BarrierError::Tampered { .. }), "{error}");
    barrier.forget_terms(LATER.plus(KEEP), KEEP).await.unwrap();
    assert_eq!(barrier.key_status().unwrap().terms, 2);
    overwrite(&store.inner, vec![(row.key, Some(row.value))]).await;
    sweep(&barrier).await;
    is_whole(&barrier).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_notice_nothing_of_rotations() {
    let store = Arc::new(Testing::default());
    store.slow.store(true, Ordering::Relaxed);
    let barrier = populated(&store).await.barrier;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for worker in 0..3_usize {
        let (barrier, stop) = (barrier.clone(), stop.clone());
        tasks.spawn(async move {
            let mut rounds = 0_usize;
            while !stop.load(Ordering::Relaxed) || rounds < 30 {
                let n = (rounds * 7 + worker) % places().len();
                let at = &places()[n];
                assert_eq!(text(&barrier, at).await.unwrap(), Some(n.to_string()));
                barrier.commit(put(at, &n.to_string())).await.unwrap();
                barrier.scan(&Shelf::new("k", namespace(0)), None, 100).await.unwrap();
                rounds += 1;
            }
        });
    }
    let checker = barrier.clone();
    tasks.spawn(async move { assert_eq!(checker.verify_all().await.unwrap(), []) });
    for round in 0..3_u64 {
        let now = LATER.plus(KEEP * u32::try_from(round).unwrap());
        barrier.rotate(now).await.unwrap();
        sweep(&barrier).await;
        barrier.forget_terms(now, Duration::ZERO).await.unwrap();
        assert_eq!(barrier.key_status().unwrap().terms, 1);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    is_whole(&barrier).await;
}

#[tokio::test]
async fn new_shares_open_and_old_ones_do_not() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares: old, barrier } = populated(&store).await;
    let quorate = agreed(&barrier, &old[1..4]).await;
    let (new, shares) = barrier.new_shares(&quorate, 3, 2).await.unwrap();
    assert_eq!((shares.len(), new.counts()), (3, (3, 2)));
    assert_eq!((barrier.seal_status().shares, barrier.seal_status().threshold), (5, 3), "not in force yet");
    barrier.replace_shares(new).await.unwrap();
    assert_eq!((barrier.seal_status().shares, barrier.seal_status().threshold), (3, 2));
    let mut quorum = barrier.quorum().unwrap();
    let error = barrier.hand_in(&mut quorum, &old[0]).await.err().unwrap().to_string();
    assert!(error.contains("keys that were replaced"), "{error}");
    barrier.commit(put(&places()[0], "0")).await.unwrap();
    barrier.close().await;
    assert!(opens(&store, &old[..3]).await.is_err());
    is_whole(&opens(&store, &shares[1..]).await.unwrap()).await;
    is_whole(&reopen(&store).await.unwrap()).await;
}

#[tokio::test]
async fn shares_that_were_never_put_in_force_open_nothing() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares: old, barrier } = populated(&store).await;
    let quorate = agreed(&barrier, &old[..3]).await;
    let (new, shares) = barrier.new_shares(&quorate, 2, 2).await.unwrap();
    let (other, others) = barrier.new_shares(&quorate, 2, 2).await.unwrap();
    let mut quorum = barrier.quorum().unwrap();
    assert!(new.hand_in(&mut quorum, &others[0]).await.is_err(), "of the other new set");
    assert!(new.hand_in(&mut quorum, &old[0]).await.is_err());
    assert!(matches!(new.hand_in(&mut quorum, &shares[0]).await.unwrap(), Gathering::Progress(1)));
    assert!(matches!(new.hand_in(&mut quorum, &shares[0]).await.unwrap(), Gathering::Progress(1)), "the same again");
    assert!(matches!(new.hand_in(&mut quorum, &shares[1]).await.unwrap(), Gathering::Complete(_)));
    barrier.replace_shares(other).await.unwrap();
    assert!(matches!(barrier.replace_shares(new).await, Err(BarrierError::Conflict)), "its time has passed");
    barrier.close().await;
    assert!(opens(&store, &shares).await.is_err());
    is_whole(&opens(&store, &others).await.unwrap()).await;
}

#[tokio::test]
async fn a_ceremony_takes_no_share_of_keys_replaced_meanwhile() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares: old, barrier } = populated(&store).await;
    let mut slow = barrier.quorum().unwrap();
    barrier.hand_in(&mut slow, &old[0]).await.unwrap();
    barrier.hand_in(&mut slow, &old[1]).await.unwrap();
    let (new, shares) = barrier.new_shares(&agreed(&barrier, &old[..3]).await, 3, 3).await.unwrap();
    barrier.replace_shares(new).await.unwrap();
    assert!(matches!(barrier.hand_in(&mut slow, &shares[2]).await.unwrap(), Gathering::Progress(1)));
    assert!(matches!(barrier.hand_in(&mut slow, &shares[1]).await.unwrap(), Gathering::Progress(2)));
    assert!(matches!(barrier.hand_in(&mut slow, &shares[0]).await.unwrap(), Gathering::Complete(_)));
}

#[tokio::test]
async fn impossible_numbers_of_shares_are_refused() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares, barrier } = populated(&store).await;
    let quorate = agreed(&barrier, &shares[..3]).await;
    for (count, threshold) in [(0, 0), (3, 0), (2, 3), (2, 1)] {
        assert!(barrier.new_shares(&quorate, count, threshold).await.is_err(), "{count}, {threshold}");
    }
    let store = Arc::new(Testing::default());
    let Door::Uninitialised(fresh) = door(&store).await else { panic!() };
    let slots = vec![SlotSpec::Static { key: key_file() }];
    let barrier = fresh.init(Init { slots }, STARTED).await.unwrap().barrier;
    assert!(barrier.quorum().err().unwrap().to_string().contains("does not open with unseal keys"));
}

/// With shares alone the root key is replaced too: old shares and an old seal record do not lead to what came later.
#[tokio::test]
async fn old_shares_with_an_old_seal_record_do_not_open_what_came_later() {
    let store = Arc::new(Testing::default());
    let Door::Uninitialised(fresh) = door(&store).await else { panic!() };
    let slots = vec![SlotSpec::Shamir { shares: 3, threshold: 2 }];
    let InitOutcome { shares: old, barrier } = fresh.init(Init { slots }, STARTED).await.unwrap();
    fill(&barrier).await;
    let record = store.inner.get(b"\x00seal").await.unwrap().unwrap().value;
    let (new, shares) = barrier.new_shares(&agreed(&barrier, &old[..2]).await, 3, 2).await.unwrap();
    barrier.replace_shares(new).await.unwrap();
    // Noticed even while the old term is the current one.
    let stolen = copy(&store).await;
    overwrite(&stolen.inner, vec![(b"\x00seal".to_vec(), Some(record.clone()))]).await;
    assert!(matches!(opens(&stolen, &old).await, Err(BarrierError::Tampered { .. })));
    barrier.rotate(LATER).await.unwrap();
    sweep(&barrier).await;
    let stolen = copy(&store).await;
    overwrite(&stolen.inner, vec![(b"\x00seal".to_vec(), Some(record))]).await;
    let Err(BarrierError::Tampered { kind, .. }) = opens(&stolen, &old).await else { panic!("opened") };
    assert_eq!(kind, "freshness-head", "its key is not in the old keyring");
    is_whole(&opens(&store, &shares[1..]).await.unwrap()).await;
}

/// The moment after any operation of the store may be the last.
#[tokio::test]
async fn a_crash_anywhere_in_a_ceremony_leaves_old_or_new_keys_and_everything_readable() {
    for with_file in [false, true] {
        let mut lives = 0;
        let (mut old_won, mut new_won) = (0, 0);
        loop {
            let store = Arc::new(Testing::with(Memory::new()));
            let Door::Uninitialised(fresh) = door(&store).await else { panic!() };
            let mut slots = vec![SlotSpec::Shamir { shares: 3, threshold: 2 }];
            slots.extend(with_file.then(|| SlotSpec::Static { key: key_file() }));
            let InitOutcome { shares: old, barrier } = fresh.init(Init { slots }, STARTED).await.unwrap();
            fill(&barrier).await;
            let (new, shares) = barrier.new_shares(&agreed(&barrier, &old[..2]).await, 4, 3).await.unwrap();
            store.lives.store(lives, Ordering::SeqCst);
            let finished = ceremonies(&barrier, new).await.is_ok();
            let told = barrier.seal_status().shares;
            store.lives.store(usize::MAX, Ordering::SeqCst);
            drop(barrier);
            let (by_old, by_new) = (opens(&store, &old).await, opens(&store, &shares).await);
            assert!(by_old.is_ok() != by_new.is_ok(), "after {lives} operations");
            assert!(told == 3 || by_new.is_ok(), "told of new keys that are not in force, after {lives} operations");
            (old_won, new_won) = (old_won + u32::from(by_old.is_ok()), new_won + u32::from(by_new.is_ok()));
            let barrier = by_old.or(by_new).unwrap();
            is_whole(&barrier).await;
            sweep(&barrier).await;
            barrier.commit(put(&places()[0], "0")).await.unwrap();
            assert_eq!(terms(&store).await, [barrier.key_status().unwrap().term], "after {lives} operations");
            is_whole(&barrier).await;
            if with_file {
                drop(barrier);
                is_whole(&reopen(&store).await.unwrap()).await;
            }
            if finished {
                break;
            }
            // Every step of the small ones; of the sweep, which repeats itself, every seventh.
            lives += if (12..500).contains(&lives) { 7 } else { 1 };
        }
        assert!(old_won >= 2 && new_won >= 20, "{old_won}, {new_won}");
    }
}

async fn ceremonies(barrier: &Barrier, new: NewShares) -> Result<(), BarrierError> {
    barrier.rotate(LATER).await?;
    barrier.replace_shares(new).await?;
    while barrier.sweep().await? {}
    barrier.forget_terms(LATER.plus(KEEP), KEEP).await
}

#[tokio::test]
async fn a_ceremony_whose_answer_got_lost_is_asked_after() {
    for (fault, made) in [
        (Fault::AppliedButUnknown, true),
        (Fault::AppliedButFails, true),
        (Fault::LostAndUnknown, false),
        (Fault::LostAndFails, false),
        (Fault::Full, false),
    ] {
        let store = Arc::new(Testing::default());
        let InitOutcome { shares: old, barrier } = populated(&store).await;
        store.fault(fault);
        assert_eq!(barrier.rotate(LATER).await.is_ok(), made, "{fault:?}");
        assert_eq!(barrier.key_status().unwrap().term, if made { 2 } else { 1 }, "{fault:?}");
        let (new, shares) = barrier.new_shares(&agreed(&barrier, &old[..3]).await, 2, 2).await.unwrap();
        store.fault(fault);
        assert_eq!(barrier.replace_shares(new).await.is_ok(), made, "{fault:?}");
        barrier.commit(put(&places()[0], "0")).await.unwrap();
        sweep(&barrier).await;
        is_whole(&barrier).await;
        barrier.close().await;
        is_whole(&opens(&store, if made { &shares } else { &old }).await.unwrap()).await;
    }
}

/// Nobody knows whether the new term is in the store; what was sealed under it by nobody must not matter.
#[tokio::test]
async fn while_nobody_knows_whether_a_rotation_was_made_nothing_looks_tampered_with() {
    for fault in [Fault::AppliedButUnknown, Fault::LostAndUnknown] {
        let store = Arc::new(Testing::default());
        let barrier = populated(&store).await.barrier;
        store.fault(fault);
        store.mute.store(true, Ordering::SeqCst);
        assert!(matches!(barrier.rotate(LATER).await, Err(BarrierError::Unknown)));
        assert_eq!(text(&barrier, &places()[3]).await.unwrap().as_deref(), Some("3"), "{fault:?}");
        store.mute.store(false, Ordering::SeqCst);
        barrier.commit(put(&places()[0], "0")).await.unwrap();
        sweep(&barrier).await;
        is_whole(&barrier).await;
    }
}

#[tokio::test]
async fn a_seal_record_altered_behind_our_back_is_not_written_over() {
    let store = Arc::new(Testing::default());
    let barrier = populated(&store).await.barrier;
    let row = store.inner.get(b"\x00seal").await.unwrap().unwrap();
    overwrite(&store.inner, vec![(row.key, Some(row.value))]).await;
    let error = barrier.rotate(LATER).await.err().unwrap();
    assert!(matches!(&error, BarrierError::Tampered { kind, .. } if kind == "seal"), "{error}");
    assert!(barrier.health().writable, "records can still be written");
    barrier.commit(put(&places()[0], "0")).await.unwrap();
}

#[tokio::test]
async fn another_server_that_has_begun_a_term_is_taken_for_what_it_is() {
    let store = Arc::new(Testing::default());
    let one = populated(&store).await.barrier;
    let other = reopen(&store).await.unwrap();
    other.rotate(LATER).await.unwrap();
    sweep(&other).await;
    other.commit(put(&places()[0], "0")).await.unwrap();
    assert!(matches!(one.rotate(LATER).await, Err(BarrierError::Superseded)));
    let stranger = Shelf::new("other", namespace(77)).named("x");
    assert!(matches!(one.commit(put(&stranger, "y")).await, Err(BarrierError::Superseded)));
}
