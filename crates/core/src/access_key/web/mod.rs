//! Sessions for who shows a token of an OpenID Connect provider instead of an access key. A role says which provider it
//! trusts: its name, for whom its tokens must be made, which subjects may come, and where its keys are.
//!
//! Invariants: nothing of a token is believed before its signature is checked, with a key of the provider and the one
//! algorithm that key is for; a role without a provider trusts no token. Does not remember tokens: one is good until it
//! expires, as with AWS.

mod jwks;
mod jwt;
mod provider;

pub(super) use provider::Providers;

use super::record::MadeKey;
use super::role::AssumableRole;
use super::session::{Narrowing, Origin};
use super::store::AccessKeys;
use crate::secret::fits;
use crate::webhook::Target;
use crate::{CoreError, Grant};
use jwks::Jwks;
use serde::{Deserialize, Serialize};
use strongroom_model::{SecretString, Ttl};

/// Whose tokens a role trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebTrust {
    /// The provider, exactly as its tokens name it (`iss`).
    pub issuer: String,
    /// For whom a token must be made (`aud`): one of these.
    pub audiences: Vec<String>,
    /// Whom it must be about (`sub`): one of these patterns, with `*` and `?`.
    pub subjects: Vec<String>,
    /// The provider's keys as a JWK set (RFC 7517), when they are given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// Where the provider publishes its keys, when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_url: Option<String>,
    /// Who vouches for that place, in PEM; none: the authorities of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Whether that place may be this machine itself or on its own link.
    #[serde(default)]
    pub internal: bool,
}

/// Why a token was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebRefusal {
    /// It is no token, or is signed in a way or with a key that the provider does not have.
    Token(&'static str),
    /// It is over.
    Expired,
    /// It is from another provider than the role trusts.
    Issuer,
    /// It was made for somebody else.
    Audience,
    /// The role trusts no provider, or not whom the token is about.
    Untrusted,
    /// The provider's keys cannot be had.
    Unreachable(String),
}

/// Who came with a token that was taken.
#[derive(Clone, Debug)]
pub struct WebGuest {
    /// The provider.
    pub issuer: String,
    /// Whom the token is about.
    pub subject: String,
    /// For whom it was made.
    pub audience: String,
}

/// A session to be made of a token.
pub struct WebSession<'a> {
    /// The token.
    pub token: &'a SecretString,
    /// What the caller calls the session.
    pub name: String,
    /// How long it lives; zero: an hour, or as long as the role lets it.
    pub ttl: Ttl,
    /// What it may do at most.
    pub narrowing: Option<Narrowing>,
}

/// More of anything than a role needs.
const MOST: usize = 64;
const LONGEST: usize = 1_024;

impl WebTrust {
    pub(super) fn check(&self) -> Result<(), CoreError> {
        let bad = |why: &str| Err(CoreError::Invalid(format!("the identity provider cannot be trusted so: {why}")));
        let fits = |texts: &[String]| {
            (1..=MOST).contains(&texts.len()) && texts.iter().all(|text| (1..=LONGEST).contains(&text.len()))
        };
        if self.issuer.is_empty() || self.issuer.len() > LONGEST {
            return bad("name it in `oidc_issuer`, as its tokens do in `iss`");
        }
        if !fits(&self.audiences) || !fits(&self.subjects) {
            return bad("`oidc_audiences` and `oidc_subjects` need one to 64 texts each; a subject may hold `*`");
        }
        match (&self.keys, &self.keys_url) {
            (Some(keys), None) => match Jwks::parse(keys.as_bytes()) {
                Some(keys) if !keys.is_empty() => Ok(()),
                _ => bad("`oidc_keys` is no JWK set with a key for RS256 (2048 bits or more) or ES256"),
            },
            (None, Some(url)) => self.target(url).map(drop),
            _ => bad("give its keys either in `oidc_keys` or by `oidc_keys_url`"),
        }
    }

    fn target(&self, url: &str) -> Result<Target, CoreError> {
        Target::parse(&SecretString::new(url.to_owned()), self.ca.as_deref(), self.internal)
    }

    /// Whether the claims are those that the role wants; who came.
    fn admit(&self, claims: &jwt::Claims) -> Result<WebGuest, WebRefusal> {
        if claims.issuer != self.issuer {
            return Err(WebRefusal::Issuer);
        }
        let mut audiences = claims.audiences().iter();
        let audience = audiences.find(|audience| self.audiences.contains(audience)).ok_or(WebRefusal::Audience)?;
        if !self.subjects.iter().any(|pattern| fits(pattern, &claims.subject)) {
            return Err(WebRefusal::Untrusted);
        }
        let (issuer, subject) = (claims.issuer.clone(), claims.subject.clone());
        Ok(WebGuest { issuer, subject, audience: audience.clone() })
    }
}

impl AccessKeys {
    /// Makes a temporary key with the policies of a role for who brings a token that it trusts. The grant must be one for
    /// the path of that role.
    pub async fn assume_with_token(
        &self,
        grant: &Grant,
        role: &AssumableRole,
        new: WebSession<'_>,
    ) -> Result<Result<(MadeKey, WebGuest), WebRefusal>, CoreError> {
        let guest = match self.believe(role, new.token).await {
            Ok(guest) => guest,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let origin = Origin { issuer: None, subject: Some(guest.subject.clone()), narrowing: new.narrowing };
        let made = self.make_session(grant, role, new.name, new.ttl, origin).await?;
        Ok(Ok((made, guest)))
    }

    async fn believe(&self, role: &AssumableRole, token: &SecretString) -> Result<WebGuest, WebRefusal> {
        let token = jwt::Jwt::parse(token.expose()).map_err(WebRefusal::Token)?;
        let trust = role.web.as_ref().ok_or(WebRefusal::Untrusted)?;
        let keys = match &trust.keys {
            Some(keys) => Jwks::parse(keys.as_bytes()).unwrap_or_default().into(),
            None => self.providers.keys(trust, token.key_id(), self.clock.now()).await?,
        };
        trust.admit(&token.verify(&keys, self.clock.now())?)
    }
}

#[cfg(test)]
mod tests;
