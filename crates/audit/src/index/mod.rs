//! What the trail is asked through: an index that is derived from it, segment by segment, and holds no fact of its own.
//!
//! A thread follows what is written, looking ten times a second (or at once when somebody asks), so that no request waits
//! for it or wakes it. The index of a complete segment is a file beside the trail and a function of that segment's bytes;
//! that of the segment being written is in memory and made anew at each start from that segment alone. So a crash leaves
//! nothing to mend, and [`check`](check_index) finds every change by making the files again. The index names lines; answers
//! are read from the lines themselves.

pub(crate) mod builder;
mod check;
pub(crate) mod codec;
mod file;
mod follow;
mod known;
pub(crate) mod line;
pub(crate) mod part;
mod skim;
pub(crate) mod term;

pub use check::{IndexFinding, IndexReport, check_index, rebuild_index};
pub use line::{Line, LineReader, object_of, path_object};

use crate::TrailError;
use crate::archive::Absence;
use crate::archive::ledger::{Ledger, bounds};
use crate::shared::Shared;
use crate::trail::{Source, lock};
use builder::Builder;
use follow::Follow;
use part::Part;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use strongroom_model::Timestamp;

/// How often the thread looks for new lines when nobody asks.
const LOOK: Duration = Duration::from_millis(100);
/// How long it waits after an error.
const REST: Duration = Duration::from_secs(1);

/// The index of a trail that is open.
pub struct Index {
    inside: Arc<Inside>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What questions and the thread share.
pub(crate) struct Inside {
    pub(crate) source: Source,
    pub(crate) shared: Arc<Shared>,
    state: RwLock<State>,
    /// Held while files are read whose names were taken from the state before, and while some are removed.
    files: RwLock<()>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

/// The parts in order; the last one grows.
pub(crate) struct State {
    pub(crate) parts: Vec<Part>,
    pub(crate) live: Option<Builder>,
    /// What was archived.
    pub(crate) ledger: Ledger,
}

impl State {
    /// What nothing can be answered about, here. A trail in memory forgets without a word, as it is made to.
    pub(crate) fn absences(&self, source: &Source) -> Vec<Absence> {
        match source {
            Source::Memory(_) => Vec::new(),
            Source::Folder(_) => {
                let live = self.live.as_ref().filter(|live| live.next() > live.first());
                self.ledger.absences(bounds(&self.parts, live.map(|live| (live.first(), live.next()))))
            }
        }
    }
}

#[derive(Default)]
struct Progress {
    /// All lines before this one are in the index.
    next: u64,
    wanted: u64,
    error: Option<String>,
    stop: bool,
}

impl Index {
    /// Starts the thread. Files that are there are taken as they are; what they lack is made by the thread.
    pub(crate) fn start(source: Source, shared: Arc<Shared>) -> std::io::Result<Self> {
        let ledger = match source.folder() {
            Some(folder) => Ledger::load(folder, &[])?,
            None => Ledger::default(),
        };
        for (file, why) in &ledger.bad {
            tracing::warn!(file, why, "a manifest of archived segments is not believed");
        }
        let state = RwLock::new(State { parts: Vec::new(), live: None, ledger });
        let (progress, moved, files) = (Mutex::default(), Condvar::new(), RwLock::default());
        let inside = Arc::new(Inside { source, shared, state, files, progress, moved });
        let thread = thread::Builder::new().name("trail-index".to_owned()).spawn({
            let inside = Arc::clone(&inside);
            move || Follow::run(&inside)
        })?;
        Ok(Self { inside, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn inside(&self) -> &Arc<Inside> {
        &self.inside
    }

    /// The number before which all lines are in the index.
    pub fn position(&self) -> u64 {
        lock(&self.inside.progress).next
    }

    /// Ends the thread and waits for it; what it has not written is made at the next start.
    pub(crate) fn stop(&self) {
        lock(&self.inside.progress).stop = true;
        self.inside.moved.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// The file of the index for the segment that begins with this line.
pub(crate) fn file_of(trail: &Path, first: u64) -> PathBuf {
    trail.join(file::FOLDER).join(file::file_name(first))
}

impl Drop for Index {
    fn drop(&mut self) {
        lock(&self.inside.progress).stop = true;
        self.inside.moved.notify_all();
    }
}

impl Inside {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the files that the state names from being removed.
    pub(crate) fn files_to_read(&self) -> RwLockReadGuard<'_, ()> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody reads files.
    pub(crate) fn files_to_change(&self) -> RwLockWriteGuard<'_, ()> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything that is written by now is in the index; the number behind it. Blocks.
    pub(crate) fn catch_up(&self, at_most: Duration) -> Result<u64, TrailError> {
        let target = self.shared.written().next;
        let mut progress = lock(&self.progress);
        if progress.next >= target {
            return Ok(target);
        }
        progress.wanted = progress.wanted.max(target);
        self.moved.notify_all();
        let behind = |progress: &mut Progress| progress.next < target && progress.error.is_none() && !progress.stop;
        let (progress, _) =
            self.moved.wait_timeout_while(progress, at_most, behind).unwrap_or_else(PoisonError::into_inner);
        if progress.next >= target {
            return Ok(target);
        }
        let (done, why) = (progress.next, progress.error.clone());
        drop(progress);
        Err(TrailError::Behind { done, target, why: why.unwrap_or_else(|| "it is still being made".to_owned()) })
    }

    /// As [`Inside::catch_up`], but what is reached by then will do: the number behind it, and how many lines lack.
    pub(crate) fn reach(&self, at_most: Duration) -> Result<(u64, u64), TrailError> {
        match self.catch_up(at_most) {
            Err(TrailError::Behind { done, target, .. }) => Ok((done, target.saturating_sub(done))),
            reached => reached.map(|end| (end, 0)),
        }
    }

    /// Says how far the index is now; nearer the beginning than before when a part has to be made anew.
    fn tell(&self, next: u64, error: Option<String>) {
        let mut progress = lock(&self.progress);
        (progress.next, progress.error) = (next, error);
        drop(progress);
        self.moved.notify_all();
    }

    /// The time of the latest entry in the index.
    pub(crate) fn latest(&self) -> Timestamp {
        let state = self.read();
        let live = state.live.as_ref().map(|live| live.facts()).filter(|facts| facts.rows > 0);
        let facts = live.or_else(|| state.parts.iter().rev().map(Part::facts).find(|facts| facts.rows > 0));
        Timestamp::from_nanos(facts.map_or(0, |facts| facts.latest))
    }

    /// The number before which all lines are in the parts.
    fn reached(&self) -> u64 {
        let state = self.read();
        let complete = || state.parts.last().map(Part::next);
        state.live.as_ref().map(Builder::next).or_else(complete).unwrap_or_default()
    }

    /// Waits until there is a reason to look again; false when it is time to end.
    fn wait(&self, at_most: Duration) -> bool {
        let progress = lock(&self.progress);
        let idle = |progress: &mut Progress| progress.wanted <= progress.next && !progress.stop;
        let (progress, _) =
            self.moved.wait_timeout_while(progress, at_most, idle).unwrap_or_else(PoisonError::into_inner);
        !progress.stop
    }

    fn is_stopped(&self) -> bool {
        lock(&self.progress).stop
    }
}
