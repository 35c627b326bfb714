//! Readings through AWS's API beside the KV read of the same secret, in the same run. Requests are signed before the clock
//! starts, so that what is measured is the server's check of the signature and not ours.

use crate::client::{Client, text};
use crate::load::Load;
use crate::server::Server;
use crate::table::Table;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strongroom_model::Timestamp;
use strongroom_testkit::AwsClient;

const SECRET: &str =
    r#"{"data":{"username":"dbadmin","password":"correct horse battery staple","host":"db.example.com"}}"#;
/// As many as one request takes.
const BATCH: usize = 20;

/// Measures a server of its own.
pub(crate) async fn measure(table: &mut Table, program: &Path, span: Duration) -> anyhow::Result<()> {
    let server = Server::start(program)?;
    let client = server.client()?;
    let made = client.expect("POST", "sys/access-keys", r#"{"name":"bench","policies":["root"]}"#).await?;
    let key = AwsClient::of(text(&made, "/data/access_key_id")?, text(&made, "/data/secret_access_key")?);
    let names: Vec<String> = (0..BATCH).map(|number| format!("bench/aws-{number}")).collect();
    for name in &names {
        client.expect("POST", &format!("secret/data/{name}"), SECRET).await?;
    }
    let first = names.first().map(String::as_str).unwrap_or_default();
    let one = serde_json::json!({ "SecretId": first }).to_string();
    let all = serde_json::json!({ "SecretIdList": names }).to_string();
    for connections in [1, 64] {
        let reads = Load::reads(&client, &format!("secret/data/{first}"));
        let load = signed(&client, &key, "GetSecretValue", &one)?;
        let (got, limit) = load.beside(&reads, connections, span).await?;
        let limit = Some(("KV v2 read", limit.per_second));
        table.rate(&format!("GetSecretValue, {connections} connections"), &got, limit);
        let load = signed(&client, &key, "BatchGetSecretValue", &all)?;
        let (got, reads) = load.beside(&reads, connections, span).await?;
        let what = format!("secrets by BatchGetSecretValue of {BATCH}, {connections} connections");
        table.share(&what, got.per_second * BATCH as f64, ("KV v2 read", reads.per_second));
    }
    Ok(())
}

/// A request that is signed once and sent over and over.
#[expect(clippy::disallowed_methods, reason = "the server under measurement has the clock of the machine")]
fn signed(client: &Client, key: &AwsClient, operation: &str, body: &str) -> anyhow::Result<Load> {
    let now = Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    Ok(Load::dressed(client, key.headers(now, &format!("secretsmanager.{operation}"), body), body))
}
