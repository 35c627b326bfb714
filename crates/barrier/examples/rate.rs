//! Prints how long opening, reading and committing take over the SQLite engine, in a folder of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a measurement, not a server

use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_barrier::{Barrier, Door, Init, Shelf, SlotSpec, SystemEntropy, Txn};
use strongroom_model::{Clock, NamespaceId, SecretBytes, Timestamp};
use strongroom_storage::{Epoch, Sqlite, Store};
use tokio::task::JoinSet;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1)
    }
}

fn key() -> SecretBytes {
    SecretBytes::new((0..32).collect())
}

fn at(number: u32) -> strongroom_barrier::Address {
    Shelf::new("token", NamespaceId::ROOT).named(number.to_be_bytes())
}

async fn open(store: &Arc<dyn Store>) -> Arc<Barrier> {
    match Door::of(store.clone(), Epoch(0), Arc::new(SystemEntropy)).await.unwrap() {
        Door::Uninitialised(fresh) => {
            fresh
                .init(Init { slots: vec![SlotSpec::Static { key: key() }] }, Timestamp::from_secs(1))
                .await
                .unwrap()
                .barrier
        }
        Door::Sealed(sealed) => sealed.open_static(&key()).await.unwrap(),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("store.db"), Arc::new(Still)).unwrap());
    let mut barrier = open(&store).await;
    let value = vec![7; 400];
    for total in [0_u32, 1_000, 100_000] {
        for start in (0..total).step_by(1_000) {
            let txn = (start..start + 1_000).fold(Txn::new(), |txn, number| txn.put(at(number), value.clone()));
            barrier.commit(txn).await.unwrap();
        }
        barrier.close().await;
        let begun = Instant::now();
        barrier = open(&store).await;
        println!("{total} records: open {:?}", begun.elapsed());
        if total > 0 {
            measure(&barrier, total, &value).await;
        }
    }
    let begun = Instant::now();
    let findings = barrier.verify_all().await.unwrap();
    println!("verify everything: {:?}, {} findings", begun.elapsed(), findings.len());
    let begun = Instant::now();
    barrier.rotate(Timestamp::from_secs(2)).await.unwrap();
    println!("a new term: {:?}", begun.elapsed());
    let mut longest = Duration::ZERO;
    while barrier.sweep().await.unwrap() {
        let step = Instant::now();
        barrier.commit(Txn::new().put(at(0), value.clone())).await.unwrap();
        longest = longest.max(step.elapsed());
    }
    println!("seal everything under it: {:?}, slowest commit after a step {longest:?}", begun.elapsed());
}

async fn measure(barrier: &Arc<Barrier>, total: u32, value: &[u8]) {
    let some = |count: u32| (0..count).map(move |number| number * 7_919 % total);
    for name in ["get, pages from the store", "get, pages in memory"] {
        let begun = Instant::now();
        for number in some(1_000) {
            barrier.get(&at(number)).await.unwrap().unwrap();
        }
        println!("  {name}: {:?}", begun.elapsed() / 1_000);
    }
    let begun = Instant::now();
    println!(
        "  scan of {} records: {:?}",
        barrier.scan(&at(0).shelf, None, 1_000).await.unwrap().len(),
        begun.elapsed()
    );
    let begun = Instant::now();
    for number in some(1_000) {
        barrier.commit(Txn::new().put(at(number), value.to_vec())).await.unwrap();
    }
    println!("  commit, one caller: {:?}", begun.elapsed() / 1_000);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..64_u32 {
        let (barrier, value) = (barrier.clone(), value.to_vec());
        tasks.spawn(async move {
            for round in 0..100 {
                let number = (task * 100 + round) * 7_919 % total;
                barrier.commit(Txn::new().put(at(number), value.clone())).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    println!(
        "  commit, 64 callers: {:?} each, {:.0}/s",
        begun.elapsed() / 6_400,
        6_400.0 / begun.elapsed().as_secs_f64()
    );
}
