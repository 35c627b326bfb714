//! The child process. Does what its parent asks, a line for a line, or writes until it is killed.

use crate::ledger;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use strongroom_model::{Clock, Timestamp};
use strongroom_storage::{Committed, Epoch, IdemToken, Op, Sqlite, Store, StoreError, Txn};
use tokio::task::JoinSet;

/// A moment that does not pass.
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

/// With a journal of as many bytes as the parent says, or as it is for everybody.
pub(crate) fn open(path: &Path) -> Result<Sqlite, StoreError> {
    match std::env::var("STRONGROOM_JOURNAL") {
        Ok(bytes) => Sqlite::open_with_journal(path, Arc::new(StoppedClock), bytes.parse().unwrap()),
        Err(_) => Sqlite::open(path, Arc::new(StoppedClock)),
    }
}

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn act() {
    let Ok(role) = std::env::var("STRONGROOM_ROLE") else { return };
    let path = PathBuf::from(std::env::var("STRONGROOM_STORE").unwrap());
    if let Ok(mask) = std::env::var("STRONGROOM_UMASK") {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(u32::from_str_radix(&mask, 8).unwrap()));
    }
    // The harness may have begun a line.
    println!();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    match role.as_str() {
        "write" => runtime.block_on(write_until_killed(&path)),
        "replace" => runtime.block_on(replace_until_killed(&path)),
        "serve" => runtime.block_on(serve(&path)),
        other => panic!("no such role: {other}"),
    }
}

/// One line to the parent, in one system call, so that a kill never cuts it.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn write_until_killed(path: &Path) {
    let store = Arc::new(open(path).unwrap());
    say("open");
    let mut writers = JoinSet::new();
    for writer in 0..ledger::WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut step = ledger::steps_done(&store, writer).await;
            loop {
                let ended = store.commit(Epoch(0), ledger::step(writer, step)).await.unwrap();
                assert!(matches!(ended, Committed::At(_)), "{ended:?}");
                step += 1;
                say(&format!("done {writer} {step}"));
            }
        });
    }
    writers.join_all().await;
}

/// Rows of one replacement; 2 MiB, so that SQLite writes pages before the end.
pub(crate) const ROWS: usize = 512;

async fn replace_until_killed(path: &Path) {
    let store = open(path).unwrap();
    let mut round = match store.get(&0_u32.to_be_bytes()).await.unwrap() {
        Some(entry) => u64::from_be_bytes(*entry.value.first_chunk().unwrap()),
        None => 0,
    };
    say("open");
    loop {
        round += 1;
        // Every other one is smaller, so that pages become free and are used again.
        let count = if round.is_multiple_of(2) { ROWS } else { ROWS / 3 };
        let value = move || [&round.to_be_bytes(), ledger::bytes(&round.to_string(), 4_000).as_slice()].concat();
        let rows = (0..count as u32).map(move |n| Ok((n.to_be_bytes().to_vec(), value())));
        let ended = store.replace(Epoch(0), Box::new(rows)).await.unwrap();
        assert!(matches!(ended, Committed::At(_)), "{ended:?}");
        say(&format!("done {round}"));
    }
}

async fn serve(path: &Path) {
    let mut store = match open(path) {
        Ok(store) => store,
        Err(error) => return say(&name(&error)),
    };
    say("open");
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["put", key, size] => say(&put(&store, key, size.parse().unwrap()).await),
            ["put-together", key, ref sizes @ ..] => put_together(&store, key, sizes).await,
            ["get", key, size] => say(&get(&store, key, size.parse().unwrap()).await),
            ["outcome", key] => say(&told(store.outcome(token(key)).await)),
            ["check"] => say(&store.integrity_check().map_or_else(|error| name(&error), |()| "well".to_owned())),
            ["reopen"] => {
                drop(store);
                store = open(path).unwrap();
                say("open");
            }
            ["fill", file] => {
                let mut ballast = fs::File::create(file).unwrap();
                while ballast.write_all(&[1; 4096]).is_ok() {}
                say("filled");
            }
            ["shrink", file, bytes] => {
                let ballast = fs::OpenOptions::new().write(true).open(file).unwrap();
                ballast.set_len(ballast.metadata().unwrap().len() - bytes.parse::<u64>().unwrap()).unwrap();
                say("shrunk");
            }
            ["free", file] => {
                fs::remove_file(file).unwrap();
                say("freed");
            }
            ["close"] => return say(&store.close().map_or_else(|error| name(&error), |()| "closed".to_owned())),
            _ => panic!("no such command: {line}"),
        }
    }
}

fn txn(key: &str, size: usize) -> Txn {
    let op = Op::Put { key: key.as_bytes().to_vec(), value: ledger::bytes(key, size) };
    Txn { compares: Vec::new(), ops: vec![op], idem: token(key) }
}

async fn put(store: &Sqlite, key: &str, size: usize) -> String {
    told(store.commit(Epoch(0), txn(key, size)).await)
}

/// Several commits that are sent before any is waited for, answered in the order in which they were sent.
async fn put_together(store: &Sqlite, key: &str, sizes: &[&str]) {
    let keys: Vec<_> = (0..sizes.len()).map(|i| format!("{key}-{i}")).collect();
    let txns = keys.iter().zip(sizes).map(|(key, size)| txn(key, size.parse().unwrap()));
    let mut waiting: Vec<_> = txns.map(|txn| Box::pin(store.commit(Epoch(0), txn))).collect();
    let mut answers = Vec::new();
    // Polling each once sends all of them.
    for commit in &mut waiting {
        answers.push(std::future::poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await);
    }
    for (answer, commit) in answers.into_iter().zip(waiting) {
        say(&told(match answer {
            Poll::Ready(answer) => answer,
            Poll::Pending => commit.await,
        }));
    }
}

async fn get(store: &Sqlite, key: &str, size: usize) -> String {
    match store.get(key.as_bytes()).await {
        Ok(Some(entry)) if entry.value == ledger::bytes(key, size) => "whole".to_owned(),
        Ok(Some(_)) => "wrong".to_owned(),
        Ok(None) => "absent".to_owned(),
        Err(error) => name(&error),
    }
}

fn token(key: &str) -> IdemToken {
    let mut token = [0; 16];
    token.copy_from_slice(&ledger::bytes(key, 16));
    IdemToken(token)
}

fn told(answer: Result<Committed, StoreError>) -> String {
    match answer {
        Ok(Committed::At(_)) => "at".to_owned(),
        Ok(Committed::Conflict(_)) => "conflict".to_owned(),
        Ok(Committed::Fenced) => "fenced".to_owned(),
        Ok(Committed::Unknown) => "unknown".to_owned(),
        Err(error) => name(&error),
    }
}

fn name(error: &StoreError) -> String {
    match error {
        StoreError::InUse { .. } => "in use".to_owned(),
        StoreError::Stopped { .. } => "stopped".to_owned(),
        StoreError::Full => "full".to_owned(),
        StoreError::Damaged { .. } => "damaged".to_owned(),
        other => format!("other: {other}"),
    }
}
