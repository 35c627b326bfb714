//! A secret that rotates on a real server, and what is asked and expected of it.

use crate::house::{House, lets_in};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_connectors::System;
use strongroom_testkit::Answer;
use strongroom_testkit::outside::{Admin, MariaDb, Postgres, RabbitMq, Redis};
use tokio::sync::OnceCell;

static MARIADB: OnceCell<Arc<MariaDb>> = OnceCell::const_new();
static REDIS: OnceCell<Arc<Redis>> = OnceCell::const_new();
static RABBITMQ: OnceCell<Arc<RabbitMq>> = OnceCell::const_new();

/// A server, and the words in which it is spoken to.
#[derive(Clone)]
pub(crate) enum Outside {
    Postgres(Arc<Postgres>),
    MariaDb(Arc<MariaDb>),
    Redis(Arc<Redis>),
    RabbitMq(Arc<RabbitMq>),
}

impl Outside {
    pub(crate) async fn mariadb() -> Self {
        Self::MariaDb(Arc::clone(MARIADB.get_or_init(|| async { Arc::new(MariaDb::start().await) }).await))
    }

    pub(crate) async fn redis() -> Self {
        Self::Redis(Arc::clone(REDIS.get_or_init(|| async { Arc::new(Redis::start().await) }).await))
    }

