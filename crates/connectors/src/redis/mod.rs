//! Redis and Valkey: logins are users of the access control list.
//!
//! A statement is a list of rules (`["~app:*", "+@read"]`, or the same words with spaces between). The server applies
//! them all or none, ends the connections of a user that it deletes, and is given passwords as hashes only. Users have
//! no end of their own there. Does not write the server's ACL file: who keeps one runs `ACL SAVE`.

mod session;

use crate::address::{Address, invalid};
use crate::network::{Host, Tls};
use crate::pool::Pool;
use crate::scrub::scrub;
use crate::task::Task;
use crate::{Connector, ConnectorError, NewLogin, Settings, TlsTrust};
use async_trait::async_trait;
use aws_lc_rs::digest;
use session::{Lost, Reply, Session};
use std::fmt::Write as _;
use std::time::Duration;
use strongroom_model::{SecretString, Timestamp};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// A connection unused for longer is asked for a sign of life first.
const FRESH: Duration = Duration::from_millis(250);
/// What Vault grants when a role has no statements.
const USUAL_RULES: &[&str] = &["~*", "+@read"];

pub(crate) struct Redis {
    address: String,
    host: Host,
    settings: Settings,
    pool: Pool<Session>,
}

impl Redis {
    pub(crate) fn new(mut settings: Settings) -> Result<Self, ConnectorError> {
        let address = Address::of_url(&settings)?;
        let tls = match (&settings.tls, address.scheme.as_str()) {
            (Some(trust), "redis" | "rediss") => Some(Tls::new(trust, &address.host)?),
            (None, "rediss") => Some(Tls::new(&TlsTrust::default(), &address.host)?),
            (None, "redis") => None,
            _ => return Err(invalid("it begins with another word than redis:// or rediss://")),
        };
        let host = Host { name: address.host, port: address.port.unwrap_or(6379), tls };
        let label = host.label();
        settings.username = address.username;
        settings.password = address.password;
        let pool = Pool::new(&label, &settings.limits);
        Ok(Self { address: label, host, settings, pool })
    }

    async fn connect(&self, name: &str, password: &SecretString) -> Result<Session, ConnectorError> {
        let after = self.settings.limits.connect;
        let task = Task::look("accept a connection");
        let attempt = async {
            let mut session = Session::open(&self.host).await?;
            let reply = if name.is_empty() {
                session.ask(&["AUTH", password.expose()]).await?
            } else {
                session.ask(&["AUTH", name, password.expose()]).await?
            };
            Ok::<_, Lost>((session, reply))
        };
        let (session, reply) = match timeout(after, attempt).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(Lost(why))) => return Err(task.lost(&self.address, why)),
            Err(_) => return Err(task.late(&self.address, after)),
        };
        match reply {
            Reply::Error(said) if passes(&said) => Err(task.lost(&self.address, scrub(&said, &[password]))),
            Reply::Error(said) => Err(ConnectorError::LoginRefused {
                address: self.address.clone(),
                name: name.to_owned(),
                why: scrub(&said, &[password]),
            }),
            _ => Ok(session),
        }
    }

    async fn connect_as_self(&self) -> Result<Session, ConnectorError> {
        self.connect(&self.settings.username, &self.settings.password).await.map_err(|error| match error {
            ConnectorError::LoginRefused { address, name, why } => {
                ConnectorError::Refused { address, username: name, why }
            }
            other => other,
        })
    }

    /// Sends one command and waits for its answer; an error of the server is one of ours.
    async fn run(&self, task: Task, words: &[&str]) -> Result<Reply, ConnectorError> {
        let mut place = self.pool.take().await?;
        let mut session = match place.left.take() {
            Some((session, unused)) if unused < FRESH => session,
            Some((session, _)) => match self.still_there(session).await {
                Some(session) => session,
                None => self.connect_as_self().await?,
            },
            None => self.connect_as_self().await?,
        };
        let after = self.settings.limits.statement;
        match timeout(after, session.ask(words)).await {
            Ok(Ok(reply)) => {
                self.pool.give_back(place, session);
                match reply {
                    Reply::Error(said) => {
                        let (code, words) = said.split_once(' ').unwrap_or(("ERR", &said));
                        Err(task.rejected(&self.address, code.to_owned(), scrub(words, &[])))
                    }
                    reply => Ok(reply),
                }
            }
            Ok(Err(Lost(why))) => Err(task.lost(&self.address, why)),
            Err(_) => Err(task.late(&self.address, after)),
        }
    }

    async fn still_there(&self, mut session: Session) -> Option<Session> {
        let answer = timeout(self.settings.limits.connect, session.ask(&["PING"])).await;
        if matches!(answer, Ok(Ok(_))) { Some(session) } else { None }
    }
}

