//! The thread that writes. It owns the only connection that writes and starts the log anew: another one only moves frames
//! (SQLite before 3.51.3 could lose commits when both met, "WAL-reset bug"; it is refused). Everything that waits goes into
//! one SQLite transaction and one sync; each request still gets its own revision and its own answer, and none before the
//! sync. What they change goes to the journal, and from there to its places when everybody is answered.
//!
//! After a failed write or sync it never writes again, not even on closing: the log still holds all that was
//! acknowledged, and the next opening replays it. What the other connection failed at is noticed behind the commit under way,
//! which is as good as any: it is in the log. A full disk is different: SQLite writes the frame that makes a commit
//! last, so the group did not happen, and writing resumes when there is room.

use super::checkpoint::Log;
use super::checkpointer::Checkpointer;
use super::failure::Failure;
use super::flush::{Flush, Moved};
use super::memtable::{Memtable, Recent};
use super::reader::{last_remembered, last_rev};
use super::verb::{Answer, Group, Verb, committed_as, latest_epoch};
use crate::{Committed, Epoch, StoreError};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The most that shares one sync. Bounds the time until the first of the group is answered.
const GROUP_REQUESTS: usize = 256;
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// How long nothing must happen before the journal and the log are put away, and the longest until that is tried again.
const IDLE: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(64);

/// A request on its way, with the room that it takes in the queue.
pub(super) struct Request {
    pub(super) verb: Verb,
    pub(super) reply: oneshot::Sender<Result<Answer, StoreError>>,
    pub(super) _room: OwnedSemaphorePermit,
}

impl Request {
    /// Nobody listens any more when the caller gave up waiting; what was done stays done.
    fn answer(self, answer: Result<Answer, StoreError>) {
        drop(self.reply.send(answer));
    }
}

/// How far a group came before it failed.
struct Setback {
    failure: Failure,
    /// The commit itself failed, so the next opening may find the group in the log or not.
    may_be_done: bool,
}

impl From<rusqlite::Error> for Setback {
    fn from(error: rusqlite::Error) -> Self {
        Self { failure: error.into(), may_be_done: false }
    }
}

/// The state of the writing thread.
pub(super) struct Writer {
    connection: Connection,
    recent: Arc<Recent>,
    flush: Flush,
    log: Log,
    opened_at: Epoch,
    stopped: Option<Failure>,
}

impl Writer {
    /// Moves what an earlier run left in the log into the file, as far as there is room. So many bytes of changes may wait
    /// in the journal.
    pub(super) fn new(connection: Connection, checkpointer: Checkpointer, room: usize) -> Result<Self, Failure> {
        let opened_at = latest_epoch(&connection)?;
        let recent = Arc::new(Recent::new(Memtable::read(&connection, last_remembered(&connection)?)?));
        let flush = Flush::new(room);
        let mut writer = Self { connection, recent, flush, log: Log::new(checkpointer), opened_at, stopped: None };
        writer.log.empty(&writer.connection).or_else(unless_stopping)?;
        Ok(writer)
    }

    /// What readers ask first.
    pub(super) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// Works until every sender is gone, then closes the file; an error when the log could not be put away.
    pub(super) fn run(mut self, queue: &Receiver<Request>) -> Result<(), StoreError> {
        let mut behind = None;
        while let Some(first) = behind.take().or_else(|| self.next(queue)) {
            let group;
            (group, behind) = gather(first, queue);
            self.serve(group);
            self.keep_short();
        }
        self.close()
    }

