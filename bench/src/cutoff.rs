//! Emergency revocation: how long a principal with a great number of tokens and leases is still let in after the order was
//! acknowledged. Users go on with its tokens the whole time; what they are answered is what is counted.

use crate::client::{Client, Connection, text};
use crate::server::Server;
use crate::table::Table;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use strongroom_testkit::outside::{Admin, Postgres};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Tokens of the principal, and logins in the database.
const TOKENS: usize = 10_000;
const LOGINS: usize = 1_000;
/// Users at once, each with a share of the tokens.
const USERS: usize = 32;
/// Connections that make tokens and leases.
const MAKERS: usize = 16;
const CREATE: &str = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
/// How long users go on after the answer.
const AFTER: Duration = Duration::from_secs(3);

/// What one use came to.
struct Use {
    began: Instant,
    ended: Instant,
    let_in: bool,
}

/// Measures `rounds` times.
pub(crate) async fn measure(table: &mut Table, program: &Path, rounds: usize) -> anyhow::Result<()> {
    let (postgres, server) = (Postgres::start().await, Server::start(program)?);
    let client = server.client()?;
    prepare(&client, &postgres.admin()).await?;
    let (mut last, mut late, mut ended) = (vec![], vec![], vec![]);
    let (mut acknowledged, mut leases, mut all) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        let cut = once(&client, &postgres, round).await?;
        last.extend(cut.last_let_in);
        late.extend(cut.let_in_after);
        ended.extend(cut.ended_after);
        acknowledged.push(cut.acknowledged);
        leases.push(cut.leases_gone);
        all.push(cut.everything);
    }
    let name = |what: &str| format!("{what}, {TOKENS} tokens and {LOGINS} logins, {rounds} times");
    table.times(&name("order to acknowledgement"), &mut acknowledged, None);
    table.times("order to the last use that was let in, per user", &mut last, None);
    table.times("acknowledgement to the last use that began after it and was let in, per user", &mut late, Some("1 s"));
    table.times(
        "acknowledgement to the end of the last use that was let in, whenever it began, per user",
        &mut ended,
        Some("1 s"),
    );
    table.times("acknowledgement until no lease is left and the database refuses each login", &mut leases, None);
    table.times("acknowledgement until nothing is left to do", &mut all, None);
    Ok(())
}

