//! Reads whole segments, checking every line, and puts them into an archive file that is there entirely or not at all.

use super::{ArchiveOrder, Hold};
use crate::TrailError;
use crate::chain::{Head, Header, Walk};
use crate::folder::segment_name;
use crate::index::line::Line;
use crate::resume::MAX_LINE;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use strongroom_model::Timestamp;
use strongroom_proof::{MANIFEST, Manifest, Stretch, check_archive};

/// How many lines go by between two looks whether to stop.
const LOOK: u64 = 4_096;

/// A segment that was read to its end, and holds.
pub(super) struct Member {
    pub(super) said: Stretch,
    pub(super) latest: Timestamp,
    /// The first hold that something in it falls under.
    pub(super) held: Option<String>,
    packed: Vec<u8>,
}

/// Reads a segment; each line has to continue the one before, and `behind`, if it is there, the last one.
pub(super) fn read(
    folder: &Path,
    (first, behind): (u64, Option<u64>),
    order: &ArchiveOrder,
) -> Result<Member, TrailError> {
    let failed = |source| TrailError::Io { what: format!("cannot read {} to archive it", segment_name(first)), source };
    let changed = |line| TrailError::Changed { place: segment_name(first), line };
    let mut reader =
        BufReader::with_capacity(256 * 1024, File::open(folder.join(segment_name(first))).map_err(failed)?);
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let (mut walk, mut before, mut line) = (None::<Walk>, Head::START.hash, Vec::new());
    let (mut bytes, mut earliest, mut latest) = (0, Timestamp::from_nanos(u64::MAX), Timestamp::from_nanos(0));
    let mut held = None;
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let next = walk.as_ref().map_or(first, |walk| walk.head.next);
        if next.is_multiple_of(LOOK) && order.stop.load(Ordering::Relaxed) {
            return Err(TrailError::Interrupted);
        }
        let text = line.strip_suffix(b"\n").ok_or_else(|| changed(next))?;
        let header = Header::parse(text).filter(|header| header.seq == next).ok_or_else(|| changed(next))?;
        let walk = match &mut walk {
            Some(walk) => walk,
            None => {
                hex::decode_to_slice(header.prev, &mut before).map_err(|_| changed(next))?;
                walk.insert(Walk::from(Head { next: first, hash: before, time: Timestamp::from_nanos(0) }))
            }
        };
        walk.step(text, &[]).map_err(|_| changed(next))?;
        (earliest, latest) = (earliest.min(walk.head.time), latest.max(walk.head.time));
        bytes += line.len() as u64;
        held = held.or_else(|| holding(&order.holds, text));
        packer.write_all(&line).map_err(failed)?;
    }
    let walk = walk.ok_or_else(|| changed(first))?;
    if let Some(behind) = behind.filter(|behind| *behind == walk.head.next) {
        let follows = beginning(folder, behind).map_err(failed)?;
        if !Header::parse(&follows).is_some_and(|header| header.follows(&walk.head.hash)) {
            return Err(changed(walk.head.next.saturating_sub(1)));
        }
    }
    let said = Stretch {
        first,
        next: walk.head.next,
        before: hex::encode(before),
        head: hex::encode(walk.head.hash),
        bytes,
        earliest: earliest.to_string(),
        latest: latest.to_string(),
    };
    Ok(Member { said, latest, held, packed: packer.finish().map_err(failed)? })
}

/// The first hold that this line falls under.
pub(super) fn holding(holds: &[Hold], line: &[u8]) -> Option<String> {
    if holds.is_empty() {
        return None;
    }
    let entry = Line::parse(line)?;
    holds.iter().find(|hold| hold.scope.takes(&entry)).map(|hold| hold.name.clone())
}

/// The beginning of a segment, longer than a line's header.
fn beginning(folder: &Path, first: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(folder.join(segment_name(first)))?.take(512).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the archive of these segments, synced and read again as a whole before it gets its name.
pub(super) fn write(order: &ArchiveOrder, members: &[Member], manifest: &Manifest) -> Result<PathBuf, TrailError> {
    let name = format!("trail-{:020}-{:020}.tar", manifest.first(), manifest.next().saturating_sub(1));
    let path = order.folder.join(&name);
    let draft = order.folder.join(format!(".{name}.draft"));
    let failed = |source| TrailError::Io { what: format!("cannot write the archive {}", path.display()), source };
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // What a crash left behind before it was noted in the trail's folder is good, if it is what we would write.
    if path.symlink_metadata().is_ok() {
        return match check(&path) {
            Ok(there) if there.segments == manifest.segments && there.key == manifest.key => Ok(path),
            _ => Err(TrailError::Archive(format!(
                "{} is there already and is another archive, or none; move it away, or name another folder",
                path.display()
            ))),
        };
    }
    let written = write_draft(&draft, members, manifest).map_err(failed).and_then(|()| check(&draft));
    let written = written
        .and_then(|_| fs::rename(&draft, &path).and_then(|()| File::open(&order.folder)?.sync_all()).map_err(failed));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.map(|()| path)
}

fn write_draft(draft: &Path, members: &[Member], manifest: &Manifest) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let mut archive = tar::Builder::new(file);
    for member in members {
        add(&mut archive, &member.said.file_name(), &member.packed)?;
    }
    add(&mut archive, MANIFEST, &serde_json::to_vec_pretty(manifest)?)?;
    archive.into_inner()?.sync_all()
}

fn add(archive: &mut tar::Builder<File>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, name, bytes)
}

/// Reads an archive to its end.
pub(super) fn check(path: &Path) -> Result<Manifest, TrailError> {
    let what = || format!("cannot read the archive {}", path.display());
    let file = File::open(path).map_err(|source| TrailError::Io { what: what(), source })?;
    check_archive(BufReader::with_capacity(256 * 1024, file), &[], &mut |_| {})
        .map_err(|error| TrailError::Archive(format!("{} does not hold: {error}", path.display())))
}
