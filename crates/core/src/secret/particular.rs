//! What a secret has besides versions and notes once a dialect asks for it: a description, tags, ids that callers chose
//! for versions, a day of deletion. A secret that never met such a dialect has none of it, and its head is as small as
//! ever.

use super::head::SecretMetadata;
use super::parameter::ParameterNotes;
use crate::CoreError;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strongroom_model::{SecretId, Stage, Timestamp, VersionNumber};

/// What only some dialects ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Particulars {
    /// What people say it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The name of the key that the caller wants it sealed with. Kept and shown; the barrier's keys seal it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Tags; `None` before the first: who removed all has an empty map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Ids that callers chose; the other versions have derived ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub version_ids: BTreeMap<VersionNumber, VersionId>,
    /// The id of a version in preparation that has no value yet; it bears `Pending`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<VersionId>,
    /// Set while the secret waits for its deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// The day it was last read through a dialect that shows it, in days since 1970-01-01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_day: Option<u64>,
    /// A policy of the secret's own, in the words of the dialect that set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How it rotates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSetting>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What a dialect of parameters noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<ParameterNotes>,
}

/// When a secret was given up, and when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When somebody asked for it.
    pub marked: Timestamp,
    /// From when on it is shredded.
    pub due: Timestamp,
}

/// How a secret is to rotate: kept and shown here, carried out by who rotates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RotationSetting {
    /// Whether it rotates by itself.
    pub enabled: bool,
    /// The name of what carries it out, as the caller wrote it.
    pub function: Option<String>,
    /// Days between two rotations.
    pub every_days: Option<u32>,
    /// `rate(...)` or `cron(...)`, as the caller wrote it.
    pub schedule: Option<String>,
    /// How long the window is in which it may begin, as the caller wrote it.
    pub window: Option<String>,
    /// When it last rotated.
    pub last: Option<Timestamp>,
    /// When it is to rotate next.
    pub next: Option<Timestamp>,
}

/// The id of a version where a dialect has ids in place of numbers: 32 to 64 visible characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(String);

impl VersionId {
    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, CoreError> {
        if (32..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(CoreError::Invalid("the id of a version has 32 to 64 visible ASCII characters".to_owned()))
    }

    /// The id of a version that nobody chose one for: a UUID of the custom kind (RFC 9562, section 5.8) made of the
    /// secret's id and the number, so that it is the same whenever it is asked for.
    fn derived(secret: SecretId, number: VersionNumber) -> Self {
        let mut input = [0; 24];
        let (id, rest) = input.split_at_mut(16);
        id.copy_from_slice(secret.as_bytes());
        rest.copy_from_slice(&number.get().to_be_bytes());
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(digest(&SHA256, &input).as_ref()) {
            *byte = *hashed;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SecretMetadata {
    /// The particulars, empty ones when there are none.
    pub fn particulars(&self) -> &Particulars {
        static NONE: std::sync::LazyLock<Particulars> = std::sync::LazyLock::new(Particulars::default);
        self.more.as_deref().unwrap_or(&NONE)
    }

    pub(super) fn particulars_mut(&mut self) -> &mut Particulars {
        self.more.get_or_insert_default()
    }

    /// Whether the secret waits for its deletion.
    pub fn is_marked(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.deletion.is_some())
    }

    /// The id of a version.
    pub fn version_id(&self, secret: SecretId, number: VersionNumber) -> VersionId {
        let chosen = self.more.as_ref().and_then(|more| more.version_ids.get(&number));
        chosen.cloned().unwrap_or_else(|| VersionId::derived(secret, number))
    }

    /// The version with that id.
    pub fn version_of(&self, secret: SecretId, id: &VersionId) -> Option<VersionNumber> {
        let ids = &self.particulars().version_ids;
        let chosen = ids.iter().find(|(number, known)| *known == id && self.versions.contains_key(number));
        if let Some((number, _)) = chosen {
            return Some(*number);
        }
        let derived = self.versions.keys().rev().filter(|number| !ids.contains_key(number));
        derived.copied().find(|number| VersionId::derived(secret, *number) == *id)
    }

    /// The labels that point at a version.
    pub fn stages_of(&self, number: VersionNumber) -> Vec<Stage> {
        self.stages.iter().filter(|(_, at)| **at == number).map(|(stage, _)| stage.clone()).collect()
    }
}

/// A secret as it was seen: its id and what is known of it.
#[derive(Clone)]
pub struct Sighting {
    /// Its id.
    pub id: SecretId,
    /// What is known of it.
    pub meta: SecretMetadata,
}

impl Sighting {
    /// Six letters and digits that tell this secret from an earlier one of the same name.
    pub fn suffix(&self) -> String {
        suffix(self.id)
    }

    /// The id of a version.
    pub fn version_id(&self, number: VersionNumber) -> VersionId {
        self.meta.version_id(self.id, number)
    }
}

/// Six letters and digits made of a secret's id.
pub fn suffix(id: SecretId) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = digest(&SHA256, id.as_bytes());
    let letter = |byte: &u8| LETTERS.get(usize::from(byte % 62)).map_or('0', |letter| char::from(*letter));
    hash.as_ref().iter().take(6).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_the_same_each_time_and_differ_by_version() {
        let secret = SecretId::from_bytes([7; 16]);
        let id = |n| VersionId::derived(secret, VersionNumber::new(n).unwrap());
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
        assert_eq!(VersionId::parse(id(1).as_str()).unwrap(), id(1));
        assert_eq!(suffix(secret).len(), 6);
        assert_ne!(suffix(secret), suffix(SecretId::from_bytes([8; 16])));
    }

    #[test]
    fn ids_have_the_length_of_aws() {
        for (length, fits) in [(31, false), (32, true), (64, true), (65, false)] {
            assert_eq!(VersionId::parse(&"x".repeat(length)).is_ok(), fits, "{length}");
        }
        assert!(VersionId::parse(&" ".repeat(40)).is_err());
    }
}
