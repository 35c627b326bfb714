use serde::{Deserialize, Serialize};
use serde_json::Value;
use strongroom_model::{Kind, Principal, RequestId};

/// What happened: one request, in the terms of the trail. Everything in it may be read by who may read the trail;
/// values are already replaced by keyed hashes (`hmac-sha256:...`) where they come from a request or an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Which moment of the request this is.
    pub kind: EntryKind,
    /// The request.
    pub request: RequestId,
    /// The foreign API it came through: `vault`, `aws`, `native`, or `internal` for the server's own acts.
    pub dialect: String,
    /// `read`, `create`, `update`, `patch`, `delete`, `list`, or the name of an event (`unseal`, `seal`, `init`, ...).
    pub operation: String,
    /// Canonical path of the namespace; empty for the root.
    pub namespace: String,
    /// The mount, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<MountNote>,
    /// The canonical path.
    pub path: String,
    /// What the caller typed, when it differs from the canonical path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
    /// The version read or written, when the object has versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Who asked, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// Keyed hash of the token that was sent, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// From where.
    pub source: SourceNote,
    /// What the gate decided, and by which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionNote>,
    /// How it ended; only in `Outcome` entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The request's parameters, every leaf a keyed hash.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub request_data: Value,
    /// The answer's data (and `auth`, when it is a login), every leaf a keyed hash.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub response_data: Value,
    /// Microseconds from the request's arrival to this entry.
    pub duration_us: u64,
}

/// Which moment of a request an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Written before a change is made, so that a crash in between leaves a trace.
    Intent,
    /// Written before the answer leaves. Every request has exactly one.
    Outcome,
    /// Something that the server did or met on its own.
    Event,
}

/// The mount as the trail names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountNote {
    /// Canonical path without slash.
    pub path: String,
    /// `kv`, `approle`, `system`, `token` ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The mount's accessor.
    pub accessor: String,
    /// `secret` or `auth`.
    pub class: String,
}

/// From where a request came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceNote {
    /// The address, or the socket.
    pub address: String,
    /// The port; 0 for a unix socket.
    pub port: u16,
}

/// What the gate decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionNote {
    /// Whether it was allowed.
    pub granted: bool,
    /// The deciding policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The pattern of the deciding rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its line in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Why, in a few words: `granted`, `root`, `no rule`, `lacks read`, `bad token`, `unauthenticated endpoint` ...
    pub reason: String,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `ok`, or the word of the error's kind.
    pub result: String,
    /// The error's text as the caller saw it; never a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Outcome {
    /// It went well.
    pub fn ok() -> Self {
        Self { result: "ok".to_owned(), error: None }
    }

    /// It was refused or failed.
    pub fn failed(kind: Kind, error: impl Into<String>) -> Self {
        Self { result: kind.word().to_owned(), error: Some(error.into()) }
    }
}
