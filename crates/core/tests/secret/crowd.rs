//! What many callers at once see.

use crate::world::{World, cas, fields, version};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use strongroom_core::secret::{KvConfigChange, WriteOptions};
use strongroom_core::{CoreError, Object, Operation, SecretAct};
use tokio::task::JoinSet;

async fn keep_many(world: &World) {
    let grant = world.admit(&world.mount, Operation::Write, "secret/config", Object::Path { exists: None }).await;
    let change = KvConfigChange { max_versions: Some(1_000), ..Default::default() };
    world.open.secrets.write_config(&grant, change).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_secret_all_succeed_and_each_gets_a_number() {
    const WRITERS: u64 = 50;
    const EACH: u64 = 4;
    let world = Arc::new(World::new().await);
    keep_many(&world).await;
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for n in 0..EACH {
                numbers.push((
                    world.write("hot/one", json!({"by": writer, "n": n})).await.unwrap().number.get(),
                    writer,
                    n,
                ));
            }
            numbers
        });
    }
    let written: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let numbers: BTreeSet<u64> = written.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=WRITERS * EACH).collect());
    for (number, writer, n) in written {
        assert_eq!(world.value("hot/one", version(number)).await, json!({"by": writer, "n": n}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_and_set_has_one_winner_for_each_number() {
    let world = Arc::new(World::new().await);
    for current in 0..10 {
        let mut tasks = JoinSet::new();
        for writer in 0..8 {
            let world = Arc::clone(&world);
            tasks.spawn(async move {
                world.write_with("hot", json!({ "by": writer }), cas(current)).await.map(|info| info.number.get())
            });
        }
        let results = tasks.join_all().await;
        let won: Vec<u64> = results.iter().filter_map(|result| result.as_ref().ok()).copied().collect();
        assert_eq!(won, [current + 1]);
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.to_string(), "check-and-set parameter did not match the current version");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_of_one_secret_lose_nothing() {
    let world = Arc::new(World::new().await);
    world.write("a", json!({})).await.unwrap();
    let mut tasks = JoinSet::new();
    for writer in 0..20 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let grant = world.grant(SecretAct::Patch, "a").await;
            let patch = fields(json!({ format!("k{writer}"): writer }));
            world.open.secrets.patch(&grant, &patch, None).await.map(|_| ()).unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(world.current("a").await.as_object().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_folder_is_lost_when_secrets_come_and_go_at_once() {
    let world = Arc::new(World::new().await);
    let before = world.records().await;
    let mut tasks = JoinSet::new();
    for worker in 0..8 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let name = format!("x/y/{worker}");
            for round in 0..12 {
                world.write(&name, json!({ "round": round })).await.unwrap();
                // Whoever has just written finds the way to it.
                assert!(world.list("x/y").await.contains(&worker.to_string()));
                assert_eq!(world.list("x").await, ["y/"]);
                let grant = world.grant(SecretAct::DeleteAll, &name).await;
                world.open.secrets.delete_all(&grant).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(world.records().await, before);
    assert!(world.list("").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_a_whole_version_or_none_while_writers_prune_and_delete() {
    let world = Arc::new(World::new().await);
    world.write("a", json!({"n": 0})).await.unwrap();
    let mut writers = JoinSet::new();
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let (writing, reading) = (Arc::clone(&world), Arc::clone(&world));
        writers.spawn(async move {
            let world = writing;
            for n in 0..40 {
                world.write("a", json!({ "n": n })).await.unwrap();
                if n % 8 == 7 {
                    let grant = world.grant(SecretAct::DeleteAll, "a").await;
                    world.open.secrets.delete_all(&grant).await.unwrap();
                }
            }
        });
        readers.spawn(async move {
            let world = reading;
            for n in 0..120 {
                let value = world
                    .value(
                        "a",
                        if n % 2 == 0 { version(1 + n % 12) } else { strongroom_model::VersionSelector::Current },
                    )
                    .await;
                assert!(value == Value::Null || value["n"].is_number(), "{value}");
            }
        });
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_mount_that_was_removed_meanwhile_takes_no_new_secret() {
    let world = World::new().await;
    let mount = world.mount("doomed", "2").await;
    let late = world.grant_in(&mount, SecretAct::Write, "late").await;
    world.unmount("doomed").await;
    world.open.housekeep().await;
    let before = world.records().await;
    let value = strongroom_core::secret::SecretValue::Object(fields(json!({"k": 1})));
    let written = world.open.secrets.write(&late, &value, WriteOptions::default()).await;
    assert!(matches!(written, Err(CoreError::NotFound(_))));
    assert_eq!(world.records().await, before);
}
