//! Response wrapping over real HTTP: who asked for a wrapped answer never gets it in clear, and it is opened once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_core::{Access, Ask, Fields, Grant, Object, Operation, Reply, Source, Visit};
use strongroom_model::{Clock, FolderPath, NamespacePath, RequestId, RequestPath, SecretString};
use strongroom_testkit::{Answer, TestServer, World};
use tokio::task::JoinSet;

const START: &str = "2026-11-21T00:00:00Z";
const INVALID: &str = "wrapping token is not valid or does not exist";
const CANARY: &str = "canary-that-sings";

/// Sends a request that asks for a wrapped answer.
async fn ask(server: &TestServer, method: &str, path: &str, token: &str, ttl: &str, body: Value) -> Answer {
    let mut headers = vec![("X-Vault-Wrap-TTL", ttl)];
    if !token.is_empty() {
        headers.push(("X-Vault-Token", token));
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.send_raw(method, &format!("/v1/{path}"), &headers, body).await
}

async fn asked(server: &TestServer, method: &str, path: &str, ttl: &str, body: Value) -> Answer {
    ask(server, method, path, &server.root, ttl, body).await
}

fn token_of(answer: &Answer) -> String {
    answer.text_at("/wrap_info/token")
}

/// A server with a secret in it.
async fn furnished() -> TestServer {
    let server = TestServer::open().await;
    let body = json!({"data": {"password": CANARY, "n": 7}});
    server.operator().post("secret/data/db", body).await.expect(200);
    server
}

/// A wrapped read of that secret.
async fn wrapped(server: &TestServer) -> String {
    token_of(&asked(server, "GET", "secret/data/db", "60s", Value::Null).await.expect(200))
}

/// Unwraps with a token of the operator's own, the wrapping token in the body.
async fn unwrap_for(server: &TestServer, token: &str) -> Answer {
    server.operator().post("sys/wrapping/unwrap", json!({"token": token})).await
}

/// Unwraps with the wrapping token alone.
async fn unwrap_by(server: &TestServer, token: &str) -> Answer {
    server.by(token).send("POST", "sys/wrapping/unwrap", None).await
}

#[track_caller]
fn is_invalid(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.errors()), (400, vec![INVALID.to_owned()]), "{}", answer.text);
}

/// Large records in the store: a large answer that is kept somewhere shows here.
async fn large(world: &World) -> usize {
    world.snapshot().await.iter().filter(|entry| entry.value.len() > 90_000).count()
}

#[tokio::test]
async fn a_wrapped_answer_is_a_token_and_nothing_else() {
    let server = furnished().await;
    let answer = asked(&server, "GET", "secret/data/db", "60s", Value::Null).await.expect(200);
    assert!(!answer.text.contains(CANARY) && !answer.text.contains("password"), "{}", answer.text);
    for nothing in ["/data", "/auth", "/warnings"] {
        assert_eq!(answer.at(nothing), &Value::Null, "{nothing}");
    }
    let info = answer.at("/wrap_info");
    assert_eq!(info["ttl"], 60);
    assert_eq!(info["creation_path"], "secret/data/db");
    assert_eq!(info["creation_time"], START);
    assert_eq!(info["accessor"].as_str().unwrap().len(), 24);
    assert!(info["token"].as_str().unwrap().starts_with("hvs."));
    assert!(info.get("wrapped_accessor").is_none());
    server.stop().await;
}

