use super::config::KvConfig;
use super::inline::Inline;
use super::particular::Particulars;
use super::text::Telling;
use crate::CoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_audit::Missing;
use strongroom_barrier::SealedKey;
use strongroom_model::{SecretId, Stage, Timestamp, VersionNumber, VersionSelector};

/// The record that holds a secret together. Its key is wrapped, and shredding the record shreds every version.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) id: SecretId,
    pub(super) key: SealedKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inline: Option<Inline>,
    pub(super) meta: SecretMetadata,
    /// What is said of the version that lies here; goes with this state of the head.
    #[serde(skip)]
    pub(super) telling: Telling,
}

impl Head {
    /// Of a secret without a value yet.
    pub(super) fn new(id: SecretId, key: SealedKey, meta: SecretMetadata) -> Self {
        Self { id, key, inline: None, meta, telling: Telling::default() }
    }
}

/// What is known of a secret besides its values. Nothing in it is secret to who may read metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMetadata {
    /// When the secret was made.
    pub created: Timestamp,
    /// When a version was last written or the settings last changed.
    pub updated: Timestamp,
    /// The highest number ever given to a version; 0 before the first. The next version gets the one after it, whatever
    /// became of those before.
    pub newest: u64,
    /// The number from which on versions are kept (Vault: `oldest_version`); 0 until the limit was first reached.
    pub oldest: u64,
    /// The versions that are known, also deleted and destroyed ones.
    pub versions: BTreeMap<VersionNumber, VersionMetadata>,
    /// Labels that point at versions.
    pub stages: BTreeMap<Stage, VersionNumber>,
    /// What holds for this secret.
    pub settings: SecretSettings,
    /// What people noted.
    pub custom: BTreeMap<String, String>,
    /// What only some dialects ask for; none until one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Box<Particulars>>,
}

/// What is known of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub struct VersionMetadata {
    /// When it was written.
    pub created: Timestamp,
    /// From when on it is hidden; may lie ahead.
    pub deletion: Option<Timestamp>,
    /// Whether its value was shredded.
    pub destroyed: bool,
}

/// As it is kept: a secret may have ten thousand versions, and they share one record.
type Packed = (u64, u64, bool);

impl From<Packed> for VersionMetadata {
    fn from((created, deletion, destroyed): Packed) -> Self {
        let deletion = (deletion != 0).then(|| Timestamp::from_nanos(deletion));
        Self { created: Timestamp::from_nanos(created), deletion, destroyed }
    }
}

impl From<VersionMetadata> for Packed {
    fn from(version: VersionMetadata) -> Self {
        (version.created.nanos(), version.deletion.map_or(0, Timestamp::nanos), version.destroyed)
    }
}

impl VersionMetadata {
    /// Whether its value can no longer be read at that moment.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.destroyed || self.is_deleted(now)
    }

    /// Whether it is hidden at that moment.
    pub fn is_deleted(&self, now: Timestamp) -> bool {
        self.deletion.is_some_and(|deletion| deletion <= now)
    }
}

/// What holds for one secret; the mount's settings hold beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSettings {
    /// Versions to keep; 0: as the mount says.
    pub max_versions: u32,
    /// Whether every write must name the version it replaces.
    pub cas_required: bool,
    /// Seconds after which a new version is hidden; 0: as the mount says.
    pub delete_version_after: u64,
}

/// One version with what is known of its secret, as an answer to a read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub number: VersionNumber,
    /// What is known of it.
    pub version: VersionMetadata,
    /// The labels that point at it.
    pub stages: Vec<Stage>,
    /// What people noted with the secret.
    pub custom: BTreeMap<String, String>,
}

/// Versions kept when nobody says otherwise, as Vault does.
const KEPT: u32 = 10;

/// Versions kept of a secret that is written by labels, as AWS does.
const KEPT_STAGED: u32 = 100;
/// The most of those, whatever is asked for.
const MOST_STAGED: u32 = 1_000;

/// The most versions that can be asked for: all are known to one record, and that has a longest size.
const MOST: u32 = 7_500;

/// Refuses a number of versions that could not be kept, when it is set and not when it is reached.
pub(super) fn check_max_versions(number: Option<u32>) -> Result<(), CoreError> {
    match number {
        Some(number) if number > MOST => Err(CoreError::Invalid(format!(
            "max_versions is {number}, and at most {MOST} versions of a secret are kept"
        ))),
        _ => Ok(()),
    }
}

