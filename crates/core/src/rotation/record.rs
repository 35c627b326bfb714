//! What is kept of a rotation: the plan, the job under way with its phase, what is due when, and what happened.

use super::method::{Made, Pin};
use super::schedule::Schedule;
use crate::secret::VersionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use strongroom_barrier::{Address, Shelf};
use strongroom_model::{MountId, NamespaceId, SecretId, SecretPath, Timestamp, VersionNumber};

/// Which secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) mount: MountId,
    pub(super) path: SecretPath,
}

/// How a secret is to rotate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The way to rotate.
    pub method: String,
    /// What it is told. Never a secret: it is shown to who may read the metadata.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// The secret in the same mount with the login that may change others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<SecretPath>,
    /// When; `None`: on demand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How a foreign function is to name the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
    /// Whether it also rotates when somebody who read the value in force is cut off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub when_disabled: bool,
}

/// A secret as another dialect calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Its name there.
    pub name: String,
    /// The region it is in.
    pub region: String,
}

/// Everything about one secret's rotation.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub(super) key: Key,
    pub(super) secret: SecretId,
    pub(super) plan: Plan,
    /// Whom the plan's login that may change others serves. Not of the plan: callers cannot set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pin: Option<Pin>,
    /// Logins that rotations made and that are still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) made: Vec<Made>,
    /// Whether the schedule counts.
    pub(super) enabled: bool,
    /// The outside system.
    pub(super) lane: String,
    pub(super) job: Option<Job>,
    /// When the schedule has it rotate next.
    pub(super) next: Option<Timestamp>,
    /// Where it stands in the index; kept in step with it in one commit.
    pub(super) due: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    /// Rotations that ended: the number of the next one in the history.
    pub(super) ended: u64,
    /// Whether it was told that this secret is past due.
    #[serde(default)]
    pub(super) told_late: bool,
    /// Whether somebody was told of a failure, and nothing went well since.
    #[serde(default)]
    pub(super) alarmed: bool,
    /// Another rotation is to follow the one under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<Cause>,
}

/// What had a rotation begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cause {
    /// Who or what, in words.
    pub(super) trigger: String,
    /// Whether the value in force is known to others, and must be worthless afterwards.
    pub(super) leaked: bool,
}

/// A rotation under way.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// The id of the new version.
    pub(super) token: VersionId,
    /// Who or what asked for it.
    pub(super) trigger: String,
    pub(super) begun: Timestamp,
    /// When to go on with it; in the past while somebody does.
    pub(super) wake: Timestamp,
    /// The version that is to be replaced.
    pub(super) current: VersionNumber,
    pub(super) phase: Phase,
    pub(super) since: Timestamp,
    /// Failed tries of this phase.
    pub(super) attempts: u32,
    /// How the last of them failed.
    pub(super) error: Option<String>,
    /// Finished phases and how long each took, in milliseconds.
    pub(super) took: Vec<(String, u64)>,
    /// Somebody wants it to end without a new value.
    #[serde(default)]
    pub(super) cancelled: Option<String>,
    /// Somebody does not want to wait any longer until the former value is made good again outside.
    #[serde(default)]
    pub(super) abandoned: Option<String>,
    /// The former value is known to others: it is made worthless as soon as the new one is in force.
    #[serde(default)]
    pub(super) leaked: bool,
    /// Only the proof is tried, with the value in force; nothing changes.
    #[serde(default)]
    pub(super) trial: bool,
}

/// Where a rotation is. Each is stored before its act, and its act may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// The new value is made, and written as the version in preparation.
    Creating,
    /// It is made good in the outside system.
    Setting { new: VersionNumber },
    /// It is proved there.
    Testing { new: VersionNumber },
    /// It is put in force.
    Finishing { new: VersionNumber },
    /// It is in force, and what only the former value needed is given up.
    Retiring { former: VersionNumber },
    /// A trial went well, and its version goes.
    Clearing,
    /// It will not be used: the former value is made good again.
    RollingBack {
        /// The version in preparation, when it had come so far.
        new: Option<VersionNumber>,
        /// The phase that failed.
        from: String,
        /// How.
        why: String,
    },
}