#[tokio::test]
async fn what_is_unwrapped_is_the_first_answer_and_it_is_given_once() {
    let server = furnished().await;
    let clear = server.operator().get("secret/data/db").await.expect(200);
    let first = asked(&server, "GET", "secret/data/db", "1m", Value::Null).await.expect(200);
    let token = token_of(&first);
    let opened = unwrap_for(&server, &token).await.expect(200);
    assert_eq!(opened.at("/data"), clear.at("/data"));
    assert_eq!(opened.at("/wrap_info"), &Value::Null);
    assert_eq!(opened.at("/request_id"), first.at("/request_id"), "it is the answer to the first request");
    assert_eq!(opened.headers["content-type"], "application/json");
    assert_eq!(opened.headers["cache-control"], "no-store");
    is_invalid(&unwrap_for(&server, &token).await);
    is_invalid(&unwrap_by(&server, &token).await);

    let token = wrapped(&server).await;
    let opened = unwrap_by(&server, &token).await.expect(200);
    assert_eq!(opened.at("/data"), clear.at("/data"));
    is_invalid(&unwrap_by(&server, &token).await);
    is_invalid(&unwrap_for(&server, &token).await);
    is_invalid(&server.by(&token).get("sys/wrapping/lookup").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_unwrap_at_once_exactly_one_gets_the_answer() {
    let server = Arc::new(furnished().await);
    for round in 0..4 {
        let token = wrapped(&server).await;
        let mut crowd = JoinSet::new();
        for number in 0..32 {
            let (server, token) = (Arc::clone(&server), token.clone());
            crowd.spawn(async move {
                // By the wrapping token, for it, around it, and into a new one.
                match (number + round) % 4 {
                    0 => unwrap_by(&server, &token).await,
                    1 => unwrap_for(&server, &token).await,
                    2 => server.by(&token).get("cubbyhole/response").await,
                    _ => server.operator().post("sys/wrapping/rewrap", json!({"token": token})).await,
                }
            });
        }
        let answers = crowd.join_all().await;
        let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status.is_success()).collect();
        assert_eq!(won.len(), 1, "{won:?}");
        let lost = answers.iter().filter(|answer| !answer.status.is_success());
        assert!(lost.clone().all(|answer| matches!(answer.status.as_u16(), 400 | 403)), "{lost:?}");
        assert!(lost.clone().all(|answer| !answer.text.contains(CANARY)));
        if won[0].at("/wrap_info").is_object() {
            assert!(unwrap_by(&server, &token_of(won[0])).await.expect(200).text.contains(CANARY));
        } else {
            assert!(won[0].text.contains(CANARY));
        }
    }
}

#[tokio::test]
async fn looking_at_a_wrapping_token_needs_no_other_and_does_not_use_it_up() {
    let server = furnished().await;
    server.world.clock.advance(Duration::from_millis(1_500));
    let token = wrapped(&server).await;
    let expected = json!({
        "creation_ttl": 60, "creation_time": "2026-11-21T00:00:01.5Z", "creation_path": "secret/data/db"
    });
    for _ in 0..2 {
        let by_itself = server.by(&token).get("sys/wrapping/lookup").await.expect(200);
        let by_body = server.by("").post("sys/wrapping/lookup", json!({"token": token})).await.expect(200);
        let by_both = server.operator().post("sys/wrapping/lookup", json!({"token": token})).await.expect(200);
        for answer in [by_itself, by_body, by_both] {
            assert_eq!(answer.at("/data"), &expected);
        }
    }
    unwrap_by(&server, &token).await.expect(200);
    for bad in [json!({"token": token}), json!({"token": "hvs.none"}), json!({"token": server.root})] {
        is_invalid(&server.by("").post("sys/wrapping/lookup", bad).await);
    }
    is_invalid(&server.operator().get("sys/wrapping/lookup").await);
    server.by("").get("sys/wrapping/lookup").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn rewrapping_ends_the_old_token_and_keeps_answer_path_and_span() {
    let server = furnished().await;
    let first = asked(&server, "GET", "secret/data/db", "5m", Value::Null).await.expect(200);
    server.world.clock.advance(Duration::from_secs(200));
    let body = json!({"token": token_of(&first)});
    let second = server.operator().post("sys/wrapping/rewrap", body.clone()).await.expect(200);
    assert!(!second.text.contains(CANARY));
    assert_eq!(second.at("/wrap_info/ttl"), 300);
    assert_eq!(second.at("/wrap_info/creation_path"), "secret/data/db");
    assert_eq!(second.at("/wrap_info/creation_time"), "2026-11-21T00:03:20Z");
    assert_ne!(token_of(&second), token_of(&first));
    is_invalid(&unwrap_by(&server, &token_of(&first)).await);
    is_invalid(&server.operator().post("sys/wrapping/rewrap", body).await);
    // The header can make it shorter, not longer.
    let body = json!({"token": token_of(&second)});
    let third = asked(&server, "POST", "sys/wrapping/rewrap", "1h", body).await.expect(200);
    assert_eq!(third.at("/wrap_info/ttl"), 300);
    let body = json!({"token": token_of(&third)});
    let fourth = asked(&server, "POST", "sys/wrapping/rewrap", "10", body).await.expect(200);
    assert_eq!(fourth.at("/wrap_info/ttl"), 10);
    // A wrapping token cannot rewrap itself, and is none the worse for the attempt.
    server.by(&token_of(&fourth)).send("POST", "sys/wrapping/rewrap", None).await.expect(403);
    let opened = unwrap_by(&server, &token_of(&fourth)).await.expect(200);
    assert_eq!(opened.at("/request_id"), first.at("/request_id"));
    assert_eq!(opened.at("/data/data/password"), CANARY);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_that_nobody_fetches_in_time_is_gone_from_the_store_too() {
    let server = TestServer::open().await;
    let before = large(&server.world).await;
    let body = json!({"data": "x".repeat(100_000)});
    let answer = asked(&server, "POST", "sys/wrapping/wrap", "60s", body).await.expect(200);
    assert_eq!(large(&server.world).await, before + 1);
    let token = token_of(&answer);
    server.world.clock.advance(Duration::from_secs(59));
    server.by(&token).get("sys/wrapping/lookup").await.expect(200);
    server.world.clock.advance(Duration::from_secs(1));
    is_invalid(&server.by(&token).get("sys/wrapping/lookup").await);
    is_invalid(&unwrap_by(&server, &token).await);
    is_invalid(&unwrap_for(&server, &token).await);
    server.world.rooms().housekeep().await;
    assert_eq!(large(&server.world).await, before);
    let accessors = server.operator().list("auth/token/accessors").await.expect(200);
    assert_eq!(accessors.at("/data/keys").as_array().unwrap().len(), 1, "the root token's");
    server.stop().await;
}

#[tokio::test]
async fn unwrapping_and_revoking_leave_nothing_in_the_store() {
    let server = TestServer::open().await;
    let before = large(&server.world).await;
    let body = json!({"data": "x".repeat(100_000)});
    for way in 0..5 {
        let answer = asked(&server, "POST", "sys/wrapping/wrap", "60s", body.clone()).await.expect(200);
        assert_eq!(large(&server.world).await, before + 1);
        let operator = server.operator();
        match way {
            0 => unwrap_by(&server, &token_of(&answer)).await.expect(200),
            1 => unwrap_for(&server, &token_of(&answer)).await.expect(200),
            2 => operator.post("auth/token/revoke", json!({"token": token_of(&answer)})).await.expect(204),
            3 => {
                let accessor = json!({"accessor": answer.text_at("/wrap_info/accessor")});
                operator.post("auth/token/revoke-accessor", accessor).await.expect(204)
            }
            _ => operator.post("auth/token/revoke-orphan", json!({"token": token_of(&answer)})).await.expect(204),
        };
        assert_eq!(large(&server.world).await, before, "{way}");
        is_invalid(&unwrap_for(&server, &token_of(&answer)).await);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_wrapped_answer_survives_sealing_and_an_opened_one_stays_opened() {
    let (world, shares, root) = World::sealed().await;
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root = root.expose().to_owned();
    let unseal = async || {
        for share in shares.iter().take(2) {
            server.by("").post("sys/unseal", json!({"key": share.to_hex()})).await.expect(200);
        }
    };
    unseal().await;
    let opened = token_of(&asked(&server, "POST", "sys/wrapping/wrap", "60s", json!({"a": 1})).await.expect(200));
    let kept = token_of(&asked(&server, "POST", "sys/wrapping/wrap", "60s", json!({"a": CANARY})).await.expect(200));
    unwrap_by(&server, &opened).await.expect(200);
    server.operator().post("sys/seal", json!({})).await.expect(204);
    unwrap_by(&server, &kept).await.expect(503);
    unseal().await;
    is_invalid(&unwrap_by(&server, &opened).await);
    assert_eq!(unwrap_by(&server, &kept).await.expect(200).at("/data/a"), CANARY);
    server.stop().await;
}

#[tokio::test]
async fn errors_and_empty_answers_are_not_wrapped_and_a_404_with_a_body_is() {
    let server = furnished().await;
    let accessors = async || server.operator().list("auth/token/accessors").await.at("/data/keys").clone();
    let before = accessors().await;
    let answer = asked(&server, "GET", "secret/data/none", "60s", Value::Null).await.expect(404);
    assert_eq!(answer.body, json!({"errors": []}));
    assert!(asked(&server, "DELETE", "secret/data/none", "60s", Value::Null).await.expect(204).text.is_empty());
    asked(&server, "LIST", "secret/metadata/none", "60s", Value::Null).await.expect(404);
    asked(&server, "POST", "sys/mounts/secret", "60s", json!({"type": "kv"})).await.expect(400);
    assert_eq!(accessors().await, before, "no wrapping token was made");
    // What is public says what it says to everybody.
    assert_eq!(asked(&server, "GET", "sys/seal-status", "60s", Value::Null).await.expect(200).at("/sealed"), false);

    server.operator().delete("secret/data/db").await.expect(204);
    let clear = server.operator().get("secret/data/db").await.expect(404);
    let token = token_of(&asked(&server, "GET", "secret/data/db", "60s", Value::Null).await.expect(200));
    assert_eq!(unwrap_by(&server, &token).await.expect(404).at("/data"), clear.at("/data"));
    server.stop().await;
}

#[tokio::test]
async fn the_header_takes_the_forms_that_vault_takes() {
    let server = furnished().await;
    for (sent, seconds) in [("90", 90), ("90s", 90), ("1h30m", 5_400), ("1.5h", 5_400)] {
        let answer = asked(&server, "GET", "secret/data/db", sent, Value::Null).await.expect(200);
        assert_eq!(answer.at("/wrap_info/ttl"), seconds, "{sent}");
    }
    for none in ["0", "0s", ""] {
        let answer = asked(&server, "GET", "secret/data/db", none, Value::Null).await.expect(200);
        assert_eq!(answer.at("/data/data/password"), CANARY, "{none}");
    }
    for wrong in ["-1", "-5m", "soon", "5x"] {
        let answer = asked(&server, "GET", "secret/data/db", wrong, Value::Null).await.expect(400);
        assert!(!answer.text.contains(CANARY), "{wrong}");
    }
    // No wrapping token lives longer than the longest life of tokens.
    let answer = asked(&server, "GET", "secret/data/db", "9999h", Value::Null).await.expect(200);
    assert_eq!(answer.at("/wrap_info/ttl"), 768 * 3_600);
    assert!(answer.at("/warnings/0").as_str().unwrap().contains("capped"), "{}", answer.text);
    assert_eq!(answer.at("/data"), &Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_policy_that_demands_wrapping_gets_it_within_its_limits() {
    let server = furnished().await;
    let rules = r#"path "secret/data/db" { capabilities = ["read"] min_wrapping_ttl = "1m" max_wrapping_ttl = "1h" }"#;
    server.policy("handover", rules).await;
    let token = server.token(json!({"policies": ["handover"]})).await;
    server.by(&token).get("secret/data/db").await.expect(403);
    for outside in ["0", "59s", "61m"] {
        let answer = ask(&server, "GET", "secret/data/db", &token, outside, Value::Null).await.expect(403);
        assert!(!answer.text.contains(CANARY));
    }
    for inside in ["1m", "60m"] {
        let answer = ask(&server, "GET", "secret/data/db", &token, inside, Value::Null).await.expect(200);
        assert!(unwrap_by(&server, &token_of(&answer)).await.expect(200).text.contains(CANARY));
    }
    // With the built-in policy `default` a caller unwraps for others, with their own token.
    let answer = ask(&server, "GET", "secret/data/db", &token, "1m", Value::Null).await.expect(200);
    let body = json!({"token": token_of(&answer)});
    server.by(&token).post("sys/wrapping/unwrap", body).await.expect(200);
    // Whoever may not unwrap does not use the token up by trying.
    let powerless = server.token(json!({"policies": ["nothing"], "no_default_policy": true})).await;
    let body = json!({"token": wrapped(&server).await});
    server.by(&powerless).post("sys/wrapping/unwrap", body.clone()).await.expect(403);
    server.by("").post("sys/wrapping/unwrap", body.clone()).await.expect(403);
    server.by("hvs.none").post("sys/wrapping/unwrap", body.clone()).await.expect(403);
    server.by(&token).post("sys/wrapping/unwrap", body).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_wrapping_token_can_do_nothing_but_give_its_answer() {
    let server = furnished().await;
    let token = wrapped(&server).await;
    let holder = server.by(&token);
    for (method, path) in [
        ("GET", "secret/data/db"),
        ("GET", "auth/token/lookup-self"),
        ("POST", "auth/token/create"),
        ("POST", "auth/token/renew-self"),
        ("POST", "auth/token/revoke-self"),
        ("POST", "sys/wrapping/wrap"),
        ("POST", "sys/wrapping/rewrap"),
        ("POST", "sys/capabilities-self"),
        ("POST", "cubbyhole/response"),
        ("DELETE", "cubbyhole/response"),
        ("LIST", "cubbyhole"),
        ("GET", "cubbyhole/other"),
        ("POST", "cubbyhole/other"),
        ("GET", "sys/mounts"),
    ] {
        let body = (method == "POST").then(|| json!({"response": "forged", "paths": ["a"]}));
        holder.send(method, path, body).await.expect(403);
    }
    let known = server.operator().post("auth/token/lookup", json!({"token": token})).await.expect(200);
    assert_eq!(known.at("/data/policies"), &json!(["response-wrapping"]));
    assert_eq!(known.at("/data/num_uses"), 1);
    assert_eq!(known.at("/data/orphan"), true);
    assert_eq!(known.at("/data/renewable"), false);
    assert_eq!(known.at("/data/display_name"), "");
    assert_eq!(known.at("/data/path"), "secret/data/db");
    assert_eq!((known.at("/data/ttl"), known.at("/data/explicit_max_ttl")), (&json!(60), &json!(60)));
    server.operator().post("auth/token/renew", json!({"token": token})).await.expect(400);
    assert!(unwrap_by(&server, &token).await.expect(200).text.contains(CANARY), "no attempt has used it up");
    server.stop().await;
}

#[tokio::test]
async fn the_policy_of_wrapping_tokens_is_not_to_be_had() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for name in ["response-wrapping", "Response-Wrapping"] {
        let path = format!("sys/policies/acl/{name}");
        let written = operator.post(&path, json!({"policy": r#"path "*" { capabilities = ["read"] }"#})).await;
        assert_eq!(written.expect(400).errors(), [r#"cannot update "response-wrapping" policy"#]);
        assert_eq!(operator.delete(&path).await.expect(400).errors(), [r#"cannot delete "response-wrapping" policy"#]);
        let made = operator.post("auth/token/create", json!({"policies": [name]})).await.expect(400);
        assert_eq!(made.errors(), [r#"cannot assign policy "response-wrapping""#]);
        let made = operator.post("auth/token/create-orphan", json!({"policies": ["default", name]})).await;
        made.expect(400);
    }
    assert_eq!(operator.list("sys/policies/acl").await.expect(200).at("/data/keys"), &json!(["default", "root"]));
    assert_eq!(operator.get("sys/policy").await.expect(200).at("/data/policies"), &json!(["default", "root"]));
    let read = operator.get("sys/policies/acl/response-wrapping").await.expect(200);
    assert!(read.text_at("/data/policy").contains("sys/wrapping/unwrap"));

    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/r", json!({"token_policies": ["response-wrapping"]})).await.expect(204);
    let role_id = operator.get("auth/approle/role/r/role-id").await.expect(200).text_at("/data/role_id");
    let secret_id = operator.post("auth/approle/role/r/secret-id", json!({})).await.text_at("/data/secret_id");
    let body = json!({"role_id": role_id, "secret_id": secret_id});
    let login = server.by("").post("auth/approle/login", body).await.expect(400);
    assert_eq!(login.errors(), [r#"cannot assign policy "response-wrapping""#]);
    server.stop().await;
}

#[tokio::test]
async fn tokens_logins_and_secret_ids_are_handed_over_wrapped() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let answer = asked(&server, "POST", "auth/token/create", "60s", json!({"policies": ["default"]})).await.expect(200);
    let inner = answer.text_at("/wrap_info/wrapped_accessor");
    assert_eq!(answer.at("/auth"), &Value::Null);
    operator.post("auth/token/lookup-accessor", json!({"accessor": inner})).await.expect(200);
    let opened = unwrap_by(&server, &token_of(&answer)).await.expect(200);
    assert_eq!(opened.at("/auth/accessor"), &json!(inner));
    let made = opened.text_at("/auth/client_token");
    server.by(&made).get("auth/token/lookup-self").await.expect(200);

    // As in Vault, the token inside lives on when the one around it is revoked.
    let answer = asked(&server, "POST", "auth/token/create", "60s", json!({})).await.expect(200);
    operator.post("auth/token/revoke", json!({"token": token_of(&answer)})).await.expect(204);
    let accessor = json!({"accessor": answer.at("/wrap_info/wrapped_accessor")});
    operator.post("auth/token/lookup-accessor", accessor).await.expect(200);

    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/web", json!({"token_policies": ["default"]})).await.expect(204);
    let role_id = operator.get("auth/approle/role/web/role-id").await.expect(200).text_at("/data/role_id");
    let answer = asked(&server, "POST", "auth/approle/role/web/secret-id", "60s", json!({})).await.expect(200);
    let opened = unwrap_by(&server, &token_of(&answer)).await.expect(200);
    assert_eq!(answer.at("/wrap_info/wrapped_accessor"), opened.at("/data/secret_id_accessor"));
    let body = json!({"role_id": role_id, "secret_id": opened.at("/data/secret_id")});
    let login = ask(&server, "POST", "auth/approle/login", "", "60s", body).await.expect(200);
    assert_eq!(login.at("/auth"), &Value::Null);
    let opened = unwrap_by(&server, &token_of(&login)).await.expect(200);
    assert_eq!(login.at("/wrap_info/wrapped_accessor"), opened.at("/auth/accessor"));
    server.by(&opened.text_at("/auth/client_token")).get("auth/token/lookup-self").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn anything_can_be_brought_to_be_wrapped() {
    let server = TestServer::open().await;
    let refused = server.operator().post("sys/wrapping/wrap", json!({"a": 1})).await.expect(400);
    assert_eq!(refused.errors(), ["endpoint requires response wrapping to be used"]);
    let text = r#"{"n": 1.50, "big": 123456789012345678901234567890, "nested": {"list": [1, null, "ü\""]}}"#;
    let headers = [("X-Vault-Token", server.root.as_str()), ("X-Vault-Wrap-TTL", "60s")];
    let answer = server.send_raw("POST", "/v1/sys/wrapping/wrap", &headers, text.into()).await.expect(200);
    assert_eq!(answer.at("/wrap_info/creation_path"), "sys/wrapping/wrap");
    let opened = unwrap_by(&server, &token_of(&answer)).await.expect(200);
    assert_eq!(opened.at("/data"), &serde_json::from_str::<Value>(text).unwrap());
    assert!(opened.text.contains("1.50") && opened.text.contains("123456789012345678901234567890"));
    // Nothing at all can be wrapped too.
    let answer = asked(&server, "POST", "sys/wrapping/wrap", "60s", Value::Null).await.expect(200);
    assert_eq!(unwrap_by(&server, &token_of(&answer)).await.expect(200).at("/data"), &json!({}));
    // A field named `token` is what the caller brings, not what they come with.
    let answer = asked(&server, "POST", "sys/wrapping/wrap", "60s", json!({"token": "mine"})).await.expect(200);
    assert_eq!(unwrap_by(&server, &token_of(&answer)).await.expect(200).at("/data/token"), "mine");
    server.stop().await;
}

#[tokio::test]
async fn a_wrapped_answer_is_not_wrapped_again_when_it_is_opened() {
    let server = furnished().await;
    let token = wrapped(&server).await;
    let looked = ask(&server, "GET", "sys/wrapping/lookup", &token, "60s", Value::Null).await.expect(200);
    assert_eq!(looked.at("/data/creation_ttl"), 60);
    let opened = ask(&server, "POST", "sys/wrapping/unwrap", &token, "60s", Value::Null).await.expect(200);
    assert_eq!(opened.at("/data/data/password"), CANARY);
    server.stop().await;
}

#[tokio::test]
async fn the_old_way_to_the_answer_works_once_too() {
    let server = furnished().await;
    let token = wrapped(&server).await;
    let read = server.by(&token).get("cubbyhole/response").await.expect(200);
    assert!(read.at("/warnings/0").as_str().unwrap().contains("deprecated"));
    let inside: Value = serde_json::from_str(&read.text_at("/data/response")).unwrap();
    assert_eq!(inside.pointer("/data/data/password").unwrap(), CANARY);
    server.by(&token).get("cubbyhole/response").await.expect(403);
    is_invalid(&unwrap_by(&server, &token).await);
    is_invalid(&unwrap_for(&server, &token).await);
    server.stop().await;
}

#[tokio::test]
async fn the_largest_secret_can_be_wrapped_and_what_is_too_large_is_refused() {
    let server = TestServer::open().await;
    let large = "x".repeat(1023 * 1024 - 100);
    server.operator().post("secret/data/large", json!({"data": {"k": large}})).await.expect(200);
    let answer = asked(&server, "GET", "secret/data/large", "60s", Value::Null).await.expect(200);
    let opened = unwrap_by(&server, &token_of(&answer)).await.expect(200);
    assert_eq!(opened.at("/data/data/k").as_str().unwrap(), large);

    let accessors = async || server.operator().list("auth/token/accessors").await.at("/data/keys").clone();
    let before = accessors().await;
    let body = json!({"a": "x".repeat(1400 * 1024)});
    let refused = asked(&server, "POST", "sys/wrapping/wrap", "60s", body).await.expect(413);
    assert!(refused.errors()[0].contains("at most"), "{}", refused.text);
    assert!(!refused.text.contains("xxx"));
    assert_eq!(accessors().await, before);
    server.stop().await;
}

#[tokio::test]
async fn the_trail_names_the_wrapping_and_holds_neither_answer_nor_token() {
    let server = furnished().await;
    let wrapped = asked(&server, "GET", "secret/data/db", "60s", Value::Null).await.expect(200);
    let token = token_of(&wrapped);
    let created = asked(&server, "POST", "auth/token/create", "60s", json!({})).await.expect(200);
    let opened = unwrap_for(&server, &token).await.expect(200);
    let made = unwrap_by(&server, &token_of(&created)).await.expect(200).text_at("/auth/client_token");

    let all = server.world.trail.recent(usize::MAX).await.join("\n");
    for secret in [CANARY, &token, &token_of(&created), &made, &server.root] {
        assert!(!all.contains(secret), "the trail holds {secret} in clear");
    }
    let outcomes = server.world.outcomes().await;
    let of = |request: &Value| outcomes.iter().find(|entry| entry["request"] == *request).unwrap().clone();
    let wrapping = of(wrapped.at("/request_id"));
    assert_eq!(wrapping["wrap_ttl"], 60);
    assert_eq!(wrapping["wrap"]["ttl"], 60);
    assert_eq!(wrapping["wrap"]["accessor"], *wrapped.at("/wrap_info/accessor"));
    assert_eq!(wrapping["wrap"]["creation_path"], "secret/data/db");
    assert_eq!(wrapping["wrap"]["creation_time"], START);
    assert_eq!(wrapping["version"], 1);
    // The keyed hash of the wrapping token leads from the wrapping to the unwrapping, and so do those of the data.
    let hash = wrapping["wrap"]["token_hash"].as_str().unwrap();
    assert!(hash.starts_with("hmac-sha256:"));
    let asked: Vec<Value> = server.world.entries().await;
    let intent = asked.iter().find(|entry| entry["kind"] == "intent" && entry["request_data"]["token"] == hash);
    let unwrapping = of(&intent.unwrap()["request"]);
    assert_eq!(unwrapping["path"], "sys/wrapping/unwrap");
    assert_eq!(unwrapping["response_data"], wrapping["response_data"]);
    assert!(unwrapping["response_data"]["data"]["password"].as_str().unwrap().starts_with("hmac-sha256:"));
    assert_eq!(unwrapping["response_data"]["metadata"]["version"], 1);
    assert_eq!(opened.at("/data/data/password"), CANARY);

    let creation = of(created.at("/request_id"));
    assert_eq!(creation["wrap"]["wrapped_accessor"], creation["response_auth"]["principal"]["accessor"]);
    let last = outcomes.iter().rfind(|entry| entry["path"] == "sys/wrapping/unwrap").unwrap();
    assert_eq!(last["response_auth"], creation["response_auth"]);
    assert_eq!(last["principal"]["token_policies"], json!(["response-wrapping"]));

    is_invalid(&unwrap_by(&server, &token).await);
    let refused = server.world.outcomes().await.pop().unwrap();
    assert_eq!(refused["decision"]["reason"], "bad wrapping token");
    assert_eq!(refused["outcome"]["error"], INVALID);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_recorded_is_neither_wrapped_nor_opened() {
    let server = furnished().await;
    let token = wrapped(&server).await;
    let accessors = async || {
        let rooms = server.world.rooms();
        rooms.tokens.accessors().await.unwrap()
    };
    let before = accessors().await;
    server.world.trail.close().await;
    // Reading leaves no intent, so the answer is wrapped when its outcome cannot be written: the token is revoked.
    let answer = asked(&server, "GET", "secret/data/db", "60s", Value::Null).await;
    assert!(answer.status.is_server_error() && !answer.text.contains("hvs."), "{}", answer.text);
    assert_eq!(accessors().await, before);
    // Opening leaves an intent, without which nothing is opened.
    for answer in [unwrap_by(&server, &token).await, unwrap_for(&server, &token).await] {
        assert!(answer.status.is_server_error() && !answer.text.contains(CANARY), "{}", answer.text);
    }
    assert_eq!(accessors().await, before, "the answer still waits");
    server.stop().await;
}

/// Goes through the gate with a request that no dialect sent.
async fn admit(
    world: &World,
    operation: Operation,
    path: &str,
    object: Object,
    token: &str,
    wrap: Option<u64>,
) -> Box<Grant> {
    let visit = Visit {
        request: RequestId::from_bytes([7; 16]),
        arrived: world.clock.now(),
        dialect: "test",
        operation,
        namespace: NamespacePath::root(),
        path: RequestPath::parse(path).unwrap(),
        typed: None,
        source: Source { address: None, port: 0 },
        headers: Default::default(),
        wrap_ttl: wrap.map(Duration::from_secs),
    };
    let credential = Some(SecretString::new(token.to_owned()));
    let asking = Ask { visit, credential, mount: None, access: Access::Token, object };
    match world.rooms().gate.admit(asking, &Fields::default()).await {
        Ok(grant) => grant,
        Err(error) => panic!("refused: {error}"),
    }
}

/// On one thread all of them have read the answer before the first one's commit is done.
#[tokio::test]
async fn of_many_who_were_let_in_before_the_first_opened_it_exactly_one_gets_the_answer() {
    let server = furnished().await;
    for _ in 0..8 {
        let token = wrapped(&server).await;
        let mut crowd = JoinSet::new();
        let mut grants = Vec::new();
        for _ in 0..32 {
            let path = "sys/wrapping/unwrap";
            grants.push(admit(&server.world, Operation::Write, path, Object::Wrapping, &token, None).await);
        }
        for (number, grant) in grants.into_iter().enumerate() {
            let rooms = server.world.rooms();
            crowd.spawn(async move {
                match number % 2 {
                    0 => rooms.wrapping.open(&grant).await,
                    _ => rooms.wrapping.rewrap(&grant).await,
                }
            });
        }
        let (won, lost): (Vec<_>, Vec<_>) = crowd.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        assert!(lost.into_iter().all(|lost| lost.err().unwrap().to_string() == INVALID));
    }
    server.stop().await;
}

#[tokio::test]
async fn an_answer_whose_one_use_was_counted_is_not_given_again_before_it_is_removed() {
    let server = furnished().await;
    let token = wrapped(&server).await;
    let object = Object::Cubbyhole { place: FolderPath::parse("response").unwrap() };
    // Let in and never concluded, as when the server dies in between.
    let counted = admit(&server.world, Operation::Read, "cubbyhole/response", object, &token, None).await;
    is_invalid(&unwrap_by(&server, &token).await);
    is_invalid(&unwrap_for(&server, &token).await);
    drop(counted);
    server.stop().await;
}

#[tokio::test]
async fn the_gate_holds_back_an_answer_that_a_dialect_forgot_to_wrap() {
    let (world, root) = World::open().await;
    let object = Object::Path { exists: None };
    let grant = admit(&world, Operation::Read, "sys/mounts", object, root.expose(), Some(60)).await;
    let reply = Ok(Reply::data(json!({"a": CANARY})));
    let concluded = world.rooms().gate.conclude(grant, &Fields::default(), &reply).await;
    assert!(concluded.unwrap_err().to_string().contains("that was to be wrapped was not"));
    let outcome = world.outcomes().await.pop().unwrap();
    assert_eq!(outcome["outcome"]["result"], "internal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_the_head_of_a_wrapped_answer_does_not_open_it() {
    let server = furnished().await;
    let token = wrapped(&server).await;
    let head =
        server.send_raw("HEAD", "/v1/cubbyhole/response", &[("X-Vault-Token", token.as_str())], Vec::new()).await;
    head.expect(405);
    assert_eq!(unwrap_for(&server, &token).await.expect(200).at("/data/data/password"), CANARY);
    server.operator().send("HEAD", "secret/data/db", None).await.expect(200);
    server.stop().await;
}
