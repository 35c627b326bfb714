use super::head::{Head, SecretMetadata, VersionInfo};
use super::inline::Inline;
use super::merge::outline;
use super::place::{Name, NameKind, head_at, names, version_at};
use super::staged::alive;
use super::store::{Found, Secrets};
use super::text::{Told, VersionText};
use super::value::SecretValue;
use crate::audit::Hidings;
use crate::mount::Mount;
use crate::records::decode;
use crate::{CoreError, Fields, Grant, SecretAct, boxed};
use std::sync::Arc;
use strongroom_audit::Missing;
use strongroom_barrier::{Address, SealedValue};
use strongroom_model::{SecretBytes, SecretPath, VersionNumber, VersionSelector};

/// One version that can be read.
pub struct SecretVersion<T = SecretValue> {
    /// What it holds, or as much of it as was asked for.
    pub value: T,
    /// What is known of it.
    pub info: VersionInfo,
    /// Where the trail's words about it are kept.
    pub words: Words,
}

/// The place for what the trail says of a version's value as an object, so that it is put into words once. Only with
/// versions whose sealed value is at hand.
#[derive(Clone, Default)]
pub struct Words(pub(crate) Option<Hidings>);

/// What a look at one version found.
pub enum Seen<T = SecretValue> {
    /// The version.
    Here(SecretVersion<T>),
    /// It was deleted or destroyed; this is what is left of it.
    Gone(VersionInfo),
}

impl Secrets {
    /// Reads one version. `Nothing` when there is no such secret or version.
    pub async fn read(&self, grant: &Grant, selector: &VersionSelector) -> Result<Seen, CoreError> {
        let (found, seen) = self.read_kept(grant, selector).await?;
        drop(found);
        decoded(seen)
    }

    /// Reads one version, as the text that is kept where it is an object. `metadata` says, as a JSON object in the words of
    /// Vault's dialect, what is known of it. `Nothing` when there is no such secret or version.
    pub async fn read_text(
        &self,
        grant: &Grant,
        selector: &VersionSelector,
        metadata: impl FnOnce(&VersionInfo) -> String,
    ) -> Result<Seen<Result<VersionText, SecretValue>>, CoreError> {
        let (found, seen) = self.read_kept(grant, selector).await?;
        let SecretVersion { value, info, words } = match seen {
            Seen::Gone(info) => return Ok(Seen::Gone(info)),
            Seen::Here(version) => version,
        };
        let value = match SecretValue::is_object(value.expose()) {
            false => Err(SecretValue::decode(&value)?),
            true => {
                // The version may have come from a later head than the one at hand: what is said of this head's is not said of it.
                let head = &found.head.value;
                let is_its = |inline: &&Inline| words.0.as_ref().is_some_and(|words| Arc::ptr_eq(words, &inline.words));
                let telling = head.inline(info.number).filter(is_its).map(|_| &head.telling);
                Ok(VersionText::of(value, Told::of(telling, || metadata(&info))))
            }
        };
        Ok(Seen::Here(SecretVersion { value, info, words }))
    }

    async fn read_kept(
        &self,
        grant: &Grant,
        selector: &VersionSelector,
    ) -> Result<(Found, Seen<SecretBytes>), CoreError> {
        let (mount, path) = grant.secret(SecretAct::Read)?;
        let found = self.find_for(grant, mount, path).await?;
        let seen = self.open_in(mount, &found, selector).await;
        if !matches!(seen, Ok(Seen::Here(_))) {
            grant.note_missing(found.head.value.meta.lacks(selector, self.clock.now()));
        }
        seen.map(|seen| (found, seen))
    }

    /// The secret that somebody asks for the value of. That there is none is noted for the trail.
    pub(super) async fn find_for(&self, grant: &Grant, mount: &Mount, path: &SecretPath) -> Result<Found, CoreError> {
        let found = match grant.take_found() {
            Some(found) => Some(found),
            None => self.find(mount, path).await?,
        };
        found.ok_or_else(|| {
            grant.note_missing(Missing::Secret);
            CoreError::Nothing
        })
    }