async fn prepare(client: &Client, admin: &Admin) -> anyhow::Result<()> {
    client.expect("POST", "sys/mounts/database", r#"{"type":"database"}"#).await?;
    let config = json!({"plugin_name": "postgresql-database-plugin", "max_open_connections": 4,
        "connection_url": admin.url, "username": admin.username, "password": admin.password, "allowed_roles": "*"});
    client.expect("POST", "database/config/bench", &config.to_string()).await?;
    let role = json!({"db_name": "bench", "default_ttl": "24h", "max_ttl": "48h", "creation_statements": CREATE});
    client.expect("POST", "database/roles/bench", &role.to_string()).await?;
    client.expect("POST", "sys/auth/approle", r#"{"type":"approle"}"#).await?;
    let rules = "path \"secret/data/*\" { capabilities = [\"read\"] }\npath \"database/creds/bench\" { capabilities = [\"read\"] }";
    client.expect("POST", "sys/policies/acl/bench", &json!({ "policy": rules }).to_string()).await?;
    client.expect("POST", "secret/data/bench", r#"{"data":{"a":"b"}}"#).await.map(drop)
}

struct Cut {
    acknowledged: Duration,
    /// For each user, from the acknowledgement to its last use that began after that and was let in; zero without one.
    let_in_after: Vec<Duration>,
    /// The same for its last use that ended after that, also where it had begun before.
    ended_after: Vec<Duration>,
    /// For each user, from the order to the end of its last use that was let in.
    last_let_in: Vec<Duration>,
    leases_gone: Duration,
    everything: Duration,
}

async fn once(client: &Client, postgres: &Postgres, round: usize) -> anyhow::Result<Cut> {
    let (entity, tokens) = principal(client, round).await?;
    let logins = logins(client, &tokens).await?;
    let Some((name, password)) = logins.first() else { bail!("no login was made") };
    log_in(postgres, name, password).await.context("a login that was made is not let in")?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut users = JoinSet::new();
    for user in 0..USERS {
        let own: Vec<String> = tokens.iter().skip(user).step_by(USERS).cloned().collect();
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        users.spawn(async move { use_on(&client, &own, &stop).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let order = json!({"principal": entity, "reason": "a measurement"}).to_string();
    let ordered = Instant::now();
    let (status, answer) = client.native("POST", "revoke", &order).await?;
    let acknowledged = Instant::now();
    if status != 200 {
        bail!("the order was answered {status}: {}", String::from_utf8_lossy(&answer));
    }
    let id = text(&answer, "/data/incident/id")?;
    let (leases_gone, everything) = until_done(client, postgres, &id, &logins, acknowledged).await?;
    tokio::time::sleep(AFTER.saturating_sub(acknowledged.elapsed())).await;
    stop.store(true, Ordering::SeqCst);
    let (mut let_in_after, mut ended_after, mut last_let_in) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(uses) = users.join_next().await {
        let uses = uses??;
        let let_in = || uses.iter().filter(|one| one.let_in);
        let late = let_in().filter(|one| one.began > acknowledged).map(|one| one.ended - acknowledged);
        let_in_after.push(late.max().unwrap_or_default());
        ended_after
            .push(let_in().map(|one| one.ended.saturating_duration_since(acknowledged)).max().unwrap_or_default());
        let last = let_in().map(|one| one.ended.saturating_duration_since(ordered)).max();
        last_let_in.push(last.unwrap_or_default());
        if uses.last().is_none_or(|last| last.let_in) {
            bail!("a user is still let in");
        }
    }
    let acknowledged = acknowledged - ordered;
    Ok(Cut { acknowledged, let_in_after, ended_after, last_let_in, leases_gone, everything })
}

/// An entity with all its tokens, got by logging in.
async fn principal(client: &Client, round: usize) -> anyhow::Result<(String, Vec<String>)> {
    let role = format!("auth/approle/role/bench-{round}");
    let terms = r#"{"token_policies":["bench"],"token_ttl":"24h","secret_id_num_uses":0}"#;
    client.expect("POST", &role, terms).await?;
    let role_id = text(&client.expect("GET", &format!("{role}/role-id"), "").await?, "/data/role_id")?;
    let secret_id = text(&client.expect("POST", &format!("{role}/secret-id"), "{}").await?, "/data/secret_id")?;
    let login = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
    let answers = many(client, TOKENS, move |client| client.request("POST", "auth/approle/login", &login)).await?;
    let tokens = answers.iter().map(|answer| text(answer, "/auth/client_token")).collect::<anyhow::Result<Vec<_>>>()?;
    let entity = text(answers.first().context("no login")?, "/auth/entity_id")?;
    Ok((entity, tokens))
}

async fn logins(client: &Client, tokens: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let token = tokens.first().context("no token")?;
    let asker = client.with_token(token);
    let answers = many(&asker, LOGINS, |client| client.request("GET", "database/creds/bench", "")).await?;
    let login = |answer: &Vec<u8>| anyhow::Ok((text(answer, "/data/username")?, text(answer, "/data/password")?));
    answers.iter().map(login).collect()
}

/// The same request so many times, over a few connections; the answers.
async fn many(
    client: &Client,
    count: usize,
    request: impl Fn(&Client) -> anyhow::Result<hyper::Request<http_body_util::Full<bytes::Bytes>>> + Clone + Send + 'static,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        let (client, request) = (client.clone(), request.clone());
        makers.spawn(async move {
            let (mut connection, mut answers) = (client.connect().await?, Vec::new());
            for _ in (maker..count).step_by(MAKERS) {
                let (status, answer) = connection.exchange(request(&client)?).await?;
                if status != 200 {
                    bail!("answered {status}: {}", String::from_utf8_lossy(&answer));
                }
                answers.push(answer);
            }
            Ok(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(made) = makers.join_next().await {
        answers.extend(made??);
    }
    Ok(answers)
}

/// Reads with one token after the other until told to stop.
async fn use_on(client: &Client, tokens: &[String], stop: &AtomicBool) -> anyhow::Result<Vec<Use>> {
    let mut connection: Connection = client.connect().await?;
    let mut uses = Vec::new();
    for token in tokens.iter().cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let request = client.with_token(token).request("GET", "secret/data/bench", "")?;
        let began = Instant::now();
        let (status, _) = connection.exchange(request).await?;
        match status {
            200 | 403 => uses.push(Use { began, ended: Instant::now(), let_in: status == 200 }),
            other => bail!("a user was answered {other}"),
        }
    }
    Ok(uses)
}

/// Waits until the incident has nothing left to do; when its leases were gone, and when all was. Then every login is tried.
async fn until_done(
    client: &Client,
    postgres: &Postgres,
    id: &str,
    logins: &[(String, String)],
    since: Instant,
) -> anyhow::Result<(Duration, Duration)> {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut leases_gone = None;
    let everything = loop {
        tick.tick().await;
        let (_, answer) = client.native("GET", &format!("incidents/{id}"), "").await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let incident = answer.pointer("/data/incident").context("no incident in the answer")?;
        let steps = incident.get("steps").and_then(Value::as_array).context("no steps in the incident")?;
        let leases = steps.iter().find(|step| step.get("what") == Some(&json!("leases")));
        if leases.is_some_and(|step| !step.get("ended").is_none_or(Value::is_null)) {
            leases_gone = leases_gone.or(Some(since.elapsed()));
        }
        if !incident.get("finished").is_none_or(Value::is_null) {
            break since.elapsed();
        }
        if since.elapsed() > Duration::from_secs(300) {
            bail!("after five minutes something is left: {incident}");
        }
    };
    for (name, password) in logins.iter().step_by(20) {
        if log_in(postgres, name, password).await.is_ok() {
            bail!("the database still lets {name} in");
        }
    }
    Ok((leases_gone.unwrap_or(everything), everything))
}

async fn log_in(postgres: &Postgres, name: &str, password: &str) -> anyhow::Result<()> {
    let socket = TcpStream::connect(("127.0.0.1", postgres.port())).await?;
    let mut config = tokio_postgres::Config::new();
    config.dbname("app").user(name).password(password);
    drop(config.connect_raw(socket, tokio_postgres::NoTls).await?);
    Ok(())
}
