//! Checks signatures: that the holder of the secret made them, and that the key may be used now and from there.

use super::derive::derive;
use super::record::{AccessKey, AccessKeyId, Record};
use super::role::{AssumableRole, Behind};
use super::store::AccessKeys;
use crate::records::Stored;
use crate::token::Token;
use crate::{CoreError, Source};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use std::sync::Arc;
use strongroom_model::{PolicyName, SecretString, TokenType, Ttl};

/// What a request says of its signature, read but not believed.
pub struct Claim<'a> {
    /// The key that it was signed with.
    pub key: &'a str,
    /// The token that belongs to a temporary key.
    pub session_token: Option<&'a SecretString>,
    /// The day of the signature, as `20261121`.
    pub date: &'a str,
    /// The region it was made for.
    pub region: &'a str,
    /// The service it was made for.
    pub service: &'a str,
    /// What was signed.
    pub string_to_sign: &'a str,
    /// The signature.
    pub signature: &'a [u8],
}

/// Why a claim was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// There is no such key, or it is disabled, or its maker, role or principal is gone, or the session token is not its own.
    Unknown,
    /// It has reached its end.
    Expired,
    /// Something else was signed, or with another secret.
    Signature,
    /// It may not be used from there.
    Network,
}

/// What a check came to.
pub enum Proof {
    /// The request was signed with this key.
    Genuine(VerifiedKey),
    /// It was not.
    Refused(KeyRefusal),
}

/// Proof that a request was signed with a living key. Made by [`AccessKeys::verify`] and by nothing else; the gate takes
/// it in place of a token.
pub struct VerifiedKey {
    found: Arc<Stored<Record>>,
    /// As it was when the signature was checked.
    role: Option<Arc<Stored<AssumableRole>>>,
}

/// Makers of makers that are followed: a role assumed with a role, and so on.
const LONGEST_CHAIN: usize = 4;

impl VerifiedKey {
    /// What may be told of the key.
    pub fn key(&self) -> &AccessKey {
        &self.found.value.key
    }

    /// Its own policies, or those of the role that it is a session of.
    fn policies(&self) -> &[PolicyName] {
        self.role.as_ref().map_or(&self.key().policies, |role| &role.value.policies)
    }

    /// What a policy of a secret's own may call its holder: `user/NAME`, or `role/NAME` for a session of a role.
    pub(crate) fn user(&self) -> String {
        match self.key().session.as_ref().and_then(|session| session.role.as_ref()) {
            Some(role) => format!("role/{role}"),
            None => format!("user/{}", self.key().name),
        }
    }

    /// What the gate sees in place of a token: one that is kept nowhere, has no children and no cubbyhole.
    pub(crate) fn stand_in(&self) -> Token {
        let key = self.key();
        let mut metadata = std::collections::BTreeMap::new();
        metadata.insert("access_key_id".to_owned(), key.id.to_string());
        if let Some(session) = &key.session {
            metadata.insert("session_name".to_owned(), session.name.clone());
            metadata.extend(session.role.as_ref().map(|role| ("role".to_owned(), role.to_string())));
            metadata.extend(session.subject.clone().map(|subject| ("subject".to_owned(), subject)));
        }
        Token {
            accessor: key.id.to_string(),
            token_type: TokenType::Batch,
            policies: self.policies().to_vec(),
            entity: key.entity,
            display_name: format!("access-key-{}", key.name),
            metadata,
            path: "sys/access-keys".to_owned(),
            mount: None,
            through: None,
            parent: None,
            created: key.created,
            creation_ttl: Ttl::default(),
            expires: key.expires,
            renewed: None,
            renewable: false,
            max_ttl: Ttl::default(),
            explicit_max_ttl: Ttl::default(),
            period: Ttl::default(),
            num_uses: 0,
            uses_left: 0,
            role: None,
            bound_cidrs: key.bound_cidrs.clone(),
            note: serde_json::Map::new(),
            caller: Default::default(),
        }
    }
}

