//! Credentials that die on time: how fast logins of a real PostgreSQL come and go beside the same statements sent straight
//! to it, how soon a revoked one is refused, and what a great number of leases costs (made in a Redis, where a login is
//! cheap): what readers of secrets notice when all of them expire at once, and, of leases that lie in the store, memory and
//! the time of a start.

use crate::client::{Client, text};
use crate::load::Load;
use crate::server::Server;
use crate::swarm;
use crate::table::Table;
use anyhow::{Context, bail};
use serde_json::json;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use strongroom_model::Ttl;
use strongroom_testkit::outside::{Admin, Postgres, Redis};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Connections to the database that make logins, ours and straight ones: Vault's default is four.
const CONNECTIONS: usize = 4;
/// Starts that are timed.
const STARTS: usize = 5;
/// Callers at once.
const CALLERS: usize = 32;
/// Members of a role that says what they may do, as PostgreSQL's documentation advises.
const CREATE: &str =
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE bench_reader";

/// What the server sends to end one login when a role has no statements for that, as one message. It sends one for several
/// when they end at the same moment.
const DROP: &str = "BEGIN; SET LOCAL lock_timeout = '250ms'; SELECT set_config('strongroom.dropped', \
        '{' || coalesce(to_regrole(quote_ident('{{name}}'))::oid::text, '0') || '}', false); \
    SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) \
        WHERE usesysid = ANY(current_setting('strongroom.dropped')::oid[]); \
    DROP ROLE \"{{name}}\"; COMMIT; \
    SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) \
        WHERE usesysid = ANY(current_setting('strongroom.dropped')::oid[])";

/// Measures all; `logins` are made and dropped in PostgreSQL, `many` leases in Redis. None of them: that part is left out.
pub(crate) async fn measure(table: &mut Table, program: &Path, logins: usize, many: usize) -> anyhow::Result<()> {
    if logins > 0 {
        logins_come_and_go(table, program, logins, Disk::Synced).await?;
        logins_come_and_go(table, program, logins, Disk::Unsynced).await?;
    }
    if many > 0 { many_leases(table, program, many).await } else { Ok(()) }
}

/// Whether a commit of the database is on disk when it is answered. Ours always is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// As PostgreSQL comes.
    Synced,
    /// `fsync=off`, as no database is run whose data matters: all that is left is processor time.
    Unsynced,
}

