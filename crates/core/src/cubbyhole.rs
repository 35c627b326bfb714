//! Cubbyholes: what a token keeps for itself. Nobody else can name it, and it ends with the token.
//!
//! Names and values are kept apart, so that listing reads no value. A write expects its token to be there, so nothing is
//! left behind by one that meets the token's revocation; wiping goes in small transactions as part of that revocation,
//! and can be run again after a crash.

use crate::records::{PutRecord, Records};
use crate::token::{TokenKey, token_at};
use crate::{CoreError, Fields, Grant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{FolderPath, NamespaceId, SecretBytes};

/// Reads and writes what tokens keep for themselves. The grant says whose it is.
pub struct Cubbyholes {
    records: Arc<Records>,
}

/// Stands under a name.
#[derive(Serialize, Deserialize)]
struct Name {}

/// Names removed by one transaction, each with its value.
const ROUND: usize = 24;

fn names(key: TokenKey) -> Shelf {
    Shelf::new("cubbyhole-name", NamespaceId::ROOT).counted().within(key.as_bytes())
}

fn value_at(key: TokenKey, name: impl AsRef<[u8]>) -> Address {
    Shelf::new("cubbyhole-value", NamespaceId::ROOT).within(key.as_bytes()).named(name)
}

impl Cubbyholes {
    pub(crate) fn new(records: Arc<Records>) -> Self {
        Self { records }
    }

    /// Whether something is kept at that place, so that policy can tell create from update.
    pub(crate) async fn exists(&self, key: TokenKey, place: &FolderPath) -> Result<bool, CoreError> {
        Ok(self.records.get::<Name>(&names(key).named(place.as_str())).await?.is_some())
    }

    /// What is kept there. Values pass by the cache.
    pub async fn read(&self, grant: &Grant) -> Result<Option<Fields>, CoreError> {
        let (key, place) = grant.cubbyhole()?;
        let Some(record) = self.records.barrier().get(&value_at(key, place.as_str())).await? else { return Ok(None) };
        let unreadable = |_| CoreError::Unreadable { kind: "cubbyhole-value" };
        Ok(Some(Fields::new(serde_json::from_slice(record.bytes.expose()).map_err(unreadable)?)))
    }

    /// Keeps the fields there, in place of what was.
    pub async fn write(&self, grant: &Grant, fields: &Fields) -> Result<(), CoreError> {
        let (key, place) = grant.cubbyhole()?;
        let unwritable = |_| CoreError::Internal("a value could not be written as JSON");
        let value = SecretBytes::from_json(fields.map()).map_err(unwritable)?;
        let txn = Txn::new().expect_present(token_at(key)).put_record(names(key).named(place.as_str()), &Name {})?;
        match self.records.commit(txn.put(value_at(key, place.as_str()), value)).await {
            // The token was revoked meanwhile.
            Err(CoreError::Conflict) => Err(CoreError::Denied),
            other => other.map(|_| ()),
        }
    }

    /// Forgets what is there, if anything is.
    pub async fn delete(&self, grant: &Grant) -> Result<(), CoreError> {
        let (key, place) = grant.cubbyhole()?;
        let txn = Txn::new().delete(names(key).named(place.as_str())).delete(value_at(key, place.as_str()));
        self.records.commit(txn).await.map(|_| ())
    }

    /// What is directly in the folder, sorted; folders end with a slash.
    pub async fn list(&self, grant: &Grant) -> Result<Vec<String>, CoreError> {
        let (key, folder) = grant.cubbyhole()?;
        let prefix = if folder.as_str().is_empty() { String::new() } else { format!("{folder}/") };
        let mut found = BTreeSet::new();
        for listed in self.records.scan_all::<Name>(&names(key)).await? {
            let name = listed.text();
            let Some(below) = name.strip_prefix(&prefix) else { continue };
            found.insert(below.split_once('/').map_or_else(|| below.to_owned(), |(inner, _)| format!("{inner}/")));
        }
        Ok(found.into_iter().collect())
    }
}

/// Removes everything that a token kept. Only for one that is gone: as long as it is there, it could write more.
pub(crate) async fn wipe(records: &Records, key: TokenKey) -> Result<(), CoreError> {
    let shelf = names(key);
    loop {
        let kept = records.scan::<Name>(&shelf, None, ROUND).await?;
        if kept.is_empty() {
            return Ok(());
        }
        let remove = |txn: Txn, name: &Vec<u8>| txn.delete(shelf.named(name)).delete(value_at(key, name));
        records.commit(kept.iter().fold(Txn::new(), |txn, listed| remove(txn, &listed.name))).await?;
    }
}
