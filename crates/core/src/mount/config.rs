use super::LockoutConfig;
use crate::{CoreError, Fields};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use strongroom_model::Ttl;

/// The settings of a mount that `tune` changes. Zero TTLs mean: as the system says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountConfig {
    /// Seconds.
    #[serde(default)]
    pub default_lease_ttl: u64,
    /// Seconds.
    #[serde(default)]
    pub max_lease_ttl: u64,
    /// Accepted and given back; nothing is cached past a commit here.
    #[serde(default)]
    pub force_no_cache: bool,
    /// `hidden`, `unauth`, or empty.
    #[serde(default)]
    pub listing_visibility: String,
    /// `default-service`, `default-batch`, `service`, `batch`; auth mounts only.
    #[serde(default)]
    pub token_type: String,
    /// Lists that Vault's clients set and read back: header names, keys left in clear by devices.
    #[serde(default)]
    pub lists: BTreeMap<String, Vec<String>>,
    /// When failed logins shut somebody out, if that was tuned; auth mounts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockout: Option<LockoutConfig>,
    /// Further settings that are kept and given back.
    #[serde(default)]
    pub other: Map<String, Value>,
}

const LISTS: [&str; 4] = [
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
];

impl MountConfig {
    /// Takes over what was sent; what was not sent stays.
    pub fn update(&mut self, sent: &Fields) -> Result<(), CoreError> {
        // A TTL of -1 or "system" means "as the system says" to Vault's tools. An empty one means "as it was": the Go
        // client sends both TTLs with every tuning, also when only a description is to change.
        let ttl = |field| match sent.text(field) {
            Ok(Some(text)) if matches!(text.as_str(), "system" | "-1") => Ok(Some(0)),
            Ok(Some(text)) if text.is_empty() => Ok(None),
            _ => sent.ttl(field).map(|ttl: Option<Ttl>| ttl.map(Ttl::secs)),
        };
        self.default_lease_ttl = ttl("default_lease_ttl")?.unwrap_or(self.default_lease_ttl);
        self.max_lease_ttl = ttl("max_lease_ttl")?.unwrap_or(self.max_lease_ttl);
        if self.max_lease_ttl != 0 && self.default_lease_ttl > self.max_lease_ttl {
            return Err(CoreError::Invalid("default_lease_ttl is longer than max_lease_ttl".to_owned()));
        }
        self.force_no_cache = sent.flag("force_no_cache")?.unwrap_or(self.force_no_cache);
        if let Some(visibility) = sent.text("listing_visibility")? {
            if !matches!(visibility.as_str(), "" | "hidden" | "unauth") {
                return Err(CoreError::Invalid("listing_visibility must be `hidden` or `unauth`".to_owned()));
            }
            self.listing_visibility = visibility;
        }
        if let Some(kind) = sent.text("token_type")? {
            if !matches!(kind.as_str(), "" | "default-service" | "default-batch" | "service" | "batch") {
                return Err(CoreError::Invalid(
                    "token_type must be `default-service`, `default-batch`, `service` or `batch`".to_owned(),
                ));
            }
            self.token_type = kind;
        }
        if let Some(sent) = sent.object("user_lockout_config")?.filter(|sent| !sent.map().is_empty()) {
            self.lockout.get_or_insert_default().update(&sent)?;
        }
        for name in LISTS {
            if let Some(list) = sent.list(name)? {
                self.lists.insert(name.to_owned(), list);
            }
        }
        Ok(())
    }

    /// The settings as `sys/mounts` shows them.
    pub fn shown(&self, class: super::MountClass) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("default_lease_ttl".into(), json!(self.default_lease_ttl));
        shown.insert("max_lease_ttl".into(), json!(self.max_lease_ttl));
        shown.insert("force_no_cache".into(), json!(self.force_no_cache));
        if !self.listing_visibility.is_empty() {
            shown.insert("listing_visibility".into(), json!(self.listing_visibility));
        }
        if class == super::MountClass::Auth {
            let kind = if self.token_type.is_empty() { "default-service" } else { &self.token_type };
            shown.insert("token_type".into(), json!(kind));
        }
        for (name, list) in &self.lists {
            shown.insert(name.clone(), json!(list));
        }
        if let Some(lockout) = &self.lockout {
            shown.insert("user_lockout_config".into(), Value::Object(lockout.shown()));
        }
        shown.extend(self.other.clone());
        shown
    }
}

/// A mount as it is asked for.
#[derive(Clone, Debug, Default)]
pub struct MountSpec {
    /// The engine or method: `kv`, `approle`.
    pub kind: String,
    /// What people write about it.
    pub description: String,
    /// `version` and so on.
    pub options: BTreeMap<String, String>,
    /// Its settings.
    pub config: MountConfig,
    /// Accepted and given back; there is one site only.
    pub local: bool,
    /// Accepted and given back; everything is sealed.
    pub seal_wrap: bool,
}
