use super::method::{Made, Pin};
use super::record::{Ending, Past, Phase, Plan, Rotation};
use serde::Serialize;
use strongroom_model::Timestamp;

/// A secret's rotation as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct RotationView {
    /// The secret, with its mount.
    pub path: String,
    /// How it rotates.
    pub plan: Plan,
    /// The logins that the plan's login that may change others serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Logins that its rotations made in the outside system, and that were not dropped since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Made>,
    /// Whether its schedule counts.
    pub enabled: bool,
    /// When it last rotated.
    pub last: Option<Timestamp>,
    /// When it is to rotate next.
    pub next: Option<Timestamp>,
    /// The rotation under way.
    pub running: Option<Progress>,
    /// How the one before ended.
    pub before: Option<Past>,
    /// What to do, when the one before failed.
    pub advice: Option<&'static str>,
    /// What became of the rotation under way, when it was cancelled just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
}

/// What became of a rotation under way that somebody cancelled.
#[derive(Clone, Debug, Serialize)]
pub struct Cancellation {
    /// `nothing-under-way`, `rolling-back`, `given-up`, `left`, `known` or `too-late`.
    pub result: &'static str,
    /// What is true then.
    pub text: &'static str,
}

/// The same, for who decides it.
#[derive(Clone, Copy)]
pub(super) enum Cancelled {
    NothingUnderWay,
    RollingBack,
    GivenUp,
    Left,
    Known,
    TooLate,
}

impl From<Cancelled> for Cancellation {
    fn from(cancelled: Cancelled) -> Self {
        let (result, text) = match cancelled {
            Cancelled::NothingUnderWay => ("nothing-under-way", "no rotation was under way; its schedule is ended"),
            Cancelled::RollingBack => {
                ("rolling-back", "the rotation is rolled back and the value in force stays; its schedule is ended")
            }
            Cancelled::GivenUp => (
                "given-up",
                "the rotation ends as it stands: the outside system has the value from before it or the one in preparation, \
                 and both are kept; its schedule is ended",
            ),
            Cancelled::Left => (
                "left",
                "the rotation ends with its new value in force; nobody waits any longer until what only the former value needed \
                 can go, and that stays: a login of its own is dropped after the next rotation; its schedule is ended",
            ),
            Cancelled::Known => (
                "known",
                "the rotation under way is not cancelled: its new value is in force, and others know the former one, so it goes on \
                 until that is worthless; see what is in its way with `strongroom rotate status`, and mend that; its schedule is \
                 ended",
            ),
            Cancelled::TooLate => (
                "too-late",
                "the rotation under way is not cancelled: its new value is just coming into force; its schedule is ended. Cancel \
                 it again if it has to wait until the former value can go",
            ),
        };
        Self { result, text }
    }
}

/// A rotation under way.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// The id of the new version.
    pub version_id: String,
    /// Who or what asked for it.
    pub trigger: String,
    /// When it began.
    pub begun: Timestamp,
    /// `creating`, `setting`, `testing`, `finishing`, `retiring` or `rolling-back`.
    pub phase: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// Whether the former value is known to others.
    pub leaked: bool,
    /// Whether only the proof is tried.
    pub trial: bool,
    /// Phases that are over, and how many milliseconds each took.
    pub phases: Vec<(String, u64)>,
    /// Failed tries of this phase.
    pub attempts: u32,
    /// What it waits for, or how the last try failed.
    pub error: Option<String>,
    /// When it goes on, while it waits.
    pub next_try: Option<Timestamp>,
    /// What to do, when something failed.
    pub advice: Option<&'static str>,
}

impl RotationView {
    pub(super) fn of(rotation: &Rotation, path: String, before: Option<Past>) -> Self {
        let running = rotation.job.as_ref().map(|job| Progress {
            version_id: job.token.as_str().to_owned(),
            trigger: job.trigger.clone(),
            begun: job.begun,
            phase: job.phase.word(),
            since: job.since,
            leaked: job.leaked,
            trial: job.trial,
            phases: job.took.clone(),
            attempts: job.attempts,
            error: job.error.clone(),
            next_try: job.error.as_ref().map(|_| job.wake),
            advice: job.error.as_ref().map(|_| advice(&job.phase, job.attempts > 0)),
        });
        let advice = before.as_ref().and_then(|past| match &past.outcome {
            Ending::RolledBack { unsettled: true, .. } => Some(UNSETTLED),
            Ending::RolledBack { phase, .. } => Some(advice_after(phase)),
            Ending::Rotated | Ending::Tried => None,
        });
        Self {
            path,
            advice,
            plan: rotation.plan.clone(),
            pin: rotation.pin.clone(),
            made: rotation.made.clone(),
            enabled: rotation.enabled,
            last: rotation.last,
            next: rotation.next.filter(|_| rotation.enabled),
            running,
            before,
            cancelled: None,
        }
    }
}

/// What to do about a rotation that waits in this phase.
pub(super) fn advice(phase: &Phase, failed: bool) -> &'static str {
    match phase {
        Phase::Creating => {
            "correct the plan with `strongroom rotate schedule`, or the secret's fields; nothing was changed outside"
        }
        Phase::Setting { .. } | Phase::Testing { .. } => {
            "see to the outside system: it goes on by itself when that answers; or `strongroom rotate cancel` to keep the former value"
        }
        Phase::Finishing { .. } => "it goes on by itself; if it does not, look for the cause in the server's log",
        Phase::Retiring { .. } if !failed => {
            "have those who still use the former login read the secret again; or `strongroom rotate cancel`, which waits for \
             them no longer and leaves it"
        }
        Phase::Clearing => "it goes on by itself; if it does not, look for the cause in the server's log",
        Phase::Retiring { .. } => {
            "the new value is in force; see to the outside system so that the former login can go"
        }
        Phase::RollingBack { .. } => {
            "see to the outside system: the value in force is made good there as soon as it answers. By hand: give the login \
             there the password in force (`strongroom kv get`), or write the one that works there (`strongroom kv put`); either \
             ends it at its next try. `strongroom rotate cancel` ends it as it stands"
        }
    }
}

/// What to do when the outside system may have either value.
pub(super) const UNSETTLED: &str = "log in to the outside system with the two versions that the reason names (`strongroom kv get \
                                    -version`): one of them works. Give the login there the password in force, or write the \
                                    one that works (`strongroom kv put`), then `strongroom rotate start`";

/// What to do about a rotation that was rolled back.
pub(super) fn advice_after(phase: &str) -> &'static str {
    match phase {
        "creating" => "correct the plan or the secret's fields, then `strongroom rotate start`",
        "testing" => "find out why the outside system refuses the new value, then `strongroom rotate start`",
        _ => "read why it was refused, mend that in the outside system, then `strongroom rotate start`",
    }
}
