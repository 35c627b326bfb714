//! Where a device's position is kept while the device does not run: in a file beside the trail's segments, or in memory
//! when the trail is. A position may be old, since lines are repeated then; it may not be ahead, since lines would be
//! left out.

use crate::chain::hash;
use crate::device::option::DeviceOptions;
use crate::trail::{Source, lock};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Positions of devices that follow a trail in memory, by the name of the cursor.
pub(crate) type Positions = Mutex<BTreeMap<String, u64>>;

/// The place of one device's position: that of the same path and the same file, whoever enables it.
pub(crate) struct Cursor {
    name: String,
    place: Place,
}

enum Place {
    Folder(PathBuf),
    Memory(Arc<Positions>),
}

impl Cursor {
    /// The one of this device.
    pub(crate) fn new(path: &str, options: &DeviceOptions, source: &Source, positions: &Arc<Positions>) -> Self {
        let name = hex::encode(hash(format!("{path}\n{:?}", options.target).as_bytes()));
        let name = format!("device-{}.cursor", name.get(..16).unwrap_or(""));
        let place = match source.folder() {
            Some(folder) => Place::Folder(folder.to_owned()),
            None => Place::Memory(Arc::clone(positions)),
        };
        Self { name, place }
    }

    /// The next line to be delivered, if the device ran before.
    pub(crate) fn load(&self) -> Option<u64> {
        match &self.place {
            Place::Folder(folder) => read(&folder.join(&self.name)),
            Place::Memory(positions) => lock(positions).get(&self.name).copied(),
        }
    }

    /// Notes the next line to be delivered.
    pub(crate) fn save(&self, next: u64) -> io::Result<()> {
        match &self.place {
            Place::Folder(folder) => write(&folder.join(&self.name), next),
            Place::Memory(positions) => {
                lock(positions).insert(self.name.clone(), next);
                Ok(())
            }
        }
    }

    /// Removes the position: the device begins anew.
    pub(crate) fn forget(&self) {
        match &self.place {
            Place::Folder(folder) => {
                let _ = fs::remove_file(folder.join(&self.name));
            }
            Place::Memory(positions) => {
                lock(positions).remove(&self.name);
            }
        }
    }
}

/// Moves back positions that are ahead of the trail: a power failure may take lines that a device had already.
pub(crate) fn hold_back(folder: &Path, next: u64) -> io::Result<()> {
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "cursor")
            && read(&path).is_some_and(|ahead| ahead > next)
        {
            write(&path, next)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn write(path: &Path, next: u64) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{next}")?;
    fs::rename(draft, path)
}