impl SecretMetadata {
    /// A secret without versions.
    pub(super) fn blank(now: Timestamp) -> Self {
        Self {
            created: now,
            updated: now,
            newest: 0,
            oldest: 0,
            versions: BTreeMap::new(),
            stages: BTreeMap::new(),
            settings: SecretSettings::default(),
            custom: BTreeMap::new(),
            more: None,
        }
    }

    /// The version that a reader gets who asks for none; `None` before the first. May be deleted or destroyed.
    pub fn current(&self) -> Option<VersionNumber> {
        self.stages.get(&Stage::Current).copied()
    }

    /// The version that is meant, if it is known.
    pub fn select(&self, selector: &VersionSelector) -> Option<VersionNumber> {
        let number = match selector {
            VersionSelector::Current => self.current(),
            VersionSelector::Number(number) => Some(*number),
            VersionSelector::Stage(stage) => self.stages.get(stage).copied(),
        };
        number.filter(|number| self.versions.contains_key(number))
    }

    /// What is not there, of a version that cannot be read at that moment.
    pub(super) fn lacks(&self, selector: &VersionSelector, now: Timestamp) -> Missing {
        // Numbers are given out one after the other, so one that is no more than the newest was there once.
        let was_there = match selector {
            VersionSelector::Number(number) => number.get() <= self.newest,
            _ => self.select(selector).is_some(),
        };
        match was_there || self.is_marked() || self.is_past(now) {
            true => Missing::Disabled,
            false => Missing::Version,
        }
    }

    /// One version with its labels.
    pub fn info(&self, number: VersionNumber) -> Option<VersionInfo> {
        let version = *self.versions.get(&number)?;
        let labels = self.stages.iter().filter(|(_, at)| **at == number);
        let stages = labels.map(|(stage, _)| stage.clone()).collect();
        Some(VersionInfo { number, version, stages, custom: self.custom.clone() })
    }

    /// Adds a version under a label, and gives back its number and the versions that fall off the other end.
    pub(super) fn add(
        &mut self,
        stage: Stage,
        now: Timestamp,
        config: &KvConfig,
    ) -> (VersionNumber, Vec<VersionNumber>) {
        let number = VersionNumber::new(self.newest).map_or(VersionNumber::FIRST, VersionNumber::next);
        let version = VersionMetadata { created: now, deletion: self.deletion(now, config), destroyed: false };
        self.versions.insert(number, version);
        self.newest = number.get();
        self.updated = now;
        self.label(stage, number);
        // Every version with an id of its own costs the head that id, so there is an end to them.
        let keep = match self.more {
            None => config.keep(self.settings.max_versions, KEPT),
            Some(_) => config.keep(self.settings.max_versions, KEPT_STAGED).min(MOST_STAGED),
        };
        (number, self.prune(keep))
    }

    /// Puts a label on a version; what was current becomes the previous one.
    pub(super) fn label(&mut self, stage: Stage, number: VersionNumber) {
        let moved = if stage == Stage::Current { self.current().filter(|old| *old != number) } else { None };
        if let Some(old) = moved {
            // What was prepared and then in force is no longer in preparation (recorded on AWS).
            self.stages.retain(|stage, at| *stage != Stage::Pending || *at != old);
            self.stages.insert(Stage::Previous, old);
        }
        self.stages.insert(stage, number);
    }

    /// Puts the label of the version in force on a version that is known.
    pub(super) fn put_in_force(&mut self, number: VersionNumber) {
        self.label(Stage::Current, number);
        self.stages.retain(|stage, at| *stage != Stage::Previous || *at != number);
    }

    /// When a version written or restored at that moment is hidden.
    pub(super) fn deletion(&self, now: Timestamp, config: &KvConfig) -> Option<Timestamp> {
        let seconds = config.lifetime(self.settings.delete_version_after)?;
        Some(now.plus(Duration::from_secs(seconds)))
    }

