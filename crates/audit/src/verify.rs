//! Checks a trail from outside: offline, streaming, in memory that does not grow with the trail.
//!
//! Every line must carry the next number and the hash of the line before; every checkpoint must be signed, by an
//! accepted key, over all that precedes it; times and store generations may not go back. The first line that does not
//! hold is named, and the check ends there: behind it nothing is proven.
//!
//! What no such check can see: entries never written, and lines cut from the very end behind the last checkpoint that
//! somebody keeps elsewhere (see [`VerifyOptions::expected`]).

use crate::archive::ledger::{Gone, Ledger};
use crate::chain::{Hash, Header, LineKind, ORIGIN, hash};
use crate::entry::{Accepted, ROLLBACK_ACCEPTED, TRAIL_ACCEPTED};
use crate::folder::{segment_name, segments};
use crate::resume::MAX_LINE;
use crate::{Checkpoint, TrailError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use strongroom_model::Timestamp;

/// The one event that may carry an earlier time than the line before it.
pub(crate) const CLOCK_WENT_BACK: &str = "clock_went_back";

/// So many notes are kept, so that the report is bounded whatever the trail says.
const MOST_NOTES: usize = 100;

/// What is known from outside about the trail to be checked.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The keys that may have signed. When empty, the key of the first checkpoint is believed and any other refused,
    /// which finds a careless forger but not one who signs everything anew.
    pub keys: Vec<[u8; 32]>,
    /// A checkpoint kept elsewhere (`size`, `head`): the trail must have that line, so it was not cut before it.
    pub expected: Option<(u64, [u8; 32])>,
    /// Accepts that the oldest segments were archived and removed: the check begins with the oldest one present.
    pub pruned: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of the first line present; 0 unless old segments were archived.
    pub starts_at: u64,
    /// Lines that are not present, but that signed manifests in the trail's folder say were archived, whole.
    pub archived: u64,
    /// Lines that hold.
    pub lines: u64,
    /// Entries among them: requests and events.
    pub entries: u64,
    /// Checkpoints among them.
    pub checkpoints: u64,
    /// Events in which an operator accepted an older store or another trail, the first hundred: no fault of the trail,
    /// but somebody should remember having done it.
    pub notes: Vec<Finding>,
    /// The first line that does not hold; nothing behind it was looked at.
    pub first_bad: Option<Finding>,
    /// Lines behind the last checkpoint: chained but not signed, so whoever can write the file could have replaced or
    /// cut them off.
    pub unsigned_tail: u64,
    /// The last checkpoint that holds. Keep it elsewhere for the next check.
    pub last_checkpoint: Option<Checkpoint>,
    /// The key that signed it.
    pub key: Option<[u8; 32]>,
}

/// The first line that does not hold, or one worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The number of the line that is changed, missing or too much.
    pub seq: u64,
    /// The segment that has the line, or where it should be.
    pub segment: String,
    /// The line of that file, from 1: the changed one, or the one in place of what is missing.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Checks the trail in this folder. Reads only, takes no lock; beside a running server the last line may be half
/// written and is then named. Fails only when files cannot be read.
pub fn verify(folder: &Path, options: &VerifyOptions) -> Result<Report, TrailError> {
    let failed =
        |source| TrailError::Io { what: format!("cannot read the audit trail in {}", folder.display()), source };
    let mut check = Check::new(options);
    check.ledger = Ledger::load(folder, &options.keys).map_err(failed)?;
    let firsts = segments(folder).map_err(failed)?;
    for first in &firsts {
        check.pass_archived(*first);
        if check.report.first_bad.is_some() {
            return Ok(check.report);
        }
        check.segment(folder, *first).map_err(failed)?;
        if check.report.first_bad.is_some() {
            return Ok(check.report);
        }
    }
    check.end();
    Ok(check.report)
}

/// Where a line was met.
#[derive(Clone, Copy, Debug, Default)]
struct Spot {
    /// The number in the segment's name.
    segment: u64,
    line: u64,
}

/// A line that does not name its predecessor's hash: one of the two was changed, and the line behind tells which.
struct Doubt {
    /// The doubtful line.
    seq: u64,
    hash: Hash,
    spot: Spot,
    /// Where the line before it is.
    before: Spot,
}

