//! The joint for strategies: what they promise, and what they are given.
//!
//! A strategy of ours changes a login in an outside system by verbs that may be repeated, and the core writes versions
//! and moves labels. A foreign function does all of that itself, step by step, as AWS's functions do, with a key that
//! reaches the one secret.

use crate::CoreError;
use crate::access_key::MadeKey;
use crate::password_policy::PasswordPolicies;
use crate::secret::SecretValue;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::Entropy;

/// What a rotation is about, as a strategy sees it. No `Debug`: it holds the secret.
pub struct Order<'a> {
    /// The secret, as people call it.
    pub secret: &'a str,
    /// The id of the version in preparation; empty while a plan is looked at.
    pub version: &'a str,
    /// What the operator set for this secret.
    pub options: &'a Map<String, Value>,
    /// The value in force.
    pub current: &'a SecretValue,
    /// The value that was in force before.
    pub previous: Option<&'a SecretValue>,
    /// The secret with the login that may change others, where one was named.
    pub admin: Option<&'a SecretValue>,
    /// Whom that login serves.
    pub pin: Option<&'a Pin>,
    /// Logins that rotations of this secret made, and that are still there as far as anybody knows.
    pub made: &'a [Made],
    /// Password policies.
    pub passwords: &'a PasswordPolicies,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
}

/// The logins that a plan was written for. Whoever may write the secret could name any other login in it, and have that one's
/// password made anew by a login that may change others; so that one serves these only, until the plan is written again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The outside system with the part of it that they log in to.
    pub place: String,
    /// Their names.
    pub logins: Vec<String>,
}

/// A login that a strategy made. What it is called does not tell that: anybody can give a login such a name, and only
/// logins that stand here are ever dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The outside system with the part of it that it is for.
    pub place: String,
    /// Its name.
    pub login: String,
}

/// How giving up a former login went.
pub enum Retired {
    /// Nothing was to go, or what went is not to be remembered.
    Done,
    /// These are gone.
    Dropped(Vec<Made>),
    /// It is still in use; ask again after that time. The text says by whom.
    InUse(String, Duration),
}

/// A strategy of ours. Every call may come again after a crash, also when the one before did its work; an error of kind
/// `Unavailable` says that trying later may help, any other that the outside system refused.
#[async_trait]
pub trait Rotator: Send + Sync {
    /// Refuses options and values that it cannot work with, and names the outside system, whose calls are bounded
    /// together. Reaches nothing outside.
    fn lane(&self, order: &Order<'_>) -> Result<String, CoreError>;

    /// The logins that the value in force stands for, where a login that may change others is to serve them. Reaches nothing
    /// outside.
    fn pin(&self, _order: &Order<'_>) -> Result<Option<Pin>, CoreError> {
        Ok(None)
    }

    /// The login that a value names, where [`Rotator::set`] makes one for each. It is noted before that is called. Reaches
    /// nothing outside.
    fn makes(&self, _value: &SecretValue) -> Result<Option<Made>, CoreError> {
        Ok(None)
    }

    /// Makes the new value. Reaches nothing outside.
    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError>;

    /// Makes the new value good in the outside system.
    async fn set(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError>;

    /// Proves the new value.
    async fn test(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError>;

    /// Makes the value in force good again, after [`Rotator::set`] may have run and the new value will not be used.
    async fn undo(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError>;

    /// Gives up what only the value before needed. Asked once the new one is in force; `former` was in force before.
    async fn retire(&self, _order: &Order<'_>, _former: &SecretValue, _since: Duration) -> Result<Retired, CoreError> {
        Ok(Retired::Done)
    }

    /// Makes a former value worthless now, whoever still uses it, because others know it, and drops whatever login was made
    /// at that place but the one in force. Asked in the place of [`Rotator::retire`].
    async fn spoil(&self, order: &Order<'_>, former: &SecretValue) -> Result<(), CoreError>;
}

/// A step of a foreign function, by AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes the version in preparation.
    Create,
    /// Makes it good in the outside system.
    Set,
    /// Proves it.
    Test,
    /// Puts it in force.
    Finish,
}

impl Step {
    /// AWS's name.
    pub fn word(self) -> &'static str {
        match self {
            Step::Create => "createSecret",
            Step::Set => "setSecret",
            Step::Test => "testSecret",
            Step::Finish => "finishSecret",
        }
    }
}

/// One call of a foreign function. No `Debug`: it holds a key.
pub struct StepOrder<'a> {
    /// The step.
    pub step: Step,
    /// The secret as the function is to name it.
    pub secret: &'a str,
    /// The id of the version in preparation.
    pub token: &'a str,
    /// A key that reaches this secret alone, for a while.
    pub key: &'a MadeKey,
    /// The region of the secret.
    pub region: &'a str,
}

/// A program that somebody else wrote.
#[async_trait]
pub trait Function: Send + Sync {
    /// Has it do one step. It may come again.
    async fn call(&self, order: &StepOrder<'_>) -> Result<(), CoreError>;
}

/// A way to rotate.
#[derive(Clone)]
pub enum Method {
    /// One of ours.
    Own(Arc<dyn Rotator>),
    /// A foreign function.
    Foreign(Arc<dyn Function>),
}

/// The ways to rotate that this server has, by name.
#[derive(Clone, Default)]
pub struct Methods(BTreeMap<String, Method>);

impl Methods {
    /// Adds one; a later one of the same name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, method: Method) -> Self {
        self.0.insert(name.into(), method);
        self
    }

    /// Adds all of another set.
    #[must_use]
    pub fn with_all(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Method> {
        self.0.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
