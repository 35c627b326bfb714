//! Moves changes from the journal to where they belong, a slice at a time, in the order of their keys and round again
//! from the first: neighbours in that order share pages, so the more keys wait, the fewer pages each of them takes. A
//! slice is a transaction of its own, which changes no value that anybody can read; it is also when old commits are
//! forgotten.

use super::failure::Failure;
use super::memtable::{Latest, Memtable};
use super::reader::number;
use crate::Revision;
use rusqlite::{CachedStatement, Connection, params};
use std::ops::Bound;

/// Commits that `outcome` and `changes` reach back at least.
const REMEMBERED: u64 = 20_000;

/// Old commits are forgotten this many at a time, so that most commits touch no page but their own.
const FORGET_EVERY: u64 = 1_000;

/// Commits that may wait in the journal, however small: each is remembered.
const COMMITS: usize = 8_192;

/// What may wait in the journal, and how far it has been moved.
pub(super) struct Flush {
    /// Bytes of keys and values that may wait, and half of what the journal's rows may take.
    room: usize,
    /// The last key that was moved.
    last: Option<Vec<u8>>,
    /// The last commit when moving failed: on a full disk it does so until there is room.
    failed_at: Option<Revision>,
}

/// A slice that was moved: what the memtable may forget.
pub(super) struct Moved {
    pub(super) keys: Vec<Vec<u8>>,
    /// So many from the journal's beginning.
    pub(super) rows: usize,
}

impl Moved {
    /// Whether there was nothing to do.
    pub(super) fn is_nothing(&self) -> bool {
        self.keys.is_empty() && self.rows == 0
    }
}

impl Flush {
    pub(super) fn new(room: usize) -> Self {
        Self { room, last: None, failed_at: None }
    }

    /// Whether more waits than may, and it is worth trying to move it.
    pub(super) fn is_due(&self, memtable: &Memtable) -> bool {
        self.exceeds(memtable, 1) && self.failed_at != Some(memtable.last())
    }

    /// Whether so much waits that commits have to.
    pub(super) fn is_late(&self, memtable: &Memtable) -> bool {
        self.exceeds(memtable, 2)
    }

    fn exceeds(&self, memtable: &Memtable, times: usize) -> bool {
        let room = self.room.saturating_mul(times);
        memtable.bytes() > room
            || memtable.journal_bytes() > room.saturating_mul(2)
            || memtable.len() > COMMITS.saturating_mul(times)
    }

    /// Moves the next slice, and drops rows of the journal that nobody needs. After an error the transaction may still be
    /// open, and nothing is moved until another commit has made more of it.
    pub(super) fn slice(&mut self, connection: &Connection, memtable: &Memtable) -> Result<Moved, Failure> {
        self.failed_at = Some(memtable.last());
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let keys = self.move_keys(connection, memtable)?;
        let rows = drop_rows(connection, memtable)?;
        // Synced as every other: readers see it at once, and what they see must not depend on a later sync that may fail.
        connection.prepare_cached("COMMIT")?.execute([])?;
        (self.failed_at, self.last) = (None, keys.last().cloned());
        Ok(Moved { keys, rows })
    }

    fn move_keys(&self, connection: &Connection, memtable: &Memtable) -> rusqlite::Result<Vec<Vec<u8>>> {
        let from = self.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let from = if memtable.from(from).next().is_some() { from } else { Bound::Unbounded };
        let (mut table, mut moved, mut bytes) = (Table::of(connection)?, Vec::new(), 0);
        for (key, latest) in memtable.from(from) {
            table.set(key, latest)?;
            moved.push(key.to_vec());
            bytes += KEY + key.len() + latest.room();
            if bytes > self.room / SLICES {
                break;
            }
        }
        Ok(moved)
    }
}

/// Slices that make up what may wait. More would share fewer pages, fewer would keep commits waiting for longer.
const SLICES: usize = 8;

/// What moving a key costs besides its bytes, in bytes: a slice of small values would take long otherwise.
const KEY: usize = 1_024;

/// Rows of the journal that one slice drops at most.
const ROWS: usize = 64;

/// Drops rows from the journal's beginning, and keeps what must be remembered of their commits.
fn drop_rows(connection: &Connection, memtable: &Memtable) -> rusqlite::Result<usize> {
    let mut insert = connection.prepare_cached("INSERT INTO commits (rev, idem, keys) VALUES (?1, ?2, ?3)")?;
    let (mut rows, mut last) = (0, None);
    for row in memtable.spent().take(ROWS) {
        for commit in &row.commits {
            insert.execute(params![number(commit.rev.0), commit.idem.0, commit.keys])?;
            let old = memtable.last().0.saturating_sub(REMEMBERED);
            if commit.rev.0.is_multiple_of(FORGET_EVERY) && old > 0 {
                connection.prepare_cached("DELETE FROM commits WHERE rev <= ?1")?.execute([number(old)])?;
            }
        }
        (rows, last) = (rows + 1, Some(row.rev));
    }
    if let Some(last) = last {
        connection.prepare_cached("DELETE FROM journal WHERE rev <= ?1")?.execute([number(last.0)])?;
    }
    Ok(rows)
}

/// The statements that change `kv`.
struct Table<'c> {
    put: CachedStatement<'c>,
    delete: CachedStatement<'c>,
}

impl<'c> Table<'c> {
    fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        let sql = "INSERT INTO kv (key, value, rev) VALUES (?1, ?2, ?3)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value, rev = excluded.rev";
        let (put, delete) =
            (connection.prepare_cached(sql)?, connection.prepare_cached("DELETE FROM kv WHERE key = ?1")?);
        Ok(Self { put, delete })
    }

    fn set(&mut self, key: &[u8], latest: &Latest) -> rusqlite::Result<()> {
        match &latest.value {
            Some(value) => self.put.execute(params![key, &**value, number(latest.rev.0)])?,
            None => self.delete.execute([key])?,
        };
        Ok(())
    }
}
