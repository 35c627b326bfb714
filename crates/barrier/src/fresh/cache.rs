use super::{BUCKETS, Page};
use std::collections::HashMap;
use std::sync::Arc;

/// Pages kept in memory in each of two halves.
const HALF: usize = 2_048;

/// Which generation each page must have, and the pages read or written lately.
pub(crate) struct Freshness {
    generations: Vec<u64>,
    young: HashMap<u16, Arc<Page>>,
    old: HashMap<u16, Arc<Page>>,
}

impl Freshness {
    /// All pages as never written.
    pub(crate) fn new() -> Self {
        Self { generations: vec![0; BUCKETS], young: HashMap::new(), old: HashMap::new() }
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

    /// Keeps the page. Pages not asked for while two thousand others were are forgotten.
    pub(crate) fn keep(&mut self, bucket: u16, page: Arc<Page>) {
        if self.young.len() >= HALF && !self.young.contains_key(&bucket) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(bucket, page);
    }
}
