//! Reads single lines of the trail by their places, with what the line behind says of them.

use crate::chain::{Hash, Header, LineKind, hash};
use crate::folder::segment_name;
use crate::index::builder::Facts;
use crate::resume::MAX_LINE;
use crate::trail::Source;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Most lines are shorter, with the beginning of the next.
const USUAL: usize = 2_048;
/// The beginning of a line up to its kind is shorter than this.
const BEGINNING: usize = 256;

/// A line as it is now.
pub(crate) struct Found {
    /// Without its line feed.
    pub(crate) text: Vec<u8>,
    /// By which hash the next line of the segment names it, where there is one.
    named: Option<Hash>,
    /// Whether it can have been changed behind the server's back.
    on_disk: bool,
}

impl Found {
    /// Whether it is the line that was written, as far as the line behind it, or the index for the segment's last one,
    /// remembers it. Whoever changed all lines up to the next checkpoint is found by `verify`.
    pub(crate) fn is_genuine(&self, of: &Facts) -> bool {
        if !self.on_disk {
            return true;
        }
        let Some(header) = Header::parse(&self.text) else { return false };
        let remembered = match self.named {
            Some(named) => Some(named),
            None => (header.seq.checked_add(1) == of.first.checked_add(of.lines)).then_some(of.last),
        };
        header.kind == LineKind::Entry && remembered == Some(hash(&self.text))
    }
}

/// The lines of a trail; keeps the segment open that was read last.
pub(crate) struct Lines {
    source: Source,
    open: Option<(u64, File)>,
}

impl Lines {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, open: None }
    }

    /// The line at a place of the segment that begins with `first`. `None` when the segment is not there any more.
    pub(crate) fn read(&mut self, first: u64, place: u64) -> io::Result<Option<Found>> {
        match self.source.clone() {
            Source::Memory(ring) => {
                let (start, lines) = ring.read(first + place, 1);
                let line = lines.into_iter().next().filter(|_| start == first + place);
                Ok(line.map(|line| Found { text: line.as_bytes().to_vec(), named: None, on_disk: false }))
            }
            Source::Folder(folder) => {
                if self.open.as_ref().is_none_or(|(open, _)| *open != first) {
                    self.open = match File::open(folder.join(segment_name(first))) {
                        Ok(file) => Some((first, file)),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                        Err(error) => return Err(error),
                    };
                }
                let Some((_, file)) = &self.open else { return Ok(None) };
                read_line(file, place).map(Some)
            }
        }
    }
}

/// A place at which no line ends gives a line that is none, and so is not genuine.
fn read_line(file: &File, place: u64) -> io::Result<Found> {
    let mut size = USUAL;
    loop {
        let mut bytes = vec![0; size];
        let read = read_some(file, &mut bytes, place)?;
        bytes.truncate(read);
        let is_end = read < size;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if let Some(end) = end.filter(|end| is_end || end + BEGINNING < read) {
            let behind = bytes.get(end + 1..).and_then(Header::parse);
            let named = behind.and_then(|next| next.named());
            bytes.truncate(end);
            return Ok(Found { text: bytes, named, on_disk: true });
        }
        if is_end || size as u64 > MAX_LINE {
            return Ok(Found { text: Vec::new(), named: None, on_disk: true });
        }
        size *= 4;
    }
}

fn read_some(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, place + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