impl AccessKeys {
    /// Sees whether a request was signed with a key that may be used now and from there.
    pub async fn verify(&self, claim: &Claim<'_>, source: &Source) -> Result<Proof, CoreError> {
        let found = match AccessKeyId::parse(claim.key) {
            Ok(id) => self.find(&id).await?,
            Err(_) => None,
        };
        let Some(found) = found else { return Ok(Proof::Refused(KeyRefusal::Unknown)) };
        let record = &found.value;
        let known = record.derived.find(claim);
        let signer = known.clone().unwrap_or_else(|| Arc::new(derive(&record.secret, claim)));
        let expected = hmac::sign(&signer, claim.string_to_sign.as_bytes());
        if verify_slices_are_equal(expected.as_ref(), claim.signature).is_err() {
            return Ok(Proof::Refused(KeyRefusal::Signature));
        }
        if known.is_none() {
            record.derived.keep(claim, signer);
        }
        if let Some(refusal) = self.refusal(&record.key, claim, source).await? {
            return Ok(Proof::Refused(refusal));
        }
        let role = match self.role_behind(&record.key).await? {
            Behind::Nothing => None,
            Behind::Role(role) => Some(role),
            Behind::Gone => return Ok(Proof::Refused(KeyRefusal::Unknown)),
        };
        self.note_use(&record.key, self.clock.now());
        Ok(Proof::Genuine(VerifiedKey { found, role }))
    }

    async fn refusal(
        &self,
        key: &AccessKey,
        claim: &Claim<'_>,
        source: &Source,
    ) -> Result<Option<KeyRefusal>, CoreError> {
        let hash = claim.session_token.map(|token| self.session_hash(token));
        let fits = match (&key.session, &hash) {
            (None, None) => true,
            (Some(session), Some(hash)) => {
                verify_slices_are_equal(session.token_hash.as_bytes(), hash.as_bytes()).is_ok()
            }
            _ => false,
        };
        if !fits || key.disabled {
            return Ok(Some(KeyRefusal::Unknown));
        }
        if key.is_expired(self.clock.now()) {
            return Ok(Some(KeyRefusal::Expired));
        }
        let here = |cidr: &crate::Cidr| source.address.is_some_and(|address| cidr.contains(address));
        if !key.bound_cidrs.is_empty() && !key.bound_cidrs.iter().any(here) {
            return Ok(Some(KeyRefusal::Network));
        }
        Ok((!self.makers_live(key).await?).then_some(KeyRefusal::Unknown))
    }

    /// Whether the principal behind a key, and every key that it was made of with the role of that, is in force.
    async fn makers_live(&self, key: &AccessKey) -> Result<bool, CoreError> {
        let mut maker: Option<Arc<Stored<Record>>> = None;
        for _ in 0..=LONGEST_CHAIN {
            let key = maker.as_ref().map_or(key, |maker| &maker.value.key);
            if let Some(entity) = key.entity {
                let entity = self.identity.by_id(entity).await?;
                if entity.is_none_or(|entity| entity.value.disabled) {
                    return Ok(false);
                }
            }
            let Some(issuer) = key.session.as_ref().and_then(|session| session.issuer.as_ref()) else {
                return Ok(true);
            };
            let Some(found) = self.find(issuer).await? else { return Ok(false) };
            let issuer = &found.value.key;
            let is_gone = matches!(self.role_behind(issuer).await?, Behind::Gone);
            if is_gone || issuer.disabled || issuer.is_expired(self.clock.now()) {
                return Ok(false);
            }
            maker = Some(found);
        }
        Ok(false)
    }

    /// The keyed hash under which a session token is known.
    pub(super) fn session_hash(&self, token: &SecretString) -> String {
        hex::encode(self.records.barrier().keyed_hash("session-token", token.expose().as_bytes()))
    }
}

/// The signature that the key would make.
pub(super) fn signature(secret: &SecretString, claim: &Claim<'_>) -> hmac::Tag {
    hmac::sign(&derive(secret, claim), claim.string_to_sign.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_published_example_does() {
        // AWS General Reference, signature version 4 test suite, "get-vanilla".
        let claim = Claim {
            key: "AKIDEXAMPLE",
            session_token: None,
            date: "20150830",
            region: "us-east-1",
            service: "service",
            string_to_sign: "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n\
                             bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63",
            signature: &[],
        };
        let secret = SecretString::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let made = hex::encode(signature(&secret, &claim).as_ref());
        assert_eq!(made, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    }
}
