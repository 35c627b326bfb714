//! MySQL and MariaDB: a login is every account of that name, on whatever host.
//!
//! These systems commit each account statement by itself, so what failed half-way is dropped again. Sessions outlive
//! their account there: a drop removes the account first, so that nobody comes in any more, and then ends them. Does not
//! look at grants, and makes none of its own.

mod session;
mod target;

use crate::doubt::Abandoned;
use crate::error::BARRED;
use crate::pool::Pool;
use crate::scrub::{plain, scrub};
use crate::statement::{self, Dialect, Values, literal};
use crate::task::Task;
use crate::{Connector, ConnectorError, NewLogin, Settings};
use async_trait::async_trait;
use session::{Failure, Session};
use std::time::Duration;
use strongroom_model::{SecretString, Timestamp};
use target::Target;
use tokio::time::{interval, timeout};
use zeroize::Zeroizing;

/// A connection unused for longer is asked for a sign of life first.
const FRESH: Duration = Duration::from_millis(250);
/// `ER_CANNOT_USER`: an account is missing, or there already.
const CANNOT_USER: u16 = 1396;
/// `ER_NO_SUCH_THREAD`: it ended by itself.
const NO_SUCH_THREAD: u16 = 1094;
/// `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`.
const NOT_READABLE: [&str; 2] = ["1142", "1143"];
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
const NEEDS_POWER: &str = "1227";

pub(crate) struct Mysql {
    address: String,
    target: Target,
    settings: Settings,
    pool: Pool<Session>,
    abandoned: Abandoned<u32>,
}

impl Mysql {
    pub(crate) fn new(mut settings: Settings) -> Result<Self, ConnectorError> {
        let target = Target::read(&settings)?;
        let address = target.label.clone();
        settings.username = target.username.clone();
        settings.password = target.password.duplicate();
        let pool = Pool::new(&address, &settings.limits);
        Ok(Self { address, target, settings, pool, abandoned: Abandoned::new() })
    }

