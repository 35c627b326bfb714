//! Finds where a trail that was written before goes on.
//!
//! What is signed has to be whole: lines are on disk before a signature speaks of them, so no power failure can have
//! damaged them, and a server that went on behind such damage would cover it up. What is not signed yet may have been
//! lost in any way (a hole of zeros, old bytes, a line without the one before it): there the first line that does not
//! continue the chain ends the trail. The rest is kept in a file of its own and the trail says so.
//!
//! Looks at the last segment only, so that opening costs the same whatever the length of the trail; older ones were synced
//! before the next was begun, and are for [`verify`](crate::verify) to judge. Where everything from the segment's last
//! signature on is as it should be, what stands before that is left as a [`Rest`] to be checked when the server serves;
//! with the least doubt all is checked at once, as it is after a rest that did not hold.

use crate::chain::{Head, Header, ORIGIN, Signatures, Walk, damaged, hash, is_whole};
use crate::folder::{Folder, LastCheckpoint, Segment, segments};
use crate::{Checkpoint, Entry, TrailError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use strongroom_model::Timestamp;

/// No line is longer: an entry has at most 1 MiB, beside the header.
pub(crate) const MAX_LINE: u64 = 2 * 1024 * 1024;

/// What every line begins with, and nothing inside a line: there the quotes are escaped.
const BEGINNING: &[u8] = b"{\"seq\":";

/// Where a trail that was opened goes on.
pub(crate) struct Resumed {
    /// The segment to append to; none when the trail is new.
    pub(crate) segment: Option<Segment>,
    /// Where the chain stands.
    pub(crate) head: Head,
    /// Lines behind the last checkpoint.
    pub(crate) unsigned: u64,
    /// The last checkpoint of the trail.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// What was taken off the end.
    pub(crate) cuts: Vec<Cut>,
    /// What has still to be checked.
    pub(crate) rest: Option<Rest>,
}

impl Resumed {
    /// A trail that has yet to begin.
    pub(crate) fn nowhere() -> Self {
        Self { segment: None, head: Head::START, unsigned: 0, checkpoint: None, cuts: Vec::new(), rest: None }
    }
}

/// Bytes taken off the end of the trail.
pub(crate) struct Cut {
    bytes: u64,
    why: String,
    kept: String,
}

impl Cut {
    /// The event that tells of it.
    pub(crate) fn event(&self) -> Entry {
        let Cut { bytes, why, kept } = self;
        let note = format!("{why}, as after a crash or a power failure: the {bytes} bytes from there on are in {kept}");
        Entry::event("trail_cut", "", note)
    }
}

/// The lines of a segment before its last checkpoint, to be checked while the server serves already.
pub(crate) struct Rest {
    path: PathBuf,
    file: File,
    /// What the first line continues.
    start: Head,
    /// Where the checkpoint begins.
    until: u64,
    checkpoint: Checkpoint,
    keys: Vec<[u8; 32]>,
}

impl Rest {
    /// Whether they lead to the checkpoint, which is signed; if not, why the trail should not have been opened. The next
    /// start then checks all before it opens it.
    pub(crate) fn check(self, hurry: &AtomicBool) -> Result<(), String> {
        let checked = self.walk(hurry);
        if let (Err(why), Some(folder)) = (&checked, self.path.parent())
            && !hurry.load(Ordering::Relaxed)
            && let Err(error) = note_doubt(folder, why)
        {
            tracing::error!(%error, "that the audit trail was changed could not be noted beside it");
        }
        checked
    }

    fn walk(&self, hurry: &AtomicBool) -> Result<(), String> {
        let path = self.path.display();
        let failed = |error: io::Error| format!("cannot read {path}: {error}");
        let mut reader = BufReader::with_capacity(CHUNK, (&self.file).take(self.until));
        let mut walk = Walk::from(self.start);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            if hurry.load(Ordering::Relaxed) {
                return Err("the check was broken off".to_owned());
            }
            let whole = line.strip_suffix(b"\n").unwrap_or(&line);
            // The checkpoint's own signature was looked at, and speaks for all others when the chain leads to it.
            let stepped = walk.step_on_trust(whole, &self.keys, Signatures::Last);
            stepped.map_err(|misstep| self.told(&misstep.why, walk.head.next))?;
        }
        let Checkpoint { size, head, .. } = &self.checkpoint;
        if (walk.head.next, &walk.head.hash) != (*size, head) {
            return Err(self.told(&format!("checkpoint {size} does not continue the line before it"), walk.head.next));
        }
        Ok(())
    }

    fn told(&self, why: &str, next: u64) -> String {
        let (path, size) = (self.path.display(), self.checkpoint.size);
        if size < next {
            return format!("{why} in {path}, behind which checkpoint {size} of an earlier line is the last one");
        }
        format!("{why} in {path}, though checkpoint {size} behind it is signed, so this is no trace of a power failure")
    }
}

