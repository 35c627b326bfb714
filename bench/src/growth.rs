//! What the cost of a read grows with: other secrets, policies of the token, mounts, entries of the trail.

use crate::client::{self, Client};
use crate::load::Load;
use crate::server::Server;
use crate::table::Table;
use std::path::Path;
use std::time::Duration;

const SECRET: &str = r#"{"data":{"password":"correct horse battery staple"}}"#;

/// Measures the same read on an empty server and after each kind of growth, one after the other.
pub(crate) async fn measure(table: &mut Table, program: &Path, span: Duration, many: usize) -> anyhow::Result<()> {
    let server = Server::start(program)?;
    let root = server.client()?;
    root.expect("POST", "secret/data/one", SECRET).await?;
    read(table, &root, "read on an empty server", span).await?;
    fill(&root, many).await?;
    read(table, &root, &format!("read beside {many} secrets"), span).await?;
    for number in 0..500 {
        let body = format!(r#"{{"type":"kv","options":{{"version":"2"}},"description":"{number}"}}"#);
        root.expect("POST", &format!("sys/mounts/team/{number}/kv"), &body).await?;
    }
    read(table, &root, "read beside 500 mounts", span).await?;
    for policies in [1, 100] {
        let bearer = bearer_with(&root, policies).await?;
        read(table, &bearer, &format!("read by a token of {policies} policies of 20 rules"), span).await?;
    }
    // Every request so far is an entry: some hundred thousand of them.
    read(table, &root, "read after a long trail", span).await
}

async fn read(table: &mut Table, client: &Client, what: &str, span: Duration) -> anyhow::Result<()> {
    let reached = Load::reads(client, "secret/data/one").run(64, span).await?;
    table.rate(what, &reached, None);
    Ok(())
}

/// Writes that many secrets over 64 connections.
pub(crate) async fn fill(client: &Client, many: usize) -> anyhow::Result<()> {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let client = client.clone();
        writers.spawn(async move {
            let mut connection = client.connect().await?;
            for number in (writer..many).step_by(64) {
                let path = format!("secret/data/fill/{}/{number}", number % 100);
                connection.exchange(client.request("POST", &path, SECRET)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn bearer_with(root: &Client, policies: usize) -> anyhow::Result<Client> {
    let mut names = Vec::new();
    for number in 0..policies {
        let rules: String = (0..20)
            .map(|rule| format!("path \"secret/data/team{number}/{rule}/*\" {{ capabilities = [\"read\"] }}\n"))
            .collect();
        let own = "path \"secret/data/one\" { capabilities = [\"read\"] }";
        let name = format!("bench-{policies}-{number}");
        let body = serde_json::json!({ "policy": format!("{rules}{own}") });
        root.expect("POST", &format!("sys/policies/acl/{name}"), &body.to_string()).await?;
        names.push(name);
    }
    let made = root.expect("POST", "auth/token/create", &serde_json::json!({ "policies": names }).to_string()).await?;
    Ok(root.with_token(&client::text(&made, "/auth/client_token")?))
}
