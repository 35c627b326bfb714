//! Failed logins: counted per name, and the name shut out when there are too many.
//!
//! The limits are those that the mount is tuned to, or the defaults of Vault's user lockout. Counts are records, so a
//! restart does not reset them, and what they mean is decided by the limits of now. Each failure removes more dead records
//! than it adds, so strangers cannot fill the store: who counts names that strangers make up must have each cost them
//! something. Does not know what a name is: whoever counts has parsed it, so that no other spelling of it begins anew
//! (CVE-2025-6004).

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::mount::LockoutLimits;
use strongroom_core::{CoreError, MountContext, MountRecords, Stored};
use strongroom_model::Timestamp;

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 16;
/// Records that one transaction removes.
const BATCH: usize = 24;
/// Dead records that each failure removes.
const SWEEP: usize = 4;

#[derive(Serialize, Deserialize)]
struct Failure {
    count: u64,
    /// When the last one was; in older records, a quarter of an hour before their end.
    #[serde(default)]
    last: Option<Timestamp>,
    /// From then on this record means nothing, by the limits that held when it was written.
    ends: Timestamp,
}

impl Failure {
    /// From when on this means nothing, by the limits of now: too many failures until they have been shut out for, and
    /// fewer until they count no more. Those that have served their time do not count towards another.
    fn ends_by(&self, limits: &LockoutLimits) -> Timestamp {
        let span = if self.count >= limits.threshold { limits.duration } else { limits.counter_reset };
        self.last.map_or(self.ends, |last| last.plus(span))
    }

    fn shuts_out(&self, limits: &LockoutLimits, now: Timestamp) -> bool {
        !limits.disabled && self.count >= limits.threshold && self.ends_by(limits) > now
    }
}

/// Stands on a shelf that is ordered by the ends of failures.
#[derive(Serialize, Deserialize)]
struct End {
    name: String,
}

pub(crate) struct Failures {
    context: MountContext,
    /// The shelves of the counts, and of their ends.
    shelves: (&'static str, &'static str),
}

impl Failures {
    pub(crate) fn new(context: MountContext, shelves: (&'static str, &'static str)) -> Self {
        Self { context, shelves }
    }

    /// Refuses a name that is shut out, in Vault's words, which do not say why.
    pub(crate) async fn check(&self, name: &str) -> Result<(), CoreError> {
        let (limits, now) = (self.context.lockout(), self.context.now());
        if limits.disabled {
            return Ok(());
        }
        match self.find(name).await? {
            Some(failure) if failure.value.shuts_out(&limits, now) => Err(CoreError::Denied),
            _ => Ok(()),
        }
    }