/// A file beside the segments that says why the last server stopped trusting them.
const DOUBT: &str = "check-failed";

fn note_doubt(folder: &Path, why: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(folder.join(DOUBT))?;
    writeln!(file, "{why}")
}

/// How far the lines of a segment hold.
struct Examined {
    walk: Walk,
    /// Bytes of lines that hold.
    good: u64,
    /// Why the line behind them does not.
    bad: Option<String>,
}

impl Folder {
    /// Checks the end of the trail, takes off what a power failure left of it, and finds where to go on. Checkpoints
    /// have to be signed by one of the keys; no keys stand for any.
    pub(crate) fn resume(&self, keys: &[[u8; 32]]) -> Result<Resumed, TrailError> {
        let failed =
            |source| TrailError::Io { what: format!("cannot read the audit trail in {}", self.show()), source };
        let firsts = segments(&self.path).map_err(failed)?;
        let doubt = self.path.join(DOUBT);
        let is_doubted = fs::exists(&doubt).map_err(failed)?;
        if !is_doubted && let Some(resumed) = self.resume_from_checkpoint(&firsts, keys).map_err(failed)? {
            return Ok(resumed);
        }
        let resumed = self.resume_from_start(firsts, keys)?;
        if is_doubted {
            fs::remove_file(doubt).map_err(failed)?;
        }
        Ok(resumed)
    }

    /// The quick way, for a segment that has a checkpoint, and behind it nothing but lines that hold. None where anything
    /// is unusual.
    fn resume_from_checkpoint(&self, firsts: &[u64], keys: &[[u8; 32]]) -> io::Result<Option<Resumed>> {
        let Some((first, earlier)) = firsts.split_last() else { return Ok(None) };
        let segment = Segment::existing(&self.path, *first)?;
        let Some(LastCheckpoint { place: until, before, line }) = segment.last_checkpoint()? else { return Ok(None) };
        let Some(checkpoint) = Checkpoint::parse(&line) else { return Ok(None) };
        let follows = Header::parse(&before).is_some_and(|header| header.seq + 1 == checkpoint.size);
        if !follows || hash(&before) != checkpoint.head {
            return Ok(None);
        }
        let Some(start) = self.before(*first, earlier.last())?.or_else(|| believe(&segment)) else { return Ok(None) };
        let head = Head { next: checkpoint.size, hash: checkpoint.head, time: start.time };
        let examined = walk(&segment, until, head, keys, Signatures::Each)?;
        if examined.bad.is_some() {
            return Ok(None);
        }
        let (path, file, keys) = (segment.path().to_owned(), segment.reader(0)?, keys.to_vec());
        let Walk { head, unsigned, checkpoint: last } = examined.walk;
        let rest = Some(Rest { path, file, start, until, checkpoint, keys });
        Ok(Some(Resumed { segment: Some(segment), head, unsigned, checkpoint: last, cuts: Vec::new(), rest }))
    }

    fn resume_from_start(&self, mut firsts: Vec<u64>, keys: &[[u8; 32]]) -> Result<Resumed, TrailError> {
        let failed =
            |source| TrailError::Io { what: format!("cannot read the audit trail in {}", self.show()), source };
        let mut resumed = Resumed::nowhere();
        while let Some(first) = firsts.pop() {
            let mut segment = Segment::existing(&self.path, first).map_err(failed)?;
            let known = self.before(first, firsts.last()).map_err(failed)?;
            let start = known.or_else(|| believe(&segment));
            let examined = examine(&segment, start, keys).map_err(failed)?;
            if let Some(why) = examined.bad {
                self.refuse_signed(&segment, examined.good, &examined.walk, &why)?;
                if examined.good == 0 && start.is_none() {
                    return Err(self.broken(format!("{why}, and nothing before it is there")));
                }
                resumed.cuts.push(self.cut(&mut segment, examined.good, examined.walk.head.next, why)?);
            }
            if segment.len > 0 {
                (resumed.head, resumed.unsigned) = (examined.walk.head, examined.walk.unsigned);
                resumed.checkpoint = examined.walk.checkpoint.or_else(|| self.earlier_checkpoint(&firsts, keys));
                resumed.segment = Some(segment);
                return Ok(resumed);
            }
            if start.is_none() {
                let why = format!("{} is empty, and nothing before it is there", segment.path().display());
                return Err(self.broken(why));
            }
            fs::remove_file(segment.path()).map_err(failed)?;
        }
        Ok(resumed)
    }

