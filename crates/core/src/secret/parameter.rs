//! What a dialect of parameters notes with a secret: for each version its type and what was said of it, and how the name
//! was spelled. The secret itself, its versions and labels are the same as for every other dialect; a version that
//! another one wrote has no notes.

use super::head::SecretMetadata;
use super::particular::Sighting;
use super::read::{SecretVersion, Seen};
use super::store::Secrets;
use crate::{CoreError, Grant, SecretAct};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strongroom_model::{Stage, Timestamp, VersionNumber, VersionSelector};

/// What was noted of a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParameterNotes {
    /// The name was written without a slash before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bare: bool,
    /// What was said of each version.
    pub versions: BTreeMap<VersionNumber, VersionNotes>,
    /// Rules for the parameter as a whole, as they were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

/// What was said of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionNotes {
    /// Its type.
    pub kind: ParameterKind,
    /// What its value is, as its writer said.
    pub data_type: String,
    /// Whether it is of the larger tier.
    pub advanced: bool,
    /// What people say it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The expression that the value must match.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pattern: String,
    /// The key that the caller wants it sealed with; the barrier's keys seal it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Who wrote it.
    pub writer: String,
}

/// The type of a parameter. What nobody gave a type is taken for a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterKind {
    /// Text.
    String,
    /// Texts with commas between them.
    StringList,
    /// A secret.
    #[default]
    SecureString,
}

/// What is to be noted with a version that is about to be written.
#[derive(Clone)]
pub struct ParameterChange {
    /// The number of versions ever written when the caller looked: else somebody else was quicker (`Stale`).
    pub newest: u64,
    /// The name was written without a slash before it; counts for a new one.
    pub bare: bool,
    /// What is said of the version.
    pub notes: VersionNotes,
    /// Rules for the parameter as a whole.
    pub policies: Vec<String>,
    /// When the parameter ends by these rules.
    pub expires: Option<Timestamp>,
}

/// A secret, and one version of it if that can be read.
pub struct Sighted {
    /// The secret.
    pub secret: Sighting,
    /// The version.
    pub version: Option<SecretVersion>,
}

impl ParameterChange {
    pub(super) fn apply(&self, meta: &mut SecretMetadata) -> Result<(), CoreError> {
        if meta.newest != self.newest {
            return Err(CoreError::Stale("somebody else wrote a version at the same time; read it again and retry"));
        }
        let known: Vec<VersionNumber> = meta.versions.keys().copied().collect();
        let more = meta.particulars_mut();
        more.expires = self.expires;
        let noted = more.parameter.get_or_insert_default();
        noted.bare = if self.newest == 0 { self.bare } else { noted.bare };
        noted.versions.retain(|number, _| known.contains(number));
        let number = VersionNumber::new(self.newest).map_or(VersionNumber::FIRST, VersionNumber::next);
        noted.versions.insert(number, self.notes.clone());
        noted.policies.clone_from(&self.policies);
        Ok(())
    }
}

impl Sighting {
    /// What was noted of a version; for one that another dialect wrote, what holds without notes.
    pub fn parameter(&self, number: VersionNumber) -> VersionNotes {
        let noted = self.meta.particulars().parameter.as_ref().and_then(|noted| noted.versions.get(&number));
        noted.cloned().unwrap_or_default()
    }

    /// The labels of the user's own that point at a version.
    pub fn labels(&self, number: VersionNumber) -> Vec<String> {
        let name = |stage| match stage {
            Stage::Named(name) => Some(name),
            _ => None,
        };
        self.meta.stages_of(number).into_iter().filter_map(name).collect()
    }
}

impl Secrets {
    /// Reads a version, and what is known of the secret. `Nothing` when there is no such secret, or its day has come.
    pub async fn see(&self, grant: &Grant, selector: &VersionSelector) -> Result<Sighted, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Read)?;
        let found = self.find_for(grant, mount, path).await?;
        let secret = Sighting { id: found.head.value.id, meta: found.head.value.meta.clone() };
        let lacks = secret.meta.lacks(selector, self.clock.now());
        if secret.meta.is_past(self.clock.now()) {
            grant.note_missing(lacks);
            return Err(CoreError::Nothing);
        }
        let seen = self.look_in(mount, &found, selector).await;
        if !matches!(seen, Ok(Seen::Here(_))) {
            grant.note_missing(lacks);
        }
        let version = match seen {
            Ok(Seen::Here(version)) => Some(version),
            Ok(Seen::Gone(_)) | Err(CoreError::Nothing) => None,
            Err(error) => return Err(error),
        };
        Ok(Sighted { secret, version })
    }

    /// What is known of the granted secret, for a decision about the granted act; `None` when there is none, or its day
    /// has come.
    pub async fn granted_sight(&self, grant: &Grant) -> Result<Option<Sighting>, CoreError> {
        let (mount, path) = grant.any_secret()?;
        let found = self.find(mount, path).await?;
        let found = found.filter(|found| !found.head.value.meta.is_past(self.clock.now()));
        Ok(found.map(|found| Sighting { id: found.head.value.id, meta: found.head.value.meta.clone() }))
    }

    /// Puts labels on a version (none named: the one in force), taking them from any other. `NotFound` when there is no
    /// such version, `TooLarge` when it would have more than so many.
    pub async fn label_version(
        &self,
        grant: &Grant,
        number: Option<VersionNumber>,
        labels: &[String],
        most: usize,
    ) -> Result<VersionNumber, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let mut labelled = VersionNumber::FIRST;
        let change = |meta: &mut SecretMetadata| {
            super::staged::alive(meta)?;
            let at = number.or(meta.current()).filter(|number| meta.versions.contains_key(number));
            labelled = at.ok_or_else(no_version)?;
            for label in labels {
                meta.stages.insert(Stage::Named(label.clone()), labelled);
            }
            let named = |stage: &&Stage| matches!(stage, Stage::Named(_));
            if meta.stages_of(labelled).iter().filter(named).count() > most {
                return Err(CoreError::TooLarge(format!("a version has at most {most} labels")));
            }
            Ok(())
        };
        self.adjust_granted(grant, mount, path, change).await?;
        Ok(labelled)
    }

    /// Takes labels from a version, and gives back those that it had. `NotFound` when there is no such version.
    pub async fn unlabel_version(
        &self,
        grant: &Grant,
        number: VersionNumber,
        labels: &[String],
    ) -> Result<Vec<String>, CoreError> {
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let mut taken = Vec::new();
        let change = |meta: &mut SecretMetadata| {
            super::staged::alive(meta)?;
            if !meta.versions.contains_key(&number) {
                return Err(no_version());
            }
            taken.clear();
            for label in labels {
                let stage = Stage::Named(label.clone());
                if meta.stages.get(&stage) == Some(&number) {
                    meta.stages.remove(&stage);
                    taken.push(label.clone());
                }
            }
            Ok(())
        };
        self.adjust_granted(grant, mount, path, change).await?;
        Ok(taken)
    }
}

fn no_version() -> CoreError {
    CoreError::NotFound("there is no such version; look at the history".to_owned())
}
