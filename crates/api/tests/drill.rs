//! Drills through the API: what they measure, what they leave, who may have them, and what a crash does to them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_model::Clock as _;
use strongroom_testkit::{Answer, TestServer, World};

async fn ask(server: &TestServer, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let headers = [("X-Vault-Token", token), ("content-type", "application/json")];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.send_raw(method, &format!("/api/v1/{path}"), &headers, body).await
}

async fn drilled(server: &TestServer, body: Value) -> Value {
    ask(server, &server.root, "POST", "drills/run", body).await.expect(200).at("/data/drill").clone()
}

/// Names of everything that a drill makes, as the operator finds it.
async fn leftovers(server: &TestServer) -> Vec<String> {
    let mut found = Vec::new();
    let operator = server.operator();
    for list in ["secret/metadata", "secret/metadata/app", "sys/policies/acl", "identity/entity/name", "plain/app"] {
        let answer = operator.list(list).await;
        let keys = answer.at("/data/keys").as_array().cloned().unwrap_or_default();
        found.extend(keys.iter().map(|key| format!("{list}/{}", key.as_str().unwrap())));
    }
    for key in operator.list("sys/access-keys").await.at("/data/keys").as_array().into_iter().flatten() {
        let key = operator.get(&format!("sys/access-keys/{}", key.as_str().unwrap())).await;
        found.push(format!("access key {}", key.at("/data/name")));
    }
    let tokens = operator.list("auth/token/accessors").await;
    for accessor in tokens.at("/data/keys").as_array().unwrap() {
        let token = operator.post("auth/token/lookup-accessor", json!({"accessor": accessor})).await;
        found.push(format!("token {}", token.at("/data/display_name")));
    }
    found.retain(|name| name.contains("drill"));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_measures_each_kind_of_credential_and_leaves_nothing() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": "canary-value"}})).await.expect(200);
    operator.post("sys/mounts/plain", json!({"type": "kv"})).await.expect(204);
    operator.post("plain/app/db", json!({"v": "canary-value"})).await.expect(204);
    let preview =
        ask(&server, &server.root, "POST", "drills/preview", json!({"path": "secret/app/db"})).await.expect(200);
    let words = json!(["secret-version", "token", "principal", "access-key"]);
    assert_eq!((preview.at("/data/credentials"), preview.at("/data/changes")), (&words, &json!([])));
    assert!(leftovers(&server).await.is_empty(), "a preview does nothing");

    for (path, tried) in [("secret/app/db", 4), ("plain/app/db", 2)] {
        let drill = drilled(&server, json!({"path": path, "rounds": 2})).await;
        assert_eq!(drill["state"], "done", "{drill}");
        let trials = drill["trials"].as_array().unwrap();
        assert_eq!(trials.len(), tried * 2);
        for trial in trials {
            let span = |name: &str| trial[name].as_u64().unwrap();
            assert!(span("uses") > 3 && span("accepted_after") == 0 && span("hindered") == 0, "{trial}");
            assert!(span("denied_us") >= span("after_acknowledgement_us") && span("denied_us") > 0, "{trial}");
            assert!(span("denied_us") < 5_000_000, "{trial}");
        }
        assert!(!drill.to_string().contains("canary-value"));
    }
    assert_eq!(leftovers(&server).await, Vec::<String>::new());

    // Its beginning and end stand in the trail at the target; every use by the canary does, too, and no alert was raised.
    let entries = server.world.entries().await;
    let of = |operation: &str| entries.iter().filter(|entry| entry["operation"] == operation).count();
    assert_eq!((of("drill-begin"), of("drill-end")), (2, 2));
    assert!(entries.iter().any(|entry| entry["principal"]["display_name"] == "drill-canary"));
    assert_eq!(of("alert-after-revocation") + of("alert-denial-burst"), 0);

    let history = ask(&server, &server.root, "GET", "drills/history?path=secret/app/db", Value::Null).await.expect(200);
    assert_eq!(history.at("/data/drills").as_array().unwrap().len(), 1);
    assert_eq!(history.at("/data/trends").as_array().unwrap().len(), 4);
    let table = ask(&server, &server.root, "GET", "drills/table", Value::Null).await.expect(200);
    let rows = table.at("/data/rows").as_array().unwrap();
    assert_eq!(rows.len(), 6);
    // Nobody was seen reading either, so nothing is claimed of consumers.
    assert!(rows.iter().all(|row| row["pattern"] == "none" && row["learns"]["basis"] == "unknown"), "{rows:?}");
    assert!(rows.iter().all(|row| row["samples"] == 2 && row["denied_p99_us"].as_u64() > Some(0)), "{rows:?}");
    let value = operator.get("secret/data/app/db").await.expect(200);
    assert_eq!((value.at("/data/data/v"), value.at("/data/metadata/version")), (&json!("canary-value"), &json!(1)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_derived_from_a_reading_pattern_is_labelled_as_that() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": "x"}})).await.expect(200);
    server.policy("web", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    let web = server.token(json!({"policies": ["web"], "ttl": "100h"})).await;
    for _ in 0..12 {
        server.by(&web).get("secret/data/app/db").await.expect(200);
        server.world.clock.advance(Duration::from_secs(300));
    }
    let order = json!({"path": "secret/data/app/db", "rounds": 1, "credentials": "token,access-key"});
    assert_eq!(drilled(&server, order).await["state"], "done");
    let table = ask(&server, &server.root, "GET", "drills/table?path=secret/app/db", Value::Null).await.expect(200);
    let rows = table.at("/data/rows").as_array().unwrap().clone();
    let row = |word: &str| rows.iter().find(|row| row["credential"] == word).unwrap();
    let token = row("token");
    assert_eq!((&token["pattern"], &token["consumers"]), (&json!("periodic"), &json!(1)));
    assert_eq!(token["learns"]["basis"], "derived");
    let within = token["learns"]["within_us"].as_u64().unwrap();
    let denied = token["denied_p99_us"].as_u64().unwrap();
    assert_eq!(within, denied + 300_000_000);
    assert_eq!(row("access-key")["pattern"], "none", "it reads by token only");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_was_broken_off_is_cleared_and_said_to_be() {
    let (world, shares, root) = World::sealed().await;
    let root = root.expose().to_owned();
    let open = async |server: &TestServer| {
        for share in &shares {
            server.by("").send("POST", "sys/unseal", Some(json!({"key": share.to_base64()}))).await.expect(200);
        }
    };
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root.clone_from(&root);
    open(&server).await;
    server.operator().post("sys/mounts/secret", json!({"type": "kv-v2"})).await.expect(204);
    server.operator().post("secret/data/app/db", json!({"data": {"v": "x"}})).await.expect(200);
    // Cut off in the middle, as a crash does: what it made is still there.
    let order = json!({"path": "secret/app/db", "rounds": 20});
    let sealing = async {
        while leftovers(&server).await.len() < 4 {
            tokio::task::yield_now().await;
        }
        server.operator().post("sys/seal", json!({})).await.expect(204);
    };
    let (answer, ()) = tokio::join!(ask(&server, &root, "POST", "drills/run", order), sealing);
    assert_ne!(answer.at("/data/drill/state"), "done", "{}", answer.text);
    server.world.clock.advance(Duration::from_secs(60));
    let reopened = server.world.clock.now().to_string();
    open(&server).await;
    server.world.rooms().drills.settle().await.unwrap();
    assert_eq!(leftovers(&server).await, Vec::<String>::new());
    let history = ask(&server, &root, "GET", "drills/history?path=secret/app/db", Value::Null).await.expect(200);
    assert_eq!(history.at("/data/drills/0/state"), "broken-off");
    // It ends when nothing is left of it: only the server that came back took the last of it away.
    assert!(history.at("/data/drills/0/ended").as_str() >= Some(reopened.as_str()), "{}", history.text);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_drills_run_on_time_and_one_that_is_too_old_is_told_once() {
    let server = TestServer::open().await;
    server.operator().post("secret/data/app/db", json!({"data": {"v": "x"}})).await.expect(200);
    let root = server.root.clone();
    let plan = json!({"path": "secret/app/db", "schedule": "rate(4 hours)", "rounds": 1, "credentials": "token"});
    ask(&server, &root, "POST", "drills/schedules", plan).await.expect(200);
    for (bad, what) in [
        (json!({"path": "secret/app/db", "schedule": "daily"}), 400),
        (json!({"path": "secret/app/db", "schedule": "rate(1 days)", "rounds": 21}), 400),
        (json!({"path": "secret/app/none", "schedule": "rate(1 days)"}), 404),
        (json!({"path": "nowhere/x", "schedule": "rate(1 days)"}), 404),
        (json!({"path": "secret/app/db", "schedule": "rate(1 days)", "credentials": "login"}), 400),
    ] {
        assert_eq!(ask(&server, &root, "POST", "drills/schedules", bad.clone()).await.status.as_u16(), what, "{bad}");
    }
    ask(&server, &root, "POST", "drills/settings", json!({"max_age": "6h"})).await.expect(200);
    let drills = || server.world.rooms().drills.clone();
    server.world.clock.advance(Duration::from_secs(4 * 3_600));
    drills().settle().await.unwrap();
    let path = "drills/history?path=secret/app/db";
    let history = ask(&server, &root, "GET", path, Value::Null).await.expect(200);
    assert_eq!(history.at("/data/drills").as_array().unwrap().len(), 1);
    assert_eq!(history.at("/data/drills/0/trigger"), "the schedule");
    ask(&server, &root, "DELETE", "drills/schedules?path=secret/app/db", Value::Null).await.expect(204);
    server.world.clock.advance(Duration::from_secs(7 * 3_600));
    for _ in 0..3 {
        drills().settle().await.unwrap();
    }
    let entries = server.world.entries().await;
    assert_eq!(entries.iter().filter(|entry| entry["operation"] == "drill-overdue").count(), 1);
    let planned = ask(&server, &root, "GET", "drills/schedules", Value::Null).await.expect(200);
    assert_eq!(
        (planned.at("/data/schedules/0/overdue"), planned.at("/data/schedules/0/next")),
        (&json!(true), &Value::Null)
    );
    // One that goes well ends that, and it can be told again.
    drilled(&server, json!({"path": "secret/app/db", "rounds": 1, "credentials": "token"})).await;
    let planned = ask(&server, &root, "GET", "drills/schedules", Value::Null).await.expect(200);
    assert_eq!(planned.at("/data/schedules/0/overdue"), &json!(false));
    ask(&server, &root, "DELETE", "drills/schedules?path=secret/app/db&forget=true", Value::Null).await.expect(204);
    ask(&server, &root, "GET", path, Value::Null).await.expect(404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_read_a_target_cannot_drill_it_nor_learn_of_its_drills() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for name in ["app/db", "hr/pay-canary"] {
        operator.post(&format!("secret/data/{name}"), json!({"data": {"v": "x"}})).await.expect(200);
    }
    drilled(&server, json!({"path": "secret/hr/pay-canary", "rounds": 1, "credentials": "token"})).await;
    let plan = json!({"path": "secret/hr/pay-canary", "schedule": "rate(1 days)"});
    ask(&server, &server.root, "POST", "drills/schedules", plan).await.expect(200);
    let doors = "path \"sys/drills/*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\"] }";
    let own = "path \"secret/data/app/*\" { capabilities = [\"read\"] }";
    server.policy("driller", &format!("{doors}\n{own}")).await;
    let driller = server.token(json!({"policies": ["driller"], "no_default_policy": true})).await;
    // With the right path and a wrong one there is one answer.
    for (method, path, body) in [
        ("POST", "drills/run", json!({"path": "PATH"})),
        ("POST", "drills/preview", json!({"path": "PATH"})),
        ("POST", "drills/schedules", json!({"path": "PATH", "schedule": "rate(1 days)"})),
        ("DELETE", "drills/schedules?path=PATH", Value::Null),
        ("GET", "drills/history?path=PATH", Value::Null),
    ] {
        let mut told = Vec::new();
        for name in ["secret/hr/pay-canary", "secret/hr/nothing"] {
            let body = serde_json::from_str(&body.to_string().replace("PATH", name)).unwrap();
            let answer = ask(&server, &driller, method, &path.replace("PATH", name), body).await;
            told.push((answer.status, answer.at("/error/message").clone()));
        }
        assert_eq!(told[0], told[1], "{method} {path}");
        assert_eq!(told[0].0.as_u16(), 404, "{method} {path}");
    }
    for path in ["drills/table", "drills/table?path=secret/hr/pay-canary", "drills/schedules"] {
        let answer = ask(&server, &driller, "GET", path, Value::Null).await.expect(200);
        assert!(!answer.text.contains("pay-canary"), "{}", answer.text);
    }
    let order = json!({"path": "secret/app/db", "rounds": 1, "credentials": "token"});
    ask(&server, &driller, "POST", "drills/run", order).await.expect(200);
    let rows = ask(&server, &driller, "GET", "drills/table", Value::Null).await.expect(200);
    assert!(rows.text.contains("secret/data/app/db") && !rows.text.contains("pay-canary"));
    // A rotation needs the right to write.
    let order = json!({"path": "secret/app/db", "rotate": true});
    ask(&server, &driller, "POST", "drills/run", order).await.expect(403);
    let order = json!({"path": "secret/app/db", "rotate": true, "rounds": 1});
    let answer = ask(&server, &server.root, "POST", "drills/run", order).await;
    assert!(answer.text.contains("rotate schedule"), "{}", answer.text);
    server.stop().await;
}
