//! A strongroom in memory with `auth/people` enabled as userpass, and one way to ask it something: through the gate, as a
//! door does.

use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::SystemEntropy;
use strongroom_core::mount::{MountClass, MountSpec};
use strongroom_core::{
    Access, Ask, Auth, CoreError, Fields, Grant, Init, Object, Open, Operation, Reply, Share, SlotSpec, Source, Visit,
    route,
};
use strongroom_model::{
    Clock, Kind, Kinded, MountPath, NamespacePath, PolicyName, RequestId, RequestPath, SecretString, Ttl,
};
use strongroom_storage::{Memory, Store};
use strongroom_testkit::World;

pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) root: SecretString,
}

pub(crate) const HERE: &str = "127.0.0.1";
pub(crate) const WRONG: &str = "invalid username or password";

impl House {
    pub(crate) async fn new() -> Self {
        Self::with_share(Arc::new(Memory::new())).await.0
    }

    /// A house with a user `ann` whose password is `secret-of-ann`.
    pub(crate) async fn with_ann(mut sent: Value) -> Self {
        let house = Self::new().await;
        sent["password"] = json!("secret-of-ann");
        house.write("users/ann", sent).await.unwrap();
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
        house.enable("auth/people").await;
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

    pub(crate) async fn enable(&self, path: &str) {
        let open = self.open();
        let grant = self.grant("sys/auth/people").await;
        let spec = MountSpec { kind: "userpass".to_owned(), ..MountSpec::default() };
        open.mounts.enable(&grant, MountPath::parse(path).unwrap(), MountClass::Auth, spec).await.unwrap();
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

    /// One request, from the door to the closed trail entry. `path` begins with the mount.
    pub(crate) async fn ask_at(
        &self,
        token: Option<&SecretString>,
        source: Option<&str>,
        operation: Operation,
        path: &str,
        sent: Value,
    ) -> Result<Reply, CoreError> {
        let open = self.open();
        let visit = self.visit(operation, path, source);
        let (mount, below) = open.mounts.table().resolve(&visit.path).unwrap();
        let method = open.mounts.table().method(mount.id).unwrap();
        let (endpoint, captures) = route(method.endpoints(), below).expect("the path is in the table");
        if !endpoint.operations.contains(&operation) {
            return Err(CoreError::Unsupported);
        }
        let writes = operation == Operation::Write && endpoint.access != Access::Open;
        let object = Object::Path { exists: if writes { method.exists(endpoint, &captures).await? } else { None } };
        let credential = token.map(SecretString::duplicate);
        let fields = match sent {
            Value::Object(map) => Fields::new(map),
            _ => Fields::default(),
        };
        let ask = Ask { visit, credential, mount: Some(mount), access: endpoint.access, object };
        let grant = open.gate.admit(ask, &fields).await?;
        let result = open.logins.call(&grant, endpoint, captures, operation, &fields).await;
        open.gate.conclude(grant, &fields, &result).await?;
        result
    }

    pub(crate) async fn ask_as(
        &self,
        token: &SecretString,
        operation: Operation,
        path: &str,
        sent: Value,
    ) -> Result<Reply, CoreError> {
        self.ask_at(Some(token), Some(HERE), operation, &format!("auth/people/{path}"), sent).await
    }

    pub(crate) async fn ask(&self, operation: Operation, path: &str, sent: Value) -> Result<Reply, CoreError> {
        self.ask_as(&self.root, operation, path, sent).await
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

    pub(crate) async fn login(&self, name: &str, password: &str) -> Result<Auth, CoreError> {
        self.login_from(Some(HERE), name, password).await
    }

    pub(crate) async fn login_from(&self, source: Option<&str>, name: &str, password: &str) -> Result<Auth, CoreError> {
        let path = format!("auth/people/login/{name}");
        let reply = self.ask_at(None, source, Operation::Write, &path, json!({ "password": password })).await?;
        Ok(reply.auth.expect("a login makes a token"))
    }

    /// Wrong passwords, each told so.
    pub(crate) async fn fail(&self, name: &str, times: usize) {
        for time in 0..times {
            assert_eq!(refused(self.login(name, "wrong").await), WRONG, "{name}, time {time}");
        }
    }

    /// What renewing a token gives.
    pub(crate) async fn renew(&self, auth: &Auth) -> Result<Ttl, CoreError> {
        let open = self.open();
        let bearer = open.tokens.bearer(open.tokens.key_of(&auth.client_token)).await.unwrap().unwrap();
        let renewed = open.tokens.renew(&bearer, SecretString::new(String::new()), Ttl::ZERO).await;
        renewed.map(|(auth, _)| auth.ttl)
    }

    /// How many records the store holds, beside what the barrier needs for itself: their keys begin with this byte.
    pub(crate) async fn records(&self) -> usize {
        self.world.store.list(&[1], None, usize::MAX).await.unwrap().len()
    }

    /// By how many records there are more after an act.
    pub(crate) async fn records_of<T>(&self, act: impl Future<Output = T>) -> isize {
        let before = self.records().await;
        act.await;
        self.records().await.cast_signed() - before.cast_signed()
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

/// What somebody who is shut out is told: Vault's 403.
pub(crate) fn shut_out() -> (Kind, String) {
    (Kind::Denied, "permission denied".to_owned())
}