/// What is known when a line's own text has been looked at.
struct Read<'a> {
    header: Header<'a>,
    time: Timestamp,
    checkpoint: Option<Checkpoint>,
}

/// A check under way.
struct Check<'a> {
    options: &'a VerifyOptions,
    report: Report,
    next: u64,
    begun: bool,
    last: Hash,
    before_last: Hash,
    time: Timestamp,
    generation: u64,
    /// The generations to which, as lines since the last checkpoint say, the store was let go back.
    accepted: Option<Accepted>,
    /// Where the line being looked at is.
    spot: Spot,
    /// Where the line before it is.
    before: Spot,
    doubt: Option<Doubt>,
    /// What was archived.
    ledger: Ledger,
    /// Whether the checkpoint kept elsewhere was found in the trail.
    met: bool,
}

impl<'a> Check<'a> {
    fn new(options: &'a VerifyOptions) -> Self {
        Self {
            options,
            report: Report::default(),
            next: 0,
            begun: false,
            last: ORIGIN,
            before_last: ORIGIN,
            time: Timestamp::from_nanos(0),
            generation: 0,
            accepted: None,
            spot: Spot::default(),
            before: Spot::default(),
            doubt: None,
            ledger: Ledger::default(),
            met: false,
        }
    }

    /// Goes over segments that are not present because they were archived: their signed manifests tell how the chain goes
    /// through them.
    fn pass_archived(&mut self, until: u64) {
        if !self.begun && self.options.pruned {
            // What was removed before there were manifests cannot be told of.
            self.next = self.ledger.start().filter(|start| *start < until).unwrap_or_default();
        }
        while self.next < until {
            let Some(gone) = self.ledger.at(self.next).cloned() else { return self.tell_of_bad(until) };
            self.spot = Spot { segment: gone.said.first, line: 0 };
            if let Err((seq, what)) = self.pass(&gone) {
                return self.find(seq, what);
            }
        }
    }

    fn pass(&mut self, gone: &Gone) -> Result<(), (u64, String)> {
        let first = gone.said.first;
        self.settle(|hash| gone.before == *hash)?;
        let believed = !self.begun && (first == 0 || self.options.pruned);
        if !believed && gone.before != self.last {
            let what = "the line was changed: the archive behind it names another hash".to_owned();
            return Err((first.saturating_sub(1), what));
        }
        if !self.is_key_accepted(&gone.key) {
            return Err((first, format!("its archive is signed by another key, {}", hex::encode(gone.key))));
        }
        if self.report.lines == 0 {
            self.report.starts_at = gone.said.next;
        }
        self.meet(gone.said.next, &gone.head).map_err(|what| (gone.said.next.saturating_sub(1), what))?;
        self.begun = true;
        self.report.key = self.report.key.or(Some(gone.key));
        self.report.archived += gone.said.next - first;
        (self.next, self.last, self.before_last) = (gone.said.next, gone.head, ORIGIN);
        // The clock may have gone back within: how its last line stood to this one is in the archive.
        (self.time, self.before) = (Timestamp::from_nanos(0), self.spot);
        Ok(())
    }

    /// Where lines are missing, a manifest that is not believed is worth a word.
    fn tell_of_bad(&mut self, until: u64) {
        if self.options.pruned && !self.begun {
            return;
        }
        if let Some((file, why)) = self.ledger.bad.first().filter(|_| self.begun || until > 0) {
            let what = format!("the line is missing, and {file} cannot tell where it went: {why}");
            let seq = self.next;
            self.spot = Spot { segment: until, line: 1 };
            self.find(seq, what);
        }
    }

