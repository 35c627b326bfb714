use super::{BUCKETS, Page};
use std::collections::HashMap;
use std::sync::Arc;

/// What the pages take that are kept in memory, in each of two halves: all pages there are, as long as they list few
/// records. A million more records make each of them kilobytes larger.
const HALF_BYTES: usize = 8 * 1024 * 1024;

/// Which generation each page must have, and the pages read or written lately.
pub(crate) struct Freshness {
    generations: Vec<u64>,
    young: HashMap<u16, Arc<Page>>,
    young_bytes: usize,
    old: HashMap<u16, Arc<Page>>,
}

impl Freshness {
    /// All pages as never written.
    pub(crate) fn new() -> Self {
        Self { generations: vec![0; BUCKETS], young: HashMap::new(), young_bytes: 0, old: HashMap::new() }
    }

    /// The generation that the page must have; 0 when there must be no page.
    pub(crate) fn generation(&self, bucket: u16) -> u64 {
        self.generations.get(usize::from(bucket)).copied().unwrap_or(0)
    }

    pub(crate) fn set_generation(&mut self, bucket: u16, generation: u64) {
        if let Some(known) = self.generations.get_mut(usize::from(bucket)) {
            *known = generation;
        }
    }

    /// The generations of the pages of one middle.
    pub(crate) fn of_mid(&self, mid: u8) -> Vec<u64> {
        (0..=255).map(|low| self.generation(u16::from_be_bytes([mid, low]))).collect()
    }

    /// The page, if it is in memory and the latest.
    pub(crate) fn page(&mut self, bucket: u16) -> Option<Arc<Page>> {
        let page = match self.young.get(&bucket) {
            Some(page) => page.clone(),
            None => {
                let page = self.old.remove(&bucket)?;
                self.keep(bucket, page.clone());
                page
            }
        };
        (page.generation == self.generation(bucket)).then_some(page)
    }

    /// Keeps the page. Pages not asked for while a half was filled with others are forgotten.
    pub(crate) fn keep(&mut self, bucket: u16, page: Arc<Page>) {
        let room = page.room();
        if self.young_bytes + room > HALF_BYTES && !self.young.contains_key(&bucket) {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += room;
        if let Some(former) = self.young.insert(bucket, page) {
            self.young_bytes = self.young_bytes.saturating_sub(former.room());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fresh::Listed;
    use crate::place::Place;
    use strongroom_model::NamespaceId;

    /// A page that lists so many records.
    fn page(records: usize) -> Arc<Page> {
        let mut page = Page::default();
        for record in 0..records {
            let place = Place::found(&[&[1; 25], record.to_be_bytes().as_slice()].concat()).unwrap();
            let (tag, kind) = ([0; crate::blob::TAG], "lease".into());
            page.set(Listed { place, tag, generation: 1, namespace: NamespaceId::ROOT, kind });
        }
        Arc::new(page)
    }

    fn kept(fresh: &Freshness) -> usize {
        fresh.young.values().chain(fresh.old.values()).map(|page| page.room()).sum()
    }

    #[test]
    fn what_is_kept_is_bounded_however_many_records_a_page_lists() {
        let (mut fresh, large) = (Freshness::new(), page(200));
        for bucket in 0..=u16::MAX {
            fresh.keep(bucket, Arc::clone(&large));
        }
        assert!(kept(&fresh) <= 2 * HALF_BYTES && kept(&fresh) > HALF_BYTES / 2, "{}", kept(&fresh));
        // Of those that list one record there is room for all.
        let (mut fresh, small) = (Freshness::new(), page(1));
        (0..=u16::MAX).for_each(|bucket| fresh.keep(bucket, Arc::clone(&small)));
        assert!((0..=u16::MAX).all(|bucket| fresh.young.contains_key(&bucket) || fresh.old.contains_key(&bucket)));
        assert!(kept(&fresh) <= 2 * HALF_BYTES, "{}", kept(&fresh));
        // Written again and again, a page counts once.
        let mut fresh = Freshness::new();
        (0..10_000).for_each(|n| fresh.keep(n % 4, page(usize::from(n % 7))));
        assert_eq!((fresh.young.len(), fresh.young_bytes), (4, kept(&fresh)));
    }
}
