use super::Called;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strongroom_model::{EntityId, EntityName, PolicyName, Timestamp};

/// A principal: a person or a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// Stays when the entity is renamed.
    pub id: EntityId,
    /// Unique.
    pub name: EntityName,
    /// Given to every token of it, beside the token's own.
    pub policies: Vec<PolicyName>,
    /// What people noted; policies can refer to it.
    pub metadata: BTreeMap<String, String>,
    /// A disabled entity can neither log in nor use the tokens it has.
    pub disabled: bool,
    /// The names by which auth methods know it; at most one per mount.
    pub aliases: Vec<Alias>,
    /// Entities that were merged into this one, and those that had been merged into these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<EntityId>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// How often it was changed: tells two states apart that were made in the same instant.
    #[serde(default)]
    pub changes: u64,
}

impl Entity {
    /// Notes that it is being changed.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.updated = now;
        self.changes += 1;
    }
}

/// The name by which one auth mount knows an entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alias {
    /// A handle for the API.
    pub id: EntityId,
    /// The name: a role id, a user name.
    pub name: String,
    /// The auth mount.
    pub mount_accessor: String,
    /// What people call it, where its name is none that they know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
    /// What people noted.
    #[serde(default)]
    pub custom_metadata: BTreeMap<String, String>,
    /// Entities that had it before they were merged away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged_from: Vec<EntityId>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}
