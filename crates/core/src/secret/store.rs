use super::head::Head;
use super::inline::Inline;
use super::place::{Name, SharedHead, head_at, mount_at, name_at};
use super::turn::Turns;
use super::walk::Listings;
use crate::event::Hub;
use crate::mount::Mount;
use crate::records::Records;
use crate::{CoreError, SecretAct, boxed};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use strongroom_barrier::{Address, SealedValue, ValueBinding};
use strongroom_model::{Clock, Entropy, MountId, NamespaceId, SecretBytes, SecretId, SecretPath, VersionNumber};
use strongroom_storage::Revision;

/// Reads and writes versioned secrets. Every verb takes a `Grant` for exactly that act on exactly that secret.
pub struct Secrets {
    pub(super) records: Arc<Records>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) turns: Turns,
    /// Who waits for changes is told here, once they are durable.
    pub(super) events: Arc<Hub>,
    /// Secrets read today that do not say so yet, with the day.
    pub(super) reads: Mutex<Reads>,
    /// Lists whose next pages are likely to be asked for.
    pub(super) listings: Listings,
}

/// Which secrets were read on which day, with their mounts.
pub(super) type Reads = HashMap<(MountId, SecretPath), (Arc<Mount>, u64)>;

/// How often a change is tried again when somebody else changed the same records. Turns make this rare.
pub(super) const TRIES: usize = 32;

/// A secret that is there, as it was read.
pub(crate) struct Found {
    pub(super) name: Address,
    pub(super) name_rev: Revision,
    pub(super) head: FoundHead,
}

/// The head of a secret that is there.
pub(super) struct FoundHead {
    /// Where it is kept, when that is not in the record of the name.
    pub(super) apart: Option<(Address, Revision)>,
    pub(super) value: Arc<Head>,
}

impl Secrets {
    pub(crate) fn new(
        records: Arc<Records>,
        events: Arc<Hub>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            records,
            clock,
            entropy,
            turns: Turns::new(),
            events,
            reads: Mutex::default(),
            listings: Listings::default(),
        }
    }

    /// Whether what a write would touch is there, so that policy can tell create from update. Deleting, restoring and
    /// shredding versions is an update even where there is nothing, as in Vault.
    pub(crate) async fn exists(&self, mount: &Mount, path: &SecretPath, act: SecretAct) -> Result<bool, CoreError> {
        match act {
            SecretAct::DeleteVersions | SecretAct::Undelete | SecretAct::Destroy => Ok(true),
            SecretAct::Write => Ok(self.find_to_write(mount, path).await?.is_some()),
            _ => Ok(self.find(mount, path).await?.is_some()),
        }
    }

    /// As [`Secrets::find`], for who writes there next: most such names are new, and that takes no look into the store.
    pub(super) async fn find_to_write(&self, mount: &Mount, path: &SecretPath) -> Result<Option<Found>, CoreError> {
        match self.records.is_kept(&name_at(mount.id, path)).await? {
            true => self.find(mount, path).await,
            false => Ok(None),
        }
    }

    /// The secret with that name, if there is one.
    pub(super) async fn find(&self, mount: &Mount, path: &SecretPath) -> Result<Option<Found>, CoreError> {
        let name = name_at(mount.id, path);
        let Some(named) = self.records.get_again::<Name>(&name).await? else { return Ok(None) };
        let head = match &named.value {
            Name::Folder => return Ok(None),
            Name::Here(head) => FoundHead { apart: None, value: Arc::clone(&head.0) },
            Name::Secret(id) => {
                let at = head_at(mount.id, *id);
                let Some(head) = self.records.get::<SharedHead>(&at).await? else { return Ok(None) };
                FoundHead { apart: Some((at, head.rev)), value: Arc::clone(&head.value.0) }
            }
        };
        Ok(Some(Found { name, name_rev: named.rev, head }))
    }

    /// An error if the mount has been removed while the request was under way.
    pub(super) async fn still_mounted(&self, mount: &Mount) -> Result<(), CoreError> {
        match self.records.get::<Mount>(&mount_at(mount.id)).await? {
            Some(_) => Ok(()),
            None => Err(CoreError::NotFound("the mount was removed while the request was under way".to_owned())),
        }
    }

    /// Seals a value as one version of a secret; as nothing else can it be opened.
    pub(super) async fn seal(
        &self,
        mount: &Mount,
        head: &Head,
        number: VersionNumber,
        plain: &[u8],
    ) -> Result<SealedValue, CoreError> {
        Ok(self.records.barrier().seal_value(&head.key, binding(mount, head.id, number), plain).await?)
    }

    /// Opens the value that lies in the head; from the second time on without deriving its keys.
    pub(super) async fn open_inline(
        &self,
        mount: &Mount,
        head: &Head,
        number: VersionNumber,
        inline: &Inline,
    ) -> Result<SecretBytes, CoreError> {
        let barrier = self.records.barrier();
        let opener = match inline.opener.get() {
            Some(opener) => opener,
            None => {
                // Boxed: it is done once, and each read would carry room for it.
                let binding = binding(mount, head.id, number);
                let opener = boxed(|| barrier.value_opener(&head.key, binding, &inline.value)).await?;
                inline.opener.get_or_init(|| opener)
            }
        };
        Ok(barrier.open_value_with(opener, &inline.value)?)
    }

    /// Opens a version's value.
    pub(super) async fn open(
        &self,
        mount: &Mount,
        head: &Head,
        number: VersionNumber,
        sealed: &SealedValue,
    ) -> Result<SecretBytes, CoreError> {
        Ok(self.records.barrier().open_value(&head.key, binding(mount, head.id, number), sealed).await?)
    }
}

pub(super) fn binding(mount: &Mount, secret: SecretId, number: VersionNumber) -> ValueBinding {
    ValueBinding { namespace: NamespaceId::ROOT, mount: mount.id, secret, version: number }
}
