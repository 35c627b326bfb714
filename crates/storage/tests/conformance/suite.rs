//! The promises of `Store`, one function each.

use crate::bench::{Bench, delete, expect, put};
use std::sync::Arc;
use std::time::Duration;
use strongroom_storage::{Change, Changes, Committed, Epoch, Expectation, Op, Revision, StoreError};
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn a_value_comes_back_with_its_revision(bench: &Bench) {
    assert_eq!(bench.store.current_rev().await.unwrap(), Revision(0));
    assert_eq!(bench.store.get(b"a").await.unwrap(), None);
    let first = bench.write(vec![put("a", "1"), put("empty", "")]).await;
    let second = bench.write(vec![put("b", [0, 0xFF, 0])]).await;
    let a = bench.store.get(b"a").await.unwrap().unwrap();
    assert_eq!((a.key, a.value, a.rev), (b"a".to_vec(), b"1".to_vec(), first));
    let b = bench.store.get(b"b").await.unwrap().unwrap();
    assert_eq!((b.value, b.rev), (vec![0, 0xFF, 0], second));
    assert_eq!(bench.value(b"empty").await, Some(Vec::new()));
    assert_eq!(bench.store.current_rev().await.unwrap(), second);
}

pub(crate) async fn a_transaction_happens_whole_or_not_at_all(bench: &Bench) {
    bench.write(vec![put("a", "old"), put("b", "old")]).await;
    let unmet = vec![expect("c", Expectation::Present)];
    let ended = bench.commit(unmet, vec![put("a", "new"), delete("b"), put("c", "new")]).await;
    assert!(matches!(ended, Committed::Conflict(_)));
    assert_eq!(bench.value(b"a").await.unwrap(), b"old");
    assert_eq!(bench.value(b"b").await.unwrap(), b"old");
    assert_eq!(bench.value(b"c").await, None);
    bench.write(vec![put("a", "new"), delete("b"), put("c", "new"), delete("never there")]).await;
    assert_eq!(bench.value(b"a").await.unwrap(), b"new");
    assert_eq!(bench.value(b"b").await, None);
    assert_eq!(bench.value(b"c").await.unwrap(), b"new");
}

pub(crate) async fn each_expectation_holds_when_it_should(bench: &Bench) {
    let rev = bench.write(vec![put("there", "1")]).await;
    let later = bench.write(vec![put("other", "1")]).await;
    let cases = [
        ("there", Expectation::Present, true),
        ("there", Expectation::Absent, false),
        ("there", Expectation::RevIs(rev), true),
        ("there", Expectation::RevIs(later), false),
        ("there", Expectation::RevIs(Revision(0)), false),
        ("gone", Expectation::Present, false),
        ("gone", Expectation::Absent, true),
        ("gone", Expectation::RevIs(Revision(0)), false),
    ];
    for (key, expectation, holds) in cases {
        let ended = bench.commit(vec![expect(key, expectation)], Vec::new()).await;
        assert_eq!(matches!(ended, Committed::At(_)), holds, "{key} {expectation:?}: {ended:?}");
    }
}

pub(crate) async fn a_conflict_names_its_keys_and_changes_nothing(bench: &Bench) {
    let rev = bench.write(vec![put("a", "1"), put("b", "1")]).await;
    let compares =
        vec![expect("a", Expectation::Absent), expect("b", Expectation::RevIs(rev)), expect("c", Expectation::Present)];
    let txn = bench.txn(compares, vec![put("b", "2")]);
    let token = txn.idem;
    let ended = bench.store.commit(Epoch(0), txn).await.unwrap();
    assert_eq!(ended, Committed::Conflict(vec![b"a".to_vec(), b"c".to_vec()]));
    assert_eq!(bench.store.current_rev().await.unwrap(), rev);
    assert_eq!(bench.store.changes(rev, 10).await.unwrap(), Changes::Since(Vec::new()));
    assert_eq!(bench.store.outcome(token).await.unwrap(), Committed::Conflict(Vec::new()));
    assert_eq!(bench.value(b"b").await.unwrap(), b"1");
}

