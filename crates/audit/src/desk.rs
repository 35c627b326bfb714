//! The desk where entries are handed in, and where the one writer is picked up and put back.
//!
//! Whoever hands in an entry while nobody writes, writes it itself, and what others hand in meanwhile: an entry alone
//! costs its hashing and its write(2), not the waking of another thread. In a crowd one caller lets the others pass
//! first and then writes for all of them, so that they share writes. What could take longer than a write is left to a
//! thread: anything that syncs (a new segment, a checkpoint, [`SyncMode::EachBatch`](crate::SyncMode)), and much at
//! once. What was handed in is written in that order, whether or not the caller still waits.
//!
//! Knows nothing of lines. A writer that panicked is gone for good, and the trail with it: nobody waits in vain.

use crate::shared::Shared;
use crate::trail::{closed, lock};
use crate::writer::{Command, Writer};
use crate::{Receipt, TrailError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;

/// More than this is not written by a caller: hashing it would keep others from the runtime's thread too long.
const LIGHT: usize = 64 * 1024;

/// How many times a caller looks for what others handed in while it wrote, before it leaves the rest to the thread: it
/// has an answer of its own to deliver.
const ROUNDS: usize = 4;

/// From this many callers at once on it is a crowd: one write saved is worth more than letting others pass costs.
const CROWD: usize = 2;

/// Where there was no crowd for long, one in so many callers looks whether there is one; the first time none was found the
/// second caller does, then the third, the fifth and so on. A server under load has crowds and moments without one.
const LOOK: u32 = 64;

/// Entries are handed in here.
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Calls the thread.
    called: Condvar,
    /// A permit for each command that may still be handed in.
    room: Semaphore,
    shared: Arc<Shared>,
}

struct State {
    waiting: Vec<Command>,
    /// An emptied one, to be filled next.
    spare: Vec<Command>,
    bytes: usize,
    /// Whether something waits that only the thread does.
    heavy: bool,
    /// Whether a caller lets others pass now and has promised to write what waits.
    elected: bool,
    /// How many callers may write at once before one lets others pass; zero in a crowd.
    hasty: u32,
    /// How many may the next time that there is no crowd.
    haste: u32,
    writer: Seat,
    closing: bool,
}

/// Where the writer is.
enum Seat {
    /// At the desk; nobody writes.
    Free(Box<Writer>),
    /// With somebody who writes, and who looks here again before putting it back.
    Taken,
    /// The trail was closed, or whoever wrote panicked.
    Gone,
}

