//! What may be asked of the writer, and how each is done inside the transaction that a whole group shares. Nothing here
//! commits: an answer is true only once the group's transaction is durable, and the writer sends it then.

use super::journal::{self, Commit};
use super::memtable::{Memtable, unreadable};
use super::reader::{count, number, revision};
use crate::whole::Ascending;
use crate::{
    Committed, Compare, Epoch, Expectation, IdemToken, LeaderLease, Limits, Op, Revision, Rows, StoreError, Txn,
};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;
use strongroom_model::Timestamp;

/// One request, with the moment at which it was made where that matters.
pub(super) enum Verb {
    Commit {
        epoch: Epoch,
        txn: Txn,
    },
    Outcome(IdemToken),
    Acquire {
        name: String,
        ttl: Duration,
        now: Timestamp,
    },
    Renew {
        lease: LeaderLease,
        ttl: Duration,
        now: Timestamp,
    },
    Release(LeaderLease),
    /// The rows are used up by the first attempt.
    Replace {
        epoch: Epoch,
        rows: RefCell<Option<Rows>>,
    },
}

/// What each verb is answered with: the first two with a commit's end, the others with their own.
pub(super) enum Answer {
    Committed(Committed),
    Lease(Option<LeaderLease>),
    Renewed(bool),
    Released,
    /// An error is that of the rows; nothing of this request was done then.
    Replaced(Result<Committed, StoreError>),
}

impl Verb {
    /// Roughly the memory that waiting takes.
    pub(super) fn bytes(&self) -> usize {
        let Verb::Commit { txn, .. } = self else { return 0 };
        let sizes = txn.ops.iter().map(|op| match op {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Delete { key } => key.len(),
        });
        sizes.sum()
    }
}

/// The open transaction of a group.
pub(super) struct Group<'a> {
    connection: &'a Connection,
    /// What the journal held before.
    memtable: &'a Memtable,
    /// The last revision, counting those given in this group.
    rev: Revision,
    opened_at: Epoch,
    /// The keys that this group has changed, each with the commit that did it last; `None` for one that was deleted.
    changed: HashMap<&'a [u8], Option<Revision>>,
    tokens: HashMap<IdemToken, Revision>,
    /// The group's row of the journal.
    row: Vec<u8>,
}

impl<'a> Group<'a> {
    /// `opened_at` is the epoch when the file was opened. Leases up to it are over: their holders had the file open, and the
    /// lock says that nobody has.
    pub(super) fn new(connection: &'a Connection, memtable: &'a Memtable, opened_at: Epoch) -> Self {
        let (changed, tokens) = (HashMap::new(), HashMap::new());
        Self { connection, memtable, rev: memtable.last(), opened_at, changed, tokens, row: Vec::new() }
    }

    /// Writes the group's row of the journal, and gives its length and what it says.
    pub(super) fn journal(self) -> rusqlite::Result<(usize, Vec<Commit>)> {
        if !self.row.is_empty() {
            let sql = "INSERT INTO journal (rev, changes) VALUES (?1, ?2)";
            self.connection.prepare_cached(sql)?.execute(params![number(self.rev.0), self.row])?;
        }
        let row = Bytes::from(self.row);
        Ok((row.len(), journal::commits(&row).ok_or_else(unreadable)?))
    }

    pub(super) fn apply(&mut self, verb: &'a Verb) -> rusqlite::Result<Answer> {
        match verb {
            Verb::Commit { epoch, txn } => self.commit(*epoch, txn).map(Answer::Committed),
            Verb::Outcome(idem) => {
                let known = self.committed_as(*idem)?;
                Ok(Answer::Committed(known.map_or(Committed::Conflict(Vec::new()), Committed::At)))
            }
            Verb::Acquire { name, ttl, now } => self.acquire(name, *ttl, *now).map(Answer::Lease),
            Verb::Renew { lease, ttl, now } => self.renew(lease, *ttl, *now).map(Answer::Renewed),
            Verb::Release(lease) => self.release(lease).map(|()| Answer::Released),
            Verb::Replace { epoch, rows } => match rows.take() {
                Some(rows) => self.replace(*epoch, rows).map(Answer::Replaced),
                // Only a full disk leads to a second attempt.
                None => Ok(Answer::Replaced(Err(StoreError::Full))),
            },
        }
    }

    fn committed_as(&self, idem: IdemToken) -> rusqlite::Result<Option<Revision>> {
        match self.tokens.get(&idem) {
            Some(rev) => Ok(Some(*rev)),
            None => committed_as(self.connection, self.memtable, idem),
        }
    }

    /// The group is of this alone. Leases stay, and everything does when the rows turn out to be bad.
    fn replace(&mut self, epoch: Epoch, rows: Rows) -> rusqlite::Result<Result<Committed, StoreError>> {
        if epoch < latest_epoch(self.connection)? {
            return Ok(Ok(Committed::Fenced));
        }
        self.connection.execute_batch("SAVEPOINT whole; DELETE FROM kv; DELETE FROM journal; DELETE FROM commits;")?;
        // The one before is of no commit, so that `changes` after any that were says that it is too old.
        let rev = Revision(self.rev.0 + 2);
        let end = match self.fill(rows, rev)? {
            Ok(()) => {
                let sql = "INSERT INTO commits (rev, idem, keys) VALUES (?1, ?2, x'')";
                // A token that nobody has: it is longer than one.
                self.connection.execute(sql, params![number(rev.0), b"replaced everything"])?;
                self.rev = rev;
                Ok(Committed::At(rev))
            }
            Err(error) => {
                self.connection.execute_batch("ROLLBACK TO whole")?;
                Err(error)
            }
        };
        self.connection.execute_batch("RELEASE whole")?;
        Ok(end)
    }

