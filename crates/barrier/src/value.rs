use serde::{Deserialize, Serialize};
use strongroom_model::{MountId, NamespaceId, SecretId, VersionNumber};

/// The key of one secret, wrapped; kept in the secret's own record. Deleting it shreds every version.
#[derive(Clone, Serialize, Deserialize)]
pub struct SealedKey(pub(crate) Vec<u8>);

/// One version's value: sealed under a single-use key, which is wrapped beside it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SealedValue(pub(crate) Vec<u8>);

impl SealedValue {
    /// The bytes as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes stored bytes; whether they are genuine shows when they are opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// What a sealed value belongs to; opening it as anything else fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueBinding {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The mount.
    pub mount: MountId,
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: VersionNumber,
}