impl Seat {
    fn take(&mut self) -> Option<Box<Writer>> {
        match std::mem::replace(self, Seat::Taken) {
            Seat::Free(writer) => Some(writer),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl State {
    fn push(&mut self, command: Command) {
        self.bytes += command.len();
        self.heavy |= command.is_heavy();
        self.waiting.push(command);
    }

    fn take(&mut self, room: &Semaphore) -> Vec<Command> {
        let empty = std::mem::take(&mut self.spare);
        let batch = std::mem::replace(&mut self.waiting, empty);
        (self.bytes, self.heavy, self.elected) = (0, false, false);
        room.add_permits(batch.len());
        batch
    }

    /// Whether what waits may be written on a caller's task.
    fn is_light(&self, writer: &Writer) -> bool {
        !self.heavy && !self.closing && self.bytes <= LIGHT && writer.is_light()
    }
}

impl Desk {
    /// A desk at which `room` commands may wait.
    pub(crate) fn new(writer: Writer, room: usize, shared: Arc<Shared>) -> Self {
        let state = State {
            waiting: Vec::new(),
            spare: Vec::new(),
            bytes: 0,
            heavy: false,
            elected: false,
            hasty: LOOK,
            haste: LOOK,
            writer: Seat::Free(Box::new(writer)),
            closing: false,
        };
        let room = Semaphore::new(room.clamp(1, Semaphore::MAX_PERMITS));
        Self { state: Mutex::new(state), called: Condvar::new(), room, shared }
    }

    /// Hands in an entry and waits until it is written. Once handed in it is written, also when the future is dropped.
    pub(crate) async fn append(&self, body: Vec<u8>) -> Result<Receipt, TrailError> {
        let (answer, answered) = oneshot::channel();
        self.make_room().await?;
        match self.hand_in(Command::Append { body, answer }, true)? {
            Turn::Wait => {}
            Turn::Write(pen) => pen.write_some(),
            Turn::LetPass(promise) => {
                yield_now().await;
                promise.keep();
            }
        }
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Hands in something for the thread to do.
    pub(crate) async fn send(&self, command: Command) -> Result<(), TrailError> {
        self.make_room().await?;
        self.hand_in(command, false).map(|_| ())
    }

    /// Hands in something for the thread to do, and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer)).await.ok()?;
        answered.await.ok()
    }

    async fn make_room(&self) -> Result<(), TrailError> {
        self.room.acquire().await.map_err(|_| closed())?.forget();
        Ok(())
    }

    /// Puts the command behind the others, and says what a caller that may write has to do.
    fn hand_in(&self, command: Command, may_write: bool) -> Result<Turn<'_>, TrailError> {
        let mut state = lock(&self.state);
        if state.closing {
            return Err(closed());
        }
        state.push(command);
        let light = match &state.writer {
            Seat::Free(writer) => state.is_light(writer),
            Seat::Taken | Seat::Gone => return Ok(Turn::Wait),
        };
        if !light || !may_write {
            drop(state);
            self.called.notify_one();
            return Ok(Turn::Wait);
        }
        if state.elected {
            return Ok(Turn::Wait);
        }
        if state.hasty == 0 {
            state.elected = true;
            return Ok(Turn::LetPass(Promise { desk: self, open: true }));
        }
        state.hasty -= 1;
        let (writer, batch) = (state.writer.take(), state.take(&self.room));
        Ok(Turn::Write(Pen { desk: self, writer, batch }))
    }

    /// The elected caller is back. It gets the writer, unless what waits was written by then or is for the thread.
    fn redeem(&self) -> Option<Pen<'_>> {
        let mut state = lock(&self.state);
        let crowd = state.waiting.len() >= CROWD;
        (state.hasty, state.haste) = if crowd { (0, 1) } else { (state.haste, LOOK.min(state.haste * 2)) };
        let light = match &state.writer {
            Seat::Free(writer) if !state.waiting.is_empty() => state.is_light(writer),
            _ => return None,
        };
        if !light {
            drop(state);
            self.called.notify_one();
            return None;
        }
        let (writer, batch) = (state.writer.take(), state.take(&self.room));
        Some(Pen { desk: self, writer, batch })
    }

    /// The thread's work: what callers leave to it, until the trail is closed; then the end of the trail.
    pub(crate) fn serve(&self) {
        while let Some(mut pen) = self.wait() {
            loop {
                pen.write();
                if pen.is_last() {
                    return pen.close();
                }
                if !pen.look_again(|_, _| true) {
                    break;
                }
            }
        }
    }

    /// Takes up the writer when there is something to do for the thread. `None` when there is no writer any more.
    fn wait(&self) -> Option<Pen<'_>> {
        let idle = |state: &mut State| match &state.writer {
            Seat::Free(_) => state.waiting.is_empty() && !state.closing,
            Seat::Taken => true,
            Seat::Gone => false,
        };
        let waited = self.called.wait_while(lock(&self.state), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let writer = state.writer.take()?;
        Some(Pen { desk: self, writer: Some(writer), batch: state.take(&self.room) })
    }

    /// Takes nothing more. The thread writes what was handed in, signs it if it can, and ends.
    pub(crate) fn close(&self) {
        self.room.close();
        lock(&self.state).closing = true;
        self.called.notify_one();
    }

    /// Calls the thread when something waits and nobody writes: the caller that promised to may have been put aside, its
    /// future neither polled nor dropped.
    pub(crate) fn rouse(&self) {
        let state = lock(&self.state);
        let left = !state.waiting.is_empty() && matches!(state.writer, Seat::Free(_));
        drop(state);
        if left {
            self.called.notify_one();
        }
    }

    /// The writer will not come back: who waits is told so.
    fn end(&self) {
        self.room.close();
        let mut state = lock(&self.state);
        (state.closing, state.writer) = (true, Seat::Gone);
        let unanswered = std::mem::take(&mut state.waiting);
        drop(state);
        drop(unanswered);
        self.shared.set_closed();
        self.called.notify_one();
    }
}

/// What a caller that handed in an entry has to do.
enum Turn<'a> {
    /// Nothing: somebody else writes it.
    Wait,
    /// Write.
    Write(Pen<'a>),
    /// Let others pass, then write for all.
    LetPass(Promise<'a>),
}

/// That the caller will come back to write. When it does not, because its future was dropped, the thread does it.
struct Promise<'a> {
    desk: &'a Desk,
    open: bool,
}

impl Promise<'_> {
    fn keep(mut self) {
        self.open = false;
        if let Some(pen) = self.desk.redeem() {
            pen.write_some();
        }
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if self.open {
            lock(&self.desk.state).elected = false;
            self.desk.called.notify_one();
        }
    }
}

