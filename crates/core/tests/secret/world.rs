//! A strongroom in memory with a clock that is turned by hand, and grants as the gate gives them.

use crate::store::Fragile;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strongroom_audit::{Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_core::mount::{Mount, MountClass, MountSpec};
use strongroom_core::secret::{SecretValue, Seen, VersionInfo, WriteOptions};
use strongroom_core::{
    Access, Ask, CoreError, Fields, Grant, Init, Object, Open, Operation, Plugins, SecretAct, Setup, SlotSpec, Source,
    Strongroom, Visit,
};
use strongroom_model::{
    Clock, FolderPath, MountPath, NamespacePath, RequestId, RequestPath, SecretPath, SecretString, Timestamp,
    VersionNumber, VersionSelector,
};
use strongroom_storage::{Epoch, Fronted, Store};

pub(crate) struct Hands(AtomicU64);

impl Hands {
    pub(crate) fn turn(&self, seconds: u64) {
        self.0.fetch_add(Duration::from_secs(seconds).as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct World {
    pub(crate) open: Arc<Open>,
    pub(crate) clock: Arc<Hands>,
    pub(crate) store: Arc<Fronted<Fragile>>,
    pub(crate) mount: Arc<Mount>,
    root: SecretString,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Hands(AtomicU64::new(Timestamp::from_secs(1_795_219_200).nanos())));
        let store = Arc::new(Fronted(Fragile::new()));
        let setup = Setup {
            store: Arc::clone(&store) as Arc<dyn Store>,
            epoch: Epoch::default(),
            trail: Trail::open(Place::Memory, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap(),
            plugins: Arc::new(Plugins::new()),
            settings: Default::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
            static_keys: Vec::new(),
            accept_rollback: false,
        };
        let strongroom = Strongroom::start(setup).await.unwrap();
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let root = strongroom.init_dev(init, None).await.unwrap().root.client_token;
        let open = strongroom.open().unwrap();
        // What looks ahead on its own has noted how far, so that the records of a test are its own.
        open.rotations.settle().await;
        let mount = open.mounts.table().at(&MountPath::parse("secret").unwrap()).cloned().unwrap();
        Self { open, clock, store, mount, root }
    }

    /// Goes through the gate as root.
    pub(crate) async fn admit(&self, mount: &Arc<Mount>, operation: Operation, path: &str, object: Object) -> Grant {
        let visit = Visit {
            request: RequestId::from_bytes([7; 16]),
            arrived: self.clock.now(),
            dialect: "test",
            operation,
            namespace: NamespacePath::root(),
            path: RequestPath::parse(path).unwrap(),
            typed: None,
            source: Source { address: None, port: 0 },
            headers: Default::default(),
            wrap_ttl: None,
        };
        let ask = Ask {
            visit,
            credential: Some(self.root.duplicate()),
            mount: Some(Arc::clone(mount)),
            access: Access::Token,
            object,
        };
        match self.open.gate.admit(ask, &Fields::default()).await {
            Ok(grant) => *grant,
            Err(error) => panic!("root was refused: {error}"),
        }
    }

    pub(crate) async fn grant(&self, act: SecretAct, name: &str) -> Grant {
        self.grant_in(&self.mount, act, name).await
    }

    pub(crate) async fn grant_in(&self, mount: &Arc<Mount>, act: SecretAct, name: &str) -> Grant {
        let operation = match act {
            SecretAct::Read | SecretAct::Subkeys | SecretAct::ReadMetadata => Operation::Read,
            SecretAct::Patch | SecretAct::PatchMetadata => Operation::Patch,
            SecretAct::DeleteCurrent | SecretAct::DeleteAll => Operation::Delete,
            _ => Operation::Write,
        };
        let path = SecretPath::parse(name).unwrap();
        self.admit(mount, operation, &format!("{}/x", mount.path), Object::Secret { path, act }).await
    }

    pub(crate) async fn write(&self, name: &str, value: Value) -> Result<VersionInfo, CoreError> {
        self.write_with(name, value, WriteOptions::default()).await
    }

    pub(crate) async fn write_with(
        &self,
        name: &str,
        value: Value,
        options: WriteOptions,
    ) -> Result<VersionInfo, CoreError> {
        let grant = self.grant(SecretAct::Write, name).await;
        self.open.secrets.write(&grant, &SecretValue::Object(fields(value)), options).await
    }

    pub(crate) async fn see(&self, name: &str, selector: VersionSelector) -> Result<Seen, CoreError> {
        let grant = self.grant(SecretAct::Read, name).await;
        self.open.secrets.read(&grant, &selector).await
    }

    /// What a reader of the version gets: `Null` for nothing at all, `"gone"` for a deleted or destroyed one.
    pub(crate) async fn value(&self, name: &str, selector: VersionSelector) -> Value {
        match self.see(name, selector).await {
            Ok(Seen::Here(version)) => match version.value {
                SecretValue::Object(fields) => Value::Object(fields.into_map()),
                SecretValue::Text(text) => Value::String(text.expose().to_owned()),
                SecretValue::Bytes(_) => panic!("no test writes bytes"),
            },
            Ok(Seen::Gone(_)) => Value::String("gone".to_owned()),
            Err(CoreError::Nothing) => Value::Null,
            Err(error) => panic!("the read failed: {error}"),
        }
    }

    pub(crate) async fn current(&self, name: &str) -> Value {
        self.value(name, VersionSelector::Current).await
    }

    pub(crate) async fn list(&self, folder: &str) -> Vec<String> {
        self.list_in(&self.mount, folder).await
    }

    pub(crate) async fn list_in(&self, mount: &Arc<Mount>, folder: &str) -> Vec<String> {
        let object = Object::Folder { path: FolderPath::parse(folder).unwrap() };
        let grant = self.admit(mount, Operation::List, &format!("{}/x", mount.path), object).await;
        self.open.secrets.list(&grant).await.unwrap()
    }

    /// Mounts another KV engine.
    pub(crate) async fn mount(&self, path: &str, version: &str) -> Arc<Mount> {
        let grant = self.system(path).await;
        let spec = MountSpec {
            kind: "kv".to_owned(),
            options: [("version".to_owned(), version.to_owned())].into(),
            ..MountSpec::default()
        };
        let path = MountPath::parse(path).unwrap();
        self.open.mounts.enable(&grant, path, MountClass::Secret, spec).await.unwrap()
    }

    /// Unmounts it; what it held is wiped by the next housekeeping.
    pub(crate) async fn unmount(&self, path: &str) {
        let grant = self.system(path).await;
        assert!(self.open.mounts.disable(&grant, &MountPath::parse(path).unwrap()).await.unwrap());
    }

    async fn system(&self, path: &str) -> Grant {
        let sys = self.open.mounts.table().at(&MountPath::parse("sys").unwrap()).cloned().unwrap();
        self.admit(&sys, Operation::Write, &format!("sys/mounts/{path}"), Object::Path { exists: None }).await
    }

    /// How many records are in the store, without the barrier's own.
    pub(crate) async fn records(&self) -> usize {
        self.store.list(&[1], None, usize::MAX).await.unwrap().len()
    }

    /// How many bytes these records have.
    pub(crate) async fn bytes(&self) -> usize {
        self.store.list(&[1], None, usize::MAX).await.unwrap().iter().map(|entry| entry.value.len()).sum()
    }
}

pub(crate) fn fields(value: Value) -> Fields {
    match value {
        Value::Object(map) => Fields::new(map),
        _ => Fields::new(Map::new()),
    }
}

pub(crate) fn number(number: u64) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

pub(crate) fn version(n: u64) -> VersionSelector {
    VersionSelector::Number(number(n))
}

pub(crate) fn cas(expected: u64) -> WriteOptions {
    WriteOptions { cas: Some(expected), ..WriteOptions::default() }
}
