use super::role::{Role, uuid};
use crate::network::{all_within, networks};
use crate::sent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use strongroom_core::{Cidr, CoreError, Fields, MountContext};
use strongroom_model::{Timestamp, Ttl};

/// What is kept about a secret id; the secret id itself is not.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SecretId {
    /// A handle for looking at it and destroying it; useless for logging in.
    pub(super) accessor: String,
    /// Logins left; 0 means any number, since the last counted one removes the record.
    pub(super) uses_left: u64,
    pub(super) ttl: Ttl,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    /// None: never.
    pub(super) expires: Option<Timestamp>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Networks from which it may be used, beside those of the role.
    pub(super) cidr_list: Vec<Cidr>,
    /// Networks from which its tokens may be used, in the place of those of the role.
    pub(super) token_bound_cidrs: Vec<Cidr>,
}

impl SecretId {
    /// A new one for a role, from what was sent. It may be narrower than the role says, never wider.
    pub(super) fn new(role: &Role, sent: &Fields, context: &MountContext) -> Result<Self, CoreError> {
        if !role.bind_secret_id {
            return invalid("bind_secret_id is not set on the role, so its logins take no secret ID");
        }
        let cidr_list = networks(sent, "cidr_list")?.unwrap_or_default();
        if !all_within(&cidr_list, &role.secret_id_bound_cidrs) {
            return invalid("cidr_list must lie within the role's secret_id_bound_cidrs");
        }
        let token_bound_cidrs = networks(sent, "token_bound_cidrs")?.unwrap_or_default();
        if !all_within(&token_bound_cidrs, &role.token.bound_cidrs) {
            return invalid("token_bound_cidrs must lie within the role's token_bound_cidrs");
        }
        let (uses, ttl) = (uses(role, sent)?, ttl(role, sent)?);
        let now = context.now();
        Ok(Self {
            accessor: uuid(&*context.entropy),
            uses_left: uses,
            ttl,
            created: now,
            updated: now,
            expires: (!ttl.is_zero()).then(|| now.plus(ttl.0)),
            metadata: sent.text_map("metadata")?.unwrap_or_default(),
            cidr_list,
            token_bound_cidrs,
        })
    }

    /// Whether it has reached the end of its life.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        is_past(self.expires, now)
    }

    /// Its properties as a lookup answers them.
    pub(super) fn shown(&self) -> Value {
        // Go prints the time that was never set like this, and clients written in it compare with that.
        let expires = self.expires.map_or("0001-01-01T00:00:00Z".to_owned(), |expires| expires.to_string());
        json!({
            "secret_id_accessor": self.accessor,
            "secret_id_num_uses": self.uses_left,
            "secret_id_ttl": self.ttl.secs(),
            "creation_time": self.created,
            "expiration_time": expires,
            "last_updated_time": self.updated,
            "metadata": self.metadata,
            "cidr_list": self.cidr_list,
            "token_bound_cidrs": self.token_bound_cidrs,
        })
    }
}

/// Whether an end of life has come.
pub(super) fn is_past(expires: Option<Timestamp>, now: Timestamp) -> bool {
    expires.is_some_and(|expires| expires <= now)
}

fn uses(role: &Role, sent: &Fields) -> Result<u64, CoreError> {
    let most = role.secret_id_num_uses;
    match sent.count("num_uses")? {
        None => Ok(most),
        Some(uses) if most > 0 && (uses == 0 || uses > most) => {
            invalid("num_uses cannot be higher than the role's secret_id_num_uses, nor 0 (any number) when that is set")
        }
        Some(uses) => Ok(uses),
    }
}

fn ttl(role: &Role, sent: &Fields) -> Result<Ttl, CoreError> {
    let longest = role.secret_id_ttl;
    match sent::seconds(sent, "ttl")? {
        None => Ok(longest),
        Some(ttl) if !longest.is_zero() && (ttl.is_zero() || ttl > longest) => {
            invalid("ttl cannot be longer than the role's secret_id_ttl, nor 0 (without end) when that is set")
        }
        Some(ttl) => Ok(ttl),
    }
}

fn invalid<T>(reason: &str) -> Result<T, CoreError> {
    Err(CoreError::Invalid(reason.to_owned()))
}
