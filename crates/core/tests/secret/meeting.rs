//! Two callers who meet at the worst moment, which a stop in the store brings about.

use crate::store::MEETS;
use crate::world::{World, fields, number, version};
use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_core::SecretAct;
use strongroom_core::secret::{SecretValue, SecretVersion, Seen, VersionInfo, WriteOptions};
use strongroom_model::VersionSelector;
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

#[tokio::test]
async fn a_version_that_came_from_a_later_head_is_not_told_in_the_words_of_the_one_before() {
    let world = Arc::new(World::new().await);
    // The first version lies in the head, the second is too large for that, the third lies there again.
    world.write("a", json!({"n": 1})).await.unwrap();
    world.write("a", json!({"n": "x".repeat(2_000)})).await.unwrap();
    let told = async |world: &World, selector: VersionSelector| {
        let grant = world.grant(SecretAct::Read, "a").await;
        let number = |info: &VersionInfo| info.number.get().to_string();
        match world.open.secrets.read_text(&grant, &selector, number).await.unwrap() {
            Seen::Here(SecretVersion { value: Ok(text), .. }) => {
                let value: Value = serde_json::from_slice(text.value()).unwrap();
                (value["n"].clone(), text.metadata().to_owned())
            }
            _ => panic!("there is a version, and it is an object"),
        }
    };
    assert_eq!(told(&world, version(1)).await, (json!(1), "1".to_owned()));
    let destroy = world.grant(SecretAct::Destroy, "a").await;
    world.store.reading.put_up();
    let reader = Arc::clone(&world);
    let mut reading = JoinSet::new();
    reading.spawn(MEETS.scope((), async move { told(&reader, VersionSelector::Current).await }));
    world.store.reading.reached().await;
    world.open.secrets.destroy(&destroy, &[number(2)]).await.unwrap();
    world.write("a", json!({"n": 3})).await.unwrap();
    world.store.reading.open();
    assert_eq!(reading.join_all().await, [(json!(3), "3".to_owned())]);
    assert_eq!(told(&world, version(1)).await, (json!(1), "1".to_owned()));
}
