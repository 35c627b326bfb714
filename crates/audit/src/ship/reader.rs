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
        Self { shared, follower: Follower::new(source, next), position, saved: None, nudges: 0 }
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
        while lines.chunk.len() < PORTION {
            match self.follower.read(written, &mut lines.chunk) {
                Ok(true) => {}
                Ok(false) => break,
                // What was read before it is given; the next reading meets the error again.
                Err(_) if lines.chunk.len() > 0 => break,
                Err(source) => return Err(failed(source)),
            }
        }
        lines.next = self.follower.next();
        lines.behind = written.next.saturating_sub(lines.next);
        lines.dropped = self.follower.dropped();
        Ok(())
    }

    /// Goes to this line, forwards or backwards.
    pub fn go_to(&mut self, next: u64) {
        self.follower.go_to(next.min(self.shared.written().next));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;
    use crate::folder::segment_name;
    use std::fs;
    use strongroom_model::Timestamp;

    fn numbers(lines: &Lines) -> Vec<u64> {
        lines.iter().map(|line| line.seq).collect()
    }

    #[test]
    fn lines_read_before_an_error_are_given_and_none_is_passed_over_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut head, mut first, mut second) = (Head::START, Vec::new(), Vec::new());
        for number in 0..6 {
            let text = if number < 3 { &mut first } else { &mut second };
            head.push(text, b"{\"kind\":\"event\"}", Timestamp::from_secs(1), "T").unwrap();
        }
        // Of the second file a part is missing.
        let (there, missing) = second.split_at(second.len() / 2);
        let path = folder.path().join(segment_name(3));
        fs::write(folder.path().join(segment_name(0)), &first).unwrap();
        fs::write(&path, there).unwrap();
        let shared = Arc::new(Shared::default());
        shared.publish(6, 6, (3, second.len() as u64));
        let source = Source::Folder(folder.path().to_owned());
        let position = Position::File(folder.path().join("reader-copy.cursor"));
        let (mut reader, mut lines) = (Reader::new(source, shared, position, 0), Lines::default());
        reader.read(&mut lines, Duration::ZERO).unwrap();
        assert_eq!((numbers(&lines), lines.next), (vec![0, 1, 2], 3));
        assert!(reader.read(&mut lines, Duration::ZERO).is_err());
        fs::write(&path, [there, missing].concat()).unwrap();
        reader.read(&mut lines, Duration::ZERO).unwrap();
        assert_eq!((numbers(&lines), lines.next, lines.behind), (vec![3, 4, 5], 6, 0));
    }
}
