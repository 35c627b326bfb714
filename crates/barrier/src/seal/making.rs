use super::record::{Hexed, ShamirRecord, SlotRecord};
use super::slot::{ShamirKey, SlotKey, check_of};
use super::uninitialised::random_uuid;
use crate::{BarrierError, Share};
use strongroom_memory::LockedKey;
use strongroom_model::Entropy;
use uuid::Uuid;

/// The root key and where it goes, while slots are made.
pub(crate) struct Making<'a> {
    cluster: Uuid,
    pub(crate) root: LockedKey,
    check: [u8; 16],
    entropy: &'a dyn Entropy,
}

impl<'a> Making<'a> {
    pub(crate) fn new(cluster: Uuid, root: LockedKey, entropy: &'a dyn Entropy) -> Result<Self, BarrierError> {
        Ok(Self { cluster, check: check_of(&root)?, root, entropy })
    }

    pub(crate) async fn shamir(
        &self,
        count: u8,
        threshold: u8,
        shares: &mut Vec<Share>,
    ) -> Result<SlotRecord, BarrierError> {
        let key = ShamirKey::generate(self.entropy);
        let set = self.entropy.array();
        let points = key.split(count, threshold, self.entropy);
        shares.extend(points.into_iter().map(|point| Share::new(point, set, threshold)));
        let commitments = shares.iter().map(|share| Hexed(share.commitment(set))).collect();
        let shamir = ShamirRecord { shares: count, threshold, set: Hexed(set), commitments };
        self.slot(&key, random_uuid(self.entropy), Some(shamir)).await
    }

    pub(crate) async fn slot(
        &self,
        key: &dyn SlotKey,
        id: Uuid,
        shamir: Option<ShamirRecord>,
    ) -> Result<SlotRecord, BarrierError> {
        let wrapped = key.wrap(self.cluster, id, &self.root, self.entropy).await?;
        Ok(SlotRecord { kind: key.kind(), id, wrapped: Hexed(wrapped), check: Hexed(self.check), shamir })
    }
}
