//! Checks the index against the trail, offline: makes each file anew in memory and compares, byte for byte. Or puts the
//! new ones in place.

use super::builder::Builder;
use super::file::{FOLDER, Sealed, file_name};
use super::line::LineReader;
use crate::TrailError;
use crate::folder::{segment_name, segments};
use crate::resume::MAX_LINE;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

/// What a check of the index found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Segments whose file is as it must be.
    pub good: u64,
    /// Segments that are complete and have no file; a server makes it at its next start.
    pub missing: u64,
    /// The first file that is not what the trail makes it.
    pub first_bad: Option<IndexFinding>,
}

/// A file that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFinding {
    /// The file, below the trail's folder.
    pub file: String,
    /// The first line of its segment.
    pub first: u64,
    /// What is wrong.
    pub what: String,
}

/// Compares every index file with what the trail's segments make. To be believed only as far as the trail itself was
/// checked. Reads only; beside a running server it is the same.
pub fn check_index(folder: &Path) -> Result<IndexReport, TrailError> {
    let failed = |source| TrailError::Io {
        what: format!("cannot check the index of the trail in {}", folder.display()),
        source,
    };
    let mut report = IndexReport::default();
    let firsts = segments(folder).map_err(failed)?;
    if let Some((name, first)) = stray(folder, &firsts).map_err(failed)? {
        let what = "there is no segment that it could speak of".to_owned();
        report.first_bad = Some(IndexFinding { file: name, first, what });
        return Ok(report);
    }
    for (first, last) in firsts.iter().zip(firsts.iter().skip(1).map(|_| false).chain([true])) {
        let name = format!("{FOLDER}/{}", file_name(*first));
        let found = match fs::read(folder.join(&name)) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.missing += u64::from(!last);
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        if found != build(folder, *first).map_err(failed)?.encode() {
            let what = "it is not what the segment makes it: one of the two was changed".to_owned();
            report.first_bad = Some(IndexFinding { file: name, first: *first, what });
            return Ok(report);
        }
        report.good += 1;
    }
    Ok(report)
}

/// A file of the index without a segment; older ones are those of archived segments.
fn stray(folder: &Path, firsts: &[u64]) -> io::Result<Option<(String, u64)>> {
    let items = match fs::read_dir(folder.join(FOLDER)) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for item in items {
        let name = item?.file_name().to_string_lossy().into_owned();
        let first = name.strip_suffix(".idx").and_then(|stem| stem.parse::<u64>().ok());
        let oldest = firsts.first().copied().unwrap_or_default();
        if let Some(first) = first.filter(|first| *first >= oldest && !firsts.contains(first)) {
            return Ok(Some((format!("{FOLDER}/{name}"), first)));
        }
    }
    Ok(None)
}

/// Makes all files of the index anew and removes those that belong to no segment; how many there are then. For a server
/// that does not run: a running one goes on with the files it knows.
pub fn rebuild_index(folder: &Path) -> Result<u64, TrailError> {
    let failed =
        |source| TrailError::Io { what: format!("cannot make the index of the trail in {}", folder.display()), source };
    let firsts = segments(folder).map_err(failed)?;
    match fs::remove_dir_all(folder.join(FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let complete = firsts.len().saturating_sub(1);
    for first in firsts.iter().take(complete) {
        build(folder, *first).and_then(|builder| Sealed::write(folder, &builder)).map_err(failed)?;
    }
    Ok(complete as u64)
}

fn build(folder: &Path, first: u64) -> io::Result<Builder> {
    let (mut builder, mut lines) = (Builder::new(first), LineReader::default());
    let mut reader = BufReader::with_capacity(256 * 1024, File::open(folder.join(segment_name(first)))?);
    let (mut line, mut place) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(builder);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let entry = std::str::from_utf8(line).ok().and_then(|text| lines.read(text));
        builder.feed(line, entry.as_ref(), place).map_err(io::Error::other)?;
        place += read;
    }
}
