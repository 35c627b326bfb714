//! What one caller sees, verb by verb.

use crate::world::{World, cas, fields, number, version};
use serde_json::{Value, json};
use strongroom_core::secret::{
    CustomChange, KvConfigChange, Lifetime, MetadataChange, SecretMetadata, SecretValue, Seen, WriteAs, WriteOptions,
};
use strongroom_core::{CoreError, Object, Operation, SecretAct};
use strongroom_model::{Kind, Kinded, SecretString, Stage, VersionSelector};
use strongroom_storage::{Epoch, IdemToken, Op, Store, Txn};

async fn metadata(world: &World, name: &str) -> Option<SecretMetadata> {
    let grant = world.grant(SecretAct::ReadMetadata, name).await;
    match world.open.secrets.read_metadata(&grant).await {
        Ok(meta) => Some(meta),
        Err(CoreError::Nothing) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn set(world: &World, name: &str, change: MetadataChange) {
    let grant = world.grant(SecretAct::WriteMetadata, name).await;
    world.open.secrets.write_metadata(&grant, &change).await.unwrap();
}

async fn configure(world: &World, change: KvConfigChange) {
    let grant = world.admit(&world.mount, Operation::Write, "secret/config", Object::Path { exists: None }).await;
    world.open.secrets.write_config(&grant, change).await.unwrap();
}

async fn remove(world: &World, name: &str) {
    let grant = world.grant(SecretAct::DeleteAll, name).await;
    world.open.secrets.delete_all(&grant).await.unwrap();
}

#[tokio::test]
async fn each_write_makes_a_version_and_all_can_be_read() {
    let world = World::new().await;
    for n in 1..=3 {
        assert_eq!(world.write("a/b", json!({ "n": n })).await.unwrap().number.get(), n);
    }
    assert_eq!(world.current("a/b").await, json!({"n": 3}));
    assert_eq!(world.value("a/b", version(1)).await, json!({"n": 1}));
    assert_eq!(world.value("a/b", version(4)).await, Value::Null);
    assert_eq!(world.value("a/b", VersionSelector::Stage(Stage::Previous)).await, json!({"n": 2}));
    assert_eq!(world.current("a").await, Value::Null);
    assert_eq!(world.current("a/b/c").await, Value::Null);
}

#[tokio::test]
async fn text_is_kept_as_text() {
    let world = World::new().await;
    let grant = world.grant(SecretAct::Write, "t").await;
    let value = SecretValue::Text(SecretString::new("plain".to_owned()));
    world.open.secrets.write(&grant, &value, WriteOptions::default()).await.unwrap();
    assert_eq!(world.current("t").await, json!("plain"));
    let grant = world.grant(SecretAct::Patch, "t").await;
    let patched = world.open.secrets.patch(&grant, &fields(json!({"a": 1})), None).await;
    assert!(patched.is_err_and(|error| error.kind() == Kind::Invalid));
}

#[tokio::test]
async fn a_grant_is_good_for_its_act_only() {
    let world = World::new().await;
    world.write("a", json!({"k": 1})).await.unwrap();
    let read = world.grant(SecretAct::Read, "a").await;
    assert!(
        world
            .open
            .secrets
            .write(&read, &SecretValue::Object(fields(json!({}))), WriteOptions::default())
            .await
            .is_err()
    );
    assert!(world.open.secrets.delete_all(&read).await.is_err());
    assert!(world.open.secrets.list(&read).await.is_err());
    assert!(world.open.secrets.read_config(&read).await.is_err());
    assert!(world.open.secrets.write_config(&read, KvConfigChange::default()).await.is_err());
    assert_eq!(world.current("a").await, json!({"k": 1}));
}

#[tokio::test]
async fn check_and_set_writes_only_over_the_version_it_names() {
    let world = World::new().await;
    let refused = |result: Result<_, CoreError>| {
        result.map(|_: strongroom_core::secret::VersionInfo| ()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(world.write_with("a", json!({}), cas(1)).await),
        "check-and-set parameter did not match the current version"
    );
    assert_eq!(world.write_with("a", json!({"n": 1}), cas(0)).await.unwrap().number.get(), 1);
    assert!(world.write_with("a", json!({}), cas(0)).await.is_err());
    assert_eq!(world.write_with("a", json!({"n": 2}), cas(1)).await.unwrap().number.get(), 2);
    set(&world, "a", MetadataChange { cas_required: Some(true), ..Default::default() }).await;
    assert_eq!(refused(world.write("a", json!({})).await), "check-and-set parameter required for this call");
    configure(&world, KvConfigChange { cas_required: Some(true), ..Default::default() }).await;
    assert_eq!(refused(world.write("b", json!({})).await), "check-and-set parameter required for this call");
    assert!(world.write_with("b", json!({}), cas(0)).await.is_ok());
}

#[tokio::test]
async fn a_hidden_version_comes_back_and_a_destroyed_one_does_not() {
    let world = World::new().await;
    for n in 1..=3 {
        world.write("a", json!({ "n": n })).await.unwrap();
    }
    let secrets = &world.open.secrets;
    secrets.delete_current(&world.grant(SecretAct::DeleteCurrent, "a").await).await.unwrap();
    assert_eq!(world.current("a").await, json!("gone"));
    assert_eq!(world.value("a", version(2)).await, json!({"n": 2}));
    secrets.delete_versions(&world.grant(SecretAct::DeleteVersions, "a").await, &[number(1), number(9)]).await.unwrap();
    secrets.destroy(&world.grant(SecretAct::Destroy, "a").await, &[number(3), number(3), number(8)]).await.unwrap();
    secrets.undelete(&world.grant(SecretAct::Undelete, "a").await, &[number(1), number(3)]).await.unwrap();
    assert_eq!(world.value("a", version(1)).await, json!({"n": 1}));
    assert_eq!(world.current("a").await, json!("gone"));
    let Ok(Seen::Gone(info)) = world.see("a", VersionSelector::Current).await else { panic!("not gone") };
    assert!(info.version.destroyed && info.version.deletion.is_some());
    assert_eq!(world.write("a", json!({"n": 4})).await.unwrap().number.get(), 4);
}

#[tokio::test]
async fn destroying_and_deleting_take_the_sealed_bytes_out_of_the_store() {
    let world = World::new().await;
    let before = world.records().await;
    for n in 1..=3 {
        world.write("a/b/c", json!({ "n": n })).await.unwrap();
    }
    // Two folders, the name with the head and the last value, two more values.
    assert_eq!(world.records().await - before, 5);
    world.open.secrets.destroy(&world.grant(SecretAct::Destroy, "a/b/c").await, &[number(2)]).await.unwrap();
    assert_eq!(world.records().await - before, 4);
    let full = world.bytes().await;
    world.open.secrets.destroy(&world.grant(SecretAct::Destroy, "a/b/c").await, &[number(3)]).await.unwrap();
    // The value lay in the head: no record is gone, but its bytes are.
    assert_eq!(world.records().await - before, 4);
    assert!(world.bytes().await + 150 < full);
    assert_eq!(world.value("a/b/c", version(3)).await, json!("gone"));
    remove(&world, "a/b/c").await;
    assert_eq!(world.records().await, before);
    assert_eq!(world.current("a/b/c").await, Value::Null);
}

#[tokio::test]
async fn versions_of_any_size_can_be_read_whatever_was_written_after_them() {
    let world = World::new().await;
    let sizes = [10, 3_000, 20, 900, 5_000, 30];
    for size in sizes {
        world.write("a", json!({ "n": "x".repeat(size) })).await.unwrap();
    }
    for (n, size) in (1..).zip(sizes) {
        assert_eq!(world.value("a", version(n)).await, json!({ "n": "x".repeat(size) }));
    }
    set(&world, "a", MetadataChange { max_versions: Some(1), ..Default::default() }).await;
    world.write("a", json!({"last": true})).await.unwrap();
    assert_eq!(world.value("a", version(6)).await, Value::Null);
    assert_eq!(world.current("a").await, json!({"last": true}));
}

#[tokio::test]
async fn a_secret_made_anew_starts_at_one_with_nothing_of_the_old() {
    let world = World::new().await;
    world.write("a", json!({"old": 1})).await.unwrap();
    world.write("a", json!({"old": 2})).await.unwrap();
    set(&world, "a", MetadataChange { max_versions: Some(7), ..Default::default() }).await;
    remove(&world, "a").await;
    assert_eq!(world.write("a", json!({"new": 1})).await.unwrap().number.get(), 1);
    assert_eq!(world.value("a", version(2)).await, Value::Null);
    assert_eq!(metadata(&world, "a").await.unwrap().settings.max_versions, 0);
}

#[tokio::test]
async fn folders_are_there_as_long_as_something_is_in_them() {
    let world = World::new().await;
    for name in ["a/b", "a/c/d", "a", "z"] {
        world.write(name, json!({})).await.unwrap();
    }
    assert_eq!(world.list("").await, ["a", "a/", "z"]);
    assert_eq!(world.list("a").await, ["b", "c/"]);
    assert_eq!(world.list("a/c").await, ["d"]);
    assert!(world.list("nowhere").await.is_empty());
    remove(&world, "a/c/d").await;
    assert_eq!(world.list("a").await, ["b"]);
    remove(&world, "a/b").await;
    assert_eq!(world.list("").await, ["a", "z"]);
    remove(&world, "a").await;
    remove(&world, "a").await;
    assert_eq!(world.list("").await, ["z"]);
}

#[tokio::test]
async fn a_patch_changes_fields_and_needs_something_to_change() {
    let world = World::new().await;
    let patch = async |value| {
        let grant = world.grant(SecretAct::Patch, "a").await;
        world.open.secrets.patch(&grant, &fields(value), None).await
    };
    assert!(matches!(patch(json!({"x": 1})).await, Err(CoreError::Nothing)));
    world.write("a", json!({"keep": "k", "drop": "d", "deep": {"a": 1, "b": 2}})).await.unwrap();
    assert!(matches!(patch(json!({"drop": null, "deep": {"b": null, "c": 3}})).await, Ok(Seen::Here(_))));
    assert_eq!(world.current("a").await, json!({"keep": "k", "deep": {"a": 1, "c": 3}}));
    assert_eq!(world.value("a", version(1)).await["drop"], "d");
    world.open.secrets.delete_current(&world.grant(SecretAct::DeleteCurrent, "a").await).await.unwrap();
    assert!(matches!(patch(json!({"x": 1})).await, Ok(Seen::Gone(_))));
    let grant = world.grant(SecretAct::Patch, "a").await;
    assert!(
        world
            .open
            .secrets
            .patch(&grant, &fields(json!({})), Some(1))
            .await
            .is_err_and(|error| error.kind() == Kind::Conflict)
    );
}

#[tokio::test]
async fn subkeys_show_names_and_no_value() {
    let world = World::new().await;
    world.write("a", json!({"user": "u", "deep": {"password": "hunter2"}})).await.unwrap();
    let grant = world.grant(SecretAct::Subkeys, "a").await;
    let Seen::Here(version) = world.open.secrets.subkeys(&grant, &VersionSelector::Current, 0).await.unwrap() else {
        panic!("gone")
    };
    assert_eq!(Value::Object(version.value.into_map()), json!({"user": null, "deep": {"password": null}}));
}

#[tokio::test]
async fn a_version_hides_itself_when_its_time_has_come() {
    let world = World::new().await;
    configure(&world, KvConfigChange { delete_version_after: Some(Lifetime::After(60)), ..Default::default() }).await;
    world.write("a", json!({"n": 1})).await.unwrap();
    world.clock.turn(59);
    assert_eq!(world.current("a").await, json!({"n": 1}));
    world.clock.turn(1);
    assert_eq!(world.current("a").await, json!("gone"));
    world.open.secrets.undelete(&world.grant(SecretAct::Undelete, "a").await, &[number(1)]).await.unwrap();
    assert_eq!(world.current("a").await, json!({"n": 1}));
    world.clock.turn(60);
    assert_eq!(world.current("a").await, json!("gone"));
    set(&world, "b", MetadataChange { delete_version_after: Some(10), ..Default::default() }).await;
    world.write("b", json!({"n": 1})).await.unwrap();
    configure(&world, KvConfigChange { delete_version_after: Some(Lifetime::Never), ..Default::default() }).await;
    world.write("b", json!({"n": 2})).await.unwrap();
    world.clock.turn(100);
    assert_eq!(world.value("b", version(1)).await, json!("gone"));
    assert_eq!(world.value("b", version(2)).await, json!({"n": 2}));
}

#[tokio::test]
async fn a_pending_version_is_seen_only_by_who_asks_for_it() {
    let world = World::new().await;
    world.write("a", json!({"n": 1})).await.unwrap();
    let pending = WriteOptions { stage: WriteAs::Pending, ..WriteOptions::default() };
    world.write_with("a", json!({"n": 2}), pending).await.unwrap();
    assert_eq!(world.current("a").await, json!({"n": 1}));
    assert_eq!(world.value("a", VersionSelector::Stage(Stage::Pending)).await, json!({"n": 2}));
    let info = world.open.secrets.promote(&world.grant(SecretAct::Write, "a").await, number(2)).await.unwrap();
    assert_eq!(info.stages, [Stage::Current]);
    assert_eq!(world.current("a").await, json!({"n": 2}));
    assert_eq!(world.value("a", VersionSelector::Stage(Stage::Previous)).await, json!({"n": 1}));
    assert_eq!(world.value("a", VersionSelector::Stage(Stage::Pending)).await, Value::Null);
    let missing = world.open.secrets.promote(&world.grant(SecretAct::Write, "a").await, number(3)).await;
    assert!(matches!(missing, Err(CoreError::Nothing)));
}

#[tokio::test]
async fn metadata_may_come_before_the_first_version() {
    let world = World::new().await;
    let grant = world.grant(SecretAct::PatchMetadata, "a/b").await;
    let change = MetadataChange { max_versions: Some(2), ..Default::default() };
    assert!(matches!(world.open.secrets.patch_metadata(&grant, &change).await, Err(CoreError::Nothing)));
    set(&world, "a/b", change).await;
    assert_eq!(world.list("a").await, ["b"]);
    assert_eq!(world.current("a/b").await, Value::Null);
    let meta = metadata(&world, "a/b").await.unwrap();
    assert_eq!((meta.current(), meta.newest), (None, 0));
    for n in 1..=3 {
        world.write("a/b", json!({ "n": n })).await.unwrap();
    }
    assert_eq!(metadata(&world, "a/b").await.unwrap().versions.len(), 2);
    assert_eq!(world.value("a/b", version(1)).await, Value::Null);
}

#[tokio::test]
async fn notes_are_replaced_or_merged() {
    let world = World::new().await;
    let notes = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    set(
        &world,
        "a",
        MetadataChange { custom: Some(CustomChange::Replace(notes(&[("a", "1"), ("b", "2")]))), ..Default::default() },
    )
    .await;
    let merge = [("a".to_owned(), None), ("c".to_owned(), Some("3".to_owned()))].into();
    let grant = world.grant(SecretAct::PatchMetadata, "a").await;
    let change = MetadataChange { custom: Some(CustomChange::Merge(merge)), ..Default::default() };
    world.open.secrets.patch_metadata(&grant, &change).await.unwrap();
    assert_eq!(metadata(&world, "a").await.unwrap().custom, notes(&[("b", "2"), ("c", "3")]));
    let info = world.write("a", json!({})).await.unwrap();
    assert_eq!(info.custom, notes(&[("b", "2"), ("c", "3")]));
}

#[tokio::test]
async fn a_sharply_lowered_limit_removes_the_old_values_all_the_same() {
    let world = World::new().await;
    configure(&world, KvConfigChange { max_versions: Some(100), ..Default::default() }).await;
    for n in 1..=80 {
        world.write("a", json!({ "n": n })).await.unwrap();
    }
    let full = world.records().await;
    configure(&world, KvConfigChange { max_versions: Some(2), ..Default::default() }).await;
    world.write("a", json!({"n": 81})).await.unwrap();
    // 79 values went and one came; nothing is left to be done later.
    assert_eq!(full - world.records().await, 78);
    assert_eq!(world.value("a", version(79)).await, Value::Null);
    assert_eq!(world.value("a", version(80)).await, json!({"n": 80}));
}

#[tokio::test]
async fn a_secret_with_many_versions_is_deleted_as_a_whole() {
    let world = World::new().await;
    let before = world.records().await;
    set(&world, "x/a", MetadataChange { max_versions: Some(100), ..Default::default() }).await;
    for n in 1..=80 {
        world.write("x/a", json!({ "n": n })).await.unwrap();
    }
    let all: Vec<_> = (1..=60).map(number).collect();
    world.open.secrets.destroy(&world.grant(SecretAct::Destroy, "x/a").await, &all).await.unwrap();
    // A folder, a name with the head and the last value, and the others that were not destroyed.
    assert_eq!(world.records().await - before, 21);
    remove(&world, "x/a").await;
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn what_is_known_of_a_secret_leaves_its_name_when_it_grows_and_goes_with_it() {
    let world = World::new().await;
    let before = world.records().await;
    set(&world, "x/a", MetadataChange { max_versions: Some(200), ..Default::default() }).await;
    for n in 1..=150 {
        world.write("x/a", json!({ "n": n })).await.unwrap();
    }
    // A folder, a name, a head with the last value, and the other values.
    assert_eq!(world.records().await - before, 152);
    assert_eq!(world.value("x/a", version(1)).await, json!({"n": 1}));
    assert_eq!(world.current("x/a").await, json!({"n": 150}));
    assert_eq!(world.list("x").await, ["a"]);
    set(&world, "x/a", MetadataChange { max_versions: Some(2), ..Default::default() }).await;
    world.write("x/a", json!({"n": 151})).await.unwrap();
    assert_eq!(world.records().await - before, 4);
    assert_eq!(world.value("x/a", version(150)).await, json!({"n": 150}));
    remove(&world, "x/a").await;
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn a_mount_without_versions_keeps_the_last_value_only() {
    let world = World::new().await;
    let mount = world.mount("plain", "1").await;
    let before = world.records().await;
    for n in 1..=3 {
        let grant = world.grant_in(&mount, SecretAct::Write, "a").await;
        let value = SecretValue::Object(fields(json!({ "n": n })));
        world.open.secrets.write(&grant, &value, WriteOptions::default()).await.unwrap();
    }
    assert_eq!(world.records().await - before, 1);
    let grant = world.grant_in(&mount, SecretAct::Read, "a").await;
    let Ok(Seen::Here(read)) = world.open.secrets.read(&grant, &VersionSelector::Current).await else { panic!("gone") };
    let SecretValue::Object(object) = read.value else { panic!("no object") };
    assert_eq!(object.map()["n"], 3);
    let grant = world.grant_in(&mount, SecretAct::DeleteAll, "a").await;
    world.open.secrets.delete_all(&grant).await.unwrap();
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn neither_names_nor_values_can_be_seen_in_the_store() {
    let world = World::new().await;
    world.write("folder-canary/name-canary", json!({"field-canary": "value-canary"})).await.unwrap();
    set(
        &world,
        "folder-canary/name-canary",
        MetadataChange {
            custom: Some(CustomChange::Replace([("note".to_owned(), "note-canary".to_owned())].into())),
            ..Default::default()
        },
    )
    .await;
    for entry in world.store.list(&[], None, usize::MAX).await.unwrap() {
        for bytes in [&entry.key, &entry.value] {
            assert!(!bytes.windows(6).any(|window| window == b"canary"));
        }
    }
}

#[tokio::test]
async fn a_list_says_so_when_a_name_was_cut_out_of_the_store() {
    let world = World::new().await;
    for name in ["team/a", "team/b", "other"] {
        world.write(name, json!({"k": 1})).await.unwrap();
    }
    let keys = || async { world.store.list(&[1], None, usize::MAX).await.unwrap() };
    let before = keys().await;
    world.write("team/c", json!({"k": 1})).await.unwrap();
    let cut = keys().await.into_iter().find(|row| before.iter().all(|known| known.key != row.key)).unwrap();
    assert_eq!(world.list("team").await, ["a", "b", "c"]);
    let ops = vec![Op::Delete { key: cut.key }];
    world.store.commit(Epoch::default(), Txn { compares: Vec::new(), ops, idem: IdemToken([9; 16]) }).await.unwrap();

    let folder = |path| Object::Folder { path: strongroom_model::FolderPath::parse(path).unwrap() };
    let grant = world.admit(&world.mount, Operation::List, "secret/x", folder("team")).await;
    let error = world.open.secrets.list(&grant).await.unwrap_err().to_string();
    assert!(error.contains("secret-name") && error.contains("removed"), "{error}");
    assert_eq!(world.list("").await, ["other", "team/"]);
    // What is made and removed afterwards does not make up for it.
    world.write("team/d", json!({"k": 1})).await.unwrap();
    remove(&world, "team/a").await;
    assert!(world.open.secrets.list(&grant).await.is_err());
}
