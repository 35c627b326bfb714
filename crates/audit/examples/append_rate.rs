//! Measures how many entries a second the trail takes, beside the bare cost of hashing and writing the same bytes.
//!
//! `cargo run --release -p strongroom-audit --example append_rate [folder]`
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement with the wall clock")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use strongroom_audit::{
    DecisionNote, DeviceSpec, Entry, EntryKind, MountNote, Options, Outcome, Place, Redacted, Seal, SourceNote, Trail,
    VerifyOptions, verify,
};
use strongroom_model::{Clock, RequestId, Timestamp};
use tokio::task::JoinSet;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Signs, so that the checkpoints of an unsealed server are in the measurement.
struct Key(Ed25519KeyPair);

impl Seal for Key {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap_or([0; 64])
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap_or([0; 32])
    }

    fn generation(&self) -> u64 {
        1
    }
}

fn entry(number: u64) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut entry = Entry::new(EntryKind::Outcome, RequestId::from_bytes(id), "vault", "read", "secret/data/team/app");
    let (path, kind, class) = ("secret".to_owned(), "kv".to_owned(), "secret".to_owned());
    entry.mount = Some(MountNote { path, kind, accessor: "kv_8d7a51c2".to_owned(), class }.into());
    entry.token_hash = Some(format!("hmac-sha256:{}", "5a".repeat(32)));
    entry.source = SourceNote { address: "10.1.2.3".to_owned(), port: 40_123 };
    entry.decision = Some(DecisionNote {
        granted: true,
        policy: Some("app".to_owned()),
        rule: Some("secret/data/team/*".to_owned()),
        line: Some(12),
        reason: "granted".into(),
    });
    entry.outcome = Some(Outcome::ok());
    let data = serde_json::json!({ "data": { "password": format!("hmac-sha256:{}", "c3".repeat(32)) } });
    entry.response_data = Redacted::in_clear(&data);
    entry.duration_us = 180;
    entry
}

async fn measure(place: Place, tasks: u64, each: u64, device: bool) -> Fallible<()> {
    let shown = if matches!(place, Place::Memory) { "memory" } else { "folder" };
    let trail = Trail::open_with(place, Arc::new(Wall), Options::default()).await?;
    trail.set_seal(Some(Arc::new(Key(Ed25519KeyPair::from_seed_unchecked(&[7; 32])?)))).await;
    if device {
        let options = [("file_path".to_owned(), "discard".to_owned())].into();
        let spec = DeviceSpec { path: "file".into(), kind: "file".into(), description: String::new(), options };
        trail.enable(spec).await?;
    }
    let started = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let trail = Arc::clone(&trail);
        running.spawn(async move {
            let mut spans = Vec::with_capacity(usize::try_from(each).unwrap_or_default());
            for number in 0..each {
                let entry = entry(task << 32 | number);
                let started = Instant::now();
                if trail.append(entry).await.is_ok() {
                    spans.push(started.elapsed());
                }
            }
            spans
        });
    }
    let mut spans: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    let took = started.elapsed();
    spans.sort_unstable();
    let at = |share: usize| spans.get(spans.len() * share / 1000).copied().unwrap_or_default();
    let rate = spans.len() as f64 / took.as_secs_f64();
    println!(
        "{shown}, {tasks:>2} tasks{}: {rate:>9.0} entries/s, p50 {:?}, p99 {:?}, p99.9 {:?}",
        if device { ", a device" } else { "" },
        at(500),
        at(990),
        at(999)
    );
    trail.close().await;
    Ok(())
}

/// The same bytes, read back, then hashed line by line and written in blocks by one thread.
fn bare(folder: &Path, scratch: &Path) -> Fallible<()> {
    let mut bytes = Vec::new();
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|item| Ok(item?.path())).collect::<Result<_, std::io::Error>>()?;
    names.sort();
    for name in names {
        bytes.extend(fs::read(name)?);
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let size = bytes.len() / lines.len().max(1);
    for per_write in [1, 64] {
        let mut file = OpenOptions::new().create(true).append(true).open(scratch)?;
        let started = Instant::now();
        for block in lines.chunks(per_write) {
            for line in block {
                std::hint::black_box(digest(&SHA256, line));
            }
            file.write_all(&block.concat())?;
        }
        let rate = lines.len() as f64 / started.elapsed().as_secs_f64();
        println!("bare SHA-256 and write(), {per_write:>2} lines a write: {rate:>9.0} lines/s ({size} bytes each)");
        fs::remove_file(scratch)?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Fallible<()> {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let base = base.join(format!("append-rate-{}", std::process::id()));
    for (tasks, each, device) in
        [(1, 100_000, false), (2, 50_000, false), (8, 20_000, false), (64, 10_000, false), (64, 10_000, true)]
    {
        let folder = base.join(format!("{tasks}-{device}"));
        measure(Place::Folder(folder.clone()), tasks, each, device).await?;
    }
    measure(Place::Memory, 64, 10_000, false).await?;
    let folder = base.join("64-false");
    let started = Instant::now();
    let report = verify(&folder, &VerifyOptions::default())?;
    let took = started.elapsed();
    println!("verify: {} lines in {took:?}, first bad: {:?}", report.lines, report.first_bad);
    let started = Instant::now();
    let trail = Trail::open(Place::Folder(folder.clone()), Arc::new(Wall)).await?;
    println!("open: {:?} for a segment of at most 64 MiB", started.elapsed());
    trail.close().await;
    bare(&folder, &base.join("bare"))?;
    fs::remove_dir_all(base)?;
    Ok(())
}
