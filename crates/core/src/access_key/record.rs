use super::derive::Derived;
use super::session::Narrowing;
use crate::{Cidr, CoreError};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use strongroom_model::{EntityId, Entropy, PolicyName, RoleName, SecretString, Timestamp};

/// The public half of an access key: twenty capital letters and digits, `AKIA...` for lasting keys, `ASIA...` for
/// temporary ones. Not a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId(String);

/// Shortest and longest id that a caller may choose; AWS: 16 to 128.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

impl AccessKeyId {
    /// Reads an id: letters, digits and `_`, as AWS has it.
    pub fn parse(text: &str) -> Result<Self, CoreError> {
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if LENGTHS.contains(&text.len()) && fits {
            return Ok(Self(text.to_owned()));
        }
        Err(CoreError::Invalid("an access key id has 16 to 128 letters, digits and `_`".to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a temporary key.
    pub fn is_temporary(&self) -> bool {
        self.0.starts_with(TEMPORARY)
    }

    /// A fresh id.
    pub(super) fn random(entropy: &dyn Entropy, prefix: &str) -> Self {
        let bytes: [u8; 16] = entropy.array();
        let digits = bytes.iter().map(|byte| match byte & 31 {
            letter @ 0..=25 => char::from(b'A' + letter),
            digit => char::from(b'2' + digit - 26),
        });
        Self(prefix.chars().chain(digits).collect())
    }
}

/// What ids of lasting keys begin with.
pub(super) const LASTING: &str = "AKIA";
/// What ids of temporary keys begin with.
pub(super) const TEMPORARY: &str = "ASIA";

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<AccessKeyId> for String {
    fn from(id: AccessKeyId) -> String {
        id.0
    }
}

impl TryFrom<String> for AccessKeyId {
    type Error = CoreError;

    fn try_from(text: String) -> Result<Self, CoreError> {
        Self::parse(&text)
    }
}

/// A key as it is kept. No `Debug`: it holds the secret.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(serialize_with = "exposed")]
    pub(super) secret: SecretString,
    #[serde(flatten)]
    pub(super) key: AccessKey,
    /// Never written.
    #[serde(skip)]
    pub(super) derived: Derived,
}

impl Record {
    pub(super) fn new(secret: SecretString, key: AccessKey) -> Self {
        Self { secret, key, derived: Derived::default() }
    }
}

/// What may be told of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its id.
    pub id: AccessKeyId,
    /// What people call it.
    pub name: String,
    /// The principal behind it, whose policies it has too.
    pub entity: Option<EntityId>,
    /// Its own policies. A session of a role is judged by those that the role has when it is used.
    pub policies: Vec<PolicyName>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `None`: never.
    pub expires: Option<Timestamp>,
    /// The day of its last use, in days since 1970-01-01.
    pub last_used_day: Option<u64>,
    /// Whether it is out of use until somebody says otherwise.
    pub disabled: bool,
    /// Networks from which it may be used; empty: any.
    pub bound_cidrs: Vec<Cidr>,
    /// Set for temporary keys.
    pub session: Option<Session>,
}

/// What a temporary key was made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Keyed hash of the session token that must come with the signature.
    pub(super) token_hash: String,
    /// The key that it was made with: when that one is dead, so is this.
    pub issuer: Option<AccessKeyId>,
    /// The role that was assumed.
    pub role: Option<RoleName>,
    /// When that role was made: one that has the same name later is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role_made: Option<Timestamp>,
    /// The name that the caller gave the session.
    pub name: String,
    /// The one policy of a key that is lent for one secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) only: Option<String>,
    /// Whom the token was about that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the session may do at most, within what its role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) narrowing: Option<Narrowing>,
}

/// A key with what is shown once.
pub struct MadeKey {
    /// What may be told of it.
    pub key: AccessKey,
    /// The secret half.
    pub secret: SecretString,
    /// The token that must come with a temporary key.
    pub session_token: Option<SecretString>,
}

impl AccessKey {
    /// Whether it has reached its end.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The record is sealed as a whole before it leaves memory.
fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl Entropy for Ones {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(31);
        }
    }

    #[test]
    fn ids_are_those_of_aws() {
        let id = AccessKeyId::random(&Ones, LASTING);
        assert_eq!(id.as_str(), "AKIA7777777777777777");
        assert!(!id.is_temporary() && AccessKeyId::random(&Ones, TEMPORARY).is_temporary());
        assert!(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").is_ok());
        for bad in ["", "AKIA", "AKIAIOSFODNN7EXAMPL/", &"A".repeat(129)] {
            assert!(AccessKeyId::parse(bad).is_err(), "{bad}");
        }
    }
}
