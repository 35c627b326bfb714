//! Writing by labels and ids, and giving secrets up with a time to think again.

use crate::world::{World, number};
use serde_json::{Value, json};
use strongroom_core::secret::{NewVersion, ParticularsChange, Picked, SecretValue, StageMove, Staged, VersionId};
use strongroom_core::{CoreError, SecretAct};
use strongroom_model::{SecretString, Stage, Ttl};

fn id(n: u32) -> VersionId {
    VersionId::parse(&format!("{n:032}")).unwrap()
}

fn text(value: &str, n: u32, stages: &[Stage]) -> NewVersion {
    NewVersion { value: SecretValue::Text(SecretString::new(value.to_owned())), id: id(n), stages: stages.to_vec() }
}

async fn make(world: &World, name: &str, value: &str) -> Result<Staged, CoreError> {
    let grant = world.grant(SecretAct::Write, name).await;
    world.open.secrets.make(&grant, &ParticularsChange::default(), Some(&text(value, 1, &[]))).await
}

async fn put(world: &World, value: &str, n: u32, stages: &[Stage]) -> Result<Staged, CoreError> {
    let grant = world.grant(SecretAct::Write, "a").await;
    world.open.secrets.put(&grant, &text(value, n, stages)).await
}

/// What a reader gets by id and label.
async fn pick(world: &World, wanted: Option<VersionId>, stage: Option<Stage>) -> Result<Value, CoreError> {
    let grant = world.grant(SecretAct::Read, "a").await;
    Ok(match world.open.secrets.pick(&grant, wanted.as_ref(), stage.as_ref()).await? {
        Picked::Here(seen) => match seen.value {
            SecretValue::Text(text) => json!(text.expose()),
            _ => panic!("no text"),
        },
        Picked::NoVersion => Value::Null,
        Picked::OtherStage => json!(false),
    })
}

async fn mark(world: &World, days: u64) -> Result<(), CoreError> {
    let grant = world.grant(SecretAct::DeleteAll, "a").await;
    world.open.secrets.mark(&grant, Ttl::from_secs(days * 86_400)).await.map(|_| ())
}

#[tokio::test]
async fn a_version_is_found_by_id_and_by_label_and_they_must_agree() {
    let world = World::new().await;
    make(&world, "a", "one").await.unwrap();
    put(&world, "two", 2, &[Stage::Pending]).await.unwrap();
    assert_eq!(pick(&world, None, None).await.unwrap(), "one");
    assert_eq!(pick(&world, Some(id(2)), None).await.unwrap(), "two");
    assert_eq!(pick(&world, Some(id(2)), Some(Stage::Pending)).await.unwrap(), "two");
    assert_eq!(pick(&world, Some(id(2)), Some(Stage::Current)).await.unwrap(), false);
    assert_eq!(pick(&world, None, Some(Stage::Previous)).await.unwrap(), Value::Null);
    assert_eq!(pick(&world, Some(id(9)), None).await.unwrap(), Value::Null);
    let grant = world.grant(SecretAct::Write, "a").await;
    let order = StageMove { stage: Stage::Current, from: Some(id(1)), to: Some(id(2)) };
    world.open.secrets.move_stage(&grant, &order).await.unwrap();
    assert_eq!(pick(&world, None, Some(Stage::Previous)).await.unwrap(), "one");
    world.write("a", json!({"from": "another dialect"})).await.unwrap();
    let grant = world.grant(SecretAct::ReadMetadata, "a").await;
    let seen = world.open.secrets.sight(&grant).await.unwrap();
    let derived = seen.version_id(number(3));
    assert_eq!(seen.meta.version_of(seen.id, &derived), Some(number(3)));
    assert_eq!(seen.meta.stages_of(number(2)), [Stage::Previous]);
}

#[tokio::test]
async fn the_same_write_twice_is_one_and_another_value_under_its_id_is_refused() {
    let world = World::new().await;
    make(&world, "a", "one").await.unwrap();
    assert_eq!(make(&world, "a", "one").await.unwrap().number, Some(number(1)));
    assert!(matches!(make(&world, "a", "other").await, Err(CoreError::Exists(_))));
    put(&world, "two", 2, &[]).await.unwrap();
    put(&world, "three", 3, &[]).await.unwrap();
    // A late repetition does not bring the old value back in force.
    assert_eq!(put(&world, "two", 2, &[]).await.unwrap().number, Some(number(2)));
    assert_eq!(pick(&world, None, None).await.unwrap(), "three");
    assert!(matches!(put(&world, "x", 2, &[]).await, Err(CoreError::Exists(_))));
}

