//! Somebody who can write the store, and what is noticed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_storage::Entry;
use support::*;

const RECORD: u8 = 1;
const NAMESPACE_KEY: u8 = 2;
const PAGE: u8 = 3;

struct Populated {
    store: Arc<Testing>,
    barrier: Arc<Barrier>,
    /// What is where, and as what it must be read.
    truth: Vec<(Address, String)>,
}

/// Records on several shelves of three namespaces, some written twice, some deleted again.
async fn populated(count: u8) -> Populated {
    let store = Arc::new(Testing::default());
    let barrier = init(&store).await.barrier;
    let mut truth = Vec::new();
    for number in 0..count {
        let shelf = Shelf::new(["token", "lease"][usize::from(number % 2)], namespace(number % 3));
        let at = if number % 4 < 2 { shelf.named([number]) } else { shelf.ordered(u64::from(number), "x") };
        barrier.commit(put(&at, "earlier").put(shelf.named("gone"), b"gone".to_vec())).await.unwrap();
        let value = format!("value {number:03}");
        barrier.commit(put(&at, &value).delete(shelf.named("gone"))).await.unwrap();
        truth.push((at, value));
    }
    Populated { store, barrier, truth }
}

impl Populated {
    async fn rows(&self) -> Vec<Entry> {
        rows(&self.store.inner).await
    }

    async fn rows_of(&self, kind: u8) -> Vec<Entry> {
        self.rows().await.into_iter().filter(|row| row.key[0] == kind).collect()
    }

    async fn set(&self, key: &[u8], value: Option<&[u8]>) {
        overwrite(&self.store.inner, vec![(key.to_vec(), value.map(<[u8]>::to_vec))]).await;
    }

    /// The row that holds the record: found by writing the record and looking which row has changed.
    async fn row_of(&self, at: &Address) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let before = self.rows_of(RECORD).await;
        let value = text(&self.barrier, at).await.unwrap().unwrap();
        self.barrier.commit(put(at, &value)).await.unwrap();
        let after = self.rows_of(RECORD).await;
        let changed = before.into_iter().zip(after).find(|(before, after)| before.value != after.value).unwrap();
        (changed.0.key, changed.0.value, changed.1.value)
    }
}

fn how<T>(result: Result<T, BarrierError>) -> (String, &'static str) {
    match result {
        Err(BarrierError::Tampered { kind, how }) => (kind, how),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nothing was noticed"),
    }
}

/// Reads everything; the number of errors. Wrong data fails the test.
async fn errors(barrier: &Barrier, truth: &[(Address, String)]) -> usize {
    let mut errors = 0;
    for (at, value) in truth {
        match text(barrier, at).await {
            Ok(found) => assert_eq!(found.as_ref(), Some(value)),
            Err(BarrierError::Tampered { .. }) => errors += 1,
            Err(other) => panic!("{other}"),
        }
    }
    errors
}

#[tokio::test]
async fn any_changed_byte_of_a_record_is_an_error_for_that_record_only() {
    let populated = populated(12).await;
    let rows = populated.rows_of(RECORD).await;
    assert_eq!(rows.len(), 12);
    for row in rows {
        for index in 0..row.value.len() {
            let mut changed = row.value.clone();
            changed[index] ^= 1 << (index % 8);
            populated.set(&row.key, Some(&changed)).await;
            assert_eq!(errors(&populated.barrier, &populated.truth).await, 1, "byte {index}");
        }
        for shorter in [0, 1, row.value.len() / 2, row.value.len() - 1] {
            populated.set(&row.key, Some(&row.value[..shorter])).await;
            assert_eq!(errors(&populated.barrier, &populated.truth).await, 1, "length {shorter}");
        }
        populated.set(&row.key, Some(&row.value)).await;
        assert_eq!(errors(&populated.barrier, &populated.truth).await, 0);
    }
}

#[tokio::test]
async fn any_changed_byte_of_the_bookkeeping_is_an_error_after_a_restart() {
    let populated = populated(6).await;
    populated.barrier.close().await;
    for row in populated.rows().await.into_iter().filter(|row| row.key[0] != RECORD) {
        for index in 0..row.value.len() {
            let mut changed = row.value.clone();
            changed[index] ^= 1 << (index % 8);
            populated.set(&row.key, Some(&changed)).await;
            match reopen(&populated.store).await {
                Err(_) => {}
                Ok(barrier) => {
                    let unused = barrier.verify_all().await.unwrap().len();
                    assert!(errors(&barrier, &populated.truth).await + unused > 0, "key {:?} byte {index}", row.key);
                }
            }
        }
        populated.set(&row.key, Some(&row.value)).await;
    }
    let barrier = reopen(&populated.store).await.unwrap();
    assert_eq!(errors(&barrier, &populated.truth).await, 0);
}

