//! Reads single lines of the trail by their places.

use crate::folder::segment_name;
use crate::resume::MAX_LINE;
use crate::trail::Source;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Most lines are shorter.
const USUAL: usize = 2_048;

/// The lines of a trail; keeps the segment open that was read last.
pub(crate) struct Lines {
    source: Source,
    open: Option<(u64, File)>,
}

impl Lines {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, open: None }
    }

    /// The line at a place of the segment that begins with `first`, without its line feed. `None` when it is not there any
    /// more.
    pub(crate) fn read(&mut self, first: u64, place: u64) -> io::Result<Option<Vec<u8>>> {
        match self.source.clone() {
            Source::Memory(ring) => {
                let (start, lines) = ring.read(first + place, 1);
                let line = lines.into_iter().next().filter(|_| start == first + place);
                Ok(line.map(|line| line.as_bytes().to_vec()))
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
                read_line(file, place)
            }
        }
    }
}

fn read_line(file: &File, place: u64) -> io::Result<Option<Vec<u8>>> {
    let mut size = USUAL;
    loop {
        let mut bytes = vec![0; size];
        let read = read_some(file, &mut bytes, place)?;
        bytes.truncate(read);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            bytes.truncate(end);
            return Ok(Some(bytes));
        }
        if read < size || size as u64 > MAX_LINE {
            return Ok(None);
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
