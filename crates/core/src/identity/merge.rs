//! Makes one entity out of several that turned out to be the same principal.
//!
//! Invariants: aliases move with the entity they leave in one commit, so that at no moment a login has two entities or a
//! second one is made for it; policies and metadata do not move, so nobody gains rights of the others by being merged
//! with them (Vault: `entity/merge`). What the others had issued ends with them, as if they were removed.

use super::store::{Identity, TRIES, entity_at, name_at, with_alias, without_alias};
use super::{Alias, Entity};
use crate::records::PutRecord;
use crate::{CoreError, Grant, token};
use strongroom_barrier::Txn;
use strongroom_model::EntityId;

/// The most entities that one request merges.
const MOST: usize = 64;
/// The most ids of merged entities that are remembered in one place, the latest.
const REMEMBERED: usize = 256;

impl Identity {
    /// Merges entities into another one. Where two have an alias on the same mount, `keep` names the one to stay; without
    /// that the merging is refused. What was merged before an error stays merged.
    pub async fn merge(
        &self,
        _grant: &Grant,
        into: EntityId,
        from: &[EntityId],
        keep: &[EntityId],
    ) -> Result<(), CoreError> {
        if from.len() > MOST {
            return Err(CoreError::Invalid(format!("at most {MOST} entities are merged at once: send fewer")));
        }
        if from.contains(&into) {
            return Err(CoreError::Invalid("to_entity_id should not be present in from_entity_ids".to_owned()));
        }
        for id in from {
            self.merge_one(into, *id, keep).await?;
        }
        Ok(())
    }

    async fn merge_one(&self, into: EntityId, id: EntityId, keep: &[EntityId]) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let unknown = |which: &str| CoreError::Invalid(format!("entity id to merge {which} is invalid"));
            let target = self.by_id(into).await?.ok_or_else(|| unknown("to"))?;
            let other = self.by_id(id).await?.ok_or_else(|| unknown("from"))?;
            // Its logins would come back under the other name.
            if other.value.disabled {
                let what = "an entity to merge from is disabled, and merging would let it log in again: enable it first, or remove it";
                return Err(CoreError::Invalid(what.to_owned()));
            }
            let mut entity = target.value.clone();
            let mut txn = Txn::new().expect(entity_at(into), target.rev).expect(entity_at(id), other.rev);
            for alias in &other.value.aliases {
                txn = take_over(txn, &mut entity, (alias, id), keep)?;
            }
            remember(&mut entity.merged, other.value.merged.iter().copied().chain([id]));
            entity.touch(self.clock.now());
            txn = token::note_departed(txn.delete(entity_at(id)).delete(name_at(&other.value.name)), id)?;
            txn = self.note_cut_off(txn, &other.value, "merged into another one")?;
            let txn = txn.put_record(entity_at(into), &entity)?;
            match self.upsert.over(|| self.records.commit(txn)).await {
                Err(CoreError::Conflict) => continue,
                done => return done.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }
}

fn remember(known: &mut Vec<EntityId>, more: impl Iterator<Item = EntityId>) {
    known.extend(more);
    let over = known.len().saturating_sub(REMEMBERED);
    known.drain(..over);
}

/// Gives the alias of another entity to this one, in place of its own on the same mount if the caller says so.
fn take_over(
    txn: Txn,
    entity: &mut Entity,
    (alias, from): (&Alias, EntityId),
    keep: &[EntityId],
) -> Result<Txn, CoreError> {
    let own = entity.aliases.iter().position(|own| own.mount_accessor == alias.mount_accessor);
    let txn = match own {
        None => txn,
        Some(own) => match (entity.aliases.get(own), keep.contains(&alias.id)) {
            (Some(kept), false) if keep.contains(&kept.id) => return Ok(without_alias(txn, alias)),
            (Some(_), true) => without_alias(txn, &entity.aliases.remove(own)),
            _ => {
                return Err(CoreError::Invalid(format!(
                    "both entities have an alias on the mount {}: name the one to stay in conflicting_alias_ids_to_keep",
                    alias.mount_accessor
                )));
            }
        },
    };
    let mut alias = alias.clone();
    remember(&mut alias.merged_from, [from].into_iter());
    let txn = with_alias(txn, &alias, entity.id)?;
    entity.aliases.push(alias);
    Ok(txn)
}
