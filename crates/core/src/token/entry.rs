use super::bearer::Caller;
use crate::Cidr;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use strongroom_model::{EntityId, MountId, PolicyName, Timestamp, TokenRoleName, TokenType, Ttl};

/// The keyed hash of a token: the name it is stored under. Useless to act as the token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey(pub(crate) [u8; 32]);

impl TokenKey {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl Serialize for TokenKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for TokenKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// What is known of a token: stored for a service token, sealed in a batch token.
#[derive(Clone, Serialize, Deserialize)]
pub struct Token {
    /// A handle that can be used to look at, renew and revoke the token, but not to act as it. Batch tokens have none.
    pub accessor: String,
    /// Service or batch.
    pub token_type: TokenType,
    /// Its own policies, sorted.
    pub policies: Vec<PolicyName>,
    /// The principal behind it.
    pub entity: Option<EntityId>,
    /// Shown in the trail and in lookups.
    pub display_name: String,
    /// What the auth method or its maker noted.
    pub metadata: BTreeMap<String, String>,
    /// The path of the request that made it.
    pub path: String,
    /// The auth mount that made it; when that is gone, the token is powerless.
    pub mount: Option<MountId>,
    /// The auth mount by which the first of its ancestors came, itself included; when that is gone, the whole tree is
    /// powerless.
    #[serde(default)]
    pub through: Option<MountId>,
    /// The token it descends from.
    pub parent: Option<TokenKey>,
    /// When it was made.
    pub created: Timestamp,
    /// The time to live that it was made with.
    pub creation_ttl: Ttl,
    /// When it dies; `None`: never.
    pub expires: Option<Timestamp>,
    /// When it was last renewed.
    pub renewed: Option<Timestamp>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Longest life over renewals, from creation; zero: as the mount or the system says.
    pub max_ttl: Ttl,
    /// Longest life whatever else is said; zero: none.
    pub explicit_max_ttl: Ttl,
    /// When set, each renewal gives this much.
    pub period: Ttl,
    /// Uses it was made with; 0: any number.
    pub num_uses: u64,
    /// Uses left, when they are counted.
    pub uses_left: u64,
    /// The token role it was made by.
    #[serde(default)]
    pub role: Option<TokenRoleName>,
    /// Networks from which it may be used; empty: any.
    pub bound_cidrs: Vec<Cidr>,
    /// What the auth method wants back when it is renewed.
    pub note: Map<String, Value>,
    /// Who it stands for, in the words of the trail.
    #[serde(skip)]
    pub(crate) caller: Caller,
}

impl Token {
    /// Whether it has reached the end of its life.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether its uses are counted and none is left.
    pub fn is_spent(&self) -> bool {
        self.num_uses > 0 && self.uses_left == 0
    }

    /// What is left of its life, in whole seconds; zero for one that never dies.
    pub fn ttl_left(&self, now: Timestamp) -> Ttl {
        Ttl(self.expires.map_or(std::time::Duration::ZERO, |expires| expires.since(now)))
    }

    /// Whether it stands for a wrapped answer. Nothing but wrapping gives a token this policy, and it gives no other.
    pub fn is_wrapping(&self) -> bool {
        matches!(self.policies.as_slice(), [only] if only.is_response_wrapping())
    }

    /// Whether the policy `root` is among its own.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(PolicyName::is_root)
    }
}
