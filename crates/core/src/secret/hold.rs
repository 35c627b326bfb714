//! Which versions emergencies hold out of use. A hidden version is shown again by whoever may; one that an incident hid is
//! not, until that is lifted. Does not hide anything itself.

use super::store::Secrets;
use crate::CoreError;
use crate::mount::Mount;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{NamespaceId, SecretPath, Timestamp, VersionNumber};

/// One incident's hold on one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// The incident that is lifted to end it.
    pub(crate) incident: String,
    pub(crate) version: VersionNumber,
    /// The moment from which the version is hidden: it tells a later version of the same number apart.
    pub(crate) since: Timestamp,
}

fn shelf(mount: &Mount, path: &SecretPath) -> Shelf {
    Shelf::new("secret-hold", NamespaceId::ROOT).counted().within(mount.id.as_bytes()).within(path.as_str())
}

impl Secrets {
    /// Notes that an incident holds a version that is hidden now. Repeatable.
    pub(crate) async fn hold(
        &self,
        mount: &Mount,
        path: &SecretPath,
        version: VersionNumber,
        incident: &str,
    ) -> Result<(), CoreError> {
        let meta = self.known(mount, path).await?;
        let since = meta.and_then(|meta| meta.versions.get(&version).and_then(|version| version.deletion));
        let Some(since) = since else { return Ok(()) };
        let hold = Hold { incident: incident.to_owned(), version, since };
        let txn = Txn::new().put_record(shelf(mount, path).named(incident.as_bytes()), &hold)?;
        self.records.commit(txn).await.map(|_| ())
    }

    /// Ends the hold of an incident. Nothing happens when there is none.
    pub(crate) async fn release(&self, mount: &Mount, path: &SecretPath, incident: &str) -> Result<(), CoreError> {
        self.records.commit(Txn::new().delete(shelf(mount, path).named(incident.as_bytes()))).await.map(|_| ())
    }

    /// What is held of a secret.
    pub(crate) async fn holds(&self, mount: &Mount, path: &SecretPath) -> Result<Vec<Hold>, CoreError> {
        let listed = self.records.scan_all::<Hold>(&shelf(mount, path)).await?;
        Ok(listed.into_iter().map(|listed| listed.value).collect())
    }
}
