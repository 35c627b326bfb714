//! Random sequences of verbs, compared step by step with a model in thirty lines of maps.

use crate::world::{World, cas, fields, number, version};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use strongroom_core::SecretAct;
use strongroom_core::secret::{MetadataChange, WriteAs, WriteOptions};
use strongroom_model::VersionSelector;

#[derive(Clone, Debug)]
enum Step {
    Write,
    WritePending,
    WriteIf(u64),
    Patch,
    Promote(u64),
    DeleteCurrent,
    Delete(u64),
    Undelete(u64),
    Destroy(u64),
    DeleteAll,
    Keep(u32),
    Live(u64),
    Turn(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let n = 1_u64..12;
    prop_oneof![
        6 => Just(Step::Write),
        2 => Just(Step::WritePending),
        2 => (0_u64..12).prop_map(Step::WriteIf),
        2 => Just(Step::Patch),
        2 => n.clone().prop_map(Step::Promote),
        1 => Just(Step::DeleteCurrent),
        1 => n.clone().prop_map(Step::Delete),
        2 => n.clone().prop_map(Step::Undelete),
        1 => n.prop_map(Step::Destroy),
        1 => Just(Step::DeleteAll),
        1 => (0_u32..5).prop_map(Step::Keep),
        1 => (0_u64..4).prop_map(Step::Live),
        2 => (1_u64..4).prop_map(Step::Turn),
    ]
}

#[derive(Clone)]
struct Version {
    value: Value,
    hidden_at: Option<u64>,
    destroyed: bool,
}

#[derive(Default)]
struct Secret {
    newest: u64,
    window: u64,
    current: u64,
    pending: u64,
    keep: u64,
    life: u64,
    versions: BTreeMap<u64, Version>,
}

#[derive(Default)]
struct Model {
    now: u64,
    secret: Option<Secret>,
}

impl Model {
    fn seen(&self, number: u64) -> Value {
        match self.secret.as_ref().and_then(|secret| secret.versions.get(&number)) {
            None => Value::Null,
            Some(version) if version.destroyed || version.hidden_at.is_some_and(|at| at <= self.now) => json!("gone"),
            Some(version) => version.value.clone(),
        }
    }

    fn current(&self) -> u64 {
        self.secret.as_ref().map_or(0, |secret| secret.current)
    }

    fn write(&mut self, value: Value, pending: bool) -> u64 {
        let now = self.now;
        let secret = self.secret.get_or_insert_default();
        secret.newest += 1;
        let hidden_at = (secret.life > 0).then(|| now + secret.life);
        secret.versions.insert(secret.newest, Version { value, hidden_at, destroyed: false });
        *(if pending { &mut secret.pending } else { &mut secret.current }) = secret.newest;
        let keep = if secret.keep == 0 { 10 } else { secret.keep };
        secret.window = secret.window.max((secret.newest + 1).saturating_sub(keep));
        let (window, current, pending) = (secret.window, secret.current, secret.pending);
        secret.versions.retain(|n, _| *n >= window || *n == current || *n == pending);
        secret.newest
    }