#[async_trait]
impl Connector for Redis {
    async fn check(&self) -> Result<(), ConnectorError> {
        let _place = self.pool.take().await?;
        self.connect_as_self().await.map(drop)
    }

    async fn create_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError> {
        checked(login.name)?;
        let _making = self.pool.make().await?;
        let rules = rules(statements, login.name)?;
        if self.login_exists(login.name).await? {
            return Err(ConnectorError::LoginExists { address: self.address.clone(), name: login.name.to_owned() });
        }
        let hash = hashed(login.password);
        let mut words = vec!["ACL", "SETUSER", login.name, "on", hash.as_str()];
        words.extend(rules.iter().map(String::as_str));
        self.run(Task::change("make a login"), &words).await.map(drop)
    }

    async fn renew_login(&self, name: &str, _: Timestamp, _: &[String]) -> Result<(), ConnectorError> {
        checked(name)
    }

    async fn set_password(
        &self,
        name: &str,
        password: &SecretString,
        statements: &[String],
    ) -> Result<(), ConnectorError> {
        checked(name)?;
        let rules = if statements.is_empty() { Vec::new() } else { rules(statements, name)? };
        // SETUSER would make a user that is not there.
        if !self.login_exists(name).await? {
            return Err(ConnectorError::NoSuchLogin { address: self.address.clone(), name: name.to_owned() });
        }
        let hash = hashed(password);
        let mut words = vec!["ACL", "SETUSER", name, "resetpass", hash.as_str()];
        words.extend(rules.iter().map(String::as_str));
        self.run(Task::change("set a password"), &words).await.map(drop)
    }

    async fn verify(&self, name: &str, password: &SecretString) -> Result<(), ConnectorError> {
        checked(name)?;
        let _place = self.pool.take().await?;
        self.connect(name, password).await.map(drop)
    }

    async fn drop_login(&self, name: &str, _: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        // Ends the user's connections too, and answers 0 for one that is gone.
        self.run(Task::change("drop a login"), &["ACL", "DELUSER", name]).await.map(drop)
    }

    async fn sessions(&self, name: &str) -> Result<u64, ConnectorError> {
        checked(name)?;
        let reply = self.run(Task::look("count the sessions of a login"), &["CLIENT", "LIST"]).await?;
        let Reply::Bulk(list) = reply else { return Ok(0) };
        let list = String::from_utf8_lossy(&list);
        let mark = format!("user={name}");
        Ok(list.lines().filter(|line| line.split(' ').any(|word| word == mark)).count() as u64)
    }

    async fn login_exists(&self, name: &str) -> Result<bool, ConnectorError> {
        checked(name)?;
        let reply = self.run(Task::look("look for a login"), &["ACL", "GETUSER", name]).await?;
        Ok(!matches!(reply, Reply::Nothing))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// Errors of a server that is there and will serve again.
fn passes(said: &str) -> bool {
    ["LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "ERR max number of clients"].iter().any(|word| said.starts_with(word))
}

/// `#` and the SHA-256 of the password: what the server would keep of it (Redis documentation, ACL rules).
fn hashed(password: &SecretString) -> Zeroizing<String> {
    let hash = digest::digest(&digest::SHA256, password.expose().as_bytes());
    let mut text = Zeroizing::new(String::with_capacity(65));
    text.push('#');
    for byte in hash.as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Names are words of the access control list, which neither blanks nor zero bytes may part.
fn checked(name: &str) -> Result<(), ConnectorError> {
    if !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    let what = "the name of the login is empty or holds a blank, which Redis does not take: use another";
    Err(ConnectorError::Config { what: what.to_owned() })
}

fn rules(statements: &[String], name: &str) -> Result<Vec<String>, ConnectorError> {
    let mut found = Vec::new();
    for text in statements.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        if text.starts_with('[') {
            let list: Vec<String> = serde_json::from_str(text).map_err(|_| ConnectorError::Config {
                what: "a statement for Redis is no JSON list of rules such as [\"~app:*\", \"+@read\"]".to_owned(),
            })?;
            found.extend(list);
        } else {
            found.extend(text.split_whitespace().map(str::to_owned));
        }
    }
    if found.is_empty() {
        found.extend(USUAL_RULES.iter().map(|rule| (*rule).to_owned()));
    }
    for rule in &mut found {
        if rule.contains("{{name}}") || rule.contains("{{username}}") {
            // It would stand in a pattern, where other characters have a meaning.
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:@".contains(c)) {
                let what = "{{name}} stands in a rule, and the name holds a character that means something there: \
                            use a username_template of letters, digits and -_.:@";
                return Err(ConnectorError::Config { what: what.to_owned() });
            }
            *rule = rule.replace("{{name}}", name).replace("{{username}}", name);
        }
    }
    Ok(found)
}
