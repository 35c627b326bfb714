use super::making::Making;
use super::record::SealRecord;
use super::{SealKind, StaticKey};
use crate::fresh::Freshness;
use crate::interior::{Beginning, Interior};
use crate::keys::Keys;
use crate::opening::{Ground, first_head};
use crate::place::{HEAD, SEAL};
use crate::{Barrier, BarrierError, Share};
use std::sync::Arc;
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, SecretBytes, Timestamp};
use strongroom_storage::{Committed, Compare, Expectation, IdemToken, Op, Revision, Txn};
use uuid::Uuid;

/// A slot to be made at initialisation.
pub enum SlotSpec {
    /// Split a fresh key into shares.
    Shamir {
        /// How many shares, 1 to 255.
        shares: u8,
        /// How many of them open, 1 to `shares` (at least 2 when there is more than one share).
        threshold: u8,
    },
    /// Wrap under this 32-byte key.
    Static {
        /// The key, as the key file holds it.
        key: SecretBytes,
    },
}

/// How to initialise.
pub struct Init {
    /// At least one slot; any one of them will open.
    pub slots: Vec<SlotSpec>,
}

/// What initialising made: the shares are shown once and kept nowhere.
pub struct InitOutcome {
    /// The shares of the Shamir slot, if there is one.
    pub shares: Vec<Share>,
    /// The open barrier.
    pub barrier: Arc<Barrier>,
}

/// A store that was never initialised.
pub struct Uninitialised {
    ground: Ground,
}

impl Uninitialised {
    pub(crate) fn new(ground: Ground) -> Self {
        Self { ground }
    }

    /// Makes keys, slots and an empty barrier; refused with `Conflict` when somebody else was quicker. `now` is when the
    /// first term begins.
    pub async fn init(&self, init: Init, now: Timestamp) -> Result<InitOutcome, BarrierError> {
        let entropy = &*self.ground.entropy;
        check_slots(&init.slots)?;
        let cluster = random_uuid(entropy);
        let root = LockedKey::make(|key| entropy.fill(key));
        let making = Making::new(cluster, root, entropy)?;
        let mut slots = Vec::new();
        let mut shares = Vec::new();
        for spec in &init.slots {
            slots.push(match spec {
                SlotSpec::Shamir { shares: count, threshold } => making.shamir(*count, *threshold, &mut shares).await?,
                SlotSpec::Static { key } => {
                    making.slot(&StaticKey::parse(key.expose())?, random_uuid(entropy), None).await?
                }
            });
        }
        let keys = Keys::generate(cluster.into_bytes(), &making.root, entropy, now)?;
        let seal = SealRecord::new(cluster, slots, keys.wrap(&keys.ring(), entropy)?);
        let bytes = seal.encode()?;
        let (head, sealed_head) = first_head(&keys, &bytes, entropy)?;
        let rev = self.store_first(bytes, sealed_head).await?;
        let beginning = Beginning { keys, fresh: Freshness::new(), head, head_rev: rev, seal, seal_rev: rev };
        Ok(InitOutcome { shares, barrier: Barrier::start(Interior::new(&self.ground, beginning)) })
    }

    async fn store_first(&self, seal: Vec<u8>, head: Vec<u8>) -> Result<Revision, BarrierError> {
        let absent = |key: &[u8]| Compare { key: key.to_vec(), expect: Expectation::Absent };
        let put = |key: &[u8], value| Op::Put { key: key.to_vec(), value };
        let idem = IdemToken(self.ground.entropy.array());
        let txn = Txn { compares: vec![absent(SEAL), absent(HEAD)], ops: vec![put(SEAL, seal), put(HEAD, head)], idem };
        let committed = match self.ground.store.commit(self.ground.epoch, txn).await? {
            Committed::Unknown => self.ground.store.outcome(idem).await?,
            known => known,
        };
        match committed {
            Committed::At(rev) => Ok(rev),
            Committed::Conflict(_) => Err(BarrierError::Conflict),
            Committed::Fenced => Err(BarrierError::Superseded),
            Committed::Unknown => Err(BarrierError::Unknown),
        }
    }
}

pub(crate) fn check_slots(slots: &[SlotSpec]) -> Result<(), BarrierError> {
    let refuse = |text: &str| Err(BarrierError::Seal(text.to_owned()));
    let shamir: Vec<_> = slots
        .iter()
        .filter_map(|slot| match slot {
            SlotSpec::Shamir { shares, threshold } => Some((*shares, *threshold)),
            SlotSpec::Static { .. } => None,
        })
        .collect();
    if slots.is_empty() {
        return refuse("a strongroom needs at least one slot that opens it; ask for unseal keys or name a key file");
    }
    match shamir.as_slice() {
        [] => Ok(()),
        [(0, _) | (_, 0)] => refuse("the number of unseal keys and the threshold must be at least 1"),
        [(shares, threshold)] if threshold > shares => {
            refuse("the threshold is larger than the number of unseal keys, so they could never open; lower it")
        }
        [(2.., 1)] => {
            refuse("with more than one unseal key the threshold must be at least 2; ask for one key, or raise it")
        }
        [_] => Ok(()),
        _ => refuse("only one set of unseal keys can be made at initialisation"),
    }
}

pub(crate) fn random_uuid(entropy: &dyn Entropy) -> Uuid {
    uuid::Builder::from_random_bytes(entropy.array()).into_uuid()
}

impl SealKind {
    /// Which of the slots people should hear of: the one that opens by itself, as OpenBao and Vault name the seal that does.
    pub(crate) fn shown(record: &SealRecord) -> Self {
        if record.slots_of(SealKind::Static).next().is_some() { SealKind::Static } else { SealKind::Shamir }
    }
}
