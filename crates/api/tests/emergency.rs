//! Events, emergency revocation and incidents through the native API: what is told, what is cut off, and who may.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use strongroom_api::Limits;
use strongroom_core::{Init, SlotSpec};
use strongroom_storage::{Committed, Epoch, Front, Fronted, Memory, Store, StoreError, Txn};
use strongroom_testkit::{Answer, TestServer, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

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

#[tokio::test]
async fn a_revoked_secret_is_refused_until_a_new_version_or_lifting_and_its_consumers_are_measured() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let rules = "path \"secret/data/app/*\" { capabilities = [\"read\"] }";
    for name in ["quick", "slow", "gone"] {
        role(&server, name, rules).await;
    }
    let mut tokens = Vec::new();
    for name in ["quick", "slow", "gone"] {
        let token = login(&server, name).await.text_at("/auth/client_token");
        server.by(&token).get("secret/data/app/db").await.expect(200);
        tokens.push(token);
    }
    // A preview touches nothing.
    let before = server.world.snapshot().await.len();
    let preview =
        ask(&server, &root, "POST", "revoke/preview", Some(json!({"secret": "secret/app/db"}))).await.expect(200);
    assert_eq!(preview.at("/data/target"), "secret/app/db");
    assert_eq!(preview.at("/data/touches/0/names"), &json!(["version 1"]));
    assert_eq!(preview.at("/data/touches/1/count"), 3, "{}", preview.text);
    assert_eq!(server.world.snapshot().await.len(), before);
    server.by(&tokens[0]).get("secret/data/app/db").await.expect(200);
    assert_eq!(get(&server, &root, "incidents").await.at("/data/incidents"), &json!([]));
    // No reason, no revocation; nor two targets at once.
    ask(&server, &root, "POST", "revoke", Some(json!({"secret": "secret/app/db"}))).await.expect(400);
    revoke(&server, &root, json!({"secret": "secret/app/db", "mount": "secret"})).await.expect(400);
    server.world.clock.advance(Duration::from_secs(5));
    let answer = revoke(&server, &root, json!({"secret": "secret/data/app/db"})).await.expect(200);
    let id = answer.text_at("/data/incident/id");
    assert_eq!(answer.at("/data/incident/cut/version"), 1);
    assert!(answer.at("/data/figures/refusal_in_force_us").is_u64(), "{}", answer.text);
    server.world.clock.advance(Duration::from_secs(1));
    for token in &tokens[..2] {
        server.by(token).get("secret/data/app/db").await.expect(404);
    }
    let report = done(&server, &id).await;
    assert_eq!(report.at("/data/figures/accepted_after"), 0, "{}", report.text);
    assert_eq!(report.at("/data/figures/refused_after"), 2);
    operator.post("secret/data/app/db", json!({"data": {"v": 2}})).await.expect(200);
    server.by(&tokens[0]).get("secret/data/app/db").await.expect(200);
    let report = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
    let mut states: Vec<_> = report
        .at("/data/figures/consumers")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["not-seen", "refreshed", "refused"]);
    assert_eq!(report.at("/data/stragglers").as_array().unwrap().len(), 2, "{}", report.text);
    assert_eq!(report.at("/data/figures/last_accepted_us"), 0, "reads of the new version are no use of the old one");
    let notes: Vec<_> =
        report.at("/data/timeline").as_array().unwrap().iter().filter_map(|row| row["note"].as_str()).collect();
    assert!(notes.iter().any(|note| note.contains("cut off: version 1")), "{notes:?}");
    // Lifted, the version is back; twice is once too often.
    let lift = |id: String| {
        let (server, root) = (&server, root.clone());
        async move {
            ask(server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "a false alarm"}))).await
        }
    };
    server.by(&tokens[0]).get("secret/data/app/db?version=1").await.expect(404);
    assert_eq!(lift(id.clone()).await.expect(200).at("/data/incident/lifted/restored"), &json!(["version 1"]));
    server.by(&tokens[0]).get("secret/data/app/db?version=1").await.expect(200);
    lift(id).await.expect(409);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_that_keeps_logging_in_is_out_from_the_answer_on() {
    let server = Arc::new(TestServer::open().await);
    let root = server.root.clone();
    role(&server, "web", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let first = login(&server, "web").await;
    let entity = first.text_at("/auth/entity_id");
    let key = server.operator().post("sys/access-keys", json!({"name": "web", "entity": entity})).await;
    let credentials = credentials(&server, "web").await;
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (server, credentials) = (Arc::clone(&server), credentials.clone());
        busy.spawn(async move {
            let mut tokens = Vec::new();
            loop {
                let answer = server.by("").post("auth/approle/login", credentials.clone()).await;
                if answer.status.as_u16() != 200 {
                    return tokens;
                }
                tokens.push(answer.text_at("/auth/client_token"));
            }
        });
    }
    while server.world.rooms().tokens.accessors().await.unwrap().len() < 60 {
        tokio::task::yield_now().await;
    }
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"principal": entity}))).await.expect(200);
    let touches = preview.at("/data/touches").as_array().unwrap();
    assert!(touches.iter().any(|touch| touch["what"] == "tokens" && touch["count"].as_u64() > Some(40)), "{touches:?}");
    let answer = revoke(&server, &root, json!({"principal": entity})).await.expect(200);
    // Whoever asks after the answer is refused.
    server.by(&first.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(403);
    let mut tokens = Vec::new();
    while let Some(more) = busy.join_next().await {
        tokens.extend(more.unwrap());
    }
    assert!(tokens.len() > 40);
    let report = done(&server, &answer.text_at("/data/incident/id")).await;
    for token in &tokens {
        server.by(token).get("auth/token/lookup-self").await.expect(403);
    }
    assert!(report.at("/data/incident/refused").is_string(), "{}", report.text);
    let steps = report.at("/data/incident/steps").as_array().unwrap();
    assert!(steps.iter().all(|step| step["ended"].is_string() && step["failures"] == json!([])), "{steps:?}");
    key.expect(200);
    assert!(steps.iter().any(|step| step["what"] == "access-keys" && step["done"] == 1), "{steps:?}");
    // Lifted, the principal can log in again, and the tokens of before stay dead.
    let id = answer.text_at("/data/incident/id");
    ask(&server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "cleared"}))).await.expect(200);
    server.by("").post("auth/approle/login", credentials).await.expect(200);
    for token in tokens.iter().take(5) {
        server.by(token).get("auth/token/lookup-self").await.expect(403);
    }
}

