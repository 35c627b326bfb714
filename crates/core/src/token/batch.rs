//! Batch tokens: sealed by the barrier, carried by their bearers, stored nowhere.
//!
//! So they cost the store nothing, and nothing of them can be changed: no renewal, no counted uses, no children, no
//! cubbyhole, no accessor, no revocation of a single one. They end with their time, with the service token that they
//! descend from, with their mount and with their entity; each is looked at when they are used.

use super::entry::{Token, TokenKey};
use super::store::Tokens;
use crate::{Cidr, CoreError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::collections::BTreeMap;
use strongroom_model::{EntityId, MountId, PolicyName, SecretString, Timestamp, TokenRoleName, TokenType, Ttl};
use zeroize::Zeroizing;

/// What a batch token begins with. Nobody can choose such a text for a service token.
pub(super) const PREFIX: &str = "hvb.";
/// The doors take no longer tokens.
const LONGEST: usize = 8_192;

/// What is sealed in a batch token. The names are short, because every request carries them.
#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "pol")]
    policies: Vec<PolicyName>,
    #[serde(rename = "ent", default, skip_serializing_if = "Option::is_none")]
    entity: Option<EntityId>,
    #[serde(rename = "nam", default, skip_serializing_if = "String::is_empty")]
    display_name: String,
    #[serde(rename = "met", default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(rename = "pth")]
    path: String,
    #[serde(rename = "mnt", default, skip_serializing_if = "Option::is_none")]
    mount: Option<MountId>,
    #[serde(rename = "thr", default, skip_serializing_if = "Option::is_none")]
    through: Option<MountId>,
    #[serde(rename = "par", default, skip_serializing_if = "Option::is_none")]
    parent: Option<TokenKey>,
    #[serde(rename = "cre")]
    created: Timestamp,
    #[serde(rename = "ttl")]
    ttl: Ttl,
    #[serde(rename = "rol", default, skip_serializing_if = "Option::is_none")]
    role: Option<TokenRoleName>,
    #[serde(rename = "net", default, skip_serializing_if = "Vec::is_empty")]
    bound_cidrs: Vec<Cidr>,
}

impl Content {
    fn of(token: &Token) -> Self {
        Self {
            policies: token.policies.clone(),
            entity: token.entity,
            display_name: token.display_name.clone(),
            metadata: token.metadata.clone(),
            path: token.path.clone(),
            mount: token.mount,
            through: token.through,
            parent: token.parent,
            created: token.created,
            ttl: token.creation_ttl,
            role: token.role.clone(),
            bound_cidrs: token.bound_cidrs.clone(),
        }
    }

    fn into_token(self) -> Token {
        Token {
            accessor: String::new(),
            token_type: TokenType::Batch,
            policies: self.policies,
            entity: self.entity,
            display_name: self.display_name,
            metadata: self.metadata,
            path: self.path,
            mount: self.mount,
            through: self.through,
            parent: self.parent,
            created: self.created,
            creation_ttl: self.ttl,
            // Always some: a token without end could never be got rid of.
            expires: Some(self.created.plus(self.ttl.0)),
            renewed: None,
            renewable: false,
            max_ttl: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            period: Ttl::ZERO,
            num_uses: 0,
            uses_left: 0,
            role: self.role,
            bound_cidrs: self.bound_cidrs,
            note: Map::new(),
            caller: Default::default(),
        }
    }
}

/// Whether it is, or pretends to be, a batch token.
pub(super) fn is_batch(token: &SecretString) -> bool {
    token.expose().starts_with(PREFIX)
}

/// Why a batch token cannot be like this, if it cannot.
pub(super) fn check(token: &Token, has_chosen_id: bool) -> Result<(), CoreError> {
    let refused = match token {
        _ if token.is_root() => return Err(CoreError::Invalid("batch tokens cannot be root tokens".to_owned())),
        _ if token.num_uses > 0 => "num_uses",
        _ if !token.period.is_zero() => "period",
        _ if has_chosen_id => "id",
        _ => return Ok(()),
    };
    Err(CoreError::Invalid(format!("batch tokens cannot have \"{refused}\" set")))
}

impl Tokens {
    /// The text of a batch token like this.
    pub(super) fn seal_batch(&self, token: &Token) -> Result<SecretString, CoreError> {
        let plain = serde_json::to_vec(&Content::of(token)).map(Zeroizing::new);
        let plain = plain.map_err(|_| CoreError::Internal("a batch token could not be written"))?;
        let sealed = self.records.barrier().seal_token(&plain)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed));
        if text.len() > LONGEST {
            return Err(CoreError::TooLarge(format!(
                "a batch token carries its policies and metadata, and this one would be {} characters long; at most \
                 {LONGEST} are taken: use fewer, or a service token",
                text.len()
            )));
        }
        Ok(SecretString::new(text))
    }

    /// What is sealed in a batch token; `None` when this server did not make it, to the last character.
    pub(super) fn open_batch(&self, token: &SecretString) -> Result<Option<Token>, CoreError> {
        // The decoder refuses bits that it would drop, so one token has one spelling.
        let sealed = token.expose().strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let Some(sealed) = sealed else { return Ok(None) };
        let Some(plain) = self.records.barrier().open_token(&sealed)? else { return Ok(None) };
        let content: Content =
            serde_json::from_slice(plain.expose()).map_err(|_| CoreError::Unreadable { kind: "batch token" })?;
        Ok(Some(content.into_token()))
    }
}
