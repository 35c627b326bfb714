//! Events, emergency revocation and incidents through the native API: what is told, what is cut off, and who may.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod alert;
mod aws;
mod event;
mod filter;
mod hold;
mod network;
mod principal;
mod right;
mod secret;
mod slow;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use strongroom_testkit::{Answer, TestServer};

async fn ask(server: &TestServer, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    server.send_raw(method, &format!("/api/v1/{path}"), &[("X-Vault-Token", token)], body.into_bytes()).await
}

async fn get(server: &TestServer, token: &str, path: &str) -> Answer {
    ask(server, token, "GET", path, None).await
}

async fn revoke(server: &TestServer, token: &str, mut body: Value) -> Answer {
    body["reason"] = json!("a leak");
    ask(server, token, "POST", "revoke", Some(body)).await
}

/// The incident when nothing is left to do.
async fn done(server: &TestServer, id: &str) -> Answer {
    let root = server.root.clone();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        server.world.rooms().housekeep().await;
        let answer = get(server, &root, &format!("incidents/{id}")).await.expect(200);
        if answer.at("/data/incident/state") == "done" {
            return answer;
        }
        assert!(Instant::now() < deadline, "{}", answer.text);
        tokio::task::yield_now().await;
    }
}

async fn role(server: &TestServer, name: &str, rules: &str) {
    server.policy(name, rules).await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await;
    operator.post(&format!("auth/approle/role/{name}"), json!({"token_policies": [name]})).await.expect(204);
}

/// What a login by a role takes.
async fn credentials(server: &TestServer, name: &str) -> Value {
    let operator = server.operator();
    let id = operator.get(&format!("auth/approle/role/{name}/role-id")).await.expect(200).text_at("/data/role_id");
    let secret = operator.post(&format!("auth/approle/role/{name}/secret-id"), json!({})).await.expect(200);
    json!({"role_id": id, "secret_id": secret.text_at("/data/secret_id")})
}

async fn login(server: &TestServer, name: &str) -> Answer {
    let credentials = credentials(server, name).await;
    server.by("").post("auth/approle/login", credentials).await.expect(200)
}

const READS_APP: &str = "path \"secret/data/app/*\" { capabilities = [\"read\"] }";

async fn lift(server: &TestServer, id: &str) -> Answer {
    let reason = json!({"reason": "a false alarm"});
    ask(server, &server.root, "POST", &format!("incidents/{id}/lift"), Some(reason)).await
}

/// The id of an incident that was carried out.
async fn incident(server: &TestServer, target: Value) -> String {
    let id = revoke(server, &server.root, target).await.expect(200).text_at("/data/incident/id");
    done(server, &id).await;
    id
}
