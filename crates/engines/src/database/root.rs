//! Changes the password of a connection's own login, after which only this server knows it.
//!
//! As with static roles, the new password is on disk before the database is given it, and both are kept until one is
//! seen to work: there is no moment at which neither is known.

use super::config::Config;
use super::rotation::backoff;
use super::{Database, TRIES, Unfinished};
use crate::failure::outside;
use crate::sent::expose;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_connectors::{ConnectorError, open};
use strongroom_core::{CoreError, Stored};
use strongroom_model::{RoleName, SecretString, Timestamp};

/// A change of a connection's password that was begun.
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    name: RoleName,
    #[serde(serialize_with = "expose")]
    candidate: SecretString,
    due: Timestamp,
    failures: u32,
}

/// What a login with the new password showed.
enum Seen {
    Works,
    Refused,
    Unknown,
}

/// When a change is taken up again that this process broke off: longer than a change takes.
const RESUME: Duration = Duration::from_secs(60);

impl Database {
    fn attempt_shelf(&self) -> Shelf {
        self.context.records.shelf("database-root-attempt")
    }

    pub(super) fn attempt_at(&self, name: &RoleName) -> Address {
        self.attempt_shelf().named(name.as_str())
    }

    async fn attempt(&self, name: &RoleName) -> Result<Option<Arc<Stored<Attempt>>>, CoreError> {
        self.context.records.get(&self.attempt_at(name)).await
    }

    /// Changes the password now; one that was begun before is brought to its end first.
    pub(super) async fn rotate_root(&self, name: &RoleName) -> Result<(), CoreError> {
        let _turn = self.turns.take(&format!("root/{name}")).await;
        if self.attempt(name).await?.is_some() {
            self.resume_root(name).await?;
        }
        let config = self.require_config(name).await?;
        config.value.require_rotatable()?;
        let candidate = self.password(config.value.password_policy.as_ref()).await?;
        let due = self.context.now().plus(RESUME);
        let attempt = Attempt { name: name.clone(), candidate, due, failures: 0 };
        let txn = Txn::new().expect(self.config_at(name), config.rev).expect_absent(self.attempt_at(name));
        self.context.records.commit(self.context.records.put(txn, self.attempt_at(name), &attempt)?).await?;
        let username = &config.value.username;
        let statements = &config.value.root_rotation_statements;
        let connector = self.links.get(&config.value)?;
        match connector.set_password(username, &attempt.candidate, statements).await {
            Err(error) if !error.may_have_acted() => {
                self.context.records.commit(Txn::new().delete(self.attempt_at(name))).await?;
                Err(outside(name.as_str(), &error))
            }
            set => self.judge_root(&config.value, &attempt, set).await,
        }
    }

    /// The database was given the password, or may have been.
    async fn judge_root(
        &self,
        config: &Config,
        attempt: &Attempt,
        set: Result<(), ConnectorError>,
    ) -> Result<(), CoreError> {
        let name = &attempt.name;
        match (self.try_root(&config.with_password(attempt.candidate.duplicate())).await?, set) {
            (Seen::Works, _) => self.keep_root(name).await,
            (_, Err(error)) => self.wait_root(attempt, outside(name.as_str(), &error)).await,
            (Seen::Unknown, Ok(())) => {
                let why = "the password was set, and cannot be tried yet".to_owned();
                self.wait_root(attempt, CoreError::Unreachable { system: name.to_string(), why }).await
            }
            (Seen::Refused, Ok(())) => {
                let why = "the statements were carried out, but the new password is not taken".to_owned();
                let error = CoreError::Outside { system: name.to_string(), why };
                match self.try_root(config).await? {
                    // So they changed something else.
                    Seen::Works => {
                        self.context.records.commit(Txn::new().delete(self.attempt_at(name))).await?;
                        Err(error)
                    }
                    _ => self.wait_root(attempt, error).await,
                }
            }
        }
    }

