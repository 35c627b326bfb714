//! Two callers who meet at the worst moment, which a stop in the store brings about.

use crate::store::MEETS;
use crate::world::{World, fields, number, version};
use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_core::SecretAct;
use strongroom_core::secret::{SecretValue, WriteOptions};
use tokio::task::{JoinSet, yield_now};

/// Starts a write that already has its grant.
async fn start_write(world: &Arc<World>, tasks: &mut JoinSet<u64>, name: &str, value: Value) {
    let grant = world.grant(SecretAct::Write, name).await;
    let world = Arc::clone(world);
    tasks.spawn(async move {
        let value = SecretValue::Object(fields(value));
        world.open.secrets.write(&grant, &value, WriteOptions::default()).await.unwrap().number.get()
    });
}

/// Gives the others on this thread ample time to come as far as they can.
async fn let_others_run() {
    for _ in 0..200 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_folder_stays_for_a_secret_that_was_on_its_way_when_the_last_other_one_went() {
    let world = Arc::new(World::new().await);
    world.write("x/old", json!({})).await.unwrap();
    let mut tasks = JoinSet::new();
    let delete = world.grant(SecretAct::DeleteAll, "x/old").await;
    world.store.writing.put_up();
    start_write(&world, &mut tasks, "x/new", json!({"k": 1})).await;
    world.store.writing.reached().await;
    let deleting = Arc::clone(&world);
    tasks.spawn(async move { deleting.open.secrets.delete_all(&delete).await.map(|()| 0).unwrap() });
    let_others_run().await;
    world.store.writing.open();
    tasks.join_all().await;
    assert_eq!(world.list("").await, ["x/"]);
    assert_eq!(world.list("x").await, ["new"]);
    assert_eq!(world.current("x/new").await, json!({"k": 1}));
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_not_overwritten_by_the_next() {
    let world = Arc::new(World::new().await);
    world.write("a", json!({"n": 1})).await.unwrap();
    let mut gone = JoinSet::new();
    let mut tasks = JoinSet::new();
    world.store.writing.put_up();
    start_write(&world, &mut gone, "a", json!({"n": 2})).await;
    world.store.writing.reached().await;
    gone.shutdown().await;
    start_write(&world, &mut tasks, "a", json!({"n": 3})).await;
    let_others_run().await;
    world.store.writing.open();
    assert_eq!(tasks.join_all().await, [3]);
    assert_eq!(world.value("a", version(2)).await, json!({"n": 2}));
    assert_eq!(world.current("a").await, json!({"n": 3}));
}

#[tokio::test]
async fn a_first_write_whose_caller_has_gone_is_not_overwritten_by_the_next() {
    let world = Arc::new(World::new().await);
    // The first secret of all makes the namespace's key, in a commit of its own.
    world.write("other", json!({})).await.unwrap();
    let mut gone = JoinSet::new();
    let mut tasks = JoinSet::new();
    let before = world.records().await;
    world.store.writing.put_up();
    start_write(&world, &mut gone, "a", json!({"n": 1})).await;
    world.store.writing.reached().await;
    gone.shutdown().await;
    start_write(&world, &mut tasks, "a", json!({"n": 2})).await;
    let_others_run().await;
    world.store.writing.open();
    assert_eq!(tasks.join_all().await, [2]);
    assert_eq!(world.value("a", version(1)).await, json!({"n": 1}));
    // The name with the head and the last value, and the one before: no second head is left that nothing leads to.
    assert_eq!(world.records().await - before, 2);
}

#[tokio::test]
async fn a_value_that_is_destroyed_under_a_reader_is_gone_and_not_damaged() {
    let world = Arc::new(World::new().await);
    // Too large to lie in the head.
    let large = json!({"n": "x".repeat(2_000)});
    world.write("a", large.clone()).await.unwrap();
    // Now name and head are in the cache, and the next thing asked of the store is the value.
    assert_eq!(world.current("a").await, large);
    let destroy = world.grant(SecretAct::Destroy, "a").await;
    world.store.reading.put_up();
    let reader = Arc::clone(&world);
    let mut reading = JoinSet::new();
    reading.spawn(MEETS.scope((), async move { reader.current("a").await }));
    world.store.reading.reached().await;
    world.open.secrets.destroy(&destroy, &[number(1)]).await.unwrap();
    world.store.reading.open();
    assert_eq!(reading.join_all().await, [json!("gone")]);
}
