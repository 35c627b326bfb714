use super::record::Incident;
use crate::event::{EventKind, Hub, Note, shows};
use crate::mount::Mounts;
use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_audit::{Entry, Trail};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::NamespaceId;

/// Keeps and tells of incidents.
pub struct Incidents {
    pub(super) records: Arc<Records>,
    pub(super) trail: Arc<Trail>,
    pub(super) mounts: Arc<Mounts>,
    events: Arc<Hub>,
    /// Held by who keeps what the trail tells.
    pub(super) keeping: tokio::sync::Mutex<()>,
}

/// Names an incident that is not finished.
#[derive(Serialize, Deserialize)]
struct Pointer {
    id: String,
}

fn shelf() -> Shelf {
    Shelf::new("incident", NamespaceId::ROOT).counted()
}

/// Incidents that are still to be worked at.
fn open_shelf() -> Shelf {
    Shelf::new("incident-open", NamespaceId::ROOT).counted()
}

fn at(id: &str) -> Address {
    shelf().named(id.as_bytes())
}

/// Adds the record of an incident that begins to what cuts it off.
pub(crate) fn opening(txn: Txn, incident: &Incident) -> Result<Txn, CoreError> {
    let pointer = Pointer { id: incident.id.clone() };
    let txn = txn.expect_absent(at(&incident.id)).put_record(at(&incident.id), incident)?;
    txn.put_record(open_shelf().named(incident.id.as_bytes()), &pointer)
}

/// Where policies and the trail speak of an incident.
pub(crate) fn path_of(id: &str) -> String {
    format!("sys/incidents/{id}")
}

impl Incidents {
    pub(crate) fn new(records: Arc<Records>, trail: Arc<Trail>, mounts: Arc<Mounts>, events: Arc<Hub>) -> Self {
        Self { records, trail, mounts, events, keeping: tokio::sync::Mutex::default() }
    }

    /// All incidents of which the caller may know, the latest first, whole.
    pub(super) async fn list(&self, grant: &Grant) -> Result<Vec<Incident>, CoreError> {
        let listed = self.records.scan_all::<Incident>(&shelf()).await?.into_iter().map(|listed| listed.value);
        let mut known: Vec<Incident> = listed.filter(|incident| may_know(grant, incident)).collect();
        known.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(known)
    }

    /// One incident, whole. `NotFound` also when the caller may not know of it.
    pub(crate) async fn read(&self, grant: &Grant, id: &str) -> Result<Incident, CoreError> {
        let found = self.find(id).await?.filter(|incident| may_know(grant, incident));
        found.ok_or_else(|| CoreError::NotFound("there is no such incident, or you may not know of it".to_owned()))
    }

    pub(crate) async fn find(&self, id: &str) -> Result<Option<Incident>, CoreError> {
        Ok(self.records.get::<Incident>(&at(id)).await?.map(|found| found.value.clone()))
    }

    /// Records an incident that begins; durable when it returns.
    pub(crate) async fn open(&self, incident: &Incident) -> Result<(), CoreError> {
        self.records.commit(opening(Txn::new(), incident)?).await.map(|_| ())
    }

    /// The ids of all, and whether they are lifted.
    pub(super) async fn all(&self) -> Result<Vec<(String, bool)>, CoreError> {
        let listed = self.records.scan_all::<Incident>(&shelf()).await?;
        Ok(listed.into_iter().map(|listed| (listed.value.id, listed.value.lifted.is_some())).collect())
    }

    /// Those that are not finished, in the order in which they began.
    pub(crate) async fn unfinished(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.records.scan_all::<Pointer>(&open_shelf()).await?;
        let mut ids: Vec<String> = listed.into_iter().map(|listed| listed.value.id).collect();
        ids.sort();
        Ok(ids)
    }

    /// Those that are not lifted, but for this one.
    pub(crate) async fn standing_beside(&self, id: &str) -> Result<Vec<Incident>, CoreError> {
        let listed = self.records.scan_all::<Incident>(&shelf()).await?.into_iter().map(|listed| listed.value);
        Ok(listed.filter(|incident| incident.lifted.is_none() && incident.id != id).collect())
    }

    /// Changes a record; the change runs again when somebody else changed it first. Gives what was made of it.
    pub(crate) async fn amend(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Incident) + Send,
    ) -> Result<Incident, CoreError> {
        loop {
            let Some(found) = self.records.get::<Incident>(&at(id)).await? else { return Err(CoreError::Nothing) };
            let mut incident = found.value.clone();
            change(&mut incident);
            let mut txn = Txn::new().expect(at(id), found.rev).put_record(at(id), &incident)?;
            if incident.finished.is_some() {
                txn = txn.delete(open_shelf().named(id.as_bytes()));
            }
            match self.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(incident),
            }
        }
    }

    /// Tells who waits, and the trail where `lasting`.
    pub(crate) async fn note(&self, incident: &Incident, what: &str, lasting: bool) -> Result<(), CoreError> {
        let path = path_of(&incident.id);
        if lasting {
            let target = format!("{} {}", incident.target.kind(), incident.target.text());
            self.trail.append(Entry::event("incident", path.clone(), format!("{target}: {what}"))).await?;
        }
        let note = Note::new(EventKind::Incident, path);
        self.events.tell(Note {
            about: Some(incident.target.paths()),
            incident: Some(incident.id.clone()),
            detail: Some(what.to_owned()),
            ..note
        });
        Ok(())
    }
}

/// Whether a caller may know of an incident: who has `sudo` on its path of all, others of those about what they may see.
pub(super) fn may_know(grant: &Grant, incident: &Incident) -> bool {
    grant.has_sudo() || grant.acl().is_some_and(|acl| incident.target.paths().iter().any(|path| shows(acl, path)))
}
