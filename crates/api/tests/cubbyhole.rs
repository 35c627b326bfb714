//! Cubbyholes over real HTTP: each token has its own, and it ends with the token.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_testkit::{TestServer, World};
use tokio::task::JoinSet;

/// Large records in the store: a large value that is kept somewhere shows here.
async fn large(world: &World) -> usize {
    world.snapshot().await.iter().filter(|entry| entry.value.len() > 90_000).count()
}

fn heavy() -> Value {
    json!({"v": "x".repeat(100_000)})
}

#[tokio::test]
async fn what_a_token_keeps_is_seen_by_no_other() {
    let server = TestServer::open().await;
    let (a, b) = (server.token(json!({})).await, server.token(json!({"policies": ["default"]})).await);
    let (a, b) = (server.by(&a), server.by(&b));
    a.post("cubbyhole/mine", json!({"k": "canary", "n": 7, "deep": {"x": [1]}})).await.expect(204);
    let read = a.get("cubbyhole/mine").await.expect(200);
    assert_eq!(read.at("/data"), &json!({"k": "canary", "n": 7, "deep": {"x": [1]}}));
    assert_eq!((read.at("/lease_duration"), read.at("/renewable")), (&json!(0), &json!(false)));
    for other in [b, server.operator()] {
        assert_eq!(other.get("cubbyhole/mine").await.expect(404).body, json!({"errors": []}));
        other.list("cubbyhole").await.expect(404);
        other.delete("cubbyhole/mine").await.expect(204);
    }
    b.post("cubbyhole/mine", json!({"k": "other"})).await.expect(204);
    assert_eq!(a.get("cubbyhole/mine").await.expect(200).at("/data/k"), "canary");
    a.send("PUT", "cubbyhole/mine", Some(json!({"new": 1}))).await.expect(204);
    assert_eq!(a.get("cubbyhole/mine").await.expect(200).at("/data"), &json!({"new": 1}));
    a.delete("cubbyhole/mine").await.expect(204);
    a.get("cubbyhole/mine").await.expect(404);
    assert_eq!(b.get("cubbyhole/mine").await.expect(200).at("/data/k"), "other");
    let empty = a.send("POST", "cubbyhole/mine", None).await.expect(400);
    assert_eq!(empty.errors(), ["missing data fields"]);
    server.by("").get("cubbyhole/mine").await.expect(403);
    let trail = server.world.trail.recent(usize::MAX).await.join("\n");
    assert!(!trail.contains("canary"));
    server.stop().await;
}

#[tokio::test]
async fn folders_are_listed_as_vault_lists_them() {
    let server = TestServer::open().await;
    let me = server.operator();
    for name in ["b", "a", "a/x", "a/y/z", "a/y/w", "ab", "c/d"] {
        me.post(&format!("cubbyhole/{name}"), json!({"k": name})).await.expect(204);
    }
    for (folder, keys) in [
        ("cubbyhole", json!(["a", "a/", "ab", "b", "c/"])),
        ("cubbyhole/", json!(["a", "a/", "ab", "b", "c/"])),
        ("cubbyhole/a", json!(["x", "y/"])),
        ("cubbyhole/a/", json!(["x", "y/"])),
        ("cubbyhole/a/y", json!(["w", "z"])),
    ] {
        assert_eq!(me.list(folder).await.expect(200).at("/data/keys"), &keys, "{folder}");
    }
    assert_eq!(me.get("cubbyhole?list=true").await.expect(200).at("/data/keys").as_array().unwrap().len(), 5);
    me.list("cubbyhole/b").await.expect(404);
    for name in ["a/y/z", "a/y/w"] {
        me.delete(&format!("cubbyhole/{name}")).await.expect(204);
    }
    assert_eq!(me.list("cubbyhole/a").await.expect(200).at("/data/keys"), &json!(["x"]));
    me.get("cubbyhole").await.expect(405);
    server.stop().await;
}

