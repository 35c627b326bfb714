//! What people call a login whose alias is no name that they know: a machine logs in by a role's id, and people know its role.
//!
//! Invariants: who came by a name last is printed by it, and everybody else who ever did is still found by it, so that a
//! role that was made again under the same name is never taken for the one before it; a name goes with its alias, in the
//! same commit. Decides nothing: the alias stays what a login is known by.

use super::store::{Identity, Pointer, entity_at};
use super::{Alias, Entity};
use crate::CoreError;
use crate::records::{PutRecord, Stored};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{EntityId, NamespaceId};

/// What people call an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The name: that of a role.
    pub name: String,
    /// Whether nobody else came by that name later.
    pub latest: bool,
}

/// All who came by a name of a mount. Counted: somebody who was cut out would have another one found alone.
fn bearers(mount_accessor: &str, name: &str) -> Shelf {
    Shelf::new("alias-called", NamespaceId::ROOT).within(mount_accessor).within(name).counted()
}

/// Leads to who came by a name last.
fn latest_at(mount_accessor: &str, name: &str) -> Address {
    Shelf::new("alias-latest", NamespaceId::ROOT).within(mount_accessor).named(name)
}

impl Alias {
    /// The name that is printed for its logins.
    pub(super) fn printed(&self) -> &str {
        self.called.as_ref().filter(|called| called.latest).map_or(&self.name, |called| &called.name)
    }

    /// Adds to a transaction that it is found by what people call it.
    pub(super) fn with_called(&self, txn: Txn, entity: EntityId) -> Result<Txn, CoreError> {
        let Some(called) = &self.called else { return Ok(txn) };
        let at = bearers(&self.mount_accessor, &called.name).named(self.id.as_bytes());
        let txn = txn.put_record(at, &Pointer { entity })?;
        match called.latest {
            true => txn.put_record(latest_at(&self.mount_accessor, &called.name), &Pointer { entity }),
            false => Ok(txn),
        }
    }

    /// Adds to a transaction that it is found so no more.
    pub(super) fn without_called(&self, txn: Txn) -> Txn {
        let Some(called) = &self.called else { return txn };
        let txn = txn.delete(bearers(&self.mount_accessor, &called.name).named(self.id.as_bytes()));
        if called.latest { txn.delete(latest_at(&self.mount_accessor, &called.name)) } else { txn }
    }
}

impl Identity {
    /// The entities that ever came by a name of a mount.
    pub(super) async fn came_as(
        &self,
        mount_accessor: &str,
        name: &str,
    ) -> Result<Vec<Arc<Stored<Entity>>>, CoreError> {
        let mut found = Vec::new();
        for listed in self.records.scan_all::<Pointer>(&bearers(mount_accessor, name)).await? {
            found.extend(self.by_id(listed.value.entity).await?);
        }
        Ok(found)
    }

    /// Notes by what name an entity came, if that is news; says whether it was. `Conflict` when somebody else was quicker.
    pub(super) async fn note_called(
        &self,
        known: &Stored<Entity>,
        (mount_accessor, alias): (&str, &str),
        name: &str,
    ) -> Result<bool, CoreError> {
        let mut entity = known.value.clone();
        let own = |one: &&mut Alias| one.mount_accessor == mount_accessor && one.name == alias;
        let Some(alias) = entity.aliases.iter_mut().find(own) else { return Ok(false) };
        let now = Called { name: name.to_owned(), latest: true };
        if alias.called.as_ref() == Some(&now) {
            return Ok(false);
        }
        let mut txn = Txn::new().expect(entity_at(entity.id), known.rev);
        if alias.called.as_ref().is_some_and(|called| called.name != name) {
            txn = alias.without_called(txn);
        }
        alias.called = Some(now);
        alias.updated = self.clock.now();
        txn = alias.with_called(self.step_back(txn, (mount_accessor, name), entity.id).await?, entity.id)?;
        entity.touch(self.clock.now());
        self.upsert.over(self.records.commit(txn.put_record(entity_at(entity.id), &entity)?)).await?;
        Ok(true)
    }

    /// Adds to a transaction that who came by a name before is printed by it no more.
    async fn step_back(
        &self,
        txn: Txn,
        (mount_accessor, name): (&str, &str),
        next: EntityId,
    ) -> Result<Txn, CoreError> {
        let at = latest_at(mount_accessor, name);
        let Some(latest) = self.records.get::<Pointer>(&at).await? else { return Ok(txn.expect_absent(at)) };
        let txn = txn.expect(at, latest.rev);
        let Some(before) = self.by_id(latest.value.entity).await?.filter(|one| one.value.id != next) else {
            return Ok(txn);
        };
        let mut entity = before.value.clone();
        for alias in entity.aliases.iter_mut().filter(|alias| alias.mount_accessor == mount_accessor) {
            if let Some(called) = alias.called.as_mut().filter(|called| called.name == name) {
                called.latest = false;
            }
        }
        entity.touch(self.clock.now());
        txn.expect(entity_at(entity.id), before.rev).put_record(entity_at(entity.id), &entity)
    }
}
