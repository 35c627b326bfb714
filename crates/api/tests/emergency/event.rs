//! What those who wait are told: batches of a long poll, and streams.

use crate::get;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_testkit::{Answer, TestServer};
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn types(batch: &Answer) -> Vec<String> {
    let events = batch.at("/data/events").as_array().unwrap();
    events
        .iter()
        .map(|event| format!("{} {}", event["type"].as_str().unwrap(), event["path"].as_str().unwrap()))
        .collect()
}

/// A stream of events, and what has been heard of it.
struct Stream {
    socket: TcpStream,
    heard: String,
}

impl Stream {
    async fn open(server: &TestServer, token: &str, query: &str) -> Self {
        let mut socket = server.connect().await;
        let head = format!("GET /api/v1/events/stream?{query} HTTP/1.1\r\nhost: x\r\nx-vault-token: {token}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Self { socket, heard: String::new() };
        stream.until("event: hello").await;
        stream
    }

    /// Reads until this was heard, or the stream ended.
    async fn until(&mut self, what: &str) -> bool {
        let mut buffer = vec![0; 16_384];
        while !self.heard.contains(what) {
            let read = tokio::time::timeout(Duration::from_secs(10), self.socket.read(&mut buffer)).await;
            match read.expect("the stream says something").unwrap() {
                0 => return false,
                n => self.heard.push_str(&String::from_utf8_lossy(&buffer[..n])),
            }
        }
        true
    }
}

#[tokio::test]
async fn every_change_of_a_secret_is_told_within_the_readers_rights_and_without_its_value() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    let start = get(&server, &root, "events").await.expect(200).text_at("/data/after");
    for n in 1..=2 {
        let data = json!({"data": {"v": format!("canary-{n}")}});
        operator.post("secret/data/app/db", data.clone()).await.expect(200);
        operator.post("secret/data/hr/pay", data).await.expect(200);
    }
    operator.delete("secret/data/app/db").await.expect(204);
    operator.post("secret/undelete/app/db", json!({"versions": [2]})).await.expect(204);
    operator.post("secret/destroy/app/db", json!({"versions": [1]})).await.expect(204);
    operator.post("secret/metadata/app/db", json!({"custom_metadata": {"owner": "x"}})).await.expect(204);
    operator.delete("secret/metadata/app/db").await.expect(204);
    let all = get(&server, &root, &format!("events?after={start}&prefix=secret/app")).await.expect(200);
    let path = "secret/data/app/db";
    let told: Vec<String> = ["written", "written", "deleted", "undeleted", "destroyed", "removed"]
        .map(|what| format!("secret-{what} {path}"))
        .into();
    assert_eq!(types(&all), told, "{}", all.text);
    assert_eq!(all.at("/data/events/1/version"), 2);
    assert!(!all.text.contains("canary"));
    // A place in between goes on behind it; a type alone is heard alone.
    let second = all.text_at("/data/events/1/id");
    let rest = get(&server, &root, &format!("events?after={second}&prefix={path}&type=secret-deleted")).await;
    assert_eq!(types(&rest), [format!("secret-deleted {path}")]);
    // Who may list names in one folder hears of that folder only, whatever they ask for.
    let rules = "path \"sys/events\" { capabilities = [\"read\"] }\n\
                 path \"secret/metadata/hr/*\" { capabilities = [\"list\"] }";
    server.policy("hr", rules).await;
    let hr = server.token(json!({"policies": ["hr"], "no_default_policy": true})).await;
    for prefix in ["", "&prefix=secret", "&prefix=secret/app", "&prefix=secret/data/hr"] {
        let heard = get(&server, &hr, &format!("events?after={start}{prefix}")).await.expect(200);
        let expected = if prefix.contains("app") { 0 } else { 2 };
        assert_eq!(types(&heard), vec!["secret-written secret/data/hr/pay".to_owned(); expected], "{prefix}");
    }
    // Prefixes are of whole parts, and a place of another time is told to be one.
    assert_eq!(
        types(&get(&server, &root, &format!("events?after={start}&prefix=secret/ap")).await),
        Vec::<String>::new()
    );
    let stale = get(&server, &root, "events?after=00000000.5").await.expect(200);
    assert_eq!((stale.at("/data/resync"), stale.at("/data/events")), (&json!(true), &json!([])));
    server.stop().await;
}