#[tokio::test]
async fn policy_tells_create_from_update_in_a_cubbyhole() {
    let server = TestServer::open().await;
    let rules = r#"path "cubbyhole/new/*" { capabilities = ["create"] }
                   path "cubbyhole/old/*" { capabilities = ["update"] }"#;
    server.policy("p", rules).await;
    let token = server.token(json!({"policies": ["p"], "no_default_policy": true})).await;
    let me = server.by(&token);
    me.post("cubbyhole/new/a", json!({"k": 1})).await.expect(204);
    me.post("cubbyhole/new/a", json!({"k": 2})).await.expect(403);
    me.post("cubbyhole/old/a", json!({"k": 1})).await.expect(403);
    me.get("cubbyhole/new/a").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn a_cubbyhole_ends_with_its_token_in_whatever_way_that_ends() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let before = large(&server.world).await;
    for way in ["revoke", "revoke-self", "revoke-orphan", "tree", "expiry", "last use"] {
        let parent = server.token(json!({"policies": ["root"]})).await;
        let terms = match way {
            "expiry" => json!({"ttl": "60s"}),
            "last use" => json!({"num_uses": 3}),
            _ => json!({}),
        };
        let made = server.by(&parent).post("auth/token/create", terms).await.expect(200);
        let token = made.text_at("/auth/client_token");
        let holder = server.by(&token);
        // One fewer than the uses that the last way has.
        for name in ["a", "b/c"] {
            holder.post(&format!("cubbyhole/{name}"), heavy()).await.expect(204);
        }
        assert_eq!(large(&server.world).await, before + 2, "{way}");
        match way {
            "revoke" => drop(operator.post("auth/token/revoke", json!({"token": token})).await.expect(204)),
            "revoke-self" => drop(holder.post("auth/token/revoke-self", json!({})).await.expect(204)),
            "revoke-orphan" => {
                drop(operator.post("auth/token/revoke-orphan", json!({"token": token})).await.expect(204));
            }
            "tree" => drop(operator.post("auth/token/revoke", json!({"token": parent})).await.expect(204)),
            "expiry" => {
                server.world.clock.advance(Duration::from_secs(61));
                server.world.rooms().housekeep().await;
            }
            _ => drop(holder.get("cubbyhole/a").await.expect(200)),
        }
        holder.get("cubbyhole/a").await.expect(403);
        assert_eq!(large(&server.world).await, before, "{way}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_large_cubbyhole_is_wiped_to_the_last_value() {
    let server = TestServer::open().await;
    let token = server.token(json!({})).await;
    let empty = server.world.snapshot().await.len();
    for number in 0..60 {
        server.by(&token).post(&format!("cubbyhole/f{}/{number}", number % 7), json!({"k": number})).await.expect(204);
    }
    assert!(server.world.snapshot().await.len() >= empty + 120);
    server.operator().post("auth/token/revoke", json!({"token": token})).await.expect(204);
    let left = server.world.snapshot().await;
    // Pages of the freshness bookkeeping stay; they are empty then. Nothing else may.
    assert!(left.len() < empty + 120, "{} records of {empty} before", left.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_meets_the_revocation_of_its_token_leaves_nothing_behind() {
    let server = Arc::new(TestServer::open().await);
    let before = large(&server.world).await;
    for _ in 0..6 {
        let token = server.token(json!({})).await;
        let mut crowd = JoinSet::new();
        for number in 0..8 {
            let (server, token) = (Arc::clone(&server), token.clone());
            crowd.spawn(async move {
                let answer = match number {
                    4 => server.operator().post("auth/token/revoke", json!({"token": token})).await,
                    _ => server.by(&token).post(&format!("cubbyhole/{number}"), heavy()).await,
                };
                answer.status.as_u16()
            });
        }
        let statuses = crowd.join_all().await;
        assert!(statuses.iter().all(|status| matches!(status, 204 | 403)), "{statuses:?}");
        assert_eq!(large(&server.world).await, before);
    }
}

#[tokio::test]
async fn batch_tokens_have_no_cubbyhole_and_can_be_wrapped() {
    let server = TestServer::open().await;
    let headers = [("X-Vault-Token", server.root.as_str()), ("X-Vault-Wrap-TTL", "60s")];
    let body = json!({"type": "batch", "policies": ["default"], "ttl": "1h"}).to_string().into_bytes();
    let wrapped = server.send_raw("POST", "/v1/auth/token/create", &headers, body).await.expect(200);
    let token = wrapped.text_at("/wrap_info/token");
    let opened = server.by(&token).send("POST", "sys/wrapping/unwrap", None).await.expect(200);
    let batch = opened.text_at("/auth/client_token");
    assert!(batch.starts_with("hvb."));
    for method in ["GET", "POST", "DELETE", "LIST"] {
        let answer = server.by(&batch).send(method, "cubbyhole/a", Some(json!({"k": 1}))).await.expect(400);
        assert_eq!(answer.errors(), ["cubbyhole operations are only supported by 'service' type tokens"]);
    }
    server.stop().await;
}
