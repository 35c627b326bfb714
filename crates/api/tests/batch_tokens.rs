//! Batch tokens over real HTTP: stored nowhere, good for exactly what was sealed in them, and ended by all that should
//! end them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_testkit::{Answer, TestServer, World};

const HOUR: u64 = 3_600;

async fn batch(server: &TestServer, maker: &str, mut fields: Value) -> Answer {
    fields["type"] = json!("batch");
    server.by(maker).post("auth/token/create", fields).await
}

/// A server, the token of somebody who may make tokens, and a batch token of theirs.
async fn with_batch() -> (TestServer, String, String) {
    let server = TestServer::open().await;
    let rules = r#"path "auth/token/*" { capabilities = ["update", "read"] }
        path "secret/data/*" { capabilities = ["create", "read"] }
        path "cubbyhole/*" { capabilities = ["create", "read", "list"] }"#;
    server.policy("maker", rules).await;
    let maker = server.token(json!({"policies": ["maker"]})).await;
    let made =
        batch(&server, &maker, json!({"ttl": "1h", "display_name": "ci", "meta": {"job": "7"}})).await.expect(200);
    let token = made.text_at("/auth/client_token");
    (server, maker, token)
}

async fn works(server: &TestServer, token: &str) -> bool {
    let status = server.by(token).get("auth/token/lookup-self").await.status.as_u16();
    assert!(matches!(status, 200 | 403), "{status}");
    status == 200
}

