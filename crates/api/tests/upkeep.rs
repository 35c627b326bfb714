//! What changes a running server as a whole: moved mounts, an upgraded KV, scheduled tidying, an initialisation that
//! could not be recorded.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use serde_json::json;
use std::time::Duration;
use strongroom_core::{Init, SlotSpec, State};
use strongroom_testkit::{TestServer, World};

#[tokio::test]
async fn a_moved_mount_answers_under_its_new_path_and_its_move_can_be_asked_after() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/here", json!({"type": "kv"})).await.expect(204);
    operator.post("here/a", json!({"v": "1"})).await.expect(204);
    let moved = operator.post("sys/remount", json!({"from": "here", "to": "there/deep"})).await.expect(200);
    let id = moved.text_at("/data/migration_id");
    assert_eq!(operator.get("there/deep/a").await.expect(200).text_at("/data/v"), "1");
    let status = operator.get(&format!("sys/remount/status/{id}")).await.expect(200);
    let info = json!({"source_mount": "here/", "target_mount": "there/deep/", "status": "success"});
    assert_eq!((status.text_at("/data/migration_id"), status.at("/data/migration_info")), (id, &info));
    operator.get("sys/remount/status/none").await.expect(404);
    let stranger = server.token(json!({"policies": ["default"]})).await;
    server.by(&stranger).get("sys/remount/status/none").await.expect(403);
}

#[tokio::test]
async fn tokens_made_through_an_auth_mount_work_and_renew_after_it_was_moved() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/people", json!({"type": "userpass"})).await.expect(204);
    operator.post("auth/people/users/ann", json!({"password": "correct horse"})).await.expect(204);
    let login = server.by("").post("auth/people/login/ann", json!({"password": "correct horse"})).await.expect(200);
    let token = login.text_at("/auth/client_token");
    let moved = operator.post("sys/remount", json!({"from": "auth/people", "to": "auth/staff"})).await.expect(200);
    let status = operator.get(&format!("sys/remount/status/{}", moved.text_at("/data/migration_id"))).await;
    assert_eq!(status.text_at("/data/migration_info/target_mount"), "auth/staff/");
    server.by(&token).get("auth/token/lookup-self").await.expect(200);
    server.by(&token).post("auth/token/renew-self", json!({})).await.expect(200);
    server.by("").post("auth/staff/login/ann", json!({"password": "correct horse"})).await.expect(200);
    // The old place answers as any that never was.
    assert!(
        server.by("").post("auth/people/login/ann", json!({"password": "correct horse"})).await.status.as_u16() >= 400
    );
}

#[tokio::test]
async fn an_upgraded_kv_keeps_its_values_as_versions_and_does_not_go_back() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/old", json!({"type": "kv"})).await.expect(204);
    for name in ["a", "deep/b"] {
        operator.post(&format!("old/{name}"), json!({"v": "first"})).await.expect(204);
        operator.post(&format!("old/{name}"), json!({"v": name})).await.expect(204);
    }
    operator.post("sys/mounts/old/tune", json!({"options": {"version": "2"}})).await.expect(204);
    for name in ["a", "deep/b"] {
        let read = operator.get(&format!("old/data/{name}")).await.expect(200);
        assert_eq!(read.text_at("/data/data/v"), name);
        let version = read.at("/data/metadata/version").as_u64().unwrap();
        operator.post(&format!("old/data/{name}"), json!({"data": {"v": "later"}})).await.expect(200);
        let earlier = operator.get(&format!("old/data/{name}?version={version}")).await.expect(200);
        assert_eq!(earlier.text_at("/data/data/v"), name, "from now on versions are kept");
    }
    assert_eq!(operator.list("old/metadata").await.at("/data/keys"), &json!(["a", "deep/"]));
    let back = operator.post("sys/mounts/old/tune", json!({"options": {"version": "1"}})).await.expect(400);
    assert!(back.errors()[0].contains("from version 1 to 2"), "{}", back.text);
}

#[tokio::test]
async fn expired_secret_ids_are_removed_every_hour_without_anybody_asking() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/app", json!({"secret_id_ttl": "10m"})).await.expect(204);
    server.world.rooms().housekeep().await;
    let empty = server.world.snapshot().await.len();
    for _ in 0..5 {
        operator.post("auth/approle/role/app/secret-id", json!({})).await.expect(200);
    }
    assert!(server.world.snapshot().await.len() >= empty + 5);
    server.world.clock.advance(Duration::from_secs(11 * 60));
    server.world.rooms().housekeep().await;
    server.world.clock.advance(Duration::from_secs(50 * 60));
    server.world.rooms().housekeep().await;
    let keys = |rows: Vec<strongroom_storage::Entry>| rows.into_iter().filter(|row| row.key[0] == 1).count();
    let left = keys(server.world.snapshot().await);
    operator.post("auth/approle/tidy/secret-id", json!({})).await.expect(200);
    assert_eq!(keys(server.world.snapshot().await), left, "tidying by hand found something left");
}

#[tokio::test]
async fn an_initialisation_that_could_not_be_recorded_is_taken_back() {
    let world = World::uninitialised().await;
    let init = || Init { slots: vec![SlotSpec::Shamir { shares: 2, threshold: 2 }] };
    world.strongroom.init(init()).await.unwrap();
    assert!(!world.snapshot().await.is_empty());
    world.strongroom.settle_init(false).await.unwrap();
    assert!(world.snapshot().await.is_empty() && matches!(world.strongroom.state(), State::Uninitialised(_)));
    // Once the keys were given out, nothing takes them back.
    world.strongroom.init(init()).await.unwrap();
    world.strongroom.settle_init(true).await.unwrap();
    world.strongroom.settle_init(false).await.unwrap();
    assert!(matches!(world.strongroom.state(), State::Sealed(_)));
}
