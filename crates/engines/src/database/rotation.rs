//! Changes the password of an existing login so that it is known afterwards, whatever breaks in between.
//!
//! The new password is on disk, sealed, before the database is given it; it stays there until the database is seen to
//! take it or certainly does not, and no other one is tried before that. Repeating a change is harmless, so whatever was
//! interrupted is done again with the same password.

use super::static_role::{Held, Keeping, Phase, StaticRole, Turn};
use super::{Database, Unfinished};
use crate::failure::outside;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_connectors::{Connector, ConnectorError};
use strongroom_core::lease::{Deed, Diary};
use strongroom_core::{CoreError, Stored};
use strongroom_model::{RoleName, SecretString, Timestamp};
use tokio::task::JoinSet;

/// How a change ended.
pub(super) enum Ended {
    /// The new password is known to work.
    Done,
    /// The database certainly has the old one.
    Refused(CoreError),
    /// It has one of the two; it is tried again.
    Open(CoreError),
}

impl Ended {
    pub(super) fn into_result(self) -> Result<(), CoreError> {
        match self {
            Ended::Done => Ok(()),
            Ended::Refused(error) | Ended::Open(error) => Err(error),
        }
    }
}

/// A change of a password that is on disk.
struct Begun {
    candidate: SecretString,
    keeping: Arc<Stored<Keeping>>,
    /// Whether the database may have been given it before.
    resumed: bool,
}

/// When a change is taken up again that this process broke off: longer than a change takes.
const RESUME: Duration = Duration::from_secs(60);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// What one run looks at.
const PAGE: usize = 256;

/// How long to wait after so many failures in a row, spread by chance.
pub(super) fn backoff(failures: u32, chance: u8) -> Duration {
    let full = Duration::from_secs(5 << failures.saturating_sub(1).min(6)).min(LONGEST_WAIT);
    full / 2 + full.mul_f64(f64::from(chance) / 512.0)
}

impl Database {
    fn keeping_shelf(&self) -> Shelf {
        self.context.records.shelf("database-static-password")
    }

    pub(super) fn keeping_at(&self, name: &RoleName) -> Address {
        self.keeping_shelf().named(name.as_str())
    }

    fn turn_shelf(&self) -> Shelf {
        self.context.records.shelf("database-static-due")
    }

    pub(super) fn turn_at(&self, name: &RoleName, due: Timestamp) -> Address {
        self.turn_shelf().ordered(due.nanos(), name.as_str())
    }

    /// What is known of the password of that role's login.
    pub(super) async fn keeping(&self, name: &RoleName) -> Result<Option<Arc<Stored<Keeping>>>, CoreError> {
        self.context.records.get(&self.keeping_at(name)).await
    }

    /// The changes that replace what is known, and its place among what is due.
    pub(super) fn plan(
        &self,
        mut txn: Txn,
        name: &RoleName,
        old: Option<&Stored<Keeping>>,
        new: &Keeping,
    ) -> Result<Txn, CoreError> {
        if let Some(old) = old {
            txn = txn.expect(self.keeping_at(name), old.rev);
            if old.value.due != new.due {
                txn = txn.delete(self.turn_at(name, old.value.due));
            }
        }
        txn = self.context.records.put(txn, self.keeping_at(name), new)?;
        if old.is_none_or(|old| old.value.due != new.due) {
            txn = self.context.records.put(txn, self.turn_at(name, new.due), &Turn { role: name.clone() })?;
        }
        Ok(txn)
    }

    async fn store(&self, name: &RoleName, old: &Stored<Keeping>, new: &Keeping) -> Result<(), CoreError> {
        self.context.records.commit(self.plan(Txn::new(), name, Some(old), new)?).await
    }

    /// Changes the password of a static role's login now.
    pub(super) async fn rotate(&self, name: &RoleName) -> Result<Ended, CoreError> {
        let _turn = self.turns.take(&format!("role/{name}")).await;
        let unknown = || CoreError::Invalid(format!("no static role found for role name \"{name}\""));
        let role = self.static_role(name).await?.ok_or_else(unknown)?;
        self.rotate_in_turn(&role.value, None).await
    }

