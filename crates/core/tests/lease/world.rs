//! A strongroom with a mount of logins, on a store that outlives it; requests go through the gate as the doors send them.

use crate::outside::{Outside, plugins};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use strongroom_audit::{Options, Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_core::lease::Leases;
use strongroom_core::mount::{MountClass, MountSpec};
use strongroom_core::token::TokenKey;
use strongroom_core::{
    Access, Ask, CoreError, Fields, Grant, Init, Object, Open, Operation, Reply, Setup, SlotSpec, Source, Strongroom,
    Visit, route,
};
use strongroom_model::{
    Clock, EntityId, Entropy, MountPath, NamespacePath, PolicyName, RequestId, RequestPath, SecretBytes, SecretString,
    Timestamp, Ttl,
};
use strongroom_storage::{Committed, Entry, Epoch, Front, Fronted, IdemToken, Memory, Op, Store, StoreError, Txn};

pub(crate) struct Hands(AtomicU64);

impl Hands {
    pub(crate) fn forward(&self, seconds: u64) {
        self.0.fetch_add(Duration::from_secs(seconds).as_nanos() as u64, Ordering::SeqCst);
    }

    pub(crate) fn back(&self, seconds: u64) {
        self.0.fetch_sub(Duration::from_secs(seconds).as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// The way of one process to the store: it can be cut after some commits, as when the process is killed.
pub(crate) struct Way {
    inner: Arc<Memory>,
    left: AtomicI64,
    commits: AtomicI64,
}

impl Way {
    fn to(inner: &Arc<Memory>) -> Arc<Fronted<Self>> {
        let (left, commits) = (AtomicI64::new(i64::MAX), AtomicI64::new(0));
        Arc::new(Fronted(Self { inner: Arc::clone(inner), left, commits }))
    }

    /// How many commits went this way.
    pub(crate) fn commits(&self) -> i64 {
        self.commits.load(Ordering::SeqCst)
    }

    pub(crate) fn cut_after(&self, commits: i64) {
        self.left.store(commits, Ordering::SeqCst);
    }
}

pub(crate) struct World {
    pub(crate) strongroom: Arc<Strongroom>,
    pub(crate) outside: Arc<Outside>,
    pub(crate) clock: Arc<Hands>,
    pub(crate) way: Arc<Fronted<Way>>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) root: SecretString,
    memory: Arc<Memory>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(Hands(AtomicU64::new(Timestamp::from_secs(1_795_219_200).nanos())));
        let (outside, memory) = (Outside::new(), Arc::new(Memory::new()));
        let options = Options { ring: 100_000, ..Options::default() };
        let trail = Trail::open_with(Place::Memory, Arc::clone(&clock) as Arc<dyn Clock>, options).await.unwrap();
        let way = Way::to(&memory);
        let strongroom = start(&way, &outside, &clock, &trail).await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let root = strongroom.init(init).await.unwrap().root.client_token;
        let world = Self { strongroom, outside, clock, way, trail, root, memory };
        world.mount("db").await;
        world
    }

    /// The process dies: nothing of it reaches the store any more. Another one starts.
    pub(crate) async fn crash(self) -> Self {
        self.way.cut_after(0);
        let way = Way::to(&self.memory);
        let strongroom = start(&way, &self.outside, &self.clock, &self.trail).await;
        Self { strongroom, way, ..self }
    }

    /// An orderly end, and a start some time later.
    pub(crate) async fn restart(self, after: u64) -> Self {
        let grant = self.admit(&self.root, Operation::Write, "sys/seal", &Fields::default(), None).await.unwrap();
        self.strongroom.seal(strongroom_core::SealOrder::new(&grant)).await.unwrap();
        drop(grant);
        self.clock.forward(after);
        let way = Way::to(&self.memory);
        let strongroom = start(&way, &self.outside, &self.clock, &self.trail).await;
        Self { strongroom, way, ..self }
    }

    pub(crate) fn open(&self) -> Arc<Open> {
        self.strongroom.open().unwrap()
    }

    pub(crate) fn leases(&self) -> Arc<Leases> {
        Arc::clone(&self.open().leases)
    }

    /// How many leases there are.
    pub(crate) fn count(&self) -> u64 {
        self.leases().gauges().leases
    }

    pub(crate) async fn mount(&self, path: &str) {
        let spec = MountSpec { kind: "logins".to_owned(), ..MountSpec::default() };
        let grant = self.grant("sys/mounts/x").await;
        self.open().mounts.enable(&grant, MountPath::parse(path).unwrap(), MountClass::Secret, spec).await.unwrap();
    }

    pub(crate) async fn unmount(&self, path: &str) {
        let grant = self.grant("sys/mounts/x").await;
        self.open().mounts.disable(&grant, &MountPath::parse(path).unwrap()).await.unwrap();
    }

    pub(crate) async fn admit(
        &self,
        token: &SecretString,
        operation: Operation,
        path: &str,
        fields: &Fields,
        wrap_ttl: Option<Duration>,
    ) -> Result<Box<Grant>, CoreError> {
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
            wrap_ttl,
        };
        let open = self.open();
        let mount = open.mounts.table().resolve(&visit.path).map(|(mount, _)| mount);
        let (credential, object) = (Some(token.duplicate()), Object::Path { exists: None });
        open.gate.admit(Ask { visit, credential, mount, access: Access::Token, object }, fields).await
    }

    /// Proof for acts that only need some.
    pub(crate) async fn grant(&self, path: &str) -> Box<Grant> {
        self.admit(&self.root, Operation::Write, path, &Fields::default(), None).await.unwrap()
    }

    /// One request to an engine, from the door to the closed trail entry.
    pub(crate) async fn ask(
        &self,
        token: &SecretString,
        path: &str,
        sent: Value,
        wrap: Option<Duration>,
    ) -> Result<Reply, CoreError> {
        self.serve(token, Operation::Read, path, sent, wrap).await
    }

    /// A change of what an engine keeps.
    pub(crate) async fn write(&self, path: &str) -> Result<Reply, CoreError> {
        self.serve(&self.root, Operation::Write, path, json!({}), None).await
    }

    async fn serve(
        &self,
        token: &SecretString,
        operation: Operation,
        path: &str,
        sent: Value,
        wrap: Option<Duration>,
    ) -> Result<Reply, CoreError> {
        let fields = Fields::new(sent.as_object().unwrap().clone());
        let grant = self.admit(token, operation, path, &fields, wrap).await?;
        let open = self.open();
        let (mount, below) = open.mounts.table().resolve(&grant.visit().path).unwrap();
        let engine = open.mounts.table().engine(mount.id).unwrap();
        let (endpoint, captures) = route(engine.endpoints(), below).unwrap();
        let result = open.leases.serve(&grant, endpoint, captures, operation, &fields).await;
        open.gate.conclude(grant, &fields, &result).await?;
        result
    }

    /// A login: the lease's id, and the login's name.
    pub(crate) async fn login(&self, role: &str) -> (String, String) {
        self.login_as(&self.root, role, json!({})).await.unwrap()
    }

    pub(crate) async fn login_as(
        &self,
        token: &SecretString,
        role: &str,
        sent: Value,
    ) -> Result<(String, String), CoreError> {
        let reply = self.ask(token, &format!("db/creds/{role}"), sent, None).await?;
        let login = reply.data.unwrap().text("username").unwrap().unwrap();
        Ok((reply.lease.unwrap().id, login))
    }

    pub(crate) async fn renew(&self, id: &str, increment: u64) -> Result<(u64, Vec<String>), CoreError> {
        let grant = self.grant("sys/leases/renew").await;
        let reply = self.leases().renew(&grant, id, Ttl::from_secs(increment)).await?;
        Ok((reply.lease.unwrap().ttl.secs(), reply.warnings))
    }

    pub(crate) async fn revoke(&self, id: &str) -> Result<(), CoreError> {
        let grant = self.grant("sys/leases/revoke").await;
        self.leases().revoke(&grant, id, true).await
    }

    pub(crate) async fn state(&self, id: &str) -> Option<&'static str> {
        let grant = self.grant("sys/leases/lookup").await;
        self.leases().lookup(&grant, id).await.unwrap().map(|lease| lease.state)
    }

    pub(crate) async fn irrevocable(&self) -> Vec<(String, String)> {
        let grant = self.grant("sys/leases").await;
        let (leases, _) = self.leases().irrevocable(&grant, 100).await.unwrap();
        leases.into_iter().map(|lease| (lease.id, lease.error)).collect()
    }

    /// All that is in the store.
    pub(crate) async fn rows(&self) -> Vec<Entry> {
        self.memory.list(b"", None, usize::MAX).await.unwrap()
    }

    /// Changes the store behind the server's back.
    pub(crate) async fn tamper(&self, op: Op) {
        let entropy: &dyn Entropy = &SystemEntropy;
        let idem = IdemToken(entropy.array());
        let txn = Txn { compares: Vec::new(), ops: vec![op], idem };
        self.memory.commit(Epoch::default(), txn).await.unwrap();
    }

    pub(crate) async fn settle(&self) {
        self.open().housekeep().await;
    }

    pub(crate) async fn later(&self, seconds: u64) {
        self.clock.forward(seconds);
        self.settle().await;
    }

    /// Somebody with an entity, who may do everything: their token and entity.
    pub(crate) async fn member(&self) -> (SecretString, EntityId) {
        let (open, grant) = (self.open(), self.grant("sys/auth/x").await);
        let path = MountPath::parse("auth/door").unwrap();
        let spec = MountSpec { kind: "door".to_owned(), ..MountSpec::default() };
        open.mounts.enable(&grant, path, MountClass::Auth, spec).await.unwrap();
        let rules = r#"path "*" { capabilities = ["read", "update", "sudo"] }"#;
        open.policies.write(&grant, PolicyName::parse("all").unwrap(), rules).await.unwrap();
        let grant = self.grant("auth/door/login").await;
        let method = open.mounts.table().method(grant.mount().unwrap().id).unwrap();
        let (endpoint, captures) = route(method.endpoints(), "login").unwrap();
        let login = open.logins.call(&grant, endpoint, captures, Operation::Write, &Fields::default()).await;
        let auth = login.unwrap().auth.unwrap();
        (auth.client_token, auth.entity.unwrap())
    }

    pub(crate) fn key(&self, token: &SecretString) -> TokenKey {
        self.open().tokens.key_of(token)
    }

    /// What the trail says about leases without a request.
    pub(crate) async fn events(&self, operation: &str) -> Vec<Value> {
        let lines = self.trail.recent(usize::MAX).await;
        let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "event" && line["operation"] == operation).collect()
    }
}

async fn start(
    way: &Arc<Fronted<Way>>,
    outside: &Arc<Outside>,
    clock: &Arc<Hands>,
    trail: &Arc<Trail>,
) -> Arc<Strongroom> {
    let setup = Setup {
        store: Arc::clone(way) as Arc<dyn Store>,
        epoch: Epoch::default(),
        trail: Arc::clone(trail),
        plugins: Arc::new(plugins(outside)),
        settings: Default::default(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy),
        static_keys: vec![SecretBytes::new((1..=32).collect::<Vec<u8>>())],
        accept_rollback: false,
    };
    Strongroom::start(setup).await.unwrap()
}

#[async_trait]
impl Front for Way {
    fn behind(&self) -> &dyn Store {
        &*self.inner
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Full);
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.inner.commit(epoch, txn).await
    }
}
