//! Transactions of several callers made into one commit of the store.
//!
//! Invariants: transactions count as if they came one after the other, in the order in which they were taken; one
//! that conflicts changes nothing and does not hurt the others; each has its own generation, so that a record's `rev`
//! tells two changes in one commit apart.

use crate::blob::{self, Binding, KeyKind, OVERHEAD, SALT};
use crate::fresh::{Head, Listed, MIDS_COUNT, Mid, Page, TALLY, Tally};
use crate::interior::{Interior, News};
use crate::keys::{Keys, sealing};
use crate::place::{HEAD, Place, mid_key, page_key, shelf_bucket};
use crate::reading::{
    HEAD_KIND, MID_KIND, NAMESPACE_KEY_KIND, PAGE_KIND, Trouble, Wanted, encode_record, internal_binding,
};
use crate::{Address, BarrierError, Kept, Txn};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use strongroom_memory::LockedKey;
use strongroom_model::{Drawn, Entropy, NamespaceId, SecretBytes, Wiped};
use strongroom_storage::{Compare, Expectation, IdemToken, Limits, Op, Revision, StoreError};

/// Middles that every commit has room for. Two would keep the head small on average; eight also after large commits.
const MIDS_ROOM: usize = 8;
const MID_BYTES: usize = 2_200;
/// The head after the largest commit that the room for middles lets stand.
const HEAD_BYTES: usize = 48 * 1024;
/// What listing one object adds to its page, at most.
const LISTING: usize = 256;

/// Counted shelves with how many records a transaction makes and removes there.
type Steps = BTreeMap<[u8; 16], (u64, u64)>;

/// A record to write: where, as what, and the bytes.
type PutAt<'t> = (Place, &'t Address, &'t SecretBytes);

/// Changes collected for one commit.
pub(crate) struct Batch<'a> {
    interior: &'a Interior,
    keys: &'a Keys,
    limits: Limits,
    generation: u64,
    rows: BTreeMap<Place, Row>,
    pages: BTreeMap<u16, Arc<Page>>,
    made: HashMap<NamespaceId, Arc<LockedKey>>,
    /// Of the counted shelves met so far, as the batch leaves them; `None` for one that nobody counted from its start.
    tallies: BTreeMap<[u8; 16], Option<Tally>>,
    changed: Vec<Address>,
    /// Pages and middles to be sealed anew although nothing in them changes.
    stale_pages: BTreeSet<u16>,
    stale_mids: BTreeSet<u8>,
    ops: usize,
    bytes: usize,
}

/// The state in which the batch leaves one object.
struct Row {
    generation: u64,
    namespace: NamespaceId,
    kind: &'static str,
    /// `None` when it is deleted.
    plain: Option<Wiped>,
}

/// An object that is sealed under a term key itself.
pub(crate) enum Stale {
    /// The page of this bucket.
    Page(u16),
    /// This middle.
    Mid(u8),
    /// The namespace key at this place.
    NamespaceKey(Place),
}

/// What became of a transaction.
pub(crate) enum Staged {
    /// Part of the batch, with this revision.
    Taken(Revision),
    /// There is no room for it in this batch; it must come first in the next.
    Later,
}

/// A batch ready to be committed.
pub(crate) struct Sealed {
    pub(crate) txn: strongroom_storage::Txn,
    pub(crate) news: News,
}

