//! What somebody shows at the gate.

use crate::CoreError;
use crate::access_key::{Narrowing, VerifiedKey, Wish};
use std::sync::Arc;
use strongroom_model::SecretString;
use strongroom_model::policy::Acl;

/// What somebody shows at the gate.
pub(super) enum Credential<'a> {
    /// A token, to be looked up.
    Token(SecretString),
    /// A signature that has been proved, and what was signed.
    Key(&'a VerifiedKey, &'a Wish),
}

impl<'a> Credential<'a> {
    pub(super) fn token(&self) -> Option<&SecretString> {
        match self {
            Credential::Token(token) => Some(token),
            Credential::Key(..) => None,
        }
    }

    /// The name by which a policy of a secret's own may call the caller, where that is no entity.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Credential::Token(_) => None,
            Credential::Key(key, _) => Some(key.user()),
        }
    }

    /// What a key that was lent for one secret may do, in place of policies.
    pub(super) fn only(&self) -> Result<Option<Arc<Acl>>, CoreError> {
        match self {
            Credential::Token(_) => Ok(None),
            Credential::Key(key, _) => key.only(),
        }
    }

    /// What the maker of a session let it do.
    pub(super) fn narrowing(&self) -> Option<(&'a Narrowing, &'a Wish)> {
        match self {
            Credential::Token(_) => None,
            Credential::Key(key, wish) => Some((key.narrowing()?, wish)),
        }
    }

    pub(super) fn into_token(self) -> Option<SecretString> {
        match self {
            Credential::Token(token) => Some(token),
            Credential::Key(..) => None,
        }
    }
}
