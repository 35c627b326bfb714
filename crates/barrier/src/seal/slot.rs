//! What a slot does with the root key. Shares and key files end in a 32-byte key in memory; devices and services that
//! keep their key to themselves fit behind the same trait, which is why it is asynchronous.

use super::record::SlotRecord;
use super::{SealKind, StaticKey};
use crate::BarrierError;
use crate::blob::{self, Binding, KeyKind};
use crate::shamir::{self, Point};
use async_trait::async_trait;
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, NamespaceId};
use uuid::Uuid;

/// One way to wrap the root key and to get it back.
#[async_trait]
pub(crate) trait SlotKey: Send + Sync {
    /// Which kind of slot this is.
    fn kind(&self) -> SealKind;

    /// Wraps the root key for the slot of this cluster.
    async fn wrap(
        &self,
        cluster: Uuid,
        slot: Uuid,
        root: &LockedKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, BarrierError>;

    /// Gets it back. Fails when this is not the key that wrapped it, or the slot was altered.
    async fn unwrap(&self, cluster: Uuid, slot: Uuid, wrapped: &[u8]) -> Result<LockedKey, BarrierError>;
}

/// A key that was split into shares, or joined from them.
pub(crate) struct ShamirKey(LockedKey);

impl ShamirKey {
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        Self(LockedKey::make(|key| entropy.fill(key)))
    }

    pub(crate) fn split(&self, shares: u8, threshold: u8, entropy: &dyn Entropy) -> Vec<Point> {
        shamir::split(&self.0, shares, threshold, entropy)
    }

    pub(crate) fn join(points: &[Point]) -> Self {
        Self(shamir::join(points))
    }
}

#[async_trait]
impl SlotKey for ShamirKey {
    fn kind(&self) -> SealKind {
        SealKind::Shamir
    }

    async fn wrap(
        &self,
        cluster: Uuid,
        slot: Uuid,
        root: &LockedKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, BarrierError> {
        wrap(&self.0, cluster, slot, root, entropy)
    }

    async fn unwrap(&self, cluster: Uuid, slot: Uuid, wrapped: &[u8]) -> Result<LockedKey, BarrierError> {
        unwrap(&self.0, cluster, slot, wrapped).ok_or_else(|| {
            BarrierError::Seal(
                "the unseal keys together do not open this strongroom; all of them were forgotten, hand them in again"
                    .to_owned(),
            )
        })
    }
}

#[async_trait]
impl SlotKey for StaticKey {
    fn kind(&self) -> SealKind {
        SealKind::Static
    }

    async fn wrap(
        &self,
        cluster: Uuid,
        slot: Uuid,
        root: &LockedKey,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, BarrierError> {
        wrap(&self.0, cluster, slot, root, entropy)
    }

    async fn unwrap(&self, cluster: Uuid, slot: Uuid, wrapped: &[u8]) -> Result<LockedKey, BarrierError> {
        unwrap(&self.0, cluster, slot, wrapped).ok_or_else(|| {
            BarrierError::Seal(
                "the key file does not open this strongroom; it is another one's, or was replaced".to_owned(),
            )
        })
    }
}

/// What shows that a root key is the one: the same for all slots, and of no use to find the key.
pub(crate) fn check_of(root: &LockedKey) -> Result<[u8; 16], BarrierError> {
    let derived = blob::derive_key(root, "root-key-check").map_err(|_| BarrierError::Library("derive a key"))?;
    Ok(derived.expose().first_chunk().copied().unwrap_or_default())
}

/// Opens the slot, and checks that what it gives is the root key of the seal.
pub(crate) async fn root_key(key: &dyn SlotKey, cluster: Uuid, slot: &SlotRecord) -> Result<LockedKey, BarrierError> {
    let root = key.unwrap(cluster, slot.id, &slot.wrapped.0).await?;
    let check = check_of(&root)?;
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(&check, &slot.check.0);
    same.map(|()| root).map_err(|_| BarrierError::tampered(super::KIND, "altered"))
}

fn wrap(
    key: &LockedKey,
    cluster: Uuid,
    slot: Uuid,
    root: &LockedKey,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, BarrierError> {
    let binding = binding(cluster, &slot);
    blob::seal(key, KeyKind::Slot, 1, &binding, root.expose(), entropy).map_err(crate::keys::sealing)
}

fn unwrap(key: &LockedKey, cluster: Uuid, slot: Uuid, wrapped: &[u8]) -> Option<LockedKey> {
    let plain = blob::open(key, KeyKind::Slot, &binding(cluster, &slot), wrapped).ok()?;
    LockedKey::from_slice(plain.expose())
}

fn binding(cluster: Uuid, slot: &Uuid) -> Binding<'_> {
    Binding { cluster: cluster.into_bytes(), namespace: NamespaceId::ROOT, kind: "root-key", place: slot.as_bytes() }
}