impl<'a> Batch<'a> {
    /// A batch on top of the head's generation.
    pub(crate) fn new(interior: &'a Interior, keys: &'a Keys, head: &Head) -> Self {
        Self {
            interior,
            keys,
            limits: interior.store.limits(),
            generation: head.generation,
            rows: BTreeMap::new(),
            pages: BTreeMap::new(),
            made: HashMap::new(),
            tallies: BTreeMap::new(),
            changed: Vec::new(),
            stale_pages: BTreeSet::new(),
            stale_mids: BTreeSet::new(),
            ops: 1,
            bytes: HEAD_BYTES,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the transaction in if its compares hold. An error is this transaction's alone.
    pub(crate) async fn stage(&mut self, txn: &Txn) -> Result<Staged, BarrierError> {
        let compares: Vec<_> = txn.compares.iter().map(|(at, expect)| (self.keys.place(at), *expect)).collect();
        let puts: Vec<_> = txn.puts.iter().map(|(at, bytes)| (self.keys.place(at), at, bytes)).collect();
        let deletes: Vec<_> = txn.deletes.iter().map(|at| (self.keys.place(at), at)).collect();
        let mut distinct = BTreeSet::new();
        for (place, at) in
            puts.iter().map(|(place, at, _)| (place, at)).chain(deletes.iter().map(|(place, at)| (place, at)))
        {
            if !distinct.insert(place) {
                return Err(BarrierError::Twice { kind: at.shelf.kind });
            }
        }
        let fresh = self.missing_namespaces(txn).await?;
        for place in compares.iter().map(|(place, _)| place).chain(distinct).chain(fresh.iter().map(|(_, place)| place))
        {
            self.load_page(place.bucket()).await?;
        }
        if !compares.iter().all(|(place, expect)| self.holds(place, *expect)) {
            return Err(BarrierError::Conflict);
        }
        let steps = self.steps(&puts, &deletes);
        self.load_tallies(&steps).await?;
        if !self.make_room(&puts, &deletes, &steps, fresh.len())? {
            return Ok(Staged::Later);
        }
        Ok(Staged::Taken(self.apply(puts, deletes, fresh, &steps)))
    }

    /// By how much each counted shelf grows and shrinks.
    fn steps(&self, puts: &[PutAt<'_>], deletes: &[(Place, &Address)]) -> Steps {
        let mut steps = Steps::new();
        for (place, at, _) in puts.iter().filter(|(_, at, _)| at.shelf.counted) {
            if self.generation_of(place).is_none() {
                steps.entry(self.keys.shelf(&at.shelf)).or_default().0 += 1;
            }
        }
        for (place, at) in deletes.iter().filter(|(_, at)| at.shelf.counted) {
            if self.generation_of(place).is_some() {
                steps.entry(self.keys.shelf(&at.shelf)).or_default().1 += 1;
            }
        }
        steps
    }

    async fn load_tallies(&mut self, steps: &Steps) -> Result<(), BarrierError> {
        for shelf in steps.keys() {
            self.load_page(shelf_bucket(shelf)).await?;
            if self.tallies.contains_key(shelf) {
                continue;
            }
            let tally = match self.pages.get(&shelf_bucket(shelf)).and_then(|page| page.tally(shelf)) {
                Some(tally) => Some(tally),
                None if self.interior.holds_something(self.keys, shelf).await? => None,
                None => Some(Tally::default()),
            };
            self.tallies.insert(*shelf, tally);
        }
        Ok(())
    }

    /// Namespaces that the transaction writes to for the first time ever.
    async fn missing_namespaces(&self, txn: &Txn) -> Result<Vec<(NamespaceId, Place)>, BarrierError> {
        let used = txn.puts.iter().map(|(at, _)| at.shelf.namespace).chain(txn.namespace);
        let mut missing = Vec::new();
        for namespace in used.collect::<BTreeSet<_>>() {
            if self.made.contains_key(&namespace) {
                continue;
            }
            if self.interior.namespace_key(self.keys, namespace).await.map_err(Trouble::proven)?.is_none() {
                missing.push((namespace, self.keys.namespace_place(namespace)));
            }
        }
        Ok(missing)
    }

    async fn load_page(&mut self, bucket: u16) -> Result<(), BarrierError> {
        if !self.pages.contains_key(&bucket) {
            let page = self.interior.page(self.keys, bucket).await.map_err(Trouble::proven)?;
            self.pages.insert(bucket, page);
        }
        Ok(())
    }

    /// Whether there is room; an error when there would be none in an empty batch either.
    fn make_room(
        &mut self,
        puts: &[PutAt<'_>],
        deletes: &[(Place, &Address)],
        steps: &Steps,
        namespaces: usize,
    ) -> Result<bool, BarrierError> {
        if self.is_empty() {
            // Transactions that turned out to change nothing have left no trace but this.
            (self.ops, self.bytes) = (1, HEAD_BYTES);
        }
        let page_weight = |place: &Place| self.pages.get(&place.bucket()).map_or(0, |page| page.weight());
        let (mut ops, mut bytes) = (namespaces * 2 + steps.len(), namespaces * 4_096);
        for shelf in steps.keys() {
            bytes += self.pages.get(&shelf_bucket(shelf)).map_or(0, |page| page.weight()) + LISTING + TALLY;
        }
        for (place, at, payload) in puts {
            let name = match &at.kept {
                Kept::Named(name) | Kept::Ordered(_, name) => name.len(),
            };
            let value = payload.len() + name + 32 + OVERHEAD;
            if value > self.limits.value_bytes {
                let limit = self.limits.value_bytes.saturating_sub(name + 32 + OVERHEAD);
                return Err(StoreError::TooLarge { what: "a record", limit }.into());
            }
            ops += 2;
            bytes += value + place.key().len() + page_weight(place) + LISTING;
        }
        for (place, _) in deletes {
            ops += 2;
            bytes += place.key().len() + page_weight(place);
        }
        let most_ops = self.limits.txn_ops.saturating_sub(MIDS_ROOM);
        let most_bytes = self.limits.txn_bytes.saturating_sub(MIDS_ROOM * MID_BYTES);
        if self.ops + ops <= most_ops && self.bytes + bytes <= most_bytes {
            self.ops += ops;
            self.bytes += bytes;
            return Ok(true);
        }
        match self.is_empty() {
            false => Ok(false),
            true if ops + 1 > most_ops => {
                Err(StoreError::TooLarge { what: "the number of changes in a transaction", limit: most_ops / 2 }.into())
            }
            true => Err(StoreError::TooLarge { what: "a transaction, in bytes", limit: most_bytes }.into()),
        }
    }

    fn holds(&self, place: &Place, expect: Expectation) -> bool {
        match expect {
            Expectation::Absent => self.generation_of(place).is_none(),
            Expectation::Present => self.generation_of(place).is_some(),
            Expectation::RevIs(rev) => self.generation_of(place) == Some(rev.0),
        }
    }

    /// The generation of the object as this batch leaves it so far; `None` when there is none.
    fn generation_of(&self, place: &Place) -> Option<u64> {
        match self.rows.get(place) {
            Some(row) => row.plain.is_some().then_some(row.generation),
            None => self.pages.get(&place.bucket())?.find(place).map(|listed| listed.generation),
        }
    }

    fn apply(
        &mut self,
        puts: Vec<PutAt<'_>>,
        deletes: Vec<(Place, &Address)>,
        namespaces: Vec<(NamespaceId, Place)>,
        steps: &Steps,
    ) -> Revision {
        let deletes: Vec<_> = deletes.into_iter().filter(|(place, _)| self.generation_of(place).is_some()).collect();
        if puts.is_empty() && deletes.is_empty() && namespaces.is_empty() {
            return Revision(self.generation);
        }
        self.generation += 1;
        let generation = self.generation;
        for (shelf, (more, fewer)) in steps {
            if let Some(Some(tally)) = self.tallies.get_mut(shelf) {
                *tally = Tally { count: (tally.count + more).saturating_sub(*fewer), generation };
            }
        }
        for (namespace, place) in namespaces {
            let key = LockedKey::make(|bytes| self.interior.entropy.fill(bytes));
            let plain = Some(Wiped::new(key.expose().to_vec()));
            self.rows.insert(place, Row { generation, namespace, kind: NAMESPACE_KEY_KIND, plain });
            self.made.insert(namespace, Arc::new(key));
        }
        for (place, at, payload) in puts {
            let plain = Some(encode_record(at, generation, payload));
            self.rows.insert(place, Row { generation, namespace: at.shelf.namespace, kind: at.shelf.kind, plain });
            self.changed.push(at.clone());
        }
        for (place, at) in deletes {
            self.rows
                .insert(place, Row { generation, namespace: at.shelf.namespace, kind: at.shelf.kind, plain: None });
            self.changed.push(at.clone());
        }
        Revision(generation)
    }

    /// Takes in objects that are sealed under an earlier term, to be sealed under the current one. The caller sees to it
    /// that they are few; one that is gone meanwhile is left out.
    pub(crate) async fn reseal(&mut self, objects: &[Stale]) -> Result<Revision, BarrierError> {
        self.generation += 1;
        let generation = self.generation;
        for object in objects {
            match object {
                Stale::Page(bucket) => {
                    self.load_page(*bucket).await?;
                    self.stale_pages.insert(*bucket);
                }
                Stale::Mid(mid) => {
                    self.stale_mids.insert(*mid);
                }
                Stale::NamespaceKey(place) => {
                    self.load_page(place.bucket()).await?;
                    let listed = self.pages.get(&place.bucket()).and_then(|page| page.find(place));
                    let Some(namespace) = listed.map(|listed| listed.namespace) else { continue };
                    let wanted = Wanted { place, namespace, kind: NAMESPACE_KEY_KIND };
                    let key = self.interior.stored_namespace_key(self.keys, wanted).await.map_err(Trouble::proven)?;
                    let Some(key) = key else { continue };
                    let plain = Some(Wiped::new(key.expose().to_vec()));
                    self.rows.insert(*place, Row { generation, namespace, kind: NAMESPACE_KEY_KIND, plain });
                }
            }
        }
        Ok(Revision(generation))
    }

    /// Seals everything, and makes the one transaction of it.
    pub(crate) fn seal(mut self, head: &Head, head_rev: Revision, idem: IdemToken) -> Result<Sealed, BarrierError> {
        let mut ops = Vec::with_capacity(self.ops + MIDS_ROOM);
        // A salt for each record and its page, for a few middles, and for the head.
        let salts = 2 * self.rows.len() + self.tallies.len() + MIDS_ROOM + 1;
        let entropy = &Drawn::for_now(&*self.interior.entropy, salts * SALT);
        let mut touched = std::mem::take(&mut self.stale_pages);
        for (place, row) in std::mem::take(&mut self.rows) {
            touched.insert(place.bucket());
            let op = self.seal_row(place, row, entropy)?;
            ops.push(op);
        }
        for (shelf, tally) in std::mem::take(&mut self.tallies) {
            let Some(tally) = tally.filter(|tally| tally.generation > head.generation) else { continue };
            let bucket = shelf_bucket(&shelf);
            touched.insert(bucket);
            Arc::make_mut(self.pages.entry(bucket).or_default()).set_tally(shelf, tally);
        }
        let mut pages = Vec::with_capacity(touched.len());
        let mut head = head.clone();
        head.generation = self.generation;
        for bucket in touched {
            let mut page = self.pages.remove(&bucket).unwrap_or_default();
            Arc::make_mut(&mut page).generation = self.generation;
            ops.push(self.seal_internal(PAGE_KIND, &page_key(bucket), &page.encode(), entropy)?);
            head.touch(bucket, self.generation);
            pages.push((bucket, page));
        }
        let room = self.limits.txn_ops.saturating_sub(ops.len() + 1).min(MIDS_COUNT);
        let room_bytes = self.limits.txn_bytes.saturating_sub(self.bytes) / MID_BYTES;
        let mut mids = std::mem::take(&mut self.stale_mids);
        mids.iter().for_each(|mid| head.rewrite(*mid));
        mids.extend(head.unload(room.min(room_bytes)));
        for mid in mids {
            let mid_now = self.mid(mid, &pages);
            ops.push(self.seal_internal(MID_KIND, &mid_key(mid), &mid_now.encode(), entropy)?);
        }
        // Everything but records is sealed under the current term: the head too, which carries the count.
        head.wraps += self.interior.take_wraps() + 1;
        let sealed = seal_internal(self.keys, HEAD_KIND, HEAD, &head.encode(), entropy)?;
        ops.push(Op::Put { key: HEAD.to_vec(), value: sealed });
        let compares = vec![Compare { key: HEAD.to_vec(), expect: Expectation::RevIs(head_rev) }];
        let txn = strongroom_storage::Txn { compares, ops, idem };
        Ok(Sealed { txn, news: News { head, pages, keys: self.made, changed: self.changed, seal: None } })
    }

    fn seal_row(&mut self, place: Place, row: Row, entropy: &dyn Entropy) -> Result<Op, BarrierError> {
        let page = Arc::make_mut(self.pages.entry(place.bucket()).or_default());
        let Some(plain) = row.plain else {
            page.remove(&place);
            return Ok(Op::Delete { key: place.key().to_vec() });
        };
        let binding =
            Binding { cluster: self.keys.cluster, namespace: row.namespace, kind: row.kind, place: place.key() };
        let value = if place.is_namespace_key() {
            let (term, key) = self.keys.current_term()?;
            self.interior.count_wrap();
            blob::seal(&key, KeyKind::Term, term, &binding, &plain, entropy)
        } else {
            let known = self.made.get(&row.namespace).cloned().or_else(|| self.keys.namespace(row.namespace));
            let key = known.ok_or(BarrierError::Library("find the key of a namespace"))?;
            blob::seal(&key, KeyKind::Namespace, 1, &binding, &plain, entropy)
        };
        let value = value.map_err(sealing)?;
        let tag = blob::tag(&value).unwrap_or_default();
        let key = place.key().to_vec();
        page.set(Listed { place, tag, generation: row.generation, namespace: row.namespace, kind: row.kind.into() });
        Ok(Op::Put { key, value })
    }

    fn seal_internal(&self, kind: &str, place: &[u8], plain: &[u8], entropy: &dyn Entropy) -> Result<Op, BarrierError> {
        self.interior.count_wrap();
        let value = seal_internal(self.keys, kind, place, plain, entropy)?;
        Ok(Op::Put { key: place.to_vec(), value })
    }

    /// The middle as it is after this batch.
    fn mid(&self, mid: u8, pages: &[(u16, Arc<Page>)]) -> Mid {
        let mut known = self.interior.fresh().of_mid(mid);
        for (bucket, page) in pages {
            let [high, low] = bucket.to_be_bytes();
            if let Some(generation) = known.get_mut(usize::from(low)).filter(|_| high == mid) {
                *generation = page.generation;
            }
        }
        Mid { generation: self.generation, pages: known }
    }
}

/// Seals an object of the freshness bookkeeping under the current term.
pub(crate) fn seal_internal(
    keys: &Keys,
    kind: &str,
    place: &[u8],
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, BarrierError> {
    let (term, key) = keys.current_term()?;
    blob::seal(&key, KeyKind::Term, term, &internal_binding(keys, kind, place), plain, entropy).map_err(sealing)
}
