//! How fast new secrets are written through barrier and SQLite, with nothing above them: records, sealing, freshness, sync.
//! `cargo run --release -p strongroom-barrier --example write_rate [folder]`; processor time is of the whole process.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_barrier::{Address, Barrier, Door, Init, Shelf, SlotSpec, SystemEntropy, Txn, ValueBinding};
use strongroom_model::{Clock, Entropy, MountId, NamespaceId, SecretBytes, SecretId, Timestamp, VersionNumber};
use strongroom_storage::{Committed, Epoch, Front, Fronted, Sqlite, Store, StoreError};
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(3);

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

/// Counts the commits of the store: several changes share one.
struct Counting {
    behind: Sqlite,
    commits: AtomicU64,
}

#[async_trait::async_trait]
impl Front for Counting {
    fn behind(&self) -> &dyn Store {
        &self.behind
    }

    async fn commit(&self, epoch: Epoch, txn: strongroom_storage::Txn) -> Result<Committed, StoreError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.behind.commit(epoch, txn).await
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let behind = Sqlite::open(&folder.path().join("store.db"), Arc::new(StoppedClock))?;
    let store = Arc::new(Fronted(Counting { behind, commits: AtomicU64::new(0) }));
    let door = Door::of(store.clone(), Epoch(0), Arc::new(SystemEntropy)).await?;
    let Door::Uninitialised(fresh) = door else { return Err("the folder holds a store".into()) };
    let slots = vec![SlotSpec::Static { key: SecretBytes::new((100..132).collect()) }];
    let barrier = fresh.init(Init { slots }, StoppedClock.now()).await?.barrier;
    for writers in [1, 64, 64, 64] {
        let (before, spent) = (store.commits.load(Ordering::Relaxed), processor_time()?);
        let begun = Instant::now();
        let made = write(&barrier, writers).await?;
        let (seconds, commits) = (begun.elapsed().as_secs_f64(), store.commits.load(Ordering::Relaxed) - before);
        let spent = (processor_time()? - spent).as_micros() as f64 / made as f64;
        println!(
            "{writers:>2} writers  {:>7.0} secrets/s  {:>6.0} commits/s  {:>5.1} secrets each  {spent:>5.0} us of processor time each",
            made as f64 / seconds,
            commits as f64 / seconds,
            made as f64 / commits as f64,
        );
    }
    barrier.close().await;
    Ok(())
}

/// Writes new secrets; how many.
async fn write(barrier: &Arc<Barrier>, writers: u64) -> Outcome<u64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let barrier = Arc::clone(barrier);
        tasks.spawn(async move {
            let mut made = 0;
            while begun.elapsed() < SPAN {
                make(&barrier).await?;
                made += 1;
            }
            Outcome::Ok(made)
        });
    }
    let mut made = 0;
    while let Some(ended) = tasks.join_next().await {
        made += ended??;
    }
    Ok(made)
}

/// One record under a random name, with a sealed value of some hundred bytes in it, as a new secret of the key-value
/// engine is.
async fn make(barrier: &Barrier) -> Outcome<()> {
    let (entropy, namespace): (&dyn Entropy, _) = (&SystemEntropy, NamespaceId::ROOT);
    let (secret, mount) = (SecretId::random(entropy), MountId::from_bytes([3; 16]));
    let name = name(mount, secret);
    if barrier.lists(&name).await? {
        return Err("a random name is taken".into());
    }
    let binding = ValueBinding { namespace, mount, secret, version: VersionNumber::FIRST };
    let (key, value) = barrier.first_value(binding, &[b'v'; 100]).await?;
    let mut record = serde_json::to_vec(&(&key, &value))?;
    record.resize(record.len() + 200, b' ');
    barrier.commit(Txn::new().expect_absent(name.clone()).put(name, record)).await?;
    Ok(())
}

fn name(mount: MountId, secret: SecretId) -> Address {
    let shelf = Shelf::new("secret-name", NamespaceId::ROOT).counted().within(mount.as_bytes()).within("bench");
    shelf.named(hex::encode(secret.as_bytes()))
}

/// What this process has used so far. Linux counts in hundredths of a second (`proc_pid_stat(5)`).
fn processor_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat has another form")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
