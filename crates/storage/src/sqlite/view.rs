use super::failure::Failure;
use super::memtable::Memtable;
use super::merge::Merge;
use super::place::Place;
use super::reader::last_remembered;
use super::schema;
use crate::{Entry, StoreError, View};
use rusqlite::Connection;
use std::fs::File;
use std::ops::Bound;
use std::sync::Arc;

/// A read transaction on a connection of its own, which ends when it is dropped, with the journal as it was at its beginning.
pub(super) struct Moment {
    connection: Connection,
    memtable: Memtable,
    /// The last key given out.
    last: Option<Vec<u8>>,
    /// Closed after the connection, as every handle of the file.
    _file: Arc<File>,
}

impl Moment {
    /// The state of the last commit.
    pub(super) fn of(place: &Place) -> Result<Self, StoreError> {
        let connection = schema::open_reader(&place.path)?;
        // The transaction takes its state with the first read, not with its beginning.
        let begun = connection.execute_batch("BEGIN").and_then(|()| last_remembered(&connection));
        let memtable = begun.and_then(|last| Memtable::read(&connection, last));
        let memtable = memtable.map_err(|error| Failure::from(error).of("reading all of it"))?;
        Ok(Self { connection, memtable, last: None, _file: Arc::clone(&place.file) })
    }

    fn read(&mut self, bytes: usize) -> rusqlite::Result<Vec<Entry>> {
        // The least key is the empty one, and the next after any other is that with a zero byte behind it.
        let from = self.last.take().map_or_else(Vec::new, |last| [last.as_slice(), &[0]].concat());
        let sql = "SELECT key, value, rev FROM kv WHERE key >= ?1 ORDER BY key";
        let mut statement = self.connection.prepare_cached(sql)?;
        let recent = self.memtable.from(Bound::Included(&from)).map(|(key, latest)| (key.to_vec(), latest.clone()));
        let mut merge = Merge::new(statement.query([&from])?, recent)?;
        let (mut portion, mut taken) = (Vec::new(), 0);
        while taken < bytes
            && let Some(entry) = merge.next()?
        {
            taken += entry.key.len() + entry.value.len();
            portion.push(entry);
        }
        self.last = Some(portion.last().map_or(from, |entry| entry.key.clone()));
        Ok(portion)
    }
}

impl View for Moment {
    fn portion(&mut self, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(bytes).map_err(|error| Failure::from(error).of("reading all of it"))
    }
}
