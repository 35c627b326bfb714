//! What the journal holds, in memory and in the order of the keys: the latest state of every key that was changed lately.
//! Whoever reads asks here first, and `kv` for the rest.
//!
//! Invariants: it holds what is durable and nothing else; every key of the journal whose latest state is not in `kv` yet
//! is here; a row of the journal goes only when nothing here needs it and all rows before it are gone, so that reading
//! the journal again never brings an earlier state of a key over a later one.

use super::journal::{self, Change, Commit};
use super::keys;
use super::reader::revision;
use crate::{IdemToken, Revision};
use bytes::Bytes;
use rusqlite::Connection;
use rusqlite::types::Type;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::iter;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A key, in the tree itself when it is as short as nearly all are: comparing keys that lie elsewhere costs more than all
/// else that a commit does here.
type Key = SmallVec<[u8; 40]>;

/// The latest state of a key.
#[derive(Clone)]
pub(super) struct Latest {
    /// `None` when it was deleted.
    pub(super) value: Option<Bytes>,
    /// The commit that last changed it.
    pub(super) rev: Revision,
}

/// A commit without its values, for `outcome` and `changes`.
pub(super) struct Remembered {
    pub(super) rev: Revision,
    pub(super) idem: IdemToken,
    /// As [`keys::pack`] makes them.
    pub(super) keys: Vec<u8>,
}

/// A row of the journal.
pub(super) struct Row {
    /// The last revision in it, which names it.
    pub(super) rev: Revision,
    pub(super) commits: Vec<Remembered>,
    bytes: usize,
    /// Keys whose latest state is of this row and not in `kv` yet.
    live: usize,
}

/// The changes that are in the journal and not yet in `kv`.
#[derive(Default)]
pub(super) struct Memtable {
    latest: BTreeMap<Key, Latest>,
    bytes: usize,
    journal: VecDeque<Row>,
    journal_bytes: usize,
    tokens: HashMap<IdemToken, Revision>,
    last: Revision,
}

impl Memtable {
    /// What the connection sees in the journal; `last` is the revision of the last commit that is not in it.
    pub(super) fn read(connection: &Connection, last: Revision) -> rusqlite::Result<Self> {
        let mut memtable = Self::after(last);
        let mut statement = connection.prepare("SELECT rev, changes FROM journal ORDER BY rev")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (rev, changes) = (revision(row.get(0)?)?, Bytes::from(row.get::<_, Vec<u8>>(1)?));
            let commits = journal::commits(&changes).ok_or_else(unreadable)?;
            // Earlier states over later ones would be worse than none.
            let revs = iter::once(memtable.last).chain(commits.iter().map(|commit| commit.rev));
            if !revs.is_sorted_by(|one, next| one < next) || commits.last().is_none_or(|last| last.rev != rev) {
                return Err(unreadable());
            }
            memtable.take(changes.len(), commits);
        }
        Ok(memtable)
    }

    /// Empty, with this commit as the last.
    pub(super) fn after(last: Revision) -> Self {
        Self { last, ..Self::default() }
    }

    /// The revision of the last commit.
    pub(super) fn last(&self) -> Revision {
        self.last
    }

    /// What the keys and values take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the rows of the journal take, with all states of a key that were written over since.
    pub(super) fn journal_bytes(&self) -> usize {
        self.journal_bytes
    }

    /// How many commits the journal's rows hold.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is left in the journal.
    pub(super) fn is_empty(&self) -> bool {
        self.journal.is_empty()
    }

    /// The latest state of the key; `None` when `kv` knows it.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Latest> {
        self.latest.get(key)
    }

    /// Keys from this one on, in order.
    pub(super) fn from(&self, from: Bound<&[u8]>) -> impl Iterator<Item = (&[u8], &Latest)> + use<'_> {
        self.latest.range::<[u8], _>((from, Bound::Unbounded)).map(|(key, latest)| (key.as_slice(), latest))
    }

    /// The revision that the attempt has, if it is one of the journal's.
    pub(super) fn committed_as(&self, idem: IdemToken) -> Option<Revision> {
        self.tokens.get(&idem).copied()
    }

    /// The commits of the journal, oldest first.
    pub(super) fn commits(&self) -> impl Iterator<Item = &Remembered> {
        self.journal.iter().flat_map(|row| &row.commits)
    }

    /// Rows at the journal's beginning that nobody needs.
    pub(super) fn spent(&self) -> impl Iterator<Item = &Row> {
        self.journal.iter().take_while(|row| row.live == 0)
    }

    /// Takes a row of so many bytes, once it is durable.
    pub(super) fn take(&mut self, bytes: usize, commits: Vec<Commit>) {
        let mut row = Row { rev: self.last, commits: Vec::with_capacity(commits.len()), bytes, live: 0 };
        for Commit { rev, idem, changes } in commits {
            let keys = keys::pack(changes.iter().map(|change| &*change.key));
            for Change { key, value } in changes {
                self.set(&mut row, &key, Latest { value, rev });
            }
            self.tokens.insert(idem, rev);
            row.commits.push(Remembered { rev, idem, keys });
            row.rev = rev;
        }
        self.last = row.rev;
        self.journal_bytes += bytes;
        self.journal.push_back(row);
    }

    fn set(&mut self, row: &mut Row, key: &[u8], latest: Latest) {
        let (length, rev) = (key.len(), latest.rev);
        self.bytes += length + latest.room();
        row.live += 1;
        if let Some(former) = self.latest.insert(Key::from_slice(key), latest) {
            self.bytes -= length + former.room();
            match self.row_of(former.rev) {
                Some(earlier) => earlier.live -= 1,
                None => row.live -= 1,
            }
        }
        debug_assert!(rev > self.last, "commits are taken in their order");
    }

    /// The row that holds the commit; `None` for one that is only being taken.
    fn row_of(&mut self, rev: Revision) -> Option<&mut Row> {
        let at = self.journal.partition_point(|row| row.rev < rev);
        self.journal.get_mut(at)
    }

    /// Forgets states that are in `kv` now, and so many rows from the journal's beginning.
    pub(super) fn forget(&mut self, moved: &[Vec<u8>], rows: usize) {
        for key in moved {
            let Some(latest) = self.latest.remove(key.as_slice()) else { continue };
            self.bytes -= key.len() + latest.room();
            if let Some(row) = self.row_of(latest.rev) {
                row.live -= 1;
            }
        }
        for row in self.journal.drain(..rows) {
            self.journal_bytes -= row.bytes;
            for commit in &row.commits {
                self.tokens.remove(&commit.idem);
            }
        }
    }
}

/// The memtable as the writer and those who read share it. Only the writer changes it.
pub(super) struct Recent(RwLock<Memtable>);

impl Recent {
    pub(super) fn new(memtable: Memtable) -> Self {
        Self(RwLock::new(memtable))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Memtable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// No code can panic between two halves of a change, so a poisoned lock still guards a whole state.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Memtable> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A row of the journal that is not of its form.
pub(super) fn unreadable() -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, "a row of the journal cannot be read".into())
}

impl Latest {
    /// What the value takes.
    pub(super) fn room(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}
