//! Keeps the records of rotations, and the index of what is due in step with them.

use super::record::{HISTORY, Key, Past, Rotation, due_at, history, rotation_at};
use crate::CoreError;
use crate::records::{Listed, PutRecord, Records, Stored};
use std::sync::Arc;
use strongroom_barrier::Txn;
use strongroom_model::Timestamp;

pub(super) struct Book {
    pub(super) records: Arc<Records>,
}

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 16;

impl Book {
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Arc<Stored<Rotation>>>, CoreError> {
        self.records.get(&rotation_at(key)).await
    }

    /// Keeps a new one; `Conflict` when there is one already.
    pub(super) async fn insert(&self, mut new: Rotation) -> Result<Rotation, CoreError> {
        new.due = new.wake_at();
        let at = rotation_at(&new.key);
        let mut txn = Txn::new().expect_absent(at.clone()).put_record(at, &new)?;
        if let Some(due) = new.due {
            txn = txn.put_record(due_at(due, &new.key), &new.key)?;
        }
        self.records.commit(txn).await?;
        Ok(new)
    }

    /// Changes one that is there; the function runs again when somebody else was quicker. `None`: it is not there.
    pub(super) async fn change(
        &self,
        key: &Key,
        mut change: impl FnMut(&mut Rotation) -> Result<Option<Past>, CoreError> + Send,
    ) -> Result<Option<Rotation>, CoreError> {
        for _ in 0..TRIES {
            let Some(stored) = self.get(key).await? else { return Ok(None) };
            let mut new = stored.value.clone();
            let past = change(&mut new)?;
            match self.replace(&stored, new, past).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(Some),
            }
        }
        Err(CoreError::Conflict)
    }

    async fn replace(
        &self,
        old: &Stored<Rotation>,
        mut new: Rotation,
        past: Option<Past>,
    ) -> Result<Rotation, CoreError> {
        new.due = new.wake_at();
        let at = rotation_at(&new.key);
        let mut txn = Txn::new().expect(at.clone(), old.rev);
        if let Some(past) = past {
            let shelf = history(&new.key);
            txn = txn.put_record(shelf.ordered(new.ended, []), &past)?;
            if let Some(gone) = new.ended.checked_sub(HISTORY) {
                txn = txn.delete(shelf.ordered(gone, []));
            }
            new.ended += 1;
        }
        if old.value.due != new.due {
            if let Some(before) = old.value.due {
                txn = txn.delete(due_at(before, &new.key));
            }
            if let Some(due) = new.due {
                txn = txn.put_record(due_at(due, &new.key), &new.key)?;
            }
        }
        self.records.commit(txn.put_record(at, &new)?).await?;
        Ok(new)
    }

    /// Forgets one with its history.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(stored) = self.get(key).await? else { return Ok(()) };
            let at = rotation_at(key);
            let mut txn = Txn::new().expect(at.clone(), stored.rev).delete(at);
            if let Some(due) = stored.value.due {
                txn = txn.delete(due_at(due, key));
            }
            for number in stored.value.ended.saturating_sub(HISTORY)..stored.value.ended {
                txn = txn.delete(history(key).ordered(number, []));
            }
            match self.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes a line of the index that nothing stands behind, if the record is still the one that was seen. One that is
    /// newer than what was read may be what put the line there: then the line stays, and the answer is `false`.
    pub(super) async fn drop_line(
        &self,
        at: Timestamp,
        key: &Key,
        seen: Option<&Stored<Rotation>>,
    ) -> Result<bool, CoreError> {
        let record = rotation_at(key);
        let txn = match seen {
            Some(seen) => Txn::new().expect(record, seen.rev),
            None => Txn::new().expect_absent(record),
        };
        match self.records.commit(txn.delete(due_at(at, key))).await {
            Ok(_) => Ok(true),
            Err(CoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Rotations that ended, newest first.
    pub(super) async fn history(&self, key: &Key) -> Result<Vec<Past>, CoreError> {
        let shelf = history(key);
        let most = usize::try_from(HISTORY).unwrap_or(usize::MAX);
        let listed: Vec<Listed<Past>> = self.records.scan(&shelf, None, most).await?;
        Ok(listed.into_iter().rev().map(|listed| listed.value).collect())
    }
}
