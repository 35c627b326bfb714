//! The index of a complete segment, on disk: read where a question needs it, never as a whole. A file is put in place by
//! renaming and so is there entirely or not at all.

use super::builder::{Builder, Facts, HEADER, MAGIC, RowAt};
use super::codec::{Taker, u32_at, u64_at};
use super::term::{Field, spell, value};
use crate::consumer::Use;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where the files are, in the trail's folder.
pub(crate) const FOLDER: &str = "index";
const SEAL: u64 = 32;
const ROW: u64 = 12;

/// The name of the file for the segment that begins with this line.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.idx")
}

/// A complete file; opened anew for each question, so that the number of segments costs no descriptors.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    /// What stands in its fixed part.
    pub(crate) facts: Facts,
    path: PathBuf,
    sections: [u64; 7],
}

/// A file being asked.
pub(crate) struct Asked<'a> {
    sealed: &'a Sealed,
    file: File,
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the index is damaged; `strongroom audit index -rebuild` makes it anew")
}

impl Sealed {
    /// Writes it, synced, so that a power failure leaves the whole file or none.
    pub(crate) fn write(trail: &Path, builder: &Builder) -> io::Result<Self> {
        let folder = trail.join(FOLDER);
        DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        let path = folder.join(file_name(builder.facts().first));
        let draft = path.with_extension("draft");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&builder.encode())?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&folder)?.sync_all()?;
        Self::load(trail, builder.facts().first)?.ok_or_else(damaged)
    }

    /// Looks at the fixed part of a file; `None` when there is none, or one that cannot be right.
    pub(crate) fn load(trail: &Path, first: u64) -> io::Result<Option<Self>> {
        let path = trail.join(FOLDER).join(file_name(first));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        let mut header = [0; HEADER];
        if len < HEADER as u64 + SEAL || file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(MAGIC) {
            return Ok(None);
        }
        let Some((facts, sections)) = read_header(&header) else { return Ok(None) };
        let in_order = sections.is_sorted() && sections[0] == HEADER as u64 && sections[6] + SEAL == len;
        let fits = facts.first == first && sections[1] - sections[0] == facts.rows.saturating_mul(ROW);
        Ok((in_order && fits).then_some(Self { facts, path, sections }))
    }

    /// Opens it.
    pub(crate) fn ask(&self) -> io::Result<Asked<'_>> {
        Ok(Asked { sealed: self, file: File::open(&self.path)? })
    }
}

fn read_header(header: &[u8; HEADER]) -> Option<(Facts, [u64; 7])> {
    let number = |at: usize| u64_at(header, 8 + at * 8);
    let facts = Facts {
        first: number(0)?,
        lines: number(1)?,
        rows: number(2)?,
        len: number(3)?,
        earliest: number(4)?,
        latest: number(5)?,
        ordered: number(6)? == 1,
        last: header.get(64..96)?.try_into().ok()?,
        root: header.get(96..128)?.try_into().ok()?,
    };
    let mut sections = [0; 7];
    for (at, section) in sections.iter_mut().enumerate() {
        *section = u64_at(header, 128 + at * 8)?;
    }
    Some((facts, sections))
}

