//! PostgreSQL: logins are roles.
//!
//! What belongs together goes to the server as one message that begins and commits one transaction, so it happens
//! completely or not at all, and costs one round trip. Revoking without statements ends the sessions, hands what the
//! role owns in this database to the connector's own role, and drops it. Does not know what roles are granted.

mod crowd;
mod scram;
mod session;
mod target;

use crate::doubt::Abandoned;
use crate::pool::{Place, Pool};
use crate::scrub::scrub;
use crate::statement::{self, Dialect, Values, identifier, literal};
use crate::task::Task;
use crate::{Connector, ConnectorError, NewLogin, PasswordForm, Settings};
use async_trait::async_trait;
use crowd::{Crowd, Turn};
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
                task.rejected(&self.address, code, scrub(&all_words(&error), secrets))
            }
        }
    }

    /// Fills statements and sends them as one transaction.
    async fn transact(&self, task: Task, statements: &[String], values: &Values<'_>) -> Result<(), ConnectorError> {
        let mut sql = Zeroizing::new("BEGIN;\n".to_owned());
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

    /// Drops a role, in one message with others that are to go at this moment. What does not go well so, because of one of
    /// them, each does by itself.
    async fn drop_with_others(&self, name: &str) -> Result<(), ConnectorError> {
        match self.drops.turn(name).await {
            Turn::Done => Ok(()),
            Turn::Alone => self.drop_or_bar(name).await,
            Turn::Lead(group) => {
                let names = group.names();
                if names.len() > 1 && self.drop_usually(&names, Locks::Soon).await.is_ok() {
                    group.done();
                    return Ok(());
                }
                if names.len() > 1 {
                    // The others need not wait for this one.
                    drop(group);
                }
                self.drop_or_bar(name).await
            }
        }
    }

    /// Drops a role, or, when that is not possible now, at least bars it: a login that was revoked is refused within
    /// seconds although another session holds what it owns, or it owns something in another database.
    async fn drop_or_bar(&self, name: &str) -> Result<(), ConnectorError> {
        let error = match self.drop_usually(&[name], Locks::Soon).await {
            Err(error @ ConnectorError::Rejected { .. }) if !is_missing(&error) => error,
            result => return result,
        };
        if self.bar(name).await.is_err() {
            return Err(error);
        }
        if !is_locked(&error) {
            return Err(with_words(error, "it cannot log in any more, and its sessions are ended"));
        }
        let again = self.drop_usually(&[name], Locks::Later).await;
        again.map_err(|error| match is_locked(&error) {
            true => with_words(
                error,
                "another session holds something that it owns; it cannot log in any more, and its sessions are ended",
            ),
            false => error,
        })
    }

    /// Lets a role log in no more, and ends its sessions; committed, whatever becomes of the role.
    async fn bar(&self, name: &str) -> Result<(), ConnectorError> {
        let superuser = self.superuser.load(Ordering::Relaxed);
        self.run_again(Task::change("bar a login"), &bar_message(name, superuser), &[]).await.map(drop)
    }

    /// Drops roles that own nothing and were granted nothing by themselves, only by being members of others, as most are;
    /// those of which the server says otherwise with what they have, and those that come after them too.
    async fn drop_usually(&self, names: &[&str], locks: Locks) -> Result<(), ConnectorError> {
        /// So that a role that was changed is noticed in time, and the vain attempts cost little.
        const OWNERS: u32 = 32;
        let task = Task::change("drop a login");
        let superuser = self.superuser.load(Ordering::Relaxed);
        if self.owners.load(Ordering::Relaxed) == 0 {
            let sql = drop_message(names, superuser, false, locks);
            match self.run_again(task, &sql, &[]).await {
                // dependent_objects_still_exist
                Err(ConnectorError::Rejected { code, .. }) if code == "2BP01" => {
                    self.owners.store(OWNERS, Ordering::Relaxed);
                }
                result => return result.map(drop),
            }
        }
        let less = |owners: u32| Some(owners.saturating_sub(1));
        let _ = self.owners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.run_again(task, &drop_message(names, superuser, true, locks), &[]).await.map(drop)
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
        let result = self.transact(Task::change("make a login"), statements, &values).await;
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
        let result = self.transact(task, statements, &values).await;
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
        let result = self.transact(task, statements, &Values { name, password: Some(&form), expires: None }).await;
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
        let Some(role) = self.role_number(name).await? else { return Ok(()) };
        let values = Values { name, password: None, expires: None };
        self.transact(Task::change("drop a login"), statements, &values).await?;
        self.end_sessions(&role.to_string()).await
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

/// How long a drop waits for what other sessions hold.
#[derive(Clone, Copy)]
enum Locks {
    /// Until the login is barred.
    Soon,
    /// It is barred: short changes of tables may end first.
    Later,
}

impl Locks {
    /// As PostgreSQL reads `lock_timeout`.
    fn limit(self) -> &'static str {
        match self {
            Locks::Soon => "250ms",
            Locks::Later => "2s",
        }
    }
}

/// One message: the sessions of these roles ended, with `owned` what they own handed over and their rights taken, they
/// themselves dropped, and then the sessions ended that came in between, which keep a role's number when it is gone.
///
/// Who is not superuser becomes a member first, for REASSIGN OWNED and for ending sessions. What a role owns or may
/// do in other databases the server tells in its refusal; it can only be changed from there.
fn drop_message(names: &[&str], superuser: bool, owned: bool, locks: Locks) -> String {
    let roles = names.iter().map(|name| identifier(Dialect::Postgres, name)).collect::<Vec<_>>().join(", ");
    let owned = match owned {
        true => format!("REASSIGN OWNED BY {roles} TO CURRENT_USER; DROP OWNED BY {roles}; "),
        false => String::new(),
    };
    // One that is gone already must not keep the others.
    let missing = if names.len() > 1 { "IF EXISTS " } else { "" };
    let (numbers, members, end) = (note_numbers(names), membership(&roles, superuser), END_SESSIONS);
    let limit = locks.limit();
    format!(
        "BEGIN; SET LOCAL lock_timeout = '{limit}'; {numbers}; {members}{end}; {owned}DROP ROLE {missing}{roles}; \
         COMMIT; {end}"
    )
}

/// One message: logging in forbidden and that committed, then the sessions ended that there are.
fn bar_message(name: &str, superuser: bool) -> String {
    let role = identifier(Dialect::Postgres, name);
    let (number, member, end) = (note_numbers(&[name]), membership(&role, superuser), END_SESSIONS);
    format!("BEGIN; {number}; {member}ALTER ROLE {role} NOLOGIN; COMMIT; {end}")
}

/// Has the session remember the numbers of roles. Through the cache of names: planning a look into pg_roles takes as long
/// as the drop.
fn note_numbers(names: &[&str]) -> String {
    let number = |name: &&str| {
        let text = literal(Dialect::Postgres, name);
        format!("coalesce(to_regrole(quote_ident({}))::oid::text, '0')", *text)
    };
    let numbers = names.iter().map(number).collect::<Vec<_>>().join(" || ',' || ");
    format!("SELECT set_config('strongroom.dropped', '{{' || {numbers} || '}}', false)")
}

fn membership(roles: &str, superuser: bool) -> String {
    if superuser { String::new() } else { format!("GRANT {roles} TO CURRENT_USER; ") }
}

/// The function under pg_stat_activity: its joins are not needed, and there may be thousands to drop.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) \
     WHERE usesysid = ANY(current_setting('strongroom.dropped')::oid[])";

/// The server waited for what another session holds until it gave up (lock_not_available).
fn is_locked(error: &ConnectorError) -> bool {
    matches!(error, ConnectorError::Rejected { code, .. } if code == "55P03")
}

/// There is no such role (undefined_object).
fn is_missing(error: &ConnectorError) -> bool {
    matches!(error, ConnectorError::Rejected { code, .. } if code == "42704")
}

fn with_words(error: ConnectorError, words: &str) -> ConnectorError {
    match error {
        ConnectorError::Rejected { address, what, code, message, left } => {
            ConnectorError::Rejected { address, what, code, message: format!("{message}; {words}"), left }
        }
        other => other,
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

/// A deadlock, a failed serialization, or two changes of one row of the catalogue, which has no code of its own.
fn is_collision(error: &ConnectorError) -> bool {
    let ConnectorError::Rejected { code, message, .. } = error else { return false };
    matches!(code.as_str(), "40001" | "40P01") || (code == "XX000" && message.contains("concurrently"))
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
