//! Checks the whole store: everything that reading single records checks, and what only a full pass can find.
//!
//! Reads past every cache, so that it sees what a restart would see. Takes the ledger's lock only for what looks wrong
//! and for the few bookkeeping objects; commits and reads go on meanwhile.

use crate::blob;
use crate::fresh::{Listed, Page};
use crate::interior::Interior;
use crate::keys::Keys;
use crate::opening;
use crate::place::{self, Place, Role};
use crate::reading::{
    ADDED, ALTERED, HEAD_KIND, MOVED, NAMESPACE_KEY_KIND, PAGE_KIND, REMOVED, ROLLED_BACK, Trouble, Wanted,
};
use crate::{BarrierError, seal};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use strongroom_storage::Entry;

/// Rows listed at once; each may have half a mebibyte.
const PORTION: usize = 100;

/// One object of the store that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of the object; `unknown` when nothing vouches for it.
    pub kind: String,
    /// `altered`, `moved from another place`, `rolled back to an earlier state`, `removed` or `added`.
    pub how: &'static str,
    /// The key in the store under which this came up, in hexadecimal: helps to find the row, says nothing of its name.
    pub key: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} record under key {} has been {}", self.kind, self.key, self.how)
    }
}

/// What was found so far.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    /// Pages that cannot vouch for anything.
    lost: BTreeSet<u16>,
}

impl Report {
    /// Notes a tampered object and goes on; other errors end the check.
    fn note<T>(&mut self, key: &[u8], result: Result<T, BarrierError>) -> Result<Option<T>, BarrierError> {
        match result {
            Ok(good) => Ok(Some(good)),
            Err(BarrierError::Tampered { kind, how }) => {
                self.add(&kind, how, key);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn add(&mut self, kind: &str, how: &'static str, key: &[u8]) {
        self.findings.push(Finding { kind: kind.to_owned(), how, key: hex::encode(key) });
    }
}

impl Interior {
    /// Reads every object of the store, in two passes: everything that must be there, then everything that is there.
    pub(crate) async fn verify_all(&self) -> Result<Vec<Finding>, BarrierError> {
        let keys = self.keys()?;
        let mut report = Report::default();
        self.verify_bookkeeping(&keys, &mut report).await?;
        for bucket in 0..=u16::MAX {
            if self.fresh().generation(bucket) != 0 {
                self.verify_bucket(&keys, bucket, &mut report).await?;
            }
        }
        self.verify_rows(&keys, &mut report).await?;
        Ok(report.findings)
    }

    /// Head, middles and seal record, as opening would read them.
    async fn verify_bookkeeping(&self, keys: &Keys, report: &mut Report) -> Result<(), BarrierError> {
        let mut ledger = self.ledger.lock().await;
        self.settle(&mut ledger).await?;
        if let Some((head, rev)) = report.note(place::HEAD, opening::read_head(&*self.store, keys).await)?
            && (head.generation, rev) != (ledger.head.generation, ledger.head_rev)
        {
            report.add(HEAD_KIND, ROLLED_BACK, place::HEAD);
        }
        report.note(place::MIDS, opening::read_freshness(&*self.store, keys, &ledger.head).await)?;
        let seal = self.store.get(place::SEAL).await?;
        match seal.map(|row| opening::seal_digest(&row.value) == ledger.head.seal) {
            Some(true) => {}
            Some(false) => report.add(seal::KIND, ALTERED, place::SEAL),
            None => report.add(seal::KIND, REMOVED, place::SEAL),
        }
        Ok(())
    }

    async fn verify_bucket(&self, keys: &Keys, bucket: u16, report: &mut Report) -> Result<(), BarrierError> {
        let Some(page) = report.note(&place::page_key(bucket), self.surely_stored_page(keys, bucket).await)? else {
            report.lost.insert(bucket);
            return Ok(());
        };
        for listed in page.iter() {
            let result = self.verify_listed(keys, listed).await;
            report.note(listed.place.key(), result)?;
        }
        Ok(())
    }

    async fn surely_stored_page(&self, keys: &Keys, bucket: u16) -> Result<Arc<Page>, BarrierError> {
        match self.stored_page(keys, bucket).await {
            Err(Trouble::Doubt { .. }) => {
                let mut ledger = self.ledger.lock().await;
                self.settle(&mut ledger).await?;
                self.stored_page(keys, bucket).await.map_err(Trouble::proven)
            }
            other => other.map_err(Trouble::proven),
        }
    }

    /// Opens the object; one that was deleted since its page was read is no finding.
    async fn verify_listed(&self, keys: &Keys, listed: &Listed) -> Result<(), BarrierError> {
        let wanted = Wanted { place: &listed.place, namespace: listed.namespace, kind: &listed.kind };
        if !listed.place.is_namespace_key() {
            return self.read_wanted(keys, wanted).await.map(drop);
        }
        match self.stored_namespace_key(keys, wanted).await {
            Err(Trouble::Doubt { .. }) => {
                let mut ledger = self.ledger.lock().await;
                self.settle(&mut ledger).await?;
                self.stored_namespace_key(keys, wanted).await.map(drop).map_err(Trouble::proven)
            }
            other => other.map(drop).map_err(Trouble::proven),
        }
    }

    /// Looks for rows that nothing vouches for.
    async fn verify_rows(&self, keys: &Keys, report: &mut Report) -> Result<(), BarrierError> {
        let mut last: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.list(b"", last.as_deref(), PORTION).await?;
            let Some(row) = rows.last() else { return Ok(()) };
            last = Some(row.key.clone());
            for row in rows {
                self.verify_row(keys, &row, report).await?;
            }
        }
    }

    async fn verify_row(&self, keys: &Keys, row: &Entry, report: &mut Report) -> Result<(), BarrierError> {
        match place::role(&row.key) {
            Role::Bookkeeping => {}
            Role::Page(bucket) => {
                // Written after the first look at its generation, or not by us.
                let never_written = self.fresh().generation(bucket) == 0;
                if never_written && self.is_still_unlisted(keys, &row.key, None).await? {
                    report.add(PAGE_KIND, ADDED, &row.key);
                }
            }
            Role::Listed(place) => {
                let lost = report.lost.contains(&place.bucket());
                if !lost && self.is_still_unlisted(keys, &row.key, Some(&place)).await? {
                    let how = if blob::claims_place(&row.value, &row.key) { ADDED } else { MOVED };
                    let kind = if place.is_namespace_key() { NAMESPACE_KEY_KIND } else { "unknown" };
                    report.add(kind, how, &row.key);
                }
            }
            Role::Foreign => report.add("unknown", ADDED, &row.key),
        }
        Ok(())
    }

    /// Whether the row is in the store without being accounted for, looking again under the lock before saying yes.
    async fn is_still_unlisted(&self, keys: &Keys, key: &[u8], place: Option<&Place>) -> Result<bool, BarrierError> {
        let Some(place) = place else {
            let mut ledger = self.ledger.lock().await;
            self.settle(&mut ledger).await?;
            let Role::Page(bucket) = place::role(key) else { return Ok(false) };
            return Ok(self.fresh().generation(bucket) == 0 && self.store.get(key).await?.is_some());
        };
        if self.page(keys, place.bucket()).await.is_ok_and(|page| page.find(place).is_some()) {
            return Ok(false);
        }
        let mut ledger = self.ledger.lock().await;
        self.settle(&mut ledger).await?;
        let page = self.page(keys, place.bucket()).await.map_err(Trouble::proven)?;
        Ok(page.find(place).is_none() && self.store.get(key).await?.is_some())
    }
}
