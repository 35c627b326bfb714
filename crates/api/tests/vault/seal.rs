//! Initialising, unsealing, sealing, and what is told of it.

use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_api::Limits;
use strongroom_core::Share;
use strongroom_testkit::{Answer, TestServer, World};
use tokio::task::JoinSet;

async fn sealed() -> (TestServer, Vec<Share>, String) {
    let (world, shares, root) = World::sealed().await;
    (TestServer::start(world, Limits::default()).await, shares, root.expose().to_owned())
}

async fn hand_in(server: &TestServer, key: &str) -> Answer {
    server.by("").post("sys/unseal", json!({"key": key})).await
}

async fn unseal(server: &TestServer, shares: &[Share]) {
    for share in shares.iter().take(2) {
        hand_in(server, &share.to_hex()).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_initialise_at_once_one_gets_the_keys() {
    let server = Arc::new(TestServer::start(World::uninitialised().await, Limits::default()).await);
    assert_eq!(server.by("").get("sys/init").await.expect(200).body, json!({"initialized": false}));
    let recovery = json!({"recovery_shares": 3, "recovery_threshold": 2});
    let refused = server.by("").send("PUT", "sys/init", Some(recovery)).await.expect(400);
    assert!(refused.errors()[0].contains("recovery_shares not applicable"), "{}", refused.text);
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let server = Arc::clone(&server);
        let verb = if number % 2 == 0 { "PUT" } else { "POST" };
        let body = json!({"secret_shares": 5, "secret_threshold": 3, "pgp_keys": null, "recovery_shares": null});
        tasks.spawn(async move { server.by("").send(verb, "sys/init", Some(body)).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 7));
    assert!(lost.iter().all(|answer| answer.status == 400 && answer.errors() == ["Vault is already initialized"]));
    let made = &won[0];
    let keys = |field: &str| made.at(field).as_array().unwrap().clone();
    assert_eq!((keys("/keys").len(), keys("/keys_base64").len()), (5, 5));
    assert!(made.text_at("/root_token").starts_with("hvs."));
    assert_eq!(server.by("").get("sys/init").await.expect(200).body, json!({"initialized": true}));
    // Keys and token work; hex and base64 are two spellings of one share.
    let nonces: Vec<Value> = [
        hand_in(&server, keys("/keys")[4].as_str().unwrap()).await.expect(200),
        hand_in(&server, keys("/keys_base64")[0].as_str().unwrap()).await.expect(200),
    ]
    .iter()
    .map(|status| status.at("/nonce").clone())
    .collect();
    assert!(nonces[0] == nonces[1] && nonces[0] != "", "{nonces:?}");
    let open = hand_in(&server, keys("/keys")[2].as_str().unwrap()).await.expect(200);
    assert_eq!(open.at("/sealed"), &json!(false), "{}", open.text);
    server.by(&made.text_at("/root_token")).get("auth/token/lookup-self").await.expect(200);
    for line in server.world.trail.recent(usize::MAX).await {
        let secrets = keys("/keys").into_iter().chain(keys("/keys_base64")).chain([made.at("/root_token").clone()]);
        assert!(secrets.into_iter().all(|secret| !line.contains(secret.as_str().unwrap())), "{line}");
    }
}

#[tokio::test]
async fn an_impossible_initialisation_is_refused_and_leaves_nothing() {
    let server = TestServer::start(World::uninitialised().await, Limits::default()).await;
    for body in [
        json!({"secret_shares": 0, "secret_threshold": 0}),
        json!({"secret_shares": 3, "secret_threshold": 5}),
        json!({"secret_shares": 5, "secret_threshold": 1}),
        json!({"secret_shares": 256, "secret_threshold": 3}),
        json!({"secret_shares": -1, "secret_threshold": 1}),
        json!({"secret_shares": "many"}),
        json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["abc"]}),
        json!({"secret_shares": 1, "secret_threshold": 1, "root_token_pgp_key": "abc"}),
    ] {
        let refused = server.by("").post("sys/init", body.clone()).await.expect(400);
        assert!(!refused.errors()[0].is_empty(), "{body}");
    }
    assert!(server.world.snapshot().await.is_empty());
    server.by("").post("sys/unseal", json!({"key": "00"})).await.expect(400);
    let status = server.by("").get("sys/seal-status").await.expect(200);
    assert_eq!((status.at("/initialized"), status.at("/sealed")), (&json!(false), &json!(true)));
    server.stop().await;
}