    /// As `rotate`, unless that was done while we waited for our turn; no request stands behind it, so the diary is told.
    async fn rotate_if_due(&self, name: &RoleName, now: Timestamp, diary: &Diary) -> Result<Ended, CoreError> {
        let _turn = self.turns.take(&format!("role/{name}")).await;
        match (self.static_role(name).await?, self.keeping(name).await?) {
            // Since it is our turn, nobody is at work at one that was begun.
            (Some(role), Some(keeping)) if keeping.value.due <= now || keeping.value.is_abandoned() => {
                self.rotate_in_turn(&role.value, Some(diary)).await
            }
            _ => Ok(Ended::Done),
        }
    }

    async fn rotate_in_turn(&self, role: &StaticRole, diary: Option<&Diary>) -> Result<Ended, CoreError> {
        let begun = self.begin(role).await?;
        let began = self.context.now();
        let ended = self.set(role, &begun).await;
        let is_news = matches!(ended, Ended::Done) || begun.keeping.value.failures == 0;
        if let Some(diary) = diary.filter(|_| is_news) {
            // Before the change is settled: what cannot be told is done again with the same password.
            diary.note(self.deed(role, &begun, &ended, began)).await?;
        }
        self.conclude(role, begun, &ended).await?;
        Ok(ended)
    }

    fn deed(&self, role: &StaticRole, begun: &Begun, ended: &Ended, began: Timestamp) -> Deed {
        let (failure, note) = match ended {
            Ended::Done => (None, "the password was changed"),
            Ended::Refused(error) => (Some(error.to_string()), "the password is the old one; it is tried again"),
            Ended::Open(error) => {
                (Some(error.to_string()), "the password is the old or the new one; it is tried again")
            }
        };
        let planned = begun.keeping.value.planned;
        Deed {
            operation: "static-role-rotate",
            path: format!("static-roles/{}", role.name),
            subject: role.username.clone(),
            took: self.context.now().since(began),
            failure,
            note: format!("{note}; planned for {planned} in `{}`", role.db_name),
        }
    }

    /// Settles the new password and keeps it; what was interrupted goes on with the one it had.
    async fn begin(&self, role: &StaticRole) -> Result<Begun, CoreError> {
        let name = &role.name;
        let gone = || CoreError::Invalid(format!("the static role \"{name}\" was removed meanwhile"));
        let keeping = self.keeping(name).await?.ok_or_else(gone)?;
        if let Phase::Setting { candidate } = &keeping.value.phase {
            return Ok(Begun { candidate: candidate.duplicate(), keeping, resumed: true });
        }
        self.require_allowed(&role.db_name, name).await?;
        let config = self.require_config(&role.db_name).await?;
        let candidate = self.password(role.password_policy.as_ref().or(config.value.password_policy.as_ref())).await?;
        let mut begun = keeping.value.duplicate();
        begun.phase = Phase::Setting { candidate: candidate.duplicate() };
        // Looked at again soon if this process does not come to an end with it.
        begun.due = self.context.now().plus(RESUME);
        self.store(name, &keeping, &begun).await?;
        let keeping = self.keeping(name).await?.ok_or_else(gone)?;
        match &keeping.value.phase {
            Phase::Setting { .. } => Ok(Begun { candidate, keeping, resumed: false }),
            _ => Err(CoreError::Conflict),
        }
    }

    /// Gives the database the new password and proves it.
    async fn set(&self, role: &StaticRole, begun: &Begun) -> Ended {
        let connector = match self.link(&role.db_name).await {
            Ok(connector) => connector,
            Err(error) if begun.resumed => return Ended::Open(error),
            Err(error) => return Ended::Refused(error),
        };
        let old = match &begun.keeping.value.held {
            Held::Password { password, .. } => Some(password),
            Held::Nothing => None,
        };
        let change = Change {
            username: &role.username,
            statements: &role.rotation,
            old,
            candidate: &begun.candidate,
            resumed: begun.resumed,
        };
        change.make(&*connector, role.db_name.as_str()).await
    }

