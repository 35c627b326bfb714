use super::position::Position;
use crate::TrailError;
use crate::device::follow::{Chunk, Follower};
use crate::shared::Shared;
use crate::trail::Source;
use std::sync::Arc;
use std::time::Duration;

/// So much is given at once, unless one line is longer.
const PORTION: usize = 256 * 1024;

/// Reads the trail behind its writer, for one destination.
pub struct Reader {
    source: Source,
    shared: Arc<Shared>,
    follower: Follower,
    position: Position,
    saved: Option<u64>,
    nudges: u64,
}

/// A line with its number.
#[derive(Clone, Copy)]
pub struct Numbered<'a> {
    /// Its number.
    pub seq: u64,
    /// Its text, without line feed.
    pub text: &'a [u8],
}

/// What was read. Its memory is used again by the next reading into it.
#[derive(Default)]
pub struct Lines {
    chunk: Chunk,
    /// The number behind the last one.
    pub next: u64,
    /// Lines that are written and not read yet.
    pub behind: u64,
    /// Lines that were gone when it was their turn, since the reader was made.
    pub dropped: u64,
}

impl Lines {
    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = Numbered<'_>> {
        self.chunk.lines().filter_map(|(seq, text)| Some(Numbered { seq: seq?, text }))
    }

    /// The lines that are text, in order, with their numbers.
    pub fn texts(&self) -> impl Iterator<Item = (u64, &str)> {
        self.chunk.texts().filter_map(|(seq, text)| Some((seq?, text?)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Reader {
    pub(super) fn new(source: Source, shared: Arc<Shared>, position: Position, next: u64) -> Self {
        let follower = Follower::new(source.clone(), next);
        Self { source, shared, follower, position, saved: None, nudges: 0 }
    }

    /// The number of the next line it will give.
    pub fn next(&self) -> u64 {
        self.follower.next()
    }

    /// Reads on, into `lines` in place of what is there; waits for lines at most so long, and gives none when there are
    /// none. Blocks.
    pub fn read(&mut self, lines: &mut Lines, patience: Duration) -> Result<(), TrailError> {
        let written = self.shared.wait_for(self.follower.next(), &mut self.nudges, patience);
        lines.chunk.clear();
        let failed =
            |source| TrailError::Io { what: format!("cannot read the audit trail for a copy of it: {source}"), source };
        while lines.chunk.len() < PORTION && self.follower.read(written, &mut lines.chunk).map_err(failed)? {}
        lines.next = self.follower.next();
        lines.behind = written.next.saturating_sub(lines.next);
        lines.dropped = self.follower.dropped();
        Ok(())
    }

    /// Goes to this line, forwards or backwards.
    pub fn go_to(&mut self, next: u64) {
        self.follower = Follower::new(self.source.clone(), next.min(self.shared.written().next));
    }

    /// Notes durably that everything before this line was taken. Blocks.
    pub fn save(&mut self, next: u64) -> Result<(), TrailError> {
        if self.saved == Some(next) {
            return Ok(());
        }
        self.position.save(next).map_err(|source| TrailError::Io {
            what: format!("cannot note how far a copy of the audit trail is: {source}"),
            source,
        })?;
        self.saved = Some(next);
        Ok(())
    }
}
