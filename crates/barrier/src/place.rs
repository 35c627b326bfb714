//! Keys in the store: one leading byte for what it is, then bytes that say nothing to who has no keys.

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
/// The key of one object that freshness pages list: a record or a namespace key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(Box<[u8]>);

impl Place {
    pub(crate) fn named(shelf: &[u8; 16], name: &[u8; 16]) -> Self {
        Self([&[RECORD], shelf.as_slice(), name].concat().into())
    }

    pub(crate) fn ordered(shelf: &[u8; 16], number: u64, name: &[u8; 16]) -> Self {
        Self([&[RECORD], shelf.as_slice(), &number.to_be_bytes(), name].concat().into())
    }

    pub(crate) fn namespace_key(hash: &[u8; 16]) -> Self {
        Self([&[NAMESPACE_KEY], hash.as_slice()].concat().into())
    }

    /// A key as it was found in the store or in a page.
    pub(crate) fn found(key: &[u8]) -> Self {
        Self(key.into())
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.0
    }

    /// Which page lists it: by the last bytes, which are always of a hash.
    pub(crate) fn bucket(&self) -> u16 {
        self.0.last_chunk().copied().map_or(0, u16::from_be_bytes)
    }

    pub(crate) fn is_namespace_key(&self) -> bool {
        self.0.first() == Some(&NAMESPACE_KEY)
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
    Listed,
    /// No key of ours.
    Foreign,
}

pub(crate) fn role(key: &[u8]) -> Role {
    match key {
        SEAL | HEAD | [MID, _] => Role::Bookkeeping,
        [PAGE, high, low] => Role::Page(u16::from_be_bytes([*high, *low])),
        [RECORD, rest @ ..] if matches!(rest.len(), 32 | 40) => Role::Listed,
        [NAMESPACE_KEY, rest @ ..] if rest.len() == 16 => Role::Listed,
        _ => Role::Foreign,
    }
}
