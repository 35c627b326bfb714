use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strongroom_model::{Timestamp, Ttl};

/// A credential that an engine wants to make: what the core records before anything is made.
pub struct Issuance {
    /// What the engine needs to find the credential again: the login's name, the role, the connection. No secret: it is
    /// kept as long as the lease, and given back to [`crate::SecretsEngine::revoke`].
    pub note: Map<String, Value>,
    /// The outside system, as the mount's operator named it: what is slow or down here holds up nothing elsewhere.
    pub lane: String,
    /// The credential's name in the outside system, for the trail.
    pub subject: String,
    /// The role that the caller asked by.
    pub role: String,
    /// How long it may live by the role.
    pub terms: LeaseTerms,
    /// The life that the caller asked for; zero: as the terms say.
    pub asked: Ttl,
    /// With whom it ends.
    pub owner: LeaseOwner,
}

/// How long a credential lives; zero means: as the mount or the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// First time to live, and that of a renewal for which nothing is asked.
    pub ttl: Ttl,
    /// Longest life over renewals.
    pub max_ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
}

/// With whom a lease ends before its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseOwner {
    /// With the token that asked for it, as in Vault.
    #[default]
    Token,
    /// With the entity behind the token, when that is disabled or removed; the token may come and go. Who has no entity
    /// owns it by their token.
    Identity,
}

/// What an engine is told when it is to make the credential of a recorded lease.
pub struct LeaseOrder {
    /// The lease's id, as the caller will see it.
    pub id: String,
    /// What the engine asked to be noted.
    pub note: Map<String, Value>,
    /// The life that was settled.
    pub ttl: Ttl,
    /// When it ends.
    pub expires: Timestamp,
}

/// What an engine is told when it is to unmake a credential.
pub struct LeaseEnd<'a> {
    /// What the engine asked to be noted.
    pub note: &'a Map<String, Value>,
    /// Whether the credential was handed out. One that was not may never have been made, or may still come to be.
    pub was_handed_out: bool,
}

/// A lease as an answer hands it out or prolongs it.
pub struct Granted {
    /// Its id.
    pub id: String,
    /// Time to live from now.
    pub ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The credential's name in the outside system, for the trail.
    pub subject: String,
}
