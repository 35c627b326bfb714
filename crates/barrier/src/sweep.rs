//! Seals under the current term what is still sealed under an earlier one: freshness pages, middles, namespace keys.
//!
//! Goes through the store in small steps, so that commits and reads go on; each step looks first and takes the writer's
//! turn only for what it must change. Invariants: an object counts as done only when it has been opened under the
//! current term, so that an old term is never forgotten on the word of a header; a crash loses the place where the
//! sweep was, never an object. Does not know when to run: who holds the barrier calls.

use crate::batch::Stale;
use crate::change::SealChange;
use crate::committer::Work;
use crate::interior::Interior;
use crate::keys::Keys;
use crate::place::{NAMESPACE_KEYS, Place, Role, mid_key, page_key, pages_of, role};
use crate::reading::{MID_KIND, NAMESPACE_KEY_KIND, PAGE_KIND, Wanted, open_internal};
use crate::{Barrier, BarrierError, blob};
use strongroom_storage::Entry;

/// Objects looked at in one step, beside the pages of one middle.
const PORTION: usize = 64;

/// A middle with its key and overhead.
const MID_WEIGHT: usize = 2_400;
/// What an object may grow by until it is its turn.
const MARGIN: usize = 512;

/// An object with about as many bytes as sealing it anew writes.
type Weighed = (Stale, usize);

/// How far sealing everything under the current term has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects that are sealed under the current term.
    pub done: u64,
    /// Objects in all, counted when the sweep began.
    pub total: u64,
}

/// A sweep under way.
#[derive(Default)]
pub(crate) struct Sweep {
    /// The term that everything is to be sealed under; 0 before the first sweep.
    target: u32,
    next: Next,
    progress: Progress,
}

#[derive(Default)]
enum Next {
    #[default]
    Start,
    /// The pages of this middle, and the middle.
    Mid(u8),
    /// Namespace keys after this key.
    Namespaces(Option<Vec<u8>>),
}

impl Barrier {
    /// One step of sealing under the current term what is sealed under earlier ones; `true` when there is more to do.
    /// May be called at any time and by anybody, and begins again after a restart. When the last step is done, the old
    /// terms are needed for what callers carry only.
    pub async fn sweep(&self) -> Result<bool, BarrierError> {
        let interior = self.interior();
        let keys = interior.keys()?;
        let ring = keys.ring();
        if ring.is_swept() {
            return Ok(false);
        }
        let mut sweep = interior.sweep.lock().await;
        if sweep.target != ring.term() {
            *sweep = Sweep { target: ring.term(), ..Sweep::default() };
        }
        let next = std::mem::take(&mut sweep.next);
        // An error begins the sweep anew at the next call: it cannot say where it was.
        let (stale, seen, next) = match next {
            Next::Start => {
                sweep.progress = Progress { done: 0, total: interior.count_objects().await? };
                (Vec::new(), 0, Some(Next::Mid(0)))
            }
            Next::Mid(mid) => {
                let (stale, seen) = interior.look_at_mid(&keys, mid, sweep.target).await?;
                (stale, seen, Some(mid.checked_add(1).map_or(Next::Namespaces(None), Next::Mid)))
            }
            Next::Namespaces(after) => {
                let rows = interior.store.list(NAMESPACE_KEYS, after.as_deref(), PORTION).await?;
                let next = rows.last().map(|row| Next::Namespaces(Some(row.key.clone())));
                let stale = interior.stale_namespace_keys(&keys, &rows, sweep.target).await;
                (stale, rows.len(), next)
            }
        };
        for portion in interior.portions(stale) {
            self.ask(Work::Reseal(portion)).await?;
        }
        sweep.progress.done += seen as u64;
        match next {
            Some(next) => sweep.next = next,
            None => {
                self.ask(Work::Seal(SealChange::Swept(sweep.target))).await?;
            }
        }
        Ok(!keys.ring().is_swept())
    }

