//! Reads segments in whole lines, into memory that is kept from one reading to the next: what was filled once is not
//! cleared before it is filled again.
//!
//! Invariant: nothing is read past what the writer has published. Knows nothing of what stands in a line.

use crate::shared::Written;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Room that is kept between two readings; that of a line which needed more is given back.
const KEPT: usize = 512 * 1024;

/// A segment being read. Kept open, so that its rest can be read even after somebody deleted it.
pub(crate) struct Reading {
    pub(crate) first: u64,
    file: File,
    offset: u64,
}

impl Reading {
    /// Begins with the first line, which has this number.
    pub(crate) fn new(first: u64, file: File) -> Self {
        Self { first, file, offset: 0 }
    }

    /// Where the next line begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds the next whole lines: as many as fit into `size` bytes, or into twice as many and so on where the first one
    /// does not. How many bytes that were; none at the end of what may be read.
    pub(crate) fn read(&mut self, written: Written, size: usize, into: &mut Portion) -> io::Result<usize> {
        let end = if self.first == written.segment { written.len } else { self.file.metadata()?.len() };
        let left = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut size = size;
        loop {
            let room = into.room(left.min(size));
            self.file.read_exact_at(room, self.offset)?;
            if let Some(last) = memchr::memrchr(b'\n', room) {
                let read = last + 1;
                into.filled += read;
                self.offset += read as u64;
                return Ok(read);
            }
            if left <= size {
                return Ok(0);
            }
            size = size.saturating_mul(2);
        }
    }
}

/// Lines that were read, one behind the other.
#[derive(Default)]
pub(crate) struct Portion {
    /// As long as was needed at any time; the lines are at its beginning.
    bytes: Vec<u8>,
    filled: usize,
}

impl Portion {
    /// The lines, each with its line feed.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// Forgets all lines.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes.truncate(KEPT);
            self.bytes.shrink_to(KEPT);
        }
    }

    /// Forgets what was added since it was so long.
    pub(crate) fn cut(&mut self, len: usize) {
        self.filled = self.filled.min(len);
    }

    /// Adds a line that is in memory, and a line feed.
    pub(crate) fn push(&mut self, line: &[u8]) {
        if let Some((feed, text)) = self.room(line.len() + 1).split_last_mut() {
            text.copy_from_slice(line);
            *feed = b'\n';
            self.filled += line.len() + 1;
        }
    }

    /// Room behind the lines.
    fn room(&mut self, size: usize) -> &mut [u8] {
        let end = self.filled.saturating_add(size);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str) -> (Reading, Written) {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        (Reading::new(3, file), Written { next: 0, unsigned: 0, segment: 3, len: text.len() as u64 })
    }

    #[test]
    fn whole_lines_are_read_as_many_as_fit_and_more_at_once_where_one_is_longer() {
        let (mut reading, written) = segment("one\ntwo\na line that is longer\nfour\nhalf");
        let mut portion = Portion::default();
        let mut read = Vec::new();
        loop {
            portion.clear();
            if reading.read(written, 8, &mut portion).unwrap() == 0 {
                break;
            }
            read.push(String::from_utf8(portion.text().to_vec()).unwrap());
        }
        assert_eq!(read, ["one\ntwo\n", "a line that is longer\nfour\n"]);
        assert_eq!((reading.offset(), portion.len()), (35, 0));
    }

    #[test]
    fn nothing_is_read_past_what_is_written_nor_left_of_what_was_read_before() {
        let (mut reading, written) = segment("a first line\nb\nc\n");
        let mut portion = Portion::default();
        reading.read(Written { len: 13, ..written }, 64, &mut portion).unwrap();
        assert_eq!(portion.text(), b"a first line\n");
        assert_eq!(reading.read(Written { len: 14, ..written }, 64, &mut portion).unwrap(), 0);
        portion.clear();
        portion.push(b"of a ring");
        let before = portion.len();
        reading.read(written, 64, &mut portion).unwrap();
        assert_eq!(portion.text(), b"of a ring\nb\nc\n");
        portion.cut(before);
        assert_eq!(portion.text(), b"of a ring\n");
    }

    #[test]
    fn the_room_of_a_line_that_is_far_longer_than_others_is_given_back() {
        let (mut reading, written) = segment(&format!("{}\nb\n", "a".repeat(3 * KEPT)));
        let mut portion = Portion::default();
        let first = Written { len: written.len - 2, ..written };
        assert_eq!(reading.read(first, 64, &mut portion).unwrap(), 3 * KEPT + 1);
        portion.clear();
        assert!(portion.bytes.capacity() <= KEPT);
        assert_eq!(reading.read(written, 64, &mut portion).unwrap(), 2);
        assert_eq!(portion.text(), b"b\n");
    }
}
