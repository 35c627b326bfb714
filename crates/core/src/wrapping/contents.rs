use crate::Reply;
use crate::audit::Hmac;
use crate::token::{TokenKey, Tokens};
use serde::{Deserialize, Serialize};
use strongroom_audit::{AuthNote, Redacted};

/// What the trail says of an answer, and what must go if it cannot say so. Holds keyed hashes in place of values. Kept
/// beside a wrapped answer, so that the entry of its unwrapping can be written without reading what is in it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// The data, every leaf that may be a value a keyed hash.
    #[serde(default, skip_serializing_if = "Redacted::is_null")]
    pub(crate) data: Redacted,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<AuthNote>,
    /// The version read or written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// The lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<String>,
    /// The token that the request made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<TokenKey>,
}

impl Contents {
    /// Of an answer that says itself what is in it, or of what is under its wrapping token.
    pub(crate) fn of(reply: &Reply, hmac: &Hmac, tokens: &Tokens) -> Self {
        match (&reply.wrap, &reply.opened) {
            (Some(wrap), _) => return wrap.contents.clone(),
            (None, Some(opened)) => return opened.contents.clone(),
            (None, None) => {}
        }
        let auth = reply.auth.as_ref().or(reply.unseen.as_ref());
        let made = auth.filter(|auth| auth.made);
        Self {
            data: match (&reply.text, &reply.data) {
                (Some(text), _) => text.words(hmac),
                (None, Some(data)) => hmac.redact_reply(data.map(), reply.facts, reply.again.as_ref()),
                (None, None) => Redacted::default(),
            },
            auth: auth.map(|auth| hmac.auth_note(auth)),
            version: reply.version,
            lease: reply.lease.as_ref().map(|lease| lease.id.clone()),
            token: made.map(|auth| tokens.key_of(&auth.client_token)),
        }
    }
}
