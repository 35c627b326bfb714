//! The physical limits of a durable write: the disk's own syncs, and the storage engine with 64 writers and nothing above.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Epoch, IdemToken, Op, Sqlite, Store, Txn};
use tokio::task::JoinSet;

/// What was measured.
pub(crate) struct Limits {
    /// Syncs per second of one 4 KiB block.
    pub(crate) syncs: f64,
    /// Commits per second of 64 writers with one value of 400 bytes each.
    pub(crate) coalesced: f64,
}

/// The time of day.
pub(crate) struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "nothing here is repeated by turning a clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Measures both in a folder of its own on the disk of the temporary folder.
pub(crate) async fn limits(span: Duration) -> anyhow::Result<Limits> {
    let folder = tempfile::tempdir()?;
    Ok(Limits { syncs: syncs(folder.path(), span)?, coalesced: coalesced(folder.path(), span).await? })
}

fn syncs(folder: &std::path::Path, span: Duration) -> anyhow::Result<f64> {
    let mut file = File::create(folder.join("sync"))?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < span / 2 {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

async fn coalesced(folder: &std::path::Path, span: Duration) -> anyhow::Result<f64> {
    let store = Arc::new(Sqlite::open(&folder.join("engine.db"), Arc::new(WallClock))?);
    let numbers = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let (store, numbers) = (Arc::clone(&store), Arc::clone(&numbers));
        writers.spawn(async move {
            while start.elapsed() < span {
                store.commit(Epoch::default(), txn(numbers.fetch_add(1, Ordering::Relaxed))).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(numbers.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

/// A commit of one value under a key that is spread over the whole space, as the barrier's keys are.
fn txn(number: u64) -> Txn {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = spread.to_be_bytes().to_vec();
    key.extend_from_slice(&[0; 25]);
    let idem = IdemToken(u128::from(number).to_be_bytes());
    Txn { compares: Vec::new(), ops: vec![Op::Put { key, value: vec![7; 400] }], idem }
}