#[tokio::test]
async fn every_swap_of_two_blobs_is_refused() {
    let populated = populated(90).await;
    let mut rows = populated.rows_of(RECORD).await;
    rows.extend(populated.rows_of(NAMESPACE_KEY).await);
    assert_eq!(rows.len(), 93);
    let places = by_row(&populated, &rows).await;
    populated.barrier.close().await;
    let mut refused = 0;
    for one in 0..rows.len() {
        let barrier = reopen(&populated.store).await.unwrap();
        for other in one + 1..rows.len() {
            let swap = |a: usize, b: usize| (rows[a].key.clone(), Some(rows[b].value.clone()));
            overwrite(&populated.store.inner, vec![swap(one, other), swap(other, one)]).await;
            for index in [one, other] {
                if let Some(at) = places.get(&rows[index].key) {
                    assert!(matches!(barrier.get(at).await, Err(BarrierError::Tampered { .. })));
                    refused += 1;
                }
            }
            overwrite(&populated.store.inner, vec![swap(one, one), swap(other, other)]).await;
        }
    }
    assert_eq!(refused, 90 * 89 + 90 * 3);
    let barrier = reopen(&populated.store).await.unwrap();
    assert_eq!(errors(&barrier, &populated.truth).await, 0);
}

/// Which row holds which record, found by taking each row away.
async fn by_row(populated: &Populated, rows: &[Entry]) -> BTreeMap<Vec<u8>, Address> {
    let mut places = BTreeMap::new();
    for row in rows.iter().filter(|row| row.key[0] == RECORD) {
        populated.set(&row.key, None).await;
        for (at, _) in &populated.truth {
            if populated.barrier.get(at).await.is_err() {
                places.insert(row.key.clone(), at.clone());
            }
        }
        populated.set(&row.key, Some(&row.value)).await;
    }
    places
}

#[tokio::test]
async fn what_happened_to_a_record_is_named() {
    let populated = populated(8).await;
    let barrier = &populated.barrier;
    let at = populated.truth[0].0.clone();
    let other = populated.truth[2].0.clone();
    let (key, old, new) = populated.row_of(&at).await;
    let (_, _, foreign) = populated.row_of(&other).await;
    let gone = at.shelf.named("short-lived");

    populated.set(&key, Some(&old)).await;
    assert_eq!(how(barrier.get(&at).await), ("token".to_owned(), "rolled back to an earlier state"));
    populated.set(&key, None).await;
    assert_eq!(how(barrier.get(&at).await), ("token".to_owned(), "removed"));
    populated.set(&key, Some(&foreign)).await;
    assert_eq!(how(barrier.get(&at).await), ("token".to_owned(), "moved from another place"));
    let mut altered = new.clone();
    altered[100] ^= 1;
    populated.set(&key, Some(&altered)).await;
    assert_eq!(how(barrier.get(&at).await), ("token".to_owned(), "altered"));
    assert_eq!(how(barrier.scan(&at.shelf, None, 100).await), ("token".to_owned(), "altered"));
    populated.set(&key, Some(&new)).await;

    let before = populated.rows_of(RECORD).await;
    barrier.commit(put(&gone, "x")).await.unwrap();
    let added = populated.rows_of(RECORD).await.into_iter().find(|row| before.iter().all(|known| known.key != row.key));
    let added = added.unwrap();
    barrier.commit(Txn::new().delete(gone.clone())).await.unwrap();
    populated.set(&added.key, Some(&added.value)).await;
    assert_eq!(how(barrier.get(&gone).await), ("token".to_owned(), "added"));
    assert_eq!(how(barrier.scan(&gone.shelf, None, 100).await), ("token".to_owned(), "added"));
    populated.set(&added.key, None).await;
    assert_eq!(errors(barrier, &populated.truth).await, 0);
    assert_eq!(barrier.verify_all().await.unwrap(), []);
}

#[tokio::test]
async fn an_old_record_with_its_old_page_is_noticed_after_a_restart() {
    let populated = populated(8).await;
    let at = populated.truth[1].0.clone();
    let pages = populated.rows_of(PAGE).await;
    let (key, old, _) = populated.row_of(&at).await;
    let page = pages.into_iter().find(|page| page.key[1..] == key[key.len() - 2..]).unwrap();
    populated.barrier.close().await;
    populated.set(&key, Some(&old)).await;
    populated.set(&page.key, Some(&page.value)).await;
    let barrier = reopen(&populated.store).await.unwrap();
    assert_eq!(how(barrier.get(&at).await), ("freshness-page".to_owned(), "rolled back to an earlier state"));
    populated.set(&page.key, None).await;
    assert_eq!(how(barrier.get(&at).await), ("freshness-page".to_owned(), "removed"));
}

