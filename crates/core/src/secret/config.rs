use super::head::check_max_versions;
use super::place::{config_at, mount_at};
use super::store::{Secrets, TRIES};
use crate::mount::Mount;
use crate::records::PutRecord;
use crate::{CoreError, Grant, Operation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::Txn;

/// What holds for all secrets of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvConfig {
    /// Versions to keep of each secret; 0: ten. The larger of this and the secret's own number holds.
    pub max_versions: u32,
    /// Whether every write must name the version it replaces.
    pub cas_required: bool,
    /// When new versions are hidden by themselves.
    pub delete_version_after: Lifetime,
}

/// How long versions of a mount's secrets are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// As each secret says.
    #[default]
    Unset,
    /// That many seconds, or what the secret says if that is shorter.
    After(u64),
    /// For good, whatever a secret says.
    Never,
}

/// What to change about a mount's settings; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct KvConfigChange {
    /// Versions to keep.
    pub max_versions: Option<u32>,
    /// Whether every write must name the version it replaces.
    pub cas_required: Option<bool>,
    /// When new versions are hidden by themselves.
    pub delete_version_after: Option<Lifetime>,
}

impl KvConfig {
    /// How many versions of a secret to keep: the larger of both numbers, and `otherwise` when neither is set.
    pub(super) fn keep(&self, own: u32, otherwise: u32) -> u32 {
        match self.max_versions.max(own) {
            0 => otherwise,
            number => number,
        }
    }

    /// Seconds for which a new version is shown; `None`: for good.
    pub(super) fn lifetime(&self, own: u64) -> Option<u64> {
        match (self.delete_version_after, own) {
            (Lifetime::Never, _) | (Lifetime::Unset, 0) => None,
            (Lifetime::Unset, own) => Some(own),
            (Lifetime::After(seconds), 0) => Some(seconds),
            (Lifetime::After(seconds), own) => Some(seconds.min(own)),
        }
    }
}

impl KvConfigChange {
    fn apply(&self, config: &mut KvConfig) {
        config.max_versions = self.max_versions.unwrap_or(config.max_versions);
        config.cas_required = self.cas_required.unwrap_or(config.cas_required);
        config.delete_version_after = self.delete_version_after.unwrap_or(config.delete_version_after);
    }

    fn is_empty(&self) -> bool {
        self.max_versions.is_none() && self.cas_required.is_none() && self.delete_version_after.is_none()
    }
}

impl Secrets {
    /// The mount's settings. The grant must be one to read `config` of the mount.
    pub async fn read_config(&self, grant: &Grant) -> Result<KvConfig, CoreError> {
        let mount = granted(grant, Operation::Read)?;
        self.config_of(mount).await
    }

    /// Changes the mount's settings. They hold for versions written from then on; nothing is pruned by this alone.
    pub async fn write_config(&self, grant: &Grant, change: KvConfigChange) -> Result<(), CoreError> {
        let mount = granted(grant, Operation::Write)?;
        check_max_versions(change.max_versions)?;
        if change.is_empty() {
            return Ok(());
        }
        let at = config_at(mount.id);
        for _ in 0..TRIES {
            let current = self.records.get::<KvConfig>(&at).await?;
            let mut config = current.as_ref().map(|current| current.value.clone()).unwrap_or_default();
            change.apply(&mut config);
            let txn = Txn::new().expect_present(mount_at(mount.id));
            let txn = match current {
                Some(current) => txn.expect(at.clone(), current.rev),
                None => txn.expect_absent(at.clone()),
            };
            match self.records.commit(txn.put_record(at.clone(), &config)?).await {
                Err(CoreError::Conflict) => self.still_mounted(mount).await?,
                other => return other.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }

    /// What holds for the secrets of a mount. One that keeps no versions has no settings either.
    pub(super) async fn config_of(&self, mount: &Mount) -> Result<KvConfig, CoreError> {
        if !mount.is_versioned_kv() {
            return Ok(KvConfig { max_versions: 1, ..KvConfig::default() });
        }
        let kept = self.records.get_again::<KvConfig>(&config_at(mount.id)).await?;
        Ok(kept.map(|kept| kept.value.clone()).unwrap_or_default())
    }
}

/// The mount, if policy let exactly this operation on its `config` pass.
fn granted(grant: &Grant, operation: Operation) -> Result<&Arc<Mount>, CoreError> {
    let mount = grant.mount()?;
    let visit = grant.visit();
    if visit.operation != operation || visit.path.below(&mount.path) != Some("config") {
        return Err(CoreError::Internal("a grant was used for an act it was not given for"));
    }
    Ok(mount)
}
