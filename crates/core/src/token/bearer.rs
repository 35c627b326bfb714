use super::entry::{Token, TokenKey};
use crate::audit::LONGEST_WORDS;
use crate::identity::Entity;
use crate::records::Stored;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use strongroom_audit::Spelt;
use strongroom_model::{PolicyName, Principal};

/// A token that proved valid: who asks, and what they may refer to.
pub struct Bearer {
    pub(super) held: Held,
    entity: Option<Arc<Stored<Entity>>>,
    /// The token's own policies and its entity's, where the entity has any.
    merged: Option<Vec<PolicyName>>,
}

/// How the token is kept.
pub(super) enum Held {
    /// By the server; what can be done with a token beside using it needs this.
    Stored {
        /// The name it is stored under.
        key: TokenKey,
        token: Arc<Stored<Token>>,
        /// Set when this was the last of a counted number of uses.
        last_use: bool,
    },
    /// By its bearer: what a batch token says of itself.
    Carried(Box<Token>),
}

impl Held {
    pub(super) fn token(&self) -> &Token {
        match self {
            Held::Stored { token, .. } => &token.value,
            Held::Carried(token) => token,
        }
    }
}

/// The principal behind a token as it was last made, with the entity that it was made of. A copy of a token is about to
/// become another one, so it begins without.
#[derive(Default)]
pub(crate) struct Caller(Mutex<Option<MadeOf>>);

/// The entity that a principal was made of, which need not be there any more, and the principal.
type MadeOf = (Option<Weak<Stored<Entity>>>, Spelt<Principal>);

impl Caller {
    /// The principal, made by `make` unless it was made before of the same state of the entity.
    fn of(&self, entity: Option<&Arc<Stored<Entity>>>, make: impl FnOnce() -> Spelt<Principal>) -> Spelt<Principal> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, principal)) = &*known
            && of.as_ref().map(Weak::as_ptr) == entity.map(Arc::as_ptr)
        {
            return principal.clone();
        }
        let principal = make();
        // What is noted with a token may be long, and there are many tokens.
        *known = (principal.length() <= LONGEST_WORDS).then(|| (entity.map(Arc::downgrade), principal.clone()));
        principal
    }
}

impl Clone for Caller {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Bearer {
    pub(super) fn new(held: Held, entity: Option<Arc<Stored<Entity>>>) -> Self {
        let merged = entity.as_ref().filter(|entity| !entity.value.policies.is_empty()).map(|entity| {
            let own = held.token().policies.iter();
            let mut policies: Vec<PolicyName> = own.chain(&entity.value.policies).cloned().collect();
            policies.sort();
            policies.dedup();
            policies
        });
        Self { held, entity, merged }
    }

    /// The name it is stored under; `None` for a batch token, which is stored nowhere.
    pub fn key(&self) -> Option<TokenKey> {
        match &self.held {
            Held::Stored { key, .. } => Some(*key),
            Held::Carried(_) => None,
        }
    }

    /// What is known about it.
    pub fn token(&self) -> &Token {
        self.held.token()
    }

    /// The entity behind it.
    pub fn entity(&self) -> Option<&Entity> {
        self.entity.as_deref().map(|entity| &entity.value)
    }

    /// Its own policies and those of its entity, sorted, each once.
    pub fn policies(&self) -> &[PolicyName] {
        self.merged.as_ref().unwrap_or(&self.token().policies)
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
        matches!(self.held, Held::Stored { last_use: true, .. })
    }

    /// Who asks, for the trail.
    pub fn principal(&self) -> Spelt<Principal> {
        self.token().caller.of(self.entity.as_ref(), || self.make_principal().into())
    }

    fn make_principal(&self) -> Principal {
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
