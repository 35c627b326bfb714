//! Writing by labels and ids of versions, where other dialects write by numbers: a version may be made under any labels,
//! a label may be moved alone, and the same id with the same value is the same write, however often it comes.

use super::change::Changed;
use super::config::KvConfig;
use super::head::{Head, SecretMetadata};
use super::parameter::ParameterChange;
use super::particular::{Sighting, VersionId};
use super::read::Seen;
use super::store::{Found, Secrets, TRIES};
use super::value::SecretValue;
use super::write::{also_granted, check_cas};
use crate::mount::Mount;
use crate::{CoreError, Grant, SecretAct};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::collections::BTreeMap;
use strongroom_barrier::Txn;
use strongroom_model::{SecretPath, Stage, VersionNumber, VersionSelector};

/// A version to be written.
pub struct NewVersion {
    /// What it holds.
    pub value: SecretValue,
    /// Its id.
    pub id: VersionId,
    /// The labels it gets; none: it is put in force.
    pub stages: Vec<Stage>,
}

/// What to change about a secret besides its versions; what is `None` stays.
#[derive(Clone, Default)]
pub struct ParticularsChange {
    /// What people say it is for.
    pub description: Option<String>,
    /// The key that the caller wants it sealed with.
    pub kms_key: Option<String>,
    /// Tags to set.
    pub tags: BTreeMap<String, String>,
    /// Tags to remove.
    pub untag: Vec<String>,
    /// A policy of its own, or none any more.
    pub policy: Option<Option<String>>,
    /// What a dialect of parameters notes.
    pub parameter: Option<ParameterChange>,
}

/// A label to be moved.
pub struct StageMove {
    /// The label.
    pub stage: Stage,
    /// The version that has it, as the caller believes.
    pub from: Option<VersionId>,
    /// The version that is to have it; `None`: nobody is.
    pub to: Option<VersionId>,
}

/// A secret after a write, and the version that the write was about.
pub struct Staged {
    /// The secret.
    pub secret: Sighting,
    /// The version; `None` when no value was written.
    pub number: Option<VersionNumber>,
}

/// The most tags of a secret, as in AWS.
const MOST_TAGS: usize = 50;
/// The most labels of a secret, all versions together, as in AWS ("Secrets Manager quotas").
const MOST_STAGES: usize = 20;

