use crate::{EntityId, PolicyName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a token is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Stored, renewable, revocable at once.
    Service,
    /// A sealed blob that the client carries; nothing is stored.
    Batch,
}

/// Who asks: what the gate found out about the bearer of a token. Goes into the trail as it is; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The entity behind the token; outlives it. None for the first root token, which belongs to nobody.
    pub entity: Option<EntityId>,
    /// The accessor of the token (a handle that cannot be used to act as it).
    pub accessor: String,
    /// What people see: `token`, `approle`, `userpass-ann`.
    pub display_name: String,
    /// Policies of the token itself.
    pub token_policies: Vec<PolicyName>,
    /// Policies that come from the entity.
    pub identity_policies: Vec<PolicyName>,
    /// What the auth method noted at login (`role_name`, ...).
    pub metadata: BTreeMap<String, String>,
    /// How the token is kept.
    pub token_type: TokenType,
}
