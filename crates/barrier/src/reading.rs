//! Reading one object and finding out whether it is the latest: the row and its page must agree.
//!
//! A commit may come between reading the two, so a disagreement is only a doubt. The caller removes it by looking
//! again under the ledger's lock; what is wrong then has been tampered with.

use crate::blob::{self, Binding, KeyKind};
use crate::codec::{Put, Take};
use crate::fresh::{Head, Listed, Page};
use crate::interior::{Interior, Ledger};
use crate::keys::Keys;
use crate::opening::read_head;
use crate::place::{Place, page_key};
use crate::seal::SealRecord;
use crate::{Address, BarrierError, Kept, Record};
use std::cmp::Ordering;
use std::sync::Arc;
use strongroom_memory::LockedKey;
use strongroom_model::{NamespaceId, SecretBytes, Wiped};
use strongroom_storage::Revision;

pub(crate) const ALTERED: &str = "altered";
pub(crate) const MOVED: &str = "moved from another place";
pub(crate) const ROLLED_BACK: &str = "rolled back to an earlier state";
pub(crate) const REMOVED: &str = "removed";
pub(crate) const ADDED: &str = "added";

pub(crate) const HEAD_KIND: &str = "freshness-head";
pub(crate) const MID_KIND: &str = "freshness-middle";
pub(crate) const PAGE_KIND: &str = "freshness-page";
pub(crate) const NAMESPACE_KEY_KIND: &str = "namespace-key";

/// Why an object was not read.
pub(crate) enum Trouble {
    /// It does not look right; under the ledger's lock this is proof.
    Doubt { kind: String, how: &'static str },
    /// Something else failed.
    Failed(BarrierError),
}

impl Trouble {
    fn doubt(kind: &str, how: &'static str) -> Self {
        Trouble::Doubt { kind: kind.to_owned(), how }
    }
}

impl<E: Into<BarrierError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble::Failed(error.into())
    }
}

impl Trouble {
    /// The error, for who holds the ledger's lock.
    pub(crate) fn proven(self) -> BarrierError {
        match self {
            Trouble::Doubt { kind, how } => BarrierError::Tampered { kind, how },
            Trouble::Failed(error) => error,
        }
    }
}

/// What is needed to open the object at a place.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) place: &'a Place,
    pub(crate) namespace: NamespaceId,
    pub(crate) kind: &'a str,
}

impl Wanted<'_> {
    pub(crate) fn binding(&self, keys: &Keys) -> Binding<'_> {
        Binding { cluster: keys.cluster, namespace: self.namespace, kind: self.kind, place: self.place.key() }
    }
}

/// A row and what its page says of it.
struct Found {
    row: Option<Vec<u8>>,
    listed: Option<Listed>,
}

impl Interior {
    /// The record at the address.
    pub(crate) async fn read(&self, at: &Address) -> Result<Option<Record>, BarrierError> {
        let keys = self.keys()?;
        let place = keys.place(at);
        self.read_wanted(&keys, Wanted { place: &place, namespace: at.shelf.namespace, kind: at.shelf.kind }).await
    }

    /// The record, looking twice if it must be.
    pub(crate) async fn read_wanted(&self, keys: &Keys, wanted: Wanted<'_>) -> Result<Option<Record>, BarrierError> {
        match self.look(keys, wanted, None).await {
            Ok(record) => Ok(record),
            Err(Trouble::Failed(error)) => Err(error),
            Err(Trouble::Doubt { .. }) => {
                let mut ledger = self.ledger.lock().await;
                self.settle(&mut ledger).await?;
                match self.look(keys, wanted, None).await {
                    Ok(record) => Ok(record),
                    Err(trouble) => Err(self.blame(keys, &ledger, trouble.proven()).await),
                }
            }
        }
    }

    /// Tells tampering from another server that has written the store: that one has moved the head on.
    pub(crate) async fn blame(&self, keys: &Keys, ledger: &Ledger, error: BarrierError) -> BarrierError {
        if !matches!(error, BarrierError::Tampered { .. }) {
            return error;
        }
        // Boxed: hardly anybody comes here, and every read would carry three KiB of room for it.
        if Box::pin(self.is_superseded(keys, ledger)).await { BarrierError::Superseded } else { error }
    }

