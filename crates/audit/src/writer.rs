//! The one writer of the trail: numbers, chains and writes what others handed in, a batch at a time. Who may hold it,
//! and when, is the desk's business.
//!
//! An entry is answered for only after its batch is with the kernel, so the death of the process loses none that was
//! acknowledged. A batch that cannot be written leaves no byte behind and fails as a whole; the next one tries again.
//! After a failed sync nothing is written any more: the kernel may have dropped what it could not store, and a second
//! sync of the same file would say "fine" ("PostgreSQL's fsync() surprise", LWN 2018).

use crate::chain::{Head, genesis, unspeakable};
use crate::medium::{Medium, WriteFailure};
use crate::shared::Shared;
use crate::{Checkpoint, Entry, Receipt, Seal, SyncMode, TrailError};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};
use tokio::sync::oneshot;

/// A clock that runs back by less than this is smoothed over; by more, it is a fact worth an event.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Who waits for an entry.
type Answer = oneshot::Sender<Result<Receipt, TrailError>>;

/// What the writer is asked to do.
pub(crate) enum Command {
    /// Write an entry, already spelt as a JSON object.
    Append { body: Vec<u8>, answer: Answer },
    /// Write an event that nobody waits for.
    Note(Box<Entry>),
    /// Sign with this from now on. The old seal signs once more before it goes.
    Seal { seal: Option<Arc<dyn Seal>>, answer: oneshot::Sender<()> },
    /// Hand out the file to be synced, after a look whether it is still in its place, and the number of the line that
    /// comes next in it.
    Prepare { answer: oneshot::Sender<(Option<Arc<File>>, u64)> },
    /// Sign what is there, if there is a seal and anything new; lines before number `synced` are on disk already.
    /// Answers with what was signed, and the file it is in.
    Checkpoint { synced: u64, answer: oneshot::Sender<Option<(Checkpoint, Option<Arc<File>>)>> },
    /// A checkpoint was synced.
    Durable(Checkpoint),
    /// Syncing failed.
    SyncFailed(String),
    /// See whether the file is still in its place.
    Look,
    /// Try whether writing works again.
    Probe,
}

impl Command {
    /// Bytes to be written for it, about.
    pub(crate) fn len(&self) -> usize {
        match self {
            Command::Append { body, .. } => body.len(),
            _ => 0,
        }
    }

    /// Whether doing it may take longer than a write.
    pub(crate) fn is_heavy(&self) -> bool {
        !matches!(self, Command::Append { .. } | Command::Note(_))
    }
}

/// The state of the writer between batches.
pub(crate) struct Writer {
    pub(crate) medium: Medium,
    pub(crate) head: Head,
    pub(crate) unsigned: u64,
    /// Lines before this number are known to be on disk.
    pub(crate) durable: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sync: SyncMode,
    pub(crate) shared: Arc<Shared>,
    pub(crate) seal: Option<Arc<dyn Seal>>,
    pub(crate) state: WriterState,
    /// The file was taken away, and the trail could not tell so yet.
    pub(crate) untold: Option<String>,
    pub(crate) pending: Vec<(Vec<u8>, Option<Answer>)>,
    pub(crate) buffer: Vec<u8>,
}

/// Whether writing works.
pub(crate) enum WriterState {
    /// It does.
    Good,
    /// The last try failed; how many entries were refused since it last went well.
    Failing { why: String, refused: u64 },
    /// It will not any more, until the server is started again.
    Dead { why: String },
}

impl Writer {
    /// Does what was handed in, in that order, and answers everybody.
    pub(crate) fn work(&mut self, commands: &mut Vec<Command>) {
        for command in commands.drain(..) {
            self.take(command);
        }
        self.flush();
    }

