//! A strongroom with a PostgreSQL beside it.

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_connectors::{Connector, ConnectorError, Limits, PasswordForm, Settings, System, open};
use strongroom_model::{Clock, SecretString};
use strongroom_testkit::TestServer;
use strongroom_testkit::outside::Postgres;

/// What logins of the tests may do.
pub(crate) const CREATE: &str = r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; GRANT CONNECT ON DATABASE app TO "{{name}}""#;

pub(crate) struct House {
    pub(crate) server: TestServer,
    pub(crate) postgres: Postgres,
}

/// A login that was handed out.
pub(crate) struct Login {
    pub(crate) lease: String,
    pub(crate) username: String,
    pub(crate) password: String,
}

impl House {
    /// With the engine mounted, the connection `app` and the role `app-role`.
    pub(crate) async fn open() -> Self {
        let (server, postgres) = (TestServer::open().await, Postgres::start().await);
        // PostgreSQL goes by its own clock, and refuses logins that are to end before now.
        let theirs = postgres.sql("SELECT floor(extract(epoch FROM now()))::bigint").trim().parse::<u64>().unwrap();
        let ours = server.world.clock.now().secs();
        server.world.clock.advance(Duration::from_secs(theirs.saturating_sub(ours)));
        server.operator().post("sys/mounts/database", json!({"type": "database"})).await.expect(204);
        let house = Self { server, postgres };
        house.configure(house.postgres.port(), json!({})).await;
        house.role("app-role", json!({})).await;
        house
    }

    /// Writes the connection, to be reached at that port.
    pub(crate) async fn configure(&self, port: u16, more: Value) {
        let admin = self.postgres.admin();
        let mut body = json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": self.postgres.url(port),
            "username": admin.username,
            "password": admin.password,
            "allowed_roles": "app-*",
        });
        merge(&mut body, more);
        self.server.operator().post("database/config/app", body).await.expect(204);
    }

    /// Writes a role.
    pub(crate) async fn role(&self, name: &str, more: Value) {
        let mut body = json!({
            "db_name": "app", "creation_statements": CREATE, "default_ttl": "1h", "max_ttl": "24h",
        });
        merge(&mut body, more);
        self.server.operator().post(&format!("database/roles/{name}"), body).await.expect(204);
    }

    /// Asks for a login as the operator.
    pub(crate) async fn login(&self, role: &str) -> Login {
        let answer = self.server.operator().get(&format!("database/creds/{role}")).await.expect(200);
        Login {
            lease: answer.text_at("/lease_id"),
            username: answer.text_at("/data/username"),
            password: answer.text_at("/data/password"),
        }
    }

    /// A connector that logs in as the administrator, past the strongroom.
    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        let admin = self.postgres.admin();
        let settings = Settings {
            url: SecretString::new(admin.url.clone()),
            username: admin.username.to_owned(),
            password: SecretString::new(admin.password.to_owned()),
            tls: None,
            limits: Limits::default(),
            password_form: PasswordForm::Plain,
        };
        open(System::Postgres, settings).expect("settings that can be used")
    }

    /// Whether PostgreSQL lets the login in.
    pub(crate) async fn works(&self, login: &Login) -> bool {
        match self.connector().verify(&login.username, &SecretString::new(login.password.clone())).await {
            Ok(()) => true,
            Err(ConnectorError::LoginRefused { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Logins that the engine made and that are still there.
    pub(crate) fn logins(&self) -> Vec<String> {
        let rows = self.postgres.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%' ORDER BY 1");
        rows.lines().map(str::to_owned).collect()
    }
}

fn merge(body: &mut Value, more: Value) {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
}
