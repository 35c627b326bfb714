//! Keys in the store: one leading byte for what it is, then bytes that say nothing to who has no keys.

use std::cmp::Ordering;

/// Where the seal record is; the only key in the store that is not a secret function of something.
pub(crate) const SEAL: &[u8] = b"\x00seal";
/// Where the freshness head is.
pub(crate) const HEAD: &[u8] = b"\x05head";

const RECORD: u8 = 1;
const NAMESPACE_KEY: u8 = 2;
const PAGE: u8 = 3;
const MID: u8 = 4;

/// What the keys of all namespace keys begin with.
pub(crate) const NAMESPACE_KEYS: &[u8] = &[NAMESPACE_KEY];
/// What the keys of all freshness middles begin with.
pub(crate) const MIDS: &[u8] = &[MID];
/// The longest key of an object: what it is, shelf, number, name.
const LONGEST: usize = 1 + 16 + 8 + 16;

/// The key of one object that freshness pages list: a record or a namespace key. Copied at every step of a commit, so it is
/// no piece of memory of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// Zeros behind the key.
    bytes: [u8; LONGEST],
    length: u8,
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl Place {
    pub(crate) fn named(shelf: &[u8; 16], name: &[u8; 16]) -> Self {
        Self::of([&[RECORD], shelf.as_slice(), name])
    }

    pub(crate) fn ordered(shelf: &[u8; 16], number: u64, name: &[u8; 16]) -> Self {
        Self::of([&[RECORD], shelf.as_slice(), &number.to_be_bytes(), name])
    }

    pub(crate) fn namespace_key(hash: &[u8; 16]) -> Self {
        Self::of([&[NAMESPACE_KEY], hash.as_slice()])
    }

    /// Parts that are together no longer than the longest key.
    fn of<const N: usize>(parts: [&[u8]; N]) -> Self {
        let mut place = Self { bytes: [0; LONGEST], length: 0 };
        let mut rest = place.bytes.as_mut_slice();
        for part in parts {
            let Some((to, behind)) = rest.split_at_mut_checked(part.len()) else { break };
            to.copy_from_slice(part);
            place.length += u8::try_from(part.len()).unwrap_or_default();
            rest = behind;
        }
        place
    }

    /// A key as it was found in the store or in a page; `None` for one that is longer than any of ours.
    pub(crate) fn found(key: &[u8]) -> Option<Self> {
        (key.len() <= LONGEST).then(|| Self::of([key]))
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Which page lists it: by the last bytes, which are always of a hash.
    pub(crate) fn bucket(&self) -> u16 {
        self.key().last_chunk().copied().map_or(0, u16::from_be_bytes)
    }

    pub(crate) fn is_namespace_key(&self) -> bool {
        self.key().first() == Some(&NAMESPACE_KEY)
    }
}

/// What the keys of all records of a shelf begin with.
pub(crate) fn shelf_prefix(shelf: &[u8; 16]) -> Vec<u8> {
    [&[RECORD], shelf.as_slice()].concat()
}

/// Which page keeps the tally of a shelf: by the last bytes, as for objects.
pub(crate) fn shelf_bucket(shelf: &[u8; 16]) -> u16 {
    shelf.last_chunk().copied().map_or(0, u16::from_be_bytes)
}

pub(crate) fn page_key(bucket: u16) -> [u8; 3] {
    let [high, low] = bucket.to_be_bytes();
    [PAGE, high, low]
}

/// What the keys of the pages of one middle begin with.
pub(crate) fn pages_of(mid: u8) -> [u8; 2] {
    [PAGE, mid]
}

pub(crate) fn mid_key(mid: u8) -> [u8; 2] {
    [MID, mid]
}

/// What a key of the store is for, judged by its form alone.
pub(crate) enum Role {
    /// The seal record, the head or a middle.
    Bookkeeping,
    /// The freshness page of this bucket.
    Page(u16),
    /// An object that a page must list.
    Listed(Place),
    /// No key of ours.
    Foreign,
}

pub(crate) fn role(key: &[u8]) -> Role {
    match key {
        SEAL | HEAD | [MID, _] => Role::Bookkeeping,
        [PAGE, high, low] => Role::Page(u16::from_be_bytes([*high, *low])),
        [RECORD, rest @ ..] if matches!(rest.len(), 32 | 40) => Place::found(key).map_or(Role::Foreign, Role::Listed),
        [NAMESPACE_KEY, rest @ ..] if rest.len() == 16 => Place::found(key).map_or(Role::Foreign, Role::Listed),
        _ => Role::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_their_keys_and_foreign_keys_are_none() {
        let shelf = |first: u8| [first; 16];
        let places = [
            Place::named(&shelf(1), &[0; 16]),
            Place::ordered(&shelf(1), 0, &[9; 16]),
            Place::ordered(&shelf(1), 1, &[0; 16]),
            Place::named(&shelf(1), &[1; 16]),
            Place::namespace_key(&[0; 16]),
        ];
        let mut sorted = places;
        sorted.sort();
        let mut keys: Vec<Vec<u8>> = places.iter().map(|place| place.key().to_vec()).collect();
        keys.sort();
        assert_eq!(sorted.map(|place| place.key().to_vec()).to_vec(), keys);
        assert_eq!(keys.iter().map(Vec::len).collect::<Vec<_>>(), [33, 41, 41, 33, 17]);
        for place in places {
            assert!(Place::found(place.key()) == Some(place));
            assert!(matches!(role(place.key()), Role::Listed(found) if found == place));
        }
        assert!(Place::found(&[1; LONGEST + 1]).is_none());
        assert_eq!(Place::named(&shelf(1), &[7; 16]).bucket(), 0x0707);
    }
}
