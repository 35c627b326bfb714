//! What may be asked of the writer, and how each is done inside the transaction that a whole group shares. Nothing here
//! commits: an answer is true only once the group's transaction is durable, and the writer sends it then.

use super::keys;
use super::reader::{count, number, revision};
use crate::whole::Ascending;
use crate::{
    Committed, Compare, Epoch, Expectation, IdemToken, LeaderLease, Limits, Op, Revision, Rows, StoreError, Txn,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::cell::RefCell;
use std::time::Duration;
use strongroom_model::Timestamp;

/// Commits that `outcome` and `changes` reach back at least.
const REMEMBERED: u64 = 20_000;

/// Old commits are forgotten this many at a time, so that most commits touch no page but their own.
const FORGET_EVERY: u64 = 1_000;

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
    pub(super) connection: &'a Connection,
    /// The last revision, counting those given in this group.
    pub(super) rev: Revision,
    /// The epoch when the file was opened. Leases up to it are over: their holders had the file open, and the lock says
    /// that nobody has.
    pub(super) opened_at: Epoch,
}

impl Group<'_> {
    pub(super) fn apply(&mut self, verb: &Verb) -> rusqlite::Result<Answer> {
        match verb {
            Verb::Commit { epoch, txn } => self.commit(*epoch, txn).map(Answer::Committed),
            Verb::Outcome(idem) => {
                let known = committed_as(self.connection, *idem)?;
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

    /// Everything else in the group stays when the rows turn out to be bad.
    fn replace(&mut self, epoch: Epoch, rows: Rows) -> rusqlite::Result<Result<Committed, StoreError>> {
        if epoch < latest_epoch(self.connection)? {
            return Ok(Ok(Committed::Fenced));
        }
        self.connection.execute_batch("SAVEPOINT whole; DELETE FROM kv; DELETE FROM commits;")?;
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

    fn commit(&mut self, epoch: Epoch, txn: &Txn) -> rusqlite::Result<Committed> {
        if let Some(rev) = committed_as(self.connection, txn.idem)? {
            return Ok(Committed::At(rev));
        }
        if epoch < latest_epoch(self.connection)? {
            return Ok(Committed::Fenced);
        }
        let unmet = self.unmet(&txn.compares)?;
        if !unmet.is_empty() {
            return Ok(Committed::Conflict(unmet));
        }
        let rev = Revision(self.rev.0 + 1);
        self.change(&txn.ops, rev)?;
        self.remember(txn, rev)?;
        self.rev = rev;
        Ok(Committed::At(rev))
    }

    fn unmet(&self, compares: &[Compare]) -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut unmet = Vec::new();
        let mut statement = self.connection.prepare_cached("SELECT rev FROM kv WHERE key = ?1")?;
        for compare in compares {
            let found: Option<i64> = statement.query_row([&compare.key], |row| row.get(0)).optional()?;
            let holds = match compare.expect {
                Expectation::Absent => found.is_none(),
                Expectation::Present => found.is_some(),
                Expectation::RevIs(rev) => found.map(revision).transpose()? == Some(rev),
            };
            if !holds {
                unmet.push(compare.key.clone());
            }
        }
        Ok(unmet)
    }

    fn change(&self, ops: &[Op], rev: Revision) -> rusqlite::Result<()> {
        let sql = "INSERT INTO kv (key, value, rev) VALUES (?1, ?2, ?3)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value, rev = excluded.rev";
        let mut put = self.connection.prepare_cached(sql)?;
        let mut delete = self.connection.prepare_cached("DELETE FROM kv WHERE key = ?1")?;
        for op in ops {
            match op {
                Op::Put { key, value } => put.execute(params![key, value, number(rev.0)])?,
                Op::Delete { key } => delete.execute([key])?,
            };
        }
        Ok(())
    }

    fn remember(&self, txn: &Txn, rev: Revision) -> rusqlite::Result<()> {
        let packed = keys::pack(txn.ops.iter().map(|op| match op {
            Op::Put { key, .. } | Op::Delete { key } => key.as_slice(),
        }));
        let mut insert = self.connection.prepare_cached("INSERT INTO commits (rev, idem, keys) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![number(rev.0), txn.idem.0, packed])?;
        if rev.0.is_multiple_of(FORGET_EVERY) && rev.0 > REMEMBERED {
            let mut forget = self.connection.prepare_cached("DELETE FROM commits WHERE rev <= ?1")?;
            forget.execute([number(rev.0 - REMEMBERED)])?;
        }
        Ok(())
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
pub(super) fn committed_as(connection: &Connection, idem: IdemToken) -> rusqlite::Result<Option<Revision>> {
    let mut statement = connection.prepare_cached("SELECT rev FROM commits WHERE idem = ?1")?;
    let found: Option<i64> = statement.query_row([idem.0], |row| row.get(0)).optional()?;
    found.map(revision).transpose()
}

/// The greatest epoch ever given.
pub(super) fn latest_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    let mut statement = connection.prepare_cached("SELECT epoch FROM state")?;
    statement.query_row([], |row| row.get(0)).and_then(count).map(Epoch)
}
