//! What the trail's index costs and gives: a question about one secret beside reading everything, its size, how far it is
//! behind a writer that does not pause, its share of a server's work, and the offline check beside bare SHA-256.
//!
//! The trail is written through its library: ten million requests through a server would take an hour and show the same.

use crate::load::Load;
use crate::server::Server;
use crate::table::Table;
use anyhow::{Context, ensure};
use aws_lc_rs::digest;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_audit::{
    DecisionNote, Entry, EntryKind, MountNote, Outcome, Place, Query, SecretNote, SourceNote, Thing, Trail, TrailError,
    VerifyOptions, object_of, verify,
};
use strongroom_model::{Clock, EntityId, Principal, RequestId, Timestamp, TokenType};

const START: u64 = 1_775_000_000_000_000_000;
const ACCESSOR: &str = "kv_1a2b3c4d";
const WANTED: &str = "prod/app-7/db";

/// Moves on by ten milliseconds with each look, as if there were a hundred requests in a second.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.fetch_add(10_000_000, Ordering::Relaxed))
    }
}

/// Who reads what.
#[derive(Clone, Copy)]
enum Habit {
    /// 256 principals, each with its own four of a thousand secrets and a new token every thousand reads.
    Usual,
    /// Anybody anything, with a token for each read: as bad for the index as reads can be.
    Worst,
}

/// Measures with a trail of that many entries, and with the same habits at their worst over a tenth of them.
pub(crate) async fn measure(table: &mut Table, program: &Path, span: Duration, entries: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let trail = write(table, folder.path(), entries, Habit::Usual).await?;
    let found = ask(table, &trail, entries).await?;
    trail.close().await;
    scan(table, folder.path(), entries, found)?;
    size(table, folder.path(), entries, "")?;
    check(table, folder.path())?;
    drop(folder);
    let (folder, entries) = (tempfile::tempdir()?, (entries / 10).max(200_000));
    write(table, folder.path(), entries, Habit::Worst).await?.close().await;
    size(table, folder.path(), entries, ", at its worst")?;
    drop(folder);
    share_of_a_server(table, program, span).await
}

/// Writes without pause, and asks in between and at the end how far behind the answers are.
async fn write(table: &mut Table, folder: &Path, entries: u64, habit: Habit) -> anyhow::Result<Arc<Trail>> {
    let clock = Arc::new(Ticking(AtomicU64::new(START)));
    let trail = Trail::open(Place::Folder(folder.to_owned()), clock as Arc<dyn Clock>).await?;
    let (begun, mut slowest, mut lacking) = (Instant::now(), Duration::ZERO, 0);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..entries {
        trail.append(entry(number, habit)).await?;
        if number % 100_000 == 99_999 {
            let trail = Arc::clone(&trail);
            asking.spawn(async move {
                let asked = Instant::now();
                let one = Query { request: Some(request(number).to_string()), limit: 1, ..Query::default() };
                let page = trail.query(Query { stale: true, ..one }).await?;
                anyhow::Ok((asked.elapsed(), page.behind.map_or(0, |behind| behind.entries)))
            });
        }
    }
    let written = begun.elapsed();
    // On a busy machine that may take longer than one question waits.
    loop {
        match trail.rules_used().await {
            Err(TrailError::Behind { .. }) => {}
            done => {
                done?;
                break;
            }
        }
    }
    let behind = begun.elapsed() - written;
    while let Some(waited) = asking.join_next().await {
        let (waited, lacked) = waited??;
        (slowest, lacking) = (slowest.max(waited), lacking.max(lacked));
    }
    if matches!(habit, Habit::Usual) {
        let rate = format!("while {:.0} entries/s are written", entries as f64 / written.as_secs_f64());
        table.figure("index behind the writer, at the end", millis(behind), "ms", Some(&rate));
        table.figure("slowest of the answers meanwhile, with -stale", millis(slowest), "ms", Some(&rate));
        table.figure("farthest that one of them was behind", lacking as f64, "entries", Some(&rate));
    }
    Ok(trail)
}

