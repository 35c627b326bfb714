use crate::access_key::AccessKeyId;
use crate::emergency::{Preview, Target};
use crate::mount::MountTable;
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use strongroom_model::Timestamp;

/// One incident.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Names it; later ones sort after earlier ones.
    pub id: String,
    /// What is cut off.
    pub target: Target,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who ordered it.
    pub by: Operator,
    /// When the order was recorded.
    pub opened: Timestamp,
    /// When the order was durable: figures count from here.
    pub acknowledged: Option<Timestamp>,
    /// What was in place before.
    pub before: Preview,
    /// Whether the principal was disabled already, so that lifting leaves it so.
    pub was_disabled: bool,
    /// The act that makes all later use fail.
    pub cut: Option<Cut>,
    /// When the server, asking itself as a user would, was refused.
    pub refused: Option<Timestamp>,
    /// The tidying after it.
    pub steps: Vec<Step>,
    /// When nothing was left to do.
    pub finished: Option<Timestamp>,
    /// That it was taken back, as far as it can be.
    pub lifted: Option<Lifted>,
}

/// Who ordered something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Operator {
    /// As people call them.
    pub name: String,
    /// The accessor of the token it was ordered with.
    pub accessor: String,
    /// From where.
    pub address: String,
    /// The request, as in the trail.
    pub request: String,
}

impl Operator {
    pub(crate) fn of(grant: &Grant, table: &MountTable) -> Result<Self, CoreError> {
        let bearer = grant.require_bearer()?;
        let name = bearer.entity().map_or_else(|| bearer.token().display_name.clone(), |entity| entity.title(table));
        let visit = grant.visit();
        Ok(Self {
            name,
            accessor: bearer.token().accessor.clone(),
            address: visit.source.text(),
            request: visit.request.to_string(),
        })
    }
}

/// The act that makes all later use fail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cut {
    /// When it was durable.
    pub at: Timestamp,
    /// What it was.
    pub how: String,
    /// The version that was put out of use, or into force by a rotation.
    pub version: Option<u64>,
    /// Whether the secret was rotated instead of disabled.
    pub rotated: bool,
}

/// One part of the tidying.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What is tidied.
    pub what: StepKind,
    /// How much there was when last counted.
    pub total: u64,
    /// How much of it is done.
    pub done: u64,
    /// When nothing was left.
    pub ended: Option<Timestamp>,
    /// What did not work at the last attempt, at most fifty; it is tried again.
    pub failures: Vec<Failure>,
    /// Access keys that were put out of use, for lifting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<AccessKeyId>,
    /// Accessors of tokens that were revoked by this; at most so many as [`TOKENS_NAMED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// What it cannot reach, each with what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<String>,
}

/// Revoked tokens that a record names; `done` has their count.
pub const TOKENS_NAMED: usize = 500;

/// What is tidied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Access keys are put out of use.
    AccessKeys,
    /// Tokens are revoked.
    Tokens,
    /// Leases are revoked.
    Leases,
    /// A secret that could not be rotated at once is.
    Rotation,
}

impl StepKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            StepKind::AccessKeys => "access keys",
            StepKind::Tokens => "tokens",
            StepKind::Leases => "leases",
            StepKind::Rotation => "rotation",
        }
    }
}

/// Something that could not be done yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What.
    pub what: String,
    /// How it failed.
    pub why: String,
    /// What an operator can do.
    pub next: String,
}

/// That an incident was taken back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lifted {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Operator,
    /// Why.
    pub reason: String,
    /// What was given back.
    pub restored: Vec<String>,
    /// What could not be given back, each with what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

impl Step {
    pub(crate) fn new(what: StepKind) -> Self {
        let (failures, keys, tokens, beyond) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { what, total: 0, done: 0, ended: None, failures, keys, tokens, beyond }
    }
}

impl Incident {
    /// The steps that a target needs.
    pub(crate) fn steps_of(target: &Target) -> Vec<Step> {
        let kinds: &[StepKind] = match target {
            Target::Principal { .. } => &[StepKind::AccessKeys, StepKind::Tokens, StepKind::Leases],
            Target::Address { .. } => &[StepKind::AccessKeys, StepKind::Tokens],
            Target::Token { .. } | Target::Mount { auth: true, .. } => &[StepKind::Tokens],
            Target::LeasePrefix { .. } | Target::Mount { leases: true, .. } => &[StepKind::Leases],
            Target::Secret { .. } | Target::AccessKey { .. } | Target::Mount { .. } => &[],
        };
        kinds.iter().copied().map(Step::new).collect()
    }

    /// `open`, `done` or `lifted`.
    pub fn state(&self) -> &'static str {
        match (&self.lifted, self.finished) {
            (Some(_), _) => "lifted",
            (None, Some(_)) => "done",
            (None, None) => "open",
        }
    }

    /// Whether it can be taken back: nothing is left to do, but for a rotation that does not go on.
    pub(crate) fn is_liftable(&self) -> bool {
        let done = |step: &Step| step.ended.is_some() || step.what == StepKind::Rotation;
        self.finished.is_some() || (self.cut.is_some() && self.needs(StepKind::Rotation) && self.steps.iter().all(done))
    }

    /// The step of that kind.
    pub(crate) fn step(&mut self, what: StepKind) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.what == what)
    }

    /// Access keys that were put out of use by this.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &AccessKeyId> {
        self.steps.iter().flat_map(|step| &step.keys)
    }

    /// Whether lifting this one would put the key in use, did no other hold it.
    pub(crate) fn holds_key(&self, key: &AccessKeyId) -> bool {
        let is_target = matches!(&self.target, Target::AccessKey { key: it, .. } if it == key);
        (is_target && !self.was_disabled) || self.keys().any(|it| it == key)
    }

    /// Whether a step is still to be done.
    pub(crate) fn needs(&self, what: StepKind) -> bool {
        self.steps.iter().any(|step| step.what == what && step.ended.is_none())
    }
}