impl Secrets {
    /// Makes a secret, with a first version or without. `Exists` when there is one, unless the same write made it.
    pub async fn make(
        &self,
        grant: &Grant,
        change: &ParticularsChange,
        first: Option<&NewVersion>,
    ) -> Result<Staged, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let _turn = self.turns.secret(mount.id, path).await;
        for _ in 0..TRIES {
            if let Some(found) = self.find(mount, path).await? {
                return self.made_before(mount, path, &found, first).await;
            }
            match self.make_new(mount, path, change, first).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    /// Writes a version of a secret that is there.
    pub async fn put(&self, grant: &Grant, version: &NewVersion) -> Result<Staged, CoreError> {
        self.put_with(grant, &ParticularsChange::default(), version).await
    }

    /// Writes a version, and changes what else is known of the secret in the same commit.
    pub async fn put_with(
        &self,
        grant: &Grant,
        change: &ParticularsChange,
        version: &NewVersion,
    ) -> Result<Staged, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let _turn = self.turns.secret(mount.id, path).await;
        for _ in 0..TRIES {
            let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
            also_granted(grant, &found.head.value.meta)?;
            match self.append_staged(mount, path, &found, change, version).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    /// Changes what else is known of a secret.
    pub async fn describe(&self, grant: &Grant, change: &ParticularsChange) -> Result<Sighting, CoreError> {
        let (mount, path) = grant.secret(SecretAct::WriteMetadata)?;
        let now = self.clock.now();
        self.adjust_granted(grant, mount, path, |meta| {
            alive(meta)?;
            change.apply(meta)?;
            meta.updated = now;
            Ok(())
        })
        .await
    }

    /// Moves a label.
    pub async fn move_stage(&self, grant: &Grant, order: &StageMove) -> Result<Sighting, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let now = self.clock.now();
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        let id = found.head.value.id;
        self.adjust_granted(grant, mount, path, |meta| {
            alive(meta)?;
            order.apply(meta, id)?;
            meta.updated = now;
            Ok(())
        })
        .await
    }

    /// Changes the metadata of a secret that is there, for somebody whom the gate let in.
    pub(super) async fn adjust_granted(
        &self,
        grant: &Grant,
        mount: &Mount,
        path: &SecretPath,
        mut change: impl FnMut(&mut SecretMetadata) -> Result<(), CoreError> + Send,
    ) -> Result<Sighting, CoreError> {
        self.adjust(mount, path, |meta| {
            also_granted(grant, meta)?;
            change(meta)
        })
        .await
    }

    /// Changes the metadata of a secret that is there.
    pub(super) async fn adjust(
        &self,
        mount: &Mount,
        path: &SecretPath,
        mut change: impl FnMut(&mut SecretMetadata) -> Result<(), CoreError> + Send,
    ) -> Result<Sighting, CoreError> {
        let changed = self.change(mount, path, |meta, _| {
            change(meta)?;
            Ok(Changed::Shred(Vec::new()))
        });
        let meta = changed.await?.ok_or(CoreError::Nothing)?;
        let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
        Ok(Sighting { id: found.head.value.id, meta })
    }

    async fn make_new(
        &self,
        mount: &Mount,
        path: &SecretPath,
        change: &ParticularsChange,
        first: Option<&NewVersion>,
    ) -> Result<Staged, CoreError> {
        let mut head = self.blank().await?;
        head.meta.particulars_mut();
        change.apply(&mut head.meta)?;
        let (mut txn, mut number) = (Txn::new(), None);
        if let Some(version) = first {
            let config = self.config_of(mount).await?;
            check_cas(&head.meta, &config, None)?;
            let added = self.add_staged(mount, &mut head, &config, version).await?;
            (txn, number) = (added.0, Some(added.1));
        }
        self.insert(mount, path, &head, txn).await?;
        Ok(Staged { secret: Sighting { id: head.id, meta: head.meta }, number })
    }

    /// A secret that is there already is an answer only to the write that made it.
    async fn made_before(
        &self,
        mount: &Mount,
        path: &SecretPath,
        found: &Found,
        first: Option<&NewVersion>,
    ) -> Result<Staged, CoreError> {
        alive(&found.head.value.meta)?;
        let taken = || CoreError::Exists(format!("the secret {path} exists already"));
        let Some(version) = first else { return Err(taken()) };
        match self.written_before(mount, found, version).await {
            Ok(Some(number)) => Ok(Staged { secret: sighting(&found.head.value), number: Some(number) }),
            Ok(None) | Err(CoreError::Exists(_)) => Err(taken()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn append_staged(
        &self,
        mount: &Mount,
        path: &SecretPath,
        found: &Found,
        change: &ParticularsChange,
        version: &NewVersion,
    ) -> Result<Staged, CoreError> {
        let mut head = Head::clone(&found.head.value);
        alive(&head.meta)?;
        let config = self.config_of(mount).await?;
        if let Some(number) = self.written_before(mount, found, version).await? {
            return Ok(Staged { secret: sighting(&head), number: Some(number) });
        }
        check_cas(&head.meta, &config, None)?;
        head.meta.particulars_mut();
        change.apply(&mut head.meta)?;
        let before: Vec<VersionNumber> = head.meta.versions.keys().copied().collect();
        let (txn, number) = self.add_staged(mount, &mut head, &config, version).await?;
        let gone: Vec<_> = before.into_iter().filter(|number| !head.meta.versions.contains_key(number)).collect();
        self.replace(mount, path, found, &head, txn, &gone).await?;
        Ok(Staged { secret: Sighting { id: head.id, meta: head.meta }, number: Some(number) })
    }

    async fn add_staged(
        &self,
        mount: &Mount,
        head: &mut Head,
        config: &KvConfig,
        version: &NewVersion,
    ) -> Result<(Txn, VersionNumber), CoreError> {
        let plain = version.value.encode()?;
        let before = labels(&head.meta);
        let (first, others) = match version.stages.split_first() {
            Some((first, others)) => (first.clone(), others),
            None => (Stage::Current, [].as_slice()),
        };
        let (number, _) = head.meta.add(first, self.clock.now(), config);
        for stage in others {
            head.meta.label(stage.clone(), number);
        }
        few_enough(&head.meta, before)?;
        let more = head.meta.particulars_mut();
        if more.reserved.as_ref() == Some(&version.id) || version.stages.contains(&Stage::Pending) {
            more.reserved = None;
        }
        more.version_ids.insert(number, version.id.clone());
        let known: Vec<VersionNumber> = head.meta.versions.keys().copied().collect();
        head.meta.particulars_mut().version_ids.retain(|number, _| known.contains(number));
        let sealed = self.seal(mount, head, number, &plain).await?;
        Ok((head.keep(Txn::new(), number, sealed), number))
    }

    /// The version that has this id and this value already; `Exists` when the id stands for another value.
    async fn written_before(
        &self,
        mount: &Mount,
        found: &Found,
        version: &NewVersion,
    ) -> Result<Option<VersionNumber>, CoreError> {
        let head = &found.head.value;
        let Some(number) = head.meta.version_of(head.id, &version.id) else { return Ok(None) };
        let other = || CoreError::Exists("the id is in use for a version with another value".to_owned());
        match self.look_in(mount, found, &VersionSelector::Number(number)).await? {
            Seen::Gone(_) => Err(other()),
            Seen::Here(seen) => {
                let (a, b) = (seen.value.encode()?, version.value.encode()?);
                verify_slices_are_equal(&a, &b).map_err(|_| other())?;
                Ok(Some(number))
            }
        }
    }
}

fn sighting(head: &Head) -> Sighting {
    Sighting { id: head.id, meta: head.meta.clone() }
}

/// How many labels count.
pub(super) fn labels(meta: &SecretMetadata) -> usize {
    meta.stages.keys().filter(|stage| **stage != Stage::Pending).count()
}

/// Refuses a change that adds a label to as many as there may be. That of a version in preparation does not count, or the
/// rotation of a value that others know would fail for want of a label. Parameters have bounds of their own, which their
/// dialect knows.
pub(super) fn few_enough(meta: &SecretMetadata, before: usize) -> Result<(), CoreError> {
    let count = labels(meta);
    if count <= MOST_STAGES || count <= before || meta.particulars().parameter.is_some() {
        return Ok(());
    }
    Err(CoreError::Quota(format!(
        "a secret has at most {MOST_STAGES} staging labels, all versions together; take one away first"
    )))
}

/// An error while the secret waits for its deletion.
pub(super) fn alive(meta: &SecretMetadata) -> Result<(), CoreError> {
    if meta.is_marked() { Err(CoreError::Marked) } else { Ok(()) }
}

impl ParticularsChange {
    fn apply(&self, meta: &mut SecretMetadata) -> Result<(), CoreError> {
        if let Some(parameter) = &self.parameter {
            parameter.apply(meta)?;
        }
        let more = meta.particulars_mut();
        more.description = self.description.clone().unwrap_or_else(|| std::mem::take(&mut more.description));
        more.kms_key = self.kms_key.clone().or(more.kms_key.take());
        if let Some(policy) = &self.policy {
            more.policy.clone_from(policy);
        }
        if !self.tags.is_empty() || !self.untag.is_empty() {
            let tags = more.tags.get_or_insert_default();
            tags.extend(self.tags.clone());
            tags.retain(|key, _| !self.untag.contains(key));
            if tags.len() > MOST_TAGS {
                return Err(CoreError::Quota(format!("a secret has at most {MOST_TAGS} tags; take one away first")));
            }
        }
        Ok(())
    }
}

impl StageMove {
    fn apply(&self, meta: &mut SecretMetadata, secret: strongroom_model::SecretId) -> Result<(), CoreError> {
        let before = labels(meta);
        let find = |meta: &SecretMetadata, id: &VersionId| {
            let missing = || CoreError::NotFound(format!("there is no version {}", id.as_str()));
            meta.version_of(secret, id).ok_or_else(missing)
        };
        let holder = meta.stages.get(&self.stage).copied();
        let reserved = meta.particulars().reserved.clone().filter(|_| self.stage == Stage::Pending);
        let to = self.to.as_ref().map(|id| find(meta, id)).transpose()?;
        let from = match &self.from {
            Some(id) if reserved.as_ref() == Some(id) => None,
            Some(id) => Some(find(meta, id)?),
            None => None,
        };
        if self.from.is_some() && reserved.as_ref() != self.from.as_ref() && from != holder {
            return Err(CoreError::Invalid(
                "the label is not attached to the version it is to be taken from".to_owned(),
            ));
        }
        match (to, holder) {
            (Some(to), Some(holder)) if to != holder && from.is_none() => {
                return Err(CoreError::Invalid(format!(
                    "the label is attached to version {}, which must be named as the one it is taken from",
                    meta.version_id(secret, holder).as_str()
                )));
            }
            (Some(to), _) if self.stage == Stage::Current => meta.put_in_force(to),
            (Some(to), _) => drop(meta.stages.insert(self.stage.clone(), to)),
            (None, _) if self.stage == Stage::Current => {
                return Err(CoreError::Invalid("the version in force can only be replaced by another one".to_owned()));
            }
            (None, _) if self.from.is_none() => {
                return Err(CoreError::Invalid(
                    "name the version that the label is taken from, or moved to".to_owned(),
                ));
            }
            (None, _) => drop(meta.stages.remove(&self.stage)),
        }
        few_enough(meta, before)?;
        if self.stage == Stage::Pending {
            meta.particulars_mut().reserved = None;
        }
        Ok(())
    }
}
