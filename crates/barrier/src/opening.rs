//! From keys to an open barrier: reads the freshness head and its middles, the same few objects whatever the store holds.

use crate::batch::seal_internal;
use crate::fresh::{Freshness, Head, MIDS_COUNT, Mid};
use crate::interior::{Beginning, Interior};
use crate::keys::Keys;
use crate::place::{HEAD, MIDS, mid_key};
use crate::reading::{ADDED, ALTERED, HEAD_KIND, MID_KIND, REMOVED, ROLLED_BACK, open_internal};
use crate::seal::SealRecord;
use crate::{BarrierError, seal};
use aws_lc_rs::digest::{SHA256, digest};
use std::sync::Arc;
use strongroom_model::Entropy;
use strongroom_storage::{Entry, Epoch, Revision, Store};

/// What opening needs beside the keys.
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) epoch: Epoch,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Ground {
    /// Opens a store that has a head. `row` is the seal record as it was read, and `seal` what it says.
    pub(crate) async fn open(&self, keys: Keys, row: &Entry, seal: SealRecord) -> Result<Interior, BarrierError> {
        // Another server may commit between head and middles; then both are read again.
        for _ in 0..3 {
            let (head, head_rev) = read_head(&*self.store, &keys).await?;
            if head.seal != seal_digest(&row.value) {
                return Err(BarrierError::tampered(seal::KIND, ALTERED));
            }
            let fresh = read_freshness(&*self.store, &keys, &head).await;
            let unchanged = self.store.get(HEAD).await?.is_some_and(|entry| entry.rev == head_rev);
            if unchanged {
                let seal_rev = row.rev;
                return Ok(Interior::new(self, Beginning { keys, fresh: fresh?, head, head_rev, seal, seal_rev }));
            }
        }
        Err(BarrierError::Superseded)
    }
}

/// The head and the storage commit that wrote it.
pub(crate) async fn read_head(store: &dyn Store, keys: &Keys) -> Result<(Head, Revision), BarrierError> {
    let row = store.get(HEAD).await?.ok_or_else(|| BarrierError::tampered(HEAD_KIND, REMOVED))?;
    let plain = open_internal(keys, HEAD_KIND, HEAD, &row.value);
    let head = plain.and_then(|plain| Head::decode(plain.expose()).ok_or(ALTERED));
    head.map(|head| (head, row.rev)).map_err(|how| BarrierError::tampered(HEAD_KIND, how))
}

/// Which generation every page must have, from the middles and the head.
pub(crate) async fn read_freshness(store: &dyn Store, keys: &Keys, head: &Head) -> Result<Freshness, BarrierError> {
    let mut fresh = Freshness::new();
    let mut rows = store.list(MIDS, None, MIDS_COUNT + 1).await?.into_iter().peekable();
    for mid in 0..=255 {
        let row = rows.next_if(|row| row.key == mid_key(mid)).map(|row| row.value);
        let pages = mid_pages(keys, mid, head.mid_generation(mid), row.as_deref());
        let pages = pages.map_err(|how| BarrierError::tampered(MID_KIND, how))?;
        for (low, generation) in (0..=255).zip(pages) {
            fresh.set_generation(u16::from_be_bytes([mid, low]), generation);
        }
    }
    if rows.next().is_some() {
        return Err(BarrierError::tampered(MID_KIND, ADDED));
    }
    head.newer().for_each(|(bucket, generation)| fresh.set_generation(bucket, generation));
    Ok(fresh)
}

fn mid_pages(keys: &Keys, mid: u8, expected: u64, row: Option<&[u8]>) -> Result<Vec<u64>, &'static str> {
    match (row, expected) {
        (None, 0) => Ok(Vec::new()),
        (None, _) => Err(REMOVED),
        (Some(_), 0) => Err(ADDED),
        (Some(row), expected) => {
            let plain = open_internal(keys, MID_KIND, &mid_key(mid), row)?;
            let mid = Mid::decode(plain.expose()).ok_or(ALTERED)?;
            if mid.generation == expected { Ok(mid.pages) } else { Err(ROLLED_BACK) }
        }
    }
}

/// The first head, sealed.
pub(crate) fn first_head(keys: &Keys, seal: &[u8], entropy: &dyn Entropy) -> Result<(Head, Vec<u8>), BarrierError> {
    let head = Head::first(seal_digest(seal));
    let sealed = seal_internal(keys, HEAD_KIND, HEAD, &head.encode(), entropy)?;
    Ok((head, sealed))
}

/// What the head keeps of the seal record.
pub(crate) fn seal_digest(record: &[u8]) -> [u8; 32] {
    digest(&SHA256, record).as_ref().try_into().unwrap_or_default()
}
