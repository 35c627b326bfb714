//! The thread that keeps the index: reads what the writer has published, in order. A second one writes the file of each
//! segment that is complete: a sync takes seconds on a busy disk, and nobody who asks should wait for it.

use super::builder::Builder;
use super::file::Sealed;
use super::line::LineReader;
use super::part::Part;
use super::{Inside, LOOK, REST};
use crate::TrailError;
use crate::chain::{self, Header};
use crate::folder::{segment_name, segments};
use crate::reading::{Portion, Reading};
use crate::shared::Written;
use crate::trail::Source;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// How much is read at once, unless one line is longer.
const CHUNK: usize = 128 * 1024;
/// So many entries of a trail in memory make a part.
const HELD: usize = 50_000;

/// So many complete segments wait in memory to be written; then reading waits.
const UNWRITTEN: usize = 4;

/// The thread's own state.
pub(super) struct Follow<'a> {
    inside: &'a Inside,
    files: SyncSender<(PathBuf, Arc<Builder>)>,
    reading: Option<Reading>,
    portion: Portion,
    lines: LineReader,
    /// The first line of the last segment that is done.
    done: Option<u64>,
    /// The next line of a trail in memory.
    next: u64,
}

impl<'a> Follow<'a> {
    /// Keeps the index until it is told to stop.
    pub(super) fn run(inside: &'a Inside) {
        let (files, complete) = sync_channel(UNWRITTEN);
        thread::scope(|scope| {
            let writing = thread::Builder::new().name("trail-index-file".to_owned());
            if let Err(error) = writing.spawn_scoped(scope, || write_files(inside, complete)) {
                tracing::warn!(%error, "no thread for the files of the trail's index; they stay in memory");
            }
            Self {
                inside,
                files,
                reading: None,
                portion: Portion::default(),
                lines: LineReader::default(),
                done: None,
                next: 0,
            }
            .follow();
        });
    }

    fn follow(mut self) {
        loop {
            let rest = match self.catch_up() {
                Ok(()) => LOOK,
                Err(error) => {
                    let why = error.to_string();
                    tracing::warn!(error = why, "the trail's index cannot go on; it is tried again in a second");
                    // What was read of the segment is made anew: a part of it may be counted already.
                    self.reading = None;
                    self.inside.change(|state| state.live = None);
                    self.inside.tell(self.inside.reached(), Some(why));
                    REST
                }
            };
            if !self.inside.wait(rest) {
                return;
            }
        }
    }

    /// Reads everything that is written by now.
    fn catch_up(&mut self) -> Result<(), TrailError> {
        let written = self.inside.shared.written();
        loop {
            if self.inside.is_stopped() {
                return Ok(());
            }
            let more = match self.inside.source.clone() {
                Source::Memory(ring) => {
                    let (start, lines) = ring.read(self.next, 512);
                    let lines: Vec<_> = lines.into_iter().zip(start..).filter(|(_, at)| *at < written.next).collect();
                    self.take_held(&lines)?
                }
                Source::Folder(folder) => self.step(&folder, written).map_err(|source| unreadable(&folder, source))?,
            };
            if !more {
                self.inside.tell(written.next, None);
                return Ok(());
            }
            // Who asks waits for what was written when it asked, not for all that has come since.
            self.inside.tell(self.inside.reached(), None);
        }
    }

    fn take_held(&mut self, lines: &[(Arc<str>, u64)]) -> Result<bool, TrailError> {
        let (Some((_, first)), Some((_, last))) = (lines.first(), lines.last()) else { return Ok(false) };
        self.next = last + 1;
        self.inside.change(|state| {
            let live = state.live.get_or_insert_with(|| Builder::new(*first));
            let begin = live.first();
            for (line, at) in lines {
                live.feed(line.as_bytes(), self.lines.read(line).as_ref(), at - begin)?;
            }
            if live.count() >= HELD {
                state.parts.extend(state.live.take().map(|live| Part::Held(Arc::new(live))));
            }
            Ok(true)
        })
    }