#[tokio::test]
async fn an_old_head_is_noticed_where_anything_has_changed_since() {
    let populated = populated(8).await;
    let at = populated.truth[1].0.clone();
    let head = populated.rows().await.into_iter().find(|row| row.key[0] == 5).unwrap();
    populated.barrier.commit(put(&at, "newer")).await.unwrap();
    let seen = populated.barrier.health().generation;
    populated.barrier.close().await;
    populated.set(&head.key, Some(&head.value)).await;
    let barrier = reopen(&populated.store).await.unwrap();
    assert_eq!(how(barrier.get(&at).await), ("freshness-head".to_owned(), "rolled back to an earlier state"));
    assert!(matches!(barrier.check_generation(seen), Err(BarrierError::RolledBack { .. })));
}

#[tokio::test]
async fn middles_are_checked_when_the_store_is_opened() {
    const MIDDLE: u8 = 4;
    let populated = populated(4).await;
    // More than the head has room for.
    let many =
        |value: u8| (0..900_u16).fold(Txn::new(), |txn, n| txn.put(shelf("k").named(n.to_be_bytes()), vec![value]));
    populated.barrier.commit(many(1)).await.unwrap();
    let old = populated.rows_of(MIDDLE).await;
    populated.barrier.commit(many(2)).await.unwrap();
    populated.barrier.close().await;
    let new = populated.rows_of(MIDDLE).await;
    let (old, new) = old
        .iter()
        .find_map(|old| Some((old, new.iter().find(|new| new.key == old.key && new.value != old.value)?)))
        .unwrap();
    let kind = || "freshness-middle".to_owned();
    populated.set(&new.key, Some(&old.value)).await;
    assert_eq!(how(reopen(&populated.store).await), (kind(), "rolled back to an earlier state"));
    populated.set(&new.key, None).await;
    assert_eq!(how(reopen(&populated.store).await), (kind(), "removed"));
    let mut altered = new.value.clone();
    altered[500] ^= 1;
    populated.set(&new.key, Some(&altered)).await;
    assert_eq!(how(reopen(&populated.store).await), (kind(), "altered"));
    populated.set(&new.key, Some(&new.value)).await;
    let barrier = reopen(&populated.store).await.unwrap();
    assert_eq!(errors(&barrier, &populated.truth).await, 0);
    assert_eq!(barrier.scan(&shelf("k"), None, 1_000).await.unwrap().len(), 900);
}

#[tokio::test]
async fn a_store_put_back_as_a_whole_is_noticed_by_its_generation() {
    let populated = populated(4).await;
    let snapshot = populated.rows().await;
    populated.barrier.commit(put(&populated.truth[0].0, "revoked")).await.unwrap();
    let seen = populated.barrier.health().generation;
    populated.barrier.check_generation(seen).unwrap();
    populated.barrier.close().await;
    let now = populated.rows().await.into_iter().map(|row| (row.key, None)).collect::<Vec<_>>();
    overwrite(&populated.store.inner, now).await;
    overwrite(&populated.store.inner, snapshot.into_iter().map(|row| (row.key, Some(row.value))).collect()).await;
    let barrier = reopen(&populated.store).await.unwrap();
    assert_eq!(errors(&barrier, &populated.truth).await, 0, "the old state is sound in itself");
    let Err(BarrierError::RolledBack { found, expected }) = barrier.check_generation(seen) else { panic!() };
    assert!(found < expected);
}

