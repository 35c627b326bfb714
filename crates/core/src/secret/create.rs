use super::config::KvConfig;
use super::head::{Head, SecretMetadata};
use super::place::{Name, NewName, folders_above, head_at, in_name, mount_at, name_at};
use super::store::{Secrets, binding};
use crate::CoreError;
use crate::mount::Mount;
use crate::records::PutRecord;
use strongroom_barrier::Txn;
use strongroom_model::{NamespaceId, SecretId, SecretPath, Stage, VersionNumber};

impl Secrets {
    /// A head for a secret that is about to be made. Nothing is stored.
    pub(super) async fn blank(&self) -> Result<Head, CoreError> {
        let id = SecretId::random(&*self.entropy);
        let key = self.records.barrier().new_secret_key(NamespaceId::ROOT, id).await?;
        Ok(Head::new(id, key, SecretMetadata::blank(self.clock.now())))
    }

    /// Makes a secret with its first version.
    pub(super) async fn create_with(
        &self,
        mount: &Mount,
        path: &SecretPath,
        config: &KvConfig,
        plain: &[u8],
        stage: Stage,
    ) -> Result<(Head, VersionNumber), CoreError> {
        let (id, now) = (SecretId::random(&*self.entropy), self.clock.now());
        let mut meta = SecretMetadata::blank(now);
        let (number, _) = meta.add(stage, now, config);
        let (key, sealed) = self.records.barrier().first_value(binding(mount, id, number), plain).await?;
        let mut head = Head::new(id, key, meta);
        let txn = head.keep(Txn::new(), number, sealed);
        self.insert(mount, path, &head, txn).await?;
        Ok((head, number))
    }

    /// Stores a new secret with the names that lead to it, and whatever else is in the transaction. `Conflict` when the
    /// name is taken by now.
    pub(super) async fn insert(
        &self,
        mount: &Mount,
        path: &SecretPath,
        head: &Head,
        txn: Txn,
    ) -> Result<(), CoreError> {
        let _turn = self.turns.add_names(mount.id).await;
        let name = name_at(mount.id, path);
        let mut txn = txn.expect_present(mount_at(mount.id)).expect_absent(name.clone());
        for (_, marker) in folders_above(mount.id, path) {
            txn = match self.records.get::<Name>(&marker).await? {
                Some(_) => txn.expect_present(marker),
                None => txn.expect_absent(marker.clone()).put_record(marker, &NewName::Folder)?,
            };
        }
        txn = match in_name(head)? {
            Some(record) => txn.put(name, record),
            None => txn.put_record(name, &NewName::Secret(head.id))?.put_record(head_at(mount.id, head.id), head)?,
        };
        match self.records.commit(txn).await {
            Err(CoreError::Conflict) => {
                self.still_mounted(mount).await?;
                Err(CoreError::Conflict)
            }
            Err(error) => Err(error),
            Ok(_) => {
                self.events.tell_secret(mount, path, None, Some(&head.meta), self.clock.now());
                Ok(())
            }
        }
    }
}
