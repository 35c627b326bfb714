//! Looking at secrets by label or id, and at many of them: what dialects need that show more than numbers.

use super::guard::Guard;
use super::particular::{RotationSetting, Sighting, VersionId};
use super::place::{NameKind, names, subfolder};
use super::read::Seen;
use super::store::Secrets;
use super::value::SecretValue;
use crate::mount::Mount;
use crate::{CoreError, Grant, Operation, SecretAct, boxed};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::{Arc, PoisonError};
use strongroom_audit::Missing;
use strongroom_model::{FolderPath, SecretId, SecretPath, Stage, VersionNumber, VersionSelector};

/// A version read by label or id.
pub struct Labelled {
    /// The secret's id.
    pub secret: SecretId,
    /// The number of the version.
    pub number: VersionNumber,
    /// Its id.
    pub id: VersionId,
    /// The labels that point at it.
    pub stages: Vec<Stage>,
    /// When it was written.
    pub created: strongroom_model::Timestamp,
    /// What it holds.
    pub value: SecretValue,
}

/// What a look by label or id found.
pub enum Picked {
    /// The version.
    Here(Box<Labelled>),
    /// No readable version is under this label or id.
    NoVersion,
    /// There is a version with this id, and the label is not on it.
    OtherStage,
}

/// What tells a place in a list from other things that callers carry.
const MARK: &str = "mark ";

/// Most reads that wait to be noted.
const MOST_READS: usize = 8_192;

