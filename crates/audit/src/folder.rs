//! The trail's folder: one owner at a time, segments named by the number of their first line.
//!
//! Knows how to take the end of a segment off and keep it elsewhere, not when to. Does not write entries.

use crate::TrailError;
use crate::chain::{Header, LineKind};
use crate::resume::MAX_LINE;
use rustix::fs::FlockOperation;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of the end is read at first; doubled until a checkpoint is in it.
const FIRST_WINDOW: u64 = 64 * 1024;

/// The name of the segment that begins with this line.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

/// The first lines of all segments in the folder, in order. Other files are passed over.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder)? {
        let name = item?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|stem| stem.parse().ok());
        found.extend(number.filter(|first| name.to_str() == Some(segment_name(*first).as_str())));
    }
    found.sort_unstable();
    Ok(found)
}

/// A segment that is written to.
pub(crate) struct Segment {
    /// The number of its first line.
    pub(crate) first: u64,
    /// Shared with whoever syncs it in the background.
    pub(crate) file: Arc<File>,
    /// Bytes of whole lines in it.
    pub(crate) len: u64,
    path: PathBuf,
}

impl Segment {
    /// Makes a new one, which must not exist yet, and sees to it that its name survives a power failure.
    pub(crate) fn create(folder: &Path, first: u64) -> io::Result<Self> {
        let path = folder.join(segment_name(first));
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
            // Left behind, its name would be taken at the next try.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { first, file: Arc::new(file), len: 0, path })
    }

    /// One that is there already.
    pub(crate) fn existing(folder: &Path, first: u64) -> io::Result<Self> {
        let path = folder.join(segment_name(first));
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        let len = file.metadata()?.len();
        Ok(Self { first, file: Arc::new(file), len, path })
    }

    /// Whether the name still leads to the file that is being written.
    pub(crate) fn is_in_place(&self) -> bool {
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
            _ => false,
        }
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A second way into the file, at this offset; the first one only appends.
    pub(crate) fn reader(&self, offset: u64) -> io::Result<File> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }

    /// Takes off what is behind `good` bytes and keeps it in a file beside the segment; the name of that file. A crash
    /// in between leaves the bytes in both.
    pub(crate) fn cut(&mut self, good: u64, seq: u64) -> io::Result<String> {
        let folder = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        let (name, mut aside) = create_aside(&folder, &format!("{}.cut-{seq}", segment_name(self.first)))?;
        io::copy(&mut self.reader(good)?.take(self.len - good), &mut aside)?;
        aside.sync_all()?;
        File::open(folder)?.sync_all()?;
        self.file.set_len(good)?;
        self.file.sync_all()?;
        self.len = good;
        Ok(name)
    }

    /// The last whole line, without its line feed.
    pub(crate) fn last_line(&self) -> io::Result<Option<Vec<u8>>> {
        let mut size = FIRST_WINDOW;
        loop {
            let (bytes, all) = self.tail(size)?;
            let lines = bytes.get(..bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)).unwrap_or_default();
            if all || lines.contains(&b'\n') {
                let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
                return Ok((!last.is_empty()).then(|| last.to_vec()));
            }
            size = size.saturating_mul(2);
        }
    }

    /// Bytes up to and with the last line feed.
    fn whole_lines(&self) -> io::Result<u64> {
        let mut end = self.len;
        let mut block = vec![0; 64 * 1024];
        while end > 0 {
            let start = end.saturating_sub(block.len() as u64);
            let part = block.get_mut(..(end - start) as usize).unwrap_or_default();
            self.file.read_exact_at(part, start)?;
            if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
                return Ok(start + at as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    /// The last `size` bytes as whole lines: the part of a line at the front is left out. True when nothing is.
    fn tail(&self, size: u64) -> io::Result<(Vec<u8>, bool)> {
        let start = self.len.saturating_sub(size);
        let mut bytes = vec![0; (self.len - start) as usize];
        self.file.read_exact_at(&mut bytes, start)?;
        if start > 0 {
            let front = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes.drain(..front);
        }
        Ok((bytes, start == 0))
    }

    /// The lines from the last checkpoint to the end; all lines when there is none.
    pub(crate) fn since_checkpoint(&self) -> io::Result<Vec<u8>> {
        let mut size = FIRST_WINDOW;
        loop {
            let (mut bytes, all) = self.tail(size)?;
            if let Some(start) = last_checkpoint(&bytes) {
                bytes.drain(..start);
                return Ok(bytes);
            }
            if all {
                return Ok(bytes);
            }
            size = size.saturating_mul(2);
        }
    }
}

/// Where the last checkpoint line begins in these lines.
fn last_checkpoint(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    while end > 0 {
        let body = bytes.get(..end - 1)?;
        let start = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let header = Header::parse(body.get(start..)?);
        if header.is_some_and(|header| header.kind == LineKind::Checkpoint) {
            return Some(start);
        }
        end = start;
    }
    None
}

/// A trail's folder, locked against a second writer for as long as this lives.
pub(crate) struct Folder {
    /// Where it is.
    pub(crate) path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if need be (0700) and becomes its one writer.
    pub(crate) fn claim(path: PathBuf) -> Result<Self, TrailError> {
        let failed = |what: &str, source| TrailError::Io { what: format!("{what} {}", path.display()), source };
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&path);
        made.map_err(|source| failed("cannot make the audit trail's folder", source))?;
        let lock = File::open(&path).map_err(|source| failed("cannot open the audit trail's folder", source))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(TrailError::InUse { path: path.display().to_string() }),
            Err(error) => Err(failed("cannot lock the audit trail's folder", error.into())),
        }
    }

    /// Makes the folder anew and claims it when it was removed or replaced; a lock on a folder without a name keeps
    /// nobody out.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        let in_place = match (self.lock.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
            _ => false,
        };
        if !in_place {
            *self = Self::claim(self.path.clone()).map_err(|error| match error {
                TrailError::Io { what, source } => io::Error::other(format!("{what}: {source}")),
                other => io::Error::other(other.to_string()),
            })?;
        }
        Ok(())
    }
}