#[tokio::test]
async fn verifying_everything_finds_what_nobody_has_asked_for() {
    let populated = populated(10).await;
    let rows = populated.rows_of(RECORD).await;
    let keys = populated.rows_of(NAMESPACE_KEY).await;
    let pages = populated.rows_of(PAGE).await;
    let spare =
        pages.iter().find(|page| rows.iter().chain(&keys).all(|row| row.key[row.key.len() - 2..] != page.key[1..]));
    let mut altered = rows[1].value.clone();
    altered[90] ^= 1;
    populated.set(&rows[0].key, None).await;
    populated.set(&rows[1].key, Some(&altered)).await;
    populated.set(&rows[2].key, Some(&rows[3].value)).await;
    populated.set(&[&rows[4].key[..39.min(rows[4].key.len() - 2)], &[7, 7]].concat(), Some(&rows[4].value)).await;
    populated.set(&keys[0].key, None).await;
    populated.set(&spare.unwrap().key, Some(b"nonsense")).await;
    populated.set(b"\x09what", Some(b"ever")).await;
    let findings = populated.barrier.verify_all().await.unwrap();
    let mut found: Vec<_> = findings.iter().map(|finding| (finding.kind.as_str(), finding.how)).collect();
    found.sort();
    let kinds: Vec<_> =
        found.iter().filter(|(kind, _)| ["token", "lease"].contains(kind)).map(|(_, how)| *how).collect();
    assert_eq!(kinds.len(), 3, "{found:?}");
    for how in ["removed", "altered", "moved from another place"] {
        assert!(kinds.contains(&how), "{found:?}");
    }
    assert!(found.contains(&("namespace-key", "removed")), "{found:?}");
    assert!(
        found.contains(&("freshness-page", "moved from another place"))
            || found.contains(&("freshness-page", "altered"))
    );
    assert!(found.contains(&("unknown", "added")), "{found:?}");
    assert_eq!(found.len(), 7, "{found:?}");
}

#[tokio::test]
async fn a_store_that_lost_its_seal_record_is_not_taken_for_a_new_one() {
    let populated = populated(2).await;
    populated.barrier.close().await;
    populated.set(b"\x00seal", None).await;
    assert_eq!(how(try_door(&populated.store).await), ("seal".to_owned(), "removed"));
}

#[tokio::test]
async fn names_and_values_are_nowhere_in_the_store() {
    let store = Arc::new(Testing::default());
    let barrier = init(&store).await.barrier;
    let canary = "canary-3f9a";
    let shelf = Shelf::new("secret-head", namespace(3)).within(format!("folder-{canary}"));
    barrier.commit(put(&shelf.named(format!("name-{canary}")), &format!("value-{canary}"))).await.unwrap();
    barrier.commit(put(&shelf.ordered(4, format!("numbered-{canary}")), canary)).await.unwrap();
    let secret = SecretId::from_bytes([1; 16]);
    let binding = ValueBinding {
        namespace: namespace(3),
        mount: MountId::from_bytes([2; 16]),
        secret,
        version: VersionNumber::FIRST,
    };
    let key = barrier.new_secret_key(namespace(3), secret).await.unwrap();
    let value = barrier.seal_value(&key, binding, canary.as_bytes()).await.unwrap();
    barrier.commit(Txn::new().put(shelf.named("v"), value.as_bytes().to_vec())).await.unwrap();
    barrier.close().await;
    let (scope, key) = (namespace(3), key_file());
    let hidden: [&[u8]; 5] = [canary.as_bytes(), b"secret-head", b"folder", scope.as_bytes(), key.expose()];
    for row in rows(&store.inner).await {
        let bytes = [row.key, row.value].concat();
        for word in hidden {
            let hexed = hex::encode(word);
            assert!(!contains(&bytes, word) && !contains(&bytes, hexed.as_bytes()), "{hexed}");
        }
    }
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// A counted shelf with that many names on it.
async fn counted(store: &Arc<Testing>, names: u8) -> (Arc<Barrier>, Shelf) {
    let (barrier, shelf) = (init(store).await.barrier, shelf("name").counted());
    for name in 0..names {
        barrier.commit(put(&shelf.named([name]), "one")).await.unwrap();
    }
    (barrier, shelf)
}

async fn list(barrier: &Barrier, shelf: &Shelf) -> Result<usize, BarrierError> {
    let before = barrier.count(shelf).await?;
    let seen = barrier.scan(shelf, None, 1_000).await?.len();
    assert!(barrier.is_whole(shelf, before, seen).await?, "nobody has changed anything meanwhile");
    Ok(seen)
}

#[tokio::test]
async fn a_list_of_a_counted_shelf_notices_each_record_that_was_cut_out_and_none_that_was_removed() {
    let store = Arc::new(Testing::default());
    let (barrier, shelf) = counted(&store, 5).await;
    barrier.commit(put(&shelf.named([1]), "again").delete(shelf.named([2])).delete(shelf.named("none"))).await.unwrap();
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 4);
    barrier.close().await;
    let rows: Vec<_> = rows(&store.inner).await.into_iter().filter(|row| row.key[0] == RECORD).collect();
    assert_eq!(rows.len(), 4);
    for row in rows {
        overwrite(&store.inner, vec![(row.key.clone(), None)]).await;
        let barrier = reopen(&store).await.unwrap();
        assert_eq!(how(list(&barrier, &shelf).await), ("name".to_owned(), "removed"));
        assert_eq!(barrier.scan(&shelf, None, 1_000).await.unwrap().len(), 3);
        barrier.close().await;
        overwrite(&store.inner, vec![(row.key, Some(row.value))]).await;
    }
    let barrier = reopen(&store).await.unwrap();
    for name in [0, 1, 3, 4] {
        barrier.commit(Txn::new().delete(shelf.named([name]))).await.unwrap();
    }
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 0);
    barrier.commit(put(&shelf.named("new"), "one")).await.unwrap();
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 1);
}

