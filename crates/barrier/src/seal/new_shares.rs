use super::making::Making;
use super::quorum::{join, shamir_slot};
use super::record::{SealRecord, SlotRecord};
use super::uninitialised::check_slots;
use super::{Gathering, Quorate, Quorum, SlotSpec};
use crate::ring::{Ring, wrapping_key};
use crate::share::SetId;
use crate::{BarrierError, Share, ShareError};
use std::sync::Arc;
use strongroom_memory::LockedKey;
use strongroom_model::Entropy;
use uuid::Uuid;

/// A set of unseal keys that was made and is not in force: nothing is stored, the old ones still open.
pub struct NewShares {
    cluster: Uuid,
    slot: SlotRecord,
    /// The set whose place it takes.
    replaces: SetId,
    /// The root key that the slot leads to is another one than before.
    new_root: bool,
    wrapping: Arc<LockedKey>,
}

impl NewShares {
    /// Makes shares. When nothing but shares opens the strongroom, they lead to a new root key, so that the old shares
    /// with an old seal record do not open a keyring made later; a key file would have to be there to wrap a new one.
    pub(crate) async fn make(
        record: &SealRecord,
        quorate: &Quorate,
        (count, threshold): (u8, u8),
        entropy: &dyn Entropy,
    ) -> Result<(Self, Vec<Share>), BarrierError> {
        check_slots(&[SlotSpec::Shamir { shares: count, threshold }])?;
        let (_, old) = shamir_slot(record)?;
        let new_root = record.slots.len() == 1;
        let root =
            if new_root { LockedKey::make(|key| entropy.fill(key)) } else { LockedKey::copied(quorate.root.expose()) };
        let wrapping = Arc::new(wrapping_key(&root)?);
        let mut shares = Vec::new();
        let slot = Making::new(record.cluster_id, root, entropy)?.shamir(count, threshold, &mut shares).await?;
        Ok((Self { cluster: record.cluster_id, slot, replaces: old.set.0, new_root, wrapping }, shares))
    }

    /// How many there are, and how many of them are needed.
    pub fn counts(&self) -> (u8, u8) {
        self.slot.shamir.as_ref().map_or((0, 0), |shamir| (shamir.shares, shamir.threshold))
    }

    /// Takes one of the new shares from somebody who has kept it; complete when enough of them open what they are for.
    pub async fn hand_in(&self, quorum: &mut Quorum, share: &Share) -> Result<Gathering, BarrierError> {
        let shamir = self.slot.shamir.as_ref().ok_or(ShareError::NoSlot)?;
        match quorum.add(share, shamir)? {
            None => Ok(Gathering::Progress(quorum.count())),
            Some(points) => {
                let root = join(&points, self.cluster, &self.slot).await?;
                Ok(Gathering::Complete(Quorate { root }))
            }
        }
    }

    /// Record and ring with these in the place of the old ones. Refused when the old ones are not in force any more.
    pub(crate) fn replace_in(&self, mut record: SealRecord, ring: &Ring) -> Result<(SealRecord, Ring), BarrierError> {
        let alone = record.slots.len() == 1;
        let old = record.slots.iter_mut().find(|slot| slot.shamir.as_ref().is_some_and(|s| s.set.0 == self.replaces));
        let Some(old) = old.filter(|_| alone == self.new_root) else { return Err(BarrierError::Conflict) };
        *old = self.slot.clone();
        Ok((record, ring.under(Arc::clone(&self.wrapping))))
    }
}