    /// Moves the window of versions that are kept, as Vault counts it, and drops what is outside. A version in force, in
    /// preparation, or under a label of the user's own stays until it loses that.
    fn prune(&mut self, keep: u32) -> Vec<VersionNumber> {
        let keep = u64::from(keep.max(1));
        if self.newest.saturating_sub(self.oldest) >= keep {
            self.oldest = self.newest - keep + 1;
        }
        let held =
            |number: &VersionNumber| self.stages.iter().any(|(stage, at)| at == number && *stage != Stage::Previous);
        let outside = self.versions.keys().take_while(|number| number.get() < self.oldest);
        let pruned: Vec<VersionNumber> = outside.filter(|number| !held(number)).copied().collect();
        for number in &pruned {
            self.versions.remove(number);
        }
        self.stages.retain(|_, at| self.versions.contains_key(at));
        pruned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Lifetime;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn numbers(meta: &SecretMetadata) -> Vec<u64> {
        meta.versions.keys().map(|number| number.get()).collect()
    }

    fn number(n: u64) -> VersionNumber {
        VersionNumber::new(n).unwrap()
    }

    #[test]
    fn the_window_moves_as_in_vault() {
        let mut meta = SecretMetadata::blank(at(1));
        let config = KvConfig { max_versions: 3, ..KvConfig::default() };
        let oldest: Vec<u64> = (1..=5)
            .map(|_| {
                meta.add(Stage::Current, at(2), &config);
                meta.oldest
            })
            .collect();
        assert_eq!(oldest, [0, 0, 1, 2, 3]);
        assert_eq!(numbers(&meta), [3, 4, 5]);
        meta.settings.max_versions = 5;
        meta.add(Stage::Current, at(3), &config);
        assert_eq!(numbers(&meta), [3, 4, 5, 6]);
        meta.settings.max_versions = 1;
        let (new, pruned) = meta.add(Stage::Current, at(3), &KvConfig::default());
        assert_eq!((new.get(), pruned.len(), numbers(&meta)), (7, 4, vec![7]));
        assert_eq!(meta.stages.get(&Stage::Previous), None);
    }

    #[test]
    fn a_version_in_force_outlives_the_window() {
        let mut meta = SecretMetadata::blank(at(1));
        let config = KvConfig { max_versions: 2, ..KvConfig::default() };
        meta.add(Stage::Current, at(1), &config);
        for _ in 0..4 {
            meta.add(Stage::Pending, at(1), &config);
        }
        assert_eq!(numbers(&meta), [1, 4, 5]);
        assert_eq!(meta.current(), Some(number(1)));
        meta.label(Stage::Current, number(5));
        assert_eq!(meta.stages.get(&Stage::Previous), Some(&number(1)));
        meta.add(Stage::Current, at(1), &config);
        assert_eq!(numbers(&meta), [5, 6]);
    }

    #[test]
    fn the_shorter_life_holds_unless_the_mount_forbids_any() {
        let mut meta = SecretMetadata::blank(at(1));
        let mount = |life| KvConfig { delete_version_after: life, ..KvConfig::default() };
        assert_eq!(meta.deletion(at(10), &mount(Lifetime::Unset)), None);
        assert_eq!(meta.deletion(at(10), &mount(Lifetime::After(5))), Some(at(15)));
        meta.settings.delete_version_after = 3;
        assert_eq!(meta.deletion(at(10), &mount(Lifetime::After(5))), Some(at(13)));
        assert_eq!(meta.deletion(at(10), &mount(Lifetime::After(2))), Some(at(12)));
        assert_eq!(meta.deletion(at(10), &mount(Lifetime::Unset)), Some(at(13)));
        assert_eq!(meta.deletion(at(10), &mount(Lifetime::Never)), None);
    }

    #[test]
    fn the_most_versions_with_the_longest_notes_fit_one_record() {
        let mut meta = SecretMetadata::blank(at(u64::from(u32::MAX)));
        let version = VersionMetadata {
            created: Timestamp::from_nanos(u64::MAX),
            deletion: Some(Timestamp::from_nanos(u64::MAX)),
            destroyed: false,
        };
        meta.versions = (0..u64::from(MOST)).map(|n| (number(99_999 - n), version)).collect();
        meta.custom = (0..64).map(|n| (format!("{n:02}{}", "\"".repeat(126)), "\\".repeat(512))).collect();
        let size = serde_json::to_vec(&meta).unwrap().len();
        assert!(size < 510 * 1024, "{size}");
        assert!(check_max_versions(Some(MOST)).is_ok() && check_max_versions(Some(MOST + 1)).is_err());
    }

    #[test]
    fn metadata_reads_back_as_it_was_kept() {
        let mut meta = SecretMetadata::blank(at(7));
        let config = KvConfig { delete_version_after: Lifetime::After(9), ..KvConfig::default() };
        meta.add(Stage::Current, at(8), &config);
        meta.add(Stage::Current, at(9), &KvConfig::default());
        meta.label(Stage::Named("blue".to_owned()), number(1));
        meta.custom.insert("owner".to_owned(), "web".to_owned());
        let text = serde_json::to_string(&meta).unwrap();
        assert_eq!(serde_json::from_str::<SecretMetadata>(&text).unwrap(), meta, "{text}");
    }
}