/// One request from another address of this machine.
async fn from_elsewhere(server: &TestServer, token: &str, path: &str) -> String {
    let head = format!("GET /v1/{path} HTTP/1.1\r\nhost: x\r\nx-vault-token: {token}\r\nconnection: close\r\n\r\n");
    speak_from_elsewhere(server, &head).await
}

async fn speak_from_elsewhere(server: &TestServer, text: &str) -> String {
    hear_from_elsewhere(server, text).await.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn hear_from_elsewhere(server: &TestServer, text: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    TestServer::hear(&mut stream).await
}

#[tokio::test]
async fn a_network_and_a_mount_are_refused_until_lifted_and_nobody_cuts_off_themselves() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let stolen = server.token(json!({"policies": ["default"]})).await;
    let other = server.token(json!({"policies": ["default"]})).await;
    assert_eq!(from_elsewhere(&server, &stolen, "auth/token/lookup-self").await, "200");
    revoke(&server, &root, json!({"address": "127.0.0.0/8"})).await.expect(400);
    // IPv4 mapped into IPv6 is the network that it stands for.
    revoke(&server, &root, json!({"address": "::ffff:127.0.0.0/104"})).await.expect(400);
    let refused = revoke(&server, &root, json!({"address": "::ffff:10.0.0.0/90"})).await.expect(400);
    assert!(refused.text.contains("write it as IPv4"), "{}", refused.text);
    let answer = revoke(&server, &root, json!({"address": "::ffff:127.0.0.9/128"})).await.expect(200);
    let id = answer.text_at("/data/incident/id");
    assert_eq!(from_elsewhere(&server, &other, "auth/token/lookup-self").await, "403");
    assert_eq!(from_elsewhere(&server, &root, "secret/data/app/db").await, "403");
    done(&server, &id).await;
    // The token that was used from there is dead everywhere; the other one only there.
    server.by(&stolen).get("auth/token/lookup-self").await.expect(403);
    server.by(&other).get("auth/token/lookup-self").await.expect(200);
    let blocks = get(&server, &root, "revoke/blocks").await.expect(200);
    assert_eq!(blocks.at("/data/blocks/0/name"), "127.0.0.9/32");
    ask(&server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "over"}))).await.expect(200);
    assert_eq!(from_elsewhere(&server, &other, "auth/token/lookup-self").await, "200");
    // An auth mount: its tokens, and logins through it.
    role(&server, "web", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    let credentials = credentials(&server, "web").await;
    let token =
        server.by("").post("auth/approle/login", credentials.clone()).await.expect(200).text_at("/auth/client_token");
    for builtin in ["sys", "auth/token"] {
        revoke(&server, &root, json!({"mount": builtin})).await.expect(400);
    }
    let answer = revoke(&server, &root, json!({"mount": "auth/approle"})).await.expect(200);
    let id = answer.text_at("/data/incident/id");
    server.by(&token).get("secret/data/app/db").await.expect(403);
    server.by("").post("auth/approle/login", credentials.clone()).await.expect(403);
    done(&server, &id).await;
    ask(&server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "over"}))).await.expect(200);
    server.by(&token).get("secret/data/app/db").await.expect(403);
    server.by("").post("auth/approle/login", credentials).await.expect(200);
    // A mount of secrets.
    let answer = revoke(&server, &root, json!({"mount": "secret"})).await.expect(200);
    server.operator().get("secret/data/app/db").await.expect(403);
    let id = answer.text_at("/data/incident/id");
    done(&server, &id).await;
    ask(&server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "over"}))).await.expect(200);
    server.operator().get("secret/data/app/db").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn revoking_takes_sudo_and_a_target_that_may_not_be_known_is_as_one_that_is_not_there() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    for name in ["app/db", "hr/pay"] {
        operator.post(&format!("secret/data/{name}"), json!({"data": {"v": 1}})).await.expect(200);
    }
    role(&server, "web", "path \"none\" { capabilities = [\"read\"] }").await;
    let entity = login(&server, "web").await.text_at("/auth/entity_id");
    let sees = "path \"secret/metadata/app/*\" { capabilities = [\"read\"] }\n\
                path \"sys/incidents\" { capabilities = [\"read\"] }\npath \"sys/incidents/*\" { capabilities = [\"read\"] }\n";
    let may = "path \"sys/revoke\" { capabilities = [\"update\", \"sudo\"] }\n\
               path \"sys/revoke/preview\" { capabilities = [\"update\", \"sudo\"] }\n";
    server.policy("sees", sees).await;
    server.policy("weak", &format!("{sees}{}", may.replace(", \"sudo\"", ""))).await;
    server.policy("may", &format!("{sees}{may}")).await;
    let mut tokens = Vec::new();
    for policy in ["sees", "weak", "may"] {
        tokens.push(server.token(json!({"policies": [policy], "no_default_policy": true})).await);
    }
    let targets = [
        (json!({"secret": "secret/app/db"}), 200),
        (json!({"secret": "secret/hr/pay"}), 404),
        (json!({"secret": "secret/none"}), 404),
        (json!({"principal": entity}), 404),
        (json!({"lease_prefix": "database/creds"}), 404),
        (json!({"mount": "auth/approle"}), 404),
    ];
    let nothing = json!({"secret": "no/such"});
    let unknown = ask(&server, &tokens[2], "POST", "revoke/preview", Some(nothing)).await.expect(404);
    for (target, status) in &targets {
        for token in &tokens[..2] {
            ask(&server, token, "POST", "revoke/preview", Some(target.clone())).await.expect(403);
            revoke(&server, token, target.clone()).await.expect(403);
        }
        let preview = ask(&server, &tokens[2], "POST", "revoke/preview", Some(target.clone())).await.expect(*status);
        if *status == 404 {
            assert_eq!(preview.at("/error"), unknown.at("/error"), "{target}");
        }
        revoke(&server, &tokens[2], target.clone()).await.expect(*status);
    }
    server.world.clock.advance(Duration::from_secs(1));
    revoke(&server, &root, json!({"secret": "secret/hr/pay"})).await.expect(200);
    // Of two incidents each sees those about what they may see.
    let all = get(&server, &root, "incidents").await.expect(200);
    assert_eq!(all.at("/data/incidents").as_array().unwrap().len(), 2);
    let some = get(&server, &tokens[0], "incidents").await.expect(200);
    assert_eq!(some.at("/data/incidents").as_array().unwrap().len(), 1, "{}", some.text);
    assert!(!some.text.contains("hr"));
    let hidden = all.text_at("/data/incidents/0/id");
    let answer = get(&server, &tokens[0], &format!("incidents/{hidden}")).await.expect(404);
    assert_eq!(answer.at("/error"), get(&server, &tokens[0], "incidents/nonsense").await.at("/error"));
    get(&server, &tokens[0], &format!("incidents/{hidden}/report")).await.expect(404);
    server.stop().await;
}

