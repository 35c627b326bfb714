//! What is left when a mount is removed: nothing, also when the store runs full in between.

use crate::world::{World, fields};
use serde_json::json;
use std::sync::Arc;
use strongroom_core::SecretAct;
use strongroom_core::mount::Mount;
use strongroom_core::secret::{KvConfigChange, SecretValue, WriteOptions};
use strongroom_core::{Object, Operation};

async fn fill(world: &World, mount: &Arc<Mount>) {
    let grant =
        world.admit(mount, Operation::Write, &format!("{}/config", mount.path), Object::Path { exists: None }).await;
    world
        .open
        .secrets
        .write_config(&grant, KvConfigChange { max_versions: Some(60), ..Default::default() })
        .await
        .unwrap();
    let names = ["a", "a/b", "a/b/c", "a/b/d", "e/f/g/h", "many"];
    for name in names.into_iter().map(str::to_owned).chain((0..20).map(|n| format!("wide/{n}"))) {
        for n in 0..if name == "many" { 55 } else { 2 } {
            let grant = world.grant_in(mount, SecretAct::Write, &name).await;
            let value = SecretValue::Object(fields(json!({ "n": n })));
            world.open.secrets.write(&grant, &value, WriteOptions::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_removed_mount_leaves_no_record() {
    let world = World::new().await;
    world.write("stays", json!({"k": 1})).await.unwrap();
    let before = world.records().await;
    let mount = world.mount("doomed", "2").await;
    fill(&world, &mount).await;
    world.unmount("doomed").await;
    world.open.housekeep().await;
    assert_eq!(world.records().await, before);
    assert_eq!(world.current("stays").await, json!({"k": 1}));
}

#[tokio::test]
async fn wiping_goes_on_where_a_full_store_stopped_it() {
    let world = World::new().await;
    let before = world.records().await;
    let mount = world.mount("doomed", "2").await;
    fill(&world, &mount).await;
    world.unmount("doomed").await;
    let mut last = world.records().await;
    let mut rounds = 0;
    while last > before {
        world.store.full_after(1);
        world.open.housekeep().await;
        let now = world.records().await;
        assert!(now < last, "a round removed nothing");
        last = now;
        rounds += 1;
    }
    assert!(rounds > 3, "{rounds}");
    assert_eq!(last, before);
    world.store.mend();
    assert!(world.write("alive", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_mount_at_the_same_place_starts_empty() {
    let world = World::new().await;
    let mount = world.mount("again", "2").await;
    fill(&world, &mount).await;
    world.unmount("again").await;
    let mount = world.mount("again", "2").await;
    assert!(world.list_in(&mount, "").await.is_empty());
    world.open.housekeep().await;
    assert!(world.list_in(&mount, "").await.is_empty());
}
