//! A strongroom in memory with `auth/approle` enabled, and one way to ask it something: through the gate, as a door does.

use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strongroom_audit::{Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_core::mount::{MountClass, MountSpec};
use strongroom_core::{
    Access, Ask, CoreError, Fields, Grant, Init, Object, Open, Operation, Reply, Setup, Share, SlotSpec, Source,
    Strongroom, Visit, route,
};
use strongroom_model::{
    Clock, Kind, Kinded, MountPath, NamespacePath, PolicyName, RequestId, RequestPath, SecretString, Timestamp,
};
use strongroom_storage::{Epoch, Memory, Store};

/// Stands still until it is turned.
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(Duration::from_secs(seconds).as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct House {
    pub(crate) strongroom: Arc<Strongroom>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) root: SecretString,
}

const HERE: &str = "127.0.0.1";

impl House {
    pub(crate) async fn new() -> Self {
        let house = Self::sealed_over(Arc::new(Memory::new())).await.initialised().await;
        house.enable().await;
        house
    }

    /// A strongroom over a store, in whatever state the store is.
    pub(crate) async fn sealed_over(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock(AtomicU64::new(Timestamp::from_secs(1_795_219_200).nanos())));
        let trail = Trail::open(Place::Memory, clock.clone()).await.unwrap();
        let setup = Setup {
            store: Arc::clone(&store),
            epoch: Epoch::default(),
            trail: Arc::clone(&trail),
            plugins: Arc::new(strongroom_auth::plugins()),
            settings: Default::default(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            static_key: None,
            accept_rollback: false,
        };
        let strongroom = Strongroom::start(setup).await.unwrap();
        Self { strongroom, clock, trail, store, root: SecretString::new("root".to_owned()) }
    }

    async fn initialised(self) -> Self {
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        self.strongroom.init_dev(init, Some(self.root.duplicate())).await.unwrap();
        self
    }

    /// As `new`, but gives the only share too, so that the store can be opened again.
    pub(crate) async fn with_share(store: Arc<dyn Store>) -> (Self, Share) {
        let mut house = Self::sealed_over(store).await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let made = house.strongroom.init(init).await.unwrap();
        house.root = made.root.client_token;
        let share = made.shares.into_iter().next().unwrap();
        house.strongroom.unseal(copy(&share)).await.unwrap();
        house.enable().await;
        (house, share)
    }

    pub(crate) fn open(&self) -> Arc<Open> {
        self.strongroom.open().unwrap()
    }

    async fn enable(&self) {
        let open = self.open();
        let grant = self.grant("sys/auth/approle").await;
        let spec = MountSpec { kind: "approle".to_owned(), ..MountSpec::default() };
        open.mounts.enable(&grant, MountPath::parse("auth/approle").unwrap(), MountClass::Auth, spec).await.unwrap();
    }

    /// Proof for acts that only need some.
    pub(crate) async fn grant(&self, path: &str) -> Grant {
        let open = self.open();
        let visit = self.visit(Operation::Write, path, Some(HERE));
        let mount = open.mounts.table().resolve(&visit.path).map(|(mount, _)| mount);
        let object = Object::Path { exists: None };
        let ask = Ask { visit, credential: Some(self.root.duplicate()), mount, access: Access::Token, object };
        open.gate.admit(ask, &Fields::default()).await.unwrap()
    }

    pub(crate) async fn write_policy(&self, name: &str, source: &str) {
        let grant = self.grant("sys/policies/acl/x").await;
        self.open().policies.write(&grant, PolicyName::parse(name).unwrap(), source).await.unwrap();
    }

    fn visit(&self, operation: Operation, path: &str, source: Option<&str>) -> Visit {
        Visit {
            request: RequestId::random(&SystemEntropy),
            arrived: self.clock.now(),
            dialect: "test",
            operation,
            namespace: NamespacePath::root(),
            path: RequestPath::parse(path).unwrap(),
            typed: None,
            source: Source { address: source.map(|text| text.parse::<IpAddr>().unwrap()), port: 1 },
            wrap_ttl: None,
        }
    }

    /// One request, from the door to the closed trail entry.
    pub(crate) async fn ask_as(
        &self,
        token: Option<&SecretString>,
        source: Option<&str>,
        operation: Operation,
        path: &str,
        sent: Value,
    ) -> Result<Reply, CoreError> {
        let open = self.open();
        let visit = self.visit(operation, &format!("auth/approle/{path}"), source);
        let (mount, below) = open.mounts.table().resolve(&visit.path).unwrap();
        let method = open.mounts.table().method(mount.id).unwrap();
        let (endpoint, captures) = route(method.endpoints(), &below).expect("the path is in the table");
        if !endpoint.operations.contains(&operation) {
            return Err(CoreError::Unsupported);
        }
        let writes = operation == Operation::Write && endpoint.access != Access::Open;
        let exists = if writes { method.exists(endpoint, &captures).await? } else { None };
        let fields = fields(sent);
        let credential = token.map(SecretString::duplicate);
        let ask =
            Ask { visit, credential, mount: Some(mount), access: endpoint.access, object: Object::Path { exists } };
        let grant = open.gate.admit(ask, &fields).await?;
        let result = open.logins.call(&grant, endpoint, captures, operation, &fields).await;
        open.gate.conclude(grant, &fields, &result).await?;
        result
    }

    pub(crate) async fn ask(&self, operation: Operation, path: &str, sent: Value) -> Result<Reply, CoreError> {
        self.ask_as(Some(&self.root), Some(HERE), operation, path, sent).await
    }

    pub(crate) async fn write(&self, path: &str, sent: Value) -> Result<Reply, CoreError> {
        self.ask(Operation::Write, path, sent).await
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Value, CoreError> {
        self.ask(Operation::Read, path, json!({})).await.map(data)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Reply, CoreError> {
        self.ask(Operation::Delete, path, json!({})).await
    }

    pub(crate) async fn list(&self, path: &str) -> Result<Vec<String>, CoreError> {
        let listed = self.ask(Operation::List, path, json!({})).await.map(data)?;
        Ok(listed["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect())
    }

    /// A role with this role id, and a secret id of it.
    pub(crate) async fn role(&self, name: &str, mut sent: Value) -> String {
        sent["role_id"] = json!(format!("{name}-id"));
        self.write(&format!("role/{name}"), sent).await.unwrap();
        self.secret(name, json!({})).await
    }

    pub(crate) async fn secret(&self, name: &str, sent: Value) -> String {
        let made = data(self.write(&format!("role/{name}/secret-id"), sent).await.unwrap());
        made["secret_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn login(&self, role_id: &str, secret_id: &str) -> Result<Reply, CoreError> {
        self.login_from(Some(HERE), role_id, secret_id).await
    }

    pub(crate) async fn login_from(
        &self,
        source: Option<&str>,
        role_id: &str,
        secret_id: &str,
    ) -> Result<Reply, CoreError> {
        let sent = json!({ "role_id": role_id, "secret_id": secret_id });
        self.ask_as(None, source, Operation::Write, "login", sent).await
    }

    /// What a lookup of a secret id answers; null when there is none.
    pub(crate) async fn look_up(&self, name: &str, secret_id: &str) -> Value {
        data(self.write(&format!("role/{name}/secret-id/lookup"), json!({ "secret_id": secret_id })).await.unwrap())
    }

    /// How many records the store holds, beside what the barrier needs for itself: their keys begin with this byte.
    pub(crate) async fn records(&self) -> usize {
        self.store.list(&[1], None, usize::MAX).await.unwrap().len()
    }
}

fn fields(sent: Value) -> Fields {
    match sent {
        Value::Object(map) => Fields::new(map),
        _ => Fields::default(),
    }
}

/// The data of an answer; null when it has none.
pub(crate) fn data(reply: Reply) -> Value {
    reply.data.map_or(Value::Null, |data| Value::Object(data.into_map()))
}

pub(crate) fn copy(share: &Share) -> Share {
    Share::parse(&share.to_hex()).unwrap()
}

/// Kind and text of an error.
pub(crate) fn told<T>(result: Result<T, CoreError>) -> (Kind, String) {
    let error = result.err().expect("it should have been refused");
    (error.kind(), error.to_string())
}

/// The text of an error.
pub(crate) fn refused<T>(result: Result<T, CoreError>) -> String {
    told(result).1
}

pub(crate) const WRONG: &str = "invalid role or secret ID";
