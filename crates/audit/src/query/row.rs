//! One entry as an answer shows it.

use crate::index::line::Line;
use serde::{Deserialize, Serialize};

/// One entry as an answer shows it. Values stand in no entry, and what is hashed in an entry is left out here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// The number of the line.
    pub seq: u64,
    /// When, in RFC 3339.
    pub time: String,
    /// `outcome`, `intent`, or `event`.
    pub kind: String,
    /// What people call who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The entity behind the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The token's accessor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessor: Option<String>,
    /// From where.
    pub address: String,
    /// Through which foreign API.
    pub dialect: String,
    /// What was to be done.
    pub operation: String,
    /// The act on a secret, where that tells more than the operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// The canonical path.
    pub path: String,
    /// The one name of what it is about, whatever the mount is called.
    pub object: String,
    /// What the caller typed, where that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether the gate let it through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted: Option<bool>,
    /// Why: `granted`, `root`, `no rule`, `lacks read` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The deciding rule: policy and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The rule's pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// `ok`, or the word of an error's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Microseconds from arrival to this entry.
    pub duration_us: u64,
    /// The request.
    pub request: String,
    /// The lease that was handed out, prolonged or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The credential's name in the outside system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// What an event says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Accessors of tokens that the answer handed out; empty for a batch token. Not shown.
    #[serde(skip)]
    pub issued: Vec<String>,
    /// For whom, the entity where there is one. Not shown.
    #[serde(skip)]
    pub issued_to: Option<String>,
}

impl Row {
    pub(crate) fn of(line: &Line<'_>) -> Self {
        let mut object = String::new();
        line.object_into(&mut object);
        let (who, decision) = (line.principal.as_ref(), line.decision.as_ref());
        let rule = decision.and_then(|decision| {
            let policy = decision.policy.as_ref()?;
            Some(decision.line.map_or_else(|| policy.to_string(), |line| format!("{policy}:{line}")))
        });
        let login = line.response_auth.as_ref().map(|login| &login.principal);
        let wrapped = line.wrap.iter().flat_map(|wrap| std::iter::once(&wrap.accessor).chain(&wrap.wrapped_accessor));
        Self {
            seq: line.seq,
            time: line.time.to_string(),
            kind: line.kind.to_string(),
            principal: who.map(|who| who.display_name.to_string()),
            entity: who.and_then(|who| who.entity.as_ref().map(ToString::to_string)),
            accessor: who.map(|who| who.accessor.to_string()),
            address: line.source.address.to_string(),
            dialect: line.dialect.to_string(),
            operation: line.operation.to_string(),
            act: line.secret.as_ref().map(|secret| secret.act.to_string()).filter(|act| line.operation != *act),
            path: line.path.to_string(),
            object,
            typed: line.typed.as_ref().map(ToString::to_string),
            version: line.version,
            granted: decision.map(|decision| decision.granted),
            reason: decision.map(|decision| decision.reason.to_string()),
            rule,
            pattern: decision.and_then(|decision| decision.rule.as_ref().map(ToString::to_string)),
            result: line.outcome.as_ref().map(|outcome| outcome.result.to_string()),
            duration_us: line.duration_us,
            request: line.request.to_string(),
            lease: line.lease_id.as_ref().map(ToString::to_string),
            subject: line.subject.as_ref().map(ToString::to_string),
            namespace: line.namespace.to_string(),
            note: line.note.as_ref().map(ToString::to_string),
            issued: login.map(|who| &who.accessor).into_iter().chain(wrapped).map(ToString::to_string).collect(),
            issued_to: login.map(|who| who.entity.as_ref().unwrap_or(&who.display_name).to_string()),
        }
    }
}