/// A client of AWS's with a key of its own.
struct Aws<'a> {
    server: &'a TestServer,
    id: String,
    secret: String,
}

impl<'a> Aws<'a> {
    async fn new(server: &'a TestServer, name: &str, rules: &str) -> Self {
        server.policy(name, rules).await;
        let wanted = json!({"name": name, "policies": [name]});
        let made = server.operator().post("sys/access-keys", wanted).await.expect(200);
        let text = |name: &str| made.text_at(&format!("/data/{name}"));
        Self { server, id: text("access_key_id"), secret: text("secret_access_key") }
    }

    async fn read(&self, name: &str) -> Answer {
        self.ask(json!({"SecretId": name})).await
    }

    async fn ask(&self, body: Value) -> Answer {
        let (headers, body) = self.signed(&body);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.server.send_raw("POST", "/", &headers, body.into_bytes()).await
    }

    /// From another address of this machine; the status.
    async fn read_from_elsewhere(&self, name: &str) -> String {
        let (headers, body) = self.signed(&json!({"SecretId": name}));
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let text = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        speak_from_elsewhere(self.server, &text).await
    }

    fn signed(&self, body: &Value) -> (Vec<(&'static str, String)>, String) {
        let stamp = self.server.world.strongroom.clock().now().to_string();
        let digits: String = stamp.chars().take(19).filter(char::is_ascii_alphanumeric).collect();
        let (stamp, day) = (format!("{digits}Z"), &digits[..8]);
        let (body, target) = (body.to_string(), "secretsmanager.GetSecretValue");
        let hash = |text: &str| hex::encode(digest(&SHA256, text.as_bytes()));
        let signed = "host;x-amz-date;x-amz-target";
        let canonical = format!(
            "POST\n/\n\nhost:localhost\nx-amz-date:{stamp}\nx-amz-target:{target}\n\n{signed}\n{}",
            hash(&body)
        );
        let scope = [day, "us-east-1", "secretsmanager", "aws4_request"];
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{}\n{}", scope.join("/"), hash(&canonical));
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key =
            scope.iter().fold(first, |key, part| sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec());
        let signature = hex::encode(sign(&Key::new(HMAC_SHA256, &key), text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
            self.id,
            scope.join("/")
        );
        let headers = vec![
            ("x-amz-date", stamp.clone()),
            ("x-amz-target", target.to_owned()),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("authorization", authorization),
        ];
        (headers, body)
    }
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

/// Entries of AWS's clients say `GetSecretValue` where others say `read`: they were nobody's reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_through_aws_is_a_reader_wherever_readers_are_asked_for() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let svc = Aws::new(&server, "svc", READS_APP).await;
    for _ in 0..3 {
        svc.read("app/db").await.expect(200);
    }
    let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:app/db-AbCdEf";
    for path in ["secret/app/db", "secret/data/app/db", arn] {
        let readers = get(&server, &root, &format!("trail/who-reads?path={path}")).await.expect(200);
        assert_eq!(readers.at("/data/path"), "secret/data/app/db");
        assert_eq!(readers.at("/data/consumers/0/principal"), "access-key-svc", "{}", readers.text);
        assert_eq!((readers.at("/data/consumers/0/reads"), readers.at("/data/consumers/1")), (&json!(3), &json!(null)));
        let entries = get(&server, &root, &format!("trail/query?operation=read&path={path}")).await.expect(200);
        assert_eq!(entries.at("/data/entries").as_array().unwrap().len(), 3, "{path}: {}", entries.text);
    }
    for name in ["access-key-svc", &svc.id] {
        let reads = get(&server, &root, &format!("trail/reads-what?principal={name}")).await.expect(200);
        assert_eq!(reads.at("/data/uses/0/path"), "secret/data/app/db", "{name}: {}", reads.text);
    }
    let review = get(&server, &root, "trail/review").await.expect(200);
    assert!(!review.at("/data/unused_secrets").to_string().contains("app/db"), "{}", review.text);
    for foreign in ["arn:aws:secretsmanager:us-east-1:111111111111:secret:app/db", "arn:aws:s3:::app"] {
        get(&server, &root, &format!("trail/query?path={foreign}")).await.expect(400);
    }
    // An incident counts them too.
    let target = json!({"secret": arn});
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(target.clone())).await.expect(200);
    assert_eq!(preview.at("/data/touches/1/count"), 1, "{}", preview.text);
    server.world.clock.advance(Duration::from_secs(1));
    let id = incident(&server, target).await;
    server.world.clock.advance(Duration::from_secs(1));
    assert_ne!(svc.read("app/db").await.status, 200);
    let shown = get(&server, &root, &format!("incidents/{id}")).await.expect(200);
    assert_eq!(shown.at("/data/figures/refused_after"), 1, "{}", shown.text);
    assert_eq!(shown.at("/data/figures/consumers/0/state"), "refused", "{}", shown.text);
    server.stop().await;
}

#[tokio::test]
async fn what_an_incident_holds_stays_cut_off_until_that_very_incident_is_lifted() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let credentials = credentials(&server, "web").await;
    let entity =
        server.by("").post("auth/approle/login", credentials.clone()).await.expect(200).text_at("/auth/entity_id");
    let logs_in = async || server.by("").post("auth/approle/login", credentials.clone()).await.status == 200;
    // Whichever is lifted first, the other one holds.
    for order in [[0, 1], [1, 0]] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            server.world.clock.advance(Duration::from_secs(1));
            ids.push(incident(&server, json!({"principal": entity})).await);
        }
        lift(&server, &ids[order[0]]).await.expect(200);
        assert!(!logs_in().await, "{order:?}");
        lift(&server, &ids[order[1]]).await.expect(200);
        assert!(logs_in().await, "{order:?}");
        let mut ids = Vec::new();
        for _ in 0..2 {
            server.world.clock.advance(Duration::from_secs(1));
            ids.push(incident(&server, json!({"secret": "secret/app/db"})).await);
        }
        // Nor does an ordinary way bring the version back; what is deleted without an incident comes back as ever.
        for (number, id) in order.iter().map(|number| (*number, &ids[*number])) {
            let refused = operator.post("secret/undelete/app/db", json!({"versions": [1]})).await.expect(400);
            assert!(ids.iter().any(|id| refused.text.contains(id.as_str())), "{}", refused.text);
            operator.get("secret/data/app/db").await.expect(404);
            lift(&server, id).await.expect(200);
            if number == order[1] {
                operator.get("secret/data/app/db").await.expect(200);
            }
        }
        operator.delete("secret/data/app/db").await.expect(204);
        operator.post("secret/undelete/app/db", json!({"versions": [1]})).await.expect(204);
        operator.get("secret/data/app/db").await.expect(200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_is_cut_off_by_the_name_that_the_trail_prints_and_a_key_by_its_name_or_id() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    operator.post("sys/auth/userpass", json!({"type": "userpass"})).await.expect(204);
    let user = json!({"password": "p4ssw0rd", "token_policies": ["default"]});
    operator.post("auth/userpass/users/alice", user).await.expect(204);
    let password = json!({"password": "p4ssw0rd"});
    let alice = server.by("").post("auth/userpass/login/alice", password.clone()).await.expect(200);
    let answer = revoke(&server, &root, json!({"principal": "userpass-alice"})).await.expect(200);
    assert_eq!(answer.at("/data/incident/target/entity"), alice.at("/auth/entity_id"), "{}", answer.text);
    assert_ne!(server.by("").post("auth/userpass/login/alice", password).await.status, 200);
    revoke(&server, &root, json!({"principal": "userpass-bob"})).await.expect(404);
    // Whom nobody named is called as the trail prints them, for confirming too, and found by that.
    assert_eq!(answer.at("/data/incident/name"), "userpass-alice", "{}", answer.text);
    let entity = alice.text_at("/auth/entity_id");
    let generated = operator.get(&format!("identity/entity/id/{entity}")).await.expect(200).text_at("/data/name");
    lift(&server, &answer.text_at("/data/incident/id")).await.expect(200);
    operator.post("auth/userpass/users/alice", json!({"token_policies": ["reads-app"]})).await.expect(204);
    server.policy("reads-app", READS_APP).await;
    let password = json!({"password": "p4ssw0rd"});
    let token =
        server.by("").post("auth/userpass/login/alice", password).await.expect(200).text_at("/auth/client_token");
    server.by(&token).get("secret/data/app/db").await.expect(200);
    let readers = get(&server, &root, "trail/who-reads?path=secret/app/db").await.expect(200);
    let reader = readers.at("/data/consumers/0");
    assert_eq!(
        (&reader["principal"], &reader["entity"]),
        (&json!("userpass-alice"), &json!(entity)),
        "{}",
        readers.text
    );
    for name in ["userpass-alice", &generated, &entity] {
        let reads = get(&server, &root, &format!("trail/reads-what?principal={name}")).await.expect(200);
        assert_eq!(reads.at("/data/uses/0/path"), "secret/data/app/db", "{name}: {}", reads.text);
        let path = format!("trail/query?operation=read&path=secret/app/db&principal={name}");
        let found = get(&server, &root, &path).await.expect(200);
        assert_eq!(found.at("/data/entries").as_array().unwrap().len(), 1, "{name}: {}", found.text);
    }
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"secret": "secret/app/db"}))).await;
    assert_eq!(preview.expect(200).at("/data/touches/1/names"), &json!(["userpass-alice"]));
    let svc = Aws::new(&server, "svc", READS_APP).await;
    for name in ["svc", "access-key-svc", &svc.id] {
        svc.read("app/db").await.expect(200);
        let id = incident(&server, json!({"principal": name})).await;
        assert_ne!(svc.read("app/db").await.status, 200, "{name}");
        let shown = get(&server, &root, &format!("incidents/{id}")).await.expect(200);
        assert_eq!(shown.at("/data/incident/target/kind"), "access-key");
        // One that was ordered meanwhile holds the key on.
        let other = incident(&server, json!({"principal": svc.id})).await;
        lift(&server, &id).await.expect(200);
        assert_ne!(svc.read("app/db").await.status, 200, "{name}");
        lift(&server, &other).await.expect(200);
    }
    svc.read("app/db").await.expect(200);
    // Two of one name: which is meant has to be said.
    operator.post("sys/access-keys", json!({"name": "svc", "policies": ["svc"]})).await.expect(200);
    let refused = revoke(&server, &root, json!({"principal": "svc"})).await.expect(400);
    assert!(refused.text.contains(&svc.id), "{}", refused.text);
    // An entity that was given the name of another's logins is none to be taken for it, and lets nobody go.
    let decoy =
        operator.post("identity/entity", json!({"name": "userpass-alice"})).await.expect(200).text_at("/data/id");
    let refused = revoke(&server, &root, json!({"principal": "userpass-alice"})).await.expect(400);
    assert!(refused.text.contains(&decoy) && refused.text.contains(&entity), "{}", refused.text);
    let id = incident(&server, json!({"principal": entity})).await;
    assert_ne!(server.by(&token).get("secret/data/app/db").await.status, 200);
    lift(&server, &id).await.expect(200);
    let decoy = operator.post("identity/entity", json!({"name": "token-root"})).await.expect(200).text_at("/data/id");
    let refused = revoke(&server, &root, json!({"principal": "token-root"})).await.expect(400);
    assert!(refused.text.contains(&decoy) && refused.text.contains("accessor"), "{}", refused.text);
    // What the trail prints of tokens that are nobody's is no key's name, and says how to go on.
    let named = operator.post("sys/access-keys", json!({"name": "root", "policies": ["svc"]})).await.expect(200);
    let refused = revoke(&server, &root, json!({"principal": "root"})).await.expect(400);
    assert!(refused.text.contains(&named.text_at("/data/access_key_id")), "{}", refused.text);
    assert!(refused.text.contains("accessor"), "{}", refused.text);
    let refused = revoke(&server, &root, json!({"principal": "token"})).await.expect(404);
    assert!(refused.text.contains("by its accessor"), "{}", refused.text);
    revoke(&server, &root, json!({"principal": "access-key-root"})).await.expect(200);
    server.stop().await;
}