    async fn connect(&self, name: &str, password: &SecretString, database: bool) -> Result<Session, ConnectorError> {
        let after = self.settings.limits.connect;
        let options = self.target.options(name, password, database, self.settings.limits.statement);
        match timeout(after, Session::open(options)).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(failure)) => Err(self.not_connected(name, password, failure)),
            Err(_) => Err(Task::look("accept a connection").late(&self.address, after)),
        }
    }

    fn not_connected(&self, name: &str, password: &SecretString, failure: Failure) -> ConnectorError {
        let address = self.address.clone();
        match failure {
            Failure::Lost(why) => ConnectorError::Unreachable { address, why: plain(&why) },
            Failure::Said { code, message } => {
                let why = scrub(&message, &[password]);
                match code {
                    // Wrong password, wrong plug-in, locked, expired.
                    1045 | 1698 | 1820 | 1862 | 3118 | 4151 => {
                        ConnectorError::LoginRefused { address, name: name.to_owned(), why }
                    }
                    // No room, too many failures of this host, shutting down.
                    1040 | 1053 | 1129 | 1203 | 1226 => ConnectorError::Unreachable { address, why },
                    _ => Task::look("let us in").rejected(&address, code.to_string(), why),
                }
            }
        }
    }

    async fn connect_as_self(&self) -> Result<Session, ConnectorError> {
        let opened = self.connect(&self.settings.username, &self.settings.password, true).await;
        opened.map_err(|error| match error {
            ConnectorError::LoginRefused { address, name, why } => {
                ConnectorError::Refused { address, username: name, why }
            }
            other => other,
        })
    }

    /// Sends one statement. Gives the first column of its rows.
    async fn run(&self, task: Task, sql: &str, secrets: &[&SecretString]) -> Result<Vec<String>, ConnectorError> {
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
        let watch = self.abandoned.unless_answered(session.number());
        match timeout(after, session.ask(sql)).await {
            Ok(Ok(rows)) => {
                watch.answered();
                self.pool.give_back(place, session);
                Ok(rows)
            }
            Ok(Err(failure)) => {
                // Each statement commits by itself: after a refusal nothing is pending.
                if matches!(failure, Failure::Said { .. }) {
                    watch.answered();
                    self.pool.give_back(place, session);
                }
                Err(self.failed(task, failure, secrets))
            }
            Err(_) => {
                self.cancel(session.number()).await;
                Err(task.late(&self.address, after))
            }
        }
    }

    /// Ends what earlier calls left without an answer, and waits until it is gone: only then is what the next answer says
    /// also true a moment later. Numbers begin anew when the server does, so a session that is not ours is left alone.
    async fn end_abandoned(&self, session: &mut Session) -> Result<(), ConnectorError> {
        let after = self.settings.limits.statement;
        let task = Task::look("end a connection that was abandoned");
        for number in self.abandoned.all() {
            let own = "USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)";
            let there = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE ID = {number} AND {own}");
            let gone = async {
                let mut tick = interval(Duration::from_millis(10));
                while !session.ask(&there).await?.is_empty() {
                    match session.ask(&format!("KILL {number}")).await {
                        Err(Failure::Said { code: NO_SUCH_THREAD, .. }) => {}
                        result => drop(result?),
                    }
                    tick.tick().await;
                }
                Ok(())
            };
            match timeout(after, gone).await {
                Ok(Ok(())) => self.abandoned.forget(&number),
                Ok(Err(failure)) => return Err(self.failed(task, failure, &[])),
                Err(_) => return Err(task.late(&self.address, after)),
            }
        }
        Ok(())
    }

    async fn still_there(&self, mut session: Session, unused: Duration) -> Option<Session> {
        if unused < FRESH {
            return Some(session);
        }
        let answer = timeout(self.settings.limits.connect, session.ping()).await;
        if matches!(answer, Ok(Ok(()))) { Some(session) } else { None }
    }

    /// Ends what the server still does after the deadline, so that it does not happen later. It may be beyond hearing.
    async fn cancel(&self, number: u32) {
        let ask = async {
            let mut session = self.connect_as_self().await.ok()?;
            session.ask(&format!("KILL {number}")).await.ok()
        };
        let _ = timeout(self.settings.limits.connect, ask).await;
    }

    fn failed(&self, task: Task, failure: Failure, secrets: &[&SecretString]) -> ConnectorError {
        match failure {
            Failure::Lost(why) => task.lost(&self.address, plain(&why)),
            // Shutting down, interrupted, killed: how far it came is not said.
            Failure::Said { code: 1053 | 1317 | 1927, message } => task.lost(&self.address, scrub(&message, secrets)),
            Failure::Said { code, message } => task.rejected(&self.address, code.to_string(), scrub(&message, secrets)),
        }
    }

    /// Fills statements and sends them one after the other. Says how many were done before one failed.
    async fn each(
        &self,
        task: Task,
        statements: &[String],
        values: &Values<'_>,
    ) -> Result<(), (usize, ConnectorError)> {
        let texts = statements.iter().flat_map(|text| statement::split(Dialect::Mysql, text));
        let filled: Result<Vec<_>, _> = texts.map(|text| statement::fill(Dialect::Mysql, &text, values)).collect();
        let secrets: Vec<&SecretString> = values.password.into_iter().collect();
        for (done, sql) in filled.map_err(|error| (0, error))?.iter().enumerate() {
            self.run(task, sql, &secrets).await.map_err(|error| (done, error))?;
        }
        Ok(())
    }

    /// The accounts of a name, written as the server reads them. Who may not read the list knows of its own only, and of
    /// `%` for others.
    async fn accounts(&self, name: &str) -> Result<Vec<Zeroizing<String>>, ConnectorError> {
        let task = Task::look("look for a login");
        // Roles of MariaDB have no host.
        let sql = format!("SELECT Host FROM mysql.user WHERE {} AND Host <> ''", same("User", name));
        let user = literal(Dialect::Mysql, name);
        let account = |host: &str| Zeroizing::new(format!("{}@{}", *user, *literal(Dialect::Mysql, host)));
        match self.run(task, &sql, &[]).await {
            Ok(hosts) => Ok(hosts.iter().map(|host| account(host)).collect()),
            Err(ConnectorError::Rejected { code, .. }) if NOT_READABLE.contains(&code.as_str()) => {
                if name != self.settings.username {
                    return Ok(vec![account("%")]);
                }
                let own = self.run(task, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', -1)", &[]).await?;
                Ok(own.iter().map(|host| account(host)).collect())
            }
            Err(error) => Err(error),
        }
    }

    async fn drop_accounts(&self, name: &str) -> Result<(), ConnectorError> {
        let accounts = self.accounts(name).await?;
        if accounts.is_empty() {
            return Ok(());
        }
        let list: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
        let sql = format!("DROP USER IF EXISTS {}", list.join(", "));
        self.run(Task::change("drop a login"), &sql, &[]).await.map(drop)
    }

    /// After statements that were to end a login failed: it can at least log in no more, and has no sessions. Gives the
    /// error, which says so when that worked.
    async fn barred(&self, name: &str, error: ConnectorError) -> ConnectorError {
        let bar = async {
            let accounts = self.accounts(name).await?;
            let list: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
            let sql = format!("ALTER USER IF EXISTS {} ACCOUNT LOCK", list.join(", "));
            self.run(Task::change("bar a login"), &sql, &[]).await?;
            self.end_sessions(name).await
        };
        if bar.await.is_ok() { error.with_words(BARRED) } else { error }
    }

    async fn end_sessions(&self, name: &str) -> Result<(), ConnectorError> {
        let task = Task::change("end the sessions of a login");
        let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE {}", same("USER", name));
        for number in self.run(task, &sql, &[]).await? {
            match self.run(task, &format!("KILL {number}"), &[]).await {
                Err(ConnectorError::Rejected { code, .. }) if code == NO_SUCH_THREAD.to_string() => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    fn missing(&self, name: &str) -> ConnectorError {
        ConnectorError::NoSuchLogin { address: self.address.clone(), name: name.to_owned() }
    }
}

#[async_trait]
impl Connector for Mysql {
    async fn check(&self) -> Result<(), ConnectorError> {
        let _place = self.pool.take().await?;
        self.connect_as_self().await.map(drop)
    }

    async fn create_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError> {
        checked(login.name)?;
        let _making = self.pool.make().await?;
        if statements.iter().all(|text| text.trim().is_empty()) {
            let what = "creation_statements are missing: a login without them could do nothing; give at least \
                        CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'";
            return Err(ConnectorError::Config { what: what.to_owned() });
        }
        // Before anything is done: what fails half-way is dropped, and must then be ours.
        if self.login_exists(login.name).await? {
            return Err(ConnectorError::LoginExists { address: self.address.clone(), name: login.name.to_owned() });
        }
        let values = Values { name: login.name, password: Some(login.password), expires: Some(login.expires) };
        let result = self.each(Task::change("make a login"), statements, &values).await;
        let Err((done, error)) = result else { return Ok(()) };
        if done == 0 || error.may_have_acted() {
            return Err(error);
        }
        match (self.drop_accounts(login.name).await, error) {
            (Err(_), ConnectorError::Rejected { address, what, code, message, .. }) => {
                Err(ConnectorError::Rejected { address, what, code, message, left: true })
            }
            // The first statement was done, so "nothing was changed" would be wrong.
            (Err(undone), _) => Err(Task::change("make a login").lost(&self.address, undone.to_string())),
            (Ok(()), error) => Err(error),
        }
    }

    async fn complete_login(&self, login: &NewLogin<'_>, statements: &[String]) -> Result<(), ConnectorError> {
        self.set_password(login.name, login.password, &[]).await?;
        let values = Values { name: login.name, password: Some(login.password), expires: Some(login.expires) };
        let task = Task::change("complete a login");
        for text in statements.iter().flat_map(|text| statement::split(Dialect::Mysql, text)) {
            match self.each(task, &[text], &values).await {
                // What makes the account finds it there.
                Err((_, ConnectorError::Rejected { code, .. })) if code == CANNOT_USER.to_string() => {}
                result => result.map_err(|(_, error)| error)?,
            }
        }
        Ok(())
    }

    async fn renew_login(&self, name: &str, expires: Timestamp, statements: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        let _making = self.pool.make().await?;
        let values = Values { name, password: None, expires: Some(expires) };
        self.each(Task::change("renew a login"), statements, &values).await.map_err(|(_, error)| error)
    }

    async fn set_password(
        &self,
        name: &str,
        password: &SecretString,
        statements: &[String],
    ) -> Result<(), ConnectorError> {
        checked(name)?;
        let task = Task::change("set a password");
        if !statements.is_empty() {
            let values = Values { name, password: Some(password), expires: None };
            return match self.each(task, statements, &values).await {
                Err((_, ConnectorError::Rejected { code, .. })) if code == CANNOT_USER.to_string() => {
                    Err(self.missing(name))
                }
                result => result.map_err(|(_, error)| error),
            };
        }
        let accounts = self.accounts(name).await?;
        if accounts.is_empty() {
            return Err(self.missing(name));
        }
        let text = literal(Dialect::Mysql, password.expose());
        for account in accounts {
            let sql = Zeroizing::new(format!("ALTER USER {} IDENTIFIED BY {}", *account, *text));
            match self.run(task, &sql, &[password]).await {
                Err(ConnectorError::Rejected { code, .. }) if code == CANNOT_USER.to_string() => {
                    return Err(self.missing(name));
                }
                // MariaDB lets a login without powers change its own password by this statement only.
                Err(ConnectorError::Rejected { code, .. }) if code == NEEDS_POWER && name == self.settings.username => {
                    let sql = Zeroizing::new(format!("SET PASSWORD FOR {} = PASSWORD({})", *account, *text));
                    self.run(task, &sql, &[password]).await?;
                }
                result => drop(result?),
            }
        }
        Ok(())
    }

    async fn verify(&self, name: &str, password: &SecretString) -> Result<(), ConnectorError> {
        checked(name)?;
        let _place = self.pool.take().await?;
        // Without a database: whether the login may use one is not the question.
        self.connect(name, password, false).await.map(drop)
    }

    async fn drop_login(&self, name: &str, statements: &[String]) -> Result<(), ConnectorError> {
        checked(name)?;
        if statements.is_empty() {
            self.drop_accounts(name).await?;
        } else if self.login_exists(name).await? {
            let values = Values { name, password: None, expires: None };
            let ended = self.each(Task::change("drop a login"), statements, &values).await;
            if let Err((_, error)) = ended {
                return Err(self.barred(name, error).await);
            }
        }
        self.end_sessions(name).await
    }

    async fn sessions(&self, name: &str) -> Result<u64, ConnectorError> {
        checked(name)?;
        let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE {}", same("USER", name));
        let rows = self.run(Task::look("count the sessions of a login"), &sql, &[]).await?;
        Ok(rows.len() as u64)
    }

    async fn login_exists(&self, name: &str) -> Result<bool, ConnectorError> {
        checked(name)?;
        let sql = format!("SELECT Host FROM mysql.user WHERE {} AND Host <> ''", same("User", name));
        match self.run(Task::look("look for a login"), &sql, &[]).await {
            Err(ConnectorError::Rejected { address, what, code, message, left })
                if NOT_READABLE.contains(&code.as_str()) =>
            {
                let message = format!("{message}; grant SELECT ON mysql.user to the connection's login");
                Err(ConnectorError::Rejected { address, what, code, message, left })
            }
            result => Ok(!result?.is_empty()),
        }
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// Compares byte by byte: the usual comparison ignores blanks at the end.
fn same(column: &str, name: &str) -> String {
    format!("CAST({column} AS BINARY) = CAST({} AS BINARY)", *literal(Dialect::Mysql, name))
}

fn checked(name: &str) -> Result<(), ConnectorError> {
    let why = if name.is_empty() {
        "is empty, which would be everybody"
    } else if name.contains('\0') {
        "holds a zero byte"
    } else if name.ends_with(' ') {
        "ends in a blank, which MySQL would not keep"
    } else {
        return Ok(());
    };
    Err(ConnectorError::Config {
        what: format!("the name of the login {why}: use another, or another username_template"),
    })
}
