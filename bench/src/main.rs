//! Measures a server beside what its parts could reach at best, in the same run and on the same machine: reads beside a
//! bare HTTP handler that answers the same bytes, durable writes beside the storage engine alone and the disk's syncs.
//!
//! Any other server that speaks Vault's API can be given instead of ours (`--address`, `--token`); then only what the
//! API shows is measured. Prints a table; judges nothing and fails only when something cannot be measured.

#![expect(clippy::print_stdout, reason = "a command whose output is its result")]

mod aws;
mod bare;
mod client;
mod cutoff;
mod engine;
mod growth;
mod lease;
mod load;
mod processor;
mod rotation;
mod server;
mod start;
mod swarm;
mod table;
mod trail;
mod watch;

use anyhow::{Context, bail};
use client::Client;
use engine::{Engine, Rows};
use load::Load;
use mimalloc::MiMalloc;
use server::Server;
use std::path::PathBuf;
use std::time::Duration;
use table::Table;
use tokio::signal::unix::{SignalKind, signal};

/// As the server has it, so that the bare handler beside it is as fast as it can be.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// What the command line asks for.
struct Options {
    /// Another server, and a token for it.
    other: Option<(String, String)>,
    /// The program to measure.
    program: PathBuf,
    /// How long each figure is measured.
    span: Duration,
    /// Secrets and tokens for the measurements of growth and start.
    many: usize,
    /// Entries for the measurements of the trail.
    entries: u64,
    /// Logins that come and go in the measurements of leases.
    logins: usize,
    /// Leases that a server is started on in the measurements of leases.
    stored: usize,
    /// Secrets that are due in the same minute in the measurements of rotation.
    secrets: usize,
    /// Nothing but this part.
    only: Option<Part>,
}

/// What is written and read.
const SECRET: &str =
    r#"{"data":{"username":"dbadmin","password":"correct horse battery staple","host":"db.example.com"}}"#;

/// How often a principal is cut off.
const ROUNDS: usize = 3;

/// A part that can be measured alone.
enum Part {
    Kv,
    Aws,
    Leases,
    Rotation,
    Revocation,
    Events,
    Trail,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|word| word == "bare") {
        return bare::run();
    }
    let options = options(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            measured = run(options) => measured,
            // Servers end and their folders go: there may be gigabytes in them.
            () = told_to_stop()? => bail!("interrupted"),
        }
    })
}

/// Ends with the first signal that asks the program to end.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn options(args: &[String]) -> anyhow::Result<Options> {
    let (mut address, mut token, mut program, mut seconds, mut many) = (None, None, None, 3.0, 20_000);
    let (mut entries, mut logins, mut stored, mut secrets, mut only) = (1_000_000, 10_000, 200_000, 1_000, None);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--address" => address = Some(value()?),
            "--token" => token = Some(value()?),
            "--program" => program = Some(PathBuf::from(value()?)),
            "--seconds" => seconds = value()?.parse().context("--seconds needs a number")?,
            "--many" => many = value()?.parse().context("--many needs a whole number")?,
            "--entries" => entries = value()?.parse().context("--entries needs a whole number")?,
            "--logins" => logins = value()?.parse().context("--logins needs a whole number")?,
            "--stored" => stored = value()?.parse().context("--stored needs a whole number")?,
            "--secrets" => secrets = value()?.parse().context("--secrets needs a whole number")?,
            "--only" => match value()?.as_str() {
                "kv" => only = Some(Part::Kv),
                "aws" => only = Some(Part::Aws),
                "leases" => only = Some(Part::Leases),
                "revocation" => only = Some(Part::Revocation),
                "events" => only = Some(Part::Events),
                "rotation" => only = Some(Part::Rotation),
                "trail" => only = Some(Part::Trail),
                other => {
                    bail!("there is no part {other}; there are: kv, aws, leases, rotation, revocation, events, trail")
                }
            },
            other => bail!(
                "unknown option {other}; there are --address, --token, --program, --seconds, --many, --entries, --logins, --stored, --secrets and --only kv|aws|leases|rotation|revocation|events|trail"
            ),
        }
    }
    let other = match (address, token) {
        (Some(address), Some(token)) => Some((address, token)),
        (None, None) => None,
        _ => bail!("--address and --token go together"),
    };
    let program = program.unwrap_or_else(|| PathBuf::from("target/release/strongroom"));
    Ok(Options { other, program, span: Duration::from_secs_f64(seconds), many, entries, logins, stored, secrets, only })
}