    /// Whether the next batch costs no more than a write.
    pub(crate) fn is_light(&self) -> bool {
        self.sync == SyncMode::EachCheckpoint && self.medium.is_ready()
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Append { body, answer } => return self.pending.push((body, Some(answer))),
            Command::Note(entry) => return self.note(&entry),
            _ => self.flush(),
        }
        match command {
            Command::Seal { seal, answer } => {
                self.set_seal(seal);
                let _ = answer.send(());
            }
            Command::Prepare { answer } => {
                self.look_for_file();
                let _ = answer.send((self.medium.file(), self.head.next));
            }
            Command::Checkpoint { synced, answer } => {
                self.durable = self.durable.max(synced);
                let _ = answer.send(self.checkpoint().map(|checkpoint| (checkpoint, self.medium.file())));
            }
            Command::Durable(checkpoint) => self.shared.set_checkpoint(checkpoint),
            Command::SyncFailed(why) => self.die(why),
            Command::Look => self.look_for_file(),
            Command::Append { .. } | Command::Note(_) | Command::Probe => {}
        }
    }

    /// Puts an event of the trail's own into the next batch.
    fn note(&mut self, entry: &Entry) {
        if let Ok(body) = serde_json::to_vec(entry) {
            self.pending.push((body, None));
        }
    }

    /// Writes what is pending, and answers everybody.
    fn flush(&mut self) {
        if let WriterState::Failing { why, refused } = &self.state {
            let note = format!("the trail could not be written ({why}); {refused} entries were refused meanwhile");
            let body = serde_json::to_vec(&Entry::event("trail_resumed", "", note)).unwrap_or_default();
            self.pending.insert(0, (body, None));
        }
        if let Some(note) = &self.untold {
            let body = serde_json::to_vec(&Entry::event("trail_file_missing", "", note.as_str())).unwrap_or_default();
            self.pending.insert(0, (body, None));
        }
        if self.pending.is_empty() {
            return;
        }
        let written = self.write_pending();
        match written {
            Ok(first) => {
                self.untold = None;
                answer_written(&mut self.pending, first);
            }
            Err(why) => {
                let waiting = std::mem::take(&mut self.pending);
                self.answer_failed(waiting, why);
            }
        }
    }

    /// Writes what is pending as one batch. The number of its first line.
    fn write_pending(&mut self) -> Result<u64, String> {
        if let WriterState::Dead { why } = &self.state {
            return Err(why.clone());
        }
        if self.medium.is_full() {
            self.rotate()?;
        }
        let time = self.stamp();
        let before = self.head;
        self.splice(time).map_err(|error| unspeakable(error).to_string())?;
        let first = self.head.next - self.pending.len() as u64;
        self.commit(before)?;
        if self.sync == SyncMode::EachBatch {
            self.sync_now()?;
        }
        Ok(first)
    }

    /// The time for the next batch. It never runs back without the trail saying so: a small step of the clock is
    /// waited out, a large one gets an event, which alone may carry an earlier time than the line before it.
    fn stamp(&mut self) -> Timestamp {
        let now = self.clock.now();
        if now >= self.head.time {
            return now;
        }
        let back = self.head.time.since(now);
        if back <= CLOCK_SLACK {
            return self.head.time;
        }
        let note = format!("the clock went back by {} s, from {}", back.as_secs(), self.head.time);
        let body = serde_json::to_vec(&Entry::event(crate::verify::CLOCK_WENT_BACK, "", note)).unwrap_or_default();
        self.pending.insert(0, (body, None));
        now
    }

    fn splice(&mut self, time: Timestamp) -> io::Result<()> {
        self.buffer.clear();
        let text = time.to_string();
        let mut head = self.head;
        if head.next == 0 {
            head.push(&mut self.buffer, &genesis(time), time, &text)?;
        }
        for (body, _) in &self.pending {
            head.push(&mut self.buffer, body, time, &text)?;
        }
        self.head = head;
        Ok(())
    }

    /// Writes the buffer; on failure the chain stands where it stood `before`.
    fn commit(&mut self, before: Head) -> Result<(), String> {
        match self.medium.write(&self.buffer, before.next) {
            Ok(()) => {
                self.unsigned += self.head.next - before.next;
                self.state = WriterState::Good;
                self.shared.publish(self.head.next, self.unsigned, self.medium.position());
                // A single huge entry should not hold its memory for ever.
                self.buffer.shrink_to(4 * 1024 * 1024);
                Ok(())
            }
            Err(WriteFailure::Passing(error)) => {
                self.head = before;
                Err(error.to_string())
            }
            Err(WriteFailure::Final(error)) => {
                self.head = before;
                self.die(error.to_string());
                Err(error.to_string())
            }
        }
    }

    fn answer_failed(&mut self, waiting: Vec<(Vec<u8>, Option<Answer>)>, why: String) {
        let mut count = waiting.iter().filter(|(_, answer)| answer.is_some()).count() as u64;
        if !matches!(self.state, WriterState::Dead { .. }) {
            if let WriterState::Failing { refused, .. } = &self.state {
                count += refused;
            }
            self.state = WriterState::Failing { why: why.clone(), refused: count };
        }
        self.shared.set_failure(&why);
        for answer in waiting.into_iter().filter_map(|(_, answer)| answer) {
            let _ = answer.send(Err(TrailError::Unwritable { why: why.clone() }));
        }
    }

    fn die(&mut self, why: String) {
        tracing::error!(%why, "the audit trail is unwritable until the server is started again");
        self.shared.set_failure(&why);
        self.state = WriterState::Dead { why };
    }

    fn sync_now(&mut self) -> Result<(), String> {
        self.medium.sync().map_err(|error| {
            let why = format!("the disk did not confirm what was written: {error}");
            self.die(why.clone());
            why
        })?;
        self.durable = self.head.next;
        Ok(())
    }

    /// Signs what is there with a line of its own. `None` when there is nothing new, no key, or no room.
    ///
    /// Lines that came since the keeper synced are synced first, and nothing is written meanwhile: a signature speaks
    /// of lines on disk only, so that no power failure can tear a hole into what is signed. Opening relies on that.
    fn checkpoint(&mut self) -> Option<Checkpoint> {
        let seal = self.seal.clone()?;
        if self.unsigned == 0 || !matches!(self.state, WriterState::Good) {
            return None;
        }
        if self.durable < self.head.next {
            self.sync_now().ok()?;
        }
        let time = self.clock.now().max(self.head.time);
        let (size, head, generation, key) = (self.head.next, self.head.hash, seal.generation(), seal.public_key());
        let signature = seal.sign(Checkpoint::text(size, &head, time, generation, &key).as_bytes());
        let checkpoint = Checkpoint { size, head, time, generation, key, signature };
        let before = self.head;
        self.buffer.clear();
        self.head.push(&mut self.buffer, &checkpoint.body(), time, &time.to_string()).ok()?;
        if let Err(why) = self.commit(before) {
            self.answer_failed(Vec::new(), why);
            return None;
        }
        self.unsigned = 0;
        self.shared.publish(self.head.next, 0, self.medium.position());
        Some(checkpoint)
    }

    /// A checkpoint with a sync before and behind, for moments at which the key or the file is about to go.
    fn last_checkpoint(&mut self) {
        if self.durable < self.head.next && self.sync_now().is_err() {
            return;
        }
        if let Some(checkpoint) = self.checkpoint()
            && self.sync_now().is_ok()
        {
            self.shared.set_checkpoint(checkpoint);
        }
    }

    fn rotate(&mut self) -> Result<(), String> {
        self.last_checkpoint();
        if let WriterState::Dead { why } = &self.state {
            return Err(why.clone());
        }
        self.medium.rotate(self.head.next).map_err(|error| error.to_string())
    }

    fn set_seal(&mut self, seal: Option<Arc<dyn Seal>>) {
        self.look_for_file();
        if self.seal.is_some() {
            self.last_checkpoint();
        }
        self.shared.set_can_sign(seal.is_some());
        self.seal = seal;
    }

    /// Goes on in a new segment when the file was taken away, in a new folder if need be. Until there is one nothing
    /// is taken: what is written to a nameless file is lost.
    fn look_for_file(&mut self) {
        if matches!(self.state, WriterState::Dead { .. }) {
            return;
        }
        let Some(name) = self.medium.missing_file() else { return };
        let note = format!(
            "{name} was deleted, moved or replaced while it was written; lines before number {} may be missing",
            self.head.next
        );
        tracing::error!(%note, "the audit trail was tampered with");
        self.shared.set_alarm(&note);
        self.medium.let_go();
        self.untold = Some(note);
        self.flush();
    }

    /// Signs and syncs what is there, for the last time.
    pub(crate) fn close(&mut self) {
        self.flush();
        self.look_for_file();
        self.last_checkpoint();
    }
}