impl Asked<'_> {
    fn section(&self, number: usize) -> (u64, u64) {
        let at = |number: usize| self.sealed.sections.get(number).copied().unwrap_or_default();
        (at(number), at(number + 1))
    }

    /// A part of a section, given from its beginning.
    fn read(&self, section: usize, from: u64, count: u64) -> io::Result<Vec<u8>> {
        let (start, end) = self.section(section);
        let from = start.checked_add(from).ok_or_else(damaged)?;
        if from.checked_add(count).is_none_or(|last| last > end) {
            return Err(damaged());
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| damaged())?];
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    /// As [`Asked::read`], but less where the section ends.
    fn read_some(&self, section: usize, from: u64, count: u64) -> io::Result<Vec<u8>> {
        let (start, end) = self.section(section);
        let left = (end - start).saturating_sub(from);
        self.read(section, from, count.min(left))
    }

    /// One entry.
    pub(crate) fn row(&self, row: u32) -> io::Result<RowAt> {
        let bytes = self.read(0, u64::from(row) * ROW, ROW)?;
        let row = u64_at(&bytes, 0).zip(u32_at(&bytes, 8)).map(|(time, place)| RowAt { time, place });
        row.ok_or_else(damaged)
    }

    /// How many terms there are.
    fn terms(&self) -> u64 {
        let (start, end) = self.section(1);
        (end - start) / 4
    }

    fn offset(&self, table: usize, number: u64) -> io::Result<u64> {
        u32_at(&self.read(table, number * 4, 4)?, 0).map(u64::from).ok_or_else(damaged)
    }

    /// Where the record of a table begins and ends in the data behind it.
    fn span(&self, table: usize, number: u64) -> io::Result<(u64, u64)> {
        let (start, end) = self.section(table);
        let (data, data_end) = self.section(table + 1);
        let from = self.offset(table, number)?;
        let to = if (number + 1) * 4 < end - start { self.offset(table, number + 1)? } else { data_end - data };
        if from <= to { Ok((from, to)) } else { Err(damaged()) }
    }

    /// A term by its number.
    fn term(&self, number: u64) -> io::Result<Vec<u8>> {
        let from = self.offset(1, number)?;
        let mut size = 128;
        loop {
            let bytes = self.read_some(2, from, size)?;
            let mut taker = Taker(&bytes);
            let length = taker.number().ok_or_else(damaged)?;
            if let Some(head) = usize::try_from(length).ok().and_then(|length| taker.bytes(length)) {
                return Ok(head.to_vec());
            }
            if (bytes.len() as u64) < size {
                return Err(damaged());
            }
            size = length.saturating_add(64).max(size * 2);
        }
    }

    /// The first term that does not come before this one.
    fn lower_bound(&self, wanted: &[u8]) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.terms());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.term(middle)?.as_slice() < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The entries under a term.
    pub(crate) fn posting(&self, term: &[u8]) -> io::Result<Option<Vec<u32>>> {
        let at = self.lower_bound(term)?;
        if at >= self.terms() {
            return Ok(None);
        }
        let (from, to) = self.span(1, at)?;
        let bytes = self.read(2, from, to - from)?;
        let (found, rows) = read_posting(&mut Taker(&bytes)).ok_or_else(damaged)?;
        Ok((found == term).then_some(rows))
    }

    /// Visits all terms that begin so, in order.
    pub(crate) fn terms_with(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], Vec<u32>)) -> io::Result<()> {
        let mut behind = prefix.to_vec();
        // The next text of the same length; terms are UTF-8 behind their field, so no byte of one is 255.
        behind.push(0xff);
        let (from, to) = (self.lower_bound(prefix)?, self.lower_bound(&behind)?);
        if from >= to {
            return Ok(());
        }
        let (start, end) = (self.span(1, from)?.0, self.span(1, to - 1)?.1);
        let bytes = self.read(2, start, end - start)?;
        let mut taker = Taker(&bytes);
        for _ in from..to {
            let (term, rows) = read_posting(&mut taker).ok_or_else(damaged)?;
            visit(term, rows);
        }
        Ok(())
    }

    /// The entries whose request, lease or subject may have this mark.
    pub(crate) fn marked(&self, wanted: u32) -> io::Result<Vec<u32>> {
        let (start, end) = self.section(3);
        let count = (end - start) / 8;
        let mark_at = |at: u64| u32_at(&self.read(3, at * 8, 8)?, 0).ok_or_else(damaged);
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if mark_at(middle)? < wanted { low = middle + 1 } else { high = middle }
        }
        let mut rows = Vec::new();
        while low < count && mark_at(low)? == wanted {
            rows.extend(u32_at(&self.read(3, low * 8, 8)?, 4));
            low += 1;
        }
        Ok(rows)
    }

    /// Who uses this object; everything that anybody uses, for `None`.
    pub(crate) fn uses(&self, object: Option<&str>, visit: &mut dyn FnMut(Use)) -> io::Result<()> {
        let (start, end) = self.section(4);
        let count = (end - start) / 4;
        let (from, to) = match object {
            None => (0, count),
            Some(object) => {
                let at = self.lower_bound(spell(&mut Vec::new(), Field::Object, object))?;
                if at >= self.terms() || value(&self.term(at)?) != object {
                    return Ok(());
                }
                (self.first_use(count, at)?, self.first_use(count, at + 1)?)
            }
        };
        if from >= to {
            return Ok(());
        }
        let (start, end) = (self.span(4, from)?.0, self.span(4, to - 1)?.1);
        let bytes = self.read(5, start, end - start)?;
        let (mut taker, mut names) = (Taker(&bytes), HashMap::new());
        for _ in from..to {
            let length = taker.number().and_then(|length| usize::try_from(length).ok()).ok_or_else(damaged)?;
            let mut record = Taker(taker.bytes(length).ok_or_else(damaged)?);
            let one = Use::decode(&mut record, self.sealed.facts.earliest, &mut |number| self.name(&mut names, number));
            visit(one.ok_or_else(damaged)?);
        }
        Ok(())
    }

    /// The text behind a number of the dictionary; each is read once.
    fn name(&self, names: &mut HashMap<u64, String>, number: u64) -> Option<String> {
        if let Some(known) = names.get(&number) {
            return Some(known.clone());
        }
        let name = value(&self.term(number).ok()?).to_owned();
        names.insert(number, name.clone());
        Some(name)
    }

    /// The first record of uses whose object has this number or a later one.
    fn first_use(&self, count: u64, object: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let bytes = self.read_some(5, self.offset(4, middle)?, 20)?;
            let mut taker = Taker(&bytes);
            let found = taker.number().and_then(|_| taker.number()).ok_or_else(damaged)?;
            if found < object { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

fn read_posting<'b>(taker: &mut Taker<'b>) -> Option<(&'b [u8], Vec<u32>)> {
    let length = usize::try_from(taker.number()?).ok()?;
    let term = taker.bytes(length)?;
    let count = taker.number()?;
    let mut rows = Vec::with_capacity(usize::try_from(count).ok()?.min(taker.0.len()));
    let mut row = 0_u32;
    for _ in 0..count {
        row = row.checked_add(u32::try_from(taker.number()?).ok()?)?;
        rows.push(row);
    }
    Some((term, rows))
}
