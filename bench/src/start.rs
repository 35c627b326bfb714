//! From starting the process to the first answer, with nothing stored and with a lot.

use crate::client::Client;
use crate::growth;
use crate::server::Server;
use crate::table::Table;
use std::path::Path;
use std::time::Instant;

/// Measures both; tokens are made as children of the root token, in the same number as secrets.
pub(crate) async fn measure(table: &mut Table, program: &Path, many: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    drop(Server::over(program, folder.path())?);
    table.figure("start to serving, nothing stored", started(program, folder.path()).await?, "ms", Some("300 ms"));
    let server = Server::over(program, folder.path())?;
    let client = server.client()?;
    growth::fill(&client, many).await?;
    tokens(&client, many).await?;
    drop(server);
    let what = format!("start to serving, {many} secrets and {many} tokens");
    table.figure(&what, started(program, folder.path()).await?, "ms", Some("300 ms"));
    Ok(())
}

async fn started(program: &Path, folder: &Path) -> anyhow::Result<f64> {
    let start = Instant::now();
    let server = Server::over(program, folder)?;
    server.client()?.expect("GET", "sys/health", "").await?;
    Ok(start.elapsed().as_secs_f64() * 1_000.0)
}

async fn tokens(client: &Client, many: usize) -> anyhow::Result<()> {
    let mut makers = tokio::task::JoinSet::new();
    for maker in 0..64 {
        let client = client.clone();
        makers.spawn(async move {
            let mut connection = client.connect().await?;
            for _ in (maker..many).step_by(64) {
                let body = r#"{"policies":["default"],"ttl":"24h"}"#;
                connection.exchange(client.request("POST", "auth/token/create-orphan", body)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = makers.join_next().await {
        ended??;
    }
    Ok(())
}
