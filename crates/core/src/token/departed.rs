//! Ends what an entity that is gone had: its leases, by whichever token it asked for them, and its tokens with all that
//! descends from them.
//!
//! Removing an entity notes it in the same commit, so a crash at any moment loses nothing; from that commit on its tokens
//! are refused, and none can be made for it. Housekeeping does the rest in bounded steps that can be repeated. The note
//! stays until nothing is left. Does not see to disabled entities, whose tokens wait to be enabled again.

use super::entry::{Token, TokenKey};
use super::store::{Tokens, holder_shelf, token_at};
use crate::CoreError;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{EntityId, NamespaceId};

/// Tokens in one step.
const PAGE: usize = 256;
/// Steps for one entity in one round of housekeeping.
const STEPS: usize = 8;

/// An entity that is gone.
#[derive(Serialize, Deserialize)]
struct Departed {
    entity: EntityId,
    /// Its leases are on their way out; only tokens are left to do.
    leases_marked: bool,
}

fn departed() -> Shelf {
    Shelf::new("entity-departed", NamespaceId::ROOT)
}

fn departed_at(entity: EntityId) -> Address {
    departed().named(entity.as_bytes())
}

/// Notes, in the commit that removes an entity, that its tokens and leases are to end.
pub(crate) fn note_departed(txn: Txn, entity: EntityId) -> Result<Txn, CoreError> {
    txn.put_record(departed_at(entity), &Departed { entity, leases_marked: false })
}

impl Tokens {
    /// Ends what entities that are gone had. For housekeeping; safe to be cut off anywhere.
    pub(crate) async fn end_departed(&self) -> Result<(), CoreError> {
        for listed in self.records.scan_all::<Departed>(&departed()).await? {
            self.see_off(listed.value).await?;
        }
        Ok(())
    }

    async fn see_off(&self, gone: Departed) -> Result<(), CoreError> {
        if !gone.leases_marked {
            self.leases.end_gone(gone.entity).await?;
        }
        // A list that is not whole yet may lack some of them.
        let is_whole = self.step_index().await?;
        for _ in 0..STEPS {
            let page = self.of_entity(gone.entity, None, PAGE).await?;
            for key in &page.keys {
                self.revoke_held(gone.entity, *key).await?;
            }
            if page.next.is_some() {
                continue;
            }
            if is_whole {
                return self.records.commit(Txn::new().delete(departed_at(gone.entity))).await.map(|_| ());
            }
            break;
        }
        if !gone.leases_marked {
            let marked = Departed { leases_marked: true, ..gone };
            self.records.commit(Txn::new().put_record(departed_at(marked.entity), &marked)?).await?;
        }
        Ok(())
    }

    /// Revokes a token in the list of its entity, and takes it off the list even if it leads to no token.
    async fn revoke_held(&self, entity: EntityId, key: TokenKey) -> Result<(), CoreError> {
        let is_kept = self.records.get::<Token>(&token_at(key)).await?.is_some();
        self.revoke_tree(key).await?;
        if !is_kept {
            self.records.commit(Txn::new().delete(holder_shelf(entity).named(key.as_bytes()))).await?;
        }
        Ok(())
    }
}