async fn run(options: Options) -> anyhow::Result<()> {
    let mut table = Table::new();
    match (&options.only, &options.other) {
        (Some(Part::Trail), _) => {
            trail::measure(&mut table, &options.program, options.span, options.entries).await?;
        }
        (Some(Part::Rotation), _) => rotation::measure(&mut table, &options.program, options.secrets).await?,
        (Some(Part::Kv), None) => kv(&mut table, &options).await?,
        (Some(Part::Aws), _) => aws::measure(&mut table, &options.program, options.span).await?,
        (Some(Part::Leases), _) => {
            lease::measure(&mut table, &options.program, options.logins, options.many).await?;
            lease::measure_stored(&mut table, &options.program, options.stored).await?;
        }
        (Some(Part::Revocation), _) => cutoff::measure(&mut table, &options.program, ROUNDS).await?,
        (Some(Part::Events), _) => watch::measure(&mut table, &options.program).await?,
        (None | Some(Part::Kv), Some((address, token))) => {
            table.note(&format!("measured: {address}"));
            through_the_api(&mut table, &Client::new(address, token)?, &options, None).await?;
        }
        (None, None) => {
            table.note(&format!("disk: {:.0} fsync/s of 4 KiB", engine::syncs(options.span / 2)?));
            kv(&mut table, &options).await?;
            aws::measure(&mut table, &options.program, options.span).await?;
            growth::measure(&mut table, &options.program, options.span, options.many).await?;
            start::measure(&mut table, &options.program, options.many).await?;
            trail::measure(&mut table, &options.program, options.span, options.entries).await?;
        }
    }
    println!("{table}");
    Ok(())
}

/// Our server under the load that every server is given, and its memory before and after.
async fn kv(table: &mut Table, options: &Options) -> anyhow::Result<()> {
    let latency = processor::memory_latency(options.span / 4).as_nanos();
    table.note(&format!("memory: {latency} ns for a read from 16 MiB in no order"));
    let rows = Rows::of_a_secret(&options.program, SECRET).await?;
    let server = Server::start(&options.program)?;
    table.figure("idle memory", server.resident_mib()?, "MiB", None);
    through_the_api(table, &server.client()?, options, Some(rows)).await?;
    table.figure("memory after this load", server.resident_mib()?, "MiB", None);
    Ok(())
}

/// What every server that speaks the API can be asked. `rows` are what ours keeps for a secret.
async fn through_the_api(
    table: &mut Table,
    client: &Client,
    options: &Options,
    rows: Option<Rows>,
) -> anyhow::Result<()> {
    let span = options.span;
    client.expect("POST", "secret/data/bench/read", SECRET).await?;
    let sample = client.expect("GET", "secret/data/bench/read", "").await?;
    let bare = bare::Bare::start(&sample)?;
    let limit = Load::reads(&bare.client()?, "anything");
    for connections in [1, 64] {
        let load = Load::reads(client, "secret/data/bench/read");
        let (reads, limit) = load.beside(&limit, connections, span).await?;
        let what = format!("KV v2 read, {}", count(connections));
        table.rate(&what, &reads, Some(("bare handler", limit.per_second)));
    }
    let writes = Load::writes(client, "secret/data/bench/write", SECRET);
    table.rate("KV v2 write of a new secret, 1 connection", &writes.run(1, span).await?, None);
    let what = "KV v2 write of a new secret, 64 connections";
    match rows {
        None => table.rate(what, &writes.run(64, span).await?, None),
        Some(rows) => {
            let kinds = [rows, Rows::SMALLEST];
            let engines = [Engine::new(rows)?, Engine::new(Rows::SMALLEST)?];
            let (reached, [same, smallest]) = writes.beside_engines(&engines, 64, span).await?;
            let [same_name, smallest_name] = kinds.map(Rows::name);
            table.rate(what, &reached, Some((&same_name, same)));
            table.share("... the same beside the least", reached.per_second, (&smallest_name, smallest));
        }
    }
    let lookups = Load::reads(client, "auth/token/lookup-self").run(64, span).await?;
    table.rate("token lookup-self, 64 connections", &lookups, None);
    let logins = login_load(client).await?.run(64, span).await?;
    table.rate("AppRole login, 64 connections", &logins, None);
    Ok(())
}

fn count(connections: usize) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

async fn login_load(client: &Client) -> anyhow::Result<Load> {
    // Enabled already when the same server is measured twice.
    let _ = client.send("POST", "sys/auth/approle", r#"{"type":"approle"}"#).await?;
    client.expect("POST", "auth/approle/role/bench", r#"{"token_policies":"default","token_ttl":"10m"}"#).await?;
    let role = client.expect("GET", "auth/approle/role/bench/role-id", "").await?;
    let secret = client.expect("POST", "auth/approle/role/bench/secret-id", "{}").await?;
    let body = serde_json::json!({
        "role_id": client::text(&role, "/data/role_id")?, "secret_id": client::text(&secret, "/data/secret_id")?,
    });
    Ok(Load::same(client, "POST", "auth/approle/login", &body.to_string()))
}
