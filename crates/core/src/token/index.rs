//! Completes the list of tokens by their entity. Each token enters it when it is stored, but a store may hold tokens from
//! before there was such a list; without them a principal would be cut off and its old tokens stay where they are.
//!
//! Done once for each store, in bounded steps, beside everything else: what was gone through is noted, so a crash repeats
//! one step. Who must have all tokens of an entity waits for it. Refusing a disabled entity's tokens needs no list.

use super::entry::{Token, TokenKey};
use super::store::{Pointer, Tokens, accessor_shelf, holder_shelf, token_at};
use crate::CoreError;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::NamespaceId;

/// Tokens looked at in one step.
const STEP: usize = 256;

/// How far it is.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Mark {
    whole: bool,
    /// The accessor of the last token that was looked at.
    after: Option<String>,
}

fn mark_at() -> Address {
    Shelf::new("token-of-entity-mark", NamespaceId::ROOT).named("last")
}

impl Tokens {
    /// Whether the list of tokens by their entity is known to be whole.
    pub(crate) fn is_index_whole(&self) -> bool {
        self.index_is_whole.load(Ordering::Acquire)
    }

    /// Completes the list.
    pub(crate) async fn complete_index(&self) -> Result<(), CoreError> {
        while !self.step_index().await? {}
        Ok(())
    }

    /// Does a part of it; `true` when nothing is left to do.
    pub(crate) async fn step_index(&self) -> Result<bool, CoreError> {
        if self.is_index_whole() {
            return Ok(true);
        }
        let _alone = self.indexing.lock().await;
        let mark = self.records.get::<Mark>(&mark_at()).await?.map(|found| found.value.clone()).unwrap_or_default();
        if !mark.whole && !self.go_through(mark).await? {
            return Ok(false);
        }
        self.index_is_whole.store(true, Ordering::Release);
        Ok(true)
    }

    async fn go_through(&self, mark: Mark) -> Result<bool, CoreError> {
        let after = mark.after.map(|accessor| accessor_shelf().named(&accessor));
        let page = self.records.scan::<Pointer>(&accessor_shelf(), after.as_ref(), STEP).await?;
        for listed in &page {
            self.enter(listed.value.key).await?;
        }
        let whole = page.len() < STEP;
        let after = page.last().map(|last| last.text()).filter(|_| !whole);
        self.records.commit(Txn::new().put_record(mark_at(), &Mark { whole, after })?).await?;
        Ok(whole)
    }

    /// Puts a token into the list of its entity, unless it is there or the token is gone.
    async fn enter(&self, key: TokenKey) -> Result<(), CoreError> {
        loop {
            let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(()) };
            let Some(entity) = token.value.entity else { return Ok(()) };
            let at = holder_shelf(entity).named(key.as_bytes());
            if self.records.get::<Pointer>(&at).await?.is_some() {
                return Ok(());
            }
            // One that is revoked at this moment must not leave its name behind.
            let txn = Txn::new().expect(token_at(key), token.rev).put_record(at, &Pointer { key })?;
            match self.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emergency::Aim;
    use crate::token::NewToken;
    use crate::token::tidy::tests::{grant, open};
    use strongroom_model::{EntityName, PolicyName, SecretString, TokenType, Ttl};

    /// Tokens of an entity, stored as they were before there was a list of them.
    async fn old_tokens(open: &crate::Open, entity: strongroom_model::EntityId, count: usize) -> Vec<SecretString> {
        let tokens = &open.tokens;
        let mut made = Vec::new();
        for _ in 0..count {
            let terms =
                crate::Terms { ttl: Ttl::from_secs(600), token_type: Some(TokenType::Service), ..Default::default() };
            let new = NewToken {
                policies: vec![PolicyName::default_policy()],
                entity: Some(entity),
                terms,
                ..NewToken::default()
            };
            let token = tokens.create(new).await.unwrap().0.client_token;
            let at = holder_shelf(entity).named(tokens.key_of(&token).as_bytes());
            tokens.records.commit(Txn::new().delete(at)).await.unwrap();
            made.push(token);
        }
        tokens.records.commit(Txn::new().delete(mark_at())).await.unwrap();
        tokens.index_is_whole.store(false, Ordering::Release);
        made
    }

    #[tokio::test]
    async fn tokens_from_before_the_list_by_entity_are_revoked_with_their_principal() {
        let (open, root) = open().await;
        let name = EntityName::parse("web").unwrap();
        let entity = open.identity.create_internal(name, Vec::new()).await.unwrap().id;
        // More than one step's, and of another entity beside them.
        let old = old_tokens(&open, entity, STEP + 40).await;
        let other = EntityName::parse("other").unwrap();
        let other = open.identity.create_internal(other, Vec::new()).await.unwrap().id;
        let others = old_tokens(&open, other, 3).await;
        assert!(open.tokens.of_entity(entity, None, 8).await.unwrap().keys.is_empty(), "the list lacks them");
        // A step, and then a crash: the next one goes on behind it.
        assert!(!open.tokens.step_index().await.unwrap());
        let aim = Aim::Principal(entity.to_string());
        let grant = grant(&open, &root).await;
        let incident = open.emergency.revoke(&open.incidents, &grant, &aim, "a leak").await.unwrap();
        let finished = async {
            while open.incidents.find(&incident.id).await.unwrap().unwrap().finished.is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), finished).await.unwrap();
        for token in &old {
            assert!(
                open.tokens.kept(open.tokens.key_of(token)).await.unwrap().is_none(),
                "an old token is still there"
            );
        }
        for token in &others {
            assert!(open.tokens.find(token).await.unwrap().is_some());
        }
        let record = open.incidents.find(&incident.id).await.unwrap().unwrap();
        let step = record.steps.iter().find(|step| step.what == crate::incident::StepKind::Tokens).unwrap();
        assert_eq!((step.done, step.tokens.len()), (old.len() as u64, old.len()));
        assert!(open.tokens.is_index_whole());
    }
}