    fn segment(&mut self, folder: &Path, first: u64) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(256 * 1024, File::open(folder.join(segment_name(first)))?);
        self.spot = Spot { segment: first, line: 0 };
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.spot.line += 1;
            let checked = match line.strip_suffix(b"\n") {
                Some(line) => self.line(line, first),
                None => Err((self.next, "the line is torn: it has no end".to_owned())),
            };
            if let Err((seq, what)) = checked {
                self.find(seq, what);
                return Ok(());
            }
        }
    }

    fn find(&mut self, seq: u64, what: String) {
        self.report.first_bad = Some(self.finding(seq, what));
    }

    fn finding(&self, seq: u64, what: String) -> Finding {
        Finding { seq, segment: segment_name(self.spot.segment), line: self.spot.line, what }
    }

    fn line(&mut self, line: &[u8], first: u64) -> Result<(), (u64, String)> {
        self.settle(|hash| Header::parse(line).is_some_and(|header| header.follows(hash)))?;
        let next = self.next;
        let header = Header::parse(line).ok_or_else(|| (next, "the line is damaged".to_owned()))?;
        if !self.begun {
            self.begin(&header, first);
        }
        self.number(&header, line)?;
        let read = self.content(header, line).map_err(|what| (self.next, what))?;
        if self.spot.line == 1 && first != self.next {
            return Err((self.next, "the segment begins with another line than its name says".to_owned()));
        }
        if read.header.follows(&self.last) {
            self.order(&read, line).map_err(|what| (self.next, what))?;
        } else {
            self.mismatch(&read, hash(line))?;
        }
        self.advance(read, hash(line)).map_err(|what| (self.next, what))
    }

    /// Where archived segments are missing, the first line present is believed about its predecessor.
    fn begin(&mut self, header: &Header<'_>, first: u64) {
        self.begun = true;
        if self.options.pruned && self.next != first {
            self.next = first;
            self.report.starts_at = first;
            let _ = hex::decode_to_slice(header.prev, &mut self.last);
        }
    }

    /// The line behind a doubtful one tells whether that one was changed, or the one before it.
    fn settle(&mut self, follows: impl FnOnce(&Hash) -> bool) -> Result<(), (u64, String)> {
        let Some(doubt) = self.doubt.take() else { return Ok(()) };
        self.spot = doubt.spot;
        if follows(&doubt.hash) {
            self.spot = doubt.before;
            return Err((
                doubt.seq.saturating_sub(1),
                "the line was changed: the next one names another hash".to_owned(),
            ));
        }
        Err((doubt.seq, "the line was changed: neither neighbour agrees with it".to_owned()))
    }

    fn number(&self, header: &Header<'_>, line: &[u8]) -> Result<(), (u64, String)> {
        let (found, next) = (header.seq, self.next);
        if found == next {
            return Ok(());
        }
        let twice = found + 1 == next && (hash(line) == self.last || header.follows(&self.before_last));
        if twice {
            return Err((found, format!("two lines claim to be number {found}")));
        }
        if found > next {
            return Err((next, format!("the line is missing: number {found} stands in its place")));
        }
        Err((next, format!("number {found} stands in its place")))
    }

    /// Looks at what the line says, apart from its place in the chain.
    fn content<'l>(&self, header: Header<'l>, line: &'l [u8]) -> Result<Read<'l>, String> {
        serde_json::from_slice::<IgnoredAny>(line).map_err(|_| "the line is damaged: not JSON")?;
        if (header.seq == 0) != (header.kind == LineKind::Genesis) {
            return Err("a trail has one first line, with number 0".to_owned());
        }
        let time = Timestamp::parse(header.time).ok_or("the line is damaged: no time")?;
        let checkpoint = match header.kind {
            LineKind::Checkpoint => Some(self.signature(line)?),
            _ => None,
        };
        Ok(Read { header, time, checkpoint })
    }

    fn signature(&self, line: &[u8]) -> Result<Checkpoint, String> {
        let checkpoint = Checkpoint::parse(line).ok_or("the checkpoint is damaged")?;
        if !checkpoint.is_signed() {
            return Err("the checkpoint's signature is wrong".to_owned());
        }
        if !self.is_key_accepted(&checkpoint.key) {
            return Err(format!("the checkpoint is signed by another key, {}", hex::encode(checkpoint.key)));
        }
        Ok(checkpoint)
    }

    fn is_key_accepted(&self, key: &[u8; 32]) -> bool {
        match &self.report.key {
            _ if !self.options.keys.is_empty() => self.options.keys.contains(key),
            Some(known) => known == key,
            None => true,
        }
    }

    /// The line before, or this one? A valid signature over this one settles it at once.
    fn mismatch(&mut self, read: &Read<'_>, hash: Hash) -> Result<(), (u64, String)> {
        let before = self.next.saturating_sub(1);
        if self.next == 0 || read.checkpoint.is_some() {
            self.spot = if self.next == 0 { self.spot } else { self.before };
            return Err((before, "the line was changed: the signed line behind it names another hash".to_owned()));
        }
        self.doubt = Some(Doubt { seq: self.next, hash, spot: self.spot, before: self.before });
        Ok(())
    }

    fn order(&mut self, read: &Read<'_>, line: &[u8]) -> Result<(), String> {
        let event = if read.header.is_event { Event::parse(line) } else { None };
        let tells_of_the_clock = event.as_ref().is_some_and(|event| event.operation == CLOCK_WENT_BACK);
        if read.time < self.time && !tells_of_the_clock {
            return Err("its time is earlier than the line before".to_owned());
        }
        if let Some(event) = event {
            self.take_note(event);
        }
        match &read.checkpoint {
            Some(checkpoint) if checkpoint.generation < self.generation && !self.is_accepted(checkpoint) => {
                let (now, before) = (checkpoint.generation, self.generation);
                Err(format!(
                    "the store went back from generation {before} to {now}: an older copy was put in its place"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Keeps what an operator accepted.
    fn take_note(&mut self, event: Event) {
        let Some(accepted) = event.accepted else { return };
        match &*event.operation {
            ROLLBACK_ACCEPTED => self.accepted = Some(accepted),
            TRAIL_ACCEPTED => {}
            _ => return,
        }
        if self.report.notes.len() < MOST_NOTES {
            let note = self.finding(self.next, event.note);
            self.report.notes.push(note);
        }
    }

    /// Whether a lower generation than in the checkpoint before is explained by an event since that one, so that the
    /// signature which shows the older store also covers the event.
    fn is_accepted(&self, checkpoint: &Checkpoint) -> bool {
        self.accepted.is_some_and(|accepted| accepted.from == self.generation && accepted.to <= checkpoint.generation)
    }

    /// Holds the line before number `next` against the checkpoint kept elsewhere, when that speaks of it.
    fn meet(&mut self, next: u64, hash: &Hash) -> Result<(), String> {
        match self.options.expected {
            Some((size, head)) if size == next && head != *hash => {
                Err("the line is not the one that the checkpoint kept elsewhere names".to_owned())
            }
            Some((size, _)) => {
                self.met |= size == next;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn advance(&mut self, read: Read<'_>, hash: Hash) -> Result<(), String> {
        self.meet(self.next + 1, &hash)?;
        self.report.lines += 1;
        self.report.unsigned_tail += 1;
        match read.header.kind {
            LineKind::Entry => self.report.entries += 1,
            LineKind::Genesis | LineKind::Checkpoint => {}
        }
        if let Some(checkpoint) = read.checkpoint {
            self.report.checkpoints += 1;
            self.report.unsigned_tail = 0;
            self.report.key = Some(checkpoint.key);
            self.generation = checkpoint.generation;
            self.accepted = None;
            self.report.last_checkpoint = Some(checkpoint);
        }
        self.before_last = std::mem::replace(&mut self.last, hash);
        self.time = read.time;
        self.before = self.spot;
        self.next += 1;
        Ok(())
    }

    fn end(&mut self) {
        if let Some(doubt) = self.doubt.take() {
            self.spot = doubt.before;
            let what = "the line or the one behind it was changed: their hashes do not agree".to_owned();
            return self.find(doubt.seq.saturating_sub(1), what);
        }
        let Some((size, _)) = self.options.expected else { return };
        if size > self.next {
            let what = format!("the end is missing: a checkpoint kept elsewhere speaks of {size} lines");
            self.find(self.next, what);
        } else if !self.met && size > 0 {
            let what =
                "the line is not here, so the checkpoint kept elsewhere proves nothing: it was archived".to_owned();
            self.find(size, what);
        }
    }
}

/// What the check wants to know of an event.
#[derive(Deserialize)]
struct Event {
    operation: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    accepted: Option<Accepted>,
}

impl Event {
    /// None when the line is no event as the trail writes them; it then explains nothing.
    fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}
