use super::position::Position;
use crate::TrailError;
use crate::chain::Header;
use crate::device::follow::Follower;
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
pub struct Numbered {
    /// Its number.
    pub seq: u64,
    /// Its text, without line feed.
    pub text: Vec<u8>,
}

/// What was read.
#[derive(Default)]
pub struct Lines {
    /// The lines in order.
    pub lines: Vec<Numbered>,
    /// The number behind the last one.
    pub next: u64,
    /// Lines that are written and not read yet.
    pub behind: u64,
    /// Lines that were gone when it was their turn, since the reader was made.
    pub dropped: u64,
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

    /// Reads on; waits for lines at most so long, and gives none when there are none. Blocks.
    pub fn read(&mut self, patience: Duration) -> Result<Lines, TrailError> {
        let written = self.shared.wait_for(self.follower.next(), &mut self.nudges, patience);
        let (mut lines, mut size) = (Vec::new(), 0);
        while size < PORTION {
            let chunk = self.follower.read(written).map_err(|source| TrailError::Io {
                what: format!("cannot read the audit trail for a copy of it: {source}"),
                source,
            })?;
            let before = lines.len();
            for line in chunk.lines() {
                let Some(header) = Header::parse(line) else { continue };
                size += line.len();
                lines.push(Numbered { seq: header.seq, text: line.to_vec() });
            }
            if lines.len() == before {
                break;
            }
        }
        let next = self.follower.next();
        let behind = written.next.saturating_sub(next);
        Ok(Lines { lines, next, behind, dropped: self.follower.dropped() })
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
