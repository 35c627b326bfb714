//! Secrets that end by themselves at a moment that their writer set: from then on they read as absent through every
//! dialect, and housekeeping shreds them. The order of ends is noted before the secret is written, so that a crash
//! between the two leaves a note too many and never one too few.

use super::head::SecretMetadata;
use super::store::{Secrets, TRIES};
use crate::mount::Mount;
use crate::records::PutRecord;
use crate::{CoreError, Grant, SecretAct};
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{MountId, NamespaceId, SecretId, SecretPath, Timestamp};

/// A secret that ends at a moment, unless it was written anew since.
#[derive(Clone, Serialize, Deserialize)]
struct Ending {
    mount: MountId,
    path: SecretPath,
}

/// Ends, in their order.
fn shelf() -> Shelf {
    Shelf::new("secret-end", NamespaceId::ROOT)
}

impl SecretMetadata {
    /// Whether the secret's day has come.
    pub fn is_past(&self, now: Timestamp) -> bool {
        self.more.as_ref().and_then(|more| more.expires).is_some_and(|expires| expires <= now)
    }
}

impl Secrets {
    /// Notes that the granted secret is to end then. The write that says so follows.
    pub async fn note_end(&self, grant: &Grant, at: Timestamp) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let ending = Ending { mount: mount.id, path: path.clone() };
        // Any number keeps notes of one moment apart.
        let apart = SecretId::random(&*self.entropy);
        let txn = Txn::new().put_record(shelf().ordered(at.nanos(), apart.as_bytes()), &ending)?;
        self.records.commit(txn).await?;
        Ok(())
    }

    /// Notes of ends after one moment up to another, in their order. What a note says may have changed since.
    pub(crate) async fn ends_between(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MountId, SecretPath)>, CoreError> {
        // Names within one moment have no order that callers know, so those of the first moment may come again.
        let place = shelf().ordered(after.nanos(), []);
        let page = self.records.scan::<Ending>(&shelf(), Some(&place), limit).await?;
        let near = page.into_iter().filter(|one| one.number > after.nanos() && one.number <= until.nanos());
        Ok(near.map(|one| (Timestamp::from_nanos(one.number), one.value.mount, one.value.path)).collect())
    }

    /// Whether the secret is still to end at that moment.
    pub(crate) async fn ends_at(&self, mount: &Mount, path: &SecretPath, at: Timestamp) -> Result<bool, CoreError> {
        let found = self.find(mount, path).await?;
        let more = found.as_ref().and_then(|found| found.head.value.meta.more.as_ref());
        Ok(more.and_then(|more| more.expires) == Some(at))
    }

    /// Makes room for a secret under the name of one whose day has come.
    pub async fn clear_past(&self, grant: &Grant) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let (found, now) = (self.find(mount, path).await?, self.clock.now());
        match found.is_some_and(|found| found.head.value.meta.is_past(now)) {
            true => self.shred_past(mount, path, now).await,
            false => Ok(()),
        }
    }

    /// Shreds the secrets whose day has come. For housekeeping; safe to be cut off anywhere.
    pub(crate) async fn end_due(&self) -> Result<(), CoreError> {
        loop {
            let now = self.clock.now();
            let page = self.records.scan::<Ending>(&shelf(), None, 32).await?;
            let due: Vec<_> = page.into_iter().take_while(|one| one.number <= now.nanos()).collect();
            if due.is_empty() {
                return Ok(());
            }
            for one in due {
                let mount = self.records.get::<Mount>(&super::place::mount_at(one.value.mount)).await?;
                if let Some(mount) = mount {
                    self.shred_past(&mount.value, &one.value.path, now).await?;
                }
                self.records.commit(Txn::new().delete(shelf().ordered(one.number, &one.name))).await?;
            }
        }
    }

    async fn shred_past(&self, mount: &Mount, path: &SecretPath, now: Timestamp) -> Result<(), CoreError> {
        let _turn = self.turns.secret(mount.id, path).await;
        let _alone = self.turns.remove_names(mount.id).await;
        for _ in 0..TRIES {
            let Some(found) = self.find(mount, path).await? else { return Ok(()) };
            if !found.head.value.meta.is_past(now) {
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
