//! Response wrapping: an answer is kept under a token of its own, and whoever brings that token gets the answer, once.
//!
//! Invariants: a wrapping token and the answer under it are made by one commit and used up by one commit, so neither is
//! ever without the other, and of many who unwrap at once exactly one gets the answer; the answer passes through here as
//! bytes that the dialect rendered, and is in no cache. Does not decide who may unwrap: whoever holds the token may, and
//! the gate has seen it before anything here is called. Revoking a wrapping token does not revoke a token wrapped in it,
//! as in Vault.

mod contents;
mod record;

pub(crate) use contents::Contents;
pub(crate) use record::forget;

use crate::audit::Hmac;
use crate::records::Records;
use crate::token::{Token, TokenKey, Tokens};
use crate::{CoreError, Grant, Reply, boxed};
use record::{Kept, LONGEST, info_at, parts};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::WrapNote;
use strongroom_barrier::Txn;
use strongroom_model::{SecretBytes, SecretString, Timestamp, Ttl};

/// What everybody reads who brings a token that is no wrapping token (any more). Vault's clients look for this text.
pub(crate) const INVALID: CoreError = CoreError::BadCredentials("wrapping token is not valid or does not exist");

/// An answer as the dialect would have sent it.
pub struct Rendered {
    /// The body.
    pub bytes: SecretBytes,
    /// The accessor of the credential inside, for those that are no token of ours (AppRole's secret ids).
    pub accessor: Option<String>,
}

/// What the caller gets in place of the answer.
pub struct Wrap {
    /// The wrapping token.
    pub token: SecretString,
    /// Its accessor.
    pub accessor: String,
    /// How long the answer waits.
    pub ttl: Ttl,
    /// When it was made.
    pub created: Timestamp,
    /// The path whose answer is wrapped; that of the first request when it was wrapped again.
    pub path: String,
    /// The accessor of the credential inside.
    pub wrapped_accessor: Option<String>,
    pub(crate) contents: Contents,
}

impl Wrap {
    /// How the trail names it.
    pub(crate) fn note(&self, hmac: &Hmac) -> WrapNote {
        WrapNote {
            ttl: self.ttl.secs(),
            token_hash: hmac.text(self.token.expose().as_bytes()),
            accessor: self.accessor.clone(),
            creation_time: self.created.to_string(),
            creation_path: self.path.clone(),
            wrapped_accessor: self.wrapped_accessor.clone(),
        }
    }
}

/// An answer that was taken out of its wrapping token: to be sent as it is.
pub struct Opened {
    /// The body of the first answer.
    pub body: SecretBytes,
    pub(crate) contents: Contents,
}

/// Puts answers under wrapping tokens, and takes them out.
pub struct Wrapping {
    records: Arc<Records>,
    tokens: Arc<Tokens>,
    hmac: Arc<Hmac>,
}

impl Wrapping {
    pub(crate) fn new(records: Arc<Records>, tokens: Arc<Tokens>, hmac: Arc<Hmac>) -> Self {
        Self { records, tokens, hmac }
    }

    /// Whether [`Wrapping::wrap`] would do anything with the answer.
    pub fn is_due(grant: &Grant, reply: &Reply) -> bool {
        grant.wrap_ttl().is_some() && reply.has_body()
    }

    /// Puts the answer under a wrapping token, if the request asked for that and there is something to wrap. When it
    /// cannot be kept, a token made by the request is revoked, because nobody will ever learn it.
    pub async fn wrap(
        &self,
        grant: &Grant,
        reply: Reply,
        render: impl FnOnce(&Reply) -> Result<Rendered, CoreError>,
    ) -> Result<Reply, CoreError> {
        let Some(ttl) = grant.wrap_ttl().filter(|_| reply.has_body()) else { return Ok(reply) };
        let reply = reply.taken_apart()?;
        let contents = Contents::of(&reply, &self.hmac, &self.tokens);
        let inside = contents.token;
        let wrapped = match render(&reply) {
            Ok(rendered) => boxed(|| self.keep(grant, &reply, rendered, contents, ttl)).await,
            Err(error) => Err(error),
        };
        if let (Err(_), Some(key)) = (&wrapped, inside) {
            boxed(|| self.tokens.revoke_tree(key)).await?;
        }
        wrapped
    }

    /// What may be told of the wrapping token that the request names, without using it up.
    pub async fn lookup(&self, grant: &Grant) -> Result<Value, CoreError> {
        let kept = self.records.get::<Kept>(&info_at(grant.wrapping()?)).await?.ok_or(INVALID)?;
        let kept = &kept.value;
        Ok(json!({
            "creation_ttl": kept.ttl.as_secs(), "creation_time": kept.created, "creation_path": kept.path,
        }))
    }

    /// Uses up the wrapping token that the request names, and gives what was under it.
    pub async fn open(&self, grant: &Grant) -> Result<Reply, CoreError> {
        let (kept, body, txn) = self.take(grant.wrapping()?).await?;
        self.commit(txn).await?;
        let version = kept.contents.version;
        let opened = Box::new(Opened { body, contents: kept.contents });
        Ok(Reply { gone: kept.gone, version, opened: Some(opened), ..Reply::empty() })
    }