    /// Goes on with a change that was begun: with the same password, whichever of the two the database has.
    async fn resume_root(&self, name: &RoleName) -> Result<(), CoreError> {
        let (Some(attempt), Some(config)) = (self.attempt(name).await?, self.config(name).await?) else {
            return Ok(());
        };
        let (attempt, config) = (&attempt.value, &config.value);
        match self.try_root(&config.with_password(attempt.candidate.duplicate())).await? {
            Seen::Works => return self.keep_root(name).await,
            Seen::Refused => {}
            Seen::Unknown => {
                let why = "it does not answer; both of its passwords are kept".to_owned();
                return self.wait_root(attempt, CoreError::Unreachable { system: name.to_string(), why }).await;
            }
        }
        let connector = self.links.get(config)?;
        let set = connector.set_password(&config.username, &attempt.candidate, &config.root_rotation_statements).await;
        match set {
            Err(error @ ConnectorError::Rejected { left: false, .. }) => {
                // It let us in with the old password and will not take the new one.
                self.context.records.commit(Txn::new().delete(self.attempt_at(name))).await?;
                Err(outside(name.as_str(), &error))
            }
            set => self.judge_root(config, attempt, set).await,
        }
    }

    /// Logs in as that connection would, over a connector of its own.
    async fn try_root(&self, config: &Config) -> Result<Seen, CoreError> {
        let connector = open(config.kind().system(), config.settings());
        let connector = connector.map_err(|error| outside(config.name.as_str(), &error))?;
        Ok(match connector.check().await {
            Ok(()) => Seen::Works,
            Err(ConnectorError::Refused { .. }) => Seen::Refused,
            Err(_) => Seen::Unknown,
        })
    }

    /// The new password works: from now on it is the connection's.
    async fn keep_root(&self, name: &RoleName) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let (Some(attempt), Some(config)) = (self.attempt(name).await?, self.config(name).await?) else {
                return Err(CoreError::Invalid(format!(
                    "the connection \"{name}\" was written or removed while its password was changed; write its password again"
                )));
            };
            let new = config.value.with_password(attempt.value.candidate.duplicate());
            let txn = Txn::new().expect(self.config_at(name), config.rev).expect(self.attempt_at(name), attempt.rev);
            let txn = self.context.records.put(txn.delete(self.attempt_at(name)), self.config_at(name), &new)?;
            match self.context.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => other?,
            }
            self.links.drop_one(name);
            tracing::info!(connection = %name, "the password of a connection's own login was changed");
            return Ok(());
        }
        Err(CoreError::Conflict)
    }

    /// Keeps both passwords, and has it tried again.
    async fn wait_root(&self, attempt: &Attempt, error: CoreError) -> Result<(), CoreError> {
        let name = &attempt.name;
        if let Some(kept) = self.attempt(name).await? {
            let [chance] = self.context.entropy.array::<1>();
            let failures = attempt.failures.saturating_add(1);
            let due = self.context.now().plus(backoff(failures, chance));
            let candidate = attempt.candidate.duplicate();
            let new = Attempt { name: name.clone(), candidate, due, failures };
            let txn = Txn::new().expect(self.attempt_at(name), kept.rev);
            match self.context.records.commit(self.context.records.put(txn, self.attempt_at(name), &new)?).await {
                Ok(()) | Err(CoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        tracing::warn!(connection = %name, %error, "a change of a connection's password is not finished; it is tried again");
        Err(error)
    }

    /// Goes on with every change that was begun and not finished; says when to look again.
    pub(super) async fn resume_roots(&self) -> Result<Option<Timestamp>, CoreError> {
        let is_first = Unfinished::is_first(&self.unfinished.roots);
        for listed in self.context.records.scan_all::<Attempt>(&self.attempt_shelf()).await? {
            let is_abandoned = is_first && listed.value.failures == 0;
            if listed.value.due > self.context.now() && !is_abandoned {
                continue;
            }
            let _turn = self.turns.take(&format!("root/{}", listed.value.name)).await;
            // Said in the log, and tried again; nobody waits for the answer.
            let _ = self.resume_root(&listed.value.name).await;
        }
        let left = self.context.records.scan_all::<Attempt>(&self.attempt_shelf()).await?;
        Ok(left.iter().map(|listed| listed.value.due).min())
    }
}