    /// What the first line of a segment has to continue, as far as the segment before it tells. None when that one is
    /// missing: archived, or taken away while the server ran.
    fn before(&self, first: u64, earlier: Option<&u64>) -> io::Result<Option<Head>> {
        if first == 0 {
            return Ok(Some(Head::START));
        }
        let Some(earlier) = earlier else { return Ok(None) };
        let Some(line) = Segment::existing(&self.path, *earlier)?.last_line()? else { return Ok(None) };
        let header = Header::parse(&line).filter(|header| header.seq + 1 == first);
        let time = header.and_then(|header| Timestamp::parse(header.time));
        Ok(time.map(|time| Head { next: first, hash: hash(&line), time }))
    }

    /// A signed checkpoint behind the damage speaks of the damaged lines: they were whole once, and on disk.
    fn refuse_signed(&self, segment: &Segment, good: u64, walk: &Walk, why: &str) -> Result<(), TrailError> {
        let failed = |source| TrailError::Io { what: format!("cannot read {}", segment.path().display()), source };
        match signed_behind(segment, good, walk.head.next).map_err(failed)? {
            None => Ok(()),
            Some(checkpoint) => Err(self.broken(format!(
                "{why} in {}, though checkpoint {} behind it is signed, so this is no trace of a power failure",
                segment.path().display(),
                checkpoint.size
            ))),
        }
    }

    fn cut(&self, segment: &mut Segment, good: u64, seq: u64, why: String) -> Result<Cut, TrailError> {
        let bytes = segment.len - good;
        let what = || format!("cannot set aside the damaged end of the audit trail in {}", self.show());
        let kept = segment.cut(good, seq).map_err(|source| TrailError::Io { what: what(), source })?;
        tracing::warn!(%why, bytes, kept, "the end of the audit trail was damaged and has been set aside");
        Ok(Cut { bytes, why, kept })
    }

    /// The last checkpoint of the segments before the last. None is as good as one that cannot be read: `verify` is
    /// who judges old segments.
    fn earlier_checkpoint(&self, earlier: &[u64], keys: &[[u8; 32]]) -> Option<Checkpoint> {
        earlier.iter().rev().find_map(|first| {
            let bytes = Segment::existing(&self.path, *first).and_then(|segment| segment.since_checkpoint()).ok()?;
            let line = bytes.split(|byte| *byte == b'\n').next()?;
            Checkpoint::parse(line).filter(|checkpoint| checkpoint.is_signed() && checkpoint.is_by(keys))
        })
    }

    fn broken(&self, why: String) -> TrailError {
        TrailError::Broken { path: self.show(), why }
    }

    fn show(&self) -> String {
        self.path.display().to_string()
    }
}

/// What the first line itself says it continues, when nobody else can tell. None when it cannot be read.
fn believe(segment: &Segment) -> Option<Head> {
    let mut line = Vec::new();
    BufReader::new(segment.reader(0).ok()?).take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
    let header = Header::parse(line.strip_suffix(b"\n")?).filter(|header| header.seq == segment.first)?;
    let mut hash = ORIGIN;
    hex::decode_to_slice(header.prev, &mut hash).ok()?;
    Some(Head { next: segment.first, hash, time: Timestamp::from_nanos(0) })
}

/// Bytes read at once: a segment has 64 MiB.
const CHUNK: usize = 256 * 1024;

/// Walks from the first line as far as the chain holds.
///
/// A segment that was written slowly has a checkpoint behind every line or two, and checking a signature takes a hundred times
/// as long as hashing a line. The last one that holds proves all before it; only where it does not is each looked at, to
/// find the first that does not.
fn examine(segment: &Segment, start: Option<Head>, keys: &[[u8; 32]]) -> io::Result<Examined> {
    let start = start.unwrap_or(Head { next: segment.first, ..Head::START });
    let examined = walk(segment, 0, start, keys, Signatures::Last)?;
    match &examined.walk.checkpoint {
        Some(last) if !last.is_signed() => walk(segment, 0, start, keys, Signatures::Each),
        _ => Ok(examined),
    }
}

