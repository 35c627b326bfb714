//! Networks and mounts that are cut off; requests from another address of this machine.

use crate::aws::Aws;
use crate::{READS_APP, ask, credentials, done, get, incident, lift, revoke, role};
use serde_json::json;
use std::time::Duration;
use strongroom_testkit::TestServer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

/// One request from another address of this machine.
pub(crate) async fn from_elsewhere(server: &TestServer, token: &str, path: &str) -> String {
    let head = format!("GET /v1/{path} HTTP/1.1\r\nhost: x\r\nx-vault-token: {token}\r\nconnection: close\r\n\r\n");
    speak_from_elsewhere(server, &head).await
}

pub(crate) async fn speak_from_elsewhere(server: &TestServer, text: &str) -> String {
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
    let path = format!("sys/access-keys/{}", shut.id());
    operator.post(&path, json!({"disabled": true})).await;
    assert_ne!(shut.read("app/db").await.status, 200);
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"address": "127.0.0.9"}))).await;
    let touches = preview.expect(200).at("/data/touches").clone();
    let keys = touches.as_array().unwrap().iter().find(|touch| touch["what"] == "access-keys");
    let keys = keys.unwrap_or_else(|| panic!("{touches}"));
    assert_eq!((&keys["count"], &keys["names"]), (&json!(1), &json!([used.id()])), "{touches}");
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
    assert_eq!(step("access-keys")["keys"], json!([used.id()]), "{}", record.text);
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
    assert!(answer.at("/data/incident/lifted/restored").to_string().contains(used.id()), "{}", answer.text);
    used.read("app/db").await.expect(200);
    assert_ne!(shut.read("app/db").await.status, 200, "what somebody else had put out of use stays so");
    server.by(&stolen).get("auth/token/lookup-self").await.expect(403);
    server.stop().await;
}