    fn fill(&self, rows: Rows, rev: Revision) -> rusqlite::Result<Result<(), StoreError>> {
        let mut order = Ascending::new(Limits::LOCAL);
        let mut insert = self.connection.prepare_cached("INSERT INTO kv (key, value, rev) VALUES (?1, ?2, ?3)")?;
        for row in rows {
            match row.and_then(|row| order.check(&row).map(|()| row)) {
                Ok((key, value)) => insert.execute(params![key, value, number(rev.0)])?,
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(()))
    }

    fn commit(&mut self, epoch: Epoch, txn: &'a Txn) -> rusqlite::Result<Committed> {
        if let Some(rev) = self.committed_as(txn.idem)? {
            return Ok(Committed::At(rev));
        }
        if epoch < latest_epoch(self.connection)? {
            return Ok(Committed::Fenced);
        }
        let unmet = self.unmet(&txn.compares)?;
        if !unmet.is_empty() {
            return Ok(Committed::Conflict(unmet));
        }
        self.rev = Revision(self.rev.0 + 1);
        journal::append(&mut self.row, self.rev, txn);
        for op in &txn.ops {
            self.changed.insert(op.key(), matches!(op, Op::Put { .. }).then_some(self.rev));
        }
        self.tokens.insert(txn.idem, self.rev);
        Ok(Committed::At(self.rev))
    }

    fn unmet(&self, compares: &[Compare]) -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut unmet = Vec::new();
        for compare in compares {
            let found = self.rev_of(&compare.key)?;
            let holds = match compare.expect {
                Expectation::Absent => found.is_none(),
                Expectation::Present => found.is_some(),
                Expectation::RevIs(rev) => found == Some(rev),
            };
            if !holds {
                unmet.push(compare.key.clone());
            }
        }
        Ok(unmet)
    }

    /// The commit that last changed the key; `None` when there is no value.
    fn rev_of(&self, key: &[u8]) -> rusqlite::Result<Option<Revision>> {
        if let Some(rev) = self.changed.get(key) {
            return Ok(*rev);
        }
        if let Some(latest) = self.memtable.get(key) {
            return Ok(latest.value.is_some().then_some(latest.rev));
        }
        let mut statement = self.connection.prepare_cached("SELECT rev FROM kv WHERE key = ?1")?;
        let found: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
        found.map(revision).transpose()
    }

    fn acquire(&self, name: &str, ttl: Duration, now: Timestamp) -> rusqlite::Result<Option<LeaderLease>> {
        if self.holder(name, now)?.is_some() {
            return Ok(None);
        }
        let epoch = Epoch(latest_epoch(self.connection)?.0 + 1);
        self.connection.execute("UPDATE state SET epoch = ?1", [number(epoch.0)])?;
        let sql = "INSERT OR REPLACE INTO leases (name, epoch, expires) VALUES (?1, ?2, ?3)";
        self.connection.execute(sql, params![name, number(epoch.0), number(now.plus(ttl).nanos())])?;
        Ok(Some(LeaderLease { name: name.to_owned(), epoch }))
    }

    fn renew(&self, lease: &LeaderLease, ttl: Duration, now: Timestamp) -> rusqlite::Result<bool> {
        if self.holder(&lease.name, now)? != Some(lease.epoch) {
            return Ok(false);
        }
        let sql = "UPDATE leases SET expires = ?2 WHERE name = ?1";
        self.connection.prepare_cached(sql)?.execute(params![lease.name, number(now.plus(ttl).nanos())])?;
        Ok(true)
    }

    fn release(&self, lease: &LeaderLease) -> rusqlite::Result<()> {
        let sql = "DELETE FROM leases WHERE name = ?1 AND epoch = ?2";
        self.connection.execute(sql, params![lease.name, number(lease.epoch.0)])?;
        Ok(())
    }

    /// The epoch under which the lease is held now.
    fn holder(&self, name: &str, now: Timestamp) -> rusqlite::Result<Option<Epoch>> {
        let mut statement = self.connection.prepare_cached("SELECT epoch, expires FROM leases WHERE name = ?1")?;
        let found: Option<(i64, i64)> = statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((epoch, expires)) = found else { return Ok(None) };
        let epoch = Epoch(count(epoch)?);
        Ok((epoch > self.opened_at && number(now.nanos()) < expires).then_some(epoch))
    }
}

/// The revision under which the token was committed, if it was and is remembered.
pub(super) fn committed_as(
    connection: &Connection,
    memtable: &Memtable,
    idem: IdemToken,
) -> rusqlite::Result<Option<Revision>> {
    if let Some(rev) = memtable.committed_as(idem) {
        return Ok(Some(rev));
    }
    let mut statement = connection.prepare_cached("SELECT rev FROM commits WHERE idem = ?1")?;
    let found: Option<i64> = statement.query_row([idem.0], |row| row.get(0)).optional()?;
    found.map(revision).transpose()
}

/// The greatest epoch ever given.
pub(super) fn latest_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    let mut statement = connection.prepare_cached("SELECT epoch FROM state")?;
    statement.query_row([], |row| row.get(0)).and_then(count).map(Epoch)
}
