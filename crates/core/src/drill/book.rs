//! Keeps the records of drills: those under way, those that ended, and what is planned for each target.

use super::record::{Drill, HISTORY, Key, Standing, open_at, open_shelf, past_shelf, standing_at, standing_shelf};
use crate::CoreError;
use crate::records::{Listed, PutRecord, Records};
use std::sync::Arc;
use strongroom_barrier::Txn;
use strongroom_model::Timestamp;

pub(super) struct Book {
    records: Arc<Records>,
}

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 16;
/// Targets remembered at most.
const MOST: usize = 2_000;

impl Book {
    pub(super) fn new(records: &Arc<Records>) -> Self {
        Self { records: Arc::clone(records) }
    }

    /// Records one that begins; durable when it returns.
    pub(super) async fn open(&self, drill: &Drill) -> Result<(), CoreError> {
        let at = open_at(&drill.id);
        self.records.commit(Txn::new().expect_absent(at.clone()).put_record(at, drill)?).await.map(|_| ())
    }

    /// Keeps what has become of one that is under way. Only its own task does, so nobody is in its way.
    pub(super) async fn keep(&self, drill: &Drill) -> Result<(), CoreError> {
        self.records.commit(Txn::new().put_record(open_at(&drill.id), drill)?).await.map(|_| ())
    }

    /// Those under way, in the order in which they began.
    pub(super) async fn under_way(&self) -> Result<Vec<Drill>, CoreError> {
        let listed = self.records.scan_all::<Drill>(&open_shelf()).await?;
        let mut drills: Vec<Drill> = listed.into_iter().map(|listed| listed.value).collect();
        drills.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(drills)
    }

    /// Moves one that ended into the history of its target.
    pub(super) async fn close(&self, drill: &Drill, now: Timestamp) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let (txn, mut standing) = self.standing_for(&drill.key, now).await?;
            let shelf = past_shelf(&drill.key);
            let mut txn = txn.delete(open_at(&drill.id)).put_record(shelf.ordered(standing.ended, []), drill)?;
            if let Some(gone) = standing.ended.checked_sub(HISTORY) {
                txn = txn.delete(shelf.ordered(gone, []));
            }
            standing.ended += 1;
            if drill.verdict.as_ref().is_some_and(|verdict| verdict.word() == "done") {
                (standing.last, standing.told_late) = (drill.ended, false);
            }
            match self.records.commit(txn.put_record(standing_at(&drill.key), &standing)?).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Changes what is planned for a target, which is remembered from then on.
    pub(super) async fn plan(
        &self,
        key: &Key,
        now: Timestamp,
        mut change: impl FnMut(&mut Standing) + Send,
    ) -> Result<Standing, CoreError> {
        for _ in 0..TRIES {
            let (txn, mut standing) = self.standing_for(key, now).await?;
            change(&mut standing);
            match self.records.commit(txn.put_record(standing_at(key), &standing)?).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(standing),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Forgets a target with its history.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), CoreError> {
        let Some(found) = self.records.get::<Standing>(&standing_at(key)).await? else { return Ok(()) };
        let mut txn = Txn::new().expect(standing_at(key), found.rev).delete(standing_at(key));
        for number in found.value.ended.saturating_sub(HISTORY)..found.value.ended {
            txn = txn.delete(past_shelf(key).ordered(number, []));
        }
        self.records.commit(txn).await.map(|_| ())
    }

    async fn standing_for(&self, key: &Key, now: Timestamp) -> Result<(Txn, Standing), CoreError> {
        let at = standing_at(key);
        if let Some(found) = self.records.get::<Standing>(&at).await? {
            return Ok((Txn::new().expect(at, found.rev), found.value.clone()));
        }
        let new = Standing {
            key: key.clone(),
            since: now,
            schedule: None,
            credentials: Vec::new(),
            rounds: 0,
            next: None,
            last: None,
            ended: 0,
            told_late: false,
        };
        Ok((Txn::new().expect_absent(at), new))
    }

    /// What is remembered of a target.
    pub(super) async fn standing(&self, key: &Key) -> Result<Option<Standing>, CoreError> {
        Ok(self.records.get::<Standing>(&standing_at(key)).await?.map(|found| found.value.clone()))
    }

    /// All that are remembered.
    pub(super) async fn standings(&self) -> Result<Vec<Standing>, CoreError> {
        let listed = self.records.scan::<Standing>(&standing_shelf(), None, MOST).await?;
        Ok(listed.into_iter().map(|listed| listed.value).collect())
    }

    /// Refuses a new target when there are too many.
    pub(super) async fn has_room_for(&self, key: &Key) -> Result<(), CoreError> {
        if self.standing(key).await?.is_some() || self.standings().await?.len() < MOST {
            return Ok(());
        }
        Err(CoreError::TooLarge(format!(
            "drills of {MOST} targets are remembered already; forget one with `strongroom drill forget`"
        )))
    }

    /// Drills of a target that ended, newest first.
    pub(super) async fn past(&self, key: &Key) -> Result<Vec<Drill>, CoreError> {
        let most = usize::try_from(HISTORY).unwrap_or(usize::MAX);
        let listed: Vec<Listed<Drill>> = self.records.scan(&past_shelf(key), None, most).await?;
        Ok(listed.into_iter().rev().map(|listed| listed.value).collect())
    }
}
