//! What the trail records about one moment of one request: the vocabulary between the gate, the trail and its devices.
//!
//! An entry may be read by everybody who may read the trail: whoever builds it has already replaced values by keyed
//! hashes (see [`crate::redact`]). Fields added later have defaults, so that old trails stay readable.

use crate::redact::Redacted;
use crate::spelt::Spelt;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use strongroom_model::{Kind, Principal, RequestId};

/// A text that is nearly always one of the program's own, and is then not copied for each entry.
pub type Word = Cow<'static, str>;

/// What happened: one request, in the terms of the trail. Everything in it may be read by who may read the trail;
/// values are already replaced by keyed hashes (`hmac-sha256:...`) where they come from a request or an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Which moment of the request this is.
    pub kind: EntryKind,
    /// The request.
    pub request: RequestId,
    /// The foreign API it came through: `vault`, `aws`, `native`, or `internal` for the server's own acts.
    pub dialect: Word,
    /// `read`, `create`, `update`, `patch`, `delete`, `list`, or the name of an event (`unseal`, `seal`, `init`, ...).
    pub operation: Word,
    /// Canonical path of the namespace; empty for the root.
    pub namespace: String,
    /// The namespace's id as Vault shows it; empty stands for `root` in the root namespace, for nothing elsewhere.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub namespace_id: String,
    /// The mount, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount: Option<Spelt<MountNote>>,
    /// The canonical path.
    pub path: String,
    /// The versioned secret that it is about, whatever the dialect calls it: with the mount's accessor, its one name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<SecretNote>,
    /// What the caller typed, when it differs from the canonical path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typed: Option<String>,
    /// The version read or written, when the object has versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Who asked, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Spelt<Principal>>,
    /// Keyed hash of the token that was sent, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// How often the token may still be used, when that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_uses: Option<u64>,
    /// From where.
    pub source: SourceNote,
    /// What the gate decided, and by which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionNote>,
    /// How it ended; only in `Outcome` entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The request's parameters, every leaf a keyed hash.
    #[serde(skip_serializing_if = "Redacted::is_null", default)]
    pub request_data: Redacted,
    /// Request headers that the operator chose to record, by lower-case name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub request_headers: BTreeMap<String, Vec<String>>,
    /// Seconds for which the caller asked the answer to be wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrap_ttl: Option<u64>,
    /// The answer's data, every leaf a keyed hash.
    #[serde(skip_serializing_if = "Redacted::is_null", default)]
    pub response_data: Redacted,
    /// The login that the answer hands out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_auth: Option<AuthNote>,
    /// The lease that the answer hands out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
    /// The name, in an outside system, of the credential that the lease stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// How the answer was wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrap: Option<WrapNote>,
    /// Warnings in the answer.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
    /// What happened, in words; for events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What an operator accepted with `-accept-rollback`; for the events that say so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted: Option<Accepted>,
    /// Microseconds from the request's arrival to this entry.
    pub duration_us: u64,
}

impl Entry {
    /// An entry in the root namespace about which nothing else is known yet; the other fields are there to be set.
    pub fn new(
        kind: EntryKind,
        request: RequestId,
        dialect: impl Into<Word>,
        operation: impl Into<Word>,
        path: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            request,
            dialect: dialect.into(),
            operation: operation.into(),
            namespace: String::new(),
            namespace_id: String::new(),
            mount: None,
            path: path.into(),
            secret: None,
            typed: None,
            version: None,
            principal: None,
            token_hash: None,
            remaining_uses: None,
            source: SourceNote { address: String::new(), port: 0 },
            decision: None,
            outcome: None,
            request_data: Redacted::default(),
            request_headers: BTreeMap::new(),
            wrap_ttl: None,
            response_data: Redacted::default(),
            response_auth: None,
            lease_id: None,
            subject: None,
            wrap: None,
            warnings: Vec::new(),
            note: None,
            accepted: None,
            duration_us: 0,
        }
    }

    /// How many bytes a line needs for it, and hardly more, if there is nothing unusual in it.
    pub(crate) fn likely_length(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let decision = self.decision.as_ref().map_or(0, |one| text(&one.policy) + text(&one.rule) + one.reason.len());
        let secret = self.secret.as_ref().map_or(0, |secret| secret.name.len());
        let mount = self.mount.as_ref().map_or(0, Spelt::length);
        let principal = self.principal.as_ref().map_or(0, Spelt::length);
        let texts = self.path.len() + text(&self.typed) + text(&self.token_hash) + text(&self.note);
        let data = self.request_data.length() + self.response_data.length();
        FRAME + texts + secret + mount + principal + self.source.address.len() + decision + data
    }

    /// Something the server met on its own; no request stands behind it.
    pub fn event(operation: impl Into<Word>, path: impl Into<String>, note: impl Into<String>) -> Self {
        let nobody = RequestId::from_bytes([0; 16]);
        let mut entry = Self::new(EntryKind::Event, nobody, "internal", operation, path);
        entry.note = Some(note.into());
        entry
    }

    /// That an operator took a store of generation `to` although the trail had seen `from`. Written before the first
    /// checkpoint of the older generation, it explains that one to [`verify`](crate::verify()).
    pub fn rollback_accepted(from: u64, to: u64) -> Self {
        let note = format!("an operator accepted that the store went back from generation {from} to {to}");
        let mut entry = Self::event(ROLLBACK_ACCEPTED, "", note);
        entry.accepted = Some(Accepted { from, to });
        entry
    }

    /// That an operator took this trail of `to` lines although the store remembered another one, of `from` lines.
    pub fn trail_accepted(from: u64, to: u64) -> Self {
        let note = format!(
            "an operator accepted this trail of {to} lines, though it does not continue the {from} lines that the \
             store remembers"
        );
        let mut entry = Self::event(TRAIL_ACCEPTED, "", note);
        entry.accepted = Some(Accepted { from, to });
        entry
    }
}

