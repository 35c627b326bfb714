//! What is done with the keys of an open barrier: a new term, and what takes the agreement of those who hold unseal keys.
//! Each is safe to interrupt anywhere: the store opens as before or as after. Who may ask is for the core to say.

use crate::change::SealChange;
use crate::committer::Work;
use crate::seal::{join, shamir_slot};
use crate::sweep::Progress;
use crate::{Barrier, BarrierError, Gathering, NewShares, Quorate, Quorum, Share};
use std::time::Duration;
use strongroom_model::Timestamp;

/// What may be told about the term keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The number of the current term, from 1.
    pub term: u32,
    /// When it began; zero when a version that did not note it made it.
    pub installed: Timestamp,
    /// How often its key has sealed something. After a crash, what callers carry may be missing from it.
    pub encryptions: u64,
    /// Terms in the keyring: the current one, and those that are still needed.
    pub terms: usize,
    /// How far sealing everything under the current term has come; `None` when there is nothing to do.
    pub rewrap: Option<Progress>,
}

impl Barrier {
    /// Begins a new term: what is sealed from now on is sealed under a fresh key. Call [`Barrier::sweep`] afterwards.
    pub async fn rotate(&self, now: Timestamp) -> Result<(), BarrierError> {
        self.ask(Work::Seal(SealChange::Rotate(now))).await.map(drop)
    }

    /// Forgets terms that nothing in the store needs and that ended at least `keep` ago, which must be the longest life
    /// of what callers carry. Costs nothing when there are none.
    pub async fn forget_terms(&self, now: Timestamp, keep: Duration) -> Result<(), BarrierError> {
        if self.interior().keys()?.ring().without_old(now, keep).is_none() {
            return Ok(());
        }
        self.ask(Work::Seal(SealChange::Forget { now, keep })).await.map(drop)
    }

    /// The term keys, as far as may be told.
    pub fn key_status(&self) -> Result<KeyStatus, BarrierError> {
        let ring = self.interior().keys()?.ring();
        Ok(KeyStatus {
            term: ring.term(),
            installed: ring.installed(),
            encryptions: self.interior().encryptions(),
            terms: ring.len(),
            rewrap: self.progress(ring.is_swept()),
        })
    }

    /// An empty collection of unseal keys, for a ceremony; fails when the strongroom has none.
    pub fn quorum(&self) -> Result<Quorum, BarrierError> {
        shamir_slot(&self.interior().seal())?;
        Ok(Quorum::new(&*self.interior().entropy))
    }

    /// Takes one unseal key for a ceremony. When enough are there they must open the slot, as at unsealing; if they do
    /// not, all of them are forgotten.
    pub async fn hand_in(&self, quorum: &mut Quorum, share: &Share) -> Result<Gathering, BarrierError> {
        let seal = self.interior().seal();
        let (slot, shamir) = shamir_slot(&seal)?;
        match quorum.add(share, shamir)? {
            None => Ok(Gathering::Progress(quorum.count())),
            Some(points) => {
                let root = join(&points, seal.cluster_id, slot).await?;
                Ok(Gathering::Complete(Quorate { root }))
            }
        }
    }

    /// Makes another set of unseal keys, `count` of which `threshold` will be needed. Nothing changes until
    /// [`Barrier::replace_shares`]; dropping the first part of the answer makes the shares worthless.
    pub async fn new_shares(
        &self,
        quorate: &Quorate,
        count: u8,
        threshold: u8,
    ) -> Result<(NewShares, Vec<Share>), BarrierError> {
        let seal = self.interior().seal();
        NewShares::make(&seal, quorate, (count, threshold), &*self.interior().entropy).await
    }

    /// Puts new unseal keys in force; the old ones open nothing from then on. `Conflict` when the old ones had been
    /// replaced already. A crash leaves either set in force, never none.
    pub async fn replace_shares(&self, new: NewShares) -> Result<(), BarrierError> {
        self.ask(Work::Seal(SealChange::Reshare(new))).await.map(drop)
    }
}
