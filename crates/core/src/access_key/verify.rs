//! Checks signatures. The key of a signature is derived from the secret by a chain of HMACs over day, region and service
//! (AWS General Reference, "Create a signed AWS API request", step 3), so that one that leaks is good for little.

use super::record::{AccessKey, AccessKeyId};
use super::store::AccessKeys;
use crate::token::Token;
use crate::{CoreError, Source};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use strongroom_model::{SecretString, TokenType, Ttl};
use zeroize::Zeroizing;

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
    /// There is no such key, or it is disabled, or its maker or principal is gone, or the session token is not its own.
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
    Genuine(Box<VerifiedKey>),
    /// It was not.
    Refused(KeyRefusal),
}

/// Proof that a request was signed with a living key. Made by [`AccessKeys::verify`] and by nothing else; the gate takes
/// it in place of a token.
pub struct VerifiedKey {
    key: AccessKey,
    _made_here: (),
}

/// Makers of makers that are followed: a role assumed with a role, and so on.
const LONGEST_CHAIN: usize = 4;

impl VerifiedKey {
    /// What may be told of the key.
    pub fn key(&self) -> &AccessKey {
        &self.key
    }

    /// What a policy of a secret's own may call its holder: `user/NAME`, or `role/NAME` for a session of a role.
    pub(crate) fn user(&self) -> String {
        match self.key.session.as_ref().and_then(|session| session.role.as_ref()) {
            Some(role) => format!("role/{role}"),
            None => format!("user/{}", self.key.name),
        }
    }

    /// What the gate sees in place of a token: one that is kept nowhere, has no children and no cubbyhole.
    pub(crate) fn stand_in(&self) -> Token {
        let key = &self.key;
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
            policies: key.policies.clone(),
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
        let expected = signature(&record.secret, claim);
        if verify_slices_are_equal(expected.as_ref(), claim.signature).is_err() {
            return Ok(Proof::Refused(KeyRefusal::Signature));
        }
        if let Some(refusal) = self.refusal(&record.key, claim, source).await? {
            return Ok(Proof::Refused(refusal));
        }
        self.note_use(&record.key, self.clock.now());
        Ok(Proof::Genuine(Box::new(VerifiedKey { key: record.key.clone(), _made_here: () })))
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

    /// Whether the principal behind a key, and every key that it was made of, is in force.
    async fn makers_live(&self, key: &AccessKey) -> Result<bool, CoreError> {
        let mut key = key.clone();
        for _ in 0..=LONGEST_CHAIN {
            if let Some(entity) = key.entity {
                let entity = self.identity.by_id(entity).await?;
                if entity.is_none_or(|entity| entity.value.disabled) {
                    return Ok(false);
                }
            }
            let Some(issuer) = key.session.and_then(|session| session.issuer) else { return Ok(true) };
            match self.find(&issuer).await? {
                Some(maker) if !maker.value.key.disabled && !maker.value.key.is_expired(self.clock.now()) => {
                    key = maker.value.key.clone();
                }
                _ => return Ok(false),
            }
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
    let mut seed = Zeroizing::new(Vec::with_capacity(4 + secret.expose().len()));
    seed.extend_from_slice(b"AWS4");
    seed.extend_from_slice(secret.expose().as_bytes());
    let mut key = Key::new(HMAC_SHA256, &seed);
    for part in [claim.date, claim.region, claim.service, "aws4_request"] {
        let step = hmac::sign(&key, part.as_bytes());
        key = Key::new(HMAC_SHA256, step.as_ref());
    }
    hmac::sign(&key, claim.string_to_sign.as_bytes())
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
