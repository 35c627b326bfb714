//! Measures the trail's index: `ask_rate FOLDER ENTRIES`. Writes that many entries to a new trail in the folder, then asks
//! "who read X between T1 and T2" of the index and by reading every line, and tells how much the index adds to the disk and
//! how long it takes to catch up. Build it with `--release`; the folder is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, not the server"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use strongroom_audit::{
    DecisionNote, Entry, EntryKind, MountNote, Outcome, Place, Query, SecretNote, SourceNote, Thing, Trail,
    VerifyOptions, object_of, verify,
};
use strongroom_model::{Clock, EntityId, Principal, RequestId, Timestamp, TokenType};

/// Moves on by a millisecond with each look.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.fetch_add(1_000_000, Ordering::Relaxed))
    }
}

const START: u64 = 1_775_000_000_000_000_000;

fn entry(number: u64) -> Entry {
    let secret = format!("prod/app-{}/db", number % 1_000);
    let who = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    let mut request = [0; 16];
    request.copy_from_slice(&u128::from(number.wrapping_mul(0xbf58_476d_1ce4_e5b9)).to_le_bytes());
    let mut entry = Entry::new(
        EntryKind::Outcome,
        RequestId::from_bytes(request),
        "vault",
        "read",
        format!("secret/data/{secret}"),
    );
    entry.mount = Some(MountNote {
        path: "secret".to_owned(),
        kind: "kv".to_owned(),
        accessor: "kv_1a2b3c4d".to_owned(),
        class: "secret".to_owned(),
    });
    entry.secret = Some(SecretNote { name: secret, act: "read".to_owned() });
    entry.version = Some(3);
    entry.token_hash = Some(format!("hmac-sha256:{number:064x}"));
    entry.principal = Some(Principal {
        entity: Some(EntityId::from_bytes([who as u8; 16])),
        accessor: format!("accessor{who:016}"),
        display_name: format!("approle-{who}"),
        token_policies: Vec::new(),
        identity_policies: Vec::new(),
        metadata: Default::default(),
        token_type: TokenType::Service,
    });
    entry.source = SourceNote { address: format!("10.0.{}.{who}", who % 7), port: 40_000 };
    entry.decision = Some(DecisionNote {
        granted: true,
        policy: Some("app".to_owned()),
        rule: Some("secret/data/prod/*".to_owned()),
        line: Some(4),
        reason: "granted".to_owned(),
    });
    entry.outcome = Some(Outcome::ok());
    entry.duration_us = 80;
    entry
}

fn bytes(folder: &Path) -> u64 {
    let items = std::fs::read_dir(folder).map(|items| items.flatten().collect::<Vec<_>>()).unwrap_or_default();
    items.iter().filter_map(|item| item.metadata().ok()).filter(|meta| meta.is_file()).map(|meta| meta.len()).sum()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap());
    let entries: u64 = arguments.next().unwrap().parse().unwrap();
    let clock = Arc::new(Ticking(AtomicU64::new(START)));
    let trail = Trail::open(Place::Folder(folder.clone()), clock as Arc<dyn Clock>).await.unwrap();
    let begun = Instant::now();
    for number in 0..entries {
        trail.append(entry(number)).await.unwrap();
    }
    let written = begun.elapsed();
    trail.rules_used().await.unwrap();
    println!(
        "append: {:.0} entries/s; the index was done {:.2} s later",
        entries as f64 / written.as_secs_f64(),
        (begun.elapsed() - written).as_secs_f64()
    );
    let (from, to) = (START + entries * 400_000, START + entries * 600_000);
    let name = object_of("kv_1a2b3c4d", "prod/app-7/db");
    let query = || Query {
        things: vec![Thing::Object(name.clone())],
        from: Some(from),
        to: Some(to),
        limit: 1_000,
        ..Query::default()
    };
    for round in 0..5 {
        let asked = Instant::now();
        let page = trail.query(query()).await.unwrap();
        println!("query {round}: {} entries in {:.2} ms", page.rows.len(), asked.elapsed().as_secs_f64() * 1e3);
    }
    let asked = Instant::now();
    let readers = trail.uses(Some(name), |_| true).await.unwrap();
    println!("who reads it: {} consumers in {:.2} ms", readers.len(), asked.elapsed().as_secs_f64() * 1e3);
    trail.close().await;
    let (lines, index) = (bytes(&folder), bytes(&folder.join("index")));
    println!(
        "trail: {lines} bytes, {} per entry; index of the complete segments: {index} bytes, {:.2} % of the trail",
        lines / entries.max(1),
        index as f64 * 100.0 / lines as f64
    );
    let checked = Instant::now();
    let report = verify(&folder, &VerifyOptions::default()).unwrap();
    println!("verify: {} lines, {:.0} MB/s", report.lines, lines as f64 / 1e6 / checked.elapsed().as_secs_f64());
    let scanned = Instant::now();
    let mut found = 0;
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().flatten().map(|item| item.path()).filter(|path| path.is_file()).collect();
    names.sort();
    for name in names {
        let text = std::fs::read_to_string(name).unwrap();
        found += text.lines().filter(|line| line.contains("\"secret/data/prod/app-7/db\"")).count();
    }
    println!("full scan for the text alone: {found} lines in {:.2} ms", scanned.elapsed().as_secs_f64() * 1e3);
}
