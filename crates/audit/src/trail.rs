use crate::{DeviceSpec, DeviceStatus, Entry, TrailError};
use std::path::PathBuf;
use std::sync::Arc;
use strongroom_model::Clock;

/// Where the trail is kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder of its own, in segments.
    Folder(PathBuf),
    /// In memory, the latest entries only: for a server that keeps nothing (`-dev`, `inmem`).
    Memory,
}

/// Signs checkpoints; implemented by whoever holds the key. Exists only while unsealed.
pub trait Seal: Send + Sync {
    /// Signs with Ed25519.
    fn sign(&self, message: &[u8]) -> [u8; 64];
    /// The public part of the key.
    fn public_key(&self) -> [u8; 32];
    /// The store's generation, to be recorded in checkpoints.
    fn generation(&self) -> u64;
}

/// Where an entry stands in the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the entry, from 0.
    pub seq: u64,
}

/// How the trail does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailHealth {
    /// Whether entries are taken.
    pub writable: bool,
    /// Entries written.
    pub entries: u64,
    /// The store generation in the last checkpoint, 0 when there is none.
    pub last_generation: u64,
    /// The last error.
    pub error: Option<String>,
}

/// The trail, open for appending.
pub struct Trail {}

impl Trail {
    /// Opens or creates it, checks the end of it, and goes on from there. A torn last line (a crash while writing) is
    /// cut off and noted.
    pub async fn open(_place: Place, _clock: Arc<dyn Clock>) -> Result<Arc<Self>, TrailError> {
        unimplemented!()
    }

    /// Writes an entry. When it returns, the entry survives the death of this process; it is synced to disk with the
    /// next checkpoint, at most a second later.
    pub async fn append(&self, _entry: Entry) -> Result<Receipt, TrailError> {
        unimplemented!()
    }

    /// From now on checkpoints are signed with this; `None` when the server is sealed.
    pub async fn set_seal(&self, _seal: Option<Arc<dyn Seal>>) {
        unimplemented!()
    }

    /// Starts a device.
    pub async fn enable(&self, _spec: DeviceSpec) -> Result<(), TrailError> {
        unimplemented!()
    }

    /// Stops a device; `false` when there is none at that path.
    pub async fn disable(&self, _path: &str) -> bool {
        unimplemented!()
    }

    /// How each device does.
    pub fn devices(&self) -> Vec<DeviceStatus> {
        unimplemented!()
    }

    /// Reopens files (on HUP, after they were moved away).
    pub async fn reopen(&self) {
        unimplemented!()
    }

    /// How the trail does.
    pub fn health(&self) -> TrailHealth {
        unimplemented!()
    }

    /// Writes a last checkpoint, flushes the devices (within their deadline) and stops.
    pub async fn close(&self) {
        unimplemented!()
    }
}
