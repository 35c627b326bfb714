//! Readings through AWS's API beside the KV read of the same secret, in the same run. Requests are signed before the clock
//! starts, so that what is measured is the server's check of the signature and not ours.

use crate::client::{Client, text};
use crate::load::Load;
use crate::server::Server;
use crate::table::Table;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strongroom_model::Timestamp;

const SECRET: &str =
    r#"{"data":{"username":"dbadmin","password":"correct horse battery staple","host":"db.example.com"}}"#;
/// As many as one request takes.
const BATCH: usize = 20;

/// Measures a server of its own.
pub(crate) async fn measure(table: &mut Table, program: &Path, span: Duration) -> anyhow::Result<()> {
    let server = Server::start(program)?;
    let client = server.client()?;
    let made = client.expect("POST", "sys/access-keys", r#"{"name":"bench","policies":["root"]}"#).await?;
    let key = (text(&made, "/data/access_key_id")?, text(&made, "/data/secret_access_key")?);
    let names: Vec<String> = (0..BATCH).map(|number| format!("bench/aws-{number}")).collect();
    for name in &names {
        client.expect("POST", &format!("secret/data/{name}"), SECRET).await?;
    }
    let first = names.first().map(String::as_str).unwrap_or_default();
    let one = serde_json::json!({ "SecretId": first }).to_string();
    let all = serde_json::json!({ "SecretIdList": names }).to_string();
    for connections in [1, 64] {
        let reads = Load::reads(&client, &format!("secret/data/{first}")).run(connections, span).await?;
        let limit = Some(("KV v2 read", reads.per_second));
        let load = signed(&client, &key, "GetSecretValue", &one)?;
        let got = load.run(connections, span).await?;
        table.rate(&format!("GetSecretValue, {connections} connections"), &got, limit);
        let got = signed(&client, &key, "BatchGetSecretValue", &all)?.run(connections, span).await?;
        let what = format!("secrets by BatchGetSecretValue of {BATCH}, {connections} connections");
        table.share(&what, got.per_second * BATCH as f64, ("KV v2 read", reads.per_second));
    }
    Ok(())
}

/// A request that is signed once and sent over and over (AWS General Reference, "Create a signed AWS API request").
#[expect(clippy::disallowed_methods, reason = "the server under measurement has the clock of the machine")]
fn signed(client: &Client, (key, secret): &(String, String), operation: &str, body: &str) -> anyhow::Result<Load> {
    let now = Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()).to_string();
    let digits: String = now.chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    let (stamp, day) = (format!("{digits}Z"), digits.get(..8).unwrap_or_default());
    let target = format!("secretsmanager.{operation}");
    let hash = |text: &str| hex(digest(&SHA256, text.as_bytes()).as_ref());
    let names = "content-type;host;x-amz-date;x-amz-target";
    let kind = "application/x-amz-json-1.1";
    let canonical = format!(
        "POST\n/\n\ncontent-type:{kind}\nhost:localhost\nx-amz-date:{stamp}\nx-amz-target:{target}\n\n{names}\n{}",
        hash(body)
    );
    let scope = [day, "us-east-1", "secretsmanager", "aws4_request"];
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{}\n{}", scope.join("/"), hash(&canonical));
    let derived = scope.iter().fold(format!("AWS4{secret}").into_bytes(), |key, part| {
        sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec()
    });
    let signature = hex(sign(&Key::new(HMAC_SHA256, &derived), text.as_bytes()).as_ref());
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={key}/{}, SignedHeaders={names}, Signature={signature}", scope.join("/"));
    let headers = vec![
        ("content-type", kind.to_owned()),
        ("x-amz-date", stamp),
        ("x-amz-target", target),
        ("authorization", authorization),
    ];
    Ok(Load::dressed(client, headers, body))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