/// Walks from the line at this place as far as the chain holds. When two lines disagree, the earlier one ends the trail too,
/// unless it is signed: what the line behind it disputes should not be signed later.
fn walk(segment: &Segment, place: u64, start: Head, keys: &[[u8; 32]], signatures: Signatures) -> io::Result<Examined> {
    let mut examined = Examined { walk: Walk::from(start), good: place, bad: None };
    let mut reader = BufReader::with_capacity(CHUNK, segment.reader(place)?);
    let (mut line, mut last) = (Vec::new(), Vec::new());
    // Where the last line began.
    let mut before = None;
    let misstep = loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break None;
        }
        let here = (examined.walk.head, examined.good);
        let stepped = match line.strip_suffix(b"\n") {
            Some(whole) => examined.walk.step_on_trust(whole, keys, signatures),
            None => Err(format!("line {} is torn", here.0.next).into()),
        };
        if let Err(misstep) = stepped {
            break Some(misstep);
        }
        examined.good += line.len() as u64;
        before = Some(here);
        std::mem::swap(&mut line, &mut last);
    };
    // No hash behind the last line speaks for it.
    let damage = before.filter(|_| !is_whole(&last)).map(|(head, _)| damaged(head.next));
    let back = match (&damage, &misstep) {
        (Some(_), _) => before,
        (None, Some(misstep)) if misstep.disputes && examined.walk.unsigned > 0 => before,
        _ => None,
    };
    if let Some((head, good)) = back {
        (examined.walk.head, examined.good) = (head, good);
        examined.walk.unsigned -= 1;
    }
    examined.bad = damage.or(misstep).map(|misstep| misstep.why);
    Ok(examined)
}

/// A signed checkpoint that speaks of line `next`, anywhere behind these bytes. One of an older line proves nothing: it
/// may be left over from a file that was deleted. A key that nobody knows counts as well: no power failure signs.
fn signed_behind(segment: &Segment, good: u64, next: u64) -> io::Result<Option<Checkpoint>> {
    let mut reader = BufReader::new(segment.reader(good)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        // A hole may have swallowed the line feed before it.
        let start = line.windows(BEGINNING.len()).rposition(|part| part == BEGINNING).unwrap_or(0);
        let found = line.get(start..).and_then(|line| Checkpoint::parse(line.strip_suffix(b"\n").unwrap_or(line)));
        let found = found.filter(|checkpoint| checkpoint.size >= next && checkpoint.is_signed());
        if found.is_some() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::genesis;
    use crate::folder::line;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    /// Lines of about 512 bytes with a checkpoint in the middle and one nearly at the end, the last of them `lines`.
    fn segment(folder: &Path, lines: u64) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let (time, mut head, mut bytes) = (Timestamp::from_secs(7), Head::START, Vec::new());
        let entry = format!("{{\"kind\":\"event\",\"note\":\"{}\"}}", "x".repeat(350));
        for number in 0..=lines {
            let body = match number {
                0 => genesis(time),
                _ if number == lines / 2 || number == lines - 9 => {
                    let text = Checkpoint::text(head.next, &head.hash, time, 1, &key);
                    let signature = pair.sign(text.as_bytes()).as_ref().try_into().unwrap();
                    Checkpoint { size: head.next, head: head.hash, time, generation: 1, key, signature }.body()
                }
                _ => entry.clone().into_bytes(),
            };
            head.push(&mut bytes, &body, time, &time.to_string()).unwrap();
        }
        fs::write(folder.join(crate::folder::segment_name(0)), bytes).unwrap();
    }

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

    #[test]
    fn a_start_reads_as_much_of_a_long_segment_as_of_a_short_one() {
        for lines in [1_000, 40_000] {
            let dir = tempfile::tempdir().unwrap();
            segment(dir.path(), lines);
            let folder = Folder::claim(dir.path().to_owned()).unwrap();
            let (read, resumed) = bytes_read(|| folder.resume(&[]).unwrap());
            assert!(read < 160 * 1024, "{read} bytes of {lines} lines");
            assert_eq!((resumed.head.next, resumed.unsigned, resumed.cuts.len()), (lines + 1, 9, 0));
            // What the store remembers is looked up too, before anything is served.
            for number in [0, 1, lines / 3, lines / 2, lines - 10, lines] {
                let (read, found) = bytes_read(|| line(dir.path(), number).unwrap().unwrap());
                assert!(read < 320 * 1024, "{read} bytes for line {number} of {lines}");
                assert_eq!(Header::parse(&found).unwrap().seq, number);
            }
            assert!(line(dir.path(), lines + 1).unwrap().is_none());
            let (read, checked) = bytes_read(|| resumed.rest.unwrap().check(&AtomicBool::new(false)));
            assert_eq!(checked, Ok(()));
            assert!(read > lines * 400, "{read} bytes of {lines} lines");
        }
    }
}