pub(crate) async fn revisions_strictly_increase(bench: &Bench) {
    let mut last = Revision(0);
    let kinds: [Vec<Op>; 5] =
        [vec![put("a", "1")], vec![delete("a")], vec![delete("a")], vec![], vec![put("a", "1"), put("b", "1")]];
    for ops in kinds {
        let rev = bench.write(ops).await;
        assert!(rev > last, "{rev:?} after {last:?}");
        assert_eq!(bench.store.current_rev().await.unwrap(), rev);
        last = rev;
    }
}

pub(crate) async fn a_page_of_a_list_goes_on_where_the_last_one_ended(bench: &Bench) {
    let names: Vec<Vec<u8>> = (0..25).map(|i| format!("p/{i:02}").into_bytes()).collect();
    bench.write(names.iter().rev().map(|name| put(name, name)).collect()).await;
    let mut seen = Vec::new();
    loop {
        let page = bench.store.list(b"p/", seen.last().map(Vec::as_slice), 10).await.unwrap();
        assert!(page.iter().all(|entry| entry.key == entry.value));
        let full = page.len() == 10;
        seen.extend(page.into_iter().map(|entry| entry.key));
        if !full {
            break;
        }
    }
    assert_eq!(seen, names);
    assert_eq!(bench.keys(b"p/", None, 0).await, Vec::<Vec<u8>>::new());
    assert_eq!(bench.keys(b"p/", Some(b"p/24"), 10).await, Vec::<Vec<u8>>::new());
    // What was deleted meanwhile does not end the walk.
    bench.write(vec![delete("p/10")]).await;
    assert_eq!(bench.keys(b"p/", Some(b"p/10"), 1).await, [b"p/11"]);
}

pub(crate) async fn a_list_holds_what_is_under_the_prefix_and_nothing_else(bench: &Bench) {
    let keys: [&[u8]; 9] = [b"\0", b"a", b"a\0", b"a/", b"a/b", b"a0", &[0xFF], &[0xFF, 0], &[0xFF, 0xFF]];
    bench.write(keys.iter().map(|key| put(key, "")).collect()).await;
    assert_eq!(bench.keys(b"", None, 100).await, keys);
    assert_eq!(bench.keys(b"a/", None, 100).await, [&b"a/"[..], b"a/b"]);
    assert_eq!(bench.keys(b"a", None, 100).await, [&b"a"[..], b"a\0", b"a/", b"a/b", b"a0"]);
    assert_eq!(bench.keys(b"a", Some(b"a"), 2).await, [&b"a\0"[..], b"a/"]);
    assert_eq!(bench.keys(&[0xFF], None, 100).await, [&[0xFF][..], &[0xFF, 0], &[0xFF, 0xFF]]);
    assert_eq!(bench.keys(&[0xFF, 0xFF], None, 100).await, [[0xFF, 0xFF]]);
    assert_eq!(bench.keys(&[0xFF], Some(&[0xFF, 0]), 100).await, [[0xFF, 0xFF]]);
    // A place before the prefix takes nothing away, one behind it leaves nothing.
    assert_eq!(bench.keys(b"a/", Some(b"\0"), 100).await, [&b"a/"[..], b"a/b"]);
    assert_eq!(bench.keys(b"a/", Some(b"b"), 100).await, Vec::<Vec<u8>>::new());
    assert_eq!(bench.keys(b"nothing", None, 100).await, Vec::<Vec<u8>>::new());
}

pub(crate) async fn what_exceeds_a_limit_is_refused(bench: &Bench) {
    let limits = bench.store.limits();
    let key = vec![b'k'; limits.key_bytes];
    let value = vec![7; limits.value_bytes];
    bench.write(vec![put(&key, &value)]).await;
    assert_eq!(bench.value(&key).await, Some(value.clone()));
    bench.write((0..limits.txn_ops).map(|i| put(i.to_be_bytes(), "")).collect()).await;

    let longer_key = vec![b'k'; limits.key_bytes + 1];
    let in_whole_values = limits.txn_bytes / limits.value_bytes;
    let too_large = [
        (vec![], vec![put(&longer_key, "")]),
        (vec![], vec![delete(&longer_key)]),
        (vec![expect(&longer_key, Expectation::Absent)], vec![]),
        (vec![], vec![put("a", vec![7; limits.value_bytes + 1])]),
        (vec![], (0..=limits.txn_ops).map(|i| put(i.to_be_bytes(), "")).collect()),
        (vec![], (0..=in_whole_values).map(|i| put(i.to_be_bytes(), &value)).collect()),
    ];
    let before = bench.store.current_rev().await.unwrap();
    for (compares, ops) in too_large {
        let refused = bench.store.commit(Epoch(0), bench.txn(compares, ops)).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    }
    assert_eq!(bench.store.current_rev().await.unwrap(), before);
}

