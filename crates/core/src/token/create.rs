use super::batch;
use super::entry::{Token, TokenKey};
use super::kind::TypeRule;
use super::lifetime::{self, Wish};
use super::rights::settled;
use super::store::{Pointer, Tokens, accessor_shelf, children_shelf, expiry_shelf, holder_shelf, token_at};
use crate::records::PutRecord;
use crate::{Auth, CoreError, Login, Terms};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_barrier::Txn;
use strongroom_model::{EntityId, MountId, PolicyName, SecretString, Timestamp, TokenRoleName, TokenType, Ttl};

/// A token to be made.
#[derive(Default)]
pub(crate) struct NewToken {
    /// The string itself, when an operator chose it (`-dev-root-token-id`, or a root token's `id` field).
    pub(crate) id: Option<SecretString>,
    /// Its own policies; `default` is added unless the terms say otherwise.
    pub(crate) policies: Vec<PolicyName>,
    /// How long and how often.
    pub(crate) terms: Terms,
    /// Whether it can be renewed.
    pub(crate) renewable: bool,
    /// The token it descends from.
    pub(crate) parent: Option<TokenKey>,
    /// The principal behind it.
    pub(crate) entity: Option<EntityId>,
    /// Shown in the trail and in lookups.
    pub(crate) display_name: String,
    /// What to note with it.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The path of the request that makes it.
    pub(crate) path: String,
    /// The auth mount that makes it.
    pub(crate) mount: Option<MountId>,
    /// The token role that makes it.
    pub(crate) role: Option<TokenRoleName>,
    /// What the auth method wants back at renewal.
    pub(crate) note: Map<String, Value>,
}

impl NewToken {
    /// The token for somebody whom an auth method let in.
    pub(crate) fn from_login(login: Login, mount: MountId, path: String, entity: Option<EntityId>) -> Self {
        Self {
            policies: login.policies,
            renewable: true,
            entity,
            display_name: crate::drill::not_a_canary(login.display_name),
            metadata: login.metadata,
            path,
            mount: Some(mount),
            note: login.note,
            terms: login.terms,
            ..Self::default()
        }
    }
}

impl Tokens {
    /// Makes a token, and stores it if it is one that is stored. The warnings say what was cut short.
    pub(crate) async fn create(&self, new: NewToken) -> Result<(Auth, Vec<String>), CoreError> {
        let made = self.meters.create.over(|| self.complete(new)).await?;
        self.meters.create_root.add(u64::from(made.0.token_policies.iter().any(PolicyName::is_root)));
        Ok(made)
    }

    async fn complete(&self, new: NewToken) -> Result<(Auth, Vec<String>), CoreError> {
        check_size(&new)?;
        if new.id.as_ref().is_some_and(batch::is_batch) {
            return Err(CoreError::Invalid("custom token ID cannot have the 'hvb.' prefix".to_owned()));
        }
        let (token, chosen, warnings) = self.draft(new).await?;
        let client_token = match (token.token_type, chosen) {
            (TokenType::Batch, chosen) => {
                batch::check(&token, chosen.is_some())?;
                self.seal_batch(&token)?
            }
            (TokenType::Service, chosen) => {
                let client_token = chosen.unwrap_or_else(|| self.fresh());
                self.store(self.key_of(&client_token), &token).await?;
                client_token
            }
        };
        let identity_policies = match token.entity {
            Some(id) => self.identity.by_id(id).await?.map(|entity| entity.value.policies.clone()).unwrap_or_default(),
            None => Vec::new(),
        };
        let auth = Auth {
            client_token,
            made: true,
            accessor: token.accessor,
            display_name: token.display_name,
            token_policies: token.policies,
            identity_policies,
            metadata: token.metadata,
            ttl: token.creation_ttl,
            renewable: token.renewable,
            entity: token.entity,
            token_type: token.token_type,
            orphan: token.parent.is_none(),
            num_uses: token.num_uses,
        };
        Ok((auth, warnings))
    }

    /// The token as it will be, the string chosen for it, and warnings. Nothing is stored yet.
    async fn draft(&self, new: NewToken) -> Result<(Token, Option<SecretString>, Vec<String>), CoreError> {
        if let Some(name) = new.policies.iter().find(|name| name.is_response_wrapping()) {
            return Err(CoreError::Invalid(format!("cannot assign policy \"{name}\"")));
        }
        let through = match (new.mount, new.parent) {
            (None, Some(parent)) => self.through(parent).await?,
            (mount, _) => mount,
        };
        let now = self.clock.now();
        let policies = settled(new.policies, !new.terms.no_default_policy);
        let (ttl, warnings) = self.first_ttl(&new.terms, new.mount, policies.iter().any(PolicyName::is_root))?;
        let token_type = self.settle_type(new.mount, new.terms.token_type);
        let is_stored = token_type == TokenType::Service;
        let token = Token {
            accessor: if is_stored { self.fresh_accessor() } else { String::new() },
            token_type,
            policies,
            entity: new.entity,
            display_name: new.display_name,
            metadata: new.metadata,
            path: new.path,
            mount: new.mount,
            through,
            parent: new.parent,
            created: now,
            creation_ttl: ttl,
            expires: (!ttl.is_zero()).then(|| now.plus(ttl.0)),
            renewed: None,
            renewable: is_stored && new.renewable && !ttl.is_zero(),
            max_ttl: new.terms.max_ttl,
            explicit_max_ttl: new.terms.explicit_max_ttl,
            period: new.terms.period,
            num_uses: new.terms.num_uses,
            uses_left: new.terms.num_uses,
            role: new.role,
            bound_cidrs: new.terms.bound_cidrs,
            note: new.note,
            caller: Default::default(),
        };
        Ok((token, new.id, warnings))
    }

