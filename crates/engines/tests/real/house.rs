//! A strongroom that can be killed and started again, with a PostgreSQL beside it.

use crate::way::Way;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::Limits as ServerLimits;
use strongroom_audit::{Options, Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_connectors::{Connector, ConnectorError, Limits, PasswordForm, Settings, System, open};
use strongroom_core::rotation::Methods;
use strongroom_core::{Init, Setup, SlotSpec, Strongroom};
use strongroom_engines::rotation::{FunctionSpec, Program, function};
use strongroom_model::{Clock, SecretBytes, SecretString, base62};
use strongroom_storage::{Epoch, Fronted, Memory, Store};
use strongroom_testkit::outside::{Admin, Postgres};
use strongroom_testkit::{ManualClock, TestServer, World};
use tokio::sync::OnceCell;

/// What logins of the tests may do.
pub(crate) const CREATE: &str = r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; GRANT CONNECT ON DATABASE app TO "{{name}}""#;

/// The server of all tests that neither stop nor pause it.
static SHARED: OnceCell<Arc<Postgres>> = OnceCell::const_new();

pub(crate) struct House {
    pub(crate) server: TestServer,
    pub(crate) postgres: Arc<Postgres>,
    pub(crate) way: Arc<Fronted<Way>>,
    /// A role that no other test has, in the names of its logins too.
    pub(crate) role: String,
    memory: Arc<Memory>,
}

/// A login that was handed out.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) lease: String,
    pub(crate) username: String,
    pub(crate) password: String,
}

impl House {
    /// Beside a PostgreSQL that other tests use too.
    pub(crate) async fn open() -> Self {
        let start = || async { Arc::new(Postgres::start().await) };
        Self::beside(Arc::clone(SHARED.get_or_init(start).await)).await
    }

    /// Beside a PostgreSQL of its own.
    pub(crate) async fn alone() -> Self {
        Self::beside(Arc::new(Postgres::start().await)).await
    }

    /// With the engine mounted, the connection `app` and a role.
    async fn beside(postgres: Arc<Postgres>) -> Self {
        let clock = Arc::new(ManualClock::new());
        // PostgreSQL goes by its own clock, and refuses logins that are to end before now.
        let theirs = postgres.sql("SELECT floor(extract(epoch FROM now()))::bigint").trim().parse::<u64>().unwrap();
        clock.advance(Duration::from_secs(theirs.saturating_sub(clock.now().secs())));
        let options = Options { ring: 400_000, ..Options::default() };
        let trail = Trail::open_with(Place::Memory, Arc::clone(&clock) as Arc<dyn Clock>, options).await.unwrap();
        let memory = Arc::new(Memory::new());
        let way = Way::to(&memory);
        let world = started(&way, &clock, &trail).await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let root = world.strongroom.init(init).await.unwrap().root.client_token;
        let mut server = TestServer::start(world, ServerLimits::default()).await;
        server.root = root.expose().to_owned();
        server.operator().post("sys/mounts/database", json!({"type": "database"})).await.expect(204);
        let role = format!("r{}", base62::random(&SystemEntropy, 7).to_lowercase());
        let house = Self { server, postgres, way, role, memory };
        house.configure("app", house.postgres.port(), json!({})).await;
        house.write_role(json!({})).await;
        house.settle().await;
        house
    }

    /// The process dies: nothing of it reaches the store any more. Another one starts.
    pub(crate) async fn crash(self) -> Self {
        self.way.cut_after(0);
        let way = Way::to(&self.memory);
        let world = started(&way, &self.server.world.clock, &self.server.world.trail).await;
        let mut server = TestServer::start(world, ServerLimits::default()).await;
        server.root = self.server.root.clone();
        Self { server, way, ..self }
    }