/// Makes a file of this name, or of the first one like it that is free: a second power failure may cut at the same line.
fn create_aside(folder: &Path, name: &str) -> io::Result<(String, File)> {
    let mut tried = name.to_owned();
    for number in 2.. {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&tried)) {
            Ok(file) => return Ok((tried, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => tried = format!("{name}.{number}"),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The line with this number, without its line feed. None when no segment has it. Looks for it by halves, since lines are
/// numbered in order; in a segment where they are not (which is for the check of the chain to tell) it may miss it.
pub(crate) fn line(folder: &Path, seq: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(first) = segments(folder)?.into_iter().rev().find(|first| *first <= seq) else { return Ok(None) };
    let mut file = File::open(folder.join(segment_name(first)))?;
    let start = at_or_before(&file, seq)?;
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(NEAR as usize, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 || line.pop() != Some(b'\n') {
            return Ok(None);
        }
        match Header::parse(&line) {
            Some(header) if header.seq == seq => return Ok(Some(line)),
            Some(header) if header.seq < seq => {}
            _ => return Ok(None),
        }
    }
}

/// The beginning of a line up to its kind is shorter than this.
const BEGINNING: u64 = 256;

/// So near before a line that reading on is as fast as looking further.
const NEAR: u64 = 64 * 1024;

/// Where a line begins that has this number or, not far before it, a lower one.
fn at_or_before(file: &File, seq: u64) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high.saturating_sub(low) > NEAR {
        let middle = low + (high - low) / 2;
        match line_behind(file, middle)? {
            Some((start, found)) if found <= seq => low = start,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first line that begins behind this place, and its number. None when there is none, or none that can be read.
fn line_behind(file: &File, place: u64) -> io::Result<Option<(u64, u64)>> {
    let mut reader = file.try_clone()?;
    reader.seek(SeekFrom::Start(place))?;
    let mut reader = BufReader::with_capacity(4 * 1024, reader);
    let passed = reader.skip_until(b'\n')? as u64;
    let mut beginning = Vec::new();
    reader.take(BEGINNING).read_to_end(&mut beginning)?;
    Ok(Header::parse(&beginning).map(|header| (place + passed, header.seq)))
}

/// The last `count` lines of the trail, oldest first.
pub(crate) fn recent(folder: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    for first in segments(folder)?.into_iter().rev() {
        let missing = count.saturating_sub(lines.len());
        if missing == 0 {
            break;
        }
        let mut segment = Segment::existing(folder, first)?;
        segment.len = segment.whole_lines()?;
        let mut older = last_lines(&segment, missing)?;
        older.append(&mut lines);
        lines = older;
    }
    Ok(lines)
}

fn last_lines(segment: &Segment, count: usize) -> io::Result<Vec<String>> {
    let mut size = FIRST_WINDOW;
    loop {
        let (bytes, all) = segment.tail(size)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        if all || lines.len() >= count {
            let skip = lines.len().saturating_sub(count);
            return Ok(lines.into_iter().skip(skip).map(str::to_owned).collect());
        }
        size = size.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;
    use strongroom_model::Timestamp;

    /// Bytes that this thread asked the kernel for.
    fn bytes_read<T>(work: impl FnOnce() -> T) -> (u64, T) {
        let so_far = || {
            let text = fs::read_to_string("/proc/thread-self/io").unwrap();
            text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse::<u64>().unwrap()
        };
        let before = so_far();
        let done = work();
        (so_far() - before, done)
    }

    /// What the store remembers of the trail is looked up at each unsealing.
    #[test]
    fn a_line_is_found_in_a_long_segment_without_reading_all_of_it() {
        for lines in [1_000, 40_000] {
            let dir = tempfile::tempdir().unwrap();
            let (time, mut head, mut bytes) = (Timestamp::from_secs(7), Head::START, Vec::new());
            let body = format!("{{\"kind\":\"event\",\"note\":\"{}\"}}", "x".repeat(350)).into_bytes();
            for _ in 0..=lines {
                head.push(&mut bytes, &body, time, &time.to_string()).unwrap();
            }
            fs::write(dir.path().join(segment_name(0)), bytes).unwrap();
            for number in [0, 1, lines / 3, lines / 2, lines - 10, lines] {
                let (read, found) = bytes_read(|| line(dir.path(), number).unwrap().unwrap());
                assert!(read < 320 * 1024, "{read} bytes for line {number} of {lines}");
                assert_eq!(Header::parse(&found).unwrap().seq, number);
            }
            assert!(line(dir.path(), lines + 1).unwrap().is_none());
        }
    }
}
