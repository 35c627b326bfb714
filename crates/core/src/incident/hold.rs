//! Which principals and access keys an incident holds, so that no ordinary way puts them in use again while it stands: each
//! is one record, written with what cuts it off or before, and removed when the incident is lifted. What secrets have of this
//! kind is kept with them. Incidents from before there were holds have none.

use crate::CoreError;
use crate::access_key::AccessKeyId;
use crate::records::{PutRecord, Records};
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{EntityId, NamespaceId};

/// What is held.
pub(crate) enum Held<'a> {
    Entity(EntityId),
    Key(&'a AccessKeyId),
}

#[derive(Serialize, Deserialize)]
struct Hold {
    incident: String,
}

impl Held<'_> {
    fn shelf(&self) -> Shelf {
        match self {
            Held::Entity(entity) => {
                Shelf::new("incident-holds-entity", NamespaceId::ROOT).counted().within(entity.as_bytes())
            }
            Held::Key(key) => Shelf::new("incident-holds-key", NamespaceId::ROOT).counted().within(key.as_str()),
        }
    }

    fn at(&self, incident: &str) -> Address {
        self.shelf().named(incident)
    }

    /// Adds to a transaction that an incident holds it.
    pub(crate) fn hold(&self, txn: Txn, incident: &str) -> Result<Txn, CoreError> {
        txn.put_record(self.at(incident), &Hold { incident: incident.to_owned() })
    }

    /// Adds to a transaction that the incident holds it no more.
    pub(crate) fn release(&self, txn: Txn, incident: &str) -> Txn {
        txn.delete(self.at(incident))
    }

    /// Refuses what would put it in use again while an incident holds it, also when somebody cut that out of the store.
    pub(crate) async fn refuse(&self, records: &Records) -> Result<(), CoreError> {
        let holds = records.scan_all::<Hold>(&self.shelf()).await?;
        let Some(hold) = holds.first().map(|listed| &listed.value.incident) else { return Ok(()) };
        let what = match self {
            Held::Entity(_) => "the entity",
            Held::Key(_) => "the access key",
        };
        Err(CoreError::Invalid(format!(
            "{what} was put out of use by incident {hold}, which stands: it comes back when that is lifted, with \
             `strongroom incident lift {hold}`"
        )))
    }
}