    /// Counts a failure. Durable when it returns; says whether the name is shut out now.
    pub(crate) async fn count(&self, name: &str) -> Result<bool, CoreError> {
        let limits = self.context.lockout();
        if limits.disabled {
            return Ok(false);
        }
        for _ in 0..TRIES {
            match self.try_count(name, &limits).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(count) => {
                    self.sweep(&limits).await?;
                    return Ok(count >= limits.threshold);
                }
            }
        }
        Err(CoreError::Conflict)
    }

    async fn try_count(&self, name: &str, limits: &LockoutLimits) -> Result<u64, CoreError> {
        let (now, found) = (self.context.now(), self.find(name).await?);
        let before =
            found.as_ref().filter(|found| found.value.ends_by(limits) > now).map_or(0, |found| found.value.count);
        let failure = Failure { count: before.saturating_add(1), last: Some(now), ends: now };
        let failure = Failure { ends: failure.ends_by(limits), ..failure };
        self.write(name, found.as_deref(), &failure).await?;
        Ok(failure.count)
    }

    /// Writes a count and its end, in place of those that were found.
    async fn write(&self, name: &str, found: Option<&Stored<Failure>>, failure: &Failure) -> Result<(), CoreError> {
        let mut txn = match found {
            Some(found) => Txn::new().expect(self.at(name), found.rev),
            None => Txn::new().expect_absent(self.at(name)),
        };
        // The same place cannot be deleted and written in one transaction.
        if let Some(found) = found.filter(|found| found.value.ends != failure.ends) {
            txn = txn.delete(self.end_at(found.value.ends, name));
        }
        txn = self.records().put(txn, self.end_at(failure.ends, name), &End { name: name.to_owned() })?;
        txn = self.records().put(txn, self.at(name), failure)?;
        self.records().commit(txn).await
    }

    /// The names that are shut out now, whether there is such a user or not.
    pub(crate) async fn shut_out(&self) -> Result<Vec<String>, CoreError> {
        let (limits, now) = (self.context.lockout(), self.context.now());
        let listed = self.records().scan_all::<Failure>(&self.shelf()).await?;
        let shut = listed.iter().filter(|listed| listed.value.shuts_out(&limits, now));
        Ok(shut.map(|listed| listed.text()).collect())
    }

    /// Forgets what failed before a success.
    pub(crate) async fn forget(&self, name: &str) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(found) = self.find(name).await? else { return Ok(()) };
            match self.remove(name, &found).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    async fn remove(&self, name: &str, found: &Stored<Failure>) -> Result<(), CoreError> {
        let txn = Txn::new().expect(self.at(name), found.rev).delete(self.at(name));
        self.records().commit(txn.delete(self.end_at(found.value.ends, name))).await
    }

    /// Goes through the oldest records whose end has come. Whoever was quicker has done it.
    async fn sweep(&self, limits: &LockoutLimits) -> Result<(), CoreError> {
        let now = self.context.now();
        let oldest = self.records().scan::<End>(&self.ends(), None, SWEEP).await?;
        for end in oldest.into_iter().filter(|end| Timestamp::from_nanos(end.number) <= now) {
            match self.settle(Timestamp::from_nanos(end.number), &end.value.name, limits).await {
                Ok(()) | Err(CoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes a record whose end has come, unless the limits have been lengthened since: then its end moves.
    async fn settle(&self, end: Timestamp, name: &str, limits: &LockoutLimits) -> Result<(), CoreError> {
        let Some(found) = self.find(name).await?.filter(|found| found.value.ends == end) else {
            return self.records().commit(Txn::new().delete(self.end_at(end, name))).await;
        };
        let Failure { count, last, .. } = found.value;
        let ends = found.value.ends_by(limits);
        if ends > self.context.now() {
            return self.write(name, Some(&found), &Failure { count, last, ends }).await;
        }
        self.remove(name, &found).await
    }

    /// Removes everything.
    pub(crate) async fn wipe(&self) -> Result<(), CoreError> {
        for shelf in [self.shelf(), self.ends()] {
            loop {
                let page = self.records().scan::<IgnoredAny>(&shelf, None, BATCH).await?;
                if page.is_empty() {
                    break;
                }
                let at = |number, name: &[u8]| match number {
                    0 => shelf.named(name),
                    number => shelf.ordered(number, name),
                };
                let txn = page.iter().fold(Txn::new(), |txn, listed| txn.delete(at(listed.number, &listed.name)));
                self.records().commit(txn).await?;
            }
        }
        Ok(())
    }

    async fn find(&self, name: &str) -> Result<Option<Arc<Stored<Failure>>>, CoreError> {
        self.records().get(&self.at(name)).await
    }

    fn records(&self) -> &MountRecords {
        &self.context.records
    }

    fn shelf(&self) -> Shelf {
        self.records().shelf(self.shelves.0)
    }

    fn ends(&self) -> Shelf {
        self.records().shelf(self.shelves.1)
    }

    fn at(&self, name: &str) -> Address {
        self.shelf().named(name)
    }

    fn end_at(&self, ends: Timestamp, name: &str) -> Address {
        self.ends().ordered(ends.nanos(), name)
    }
}
