use super::{RabbitMq, TRIES};
use crate::failure::outside;
use crate::sent::{expose, replace};
use crate::template::Template;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Arc, PoisonError};
use strongroom_barrier::{Address, Txn};
use strongroom_connectors::{Connector, Limits, PasswordForm, Settings, System, TlsTrust, open};
use strongroom_core::{Call, CoreError, Fields, Operation, Reply, Served, Stored};
use strongroom_model::{RoleName, SecretString};

/// Vault's form of a user's name.
const TEMPLATE: &str = r#"{{ printf "%s-%s" (.DisplayName) (uuid) }}"#;

/// How the broker is reached, as it is kept. Every write is a new edition.
#[derive(Serialize, Deserialize)]
pub(super) struct Connection {
    edition: u64,
    uri: String,
    username: String,
    #[serde(serialize_with = "expose")]
    password: SecretString,
    username_template: String,
    pub(super) password_policy: Option<RoleName>,
    tls_ca: String,
}

impl Connection {
    fn read(sent: &Fields, kept: Option<&Connection>) -> Result<Self, CoreError> {
        let mut connection = Self {
            edition: kept.map_or(0, |kept| kept.edition + 1),
            uri: kept.map(|kept| kept.uri.clone()).unwrap_or_default(),
            username: kept.map(|kept| kept.username.clone()).unwrap_or_default(),
            password: kept.map_or_else(|| SecretString::new(String::new()), |kept| kept.password.duplicate()),
            username_template: kept.map(|kept| kept.username_template.clone()).unwrap_or_default(),
            password_policy: kept.and_then(|kept| kept.password_policy.clone()),
            tls_ca: kept.map(|kept| kept.tls_ca.clone()).unwrap_or_default(),
        };
        replace(&mut connection.uri, sent.text("connection_uri")?);
        replace(&mut connection.username, sent.text("username")?);
        replace(&mut connection.password, sent.secret("password")?);
        replace(&mut connection.username_template, sent.text("username_template")?);
        replace(&mut connection.tls_ca, sent.text("tls_ca")?);
        if let Some(policy) = sent.text("password_policy")? {
            connection.password_policy = if policy.is_empty() { None } else { Some(RoleName::parse(&policy)?) };
        }
        for (value, field) in [
            (connection.uri.as_str(), "connection_uri"),
            (connection.username.as_str(), "username"),
            (connection.password.expose(), "password"),
        ] {
            if value.is_empty() {
                return Err(CoreError::Invalid(format!("missing {field}")));
            }
        }
        if connection.uri.contains('@') {
            return Err(CoreError::Invalid(
                "connection_uri holds a login: write it as the fields username and password, which are never given back"
                    .to_owned(),
            ));
        }
        connection.template()?.check_unique()?;
        Ok(connection)
    }

    /// The form of the names of users.
    pub(super) fn template(&self) -> Result<Template, CoreError> {
        Template::parse(if self.username_template.is_empty() { TEMPLATE } else { &self.username_template })
    }

    fn settings(&self) -> Settings {
        let ca_pem = Some(self.tls_ca.clone()).filter(|ca| !ca.is_empty());
        Settings {
            url: SecretString::new(self.uri.clone()),
            username: self.username.clone(),
            password: self.password.duplicate(),
            tls: ca_pem.map(|ca_pem| TlsTrust { ca_pem: Some(ca_pem), ..TlsTrust::default() }),
            limits: Limits::default(),
            password_form: PasswordForm::Plain,
        }
    }
}

impl RabbitMq {
    pub(super) fn connection_at(&self) -> Address {
        self.config_shelf().named("connection")
    }

    pub(super) async fn connection(&self) -> Result<Option<Arc<Stored<Connection>>>, CoreError> {
        self.context.records.get(&self.connection_at()).await
    }

    /// The connection, or an error that says how to make one.
    pub(super) async fn require_connection(&self) -> Result<Arc<Stored<Connection>>, CoreError> {
        let absent = || {
            CoreError::Invalid(
                "no connection is configured: write connection_uri to config/connection first".to_owned(),
            )
        };
        self.connection().await?.ok_or_else(absent)
    }

    pub(super) async fn call_connection(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let reply = match call.operation {
            Operation::Read => {
                let connection = self.connection().await?.ok_or(CoreError::Nothing)?;
                let connection = &connection.value;
                Reply::data(json!({
                    "connection_uri": connection.uri,
                    "username": connection.username,
                    "username_template": connection.username_template,
                    "password_policy": connection.password_policy.as_ref().map_or("", RoleName::as_str),
                }))
            }
            Operation::Write => self.write_connection(call).await?,
            _ => return Err(CoreError::Unsupported),
        };
        Ok(Served::Reply(reply))
    }

    async fn write_connection(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        for _ in 0..TRIES {
            let kept = self.connection().await?;
            if kept.is_none() && !call.grant.creates() {
                return Err(CoreError::Conflict);
            }
            let connection = Connection::read(call.fields, kept.as_ref().map(|kept| &kept.value))?;
            if call.fields.flag("verify_connection")?.unwrap_or(true) {
                let refuse = |error| CoreError::Invalid(format!("failed to validate the connection: {error}"));
                open(System::RabbitMq, connection.settings()).map_err(refuse)?.check().await.map_err(refuse)?;
            }
            let txn = match &kept {
                None => Txn::new().expect_absent(self.connection_at()),
                Some(kept) => Txn::new().expect(self.connection_at(), kept.rev),
            };
            let txn = self.context.records.put(txn, self.connection_at(), &connection)?;
            match self.context.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => other?,
            }
            self.unlink();
            return Ok(Reply::empty());
        }
        Err(CoreError::Conflict)
    }

    /// The connector to the broker, opened when it is first needed and after each change.
    pub(super) async fn link(&self) -> Result<Arc<dyn Connector>, CoreError> {
        let connection = self.require_connection().await?;
        let connection = &connection.value;
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        match &*link {
            Some((edition, connector)) if *edition == connection.edition => Ok(Arc::clone(connector)),
            _ => {
                let connector = open(System::RabbitMq, connection.settings());
                let connector = connector.map_err(|error| outside(super::LANE, &error))?;
                *link = Some((connection.edition, Arc::clone(&connector)));
                Ok(connector)
            }
        }
    }

    /// Lets go what is open to the broker.
    pub(super) fn unlink(&self) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
