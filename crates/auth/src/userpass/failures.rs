//! Failed logins: counted per name, and the name shut out when there are too many.
//!
//! The limits are the defaults of Vault's user lockout. Counted is by the parsed name, so no other spelling of it begins
//! anew (CVE-2025-6004), and for names without a user too, so that being shut out does not tell who has one (Vault counts
//! known users only). Counts are records, so a restart does not reset them. Each costs the one who makes it a password
//! hash, and each failure removes more dead records than it adds, so strangers cannot fill the store: what is alive is at
//! most what the pool can compute in fifteen minutes.

use super::{BATCH, TRIES};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::{CoreError, MountContext, MountRecords, Stored};
use strongroom_model::{RoleName, Timestamp};

/// So many failures in a row shut a name out.
const THRESHOLD: u32 = 5;
/// How long after the last failure they are remembered, and so how long a name is shut out.
const SPAN: Duration = Duration::from_secs(15 * 60);
/// Dead records that each failure removes.
const SWEEP: usize = 4;

#[derive(Serialize, Deserialize)]
struct Failure {
    count: u32,
    /// From then on this record means nothing.
    ends: Timestamp,
}

/// Stands on a shelf that is ordered by the ends of failures.
#[derive(Serialize, Deserialize)]
struct End {
    name: RoleName,
}

pub(super) struct Failures {
    context: MountContext,
}

impl Failures {
    pub(super) fn new(context: MountContext) -> Self {
        Self { context }
    }

    /// Refuses a name that is shut out, in Vault's words, which do not say why.
    pub(super) async fn check(&self, name: &RoleName) -> Result<(), CoreError> {
        match self.alive(name).await? {
            Some(failure) if failure.value.count >= THRESHOLD => Err(CoreError::Denied),
            _ => Ok(()),
        }
    }

    /// Counts a failure. Durable when it returns; says whether the name is shut out now.
    pub(super) async fn count(&self, name: &RoleName) -> Result<bool, CoreError> {
        for _ in 0..TRIES {
            match self.try_count(name).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(count) => {
                    self.sweep().await?;
                    return Ok(count >= THRESHOLD);
                }
            }
        }
        Err(CoreError::Conflict)
    }

    async fn try_count(&self, name: &RoleName) -> Result<u32, CoreError> {
        let (now, found) = (self.context.now(), self.find(name).await?);
        let before = found.as_ref().filter(|found| found.value.ends > now).map_or(0, |found| found.value.count);
        let failure = Failure { count: before.saturating_add(1), ends: now.plus(SPAN) };
        let mut txn = match &found {
            Some(found) => Txn::new().expect(self.at(name), found.rev),
            None => Txn::new().expect_absent(self.at(name)),
        };
        // The same place cannot be deleted and written in one transaction.
        if let Some(found) = found.filter(|found| found.value.ends != failure.ends) {
            txn = txn.delete(self.end_at(found.value.ends, name));
        }
        txn = self.records().put(txn, self.end_at(failure.ends, name), &End { name: name.clone() })?;
        txn = self.records().put(txn, self.at(name), &failure)?;
        self.records().commit(txn).await?;
        Ok(failure.count)
    }

    /// The names that are shut out now, whether there is such a user or not.
    pub(super) async fn shut_out(&self) -> Result<Vec<RoleName>, CoreError> {
        let now = self.context.now();
        let listed = self.records().scan_all::<Failure>(&self.shelf()).await?;
        let alive = listed.iter().filter(|listed| listed.value.count >= THRESHOLD && listed.value.ends > now);
        alive.map(|listed| Ok(RoleName::parse(&listed.text())?)).collect()
    }

    /// Forgets what failed before a success.
    pub(super) async fn forget(&self, name: &RoleName) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(found) = self.find(name).await? else { return Ok(()) };
            match self.remove(name, &found).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    async fn remove(&self, name: &RoleName, found: &Stored<Failure>) -> Result<(), CoreError> {
        let txn = Txn::new().expect(self.at(name), found.rev).delete(self.at(name));
        self.records().commit(txn.delete(self.end_at(found.value.ends, name))).await
    }

    /// Removes the oldest dead records. Whoever was quicker has done it.
    async fn sweep(&self) -> Result<(), CoreError> {
        let now = self.context.now();
        let oldest = self.records().scan::<End>(&self.ends(), None, SWEEP).await?;
        for end in oldest.into_iter().filter(|end| Timestamp::from_nanos(end.number) <= now) {
            let name = end.value.name;
            let removed = match self.find(&name).await? {
                Some(found) if found.value.ends.nanos() == end.number => self.remove(&name, &found).await,
                _ => self.records().commit(Txn::new().delete(self.ends().ordered(end.number, name.as_str()))).await,
            };
            match removed {
                Ok(()) | Err(CoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes everything.
    pub(super) async fn wipe(&self) -> Result<(), CoreError> {
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

    async fn alive(&self, name: &RoleName) -> Result<Option<Arc<Stored<Failure>>>, CoreError> {
        let now = self.context.now();
        Ok(self.find(name).await?.filter(|found| found.value.ends > now))
    }

    async fn find(&self, name: &RoleName) -> Result<Option<Arc<Stored<Failure>>>, CoreError> {
        self.records().get(&self.at(name)).await
    }

    fn records(&self) -> &MountRecords {
        &self.context.records
    }

    fn shelf(&self) -> Shelf {
        self.records().shelf("userpass-failure")
    }

    fn ends(&self) -> Shelf {
        self.records().shelf("userpass-failure-end")
    }

    fn at(&self, name: &RoleName) -> Address {
        self.shelf().named(name.as_str())
    }

    fn end_at(&self, ends: Timestamp, name: &RoleName) -> Address {
        self.ends().ordered(ends.nanos(), name.as_str())
    }
}
