//! Transactions: what they promise to one caller and to many.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, atomic::AtomicUsize};
use strongroom_storage::{Limits, Memory, Revision, StoreError};
use support::*;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

async fn fresh() -> (Arc<Testing>, Arc<Barrier>) {
    let store = Arc::new(Testing::default());
    let barrier = init(&store).await.barrier;
    (store, barrier)
}

#[tokio::test]
async fn a_record_comes_back_with_name_number_and_revision() {
    let (_, barrier) = fresh().await;
    let named = shelf("token").within("mount").named("ann");
    let ordered = shelf("lease").ordered(77, "l1");
    let rev = barrier.commit(put(&named, "a").put(ordered.clone(), b"b".to_vec())).await.unwrap();
    let record = barrier.get(&named).await.unwrap().unwrap();
    assert_eq!(
        (record.bytes.expose(), record.name.as_slice(), record.number, record.rev),
        (&b"a"[..], &b"ann"[..], 0, rev)
    );
    let record = barrier.get(&ordered).await.unwrap().unwrap();
    assert_eq!(
        (record.bytes.expose(), record.name.as_slice(), record.number, record.rev),
        (&b"b"[..], &b"l1"[..], 77, rev)
    );
    for absent in
        [shelf("token").named("ann"), shelf("token").within("mount").named("bob"), shelf("lease").ordered(78, "l1")]
    {
        assert!(barrier.get(&absent).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_shelf_lists_its_own_records_page_by_page_and_by_number() {
    let (_, barrier) = fresh().await;
    let (leases, tokens) = (shelf("lease"), shelf("token"));
    for number in (0..40_u64).rev() {
        let txn = put(&leases.ordered(number * 1_000, format!("l{number}")), "x");
        barrier.commit(txn.put(tokens.named(format!("t{number}")), b"y".to_vec())).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let portion = barrier.scan(&leases, after.as_ref(), 7).await.unwrap();
        let Some(last) = portion.last() else { break };
        after = Some(leases.ordered(last.number, &last.name));
        seen.extend(portion.into_iter().map(|record| record.number));
    }
    assert_eq!(seen, (0..40).map(|number| number * 1_000).collect::<Vec<_>>());
    let mut names: Vec<_> =
        barrier.scan(&tokens, None, 1_000).await.unwrap().into_iter().map(|record| record.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 40);
    assert!(barrier.scan(&shelf("other"), None, 10).await.unwrap().is_empty());
    assert!(barrier.scan(&Shelf::new("lease", namespace(1)), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn records_of_one_long_name_are_listed_on_one_page_and_those_of_a_short_one_each_on_its_own() {
    let (store, barrier) = fresh().await;
    let shelves = || [shelf("a").within("x"), shelf("b"), shelf("c").within("x").within("y")].map(|one| one.beside(9));
    let all = |name: &str| {
        let [a, b, c] = shelves();
        [a.named(name), b.ordered(7, name), b.ordered(8, name), c.named(name)]
    };
    let pages = async || -> usize { rows(&*store).await.iter().filter(|row| row.key.first() == Some(&3)).count() };
    // The first record of a namespace brings its key.
    barrier.commit(put(&shelf("z").named("z"), "v")).await.unwrap();
    let before = pages().await;
    // Two names may meet on one page by chance, so these are bounds that hold all the same.
    for (name, more) in [("long-name", 0..=1), ("longer-name", 0..=2), ("earlier", 4..=6)] {
        barrier.commit(all(name).iter().fold(Txn::new(), |txn, at| txn.put(at.clone(), b"v".to_vec()))).await.unwrap();
        assert!(more.contains(&(pages().await - before)), "{name}");
    }
    drop(barrier);
    let barrier = reopen(&store).await.unwrap();
    for name in ["long-name", "longer-name", "earlier"] {
        for at in all(name) {
            assert_eq!(text(&barrier, &at).await.unwrap().as_deref(), Some("v"), "{name}");
        }
    }
    let [_, b, _] = shelves();
    let (mut after, mut seen) = (None, Vec::new());
    while let Some(record) = barrier.scan(&b, after.as_ref(), 1).await.unwrap().pop() {
        after = Some(b.ordered(record.number, &record.name));
        seen.push(record.number);
    }
    assert_eq!(seen, [7, 7, 7, 8, 8, 8]);
    barrier.commit(all("long-name").iter().fold(Txn::new(), |txn, at| txn.delete(at.clone()))).await.unwrap();
    assert!(text(&barrier, &all("long-name")[3]).await.unwrap().is_none());
    assert_eq!(text(&barrier, &all("longer-name")[3]).await.unwrap().as_deref(), Some("v"));
    // A record that is cut out is noticed as any other is.
    let cut = rows(&*store).await.into_iter().filter(|row| row.key.first() == Some(&1) && row.key.len() == 41);
    overwrite(&*store, cut.map(|row| (row.key, None)).collect()).await;
    assert!(matches!(text(&barrier, &all("longer-name")[1]).await, Err(BarrierError::Tampered { .. })));
}

#[tokio::test]
async fn expectations_hold_or_nothing_happens() {
    let (_, barrier) = fresh().await;
    let (a, b) = (shelf("k").named("a"), shelf("k").named("b"));
    let first = barrier.commit(put(&a, "1").expect_absent(a.clone())).await.unwrap();
    let conflict = |txn: Txn| {
        let barrier = barrier.clone();
        async move { matches!(barrier.commit(txn).await, Err(BarrierError::Conflict)) }
    };
    assert!(conflict(put(&b, "2").expect_absent(a.clone())).await);
    assert!(conflict(put(&b, "2").expect_present(b.clone())).await);
    assert!(conflict(put(&b, "2").expect(a.clone(), Revision(first.0 + 1))).await);
    assert!(barrier.get(&b).await.unwrap().is_none());
    let second = barrier.commit(put(&a, "1").expect(a.clone(), first)).await.unwrap();
    assert!(second > first);
    assert!(conflict(put(&a, "3").expect(a.clone(), first)).await);
    // Deleted and made anew is not the same record.
    barrier.commit(Txn::new().delete(a.clone()).expect_present(a.clone())).await.unwrap();
    barrier.commit(put(&a, "1")).await.unwrap();
    assert!(conflict(put(&a, "3").expect(a.clone(), second)).await);
    assert!(conflict(Txn::new().expect_absent(a.clone())).await);
    barrier.commit(Txn::new().expect_present(a.clone())).await.unwrap();
    assert!(matches!(barrier.commit(put(&a, "1").delete(a.clone())).await, Err(BarrierError::Twice { kind: "k" })));
}

#[tokio::test]
async fn transactions_of_one_commit_see_each_other() {
    let (store, barrier) = fresh().await;
    let at = shelf("k").named("a");
    barrier.commit(put(&at, "0")).await.unwrap();
    let rev = barrier.get(&at).await.unwrap().unwrap().rev;
    let gate = Arc::new(Semaphore::new(0));
    *store.gate.lock().unwrap() = Some(gate.clone());
    let before = store.inner.current_rev_now().await;
    let mut tasks = JoinSet::new();
    let blocker = put(&shelf("k").named("blocker"), "x");
    let waiting = barrier.clone();
    tasks.spawn(async move { waiting.commit(blocker).await });
    tokio::task::yield_now().await;
    for number in 0..10 {
        let barrier = barrier.clone();
        let txn = put(&at, &number.to_string()).expect(at.clone(), rev);
        tasks.spawn(async move { barrier.commit(txn).await });
    }
    let (deleting, again) = (barrier.clone(), at.clone());
    tasks.spawn(async move { deleting.commit(Txn::new().delete(again.clone()).expect_present(again)).await });
    while tasks.len() > 12 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(10);
    let results = tasks.join_all().await;
    let conflicts = results.iter().filter(|result| matches!(result, Err(BarrierError::Conflict))).count();
    assert_eq!((conflicts, results.iter().filter(|result| result.is_ok()).count()), (9, 3));
    assert!(barrier.get(&at).await.unwrap().is_none());
    assert_eq!(store.inner.current_rev_now().await, before + 2, "all that waited share one commit");
}

trait Rev {
    async fn current_rev_now(&self) -> u64;
}

impl Rev for Memory {
    async fn current_rev_now(&self) -> u64 {
        strongroom_storage::Store::current_rev(self).await.unwrap().0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_add_up_and_readers_never_cry_wolf() {
    let (store, barrier) = fresh().await;
    store.slow.store(true, Ordering::Relaxed);
    let counter = |number: u8| Shelf::new("counter", namespace(number % 3)).named([number]);
    let mut tasks = JoinSet::new();
    let wins = Arc::new(AtomicUsize::new(0));
    for task in 0..12_u8 {
        let (barrier, wins) = (barrier.clone(), wins.clone());
        tasks.spawn(async move {
            let race = Txn::new().expect_absent(shelf("race").named("one"));
            if barrier.commit(race.put(shelf("race").named("one"), vec![task])).await.is_ok() {
                wins.fetch_add(1, Ordering::SeqCst);
            }
            for round in 0..40_u8 {
                let at = counter((task + round) % 5);
                loop {
                    let found = barrier.get(&at).await.unwrap();
                    let (count, txn) = match &found {
                        None => (0, Txn::new().expect_absent(at.clone())),
                        Some(record) => (
                            u64::from_be_bytes(record.bytes.expose().try_into().unwrap()),
                            Txn::new().expect(at.clone(), record.rev),
                        ),
                    };
                    match barrier.commit(txn.put(at.clone(), (count + 1).to_be_bytes().to_vec())).await {
                        Ok(_) => break,
                        Err(BarrierError::Conflict) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        });
    }
    for _ in 0..4 {
        let barrier = barrier.clone();
        tasks.spawn(async move {
            for round in 0..300_u16 {
                let at = counter(round as u8 % 5);
                barrier.get(&at).await.unwrap();
                barrier.scan(&at.shelf, None, 10).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(wins.load(Ordering::SeqCst), 1);
    let mut sum = 0;
    for number in 0..5 {
        let record = barrier.get(&counter(number)).await.unwrap().unwrap();
        sum += u64::from_be_bytes(record.bytes.expose().try_into().unwrap());
    }
    assert_eq!(sum, 12 * 40);
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn verifying_while_others_write_finds_nothing() {
    let (store, barrier) = fresh().await;
    store.slow.store(true, Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for task in 0..4_u8 {
        let barrier = barrier.clone();
        tasks.spawn(async move {
            for round in 0..60_u8 {
                let at = Shelf::new("k", namespace(task)).named([round % 16]);
                let txn = if round % 5 == 4 { Txn::new().delete(at) } else { Txn::new().put(at, vec![round; 50]) };
                barrier.commit(txn).await.unwrap();
            }
        });
    }
    while !tasks.is_empty() {
        assert_eq!(barrier.verify_all().await.unwrap(), []);
        while tasks.try_join_next().is_some() {}
    }
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

#[tokio::test]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let (store, barrier) = fresh().await;
    let gate = Arc::new(Semaphore::new(0));
    *store.gate.lock().unwrap() = Some(gate.clone());
    let mut tasks = JoinSet::new();
    for number in 0..20_u8 {
        let barrier = barrier.clone();
        tasks.spawn(async move { barrier.commit(put(&shelf("k").named([number]), "x")).await });
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    tasks.shutdown().await;
    gate.add_permits(100);
    barrier.commit(put(&shelf("k").named("after"), "y")).await.unwrap();
    assert_eq!(text(&barrier, &shelf("k").named("after")).await.unwrap().as_deref(), Some("y"));
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

#[tokio::test]
async fn watchers_hear_of_changes_before_the_caller_does() {
    let (_, barrier) = fresh().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = heard.clone();
    barrier.subscribe(move |changed| ear.lock().unwrap().extend_from_slice(changed));
    let (a, b) = (shelf("k").named("a"), shelf("k").named("b"));
    barrier.commit(put(&a, "1").put(b.clone(), b"2".to_vec())).await.unwrap();
    assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), [a.clone(), b.clone()]);
    barrier.commit(Txn::new().delete(a.clone())).await.unwrap();
    barrier.commit(put(&b, "3").expect_present(a.clone())).await.unwrap_err();
    assert_eq!(*heard.lock().unwrap(), [a]);
}

#[tokio::test]
async fn after_close_nothing_works_and_nothing_is_lost() {
    let (store, barrier) = fresh().await;
    let at = shelf("k").named("a");
    let waiting: Vec<_> = (0..50_u8).map(|n| barrier.commit(put(&shelf("k").named([n]), "x"))).collect();
    let closing = async {
        tokio::task::yield_now().await;
        barrier.close().await;
    };
    let mut tasks = JoinSet::new();
    drop(waiting);
    let (committing, first) = (barrier.clone(), at.clone());
    tasks.spawn(async move { committing.commit(put(&first, "1")).await });
    tokio::task::yield_now().await;
    closing.await;
    tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(barrier.get(&at).await, Err(BarrierError::Closed)));
    assert!(matches!(barrier.commit(put(&at, "2")).await, Err(BarrierError::Closed)));
    assert!(matches!(barrier.scan(&at.shelf, None, 1).await, Err(BarrierError::Closed)));
    assert_eq!(barrier.sign(b"x"), [0; 64]);
    assert_eq!(barrier.keyed_hash("token", b"x"), [0; 32]);
    assert!(!barrier.health().writable);
    barrier.close().await;
    assert_eq!(text(&reopen(&store).await.unwrap(), &at).await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn small_limits_are_kept_and_large_transactions_refused() {
    let store = Arc::new(Testing { limits: Limits::PORTABLE, ..Testing::default() });
    let barrier = init(&store).await.barrier;
    let many =
        |count: u16| (0..count).fold(Txn::new(), |txn, n| txn.put(shelf("k").named(n.to_be_bytes()), vec![1; 100]));
    let revs = [barrier.commit(many(40)).await.unwrap(), barrier.commit(many(40)).await.unwrap()];
    assert!(revs[0] < revs[1]);
    assert!(matches!(barrier.commit(many(60)).await, Err(BarrierError::Store(StoreError::TooLarge { .. }))));
    let huge = Txn::new().put(shelf("k").named("huge"), vec![0; 512 * 1024]);
    assert!(matches!(
        barrier.commit(huge).await,
        Err(BarrierError::Store(StoreError::TooLarge { what: "a record", .. }))
    ));
    barrier.commit(Txn::new().put(shelf("k").named("large"), vec![0; 511 * 1024])).await.unwrap();
    // Several commits' worth of transactions at once.
    let mut tasks = JoinSet::new();
    for task in 0..100_u8 {
        let barrier = barrier.clone();
        let txn = (0..20_u8).fold(Txn::new(), |txn, n| txn.put(shelf("m").named([task, n]), vec![task; 1_000]));
        tasks.spawn(async move { barrier.commit(txn).await.unwrap() });
    }
    tasks.join_all().await;
    barrier.close().await;
    let barrier = reopen(&store).await.unwrap();
    assert_eq!(barrier.scan(&shelf("m"), None, 5_000).await.unwrap().len(), 2_000);
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

#[tokio::test]
async fn transactions_that_change_nothing_take_no_room_from_others() {
    let store = Arc::new(Testing { limits: Limits::PORTABLE, ..Testing::default() });
    let barrier = init(&store).await.barrier;
    let place = |n: u8| shelf("k").named([n]);
    let gate = Arc::new(Semaphore::new(0));
    *store.gate.lock().unwrap() = Some(gate.clone());
    let mut tasks = JoinSet::new();
    let mut send = |txn: Txn| {
        let barrier = barrier.clone();
        tasks.spawn(async move { barrier.commit(txn).await.map_err(|error| error.to_string()) })
    };
    send(put(&shelf("k").named("blocker"), "x"));
    for _ in 0..3 {
        send((0..40).fold(Txn::new().expect_present(place(0)), |txn, n| txn.put(place(n), vec![n])));
        send((0..40).fold(Txn::new(), |txn, n| txn.delete(place(n))));
    }
    let wanted = send((0..40).fold(Txn::new(), |txn, n| txn.put(place(n), vec![n]))).id();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    while let Some(done) = tasks.join_next_with_id().await {
        let (id, result) = done.unwrap();
        assert!(id != wanted || result.is_ok(), "{result:?}");
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_noticed() {
    let (store, first) = fresh().await;
    let at = shelf("k").named("a");
    let second = reopen(&store).await.unwrap();
    second.commit(put(&at, "2")).await.unwrap();
    assert!(matches!(first.commit(put(&at, "1")).await, Err(BarrierError::Superseded)));
    assert!(matches!(first.commit(put(&at, "1")).await, Err(BarrierError::Superseded)));
    assert!(!first.health().writable);
    assert!(matches!(first.get(&at).await, Err(BarrierError::Superseded)));
    assert!(matches!(first.commit(put(&shelf("k").named("elsewhere"), "1")).await, Err(BarrierError::Superseded)));
    second.commit(put(&at, "3")).await.unwrap();
    assert_eq!(text(&second, &at).await.unwrap().as_deref(), Some("3"));
}

#[tokio::test]
async fn values_open_only_as_what_they_were_sealed() {
    let (store, barrier) = fresh().await;
    let secret = SecretId::from_bytes([1; 16]);
    let binding = ValueBinding {
        namespace: namespace(9),
        mount: MountId::from_bytes([2; 16]),
        secret,
        version: VersionNumber::FIRST,
    };
    let key = barrier.new_secret_key(namespace(9), secret).await.unwrap();
    let value = barrier.seal_value(&key, binding, b"correct horse").await.unwrap();
    let again = barrier.seal_value(&key, binding, b"correct horse").await.unwrap();
    assert_ne!(value.as_bytes(), again.as_bytes());
    let (key, value): (SealedKey, SealedValue) =
        serde_json::from_str(&serde_json::to_string(&(key, value)).unwrap()).unwrap();
    barrier.close().await;
    let barrier = reopen(&store).await.unwrap();
    assert_eq!(barrier.open_value(&key, binding, &value).await.unwrap().expose(), b"correct horse");
    let others = [
        ValueBinding { namespace: NamespaceId::ROOT, ..binding },
        ValueBinding { mount: MountId::from_bytes([3; 16]), ..binding },
        ValueBinding { secret: SecretId::from_bytes([3; 16]), ..binding },
        ValueBinding { version: VersionNumber::FIRST.next(), ..binding },
    ];
    for other in others {
        assert!(matches!(barrier.open_value(&key, other, &value).await, Err(BarrierError::Tampered { .. })));
    }
    let other_key = barrier.new_secret_key(namespace(9), secret).await.unwrap();
    assert!(barrier.open_value(&other_key, binding, &value).await.is_err());
    for index in 0..value.as_bytes().len() {
        let mut bytes = value.as_bytes().to_vec();
        bytes[index] ^= 1 << (index % 8);
        assert!(barrier.open_value(&key, binding, &SealedValue::from_bytes(bytes)).await.is_err(), "byte {index}");
    }
    assert!(barrier.open_value(&key, binding, &SealedValue::from_bytes(vec![0; 10])).await.is_err());
}

#[tokio::test]
async fn hashes_and_signatures_stay_the_same_over_a_restart_and_apart_by_purpose() {
    let (store, barrier) = fresh().await;
    let hash = barrier.keyed_hash("token", b"x");
    assert_ne!(hash, barrier.keyed_hash("audit", b"x"));
    assert_ne!(barrier.keyed_hash("ab", b"c"), barrier.keyed_hash("a", b"bc"));
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, barrier.public_key());
    key.verify(b"message", &barrier.sign(b"message")).unwrap();
    let again = reopen(&store).await.unwrap();
    assert_eq!((again.keyed_hash("token", b"x"), again.public_key()), (hash, barrier.public_key()));
    let other = init(&Arc::new(Testing::default())).await.barrier;
    assert_ne!(other.keyed_hash("token", b"x"), hash);
}

/// What one step of the model test does to which of a few records.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    PutIfAbsent(u8, u8),
    PutIfSame(u8, u8),
    PutIfStale(u8, u8),
    Move(u8, u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..6_u8;
    let step = prop_oneof![
        4 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Step::Put(name, value)),
        2 => name.clone().prop_map(Step::Delete),
        2 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Step::PutIfAbsent(name, value)),
        2 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Step::PutIfSame(name, value)),
        1 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Step::PutIfStale(name, value)),
        1 => (name.clone(), name).prop_map(|(from, to)| Step::Move(from, to)),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_history_reads_as_a_map_would(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}

async fn run(steps: Vec<Step>) {
    let (store, mut barrier) = fresh().await;
    let mut model: BTreeMap<u8, (u8, Revision)> = BTreeMap::new();
    let at = |name: u8| Shelf::new("k", namespace(name % 2)).named([name]);
    for step in steps {
        let (txn, put, delete, holds) = match step {
            Step::Put(name, value) => (Txn::new(), Some((name, value)), None, true),
            Step::Delete(name) => (Txn::new(), None, Some(name), true),
            Step::PutIfAbsent(name, value) => {
                (Txn::new().expect_absent(at(name)), Some((name, value)), None, !model.contains_key(&name))
            }
            Step::PutIfSame(name, value) => match model.get(&name) {
                Some((_, rev)) => (Txn::new().expect(at(name), *rev), Some((name, value)), None, true),
                None => (Txn::new().expect_present(at(name)), Some((name, value)), None, false),
            },
            Step::PutIfStale(name, value) => {
                (Txn::new().expect(at(name), Revision(u64::MAX)), Some((name, value)), None, false)
            }
            Step::Move(from, to) if from != to => match model.get(&from) {
                Some((value, _)) => (Txn::new().expect_present(at(from)), Some((to, *value)), Some(from), true),
                None => (Txn::new().expect_present(at(from)), Some((to, 0)), Some(from), false),
            },
            Step::Move(..) => continue,
            Step::Reopen => {
                barrier.close().await;
                barrier = reopen(&store).await.unwrap();
                continue;
            }
        };
        let txn = put.iter().fold(txn, |txn, (name, value)| txn.put(at(*name), vec![*value]));
        let txn = delete.iter().fold(txn, |txn, name| txn.delete(at(*name)));
        let result = barrier.commit(txn).await;
        assert_eq!(result.is_ok(), holds, "{result:?}");
        if let Ok(rev) = result {
            delete.map(|name| model.remove(&name));
            put.map(|(name, value)| model.insert(name, (value, rev)));
        }
        for name in 0..6 {
            let found = barrier.get(&at(name)).await.unwrap().map(|record| (record.bytes.expose()[0], record.rev));
            assert_eq!(found, model.get(&name).copied());
        }
        let mut listed = 0;
        for number in 0..2 {
            listed += barrier.scan(&Shelf::new("k", namespace(number)), None, 10).await.unwrap().len();
        }
        assert_eq!(listed, model.len());
    }
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}
