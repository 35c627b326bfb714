//! PostgreSQL: logins are roles.
//!
//! What belongs together goes to the server as one message that begins and commits one transaction, so it happens
//! completely or not at all, and costs one round trip. Revoking without statements ends the sessions, hands what the
//! role owns in this database to the connector's own role, and drops it. Does not know what roles are granted.

mod crowd;
mod removal;
mod scram;
mod session;
mod target;

use crate::doubt::Abandoned;
use crate::pool::{Place, Pool};
use crate::scrub::scrub;
use crate::statement::{self, Dialect, Values, literal};
use crate::task::Task;
use crate::{Connector, ConnectorError, NewLogin, PasswordForm, Settings};
use async_trait::async_trait;
use crowd::Crowd;
use session::{Failure, Process, Session};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use strongroom_model::{SecretString, Timestamp};
use target::Target;
use tokio::time::{Instant, interval, timeout};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::{DbError, Severity};
use zeroize::Zeroizing;

/// A connection unused for longer is asked for a sign of life first: the server may have closed it.
const FRESH: Duration = Duration::from_millis(250);
/// Longer names are cut by the server, silently (PostgreSQL documentation, 4.1.1).
const LONGEST_NAME: usize = 63;

pub(crate) struct Postgres {
    address: String,
    target: Target,
    settings: Settings,
    pool: Pool<Session>,
    abandoned: Abandoned<Process>,
    /// Whether the connector's own role was superuser when it last logged in.
    superuser: AtomicBool,
    /// How many logins are dropped with what they own before it is tried without again.
    owners: AtomicU32,
    /// Those whose logins are to be dropped.
    drops: Crowd,
}

impl Postgres {
    pub(crate) fn new(mut settings: Settings) -> Result<Self, ConnectorError> {
        let target = Target::read(&settings)?;
        let address = target.host.label();
        settings.username = target.username.clone();
        settings.password = target.password.duplicate();
        let pool = Pool::new(&address, &settings.limits);
        Ok(Self {
            address,
            target,
            settings,
            pool,
            abandoned: Abandoned::new(),
            superuser: AtomicBool::new(false),
            owners: AtomicU32::new(0),
            drops: Crowd::new(),
        })
    }

