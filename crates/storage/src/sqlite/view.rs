use super::failure::Failure;
use super::reader::{last_rev, revision};
use super::schema;
use crate::{Entry, StoreError, View};
use rusqlite::{Connection, Row};
use std::path::Path;

/// A read transaction on a connection of its own, which ends when it is dropped.
pub(super) struct Moment {
    connection: Connection,
    /// The last key given out.
    last: Option<Vec<u8>>,
}

impl Moment {
    /// The state of the last commit.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_reader(path)?;
        // The transaction takes its state with the first read, not with its beginning.
        let begun = connection.execute_batch("BEGIN").and_then(|()| last_rev(&connection));
        begun.map_err(|error| Failure::from(error).of("reading all of it"))?;
        Ok(Self { connection, last: None })
    }

    fn read(&mut self, bytes: usize) -> rusqlite::Result<Vec<Entry>> {
        // The least key is the empty one, and the next after any other is that with a zero byte behind it.
        let from = self.last.take().map_or_else(Vec::new, |last| [last.as_slice(), &[0]].concat());
        let sql = "SELECT key, value, rev FROM kv WHERE key >= ?1 ORDER BY key";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([&from])?;
        let (mut portion, mut taken) = (Vec::new(), 0);
        while taken < bytes
            && let Some(row) = rows.next()?
        {
            let entry = entry(row)?;
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

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { key: row.get(0)?, value: row.get(1)?, rev: revision(row.get(2)?)? })
}
