use super::quorum::{join, shamir_slot};
use super::record::{SealRecord, ShamirRecord};
use super::slot::{SlotKey, root_key};
use super::{Quorum, SealKind, SealStatus, StaticKey};
use crate::keys::Keys;
use crate::opening::Ground;
use crate::ring::wrapping_key;
use crate::shamir::Point;
use crate::{Barrier, BarrierError, Share, ShareError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strongroom_memory::LockedKey;
use strongroom_model::SecretBytes;
use strongroom_storage::Entry;

/// A closed store, collecting shares.
pub struct Sealed {
    ground: Ground,
    record: SealRecord,
    /// The record as it is stored; the freshness head vouches for its bytes.
    row: Entry,
    /// Exists from the first share on.
    collection: Mutex<Option<Quorum>>,
}

/// What handing in a share led to.
pub enum Opening {
    /// More shares are needed.
    Progress(SealStatus),
    /// The keys are there.
    Open(Arc<Barrier>),
}

impl Sealed {
    pub(crate) fn new(ground: Ground, row: Entry) -> Result<Self, BarrierError> {
        let record = SealRecord::decode(&row.value)?;
        Ok(Self { ground, record, row, collection: Mutex::new(None) })
    }

    /// What may be told to anybody.
    pub fn status(&self) -> SealStatus {
        self.status_with(self.collection().as_ref())
    }

    /// Takes one share. A mistyped or foreign one is refused at once and does not disturb the collection; one that was
    /// already handed in changes nothing. When the last one needed does not lead to the keys, all are forgotten.
    pub async fn submit(&self, share: Share) -> Result<Opening, BarrierError> {
        let (slot, shamir) = shamir_slot(&self.record)?;
        let Some(points) = self.collect(&share, shamir)? else {
            return Ok(Opening::Progress(self.status()));
        };
        let root = join(&points, self.record.cluster_id, slot).await?;
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

    fn collection(&self) -> MutexGuard<'_, Option<Quorum>> {
        self.collection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status_with(&self, collection: Option<&Quorum>) -> SealStatus {
        let progress = collection.map_or(0, Quorum::count);
        let nonce = collection.map(|collection| collection.nonce().to_owned()).unwrap_or_default();
        SealStatus { progress, nonce, ..status_of(&self.record) }
    }

    /// Adds the share. Gives the shares out, and forgets them, when they are enough.
    fn collect(&self, share: &Share, shamir: &ShamirRecord) -> Result<Option<Vec<Point>>, ShareError> {
        let mut collection = self.collection();
        let mut quorum = collection.take().unwrap_or_else(|| Quorum::new(&*self.ground.entropy));
        let result = quorum.add(share, shamir);
        if quorum.count() > 0 {
            *collection = Some(quorum);
        }
        result
    }

    async fn open(&self, root: LockedKey) -> Result<Arc<Barrier>, BarrierError> {
        let keys = Keys::unwrap(self.record.cluster_id.into_bytes(), wrapping_key(&root)?, &self.record.keyring.0)?;
        drop(root);
        self.open_with(keys).await
    }

    pub(crate) fn record(&self) -> &SealRecord {
        &self.record
    }

    pub(crate) async fn open_with(&self, keys: Keys) -> Result<Arc<Barrier>, BarrierError> {
        self.ground.open(keys, &self.row, self.record.clone()).await.map(Barrier::start)
    }
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