#[tokio::test]
async fn a_marked_secret_is_shredded_on_its_day_and_not_before() {
    let world = World::new().await;
    let empty = world.records().await;
    make(&world, "a", "one").await.unwrap();
    mark(&world, 7).await.unwrap();
    assert!(matches!(pick(&world, None, None).await, Err(CoreError::Marked)));
    assert!(matches!(put(&world, "two", 2, &[]).await, Err(CoreError::Marked)));
    assert!(matches!(world.write("a", json!({"x": 1})).await, Err(CoreError::Marked)));
    assert!(matches!(world.see("a", strongroom_model::VersionSelector::Current).await, Err(CoreError::Marked)));
    assert!(matches!(mark(&world, 7).await, Err(CoreError::Marked)));
    world.clock.turn(7 * 86_400 - 1);
    world.open.housekeep().await;
    assert_eq!(world.list("").await, ["a"]);
    world.clock.turn(1);
    world.open.housekeep().await;
    assert_eq!(world.list("").await, Vec::<String>::new());
    assert_eq!(world.records().await, empty, "nothing of it is left in the store");
}

#[tokio::test]
async fn a_secret_that_was_restored_or_made_anew_is_not_shredded_for_an_old_mark() {
    let world = World::new().await;
    make(&world, "a", "one").await.unwrap();
    mark(&world, 7).await.unwrap();
    let restore = world.grant(SecretAct::Undelete, "a").await;
    world.open.secrets.restore(&restore).await.unwrap();
    assert_eq!(pick(&world, None, None).await.unwrap(), "one");
    mark(&world, 7).await.unwrap();
    let grant = world.grant(SecretAct::DeleteAll, "a").await;
    world.open.secrets.delete_all(&grant).await.unwrap();
    make(&world, "a", "anew").await.unwrap();
    world.clock.turn(30 * 86_400);
    world.open.housekeep().await;
    assert_eq!(pick(&world, None, None).await.unwrap(), "anew");
}

#[tokio::test]
async fn a_reading_is_noted_once_a_day_by_housekeeping() {
    let world = World::new().await;
    make(&world, "a", "one").await.unwrap();
    let day = async || {
        let grant = world.grant(SecretAct::ReadMetadata, "a").await;
        world.open.secrets.sight(&grant).await.unwrap().meta.particulars().read_day
    };
    pick(&world, None, None).await.unwrap();
    assert_eq!(day().await, None);
    world.open.housekeep().await;
    let first = day().await.unwrap();
    world.clock.turn(86_400);
    pick(&world, None, None).await.unwrap();
    world.open.housekeep().await;
    assert_eq!(day().await, Some(first + 1));
}

/// Labels are counted whoever writes: another dialect made the twenty-first.
#[tokio::test]
async fn no_dialect_makes_a_twenty_first_label() {
    let world = World::new().await;
    make(&world, "a", "one").await.unwrap();
    let own: Vec<_> = (0..19).map(|n| Stage::Named(format!("l{n}"))).collect();
    let grant = world.grant(SecretAct::Write, "a").await;
    for stage in &own {
        let order = StageMove { stage: stage.clone(), from: None, to: Some(id(1)) };
        world.open.secrets.move_stage(&grant, &order).await.unwrap();
    }
    let refused = world.write("a", json!({"v": 2})).await.err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|text| text.contains("at most 20 staging labels")), "{refused:?}");
    assert_eq!(pick(&world, None, None).await.unwrap(), "one");
    // One that is taken away makes room.
    let order = StageMove { stage: own[0].clone(), from: Some(id(1)), to: None };
    world.open.secrets.move_stage(&grant, &order).await.unwrap();
    world.write("a", json!({"v": 2})).await.unwrap();
    world.write("a", json!({"v": 3})).await.unwrap();
    let grant = world.grant(SecretAct::ReadMetadata, "a").await;
    assert_eq!(world.open.secrets.sight(&grant).await.unwrap().meta.stages.len(), 20);
}
