//! Rotations of secrets on real servers: every strategy goes round, and goes on after whatever was lost or killed.

#![allow(clippy::indexing_slicing, reason = "a test may fail so")]

use crate::house::{House, lets_in};
use aws_lc_rs::{digest, hmac};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use strongroom_connectors::System;
use strongroom_model::Clock;
use strongroom_testkit::outside::{Admin, MariaDb, Postgres, RabbitMq, Redis, Relay};
use strongroom_testkit::{Answer, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

static MARIADB: OnceCell<Arc<MariaDb>> = OnceCell::const_new();
static REDIS: OnceCell<Arc<Redis>> = OnceCell::const_new();
static RABBITMQ: OnceCell<Arc<RabbitMq>> = OnceCell::const_new();

/// A server, and the words in which it is spoken to.
#[derive(Clone)]
enum Outside {
    Postgres(Arc<Postgres>),
    MariaDb(Arc<MariaDb>),
    Redis(Arc<Redis>),
    RabbitMq(Arc<RabbitMq>),
}

impl Outside {
    async fn mariadb() -> Self {
        Self::MariaDb(Arc::clone(MARIADB.get_or_init(|| async { Arc::new(MariaDb::start().await) }).await))
    }

    async fn redis() -> Self {
        Self::Redis(Arc::clone(REDIS.get_or_init(|| async { Arc::new(Redis::start().await) }).await))
    }

    async fn rabbitmq() -> Self {
        Self::RabbitMq(Arc::clone(RABBITMQ.get_or_init(|| async { Arc::new(RabbitMq::start().await) }).await))
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::MariaDb(_) => "mariadb",
            Self::Redis(_) => "redis",
            Self::RabbitMq(_) => "rabbitmq",
        }
    }

    fn system(&self) -> System {
        match self {
            Self::Postgres(_) => System::Postgres,
            Self::MariaDb(_) => System::Mysql,
            Self::Redis(_) => System::Redis,
            Self::RabbitMq(_) => System::RabbitMq,
        }
    }

    fn admin(&self) -> Admin {
        match self {
            Self::Postgres(server) => server.admin(),
            Self::MariaDb(server) => server.admin(),
            Self::Redis(server) => server.admin(),
            Self::RabbitMq(server) => server.admin(),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port(),
            Self::MariaDb(server) => server.port(),
            Self::Redis(server) => server.port(),
            Self::RabbitMq(server) => server.port(),
        }
    }

    /// Makes the first login, with the rights that later ones are to have.
    fn make(&self, name: &str, password: &str) {
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
    fn statements(&self) -> Option<&'static str> {
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
    fn has_rights(&self, name: &str, first: &str) -> bool {
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
    fn logins(&self, prefix: &str) -> Vec<String> {
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
    fn marks(&self) -> [&'static str; 4] {
        match self {
            Self::Postgres(_) => ["CREATE ROLE", "ALTER ROLE", "SCRAM-SHA-256", "DROP ROLE"],
            Self::MariaDb(_) => ["GRANT SELECT", "ALTER USER", "mysql_native_password", "DROP USER"],
            Self::Redis(_) => ["SETUSER", "resetpass", "AUTH", "DELUSER"],
            Self::RabbitMq(_) => ["PUT /api/permissions", "PUT /api/users", "GET /api/whoami", "DELETE /api/users"],
        }
    }
}

/// A secret that rotates.
struct Case {
    house: House,
    outside: Outside,
    way: &'static str,
    /// The first login, whose name no other test has.
    name: String,
}

const FIRST: &str = "f1rst-canary";

impl Case {
    /// Plans it; the server is reached at that port.
    async fn new(house: House, outside: Outside, way: &'static str, port: u16) -> Self {
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
    async fn straight(outside: Outside, way: &'static str) -> Self {
        let port = outside.port();
        Self::new(House::open().await, outside, way, port).await
    }

    async fn ask(&self, method: &str, verb: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers = [("X-Vault-Token", self.house.server.root.as_str())];
        let path = format!("/api/v1/rotation/{verb}/secret/app/db");
        self.house.server.send_raw(method, &path, &headers, body.into_bytes()).await
    }

    async fn settle(&self) {
        self.house.server.world.rooms().rotations.settle().await;
    }

    async fn later(&self, seconds: u64) {
        self.house.server.world.clock.advance(Duration::from_secs(seconds));
        self.settle().await;
    }

    /// Username and password in force.
    async fn value(&self) -> (String, String) {
        let answer = self.house.server.operator().get("secret/data/app/db").await.expect(200);
        (answer.text_at("/data/data/username"), answer.text_at("/data/data/password"))
    }

    /// Puts a value in force whose password the outside system was not told.
    async fn write(&self, password: &str) {
        let operator = self.house.server.operator();
        let mut login = operator.get("secret/data/app/db").await.expect(200).at("/data/data").clone();
        login["password"] = json!(password);
        operator.post("secret/data/app/db", json!({"data": login})).await.expect(200);
    }

    async fn works(&self, login: &(String, String)) -> bool {
        lets_in(self.outside.system(), &self.outside.admin(), &login.0, &login.1).await
    }

    async fn running(&self) -> Option<Value> {
        let status = self.ask("GET", "status", None).await.expect(200);
        Some(status.at("/data/running").clone()).filter(|running| !running.is_null())
    }

    async fn history(&self) -> Vec<Value> {
        let answer = self.ask("GET", "history", None).await.expect(200);
        answer.at("/data/rotations").as_array().cloned().unwrap_or_default()
    }

    /// Turns the clock until nothing is under way.
    async fn to_the_end(&self) {
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
    async fn rotate(&self) -> (String, String) {
        self.ask("POST", "start", None).await.expect(200);
        self.to_the_end().await;
        let last = self.history().await.into_iter().next().expect("a rotation that ended");
        assert_eq!(last["outcome"], json!({"result": "rotated"}), "{} {}", self.outside.word(), self.way);
        self.value().await
    }

    /// What holds whenever nothing is under way.
    async fn is_well(&self, story: &str) {
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

    async fn goes_round(&self) {
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

#[tokio::test]
async fn every_way_goes_round_on_mariadb() {
    for way in ["single", "single-self", "alternating", "new-user"] {
        Case::straight(Outside::mariadb().await, way).await.goes_round().await;
    }
}

#[tokio::test]
async fn every_way_goes_round_on_redis() {
    for way in ["single", "alternating", "new-user"] {
        Case::straight(Outside::redis().await, way).await.goes_round().await;
    }
}

#[tokio::test]
async fn every_way_goes_round_on_rabbitmq() {
    for way in ["single", "alternating", "new-user"] {
        Case::straight(Outside::rabbitmq().await, way).await.goes_round().await;
    }
}

/// A client that stays: dropping it ends its session.
enum Session {
    Client(Child),
    Socket(TcpStream),
}

impl Session {
    async fn open(outside: &Outside, (username, password): &(String, String)) -> Self {
        if let Outside::Redis(server) = outside {
            let mut socket = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
            socket.write_all(format!("AUTH {username} {password}\r\n").as_bytes()).await.unwrap();
            let mut said = [0; 5];
            socket.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"+OK\r\n");
            return Self::Socket(socket);
        }
        let mut client = Command::new("/usr/bin/mariadb");
        client.args(["--no-defaults", "--unbuffered", "--host=127.0.0.1", "--skip-column-names"]);
        client.args([&format!("--port={}", outside.port()), &format!("--user={username}")]).env("MYSQL_PWD", password);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"SELECT 1;\n").unwrap();
        let mut said = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        Self::Client(child)
    }

    async fn close(self) {
        match self {
            Self::Client(mut child) => {
                drop(child.stdin.take());
                child.wait().unwrap();
            }
            Self::Socket(mut socket) => {
                socket.write_all(b"QUIT\r\n").await.unwrap();
                socket.read_to_end(&mut Vec::new()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_former_login_stays_until_its_last_session_is_over() {
    for outside in [Outside::mariadb().await, Outside::redis().await] {
        let case = Case::straight(outside, "new-user").await;
        let former = case.rotate().await;
        let session = Session::open(&case.outside, &former).await;
        case.ask("POST", "start", None).await.expect(200);
        for _ in 0..3 {
            case.later(301).await;
        }
        let running = case.running().await.expect("it waits for the session");
        assert!(running["error"].as_str().unwrap().contains("1 sessions"), "{running}");
        assert!(case.works(&former).await);
        session.close().await;
        case.to_the_end().await;
        assert!(!case.works(&former).await);
        case.is_well("after the session").await;
    }
}

#[tokio::test]
async fn a_random_value_follows_the_password_policy_that_the_plan_names() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let operator = case.house.server.operator();
    let policy = "length = 31\nrule \"charset\" { charset = \"abcdef\" }";
    operator.post("sys/policies/password/six", json!({"policy": policy})).await.expect(204);
    let token = json!({"data": {"token": "first", "for": "the other side"}});
    operator.post("secret/data/app/db", token).await.expect(200);
    let plan = |options: Value| json!({"method": "random", "admin": "", "options": options});
    let wrong = case.ask("POST", "schedule", Some(plan(json!({"password_policy": "six"})))).await.expect(400);
    assert!(wrong.text.contains("field"), "{}", wrong.text);
    let good = plan(json!({"password_policy": "six", "field": "token"}));
    case.ask("POST", "schedule", Some(good)).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.to_the_end().await;
    let now = operator.get("secret/data/app/db").await.expect(200);
    let token = now.text_at("/data/data/token");
    assert!(token.len() == 31 && token.chars().all(|c| "abcdef".contains(c)), "{token}");
    assert_eq!(now.text_at("/data/data/for"), "the other side");
    let missing = plan(json!({"password_policy": "seven", "field": "token"}));
    case.ask("POST", "schedule", Some(missing)).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.to_the_end().await;
    let last = case.history().await.remove(0);
    assert!(last["outcome"]["why"].as_str().unwrap().contains("no password policy seven"), "{last}");
}

/// What can be killed or lost in one rotation of each strategy, from any moment on.
async fn killed_at_every_commit(outside: Outside, way: &'static str) {
    let mut case = Case::straight(outside, way).await;
    case.rotate().await;
    for commits in 0..64 {
        case.house.way.cut_after(commits);
        let begun = case.ask("POST", "start", None).await.status.is_success();
        if begun {
            // A former login goes when its time is over.
            case.settle().await;
            case.later(301).await;
            case.later(301).await;
        }
        let was_cut = case.house.way.is_cut();
        case.house = case.house.crash().await;
        case.to_the_end().await;
        let outcome = case.history().await.first().map(|past| past["outcome"].clone());
        assert_eq!(outcome, Some(json!({"result": "rotated"})), "{} {way} after {commits}", case.outside.word());
        case.is_well(&format!("killed after {commits} commits")).await;
        if !was_cut {
            assert!(commits > 5, "a rotation of {commits} commits");
            return;
        }
    }
    panic!("a rotation of {} {way} never ended", case.outside.word());
}

/// How a relay is told to fail.
type Fault = fn(&Relay, &str);

/// Each kind of request is lost on its way there or back, or unanswered when the process dies.
async fn lost_at_every_act(outside: Outside, way: &'static str) {
    let relay = Relay::to(outside.port()).await;
    let mut case = Case::new(House::open().await, outside, way, relay.port()).await;
    let faults: [(&str, Fault); 3] =
        [("request", Relay::lose_request), ("reply", Relay::lose_reply), ("answer and process", Relay::lose_reply)];
    for (number, mark) in case.outside.marks().into_iter().enumerate() {
        for (what, fault) in faults {
            // Two rotations: what makes a login happens in the first, what drops one in the second.
            for _ in 0..2 {
                fault(&relay, mark);
                case.ask("POST", "start", None).await.expect(200);
                case.settle().await;
                if what.ends_with("process") {
                    case.house = case.house.crash().await;
                }
                case.to_the_end().await;
                case.is_well(&format!("{what} of act {number} lost")).await;
                let last = case.history().await.remove(0);
                assert_eq!(last["outcome"], json!({"result": "rotated"}), "{} {way} {mark}", case.outside.word());
            }
        }
    }
}

#[tokio::test]
async fn killed_at_any_commit_a_rotation_goes_on_and_the_value_in_force_works() {
    let postgres = || async { Outside::Postgres(Arc::clone(&House::open().await.postgres)) };
    for way in ["single", "single-self", "alternating", "new-user"] {
        killed_at_every_commit(postgres().await, way).await;
        killed_at_every_commit(Outside::mariadb().await, way).await;
    }
    for way in ["single", "alternating", "new-user"] {
        killed_at_every_commit(Outside::redis().await, way).await;
        killed_at_every_commit(Outside::rabbitmq().await, way).await;
    }
}

#[tokio::test]
async fn a_request_or_answer_that_is_lost_in_any_phase_is_made_up_for() {
    let postgres = || async { Outside::Postgres(Arc::clone(&House::open().await.postgres)) };
    for way in ["single", "single-self", "alternating", "new-user"] {
        lost_at_every_act(postgres().await, way).await;
        lost_at_every_act(Outside::mariadb().await, way).await;
    }
    for way in ["single", "alternating", "new-user"] {
        lost_at_every_act(Outside::redis().await, way).await;
        lost_at_every_act(Outside::rabbitmq().await, way).await;
    }
}

/// A place that takes messages, one after the other.
struct Receiver {
    port: u16,
    heard: tokio::sync::mpsc::Receiver<Value>,
    // Aborted when it is dropped.
    _running: tokio::task::JoinSet<()>,
}

impl Receiver {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = tokio::sync::mpsc::channel(64);
        let mut running = tokio::task::JoinSet::new();
        running.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut whole = Vec::new();
                let body = loop {
                    let mut part = [0; 4_096];
                    let read = socket.read(&mut part).await.unwrap();
                    whole.extend_from_slice(&part[..read]);
                    let text = String::from_utf8_lossy(&whole).into_owned();
                    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if length.is_some_and(|length| body.len() == length.parse::<usize>().unwrap()) || read == 0 {
                        break body.to_owned();
                    }
                };
                let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = tell.send(serde_json::from_str(&body).unwrap()).await;
            }
        });
        Self { port, heard, _running: running }
    }
}

#[tokio::test]
async fn who_should_look_is_told_by_webhook_trail_and_status_and_told_when_it_is_well_again() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let (operator, mut there) = (case.house.server.operator(), Receiver::open().await);
    let url = format!("http://127.0.0.1:{}/", there.port);
    for (name, style) in [("programs", "json"), ("people", "slack")] {
        let body = json!({"url": url, "style": style, "topics": ["rotation"], "internal": true}).to_string();
        let headers = [("X-Vault-Token", case.house.server.root.as_str())];
        let path = format!("/api/v1/webhooks/{name}");
        let made = case.house.server.send_raw("POST", &path, &headers, body.into_bytes()).await;
        assert!(made.status.is_success(), "{}", made.text);
    }
    let right = operator.get("secret/data/app/admin").await.expect(200).at("/data/data").clone();
    let mut wrong = right.clone();
    wrong["password"] = json!("wr0ng-canary");
    operator.post("secret/data/app/admin", json!({"data": wrong})).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.to_the_end().await;
    let status = case.ask("GET", "status", None).await.expect(200);
    assert_eq!(status.at("/data/before/outcome/phase"), "setting", "{}", status.text);
    assert!(status.text_at("/data/before/outcome/why").contains("refused the login of admin"), "{}", status.text);
    assert!(status.text_at("/data/advice").contains("rotate start"), "{}", status.text);
    case.house.server.world.rooms().webhooks.settle().await;
    let mut heard = vec![there.heard.recv().await.unwrap(), there.heard.recv().await.unwrap()];
    heard.sort_by_key(|one| one["text"].is_string());
    assert_eq!(heard[0]["type"], "rotation.rotation-failed", "{heard:?}");
    assert_eq!(heard[0]["data"]["path"], "secret/app/db");
    assert!(heard[1]["text"].as_str().unwrap().contains("rotation-failed"), "{heard:?}");
    let entries = case.house.server.world.entries().await;
    assert!(entries.iter().any(|entry| entry["operation"] == "rotation-failed" && entry["path"] == "secret/app/db"));
    assert!(!format!("{entries:?}{heard:?}{}", status.text).contains("canary"));

    operator.post("secret/data/app/admin", json!({"data": right})).await.expect(200);
    case.rotate().await;
    case.house.server.world.rooms().webhooks.settle().await;
    let told = [there.heard.recv().await.unwrap(), there.heard.recv().await.unwrap()];
    assert!(format!("{told:?}").contains("rotation-recovered"), "{told:?}");
}

#[tokio::test]
async fn what_is_held_up_is_told_once_as_stuck_and_once_as_past_due() {
    let redis = Arc::new(Redis::start().await);
    let case = Case::straight(Outside::Redis(Arc::clone(&redis)), "single").await;
    case.ask("POST", "schedule", Some(json!({"schedule": "rate(4 hours)"}))).await.expect(200);
    redis.stop();
    case.later(4 * 3_600).await;
    for _ in 0..30 {
        case.later(301).await;
    }
    let running = case.running().await.expect("it goes on trying");
    assert!(running["error"].as_str().unwrap().contains("cannot be reached") && running["attempts"].as_u64() > Some(4));
    let entries = case.house.server.world.entries().await;
    let told = |kind: &str| entries.iter().filter(|entry| entry["operation"] == kind).count();
    assert_eq!((told("rotation-stuck"), told("rotation-late")), (1, 1));
}

#[tokio::test]
async fn a_value_that_others_know_is_worthless_after_an_urgent_rotation() {
    let cases = [(Outside::mariadb().await, "alternating"), (Outside::redis().await, "new-user")];
    for (outside, way) in cases {
        let case = Case::straight(outside, way).await;
        let (first, second) = (case.value().await, case.rotate().await);
        assert!(case.works(&first).await);
        let leak = json!({"leaked": true, "reason": "seen in a ticket"});
        case.ask("POST", "start", Some(leak)).await.expect(200);
        case.to_the_end().await;
        let third = case.value().await;
        assert!(case.works(&third).await && !case.works(&second).await, "{way}");
        assert_eq!(case.history().await[0]["trigger"], "root (leaked: seen in a ticket)");
        // The same by the emergency revocation of the secret.
        let order = json!({"secret": "secret/app/db", "reason": "found in a repository"}).to_string();
        let headers = [("X-Vault-Token", case.house.server.root.as_str())];
        let done = case.house.server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()).await;
        let done = done.expect(200);
        assert_eq!(done.at("/data/incident/cut/rotated"), true, "{}", done.text);
        let fourth = case.value().await;
        assert!(case.works(&fourth).await && !case.works(&third).await, "{way}");
        assert!(!case.works(&first).await || way == "new-user", "{way}");
    }
}

/// The incidents that are not lifted, newest first.
async fn incidents(case: &Case) -> Vec<Value> {
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let shown = case.house.server.send_raw("GET", "/api/v1/incidents", &headers, Vec::new()).await.expect(200);
    shown.at("/data/incidents").as_array().unwrap().clone()
}

/// The order comes, and the process dies after so many commits: what the rotation then put in force stays readable.
async fn killed_in_an_emergency(outside: Outside, way: &'static str) {
    let mut case = Case::straight(outside, way).await;
    for commits in 0..64 {
        let known = case.house.server.operator().get("secret/metadata/app/db").await.expect(200);
        let (known, before) = (known.at("/data/current_version").clone(), incidents(&case).await.len());
        case.house.way.cut_after(commits);
        let cut = async {
            while !case.house.way.is_cut() {
                tokio::task::yield_now().await;
            }
        };
        let order = json!({"secret": "secret/app/db", "reason": "found in a repository"}).to_string();
        let headers = [("X-Vault-Token", case.house.server.root.as_str())];
        tokio::select! {
            _ = case.house.server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()) => {}
            () = cut => {}
        }
        let was_cut = case.house.way.is_cut();
        case.house = case.house.crash().await;
        let story = format!("{} {way}: killed after {commits} commits", case.outside.word());
        if incidents(&case).await.len() > before {
            let newest = incidents(&case).await.remove(0);
            let cut = &newest["cut"];
            assert!(cut["rotated"] == true || cut["version"] == known, "{story}: {newest}");
            let id = newest["id"].as_str().unwrap().to_owned();
            for _ in 0..3 {
                case.later(301).await;
            }
            incident_until(&case, &id, |shown| shown.at("/data/incident/state") == "done").await;
        }
        case.to_the_end().await;
        case.is_well(&story).await;
        if !was_cut {
            assert!(commits > 5, "an emergency of {commits} commits");
            return;
        }
    }
    panic!("an emergency about {} {way} never ended", case.outside.word());
}

#[tokio::test]
async fn killed_at_any_commit_an_emergency_hides_nothing_that_it_put_in_force() {
    for way in ["single", "alternating"] {
        killed_in_an_emergency(Outside::redis().await, way).await;
        killed_in_an_emergency(Outside::mariadb().await, way).await;
    }
}

/// Cuts the secret off while its system does not answer; the incident's id.
async fn cut_off_while_it_is_away(case: &Case) -> String {
    let order = json!({"secret": "secret/app/db", "reason": "found in a repository"}).to_string();
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let done = case.house.server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()).await.expect(200);
    assert_eq!(done.at("/data/incident/cut/rotated"), false, "{}", done.text);
    case.house.server.operator().get("secret/data/app/db").await.expect(404);
    done.text_at("/data/incident/id")
}

/// The incident when housekeeping has worked at it, in the state wanted.
async fn incident_until(case: &Case, id: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        case.house.server.world.rooms().housekeep().await;
        let path = format!("/api/v1/incidents/{id}");
        let shown = case.house.server.send_raw("GET", &path, &headers, Vec::new()).await.expect(200);
        if is_so(&shown) {
            return shown;
        }
        assert!(std::time::Instant::now() < deadline, "{}", shown.text);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_emergency_takes_the_value_out_of_use_where_it_cannot_be_rotated_and_stays_open_until_lifted() {
    let redis = Arc::new(Redis::start().await);
    let case = Case::straight(Outside::Redis(Arc::clone(&redis)), "single").await;
    redis.stop();
    let id = cut_off_while_it_is_away(&case).await;
    for _ in 0..5 {
        case.later(301).await;
    }
    let failed = |shown: &Answer| !shown.at("/data/incident/steps/0/failures/0").is_null();
    let shown = incident_until(&case, &id, failed).await;
    assert_eq!(shown.at("/data/incident/state"), "open", "{}", shown.text);
    assert_eq!(shown.at("/data/incident/steps/0/what"), "rotation");
    assert!(shown.text_at("/data/incident/steps/0/failures/0/next").contains("still lets in"), "{}", shown.text);
    assert!(!shown.text.contains("canary"));
    // A person may say that it is over.
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let (path, why) = (format!("/api/v1/incidents/{id}/lift"), json!({"reason": "it was ours"}).to_string());
    let lifted = case.house.server.send_raw("POST", &path, &headers, why.into_bytes()).await.expect(200);
    assert_eq!(lifted.at("/data/incident/state"), "lifted", "{}", lifted.text);
    assert_eq!(case.value().await.1, FIRST);
}

/// The rotation was cancelled, the incident said that nothing was left, and the value that others knew let in for ever.
#[tokio::test]
async fn a_value_that_others_know_is_made_worthless_when_its_system_is_back() {
    let outside = Outside::mariadb().await;
    for way in ["single", "alternating"] {
        let relay = Relay::to(outside.port()).await;
        let case = Case::new(House::open().await, outside.clone(), way, relay.port()).await;
        let known = if way == "alternating" { case.rotate().await } else { case.value().await };
        relay.lose_request(case.outside.marks()[1]);
        let id = cut_off_while_it_is_away(&case).await;
        assert!(case.works(&known).await, "{way}");
        for _ in 0..3 {
            case.later(301).await;
        }
        let shown = incident_until(&case, &id, |shown| shown.at("/data/incident/state") == "done").await;
        assert_eq!(shown.at("/data/incident/cut/rotated"), true, "{}", shown.text);
        let now = case.value().await;
        assert!(case.works(&now).await && !case.works(&known).await, "{way}");
    }
}

/// A rotation that waits for its database, which is down.
async fn held_up(way: &'static str, stored: Option<&str>) -> Case {
    let house = House::alone().await;
    let (outside, port) = (Outside::Postgres(Arc::clone(&house.postgres)), house.postgres.port());
    let case = Case::new(house, outside, way, port).await;
    if let Some(password) = stored {
        case.write(password).await;
    }
    case.house.postgres.stop();
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    let running = case.running().await.expect("it waits");
    assert_eq!((&running["phase"], running["attempts"].as_u64() > Some(0)), (&json!("setting"), true), "{running}");
    case
}

#[tokio::test]
async fn what_was_written_while_the_database_was_down_is_made_good_when_it_is_back() {
    for (way, writes) in [("single-self", 1), ("single-self", 3), ("single", 1)] {
        let case = held_up(way, None).await;
        for number in 0..writes {
            case.write(&format!("wr1tten-canary-{number}")).await;
        }
        case.house.postgres.restart().await;
        case.to_the_end().await;
        let last = case.history().await.remove(0);
        assert_eq!((&last["outcome"]["result"], &last["outcome"]["phase"]), (&json!("rolled-back"), &json!("setting")));
        assert_eq!(case.value().await.1, format!("wr1tten-canary-{}", writes - 1));
        case.is_well(&format!("written {writes} times")).await;
        case.rotate().await;
        case.is_well("rotated again").await;
    }
}

#[tokio::test]
async fn a_password_that_never_was_right_ends_the_rotation_and_says_so() {
    let case = held_up("single-self", Some("wr0ng-canary")).await;
    case.house.postgres.restart().await;
    // Nor was the one before, once it was changed by hand.
    case.house.postgres.sql(&format!("ALTER ROLE \"{}\" PASSWORD 'by-hand-canary'", case.name));
    case.to_the_end().await;
    let last = case.history().await.remove(0);
    let why = last["outcome"]["why"].as_str().unwrap();
    assert!(last["outcome"]["result"] == "rolled-back" && why.contains("no known password of"), "{last}");
    assert!(!last.to_string().contains("canary"), "{last}");
    case.write("by-hand-canary").await;
    case.rotate().await;
    case.is_well("after the right one was written").await;
}

/// A database that is down, and what cannot be rolled back because of that.
#[tokio::test]
async fn a_rotation_that_cannot_be_rolled_back_is_given_up_by_who_does_not_want_to_wait() {
    let case = held_up("single", None).await;
    let cancelled = |answer: &Answer| answer.at("/data/cancelled/result").clone();
    assert_eq!(cancelled(&case.ask("POST", "cancel", None).await.expect(200)), "rolling-back");
    case.settle().await;
    let stuck = case.running().await.expect("it is held up");
    assert_eq!((&stuck["phase"], &stuck["attempts"]), (&json!("rolling-back"), &json!(1)), "{stuck}");
    let refused = case.ask("POST", "start", None).await.expect(409);
    assert!(refused.text.contains("is under way, and what it did is being rolled back; wait"), "{}", refused.text);
    let advice = stuck["advice"].as_str().unwrap();
    assert!(["By hand", "strongroom kv put", "strongroom rotate cancel"].iter().all(|said| advice.contains(said)));
    let answer = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(cancelled(&answer), "given-up");
    case.settle().await;
    assert!(case.running().await.is_none());
    let last = case.history().await.remove(0);
    let why = last["outcome"]["why"].as_str().unwrap();
    assert!(last["outcome"]["unsettled"] == true && why.contains("gave up rolling it back after 1 tries"), "{last}");
    // Somebody may have written since, so that the value in force is neither: the versions are named.
    assert!(why.contains("value of version 1, which was in force when it began, or that of version 2"), "{why}");
    let status = case.ask("GET", "status", None).await.expect(200);
    assert!(status.text_at("/data/advice").contains("the two versions that the reason names"), "{}", status.text);
    // What may be the value outside is still here.
    case.house.server.operator().get("secret/data/app/db?version=2").await.expect(200);
    let nothing = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(cancelled(&nothing), "nothing-under-way");
    case.house.postgres.restart().await;
    case.rotate().await;
    case.is_well("given up, then rotated").await;
}

#[tokio::test]
async fn a_login_that_no_known_password_opens_is_put_right_by_hand_as_the_status_says() {
    let case = held_up("single", None).await;
    // Somebody changed both logins outside.
    let operator = case.house.server.operator();
    let mut admin = operator.get("secret/data/app/admin").await.expect(200).at("/data/data").clone();
    admin["password"] = json!("wr0ng-canary");
    operator.post("secret/data/app/admin", json!({"data": admin})).await.expect(200);
    case.house.postgres.restart().await;
    case.house.postgres.sql(&format!("ALTER ROLE \"{}\" PASSWORD 'by-hand-canary'", case.name));
    for _ in 0..6 {
        case.later(301).await;
    }
    let stuck = case.running().await.expect("nobody can put it right");
    assert!(stuck["phase"] == "rolling-back" && stuck["advice"].as_str().unwrap().contains("By hand"), "{stuck}");
    assert!(!stuck.to_string().contains("canary"), "{stuck}");
    case.house.postgres.sql(&format!("ALTER ROLE \"{}\" PASSWORD '{FIRST}'", case.name));
    case.to_the_end().await;
    let last = case.history().await.remove(0);
    assert!(last["outcome"]["result"] == "rolled-back" && last["outcome"]["unsettled"].is_null(), "{last}");
    case.is_well("put right by hand").await;
}

impl Case {
    /// Logins that rotations made, as the status has them.
    async fn made(&self) -> Vec<String> {
        let status = self.ask("GET", "status", None).await.expect(200);
        let made = status.at("/data/made").as_array().cloned().unwrap_or_default();
        made.iter().map(|one| one["login"].as_str().unwrap().to_owned()).collect()
    }
}

/// Whoever cancelled it was told that it was too late, and it waited on for a session that nobody could end.
#[tokio::test]
async fn a_rotation_whose_value_is_in_force_waits_no_longer_when_it_is_cancelled_and_the_next_one_clears_up() {
    let case = Case::straight(Outside::Postgres(Arc::clone(&House::open().await.postgres)), "new-user").await;
    // The first login was made by nobody here, so it does not go.
    let former = case.rotate().await;
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    assert_eq!(case.running().await.expect("it waits")["phase"], "retiring");
    let answer = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(answer.at("/data/cancelled/result"), "left", "{}", answer.text);
    case.settle().await;
    assert!(case.running().await.is_none());
    let last = case.history().await.remove(0);
    assert_eq!(last["outcome"], json!({"result": "rotated"}));
    let left = last["left"].as_str().unwrap();
    assert!(left.contains("root ended it") && left.contains("version 2") && left.contains("time to notice"), "{last}");
    let now = case.value().await;
    assert!(case.works(&now).await && case.works(&former).await && former != now);
    assert_eq!(case.made().await, [former.0.clone(), now.0.clone()]);
    // What was left goes with the next former one.
    let newest = case.rotate().await;
    assert!(case.works(&newest).await && !case.works(&now).await && !case.works(&former).await);
    assert_eq!(case.made().await, std::slice::from_ref(&newest.0));
    case.is_well("left, then cleared up").await;
    // Where others know a value, nothing is left of those before it either.
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    case.ask("POST", "cancel", None).await.expect(200);
    case.settle().await;
    let known = case.value().await;
    assert!(case.works(&newest).await && case.works(&known).await);
    case.ask("POST", "start", Some(json!({"leaked": true}))).await.expect(200);
    case.to_the_end().await;
    let works = (case.works(&newest).await, case.works(&known).await);
    assert_eq!(works, (false, false), "{:?} {:?}", case.made().await, case.history().await.first());
    assert_eq!(case.made().await, [case.value().await.0]);
    case.is_well("left, then known to others").await;
}

#[tokio::test]
async fn a_value_that_others_know_is_made_worthless_whoever_cancels_that() {
    let case = Case::straight(Outside::Postgres(Arc::clone(&House::open().await.postgres)), "new-user").await;
    let known = case.rotate().await;
    let mut options = json!({"role": case.name, "overlap": "10s", "revocation_statements": "SELECT 1 / 0"});
    case.ask("POST", "schedule", Some(json!({ "options": options }))).await.expect(200);
    case.ask("POST", "start", Some(json!({"leaked": true}))).await.expect(200);
    case.settle().await;
    let running = case.running().await.expect("the former login could not be dropped");
    assert_eq!((&running["phase"], &running["attempts"]), (&json!("retiring"), &json!(1)), "{running}");
    let answer = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(answer.at("/data/cancelled/result"), "known", "{}", answer.text);
    options.as_object_mut().unwrap().remove("revocation_statements");
    case.ask("POST", "schedule", Some(json!({ "options": options }))).await.expect(200);
    case.to_the_end().await;
    assert!(!case.works(&known).await && case.history().await[0]["left"].is_null());
    assert_eq!(case.made().await, [case.value().await.0]);
    case.is_well("known, and cancelled").await;
}

/// Any login was taken for one of the rotations' own whose name was the role's with eight characters behind it.
#[tokio::test]
async fn a_login_that_is_called_like_those_of_rotations_is_not_theirs_to_change_or_drop() {
    let case = Case::straight(Outside::Postgres(Arc::clone(&House::open().await.postgres)), "new-user").await;
    let own = case.rotate().await;
    let strange = (format!("{}_str4nger", case.name), "str4nge-canary".to_owned());
    case.outside.make(&strange.0, &strange.1);
    // Who may only write the secret has it neither changed nor dropped ...
    let writer = case.writer().await;
    case.rename(&writer, &[("username", &strange.0), ("password", &strange.1)]).await;
    case.is_refused(&writer).await;
    // ... and who may plan has it rotated away from, as the first login was, and it stays.
    case.ask("POST", "schedule", Some(json!({"admin": "app/admin"}))).await.expect(200);
    let new = case.rotate().await;
    assert!(case.works(&new).await && case.works(&strange).await);
    // What the rotation before it had made is still known as such, and had no session.
    assert!(!case.works(&own).await);
    assert_eq!(case.made().await, [new.0]);
}

#[tokio::test]
async fn a_plan_names_a_secret_that_is_there_and_that_its_writer_may_read() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let missing = case.ask("POST", "schedule", Some(json!({"admin": "app/none"}))).await;
    assert!(missing.status.is_client_error() && missing.text.contains("secret/app/none"), "{}", missing.text);
    let operator = case.house.server.operator();
    let rules = r#"path "secret/data/app/db" { capabilities = ["update"] }"#;
    operator.post("sys/policies/acl/writer", json!({"policy": rules})).await.expect(204);
    let token = operator.post("auth/token/create", json!({"policies": ["writer"]})).await.expect(200);
    let token = token.text_at("/auth/client_token");
    for path in ["app/admin", "app/none"] {
        let body = json!({"admin": path}).to_string().into_bytes();
        let headers = [("X-Vault-Token", token.as_str())];
        let answer =
            case.house.server.send_raw("POST", "/api/v1/rotation/schedule/secret/app/db", &headers, body).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
        assert!(answer.text.contains(&format!("secret/data/{path}, which you may not read")), "{}", answer.text);
    }
    // What it was before, it still is.
    let plan = case.ask("GET", "status", None).await.expect(200);
    assert_eq!(plan.at("/data/plan/admin"), "app/admin");
    case.rotate().await;
    case.is_well("after plans that were refused").await;
}

impl Case {
    /// Somebody who may write the secret, and read it, but not what holds the login that may change others.
    async fn writer(&self) -> String {
        let operator = self.house.server.operator();
        let rules = r#"path "secret/data/app/db" { capabilities = ["create", "update", "read"] }"#;
        operator.post("sys/policies/acl/writer", json!({"policy": rules})).await.expect(204);
        let made = operator.post("auth/token/create", json!({"policies": ["writer"]})).await.expect(200);
        made.text_at("/auth/client_token")
    }

    /// What the writer does: names another login, or another place.
    async fn rename(&self, token: &str, changes: &[(&str, &str)]) {
        let operator = self.house.server.operator();
        let mut login = operator.get("secret/data/app/db").await.expect(200).at("/data/data").clone();
        for (field, text) in changes {
            login[*field] = json!(text);
        }
        let headers = [("X-Vault-Token", token)];
        let body = json!({"data": login}).to_string().into_bytes();
        self.house.server.send_raw("POST", "/v1/secret/data/app/db", &headers, body).await.expect(200);
    }

    /// What the writer begins ends before anything is done outside.
    async fn is_refused(&self, token: &str) {
        let headers = [("X-Vault-Token", token)];
        let path = "/api/v1/rotation/start/secret/app/db";
        self.house.server.send_raw("POST", path, &headers, Vec::new()).await.expect(200);
        self.to_the_end().await;
        let last = self.history().await.remove(0);
        let why = last["outcome"]["why"].as_str().unwrap_or_default();
        assert_eq!(last["outcome"]["phase"], "creating", "{}: {last}", self.way);
        assert!(why.contains("was written for") && why.contains("rotate schedule -admin="), "{why}");
    }
}

#[tokio::test]
async fn who_may_only_write_a_secret_gets_no_login_but_the_one_that_its_plan_was_written_for() {
    for way in ["single", "alternating", "new-user"] {
        let house = House::open().await;
        let outside = Outside::Postgres(Arc::clone(&house.postgres));
        let case = Case::straight(outside, way).await;
        let (writer, boss) = (case.writer().await, format!("boss{}", case.house.role));
        case.outside.make(&boss, "b0ss-canary");
        let of_boss = (boss.clone(), "b0ss-canary".to_owned());
        case.rename(&writer, &[("username", &boss), ("password", "x")]).await;
        case.is_refused(&writer).await;
        // Nor does who may plan hand it over by changing something else about the plan.
        let other = case.ask("POST", "schedule", Some(json!({"schedule": "rate(10 days)"}))).await;
        assert!(other.status.is_client_error() && other.text.contains("was written for"), "{}", other.text);
        case.rename(&writer, &[("username", &case.name), ("password", FIRST), ("dbname", "postgres")]).await;
        case.is_refused(&writer).await;
        assert!(case.works(&of_boss).await, "{way}");
        case.rename(&writer, &[("dbname", "app")]).await;
        case.rotate().await;
        case.rotate().await;
        case.is_well("after what was refused").await;
        // Who may plan says that it is for another login from now on.
        case.rename(&writer, &[("username", &boss), ("password", "b0ss-canary")]).await;
        case.ask("POST", "schedule", Some(json!({"admin": "app/admin"}))).await.expect(200);
        let now = case.rotate().await;
        assert!(case.works(&now).await && now.1 != "b0ss-canary", "{way}");
    }
}

#[tokio::test]
async fn a_login_that_somebody_names_while_a_rotation_is_rolled_back_stays_as_it_is() {
    let case = held_up("single", None).await;
    case.house.postgres.restart().await;
    let (writer, boss) = (case.writer().await, format!("boss{}", case.house.role));
    case.outside.make(&boss, "b0ss-canary");
    case.rename(&writer, &[("username", &boss), ("password", "taken-canary")]).await;
    case.to_the_end().await;
    assert_eq!(case.history().await.remove(0)["outcome"]["result"], "rolled-back");
    assert!(case.works(&(boss, "b0ss-canary".to_owned())).await);
    assert!(case.works(&(case.name.clone(), FIRST.to_owned())).await);
}

#[tokio::test]
async fn the_login_that_may_change_others_is_never_changed_by_itself() {
    for way in ["single", "alternating"] {
        let house = House::open().await;
        let outside = Outside::Postgres(Arc::clone(&house.postgres));
        let case = Case::straight(outside, way).await;
        let admin = case.outside.admin();
        let writer = case.writer().await;
        case.rename(&writer, &[("username", admin.username), ("password", admin.password)]).await;
        case.is_refused(&writer).await;
        let answer = case.ask("POST", "schedule", Some(json!({"admin": "app/admin"}))).await;
        assert!(answer.status.is_client_error() && answer.text.contains("locked out"), "{}", answer.text);
        assert!(case.works(&(admin.username.to_owned(), admin.password.to_owned())).await);
    }
}

#[tokio::test]
async fn a_function_that_prints_what_it_was_given_puts_its_credentials_nowhere() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let plan = json!({"method": "function:leaky", "options": {}, "admin": ""});
    case.ask("POST", "schedule", Some(plan)).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    let running = case.running().await.expect("it is tried again");
    case.to_the_end().await;
    let status = case.ask("GET", "status", None).await.expect(200).text;
    let entries = format!("{:?}", case.house.server.world.entries().await);
    for said in [running["error"].as_str().unwrap(), &status, &entries, &format!("{:?}", case.history().await)] {
        let said = said.replace('\\', "");
        assert!(said.contains("leaking"), "{said}");
        for told in said.split("leaking").skip(1) {
            let told = told.split("SECRETS_MANAGER_ENDPOINT").next().unwrap();
            assert!(told.starts_with(r#" ":"***" "#), "{told}");
            assert!(told.ends_with(r#"AWS_SECRET_ACCESS_KEY":"***","AWS_SESSION_TOKEN":"***",""#), "{told}");
        }
    }
}

/// Writes a parameter that ends by itself, as AWS's clients do.
async fn put_parameter(server: &TestServer, name: &str, end: &str) {
    let made =
        server.operator().post("sys/access-keys", json!({"policies": "root", "name": "tests"})).await.expect(200);
    let (id, secret) = (made.text_at("/data/access_key_id"), made.text_at("/data/secret_access_key"));
    let policy = json!([{"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": end}}]).to_string();
    let body =
        json!({"Name": name, "Value": "x", "Type": "String", "Tier": "Advanced", "Policies": policy}).to_string();
    let now = server.world.clock.now().to_string();
    let stamp: String = now.chars().take(19).filter(char::is_ascii_alphanumeric).chain(['Z']).collect();
    let (day, target) = (&stamp[..8], "AmazonSSM.PutParameter");
    let hash = |text: &str| hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
    let signed = "host;x-amz-date;x-amz-target";
    let canonical =
        format!("POST\n/\n\nhost:localhost\nx-amz-date:{stamp}\nx-amz-target:{target}\n\n{signed}\n{}", hash(&body));
    let scope = format!("{day}/us-east-1/ssm/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hash(&canonical));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, "us-east-1", "ssm", "aws4_request"] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    let signature = hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()));
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-date", &stamp),
        ("x-amz-target", target),
    ];
    server.send_raw("POST", "/", &headers, body.into_bytes()).await.expect(200);
}

#[tokio::test]
async fn a_secret_that_ends_by_itself_is_told_of_once_in_time() {
    let server = TestServer::open().await;
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    server.operator().post("sys/mounts/parameter", kv).await;
    let day = Duration::from_secs(86_400);
    let end = server.world.clock.now().plus(day * 10);
    put_parameter(&server, "/app/setting", &end.to_string()).await;
    let told = async |days: u32| {
        server.world.clock.advance(day * days);
        server.world.rooms().rotations.settle().await;
        let entries = server.world.entries().await;
        entries.into_iter().filter(|entry| entry["operation"] == "secret-expires").collect::<Vec<_>>()
    };
    assert_eq!(told(1).await.len(), 0);
    let entries = told(7).await;
    assert_eq!(entries.len(), 1);
    assert!(entries[0]["path"].as_str().unwrap().ends_with("/app/setting"), "{}", entries[0]);
    assert_eq!(told(1).await.len(), 1);
}