    /// Opens a connection as somebody, by the deadline for that.
    async fn connect(&self, name: &str, password: &SecretString) -> Result<Session, ConnectorError> {
        let after = self.settings.limits.connect;
        match timeout(after, Session::open(&self.target, name, password)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(failure)) => Err(self.not_connected(name, password, failure)),
            Err(_) => Err(Task::look("accept a connection").late(&self.address, after)),
        }
    }

    fn not_connected(&self, name: &str, password: &SecretString, failure: Failure) -> ConnectorError {
        let address = self.address.clone();
        let error = match failure {
            Failure::Said(error) => error,
            Failure::Lost(why) => return ConnectorError::Unreachable { address, why },
        };
        let why = scrub(error.message(), &[password]);
        match error.code().code().get(..2) {
            Some("28") => ConnectorError::LoginRefused { address, name: name.to_owned(), why },
            // No room, shutting down, starting up: the server is there and passes.
            Some("53" | "57") => ConnectorError::Unreachable { address, why },
            _ => Task::look("let us in").rejected(&address, error.code().code().to_owned(), why),
        }
    }

    async fn connect_as_self(&self) -> Result<Session, ConnectorError> {
        let opened = self.connect(&self.settings.username, &self.settings.password).await;
        let session = opened.map_err(|error| match error {
            ConnectorError::LoginRefused { address, name, why } => {
                ConnectorError::Refused { address, username: name, why }
            }
            other => other,
        })?;
        self.superuser.store(session.is_superuser(), Ordering::Relaxed);
        Ok(session)
    }

    /// Sends one message and waits for all its answers.
    async fn run(
        &self,
        task: Task,
        sql: &str,
        secrets: &[&SecretString],
    ) -> Result<Vec<SimpleQueryMessage>, ConnectorError> {
        let mut place = self.pool.take().await?;
        let mut session = match place.left.take() {
            Some((session, unused)) => match self.still_there(session, unused).await {
                Some(session) => session,
                None => self.connect_as_self().await?,
            },
            None => self.connect_as_self().await?,
        };
        self.end_abandoned(&mut session).await?;
        let after = self.settings.limits.statement;
        let watch = self.abandoned.unless_answered(session.process());
        match timeout(after, session.ask(sql)).await {
            Ok(Ok(answers)) => {
                watch.answered();
                self.pool.give_back(place, session);
                Ok(answers)
            }
            Ok(Err(failure)) => {
                if matches!(&failure, Failure::Said(error) if !ends_session(error)) {
                    watch.answered();
                    self.put_right(place, session).await;
                }
                Err(self.failed(task, failure, secrets))
            }
            Err(_) => {
                session.cancel(&self.target, self.settings.limits.connect).await;
                Err(task.late(&self.address, after))
            }
        }
    }

    /// Ends what earlier calls left without an answer, and waits until it is gone: only then is what the next answer says
    /// also true a moment later. The server may have slept with a question of ours in its ear.
    async fn end_abandoned(&self, session: &mut Session) -> Result<(), ConnectorError> {
        let after = self.settings.limits.statement;
        let task = Task::look("end a connection that was abandoned");
        for process in self.abandoned.all() {
            let who = format!("pid = {} AND backend_start = '{}'", process.number, process.since);
            let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {who}");
            let gone = async {
                let mut tick = interval(Duration::from_millis(10));
                while session.ask(&sql).await?.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(_))) {
                    tick.tick().await;
                }
                Ok(())
            };
            match timeout(after, gone).await {
                Ok(Ok(())) => self.abandoned.forget(&process),
                Ok(Err(failure)) => return Err(self.failed(task, failure, &[])),
                Err(_) => return Err(task.late(&self.address, after)),
            }
        }
        Ok(())
    }

    async fn still_there(&self, mut session: Session, unused: Duration) -> Option<Session> {
        if session.has_ended().await {
            return None;
        }
        if unused < FRESH {
            return Some(session);
        }
        let answer = timeout(self.settings.limits.connect, session.ask("")).await;
        if matches!(answer, Ok(Ok(_))) { Some(session) } else { None }
    }

    /// Leaves a connection for the next call whose transaction failed.
    async fn put_right(&self, place: Place<Session>, mut session: Session) {
        let answer = timeout(self.settings.limits.connect, session.ask("ROLLBACK")).await;
        if matches!(answer, Ok(Ok(_))) {
            self.pool.give_back(place, session);
        }
    }

    fn failed(&self, task: Task, failure: Failure, secrets: &[&SecretString]) -> ConnectorError {
        match failure {
            Failure::Lost(why) => task.lost(&self.address, why),
            // The server ends the session; whether before or after a commit, it does not say.
            Failure::Said(error) if ends_session(&error) => task.lost(&self.address, scrub(error.message(), secrets)),
            Failure::Said(error) => {
                let code = error.code().code().to_owned();
                // These words are always the same, so they hold no part of a statement.
                let words = all_words(&error);
                let words = if COLLISIONS.contains(&words.as_str()) { words } else { scrub(&words, secrets) };
                task.rejected(&self.address, code, words)
            }
        }
    }

    /// Fills statements and sends them as one transaction, which begins with that.
    async fn transact(
        &self,
        task: Task,
        first: &str,
        statements: &[String],
        values: &Values<'_>,
    ) -> Result<(), ConnectorError> {
        let mut sql = Zeroizing::new(format!("BEGIN;\n{first}"));
        for text in statements {
            sql.push_str(&statement::fill(Dialect::Postgres, text, values)?);
            // A line end first: the statement may end in a comment.
            sql.push_str("\n;\n");
        }
        sql.push_str("COMMIT");
        let secrets: Vec<&SecretString> = values.password.into_iter().collect();
        self.run_again(task, &sql, &secrets).await.map(drop)
    }

    /// Repeats a transaction that was undone because another one was quicker, as two that grant on one table are.
    async fn run_again(
        &self,
        task: Task,
        sql: &str,
        secrets: &[&SecretString],
    ) -> Result<Vec<SimpleQueryMessage>, ConnectorError> {
        let begun = Instant::now();
        loop {
            match self.run(task, sql, secrets).await {
                Err(error) if is_collision(&error) && begun.elapsed() < self.settings.limits.statement => {}
                result => return result,
            }
        }
    }

    /// What the server is given as a password.
    fn form(&self, password: &SecretString) -> Result<SecretString, ConnectorError> {
        match self.settings.password_form {
            PasswordForm::Plain => Ok(password.duplicate()),
            PasswordForm::ScramSha256 => scram::verifier(password),
        }
    }

    /// Says that the login is missing when that is why the server refused.
    async fn or_missing(&self, name: &str, result: Result<(), ConnectorError>) -> Result<(), ConnectorError> {
        match &result {
            Err(ConnectorError::Rejected { code, .. }) if code == "42704" && !self.login_exists(name).await? => {
                Err(ConnectorError::NoSuchLogin { address: self.address.clone(), name: name.to_owned() })
            }
            _ => result,
        }
    }

    /// Ends sessions by the role's number, which they keep when the role is gone.
    async fn end_sessions(&self, role: &str) -> Result<(), ConnectorError> {
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usesysid = {role}");
        self.run(Task::change("end the sessions of a login"), &sql, &[]).await.map(drop)
    }

    async fn role_number(&self, name: &str) -> Result<Option<u32>, ConnectorError> {
        let sql = format!("SELECT oid FROM pg_roles WHERE rolname = {}", *literal(Dialect::Postgres, name));
        let answers = self.run(Task::look("look for a login"), &sql, &[]).await?;
        Ok(first_number(&answers))
    }
}