/// A load balancer in a blocked network made the measured figure of its revocation grow for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_from_a_blocked_network_are_answered_and_are_no_uses() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    // A batch token of an entity that nobody named: the report says how to cut off who bears it.
    operator.post("sys/auth/userpass", json!({"type": "userpass"})).await.expect(204);
    let user = json!({"password": "p4ssw0rd", "token_policies": ["default"], "token_type": "batch"});
    operator.post("auth/userpass/users/alice", user).await.expect(204);
    let alice = server.by("").post("auth/userpass/login/alice", json!({"password": "p4ssw0rd"})).await.expect(200);
    assert_eq!(from_elsewhere(&server, &alice.text_at("/auth/client_token"), "auth/token/lookup-self").await, "200");
    server.world.clock.advance(Duration::from_secs(1));
    let id = incident(&server, json!({"address": "127.0.0.9"})).await;
    server.world.clock.advance(Duration::from_secs(60));
    for probe in ["sys/health", "sys/seal-status", "sys/leader", "sys/init"] {
        assert_eq!(from_elsewhere(&server, "", probe).await, "200", "{probe}");
    }
    let description = "GET /api/openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(speak_from_elsewhere(&server, description).await, "200");
    assert_eq!(from_elsewhere(&server, &root, "auth/token/lookup-self").await, "403");
    let shown = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
    let figure = |name: &str| shown.at(&format!("/data/figures/{name}")).clone();
    assert_eq!((figure("accepted_after"), figure("refused_after")), (json!(0), json!(1)), "{}", shown.text);
    assert_eq!(figure("last_accepted_us"), 0, "{}", shown.text);
    let advice = format!("revoke -principal={}", alice.text_at("/auth/entity_id"));
    let stragglers = shown.at("/data/stragglers").to_string();
    assert!(stragglers.contains("batch tokens of userpass-alice") && stragglers.contains(&advice), "{stragglers}");
    revoke(&server, &root, json!({"principal": alice.text_at("/auth/entity_id")})).await.expect(200);
    server.stop().await;
}

