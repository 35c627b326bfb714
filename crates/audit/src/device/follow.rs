//! Reads the trail behind the writer, from a given line on. Never reads past what the writer has published, since
//! bytes behind that may still be taken back.

use crate::chain::{Header, lines, spelling};
use crate::folder::{segment_name, segments};
use crate::reading::{Portion, Reading};
use crate::shared::Written;
use crate::trail::Source;
use std::fs::File;
use std::io;
use std::path::Path;

/// How much is read at once, unless one line is longer.
const CHUNK: usize = 64 * 1024;

/// A reader and its position.
pub(crate) struct Follower {
    source: Source,
    next: u64,
    open: Option<Reading>,
    dropped: u64,
}

/// Some lines, without their line feeds, in memory that is kept from one reading to the next.
#[derive(Default)]
pub(crate) struct Chunk {
    portion: Portion,
    spans: Vec<Span>,
}

/// Where a line lies.
#[derive(Clone, Copy)]
struct Span {
    /// Its number; none where its beginning is damaged.
    seq: Option<u64>,
    begin: usize,
    end: usize,
}

impl Chunk {
    /// Forgets its lines.
    pub(crate) fn clear(&mut self) {
        self.portion.clear();
        self.spans.clear();
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.portion.len()
    }

    /// The lines in order, with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (Option<u64>, &[u8])> {
        let text = self.portion.text();
        self.spans.iter().map(|span| (span.seq, text.get(span.begin..span.end).unwrap_or_default()))
    }

    /// As [`Chunk::lines`], where they are UTF-8.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Option<u64>, Option<&str>)> {
        let spelling = spelling(self.portion.text());
        self.spans.iter().map(move |span| (span.seq, spelling(span.begin..span.end)))
    }

    fn push(&mut self, line: &[u8]) {
        let begin = self.portion.len();
        self.portion.push(line);
        let seq = Header::parse(line).map(|header| header.seq);
        self.spans.push(Span { seq, begin, end: begin + line.len() });
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

    /// Goes on with this line, or a later one if that is gone.
    pub(crate) fn go_to(&mut self, next: u64) {
        (self.next, self.open) = (next, None);
    }

    /// How many lines were gone when it was their turn.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Adds the next lines, at most up to `written`. False when there is nothing more.
    pub(crate) fn read(&mut self, written: Written, chunk: &mut Chunk) -> io::Result<bool> {
        if self.next >= written.next {
            return Ok(false);
        }
        match self.source.clone() {
            Source::Memory(ring) => {
                let (start, lines) = ring.read(self.next, 256);
                self.dropped += start.saturating_sub(self.next);
                self.next = start + lines.len() as u64;
                lines.iter().for_each(|line| chunk.push(line.as_bytes()));
                Ok(!lines.is_empty())
            }
            Source::Folder(folder) => self.read_folder(&folder, written, chunk),
        }
    }

    fn read_folder(&mut self, folder: &Path, written: Written, chunk: &mut Chunk) -> io::Result<bool> {
        loop {
            if self.open.is_none() && !self.find(folder)? {
                return Ok(false);
            }
            let Some(open) = &mut self.open else { return Ok(false) };
            let from = chunk.len();
            if open.read(written, CHUNK, &mut chunk.portion)? == 0 {
                let over = open.first;
                if over >= written.segment || !self.find_after(folder, over)? {
                    return Ok(false);
                }
            } else if self.count(chunk, from) {
                return Ok(true);
            } else {
                // Who begins far behind a segment's first line passes over much, which need not be kept.
                chunk.portion.cut(from);
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
        self.open = Some(Reading::new(first, file));
        Ok(true)
    }

    /// Finds the lines from `from` on, without those from before the position, which it moves on. Whether there are any.
    fn count(&mut self, chunk: &mut Chunk, from: usize) -> bool {
        let (before, mut begin) = (chunk.spans.len(), from);
        for line in lines(chunk.portion.text().get(from..).unwrap_or_default()) {
            let end = begin + line.len();
            let seq = Header::parse(line).map(|header| header.seq);
            if !line.is_empty() && seq.is_none_or(|seq| seq >= self.next) {
                chunk.spans.push(Span { seq, begin, end });
                self.dropped += seq.map_or(0, |seq| seq - self.next);
                self.next = seq.map_or(self.next, |seq| seq.saturating_add(1));
            }
            begin = end + 1;
        }
        chunk.spans.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;
    use std::fs;
    use strongroom_model::Timestamp;

    /// Lines from number `first` on, in a segment of that name.
    fn write(folder: &Path, first: u64, count: usize) -> (Vec<String>, u64) {
        let mut head = Head { next: first, ..Head::START };
        let mut text = Vec::new();
        for _ in 0..count {
            head.push(&mut text, b"{\"kind\":\"event\"}", Timestamp::from_secs(7), "T").unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        fs::write(folder.join(segment_name(first)), &text).unwrap();
        (text.lines().map(str::to_owned).collect(), text.len() as u64)
    }

    fn read(follower: &mut Follower, written: Written, chunk: &mut Chunk) -> Vec<(Option<u64>, Vec<u8>)> {
        chunk.clear();
        while follower.read(written, chunk).unwrap() {}
        assert!(chunk.lines().map(|(seq, line)| (seq, std::str::from_utf8(line).ok())).eq(chunk.texts()));
        chunk.lines().map(|(seq, line)| (seq, line.to_vec())).collect()
    }

    #[test]
    fn lines_from_before_the_position_are_left_out_and_those_that_are_gone_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        // More lines than are read at once, before the position.
        let (old, _) = write(folder.path(), 0, 2_000);
        let (new, len) = write(folder.path(), 2_010, 3);
        let written = Written { next: 2_013, unsigned: 0, segment: 2_010, len };
        let mut follower = Follower::new(Source::Folder(folder.path().to_owned()), 1_998);
        let mut chunk = Chunk::default();
        let lines = read(&mut follower, written, &mut chunk);
        let numbers = [1_998, 1_999, 2_010, 2_011, 2_012];
        let expected = numbers.into_iter().zip(old.iter().skip(1_998).chain(&new));
        let expected: Vec<_> = expected.map(|(seq, line)| (Some(seq), line.clone().into_bytes())).collect();
        assert_eq!(lines, expected);
        assert_eq!((follower.next(), follower.dropped()), (2_013, 10));
        assert!(chunk.len() < 2 * CHUNK, "what is passed over is not kept");
        assert_eq!(read(&mut follower, written, &mut chunk), []);
    }

    #[test]
    fn a_damaged_line_is_given_without_a_number_and_hides_none_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, _) = write(folder.path(), 0, 5);
        let [a, b, c, d, e] = lines.try_into().unwrap();
        let broken = b"{\"seq\":9\xff".to_vec();
        let whole =
            [a.into_bytes(), broken.clone(), b.into_bytes(), Vec::new(), c.into(), d.into(), e.into(), Vec::new()];
        let text = whole.join(&b'\n');
        fs::write(folder.path().join(segment_name(0)), &text).unwrap();
        let written = Written { next: 5, unsigned: 0, segment: 0, len: text.len() as u64 };
        let mut follower = Follower::new(Source::Folder(folder.path().to_owned()), 3);
        let [_, _, _, _, _, d, e, _] = whole;
        let found = read(&mut follower, written, &mut Chunk::default());
        assert_eq!(found, [(None, broken), (Some(3), d), (Some(4), e)]);
        assert_eq!((follower.next(), follower.dropped()), (5, 0));
    }
}