    /// Writes a connection, to be reached at that port.
    pub(crate) async fn configure(&self, name: &str, port: u16, more: Value) {
        let admin = self.postgres.admin();
        let mut body = json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": self.postgres.url(port),
            "username": admin.username,
            "password": admin.password,
            "allowed_roles": "r*",
        });
        merge(&mut body, more);
        self.server.operator().post(&format!("database/config/{name}"), body).await.expect(204);
    }

    /// Writes the role.
    pub(crate) async fn write_role(&self, more: Value) {
        let mut body = json!({
            "db_name": "app", "creation_statements": CREATE, "default_ttl": "1h", "max_ttl": "24h",
        });
        merge(&mut body, more);
        self.server.operator().post(&format!("database/roles/{}", self.role), body).await.expect(204);
    }

    /// Asks for a login as the operator.
    pub(crate) async fn login(&self) -> Login {
        self.try_login().await.expect("a login")
    }

    pub(crate) async fn try_login(&self) -> Option<Login> {
        let answer = self.server.operator().get(&format!("database/creds/{}", self.role)).await;
        answer.status.is_success().then(|| Login {
            lease: answer.text_at("/lease_id"),
            username: answer.text_at("/data/username"),
            password: answer.text_at("/data/password"),
        })
    }

    /// Whether PostgreSQL lets the login in.
    pub(crate) async fn works(&self, login: &Login) -> bool {
        self.lets_in(&login.username, &login.password).await
    }

    pub(crate) async fn lets_in(&self, username: &str, password: &str) -> bool {
        lets_in(System::Postgres, &self.postgres.admin(), username, password).await
    }

    /// Logins of the role that are there.
    pub(crate) fn logins(&self) -> Vec<String> {
        let rows = format!("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-root-{}-%' ORDER BY 1", self.role);
        self.postgres.sql(&rows).lines().map(str::to_owned).collect()
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> u64 {
        self.server.world.rooms().leases.gauges().leases
    }

    /// Everything that is due is done.
    pub(crate) async fn settle(&self) {
        self.server.world.rooms().housekeep().await;
    }

    pub(crate) async fn later(&self, seconds: u64) {
        self.server.world.clock.advance(Duration::from_secs(seconds));
        self.settle().await;
    }

    /// Makes a login by hand, which nobody else makes, and gives its name.
    pub(crate) fn existing_login(&self, password: &str) -> String {
        let name = format!("app-{}", self.role);
        self.postgres.sql(&format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'"));
        name
    }
}

async fn started(way: &Arc<Fronted<Way>>, clock: &Arc<ManualClock>, trail: &Arc<Trail>) -> World {
    let setup = Setup {
        store: Arc::clone(way) as Arc<dyn Store>,
        epoch: Epoch::default(),
        trail: Arc::clone(trail),
        plugins: Arc::new(strongroom_engines::plugins().with_methods(functions())),
        settings: Default::default(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy),
        static_keys: vec![SecretBytes::new((1..=32).collect::<Vec<u8>>())],
        accept_rollback: false,
    };
    let strongroom = Strongroom::start(setup).await.unwrap();
    World { strongroom, clock: Arc::clone(clock), trail: Arc::clone(trail), store: Arc::clone(way) as Arc<dyn Store> }
}

/// A rotation function that says on which terms it was called, and fails.
fn functions() -> Methods {
    const SAY: &str =
        r#"read -r call; id=${call#*AWS_ACCESS_KEY_ID}; echo "leaking ${id%%,*} ${call#*AWS_REGION}" >&2; exit 3"#;
    let (name, method) = function(FunctionSpec {
        name: "leaky".to_owned(),
        program: Program::Command(["/bin/sh", "-c", SAY].map(str::to_owned).to_vec()),
        user: None,
        timeout: Duration::from_secs(30),
        endpoint: "http://127.0.0.1:1".to_owned(),
        ca_file: None,
        environment: std::collections::BTreeMap::new(),
    });
    Methods::default().with(name, method)
}

/// A connector that logs in as the administrator, past the strongroom.
pub(crate) fn connector(system: System, admin: &Admin) -> Arc<dyn Connector> {
    let settings = Settings {
        url: SecretString::new(admin.url.clone()),
        username: admin.username.to_owned(),
        password: SecretString::new(admin.password.to_owned()),
        tls: None,
        limits: Limits::default(),
        password_form: PasswordForm::Plain,
    };
    open(system, settings).expect("settings that can be used")
}

/// Whether a server takes name and password.
pub(crate) async fn lets_in(system: System, admin: &Admin, username: &str, password: &str) -> bool {
    match connector(system, admin).verify(username, &SecretString::new(password.to_owned())).await {
        Ok(()) => true,
        Err(ConnectorError::LoginRefused { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn merge(body: &mut Value, more: Value) {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
}