    /// Uses up the wrapping token that the request names, and puts what was under it under a new one: for as long as
    /// the first time, or shorter if the request says so.
    pub async fn rewrap(&self, grant: &Grant) -> Result<Reply, CoreError> {
        let (mut kept, body, txn) = self.take(grant.wrapping()?).await?;
        kept.ttl = grant.visit().wrap_ttl.unwrap_or(kept.ttl).min(kept.ttl);
        let draft = self.tokens.draft_wrapping(txn, grant.visit().path.as_str(), kept.ttl)?;
        kept.created = draft.token.created;
        let txn = kept.put(draft.txn, draft.key, &body)?;
        self.commit(txn).await?;
        Ok(wrapped(kept, draft.secret, draft.token))
    }

    /// What a wrapping token sees when it reads `cubbyhole/response`, where Vault kept answers before `sys/wrapping`.
    /// `None` for other tokens and other places.
    pub async fn as_cubbyhole(&self, grant: &Grant) -> Result<Option<Reply>, CoreError> {
        let (key, place) = grant.cubbyhole()?;
        if place.as_str() != "response" || !grant.require_bearer()?.token().is_wrapping() {
            return Ok(None);
        }
        // The gate has counted the one use already.
        let kept = self.records.get::<Kept>(&info_at(key)).await?.ok_or(INVALID)?;
        let body = self.body(key, kept.value.size).await?;
        let text = std::str::from_utf8(body.expose()).map_err(|_| CoreError::Unreadable { kind: "wrapping" })?;
        let reply = Reply::data(json!({ "response": text }));
        Ok(Some(reply.warn(
            "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, as it \
             provides additional security checks and other benefits.",
        )))
    }

    async fn keep(
        &self,
        grant: &Grant,
        reply: &Reply,
        rendered: Rendered,
        contents: Contents,
        asked: Duration,
    ) -> Result<Reply, CoreError> {
        let Rendered { bytes, accessor } = rendered;
        if bytes.len() > LONGEST {
            return Err(CoreError::TooLarge(format!(
                "the answer is {} bytes long and at most {LONGEST} can be wrapped: ask for less at once",
                bytes.len()
            )));
        }
        // Vault lets a wrapping token live as long as it likes. Here the longest life of tokens holds for it too.
        let ttl = asked.min(self.tokens.longest_life().0);
        let path = grant.visit().path.as_str();
        let draft = self.tokens.draft_wrapping(Txn::new(), path, ttl)?;
        let kept = Kept {
            ttl,
            created: draft.token.created,
            path: path.to_owned(),
            accessor: reply.auth.as_ref().map(|auth| auth.accessor.clone()).or(accessor),
            gone: reply.gone,
            size: bytes.len(),
            contents,
        };
        let txn = kept.put(draft.txn, draft.key, &bytes)?;
        self.records.commit(txn).await?;
        let wrapped = wrapped(kept, draft.secret, draft.token);
        Ok(if ttl < asked {
            wrapped.warn(format!(
                "wrapping TTL of \"{}s\" exceeded the effective max_ttl of \"{}s\"; TTL value is capped accordingly",
                asked.as_secs(),
                ttl.as_secs()
            ))
        } else {
            wrapped
        })
    }

    /// What is under a wrapping token, with the changes that use the token up if nobody did so first.
    async fn take(&self, key: TokenKey) -> Result<(Kept, SecretBytes, Txn), CoreError> {
        let token = self.tokens.find_wrapping(key).await?.ok_or(INVALID)?;
        let kept = self.records.get::<Kept>(&info_at(key)).await?.ok_or(INVALID)?.value.clone();
        let body = self.body(key, kept.size).await?;
        Ok((kept, body, self.tokens.use_up_wrapping(key, &token)))
    }

    async fn commit(&self, txn: Txn) -> Result<(), CoreError> {
        match self.records.commit(txn).await {
            // Somebody else was first.
            Err(CoreError::Conflict) => Err(INVALID),
            other => other.map(|_| ()),
        }
    }

    async fn body(&self, key: TokenKey, size: usize) -> Result<SecretBytes, CoreError> {
        // Of the exact size, because a buffer that grows leaves copies behind.
        let mut body = zeroize::Zeroizing::new(Vec::with_capacity(size));
        for at in parts(key) {
            match self.records.barrier().get(&at).await? {
                Some(part) if body.len() + part.bytes.len() <= size => body.extend_from_slice(part.bytes.expose()),
                _ => break,
            }
        }
        // Short when somebody else was first.
        if body.len() == size { Ok(SecretBytes::new(std::mem::take(&mut *body))) } else { Err(INVALID) }
    }
}

fn wrapped(kept: Kept, secret: SecretString, token: Token) -> Reply {
    let version = kept.contents.version;
    let wrap = Wrap {
        token: secret,
        accessor: token.accessor,
        ttl: Ttl(kept.ttl),
        created: kept.created,
        path: kept.path,
        wrapped_accessor: kept.accessor,
        contents: kept.contents,
    };
    Reply { wrap: Some(Box::new(wrap)), version, ..Reply::empty() }
}
