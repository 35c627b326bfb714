//! What the SQLite engine promises beyond `Store`: about its file, from one opening to the next.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{
    Committed, Compare, Epoch, Expectation, IdemToken, Op, Revision, Sqlite, Store, StoreError, Txn,
};

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn open(path: &Path) -> Sqlite {
    try_open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn try_open(path: &Path) -> Result<Sqlite, StoreError> {
    Sqlite::open(path, Arc::new(StoppedClock))
}

fn put(number: u128, value: Vec<u8>) -> Txn {
    let op = Op::Put { key: number.to_be_bytes().to_vec(), value };
    Txn { compares: Vec::new(), ops: vec![op], idem: IdemToken(number.to_be_bytes()) }
}

async fn write(store: &Sqlite, numbers: std::ops::Range<u128>, size: usize) {
    for number in numbers {
        let ended = store.commit(Epoch(0), put(number, vec![number as u8; size])).await.unwrap();
        assert!(matches!(ended, Committed::At(_)), "{ended:?}");
    }
}

async fn count(store: &Sqlite) -> usize {
    store.list(b"", None, usize::MAX).await.unwrap().len()
}

#[tokio::test]
async fn everything_outlives_the_process() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = open(&path);
    write(&store, 0..100, 10).await;
    store.close().unwrap();
    let store = open(&path);
    assert_eq!(count(&store).await, 100);
    assert_eq!(store.current_rev().await.unwrap(), Revision(100));
    assert_eq!(store.outcome(IdemToken(7u128.to_be_bytes())).await.unwrap(), Committed::At(Revision(8)));
    write(&store, 100..101, 10).await;
    assert_eq!(store.current_rev().await.unwrap(), Revision(101));
}

#[tokio::test]
async fn a_closed_store_is_a_single_file() {
    let folder = Folder::new();
    let store = open(&folder.path("store.db"));
    write(&store, 0..100, 1_000).await;
    drop(store);
    let mut names: Vec<_> = fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["store.db", "store.db.lock"]);
    fs::copy(folder.path("store.db"), folder.path("copy.db")).unwrap();
    assert_eq!(count(&open(&folder.path("copy.db"))).await, 100);
}

#[tokio::test]
async fn a_restart_ends_leases_but_not_fences() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = open(&path);
    let first = store.acquire("leader", Duration::from_secs(3_600)).await.unwrap().unwrap();
    assert_eq!(store.acquire("leader", Duration::from_secs(3_600)).await.unwrap(), None);
    drop(store);
    let store = open(&path);
    assert!(!store.renew(&first, Duration::from_secs(3_600)).await.unwrap());
    let second = store.acquire("leader", Duration::from_secs(3_600)).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(store.commit(first.epoch, put(1, Vec::new())).await.unwrap(), Committed::Fenced);
}

#[tokio::test]
async fn the_log_stays_short_under_steady_writing() {
    let folder = Folder::new();
    let store = open(&folder.path("store.db"));
    for turn in 0..8 {
        write(&store, turn * 40..turn * 40 + 40, 200_000).await;
        let length = fs::metadata(folder.path("store.db-wal")).unwrap().len();
        assert!(length < 18 * 1024 * 1024, "the log has {length} bytes after turn {turn}");
    }
    assert_eq!(count(&store).await, 320);
}

#[tokio::test]
async fn a_backup_holds_one_moment_and_opens_as_a_store() {
    let folder = Folder::new();
    let store = open(&folder.path("store.db"));
    write(&store, 0..500, 3_000).await;
    let copy = folder.path("copy.db");
    store.backup(&copy).unwrap();
    write(&store, 500..600, 3_000).await;
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.path("copy.db.partial").exists());
    let copied = open(&copy);
    copied.integrity_check().unwrap();
    assert_eq!(copied.current_rev().await.unwrap(), Revision(500));
    assert_eq!(copied.list(b"", None, usize::MAX).await.unwrap(), store.list(b"", None, 500).await.unwrap());
}

#[tokio::test]
async fn a_backup_under_writing_is_whole() {
    let folder = Folder::new();
    let store = Arc::new(open(&folder.path("store.db")));
    write(&store, 0..300, 10_000).await;
    let writing = {
        let store = Arc::clone(&store);
        async move { write(&store, 300..600, 1_000).await }
    };
    let copying = {
        let (store, copy) = (Arc::clone(&store), folder.path("copy.db"));
        tokio::task::spawn_blocking(move || store.backup(&copy))
    };
    let (copied, ()) = tokio::join!(copying, writing);
    copied.unwrap().unwrap();
    let copied = open(&folder.path("copy.db"));
    copied.integrity_check().unwrap();
    let rev = copied.current_rev().await.unwrap().0;
    assert!((300..=600).contains(&rev), "{rev}");
    assert_eq!(count(&copied).await as u64, rev);
    assert_eq!(count(&store).await, 600);
}

#[tokio::test]
async fn a_backup_overwrites_nothing() {
    let folder = Folder::new();
    let store = open(&folder.path("store.db"));
    fs::write(folder.path("precious"), "precious").unwrap();
    assert!(matches!(store.backup(&folder.path("precious")), Err(StoreError::Io { .. })));
    assert_eq!(fs::read(folder.path("precious")).unwrap(), b"precious");
    assert!(!folder.path("precious.partial").exists());
    assert!(matches!(store.backup(&folder.path("no such folder/copy.db")), Err(StoreError::Io { .. })));
}

