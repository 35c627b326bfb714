use super::record::{SealRecord, ShamirRecord, SlotRecord};
use super::slot::{ShamirKey, SlotKey, root_key};
use super::uninitialised::random_uuid;
use crate::shamir::Point;
use crate::share::SetId;
use crate::{BarrierError, Share, ShareError};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::collections::BTreeMap;
use strongroom_memory::LockedKey;
use strongroom_model::Entropy;
use uuid::Uuid;

/// Shares that people hand in one by one until they are enough: to unseal, or to show that they agree to a ceremony.
///
/// A wrong share is refused by name and does not disturb those already there; the same share again changes nothing.
/// When unseal keys are replaced meanwhile, the collection begins anew with the next share.
pub struct Quorum {
    nonce: String,
    set: SetId,
    points: BTreeMap<u8, Point>,
}

/// What handing in a share to a ceremony led to.
pub enum Gathering {
    /// This many are there now; more are needed.
    Progress(u8),
    /// Enough, and they are the right ones.
    Complete(Quorate),
}

/// Proof that enough holders of unseal keys came together: their shares have opened the slot. Made by
/// [`crate::Barrier::hand_in`] alone; holds the root key, so it should not live long.
pub struct Quorate {
    pub(crate) root: LockedKey,
}

impl Quorum {
    /// An empty collection with a nonce of its own.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self { nonce: random_uuid(entropy).to_string(), set: SetId::default(), points: BTreeMap::new() }
    }

    /// Names this collection.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// How many different shares are there.
    pub fn count(&self) -> u8 {
        u8::try_from(self.points.len()).unwrap_or(u8::MAX)
    }

    /// Adds the share. Gives all out, and is empty again, when they are enough.
    pub(crate) fn add(&mut self, share: &Share, shamir: &ShamirRecord) -> Result<Option<Vec<Point>>, ShareError> {
        check_share(share, shamir)?;
        if self.set != shamir.set.0 {
            self.points.clear();
            self.set = shamir.set.0;
        }
        self.points.insert(share.index(), share.point());
        if self.points.len() < usize::from(shamir.threshold) {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.points).into_values().collect()))
    }
}

/// The root key that these points give through the slot; wrong ones fail.
pub(crate) async fn join(points: &[Point], cluster: Uuid, slot: &SlotRecord) -> Result<LockedKey, BarrierError> {
    root_key(&ShamirKey::join(points) as &dyn SlotKey, cluster, slot).await
}

/// The slot that opens with shares.
pub(crate) fn shamir_slot(record: &SealRecord) -> Result<(&SlotRecord, &ShamirRecord), ShareError> {
    record.slots.iter().find_map(|slot| Some((slot, slot.shamir.as_ref()?))).ok_or(ShareError::NoSlot)
}

/// Refuses a share that is surely not one of this slot's.
fn check_share(share: &Share, shamir: &ShamirRecord) -> Result<(), ShareError> {
    if let Some(theirs) = share.set().filter(|theirs| *theirs != shamir.set.0) {
        return Err(ShareError::Foreign { theirs: hex::encode(theirs), ours: hex::encode(shamir.set.0) });
    }
    let index = usize::from(share.index()).checked_sub(1);
    let known = index.and_then(|index| shamir.commitments.get(index)).ok_or(ShareError::Unknown)?;
    verify_slices_are_equal(&share.commitment(shamir.set.0), &known.0).map_err(|_| ShareError::Unknown)
}