    /// Reads the names of a version's fields down to `depth` levels (0: all), with `null` for every value. A version
    /// that holds no object has no names.
    pub async fn subkeys(
        &self,
        grant: &Grant,
        selector: &VersionSelector,
        depth: u64,
    ) -> Result<Seen<Fields>, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Subkeys)?;
        Ok(match self.look(mount, path, selector).await? {
            Seen::Gone(info) => Seen::Gone(info),
            Seen::Here(SecretVersion { value, info, .. }) => {
                let value = value.into_object().map(|fields| outline(fields.map(), depth)).unwrap_or_default();
                Seen::Here(SecretVersion { value, info, words: Words::default() })
            }
        })
    }

    /// Reads what is known of a secret. `Nothing` when there is no such secret.
    pub async fn read_metadata(&self, grant: &Grant) -> Result<SecretMetadata, CoreError> {
        let (mount, path) = grant.secret(SecretAct::ReadMetadata)?;
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        Ok(found.head.value.meta.clone())
    }

    /// The names in a folder, sorted; those of folders end in a slash. Empty when there is no such folder.
    pub async fn list(&self, grant: &Grant) -> Result<Vec<String>, CoreError> {
        let (mount, folder) = grant.folder()?;
        let listed = self.records.scan_all::<NameKind>(&names(mount.id, folder)).await?;
        let mut names: Vec<String> = listed.iter().map(crate::records::Listed::text).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// One version of a secret, whoever asks.
    pub(super) async fn look(
        &self,
        mount: &Mount,
        path: &SecretPath,
        selector: &VersionSelector,
    ) -> Result<Seen, CoreError> {
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        self.look_in(mount, &found, selector).await
    }

    pub(super) async fn look_in(
        &self,
        mount: &Mount,
        found: &Found,
        selector: &VersionSelector,
    ) -> Result<Seen, CoreError> {
        decoded(self.open_in(mount, found, selector).await?)
    }

    /// One version, its value as it is kept.
    async fn open_in(
        &self,
        mount: &Mount,
        found: &Found,
        selector: &VersionSelector,
    ) -> Result<Seen<SecretBytes>, CoreError> {
        if let Some(seen) = self.try_look(mount, &found.head.value, selector).await? {
            return Ok(seen);
        }
        // Boxed: it is rare, and each read would carry room for it.
        boxed(|| self.open_past_cache(mount, found, selector)).await
    }

    /// As [`Secrets::open_in`], by the head as the store has it now: the one at hand may be older than the value's removal.
    /// If the latest one still promises the value, somebody else removed it.
    async fn open_past_cache(
        &self,
        mount: &Mount,
        found: &Found,
        selector: &VersionSelector,
    ) -> Result<Seen<SecretBytes>, CoreError> {
        let head = self.find_past_cache(mount, &found.name).await?.ok_or(CoreError::Nothing)?;
        self.try_look(mount, &head, selector).await?.ok_or(CoreError::Unreadable { kind: "secret-version" })
    }

    /// The head as the store has it now.
    async fn find_past_cache(&self, mount: &Mount, name: &Address) -> Result<Option<Head>, CoreError> {
        let barrier = self.records.barrier();
        let Some(record) = barrier.get(name).await? else { return Ok(None) };
        let id = match decode::<Name>("secret-name", &record.bytes)? {
            Name::Folder => return Ok(None),
            Name::Here(head) => return Ok(Some(Head::clone(&head.0))),
            Name::Secret(id) => id,
        };
        let record = barrier.get(&head_at(mount.id, id)).await?;
        record.map(|record| decode("secret-head", &record.bytes)).transpose()
    }

    /// `None` when the head promises a value that is not there.
    async fn try_look(
        &self,
        mount: &Mount,
        head: &Head,
        selector: &VersionSelector,
    ) -> Result<Option<Seen<SecretBytes>>, CoreError> {
        alive(&head.meta)?;
        let now = self.clock.now();
        if head.meta.is_past(now) {
            return Err(CoreError::Nothing);
        }
        let info = head.meta.select(selector).and_then(|number| head.meta.info(number)).ok_or(CoreError::Nothing)?;
        if info.version.is_gone(now) {
            return Ok(Some(Seen::Gone(info)));
        }
        let inline = head.inline(info.number);
        let words = Words(inline.map(|inline| Arc::clone(&inline.words)));
        let plain = match inline {
            Some(inline) => self.open_inline(mount, head, info.number, inline).await?,
            // Boxed: most values lie in their heads, and reading them would carry room for this.
            None => match boxed(|| self.open_apart(mount, head, info.number)).await? {
                Some(plain) => plain,
                None => return Ok(None),
            },
        };
        Ok(Some(Seen::Here(SecretVersion { value: plain, info, words })))
    }

    /// The value that has a record of its own, if it is there.
    async fn open_apart(
        &self,
        mount: &Mount,
        head: &Head,
        number: VersionNumber,
    ) -> Result<Option<SecretBytes>, CoreError> {
        let Some(record) = self.records.barrier().get(&version_at(head.id, number)).await? else { return Ok(None) };
        let sealed = SealedValue::from_bytes(record.bytes.expose().to_vec());
        self.open(mount, head, number, &sealed).await.map(Some)
    }
}

/// The same version with its value taken apart.
fn decoded(seen: Seen<SecretBytes>) -> Result<Seen, CoreError> {
    Ok(match seen {
        Seen::Gone(info) => Seen::Gone(info),
        Seen::Here(SecretVersion { value, info, words }) => {
            Seen::Here(SecretVersion { value: SecretValue::decode(&value)?, info, words })
        }
    })
}