#[test]
fn files_of_others_are_refused_and_left_as_they_are() {
    let folder = Folder::new();
    fs::write(folder.path("text"), "not a store, but somebody's notes".repeat(100)).unwrap();
    let other = rusqlite::Connection::open(folder.path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE notes (note TEXT)").unwrap();
    other.close().unwrap();
    for name in ["text", "other.db"] {
        let before = fs::read(folder.path(name)).unwrap();
        assert!(matches!(try_open(&folder.path(name)), Err(StoreError::Foreign { .. })), "{name}");
        assert_eq!(fs::read(folder.path(name)).unwrap(), before, "{name}");
    }
}

#[test]
fn a_store_of_a_later_version_is_refused() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    open(&path).close().unwrap();
    let later = rusqlite::Connection::open(&path).unwrap();
    later.execute_batch("PRAGMA user_version = 2").unwrap();
    later.close().unwrap();
    let refused = try_open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Foreign { .. }) && refused.to_string().contains("version 2"), "{refused}");
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = Folder::new();
    fs::write(folder.path("store.db"), "").unwrap();
    open(&folder.path("store.db")).integrity_check().unwrap();
}

#[test]
fn a_path_that_cannot_hold_a_store_is_an_error() {
    let folder = Folder::new();
    for path in [folder.0.path().to_owned(), PathBuf::from("/"), PathBuf::from(""), PathBuf::from("/dev/null/store")] {
        assert!(matches!(try_open(&path), Err(StoreError::Io { .. })), "{}", path.display());
    }
}

#[tokio::test]
async fn commits_are_refused_while_a_tool_locks_the_file_and_resume_after() {
    let folder = Folder::new();
    let store = open(&folder.path("store.db"));
    write(&store, 0..10, 10).await;
    let tool = rusqlite::Connection::open(folder.path("store.db")).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.commit(Epoch(0), put(10, Vec::new())).await;
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    assert_eq!(count(&store).await, 10);
    tool.execute_batch("ROLLBACK").unwrap();
    write(&store, 10..20, 10).await;
    assert_eq!(store.current_rev().await.unwrap(), Revision(20));
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = open(&path);
    write(&store, 0..2_000, 500).await;
    store.integrity_check().unwrap();
    store.close().unwrap();
    // Every page that holds values loses its beginning; the other tables stay as they are.
    let mut bytes = fs::read(&path).unwrap();
    for page in bytes
        .chunks_mut(8_192)
        .filter(|page| page.windows(100).any(|part| part.iter().all(|byte| *byte == part[0] && *byte != 0)))
    {
        page[..64].fill(0xA5);
    }
    fs::write(&path, bytes).unwrap();
    let store = open(&path);
    assert!(matches!(store.integrity_check(), Err(StoreError::Damaged { .. })));
    let listed = store.list(b"", None, usize::MAX).await;
    assert!(matches!(listed, Err(StoreError::Damaged { .. })), "{:?}", listed.map(|entries| entries.len()));
    let mut ended = Vec::new();
    for number in 0..50 {
        ended.push(store.commit(Epoch(0), put(40_000 + number * 37, Vec::new())).await);
    }
    assert!(ended.iter().all(|ended| matches!(ended, Err(StoreError::Damaged { .. } | StoreError::Stopped { .. }))));
}

/// Earlier builds kept values in the order of their keys; their stores are opened as they are.
#[tokio::test]
async fn a_store_laid_out_as_by_earlier_builds_works_like_one_of_today() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = open(&path);
    write(&store, 0..60, 900).await;
    let before = store.list(b"", None, usize::MAX).await.unwrap();
    store.close().unwrap();
    let earlier = rusqlite::Connection::open(&path).unwrap();
    earlier
        .execute_batch(
            "CREATE TABLE old (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, rev INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO old SELECT key, value, rev FROM kv; DROP TABLE kv; ALTER TABLE old RENAME TO kv;",
        )
        .unwrap();
    earlier.close().unwrap();
    let store = open(&path);
    assert_eq!(store.list(b"", None, usize::MAX).await.unwrap(), before);
    let key = |number: u128| number.to_be_bytes().to_vec();
    let compares = vec![Compare { key: key(3), expect: Expectation::RevIs(Revision(4)) }];
    let ops = vec![Op::Put { key: key(3), value: b"new".to_vec() }, Op::Delete { key: key(5) }];
    let change = Txn { compares, ops, idem: IdemToken([0xFF; 16]) };
    assert_eq!(store.commit(Epoch(0), change.clone()).await.unwrap(), Committed::At(Revision(61)));
    let stale = Txn { idem: IdemToken([0xFE; 16]), ..change };
    assert_eq!(store.commit(Epoch(0), stale).await.unwrap(), Committed::Conflict(vec![key(3)]));
    write(&store, 60..70, 10).await;
    store.close().unwrap();
    let store = open(&path);
    store.integrity_check().unwrap();
    assert_eq!(store.get(&key(3)).await.unwrap().unwrap().value, b"new");
    assert!(store.get(&key(5)).await.unwrap().is_none());
    assert_eq!(count(&store).await, 69);
}