/// Leaves the list empty and as long as it was, for the next batch.
fn answer_written(waiting: &mut Vec<(Vec<u8>, Option<Answer>)>, first: u64) {
    for (seq, (_, answer)) in (first..).zip(waiting.drain(..)) {
        if let Some(answer) = answer {
            let _ = answer.send(Ok(Receipt { seq }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::Ring;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1)
        }
    }

    fn writer() -> Writer {
        Writer {
            medium: Medium::Memory(Arc::new(Ring::new(10))),
            head: Head::START,
            unsigned: 0,
            durable: 0,
            clock: Arc::new(Still),
            sync: SyncMode::EachCheckpoint,
            shared: Arc::default(),
            seal: None,
            state: WriterState::Good,
            untold: None,
            pending: Vec::new(),
            buffer: Vec::new(),
        }
    }

    struct Key;

    impl Seal for Key {
        fn sign(&self, _: &[u8]) -> [u8; 64] {
            [0; 64]
        }

        fn public_key(&self) -> [u8; 32] {
            [0; 32]
        }

        fn generation(&self) -> u64 {
            1
        }
    }

    /// A power failure between such a signature and the next sync would have damaged what is signed.
    #[test]
    fn what_came_after_the_sync_is_synced_before_it_is_signed() {
        let mut writer = writer();
        writer.seal = Some(Arc::new(Key));
        append(&mut writer).unwrap();
        let (answer, mut prepared) = oneshot::channel();
        writer.take(Command::Prepare { answer });
        let (_, synced) = prepared.try_recv().unwrap();
        append(&mut writer).unwrap();
        let (answer, mut signed) = oneshot::channel();
        writer.take(Command::Checkpoint { synced, answer });
        let (checkpoint, _) = signed.try_recv().unwrap().unwrap();
        assert_eq!((synced, checkpoint.size), (2, 3));
        assert!(writer.durable >= checkpoint.size, "{}", writer.durable);
    }

    fn append(writer: &mut Writer) -> Result<Receipt, TrailError> {
        let (answer, mut answered) = oneshot::channel();
        writer.take(Command::Append { body: b"{\"kind\":\"event\"}".to_vec(), answer });
        writer.flush();
        answered.try_recv().unwrap()
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_until_a_restart() {
        let mut writer = writer();
        assert_eq!(append(&mut writer).unwrap().seq, 1);
        writer.take(Command::SyncFailed("Input/output error".to_owned()));
        for _ in 0..3 {
            assert!(append(&mut writer).unwrap_err().to_string().contains("Input/output error"));
            writer.take(Command::Probe);
        }
        let health = writer.shared.health();
        assert!(!health.writable);
        assert_eq!(health.entries, 2);
    }

    #[test]
    fn the_first_batch_after_a_failure_tells_how_many_were_refused() {
        let mut writer = writer();
        writer.answer_failed(vec![(Vec::new(), Some(oneshot::channel().0))], "No space left on device".to_owned());
        assert!(!writer.shared.health().writable);
        assert_eq!(append(&mut writer).unwrap().seq, 2);
        assert!(writer.shared.health().writable);
        let Medium::Memory(ring) = &writer.medium else { panic!("another medium") };
        let told = ring.recent(2).remove(0);
        assert!(told.contains("trail_resumed") && told.contains("; 1 entries were refused"), "{told}");
    }
}
