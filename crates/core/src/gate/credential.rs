//! What somebody shows at the gate.

use crate::CoreError;
use crate::access_key::{Narrowing, VerifiedKey, Wish};
use crate::audit::Hmac;
use crate::token::TokenKey;
use std::sync::Arc;
use strongroom_model::SecretString;
use strongroom_model::policy::Acl;

/// What somebody shows at the gate.
pub(super) enum Credential<'a> {
    /// A token, to be looked up, and the name under which it is kept, if it is one that is.
    Token(SecretString, Option<TokenKey>),
    /// A signature that has been proved, and what was signed.
    Key(&'a VerifiedKey, &'a Wish),
}

impl<'a> Credential<'a> {
    pub(super) fn token(&self) -> Option<&SecretString> {
        match self {
            Credential::Token(token, _) => Some(token),
            Credential::Key(..) => None,
        }
    }

    /// The token's keyed hash, as the trail names it.
    pub(super) fn hash(&self, hmac: &Hmac) -> Option<String> {
        match self {
            Credential::Token(token, Some(key)) => Some(hmac.of_token(*key, token)),
            Credential::Token(token, None) => Some(hmac.text(token.expose().as_bytes())),
            Credential::Key(..) => None,
        }
    }

    /// The name by which a policy of a secret's own may call the caller, where that is no entity.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Credential::Token(..) => None,
            Credential::Key(key, _) => Some(key.user()),
        }
    }

    /// What a key that was lent for one secret may do, in place of policies.
    pub(super) fn only(&self) -> Result<Option<Arc<Acl>>, CoreError> {
        match self {
            Credential::Token(..) => Ok(None),
            Credential::Key(key, _) => key.only(),
        }
    }

    /// What the maker of a session let it do.
    pub(super) fn narrowing(&self) -> Option<(&'a Narrowing, &'a Wish)> {
        match self {
            Credential::Token(..) => None,
            Credential::Key(key, wish) => Some((key.narrowing()?, wish)),
        }
    }

    pub(super) fn into_token(self) -> Option<SecretString> {
        match self {
            Credential::Token(token, _) => Some(token),
            Credential::Key(..) => None,
        }
    }
}
