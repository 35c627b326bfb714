//! What changing a secret by rotation needs of it: a version in preparation that only the rotation writes, put in force
//! or thrown away as a whole.
//!
//! These verbs take no `Grant`: who may have a secret rotated was decided when the rotation was asked for, and it goes
//! on by itself. They refuse a secret that was deleted or replaced since.

use super::change::Changed;
use super::head::SecretMetadata;
use super::particular::{RotationSetting, VersionId};
use super::place::version_at;
use super::read::Seen;
use super::staged::{NewVersion, ParticularsChange, alive};
use super::store::{Found, Secrets, TRIES};
use super::value::SecretValue;
use crate::CoreError;
use crate::mount::Mount;
use strongroom_barrier::SealedValue;
use strongroom_model::{SecretId, SecretPath, Stage, VersionNumber, VersionSelector};

/// What is left of a secret that rotates.
pub(crate) enum Standing {
    /// It is there, with these versions.
    Here(Box<SecretMetadata>),
    /// It waits for its deletion.
    Marked,
    /// It is gone, or another one has its name.
    Gone,
}

impl Secrets {
    /// Whether the secret that rotates is still there.
    pub(crate) async fn standing(&self, mount: &Mount, path: &SecretPath, id: SecretId) -> Result<Standing, CoreError> {
        Ok(match self.find(mount, path).await? {
            Some(found) if found.head.value.id != id => Standing::Gone,
            Some(found) if found.head.value.meta.is_marked() => Standing::Marked,
            Some(found) => Standing::Here(Box::new(found.head.value.meta.clone())),
            None => Standing::Gone,
        })
    }

    /// The id of the secret with that name, with what is known of it.
    pub(crate) async fn identify(
        &self,
        mount: &Mount,
        path: &SecretPath,
    ) -> Result<(SecretId, SecretMetadata), CoreError> {
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        alive(&found.head.value.meta)?;
        Ok((found.head.value.id, found.head.value.meta.clone()))
    }

