//! Reads the trail behind the writer, from a given line on. Never reads past what the writer has published, since
//! bytes behind that may still be taken back.

use crate::chain::{Header, lines};
use crate::folder::{segment_name, segments};
use crate::shared::Written;
use crate::trail::Source;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// How much is read at once, unless one line is longer.
const CHUNK: usize = 64 * 1024;

/// A reader and its position.
pub(crate) struct Follower {
    source: Source,
    next: u64,
    open: Option<Open>,
    dropped: u64,
}

/// The segment being read. Kept open, so that its rest can be read even after somebody deleted it.
struct Open {
    first: u64,
    file: File,
    offset: u64,
}

/// Some lines, without their line feeds.
#[derive(Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    shared: Vec<Arc<str>>,
}

impl Chunk {
    /// The lines in order.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let read = lines(&self.bytes).filter(|line| !line.is_empty());
        read.chain(self.shared.iter().map(|line| line.as_bytes()))
    }
}

impl Follower {
    /// A reader whose first line will have this number, or a later one if that is gone.
    pub(crate) fn new(source: Source, next: u64) -> Self {
        Self { source, next, open: None, dropped: 0 }
    }

    /// The number of the next line to be read.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// How many lines were gone when it was their turn.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Reads on, at most to `written`. Empty when there is nothing more.
    pub(crate) fn read(&mut self, written: Written) -> io::Result<Chunk> {
        if self.next >= written.next {
            return Ok(Chunk::default());
        }
        match self.source.clone() {
            Source::Memory(ring) => {
                let (start, lines) = ring.read(self.next, 256);
                self.dropped += start.saturating_sub(self.next);
                self.next = start + lines.len() as u64;
                Ok(Chunk { shared: lines, ..Chunk::default() })
            }
            Source::Folder(folder) => self.read_folder(&folder, written),
        }
    }

    fn read_folder(&mut self, folder: &Path, written: Written) -> io::Result<Chunk> {
        loop {
            if self.open.is_none() && !self.find(folder)? {
                return Ok(Chunk::default());
            }
            let Some(open) = &mut self.open else { return Ok(Chunk::default()) };
            let bytes = open.read(written)?;
            if bytes.is_empty() {
                let over = open.first;
                if over >= written.segment || !self.find_after(folder, over)? {
                    return Ok(Chunk::default());
                }
                continue;
            }
            let bytes = self.count(bytes);
            if !bytes.is_empty() {
                return Ok(Chunk { bytes, ..Chunk::default() });
            }
        }
    }

    /// Opens the segment that holds the next line, or else the first one behind it.
    fn find(&mut self, folder: &Path) -> io::Result<bool> {
        let firsts = segments(folder)?;
        let holding = firsts.iter().rev().find(|first| **first <= self.next);
        let Some(first) = holding.or_else(|| firsts.first()).copied() else { return Ok(false) };
        self.enter(folder, first)
    }

    fn find_after(&mut self, folder: &Path, over: u64) -> io::Result<bool> {
        match segments(folder)?.into_iter().find(|first| *first > over) {
            Some(first) => self.enter(folder, first),
            None => Ok(false),
        }
    }

    fn enter(&mut self, folder: &Path, first: u64) -> io::Result<bool> {
        let file = File::open(folder.join(segment_name(first)))?;
        self.open = Some(Open { first, file, offset: 0 });
        Ok(true)
    }

    /// Leaves out lines from before the position, and moves it on.
    fn count(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let mut skip = 0;
        for line in lines(&bytes).filter(|line| !line.is_empty()) {
            let Some(header) = Header::parse(line) else { continue };
            if header.seq < self.next {
                skip += line.len() + 1;
                continue;
            }
            self.dropped += header.seq - self.next;
            self.next = header.seq.saturating_add(1);
        }
        if skip > 0 {
            bytes.drain(..skip.min(bytes.len()));
        }
        bytes
    }
}

impl Open {
    /// The next whole lines; empty at the end of what may be read.
    fn read(&mut self, written: Written) -> io::Result<Vec<u8>> {
        let end = if self.first == written.segment { written.len } else { self.file.metadata()?.len() };
        let mut size = CHUNK;
        loop {
            let left = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; left.min(size)];
            self.file.read_exact_at(&mut bytes, self.offset)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') {
                bytes.truncate(last + 1);
                self.offset += bytes.len() as u64;
                return Ok(bytes);
            }
            if left <= size {
                return Ok(Vec::new());
            }
            size = size.saturating_mul(2);
        }
    }
}
