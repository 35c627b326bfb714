use crate::device::cursor::Positions;
use crate::trail::{Source, lock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a reader's position is kept: in a file beside the trail's segments, named so that a trail which loses its unsigned
/// end to a power failure takes it back with those of devices. With a trail in memory it lives as long as the process.
pub(crate) enum Position {
    File(PathBuf),
    Memory(Arc<Positions>, String),
}

impl Position {
    pub(crate) fn of(name: &str, source: &Source, positions: Arc<Positions>) -> Self {
        match source {
            Source::Folder(folder) => Position::File(folder.join(format!("reader-{name}.cursor"))),
            Source::Memory(_) => Position::Memory(positions, format!("reader-{name}")),
        }
    }

    pub(crate) fn load(&self) -> Option<u64> {
        match self {
            Position::File(path) => fs::read_to_string(path).ok()?.trim().parse().ok(),
            Position::Memory(positions, name) => lock(positions).get(name).copied(),
        }
    }

    /// Durable when it returns: an empty file after a power failure would send everything again.
    pub(crate) fn save(&self, next: u64) -> io::Result<()> {
        match self {
            Position::File(path) => {
                let draft = path.with_extension("draft");
                let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
                writeln!(file, "{next}")?;
                file.sync_all()?;
                fs::rename(&draft, path)?;
                File::open(path.parent().unwrap_or(path))?.sync_all()
            }
            Position::Memory(positions, name) => {
                lock(positions).insert(name.clone(), next);
                Ok(())
            }
        }
    }

    pub(crate) fn forget(&self) {
        match self {
            Position::File(path) => drop(fs::remove_file(path)),
            Position::Memory(positions, name) => drop(lock(positions).remove(name)),
        }
    }
}