pub(crate) async fn a_key_changed_twice_is_refused(bench: &Bench) {
    for ops in [vec![put("a", "1"), put("a", "2")], vec![put("a", "1"), put("b", "1"), delete("a")]] {
        let refused = bench.store.commit(Epoch(0), bench.txn(Vec::new(), ops)).await;
        assert!(matches!(refused, Err(StoreError::KeyTwice)), "{refused:?}");
    }
    assert_eq!(bench.keys(b"", None, 10).await, Vec::<Vec<u8>>::new());
}

pub(crate) async fn an_attempt_is_remembered_by_its_token(bench: &Bench) {
    let txn = bench.txn(Vec::new(), vec![put("a", "1")]);
    let token = txn.idem;
    assert_eq!(bench.store.outcome(token).await.unwrap(), Committed::Conflict(Vec::new()));
    let ended = bench.store.commit(Epoch(0), txn).await.unwrap();
    for _ in 0..30 {
        bench.write(vec![put("b", "1")]).await;
    }
    assert_eq!(bench.store.outcome(token).await.unwrap(), ended);
    assert_eq!(bench.store.outcome(bench.token()).await.unwrap(), Committed::Conflict(Vec::new()));
}

pub(crate) async fn a_token_commits_once(bench: &Bench) {
    let txn = bench.txn(vec![expect("a", Expectation::Absent)], vec![put("a", "1")]);
    let ended = bench.store.commit(Epoch(0), txn.clone()).await.unwrap();
    bench.write(vec![put("a", "2")]).await;
    assert_eq!(bench.store.commit(Epoch(0), txn).await.unwrap(), ended);
    assert_eq!(bench.value(b"a").await.unwrap(), b"2");
}

pub(crate) async fn changes_tell_every_commit_in_order(bench: &Bench) {
    assert_eq!(bench.store.changes(Revision(0), 10).await.unwrap(), Changes::Since(Vec::new()));
    let first = bench.write(vec![put("a", "1"), delete("b")]).await;
    let second = bench.write(vec![put("c", "1")]).await;
    let third = bench.write(Vec::new()).await;
    let told = |rev, keys: &[&str]| Change { rev, keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect() };
    let all = [told(first, &["a", "b"]), told(second, &["c"]), told(third, &[])];
    let since = async |rev, limit| bench.store.changes(rev, limit).await.unwrap();
    assert_eq!(since(Revision(0), 10).await, Changes::Since(all.to_vec()));
    assert_eq!(since(Revision(0), 2).await, Changes::Since(all[..2].to_vec()));
    assert_eq!(since(first, 10).await, Changes::Since(all[1..].to_vec()));
    assert_eq!(since(third, 10).await, Changes::Since(Vec::new()));
    assert_eq!(since(first, 0).await, Changes::Since(Vec::new()));
    // Whoever knows a later commit has seen a store that was put back to an earlier state.
    assert_eq!(since(Revision(third.0 + 1), 10).await, Changes::TooOld);
}

pub(crate) async fn changes_too_far_back_say_so(bench: &Bench) {
    let first = bench.txn(Vec::new(), vec![put("a", "1")]);
    let (first_token, mut last) = (first.idem, Revision(0));
    bench.store.commit(Epoch(0), first).await.unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let (store, txns) = (Arc::clone(&bench.store), (0..400).map(|_| bench.txn(Vec::new(), vec![])));
        let txns: Vec<_> = txns.collect();
        writers.spawn(async move {
            let mut last = Committed::Unknown;
            for txn in txns {
                last = store.commit(Epoch(0), txn).await.unwrap();
            }
            last
        });
    }
    while let Some(ended) = writers.join_next().await {
        if let Committed::At(rev) = ended.unwrap() {
            last = last.max(rev);
        }
    }
    assert!(last.0 > 25_000, "{last:?}");
    assert_eq!(bench.store.current_rev().await.unwrap(), last);
    assert_eq!(bench.store.changes(Revision(0), 10).await.unwrap(), Changes::TooOld);
    assert_eq!(bench.store.outcome(first_token).await.unwrap(), Committed::Conflict(Vec::new()));
    let Changes::Since(changes) = bench.store.changes(Revision(last.0 - 10_000), usize::MAX).await.unwrap() else {
        panic!("the last 10,000 commits are not remembered");
    };
    let told: Vec<u64> = changes.iter().map(|change| change.rev.0).collect();
    assert_eq!(told, (last.0 - 9_999..=last.0).collect::<Vec<_>>());
    // Forgetting history does not forget the data.
    assert_eq!(bench.value(b"a").await.unwrap(), b"1");
}

