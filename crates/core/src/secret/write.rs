use super::change::Changed;
use super::config::KvConfig;
use super::head::{Head, SecretMetadata, VersionInfo};
use super::merge::merge;
use super::read::{SecretVersion, Seen, Words};
use super::staged::{alive, few_enough, labels};
use super::store::{Found, Secrets, TRIES};
use super::value::SecretValue;
use crate::mount::Mount;
use crate::{CoreError, Fields, Grant, SecretAct, boxed};
use strongroom_barrier::Txn;
use strongroom_model::{SecretPath, Stage, VersionNumber, VersionSelector};

/// How to write a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// The number that the current version must have, 0 for none: else nothing is written.
    pub cas: Option<u64>,
    /// What the version is to be.
    pub stage: WriteAs,
}

/// What a new version is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteAs {
    /// In force at once; what was current becomes the previous one.
    #[default]
    Current,
    /// In preparation: readers who ask for no version do not see it until it is promoted.
    Pending,
}

impl WriteAs {
    fn stage(self) -> Stage {
        match self {
            WriteAs::Current => Stage::Current,
            WriteAs::Pending => Stage::Pending,
        }
    }
}

impl Secrets {
    /// Writes a new version, and with it the secret when it is the first. Durable when it returns.
    pub async fn write(
        &self,
        grant: &Grant,
        value: &SecretValue,
        options: WriteOptions,
    ) -> Result<VersionInfo, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let plain = value.encode()?;
        let _turn = self.turns.secret(mount.id, path).await;
        let mut is_new = grant.saw_no_secret();
        for _ in 0..TRIES {
            let config = self.config_of(mount).await?;
            let found = if is_new { None } else { self.find_to_write(mount, path).await? };
            if let Some(found) = &found {
                also_granted(grant, &found.head.value.meta)?;
            }
            let attempt = match found {
                // Boxed: a first version takes less room, and there are many.
                Some(found) => boxed(|| self.append(mount, path, &found, &config, &plain, options)).await,
                None => self.first(mount, path, &config, &plain, options).await,
            };
            match attempt {
                Err(CoreError::Conflict) => is_new = false,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    /// Writes a new version from the current one and a merge patch (RFC 7396). `Nothing` when there is no such secret;
    /// `Gone` when its current version cannot be read.
    pub async fn patch(&self, grant: &Grant, patch: &Fields, cas: Option<u64>) -> Result<Seen<()>, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Patch)?;
        let options = WriteOptions { cas, stage: WriteAs::Current };
        let _turn = self.turns.secret(mount.id, path).await;
        for _ in 0..TRIES {
            let config = self.config_of(mount).await?;
            let found = self.find(mount, path).await?.ok_or(CoreError::Nothing)?;
            check_cas(&found.head.value.meta, &config, cas)?;
            let value = match self.look_in(mount, &found, &VersionSelector::Current).await? {
                Seen::Gone(info) => return Ok(Seen::Gone(info)),
                Seen::Here(version) => version.value,
            };
            let Ok(mut fields) = value.into_object() else {
                return Err(CoreError::Invalid(
                    "the current version holds no object, so there are no fields to patch; write it as a whole"
                        .to_owned(),
                ));
            };
            merge(fields.map_mut(), patch.map());
            let value = SecretValue::Object(fields);
            match self.append(mount, path, &found, &config, &value.encode()?, options).await {
                Err(CoreError::Conflict) => continue,
                other => {
                    return other.map(|info| Seen::Here(SecretVersion { value: (), info, words: Words::default() }));
                }
            }
        }
        Err(CoreError::Conflict)
    }

    /// Puts a version in force that is kept already; what was current becomes the previous one. `Nothing` when there is
    /// no such version or its value is gone.
    pub async fn promote(&self, grant: &Grant, number: VersionNumber) -> Result<VersionInfo, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let now = self.clock.now();
        let changed = self.change(mount, path, |meta, _| {
            let readable = meta.versions.get(&number).is_some_and(|version| !version.is_gone(now));
            if !readable {
                return Err(CoreError::Nothing);
            }
            alive(meta)?;
            also_granted(grant, meta)?;
            let before = labels(meta);
            meta.put_in_force(number);
            meta.stages.retain(|stage, at| *stage != Stage::Pending || *at != number);
            few_enough(meta, before)?;
            meta.updated = now;
            Ok(Changed::Shred(Vec::new()))
        });
        changed.await?.and_then(|meta| meta.info(number)).ok_or(CoreError::Nothing)
    }

    async fn first(
        &self,
        mount: &Mount,
        path: &SecretPath,
        config: &KvConfig,
        plain: &[u8],
        options: WriteOptions,
    ) -> Result<VersionInfo, CoreError> {
        check_cas(&SecretMetadata::blank(self.clock.now()), config, options.cas)?;
        let (head, number) = self.create_with(mount, path, config, plain, options.stage.stage()).await?;
        head.meta.info(number).ok_or(CoreError::Internal("a version just written is not known"))
    }

    async fn append(
        &self,
        mount: &Mount,
        path: &SecretPath,
        found: &Found,
        config: &KvConfig,
        plain: &[u8],
        options: WriteOptions,
    ) -> Result<VersionInfo, CoreError> {
        let mut head = Head::clone(&found.head.value);
        alive(&head.meta)?;
        check_cas(&head.meta, config, options.cas)?;
        let before = labels(&head.meta);
        let (number, pruned) = head.meta.add(options.stage.stage(), self.clock.now(), config);
        few_enough(&head.meta, before)?;
        let sealed = self.seal(mount, &head, number, plain).await?;
        let txn = head.keep(Txn::new(), number, sealed);
        self.replace(mount, path, found, &head, txn, &pruned).await?;
        head.meta.info(number).ok_or(CoreError::Internal("a version just written is not known"))
    }
}

/// An error where the gate let somebody in to make the secret, somebody else has made it by now, and it may not be written
/// into as well: policies do not give `update`, or it has a policy of its own, which the gate could not ask.
pub(super) fn also_granted(grant: &Grant, meta: &SecretMetadata) -> Result<(), CoreError> {
    let has_its_own = meta.more.as_ref().is_some_and(|more| more.policy.is_some());
    if grant.saw_no_secret() && (has_its_own || !grant.may_update()) {
        return Err(CoreError::Conflict);
    }
    Ok(())
}

/// Vault's texts: clients look for them.
pub(super) fn check_cas(meta: &SecretMetadata, config: &KvConfig, cas: Option<u64>) -> Result<(), CoreError> {
    let current = meta.current().map_or(0, VersionNumber::get);
    match cas {
        Some(expected) if expected == current => Ok(()),
        Some(_) => Err(CoreError::Stale("check-and-set parameter did not match the current version")),
        None if config.cas_required || meta.settings.cas_required => {
            Err(CoreError::Stale("check-and-set parameter required for this call"))
        }
        None => Ok(()),
    }
}
