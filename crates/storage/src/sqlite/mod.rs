//! The embedded engine: one SQLite file, one thread that writes, a few connections that read.
//!
//! A commit is acknowledged after its frame in the write-ahead log is synced; requests that wait together share the
//! sync. What it changes lies in a journal first, which is a table as well, and moves to its place later. One process has
//! the file at a time. On a full disk commits are refused and nothing is lost; after a failed write or sync nothing more is
//! acknowledged until the store is opened again, and reads go on.
//!
//! Does not encrypt, does not count the time itself, and does not spread over machines.

mod checkpoint;
mod checkpointer;
mod failure;
mod flush;
mod journal;
mod keys;
mod memtable;
mod merge;
mod place;
mod reader;
mod schema;
mod verb;
mod view;
mod writer;

use crate::{
    Changes, Committed, Entry, Epoch, IdemToken, LeaderLease, Limits, Revision, Rows, Store, StoreError, Txn, View,
};
use async_trait::async_trait;
use checkpointer::Checkpointer;
use failure::Failure;
use memtable::Memtable;
use place::Place;
use reader::{Readers, last_remembered, last_rev, number};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use strongroom_model::Clock;
use tokio::sync::{Semaphore, oneshot};
use verb::{Answer, Verb};
use view::Moment;
use writer::{Request, Writer};

/// Bytes of changes that may wait in the journal before they are moved to their places. The more wait, the fewer pages
/// each of them takes; all of it is in memory too.
const JOURNAL: usize = 8 * 1024 * 1024;

/// Requests that may wait for the writer, and the memory that each is counted with at least: 64 MiB together.
const QUEUE: usize = 2_048;
const QUEUE_UNIT: usize = 32 * 1024;

/// A store in one file. Dropping it waits for the writer, as [`Sqlite::close`] does, but loses the error.
pub struct Sqlite {
    readers: Readers,
    queue: Option<SyncSender<Request>>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<Result<(), StoreError>>>,
    clock: Arc<dyn Clock>,
    place: Place,
}