    fn version(&mut self, number: u64) -> Option<&mut Version> {
        self.secret.as_mut()?.versions.get_mut(&number)
    }
}

/// Takes the step in both worlds and compares what it answers.
async fn take(world: &World, name: &str, model: &mut Model, step: &Step, serial: usize) {
    let secrets = &world.open.secrets;
    let value = json!({ "serial": serial });
    match *step {
        Step::Write => {
            let made = world.write(name, value.clone()).await.unwrap().number.get();
            assert_eq!(made, model.write(value, false));
        }
        Step::WritePending => {
            let options = WriteOptions { stage: WriteAs::Pending, ..WriteOptions::default() };
            let made = world.write_with(name, value.clone(), options).await.unwrap().number.get();
            assert_eq!(made, model.write(value, true));
        }
        Step::WriteIf(expected) => {
            let made = world.write_with(name, value.clone(), cas(expected)).await.ok().map(|info| info.number.get());
            assert_eq!(made, (expected == model.current()).then(|| model.write(value, false)));
        }
        Step::Patch => {
            let mut merged = model.seen(model.current());
            let grant = world.grant(SecretAct::Patch, name).await;
            let patched = secrets.patch(&grant, &fields(json!({"patched": serial})), None).await;
            assert_eq!(matches!(patched, Ok(strongroom_core::secret::Seen::Here(_))), merged.is_object());
            if merged.is_object() {
                merged["patched"] = json!(serial);
                model.write(merged, false);
            }
        }
        Step::Promote(n) => {
            let promoted = secrets.promote(&world.grant(SecretAct::Write, name).await, number(n)).await;
            let readable = model.seen(n).is_object();
            assert_eq!(promoted.is_ok(), readable);
            if let Some(secret) = model.secret.as_mut().filter(|_| readable) {
                secret.current = n;
                secret.pending = if secret.pending == n { 0 } else { secret.pending };
            }
        }
        Step::DeleteCurrent => {
            secrets.delete_current(&world.grant(SecretAct::DeleteCurrent, name).await).await.unwrap();
            hide(model, model.current());
        }
        Step::Delete(n) => {
            let grant = world.grant(SecretAct::DeleteVersions, name).await;
            secrets.delete_versions(&grant, &[number(n)]).await.unwrap();
            hide(model, n);
        }
        Step::Undelete(n) => {
            secrets.undelete(&world.grant(SecretAct::Undelete, name).await, &[number(n)]).await.unwrap();
            let until = model.secret.as_ref().and_then(|secret| (secret.life > 0).then(|| model.now + secret.life));
            if let Some(version) = model.version(n).filter(|version| !version.destroyed) {
                version.hidden_at = until;
            }
        }
        Step::Destroy(n) => {
            secrets.destroy(&world.grant(SecretAct::Destroy, name).await, &[number(n)]).await.unwrap();
            if let Some(version) = model.version(n) {
                version.destroyed = true;
            }
        }
        Step::DeleteAll => {
            secrets.delete_all(&world.grant(SecretAct::DeleteAll, name).await).await.unwrap();
            model.secret = None;
        }
        Step::Keep(keep) => {
            let change = MetadataChange { max_versions: Some(keep), ..Default::default() };
            secrets.write_metadata(&world.grant(SecretAct::WriteMetadata, name).await, &change).await.unwrap();
            model.secret.get_or_insert_default().keep = u64::from(keep);
        }
        Step::Live(life) => {
            let change = MetadataChange { delete_version_after: Some(life), ..Default::default() };
            secrets.write_metadata(&world.grant(SecretAct::WriteMetadata, name).await, &change).await.unwrap();
            model.secret.get_or_insert_default().life = life;
        }
        Step::Turn(seconds) => {
            world.clock.turn(seconds);
            model.now += seconds;
        }
    }
}

fn hide(model: &mut Model, n: u64) {
    let now = model.now;
    let there = model.seen(n).is_object();
    if let Some(version) = model.version(n).filter(|_| there) {
        version.hidden_at = Some(now);
    }
}

#[test]
fn any_sequence_of_verbs_leads_where_the_model_leads() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let case = std::cell::Cell::new(0_u32);
    let outcome = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
        case.set(case.get() + 1);
        let name = format!("case/{}", case.get());
        runtime.block_on(async {
            let mut model = Model::default();
            for (serial, step) in steps.iter().enumerate() {
                take(&world, &name, &mut model, step, serial).await;
                for n in 1..=model.secret.as_ref().map_or(0, |secret| secret.newest) + 1 {
                    assert_eq!(world.value(&name, version(n)).await, model.seen(n), "version {n} after {step:?}");
                }
                assert_eq!(
                    world.value(&name, VersionSelector::Current).await,
                    model.seen(model.current()),
                    "after {step:?}"
                );
                let listed = world.list("case").await.contains(&case.get().to_string());
                assert_eq!(listed, model.secret.is_some(), "after {step:?}");
            }
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
