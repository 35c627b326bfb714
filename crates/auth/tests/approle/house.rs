//! A strongroom in memory with `auth/approle` enabled, and one way to ask it something: through the gate, as a door does.

use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::SystemEntropy;
use strongroom_core::mount::{MountClass, MountSpec};
use strongroom_core::{
    Access, Ask, CoreError, Fields, Grant, Init, Object, Open, Operation, Reply, Share, SlotSpec, Source, Visit, route,
};
use strongroom_model::{
    Clock, Kind, Kinded, MountPath, NamespacePath, PolicyName, RequestId, RequestPath, SecretString,
};
use strongroom_storage::Store;
use strongroom_testkit::World;

pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) root: SecretString,
}

const HERE: &str = "127.0.0.1";

impl House {
    pub(crate) async fn new() -> Self {
        let (world, root) = World::open().await;
        let house = Self { world, root };
        house.enable().await;
        house
    }

    /// As `new` over a store of the caller's; gives the only share too, so that the store can be opened again.
    pub(crate) async fn with_share(store: Arc<dyn Store>) -> (Self, Share) {
        let world = World::over(store).await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let made = world.strongroom.init(init).await.unwrap();
        let share = made.shares.into_iter().next().unwrap();
        world.strongroom.unseal(Share::parse(&share.to_hex()).unwrap()).await.unwrap();
        let house = Self { world, root: made.root.client_token };
        house.enable().await;
        (house, share)
    }

    /// Another server over a store that was left behind.
    pub(crate) async fn again(store: Arc<dyn Store>, share: Share, root: SecretString) -> Self {
        let world = World::over(store).await;
        world.strongroom.unseal(share).await.unwrap();
        Self { world, root }
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn open(&self) -> Arc<Open> {
        self.world.rooms()
    }

    async fn enable(&self) {
        let open = self.open();
        let grant = self.grant("sys/auth/approle").await;
        let spec = MountSpec { kind: "approle".to_owned(), ..MountSpec::default() };
        open.mounts.enable(&grant, MountPath::parse("auth/approle").unwrap(), MountClass::Auth, spec).await.unwrap();
    }

    /// Tunes the mount: when failed logins shut a role out.
    pub(crate) async fn tune(&self, lockout: Value) -> Result<(), CoreError> {
        let grant = self.grant("sys/auth/approle/tune").await;
        let (path, sent) =
            (MountPath::parse("auth/approle").unwrap(), fields(json!({ "user_lockout_config": lockout })));
        self.open().mounts.tune(&grant, &path, |mount| mount.config.update(&sent)).await.map(drop)
    }

    /// What the mount is tuned to.
    pub(crate) fn tuned(&self) -> Value {
        let mount = self.open().mounts.table().at(&MountPath::parse("auth/approle").unwrap()).cloned();
        json!(mount.unwrap().config.lockout)
    }

    /// Proof for acts that only need some.
    pub(crate) async fn grant(&self, path: &str) -> Box<Grant> {
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
            arrived: self.world.clock.now(),
            dialect: "test",
            operation,
            namespace: NamespacePath::root(),
            path: RequestPath::parse(path).unwrap(),
            typed: None,
            source: Source { address: source.map(|text| text.parse::<IpAddr>().unwrap()), port: 1 },
            headers: Default::default(),
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
        let (endpoint, captures) = route(method.endpoints(), below).expect("the path is in the table");
        if !endpoint.operations.contains(&operation) {
            return Err(CoreError::Unsupported);
        }
        let writes = operation == Operation::Write && endpoint.access != Access::Open;
        let object = Object::Path { exists: if writes { method.exists(endpoint, &captures).await? } else { None } };
        let credential = token.map(SecretString::duplicate);
        let fields = fields(sent);
        let ask = Ask { visit, credential, mount: Some(mount), access: endpoint.access, object };
        let grant = open.gate.admit(ask, &fields).await?;
        self.act(grant, operation, fields).await
    }

    /// A write of a role for which the gate took it that there is none yet, whatever has happened since.
    pub(crate) async fn create_late(&self, path: &str, sent: Value) -> Result<Reply, CoreError> {
        let open = self.open();
        let visit = self.visit(Operation::Write, &format!("auth/approle/{path}"), Some(HERE));
        let mount = open.mounts.table().resolve(&visit.path).map(|(mount, _)| mount);
        let (credential, object) = (Some(self.root.duplicate()), Object::Path { exists: Some(false) });
        let fields = fields(sent);
        let grant = open.gate.admit(Ask { visit, credential, mount, access: Access::Token, object }, &fields).await?;
        self.act(grant, Operation::Write, fields).await
    }

    async fn act(&self, grant: Box<Grant>, operation: Operation, fields: Fields) -> Result<Reply, CoreError> {
        let open = self.open();
        let (mount, below) = open.mounts.table().resolve(&grant.visit().path).unwrap();
        let method = open.mounts.table().method(mount.id).unwrap();
        let (endpoint, captures) = route(method.endpoints(), below).unwrap();
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

    /// Wrong secret ids of a role, each told so.
    pub(crate) async fn fail(&self, name: &str, times: usize) {
        for time in 0..times {
            let told = refused(self.login(&format!("{name}-id"), "wrong").await);
            assert_eq!(told, WRONG, "{name}, time {time}");
        }
    }

    /// What a lookup of a secret id answers; null when there is none.
    pub(crate) async fn look_up(&self, name: &str, secret_id: &str) -> Value {
        data(self.write(&format!("role/{name}/secret-id/lookup"), json!({ "secret_id": secret_id })).await.unwrap())
    }

    /// How many records the store holds, beside what the barrier needs for itself: their keys begin with this byte.
    pub(crate) async fn records(&self) -> usize {
        self.world.store.list(&[1], None, usize::MAX).await.unwrap().len()
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
