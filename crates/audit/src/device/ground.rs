//! Where no copy of the trail may be written: the trail's own folder, and the files and folders that the server lives from
//! (its store, its keys, its configuration). A line appended to one of those would damage what cannot be made again.
//!
//! Places are told apart by what they really are, not by how a path is spelt: links in folders, `..` and second names lead
//! to the same one. Says nothing of what a file holds; that is looked at where it is opened.

use crate::folder::{segment_name, segments};
use crate::trail::lock;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What is kept out of reach. Copies share it.
#[derive(Clone, Default)]
pub(crate) struct Ground {
    trail: Option<PathBuf>,
    others: Arc<Mutex<Vec<PathBuf>>>,
}

impl Ground {
    /// That of a trail in this folder.
    pub(crate) fn new(trail: Option<&Path>) -> Self {
        Self { trail: trail.map(Into::into), others: Arc::default() }
    }

    /// Keeps these files and folders out of reach too, from now on.
    pub(crate) fn add(&self, places: impl IntoIterator<Item = PathBuf>) {
        lock(&self.others).extend(places);
    }

    /// Refuses a path that lies where nothing may be written. The file need not be there.
    pub(crate) fn check_path(&self, path: &Path) -> io::Result<()> {
        let parent = fs::canonicalize(path.parent().unwrap_or(Path::new("/")))?;
        if let Some(trail) = &self.trail
            && parent.starts_with(fs::canonicalize(trail)?)
        {
            return Err(io::Error::other("it lies in the folder of the audit trail itself"));
        }
        let real = path.file_name().map_or(parent.clone(), |name| parent.join(name));
        match lock(&self.others).iter().any(|place| real_name(place).is_some_and(|place| real.starts_with(place))) {
            true => Err(taken()),
            false => Ok(()),
        }
    }

    /// Refuses a file that is there, if it is a second name of one that nothing may be written to.
    pub(crate) fn check_file(&self, meta: &Metadata) -> io::Result<()> {
        if meta.nlink() < 2 {
            return Ok(());
        }
        let same = |path: PathBuf| {
            fs::metadata(path).is_ok_and(|other| other.dev() == meta.dev() && other.ino() == meta.ino())
        };
        if let Some(trail) = &self.trail
            && segments(trail).unwrap_or_default().into_iter().any(|first| same(trail.join(segment_name(first))))
        {
            return Err(io::Error::other("it is a file of the audit trail itself"));
        }
        let within = |folder: &PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| same(entry.path()))
        };
        let others = lock(&self.others).clone();
        match others.iter().any(|place| same(place.clone()) || within(place)) {
            true => Err(taken()),
            false => Ok(()),
        }
    }
}

fn taken() -> io::Error {
    io::Error::other(
        "the server itself needs what is there (its store, a key or its configuration); name another place",
    )
}

/// The real name of a place, also of a file that is not there yet.
fn real_name(place: &Path) -> Option<PathBuf> {
    fs::canonicalize(place).ok().or_else(|| {
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(parent).ok()?.join(place.file_name()?))
    })
}