    pub(crate) async fn rabbitmq() -> Self {
        Self::RabbitMq(Arc::clone(RABBITMQ.get_or_init(|| async { Arc::new(RabbitMq::start().await) }).await))
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::MariaDb(_) => "mariadb",
            Self::Redis(_) => "redis",
            Self::RabbitMq(_) => "rabbitmq",
        }
    }

    pub(crate) fn system(&self) -> System {
        match self {
            Self::Postgres(_) => System::Postgres,
            Self::MariaDb(_) => System::Mysql,
            Self::Redis(_) => System::Redis,
            Self::RabbitMq(_) => System::RabbitMq,
        }
    }

    pub(crate) fn admin(&self) -> Admin {
        match self {
            Self::Postgres(server) => server.admin(),
            Self::MariaDb(server) => server.admin(),
            Self::Redis(server) => server.admin(),
            Self::RabbitMq(server) => server.admin(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::MariaDb(server) => server.port(),
            Self::Redis(server) => server.port(),
            Self::RabbitMq(server) => server.port(),
        }
    }

    /// Makes the first login, with the rights that later ones are to have.
    pub(crate) fn make(&self, name: &str, password: &str) {
        match self {
            Self::Postgres(server) => drop(server.sql(&format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'"))),
            Self::MariaDb(server) => {
                server.sql(&format!("CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'"));
                server.sql(&format!("GRANT SELECT ON app.* TO '{name}'@'%'"));
            }
            Self::Redis(server) => {
                let done = server.command(&["ACL", "SETUSER", name, "on", &format!(">{password}"), "~app:*", "+@read"]);
                assert!(done.contains("OK"), "{done}");
            }
            Self::RabbitMq(server) => {
                let body = json!({"password": password, "tags": "management"}).to_string();
                server.asks("PUT", &format!("/api/users/{name}"), Some(&body)).expect("a user");
                let rights = r#"{"configure": "", "write": "", "read": ".*"}"#;
                server.asks("PUT", &format!("/api/permissions/%2F/{name}"), Some(rights)).expect("its rights");
            }
        }
    }

    /// What new logins may do, where the strategy cannot know.
    pub(crate) fn statements(&self) -> Option<&'static str> {
        match self {
            Self::Postgres(_) => None,
            Self::MariaDb(_) => {
                Some("CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON app.* TO '{{name}}'@'%'")
            }
            Self::Redis(_) => Some(r#"["~app:*", "+@read"]"#),
            Self::RabbitMq(_) => {
                Some(r#"{"tags": "management", "vhosts": {"/": {"configure": "", "write": "", "read": ".*"}}}"#)
            }
        }
    }

    /// Whether a login may do what it is for.
    pub(crate) fn has_rights(&self, name: &str, first: &str) -> bool {
        match self {
            Self::Postgres(server) => {
                server.sql(&format!("SELECT pg_has_role('{name}', '{first}', 'member')")).trim() == "t"
            }
            Self::MariaDb(server) => server.sql(&format!("SHOW GRANTS FOR '{name}'@'%'")).contains("SELECT ON `app`.*"),
            Self::Redis(server) => server.command(&["ACL", "GETUSER", name]).contains("~app:*"),
            Self::RabbitMq(server) => server
                .asks("GET", &format!("/api/users/{name}/permissions"), None)
                .is_some_and(|said| said.contains(r#""read":".*""#)),
        }
    }

    /// Logins whose names begin so.
    pub(crate) fn logins(&self, prefix: &str) -> Vec<String> {
        let text = match self {
            Self::Postgres(server) => {
                server.sql(&format!("SELECT rolname FROM pg_roles WHERE rolname LIKE '{prefix}%' ORDER BY 1"))
            }
            Self::MariaDb(server) => {
                server.sql(&format!("SELECT User FROM mysql.user WHERE User LIKE '{prefix}%' ORDER BY 1"))
            }
            Self::Redis(server) => server.command(&["ACL", "USERS"]),
            Self::RabbitMq(server) => {
                let users: Value =
                    serde_json::from_str(&server.asks("GET", "/api/users", None).expect("users")).unwrap();
                let names = users.as_array().unwrap().iter().filter_map(|user| user["name"].as_str());
                names.collect::<Vec<_>>().join("\n")
            }
        };
        let names = text.lines().map(str::trim).filter(|name| name.starts_with(prefix));
        names.map(str::to_owned).collect()
    }

    /// Words of the requests by which logins are made, given a password, proved, and dropped.
    pub(crate) fn marks(&self) -> [&'static str; 4] {
        match self {
            Self::Postgres(_) => ["CREATE ROLE", "ALTER ROLE", "SCRAM-SHA-256", "DROP ROLE"],
            Self::MariaDb(_) => ["GRANT SELECT", "ALTER USER", "mysql_native_password", "DROP USER"],
            Self::Redis(_) => ["SETUSER", "resetpass", "AUTH", "DELUSER"],
            Self::RabbitMq(_) => ["PUT /api/permissions", "PUT /api/users", "GET /api/whoami", "DELETE /api/users"],
        }
    }
}

/// A secret that rotates.
pub(crate) struct Case {
    pub(crate) house: House,
    pub(crate) outside: Outside,
    pub(crate) way: &'static str,
    /// The first login, whose name no other test has.
    pub(crate) name: String,
}

pub(crate) const FIRST: &str = "f1rst-canary";

impl Case {
    /// Plans it; the server is reached at that port.
    pub(crate) async fn new(house: House, outside: Outside, way: &'static str, port: u16) -> Self {
        let name = format!("app{}", house.role);
        outside.make(&name, FIRST);
        let operator = house.server.operator();
        operator.post("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}})).await.expect(204);
        let admin = outside.admin();
        let login = |name: &str, password: &str| {
            json!({"data": {"engine": outside.word(), "host": "127.0.0.1", "port": port, "dbname": "app",
                "username": name, "password": password}})
        };
        operator.post("secret/data/app/db", login(&name, FIRST)).await.expect(200);
        operator.post("secret/data/app/admin", login(admin.username, admin.password)).await.expect(200);
        let mut options = serde_json::Map::new();
        if let Some(statements) = outside.statements().filter(|_| !way.starts_with("single")) {
            options.insert("creation_statements".to_owned(), json!(statements));
        }
        if way == "new-user" {
            options.insert("role".to_owned(), json!(name));
            options.insert("overlap".to_owned(), json!("10s"));
        }
        let method = format!("{}-{}", outside.word(), way.trim_end_matches("-self"));
        let admin = if way.ends_with("-self") { "" } else { "app/admin" };
        let case = Self { house, outside, way, name };
        let plan = json!({"method": method, "options": options, "admin": admin});
        case.ask("POST", "schedule", Some(plan)).await.expect(200);
        case
    }

    /// With a server of its own kind, reached straight.
    pub(crate) async fn straight(outside: Outside, way: &'static str) -> Self {
        let port = outside.port();
        Self::new(House::open().await, outside, way, port).await
    }

    pub(crate) async fn ask(&self, method: &str, verb: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers = [("X-Vault-Token", self.house.server.root.as_str())];
        let path = format!("/api/v1/rotation/{verb}/secret/app/db");
        self.house.server.send_raw(method, &path, &headers, body.into_bytes()).await
    }

    pub(crate) async fn settle(&self) {
        self.house.server.world.rooms().rotations.settle().await;
    }

    pub(crate) async fn later(&self, seconds: u64) {
        self.house.server.world.clock.advance(Duration::from_secs(seconds));
        self.settle().await;
    }

    /// Username and password in force.
    pub(crate) async fn value(&self) -> (String, String) {
        let answer = self.house.server.operator().get("secret/data/app/db").await.expect(200);
        (answer.text_at("/data/data/username"), answer.text_at("/data/data/password"))
    }

    /// Puts a value in force whose password the outside system was not told.
    pub(crate) async fn write(&self, password: &str) {
        let operator = self.house.server.operator();
        let mut login = operator.get("secret/data/app/db").await.expect(200).at("/data/data").clone();
        login["password"] = json!(password);
        operator.post("secret/data/app/db", json!({"data": login})).await.expect(200);
    }

    pub(crate) async fn works(&self, login: &(String, String)) -> bool {
        lets_in(self.outside.system(), &self.outside.admin(), &login.0, &login.1).await
    }

    pub(crate) async fn running(&self) -> Option<Value> {
        let status = self.ask("GET", "status", None).await.expect(200);
        Some(status.at("/data/running").clone()).filter(|running| !running.is_null())
    }

    pub(crate) async fn history(&self) -> Vec<Value> {
        let answer = self.ask("GET", "history", None).await.expect(200);
        answer.at("/data/rotations").as_array().cloned().unwrap_or_default()
    }

    /// Turns the clock until nothing is under way.
    pub(crate) async fn to_the_end(&self) {
        for _ in 0..12 {
            self.settle().await;
            if self.running().await.is_none() {
                return;
            }
            self.later(301).await;
        }
        panic!("{} {}: {:?}", self.outside.word(), self.way, self.running().await);
    }

    /// Rotates, and says what is in force then.
    pub(crate) async fn rotate(&self) -> (String, String) {
        self.ask("POST", "start", None).await.expect(200);
        self.to_the_end().await;
        let last = self.history().await.into_iter().next().expect("a rotation that ended");
        assert_eq!(last["outcome"], json!({"result": "rotated"}), "{} {}", self.outside.word(), self.way);
        self.value().await
    }

    /// What holds whenever nothing is under way.
    pub(crate) async fn is_well(&self, story: &str) {
        let now = self.value().await;
        let (word, way) = (self.outside.word(), self.way);
        assert!(self.works(&now).await, "{word} {way}: {story}");
        let logins = self.outside.logins(&self.name);
        let most = if way.starts_with("single") { 1 } else { 2 };
        assert!(logins.len() <= most && logins.contains(&now.0), "{word} {way}, {story}: {logins:?}");
        if now.0 != self.name {
            assert!(self.outside.has_rights(&now.0, &self.name), "{word} {way}: {story}");
        }
    }

    pub(crate) async fn goes_round(&self) {
        let mut seen = vec![self.value().await];
        for round in 0..3 {
            let now = self.rotate().await;
            self.is_well(&format!("round {round}")).await;
            let before = seen.last().unwrap();
            match self.way {
                "alternating" => assert!(self.works(before).await && before.0 != now.0),
                _ if before.0 == self.name && self.way == "new-user" => assert!(self.works(before).await),
                _ => assert!(!self.works(before).await, "{} {}", self.outside.word(), self.way),
            }
            seen.push(now);
        }
        let trail = format!("{:?}", self.house.server.world.entries().await);
        assert!(seen.iter().all(|(_, password)| !trail.contains(password)));
    }
}
