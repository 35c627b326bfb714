//! RabbitMQ: logins are its users, made through the management interface.
//!
//! The one statement is JSON: `{"tags": "management", "vhosts": {"/": {"configure": "", "write": ".*", "read": ".*"}},
//! "vhost_topics": {"/": {"amq.topic": {"write": ".*", "read": ".*"}}}}`, the parts of a role in Vault. There are no
//! transactions: what failed half-way is deleted again. The server closes the connections of a user that it deletes.

mod grant;
mod session;

use crate::address::{Address, invalid};
use crate::network::{Host, Tls};
use crate::pool::Pool;
use crate::scrub::scrub;
use crate::task::Task;
use crate::{Connector, ConnectorError, NewLogin, Settings, TlsTrust};
use async_trait::async_trait;
use grant::Grants;
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use session::{Answer, Basic, Lost, Session};
use std::time::Duration;
use strongroom_model::{SecretBytes, SecretString, Timestamp};
use tokio::time::timeout;

/// A connection unused for longer is not used again: a new one costs little here.
const FRESH: Duration = Duration::from_millis(250);

pub(crate) struct RabbitMq {
    address: String,
    host: Host,
    /// What stands before `/api` in every path.
    prefix: String,
    settings: Settings,
    pool: Pool<Session>,
}

impl RabbitMq {
    pub(crate) fn new(mut settings: Settings) -> Result<Self, ConnectorError> {
        let address = Address::of_url(&settings)?;
        let tls = match (&settings.tls, address.scheme.as_str()) {
            (Some(trust), "http" | "https") => Some(Tls::new(trust, &address.host)?),
            (None, "https") => Some(Tls::new(&TlsTrust::default(), &address.host)?),
            (None, "http") => None,
            _ => return Err(invalid("it begins with another word than http:// or https://")),
        };
        let port = address.port.unwrap_or(if tls.is_some() { 15671 } else { 15672 });
        let host = Host { name: address.host, port, tls };
        let label = host.label();
        let path = address.database.trim_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        settings.username = address.username;
        settings.password = address.password;
        let pool = Pool::new(&label, &settings.limits);
        Ok(Self { address: label, host, prefix, settings, pool })
    }