/// Lifting gave nothing back and said nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lifting_cannot_give_back_is_said_with_what_to_do() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let id = incident(&server, json!({"secret": "secret/app/db"})).await;
    operator.post("secret/destroy/app/db", json!({"versions": [1]})).await.expect(204);
    let svc = Aws::new(&server, "svc", READS_APP).await;
    server.world.clock.advance(Duration::from_secs(1));
    let by_key = incident(&server, json!({"principal": svc.id})).await;
    operator.delete(&format!("sys/access-keys/{}", svc.id)).await.expect(204);
    for (id, said) in [(&id, "version 1 was destroyed"), (&by_key, "revoked meanwhile")] {
        let lifted = lift(&server, id).await.expect(200);
        assert_eq!(lifted.at("/data/incident/lifted/restored"), &json!([]), "{}", lifted.text);
        let report = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
        assert!(report.at("/data/stragglers").to_string().contains(said), "{}", report.text);
    }
    server.stop().await;
}

/// A misspelt filter found nothing, which read like nothing having happened.
#[tokio::test]
async fn a_filter_by_a_word_that_no_entry_has_is_refused_with_those_that_there_are() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    for (path, names) in [
        ("trail/query?outcome=bogus", "denied"),
        ("trail/query?outcome=ok,bogus", "failed"),
        ("trail/query?kind=x", "intent"),
        ("trail/query?dialect=foo", "native"),
        ("trail/query?dialect=VAULT", "vault"),
        ("trail/query?limit=-1", "negative"),
        ("trail/query?limit=0", "from 1 to 1000"),
        ("trail/query?limit=1001", "from 1 to 1000"),
        ("trail/query?limit=201&proof=true", "from 1 to 200"),
        ("trail/query?dialect=internal&kind=outcome", "`event`"),
        ("trail/query?from=2026-11-21T10:00:00Z&to=2026-11-21T09:00:00Z", "not before `to`"),
        ("trail/query?operation=bogus", "read-metadata"),
        ("trail/query?operation=GetSecretValue", "read-metadata"),
        ("events?type=bogus", "secret-written"),
        ("events/stream?type=secret-written,bogus", "lease-cut"),
    ] {
        let refused = get(&server, &root, path).await.expect(400);
        assert!(refused.text.contains(names), "{path}: {}", refused.text);
    }
    // What is empty, as from a variable that is not set, let everything pass.
    for field in [
        "path",
        "prefix",
        "principal",
        "operation",
        "outcome",
        "dialect",
        "address",
        "lease",
        "subject",
        "request",
        "kind",
        "from",
        "to",
        "order",
    ] {
        for nothing in ["", "%20", ","] {
            let refused = get(&server, &root, &format!("trail/query?{field}={nothing}")).await;
            let is_word = matches!(field, "path" | "prefix" | "lease" | "subject" | "request") && nothing == ",";
            assert_eq!(refused.status, if is_word { 200 } else { 400 }, "{field}={nothing}: {}", refused.text);
            let names_it = refused.text.contains(&format!("field `{field}`"));
            assert!(is_word || names_it, "{}", refused.text);
        }
    }
    let refused = get(&server, &root, "events?type=").await.expect(400);
    assert!(refused.text.contains("field `type` is empty"), "{}", refused.text);
    get(&server, &root, "trail/query?namespace=").await.expect(200);
    // What the server met on its own are events, which were found with their kind only.
    incident(&server, json!({"secret": "secret/app/db"})).await;
    for with in ["", "&kind=event", "&kind=event,intent"] {
        let answer = get(&server, &root, &format!("trail/query?dialect=internal{with}")).await.expect(200);
        let entries = answer.at("/data/entries").as_array().unwrap();
        let is_own = |one: &Value| one["dialect"] == "internal" && one["kind"] == "event";
        assert!(!entries.is_empty() && entries.iter().all(is_own), "{with}: {}", answer.text);
    }
    let both = get(&server, &root, "trail/query?dialect=internal,vault").await.expect(200);
    let has = |kind: &str| both.at("/data/entries").as_array().unwrap().iter().any(|one| one["kind"] == kind);
    assert!(has("event") && has("outcome") && !has("intent"), "{}", both.text);
    for good in [
        "outcome=ok,denied",
        "dialect=aws,internal",
        "kind=intent,event",
        "operation=patch,destroy",
        "operation=update",
    ] {
        get(&server, &root, &format!("trail/query?{good}")).await.expect(200);
    }
    server.stop().await;
}