    /// The value of a version, if it can still be read.
    pub(crate) async fn peek(
        &self,
        mount: &Mount,
        path: &SecretPath,
        which: &VersionSelector,
    ) -> Result<Option<(VersionNumber, SecretValue)>, CoreError> {
        match self.look(mount, path, which).await {
            Ok(Seen::Here(seen)) => Ok(Some((seen.info.number, seen.value))),
            Ok(Seen::Gone(_)) | Err(CoreError::Nothing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Secrets::peek`], also of a version that is hidden: what others know is to be made worthless although nobody may
    /// read it any more.
    pub(crate) async fn peek_hidden(
        &self,
        mount: &Mount,
        path: &SecretPath,
        which: &VersionSelector,
    ) -> Result<Option<(VersionNumber, SecretValue)>, CoreError> {
        let Some(found) = self.find(mount, path).await? else { return Ok(None) };
        let head = &found.head.value;
        let info = head.meta.select(which).and_then(|number| head.meta.info(number));
        let Some(info) = info.filter(|info| !info.version.destroyed) else { return Ok(None) };
        let number = info.number;
        let plain = match head.inline(number) {
            Some(inline) => self.open_inline(mount, head, number, inline).await?,
            None => {
                let Some(record) = self.records.barrier().get(&version_at(head.id, number)).await? else {
                    return Ok(None);
                };
                let sealed = SealedValue::from_bytes(record.bytes.expose().to_vec());
                self.open(mount, head, number, &sealed).await?
            }
        };
        Ok(Some((number, SecretValue::decode(&plain)?)))
    }

    /// Announces a version in preparation that has no value yet.
    pub(crate) async fn announce(
        &self,
        mount: &Mount,
        path: &SecretPath,
        secret: SecretId,
        token: &VersionId,
    ) -> Result<(), CoreError> {
        self.still_the_same(mount, path, secret).await?;
        let changed = self.change(mount, path, |meta, _| {
            alive(meta)?;
            if meta.version_of(secret, token).is_some() {
                return Ok(Changed::Nothing);
            }
            meta.stages.remove(&Stage::Pending);
            meta.particulars_mut().reserved = Some(token.clone());
            Ok(Changed::Shred(Vec::new()))
        });
        changed.await?.map(|_| ()).ok_or(CoreError::Nothing)
    }

    /// Writes the version in preparation; one with this id that is there already stays as it is.
    pub(crate) async fn prepare(
        &self,
        mount: &Mount,
        path: &SecretPath,
        secret: SecretId,
        token: &VersionId,
        value: SecretValue,
    ) -> Result<VersionNumber, CoreError> {
        let new = NewVersion { value, id: token.clone(), stages: vec![Stage::Pending] };
        let _turn = self.turns.secret(mount.id, path).await;
        for _ in 0..TRIES {
            let found = self.same(mount, path, secret).await?;
            if let Some(number) = found.head.value.meta.version_of(secret, token) {
                return Ok(number);
            }
            match self.append_staged(mount, path, &found, &ParticularsChange::default(), &new).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(staged) => return staged.number.ok_or(CoreError::Internal("a version without a number")),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Puts a prepared version in force, if the one that it was made from still is. `false`: another one is.
    pub(crate) async fn put_in_force(
        &self,
        mount: &Mount,
        path: &SecretPath,
        (current, pending): (VersionNumber, VersionNumber),
        note: impl Fn(&mut RotationSetting) + Send + Sync,
    ) -> Result<bool, CoreError> {
        let mut done = false;
        let changed = self.change(mount, path, |meta, _| {
            alive(meta)?;
            done = match meta.current() {
                Some(number) if number == pending => true,
                Some(number) => number == current && meta.versions.contains_key(&pending),
                None => false,
            };
            if !done {
                return Ok(Changed::Nothing);
            }
            meta.put_in_force(pending);
            meta.stages.retain(|stage, at| *stage != Stage::Pending || *at != pending);
            let more = meta.particulars_mut();
            more.reserved = None;
            note(more.rotation.get_or_insert_default());
            Ok(Changed::Shred(Vec::new()))
        });
        changed.await?.ok_or(CoreError::Nothing)?;
        Ok(done)
    }

    /// Throws the version in preparation away, with its value. One that is in force, or bears another label, stays.
    pub(crate) async fn discard(
        &self,
        mount: &Mount,
        path: &SecretPath,
        secret: SecretId,
        token: &VersionId,
    ) -> Result<(), CoreError> {
        let changed = self.change(mount, path, |meta, _| {
            let number = meta.version_of(secret, token);
            let reserved = meta.particulars().reserved.as_ref() == Some(token);
            if reserved {
                meta.particulars_mut().reserved = None;
            }
            let Some(number) = number.filter(|number| meta.current() != Some(*number)) else {
                let idle = if reserved { Changed::Shred(Vec::new()) } else { Changed::Nothing };
                if let Some(number) = number {
                    meta.stages.retain(|stage, at| *stage != Stage::Pending || *at != number);
                    return Ok(Changed::Shred(Vec::new()));
                }
                return Ok(idle);
            };
            meta.stages.retain(|stage, at| *stage != Stage::Pending || *at != number);
            if !meta.stages_of(number).is_empty() {
                return Ok(Changed::Shred(Vec::new()));
            }
            match meta.versions.get_mut(&number).filter(|version| !version.destroyed) {
                Some(version) => version.destroyed = true,
                None => return Ok(Changed::Nothing),
            }
            Ok(Changed::Shred(vec![number]))
        });
        changed.await.map(|_| ())
    }

    /// Changes what is shown of a secret's rotation.
    pub(crate) async fn note_rotation(
        &self,
        mount: &Mount,
        path: &SecretPath,
        note: impl Fn(&mut RotationSetting) + Send + Sync,
    ) -> Result<(), CoreError> {
        let changed = self.change(mount, path, |meta, _| {
            let setting = meta.particulars_mut().rotation.get_or_insert_default();
            let before = setting.clone();
            note(setting);
            Ok(if *setting == before { Changed::Nothing } else { Changed::Shred(Vec::new()) })
        });
        changed.await.map(|_| ())
    }

    async fn same(&self, mount: &Mount, path: &SecretPath, secret: SecretId) -> Result<Found, CoreError> {
        let found = self.find(mount, path).await?.filter(|found| found.head.value.id == secret);
        found.ok_or(CoreError::Nothing)
    }

    async fn still_the_same(&self, mount: &Mount, path: &SecretPath, secret: SecretId) -> Result<(), CoreError> {
        self.same(mount, path, secret).await.map(|_| ())
    }
}
