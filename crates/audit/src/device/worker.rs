//! The thread of one device: reads the trail, puts it into Vault's form, writes it out. May wait for its far end as
//! long as that takes; nobody waits for it. It judges nothing: whether it counts as failed is decided by who watches.

use super::cursor::Cursor;
use super::follow::{Chunk, Follower};
use super::render::Renderer;
use super::sink::Sink;
use crate::shared::Shared;
use crate::trail::{Source, lock};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for lines before looking around.
const IDLE: Duration = Duration::from_secs(1);
/// How long to wait before trying a full pipe again.
const FULL: Duration = Duration::from_millis(20);
/// How long to wait after an error.
const BROKEN: Duration = Duration::from_millis(250);
/// How often the position is saved.
const SAVE: Duration = Duration::from_secs(1);

/// What the thread and its owner tell each other.
#[derive(Default)]
pub(crate) struct Control(Mutex<State>);

#[derive(Default)]
struct State {
    stop: bool,
    forget: bool,
    drain: bool,
    reopen: bool,
    next: u64,
    bytes: u64,
    dropped: u64,
    error: Option<String>,
    notes: Vec<String>,
}

impl Control {
    /// Ends the thread as soon as it can.
    pub(crate) fn stop(&self) {
        lock(&self.0).stop = true;
    }

    /// Ends the thread and removes its position.
    pub(crate) fn stop_and_forget(&self) {
        let mut state = lock(&self.0);
        state.stop = true;
        state.forget = true;
    }

    /// Ends the thread once it has caught up.
    pub(crate) fn drain(&self) {
        lock(&self.0).drain = true;
    }

    /// Opens the file anew before the next line.
    pub(crate) fn reopen(&self) {
        lock(&self.0).reopen = true;
    }

    /// The next line it will deliver, and bytes written in all: when neither moves, it is stuck.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let state = lock(&self.0);
        (state.next, state.bytes)
    }

    /// Lines it will never get.
    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.0).dropped
    }

    /// What hinders it.
    pub(crate) fn error(&self) -> Option<String> {
        lock(&self.0).error.clone()
    }

    /// What it met, each thing told once.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0).notes)
    }

    fn is_stopped(&self) -> bool {
        lock(&self.0).stop
    }
}

/// Everything the thread works with.
pub(crate) struct Worker {
    control: Arc<Control>,
    shared: Arc<Shared>,
    follower: Follower,
    chunk: Chunk,
    renderer: Renderer,
    sink: Sink,
    cursor: Cursor,
    saved: (u64, Instant),
    /// Rendered lines not yet written out, and how much of them is.
    outbox: Vec<u8>,
    sent: usize,
    failing: bool,
}

impl Worker {
    /// One that goes on where the device of this path and file stopped, or else begins with what comes next. `hindered`
    /// is why its far end could not be opened.
    pub(crate) fn new(
        cursor: Cursor,
        renderer: Renderer,
        sink: Sink,
        shared: Arc<Shared>,
        source: Source,
        hindered: Option<String>,
    ) -> Self {
        let end = shared.written().next;
        let next = cursor.load().filter(|next| *next <= end).unwrap_or(end);
        let failing = hindered.is_some();
        let control = Control(Mutex::new(State { next, error: hindered, ..State::default() }));
        Self {
            control: Arc::new(control),
            shared,
            follower: Follower::new(source, next),
            chunk: Chunk::default(),
            renderer,
            sink,
            cursor,
            saved: (u64::MAX, Instant::now()),
            outbox: Vec::new(),
            sent: 0,
            failing,
        }
    }

    /// What its owner holds on to.
    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        self.save();
        let mut nudges = 0;
        while !self.control.is_stopped() {
            self.reopen_if_asked();
            if self.outbox.is_empty() && !self.fill(&mut nudges) {
                break;
            }
            if !self.outbox.is_empty() {
                self.send();
            }
            if self.saved.1.elapsed() >= SAVE {
                self.save();
            }
        }
        self.save();
        if lock(&self.control.0).forget {
            self.cursor.forget();
        }
    }

    /// Fetches and renders the next lines. False when it has caught up and was told to end then.
    fn fill(&mut self, nudges: &mut u64) -> bool {
        // The nudge that came with the order to end may have been taken for one about lines.
        let patience = if lock(&self.control.0).drain { Duration::ZERO } else { IDLE };
        let written = self.shared.wait_for(self.follower.next(), nudges, patience);
        self.chunk.clear();
        if let Err(error) = self.follower.read(written, &mut self.chunk) {
            self.rest(format!("it cannot read the trail: {error}"));
            return true;
        }
        for (_, line) in self.chunk.lines() {
            self.renderer.render(line, &mut self.outbox);
        }
        if self.outbox.is_empty() {
            self.delivered();
        }
        let caught_up = self.outbox.is_empty() && self.follower.next() >= written.next;
        !(caught_up && lock(&self.control.0).drain)
    }

    /// Writes out a part of the outbox.
    fn send(&mut self) {
        if self.sent == 0 && self.sink.is_lost() && !self.replace_file() {
            return;
        }
        match self.sink.write(self.outbox.get(self.sent..).unwrap_or_default()) {
            Ok(count) => {
                self.sent += count;
                let mut state = lock(&self.control.0);
                state.bytes += count as u64;
                state.notes.extend(self.sink.take_note());
                drop(state);
                if self.sent >= self.outbox.len() {
                    self.outbox.clear();
                    self.sent = 0;
                    self.delivered();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                lock(&self.control.0).error = Some("its reader does not read".to_owned());
                thread::park_timeout(FULL);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// After an error the file may be another one (a full disk was mended by deleting it, a pipe has a new reader).
    fn fail(&mut self, error: &io::Error) {
        self.rest(error.to_string());
        if error.kind() == ErrorKind::BrokenPipe || self.sink.is_lost() {
            self.replace_file();
        }
    }

    /// Opens the file that goes by the name now. The line that was half written to the old one is written again.
    fn replace_file(&mut self) -> bool {
        self.rewind();
        match self.sink.reopen() {
            Ok(()) => {
                if !self.failing {
                    lock(&self.control.0).notes.push(self.sink.replaced().to_owned());
                }
                true
            }
            Err(error) => {
                self.rest(error.to_string());
                false
            }
        }
    }

    fn reopen_if_asked(&mut self) {
        if !std::mem::take(&mut lock(&self.control.0).reopen) || !self.sink.is_file() {
            return;
        }
        self.rewind();
        if let Err(error) = self.sink.reopen() {
            self.rest(error.to_string());
        }
    }

    /// Goes back to the beginning of the line being written.
    fn rewind(&mut self) {
        let sent = self.outbox.get(..self.sent).unwrap_or_default();
        self.sent = sent.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    }

    fn rest(&mut self, error: String) {
        self.failing = true;
        lock(&self.control.0).error = Some(error);
        thread::park_timeout(BROKEN);
    }

    fn delivered(&mut self) {
        self.failing = false;
        let mut state = lock(&self.control.0);
        state.next = self.follower.next();
        state.dropped = self.follower.dropped() + self.sink.dropped();
        state.error = None;
    }

    /// Notes how far it is. A crash before that repeats lines, and leaves none out.
    fn save(&mut self) {
        let next = self.control.progress().0;
        if next != self.saved.0 {
            let _ = self.cursor.save(next);
        }
        self.saved = (next, Instant::now());
    }
}