#[tokio::test]
async fn mounts_and_tokens_are_told_of_and_waiting_ends_with_the_first_event() {
    let server = Arc::new(TestServer::open().await);
    let (operator, root) = (server.operator(), server.root.clone());
    let start = get(&server, &root, "events").await.expect(200).text_at("/data/after");
    operator.post("sys/mounts/kv", json!({"type": "kv"})).await.expect(204);
    operator.delete("sys/mounts/kv").await.expect(204);
    let made = operator.post("auth/token/create", json!({"policies": ["default"]})).await.expect(200);
    let accessor = made.text_at("/auth/accessor");
    operator.post("auth/token/revoke-accessor", json!({"accessor": accessor})).await.expect(204);
    let heard = get(&server, &root, &format!("events?after={start}")).await.expect(200);
    let told = ["mount-changed sys/mounts/kv", "mount-changed sys/mounts/kv", "token-revoked auth/token/accessors"];
    assert_eq!(types(&heard), told);
    assert_eq!(heard.at("/data/events/2/accessor"), accessor.as_str());
    let waiting = tokio::task::JoinSet::from_iter([{
        let (server, root) = (Arc::clone(&server), root.clone());
        async move { get(&server, &root, "events?wait=30s&prefix=secret/app").await }
    }]);
    tokio::task::yield_now().await;
    let mut waiting = waiting;
    // The waiter may come after the first write: it is told of a later one.
    let began = Instant::now();
    let answer = loop {
        operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
        if let Some(answer) = waiting.try_join_next() {
            break answer.unwrap().expect(200);
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    };
    assert!(types(&answer)[0].starts_with("secret-written"), "{}", answer.text);
}

#[tokio::test]
async fn a_stream_tells_of_new_versions_and_ends_when_its_token_is_revoked() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let rules = "path \"sys/events\" { capabilities = [\"read\"] }\n\
                 path \"secret/data/app/*\" { capabilities = [\"read\"] }";
    server.policy("watch", rules).await;
    let token = server.token(json!({"policies": ["watch"], "no_default_policy": true})).await;
    let mut stream = Stream::open(&server, &token, "prefix=secret").await;
    operator.post("secret/data/hr/pay", json!({"data": {"v": 1}})).await.expect(200);
    operator.post("secret/data/app/db", json!({"data": {"v": "canary"}})).await.expect(200);
    assert!(stream.until("secret/data/app/db").await);
    assert!(stream.heard.contains("text/event-stream") && stream.heard.contains("event: secret-written\ndata: {"));
    assert!(!stream.heard.contains("hr/pay") && !stream.heard.contains("canary"), "{}", stream.heard);
    let began = Instant::now();
    operator.post("auth/token/revoke", json!({"token": token})).await.expect(204);
    assert!(stream.until("event: end").await, "{}", stream.heard);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // What happens from then on is not heard, and no new stream begins.
    operator.post("secret/data/app/db", json!({"data": {"v": 2}})).await.expect(200);
    assert!(stream.until("\r\n0\r\n\r\n").await && !stream.heard.contains("\"version\":2"));
    get(&server, &token, "events/stream").await.expect(403);
    // Losing the right ends a stream too, though the token lives on.
    let token = server.token(json!({"policies": ["watch"], "no_default_policy": true})).await;
    let mut stream = Stream::open(&server, &token, "prefix=secret").await;
    server.policy("watch", "path \"sys/events\" { capabilities = [\"deny\"] }").await;
    assert!(stream.until("event: end").await);
    drop(stream);
    // Sealing ends all.
    let mut stream = Stream::open(&server, &server.root, "").await;
    operator.post("sys/seal", json!({})).await.expect(204);
    assert!(stream.until("event: end").await);
    server.stop().await;
}
