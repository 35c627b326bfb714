//! What the SQLite engine promises beyond `Store`: about its file, from one opening to the next.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{
    Changes, Committed, Compare, Epoch, Expectation, IdemToken, Op, Revision, Sqlite, Store, StoreError, Txn,
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

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::yield_now();
    }
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
        assert!(length < 66 * 1024 * 1024, "the log has {length} bytes after turn {turn}");
    }
    assert_eq!(count(&store).await, 320);
}

/// The other thread moves it, long before it is so long that writes have to wait for that.
#[tokio::test]
async fn the_log_starts_anew_while_writing_goes_on() {
    let folder = Folder::new();
    let store = open(&folder.path("store.db"));
    write(&store, 0..90, 200_000).await;
    // Big-endian, how often it was started anew ("Database File Format", 4.1).
    let log = folder.path("store.db-wal");
    let sequence = || {
        let mut header = [0; 16];
        std::io::Read::read_exact(&mut fs::File::open(&log).unwrap(), &mut header).unwrap();
        header[12..].to_vec()
    };
    let (first, begun) = (sequence(), std::time::Instant::now());
    for number in 90.. {
        if sequence() != first {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it was not started anew within a minute");
        write(&store, number..number + 1, 10).await;
    }
    let length = fs::metadata(&log).unwrap().len();
    assert!(length < 60 * 1024 * 1024, "the log had {length} bytes before it was started anew");
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
    later.execute_batch("PRAGMA user_version = 3").unwrap();
    later.close().unwrap();
    let refused = try_open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Foreign { .. }) && refused.to_string().contains("version 3"), "{refused}");
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
    let reader = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'journal'";
    let journal: u32 = reader.query_row(sql, [], |row| row.get(0)).unwrap();
    reader.close().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    for (_, page) in bytes
        .chunks_mut(8_192)
        .enumerate()
        .filter(|(number, _)| number + 1 != journal as usize)
        .filter(|(_, page)| page.windows(100).any(|part| part.iter().all(|byte| *byte == part[0] && *byte != 0)))
    {
        page[..64].fill(0xA5);
    }
    fs::write(&path, bytes).unwrap();
    let store = Sqlite::open_with_journal(&path, Arc::new(StoppedClock), 0).unwrap();
    assert!(matches!(store.integrity_check(), Err(StoreError::Damaged { .. })));
    let listed = store.list(b"", None, usize::MAX).await;
    assert!(matches!(listed, Err(StoreError::Damaged { .. })), "{:?}", listed.map(|entries| entries.len()));
    let mut ended = Vec::new();
    for number in 0..50 {
        ended.push(store.commit(Epoch(0), put(40_000 + number * 37, Vec::new())).await);
    }
    // The first lies in the journal; it is when it is to be moved to its place that the damage shows.
    let refused = |ended: &_| matches!(ended, Err(StoreError::Damaged { .. } | StoreError::Stopped { .. }));
    assert!(matches!(ended[0], Ok(Committed::At(_))) && ended[1..].iter().all(refused), "{ended:?}");
    assert!(store.get(&40_000_u128.to_be_bytes()).await.unwrap().is_some());
}

/// What was acknowledged is read from the journal; one that cannot be read, or whose commits are not in their order, would
/// hide it.
#[tokio::test]
async fn a_journal_that_cannot_be_read_is_named_and_the_store_not_opened() {
    let folder = Folder::new();
    // Revision, token, no changes.
    let commit = |rev: u64| format!("{rev:016x}{}00000000", "00".repeat(16));
    let rows =
        ["0102".to_owned(), commit(1), [commit(4), commit(3), commit(9)].concat(), [commit(2), commit(9)].concat()];
    for (number, row) in rows.iter().enumerate() {
        let path = folder.path(&format!("{number}.db"));
        let store = open(&path);
        write(&store, 0..2, 10).await;
        store.close().unwrap();
        let tool = rusqlite::Connection::open(&path).unwrap();
        tool.execute_batch(&format!("INSERT INTO journal VALUES (9, x'{row}')")).unwrap();
        tool.close().unwrap();
        let refused = try_open(&path).err().unwrap();
        assert!(matches!(refused, StoreError::Damaged { .. }) && refused.to_string().contains("journal"), "{refused}");
    }
}

