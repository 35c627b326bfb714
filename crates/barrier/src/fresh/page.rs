use crate::blob::TAG;
use crate::codec::{Put, Take};
use crate::place::Place;
use std::collections::BTreeMap;
use strongroom_model::NamespaceId;

/// What one tally takes.
pub(crate) const TALLY: usize = 32;

/// What a piece of memory takes besides its bytes.
const PIECE: usize = 16;

/// What a page knows about one live object.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) place: Place,
    /// The tag of its latest sealing.
    pub(crate) tag: [u8; TAG],
    /// The commit that wrote it.
    pub(crate) generation: u64,
    /// What it takes to open the object when only its key is known.
    pub(crate) namespace: NamespaceId,
    pub(crate) kind: Box<str>,
}

/// How many records a counted shelf holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The records.
    pub(crate) count: u64,
    /// The commit that last made or removed one.
    pub(crate) generation: u64,
}

/// The live objects of one bucket, by key, and the tallies of the shelves whose hash names the bucket.
#[derive(Clone, Default)]
pub(crate) struct Page {
    /// The commit that wrote the page; 0 for one that was never written.
    pub(crate) generation: u64,
    listed: Vec<Listed>,
    /// Of shelves that hold something.
    tallies: BTreeMap<[u8; 16], Tally>,
}

impl Page {
    pub(crate) fn find(&self, place: &Place) -> Option<&Listed> {
        let index = self.listed.binary_search_by(|one| one.place.cmp(place)).ok()?;
        self.listed.get(index)
    }

    /// Lists the object, in place of its earlier state.
    pub(crate) fn set(&mut self, listed: Listed) {
        match self.listed.binary_search_by(|one| one.place.cmp(&listed.place)) {
            Ok(index) => {
                if let Some(one) = self.listed.get_mut(index) {
                    *one = listed;
                }
            }
            Err(index) => {
                // Pages stay in memory for long, and most get one more object at a time: no room for as many again.
                self.listed.reserve_exact(1);
                self.listed.insert(index, listed);
            }
        }
    }

    pub(crate) fn remove(&mut self, place: &Place) {
        if let Ok(index) = self.listed.binary_search_by(|one| one.place.cmp(place)) {
            self.listed.remove(index);
        }
    }

    /// The tally of the shelf; `None` when it holds nothing, or was made before anybody counted.
    pub(crate) fn tally(&self, shelf: &[u8; 16]) -> Option<Tally> {
        self.tallies.get(shelf).copied()
    }

    pub(crate) fn set_tally(&mut self, shelf: [u8; 16], tally: Tally) {
        match tally.count {
            0 => self.tallies.remove(&shelf),
            _ => self.tallies.insert(shelf, tally),
        };
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.listed.iter()
    }

    /// About how many bytes the page takes in the store.
    pub(crate) fn weight(&self) -> usize {
        self.listed.iter().map(Listed::weight).sum::<usize>() + self.tallies.len() * TALLY + 128
    }

    /// About how many bytes the page takes in memory.
    pub(crate) fn room(&self) -> usize {
        let texts = self.listed.iter().map(|one| one.kind.len() + PIECE).sum::<usize>();
        self.listed.capacity() * size_of::<Listed>() + texts + self.tallies.len() * (TALLY + PIECE) + 128
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.weight());
        bytes.u64(self.generation).u32(u32::try_from(self.listed.len()).unwrap_or(u32::MAX));
        for one in &self.listed {
            bytes.part(one.place.key()).raw(&one.tag).u64(one.generation);
            bytes.raw(one.namespace.as_bytes()).part(one.kind.as_bytes());
        }
        for (shelf, tally) in &self.tallies {
            bytes.raw(shelf).u64(tally.count).u64(tally.generation);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Take(bytes);
        let (generation, count) = (parts.u64()?, parts.u32()?);
        let mut one = || {
            Some(Listed {
                place: Place::found(parts.part()?)?,
                tag: parts.array()?,
                generation: parts.u64()?,
                namespace: parts.namespace()?,
                kind: std::str::from_utf8(parts.part()?).ok()?.into(),
            })
        };
        // No more than there can be: the number is read before the objects.
        let most = bytes.len() / size_of::<Listed>() * 2;
        let mut listed = Vec::with_capacity(usize::try_from(count).ok()?.min(most));
        for _ in 0..count {
            listed.push(one()?);
        }
        let mut tallies = BTreeMap::new();
        while !parts.0.is_empty() {
            tallies.insert(parts.array()?, Tally { count: parts.u64()?, generation: parts.u64()? });
        }
        parts.end(Self { generation, listed, tallies })
    }
}

impl Listed {
    fn weight(&self) -> usize {
        48 + self.place.key().len() + self.kind.len()
    }
}
