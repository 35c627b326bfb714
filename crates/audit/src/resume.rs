//! Finds where a trail that was written before goes on.
//!
//! What is signed has to be whole: lines are on disk before a signature speaks of them, so no power failure can have
//! damaged them, and a server that went on behind such damage would cover it up. What is not signed yet may have been
//! lost in any way (a hole of zeros, old bytes, a line without the one before it): there the first line that does not
//! continue the chain ends the trail. The rest is kept in a file of its own and the trail says so.
//!
//! Reads the last segment only, so that opening costs the same whatever the length of the trail; older ones were synced
//! before the next was begun, and are for [`verify`](crate::verify) to judge.

use crate::chain::{Head, Header, ORIGIN, Signatures, Walk, damaged, hash, is_whole};
use crate::folder::{Folder, Segment, segments};
use crate::{Checkpoint, Entry, TrailError};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
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
}

impl Resumed {
    /// A trail that has yet to begin.
    pub(crate) fn nowhere() -> Self {
        Self { segment: None, head: Head::START, unsigned: 0, checkpoint: None, cuts: Vec::new() }
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
        let mut firsts = segments(&self.path).map_err(failed)?;
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
        let header = Header::parse(&line).filter(|header| header.seq.checked_add(1) == Some(first));
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
    let examined = walk(segment, start, keys, Signatures::Last)?;
    match &examined.walk.checkpoint {
        Some(last) if !last.is_signed() => walk(segment, start, keys, Signatures::Each),
        _ => Ok(examined),
    }
}

/// Walks from the first line as far as the chain holds. When two lines disagree, the earlier one ends the trail too,
/// unless it is signed: what the line behind it disputes should not be signed later.
fn walk(segment: &Segment, start: Option<Head>, keys: &[[u8; 32]], signatures: Signatures) -> io::Result<Examined> {
    let start = start.unwrap_or(Head { next: segment.first, ..Head::START });
    let mut examined = Examined { walk: Walk::from(start), good: 0, bad: None };
    let mut reader = BufReader::with_capacity(CHUNK, segment.reader(0)?);
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
