//! Where the writer puts lines: a folder of segments, or a ring in memory. Both take whole batches, and both either
//! take a batch entirely or leave no byte of it behind.

use crate::folder::{Folder, Segment};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The latest lines, for a trail that is kept in memory.
pub(crate) struct Ring {
    lines: Mutex<Lines>,
    capacity: usize,
}

#[derive(Default)]
struct Lines {
    next: u64,
    kept: VecDeque<Arc<str>>,
}

impl Ring {
    /// A ring that forgets all but the latest `capacity` lines.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { lines: Mutex::new(Lines::default()), capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, batch: &[u8]) {
        let mut lines = self.lock();
        for line in String::from_utf8_lossy(batch).lines() {
            lines.kept.push_back(line.into());
            lines.next += 1;
        }
        let surplus = lines.kept.len().saturating_sub(self.capacity);
        lines.kept.drain(..surplus);
    }

    /// The last `count` lines, oldest first.
    pub(crate) fn recent(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        let skip = lines.kept.len().saturating_sub(count);
        lines.kept.iter().skip(skip).map(|line| line.to_string()).collect()
    }

    /// Up to `count` lines from number `from` on, and the number of the first of them: a later one than asked for
    /// when the ring has forgotten some.
    pub(crate) fn read(&self, from: u64, count: usize) -> (u64, Vec<Arc<str>>) {
        let lines = self.lock();
        let oldest = lines.next - lines.kept.len() as u64;
        let start = from.max(oldest);
        let skip = usize::try_from(start - oldest).unwrap_or(usize::MAX);
        (start, lines.kept.iter().skip(skip).take(count).cloned().collect())
    }
}

/// What the writer writes to.
pub(crate) enum Medium {
    /// Segments in a folder; the segment is missing until the first line is written, and when it was taken away.
    Folder {
        /// The claim on the folder.
        folder: Folder,
        /// The segment being written.
        segment: Option<Segment>,
        /// Size from which on a new segment is begun.
        limit: u64,
    },
    /// A ring, which always has room.
    Memory(Arc<Ring>),
}

/// Why a batch could not be written.
pub(crate) enum WriteFailure {
    /// Nothing of it is left; a later try may go well.
    Passing(io::Error),
    /// A part of it may be left, so nothing may ever be written behind it.
    Final(io::Error),
}

impl Medium {
    /// Appends whole lines with one system call, as a rule. After an error none of them is there.
    pub(crate) fn write(&mut self, batch: &[u8], first: u64) -> Result<(), WriteFailure> {
        let (folder, segment) = match self {
            Medium::Memory(ring) => {
                ring.extend(batch);
                return Ok(());
            }
            Medium::Folder { folder, segment, .. } => (folder, segment),
        };
        let segment = match segment {
            Some(segment) => segment,
            None => {
                folder.restore().map_err(WriteFailure::Passing)?;
                segment.insert(Segment::create(&folder.path, first).map_err(WriteFailure::Passing)?)
            }
        };
        if let Err(error) = (&*segment.file).write_all(batch) {
            return match segment.file.set_len(segment.len) {
                Ok(()) => Err(WriteFailure::Passing(error)),
                Err(_) => Err(WriteFailure::Final(error)),
            };
        }
        segment.len += batch.len() as u64;
        Ok(())
    }

    /// Whether the next batch belongs into a new segment.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Medium::Memory(_) => false,
            Medium::Folder { segment, limit, .. } => segment.as_ref().is_some_and(|segment| segment.len >= *limit),
        }
    }

    /// Whether a batch can be written as things stand: no segment has to be begun for it.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Medium::Memory(_) => true,
            Medium::Folder { segment, limit, .. } => segment.as_ref().is_some_and(|segment| segment.len < *limit),
        }
    }

    /// Begins a new segment, to start with line `first`.
    pub(crate) fn rotate(&mut self, first: u64) -> io::Result<()> {
        if let Medium::Folder { folder, segment, .. } = self {
            *segment = Some(Segment::create(&folder.path, first)?);
        }
        Ok(())
    }

    /// Writes no more to a segment that was taken away; the next batch begins another.
    pub(crate) fn let_go(&mut self) {
        if let Medium::Folder { segment, .. } = self {
            *segment = None;
        }
    }

    /// Makes everything written so far survive a power failure.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file().map_or(Ok(()), |file| file.sync_data())
    }

    /// The file to be synced by somebody else.
    pub(crate) fn file(&self) -> Option<Arc<File>> {
        match self {
            Medium::Folder { segment: Some(segment), .. } => Some(Arc::clone(&segment.file)),
            _ => None,
        }
    }

    /// The name of the segment being written when it no longer leads to it: deleted, moved away or replaced.
    pub(crate) fn missing_file(&self) -> Option<String> {
        match self {
            Medium::Folder { segment: Some(segment), .. } if !segment.is_in_place() => {
                Some(segment.path().display().to_string())
            }
            _ => None,
        }
    }

    /// The segment being written (by its first line) and how many bytes of it are whole lines.
    pub(crate) fn position(&self) -> (u64, u64) {
        match self {
            Medium::Folder { segment: Some(segment), .. } => (segment.first, segment.len),
            _ => (0, 0),
        }
    }
}