    /// How far the sweep is; everything when there is nothing to do.
    pub(crate) fn progress(&self, swept: bool) -> Option<Progress> {
        if swept {
            return None;
        }
        // A step under way holds the lock; what it last knew is not worth waiting for.
        Some(self.interior().sweep.try_lock().map_or(Progress::default(), |sweep| sweep.progress))
    }
}

impl Interior {
    /// How many objects are sealed under term keys: pages, middles and namespace keys.
    async fn count_objects(&self) -> Result<u64, BarrierError> {
        let pages = (0..=u16::MAX).filter(|bucket| self.fresh().generation(*bucket) != 0).count();
        let mids = {
            let ledger = self.ledger.lock().await;
            (0..=u8::MAX).filter(|mid| ledger.head.mid_generation(*mid) != 0).count()
        };
        let (mut names, mut last) = (0, None::<Vec<u8>>);
        loop {
            let rows = self.store.list(NAMESPACE_KEYS, last.as_deref(), 1_000).await?;
            let Some(row) = rows.last() else { break };
            last = Some(row.key.clone());
            names += rows.len();
        }
        Ok((pages + mids + names) as u64)
    }

    /// What of a middle and its pages is not sealed under the term, and how many objects that are.
    async fn look_at_mid(&self, keys: &Keys, mid: u8, term: u32) -> Result<(Vec<Weighed>, usize), BarrierError> {
        let key = mid_key(mid);
        let mut stale = Vec::new();
        let row = self.store.get(&key).await?;
        if row.as_ref().is_some_and(|row| !is_under(keys, MID_KIND, &key, &row.value, term)) {
            stale.push((Stale::Mid(mid), MID_WEIGHT));
        }
        let rows = self.store.list(&pages_of(mid), None, 257).await?;
        for row in &rows {
            let Role::Page(bucket) = role(&row.key) else { continue };
            if !is_under(keys, PAGE_KIND, &page_key(bucket), &row.value, term) {
                stale.push((Stale::Page(bucket), row.value.len() + MARGIN));
            }
        }
        Ok((stale, rows.len() + usize::from(row.is_some())))
    }

    async fn stale_namespace_keys(&self, keys: &Keys, rows: &[Entry], term: u32) -> Vec<Weighed> {
        let mut stale = Vec::new();
        for row in rows {
            // What is no key of ours is nothing to be sealed; who verifies names it.
            let Some(place) = Place::found(&row.key) else { continue };
            let page = self.page(keys, place.bucket()).await.ok();
            let weight = page.as_ref().map_or(0, |page| page.weight()) + row.value.len() + MARGIN;
            let namespace = page.and_then(|page| page.find(&place).map(|listed| listed.namespace));
            let good = match namespace {
                Some(namespace) => {
                    let wanted = Wanted { place: &place, namespace, kind: NAMESPACE_KEY_KIND };
                    blob::term(&row.value) == Some(term)
                        && matches!(self.stored_namespace_key(keys, wanted).await, Ok(Some(_)))
                }
                None => false,
            };
            if !good {
                stale.push((Stale::NamespaceKey(place), weight));
            }
        }
        stale
    }

    /// Few enough at once that they fit into a commit and hold up nobody.
    fn portions(&self, stale: Vec<Weighed>) -> Vec<Vec<Stale>> {
        let most = (self.store.limits().txn_ops / 4).clamp(1, PORTION);
        let bytes = self.store.limits().txn_bytes / 2;
        let mut portions: Vec<Vec<Stale>> = Vec::new();
        let mut weight = 0;
        for (object, own) in stale {
            match portions.last_mut() {
                Some(portion) if portion.len() < most && weight + own <= bytes => {
                    weight += own;
                    portion.push(object);
                }
                _ => {
                    weight = own;
                    portions.push(vec![object]);
                }
            }
        }
        portions
    }
}

/// Whether the object opens, and under this term.
fn is_under(keys: &Keys, kind: &str, place: &[u8], row: &[u8], term: u32) -> bool {
    blob::term(row) == Some(term) && open_internal(keys, kind, place, row).is_ok()
}