/// Old commits are forgotten beside who asks for changes: what is told begins where it was asked for, or is too old.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_told_without_a_gap_while_old_commits_are_forgotten() {
    const COMMITS: u128 = 24_000;
    let folder = Folder::new();
    let store = Arc::new(Sqlite::open_with_journal(&folder.path("store.db"), Arc::new(StoppedClock), 2_000).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in (0..COMMITS).filter(|number| number % 64 == writer) {
                let txn = Txn { compares: Vec::new(), ops: Vec::new(), idem: IdemToken(number.to_be_bytes()) };
                store.commit(Epoch(0), txn).await.unwrap();
            }
        });
    }
    let (mut after, mut too_old) = (0, 0);
    while store.current_rev().await.unwrap() < Revision(COMMITS as u64) {
        match store.changes(Revision(after), 3).await.unwrap() {
            Changes::TooOld => (after, too_old) = (after + 20, too_old + 1),
            Changes::Since(changes) => {
                let told = changes.iter().map(|change| change.rev.0);
                assert!(told.eq((after + 1..).take(changes.len())), "after {after}: {changes:?}");
            }
        }
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert!(too_old > 0, "nothing was forgotten");
}

/// One key that is written again and again fills no more than the journal's room.
#[tokio::test]
async fn the_journal_stays_short_whatever_is_written() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = Sqlite::open_with_journal(&path, Arc::new(StoppedClock), 64 * 1024).unwrap();
    for number in 0..4_000_u128 {
        let op = Op::Put { key: b"the same".to_vec(), value: number.to_be_bytes().repeat(64) };
        let txn = Txn { compares: Vec::new(), ops: vec![op], idem: IdemToken(number.to_be_bytes()) };
        store.commit(Epoch(0), txn).await.unwrap();
    }
    assert_eq!(store.get(b"the same").await.unwrap().unwrap().value, 3_999_u128.to_be_bytes().repeat(64));
    assert_eq!(store.outcome(IdemToken(17_u128.to_be_bytes())).await.unwrap(), Committed::At(Revision(18)));
    store.close().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    assert!(length < 1024 * 1024, "4 MiB were written, and the file has {length} bytes");
}

/// Also one that was opened over what a killed server had left in the journal.
#[tokio::test]
async fn a_store_that_nobody_writes_to_puts_its_journal_and_its_log_away() {
    let folder = Folder::new();
    let written = open(&folder.path("written.db"));
    write(&written, 0..500, 1_000).await;
    for end in ["", "-wal"] {
        fs::copy(folder.path(&format!("written.db{end}")), folder.path(&format!("killed.db{end}"))).unwrap();
    }
    let killed = open(&folder.path("killed.db"));
    for (name, store) in [("written.db", written), ("killed.db", killed)] {
        let reader = rusqlite::Connection::open(folder.path(name)).unwrap();
        let sql = "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM kv), (SELECT max(rev) FROM commits)";
        let found =
            || reader.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap_or([-1_i64; 3]);
        wait_until("the journal is put away", || found() == [0, 500, 500]);
        let log = || fs::metadata(folder.path(&format!("{name}-wal"))).map_or(0, |log| log.len());
        wait_until("the log is put away", || log() == 0);
        assert_eq!(count(&store).await, 500);
    }
}

/// Who reads from the log while it should be put away only puts that off.
#[tokio::test]
async fn a_log_that_somebody_reads_from_is_put_away_when_he_is_done() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = open(&path);
    write(&store, 0..500, 1_000).await;
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0)).unwrap();
    let length = |path: &str| fs::metadata(folder.path(path)).map_or(0, |file| file.len());
    let before = length("store.db");
    wait_until("the log is being moved", || length("store.db") > before);
    // Waits for the end of this attempt.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    assert!(length("store.db-wal") > 0, "the log was put away under a reader");
    drop((reader, other));
    wait_until("the log is put away", || length("store.db-wal") == 0);
    assert_eq!(count(&store).await, 500);
}

/// Rows that replace everything also replace what waits in the journal, and what came before them does not come back.
#[tokio::test]
async fn what_waits_in_the_journal_is_replaced_too() {
    let folder = Folder::new();
    let path = folder.path("store.db");
    let store = open(&path);
    write(&store, 0..50, 100).await;
    let refused: strongroom_storage::Rows = Box::new([Ok((vec![1], vec![1])), Ok((vec![1], vec![2]))].into_iter());
    assert!(store.replace(Epoch(0), refused).await.is_err());
    assert_eq!(count(&store).await, 50);
    let rows: strongroom_storage::Rows = Box::new([Ok((vec![1], vec![1]))].into_iter());
    let replaced = store.replace(Epoch(0), rows).await.unwrap();
    assert_eq!((replaced, count(&store).await), (Committed::At(Revision(52)), 1));
    write(&store, 60..61, 100).await;
    store.close().unwrap();
    let store = open(&path);
    assert_eq!((store.current_rev().await.unwrap(), count(&store).await), (Revision(53), 2));
}

/// Earlier builds kept values in the order of their keys and had no journal; their stores are opened as they are.
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
             INSERT INTO old SELECT key, value, rev FROM kv; DROP TABLE kv; ALTER TABLE old RENAME TO kv;
             DROP TABLE journal; PRAGMA user_version = 1;",
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