    /// Waits for a request; puts journal and log away when none comes for a while. Less and less often where somebody reads
    /// from the log all the time, or the disk is full.
    fn next(&mut self, queue: &Receiver<Request>) -> Option<Request> {
        let (mut patience, mut next_try) = (IDLE, IDLE * 2);
        loop {
            if self.stopped.is_some() || (self.log.is_empty() && self.recent.read().is_empty()) {
                return queue.recv().ok();
            }
            match queue.recv_timeout(patience) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                // One slice after the other, as long as nobody comes.
                Err(RecvTimeoutError::Timeout) if self.flush() => {
                    self.checkpoint(Log::keep_short);
                    patience = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.checkpoint(Log::empty);
                    self.give_back_memory();
                    (patience, next_try) = (next_try, LONGEST.min(next_try * 2));
                }
            }
        }
    }

    /// Lets go of the pages that the connection keeps.
    fn give_back_memory(&self) {
        if let Err(error) = self.connection.execute_batch("PRAGMA shrink_memory") {
            tracing::debug!(%error, "pages are kept in memory although nobody writes");
        }
    }

    /// Sees to it that journal and log do not grow without end. One slice behind a group, so that the next does not wait for
    /// long, unless too much waits.
    fn keep_short(&mut self) {
        if self.flush.is_due(&self.recent.read()) && self.flush() {
            while self.flush.is_late(&self.recent.read()) && self.flush() {}
        }
        self.checkpoint(Log::keep_short);
    }

    /// Moves a slice of the journal to its places. `false` when there is none, or it could not be moved.
    fn flush(&mut self) -> bool {
        let memtable = self.recent.read();
        if self.stopped.is_some() || memtable.is_empty() {
            return false;
        }
        let moved = self.flush.slice(&self.connection, &memtable);
        drop(memtable);
        match moved {
            Ok(moved) if moved.is_nothing() => false,
            Ok(Moved { keys, rows }) => {
                self.recent.write().forget(&keys, rows);
                true
            }
            Err(failure) => {
                if failure.stops_writing() {
                    self.stop(failure);
                } else {
                    let why = failure.text();
                    tracing::warn!(why, "the journal of the store could not be moved; it grows until that succeeds");
                }
                self.roll_back();
                false
            }
        }
    }

    fn serve(&mut self, group: Vec<Request>) {
        if self.stopped.is_some() {
            return group.into_iter().for_each(|request| self.refuse(request));
        }
        match self.attempt(&group) {
            Ok(answers) => send(group, answers),
            Err(setback) => self.recover(group, setback, Self::serve_singly),
        }
    }

    /// On a full disk: the log's old frames may be moved out of the way, and the small ones of a group may fit alone.
    fn serve_singly(&mut self, group: Vec<Request>) {
        self.checkpoint(Log::keep_short_on_full_disk);
        for request in group {
            if self.stopped.is_some() {
                self.refuse(request);
                continue;
            }
            let single = vec![request];
            match self.attempt(&single) {
                Ok(answers) => send(single, answers),
                Err(setback) => self.recover(single, setback, Self::refuse_as_full),
            }
        }
    }

    fn refuse_as_full(&mut self, group: Vec<Request>) {
        group.into_iter().for_each(|request| request.answer(Err(StoreError::Full)));
    }

    /// The whole group in one transaction. The answers hold only if this returns them.
    fn attempt(&mut self, group: &[Request]) -> Result<Vec<Answer>, Setback> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let memtable = self.recent.read();
        let mut open = Group::new(&self.connection, &memtable, self.opened_at);
        let answers: Vec<_> = group.iter().map(|request| open.apply(&request.verb)).collect::<Result<_, _>>()?;
        let (bytes, commits) = open.journal()?;
        drop(memtable);
        if let Some(Answer::Replaced(Ok(Committed::At(rev)))) = answers.first() {
            // Who reads would see the new rows under the old changes.
            let mut memtable = self.recent.write();
            commit(&self.connection)?;
            *memtable = Memtable::after(*rev);
        } else {
            commit(&self.connection)?;
            if bytes > 0 {
                self.recent.write().take(bytes, commits);
            }
        }
        Ok(answers)
    }

    fn recover(&mut self, group: Vec<Request>, setback: Setback, when_full: fn(&mut Self, Vec<Request>)) {
        if setback.failure.stops_writing() {
            self.stop(setback.failure.clone());
        }
        self.roll_back();
        match (setback.failure, setback.may_be_done) {
            (Failure::Full, _) if self.stopped.is_none() => when_full(self, group),
            (_, true) => group.into_iter().for_each(answer_unknown),
            (failure, false) => {
                let failure = self.stopped.clone().unwrap_or(failure);
                group.into_iter().for_each(|request| request.answer(Err(failure.of_write())));
            }
        }
    }

    /// Takes the open transaction back, and trusts that only when the connection shows the state of before.
    fn roll_back(&mut self) {
        let undone = if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") };
        match undone.and_then(|()| last_rev(&self.connection)) {
            Ok(rev) if rev == self.recent.read().last() => {}
            Ok(_) => self.stop(Failure::Io("a transaction could not be rolled back".to_owned())),
            Err(error) => self.stop(Failure::Io(format!("a transaction could not be rolled back: {error}"))),
        }
    }

    fn stop(&mut self, failure: Failure) {
        if self.stopped.is_none() {
            tracing::error!(why = failure.text(), "writing to the store has stopped; mend the cause and restart");
            self.stopped = Some(failure);
        }
    }

    /// Whether a token is not known is not known either: the attempt that failed may come back with the next opening.
    fn refuse(&self, request: Request) {
        let known = match request.verb {
            Verb::Outcome(idem) => committed_as(&self.connection, &self.recent.read(), idem).ok().flatten(),
            _ => None,
        };
        let why = self.stopped.as_ref().map_or_else(String::new, Failure::text);
        request.answer(known.map(|rev| Answer::Committed(Committed::At(rev))).ok_or(StoreError::Stopped { why }));
    }

    fn checkpoint(&mut self, how: fn(&mut Log, &Connection) -> Result<(), Failure>) {
        if self.stopped.is_none()
            && let Err(failure) = how(&mut self.log, &self.connection).or_else(unless_stopping)
        {
            self.stop(failure);
        }
    }

    fn close(mut self) -> Result<(), StoreError> {
        if self.stopped.is_some() {
            return Ok(());
        }
        while self.flush() {
            self.checkpoint(Log::keep_short);
        }
        match self.stopped.take() {
            Some(failure) => Err(failure.of_write()),
            None => self.log.close(&self.connection).or_else(unless_stopping).map_err(|failure| failure.of_write()),
        }
    }
}

