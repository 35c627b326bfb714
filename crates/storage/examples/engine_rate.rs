//! How fast the SQLite engine is on this disk, with the disk's own syncs beside it:
//! `cargo run --release -p strongroom-storage --example engine_rate [folder]`.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Committed, Epoch, IdemToken, Op, Sqlite, Store, Txn};
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(3);

/// A sealed record of a short secret has about this size.
const VALUE: usize = 400;

const KEYS: u64 = 100_000;

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    println!("fsync of one 8 KiB page   {:>9}/s", syncs(folder.path())?);
    let store = Arc::new(Sqlite::open(&folder.path().join("store.db"), Arc::new(StoppedClock))?);
    fill(&store).await?;
    for writers in [1, 8, 64] {
        println!("commits, {writers:>2} writers       {:>9}/s", commits(&store, writers).await?);
    }
    for readers in [1, 8] {
        println!("gets, {readers:>2} readers          {:>9}/s", gets(&store, readers).await?);
    }
    let store = Arc::into_inner(store).ok_or("somebody still uses the store")?;
    store.close()?;
    println!("fsync of one 8 KiB page   {:>9}/s", syncs(folder.path())?);
    Ok(())
}

fn syncs(folder: &Path) -> Outcome<u64> {
    let mut file = File::create(folder.join("syncs"))?;
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < SPAN / 3 {
        file.write_all(&[7; 8_192])?;
        file.sync_all()?;
        count += 1;
    }
    Ok(per_second(count, begun.elapsed()))
}

async fn fill(store: &Sqlite) -> Outcome<()> {
    for first in (0..KEYS).step_by(1_000) {
        store.commit(Epoch(0), txn(first, first..first + 1_000)).await?;
    }
    Ok(())
}

async fn commits(store: &Arc<Sqlite>, writers: u64) -> Outcome<u64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < SPAN {
                let number = (writers << 48) | (writer << 32) | count;
                let key = scatter(number) % KEYS;
                match store.commit(Epoch(0), txn(number, key..key + 1)).await? {
                    Committed::At(_) => count += 1,
                    other => return Err(format!("a commit ended as {other:?}").into()),
                }
            }
            Ok(count)
        });
    }
    total(tasks, begun).await
}

async fn gets(store: &Arc<Sqlite>, readers: u64) -> Outcome<u64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for reader in 0..readers {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < SPAN {
                let key = scatter((reader << 32) | count) % KEYS;
                store.get(&key_of(key)).await?.ok_or("a key is missing")?;
                count += 1;
            }
            Ok(count)
        });
    }
    total(tasks, begun).await
}

async fn total(mut tasks: JoinSet<Outcome<u64>>, begun: Instant) -> Outcome<u64> {
    let mut total = 0;
    while let Some(count) = tasks.join_next().await {
        total += count??;
    }
    Ok(per_second(total, begun.elapsed()))
}

fn txn(number: u64, keys: std::ops::Range<u64>) -> Txn {
    let ops = keys.map(|key| Op::Put { key: key_of(key).to_vec(), value: vec![7; VALUE] }).collect();
    // Scattered, as real tokens are: the index on them is part of the cost.
    let idem = u128::from(scatter(number)) << 64 | u128::from(number);
    Txn { compares: Vec::new(), ops, idem: IdemToken(idem.to_be_bytes()) }
}

/// 32 bytes in no order, as keys are that come from a hash.
fn key_of(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (i, bytes) in key.chunks_mut(8).enumerate() {
        bytes.copy_from_slice(&scatter(number ^ ((i as u64) << 56)).to_be_bytes());
    }
    key
}

/// One step of SplitMix64.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn per_second(count: u64, span: Duration) -> u64 {
    (count as f64 / span.as_secs_f64()) as u64
}
