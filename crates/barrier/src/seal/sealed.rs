use super::record::{SealRecord, ShamirRecord, SlotRecord};
use super::slot::{ShamirKey, SlotKey, root_key};
use super::uninitialised::random_uuid;
use super::{SealKind, SealStatus, StaticKey};
use crate::keys::Keys;
use crate::opening::Ground;
use crate::shamir::Point;
use crate::{Barrier, BarrierError, Share, ShareError};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strongroom_memory::LockedKey;
use strongroom_model::SecretBytes;

/// A closed store, collecting shares.
pub struct Sealed {
    ground: Ground,
    record: SealRecord,
    /// The record's bytes, which the freshness head vouches for.
    bytes: Vec<u8>,
    collection: Mutex<Option<Collection>>,
}

/// Shares handed in so far, by number; exists from the first one on.
struct Collection {
    nonce: String,
    points: BTreeMap<u8, Point>,
}

/// What handing in a share led to.
pub enum Opening {
    /// More shares are needed.
    Progress(SealStatus),
    /// The keys are there.
    Open(Arc<Barrier>),
}

impl Sealed {
    pub(crate) fn new(ground: Ground, bytes: Vec<u8>) -> Result<Self, BarrierError> {
        let record = SealRecord::decode(&bytes)?;
        Ok(Self { ground, record, bytes, collection: Mutex::new(None) })
    }

    /// What may be told to anybody.
    pub fn status(&self) -> SealStatus {
        self.status_with(self.collection().as_ref())
    }

    /// Takes one share. A mistyped or foreign one is refused at once and does not disturb the collection; one that was
    /// already handed in changes nothing. When the last one needed does not lead to the keys, all are forgotten.
    pub async fn submit(&self, share: Share) -> Result<Opening, BarrierError> {
        let (slot, shamir) = self.shamir().ok_or(ShareError::NoSlot)?;
        check_share(&share, shamir)?;
        let Some(points) = self.collect(share, shamir.threshold) else {
            return Ok(Opening::Progress(self.status()));
        };
        let root = root_key(&ShamirKey::join(&points), self.record.cluster_id, slot).await?;
        self.open(root).await.map(Opening::Open)
    }

    /// Forgets the shares handed in so far.
    pub fn reset(&self) {
        self.collection().take();
    }

    /// Opens by a static slot; `key` is the content of the key file.
    pub async fn open_static(&self, key: &SecretBytes) -> Result<Arc<Barrier>, BarrierError> {
        let key = StaticKey::parse(key.expose())?;
        let mut last =
            BarrierError::Seal("this strongroom does not open with a key file; it opens with unseal keys".to_owned());
        for slot in self.record.slots_of(key.kind()) {
            match root_key(&key, self.record.cluster_id, slot).await {
                Ok(root) => return self.open(root).await,
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether there is a slot of that kind.
    pub fn has(&self, kind: SealKind) -> bool {
        self.record.slots_of(kind).next().is_some()
    }

    fn collection(&self) -> MutexGuard<'_, Option<Collection>> {
        self.collection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status_with(&self, collection: Option<&Collection>) -> SealStatus {
        let progress = collection.map_or(0, |collection| u8::try_from(collection.points.len()).unwrap_or(u8::MAX));
        let nonce = collection.map(|collection| collection.nonce.clone()).unwrap_or_default();
        SealStatus { progress, nonce, ..status_of(&self.record) }
    }

    /// Adds the share. Gives the shares out, and forgets them, when they are enough.
    fn collect(&self, share: Share, threshold: u8) -> Option<Vec<Point>> {
        let mut collection = self.collection();
        let fresh = || Collection { nonce: random_uuid(&*self.ground.entropy).to_string(), points: BTreeMap::new() };
        let points = &mut collection.get_or_insert_with(fresh).points;
        points.insert(share.index(), share.point());
        if points.len() < usize::from(threshold) {
            return None;
        }
        Some(collection.take()?.points.into_values().collect())
    }

    fn shamir(&self) -> Option<(&SlotRecord, &ShamirRecord)> {
        self.record.slots.iter().find_map(|slot| Some((slot, slot.shamir.as_ref()?)))
    }

    async fn open(&self, root: LockedKey) -> Result<Arc<Barrier>, BarrierError> {
        let keys = Keys::unwrap(self.record.cluster_id.into_bytes(), &root, &self.record.keyring.0)?;
        let interior = self.ground.open(keys, &self.bytes).await?;
        Ok(Barrier::start(interior, status_of(&self.record)))
    }
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

/// The status with no collection under way.
pub(crate) fn status_of(record: &SealRecord) -> SealStatus {
    let shamir = record.slots.iter().find_map(|slot| slot.shamir.as_ref());
    SealStatus {
        kind: SealKind::shown(record),
        shares: shamir.map_or(0, |shamir| shamir.shares),
        threshold: shamir.map_or(0, |shamir| shamir.threshold),
        progress: 0,
        nonce: String::new(),
        cluster_id: record.cluster_id.to_string(),
    }
}