/// "Who read X between T1 and T2", a fifth of all time; how many did.
async fn ask(table: &mut Table, trail: &Trail, entries: u64) -> anyhow::Result<usize> {
    let (from, to) = window(entries);
    let things = || vec![Thing::Object(object_of(ACCESSOR, WANTED))];
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..20 {
        let query = Query { things: things(), from: Some(from), to: Some(to), limit: 100_000, ..Query::default() };
        let asked = Instant::now();
        found = trail.query(query).await?.rows.len();
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let what = format!("who read X between T1 and T2, {entries} entries, {found} found: p50");
    table.figure(&what, millis(at(50)), "ms", Some("p95 follows"));
    table.figure("the same: p95", millis(at(95)), "ms", None);
    let asked = Instant::now();
    let first = Query { things: things(), from: Some(from), to: Some(to), limit: 100, ..Query::default() };
    trail.query(first).await?;
    table.figure("the same, a page of 100", millis(asked.elapsed()), "ms", None);
    let asked = Instant::now();
    let consumers = trail.uses(Some(object_of(ACCESSOR, WANTED)), |_| true).await?.len();
    table.figure(&format!("who reads X at all: {consumers} consumers"), millis(asked.elapsed()), "ms", None);
    Ok(found)
}

fn window(entries: u64) -> (u64, u64) {
    (START + entries * 4_000_000, START + entries * 6_000_000)
}

/// The same question without an index: every line is looked at, and understood when it names the secret.
fn scan(table: &mut Table, folder: &Path, entries: u64, expected: usize) -> anyhow::Result<()> {
    let (from, to) = window(entries);
    let (asked, mut found, mut line) = (Instant::now(), 0, Vec::new());
    for segment in segments(folder)? {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(segment)?);
        while reader.read_until(b'\n', &mut line)? > 0 {
            if names_wanted(&line) {
                let entry: serde_json::Value = serde_json::from_slice(&line)?;
                let time = entry.get("time").and_then(|time| time.as_str()).and_then(Timestamp::parse);
                found += usize::from(time.is_some_and(|time| (from..to).contains(&time.nanos())));
            }
            line.clear();
        }
    }
    ensure!(found == expected, "the scan found {found} entries and the index {expected}");
    table.figure("the same by a full scan", millis(asked.elapsed()), "ms", None);
    Ok(())
}

fn names_wanted(line: &[u8]) -> bool {
    let wanted = b"\"path\":\"secret/data/prod/app-7/db\"";
    line.windows(wanted.len()).any(|window| window == wanted)
}

fn size(table: &mut Table, folder: &Path, entries: u64, how: &str) -> anyhow::Result<()> {
    let lines = bytes(&segments(folder)?)?;
    // The last segment has no file yet.
    let index = folder.join("index");
    ensure!(index.exists(), "there is no complete segment: more entries are needed (--entries)");
    let indexed: Vec<PathBuf> = files(&index, "idx")?;
    let names: Vec<_> = indexed.iter().filter_map(|file| file.file_stem()).collect();
    let complete: Vec<PathBuf> = segments(folder)?
        .into_iter()
        .filter(|file| file.file_stem().is_some_and(|stem| names.contains(&stem)))
        .collect();
    let (of, index) = (bytes(&complete)?, bytes(&indexed)?);
    ensure!(of > 0, "there is no complete segment: more entries are needed");
    let each = lines as f64 / entries as f64;
    let share = index as f64 / of as f64;
    let limit = format!("{:.1} % of {each:.0} bytes of trail", share * 100.0);
    table.figure(&format!("index per entry{how}"), each * share, "bytes", Some(&limit));
    Ok(())
}

