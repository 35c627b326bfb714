//! Makes proofs that the lines of an answer stand in the trail: paths in the tree over each segment, and in the tree over
//! all segments. What ties them together is a statement that the caller has signed.

use crate::TrailError;
use crate::chain::{Hash, Header, hash};
use crate::folder::segment_name;
use crate::index::Inside;
use crate::index::builder::Facts;
use crate::query::PATIENCE;
use crate::trail::Source;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use strongroom_proof::{Proven, SegmentPath, TrailPath, leaf, path, root, segment_leaf};

/// Proofs of some lines, and what is to be signed for them.
pub struct Inclusion {
    /// The number behind the last line that the root speaks of.
    pub size: u64,
    /// The root over all segments.
    pub root: [u8; 32],
    /// The hash of the last line.
    pub head: [u8; 32],
    /// The lines with their paths, in the order asked for.
    pub entries: Vec<Proven>,
}

/// Proves lines, given as the first line of their segment and their place in it. Blocks, and reads each segment that has
/// one of them as a whole.
pub(crate) fn prove(inside: &Inside, spots: &[(u64, u64)]) -> Result<Inclusion, TrailError> {
    inside.catch_up(PATIENCE)?;
    let _files = inside.files_to_read();
    let state = inside.read();
    let mut facts: Vec<Facts> = state.parts.iter().map(|part| part.facts()).collect();
    facts.extend(state.live.as_ref().map(|live| live.facts()).filter(|facts| facts.lines > 0));
    drop(state);
    let leaves: Vec<Hash> = facts.iter().map(|facts| segment_leaf(facts.first, facts.lines, &facts.root)).collect();
    let last = facts.last().copied().unwrap_or_default();
    let failed =
        |source: io::Error| TrailError::Io { what: format!("cannot prove entries of the trail: {source}"), source };
    let mut segments: BTreeMap<u64, Segment> = BTreeMap::new();
    let mut entries = Vec::new();
    for (first, place) in spots {
        let Some(number) = facts.iter().position(|facts| facts.first == *first) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let Some(of) = facts.get(number) else { continue };
        if !segments.contains_key(first) {
            segments.insert(*first, Segment::read(&inside.source, of).map_err(failed)?);
        }
        let proven = segments.get(first).and_then(|segment| segment.prove(*place));
        let (line, steps) = proven.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        entries.push(Proven {
            line,
            segment: SegmentPath { first: of.first, lines: of.lines, path: steps },
            trail: TrailPath {
                index: number as u64,
                segments: facts.len() as u64,
                path: path(&leaves, number).iter().map(hex::encode).collect(),
            },
        });
    }
    Ok(Inclusion { size: last.first + last.lines, root: root(&leaves), head: last.last, entries })
}

/// The lines of a segment with their places, and the leaves of its tree.
struct Segment {
    lines: Vec<(u64, String)>,
    leaves: Vec<Hash>,
}

impl Segment {
    fn read(source: &Source, facts: &Facts) -> io::Result<Self> {
        let mut segment = Self { lines: Vec::new(), leaves: Vec::new() };
        match source {
            Source::Memory(ring) => {
                let count = usize::try_from(facts.lines).unwrap_or(usize::MAX);
                let (start, lines) = ring.read(facts.first, count);
                if start != facts.first {
                    return Err(io::Error::other("the trail in memory has forgotten a line of the answer"));
                }
                for (line, place) in lines.iter().zip(0..) {
                    segment.add(line.as_bytes(), place);
                }
            }
            Source::Folder(folder) => {
                let file = File::open(folder.join(segment_name(facts.first)))?;
                let mut reader = BufReader::with_capacity(256 * 1024, file.take(facts.len));
                let (mut line, mut place) = (Vec::new(), 0);
                while reader.read_until(b'\n', &mut line)? > 0 {
                    segment.add(line.strip_suffix(b"\n").unwrap_or(&line), place);
                    place += line.len() as u64;
                    line.clear();
                }
            }
        }
        Ok(segment)
    }

    fn add(&mut self, line: &[u8], place: u64) {
        if Header::parse(line).is_some() {
            self.leaves.push(leaf(&hash(line)));
            self.lines.push((place, String::from_utf8_lossy(line).into_owned()));
        }
    }

    fn prove(&self, place: u64) -> Option<(String, Vec<String>)> {
        let number = self.lines.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        let (_, line) = self.lines.get(number)?;
        Some((line.clone(), path(&self.leaves, number).iter().map(hex::encode).collect()))
    }
}
