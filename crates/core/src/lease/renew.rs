//! Prolonging a lease, within what its role, its mount and the system allow now.

use super::record::{Lease, LeaseKey, lane_at};
use super::{Granted, Leases};
use crate::records::Stored;
use crate::token::lifetime::{self, Wish};
use crate::{CoreError, Grant, Reply};
use std::sync::Arc;
use strongroom_model::{Timestamp, Ttl};

impl Leases {
    /// Prolongs a lease by `increment` from now (zero: as its role says), never past its longest life.
    pub async fn renew(self: &Arc<Self>, _grant: &Grant, id: &str, increment: Ttl) -> Result<Reply, CoreError> {
        let renewing = || async {
            loop {
                match self.renew_once(id, increment).await {
                    Err(CoreError::Conflict) => continue,
                    other => return other,
                }
            }
        };
        self.meters.renew.over(renewing).await
    }

    async fn renew_once(self: &Arc<Self>, id: &str, increment: Ttl) -> Result<Reply, CoreError> {
        let Some((key, stored)) = self.find(id).await? else { return not_found() };
        let (lease, now) = (&stored.value, self.book.now());
        if !lease.is_active(now) || self.book.is_ending(&key, lease) {
            return not_found();
        }
        if !lease.renewable {
            return Err(CoreError::Invalid("lease is not renewable".to_owned()));
        }
        let engine = self.mounts.table().engine(key.mount).ok_or(CoreError::Internal("a mount without its engine"))?;
        let terms = engine.terms(&lease.note).await?;
        if !terms.renewable {
            return Err(CoreError::Invalid("lease is not renewable".to_owned()));
        }
        let wish = Wish {
            ttl: if increment.is_zero() { terms.ttl } else { increment },
            max_ttl: terms.max_ttl,
            ..Wish::default()
        };
        let age = now.since(lease.issued);
        let (mut ttl, mut warnings) = lifetime::settle(&wish, self.tokens.limits(Some(key.mount)), age)
            .map_err(|_| past_max("past the max TTL, cannot renew; ask for a new credential"))?;
        if let Some(left) = lease.latest.map(|latest| Ttl(latest.since(now))).filter(|left| *left < ttl) {
            if left.is_zero() {
                return Err(past_max("the batch token of the lease has ended; ask for a new credential"));
            }
            warnings.push(format!("TTL was capped to {} seconds, which is when the batch token ends", left.secs()));
            ttl = left;
        }
        // First there, then here: after a crash in between the credential only seems to live longer than its lease.
        engine.prolong(&lease.note, now.plus(ttl.0)).await?;
        self.prolong(&key, &stored, ttl, now).await?;
        let renewable = lease.renewable;
        let lease = Granted { id: id.to_owned(), ttl, renewable, subject: lease.subject.clone() };
        Ok(Reply { lease: Some(lease), warnings, ..Reply::empty() })
    }

    async fn prolong(
        self: &Arc<Self>,
        key: &LeaseKey,
        old: &Stored<Lease>,
        ttl: Ttl,
        now: Timestamp,
    ) -> Result<(), CoreError> {
        let expires = now.plus(ttl.0);
        let new = Lease { renewed: Some(now), ttl, expires, due: expires, ..old.value.clone() };
        let mut change = old.value.replaced(key, old.rev, &new)?;
        let lane = self.lane(key.mount, &old.value.lane);
        let note = lane.note_of(ttl);
        if let Some(note) = &note {
            change = change.put(lane_at(lane.mount, &lane.name), note)?;
        }
        self.book.ledger.commit(change).await?;
        note.into_iter().for_each(|note| lane.noted(note.longest));
        lane.beat.expect(expires);
        self.meters.renewed.add(1);
        Ok(())
    }
}

fn not_found<T>() -> Result<T, CoreError> {
    Err(CoreError::Invalid("lease not found".to_owned()))
}

fn past_max(text: &str) -> CoreError {
    CoreError::Invalid(text.to_owned())
}
