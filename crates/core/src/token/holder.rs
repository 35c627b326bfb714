//! Tokens by their holder, for who must end all of them at once.

use super::bearer::{Bearer, Held};
use super::entry::{Token, TokenKey};
use super::store::{Pointer, Tokens, accessor_shelf, holder_shelf, token_at};
use crate::CoreError;
use strongroom_model::{EntityId, MountId};

/// A page of tokens; where the next one begins, unless this was the last.
pub(crate) struct TokenPage {
    pub(crate) keys: Vec<TokenKey>,
    pub(crate) next: Option<Vec<u8>>,
}

impl Tokens {
    /// Tokens of an entity after a place, at most `limit`.
    pub(crate) async fn of_entity(
        &self,
        entity: EntityId,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<TokenPage, CoreError> {
        let shelf = holder_shelf(entity);
        let after = after.map(|name| shelf.named(name));
        let page = self.records.scan::<Pointer>(&shelf, after.as_ref(), limit).await?;
        let next = page.last().filter(|_| page.len() == limit).map(|last| last.name.clone());
        Ok(TokenPage { keys: page.into_iter().map(|listed| listed.value.key).collect(), next })
    }

    /// Tokens that came through an auth mount, found by looking at a page of all tokens.
    pub(crate) async fn of_mount(
        &self,
        mount: MountId,
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<TokenPage, CoreError> {
        let shelf = accessor_shelf();
        let after = after.map(|name| shelf.named(name));
        let page = self.records.scan::<Pointer>(&shelf, after.as_ref(), limit).await?;
        let next = page.last().filter(|_| page.len() == limit).map(|last| last.name.clone());
        let mut keys = Vec::new();
        for listed in page {
            let key = listed.value.key;
            let token = self.records.get::<Token>(&token_at(key)).await?;
            if token.is_some_and(|token| [token.value.mount, token.value.through].contains(&Some(mount))) {
                keys.push(key);
            }
        }
        Ok(TokenPage { keys, next })
    }

    /// The tokens that a token descends from, the nearest first: with any of them it is revoked.
    pub(crate) async fn ancestors(&self, token: &Token) -> Result<Vec<(TokenKey, Token)>, CoreError> {
        let (mut ancestors, mut above) = (Vec::new(), token.parent);
        while let Some(key) = above {
            let Some(parent) = self.kept(key).await? else { break };
            above = parent.parent;
            ancestors.push((key, parent));
        }
        Ok(ancestors)
    }

    /// A token that is kept under this name, dead or alive.
    pub(crate) async fn kept(&self, key: TokenKey) -> Result<Option<Token>, CoreError> {
        Ok(self.records.get::<Token>(&token_at(key)).await?.map(|token| token.value.clone()))
    }

    /// The token behind an accessor for who looks at it or ends it: also while its principal is disabled or gone, its
    /// mount is shut or what it descends from is gone, and it is refused for anything else.
    pub async fn behind_accessor(&self, accessor: &str) -> Result<Option<Bearer>, CoreError> {
        let Some(key) = self.key_of_accessor(accessor).await? else { return Ok(None) };
        let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(None) };
        if token.value.is_spent() || token.value.is_expired(self.clock.now()) {
            return Ok(None);
        }
        let entity = match token.value.entity {
            Some(id) => self.identity.by_id(id).await?,
            None => None,
        };
        Ok(Some(Bearer::new(Held::Stored { key, token, last_use: false }, entity)))
    }

    /// The name of the token behind an accessor, dead or alive.
    pub(crate) async fn key_of_accessor(&self, accessor: &str) -> Result<Option<TokenKey>, CoreError> {
        let pointer = self.records.get::<Pointer>(&accessor_shelf().named(accessor)).await?;
        Ok(pointer.map(|pointer| pointer.value.key))
    }
}