/// Lifting gave nothing back of what a network's revocation had put out of use, and knew of none of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_lifted_gets_back_the_keys_that_its_revocation_took_and_no_others() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let (used, idle, shut) = (
        Aws::new(&server, "used", READS_APP).await,
        Aws::new(&server, "idle", READS_APP).await,
        Aws::new(&server, "shut", READS_APP).await,
    );
    let token = operator.post("auth/token/create", json!({"policies": ["default"]})).await.expect(200);
    let (stolen, accessor) = (token.text_at("/auth/client_token"), token.text_at("/auth/accessor"));
    assert_eq!(from_elsewhere(&server, &stolen, "auth/token/lookup-self").await, "200");
    // Handed out there, and used from elsewhere only.
    role(&server, "web", READS_APP).await;
    let body = credentials(&server, "web").await.to_string();
    let text = format!(
        "POST /v1/auth/approle/login HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let handed_out = hear_from_elsewhere(&server, &text).await;
    let handed_out = handed_out.split("\"client_token\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    server.by(&handed_out).get("secret/data/app/db").await.expect(200);
    // Of a batch token nothing is stored that could be revoked.
    let batch = server.token(json!({"type": "batch", "policies": ["default"], "display_name": "lot"})).await;
    assert_eq!(from_elsewhere(&server, &batch, "auth/token/lookup-self").await, "200");
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"address": "127.0.0.9"}))).await;
    let touches = preview.expect(200).at("/data/touches").clone();
    let bearers = touches.as_array().unwrap().iter().find(|touch| touch["what"] == "bearers of batch tokens");
    assert_eq!(bearers.unwrap_or_else(|| panic!("{touches}"))["names"], json!(["token-lot"]));
    for key in [&used, &shut] {
        assert_eq!(key.read_from_elsewhere("app/db").await, "200");
    }
    idle.read("app/db").await.expect(200);
    // Out of use by an operator, which nothing of this may undo.
    let path = format!("sys/access-keys/{}", shut.id);
    operator.post(&path, json!({"disabled": true})).await;
    assert_ne!(shut.read("app/db").await.status, 200);
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"address": "127.0.0.9"}))).await;
    let touches = preview.expect(200).at("/data/touches").clone();
    let keys = touches.as_array().unwrap().iter().find(|touch| touch["what"] == "access-keys");
    let keys = keys.unwrap_or_else(|| panic!("{touches}"));
    assert_eq!((&keys["count"], &keys["names"]), (&json!(1), &json!([used.id])), "{touches}");
    // Who orders it was there, too, and goes on to see it through.
    assert_eq!(from_elsewhere(&server, &root, "auth/token/lookup-self").await, "200");
    let root_accessor = operator.get("auth/token/lookup-self").await.expect(200).text_at("/data/accessor");
    let preview =
        ask(&server, &root, "POST", "revoke/preview", Some(json!({"address": "127.0.0.9"}))).await.expect(200);
    let touches = preview.at("/data/touches").as_array().unwrap().clone();
    let touch =
        |what: &str| touches.iter().find(|touch| touch["what"] == what).unwrap_or_else(|| panic!("{touches:?}"));
    assert_eq!(touch("own tokens")["names"], json!([root_accessor]), "{}", preview.text);
    let foretold = touch("tokens").clone();
    assert!(!foretold["names"].to_string().contains(&root_accessor), "{}", preview.text);
    let id = incident(&server, json!({"address": "127.0.0.9"})).await;
    assert_ne!(idle.read_from_elsewhere("app/db").await, "200");
    assert_ne!(used.read("app/db").await.status, 200, "its key was used from there");
    idle.read("app/db").await.expect(200);
    let record = get(&server, &root, &format!("incidents/{id}")).await.expect(200);
    let steps = record.at("/data/incident/steps").as_array().unwrap().clone();
    let step = |what: &str| steps.iter().find(|step| step["what"] == what).unwrap_or_else(|| panic!("{steps:?}"));
    assert_eq!(step("access-keys")["keys"], json!([used.id]), "{}", record.text);
    let revoked = step("tokens")["tokens"].as_array().unwrap().clone();
    assert!(revoked.contains(&json!(accessor)) && revoked.len() == 2, "{}", record.text);
    assert_eq!((&foretold["count"], &foretold["names"]), (&json!(2), &step("tokens")["tokens"]), "what was foretold");
    server.by(&handed_out).get("secret/data/app/db").await.expect(403);
    // What that does not reach is said, with what to do.
    let report = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
    for said in ["batch tokens of token-lot", "revoke the token they were made with", "the token that ordered this"] {
        assert!(report.at("/data/stragglers").to_string().contains(said), "{}", report.text);
    }
    assert_eq!(from_elsewhere(&server, &batch, "auth/token/lookup-self").await, "403");
    // Another incident about the same key holds it on.
    server.world.clock.advance(Duration::from_secs(1));
    let second = incident(&server, json!({"address": "127.0.0.9/32"})).await;
    let answer = lift(&server, &id).await.expect(200);
    assert!(answer.at("/data/incident/lifted/restored").to_string().contains(&second), "{}", answer.text);
    assert_ne!(used.read("app/db").await.status, 200);
    let answer = lift(&server, &second).await.expect(200);
    assert!(answer.at("/data/incident/lifted/restored").to_string().contains(&used.id), "{}", answer.text);
    used.read("app/db").await.expect(200);
    assert_ne!(shut.read("app/db").await.status, 200, "what somebody else had put out of use stays so");
    server.by(&stolen).get("auth/token/lookup-self").await.expect(403);
    server.stop().await;
}

