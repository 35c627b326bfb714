use super::record::{AccessKey, AccessKeyId, Record};
use super::web::Providers;
use crate::CoreError;
use crate::identity::Identity;
use crate::records::{Records, Stored};
use crate::rotation;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{Clock, Entropy, NamespaceId, SecretBytes, Timestamp};

/// Makes, finds, checks and revokes access keys.
pub struct AccessKeys {
    pub(super) records: Arc<Records>,
    pub(super) identity: Arc<Identity>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Keys of identity providers.
    pub(super) providers: Providers,
    /// Keys used today that do not say so yet. Written by housekeeping, so that checking a signature writes nothing.
    used: Mutex<HashMap<AccessKeyId, u64>>,
}

/// Leads from a moment to a key.
#[derive(Serialize, Deserialize)]
struct Pointer {
    key: AccessKeyId,
}

/// How often a change is tried again when somebody else changed the same key.
pub(super) const TRIES: usize = 32;
/// Most keys whose use waits to be noted.
const MOST_USED: usize = 4_096;

pub(super) fn shelf() -> Shelf {
    Shelf::new("access-key", NamespaceId::ROOT).counted()
}

pub(super) fn key_at(id: &AccessKeyId) -> Address {
    shelf().named(id.as_str())
}

/// Keys in the order in which they end.
fn expiry_shelf() -> Shelf {
    Shelf::new("access-key-expiry", NamespaceId::ROOT)
}

fn expiry_at(id: &AccessKeyId, expires: Timestamp) -> Address {
    expiry_shelf().ordered(expires.nanos(), id.as_str())
}

impl AccessKeys {
    pub(crate) fn new(
        records: Arc<Records>,
        identity: Arc<Identity>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { records, identity, clock, entropy, providers: Providers::default(), used: Mutex::default() }
    }

    pub(super) async fn find(&self, id: &AccessKeyId) -> Result<Option<Arc<Stored<Record>>>, CoreError> {
        self.records.get::<Record>(&key_at(id)).await
    }

    /// Adds a key; `Exists` when the id is taken.
    pub(super) async fn insert(&self, record: &Record) -> Result<(), CoreError> {
        let at = key_at(&record.key.id);
        let mut txn = put(Txn::new().expect_absent(at), record)?;
        txn = with_end(txn, &record.key)?;
        match self.records.commit(txn).await {
            Err(CoreError::Conflict) => Err(CoreError::Exists("the access key id is taken; choose another".to_owned())),
            other => other.map(|_| ()),
        }
    }

    /// Changes a key; `NotFound` when there is none.
    pub(super) async fn change(
        &self,
        id: &AccessKeyId,
        mut change: impl FnMut(&mut AccessKey) + Send,
    ) -> Result<AccessKey, CoreError> {
        for _ in 0..TRIES {
            let found = self.find(id).await?.ok_or_else(unknown)?;
            let mut record = Record::new(found.value.secret.duplicate(), found.value.key.clone());
            change(&mut record.key);
            let mut txn = Txn::new().expect(key_at(id), found.rev);
            if found.value.key.expires != record.key.expires {
                txn = with_end(without_end(txn, &found.value.key), &record.key)?;
            }
            if record.key.disabled && !found.value.key.disabled {
                txn = self.note_cut_off(txn, &record.key, "disabled")?;
            }
            match self.records.commit(put(txn, &record)?).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(record.key),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes a key; what was made of it dies with it, because each use looks for its maker.
    pub(super) async fn remove(&self, id: &AccessKeyId) -> Result<bool, CoreError> {
        for _ in 0..TRIES {
            let Some(found) = self.find(id).await? else { return Ok(false) };
            let txn = Txn::new().expect(key_at(id), found.rev).delete(key_at(id));
            let txn = self.note_cut_off(txn, &found.value.key, "revoked")?;
            match self.records.commit(without_end(txn, &found.value.key)).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| true),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Secrets may rotate by that. Temporary keys end all the time, which says nothing.
    fn note_cut_off(&self, txn: Txn, key: &AccessKey, how: &str) -> Result<Txn, CoreError> {
        if key.session.is_some() {
            return Ok(txn);
        }
        let consumer = key.entity.map_or_else(|| key.id.to_string(), |entity| entity.to_string());
        rotation::cut_off(txn, &consumer, &format!("access key {} was {how}", key.id), self.clock.now())
    }

    /// Remembers that a key was used today, to be written later.
    pub(super) fn note_use(&self, key: &AccessKey, now: Timestamp) {
        let today = day(now);
        if key.last_used_day == Some(today) {
            return;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < MOST_USED {
            used.insert(key.id.clone(), today);
        }
    }

    /// Removes keys that have ended, and writes down which were used. For housekeeping.
    pub(crate) async fn housekeep(&self) -> Result<(), CoreError> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, today) in used {
            match self.change(&id, |key| key.last_used_day = Some(today)).await {
                Err(CoreError::NotFound(_)) => {}
                other => drop(other?),
            }
        }
        loop {
            let due = self.records.scan::<Pointer>(&expiry_shelf(), None, 64).await?;
            let now = self.clock.now();
            let due: Vec<_> = due.into_iter().take_while(|one| one.number <= now.nanos()).collect();
            if due.is_empty() {
                return Ok(());
            }
            for one in due {
                if !self.remove(&one.value.key).await? {
                    self.records.commit(Txn::new().delete(expiry_shelf().ordered(one.number, &one.name))).await?;
                }
            }
        }
    }
}

/// Days since 1970-01-01.
pub(super) fn day(now: Timestamp) -> u64 {
    now.secs() / 86_400
}

pub(super) fn unknown() -> CoreError {
    CoreError::NotFound("there is no such access key".to_owned())
}

/// Writes the record into a buffer that is wiped, and that never grows.
fn put(txn: Txn, record: &Record) -> Result<Txn, CoreError> {
    let bytes = SecretBytes::from_json(record).map_err(|_| CoreError::Unreadable { kind: "access-key" })?;
    Ok(txn.put(key_at(&record.key.id), bytes))
}

fn with_end(txn: Txn, key: &AccessKey) -> Result<Txn, CoreError> {
    use crate::records::PutRecord;
    match key.expires {
        Some(expires) => txn.put_record(expiry_at(&key.id, expires), &Pointer { key: key.id.clone() }),
        None => Ok(txn),
    }
}

fn without_end(txn: Txn, key: &AccessKey) -> Txn {
    match key.expires {
        Some(expires) => txn.delete(expiry_at(&key.id, expires)),
        None => txn,
    }
}