pub(crate) async fn a_lease_has_one_holder(bench: &Bench) {
    let first = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    assert_eq!(bench.store.acquire("leader", MINUTE).await.unwrap(), None);
    let other = bench.store.acquire("other", MINUTE).await.unwrap().unwrap();
    assert!(other.epoch > first.epoch);
    assert!(bench.store.renew(&first, MINUTE).await.unwrap());
}

pub(crate) async fn a_lease_ends_in_time_unless_it_is_renewed(bench: &Bench) {
    let first = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    bench.clock.advance(MINUTE / 2);
    assert!(bench.store.renew(&first, MINUTE).await.unwrap());
    bench.clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(bench.store.acquire("leader", MINUTE).await.unwrap(), None);
    bench.clock.advance(Duration::from_secs(1));
    assert!(!bench.store.renew(&first, MINUTE).await.unwrap());
    let second = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    assert!(!bench.store.renew(&first, MINUTE).await.unwrap());
}

pub(crate) async fn a_lease_given_back_is_free(bench: &Bench) {
    let first = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    bench.store.release(first.clone()).await.unwrap();
    assert!(!bench.store.renew(&first, MINUTE).await.unwrap());
    let second = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    // Giving back a lease that was lost takes nothing from the new holder.
    bench.store.release(first).await.unwrap();
    assert!(bench.store.renew(&second, MINUTE).await.unwrap());
}

pub(crate) async fn an_older_epoch_cannot_write(bench: &Bench) {
    let first = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    let write = async |epoch, value: &str| {
        bench.store.commit(epoch, bench.txn(Vec::new(), vec![put("a", value)])).await.unwrap()
    };
    assert!(matches!(write(first.epoch, "first").await, Committed::At(_)));
    assert_eq!(write(Epoch(0), "nobody").await, Committed::Fenced);
    bench.clock.advance(MINUTE);
    // The lease is over, but nobody else has begun.
    assert!(matches!(write(first.epoch, "late").await, Committed::At(_)));
    let second = bench.store.acquire("leader", MINUTE).await.unwrap().unwrap();
    let before = bench.store.current_rev().await.unwrap();
    assert_eq!(write(first.epoch, "too late").await, Committed::Fenced);
    assert_eq!(bench.store.current_rev().await.unwrap(), before);
    assert_eq!(bench.value(b"a").await.unwrap(), b"late");
    assert!(matches!(write(second.epoch, "second").await, Committed::At(_)));
}

pub(crate) async fn concurrent_commits_get_one_revision_each(bench: &Bench) {
    let mut writers = JoinSet::new();
    for i in 0..200u32 {
        let (store, txn) = (Arc::clone(&bench.store), bench.txn(Vec::new(), vec![put(i.to_be_bytes(), "1")]));
        writers.spawn(async move { (i, store.commit(Epoch(0), txn).await.unwrap()) });
    }
    let mut revs = Vec::new();
    while let Some(done) = writers.join_next().await {
        let (i, ended) = done.unwrap();
        let entry = bench.store.get(&i.to_be_bytes()).await.unwrap().unwrap();
        assert_eq!(ended, Committed::At(entry.rev));
        revs.push(entry.rev.0);
    }
    revs.sort_unstable();
    assert_eq!(revs, (1..=200).collect::<Vec<_>>());
}