/// A checkpoint that found no room or a lock is tried again later; the log keeps everything until then.
fn unless_stopping(failure: Failure) -> Result<(), Failure> {
    if failure.stops_writing() {
        return Err(failure);
    }
    tracing::warn!(why = failure.text(), "the log of the store could not be put away; it grows until that succeeds");
    Ok(())
}

/// The request with those that wait behind it, and one that came after them and has to be done alone.
fn gather(first: Request, queue: &Receiver<Request>) -> (Vec<Request>, Option<Request>) {
    let mut bytes = first.verb.bytes();
    let mut group = vec![first];
    while group.len() < GROUP_REQUESTS && bytes < GROUP_BYTES && !group.iter().any(is_replacement) {
        let Ok(request) = queue.try_recv() else { break };
        if is_replacement(&request) {
            return (group, Some(request));
        }
        bytes += request.verb.bytes();
        group.push(request);
    }
    (group, None)
}

fn is_replacement(request: &Request) -> bool {
    matches!(request.verb, Verb::Replace { .. })
}

fn commit(connection: &Connection) -> Result<(), Setback> {
    let committed = connection.prepare_cached("COMMIT")?.execute([]);
    committed.map(drop).map_err(|error| {
        let failure = Failure::from(error);
        Setback { may_be_done: failure.stops_writing(), failure }
    })
}

fn send(group: Vec<Request>, answers: Vec<Answer>) {
    group.into_iter().zip(answers).for_each(|(request, answer)| request.answer(Ok(answer)));
}

/// Also for who only met a conflict: it may have been with a commit of the same group.
fn answer_unknown(request: Request) {
    let answer = match request.verb {
        Verb::Commit { .. } => Ok(Answer::Committed(Committed::Unknown)),
        _ => Err(StoreError::Stopped { why: "the last commit could not be synced".to_owned() }),
    };
    request.answer(answer);
}