/// The writer in the hands of somebody who writes. Never held across an await.
struct Pen<'a> {
    desk: &'a Desk,
    /// Missing only when it was put back or the trail is closed.
    writer: Option<Box<Writer>>,
    batch: Vec<Command>,
}

impl Pen<'_> {
    /// A caller's part of the work.
    fn write_some(mut self) {
        for round in 1.. {
            self.write();
            if !self.look_again(|state, writer| round < ROUNDS && state.is_light(writer)) {
                return;
            }
        }
    }

    fn write(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.work(&mut self.batch);
        }
    }

    /// Takes up what was handed in meanwhile, if any and if `may`; else puts the writer back. What is left is the
    /// thread's.
    fn look_again(&mut self, may: impl FnOnce(&State, &Writer) -> bool) -> bool {
        let mut state = lock(&self.desk.state);
        state.spare = std::mem::take(&mut self.batch);
        let Some(writer) = self.writer.take() else { return false };
        if !state.waiting.is_empty() && may(&state, &writer) {
            self.batch = state.take(&self.desk.room);
            self.writer = Some(writer);
            return true;
        }
        let left = !state.waiting.is_empty() || state.closing;
        state.writer = Seat::Free(writer);
        drop(state);
        if left {
            self.desk.called.notify_one();
        }
        false
    }

    /// Whether the trail is being closed and everything handed in was written.
    fn is_last(&self) -> bool {
        let state = lock(&self.desk.state);
        state.closing && state.waiting.is_empty()
    }

    /// Signs what is there and lets go of the files.
    fn close(mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.close();
        }
        self.desk.end();
    }
}

