//! Changes of the seal record: a new term, the end of old ones, new unseal keys.
//!
//! Invariants: the record and the head that vouches for it are written in one transaction, which compares both with what
//! was read, so that at every moment the store opens either as before or as after; memory follows only when the store
//! has it. A new key seals nothing before it is stored: the head of that transaction is sealed under the old one.

use crate::BarrierError;
use crate::batch::{Sealed, seal_internal};
use crate::interior::{Interior, Ledger, News};
use crate::keys::Keys;
use crate::opening::seal_digest;
use crate::place::{HEAD, SEAL};
use crate::reading::HEAD_KIND;
use crate::ring::Ring;
use crate::seal::{Hexed, NewShares, SealRecord};
use std::collections::HashMap;
use std::time::Duration;
use strongroom_model::Timestamp;
use strongroom_storage::{Compare, Expectation, IdemToken, Op, Revision, Txn};

/// One change of the seal record.
pub(crate) enum SealChange {
    /// A new term, current from now on.
    Rotate(Timestamp),
    /// Everything in the store is sealed under this term or a later one.
    Swept(u32),
    /// Terms that nothing needs any more are forgotten.
    Forget {
        now: Timestamp,
        /// How long after its end a term may still be needed for what callers carry.
        keep: Duration,
    },
    /// New unseal keys take the place of the old ones.
    Reshare(NewShares),
}

impl Interior {
    /// Makes the change; durable when it returns `Ok`. Only for who holds the ledger.
    pub(crate) async fn change_seal(
        &self,
        keys: &Keys,
        ledger: &mut Ledger,
        change: &SealChange,
    ) -> Result<Revision, BarrierError> {
        let before = keys.ring();
        let Some((mut record, ring)) = self.changed(&before, change)? else {
            return Ok(Revision(ledger.head.generation));
        };
        record.keyring = Hexed(keys.wrap(&ring, &*self.entropy)?);
        let bytes = record.encode()?;
        let mut head = ledger.head.clone();
        head.generation += 1;
        head.seal = seal_digest(&bytes);
        // The new term has sealed nothing yet.
        let wraps = self.take_wraps() + 1;
        head.wraps = if ring.term() == before.term() { head.wraps + wraps } else { 0 };
        let generation = Revision(head.generation);
        let sealed_head = seal_internal(keys, HEAD_KIND, HEAD, &head.encode(), &*self.entropy)?;
        let is = |key: &[u8], rev| Compare { key: key.to_vec(), expect: Expectation::RevIs(rev) };
        let put = |key: &[u8], value| Op::Put { key: key.to_vec(), value };
        let txn = Txn {
            compares: vec![is(HEAD, ledger.head_rev), is(SEAL, ledger.seal_rev)],
            ops: vec![put(SEAL, bytes), put(HEAD, sealed_head)],
            idem: IdemToken(self.entropy.array()),
        };
        let seal = Some((record, ring));
        let news = News { head, pages: Vec::new(), keys: HashMap::new(), changed: Vec::new(), seal };
        self.put(ledger, Sealed { txn, news }).await.map(|()| generation)
    }

    /// Record and ring after the change; `None` when there is nothing to change.
    fn changed(&self, ring: &Ring, change: &SealChange) -> Result<Option<(SealRecord, Ring)>, BarrierError> {
        let record = SealRecord::clone(&self.seal());
        Ok(match change {
            SealChange::Rotate(now) => Some((record, ring.rotated(&*self.entropy, *now)?)),
            SealChange::Swept(_) if ring.is_swept() => None,
            SealChange::Swept(term) => Some((record, ring.swept(*term))),
            SealChange::Forget { now, keep } => ring.without_old(*now, *keep).map(|ring| (record, ring)),
            SealChange::Reshare(new) => Some(new.replace_in(record, ring)?),
        })
    }
}
