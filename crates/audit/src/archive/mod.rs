//! Lets old segments go: into signed archives that anybody can check, out of the trail's folder, by age and unless held.
//!
//! Invariants: a segment is removed only when an archive with all its lines was synced and read again, its signed manifest
//! is in the trail's folder for good, and a signed line of the trail says so; at each moment, a crash included, every line
//! is in the folder or in an archive. What somebody who follows the trail has not read, and what falls under a hold, stays.
//! Does not know what is to be kept for how long: whoever gives the order does.

mod choose;
pub(crate) mod ledger;
mod pack;

pub use ledger::Absence;

use crate::index::Inside;
use crate::query::Query;
use crate::{Entry, Seal, Trail, TrailError};
use choose::{Run, choose};
use ledger::Ledger;
use pack::Member;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use strongroom_model::Timestamp;
use strongroom_proof::Manifest;
use tokio::task::spawn_blocking;

/// Where archives go when nothing else is said, in the trail's folder.
const USUAL: &str = "archives";

/// What is to leave the trail.
pub struct ArchiveOrder {
    /// Segments whose last line is older.
    pub before: Timestamp,
    /// Where archives go: an absolute path.
    pub folder: PathBuf,
    /// Whether that is made when it is not there.
    pub make: bool,
    /// What stays.
    pub holds: Vec<Hold>,
    /// Lines from this number on stay.
    pub keep_from: u64,
    /// Who follows the trail, beside those who left a position in its folder, and which line each reads next.
    pub readers: Vec<(String, u64)>,
    /// So many archives are made at most; each holds four segments or fewer.
    pub most: usize,
    /// Turns true when the work is to be broken off.
    pub stop: Arc<AtomicBool>,
}

/// Entries that are not to be removed.
pub struct Hold {
    /// Its name.
    pub name: String,
    /// Which entries. Visibility and pages are not looked at.
    pub scope: Query,
}

/// An archive that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The file.
    pub file: PathBuf,
    /// The number of its first line.
    pub first: u64,
    /// The number behind its last line.
    pub next: u64,
    /// The latest time in it.
    pub latest: Timestamp,
}

/// What stays in the trail although it is old enough to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The number of its first line.
    pub first: u64,
    /// The number behind its last line.
    pub next: u64,
    /// Why.
    pub why: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archiving {
    /// Archives that were made.
    pub made: Vec<Archive>,
    /// Segments that were removed from the trail's folder.
    pub removed: u64,
    /// What stayed.
    pub kept: Vec<Kept>,
    /// Whether there is more to be done.
    pub more: bool,
}

impl Trail {
    /// Where archives go when nothing else is said; nowhere for a trail in memory.
    pub fn archives(&self) -> Option<PathBuf> {
        self.source().folder().map(|folder| folder.join(USUAL))
    }

    /// Whether archives may go into that folder: it is not among the trail's own files, and something can be written
    /// there. It is made when it is not there and `make` says so. Nothing is said of a trail in memory, which has none.
    pub async fn check_archives(&self, folder: PathBuf, make: bool) -> Result<(), TrailError> {
        let Some(trail) = self.source().folder().map(Path::to_owned) else { return Ok(()) };
        blocking(move || usable(&trail, &folder, make).map(|_| ())).await
    }

    /// Moves old segments into archives, signed with the key of the checkpoints. Broken off anywhere, by a crash too, it has
    /// lost nothing, and the next call goes on.
    pub async fn archive(
        &self,
        order: ArchiveOrder,
        seal: Arc<dyn Seal>,
        now: Timestamp,
    ) -> Result<Archiving, TrailError> {
        let _one = self.archiving.lock().await;
        let Some(trail) = self.source().folder().map(Path::to_owned) else {
            return Err(TrailError::Archive("a trail in memory has no segments".to_owned()));
        };
        let order = Arc::new(prepared(&trail, order)?);
        let inside = Arc::clone(self.index().inside());
        let choice = {
            let (inside, trail, order) = (Arc::clone(&inside), trail.clone(), Arc::clone(&order));
            blocking(move || choose(&inside, &trail, &order)).await?
        };
        let more = choice.runs.len() > order.most;
        let mut done = Archiving { kept: choice.kept, more, ..Archiving::default() };
        for run in choice.runs.into_iter().take(order.most) {
            let packed = {
                let (inside, trail, order, seal) =
                    (Arc::clone(&inside), trail.clone(), Arc::clone(&order), Arc::clone(&seal));
                blocking(move || pack(&inside, &trail, &order, &run, (&*seal, now))).await?
            };
            done.kept.extend(packed.kept);
            done.made.extend(packed.made);
            for note in packed.notes {
                self.append(Entry::event("trail_archived", "sys/trail/archive", note)).await?;
            }
            self.checkpoint().await;
            let (inside, trail) = (Arc::clone(&inside), trail.clone());
            done.removed += blocking(move || remove(&inside, &trail, &packed.gone)).await?;
        }
        Ok(done)
    }