    /// Whether another server has written the head since.
    async fn is_superseded(&self, keys: &Keys, ledger: &Ledger) -> bool {
        let later = |head: &Head, rev| rev != ledger.head_rev && head.generation > ledger.head.generation;
        match read_head(&*self.store, keys).await {
            Ok((head, rev)) => later(&head, rev),
            // That server may have begun a term that is not known here.
            Err(_) => match self.stored_keys(keys).await {
                Some(theirs) => read_head(&*self.store, &theirs).await.is_ok_and(|(head, rev)| later(&head, rev)),
                None => false,
            },
        }
    }

    /// The keyring as the store has it at this moment, if the root key is still the same.
    async fn stored_keys(&self, keys: &Keys) -> Option<Keys> {
        let row = SealRecord::read(&*self.store).await.ok()??;
        let record = SealRecord::decode(&row.value).ok()?;
        Keys::unwrap(keys.cluster, keys.ring().wrapping.duplicate(), &record.keyring.0).ok()
    }

    /// The record as row and page have it at this moment; `row` when it was read already.
    pub(crate) async fn look(
        &self,
        keys: &Keys,
        wanted: Wanted<'_>,
        row: Option<Vec<u8>>,
    ) -> Result<Option<Record>, Trouble> {
        let found = self.find(keys, wanted, row).await?;
        if found.row.is_none() && found.listed.is_none() {
            return Ok(None);
        }
        let key = self.namespace_key(keys, wanted.namespace).await?;
        let open = |row: &[u8]| blob::open(key.as_deref()?, KeyKind::Namespace, &wanted.binding(keys), row).ok();
        let Some((plain, listed)) = judge(found, wanted, open)? else { return Ok(None) };
        let record = decode_record(&plain, listed.generation).ok_or_else(|| Trouble::doubt(wanted.kind, ALTERED))?;
        Ok(Some(record))
    }

    /// The key of the namespace; `None` when there is none yet. Takes no lock: the caller removes doubts.
    pub(crate) async fn namespace_key(
        &self,
        keys: &Keys,
        namespace: NamespaceId,
    ) -> Result<Option<Arc<LockedKey>>, Trouble> {
        if let Some(key) = keys.namespace(namespace) {
            return Ok(Some(key));
        }
        let place = keys.namespace_place(namespace);
        let wanted = Wanted { place: &place, namespace, kind: NAMESPACE_KEY_KIND };
        let key = self.stored_namespace_key(keys, wanted).await?.map(Arc::new);
        if let Some(key) = &key {
            keys.remember(namespace, key.clone());
        }
        Ok(key)
    }

    /// The key of the namespace as the store has it.
    pub(crate) async fn stored_namespace_key(
        &self,
        keys: &Keys,
        wanted: Wanted<'_>,
    ) -> Result<Option<LockedKey>, Trouble> {
        let found = self.find(keys, wanted, None).await?;
        let open = |row: &[u8]| blob::open(&*keys.term_of(row)?, KeyKind::Term, &wanted.binding(keys), row).ok();
        let Some((plain, _)) = judge(found, wanted, open)? else { return Ok(None) };
        let key = LockedKey::from_slice(plain.expose()).ok_or_else(|| Trouble::doubt(NAMESPACE_KEY_KIND, ALTERED))?;
        Ok(Some(key))
    }

    async fn find(&self, keys: &Keys, wanted: Wanted<'_>, row: Option<Vec<u8>>) -> Result<Found, Trouble> {
        let row = match row {
            Some(row) => Some(row),
            None => self.store.get(wanted.place.key()).await?.map(|entry| entry.value),
        };
        let page = self.page(keys, wanted.place.bucket()).await?;
        Ok(Found { row, listed: page.find(wanted.place).cloned() })
    }

    /// The page of the bucket, of the generation it must have.
    pub(crate) async fn page(&self, keys: &Keys, bucket: u16) -> Result<Arc<Page>, Trouble> {
        let cached = self.fresh().page(bucket);
        match cached {
            Some(page) => Ok(page),
            None => self.stored_page(keys, bucket).await,
        }
    }

