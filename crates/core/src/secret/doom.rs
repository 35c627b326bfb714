//! Giving a secret up with a time to think again: it is marked, refuses to be read through any dialect, and is shredded
//! when its day comes, unless somebody restores it before.

use super::head::Head;
use super::particular::{Deletion, Sighting};
use super::staged::alive;
use super::store::{Secrets, TRIES};
use crate::mount::Mount;
use crate::records::PutRecord;
use crate::{CoreError, Grant, SecretAct};
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{MountId, NamespaceId, SecretId, SecretPath, Timestamp, Ttl};

/// A secret that waits for its day.
#[derive(Clone, Serialize, Deserialize)]
struct Doomed {
    mount: MountId,
    path: SecretPath,
    secret: SecretId,
}

/// Marked secrets in the order of their days.
fn shelf() -> Shelf {
    Shelf::new("secret-doom", NamespaceId::ROOT)
}

/// The place of a marked secret in that order.
pub(super) fn doom_at(secret: SecretId, due: Timestamp) -> Address {
    shelf().ordered(due.nanos(), secret.as_bytes())
}

impl Secrets {
    /// Marks a secret to be shredded after that time.
    pub async fn mark(&self, grant: &Grant, window: Ttl) -> Result<Sighting, CoreError> {
        let (mount, path) = grant.secret(SecretAct::DeleteAll)?;
        let now = self.clock.now();
        let deletion = Deletion { marked: now, due: now.plus(window.0) };
        self.set_deletion(mount, path, Some(deletion)).await
    }

    /// Takes the mark away. Nothing happens when there is none.
    pub async fn restore(&self, grant: &Grant) -> Result<Sighting, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Undelete)?;
        self.set_deletion(mount, path, None).await
    }

    async fn set_deletion(
        &self,
        mount: &Mount,
        path: &SecretPath,
        deletion: Option<Deletion>,
    ) -> Result<Sighting, CoreError> {
        let _turn = self.turns.secret(mount.id, path).await;
        for _ in 0..TRIES {
            let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
            let mut head = Head::clone(&found.head.value);
            let mut txn = Txn::new();
            match (head.meta.particulars().deletion, deletion) {
                (None, None) => return Ok(Sighting { id: head.id, meta: head.meta }),
                (Some(_), Some(_)) => alive(&head.meta)?,
                (Some(old), None) => txn = txn.delete(doom_at(head.id, old.due)),
                (None, Some(new)) => {
                    let doomed = Doomed { mount: mount.id, path: path.clone(), secret: head.id };
                    txn = txn.put_record(doom_at(head.id, new.due), &doomed)?;
                }
            }
            head.meta.particulars_mut().deletion = deletion;
            match self.replace(mount, path, &found, &head, txn, &[]).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(()) => return Ok(Sighting { id: head.id, meta: head.meta }),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Shreds the secrets whose day has come. For housekeeping; safe to be cut off anywhere.
    pub(crate) async fn purge_due(&self) -> Result<(), CoreError> {
        loop {
            let now = self.clock.now();
            let page = self.records.scan::<Doomed>(&shelf(), None, 32).await?;
            let due: Vec<_> = page.into_iter().take_while(|one| one.number <= now.nanos()).collect();
            if due.is_empty() {
                return Ok(());
            }
            for one in due {
                self.purge(&one.value, now).await?;
                self.records.commit(Txn::new().delete(shelf().ordered(one.number, &one.name))).await?;
            }
        }
    }

    async fn purge(&self, doomed: &Doomed, now: Timestamp) -> Result<(), CoreError> {
        let at = super::place::mount_at(doomed.mount);
        let Some(mount) = self.records.get::<Mount>(&at).await? else { return Ok(()) };
        let (mount, path) = (&mount.value, &doomed.path);
        let _turn = self.turns.secret(mount.id, path).await;
        let _alone = self.turns.remove_names(mount.id).await;
        for _ in 0..TRIES {
            let Some(found) = self.find(mount, path).await? else { return Ok(()) };
            let head = &found.head.value;
            let is_due = head.meta.particulars().deletion.is_some_and(|deletion| deletion.due <= now);
            if head.id != doomed.secret || !is_due {
                return Ok(());
            }
            match self.delete_found(mount, path, &found).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }
}
