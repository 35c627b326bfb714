use crate::rotation::Schedule;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Address, Shelf};
use strongroom_model::{MountId, NamespaceId, Timestamp};

/// Drills kept of each target.
pub(super) const HISTORY: u64 = 50;

/// What is drilled: the thing itself, whatever its mount is called later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) mount: MountId,
    /// The secret's name, or the place of an engine below its mount.
    pub(super) name: String,
    /// Whether it is a secret.
    pub(super) is_secret: bool,
}

impl Key {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.mount.as_bytes().to_vec();
        bytes.push(u8::from(self.is_secret));
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }
}

/// Drills that are under way, or whose canary is still to be taken away.
pub(super) fn open_shelf() -> Shelf {
    Shelf::new("drill-open", NamespaceId::ROOT)
}

pub(super) fn open_at(id: &str) -> Address {
    open_shelf().named(id)
}

pub(super) fn standing_shelf() -> Shelf {
    Shelf::new("drill-standing", NamespaceId::ROOT)
}

pub(super) fn standing_at(key: &Key) -> Address {
    standing_shelf().named(key.bytes())
}

pub(super) fn past_shelf(key: &Key) -> Shelf {
    Shelf::new("drill-past", NamespaceId::ROOT).within(key.bytes())
}

/// What is cut off in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialType {
    /// The version in force of a secret is put out of use.
    SecretVersion,
    /// One token is revoked.
    Token,
    /// A principal is disabled, and refused with its token.
    Principal,
    /// A principal is disabled, and refused with its access key.
    AccessKey,
    /// A login of an outside system, handed out under a lease, is ended there.
    Login,
}

impl CredentialType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::SecretVersion, Self::Token, Self::Principal, Self::AccessKey, Self::Login];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::SecretVersion => "secret-version",
            Self::Token => "token",
            Self::Principal => "principal",
            Self::AccessKey => "access-key",
            Self::Login => "login",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// One measurement. Spans are real ones, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What was cut off.
    pub credential: CredentialType,
    /// When the order to cut it off was given.
    pub ordered: Timestamp,
    /// From the order until it was acknowledged: durable.
    pub acknowledged_us: u64,
    /// From the order until the first refusal was in the user's hands. `None`: it was still let in when that was given up.
    pub denied_us: Option<u64>,
    /// From the acknowledgement to the first refusal; 0 when that came before it.
    pub after_acknowledgement_us: Option<u64>,
    /// From the acknowledgement until the last answer that let it in; 0 when there was none.
    pub last_accepted_us: u64,
    /// Uses that began after the acknowledgement and were let in.
    pub accepted_after: u64,
    /// All uses.
    pub uses: u64,
    /// Uses that were neither let in nor refused: the server or the outside system did not answer properly.
    pub hindered: u64,
    /// Whether the last of them were so: nobody can tell whether it would have been let in still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}

/// A real rotation that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationTrial {
    /// When it was asked for.
    pub ordered: Timestamp,
    /// When the new version was seen in force.
    pub in_force: Timestamp,
    /// From the one to the other, in microseconds.
    pub in_force_us: u64,
    /// The new version.
    pub version: u64,
}

/// How a drill ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result", content = "why")]
pub enum Verdict {
    /// Everything was measured, and everything was refused in the end.
    Done,
    /// It could not be carried out, or something was not refused.
    Failed(String),
    /// The server stopped in the middle.
    BrokenOff,
}

impl Verdict {
    /// The word.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Done => "done",
            Verdict::Failed(_) => "failed",
            Verdict::BrokenOff => "broken-off",
        }
    }
}

/// One drill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drill {
    /// Names it; later ones sort after earlier ones.
    pub id: String,
    /// What is drilled.
    #[serde(rename = "key")]
    pub(super) key: Key,
    /// Its path as policies speak of it, at that time.
    pub path: String,
    /// Who asked for it, or that it was the schedule.
    pub trigger: String,
    /// What is tried.
    pub credentials: Vec<CredentialType>,
    /// How often each.
    pub rounds: u32,
    /// Whether a real rotation is to be measured too.
    pub rotate: bool,
    /// When that was asked for, and the version in force before.
    #[serde(rename = "rotating", default)]
    pub(super) rotating: Option<(Timestamp, u64)>,
    /// What its canaries are called by.
    pub(super) tag: String,
    /// When it was recorded.
    pub begun: Timestamp,
    /// When its canaries were gone.
    pub ended: Option<Timestamp>,
    /// The measurements so far.
    pub trials: Vec<Trial>,
    /// The real rotation.
    pub rotation: Option<RotationTrial>,
    /// How it ended; set before the canaries are taken away.
    pub verdict: Option<Verdict>,
    /// Why its canaries could not be taken away yet; told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

impl Drill {
    /// How many canaries it makes at most, beside the one that keeps their secret.
    pub(super) fn planned(&self) -> u32 {
        self.rounds.saturating_mul(u32::try_from(self.credentials.len()).unwrap_or(u32::MAX))
    }

    /// `running`, or how it ended.
    pub fn state(&self) -> &'static str {
        match (&self.verdict, self.ended) {
            (Some(verdict), Some(_)) => verdict.word(),
            (Some(_), None) => "clearing",
            (None, _) => "running",
        }
    }
}

/// What is remembered of a target between its drills.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) key: Key,
    /// Since when it is known.
    pub(super) since: Timestamp,
    pub(super) schedule: Option<Schedule>,
    /// What the schedule asks for.
    pub(super) credentials: Vec<CredentialType>,
    pub(super) rounds: u32,
    pub(super) next: Option<Timestamp>,
    /// When one last ended well.
    pub(super) last: Option<Timestamp>,
    /// How many are in the history or were.
    pub(super) ended: u64,
    /// That it was told that the last one is too old.
    pub(super) told_late: bool,
}