#[async_trait]
impl Connector for Postgres {
    async fn check(&self) -> Result<(), ConnectorError> {
        let _place = self.pool.take().await?;
        self.connect_as_self().await.map(drop)
    }

    async fn create_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError> {
        checked(login.name)?;
        let _making = self.pool.make().await?;
        if statements.iter().all(|text| text.trim().is_empty()) {
            let what = "creation_statements are missing: a login without them could do nothing; give at least \
                        CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
            return Err(ConnectorError::Config { what: what.to_owned() });
        }
        let password = self.form(login.password)?;
        let values = Values { name: login.name, password: Some(&password), expires: Some(login.expires) };
        let result = self.transact(Task::change("make a login"), "", statements, &values).await;
        match &result {
            // duplicate_object may be another thing that the statements make.
            Err(ConnectorError::Rejected { code, .. }) if code == "42710" && self.login_exists(login.name).await? => {
                Err(ConnectorError::LoginExists { address: self.address.clone(), name: login.name.to_owned() })
            }
            _ => result,
        }
    }

    async fn renew_login(&self, name: &str, expires: Timestamp, statements: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        let _making = self.pool.make().await?;
        let task = Task::change("renew a login");
        let usual = ["ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'".to_owned()];
        let statements = if statements.is_empty() { &usual } else { statements };
        let values = Values { name, password: None, expires: Some(expires) };
        let result = self.transact(task, "", statements, &values).await;
        self.or_missing(name, result).await
    }

    async fn set_password(
        &self,
        name: &str,
        password: &SecretString,
        statements: &[String],
    ) -> Result<(), ConnectorError> {
        checked(name)?;
        let task = Task::change("set a password");
        let usual = ["ALTER ROLE \"{{name}}\" WITH PASSWORD '{{password}}'".to_owned()];
        let statements = if statements.is_empty() { &usual } else { statements };
        let form = self.form(password)?;
        let result = self.transact(task, "", statements, &Values { name, password: Some(&form), expires: None }).await;
        self.or_missing(name, result).await
    }

    async fn verify(&self, name: &str, password: &SecretString) -> Result<(), ConnectorError> {
        checked(name)?;
        let _place = self.pool.take().await?;
        self.connect(name, password).await.map(drop)
    }

    async fn drop_login(&self, name: &str, statements: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        if statements.is_empty() {
            let dropped = self.drop_with_others(name).await;
            return match self.or_missing(name, dropped).await {
                Err(ConnectorError::NoSuchLogin { .. }) => Ok(()),
                result => result,
            };
        }
        self.drop_by(name, statements).await
    }

    fn drops_in_company(&self, statements: &[String]) -> bool {
        statements.is_empty()
    }

    async fn sessions(&self, name: &str) -> Result<u64, ConnectorError> {
        checked(name)?;
        let name = literal(Dialect::Postgres, name);
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = {}", *name);
        let answers = self.run(Task::look("count the sessions of a login"), &sql, &[]).await?;
        Ok(first_number(&answers).map_or(0, u64::from))
    }

    async fn login_exists(&self, name: &str) -> Result<bool, ConnectorError> {
        checked(name)?;
        Ok(self.role_number(name).await?.is_some())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn checked(name: &str) -> Result<(), ConnectorError> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST_NAME {
        "is longer than the 63 bytes that PostgreSQL keeps of a name"
    } else if name.contains('\0') {
        "holds a zero byte"
    } else {
        return Ok(());
    };
    Err(ConnectorError::Config {
        what: format!("the name of the login {why}: use another, or another username_template"),
    })
}

fn ends_session(error: &DbError) -> bool {
    // Untranslated since version 9.6, unlike severity().
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// What PostgreSQL says of two changes of one row of its catalogue, for which it has no code (`simple_heap_update` and
/// `simple_heap_delete` in its `heapam.c`).
const COLLISIONS: [&str; 2] = ["tuple concurrently updated", "tuple concurrently deleted"];

/// A deadlock, a failed serialization, or two changes of one row of the catalogue.
fn is_collision(error: &ConnectorError) -> bool {
    let ConnectorError::Rejected { code, message, .. } = error else { return false };
    matches!(code.as_str(), "40001" | "40P01") || (code == "XX000" && COLLISIONS.contains(&message.as_str()))
}

fn all_words(error: &DbError) -> String {
    let more = [error.detail(), error.hint()].into_iter().flatten();
    more.fold(error.message().to_owned(), |text, more| format!("{text}; {more}"))
}

fn first_number(answers: &[SimpleQueryMessage]) -> Option<u32> {
    answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    })
}
