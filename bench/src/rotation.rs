//! Secrets that are all due in the same minute, rotated on a real PostgreSQL, beside the statement that changes a password
//! sent straight to it, and beside that with the login that proves it.

use crate::client::{Client, text};
use crate::server::Server;
use crate::table::Table;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use strongroom_testkit::outside::Postgres;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Calls to one outside system at once, as the server has it.
const CALLS: usize = 8;
/// What the server sends, but for the verifier.
const VERIFIER: &str = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Measures all with so many secrets.
pub(crate) async fn measure(table: &mut Table, program: &Path, secrets: usize) -> anyhow::Result<()> {
    let postgres = Postgres::start().await;
    let make = "CREATE ROLE app%s LOGIN PASSWORD %L";
    postgres.sql(&for_each(secrets, make));
    let bare = straight(&postgres, secrets, false).await?;
    let proved = straight(&postgres, secrets, true).await?;
    for (what, admin) in [("by a powerful login", true), ("each by itself", false)] {
        let server = Server::start(program)?;
        let client = server.client()?;
        prepare(&client, &postgres, secrets, admin).await?;
        let before = server.resident_mib()?;
        let (begun, ticks) = (Instant::now(), server.ticks("")?);
        begin(&client, secrets).await?;
        let peak = until_rotated(&client, &server, secrets).await?;
        let span = begun.elapsed().as_secs_f64();
        let rate = secrets as f64 / span;
        table.share(&format!("{secrets} secrets rotated, {what}"), rate, ("ALTER ROLE straight", bare));
        table.share("... beside", rate, ("ALTER ROLE and a login straight", proved));
        let spent = (server.ticks("")? - ticks) as f64 * 10.0 / secrets as f64;
        table.figure("... processor time of each", spent, "ms", None);
        table.figure("... memory, at most, above before", peak - before, "MiB", None);
    }
    Ok(())
}

/// A statement that says this for each number of a login.
fn for_each(secrets: usize, statement: &str) -> String {
    let last = secrets.saturating_sub(1);
    format!("DO $$ BEGIN FOR n IN 0..{last} LOOP EXECUTE format('{statement}', n, 'first'); END LOOP; END $$")
}

/// So many changes a second, over as many connections as the server has; each with a login after it where that is asked.
async fn straight(postgres: &Postgres, secrets: usize, proved: bool) -> anyhow::Result<f64> {
    let (next, admin, port) = (Arc::new(AtomicUsize::new(0)), postgres.admin(), postgres.port());
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLS {
        let (next, admin) = (Arc::clone(&next), admin.clone());
        callers.spawn(async move {
            let mut config = tokio_postgres::Config::new();
            config.dbname("app").user(admin.username).password(admin.password);
            let socket = TcpStream::connect(("127.0.0.1", port)).await?;
            socket.set_nodelay(true)?;
            let (client, connection) = config.connect_raw(socket, tokio_postgres::NoTls).await?;
            let work = async {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= secrets {
                        return anyhow::Ok(());
                    }
                    let value = if proved { "first" } else { VERIFIER };
                    client.simple_query(&format!("ALTER ROLE app{number} PASSWORD '{value}'")).await?;
                    if proved {
                        log_in(port, &format!("app{number}"), "first").await?;
                    }
                }
            };
            let (mut work, mut connection) = (pin!(work), pin!(connection));
            tokio::select! {
                done = &mut work => done,
                _ = &mut connection => bail!("the connection to PostgreSQL ended"),
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(secrets as f64 / begun.elapsed().as_secs_f64())
}

async fn log_in(port: u16, name: &str, password: &str) -> anyhow::Result<()> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut config = tokio_postgres::Config::new();
    config.dbname("app").user(name).password(password);
    drop(config.connect_raw(socket, tokio_postgres::NoTls).await?);
    Ok(())
}

/// The secrets with their plans.
async fn prepare(client: &Client, postgres: &Postgres, secrets: usize, admin: bool) -> anyhow::Result<()> {
    postgres.sql(&for_each(secrets, "ALTER ROLE app%s PASSWORD %L"));
    let login = |name: &str, password: &str| {
        json!({"data": {"engine": "postgres", "host": "127.0.0.1", "port": postgres.port(), "dbname": "app",
            "username": name, "password": password}})
        .to_string()
    };
    let powerful = postgres.admin();
    client.expect("POST", "secret/data/app/admin", &login(powerful.username, powerful.password)).await?;
    let plan = json!({"method": "postgres-single", "admin": if admin { "app/admin" } else { "" }}).to_string();
    for number in 0..secrets {
        client.expect("POST", &format!("secret/data/app/{number}"), &login(&format!("app{number}"), "first")).await?;
        expect_native(client, "POST", &format!("rotation/schedule/secret/app/{number}"), &plan).await?;
    }
    Ok(())
}

/// Has all of them begin, from many callers: what a minute's schedule does within the server.
async fn begin(client: &Client, secrets: usize) -> anyhow::Result<()> {
    let mut callers = JoinSet::new();
    for caller in 0..32 {
        let client = client.clone();
        callers.spawn(async move {
            for number in (caller..secrets).step_by(32) {
                expect_native(&client, "POST", &format!("rotation/start/secret/app/{number}"), "{}").await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Waits until each has ended, and says how much memory was in use at most.
async fn until_rotated(client: &Client, server: &Server, secrets: usize) -> anyhow::Result<f64> {
    let (mut tick, mut peak) = (tokio::time::interval(Duration::from_millis(20)), 0_f64);
    let mut number = 0;
    while number < secrets {
        peak = peak.max(server.resident_mib()?);
        let status = expect_native(client, "GET", &format!("rotation/status/secret/app/{number}"), "").await?;
        let status: Value = serde_json::from_slice(&status)?;
        match status.pointer("/data/before/outcome/result").and_then(Value::as_str) {
            Some("rotated") => number += 1,
            Some(other) => bail!("a rotation was {other}: {status}"),
            None => drop(tick.tick().await),
        }
    }
    let last = client.expect("GET", &format!("secret/data/app/{}", secrets - 1), "").await?;
    text(&last, "/data/data/password").map(|_| peak).context("the last secret")
}

async fn expect_native(client: &Client, method: &str, path: &str, body: &str) -> anyhow::Result<Vec<u8>> {
    let (status, answer) = client.native(method, path, body).await?;
    if status >= 300 {
        bail!("{method} {path} answered {status}: {}", String::from_utf8_lossy(&answer));
    }
    Ok(answer)
}