impl Phase {
    /// As people and the native API call it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Phase::Creating => "creating",
            Phase::Setting { .. } => "setting",
            Phase::Testing { .. } => "testing",
            Phase::Finishing { .. } => "finishing",
            Phase::Retiring { .. } => "retiring",
            Phase::Clearing => "clearing",
            Phase::RollingBack { .. } => "rolling-back",
        }
    }

    /// What is being done, to end a sentence with.
    pub(super) fn said(&self) -> &'static str {
        match self {
            Phase::Creating => "a new value is being made",
            Phase::Setting { .. } => "the new value is being set in the outside system",
            Phase::Testing { .. } => "the new value is being tested",
            Phase::Finishing { .. } => "the new value is being put in force",
            Phase::Retiring { .. } => "what only the former value needed is being given up",
            Phase::Clearing => "what a trial made is being cleared away",
            Phase::RollingBack { .. } => "what it did is being rolled back",
        }
    }
}

/// A rotation that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The id of the version that was made.
    pub version_id: String,
    /// Who or what asked for it.
    pub trigger: String,
    /// When it began.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Each phase and how long it took, in milliseconds.
    pub phases: Vec<(String, u64)>,
    /// How it ended.
    pub outcome: Ending,
    /// What was left undone, since somebody did not want to wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// How a rotation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Ending {
    /// The new value is in force.
    Rotated,
    /// It was a trial, and went well.
    Tried,
    /// It is not, and the former one is.
    RolledBack {
        /// The phase that failed.
        phase: String,
        /// How.
        why: String,
        /// The outside system may have either value: somebody gave up making the former one good again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unsettled: bool,
    },
}

impl Job {
    /// Whether somebody asked for its end, and that was not seen to yet.
    pub(super) fn is_to_end(&self) -> bool {
        match self.phase {
            Phase::RollingBack { .. } => self.abandoned.is_some(),
            Phase::Creating | Phase::Setting { .. } | Phase::Testing { .. } => self.cancelled.is_some(),
            Phase::Retiring { .. } => self.left().is_some(),
            Phase::Finishing { .. } | Phase::Clearing => false,
        }
    }

    /// What stays undone of a rotation whose new value is in force, when somebody does not want to wait for it any longer.
    /// What others know is made worthless, whoever wants what.
    pub(super) fn left(&self) -> Option<String> {
        let Phase::Retiring { former } = &self.phase else { return None };
        let who = self.cancelled.as_ref().filter(|_| !self.leaked)?;
        let why = self.error.as_deref().unwrap_or("nothing was in the way yet");
        Some(format!(
            "{who} ended it before what only version {former} needed outside was given up ({why}): that stays"
        ))
    }
}

impl Rotation {
    /// When somebody has to look at it next.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        match &self.job {
            Some(job) => Some(job.wake),
            None if self.again.is_some() => Some(Timestamp::default()),
            None => self.next.filter(|_| self.enabled),
        }
    }
}

/// How long to wait after so many failures: two seconds, doubled each time, five minutes at most; half of it by chance.
pub(super) fn backoff(attempts: u32, part: u8) -> Duration {
    let most = 2_000_u64.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(300_000);
    Duration::from_millis(most / 2 + most / 2 * u64::from(part) / 255)
}

/// Rotations ended longer ago than these are forgotten.
pub(super) const HISTORY: u64 = 50;

const ROOT: NamespaceId = NamespaceId::ROOT;

pub(super) fn rotation_at(key: &Key) -> Address {
    Shelf::new("rotation", ROOT).within(key.mount.as_bytes()).named(key.path.as_str())
}

/// What is due when.
pub(super) fn due() -> Shelf {
    Shelf::new("rotation-due", ROOT)
}

pub(super) fn due_at(at: Timestamp, key: &Key) -> Address {
    let mut name = key.mount.as_bytes().to_vec();
    name.extend_from_slice(key.path.as_str().as_bytes());
    due().ordered(at.nanos(), name)
}

/// What happened to one secret, oldest first.
pub(super) fn history(key: &Key) -> Shelf {
    Shelf::new("rotation-history", ROOT).within(key.mount.as_bytes()).within(key.path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_growing() {
        assert_eq!(backoff(1, 255), Duration::from_secs(2));
        assert_eq!(backoff(2, 0), Duration::from_secs(2));
        assert_eq!(backoff(100, 255), Duration::from_secs(300));
    }
}
