use crate::codec::Put;
use std::iter::repeat_n;
use std::sync::Arc;
use strongroom_model::NamespaceId;

/// A set of records of one kind in one scope that are listed together: the tokens of a namespace, the names in a folder.
///
/// In the store a shelf is a keyed pseudo-random prefix: neither its kind nor its scope can be read there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shelf {
    /// The kind of record: a short constant word such as `token` or `secret-head`.
    pub kind: &'static str,
    /// The namespace whose key seals the records.
    pub namespace: NamespaceId,
    /// What else the shelf belongs to (mount id, folder, parent), in a fixed order, each part with its length. Shared: every
    /// address of the shelf has it.
    pub(crate) scope: Arc<[u8]>,
    /// How long a name must be for its records to share a page; see [`Shelf::beside`].
    pub(crate) beside: Option<usize>,
    /// Whether it is proven how many records it holds, so that a list misses none. All who name the shelf must agree.
    pub counted: bool,
}

impl Shelf {
    /// A shelf that belongs to the namespace as a whole.
    pub fn new(kind: &'static str, namespace: NamespaceId) -> Self {
        Self { kind, namespace, scope: Arc::default(), beside: None, counted: false }
    }

    /// The same shelf with its records of long names, from so many bytes on, listed on the page that lists the records of the
    /// same name on other such shelves: what comes and goes together changes one page then, where each record has its own
    /// otherwise. All who name the shelf must agree, for as long as it holds anything.
    pub fn beside(mut self, shortest: usize) -> Self {
        self.beside = Some(shortest);
        self
    }

    /// The same shelf with its records counted. Each record made or removed seals one more page, so: for few changes.
    pub fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    /// The same kind of shelf inside something smaller.
    pub fn within(self, part: impl AsRef<[u8]>) -> Self {
        self.within_each([part.as_ref()])
    }

    /// As [`Shelf::within`] for one part after the other, with one text made for all of them.
    pub fn within_each<const N: usize>(mut self, parts: [&[u8]; N]) -> Self {
        let length = parts.iter().fold(self.scope.len(), |length, part| length + LENGTH_PREFIX + part.len());
        let mut scope: Arc<[u8]> = repeat_n(0, length).collect();
        // Nobody else has it yet.
        if let Some(bytes) = Arc::get_mut(&mut scope) {
            let mut blank = Blank(bytes);
            blank.raw(&self.scope);
            for part in parts {
                blank.part(part);
            }
        }
        self.scope = scope;
        self
    }

    /// The place of the record with this name. Unordered: listing goes through the shelf in an order that means nothing.
    pub fn named(&self, name: impl AsRef<[u8]>) -> Address {
        Address { shelf: self.clone(), kept: Kept::Named(name.as_ref().into()) }
    }

    /// The place of the record with this number and name. Listing goes by number, smallest first; the number (a time,
    /// a version) is readable in the store.
    pub fn ordered(&self, number: u64, name: impl AsRef<[u8]>) -> Address {
        Address { shelf: self.clone(), kept: Kept::Ordered(number, name.as_ref().into()) }
    }
}

/// How many bytes stand before those of a part.
const LENGTH_PREFIX: usize = size_of::<u32>();

/// Bytes of a known length that are filled from the front.
struct Blank<'a>(&'a mut [u8]);

impl Put for Blank<'_> {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some((here, rest)) = std::mem::take(&mut self.0).split_at_mut_checked(bytes.len()) {
            here.copy_from_slice(bytes);
            self.0 = rest;
        }
        self
    }
}

/// Where one record is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Its shelf.
    pub shelf: Shelf,
    /// Its place on the shelf.
    pub kept: Kept,
}

/// The place of a record on its shelf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// By a name, hashed.
    Named(Arc<[u8]>),
    /// By a number, in order, and a name, hashed, that tells records of one number apart.
    Ordered(u64, Arc<[u8]>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_its_parts_each_with_its_length_however_it_is_made() {
        let shelf = || Shelf::new("secret-name", NamespaceId::ROOT);
        let long = "n".repeat(300);
        for (outer, inner) in [("", ""), ("a", ""), ("", "b"), ("ab", "c"), ("a", "bc"), (long.as_str(), "x")] {
            let mut expected = Vec::new();
            for part in [outer, inner] {
                expected.extend((part.len() as u32).to_be_bytes());
                expected.extend(part.as_bytes());
            }
            let at_once = shelf().within_each([outer.as_bytes(), inner.as_bytes()]);
            assert_eq!(&*at_once.scope, expected, "{outer:?} {inner:?}");
            assert_eq!(at_once, shelf().within(outer).within(inner));
        }
    }
}
