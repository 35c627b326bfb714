use super::config::KvConfig;
use super::head::{Head, SecretMetadata};
use super::place::{NewName, debris, head_at, in_name, version_at};
use super::store::{Found, Secrets, TRIES};
use super::wipe::{BATCH, Debris};
use crate::CoreError;
use crate::mount::Mount;
use crate::records::PutRecord;
use strongroom_barrier::Txn;
use strongroom_model::{SecretPath, VersionNumber};

/// What a change of a secret's metadata came to.
pub(super) enum Changed {
    /// Nothing; nothing is stored.
    Nothing,
    /// Something; the values of these versions go in the same transaction.
    Shred(Vec<VersionNumber>),
}

impl Secrets {
    /// Changes the metadata of a secret that is there; the function runs again when somebody else was quicker.
    /// `None` when there is no such secret.
    pub(super) async fn change(
        &self,
        mount: &Mount,
        path: &SecretPath,
        mut change: impl FnMut(&mut SecretMetadata, &KvConfig) -> Result<Changed, CoreError> + Send,
    ) -> Result<Option<SecretMetadata>, CoreError> {
        let _turn = self.turns.secret(mount.id, path).await;
        for _ in 0..TRIES {
            let config = self.config_of(mount).await?;
            let Some(found) = self.find(mount, path).await? else { return Ok(None) };
            let mut head = Head::clone(&found.head.value);
            let shred = match change(&mut head.meta, &config)? {
                Changed::Nothing => return Ok(Some(head.meta)),
                Changed::Shred(versions) => versions,
            };
            match self.replace(mount, path, &found, &head, Txn::new(), &shred).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(()) => return Ok(Some(head.meta)),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Stores a changed head over the one that was read, with whatever else is in the transaction, and removes values.
    /// What is too much for one transaction is noted in it, and removed after it.
    pub(super) async fn replace(
        &self,
        mount: &Mount,
        path: &SecretPath,
        found: &Found,
        head: &Head,
        txn: Txn,
        shred: &[VersionNumber],
    ) -> Result<(), CoreError> {
        let kept = head.without(shred);
        let name = || found.name.clone();
        let mut txn = match &found.head.apart {
            Some((at, rev)) => txn.expect(at.clone(), *rev).put_record(at.clone(), &*kept)?,
            None => match in_name(&kept)? {
                Some(record) => txn.expect(name(), found.name_rev).put(name(), record),
                None => {
                    let txn = txn.expect(name(), found.name_rev).put_record(name(), &NewName::Secret(head.id))?;
                    txn.put_record(head_at(mount.id, head.id), &*kept)?
                }
            },
        };
        let rest = shred.len() > BATCH;
        if rest {
            txn = txn.put_record(debris().named(head.id.as_bytes()), &Debris::of(mount.id, path, head.id))?;
        } else {
            for number in shred {
                txn = txn.delete(version_at(head.id, *number));
            }
        }
        self.records.commit(txn).await?;
        let before = &found.head.value.meta;
        self.events.tell_secret(mount, path, Some(before), Some(&head.meta), self.clock.now());
        if rest {
            self.sweep_soon(head.id).await;
        }
        Ok(())
    }
}