#[tokio::test]
async fn carries_what_it_was_made_with() {
    let (server, maker, token) = with_batch().await;
    assert!(token.starts_with("hvb."));
    let shown = server.by(&token).get("auth/token/lookup-self").await.expect(200);
    let expected = json!({
        "id": token, "accessor": "", "type": "batch", "policies": ["default", "maker"], "path": "auth/token/create",
        "meta": {"job": "7"}, "display_name": "token-ci", "num_uses": 0, "orphan": false, "creation_ttl": 3_600,
        "ttl": 3_600, "explicit_max_ttl": 0, "entity_id": "", "renewable": false,
        "expire_time": "2026-11-21T01:00:00Z", "issue_time": "2026-11-21T00:00:00Z", "creation_time": 1_795_219_200,
    });
    assert_eq!(shown.at("/data"), &expected);
    let looked = server.by(&maker).post("auth/token/lookup", json!({"token": token})).await.expect(200);
    assert_eq!(looked.at("/data"), &expected);
    server.by(&token).post("secret/data/a", json!({"data": {"x": 1}})).await.expect(200);
    server.by(&token).get("sys/mounts").await.expect(403);
    let able = server.operator().post("sys/capabilities", json!({"token": token, "paths": ["secret/data/a"]})).await;
    assert_eq!(able.at("/data/capabilities"), &json!(["create", "read"]));
    let able = server.by(&token).post("sys/capabilities-self", json!({"paths": ["secret/data/a"]})).await;
    assert_eq!(able.at("/data/capabilities"), &json!(["create", "read"]));
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_stored_and_nothing_listed() {
    let (server, maker, _) = with_batch().await;
    let before = server.world.store.list(b"", None, 100_000).await.unwrap().len();
    let accessors = server.operator().list("auth/token/accessors").await.expect(200);
    for number in 0..10 {
        batch(&server, &maker, json!({"meta": {"n": number.to_string()}})).await.expect(200);
    }
    assert_eq!(server.world.store.list(b"", None, 100_000).await.unwrap().len(), before);
    assert_eq!(server.operator().list("auth/token/accessors").await.at("/data/keys"), accessors.at("/data/keys"));
    server.stop().await;
}

#[tokio::test]
async fn a_change_of_any_character_makes_it_worthless() {
    let (server, _, token) = with_batch().await;
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let rooms = server.world.rooms();
    let find = |text: String| {
        let rooms = &rooms;
        async move { rooms.tokens.find(&text.into()).await.unwrap().is_some() }
    };
    assert!(find(token.clone()).await);
    let mut tried = 0;
    for index in "hvb.".len()..token.len() {
        let now = &token[index..=index];
        let at = alphabet.find(now).unwrap();
        // One bit in each of the six, so that every bit of every byte is flipped.
        for bit in 0..6 {
            let other = &alphabet[at ^ (1 << bit)..=(at ^ (1 << bit))];
            let changed = format!("{}{other}{}", &token[..index], &token[index + 1..]);
            assert!(!find(changed).await, "character {index}, bit {bit}");
            tried += 1;
        }
        assert!(!find(token[..index].to_owned()).await);
    }
    assert!(tried > 2_000);
    for text in [
        format!("{token}A"),
        format!("{token}="),
        format!("{token}\n"),
        "hvb.".to_owned(),
        "hvb.AAAA".to_owned(),
        token.replacen("hvb.", "hvb..", 1),
        token.replacen("hvb.", "hvs.", 1),
        token.replacen("hvb.", "", 1),
    ] {
        assert!(!find(text).await);
    }
    server.by(&format!("{}x", &token[..token.len() - 1])).get("auth/token/lookup-self").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn is_worthless_on_another_server() {
    let ((one, _, token), other) = (with_batch().await, TestServer::open().await);
    assert!(works(&one, &token).await && !works(&other, &token).await);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn ends_with_its_time() {
    let (server, _, token) = with_batch().await;
    server.world.clock.advance(Duration::from_secs(HOUR - 1));
    assert!(works(&server, &token).await);
    server.world.clock.advance(Duration::from_secs(1));
    assert!(!works(&server, &token).await);
    server.stop().await;
}

#[tokio::test]
async fn outlives_a_new_key_and_a_restart() {
    let (world, shares, root) = World::sealed().await;
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root = root.expose().to_owned();
    let unseal = async || {
        for share in shares.iter().take(2) {
            server.by("").post("sys/unseal", json!({"key": share.to_hex()})).await.expect(200);
        }
    };
    unseal().await;
    let made = batch(&server, &server.root, json!({"policies": ["default"]})).await.expect(200);
    let token = made.text_at("/auth/client_token");
    server.operator().post("sys/rotate", json!({})).await.expect(204);
    assert!(works(&server, &token).await);
    server.operator().post("sys/seal", json!({})).await.expect(204);
    server.by(&token).get("auth/token/lookup-self").await.expect(503);
    unseal().await;
    assert!(works(&server, &token).await);
    server.stop().await;
}

#[tokio::test]
async fn can_be_handed_out_wrapped() {
    let (server, _, _) = with_batch().await;
    let fields = json!({"type": "batch", "policies": ["default"]}).to_string();
    let headers = [("X-Vault-Token", server.root.as_str()), ("X-Vault-Wrap-TTL", "60s")];
    let wrapped = server.send_raw("POST", "/v1/auth/token/create", &headers, fields.into_bytes()).await.expect(200);
    assert_eq!((wrapped.at("/auth"), wrapped.at("/wrap_info/wrapped_accessor")), (&Value::Null, &json!("")));
    let wrapping = wrapped.text_at("/wrap_info/token");
    let opened = server.by(&wrapping).post("sys/wrapping/unwrap", json!({})).await.expect(200);
    assert!(works(&server, &opened.text_at("/auth/client_token")).await);
    server.stop().await;
}

#[tokio::test]
async fn ends_with_the_token_that_it_descends_from() {
    let (server, maker, token) = with_batch().await;
    let orphan =
        server.operator().post("auth/token/create-orphan", json!({"type": "batch", "policies": ["maker"]})).await;
    let orphan = orphan.expect(200).text_at("/auth/client_token");
    assert!(works(&server, &token).await && works(&server, &orphan).await);
    server.operator().post("auth/token/revoke", json!({"token": maker})).await.expect(204);
    assert!(!works(&server, &token).await && works(&server, &orphan).await);
    server.stop().await;
}

#[tokio::test]
async fn cannot_do_what_needs_a_stored_token() {
    let (server, maker, token) = with_batch().await;
    let itself = server.by(&token);
    let error = |answer: Answer| answer.expect(400).errors().join("");
    assert_eq!(error(itself.post("auth/token/create", json!({})).await), "batch tokens cannot create more tokens");
    assert_eq!(error(itself.post("auth/token/renew-self", json!({})).await), "batch tokens cannot be renewed");
    assert_eq!(error(itself.post("auth/token/revoke-self", json!({})).await), "batch tokens cannot be revoked");
    let named = json!({"token": token});
    for (path, text) in [
        ("renew", "batch tokens cannot be renewed"),
        ("revoke", "batch tokens cannot be revoked"),
        ("revoke-orphan", "batch tokens cannot be revoked"),
    ] {
        assert_eq!(error(server.operator().post(&format!("auth/token/{path}"), named.clone()).await), text);
    }
    for (method, path, body) in
        [("POST", "cubbyhole/a", Some(json!({"b": "c"}))), ("GET", "cubbyhole/a", None), ("LIST", "cubbyhole/", None)]
    {
        let answer = itself.send(method, path, body).await;
        assert!(answer.status.is_client_error(), "{method} {path}: {}", answer.text);
    }
    let text = "cubbyhole operations are only supported by 'service' type tokens";
    assert_eq!(error(itself.post("cubbyhole/a", json!({"b": "c"})).await), text);
    assert!(works(&server, &token).await, "none of that has harmed it");
    server.operator().post("auth/token/revoke", json!({"token": maker})).await.expect(204);
    // A dead one is no error to revoke.
    server.operator().post("auth/token/revoke", json!({"token": token})).await.expect(204);
    server.stop().await;
}

#[tokio::test]
async fn cannot_be_made_with_what_it_could_not_keep() {
    let (server, maker, _) = with_batch().await;
    let error = |answer: Answer| answer.expect(400).errors().join("");
    let root = server.operator().post("auth/token/create", json!({"type": "batch"})).await;
    assert_eq!(error(root), "batch tokens cannot be root tokens");
    for (field, value) in
        [("num_uses", json!(3)), ("explicit_max_ttl", json!("1h")), ("period", json!("1h")), ("id", json!("chosen"))]
    {
        let fields = json!({"type": "batch", "policies": ["maker"], field: value});
        let answer = server.operator().post("auth/token/create", fields).await;
        assert_eq!(error(answer), format!("batch tokens cannot have \"{field}\" set"));
    }
    assert!(error(batch(&server, &maker, json!({"policies": ["other"]})).await).contains("subset of parent"));
    let long = batch(&server, &maker, json!({"meta": {"a": "x".repeat(7_000)}})).await;
    assert!(
        long.status.is_client_error() && long.errors()[0].contains("use fewer, or a service token"),
        "{}",
        long.text
    );
    let made = batch(&server, &maker, json!({"renewable": true, "no_default_policy": true})).await.expect(200);
    assert_eq!((made.at("/auth/renewable"), made.at("/auth/accessor")), (&json!(false), &json!("")));
    assert_eq!(made.at("/auth/token_type"), "batch");
    assert_eq!(made.at("/auth/token_policies"), &json!(["maker"]));
    server.stop().await;
}

#[tokio::test]
async fn roles_settle_the_type_of_their_tokens() {
    let server = TestServer::open().await;
    let role = |fields: Value| {
        let server = &server;
        async move { server.operator().post("auth/token/roles/r", fields).await.expect(204) }
    };
    let made = |asked: Value| {
        let server = &server;
        async move { server.operator().post("auth/token/create/r", asked).await }
    };
    role(json!({"allowed_policies": ["a"], "token_type": "default-batch"})).await;
    assert_eq!(made(json!({})).await.expect(200).at("/auth/token_type"), "batch");
    assert_eq!(made(json!({"type": "service"})).await.expect(200).at("/auth/token_type"), "service");
    role(json!({"token_type": "batch", "orphan": true, "renewable": false})).await;
    let token = made(json!({"type": "service"})).await.expect(200);
    assert_eq!((token.at("/auth/token_type"), token.at("/auth/orphan")), (&json!("batch"), &json!(true)));
    let shown = server.by(&token.text_at("/auth/client_token")).get("auth/token/lookup-self").await.expect(200);
    assert_eq!((shown.at("/data/role"), shown.at("/data/path")), (&json!("r"), &json!("auth/token/create/r")));
    role(json!({"token_type": "service"})).await;
    assert_eq!(made(json!({"type": "batch"})).await.expect(200).at("/auth/token_type"), "service");
    // What the role limits, it limits for batch tokens too.
    role(json!({"token_type": "default-service", "token_explicit_max_ttl": "10m"})).await;
    assert_eq!(made(json!({"type": "batch", "ttl": "1h"})).await.expect(200).at("/auth/lease_duration"), 600);
    role(json!({"token_num_uses": 3})).await;
    let refused = made(json!({"type": "batch"})).await.expect(400);
    assert_eq!(refused.errors(), ["batch tokens cannot have \"num_uses\" set"]);
    server.stop().await;
}

/// A server with AppRole, and the fields with which its role `ci` logs in.
async fn with_approle(role: Value) -> (TestServer, Value) {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/ci", role).await;
    let role_id = operator.get("auth/approle/role/ci/role-id").await.expect(200).text_at("/data/role_id");
    let secret_id = operator.post("auth/approle/role/ci/secret-id", json!({})).await.expect(200);
    let login = json!({"role_id": role_id, "secret_id": secret_id.text_at("/data/secret_id")});
    (server, login)
}

#[tokio::test]
async fn a_login_can_give_one_and_it_ends_with_its_mount_and_its_entity() {
    let role =
        json!({"token_type": "batch", "token_policies": ["a"], "token_ttl": "20m", "token_bound_cidrs": "127.0.0.1"});
    let (server, login) = with_approle(role).await;
    let logged = server.by("").post("auth/approle/login", login.clone()).await.expect(200);
    assert_eq!((logged.at("/auth/token_type"), logged.at("/auth/renewable")), (&json!("batch"), &json!(false)));
    assert_eq!((logged.at("/auth/lease_duration"), logged.at("/auth/accessor")), (&json!(1_200), &json!("")));
    let token = logged.text_at("/auth/client_token");
    let shown = server.by(&token).get("auth/token/lookup-self").await.expect(200);
    assert_eq!(shown.at("/data/meta"), &json!({"role_name": "ci"}));
    assert_eq!(shown.at("/data/path"), "auth/approle/login");
    assert_eq!(shown.at("/data/bound_cidrs").as_array().unwrap().len(), 1);
    let entity = format!("identity/entity/id/{}", logged.text_at("/auth/entity_id"));
    server.operator().post(&entity, json!({"disabled": true})).await;
    assert!(!works(&server, &token).await);
    server.operator().post(&entity, json!({"disabled": false})).await;
    assert!(works(&server, &token).await);
    server.operator().delete("sys/auth/approle").await.expect(204);
    assert!(!works(&server, &token).await);
    server.stop().await;
}

#[tokio::test]
async fn networks_bind_it() {
    let (server, login) = with_approle(json!({"token_type": "batch", "token_bound_cidrs": "10.0.0.0/8"})).await;
    let token = server.by("").post("auth/approle/login", login).await.expect(200).text_at("/auth/client_token");
    assert!(!works(&server, &token).await);
    server.stop().await;
}

#[tokio::test]
async fn a_mount_settles_the_type_of_its_tokens() {
    let (server, login) = with_approle(json!({})).await;
    let tune = |word: &'static str| {
        let server = &server;
        async move { server.operator().post("sys/auth/approle/tune", json!({"token_type": word})).await.expect(204) }
    };
    let role = |word: &'static str| {
        let server = &server;
        async move { server.operator().post("auth/approle/role/ci", json!({"token_type": word})).await }
    };
    let logged = || async { server.by("").post("auth/approle/login", login.clone()).await };
    for (mount, of_role, expected) in [
        ("default-service", "default", "service"),
        ("default-service", "batch", "batch"),
        ("default-batch", "default", "batch"),
        ("default-batch", "service", "service"),
        ("batch", "service", "batch"),
        ("service", "batch", "service"),
    ] {
        tune(mount).await;
        role(of_role).await;
        assert_eq!(logged().await.expect(200).at("/auth/token_type"), expected, "{mount} {of_role}");
    }
    // Rather no login than one whose limits are not kept.
    role("service").await;
    server.operator().post("auth/approle/role/ci", json!({"token_num_uses": 1})).await;
    tune("batch").await;
    assert_eq!(logged().await.expect(400).errors(), ["batch tokens cannot have \"num_uses\" set"]);
    server.stop().await;
}

#[tokio::test]
async fn the_trail_knows_it_by_its_hash_only() {
    let (server, _, token) = with_batch().await;
    assert!(works(&server, &token).await);
    let text = server.world.trail.recent(1_000).await.join("\n");
    assert!(text.contains("\"batch\""), "{text}");
    for piece in [&token[..], &token[4..40], &token[token.len() - 36..]] {
        assert!(!text.contains(piece));
    }
    for entry in server.world.store.list(b"", None, 100_000).await.unwrap() {
        assert!(!entry.value.windows(24).any(|part| part == &token.as_bytes()[4..28]));
    }
    server.stop().await;
}