    /// Writes down how it ended, and when to look again.
    async fn conclude(&self, role: &StaticRole, begun: Begun, ended: &Ended) -> Result<(), CoreError> {
        let now = self.context.now();
        let Begun { candidate, keeping, .. } = begun;
        let mut new = keeping.value.duplicate();
        match ended {
            Ended::Done => {
                let planned = role.schedule.after(now)?;
                new = Keeping::new(Held::Password { password: candidate, since: now }, planned);
                tracing::info!(role = %role.name, login = role.username, "the password of a static role was changed");
            }
            Ended::Refused(error) | Ended::Open(error) => {
                if matches!(ended, Ended::Refused(_)) {
                    new.phase = Phase::Resting;
                }
                new.failures = new.failures.saturating_add(1);
                new.error = Some(error.to_string());
                let [chance] = self.context.entropy.array::<1>();
                new.due = now.plus(backoff(new.failures, chance));
                tracing::warn!(role = %role.name, %error, "the password of a static role could not be changed");
            }
        }
        match self.store(&role.name, &keeping, &new).await {
            // The role was removed, or given another schedule, while the database was asked.
            Err(CoreError::Conflict) => self.conclude_again(role, new).await,
            other => other,
        }
    }

    /// As `conclude`, on top of what somebody else wrote meanwhile: only schedules are written by others.
    async fn conclude_again(&self, role: &StaticRole, mut new: Keeping) -> Result<(), CoreError> {
        for _ in 0..super::TRIES {
            let Some(now_kept) = self.keeping(&role.name).await? else { return Ok(()) };
            if let Some(role) = self.static_role(&role.name).await?
                && let (Held::Password { since, .. }, 0) = (&new.held, new.failures)
            {
                new.planned = role.value.schedule.after(*since)?;
                new.due = new.planned;
            }
            match self.store(&role.name, &now_kept, &new).await {
                Err(CoreError::Conflict) => {}
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    /// Changes every password that is due; says when the next one is.
    pub(super) async fn rotate_due(self: &Arc<Self>, diary: &Diary) -> Result<Option<Timestamp>, CoreError> {
        let now = self.context.now();
        if self.clock_went_back(now) {
            self.pull_back(now).await?;
        }
        // What an earlier process left is due within that time.
        let is_first = Unfinished::is_first(&self.unfinished.roles);
        let until = if is_first { now.plus(RESUME) } else { now };
        let page = self.context.records.scan::<Turn>(&self.turn_shelf(), None, PAGE).await?;
        let mut by_database: BTreeMap<RoleName, Vec<RoleName>> = BTreeMap::new();
        for turn in page.iter().filter(|turn| turn.number <= until.nanos()) {
            let (name, due) = (&turn.value.role, Timestamp::from_nanos(turn.number));
            match (self.static_role(name).await?, self.keeping(name).await?) {
                (Some(_), Some(keeping)) if keeping.value.due == due && due > now && !keeping.value.is_abandoned() => {}
                (Some(role), Some(keeping)) if keeping.value.due == due => {
                    by_database.entry(role.value.db_name.clone()).or_default().push(name.clone());
                }
                _ => self.context.records.commit(Txn::new().delete(self.turn_at(name, due))).await?,
            }
        }
        let mut running = JoinSet::new();
        for (_, roles) in by_database {
            let (database, diary) = (Arc::clone(self), diary.clone());
            running.spawn(async move { database.rotate_all(roles, now, &diary).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|_| CoreError::Internal("the change of a password was broken off"))??;
        }
        let next = self.context.records.scan::<Turn>(&self.turn_shelf(), None, 1).await?;
        Ok(next.first().map(|turn| Timestamp::from_nanos(turn.number)))
    }

    /// Changes the passwords of one database, one after the other; when it cannot be reached the others wait too.
    async fn rotate_all(&self, roles: Vec<RoleName>, now: Timestamp, diary: &Diary) -> Result<(), CoreError> {
        let mut down: Option<String> = None;
        for name in roles {
            if self.skip_late(&name, now).await? {
                continue;
            }
            if let Some(error) = &down {
                self.put_off(&name, error).await?;
                continue;
            }
            match self.rotate_if_due(&name, now, diary).await {
                Ok(Ended::Open(error @ CoreError::Unreachable { .. }))
                | Ok(Ended::Refused(error @ CoreError::Unreachable { .. })) => down = Some(error.to_string()),
                // Removed, or no longer allowed: the next look finds out.
                Err(error) => self.put_off(&name, &error.to_string()).await?,
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the window of that role's change is over; then it is planned anew.
    async fn skip_late(&self, name: &RoleName, now: Timestamp) -> Result<bool, CoreError> {
        let (Some(role), Some(keeping)) = (self.static_role(name).await?, self.keeping(name).await?) else {
            return Ok(true);
        };
        let is_begun = matches!(keeping.value.phase, Phase::Setting { .. });
        if is_begun || role.value.schedule.allows(keeping.value.planned, now) {
            return Ok(false);
        }
        let mut new = keeping.value.duplicate();
        new.planned = role.value.schedule.after(now)?;
        new.due = new.planned;
        let said = new.error.take().unwrap_or_else(|| "the server did not run".to_owned());
        new.error = Some(format!("the rotation_window of {} passed without a change: {said}", keeping.value.planned));
        match self.store(name, &keeping, &new).await {
            Ok(()) | Err(CoreError::Conflict) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn put_off(&self, name: &RoleName, error: &str) -> Result<(), CoreError> {
        let Some(keeping) = self.keeping(name).await? else { return Ok(()) };
        let mut new = keeping.value.duplicate();
        new.failures = new.failures.saturating_add(1);
        new.error = Some(error.to_owned());
        let [chance] = self.context.entropy.array::<1>();
        new.due = self.context.now().plus(backoff(new.failures, chance));
        match self.store(name, &keeping, &new).await {
            Err(CoreError::Conflict) => Ok(()),
            other => other,
        }
    }

    /// After the clock went back: nothing is planned further ahead than its schedule says from now.
    async fn pull_back(&self, now: Timestamp) -> Result<(), CoreError> {
        for listed in self.context.records.scan_all::<Keeping>(&self.keeping_shelf()).await? {
            let Ok(name) = RoleName::parse(&listed.text()) else { continue };
            let (Some(role), Some(keeping)) = (self.static_role(&name).await?, self.keeping(&name).await?) else {
                continue;
            };
            let latest = role.value.schedule.latest(now)?;
            let mut new = keeping.value.duplicate();
            (new.planned, new.due) = (new.planned.min(latest), new.due.min(latest));
            if (new.planned, new.due) != (keeping.value.planned, keeping.value.due) {
                match self.store(&name, &keeping, &new).await {
                    Ok(()) | Err(CoreError::Conflict) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// One password to be put in the place of another.
pub(super) struct Change<'a> {
    pub(super) username: &'a str,
    pub(super) statements: &'a [String],
    /// Unknown before the first change.
    pub(super) old: Option<&'a SecretString>,
    pub(super) candidate: &'a SecretString,
    /// Whether the database may have been given it before.
    pub(super) resumed: bool,
}

impl Change<'_> {
    pub(super) async fn make(&self, connector: &dyn Connector, system: &str) -> Ended {
        let set = connector.set_password(self.username, self.candidate, self.statements).await;
        match set {
            Err(error) if !error.may_have_acted() && !self.resumed => Ended::Refused(outside(system, &error)),
            Err(error) if !error.may_have_acted() => self.judge(connector, system, error).await,
            Err(error) => match connector.verify(self.username, self.candidate).await {
                Ok(()) => Ended::Done,
                Err(_) => Ended::Open(outside(system, &error)),
            },
            Ok(()) => self.judge_set(connector, system).await,
        }
    }

    /// The database said no. An earlier attempt with the same password may have worked all the same.
    async fn judge(&self, connector: &dyn Connector, system: &str, refusal: ConnectorError) -> Ended {
        match connector.verify(self.username, self.candidate).await {
            Ok(()) => Ended::Done,
            Err(ConnectorError::LoginRefused { .. }) => Ended::Refused(outside(system, &refusal)),
            // Asked of a connection that is itself refused, nothing is learned.
            Err(_) => Ended::Open(outside(system, &refusal)),
        }
    }

    /// The database said yes. What it says to the new password counts more, unless nobody gets in from here.
    async fn judge_set(&self, connector: &dyn Connector, system: &str) -> Ended {
        match connector.verify(self.username, self.candidate).await {
            Ok(()) => Ended::Done,
            Err(error @ ConnectorError::LoginRefused { .. }) => {
                let still = match self.old {
                    Some(old) => connector.verify(self.username, old).await.is_ok(),
                    None => false,
                };
                if still {
                    return Ended::Refused(CoreError::Outside {
                        system: system.to_owned(),
                        why: "the statements were carried out, but the login still has its old password: correct \
                              rotation_statements"
                            .to_owned(),
                    });
                }
                tracing::warn!(system, login = self.username, %error, "a new password was set and cannot be proved from here");
                Ended::Done
            }
            Err(error) if error.is_passing() => Ended::Open(outside(system, &error)),
            // The login may not log in at all, or not to this database: it has the password nevertheless.
            Err(_) => Ended::Done,
        }
    }
}
