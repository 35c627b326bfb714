//! The connections that read, and the memtable before them. Each query sees one commit's state, never half of one, and
//! waits for the writer only while it tells the memtable what it has just made durable, or commits rows that replace
//! everything. Point reads take microseconds, so they run where they are called instead of on another thread.

use super::failure::Failure;
use super::keys;
use super::memtable::{Latest, Memtable, Recent, Remembered};
use super::merge::Merge;
use super::schema;
use crate::{Change, Changes, Entry, Revision, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard, TryLockError};

/// A few connections, each used by one caller at a time.
pub(super) struct Readers {
    connections: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
    recent: Arc<Recent>,
}

impl Readers {
    /// One for each processor, as more cannot run at once.
    pub(super) fn open(path: &Path, recent: Arc<Recent>) -> Result<Self, StoreError> {
        let count = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
        let connections = (0..count).map(|_| schema::open_reader(path).map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self { connections, turn: AtomicUsize::new(0), recent })
    }

    /// Closes all of them; the writer can empty the log only when nobody reads from it.
    pub(super) fn close(&mut self) {
        self.connections.clear();
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        // What the memtable forgets afterwards is in `kv` by then.
        if let Some(Latest { value, rev }) = self.recent.read().get(key).cloned() {
            return Ok(value.map(|value| Entry { key: key.to_vec(), value: value.to_vec(), rev }));
        }
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT value, rev FROM kv WHERE key = ?1")?;
            let found = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            found.map(|(value, rev)| Ok(Entry { key: key.to_vec(), value, rev: revision(rev)? })).transpose()
        })
    }

    pub(super) fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let from = first_key(prefix, after);
        self.read(|connection| {
            let end = keys::end_of_prefix(prefix);
            let sql = match end {
                Some(_) => "SELECT key, value, rev FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key",
                None => "SELECT key, value, rev FROM kv WHERE key >= ?1 ORDER BY key",
            };
            let mut statement = connection.prepare_cached(sql)?;
            let memtable = self.recent.read();
            let rows = match &end {
                Some(end) => statement.query([&from, end])?,
                None => statement.query([&from])?,
            };
            first_entries(rows, memtable, &from, end.as_deref(), limit)
        })
    }

    pub(super) fn current_rev(&self) -> Revision {
        self.recent.read().last()
    }

    pub(super) fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.read(|connection| {
            let memtable = self.recent.read();
            // One transaction, so that the forgetting of old commits cannot fall between the two queries.
            let snapshot = connection.unchecked_transaction()?;
            let oldest: Option<i64> = snapshot.query_row("SELECT min(rev) FROM commits", [], |row| row.get(0))?;
            let oldest = match (oldest, memtable.commits().next()) {
                (Some(oldest), _) => revision(oldest)?,
                (None, first) => first.map_or(Revision(1), |first| first.rev),
            };
            if after > memtable.last() || after.0 + 1 < oldest.0 {
                return Ok(Changes::TooOld);
            }
            let mut statement =
                snapshot.prepare_cached("SELECT rev, keys FROM commits WHERE rev > ?1 ORDER BY rev LIMIT ?2")?;
            let bound = params![number(after.0), i64::try_from(limit).unwrap_or(i64::MAX)];
            let mut changes: Vec<Change> = statement.query_map(bound, change)?.collect::<Result<_, _>>()?;
            // A slice that was moved meanwhile can make some of them both.
            let after = changes.last().map_or(after, |last| last.rev);
            let recent = memtable.commits().filter(|commit| commit.rev > after).take(limit - changes.len());
            for Remembered { rev, keys, .. } in recent {
                changes.push(Change { rev: *rev, keys: unpacked(keys)? });
            }
            Ok(Changes::Since(changes))
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

/// The first entries of both; `from` and `end` say which of the memtable's are meant, as the rows are already chosen.
fn first_entries(
    rows: Rows<'_>,
    memtable: RwLockReadGuard<'_, Memtable>,
    from: &[u8],
    end: Option<&[u8]>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut live = 0;
    let recent = memtable.from(Bound::Included(from)).take_while(|(key, _)| end.is_none_or(|end| *key < end));
    let recent = recent.take_while(|(_, latest)| {
        live += usize::from(latest.value.is_some());
        live <= limit
    });
    let recent: Vec<_> = recent.map(|(key, latest)| (key.to_vec(), latest.clone())).collect();
    let mut merge = Merge::new(rows, recent.into_iter())?;
    // Both are of one moment now.
    drop(memtable);
    let mut entries = Vec::new();
    while entries.len() < limit
        && let Some(entry) = merge.next()?
    {
        entries.push(entry);
    }
    Ok(entries)
}

/// The revision of the last commit that the connection sees.
pub(super) fn last_rev(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT max(rev) FROM journal")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0))?;
    last.map_or_else(|| last_remembered(connection), revision)
}

/// The revision of the last commit that is not in the journal.
pub(super) fn last_remembered(connection: &Connection) -> rusqlite::Result<Revision> {
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

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change { rev: revision(row.get(0)?)?, keys: unpacked(row.get_ref(1)?.as_blob()?)? })
}

fn unpacked(packed: &[u8]) -> rusqlite::Result<Vec<Vec<u8>>> {
    keys::unpack(packed).ok_or(rusqlite::Error::InvalidQuery)
}