async fn logins_come_and_go(table: &mut Table, program: &Path, logins: usize, disk: Disk) -> anyhow::Result<()> {
    let server = Server::start(program)?;
    let postgres = match disk {
        Disk::Synced => Postgres::start_durable().await,
        Disk::Unsynced => Postgres::start().await,
    };
    table.note(match disk {
        Disk::Synced => "first the database syncs its commits, as PostgreSQL comes and as our server does",
        Disk::Unsynced => "then beside a database with fsync=off; our server syncs all the same",
    });
    let client = server.client()?;
    postgres.sql("CREATE ROLE bench_reader");
    // One of ours is kept for ending logins, so on both sides as many make them.
    let plugin = json!({"plugin_name": "postgresql-database-plugin", "max_open_connections": CONNECTIONS + 1});
    configure(&client, plugin, &postgres.admin(), json!({"creation_statements": CREATE})).await?;
    let straight = Straight::open(&postgres).await?;
    let names: Vec<String> = (0..logins).map(|number| format!("straight-{number}")).collect();
    let create = |name: &String| {
        let sql = CREATE.replace("{{name}}", name).replace("{{password}}", "zkG5-8OTpXyJ0aLmVq3R");
        format!("BEGIN; {}; COMMIT", sql.replace("{{expiration}}", "2100-01-01 00:00:00+00"))
    };
    let made = straight.all(names.iter().map(create).collect()).await?;
    let bare = straight.all(names.iter().map(|name| format!("DROP ROLE \"{name}\"")).collect()).await?;
    straight.all(names.iter().map(create).collect()).await?;
    let dropped = straight.all(names.iter().map(|name| DROP.replace("{{name}}", name)).collect()).await?;
    let (begun, ticks) = (Instant::now(), server.ticks("")?);
    ask_for(&client, logins).await?;
    let rate = logins as f64 / begun.elapsed().as_secs_f64();
    table.share("logins made", rate, ("the same statements straight", made));
    table.figure("... processor time of our server, each", each(&server, ticks, logins)?, "us", None);
    let (begun, ticks) = (Instant::now(), server.ticks("")?);
    client.expect("POST", "sys/leases/revoke-prefix/database/creds", r#"{"sync":false}"#).await?;
    table.figure(&format!("revoke-prefix of {logins}, until it is answered"), millis(begun), "ms", None);
    until_no_lease(&client).await?;
    let rate = logins as f64 / begun.elapsed().as_secs_f64();
    table.figure("... processor time of our server, each", each(&server, ticks, logins)?, "us", None);
    table.share("... logins ended", rate, ("the same statements straight", dropped));
    table.share("... beside nothing but", rate, ("DROP ROLE straight", bare));
    let left = postgres.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'v-%'");
    table.figure("logins left after it", left.trim().parse()?, "", Some("0"));
    match disk {
        Disk::Synced => refusals(table, &client, &postgres).await,
        Disk::Unsynced => Ok(()),
    }
}

/// Microseconds of processor time that each of so many took since then.
fn each(server: &Server, since: u64, many: usize) -> anyhow::Result<f64> {
    /// The kernel counts in hundredths of a second.
    const TICK: f64 = 10_000.0;
    Ok((server.ticks("")? - since) as f64 * TICK / many as f64)
}

/// From asking for a lease's end to the first login that is refused.
async fn refusals(table: &mut Table, client: &Client, postgres: &Postgres) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let made = client.expect("GET", "database/creds/bench", "").await?;
        let (name, password) = (text(&made, "/data/username")?, text(&made, "/data/password")?);
        log_in(postgres, &name, &password).await.context("a login that was just made")?;
        let body = json!({"lease_id": text(&made, "/lease_id")?, "sync": false}).to_string();
        let begun = Instant::now();
        client.expect("POST", "sys/leases/revoke", &body).await?;
        while log_in(postgres, &name, &password).await.is_ok() {}
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    for (what, at) in [("p50", 100), ("p99", 198)] {
        let time = times.get(at).copied().unwrap_or_default();
        table.figure(&format!("lease revoke to refused login, {what}"), time.as_secs_f64() * 1e3, "ms", None);
    }
    Ok(())
}

