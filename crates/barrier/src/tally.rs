//! How many records a counted shelf holds, kept in a sealed page beside what that page lists: so a list notices that a
//! record was cut out of the store, although nobody asked for it by name.
//!
//! Invariants: a tally changes in the commit that makes or removes a record, and in no other; a shelf that holds nothing
//! has none. A shelf that was filled before anybody counted stays uncounted until it is empty.

use crate::fresh::Tally;
use crate::interior::Interior;
use crate::keys::Keys;
use crate::place::{Place, shelf_bucket, shelf_prefix};
use crate::reading::{REMOVED, Trouble};
use crate::{Barrier, BarrierError, Shelf};

/// Rows looked at at once.
const PORTION: usize = 100;

/// How many records a shelf held at one moment, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(Option<Tally>);

impl Barrier {
    /// How many records the shelf holds. To be asked before they are read, for [`Barrier::is_whole`] afterwards.
    pub async fn count(&self, shelf: &Shelf) -> Result<Count, BarrierError> {
        let keys = self.interior().keys()?;
        self.interior().surely_tally(&keys, &keys.shelf(shelf)).await.map(Count)
    }

    /// Whether so many records are all that the shelf holds; `false` when it changed since they were counted, and they
    /// must be read again. Fails when one was removed behind the barrier's back.
    pub async fn is_whole(&self, shelf: &Shelf, before: Count, seen: usize) -> Result<bool, BarrierError> {
        let Count(now) = self.count(shelf).await?;
        match now {
            now if Count(now) != before => Ok(false),
            None => Ok(true),
            Some(tally) if tally.count == seen as u64 => Ok(true),
            // A commit that memory does not know of yet may already be in the store.
            Some(_) => self.interior().check_count(shelf).await.map(|()| false),
        }
    }
}

impl Interior {
    async fn surely_tally(&self, keys: &Keys, shelf: &[u8; 16]) -> Result<Option<Tally>, BarrierError> {
        Ok(self.surely_page(keys, shelf_bucket(shelf)).await?.tally(shelf))
    }

    /// Compares the rows of the shelf with its tally while nothing can change.
    async fn check_count(&self, shelf: &Shelf) -> Result<(), BarrierError> {
        let keys = self.keys()?;
        let hash = keys.shelf(shelf);
        let mut ledger = self.ledger.lock().await;
        self.settle(&mut ledger).await?;
        let page = self.page(&keys, shelf_bucket(&hash)).await.map_err(Trouble::proven)?;
        let counted = page.tally(&hash).map_or(0, |tally| tally.count);
        let (prefix, mut last, mut rows) = (shelf_prefix(&hash), None::<Vec<u8>>, 0);
        loop {
            let found = self.store.list(&prefix, last.as_deref(), PORTION).await?;
            let Some(row) = found.last() else { break };
            last = Some(row.key.clone());
            rows += found.len() as u64;
        }
        if rows >= counted {
            return Ok(());
        }
        Err(self.blame(&keys, &ledger, BarrierError::tampered(shelf.kind, REMOVED)).await)
    }

    /// Whether the shelf holds a record that a page lists; rows that nothing vouches for do not count. For who commits.
    pub(crate) async fn holds_something(&self, keys: &Keys, shelf: &[u8; 16]) -> Result<bool, BarrierError> {
        let (prefix, mut last) = (shelf_prefix(shelf), None::<Vec<u8>>);
        loop {
            let rows = self.store.list(&prefix, last.as_deref(), PORTION).await?;
            let Some(row) = rows.last() else { return Ok(false) };
            last = Some(row.key.clone());
            for row in &rows {
                let Some(place) = Place::found(&row.key) else { continue };
                if self.page(keys, place.bucket()).await.map_err(Trouble::proven)?.find(&place).is_some() {
                    return Ok(true);
                }
            }
        }
    }
}