/// Bytes of the names and short words that stand in most entries.
const FRAME: usize = 440;

/// The event of [`Entry::rollback_accepted`].
pub(crate) const ROLLBACK_ACCEPTED: &str = "rollback_accepted";

/// The event of [`Entry::trail_accepted`].
pub(crate) const TRAIL_ACCEPTED: &str = "trail_accepted";

/// From what to what an operator let something go back: generations of the store, or lines of the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// What was known before.
    pub from: u64,
    /// What was found and accepted.
    pub to: u64,
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

/// A versioned secret, and what was to be done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretNote {
    /// Its path below the mount.
    pub name: String,
    /// `read` for a value, `read-metadata`, `write` ...
    pub act: Word,
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
    pub reason: Word,
}

/// A login in an answer: who the new token is for, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthNote {
    /// Keyed hash of the token handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hash: Option<String>,
    /// Whom it stands for.
    pub principal: Principal,
    /// How many seconds it lives.
    pub ttl: u64,
    /// How often it may be used; 0 for any number of times.
    #[serde(default)]
    pub num_uses: u64,
}

/// A wrapped answer: where the wrapping token came from, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapNote {
    /// Seconds until it can no longer be unwrapped.
    pub ttl: u64,
    /// Keyed hash of the wrapping token.
    pub token_hash: String,
    /// The wrapping token's accessor.
    pub accessor: String,
    /// When it was made, in RFC 3339.
    pub creation_time: String,
    /// The path whose answer was wrapped.
    pub creation_path: String,
    /// The accessor of the token inside, when the answer is a login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapped_accessor: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `ok`, or the word of the error's kind.
    pub result: Word,
    /// The error's text as the caller saw it; never a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was not there, when a value was asked for and not found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing: Option<Missing>,
}

/// What was not there when a secret's value was asked for. Whoever looks for misuse must tell what was taken away from what
/// never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// There is no secret of that name. Whether there ever was one, earlier entries tell.
    Secret,
    /// The secret is there, and no version with that number or id, or under that label, ever was.
    Version,
    /// It was there, and was put out of use: deleted, destroyed, hidden, pruned, or waiting for its deletion.
    Disabled,
}

impl Missing {
    /// The word in a line.
    pub fn word(self) -> &'static str {
        match self {
            Missing::Secret => "secret",
            Missing::Version => "version",
            Missing::Disabled => "disabled",
        }
    }
}

impl Outcome {
    /// It went well.
    pub fn ok() -> Self {
        Self { result: "ok".into(), error: None, missing: None }
    }

    /// It was refused or failed.
    pub fn failed(kind: Kind, error: impl Into<String>) -> Self {
        Self { result: kind.word().into(), error: Some(error.into()), missing: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_read_is_foreseen_closely() {
        let mut entry =
            Entry::new(EntryKind::Outcome, RequestId::from_bytes([1; 16]), "vault", "read", "secret/data/team/app");
        let (path, kind, class) = ("secret".to_owned(), "kv".to_owned(), "secret".to_owned());
        entry.mount = Some(MountNote { path, kind, accessor: "kv_8d7a51c2".to_owned(), class }.into());
        entry.secret = Some(SecretNote { name: "team/app".to_owned(), act: "read".into() });
        entry.version = Some(12);
        entry.token_hash = Some(format!("hmac-sha256:{}", "a".repeat(64)));
        entry.source = SourceNote { address: "10.1.2.3".to_owned(), port: 40_123 };
        let (policy, rule) = (Some("app".to_owned()), Some("secret/data/team/*".to_owned()));
        entry.decision = Some(DecisionNote { granted: true, policy, rule, line: Some(3), reason: "granted".into() });
        entry.outcome = Some(Outcome::ok());
        entry.response_data = Redacted::in_clear(&serde_json::json!({ "data": { "a": "b" } }));
        entry.duration_us = 120;
        let said = serde_json::to_vec(&entry).unwrap().len();
        assert!((said..said + 128).contains(&entry.likely_length()), "{said} {}", entry.likely_length());
    }
}
