use super::hold::Held;
use super::record::Incident;
use crate::access_key::AccessKeyId;
use crate::emergency::Target;
use crate::event::{EventKind, Hub, Note, shows};
use crate::identity::Identity;
use crate::mount::Mounts;
use crate::records::{PutRecord, Records};
use crate::webhook::{Notice, Severity, Topic, Webhooks};
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
    pub(super) identity: Arc<Identity>,
    events: Arc<Hub>,
    webhooks: Arc<Webhooks>,
    /// Held by who keeps what the trail tells.
    pub(super) keeping: tokio::sync::Mutex<()>,
}

/// Keys held or let go of in one commit: a store takes a hundred changes at once.
const KEYS_AT_ONCE: usize = 32;

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
    let txn = txn.put_record(open_shelf().named(incident.id.as_bytes()), &pointer)?;
    match &incident.target {
        Target::Principal { entity, .. } => Held::Entity(*entity).hold(txn, &incident.id),
        Target::AccessKey { key, .. } => Held::Key(key).hold(txn, &incident.id),
        _ => Ok(txn),
    }
}

/// Where policies and the trail speak of an incident.
pub(crate) fn path_of(id: &str) -> String {
    format!("sys/incidents/{id}")
}

impl Incidents {
    pub(crate) fn new(
        records: Arc<Records>,
        trail: Arc<Trail>,
        (mounts, identity): (Arc<Mounts>, Arc<Identity>),
        events: Arc<Hub>,
        webhooks: Arc<Webhooks>,
    ) -> Self {
        Self { records, trail, mounts, identity, events, webhooks, keeping: tokio::sync::Mutex::default() }
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

    /// Notes, before it is done, that an incident puts these keys out of use and holds them.
    pub(crate) async fn hold_keys(&self, id: &str, keys: &[AccessKeyId]) -> Result<(), CoreError> {
        for some in keys.chunks(KEYS_AT_ONCE) {
            let txn = some.iter().try_fold(Txn::new(), |txn, key| Held::Key(key).hold(txn, id))?;
            self.records.commit(txn).await?;
        }
        Ok(())
    }

    /// Lets go of everything that an incident held.
    pub(crate) async fn release(&self, incident: &Incident) -> Result<(), CoreError> {
        let mut keys: Vec<&AccessKeyId> = incident.keys().collect();
        let mut txn = Txn::new();
        match &incident.target {
            Target::Principal { entity, .. } => txn = Held::Entity(*entity).release(txn, &incident.id),
            Target::AccessKey { key, .. } => keys.push(key),
            _ => {}
        }
        for some in keys.chunks(KEYS_AT_ONCE) {
            txn = some.iter().fold(txn, |txn, key| Held::Key(key).release(txn, &incident.id));
            self.records.commit(std::mem::take(&mut txn)).await?;
        }
        if txn.is_empty() { Ok(()) } else { self.records.commit(txn).await.map(|_| ()) }
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

    /// Tells the places that want to hear of incidents. What is done about a leak does not depend on it.
    pub(crate) async fn tell(&self, incident: &Incident, event: &'static str, severity: Severity, what: &str) {
        let target = format!("{} {}", incident.target.kind(), incident.target.text());
        let notice = Notice::new(Topic::Incident, event, severity, format!("{target}: {what}"));
        let notice = notice.at(path_of(&incident.id)).with("incident", &*incident.id).with("target", target);
        if let Err(error) = self.webhooks.tell(notice).await {
            tracing::warn!(incident = incident.id, %error, "an incident could not be told to webhooks");
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
