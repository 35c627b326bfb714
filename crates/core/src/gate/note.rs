//! How the trail names what came to the gate and what it decided.

use super::Object;
use crate::Visit;
use strongroom_audit::{DecisionNote, Entry, EntryKind, SecretNote, SourceNote, Word};
use strongroom_model::Timestamp;
use strongroom_model::policy::{Decision, Reason};

/// The secret as the trail names it: the same through every dialect.
pub(super) fn secret_note(object: &Object) -> Option<SecretNote> {
    match object {
        Object::Secret { path, act } => Some(SecretNote { name: path.as_str().to_owned(), act: act.word().into() }),
        _ => None,
    }
}

/// An entry with what every request has.
pub(crate) fn entry_of(visit: &Visit, kind: EntryKind, operation: impl Into<Word>, now: Timestamp) -> Entry {
    let mut entry = Entry::new(kind, visit.request, visit.dialect, operation, visit.path.as_str());
    entry.namespace = visit.namespace.as_str().to_owned();
    entry.typed = visit.typed.clone();
    entry.request_headers = visit.headers.clone();
    entry.source = SourceNote { address: visit.source.text(), port: visit.source.port };
    entry.wrap_ttl = visit.wrap_ttl.map(|ttl| ttl.as_secs());
    entry.duration_us = u64::try_from(now.since(visit.arrived).as_micros()).unwrap_or(u64::MAX);
    entry
}

pub(super) fn open_endpoint() -> DecisionNote {
    DecisionNote { granted: true, policy: None, rule: None, line: None, reason: "unauthenticated endpoint".into() }
}

pub(super) fn note(decision: Decision) -> DecisionNote {
    let reason = match decision.reason {
        Reason::Root => "root".into(),
        Reason::Granted => "granted".into(),
        Reason::NoRule => "no rule".into(),
        Reason::Denied => "denied by rule".into(),
        Reason::Lacks(capability) => format!("lacks {capability}").into(),
        Reason::Parameter(name) => format!("parameter {name}").into(),
        Reason::Wrapping => "wrapping".into(),
    };
    DecisionNote {
        granted: decision.granted,
        policy: decision.policy.as_ref().map(ToString::to_string),
        rule: decision.rule,
        line: decision.line,
        reason,
    }
}
