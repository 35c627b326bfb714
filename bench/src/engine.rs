//! The physical limits of a durable write: the disk's own syncs, and the storage engine (SQLite) with 64 writers who share
//! transactions and nothing above, once with a row as small as a value can be kept in, once with the rows that our server
//! keeps for a secret. Nothing of our store is between: it is one of the things that are measured.

use crate::server::Server;
use anyhow::Context;
use rusqlite::{CachedStatement, Connection, params};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Entry, Sqlite, Store};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The time of day.
pub(crate) struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "nothing here is repeated by turning a clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Syncs per second of one 4 KiB block, on the disk of the temporary folder.
pub(crate) fn syncs(span: Duration) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("sync"))?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < span {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// The rows of one commit, with the bytes of their values.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    /// Under a key of 33 bytes that nobody had before.
    value: usize,
    /// Under one of 65,536 keys of 3 bytes.
    page: Option<usize>,
}

impl Rows {
    /// One value of 400 bytes: what it takes to keep a small secret sealed.
    pub(crate) const SMALLEST: Self = Self { value: 400, page: None };

    /// What our server keeps for a new secret of this kind: its record, and the page that proves the record to be the
    /// latest. Read off the store of a server that was given some; what a commit writes besides, however many secrets it
    /// holds, is left out.
    pub(crate) async fn of_a_secret(program: &Path, body: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::over(program, folder.path())?;
        for number in 0..SAMPLE {
            server.client()?.expect("POST", &format!("secret/data/bench/write/{number}"), body).await?;
        }
        drop(server);
        let store = Sqlite::open(&folder.path().join("data/strongroom.db"), Arc::new(WallClock))?;
        let value = commonest(&store.list(&[1], None, usize::MAX).await?).context("the store holds no records")?;
        let page = commonest(&store.list(&[3], None, usize::MAX).await?);
        Ok(Self { value, page })
    }

    /// What they are called in the table.
    pub(crate) fn name(self) -> String {
        match self.page {
            Some(page) => format!("SQLite, rows of {} and {page} B", self.value),
            None => format!("SQLite, one row of {} B", self.value),
        }
    }

    /// The row's key is spread over the whole space, as the barrier's keys are.
    fn put(self, number: u64, put: &mut CachedStatement<'_>) -> rusqlite::Result<()> {
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let key = [&[1; 17], spread.as_slice(), &[0; 8]].concat();
        put.execute(params![key, vec![7_u8; self.value], number.cast_signed()])?;
        if let Some(page) = self.page {
            let [high, low, ..] = spread;
            put.execute(params![[3, high, low], vec![7_u8; page], number.cast_signed()])?;
        }
        Ok(())
    }
}

/// Secrets written to learn what one takes.
const SAMPLE: usize = 64;

/// The length that most of the values have.
fn commonest(rows: &[Entry]) -> Option<usize> {
    let mut counts = BTreeMap::<usize, usize>::new();
    rows.iter().for_each(|row| *counts.entry(row.value.len()).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(length, _)| length)
}

/// The storage engine over an empty file of its own, with one thread that writes: what waits while it commits is its next
/// transaction.
pub(crate) struct Engine {
    queue: SyncSender<Put>,
    numbers: Arc<AtomicU64>,
    _folder: TempDir,
}

/// The number of a row, and who waits for it to be durable.
type Put = (u64, oneshot::Sender<()>);

/// More than wait at any time.
const QUEUE: usize = 256;

/// As our server sets it up: pages of 8 KiB, 32 MiB of them in memory, values in the order in which they come, a log that is
/// synced with every transaction and moved into the file when it has 16 MiB.
const SETUP: &str = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 2048; PRAGMA cache_size = -32768;
    CREATE TABLE kv (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, rev INTEGER NOT NULL) STRICT;";

impl Engine {
    pub(crate) fn new(rows: Rows) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let connection = Connection::open(folder.path().join("engine.db"))?;
        connection.execute_batch(SETUP)?;
        let (queue, waiting) = sync_channel(QUEUE);
        // Ends when the last sender is gone, and with the first error: its writers are told by what they wait for.
        thread::spawn(move || write(&connection, rows, &waiting));
        Ok(Self { queue, numbers: Arc::default(), _folder: folder })
    }

    /// Commits per second of 64 writers.
    pub(crate) async fn run(&self, span: Duration) -> anyhow::Result<f64> {
        let before = self.numbers.load(Ordering::Relaxed);
        let start = Instant::now();
        let mut writers = JoinSet::new();
        for _ in 0..64 {
            let (queue, numbers) = (self.queue.clone(), Arc::clone(&self.numbers));
            writers.spawn(async move {
                while start.elapsed() < span {
                    let (durable, wait) = oneshot::channel();
                    queue.send((numbers.fetch_add(1, Ordering::Relaxed), durable))?;
                    wait.await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        let made = self.numbers.load(Ordering::Relaxed) - before;
        Ok(made as f64 / start.elapsed().as_secs_f64())
    }
}

fn write(connection: &Connection, rows: Rows, waiting: &Receiver<Put>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO kv (key, value, rev) VALUES (?1, ?2, ?3)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value, rev = excluded.rev";
    while let Ok(first) = waiting.recv() {
        let group: Vec<Put> = iter::once(first).chain(waiting.try_iter().take(QUEUE)).collect();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut put = connection.prepare_cached(sql)?;
        for (number, _) in &group {
            rows.put(*number, &mut put)?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        for (_, durable) in group {
            // Nobody waits any more when the span is over.
            let _ = durable.send(());
        }
    }
    Ok(())
}