/// Only the token itself was spared, and went with the one that it had been made with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_orders_goes_with_no_token_that_theirs_descends_from_and_the_preview_says_so() {
    let server = TestServer::open().await;
    let rules = "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"list\", \"sudo\"] }";
    role(&server, "chief", rules).await;
    let chief = login(&server, "chief").await;
    let (above, above_accessor) = (chief.text_at("/auth/client_token"), chief.text_at("/auth/accessor"));
    let child = server.by(&above).post("auth/token/create", json!({"policies": ["chief"]})).await.expect(200);
    let (own, own_accessor) = (child.text_at("/auth/client_token"), child.text_at("/auth/accessor"));
    let stolen = server.token(json!({"policies": ["default"]})).await;
    for token in [&above, &stolen] {
        assert_eq!(from_elsewhere(&server, token, "auth/token/lookup-self").await, "200");
    }
    for target in [
        json!({"principal": above_accessor}),
        json!({"principal": own_accessor}),
        json!({"principal": chief.text_at("/auth/entity_id")}),
        json!({"mount": "auth/approle"}),
    ] {
        for refused in [
            ask(&server, &own, "POST", "revoke/preview", Some(target.clone())).await,
            revoke(&server, &own, target.clone()).await,
        ] {
            assert!(refused.status == 400 && refused.text.contains("cut off yourself"), "{target}: {}", refused.text);
        }
    }
    let target = json!({"address": "127.0.0.9"});
    let preview = ask(&server, &own, "POST", "revoke/preview", Some(target.clone())).await.expect(200);
    let touches = preview.at("/data/touches").as_array().unwrap().clone();
    let touch =
        |what: &str| touches.iter().find(|touch| touch["what"] == what).unwrap_or_else(|| panic!("{touches:?}"));
    assert_eq!(touch("own tokens")["names"], json!([above_accessor]), "{}", preview.text);
    assert_eq!(touch("tokens")["count"], 1, "{}", preview.text);
    let answer = revoke(&server, &own, target).await.expect(200);
    let record = done(&server, &answer.text_at("/data/incident/id")).await;
    for (token, status) in [(&own, 200), (&above, 200), (&stolen, 403)] {
        server.by(token).get("auth/token/lookup-self").await.expect(status);
    }
    assert!(record.text.contains("one that it descends from"), "{}", record.text);
    server.stop().await;
}

/// Whatever was not found was taken for disabled: a label that holds nothing, a number or an id that never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_never_was_raises_no_alert_and_who_asks_for_what_was_taken_away_does() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    for name in ["never", "hidden", "held", "shredded", "removed", "pruned"] {
        operator.post(&format!("secret/data/app/{name}"), json!({"data": {"v": 1}})).await.expect(200);
    }
    let svc = Aws::new(&server, "svc", READS_APP).await;
    let token = server.token(json!({"policies": ["svc"]})).await;
    for name in ["never", "hidden", "held"] {
        svc.read(&format!("app/{name}")).await.expect(200);
    }
    for name in ["never", "shredded", "removed", "pruned"] {
        server.by(&token).get(&format!("secret/data/app/{name}")).await.expect(200);
    }
    server.world.clock.advance(Duration::from_secs(60));
    // What never was.
    for more in [json!({"VersionStage": "AWSPENDING"}), json!({"VersionId": "0f0e0d0c-0b0a-4908-8706-050403020100"})] {
        let mut body = json!({"SecretId": "app/never"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = svc.ask(body).await.expect(400);
        assert!(refused.text.contains("ResourceNotFoundException"), "{}", refused.text);
    }
    for version in [2, 99] {
        server.by(&token).get(&format!("secret/data/app/never?version={version}")).await.expect(404);
    }
    svc.read("app/nothing").await.expect(400);
    // What was taken away.
    operator.delete("secret/data/app/hidden").await.expect(204);
    svc.read("app/hidden").await.expect(400);
    incident(&server, json!({"secret": "secret/app/held"})).await;
    svc.read("app/held").await.expect(400);
    operator.send("PUT", "secret/destroy/app/shredded", Some(json!({"versions": [1]}))).await.expect(204);
    server.by(&token).get("secret/data/app/shredded").await.expect(404);
    operator.delete("secret/metadata/app/removed").await.expect(204);
    server.by(&token).get("secret/data/app/removed").await.expect(404);
    operator.post("secret/metadata/app/pruned", json!({"max_versions": 1})).await.expect(204);
    operator.post("secret/data/app/pruned", json!({"data": {"v": 2}})).await.expect(200);
    server.by(&token).get("secret/data/app/pruned?version=1").await.expect(404);
    let told = async || {
        let all = get(&server, &root, "alerts").await.expect(200).at("/data/alerts").as_array().unwrap().clone();
        let text = |one: &Value| format!("{} {}", one["kind"].as_str().unwrap(), one["path"].as_str().unwrap());
        all.iter().rev().map(text).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !told().await.iter().any(|one| one.ends_with("pruned")) {
        assert!(Instant::now() < deadline, "{:?}", told().await);
        tokio::task::yield_now().await;
    }
    let wanted = ["hidden", "held", "shredded", "removed", "pruned"];
    assert_eq!(told().await, wanted.map(|name| format!("disabled-version secret/data/app/{name}")));
    server.stop().await;
}

/// A store in which commits wait from a number on.
struct Slow {
    inner: Memory,
    /// So many more pass; then none until it is said.
    left: AtomicI64,
    waiting: Semaphore,
}

#[async_trait::async_trait]
impl Front for Slow {
    fn behind(&self) -> &dyn Store {
        &self.inner
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.waiting.acquire().await.unwrap().forget();
        }
        self.inner.commit(epoch, txn).await
    }
}

/// A server over such a store, with its own root token.
async fn slow_server() -> (Arc<Fronted<Slow>>, TestServer) {
    let slow =
        Arc::new(Fronted(Slow { inner: Memory::new(), left: AtomicI64::new(i64::MAX), waiting: Semaphore::new(0) }));
    let world = World::over(Arc::clone(&slow) as Arc<dyn Store>).await;
    let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
    let root = world.strongroom.init_dev(init, None).await.unwrap().root.client_token.expose().to_owned();
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root.clone_from(&root);
    (slow, server)
}

/// A question to the trail and an entry stood between the order and the block: under load, seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_counted_asked_or_noted_before_use_is_refused() {
    let (slow, server) = slow_server().await;
    let root = server.root.clone();
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let logged_in = login(&server, "web").await;
    let (token, entity) = (logged_in.text_at("/auth/client_token"), logged_in.text_at("/auth/entity_id"));
    server.by(&token).get("secret/data/app/db").await.expect(200);
    // It is used from there until it is refused, and dies of that.
    let probe = server.token(json!({"policies": ["web"]})).await;
    // The record and the block of what one record decides about are one commit; a secret is hidden in the next one, and
    // that an incident holds it is a third.
    for (target, commits) in [
        (json!({"address": "127.0.0.9"}), 1),
        (json!({"secret": "secret/app/db"}), 2),
        (json!({"principal": entity}), 1),
    ] {
        let server = &server;
        // Housekeeping has commits of its own now and then: let it come to rest.
        server.world.rooms().housekeep().await;
        let entries = server.world.entries().await.len();
        slow.left.store(commits, Ordering::SeqCst);
        let ordering = revoke(server, &root, target.clone());
        let refused = async {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let out = match target["address"].is_string() {
                    true => from_elsewhere(server, &probe, "secret/data/app/db").await == "403",
                    false => server.by(&token).get("secret/data/app/db").await.status != 200,
                };
                if out {
                    break;
                }
                assert!(Instant::now() < deadline, "{target}: not refused after {commits} commits");
                tokio::task::yield_now().await;
            }
            let written = server.world.entries().await;
            let noted = written.iter().skip(entries).filter(|entry| entry["operation"] == "incident").count();
            assert_eq!(noted, 0, "{target}: noted before it was in force");
            slow.left.store(i64::MAX, Ordering::SeqCst);
            slow.waiting.add_permits(1_000);
        };
        let (answer, ()) = tokio::join!(ordering, refused);
        let id = answer.expect(200).text_at("/data/incident/id");
        done(server, &id).await;
        let record = get(server, &root, &format!("incidents/{id}")).await.expect(200);
        assert!(!record.at("/data/incident/before/touches").as_array().unwrap().is_empty(), "{}", record.text);
        lift(server, &id).await.expect(200);
        while let Ok(permit) = slow.waiting.try_acquire() {
            permit.forget();
        }
    }
    server.stop().await;
}