/// The offline check, and what the hash alone would take of the same bytes.
fn check(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    let lines = bytes(&segments(folder)?)? as f64 / 1e6;
    let begun = Instant::now();
    let report = verify(folder, &VerifyOptions::default())?;
    let verified = begun.elapsed().as_secs_f64();
    ensure!(report.first_bad.is_none(), "the trail does not verify");
    let (begun, mut buffer) = (Instant::now(), vec![0; 1 << 20]);
    for segment in segments(folder)? {
        let (mut file, mut context) = (File::open(segment)?, digest::Context::new(&digest::SHA256));
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            context.update(buffer.get(..read).unwrap_or_default());
        }
        std::hint::black_box(context.finish());
    }
    let limit = format!("{:.0} MB/s SHA-256 alone", lines / begun.elapsed().as_secs_f64());
    table.figure("verify", lines / verified, "MB/s", Some(&limit));
    Ok(())
}

/// The index's thread's part of all the processor time that a server under reads takes: what it takes from them.
async fn share_of_a_server(table: &mut Table, program: &Path, span: Duration) -> anyhow::Result<()> {
    let server = Server::start(program)?;
    let client = server.client()?;
    client.expect("POST", "secret/data/bench/read", r#"{"data":{"password":"correct horse"}}"#).await?;
    let before = (server.ticks("")?, server.ticks("trail-index")?);
    let reads = Load::reads(&client, "secret/data/bench/read").run(64, span).await?;
    let after = (server.ticks("")?, server.ticks("trail-index")?);
    let share = (after.1 - before.1) as f64 / (after.0 - before.0).max(1) as f64;
    table.rate("KV v2 read with the index, 64 connections", &reads, None);
    table.figure("index's share of the server's time meanwhile", share * 100.0, "%", Some("10 %"));
    Ok(())
}

fn segments(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    files(folder, "jsonl")
}

fn files(folder: &Path, kind: &str) -> anyhow::Result<Vec<PathBuf>> {
    let items = fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let mut found: Vec<PathBuf> = items.flatten().map(|item| item.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == kind));
    found.sort();
    Ok(found)
}

fn bytes(files: &[PathBuf]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for file in files {
        sum += file.metadata()?.len();
    }
    Ok(sum)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn request(number: u64) -> RequestId {
    let mut id = [0; 16];
    id.copy_from_slice(&u128::from(number.wrapping_mul(0xbf58_476d_1ce4_e5b9)).to_le_bytes());
    RequestId::from_bytes(id)
}

fn entry(number: u64, habit: Habit) -> Entry {
    let dice = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let who = dice % 256;
    let (secret, token) = match habit {
        Habit::Usual => ((who * 4 + (dice >> 20) % 4) % 1_000, number / 256_000),
        Habit::Worst => ((dice >> 8) % 1_000, number),
    };
    let secret = format!("prod/app-{secret}/db");
    let mut entry = Entry::new(EntryKind::Outcome, request(number), "vault", "read", format!("secret/data/{secret}"));
    entry.mount = Some(
        MountNote {
            path: "secret".to_owned(),
            kind: "kv".to_owned(),
            accessor: ACCESSOR.to_owned(),
            class: "secret".to_owned(),
        }
        .into(),
    );
    entry.secret = Some(SecretNote { name: secret, act: "read".into() });
    entry.version = Some(3);
    entry.token_hash = Some(format!("hmac-sha256:{number:064x}"));
    entry.principal = Some(
        Principal {
            entity: Some(EntityId::from_bytes([who as u8; 16])),
            accessor: format!("accessor{who:06}{token:010}"),
            display_name: format!("approle-{who}"),
            token_policies: Vec::new(),
            identity_policies: Vec::new(),
            metadata: Default::default(),
            token_type: TokenType::Service,
        }
        .into(),
    );
    entry.source = SourceNote { address: format!("10.0.{}.{who}", who % 7), port: 40_000 };
    entry.decision = Some(DecisionNote {
        granted: true,
        policy: Some("app".to_owned()),
        rule: Some("secret/data/prod/*".to_owned()),
        line: Some(4),
        reason: "granted".into(),
    });
    entry.outcome = Some(Outcome::ok());
    entry.duration_us = 80;
    entry
}