#[tokio::test]
async fn unsealing_tells_how_far_it_has_come_and_can_begin_anew() {
    let (server, shares, _) = sealed().await;
    let status = async || server.by("").get("sys/seal-status").await.expect(200).body;
    let first = status().await;
    for (field, value) in [
        ("type", json!("shamir")),
        ("initialized", json!(true)),
        ("sealed", json!(true)),
        ("t", json!(2)),
        ("n", json!(3)),
        ("progress", json!(0)),
        ("nonce", json!("")),
        ("version", json!("1.16.3")),
        ("migration", json!(false)),
        ("recovery_seal", json!(false)),
        ("storage_type", json!("inmem")),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    let one = hand_in(&server, &shares[0].to_hex()).await.expect(200).body;
    assert_eq!((&one["progress"], &one["sealed"]), (&json!(1), &json!(true)));
    assert_eq!(status().await, one);
    // The same share again is no further one.
    assert_eq!(hand_in(&server, &shares[0].to_base64()).await.body["progress"], 1);
    let reset = server.by("").post("sys/unseal", json!({"reset": true})).await.expect(200).body;
    assert_eq!((&reset["progress"], &reset["nonce"]), (&json!(0), &json!("")));
    hand_in(&server, &shares[2].to_hex()).await.expect(200);
    let open = hand_in(&server, &shares[1].to_hex()).await.expect(200).body;
    assert_eq!(
        (&open["sealed"], &open["progress"], &open["t"], &open["n"]),
        (&json!(false), &json!(0), &json!(2), &json!(3))
    );
    assert!(open["cluster_id"].is_string() && open["cluster_name"] == "test");
    // On an open server all of it is answered with the status.
    for body in [json!({"key": shares[0].to_hex()}), json!({"key": "nonsense"}), json!({"reset": true}), json!({})] {
        let answer = server.by("").send("PUT", "sys/unseal", Some(body)).await.expect(200);
        assert_eq!(answer.at("/sealed"), &json!(false));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_share_that_is_none_is_named_and_spoils_nothing() {
    let (server, shares, _) = sealed().await;
    let (_, foreign, _) = sealed().await;
    hand_in(&server, &shares[0].to_hex()).await.expect(200);
    let right = shares[1].to_hex();
    let flipped = |at: usize| {
        let mut text = right.clone().into_bytes();
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        String::from_utf8(text).unwrap()
    };
    let wrong = [
        "nonsense".to_owned(),
        right[2..].to_owned(),
        format!("{right}00"),
        foreign[1].to_hex(),
        flipped(0),
        flipped(20),
        flipped(right.len() - 1),
    ];
    for key in &wrong {
        let refused = hand_in(&server, key).await.expect(400);
        assert!(!refused.text.contains(key.as_str()) && refused.errors()[0].len() > 20, "{}", refused.text);
        let status = server.by("").get("sys/seal-status").await.expect(200);
        assert_eq!(status.at("/progress"), 1, "a wrong share spoilt the round");
    }
    for body in
        [json!({}), json!({"key": null}), json!({"key": ""}), json!({"key": 5}), json!({"migrate": true, "key": "00"})]
    {
        server.by("").post("sys/unseal", body).await.expect(400);
    }
    assert_eq!(hand_in(&server, &right).await.expect(200).at("/sealed"), &json!(false));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_needs_sudo_and_leaves_nothing_open() {
    let (server, shares, root) = sealed().await;
    unseal(&server, &shares).await;
    let operator = server.by(&root);
    let rules = "path \"sys/seal\" { capabilities = [\"update\"] }\npath \"sys/seal/*\" { capabilities = [\"sudo\"] }";
    operator.post("sys/policies/acl/half", json!({"policy": rules})).await.expect(204);
    let half = operator.post("auth/token/create", json!({"policies": ["half"]})).await.text_at("/auth/client_token");
    server.by(&half).send("PUT", "sys/seal", None).await.expect(403);
    let rules = "path \"sys/seal\" { capabilities = [\"update\", \"sudo\"] }";
    operator.post("sys/policies/acl/whole", json!({"policy": rules})).await.expect(204);
    let whole = operator.post("auth/token/create", json!({"policies": ["whole"]})).await.text_at("/auth/client_token");
    let open = Arc::downgrade(&server.world.rooms());
    server.by(&whole).send("PUT", "sys/seal", None).await.expect(204);
    assert!(server.world.strongroom.open().is_err());
    for path in ["secret/data/a", "sys/mounts", "auth/token/lookup-self", "sys/policies/acl", "identity/entity/id"] {
        assert_eq!(operator.get(path).await.expect(503).errors(), ["Vault is sealed"]);
    }
    assert!(open.upgrade().is_none(), "somebody still holds the open rooms");
    let last = server
        .world
        .outcomes()
        .await
        .into_iter()
        .find(|entry| entry["path"] == "sys/seal" && entry["outcome"]["result"] == "ok");
    assert!(last.is_some_and(|entry| entry["principal"]["token_policies"] == json!(["default", "whole"])));
    unseal(&server, &shares).await;
    operator.get("sys/mounts").await.expect(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_under_way_while_sealing_are_made_or_refused_and_never_half() {
    let (server, shares, root) = sealed().await;
    let server = Arc::new(server);
    unseal(&server, &shares).await;
    server.by(&root).post("sys/mounts/kv", json!({"type": "kv-v2"})).await.expect(204);
    for round in 0..5 {
        let mut writers = JoinSet::new();
        for writer in 0..6 {
            let (server, root) = (Arc::clone(&server), root.clone());
            writers.spawn(async move {
                let path = format!("kv/data/{round}/{writer}");
                for written in 0_u64.. {
                    let answer = server.by(&root).post(&path, json!({"data": {"n": written}})).await;
                    match answer.status.as_u16() {
                        200 => assert_eq!(answer.at("/data/version"), written + 1),
                        503 => return (path, written),
                        other => panic!("{other}: {}", answer.text),
                    }
                }
                unreachable!()
            });
        }
        // When some have been written, not after some time.
        while server.by(&root).get(&format!("kv/data/{round}/0?version=5")).await.status != 200 {}
        server.by(&root).send("PUT", "sys/seal", None).await.expect(204);
        let written = writers.join_all().await;
        unseal(&server, &shares).await;
        for (path, count) in written {
            let found = server.by(&root).get(&path).await;
            let version = found.at("/data/metadata/version").as_u64().unwrap_or(0);
            // What was acknowledged is there; one more may be, whose answer was lost to the sealing.
            assert!(version == count || version == count + 1, "{path}: {count} acknowledged, {version} found");
        }
    }
}

#[tokio::test]
async fn health_tells_the_state_by_its_code() {
    let server = TestServer::start(World::uninitialised().await, Limits::default()).await;
    let anybody = server.by("");
    let code = async |query: &str| anybody.get(&format!("sys/health{query}")).await.status.as_u16();
    assert_eq!(code("").await, 501);
    assert_eq!((code("?uninitcode=200").await, code("?sealedcode=200").await), (200, 501));
    let alone = async || anybody.get("sys/leader").await.expect(200).at("/ha_enabled") == &json!(false);
    assert!(alone().await, "`vault status` prints nothing where this fails");
    let made = anybody.post("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.expect(200);
    assert_eq!(code("").await, 503);
    assert_eq!(
        (code("?sealedcode=200").await, code("?uninitcode=200").await, code("?standbyok=true").await),
        (200, 503, 503)
    );
    let sealed = anybody.get("sys/health").await.body;
    assert_eq!((&sealed["initialized"], &sealed["sealed"]), (&json!(true), &json!(true)));
    assert!(alone().await, "`vault status` of a sealed server would speak of a cluster");
    hand_in(&server, &made.text_at("/keys/0")).await.expect(200);
    assert_eq!(
        (code("").await, code("?activecode=299").await, code("?standbyok=true&perfstandbyok=true").await),
        (200, 299, 200)
    );
    for wrong in ["activecode=99", "activecode=100", "activecode=600", "activecode=-1", "activecode=x"] {
        assert_eq!(code(&format!("?{wrong}")).await, 400, "{wrong}");
    }
    let open = anybody.get("sys/health").await;
    for (field, value) in [
        ("initialized", json!(true)),
        ("sealed", json!(false)),
        ("standby", json!(false)),
        ("performance_standby", json!(false)),
        ("replication_performance_mode", json!("disabled")),
        ("replication_dr_mode", json!("disabled")),
        ("server_time_utc", json!(1_795_219_200)),
        ("version", json!("1.16.3")),
        ("cluster_name", json!("test")),
        ("trail_writable", json!(true)),
        ("storage_writable", json!(true)),
    ] {
        assert_eq!(open.body[field], value, "{field}");
    }
    assert_eq!(open.headers["cache-control"], "no-store");
    let head = anybody.send("HEAD", "sys/health", None).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert_eq!(anybody.send("HEAD", "sys/health?activecode=204", None).await.status, 204);
    assert!(alone().await);
    server.stop().await;
}

#[tokio::test]
async fn what_happens_without_a_gate_is_in_the_trail_too() {
    let (server, shares, _) = sealed().await;
    hand_in(&server, "nonsense").await.expect(400);
    hand_in(&server, &shares[0].to_hex()).await.expect(200);
    server.by("hvs.canary-token").get("secret/data/a").await.expect(503);
    server.by("").get("sys/seal-status").await.expect(200);
    let seen: Vec<_> = server
        .world
        .entries()
        .await
        .iter()
        .map(|entry| (entry["kind"].clone(), entry["path"].clone(), entry["outcome"]["result"].clone()))
        .collect();
    let expected = [
        ("intent", "sys/unseal", Value::Null),
        ("outcome", "sys/unseal", json!("invalid")),
        ("intent", "sys/unseal", Value::Null),
        ("outcome", "sys/unseal", json!("ok")),
        ("outcome", "secret/data/a", json!("sealed")),
        ("outcome", "sys/seal-status", json!("ok")),
    ];
    assert_eq!(seen, expected.map(|(kind, path, result)| (json!(kind), json!(path), result)));
    let text = server.world.trail.recent(usize::MAX).await.join("\n");
    assert!(
        !text.contains(&shares[0].to_hex()) && !text.contains("canary-token") && !text.contains("nonsense"),
        "{text}"
    );
    server.stop().await;
}
