//! The connections that read. Each query sees one commit's state, never half of one, and waits for no writer. Point
//! reads take microseconds, so they run where they are called instead of on another thread.

use super::failure::Failure;
use super::keys;
use super::schema;
use crate::{Change, Changes, Entry, Revision, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A few connections, each used by one caller at a time.
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
}

impl Readers {
    /// One for each processor, as more cannot run at once.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let count = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
        let connections = (0..count).map(|_| schema::open_reader(path).map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self { connections, turn: AtomicUsize::new(0) })
    }

    /// Closes all of them; the writer can empty the log only when nobody reads from it.
    pub(super) fn close(&mut self) {
        self.connections.clear();
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT value, rev FROM kv WHERE key = ?1")?;
            let found = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            found.map(|(value, rev)| Ok(Entry { key: key.to_vec(), value, rev: revision(rev)? })).transpose()
        })
    }

    pub(super) fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let from = first_key(prefix, after);
        self.read(|connection| match keys::end_of_prefix(prefix) {
            Some(end) => {
                let sql = "SELECT key, value, rev FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
                connection.prepare_cached(sql)?.query_map(params![from, end, limit], entry)?.collect()
            }
            None => {
                let sql = "SELECT key, value, rev FROM kv WHERE key >= ?1 ORDER BY key LIMIT ?2";
                connection.prepare_cached(sql)?.query_map(params![from, limit], entry)?.collect()
            }
        })
    }

    pub(super) fn current_rev(&self) -> Result<Revision, StoreError> {
        self.read(last_rev)
    }

    pub(super) fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.read(|connection| {
            // One transaction, so that the pruning of old commits cannot fall between the two queries.
            let snapshot = connection.unchecked_transaction()?;
            let last = last_rev(&snapshot)?;
            let oldest: Option<i64> = snapshot.query_row("SELECT min(rev) FROM commits", [], |row| row.get(0))?;
            let oldest = oldest.map_or(Ok(Revision(1)), revision)?;
            if after > last || after.0 + 1 < oldest.0 {
                return Ok(Changes::TooOld);
            }
            let sql = "SELECT rev, keys FROM commits WHERE rev > ?1 ORDER BY rev LIMIT ?2";
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut statement = snapshot.prepare_cached(sql)?;
            let changes = statement.query_map(params![number(after.0), limit], change)?;
            Ok(Changes::Since(changes.collect::<Result<_, _>>()?))
        })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let Some(connection) = self.free() else {
            return Err(StoreError::Stopped { why: "the store is closed".to_owned() });
        };
        query(&connection).map_err(|error| Failure::from(error).of("reading from it"))
    }

    /// A connection that nobody uses, or the next in turn after waiting for it. A panic in a query leaves a connection
    /// that is still good: its statement is reset when it is dropped.
    fn free(&self) -> Option<MutexGuard<'_, Connection>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.connections.len().max(1);
        let (before, from) = self.connections.split_at_checked(turn)?;
        for connection in from.iter().chain(before) {
            match connection.try_lock() {
                Ok(guard) => return Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        from.first().map(|connection| connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The revision of the last commit that the connection sees.
pub(super) fn last_rev(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT max(rev) FROM commits")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0))?;
    last.map_or(Ok(Revision(0)), revision)
}

/// A revision or epoch as SQLite keeps it; both count commits, so the limit is out of reach.
pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as SQLite gives it back; a negative one is damage.
pub(super) fn count(number: i64) -> rusqlite::Result<u64> {
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
}

pub(super) fn revision(number: i64) -> rusqlite::Result<Revision> {
    count(number).map(Revision)
}

/// The least key that may be listed: the prefix itself, or the next in byte order after `after` (it with a zero byte).
fn first_key(prefix: &[u8], after: Option<&[u8]>) -> Vec<u8> {
    match after {
        Some(after) if after >= prefix => [after, &[0]].concat(),
        _ => prefix.to_vec(),
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { key: row.get(0)?, value: row.get(1)?, rev: revision(row.get(2)?)? })
}

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let packed = row.get_ref(1)?.as_blob()?;
    let keys = keys::unpack(packed).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Change { rev: revision(row.get(0)?)?, keys })
}
