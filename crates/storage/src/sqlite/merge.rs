//! Entries in the order of their keys, out of `kv` and the memtable together.

use super::memtable::Latest;
use super::reader::revision;
use crate::Entry;
use rusqlite::{Row, Rows};
use std::iter::Peekable;

/// Rows of `kv` in the order of their keys, with later states in place of earlier ones.
pub(super) struct Merge<'r, R: Iterator> {
    rows: Rows<'r>,
    /// The next of them; `None` at the end.
    row: Option<Entry>,
    recent: Peekable<R>,
}

impl<'r, R: Iterator<Item = (Vec<u8>, Latest)>> Merge<'r, R> {
    /// `rows` are key, value and revision. Reads the first, so from here on they are of this moment.
    pub(super) fn new(mut rows: Rows<'r>, recent: R) -> rusqlite::Result<Self> {
        let row = rows.next()?.map(entry).transpose()?;
        Ok(Self { rows, row, recent: recent.peekable() })
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> rusqlite::Result<Option<Entry>> {
        loop {
            let row = self.row.as_ref().map(|row| row.key.as_slice());
            let Some((key, latest)) = self.recent.next_if(|(key, _)| row.is_none_or(|row| key.as_slice() <= row))
            else {
                return self.advance();
            };
            if row == Some(key.as_slice()) {
                self.advance()?;
            }
            if let Latest { value: Some(value), rev } = latest {
                return Ok(Some(Entry { key, value: value.to_vec(), rev }));
            }
        }
    }

    fn advance(&mut self) -> rusqlite::Result<Option<Entry>> {
        let Some(row) = self.row.take() else { return Ok(None) };
        self.row = self.rows.next()?.map(entry).transpose()?;
        Ok(Some(row))
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { key: row.get(0)?, value: row.get(1)?, rev: revision(row.get(2)?)? })
}
