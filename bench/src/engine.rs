//! The physical limits of a durable write: the disk's own syncs, and the storage engine with 64 writers and nothing above,
//! once with a row as small as a value can be kept in, once with the rows that our server keeps for a secret.

use crate::server::Server;
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Entry, Epoch, IdemToken, Op, Sqlite, Store, Txn};
use tempfile::TempDir;
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
            Some(page) => format!("engine, rows of {} and {page} B", self.value),
            None => format!("engine, one row of {} B", self.value),
        }
    }

    /// The row's key is spread over the whole space, as the barrier's keys are.
    fn txn(self, number: u64) -> Txn {
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let key = [&[1; 17], spread.as_slice(), &[0; 8]].concat();
        let mut ops = vec![Op::Put { key, value: vec![7; self.value] }];
        let [high, low, ..] = spread;
        ops.extend(self.page.map(|page| Op::Put { key: vec![3, high, low], value: vec![7; page] }));
        Txn { compares: Vec::new(), ops, idem: IdemToken(u128::from(number).to_be_bytes()) }
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

/// The storage engine over an empty file of its own.
pub(crate) struct Engine {
    store: Arc<Sqlite>,
    rows: Rows,
    numbers: Arc<AtomicU64>,
    _folder: TempDir,
}

impl Engine {
    pub(crate) fn new(rows: Rows) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Arc::new(Sqlite::open(&folder.path().join("engine.db"), Arc::new(WallClock))?);
        Ok(Self { store, rows, numbers: Arc::default(), _folder: folder })
    }

    /// Commits per second of 64 writers.
    pub(crate) async fn run(&self, span: Duration) -> anyhow::Result<f64> {
        let before = self.numbers.load(Ordering::Relaxed);
        let start = Instant::now();
        let mut writers = JoinSet::new();
        for _ in 0..64 {
            let (store, numbers, rows) = (Arc::clone(&self.store), Arc::clone(&self.numbers), self.rows);
            writers.spawn(async move {
                while start.elapsed() < span {
                    store.commit(Epoch::default(), rows.txn(numbers.fetch_add(1, Ordering::Relaxed))).await?;
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
