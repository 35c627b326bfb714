use crate::codec::{Put, Take};
use std::collections::BTreeSet;

/// Pages that objects are spread over.
pub(crate) const BUCKETS: usize = 65_536;
/// Middles, each for 256 pages.
pub(crate) const MIDS_COUNT: usize = 256;
/// From this many changes on, middles are written and their changes leave the head. The more there are, the more of them
/// leave with one middle; with so many the head, sealed, still fits a page of 8 KiB of the embedded engine, which writes
/// whole pages.
const ENOUGH: usize = 560;

/// The one object that every commit rewrites: it says which generation everything else must have.
#[derive(Clone)]
pub(crate) struct Head {
    /// Counts commits over the whole life of the store.
    pub(crate) generation: u64,
    /// SHA-256 of the seal record, so that an old or altered one is noticed.
    pub(crate) seal: [u8; 32],
    /// The generation of each middle; 0 for one that was never written.
    mids: Vec<u64>,
    /// Pages written after their middle was, by bucket.
    delta: Vec<(u16, u64)>,
    /// How often the key of the current term has sealed something.
    pub(crate) wraps: u64,
}

impl Head {
    /// The head of a store in which nothing was written yet.
    pub(crate) fn first(seal: [u8; 32]) -> Self {
        Self { generation: 0, seal, mids: vec![0; MIDS_COUNT], delta: Vec::new(), wraps: 1 }
    }

    /// Notes that the page was written by the generation.
    pub(crate) fn touch(&mut self, bucket: u16, generation: u64) {
        match self.delta.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.delta.get_mut(at).into_iter().for_each(|change| change.1 = generation),
            Err(at) => self.delta.insert(at, (bucket, generation)),
        }
    }

    /// Which middles to write with this commit: the ones that unload most, until the changes are few again, at most
    /// `most`. Their changes leave the head, so they must be written.
    pub(crate) fn unload(&mut self, most: usize) -> Vec<u8> {
        if self.delta.len() <= ENOUGH {
            return Vec::new();
        }
        let mut counts = [0_usize; MIDS_COUNT];
        for (bucket, _) in &self.delta {
            counts.get_mut(usize::from(mid_of(*bucket))).into_iter().for_each(|count| *count += 1);
        }
        let mut fullest: Vec<(usize, u8)> =
            counts.into_iter().zip(0..=u8::MAX).filter(|(count, _)| *count > 0).collect();
        fullest.sort_unstable_by(|one, other| other.cmp(one));
        let mut left = self.delta.len();
        let mut chosen = BTreeSet::new();
        for (count, mid) in fullest.into_iter().take(most) {
            if left <= ENOUGH {
                break;
            }
            left -= count;
            chosen.insert(mid);
        }
        self.rewrite_all(&chosen);
        chosen.into_iter().collect()
    }

    /// Notes that these middles are written with this generation, all in one pass.
    fn rewrite_all(&mut self, chosen: &BTreeSet<u8>) {
        self.delta.retain(|(bucket, _)| !chosen.contains(&mid_of(*bucket)));
        for mid in chosen {
            if let Some(generation) = self.mids.get_mut(usize::from(*mid)) {
                *generation = self.generation;
            }
        }
    }

    /// Notes that the middle is written with this generation, so that its changes leave the head.
    pub(crate) fn rewrite(&mut self, mid: u8) {
        self.rewrite_all(&BTreeSet::from([mid]));
    }

    pub(crate) fn mid_generation(&self, mid: u8) -> u64 {
        self.mids.get(usize::from(mid)).copied().unwrap_or(0)
    }

    /// Pages that are newer than their middle says.
    pub(crate) fn newer(&self) -> impl Iterator<Item = (u16, u64)> {
        self.delta.iter().copied()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + MIDS_COUNT * 8 + self.delta.len() * 10);
        bytes.u64(self.generation).raw(&self.seal);
        self.mids.iter().for_each(|generation| {
            bytes.u64(*generation);
        });
        bytes.u32(u32::try_from(self.delta.len()).unwrap_or(u32::MAX));
        for (bucket, generation) in &self.delta {
            bytes.u16(*bucket).u64(*generation);
        }
        bytes.u64(self.wraps);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Take(bytes);
        let (generation, seal) = (parts.u64()?, parts.array()?);
        let mids = (0..MIDS_COUNT).map(|_| parts.u64()).collect::<Option<_>>()?;
        let count = parts.u32()?;
        let delta: Vec<(u16, u64)> = (0..count).map(|_| Some((parts.u16()?, parts.u64()?))).collect::<Option<_>>()?;
        if !delta.is_sorted_by_key(|(bucket, _)| *bucket) {
            return None;
        }
        // A head written before terms were counted ends here.
        let wraps = if parts.0.is_empty() { 0 } else { parts.u64()? };
        parts.end(Self { generation, seal, mids, delta, wraps })
    }
}

fn mid_of(bucket: u16) -> u8 {
    let [mid, _] = bucket.to_be_bytes();
    mid
}

/// The generations of 256 neighbouring pages as of one commit.
pub(crate) struct Mid {
    pub(crate) generation: u64,
    pub(crate) pages: Vec<u64>,
}

impl Mid {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.pages.len() * 8);
        bytes.u64(self.generation);
        self.pages.iter().for_each(|generation| {
            bytes.u64(*generation);
        });
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Take(bytes);
        let generation = parts.u64()?;
        let pages = (0..BUCKETS / MIDS_COUNT).map(|_| parts.u64()).collect::<Option<_>>()?;
        parts.end(Self { generation, pages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the store would say: every page's generation, from middles as they were last written and the head.
    #[test]
    fn head_and_middles_together_always_know_every_page() {
        for most in [1_usize, 8, 300] {
            let mut head = Head::first([0; 32]);
            let mut truth = vec![0_u64; BUCKETS];
            let mut stored: Vec<Mid> = (0..MIDS_COUNT).map(|_| Mid { generation: 0, pages: vec![0; 256] }).collect();
            for generation in 1..3_000_u64 {
                head.generation = generation;
                let bucket = u16::try_from(generation * 40_503 % 65_536).unwrap();
                truth[usize::from(bucket)] = generation;
                head.touch(bucket, generation);
                for mid in head.unload(most) {
                    let from = usize::from(mid) * 256;
                    stored[usize::from(mid)] = Mid { generation, pages: truth[from..from + 256].to_vec() };
                }
                head = Head::decode(&head.encode()).unwrap();
                assert!(head.newer().count() <= ENOUGH);
            }
            let mut known: Vec<u64> = stored.iter().flat_map(|mid| mid.pages.clone()).collect();
            head.newer().for_each(|(bucket, generation)| known[usize::from(bucket)] = generation);
            assert_eq!(known, truth);
            assert!((0..=255).all(|mid| head.mid_generation(mid) == stored[usize::from(mid)].generation));
        }
    }

    #[test]
    fn a_large_commit_leaves_no_more_changes_than_small_ones_unload() {
        let mut head = Head::first([0; 32]);
        (0..4_000_u16).for_each(|n| head.touch(n.wrapping_mul(40_503), 1));
        while !head.unload(8).is_empty() {}
        assert!(head.newer().count() <= ENOUGH);
    }
}