async fn many_leases(table: &mut Table, program: &Path, many: usize) -> anyhow::Result<()> {
    let (folder, redis) = (tempfile::tempdir()?, Redis::start().await);
    let server = Server::over(program, folder.path())?;
    let client = server.client()?;
    let asker = client.with_token(&prepare(&client, &redis).await?);
    let begun = Instant::now();
    ask_for(&asker, 2_000).await?;
    let rate = 2_000.0 / begun.elapsed().as_secs_f64();
    let life = (many as f64 / rate * 1.5) as u64 + 30;
    let ttl = json!({"db_name": "bench", "default_ttl": life, "max_ttl": "48h", "creation_statements": "[\"+@read\"]"});
    client.expect("POST", "database/roles/bench", &ttl.to_string()).await?;
    ask_for(&asker, many).await?;
    let all_due = Instant::now() + Duration::from_secs(life + 1);
    let idle = Load::reads(&server.client()?, "secret/data/bench").run(4, Duration::from_secs(5)).await?;
    table.rate("KV reads, 4 connections, beside leases", &idle, None);
    drop(server);
    tokio::time::sleep_until(all_due.into()).await;
    let begun = Instant::now();
    let server = Server::over(program, folder.path())?;
    let client = server.client()?;
    let busy = Load::reads(&client, "secret/data/bench").run(4, Duration::from_secs(5)).await?;
    table.rate("KV reads, 4 connections, while all of them expire", &busy, None);
    table.figure(
        "... its p99 beside the one before",
        busy.p99.as_secs_f64() / idle.p99.as_secs_f64(),
        "times",
        Some("2"),
    );
    let rest = count(&client).await?;
    let ended = (many as f64 + 2_000.0 - rest as f64) / begun.elapsed().as_secs_f64();
    table.figure("... of which ended beside the reads", ended, "per s", None);
    let begun = Instant::now();
    client.expect("POST", "sys/leases/revoke-prefix/database/creds", r#"{"sync":false}"#).await?;
    until_no_lease(&client).await?;
    table.figure(
        &format!("{rest} leases that were left, ended"),
        rest as f64 / begun.elapsed().as_secs_f64(),
        "per s",
        None,
    );
    let left = redis.command(&["ACL", "USERS"]).lines().filter(|user| user.starts_with('V')).count();
    table.figure("logins left after it", left as f64, "", Some("0"));
    Ok(())
}

/// Mounts what logins of a Redis come from, and a secret; gives a token that no start of the server ends, or its leases
/// would end with it.
async fn prepare(client: &Client, redis: &Redis) -> anyhow::Result<String> {
    let plugin = json!({"plugin_name": "redis-database-plugin", "max_open_connections": 16});
    configure(client, plugin, &redis.admin(), json!({"creation_statements": "[\"+@read\"]"})).await?;
    client.expect("POST", "secret/data/bench", r#"{"data":{"a":"b"}}"#).await?;
    let made = client.expect("POST", "auth/token/create-orphan", r#"{"policies":["root"],"ttl":"100h"}"#).await?;
    text(&made, "/auth/client_token")
}

/// What leases that lie in the store cost a server that does nothing about them: the same starts and the same requests
/// without them and with them. They are put there by [`swarm`], since a million users would take a Redis gigabytes.
pub(crate) async fn measure_stored(table: &mut Table, program: &Path, stored: usize) -> anyhow::Result<()> {
    if stored == 0 {
        return Ok(());
    }
    let (folder, redis) = (tempfile::tempdir()?, Redis::start().await);
    let server = Server::over(program, folder.path())?;
    let token = prepare(&server.client()?, &redis).await?;
    drop(server);
    let without = at_work(program, folder.path(), &token).await?;
    let begun = Instant::now();
    swarm::make(folder.path(), &token, stored, Ttl::from_secs(90 * 3_600)).await?;
    table.note(&format!("{stored} leases were put into the store in {:.0} s", begun.elapsed().as_secs_f64()));
    let with = at_work(program, folder.path(), &token).await?;
    for (what, found) in [("no lease", &without), (format!("{stored} leases").as_str(), &with)] {
        table.figure(&format!("start with {what}, median of {STARTS}"), found.start, "ms", None);
        table.figure("... last file of the trail", found.trail, "MiB", None);
        table.figure("... memory after the same requests", found.resident, "MiB", None);
    }
    let growth = (with.resident - without.resident) * 1e6 / stored as f64;
    table.figure(&format!("memory per million leases, from {stored}"), growth, "MiB", Some("64 MiB"));
    let (start, trail) = start_beside(program, with.trail).await?;
    table.figure(
        &format!("start with no lease and as long a file of the trail, median of {STARTS}"),
        start,
        "ms",
        None,
    );
    table.figure("... last file of the trail", trail, "MiB", None);
    Ok(())
}

/// How long a start takes that reads as much of a trail, of reads of one secret alone: what is left are the leases.
async fn start_beside(program: &Path, trail: f64) -> anyhow::Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let long = || last_file(&folder.path().join("data/trail")).map(|bytes| bytes as f64 / 1024.0 / 1024.0);
    let server = Server::over(program, folder.path())?;
    let client = server.client()?;
    client.expect("POST", "secret/data/bench", r#"{"data":{"value":"short"}}"#).await?;
    while long()? < trail {
        Load::reads(&client, "secret/data/bench").run(16, Duration::from_millis(200)).await?;
    }
    drop(server);
    Ok((median_start(program, folder.path()).await?, long()?))
}

/// The median of some starts over the same data.
async fn median_start(program: &Path, folder: &Path) -> anyhow::Result<f64> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(started(program, folder).await?);
    }
    starts.sort_by(f64::total_cmp);
    starts.get(STARTS / 2).copied().context("no start was measured")
}

/// How a server does over some data.
struct AtWork {
    start: f64,
    trail: f64,
    resident: f64,
}

async fn at_work(program: &Path, folder: &Path, token: &str) -> anyhow::Result<AtWork> {
    let start = median_start(program, folder).await?;
    let trail = last_file(&folder.join("data/trail"))? as f64 / 1024.0 / 1024.0;
    let server = Server::over(program, folder)?;
    let client = server.client()?.with_token(token);
    Load::reads(&client, "secret/data/bench").run(4, Duration::from_secs(2)).await?;
    ask_for(&client, 2_000).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(AtWork { start, trail, resident: server.resident_mib()? })
}

/// How long the file of a trail is that is written to.
fn last_file(folder: &Path) -> anyhow::Result<u64> {
    let files = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let segments = files.into_iter().filter(|file| file.path().extension().is_some_and(|kind| kind == "jsonl"));
    let last = segments.max_by_key(std::fs::DirEntry::file_name).context("a trail without a file")?;
    Ok(last.metadata()?.len())
}

async fn configure(
    client: &Client,
    plugin: serde_json::Value,
    admin: &Admin,
    role: serde_json::Value,
) -> anyhow::Result<()> {
    let with = |mut body: serde_json::Value, more: serde_json::Value| {
        if let (Some(body), serde_json::Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body.to_string()
    };
    client.expect("POST", "sys/mounts/database", r#"{"type":"database"}"#).await?;
    let config = json!({"connection_url": admin.url, "username": admin.username, "password": admin.password,
        "allowed_roles": "*"});
    client.expect("POST", "database/config/bench", &with(plugin, config)).await?;
    let ttl = json!({"db_name": "bench", "default_ttl": "24h", "max_ttl": "48h"});
    client.expect("POST", "database/roles/bench", &with(role, ttl)).await.map(drop)
}

/// Asks for so many logins, from many callers.
async fn ask_for(client: &Client, logins: usize) -> anyhow::Result<()> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let client = client.clone();
        callers.spawn(async move {
            let mut connection = client.connect().await?;
            for _ in (caller..logins).step_by(CALLERS) {
                let request = client.request("GET", "database/creds/bench", "")?;
                let (status, answer) = connection.exchange(request).await?;
                if status != 200 {
                    bail!("no login: {status} {}", String::from_utf8_lossy(&answer));
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn until_no_lease(client: &Client) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        if count(client).await? == 0 {
            return Ok(());
        }
    }
}

async fn count(client: &Client) -> anyhow::Result<u64> {
    let counted = client.expect("GET", "sys/leases/count?type=all", "").await?;
    let counted: serde_json::Value = serde_json::from_slice(&counted)?;
    counted.pointer("/data/lease_count").and_then(serde_json::Value::as_u64).context("no count of leases")
}

async fn started(program: &Path, folder: &Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let server = Server::over(program, folder)?;
    server.client()?.expect("GET", "sys/health", "").await?;
    Ok(millis(begun))
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// A login over a connection of its own, and out again.
async fn log_in(postgres: &Postgres, name: &str, password: &str) -> anyhow::Result<()> {
    let socket = TcpStream::connect(("127.0.0.1", postgres.port())).await?;
    let mut config = tokio_postgres::Config::new();
    config.dbname("app").user(name).password(password);
    drop(config.connect_raw(socket, tokio_postgres::NoTls).await?);
    Ok(())
}

/// The same database, without us.
struct Straight {
    clients: Vec<tokio_postgres::Client>,
    _drivers: JoinSet<()>,
}

impl Straight {
    async fn open(postgres: &Postgres) -> anyhow::Result<Self> {
        let (mut clients, mut drivers) = (Vec::new(), JoinSet::new());
        let admin = postgres.admin();
        for _ in 0..CONNECTIONS {
            let socket = TcpStream::connect(("127.0.0.1", postgres.port())).await?;
            socket.set_nodelay(true)?;
            let mut config = tokio_postgres::Config::new();
            config.dbname("app").user(admin.username).password(admin.password);
            let (client, connection) = config.connect_raw(socket, tokio_postgres::NoTls).await?;
            clients.push(client);
            drivers.spawn(async move { drop(pin!(connection).await) });
        }
        Ok(Self { clients, _drivers: drivers })
    }

    /// Sends all messages over all connections; gives how many a second.
    async fn all(&self, messages: Vec<String>) -> anyhow::Result<f64> {
        let (messages, next) = (Arc::new(messages), AtomicUsize::new(0));
        let begun = Instant::now();
        let run = async |client: &tokio_postgres::Client| {
            while let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                client.simple_query(message).await?;
            }
            anyhow::Ok(())
        };
        let [one, two, three, four] = self.clients.as_slice() else { bail!("there are four connections") };
        tokio::try_join!(run(one), run(two), run(three), run(four))?;
        Ok(messages.len() as f64 / begun.elapsed().as_secs_f64())
    }
}