impl Drop for Pen<'_> {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            tracing::error!("the writer of the audit trail panicked; the trail is closed");
            self.desk.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;
    use crate::medium::{Medium, Ring};
    use crate::writer::WriterState;
    use crate::{SyncMode, TrailHealth};
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Waker};
    use std::thread;
    use strongroom_model::{Clock, Timestamp};

    #[derive(Default)]
    struct Fragile(AtomicBool);

    impl Clock for Fragile {
        fn now(&self) -> Timestamp {
            assert!(!self.0.load(Ordering::SeqCst), "the clock broke");
            Timestamp::from_secs(1)
        }
    }

    /// A desk without a thread: what gets done at it is done by callers.
    struct Scene {
        desk: Desk,
        ring: Arc<Ring>,
        clock: Arc<Fragile>,
    }

    impl Scene {
        fn new(sync: SyncMode) -> Self {
            let (ring, clock, shared) = (Arc::new(Ring::new(1_000)), Arc::new(Fragile::default()), Arc::default());
            let writer = Writer {
                medium: Medium::Memory(Arc::clone(&ring)),
                head: Head::START,
                unsigned: 0,
                durable: 0,
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                sync,
                shared: Arc::clone(&shared),
                seal: None,
                state: WriterState::Good,
                untold: None,
                pending: Vec::new(),
                buffer: Vec::new(),
            };
            Self { desk: Desk::new(writer, 64, shared), ring, clock }
        }

        async fn append(&self) -> Result<Receipt, TrailError> {
            self.desk.append(b"{\"kind\":\"event\"}".to_vec()).await
        }

        /// As if so many had written in haste that the next caller looks whether there is a crowd.
        fn let_pass(&self) {
            lock(&self.desk.state).hasty = 0;
        }

        fn lines(&self) -> usize {
            self.ring.recent(1_000).len()
        }

        fn health(&self) -> TrailHealth {
            self.desk.shared.health()
        }

        /// Lets the thread's work be done until the desk is closed.
        fn serve(&self) {
            thread::scope(|scope| {
                scope.spawn(|| self.desk.serve());
                self.desk.close();
            });
        }
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_caller_alone_writes_for_itself() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        for expected in 1..=LOOK {
            let Poll::Ready(receipt) = poll(pin!(scene.append())) else { panic!("it waits for somebody") };
            assert_eq!(receipt.unwrap().seq, u64::from(expected));
        }
    }

    #[test]
    fn what_has_to_be_synced_is_left_to_the_thread() {
        let scene = Scene::new(SyncMode::EachBatch);
        let mut waiting = pin!(scene.append());
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!(scene.lines(), 0);
        scene.serve();
        let Poll::Ready(receipt) = poll(waiting) else { panic!("not answered") };
        assert_eq!(receipt.unwrap().seq, 1);
    }

    #[test]
    fn in_a_crowd_one_lets_the_others_pass_and_writes_for_all() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        scene.let_pass();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let receipts = runtime.block_on(async {
            let (a, b) = tokio::join!(scene.append(), scene.append());
            [a, b].map(|receipt| receipt.unwrap().seq)
        });
        assert_eq!(receipts, [1, 2]);
        assert_eq!(lock(&scene.desk.state).hasty, 0, "two are a crowd");
        assert_eq!(runtime.block_on(scene.append()).unwrap().seq, 3);
        assert!(lock(&scene.desk.state).hasty > 0, "one is none");
    }

    #[test]
    fn behind_a_crowd_it_is_soon_looked_for_again_and_less_and_less_often() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let alone = || runtime.block_on(scene.append()).unwrap();
        let crowd = || runtime.block_on(async { tokio::join!(scene.append(), scene.append()) });
        let looks_behind = |mut callers: u32| {
            scene.let_pass();
            let (one, other) = crowd();
            assert!(one.is_ok() && other.is_ok());
            let mut looks = Vec::new();
            while callers > 0 {
                if lock(&scene.desk.state).hasty == 0 {
                    looks.push(callers);
                }
                alone();
                callers -= 1;
            }
            looks
        };
        assert_eq!(looks_behind(40), [40, 38, 35, 30, 21, 4]);
        assert_eq!(looks_behind(4), [4, 2], "a crowd makes it begin again");
    }

    #[test]
    fn an_entry_handed_in_is_written_though_its_caller_went_away() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        scene.let_pass();
        {
            let mut gone = Box::pin(scene.append());
            assert!(poll(gone.as_mut()).is_pending());
        }
        let mut other = pin!(scene.append());
        assert!(poll(other.as_mut()).is_pending());
        assert_eq!(scene.lines(), 0);
        scene.serve();
        let Poll::Ready(receipt) = poll(other) else { panic!("not answered") };
        assert_eq!(receipt.unwrap().seq, 2);
    }

    #[test]
    fn a_caller_that_is_never_polled_again_holds_up_nobody() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        scene.let_pass();
        let mut stalled = pin!(scene.append());
        assert!(poll(stalled.as_mut()).is_pending());
        thread::scope(|scope| {
            scope.spawn(|| scene.desk.serve());
            scene.desk.rouse();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            assert_eq!(runtime.block_on(scene.append()).unwrap().seq, 2);
            scene.desk.close();
        });
        let Poll::Ready(receipt) = poll(stalled) else { panic!("not answered") };
        assert_eq!(receipt.unwrap().seq, 1);
    }

    #[test]
    fn much_at_once_is_left_to_the_thread() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        let body = format!("{{\"kind\":\"event\",\"note\":\"{}\"}}", "x".repeat(LIGHT)).into_bytes();
        let mut waiting = pin!(scene.desk.append(body));
        assert!(poll(waiting.as_mut()).is_pending());
        scene.serve();
        assert!(poll(waiting).is_ready());
    }

    #[test]
    fn after_a_panic_of_the_writer_everybody_is_refused_and_nobody_waits() {
        let scene = Scene::new(SyncMode::EachCheckpoint);
        assert_eq!(scene.lines(), 0);
        scene.clock.0.store(true, Ordering::SeqCst);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = poll(pin!(scene.append()));
        }));
        assert!(panicked.is_err());
        scene.clock.0.store(false, Ordering::SeqCst);
        let Poll::Ready(refused) = poll(pin!(scene.append())) else { panic!("it waits in vain") };
        assert!(refused.is_err());
        assert!(!scene.health().writable);
        scene.serve();
    }
}