#[tokio::test]
async fn a_row_that_somebody_put_into_an_empty_shelf_does_not_keep_it_from_being_counted() {
    let store = Arc::new(Testing::default());
    let (barrier, shelf) = counted(&store, 1).await;
    let row = rows(&store.inner).await.into_iter().find(|row| row.key[0] == RECORD).unwrap();
    barrier.commit(Txn::new().delete(shelf.named([0]))).await.unwrap();
    overwrite(&store.inner, vec![(row.key.clone(), Some(row.value))]).await;
    barrier.commit(put(&shelf.named("a"), "one").put(shelf.named("b"), b"two".to_vec())).await.unwrap();
    overwrite(&store.inner, vec![(row.key, None)]).await;
    let both: Vec<_> = rows(&store.inner).await.into_iter().filter(|row| row.key[0] == RECORD).collect();
    assert_eq!((both.len(), list(&barrier, &shelf).await.unwrap()), (2, 2));
    overwrite(&store.inner, vec![(both[0].key.clone(), None)]).await;
    assert_eq!(how(list(&barrier, &shelf).await), ("name".to_owned(), "removed"));
}

#[tokio::test]
async fn a_shelf_that_was_filled_before_anybody_counted_is_read_as_it_is() {
    let store = Arc::new(Testing::default());
    let barrier = init(&store).await.barrier;
    let (old, shelf) = (shelf("name"), shelf("name").counted());
    barrier.commit(put(&old.named("a"), "one")).await.unwrap();
    barrier.commit(put(&shelf.named("b"), "two")).await.unwrap();
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 2);
    barrier.commit(Txn::new().delete(shelf.named("a")).delete(shelf.named("b"))).await.unwrap();
    barrier.commit(put(&shelf.named("c"), "three").put(shelf.named("d"), b"four".to_vec())).await.unwrap();
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 2);
    barrier.commit(Txn::new().delete(shelf.named("c"))).await.unwrap();
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 1);
}

#[tokio::test]
async fn a_list_taken_beside_writers_is_never_called_tampered_with() {
    let store = Arc::new(Testing::default());
    let (barrier, shelf) = counted(&store, 3).await;
    let writing = async {
        for round in 10..60_u8 {
            let (one, other) = (barrier.clone(), barrier.clone());
            let (first, second) = (put(&shelf.named([round]), "x"), put(&shelf.named([round, 0]), "y"));
            let (a, b) = tokio::join!(one.commit(first), other.commit(second));
            a.and(b).unwrap();
            barrier.commit(Txn::new().delete(shelf.named([round]))).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..200 {
            let before = barrier.count(&shelf).await.unwrap();
            let seen = barrier.scan(&shelf, None, 1_000).await.unwrap().len();
            barrier.is_whole(&shelf, before, seen).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, reading);
    assert_eq!(list(&barrier, &shelf).await.unwrap(), 53);
}

/// Who is about to write asks the page alone: it vouches for what is there, and a row that it does not list is in nobody's
/// way.
#[tokio::test]
async fn a_row_that_nothing_vouches_for_is_not_listed_and_is_written_over() {
    let populated = populated(4).await;
    let (barrier, at) = (&populated.barrier, &populated.truth[0].0);
    let (key, _, latest) = populated.row_of(at).await;
    populated.set(&key, None).await;
    assert!(barrier.lists(at).await.unwrap());
    assert_eq!(how(barrier.get(at).await).1, "removed");
    barrier.commit(Txn::new().delete(at.clone())).await.unwrap();
    populated.set(&key, Some(&latest)).await;
    assert!(!barrier.lists(at).await.unwrap());
    assert_eq!(how(barrier.get(at).await).1, "added");
    barrier.commit(put(at, "new").expect_absent(at.clone())).await.unwrap();
    assert_eq!(text(barrier, at).await.unwrap().as_deref(), Some("new"));
    assert!(barrier.lists(at).await.unwrap());
    assert_eq!(barrier.verify_all().await.unwrap(), []);
    barrier.close().await;
    for page in populated.rows_of(PAGE).await {
        populated.set(&page.key, None).await;
    }
    assert_eq!(how(reopen(&populated.store).await.unwrap().lists(at).await).1, "removed");
}