impl Sqlite {
    /// Opens the file, or creates it (0600, in folders of 0700 where they are missing) and its tables. Replays what a
    /// killed server left in the log. Leases of earlier runs are over. The clock decides when later ones expire.
    ///
    /// Fails with `InUse` while another process, or another value in this one, has the file; with `Foreign` when the file
    /// is not ours; with `FileSystem` on NFS, CIFS, SMB and FUSE.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with_journal(path, clock, JOURNAL)
    }

    /// Opens the file as [`Sqlite::open`] does; about so many bytes of changes wait in the journal before they are moved to
    /// their places; in memory are twice to four times as many, as rows stay whole.
    pub fn open_with_journal(path: &Path, clock: Arc<dyn Clock>, bytes: usize) -> Result<Self, StoreError> {
        let place = Place::take(path)?;
        let what = format!("opening {}", place.path.display());
        let connection = schema::open_writer(&place.path)?;
        let checkpointer = Checkpointer::start(&place)?;
        let writer = Writer::new(connection, checkpointer, bytes).map_err(|failure| failure.of(&what))?;
        let readers = Readers::open(&place.path, writer.recent())?;
        let (queue, requests) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("storage-writer".to_owned()).spawn(move || writer.run(&requests));
        let writer = Some(thread.map_err(|source| StoreError::Io { what, source })?);
        Ok(Self { readers, queue: Some(queue), room: Arc::new(Semaphore::new(QUEUE)), writer, clock, place })
    }

    /// Finishes what waits, puts the log away and closes the file, which is then all there is of the store. Blocks.
    /// Fails when the disk did, and nothing is lost then: the log is left, and the next opening replays it. It is left
    /// too, with a warning, on a full disk and where another program reads from it.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.finish()
    }

    /// Reads every page and checks that what refers to each other agrees. Blocks for a time in proportion to the file;
    /// commits go on. Fails with `Damaged`.
    pub fn integrity_check(&self) -> Result<(), StoreError> {
        let connection = schema::open_reader(&self.place.path)?;
        let findings = findings(&connection).map_err(|error| Failure::from(error).of("checking it"))?;
        if findings.is_empty() { Ok(()) } else { Err(StoreError::Damaged { why: findings.join("; ") }) }
    }

    /// Writes a copy of one moment to a new file (0600), which opens as a store of its own. Blocks for a time in
    /// proportion to the file; commits go on. `to` appears only when the copy is complete and synced; fails when it exists.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let what = format!("writing the backup {}", to.display());
        let failed = |source| StoreError::Io { what: what.clone(), source };
        let partial = place::beside(to, ".partial");
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => drop(place::create_private(&partial).map_err(failed)?),
        }
        let copied = copy(&schema::open_reader(&self.place.path)?, &partial).map_err(|failure| failure.of(&what));
        let kept = copied.and_then(|()| keep(&partial, to).map_err(failed));
        if kept.is_err() {
            drop(fs::remove_file(&partial));
        }
        kept
    }

    /// Hands a request to the writer and waits for its answer. `None` when the writer died before it gave one.
    async fn ask(&self, verb: Verb) -> Result<Option<Answer>, StoreError> {
        let units = (verb.bytes() / QUEUE_UNIT + 1).min(QUEUE);
        let units = u32::try_from(units).unwrap_or(1);
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        // Whoever has room in the queue finds a place in it, so this does not fail for being full.
        let sent = self.queue.as_ref().map(|queue| queue.try_send(Request { verb, reply, _room: room }));
        let Some(Ok(())) = sent else { return Err(closed()) };
        answer.await.ok().transpose()
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.readers.close();
        self.queue = None;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.join().unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "the store was closed with its log beside it; the next opening replays it");
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    fn limits(&self) -> Limits {
        Limits::LOCAL
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.readers.get(key)
    }

    async fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.readers.list(prefix, after, limit)
    }

    async fn current_rev(&self) -> Result<Revision, StoreError> {
        Ok(self.readers.current_rev())
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        self.limits().check(&txn)?;
        match self.ask(Verb::Commit { epoch, txn }).await? {
            Some(Answer::Committed(end)) => Ok(end),
            _ => Ok(Committed::Unknown),
        }
    }

    async fn outcome(&self, idem: IdemToken) -> Result<Committed, StoreError> {
        match self.ask(Verb::Outcome(idem)).await? {
            Some(Answer::Committed(end)) => Ok(end),
            _ => Err(closed()),
        }
    }

    async fn changes(&self, after: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.readers.changes(after, limit)
    }

    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Option<LeaderLease>, StoreError> {
        match self.ask(Verb::Acquire { name: name.to_owned(), ttl, now: self.clock.now() }).await? {
            Some(Answer::Lease(lease)) => Ok(lease),
            _ => Err(closed()),
        }
    }

    async fn renew(&self, lease: &LeaderLease, ttl: Duration) -> Result<bool, StoreError> {
        match self.ask(Verb::Renew { lease: lease.clone(), ttl, now: self.clock.now() }).await? {
            Some(Answer::Renewed(renewed)) => Ok(renewed),
            _ => Err(closed()),
        }
    }

    async fn release(&self, lease: LeaderLease) -> Result<(), StoreError> {
        match self.ask(Verb::Release(lease)).await? {
            Some(Answer::Released) => Ok(()),
            _ => Err(closed()),
        }
    }

    async fn view(&self) -> Result<Box<dyn View>, StoreError> {
        Ok(Box::new(Moment::of(&self.place)?))
    }

    async fn replace(&self, epoch: Epoch, rows: Rows) -> Result<Committed, StoreError> {
        match self.ask(Verb::Replace { epoch, rows: RefCell::new(Some(rows)) }).await? {
            Some(Answer::Replaced(end)) => end,
            Some(Answer::Committed(end)) => Ok(end),
            _ => Ok(Committed::Unknown),
        }
    }

    fn spool(&self) -> Result<File, StoreError> {
        static SPOOLS: AtomicU64 = AtomicU64::new(0);
        let number = SPOOLS.fetch_add(1, Ordering::Relaxed);
        let path = place::beside(&self.place.path, &format!(".spool{number}"));
        let failed = |source| StoreError::Io { what: format!("making the file {}", path.display()), source };
        // Left behind by a server that was killed in this function: nobody else has the store.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let file = place::create_private(&path).map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        Ok(file)
    }
}

fn closed() -> StoreError {
    StoreError::Stopped { why: "the writing thread has ended".to_owned() }
}

/// What SQLite's own check and ours find, in words; nothing when all is well.
fn findings(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines = check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut findings: Vec<_> = lines.into_iter().filter(|line| line != "ok").collect();
    // One moment for all that follows.
    let moment = connection.unchecked_transaction()?;
    let last = last_rev(&moment)?;
    let sql = "SELECT count(*) FROM kv WHERE rev > ?1";
    let ahead: i64 = moment.query_row(sql, [number(last.0)], |row| row.get(0))?;
    if ahead > 0 {
        findings.push(format!("{ahead} values are of commits that do not exist"));
    }
    Memtable::read(&moment, last_remembered(&moment)?)?;
    Ok(findings)
}

/// All pages in one step, which is one read transaction: copying in several steps would start anew with every commit.
fn copy(from: &Connection, to: &Path) -> Result<(), Failure> {
    let mut target = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let backup = Backup::new(from, &mut target)?;
    match backup.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(Failure::Other("another program has locked it".to_owned())),
    }
}

fn keep(partial: &Path, to: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    renameat_with(CWD, partial, CWD, to, RenameFlags::NOREPLACE)?;
    place::sync_folder(&to.canonicalize()?)
}