pub(crate) async fn of_rivals_for_one_key_one_wins(bench: &Bench) {
    let mut rivals = JoinSet::new();
    for i in 0..100u32 {
        let compares = vec![expect("crown", Expectation::Absent)];
        let txn = bench.txn(compares, vec![put("crown", i.to_be_bytes()), put(i.to_be_bytes(), "crowned")]);
        let store = Arc::clone(&bench.store);
        rivals.spawn(async move { (i, store.commit(Epoch(0), txn).await.unwrap()) });
    }
    let mut winners = Vec::new();
    while let Some(done) = rivals.join_next().await {
        match done.unwrap() {
            (i, Committed::At(_)) => winners.push(i),
            (_, lost) => assert_eq!(lost, Committed::Conflict(vec![b"crown".to_vec()])),
        }
    }
    let [winner] = winners[..] else { panic!("{winners:?} all won") };
    assert_eq!(bench.value(b"crown").await.unwrap(), winner.to_be_bytes());
    assert_eq!(bench.keys(b"", None, 10).await.len(), 2);
}

pub(crate) async fn a_view_is_of_one_moment(bench: &Bench) {
    let puts = (0..500_u32).map(|n| put(format!("k{n:04}"), "x".repeat(100)));
    let rev = bench.write(puts.collect()).await;
    let mut view = bench.store.view().await.unwrap();
    let first = view.portion(1_000).unwrap();
    assert!((1..=10).contains(&first.len()), "{}", first.len());
    bench.write(vec![put("k0400", "later"), put("k0400x", "later"), delete("k0300")]).await;
    let mut seen = first;
    loop {
        let portion = view.portion(7_000).unwrap();
        if portion.is_empty() {
            break;
        }
        seen.extend(portion);
    }
    assert!(view.portion(1).unwrap().is_empty());
    let keys: Vec<_> = seen.iter().map(|entry| String::from_utf8(entry.key.clone()).unwrap()).collect();
    assert_eq!(keys, (0..500).map(|n| format!("k{n:04}")).collect::<Vec<_>>());
    assert!(seen.iter().all(|entry| entry.value == "x".repeat(100).as_bytes() && entry.rev == rev));
}

/// A row of a replacement, or what became of it on its way.
type Portion = Result<(Vec<u8>, Vec<u8>), StoreError>;

pub(crate) async fn everything_is_replaced_in_one_commit_or_nothing_is(bench: &Bench) {
    let before = bench.write(vec![put("a", "1"), put("b", "1")]).await;
    let row = |key: &str| Ok((key.as_bytes().to_vec(), b"2".to_vec()));
    let broken = || Err(StoreError::Full);
    let bad: [Vec<Portion>; 4] = [
        vec![row("b"), broken()],
        vec![row("c"), row("b")],
        vec![row("b"), row("b")],
        vec![row("b"), Ok((vec![1; 600], Vec::new()))],
    ];
    for rows in bad {
        bench.store.replace(Epoch(0), Box::new(rows.into_iter())).await.unwrap_err();
        assert_eq!(bench.store.current_rev().await.unwrap(), before);
        assert_eq!((bench.value(b"a").await.unwrap(), bench.value(b"b").await.unwrap()), (vec![b'1'], vec![b'1']));
    }
    let rows = vec![row("b"), row("c")];
    let Committed::At(rev) = bench.store.replace(Epoch(0), Box::new(rows.into_iter())).await.unwrap() else {
        panic!("nothing stands in the way")
    };
    assert!(rev > before);
    assert_eq!(bench.store.current_rev().await.unwrap(), rev);
    assert_eq!(bench.value(b"a").await, None);
    let listed = bench.store.list(b"", None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.key.as_slice()).collect::<Vec<_>>(), [b"b", b"c"]);
    assert!(listed.iter().all(|entry| entry.rev == rev && entry.value == b"2"));
    assert_eq!(bench.store.changes(before, 10).await.unwrap(), Changes::TooOld);
    let after = bench.write(vec![put("d", "3")]).await;
    assert!(after > rev);
    let Changes::Since(changes) = bench.store.changes(rev, 10).await.unwrap() else { panic!("it is not too old") };
    assert_eq!(changes, [Change { rev: after, keys: vec![b"d".to_vec()] }]);
}

pub(crate) async fn a_spool_keeps_what_is_written_and_has_no_name(bench: &Bench) {
    use std::io::{Read, Seek, Write};
    let (mut one, mut other) = (bench.store.spool().unwrap(), bench.store.spool().unwrap());
    one.write_all(b"first").unwrap();
    other.write_all(b"second").unwrap();
    one.rewind().unwrap();
    let mut text = String::new();
    one.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first");
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&one.metadata().unwrap()), 0);
}