    /// One step in a folder: some lines, or from one segment to the next. False at the end of what is written.
    fn step(&mut self, folder: &Path, written: Written) -> io::Result<bool> {
        let Some(reading) = &mut self.reading else { return self.enter(folder, written) };
        let mut place = reading.offset();
        self.portion.clear();
        if reading.read(written, CHUNK, &mut self.portion)? > 0 {
            return self.inside.change(|state| {
                let Some(live) = &mut state.live else { return Ok(true) };
                for (line, text) in chain::texts(self.portion.text()) {
                    let entry = text.and_then(|text| self.lines.read(text));
                    live.feed(line, entry.as_ref(), place).map_err(io::Error::other)?;
                    place += line.len() as u64 + 1;
                }
                Ok(true)
            });
        }
        if reading.first >= written.segment {
            return Ok(false);
        }
        self.finish(folder);
        Ok(true)
    }

    /// Goes on with the next segment: one whose file is there is only noted.
    fn enter(&mut self, folder: &Path, written: Written) -> io::Result<bool> {
        let firsts = segments(folder)?;
        let Some(first) = firsts.iter().copied().find(|first| self.done.is_none_or(|done| *first > done)) else {
            return Ok(false);
        };
        if first > written.segment {
            return Ok(false);
        }
        let behind = firsts.into_iter().find(|other| *other > first);
        if let Some(sealed) = usable(folder, first, behind)? {
            self.inside.change(|state| state.parts.push(Part::Sealed(Arc::new(sealed))));
            self.done = Some(first);
            return Ok(true);
        }
        self.reading = Some(Reading::new(first, File::open(folder.join(segment_name(first)))?));
        self.inside.change(|state| state.live = Some(Builder::new(first)));
        Ok(true)
    }

    /// The segment is complete: has its file written. Where that fails, it stays in memory until the next start.
    fn finish(&mut self, folder: &Path) {
        self.done = self.reading.take().map(|reading| reading.first).or(self.done);
        let Some(builder) = self.inside.change(|state| {
            let builder = Arc::new(state.live.take()?);
            state.parts.push(Part::Held(Arc::clone(&builder)));
            Some(builder)
        }) else {
            return;
        };
        // Where nobody takes it, it stays in memory.
        let _ = self.files.send((folder.to_owned(), builder));
    }
}

fn write_files(inside: &Inside, complete: Receiver<(PathBuf, Arc<Builder>)>) {
    for (folder, builder) in complete {
        match Sealed::write(&folder, &builder) {
            Ok(sealed) => {
                let is_it = |part: &&mut Part| part.first() == builder.first();
                let is_there = inside.change(|state| {
                    let held = state.parts.iter_mut().rev().find(is_it);
                    held.map(|held| *held = Part::Sealed(Arc::new(sealed))).is_some()
                });
                if !is_there {
                    // Archived meanwhile: an index without its segment would look like one that was lost.
                    let _ = fs::remove_file(super::file_of(&folder, builder.first()));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the index of a segment of the trail could not be written; it stays in memory");
            }
        }
    }
}

/// The file of a segment, if it is there and speaks of just this segment: as long, and ending as the next one says. The
/// last segment may still grow or be cut at a start, so it has none.
pub(super) fn usable(folder: &Path, first: u64, behind: Option<u64>) -> io::Result<Option<Sealed>> {
    let Some(behind) = behind else { return Ok(None) };
    let Some(sealed) = Sealed::load(folder, first)? else { return Ok(None) };
    let len = fs::metadata(folder.join(segment_name(first)))?.len();
    if sealed.facts.len != len {
        return Ok(None);
    }
    let mut head = Vec::new();
    File::open(folder.join(segment_name(behind)))?.take(512).read_to_end(&mut head)?;
    // A gap between segments (a folder that was removed while open) leaves nothing to compare with.
    let gap = sealed.facts.first + sealed.facts.lines != behind;
    Ok((gap || names_before(&head, &sealed)).then_some(sealed))
}

fn names_before(head: &[u8], sealed: &Sealed) -> bool {
    // The beginning of a line ends where its third field does; the kind of the line is not looked at.
    Header::parse(head).is_some_and(|header| header.follows(&sealed.facts.last))
}

fn unreadable(folder: &Path, source: io::Error) -> TrailError {
    TrailError::Io { what: format!("cannot index the audit trail in {}: {source}", folder.display()), source }
}