    /// Removes archives of which every line is older, unless something in them is held; which these were, and what stayed.
    /// Their manifests stay, so that the trail goes on to verify.
    pub async fn drop_archives(&self, order: ArchiveOrder) -> Result<Archiving, TrailError> {
        let _one = self.archiving.lock().await;
        let Some(trail) = self.source().folder().map(Path::to_owned) else { return Ok(Archiving::default()) };
        let order = prepared(&trail, order)?;
        let inside = Arc::clone(self.index().inside());
        let done = blocking(move || drop_old(&inside, &order)).await?;
        for gone in &done.made {
            let name = gone.file.file_name().unwrap_or_default().to_string_lossy();
            let note = format!(
                "the archive {name} (lines {} to {}) was older than archives are kept, and was removed",
                gone.first,
                gone.next.saturating_sub(1)
            );
            self.append(Entry::event("trail_archive_removed", "sys/trail/archive", note)).await?;
        }
        Ok(done)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrailError> + Send + 'static,
) -> Result<T, TrailError> {
    let broken =
        |error| TrailError::Io { what: "archiving was broken off".to_owned(), source: io::Error::other(error) };
    spawn_blocking(work).await.map_err(broken)?
}

/// Makes the folder for archives and looks whether it may be one.
fn prepared(trail: &Path, mut order: ArchiveOrder) -> Result<ArchiveOrder, TrailError> {
    order.folder = usable(trail, &order.folder, order.make)?;
    Ok(order)
}

/// The folder for archives as it is really called, if it can be one; made when it is not there and that is wanted.
fn usable(trail: &Path, folder: &Path, make: bool) -> Result<PathBuf, TrailError> {
    if !folder.is_absolute() {
        return Err(TrailError::Archive("the folder of archives must be an absolute path".to_owned()));
    }
    let failed = |source: io::Error| TrailError::Io {
        what: format!(
            "cannot use {} for archives: {source}; name a folder that the server can write to",
            folder.display()
        ),
        source,
    };
    let ours = fs::canonicalize(trail).map_err(failed)?;
    let is_ours = |path: &Path| path.starts_with(&ours) && path != ours.join(USUAL);
    let among = || {
        let why = "archives do not go among the trail's own files; name another folder".to_owned();
        TrailError::Archive(why)
    };
    if make {
        // Of a folder that is not there, the part that is: nothing is made among our own files either.
        let there = folder.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
        let meant = there.map(|(part, real)| real.join(folder.strip_prefix(part).unwrap_or(Path::new(""))));
        if meant.is_some_and(|meant| is_ours(&meant)) {
            return Err(among());
        }
        DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(failed)?;
    }
    let theirs = fs::canonicalize(folder).map_err(failed)?;
    if is_ours(&theirs) {
        return Err(among());
    }
    // Found out now, not when the first segment is old enough.
    let probe = theirs.join(format!(".strongroom-probe-{}", std::process::id()));
    File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(failed)?;
    Ok(theirs)
}

/// A run that may be removed from the trail.
#[derive(Default)]
struct Packed {
    made: Option<Archive>,
    kept: Vec<Kept>,
    gone: Vec<u64>,
    notes: Vec<String>,
}

/// Reads a run; unless that was done before, writes its archive and keeps its manifest.
fn pack(
    inside: &Inside,
    trail: &Path,
    order: &ArchiveOrder,
    run: &Run,
    (seal, now): (&dyn Seal, Timestamp),
) -> Result<Packed, TrailError> {
    let mut packed = Packed::default();
    let mut members: Vec<Member> = Vec::new();
    for (first, behind) in &run.segments {
        let member = pack::read(trail, (*first, *behind), order)?;
        let (first, next) = (member.said.first, member.said.next);
        let why = match &member.held {
            _ if member.latest >= order.before => Some("its times go back".to_owned()),
            Some(name) => Some(format!("the legal hold `{name}`")),
            None => None,
        };
        if let Some(why) = why {
            // What the index did not tell; the segments behind it wait for the next time.
            packed.kept.push(Kept { first, next, why });
            break;
        }
        members.push(member);
    }
    if run.recorded {
        // A crash came before these were removed: what is here must be what the manifest speaks of.
        for member in &members {
            let said = inside.read().ledger.at(member.said.first).map(|gone| gone.said.clone());
            if said.as_ref() != Some(&member.said) {
                let place = crate::folder::segment_name(member.said.first);
                return Err(TrailError::Changed { place, line: member.said.first });
            }
        }
    } else if let Some(latest) = members.iter().map(|member| member.latest).max() {
        let manifest = signed(&members, seal, now);
        let file = pack::write(order, &members, &manifest)?;
        Ledger::save(trail, &manifest).map_err(|source| TrailError::Io {
            what: format!("cannot keep the manifest of {} in the trail's folder", file.display()),
            source,
        })?;
        inside.change(|state| state.ledger.add(&manifest));
        packed.made = Some(Archive { file, first: manifest.first(), next: manifest.next(), latest });
    }
    packed.notes = note(&members, packed.made.as_ref()).into_iter().collect();
    packed.gone = members.iter().map(|member| member.said.first).collect();
    Ok(packed)
}

fn signed(members: &[Member], seal: &dyn Seal, now: Timestamp) -> Manifest {
    let segments = members.iter().map(|member| member.said.clone()).collect();
    let mut manifest = Manifest::new(segments, now.to_string(), seal.generation(), &seal.public_key());
    manifest.signature = hex::encode(seal.sign(manifest.text().as_bytes()));
    manifest
}

fn note(members: &[Member], made: Option<&Archive>) -> Option<String> {
    let (first, last) = (&members.first()?.said, &members.last()?.said);
    let to = made.and_then(|made| made.file.file_name()).map(|name| name.to_string_lossy().into_owned());
    let to = to.unwrap_or_else(|| "an archive that was made before".to_owned());
    Some(format!(
        "lines {} to {} (up to {}) leave the trail's folder for {to}; SHA-256 of the last one: {}",
        first.first,
        last.next.saturating_sub(1),
        last.latest,
        last.head
    ))
}

/// Removes segments, the oldest first, and their index before each, so that a crash leaves no index without its segment.
fn remove(inside: &Inside, trail: &Path, gone: &[u64]) -> Result<u64, TrailError> {
    let failed =
        |source| TrailError::Io { what: format!("cannot remove archived segments from {}", trail.display()), source };
    for first in gone {
        // Questions under way have the files they need.
        let _alone = inside.files_to_change();
        inside.change(|state| state.parts.retain(|part| part.first() != *first));
        for file in [crate::index::file_of(trail, *first), trail.join(crate::folder::segment_name(*first))] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    File::open(trail).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(gone.len() as u64)
}

/// Removes archives that are old enough; those of another making are not touched.
fn drop_old(inside: &Inside, order: &ArchiveOrder) -> Result<Archiving, TrailError> {
    let failed = |source| TrailError::Io { what: format!("cannot look through {}", order.folder.display()), source };
    let mut done = Archiving::default();
    for item in fs::read_dir(&order.folder).map_err(failed)? {
        let path = item.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let first = name.strip_prefix("trail-").and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
        let known = first.and_then(|first| inside.read().ledger.at(first).map(|gone| gone.latest));
        if !name.ends_with(".tar") || known.is_none_or(|latest| latest >= order.before) {
            continue;
        }
        let mut held = None;
        let file = File::open(&path).map_err(failed)?;
        let read = strongroom_proof::check_archive(io::BufReader::new(file), &[], &mut |line| {
            if held.is_none() {
                held = pack::holding(&order.holds, line);
            }
        });
        let Ok(manifest) = read else {
            tracing::warn!(archive = name, "an archive of the trail does not hold; it is left where it is");
            continue;
        };
        let (first, next) = (manifest.first(), manifest.next());
        let latest = manifest.segments.iter().filter_map(|one| Timestamp::parse(&one.latest)).max();
        let Some(latest) = latest.filter(|latest| *latest < order.before) else { continue };
        if let Some(name) = held {
            done.kept.push(Kept { first, next, why: format!("the legal hold `{name}`") });
            continue;
        }
        fs::remove_file(&path).map_err(failed)?;
        done.made.push(Archive { file: path, first, next, latest });
    }
    Ok(done)
}