    /// The auth mount by which the parent's tree came.
    async fn through(&self, parent: TokenKey) -> Result<Option<MountId>, CoreError> {
        let parent = self.records.get::<Token>(&token_at(parent)).await?.ok_or(CoreError::Denied)?;
        Ok(parent.value.mount.or(parent.value.through))
    }

    /// Stores a new token, and all that leads to it, if its holder may have one at that moment.
    async fn store(&self, key: TokenKey, token: &Token) -> Result<(), CoreError> {
        loop {
            let holder = self.identity.holder(Txn::new(), token.entity).await?;
            match self.store_once(holder, key, token).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
    }

    async fn store_once(&self, holder: Txn, key: TokenKey, token: &Token) -> Result<(), CoreError> {
        let mut txn = self.put_token(holder, key, token)?;
        if let Some(parent) = token.parent {
            // A parent that is revoked at this moment must not leave a child behind.
            txn = txn.expect_present(token_at(parent));
            txn = txn.put_record(children_shelf(parent).named(key.as_bytes()), &Pointer { key })?;
        }
        match self.meters.store.over(|| self.records.commit(txn)).await {
            Err(CoreError::Conflict) if self.records.get::<Token>(&token_at(key)).await?.is_some() => {
                Err(CoreError::Invalid("cannot create a token with a duplicate ID".to_owned()))
            }
            Err(CoreError::Conflict) => match token.parent {
                Some(parent) if self.records.get::<Token>(&token_at(parent)).await?.is_none() => Err(CoreError::Denied),
                // The holder changed meanwhile.
                _ => Err(CoreError::Conflict),
            },
            other => other.map(|_| ()),
        }
    }

    /// Adds a new token with its indexes.
    pub(super) fn put_token(&self, txn: Txn, key: TokenKey, token: &Token) -> Result<Txn, CoreError> {
        let txn = txn.expect_absent(token_at(key)).put_record(token_at(key), token)?;
        let mut txn = txn.put_record(accessor_shelf().named(&token.accessor), &Pointer { key })?;
        if let Some(entity) = token.entity {
            txn = txn.put_record(holder_shelf(entity).named(key.as_bytes()), &Pointer { key })?;
        }
        match token.expires {
            Some(expires) => txn.put_record(expiry_at(key, expires), &Pointer { key }),
            None => Ok(txn),
        }
    }

    /// The first time to live, with warnings about what was cut short. Zero for a root token that asks for no end.
    fn first_ttl(&self, terms: &Terms, mount: Option<MountId>, root: bool) -> Result<(Ttl, Vec<String>), CoreError> {
        if root && terms.ttl.is_zero() && terms.period.is_zero() {
            return Ok((terms.explicit_max_ttl, Vec::new()));
        }
        let Terms { ttl, period, max_ttl, explicit_max_ttl, .. } = *terms;
        let wish = Wish { ttl, period, max_ttl, explicit_max_ttl };
        lifetime::settle(&wish, self.limits(mount), Duration::ZERO)
    }

    /// The type that a token of a mount has for which this is asked.
    fn settle_type(&self, mount: Option<MountId>, asked: Option<TokenType>) -> TokenType {
        let table = self.mounts.table();
        let rule = mount.and_then(|id| table.by_id(id)).and_then(|mount| TypeRule::parse(&mount.config.token_type));
        rule.unwrap_or_default().settle(asked)
    }
}

pub(super) fn expiry_at(key: TokenKey, expires: Timestamp) -> strongroom_barrier::Address {
    expiry_shelf().ordered(expires.nanos(), key.as_bytes())
}

/// Policies and metadata of a token stand in each of its trail entries, so they are bounded.
fn check_size(new: &NewToken) -> Result<(), CoreError> {
    const MOST_POLICIES: usize = 1_024;
    const MOST_METADATA: usize = 32 * 1024;
    if new.policies.len() > MOST_POLICIES {
        return Err(CoreError::Invalid(format!("a token cannot have more than {MOST_POLICIES} policies")));
    }
    let metadata: usize = new.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata > MOST_METADATA {
        return Err(CoreError::Invalid(format!("the metadata of a token cannot exceed {MOST_METADATA} bytes")));
    }
    Ok(())
}
