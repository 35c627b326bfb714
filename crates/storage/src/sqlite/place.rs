//! Where the store lies: makes the folder and the file with modes that let only the owner in, refuses file systems that
//! cannot promise durable writes and locks, and holds the lock against a second server. Does not look into the file.

use crate::StoreError;
use rustix::fs::{FlockOperation, flock, statfs};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that belongs to this process until the value is dropped.
pub(super) struct Place {
    /// The file, with no links on the way, so that every spelling of a path leads to one lock.
    pub(super) path: PathBuf,
    /// The file, to sync it. Opened before SQLite does, and closed after the last of its connections: closing any handle of
    /// the file drops the locks that SQLite holds there ("How To Corrupt An SQLite Database File", 2.2).
    pub(super) file: Arc<File>,
    /// Lies beside the store and not on it, so that it is there before the file is.
    _lock: File,
}

impl Place {
    /// Makes what is missing and takes the lock, or says who is in the way.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let path = settle(path)?;
        refuse_remote(&path)?;
        let lock = lock(&path)?;
        own(&path)?;
        sync_log(&path)?;
        let file = File::open(&path).map_err(failed("opening", &path))?;
        Ok(Self { path, file: Arc::new(file), _lock: lock })
    }
}

/// `path` with something appended to its last name, as SQLite does for `-wal` and `-shm`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes a new, empty file that only the owner may read, whatever the umask.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Makes the names in the folder of `path` outlive a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn settle(path: &Path) -> Result<PathBuf, StoreError> {
    let name = path.file_name().unwrap_or(OsStr::new(""));
    if name.is_empty() {
        let why = io::Error::new(io::ErrorKind::InvalidInput, "the path ends in no file name");
        return Err(failed("finding", path)(why));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder).map_err(failed("making the folder of", path))?;
    let settled = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => folder.canonicalize().map(|folder| folder.join(name)),
        known => known,
    };
    settled.map_err(failed("finding", path))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        // Two servers that start at once: the other was quicker, and the lock decides later.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    sync_folder(folder)
}

fn refuse_remote(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let found = statfs(folder).map_err(|error| failed("asking for the file system of", path)(error.into()))?;
    // The field is signed on some machines and 32 bits wide on others; the magic numbers have 32 bits.
    match remote_kind(found.f_type as u32) {
        Some(kind) => Err(StoreError::FileSystem { path: path.display().to_string(), kind: kind.to_owned() }),
        None => Ok(()),
    }
}

/// The magic numbers of statfs(2). The write-ahead log needs shared memory and locks that hold between processes, and
/// sync that reaches a disk: network file systems promise neither, and behind FUSE anything may lie.
fn remote_kind(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0xFF53_4D42 => Some("CIFS"),
        0x517B | 0xFE53_4D42 => Some("SMB"),
        0x6573_5546 => Some("FUSE"),
        _ => None,
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let opened = match create_private(&lock_path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::open(&lock_path),
        made => made,
    };
    let file = opened.map_err(failed("opening the lock file of", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: path.display().to_string() }),
        Err(error) => Err(failed("locking", path)(error.into())),
    }
}

/// Creates the file, or takes the rights of others away from it. SQLite gives its log the mode of the file.
fn own(path: &Path) -> Result<(), StoreError> {
    match create_private(path) {
        Ok(_) => return sync_folder(path).map_err(failed("creating", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("creating", path)(error)),
    }
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        let Ok(found) = fs::metadata(&file) else { continue };
        if found.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %file.display(), "the file was open to other users; only its owner may use it now");
            fs::set_permissions(&file, Permissions::from_mode(0o600))
                .map_err(failed("closing to other users", path))?;
        }
    }
    Ok(())
}

/// A killed server may leave a commit that is written but not synced. SQLite will show it to readers, so it must be on
/// the disk before: what has been seen may not vanish.
fn sync_log(path: &Path) -> Result<(), StoreError> {
    match File::open(beside(path, "-wal")) {
        Ok(log) => log.sync_all().map_err(failed("syncing the log of", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("opening the log of", path)(error)),
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let what = format!("{what} {}", path.display());
    move |source| StoreError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_user_space_file_systems_are_refused_and_local_ones_are_not() {
        for (magic, kind) in [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB"), (0x6573_5546, "FUSE")] {
            assert_eq!(remote_kind(magic), Some(kind));
        }
        // ext4, xfs, btrfs, zfs, tmpfs, overlayfs
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0x0102_1994, 0x794C_7630] {
            assert_eq!(remote_kind(magic), None, "{magic:x}");
        }
    }

    #[test]
    fn every_spelling_of_a_path_leads_to_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        let first = Place::take(&folder.path().join("store")).unwrap();
        std::os::unix::fs::symlink(&first.path, folder.path().join("link")).unwrap();
        for other in ["store", "./store", "link"] {
            assert!(matches!(Place::take(&folder.path().join(other)), Err(StoreError::InUse { .. })), "{other}");
        }
        drop(first);
        assert!(Place::take(&folder.path().join("link")).is_ok());
    }

    #[test]
    fn a_file_open_to_others_is_closed_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let place = Place::take(&path).unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