    /// The page of the bucket, looking twice if it must be.
    pub(crate) async fn surely_page(&self, keys: &Keys, bucket: u16) -> Result<Arc<Page>, BarrierError> {
        match self.page(keys, bucket).await {
            Ok(page) => Ok(page),
            Err(Trouble::Failed(error)) => Err(error),
            Err(Trouble::Doubt { .. }) => {
                let mut ledger = self.ledger.lock().await;
                self.settle(&mut ledger).await?;
                match self.page(keys, bucket).await {
                    Ok(page) => Ok(page),
                    Err(trouble) => Err(self.blame(keys, &ledger, trouble.proven()).await),
                }
            }
        }
    }

    /// The page as the store has it.
    pub(crate) async fn stored_page(&self, keys: &Keys, bucket: u16) -> Result<Arc<Page>, Trouble> {
        let expected = self.fresh().generation(bucket);
        if expected == 0 {
            return Ok(Arc::default());
        }
        let place = page_key(bucket);
        let row = self.store.get(&place).await?.ok_or_else(|| Trouble::doubt(PAGE_KIND, REMOVED))?.value;
        let page = open_internal(keys, PAGE_KIND, &place, &row);
        let page = page.and_then(|plain| Page::decode(plain.expose()).ok_or(ALTERED));
        let page = Arc::new(page.map_err(|how| Trouble::doubt(PAGE_KIND, how))?);
        // A page that is newer than the head knows can only be genuine when the head is old.
        match page.generation.cmp(&expected) {
            Ordering::Equal => {}
            Ordering::Less => return Err(Trouble::doubt(PAGE_KIND, ROLLED_BACK)),
            Ordering::Greater => return Err(Trouble::doubt(HEAD_KIND, ROLLED_BACK)),
        }
        self.fresh().keep(bucket, page.clone());
        Ok(page)
    }
}

/// Opens an object of the freshness bookkeeping; the error says how it was tampered with.
pub(crate) fn open_internal(keys: &Keys, kind: &str, place: &[u8], row: &[u8]) -> Result<SecretBytes, &'static str> {
    let binding = internal_binding(keys, kind, place);
    let plain = keys.term_of(row).and_then(|key| blob::open(&key, KeyKind::Term, &binding, row).ok());
    plain.ok_or(if blob::claims_place(row, place) { ALTERED } else { MOVED })
}

/// How objects of the freshness bookkeeping are bound.
pub(crate) fn internal_binding<'a>(keys: &Keys, kind: &'a str, place: &'a [u8]) -> Binding<'a> {
    Binding { cluster: keys.cluster, namespace: NamespaceId::ROOT, kind, place }
}

/// Compares row and listing, and names the difference.
fn judge(
    found: Found,
    wanted: Wanted<'_>,
    open: impl FnOnce(&[u8]) -> Option<SecretBytes>,
) -> Result<Option<(SecretBytes, Listed)>, Trouble> {
    let how = match (found.row, found.listed) {
        (None, None) => return Ok(None),
        (None, Some(_)) => REMOVED,
        (Some(row), listed) => match (open(&row), listed) {
            (Some(plain), Some(listed)) if blob::tag(&row) == Some(listed.tag) => return Ok(Some((plain, listed))),
            (Some(_), Some(_)) => ROLLED_BACK,
            (Some(_), None) => ADDED,
            (None, _) if !blob::claims_place(&row, wanted.place.key()) => MOVED,
            (None, Some(_)) => ALTERED,
            (None, None) => ADDED,
        },
    };
    Err(Trouble::doubt(wanted.kind, how))
}

/// A record as it is sealed: generation, form, number, name, then what was put.
pub(crate) fn encode_record(at: &Address, generation: u64, payload: &SecretBytes) -> Wiped {
    let (form, number, name) = match &at.kept {
        Kept::Named(name) => (0, 0, name),
        Kept::Ordered(number, name) => (1, *number, name),
    };
    let mut bytes = Wiped::with_capacity(32 + name.len() + payload.len());
    bytes.u64(generation).u8(form).u64(number).part(name).raw(payload.expose());
    bytes
}

fn decode_record(plain: &SecretBytes, generation: u64) -> Option<Record> {
    let mut parts = Take(plain.expose());
    let (own, _form, number) = (parts.u64()?, parts.u8()?, parts.u64()?);
    let name = parts.part()?.to_vec();
    let bytes = SecretBytes::new(parts.0.to_vec());
    (own == generation).then_some(Record { bytes, name, number, rev: Revision(own) })
}