    /// Asks as the connector itself. 401 is an error here, every other status the caller's to judge.
    async fn run(
        &self,
        task: Task,
        method: Method,
        path: &str,
        body: Option<SecretBytes>,
    ) -> Result<Answer, ConnectorError> {
        let (username, password) = (&self.settings.username, &self.settings.password);
        let answer = self.run_as(task, &Basic { username, password }, method, path, body).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(ConnectorError::Refused {
                address: self.address.clone(),
                username: username.clone(),
                why: scrub(&answer.reason(), &[password]),
            });
        }
        Ok(answer)
    }

    async fn run_as(
        &self,
        task: Task,
        who: &Basic<'_>,
        method: Method,
        path: &str,
        body: Option<SecretBytes>,
    ) -> Result<Answer, ConnectorError> {
        let mut place = self.pool.take().await?;
        let mut session = match place.left.take() {
            Some((session, unused)) if unused < FRESH => session,
            _ => self.connect().await?,
        };
        let after = self.settings.limits.statement;
        let path = format!("{}/api/{path}", self.prefix);
        match timeout(after, session.ask(&self.address, who, method, &path, body)).await {
            Ok(Ok(answer)) => {
                if answer.reusable {
                    self.pool.give_back(place, session);
                }
                Ok(answer)
            }
            Ok(Err(Lost(why))) => Err(task.lost(&self.address, why)),
            Err(_) => Err(task.late(&self.address, after)),
        }
    }

    async fn connect(&self) -> Result<Session, ConnectorError> {
        let after = self.settings.limits.connect;
        let task = Task::look("accept a connection");
        match timeout(after, Session::open(&self.host)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(Lost(why))) => Err(task.lost(&self.address, why)),
            Err(_) => Err(task.late(&self.address, after)),
        }
    }

    /// A user as the server describes it.
    async fn user(&self, name: &str) -> Result<Option<Value>, ConnectorError> {
        let task = Task::look("look for a login");
        let answer = self.run(task, Method::GET, &user_path(name), None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.json())),
            _ => Err(self.rejected(task, &answer, &[])),
        }
    }

    async fn put(&self, task: Task, path: &str, body: &Value, secrets: &[&SecretString]) -> Result<(), ConnectorError> {
        let body = SecretBytes::from_json(body)
            .map_err(|error| ConnectorError::Config { what: format!("a statement is no JSON: {error}") })?;
        let answer = self.run(task, Method::PUT, path, Some(body)).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.rejected(task, &answer, secrets)) }
    }

    async fn set_user(
        &self,
        task: Task,
        name: &str,
        password: &SecretString,
        tags: &Value,
    ) -> Result<(), ConnectorError> {
        let path = user_path(name);
        let body = session::user_body(password, tags);
        let answer = self.run(task, Method::PUT, &path, Some(body)).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.rejected(task, &answer, &[password])) }
    }

    fn rejected(&self, task: Task, answer: &Answer, secrets: &[&SecretString]) -> ConnectorError {
        let text = scrub(&answer.reason(), secrets);
        if answer.status.is_server_error() && answer.status != StatusCode::INTERNAL_SERVER_ERROR {
            return task.lost(&self.address, format!("{} {text}", answer.status));
        }
        task.rejected(&self.address, answer.status.as_u16().to_string(), text)
    }

    async fn grant(&self, name: &str, grants: &Grants) -> Result<(), ConnectorError> {
        let task = Task::change("give a login its permissions");
        let user = escaped(name);
        for (vhost, rights) in &grants.vhosts {
            let body = json!({"configure": rights.configure, "write": rights.write, "read": rights.read});
            self.put(task, &format!("permissions/{}/{user}", escaped(vhost)), &body, &[]).await?;
        }
        for (vhost, topics) in &grants.vhost_topics {
            for (exchange, rights) in topics {
                let body = json!({"exchange": exchange, "write": rights.write, "read": rights.read});
                self.put(task, &format!("topic-permissions/{}/{user}", escaped(vhost)), &body, &[]).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), ConnectorError> {
        let task = Task::change("drop a login");
        let answer = self.run(task, Method::DELETE, &user_path(name), None).await?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(self.rejected(task, &answer, &[]))
    }
}

#[async_trait]
impl Connector for RabbitMq {
    async fn check(&self) -> Result<(), ConnectorError> {
        let task = Task::look("let us in");
        let answer = self.run(task, Method::GET, "whoami", None).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.rejected(task, &answer, &[])) }
    }

    async fn create_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError> {
        checked(login.name)?;
        let _making = self.pool.make().await?;
        let grants = Grants::read(statements)?;
        if self.user(login.name).await?.is_some() {
            return Err(ConnectorError::LoginExists { address: self.address.clone(), name: login.name.to_owned() });
        }
        let tags = Value::String(grants.tags.clone());
        self.set_user(Task::change("make a login"), login.name, login.password, &tags).await?;
        let Err(error) = self.grant(login.name, &grants).await else { return Ok(()) };
        match (self.delete(login.name).await, error) {
            (Err(_), ConnectorError::Rejected { address, what, code, message, .. }) => {
                Err(ConnectorError::Rejected { address, what, code, message, left: true })
            }
            (_, error) => Err(error),
        }
    }

    async fn complete_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError> {
        let grants = Grants::read(statements)?;
        self.set_password(login.name, login.password, &[]).await?;
        self.grant(login.name, &grants).await
    }

    async fn renew_login(&self, name: &str, _: Timestamp, _: &[String]) -> Result<(), ConnectorError> {
        checked(name)
    }

    async fn set_password(&self, name: &str, password: &SecretString, _: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        let Some(user) = self.user(name).await? else {
            return Err(ConnectorError::NoSuchLogin { address: self.address.clone(), name: name.to_owned() });
        };
        // A user is written as a whole. A list since 3.9, a text with commas before.
        let tags = match user.get("tags") {
            Some(Value::Array(tags)) => {
                let words: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
                Value::String(words.join(","))
            }
            Some(tags) => tags.clone(),
            None => Value::String(String::new()),
        };
        self.set_user(Task::change("set a password"), name, password, &tags).await
    }

    async fn verify(&self, name: &str, password: &SecretString) -> Result<(), ConnectorError> {
        checked(name)?;
        let task = Task::look("let a login in");
        let who = Basic { username: name, password };
        let answer = self.run_as(task, &who, Method::GET, "whoami", None).await?;
        let reason = answer.reason();
        // The server looks at the password first, and then whether the user may use this interface.
        if answer.status.is_success() || reason.to_ascii_lowercase().contains("not management user") {
            return Ok(());
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            let why = scrub(&reason, &[password]);
            return Err(ConnectorError::LoginRefused { address: self.address.clone(), name: name.to_owned(), why });
        }
        Err(self.rejected(task, &answer, &[password]))
    }

    async fn drop_login(&self, name: &str, _: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        self.delete(name).await?;
        // The server does this by itself, a moment later; versions before 3.9 lack the path.
        let path = format!("connections/username/{}", escaped(name));
        let task = Task::change("end the sessions of a login");
        let answer = self.run(task, Method::DELETE, &path, None).await?;
        let lacking = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if answer.status.is_success() || lacking { Ok(()) } else { Err(self.rejected(task, &answer, &[])) }
    }

    async fn sessions(&self, name: &str) -> Result<u64, ConnectorError> {
        checked(name)?;
        let task = Task::look("count the sessions of a login");
        let path = format!("connections/username/{}", escaped(name));
        let answer = self.run(task, Method::GET, &path, None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(0),
            status if status.is_success() => Ok(answer.json().as_array().map_or(0, |list| list.len() as u64)),
            _ => Err(self.rejected(task, &answer, &[])),
        }
    }

    async fn login_exists(&self, name: &str) -> Result<bool, ConnectorError> {
        checked(name)?;
        Ok(self.user(name).await?.is_some())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn user_path(name: &str) -> String {
    format!("users/{}", escaped(name))
}

fn checked(name: &str) -> Result<(), ConnectorError> {
    // A path of dots alone would be resolved on the way.
    if !name.is_empty() && !name.contains('\0') && !matches!(name, "." | "..") {
        return Ok(());
    }
    let what = "the name of the login is empty, dots, or holds a zero byte, which RabbitMQ does not take: use another";
    Err(ConnectorError::Config { what: what.to_owned() })
}
