//! Events: how soon each of many watchers hears of a change, from the answer to who made it on.

use crate::client::{Client, Connection};
use crate::server::Server;
use crate::table::Table;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;

/// Watchers, each with a stream of its own.
const WATCHERS: usize = 1_000;
/// Changes that are told, one after the other.
const CHANGES: usize = 50;
/// Between two changes: delivery is measured, not how much can be told at once.
const PACE: Duration = Duration::from_millis(200);
/// How long a watcher may be behind before it counts as lost.
const LOST: Duration = Duration::from_secs(30);

/// What a watcher heard, and when.
type Heard = (u64, Instant);

/// Measures delivery of single changes to all watchers.
pub(crate) async fn measure(table: &mut Table, program: &Path) -> anyhow::Result<()> {
    let server = Server::start(program)?;
    let client = server.client()?;
    let (tell, mut told) = mpsc::channel::<Heard>(WATCHERS * 4);
    let ready = Arc::new(Barrier::new(WATCHERS + 1));
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let (client, tell, ready) = (client.clone(), tell.clone(), Arc::clone(&ready));
        watchers.spawn(async move { watch(&client, &tell, &ready).await });
    }
    drop(tell);
    tokio::select! {
        _ = ready.wait() => {}
        Some(ended) = watchers.join_next() => bail!("a watcher ended before it began: {ended:?}"),
    }
    table.figure(&format!("memory with {WATCHERS} watchers"), server.resident_mib()?, "MiB", None);
    let (mut times, mut slowest) = (Vec::new(), Vec::new());
    let mut writer = client.connect().await?;
    for version in 1..=CHANGES as u64 {
        let request = client.request("POST", "secret/data/bench/watched", r#"{"data":{"a":"b"}}"#)?;
        let (status, _) = writer.exchange(request).await?;
        let changed = Instant::now();
        if status != 200 {
            bail!("the change was answered {status}");
        }
        let heard = all_heard(&mut told, version, changed).await?;
        slowest.extend(heard.iter().max());
        times.extend(heard);
        tokio::time::sleep(PACE).await;
    }
    let what = format!("event to each of {WATCHERS} watchers, {CHANGES} changes, after the writer's answer");
    table.times(&what, &mut times, Some("1 s"));
    table.times("... to the last of them", &mut slowest, Some("1 s"));
    watchers.shutdown().await;
    Ok(())
}

async fn all_heard(told: &mut mpsc::Receiver<Heard>, version: u64, changed: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut heard = Vec::with_capacity(WATCHERS);
    while heard.len() < WATCHERS {
        let next = tokio::time::timeout(LOST, told.recv()).await;
        let (of, at) = next.context("some watchers heard nothing")?.context("all watchers ended")?;
        if of != version {
            bail!("a watcher heard of version {of} in place of {version}");
        }
        // Some hear of it before the writer has its answer.
        heard.push(at.saturating_duration_since(changed));
    }
    Ok(heard)
}

/// Hears a stream of events; tells of each new version.
async fn watch(client: &Client, tell: &mpsc::Sender<Heard>, ready: &Barrier) -> anyhow::Result<()> {
    let connection: Connection = client.connect().await?;
    let request: Request<_> = client.native_request("GET", "events/stream?prefix=secret/bench", "")?;
    let (response, _driver) = connection.open(request).await?;
    let mut body = response.into_body();
    let (mut text, mut greeted) = (String::new(), false);
    while let Some(frame) = body.frame().await {
        let Ok(part): Result<Bytes, _> = frame?.into_data() else { continue };
        let at = Instant::now();
        text.push_str(&String::from_utf8_lossy(&part));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            if !greeted {
                greeted = true;
                ready.wait().await;
            }
            if let Some(version) = version_of(&event) {
                tell.send((version, at)).await?;
            }
        }
    }
    bail!("the stream ended")
}

fn version_of(event: &str) -> Option<u64> {
    let (_, rest) = event.split_once("\"version\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
