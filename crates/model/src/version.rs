use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of a version of one secret: 1, 2, 3 ... Never reused, not even after the version was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionNumber(u64);

impl VersionNumber {
    /// The version with this number. There is no version 0.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The first version of any secret.
    pub const FIRST: VersionNumber = VersionNumber(1);

    /// The number, from 1.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A label that points at one version of a secret. A version under no stage is only reachable by its number.
///
/// The words are those of AWS Secrets Manager, because of the four foreign APIs it is the one that shows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// What a reader gets who asks for no version: `AWSCURRENT`.
    #[serde(rename = "AWSCURRENT")]
    Current,
    /// Written but not yet in force (a rotation under way): `AWSPENDING`.
    #[serde(rename = "AWSPENDING")]
    Pending,
    /// What was current before: `AWSPREVIOUS`.
    #[serde(rename = "AWSPREVIOUS")]
    Previous,
    /// A label of the user's own.
    #[serde(untagged)]
    Named(String),
}

/// Which version of a secret is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VersionSelector {
    /// The one under the stage `Current`; Vault: no `version`, or `version=0`.
    Current,
    /// The one with this number.
    Number(VersionNumber),
    /// The one under this stage.
    Stage(Stage),
}