/// Housekeeping took up an order that its request was still carrying out: with a plan, a secret was rotated twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn housekeeping_leaves_an_order_alone_as_long_as_its_request_is_at_it() {
    let (slow, server) = slow_server().await;
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    server.world.rooms().housekeep().await;
    // The record is there, and hiding the secret waits.
    slow.left.store(1, Ordering::SeqCst);
    let ordering = revoke(&server, &server.root, json!({"secret": "secret/app/db"}));
    let meddling = async {
        while slow.left.load(Ordering::SeqCst) >= 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            server.world.rooms().housekeep().await;
        }
        slow.left.store(i64::MAX, Ordering::SeqCst);
        slow.waiting.add_permits(1_000);
    };
    let (answer, ()) = tokio::join!(ordering, meddling);
    done(&server, &answer.expect(200).text_at("/data/incident/id")).await;
    let entries = server.world.entries().await;
    let ordered = |entry: &&Value| entry["operation"] == "incident" && entry.to_string().contains("ordered by");
    assert_eq!(entries.iter().filter(ordered).count(), 1);
    server.stop().await;
}

/// A key or a principal that an incident had put out of use came back by an ordinary change of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ordinary_way_puts_a_principal_or_a_key_in_use_again_while_an_incident_holds_it() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let credentials = credentials(&server, "web").await;
    let logged_in = server.by("").post("auth/approle/login", credentials.clone()).await.expect(200);
    let entity = logged_in.text_at("/auth/entity_id");
    let own = operator.post("sys/access-keys", json!({"name": "web", "entity": entity})).await.expect(200);
    let own = own.text_at("/data/access_key_id");
    let svc = Aws::new(&server, "svc", READS_APP).await;
    let by_entity = incident(&server, json!({"principal": entity})).await;
    let by_key = incident(&server, json!({"principal": svc.id})).await;
    let path = format!("identity/entity/id/{entity}");
    let known = operator.get(&path).await.expect(200);
    let alias = format!("identity/entity-alias/id/{}", known.text_at("/data/aliases/0/id"));
    let enable = json!({"disabled": false});
    for (method, path, body, id) in [
        ("POST", path.clone(), Some(enable.clone()), &by_entity),
        ("DELETE", path.clone(), None, &by_entity),
        ("DELETE", alias.clone(), None, &by_entity),
        ("POST", format!("sys/access-keys/{own}"), Some(enable.clone()), &by_entity),
        ("POST", format!("sys/access-keys/{}", svc.id), Some(enable.clone()), &by_key),
    ] {
        let refused = operator.send(method, &path, body).await.expect(400);
        assert!(refused.text.contains(id.as_str()), "{method} {path}: {}", refused.text);
        assert_ne!(server.by("").post("auth/approle/login", credentials.clone()).await.status, 200, "{method} {path}");
        assert_ne!(svc.read("app/db").await.status, 200, "{method} {path}");
    }
    // What does not bring it back is nobody's business.
    operator.post(&path, json!({"metadata": {"team": "web"}})).await;
    assert_eq!(operator.get(&path).await.expect(200).at("/data/metadata/team"), "web");
    // Lifting leaves nothing behind: from then on each way is open.
    for id in [&by_entity, &by_key] {
        lift(&server, id).await.expect(200);
    }
    server.by("").post("auth/approle/login", credentials.clone()).await.expect(200);
    svc.read("app/db").await.expect(200);
    for disabled in [true, false] {
        for path in [path.clone(), format!("sys/access-keys/{own}"), format!("sys/access-keys/{}", svc.id)] {
            let answer = operator.post(&path, json!({ "disabled": disabled })).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
        }
    }
    operator.delete(&path).await.expect(204);
    server.stop().await;
}