impl Secrets {
    /// Reads a version by its id, by a label (none: the version in force), or by both, which must agree. `Nothing` when
    /// there is no such secret, `Marked` when it waits for its deletion.
    pub async fn pick(
        &self,
        grant: &Grant,
        id: Option<&VersionId>,
        stage: Option<&Stage>,
    ) -> Result<Picked, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Read)?;
        let found = self.find_for(grant, mount, path).await?;
        let (secret, meta) = (found.head.value.id, &found.head.value.meta);
        if meta.is_marked() {
            grant.note_missing(Missing::Disabled);
            return Err(CoreError::Marked);
        }
        let number = match id {
            Some(id) => meta.version_of(secret, id),
            None => meta.stages.get(stage.unwrap_or(&Stage::Current)).copied(),
        };
        let Some(number) = number else {
            grant.note_missing(Missing::Version);
            let reserved = id.is_some() && meta.particulars().reserved.as_ref() == id;
            let agrees = stage.is_none_or(|stage| *stage == Stage::Pending);
            return Ok(if reserved && !agrees { Picked::OtherStage } else { Picked::NoVersion });
        };
        if id.is_some() && stage.is_some_and(|stage| meta.stages.get(stage) != Some(&number)) {
            return Ok(Picked::OtherStage);
        }
        let version_id = meta.version_id(secret, number);
        self.note_read(mount, path, meta.particulars().read_day);
        match self.look_in(mount, &found, &VersionSelector::Number(number)).await? {
            Seen::Gone(_) => {
                grant.note_missing(Missing::Disabled);
                Ok(Picked::NoVersion)
            }
            Seen::Here(seen) => Ok(Picked::Here(Box::new(Labelled {
                secret,
                number,
                id: version_id,
                stages: seen.info.stages,
                created: seen.info.version.created,
                value: seen.value,
            }))),
        }
    }

    /// How the granted secret rotates, if anybody said. `Nothing` when there is no such secret.
    pub async fn rotation_of(&self, grant: &Grant) -> Result<Option<RotationSetting>, CoreError> {
        let (mount, path) = grant.any_secret()?;
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        super::staged::alive(&found.head.value.meta)?;
        Ok(found.head.value.meta.particulars().rotation.clone())
    }

    /// Lets a secret rotate no more by itself; what else was said of it stays.
    pub async fn stop_rotation(&self, grant: &Grant) -> Result<Sighting, CoreError> {
        let (mount, path) = grant.secret(SecretAct::WriteMetadata)?;
        self.adjust_granted(grant, mount, path, |meta| {
            super::staged::alive(meta)?;
            if let Some(rotation) = &mut meta.particulars_mut().rotation {
                (rotation.enabled, rotation.next) = (false, None);
            }
            Ok(())
        })
        .await
    }

    /// The policy of the secret's own, if it has one.
    /// Comes before the act, which takes up what was found here.
    pub(crate) async fn guard(&self, grant: &Grant, path: &SecretPath) -> Result<Option<Guard>, CoreError> {
        let mount = grant.mount()?;
        let found = match grant.visit().operation {
            Operation::Write => boxed(|| self.find_to_write(mount, path)).await?,
            _ => self.find(mount, path).await?,
        };
        let Some(found) = found else { return Ok(None) };
        let policy = found.head.value.meta.more.as_ref().and_then(|more| more.policy.as_deref());
        let guard = policy.map(|text| Guard::parse(text).map_err(|_| CoreError::Unreadable { kind: "secret-head" }));
        let guard = guard.transpose();
        grant.note_found(found);
        guard
    }

    /// Seals a place in a list, for a caller to bring back: they cannot read it, nor make one up.
    pub fn seal_mark(&self, mark: &str) -> Result<String, CoreError> {
        let sealed = self.records.barrier().seal_token(format!("{MARK}{mark}").as_bytes())?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`Secrets::seal_mark`] sealed; `None` when it is not that.
    pub fn open_mark(&self, text: &str) -> Result<Option<String>, CoreError> {
        let Ok(sealed) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
        let Some(opened) = self.records.barrier().open_token(&sealed)? else { return Ok(None) };
        let mark = std::str::from_utf8(opened.expose()).ok().and_then(|text| text.strip_prefix(MARK));
        Ok(mark.map(str::to_owned))
    }

    /// The six characters of the granted secret, whatever it was granted for; `None` when there is none.
    pub async fn granted_suffix(&self, grant: &Grant) -> Result<Option<String>, CoreError> {
        let (mount, path) = grant.any_secret()?;
        Ok(self.find(mount, path).await?.map(|found| super::particular::suffix(found.head.value.id)))
    }

    /// What is known of a secret, marked or not. `Nothing` when there is none.
    pub async fn sight(&self, grant: &Grant) -> Result<Sighting, CoreError> {
        let (mount, path) = grant.secret(SecretAct::ReadMetadata)?;
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        Ok(Sighting { id: found.head.value.id, meta: found.head.value.meta.clone() })
    }

    /// The names of all secrets in the granted folder and those below, sorted.
    pub async fn names_below(&self, grant: &Grant) -> Result<Vec<SecretPath>, CoreError> {
        let (mount, folder) = grant.folder()?;
        let mut open = vec![folder.clone()];
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for listed in self.records.scan_all::<NameKind>(&names(mount.id, &folder)).await? {
                let text = listed.text();
                match listed.value {
                    NameKind::Folder => open.push(subfolder(&folder, &text)?),
                    NameKind::Secret(_) if folder.as_str().is_empty() => found.push(SecretPath::parse(&text)?),
                    NameKind::Secret(_) => found.push(SecretPath::parse(&format!("{folder}/{text}"))?),
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What is known of a secret in the granted folder or below.
    pub async fn glance(&self, grant: &Grant, path: &SecretPath) -> Result<Option<Sighting>, CoreError> {
        let (mount, folder) = grant.folder()?;
        if !lies_below(path, folder) {
            return Err(CoreError::Internal("a grant was used for an act it was not given for"));
        }
        let found = self.find(mount, path).await?;
        Ok(found.map(|found| Sighting { id: found.head.value.id, meta: found.head.value.meta.clone() }))
    }

    /// Remembers that a secret was read today, to be written later: reading writes nothing.
    fn note_read(&self, mount: &Arc<Mount>, path: &SecretPath, known: Option<u64>) {
        let today = self.clock.now().secs() / 86_400;
        if known == Some(today) {
            return;
        }
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() < MOST_READS {
            reads.insert((mount.id, path.clone()), (Arc::clone(mount), today));
        }
    }

    /// Writes down which secrets were read. For housekeeping.
    pub(crate) async fn note_reads(&self) -> Result<(), CoreError> {
        let reads = std::mem::take(&mut *self.reads.lock().unwrap_or_else(PoisonError::into_inner));
        for ((_, path), (mount, today)) in reads {
            let noted = self.adjust(&mount, &path, |meta| {
                meta.particulars_mut().read_day = Some(today);
                Ok(())
            });
            match noted.await {
                Err(CoreError::Nothing | CoreError::NotFound(_)) => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

fn lies_below(path: &SecretPath, folder: &FolderPath) -> bool {
    let rest = path.as_str().strip_prefix(folder.as_str());
    folder.as_str().is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
}
