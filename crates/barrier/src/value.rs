//! Values of versioned secrets: each under a key used once, which is wrapped by the secret's key, which is wrapped by
//! the namespace's. Whoever deletes the secret's key has made every version of it unreadable.

use crate::BarrierError;
use crate::blob::{self, Binding, KeyKind, OVERHEAD};
use crate::codec::Put;
use crate::keys::sealing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_memory::LockedKey;
use strongroom_model::{Drawn, Entropy, MountId, NamespaceId, SecretBytes, SecretId, VersionNumber};

/// The key of one secret, wrapped; kept in the secret's own record. Deleting it shreds every version.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedKey(Sealed);

/// One version's value: sealed under a single-use key, which is wrapped beside it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedValue(Sealed);

/// Ciphertext; base64 in text formats.
#[derive(Clone)]
struct Sealed(Vec<u8>);

impl SealedValue {
    /// The bytes as they are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }

    /// The wrapped key, and the value under it.
    fn parts(&self) -> Option<(&[u8], &[u8])> {
        self.as_bytes().split_at_checked(WRAPPED)
    }

    /// Takes stored bytes; whether they are genuine shows when they are opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Sealed(bytes))
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD_NO_PAD.decode(text).map(Self).map_err(|_| D::Error::custom("sealed bytes are not base64"))
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

impl ValueBinding {
    fn place(&self) -> Vec<u8> {
        let mut place = Vec::with_capacity(40);
        place.raw(self.mount.as_bytes()).raw(self.secret.as_bytes()).u64(self.version.get());
        place
    }
}

const SECRET_KEY: &str = "secret-key";
const DATA_KEY: &str = "data-key";
const VALUE: &str = "value";
/// A wrapped 32-byte key.
const WRAPPED: usize = 32 + OVERHEAD;

/// The key of a new secret, open and wrapped. Salts may be drawn elsewhere than keys.
fn make_key(
    cluster: [u8; 16],
    above: &LockedKey,
    namespace: NamespaceId,
    secret: SecretId,
    (entropy, salts): (&dyn Entropy, &dyn Entropy),
) -> Result<(LockedKey, SealedKey), BarrierError> {
    let key = LockedKey::make(|key| entropy.fill(key));
    let binding = Binding { cluster, namespace, kind: SECRET_KEY, place: secret.as_bytes() };
    let sealed = blob::seal(above, KeyKind::Namespace, 1, &binding, key.expose(), salts).map_err(sealing)?;
    Ok((key, SealedKey(Sealed(sealed))))
}

pub(crate) fn new_key(
    cluster: [u8; 16],
    above: &LockedKey,
    namespace: NamespaceId,
    secret: SecretId,
    entropy: &dyn Entropy,
) -> Result<SealedKey, BarrierError> {
    make_key(cluster, above, namespace, secret, (entropy, entropy)).map(|(_, sealed)| sealed)
}

/// The key of a new secret, and a value under it.
pub(crate) fn first(
    cluster: [u8; 16],
    above: &LockedKey,
    binding: ValueBinding,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<(SealedKey, SealedValue), BarrierError> {
    // Salts of three objects. Keys are drawn one by one, each straight into its locked page.
    let salts = Drawn::for_now(entropy, 3 * blob::SALT);
    let (key, sealed) = make_key(cluster, above, binding.namespace, binding.secret, (entropy, &salts))?;
    Ok((sealed, seal_under(cluster, &key, binding, plain, (entropy, &salts))?))
}

pub(crate) fn seal(
    cluster: [u8; 16],
    above: &LockedKey,
    key: &SealedKey,
    binding: ValueBinding,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<SealedValue, BarrierError> {
    let secret_key = open_key(cluster, above, key, binding)?;
    seal_under(cluster, &secret_key, binding, plain, (entropy, entropy))
}

fn seal_under(
    cluster: [u8; 16],
    secret_key: &LockedKey,
    binding: ValueBinding,
    plain: &[u8],
    (entropy, salts): (&dyn Entropy, &dyn Entropy),
) -> Result<SealedValue, BarrierError> {
    let data_key = LockedKey::make(|key| entropy.fill(key));
    let place = binding.place();
    let bound = |kind| Binding { cluster, namespace: binding.namespace, kind, place: &place };
    let wrapped = blob::seal(secret_key, KeyKind::Secret, 1, &bound(DATA_KEY), data_key.expose(), salts);
    let mut bytes = wrapped.map_err(sealing)?;
    bytes.extend(blob::seal(&data_key, KeyKind::Data, 1, &bound(VALUE), plain, salts).map_err(sealing)?);
    Ok(SealedValue(Sealed(bytes)))
}

/// What opens one version's value, without the three keys above it: for values that are read again and again. As worth
/// protecting as the value; nothing of it is printed, and the library wipes the key when it is dropped.
pub struct ValueOpener(blob::Opener);

impl ValueOpener {
    pub(crate) fn of(
        cluster: [u8; 16],
        above: &LockedKey,
        key: &SealedKey,
        binding: ValueBinding,
        sealed: &SealedValue,
    ) -> Result<Self, BarrierError> {
        let secret_key = open_key(cluster, above, key, binding)?;
        let place = binding.place();
        let bound = |kind| Binding { cluster, namespace: binding.namespace, kind, place: &place };
        let opener = sealed.parts().and_then(|(wrapped, body)| {
            let data_key = blob::open(&secret_key, KeyKind::Secret, &bound(DATA_KEY), wrapped).ok()?;
            let data_key = LockedKey::from_slice(data_key.expose())?;
            blob::Opener::of(&data_key, KeyKind::Data, &bound(VALUE), body).ok()
        });
        opener.map(Self).ok_or_else(|| BarrierError::tampered(VALUE, "altered"))
    }

    pub(crate) fn open(&self, sealed: &SealedValue) -> Result<SecretBytes, BarrierError> {
        let opened = sealed.parts().and_then(|(_, body)| self.0.open(body).ok());
        opened.ok_or_else(|| BarrierError::tampered(VALUE, "altered"))
    }
}

fn open_key(
    cluster: [u8; 16],
    above: &LockedKey,
    key: &SealedKey,
    binding: ValueBinding,
) -> Result<LockedKey, BarrierError> {
    let bound = Binding { cluster, namespace: binding.namespace, kind: SECRET_KEY, place: binding.secret.as_bytes() };
    let plain = blob::open(above, KeyKind::Namespace, &bound, &key.0.0).ok();
    plain
        .and_then(|plain| LockedKey::from_slice(plain.expose()))
        .ok_or_else(|| BarrierError::tampered(SECRET_KEY, "altered"))
}
