//! How a role goes that has no statements for it: with others in one message where that works, by itself where it does
//! not, and where it cannot go now it is at least barred.

use super::Postgres;
use super::crowd::Turn;
use crate::ConnectorError;
use crate::error::BARRED;
use crate::statement::{Dialect, Values, identifier, literal};
use crate::task::Task;
use std::sync::atomic::Ordering;

impl Postgres {
    /// Drops a role, in one message with others that are to go at this moment. What does not go well so, because of one of
    /// them, each does by itself.
    pub(super) async fn drop_with_others(&self, name: &str) -> Result<(), ConnectorError> {
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
            return Err(error.with_words(BARRED));
        }
        let again = self.drop_usually(&[name], Locks::Later).await;
        again.map_err(|error| match is_locked(&error) {
            true => error.with_words(&format!("another session holds something that it owns; {BARRED}")),
            false => error,
        })
    }

    /// Ends a login by the statements of its role. When these fail, or wait too long for what other sessions hold, it is
    /// barred at least; then they may wait longer.
    pub(super) async fn drop_by(&self, name: &str, statements: &[String]) -> Result<(), ConnectorError> {
        let Some(role) = self.role_number(name).await? else { return Ok(()) };
        let (task, values) = (Task::change("drop a login"), Values { name, password: None, expires: None });
        let soon = format!("SET LOCAL lock_timeout = '{}';\n", Locks::Soon.limit());
        let error = match self.transact(task, &soon, statements, &values).await {
            Ok(()) => return self.end_sessions(&role.to_string()).await,
            Err(error @ (ConnectorError::Rejected { .. } | ConnectorError::Unknown { .. })) => error,
            Err(error) => return Err(error),
        };
        if self.bar(name).await.is_err() {
            return Err(error);
        }
        if !is_locked(&error) {
            return Err(error.with_words(BARRED));
        }
        self.transact(task, "", statements, &values).await.map_err(|error| error.with_words(BARRED))?;
        self.end_sessions(&role.to_string()).await
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
