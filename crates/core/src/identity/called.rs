//! What people call a login whose alias is no name that they know: a machine logs in by a role's id, and people know its role.
//!
//! Invariants: who came by a name last is printed by it, and everybody else who ever did is still found by it, so that a
//! role that was made again under the same name is never taken for the one before it, and nobody gets rid of a name by
//! coming under others; a name goes with its alias, in the same commit. Decides nothing: the alias stays what a login is
//! known by.

use super::store::{Identity, Pointer, entity_at};
use super::{Alias, Entity};
use crate::CoreError;
use crate::records::{PutRecord, Stored};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{EntityId, NamespaceId};

/// How many earlier names go with an alias. What leads from older ones to its entity stays where it is as long as the entity
/// is there, also when the alias is gone: the name then means one more, and an id is asked for.
const EARLIER: usize = 16;

/// What people call an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The name: that of a role.
    pub name: String,
    /// Whether nobody else came by that name later.
    pub latest: bool,
    /// By which names it came before, the latest last: each finds it still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
}

impl Called {
    /// What it is called when it comes by a name.
    fn after(before: Option<Called>, name: &str) -> Self {
        let mut earlier = Vec::new();
        if let Some(before) = before {
            earlier = before.earlier;
            earlier.push(before.name);
        }
        earlier.retain(|one| one != name);
        earlier.drain(..earlier.len().saturating_sub(EARLIER));
        Self { name: name.to_owned(), latest: true, earlier }
    }
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

    /// The name by which a mute may mean it. Whoever makes roles chooses their ids, and could take another role's name for
    /// one, or give a role the id of a principal that is to be kept quiet: so no id of a role is such a name, nor is any of
    /// several that it had.
    pub(super) fn trusted(&self) -> Option<&str> {
        match &self.called {
            None => Some(&self.name),
            Some(called) => Some(called.name.as_str()).filter(|_| called.latest && called.earlier.is_empty()),
        }
    }

    /// Adds to a transaction that it is found by what people call it, and by what they called it.
    pub(super) fn with_called(&self, mut txn: Txn, entity: EntityId) -> Result<Txn, CoreError> {
        let Some(called) = &self.called else { return Ok(txn) };
        for name in &called.earlier {
            txn = txn.put_record(self.bears(name), &Pointer { entity })?;
        }
        self.with_present(txn, called, entity)
    }

    /// Adds to a transaction that it is found by what people call it now.
    fn with_present(&self, txn: Txn, called: &Called, entity: EntityId) -> Result<Txn, CoreError> {
        let txn = txn.put_record(self.bears(&called.name), &Pointer { entity })?;
        match called.latest {
            true => txn.put_record(latest_at(&self.mount_accessor, &called.name), &Pointer { entity }),
            false => Ok(txn),
        }
    }

    /// Adds to a transaction that it is found so no more.
    pub(super) fn without_called(&self, mut txn: Txn) -> Txn {
        let Some(called) = &self.called else { return txn };
        for name in called.earlier.iter().chain([&called.name]) {
            txn = txn.delete(self.bears(name));
        }
        if called.latest { txn.delete(latest_at(&self.mount_accessor, &called.name)) } else { txn }
    }

    /// Leads from one of its names to its entity.
    fn bears(&self, name: &str) -> Address {
        bearers(&self.mount_accessor, name).named(self.id.as_bytes())
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
        let before = alias.called.take();
        if before.as_ref().is_some_and(|called| called.latest && called.name == name) {
            return Ok(false);
        }
        let mut txn = Txn::new().expect(entity_at(entity.id), known.rev);
        if let Some(left) = before.as_ref().filter(|called| called.latest && called.name != name) {
            txn = txn.delete(latest_at(mount_accessor, &left.name));
        }
        let now = Called::after(before, name);
        txn = alias.with_present(self.step_back(txn, (mount_accessor, name), entity.id).await?, &now, entity.id)?;
        alias.called = Some(now);
        alias.updated = self.clock.now();
        entity.touch(self.clock.now());
        let txn = txn.put_record(entity_at(entity.id), &entity)?;
        self.upsert.over(|| self.records.commit(txn)).await?;
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
