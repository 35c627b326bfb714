use super::entry::{Token, TokenKey};
use super::text;
use crate::identity::{Entity, Identity};
use crate::mount::Mounts;
use crate::records::{PutRecord, Records, Stored};
use crate::{CoreError, Settings, visit::Source};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{Clock, Entropy, MountId, NamespaceId, PolicyName, Principal, SecretString, Ttl};

/// Makes, finds, renews and revokes tokens.
pub struct Tokens {
    pub(super) records: Arc<Records>,
    pub(super) identity: Arc<Identity>,
    pub(super) mounts: Arc<Mounts>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// A token that proved valid: who asks, and what they may refer to.
pub struct Bearer {
    key: TokenKey,
    token: Arc<Stored<Token>>,
    entity: Option<Arc<Stored<Entity>>>,
    policies: Vec<PolicyName>,
    /// Set when this was the last of a counted number of uses.
    last_use: bool,
}

impl Bearer {
    /// The name it is stored under.
    pub fn key(&self) -> TokenKey {
        self.key
    }

    /// What is stored about it.
    pub fn token(&self) -> &Token {
        &self.token.value
    }

    /// The entity behind it.
    pub fn entity(&self) -> Option<&Entity> {
        self.entity.as_deref().map(|entity| &entity.value)
    }

    /// Its own policies and those of its entity, sorted, each once.
    pub fn policies(&self) -> &[PolicyName] {
        &self.policies
    }

    /// Policies that come from the entity.
    pub fn identity_policies(&self) -> Vec<PolicyName> {
        self.entity().map(|entity| entity.policies.clone()).unwrap_or_default()
    }

    /// Whether its uses are counted.
    pub fn is_counted(&self) -> bool {
        self.token().num_uses > 0
    }

    /// Whether this request used it up.
    pub fn is_spent(&self) -> bool {
        self.last_use
    }

    /// Who asks, for the trail.
    pub fn principal(&self) -> Principal {
        let token = self.token();
        Principal {
            entity: token.entity,
            accessor: token.accessor.clone(),
            display_name: token.display_name.clone(),
            token_policies: token.policies.clone(),
            identity_policies: self.identity_policies(),
            metadata: token.metadata.clone(),
            token_type: token.token_type,
        }
    }
}

/// Leads from an accessor to its token.
#[derive(Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) key: TokenKey,
}

pub(crate) fn token_at(key: TokenKey) -> Address {
    Shelf::new("token", NamespaceId::ROOT).named(key.as_bytes())
}

pub(super) fn accessor_shelf() -> Shelf {
    Shelf::new("token-accessor", NamespaceId::ROOT)
}

/// Tokens in the order in which they die.
pub(super) fn expiry_shelf() -> Shelf {
    Shelf::new("token-expiry", NamespaceId::ROOT)
}

/// Tokens that descend from one.
pub(super) fn children_shelf(parent: TokenKey) -> Shelf {
    Shelf::new("token-child", NamespaceId::ROOT).within(parent.as_bytes())
}

impl Tokens {
    pub(crate) fn new(
        records: Arc<Records>,
        identity: Arc<Identity>,
        mounts: Arc<Mounts>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { records, identity, mounts, settings, clock, entropy }
    }

    /// The name under which a token would be stored.
    pub fn key_of(&self, token: &SecretString) -> TokenKey {
        TokenKey(self.records.barrier().keyed_hash("token", token.expose().as_bytes()))
    }

    /// Who bears this token: `None` when it is unknown, dead, used from elsewhere, or its principal is disabled or gone.
    pub async fn authenticate(&self, token: &SecretString, source: &Source) -> Result<Option<Bearer>, CoreError> {
        let key = self.key_of(token);
        let Some(bearer) = self.bearer(key).await? else { return Ok(None) };
        let bound = &bearer.token().bound_cidrs;
        let here = |cidr: &crate::Cidr| source.address.is_some_and(|address| cidr.contains(address));
        Ok((bound.is_empty() || bound.iter().any(here)).then_some(bearer))
    }

    /// As [`Tokens::authenticate`], for a token known by its stored name, wherever it is used from.
    pub async fn bearer(&self, key: TokenKey) -> Result<Option<Bearer>, CoreError> {
        let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(None) };
        let value = &token.value;
        if value.is_expired(self.clock.now()) || (value.num_uses > 0 && value.uses_left == 0) {
            return Ok(None);
        }
        let gone = |mount: Option<MountId>| mount.is_some_and(|mount| self.mounts.table().by_id(mount).is_none());
        if gone(value.mount) || gone(value.through) {
            return Ok(None);
        }
        let entity = match value.entity {
            None => None,
            Some(id) => match self.identity.by_id(id).await? {
                Some(entity) if !entity.value.disabled => Some(entity),
                _ => return Ok(None),
            },
        };
        let mut policies = value.policies.clone();
        if let Some(entity) = &entity {
            policies.extend(entity.value.policies.iter().cloned());
            policies.sort();
            policies.dedup();
        }
        Ok(Some(Bearer { key, token, entity, policies, last_use: false }))
    }

    /// The token behind an accessor.
    pub async fn by_accessor(&self, accessor: &str) -> Result<Option<Bearer>, CoreError> {
        match self.records.get::<Pointer>(&accessor_shelf().named(accessor)).await? {
            Some(pointer) => self.bearer(pointer.value.key).await,
            None => Ok(None),
        }
    }

    /// Accessors of all tokens.
    pub async fn accessors(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.records.scan_all::<Pointer>(&accessor_shelf()).await?;
        let mut accessors: Vec<String> = listed.iter().map(|listed| listed.text()).collect();
        accessors.sort();
        Ok(accessors)
    }

    /// Counts one use of a token whose uses are counted. `false` when there is none left.
    pub(crate) async fn count_use(&self, bearer: &mut Bearer) -> Result<bool, CoreError> {
        loop {
            let Some(current) = self.records.get::<Token>(&token_at(bearer.key)).await? else { return Ok(false) };
            if current.value.uses_left == 0 {
                return Ok(false);
            }
            let mut token = current.value.clone();
            token.uses_left -= 1;
            let txn = Txn::new().expect(token_at(bearer.key), current.rev).put_record(token_at(bearer.key), &token)?;
            match self.records.commit(txn).await {
                Ok(rev) => {
                    bearer.last_use = token.uses_left == 0;
                    bearer.token = Arc::new(Stored { value: token, rev });
                    return Ok(true);
                }
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// The default and longest life on a mount, from its settings and the system's.
    pub(super) fn lifetimes(&self, mount: Option<MountId>) -> (Ttl, Ttl) {
        let table = self.mounts.table();
        let config = mount.and_then(|id| table.by_id(id)).map(|mount| mount.config.clone()).unwrap_or_default();
        let or = |secs: u64, system: Ttl| if secs == 0 { system } else { Ttl::from_secs(secs) };
        let longest = or(config.max_lease_ttl, self.settings.max_lease_ttl);
        (or(config.default_lease_ttl, self.settings.default_lease_ttl).min(longest), longest)
    }

    pub(super) fn fresh(&self) -> (SecretString, String) {
        (text::service(&*self.entropy), text::accessor(&*self.entropy))
    }
}
