//! Who should look is told, once.

use super::case::{Case, Outside};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::Clock;
use strongroom_testkit::outside::Redis;
use strongroom_testkit::{AwsClient, TestServer};
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

/// A place that takes messages, one after the other.
struct Receiver {
    port: u16,
    heard: tokio::sync::mpsc::Receiver<Value>,
    // Aborted when it is dropped.
    _running: tokio::task::JoinSet<()>,
}

impl Receiver {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = tokio::sync::mpsc::channel(64);
        let mut running = tokio::task::JoinSet::new();
        running.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut whole = Vec::new();
                let body = loop {
                    let mut part = [0; 4_096];
                    let read = socket.read(&mut part).await.unwrap();
                    whole.extend_from_slice(&part[..read]);
                    let text = String::from_utf8_lossy(&whole).into_owned();
                    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap()) || read == 0 {
                        break body.to_owned();
                    }
                };
                let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = tell.send(serde_json::from_str(&body).unwrap()).await;
            }
        });
        Self { port, heard, _running: running }
    }
}

#[tokio::test]
async fn who_should_look_is_told_by_webhook_trail_and_status_and_told_when_it_is_well_again() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let (operator, mut there) = (case.house.server.operator(), Receiver::open().await);
    let url = format!("http://127.0.0.1:{}/", there.port);
    for (name, style) in [("programs", "json"), ("people", "slack")] {
        let body = json!({"url": url, "style": style, "topics": ["rotation"], "internal": true}).to_string();
        let headers = [("X-Vault-Token", case.house.server.root.as_str())];
        let path = format!("/api/v1/webhooks/{name}");
        let made = case.house.server.send_raw("POST", &path, &headers, body.into_bytes()).await;
        assert!(made.status.is_success(), "{}", made.text);
    }
    let right = operator.get("secret/data/app/admin").await.expect(200).at("/data/data").clone();
    let mut wrong = right.clone();
    wrong["password"] = json!("wr0ng-canary");
    operator.post("secret/data/app/admin", json!({"data": wrong})).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.to_the_end().await;
    let status = case.ask("GET", "status", None).await.expect(200);
    assert_eq!(status.at("/data/before/outcome/phase"), "setting", "{}", status.text);
    assert!(status.text_at("/data/before/outcome/why").contains("refused the login of admin"), "{}", status.text);
    assert!(status.text_at("/data/advice").contains("rotate start"), "{}", status.text);
    case.house.server.world.rooms().webhooks.settle().await;
    let mut heard = vec![there.heard.recv().await.unwrap(), there.heard.recv().await.unwrap()];
    heard.sort_by_key(|one| one["text"].is_string());
    assert_eq!(heard[0]["type"], "rotation.rotation-failed", "{heard:?}");
    assert_eq!(heard[0]["data"]["path"], "secret/app/db");
    assert!(heard[1]["text"].as_str().unwrap().contains("rotation-failed"), "{heard:?}");
    let entries = case.house.server.world.entries().await;
    assert!(entries.iter().any(|entry| entry["operation"] == "rotation-failed" && entry["path"] == "secret/app/db"));
    assert!(!format!("{entries:?}{heard:?}{}", status.text).contains("canary"));

    operator.post("secret/data/app/admin", json!({"data": right})).await.expect(200);
    case.rotate().await;
    case.house.server.world.rooms().webhooks.settle().await;
    let told = [there.heard.recv().await.unwrap(), there.heard.recv().await.unwrap()];
    assert!(format!("{told:?}").contains("rotation-recovered"), "{told:?}");
}

#[tokio::test]
async fn what_is_held_up_is_told_once_as_stuck_and_once_as_past_due() {
    let redis = Arc::new(Redis::start().await);
    let case = Case::straight(Outside::Redis(Arc::clone(&redis)), "single").await;
    case.ask("POST", "schedule", Some(json!({"schedule": "rate(4 hours)"}))).await.expect(200);
    redis.stop();
    case.later(4 * 3_600).await;
    for _ in 0..30 {
        case.later(301).await;
    }
    let running = case.running().await.expect("it goes on trying");
    assert!(running["error"].as_str().unwrap().contains("cannot be reached") && running["attempts"].as_u64() > Some(4));
    let entries = case.house.server.world.entries().await;
    let told = |kind: &str| entries.iter().filter(|entry| entry["operation"] == kind).count();
    assert_eq!((told("rotation-stuck"), told("rotation-late")), (1, 1));
}

/// Writes a parameter that ends by itself, as AWS's clients do.
async fn put_parameter(server: &TestServer, name: &str, end: &str) {
    let client = AwsClient::new(server, "tests", &["root"]).await;
    let policy = json!([{"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": end}}]).to_string();
    let body = json!({"Name": name, "Value": "x", "Type": "String", "Tier": "Advanced", "Policies": policy});
    client.call(server, "AmazonSSM.PutParameter", &body).await.expect(200);
}

#[tokio::test]
async fn a_secret_that_ends_by_itself_is_told_of_once_in_time() {
    let server = TestServer::open().await;
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    server.operator().post("sys/mounts/parameter", kv).await;
    let day = Duration::from_secs(86_400);
    let end = server.world.clock.now().plus(day * 10);
    put_parameter(&server, "/app/setting", &end.to_string()).await;
    let told = async |days: u32| {
        server.world.clock.advance(day * days);
        server.world.rooms().rotations.settle().await;
        let entries = server.world.entries().await;
        entries.into_iter().filter(|entry| entry["operation"] == "secret-expires").collect::<Vec<_>>()
    };
    assert_eq!(told(1).await.len(), 0);
    let entries = told(7).await;
    assert_eq!(entries.len(), 1);
    assert!(entries[0]["path"].as_str().unwrap().ends_with("/app/setting"), "{}", entries[0]);
    assert_eq!(told(1).await.len(), 1);
}
