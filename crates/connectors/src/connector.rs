use crate::mysql::Mysql;
use crate::postgres::Postgres;
use crate::rabbitmq::RabbitMq;
use crate::redis::Redis;
use crate::{ConnectorError, Settings};
use async_trait::async_trait;
use std::sync::Arc;
use strongroom_model::{SecretString, Timestamp};

/// One outside system, with the right to make and end logins there.
///
/// Dropping the future of a call abandons it: the connection it used is closed, its place becomes free, and whether the
/// system acted is then unknown. `statements` are the operator's, with `{{name}}`, `{{username}}`, `{{password}}` and
/// `{{expiration}}` in them; an empty slice asks for the system's defaults.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Logs in with the connector's own name and password, over a new connection.
    async fn check(&self) -> Result<(), ConnectorError>;

    /// Makes a login. When this fails nothing stays of it, unless the error says that the system may have acted.
    /// [`ConnectorError::LoginExists`] when the name is taken; that login is not touched.
    async fn create_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError>;

    /// Gives a login of ours that is there its password, and whatever an interrupted [`Connector::create_login`] may have
    /// left out. Where logins are made as a whole that is the password alone.
    async fn complete_login(&self, login: &NewLogin<'_>, _statements: &[String]) -> Result<(), ConnectorError> {
        self.set_password(login.name, login.password, &[]).await
    }

    /// Moves the end of a login's life. Systems where logins have no end answer at once.
    async fn renew_login(&self, name: &str, expires: Timestamp, statements: &[String]) -> Result<(), ConnectorError>;

    /// Gives an existing login a new password; also the connector's own, after which [`open`] must be called again.
    /// Repeating the call with the same password is harmless. Open sessions go on.
    async fn set_password(
        &self,
        name: &str,
        password: &SecretString,
        statements: &[String],
    ) -> Result<(), ConnectorError>;

    /// Logs in as that login over a connection of its own, and out again. [`ConnectorError::LoginRefused`] when the
    /// system does not take the password.
    async fn verify(&self, name: &str, password: &SecretString) -> Result<(), ConnectorError>;

    /// Ends a login and its open sessions. A login that is gone is success, so the call may be repeated.
    async fn drop_login(&self, name: &str, statements: &[String]) -> Result<(), ConnectorError>;

    /// Whether logins that are dropped by these statements at the same moment go by one message, over one connection.
    fn drops_in_company(&self, _statements: &[String]) -> bool {
        false
    }

    /// Number of open sessions of that login.
    async fn sessions(&self, name: &str) -> Result<u64, ConnectorError>;

    /// Whether there is a login of that name.
    async fn login_exists(&self, name: &str) -> Result<bool, ConnectorError>;

    /// Closes what is open; calls that run are let finish, later ones get [`ConnectorError::Closed`].
    async fn close(&self);
}

/// What a new login is made of.
pub struct NewLogin<'a> {
    /// Its name in the outside system.
    pub name: &'a str,
    /// Its password.
    pub password: &'a SecretString,
    /// When it must not work any more, where the system can be told so.
    pub expires: Timestamp,
}

/// The systems that there are connectors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum System {
    /// PostgreSQL; `url` is a `postgresql://` address or a list of `key=value`.
    Postgres,
    /// MySQL and MariaDB; `url` is Vault's `{{username}}:{{password}}@tcp(host:port)/database`, or a `mysql://` address.
    Mysql,
    /// Redis and Valkey with access control lists; `url` is `redis://host:port` or `rediss://host:port`.
    Redis,
    /// RabbitMQ's management interface; `url` is `http://host:15672` or `https://host:15671`.
    RabbitMq,
}

/// Makes a connector out of its settings. Opens no connection; [`Connector::check`] does.
pub fn open(system: System, settings: Settings) -> Result<Arc<dyn Connector>, ConnectorError> {
    Ok(match system {
        System::Postgres => Arc::new(Postgres::new(settings)?),
        System::Redis => Arc::new(Redis::new(settings)?),
        System::RabbitMq => Arc::new(RabbitMq::new(settings)?),
        System::Mysql => Arc::new(Mysql::new(settings)?),
    })
}
