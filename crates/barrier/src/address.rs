use crate::codec::Put;
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
    pub fn within(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        let mut scope = Vec::with_capacity(self.scope.len() + 4 + part.len());
        scope.raw(&self.scope).part(part);
        self.scope = scope.into();
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
