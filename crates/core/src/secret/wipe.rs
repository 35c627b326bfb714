//! Removing much: all secrets of a mount, all values of a secret with many versions.
//!
//! Everything here goes in small transactions and can be run again after a crash: what leads to a record is removed
//! after it, and a secret that was cut off from its name first is noted as debris in the same transaction.

use super::head::Head;
use super::place::{Name, SharedHead, config_at, debris, head_at, name_at, names, subfolder, versions};
use super::store::Secrets;
use crate::CoreError;
use crate::mount::Mount;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{FolderPath, MountId, SecretId, SecretPath, VersionNumber};

/// Most records of values removed by one transaction. With head, names and markers it stays within what every storage
/// engine takes.
pub(super) const BATCH: usize = 24;

/// Names looked at in one go.
const PAGE: usize = 256;

/// A secret whose records hold values that its head no longer knows.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Debris {
    mount: MountId,
    secret: SecretId,
    /// What it was called then; where its head is, if it is not apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<SecretPath>,
}

impl Secrets {
    /// Wipes every secret of a removed mount. Repeatable after a crash; while it runs, nobody can add to the mount,
    /// because its record is gone.
    pub(crate) async fn wipe(&self, mount: &Mount) -> Result<(), CoreError> {
        self.resume().await?;
        let _alone = self.turns.remove_names(mount.id).await;
        let mut removal = Removal { secrets: self, addresses: Vec::new() };
        let mut path = vec![Walk::into(mount.id, &FolderPath::root(), None)];
        while let Some(walk) = path.last_mut() {
            if let Some((folder, marker)) = walk.inner.pop() {
                path.push(Walk::into(mount.id, &folder, Some(marker)));
                continue;
            }
            if self.wipe_page(mount.id, walk, &mut removal).await? {
                if let Some(marker) = walk.marker.take() {
                    removal.add(marker).await?;
                }
                path.pop();
            }
        }
        removal.add(config_at(mount.id)).await?;
        removal.flush().await?;
        self.turns.forget(mount.id);
        Ok(())
    }

    /// Finishes removals that a crash cut short. One look at an empty shelf when there are none.
    pub(crate) async fn resume(&self) -> Result<(), CoreError> {
        loop {
            let left = self.records.scan::<Debris>(&debris(), None, PAGE).await?;
            if left.is_empty() {
                return Ok(());
            }
            for listed in left {
                self.sweep(listed.value.secret).await?;
            }
        }
    }

    /// Removes values that a head no longer knows; a failure is only logged, because the change itself is made and
    /// [`Secrets::resume`] tries again.
    pub(super) async fn sweep_soon(&self, secret: SecretId) {
        if let Err(error) = self.sweep(secret).await {
            tracing::warn!(%error, "old versions of a secret could not be removed yet; it is tried again later");
        }
    }

    async fn sweep(&self, secret: SecretId) -> Result<(), CoreError> {
        let at = debris().named(secret.as_bytes());
        let Some(note) = self.records.get::<Debris>(&at).await? else { return Ok(()) };
        let shelf = versions(secret);
        let mut after: Option<Address> = None;
        loop {
            let records = self.records.barrier().scan(&shelf, after.as_ref(), BATCH).await?;
            let Some(last) = records.last() else { break };
            after = Some(shelf.ordered(last.number, &last.name));
            // Read after the values: a value that the head did not know when it was found will never be known again.
            let head = self.head_of(&note.value).await?;
            let known = |number: u64| {
                let number = VersionNumber::new(number)?;
                head.as_ref()?.meta.versions.get(&number).filter(|version| !version.destroyed)
            };
            let unknown = records.iter().filter(|record| known(record.number).is_none());
            let txn = unknown.fold(Txn::new(), |txn, record| txn.delete(shelf.ordered(record.number, &record.name)));
            if !txn.is_empty() {
                self.records.commit(txn).await?;
            }
        }
        // Somebody may have left new debris meanwhile: then the note has another revision and stays.
        match self.records.commit(Txn::new().expect(at.clone(), note.rev).delete(at)).await {
            Err(CoreError::Conflict) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Wipes the secrets of the next page of a folder and notes its subfolders; whether that was the last page.
    async fn wipe_page(&self, mount: MountId, walk: &mut Walk, removal: &mut Removal<'_>) -> Result<bool, CoreError> {
        let page = self.records.scan::<Name>(&walk.shelf, walk.after.as_ref(), PAGE).await?;
        for listed in &page {
            let at = walk.shelf.named(&listed.name);
            match &listed.value {
                Name::Folder => walk.inner.push((subfolder(&walk.folder, &listed.text())?, at)),
                Name::Here(head) => {
                    self.wipe_values(head.0.id, removal).await?;
                    removal.add(at).await?;
                }
                Name::Secret(secret) => {
                    self.wipe_values(*secret, removal).await?;
                    removal.add(head_at(mount, *secret)).await?;
                    removal.add(at).await?;
                }
            }
        }
        walk.after = page.last().map(|last| walk.shelf.named(&last.name)).or(walk.after.take());
        Ok(page.is_empty())
    }

    /// The head of a secret that left debris; `None` when the secret is gone, also when another took its name.
    async fn head_of(&self, note: &Debris) -> Result<Option<Arc<Head>>, CoreError> {
        if let Some(path) = &note.path
            && let Some(named) = self.records.get::<Name>(&name_at(note.mount, path)).await?
            && let Name::Here(head) = &named.value
            && head.0.id == note.secret
        {
            return Ok(Some(Arc::clone(&head.0)));
        }
        let apart = self.records.get::<SharedHead>(&head_at(note.mount, note.secret)).await?;
        Ok(apart.map(|head| Arc::clone(&head.value.0)))
    }

    async fn wipe_values(&self, secret: SecretId, removal: &mut Removal<'_>) -> Result<(), CoreError> {
        let shelf = versions(secret);
        let mut after: Option<Address> = None;
        loop {
            let records = self.records.barrier().scan(&shelf, after.as_ref(), BATCH).await?;
            for record in &records {
                removal.add(shelf.ordered(record.number, &record.name)).await?;
            }
            match records.last() {
                Some(last) if records.len() == BATCH => after = Some(shelf.ordered(last.number, &last.name)),
                _ => return Ok(()),
            }
        }
    }
}

impl Debris {
    /// The note for a secret of that name.
    pub(super) fn of(mount: MountId, path: &SecretPath, secret: SecretId) -> Self {
        Self { mount, secret, path: Some(path.clone()) }
    }
}

/// A folder that is being wiped.
struct Walk {
    folder: FolderPath,
    shelf: Shelf,
    /// How far the names have been looked at.
    after: Option<Address>,
    /// Folders found in it, still to be wiped, with their markers.
    inner: Vec<(FolderPath, Address)>,
    /// The name of this folder in the one above; goes last.
    marker: Option<Address>,
}

impl Walk {
    fn into(mount: MountId, folder: &FolderPath, marker: Option<Address>) -> Self {
        Self { shelf: names(mount, folder), folder: folder.clone(), after: None, inner: Vec::new(), marker }
    }
}

/// Records to be removed, in order, a batch at a time.
struct Removal<'a> {
    secrets: &'a Secrets,
    addresses: Vec<Address>,
}

impl Removal<'_> {
    async fn add(&mut self, at: Address) -> Result<(), CoreError> {
        self.addresses.push(at);
        if self.addresses.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), CoreError> {
        let txn = self.addresses.drain(..).fold(Txn::new(), Txn::delete);
        if !txn.is_empty() {
            self.secrets.records.commit(txn).await?;
        }
        Ok(())
    }
}
