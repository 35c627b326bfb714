//! The handle to the trail: what the rest of the server sees of it.
//!
//! An entry is put into words on the caller's task, then numbered, chained and written, by the caller itself when nobody
//! else writes; a keeper task syncs and signs. Devices read what is written and are never waited for. Dropping the
//! handle stops all of them without waiting; [`Trail::close`] is the orderly end.

use crate::chain::{hash, unspeakable};
use crate::desk::Desk;
use crate::device::{Devices, SharedRedactor, cursor};
use crate::folder::{self, Folder};
use crate::index::Index;
use crate::keeper::Keeper;
use crate::medium::{Medium, Ring};
use crate::resume::Resumed;
use crate::shared::Shared;
use crate::writer::{Command, Writer, WriterState};
use crate::{Checkpoint, DeviceSpec, DeviceStatus, Entry, Redacted, Redactor, TrailError};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use strongroom_model::Clock;
use tokio::task::{JoinSet, spawn_blocking};

/// An entry larger than this loses its data: a list of a hundred thousand names tells an auditor no more than their
/// number does, and one line must fit into the memory of whoever reads it.
const MAX_BODY: usize = 1024 * 1024;

/// Where the trail is kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder of its own, in segments.
    Folder(PathBuf),
    /// In memory, the latest entries only: for a server that keeps nothing (`-dev`, `inmem`).
    Memory,
}

/// When written entries are forced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// With each checkpoint: a power failure may lose the last second, the death of the process nothing.
    EachCheckpoint,
    /// Before any entry is acknowledged: a power failure loses nothing; each append waits for the disk.
    EachBatch,
}

/// How a trail is kept. `Options::default()` is what [`Trail::open`] takes.
#[derive(Clone, Debug)]
pub struct Options {
    /// When written entries are forced to disk.
    pub sync: SyncMode,
    /// Size in bytes from which on a new segment is begun (64 MiB).
    pub segment_bytes: u64,
    /// The longest an entry stays without a signed checkpoint while there is a key (1 s).
    pub checkpoint_every: Duration,
    /// Entries that may wait for the writer before callers wait (4096).
    pub queue: usize,
    /// Lines kept by a trail in memory (10,000).
    pub ring: usize,
    /// The keys that may have signed the checkpoints of a trail that is opened; any key when empty (empty).
    pub keys: Vec<[u8; 32]>,
    /// How long a device may take no entry, with some waiting, until it counts as failed (2 s).
    pub device_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: SyncMode::EachCheckpoint,
            segment_bytes: 64 * 1024 * 1024,
            checkpoint_every: Duration::from_secs(1),
            queue: 4096,
            ring: 10_000,
            keys: Vec::new(),
            device_deadline: Duration::from_secs(2),
        }
    }
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
    /// The number of its line. The first line of a trail, number 0, is the trail's own.
    pub seq: u64,
}

/// How the trail does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailHealth {
    /// Whether entries are taken.
    pub writable: bool,
    /// Lines written: entries, checkpoints, the trail's own.
    pub entries: u64,
    /// The store generation in the last checkpoint, 0 when there is none.
    pub last_generation: u64,
    /// The last error.
    pub error: Option<String>,
}

/// The trail, open for appending.
pub struct Trail {
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    source: Source,
    devices: Arc<Devices>,
    index: Index,
    keeper: Mutex<Option<(Keeper, JoinSet<()>)>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held while segments are archived.
    pub(crate) archiving: tokio::sync::Mutex<()>,
}

/// Where written lines can be read again.
#[derive(Clone)]
pub(crate) enum Source {
    /// From segments.
    Folder(PathBuf),
    /// From the ring.
    Memory(Arc<Ring>),
}

impl Source {
    /// The folder, if there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Source::Folder(folder) => Some(folder),
            Source::Memory(_) => None,
        }
    }
}

impl Trail {
    /// Opens or creates it, checks the end of it, and goes on from there. What a crash or a power failure left of lines
    /// that were not signed yet is set aside in a file of its own, and the trail says so. Damage to what is signed is
    /// [`TrailError::Broken`].
    pub async fn open(place: Place, clock: Arc<dyn Clock>) -> Result<Arc<Self>, TrailError> {
        Self::open_with(place, clock, Options::default()).await
    }

    /// As [`Trail::open`], with other options than the usual ones.
    pub async fn open_with(place: Place, clock: Arc<dyn Clock>, options: Options) -> Result<Arc<Self>, TrailError> {
        let found = spawn_blocking({
            let options = options.clone();
            move || find(place, &options)
        });
        let (medium, resumed, source) = found.await.map_err(|error| stopped("opening the audit trail", error))??;
        let shared = Arc::new(Shared::default());
        if let Some(checkpoint) = resumed.checkpoint {
            shared.set_checkpoint(checkpoint);
        }
        shared.publish(resumed.head.next, resumed.unsigned, medium.position());
        let writer = Writer {
            medium,
            head: resumed.head,
            unsigned: resumed.unsigned,
            durable: 0,
            clock,
            sync: options.sync,
            shared: Arc::clone(&shared),
            seal: None,
            state: WriterState::Good,
            untold: None,
            pending: Vec::new(),
            buffer: Vec::new(),
        };
        let trail = Self::start(writer, shared, source, &options)?;
        for cut in &resumed.cuts {
            trail.desk.send(Command::Note(Box::new(cut.event()))).await?;
        }
        Ok(trail)
    }

    fn start(writer: Writer, shared: Arc<Shared>, source: Source, options: &Options) -> Result<Arc<Self>, TrailError> {
        let desk = Arc::new(Desk::new(writer, options.queue, Arc::clone(&shared)));
        let thread = thread::Builder::new().name("trail-writer".to_owned());
        let writer = thread.spawn({
            let desk = Arc::clone(&desk);
            move || desk.serve()
        });
        let writer = writer.map_err(|error| stopped("starting the audit trail's writer", error))?;
        let devices = Arc::new(Devices::new(Arc::clone(&shared), source.clone(), options.device_deadline));
        let index = Index::start(source.clone(), Arc::clone(&shared));
        let index = index.map_err(|error| stopped("starting the audit trail's index", error))?;
        let every = options.checkpoint_every;
        let keeper = Keeper::new(Arc::clone(&desk), Arc::clone(&shared), Arc::clone(&devices), every);
        let mut task = JoinSet::new();
        task.spawn(keeper.clone().run());
        Ok(Arc::new(Self {
            desk,
            shared,
            source,
            devices,
            index,
            keeper: Mutex::new(Some((keeper, task))),
            writer: Mutex::new(Some(writer)),
            archiving: tokio::sync::Mutex::default(),
        }))
    }

    /// Writes an entry. When it returns, the entry survives the death of this process; it is synced to disk with the
    /// next checkpoint, at most a second later. Dropping the future does not take back an entry already handed over.
    ///
    /// What is waited for holds the words alone: whoever records carries no room for an entry besides.
    pub fn append(&self, entry: Entry) -> impl Future<Output = Result<Receipt, TrailError>> + Send + '_ {
        let body = spell(entry);
        async move { self.desk.append(body?).await }
    }

    /// From now on checkpoints are signed with this; `None` when the server is sealed: what is written by then is
    /// signed before the key goes.
    pub async fn set_seal(&self, seal: Option<Arc<dyn Seal>>) {
        self.desk.ask(|answer| Command::Seal { seal, answer }).await;
    }

    /// What devices hash accessors with, from now on; `None` when the server is sealed. Without it they leave accessors
    /// out.
    pub fn set_redactor(&self, redactor: Option<Arc<dyn Redactor>>) {
        self.devices.set_redactor(redactor);
    }

    /// Starts a device. Fails at once when it could not be written to. A device that was running when the server stopped
    /// or devices were suspended, and is enabled again under the same path and with the same file, gets what it missed.
    pub async fn enable(&self, spec: DeviceSpec) -> Result<(), TrailError> {
        self.devices.enable(spec).await
    }

    /// Starts a device that was enabled before, as after unsealing. Fails only when its options cannot be served: where
    /// its far end is not there, it is tried again until it is.
    pub async fn resume(&self, spec: DeviceSpec) -> Result<(), TrailError> {
        self.devices.resume(spec).await
    }

    /// Stops a device for good; `false` when there is none at that path.
    pub async fn disable(&self, path: &str) -> bool {
        self.devices.disable(path).await
    }

    /// Stops all devices until they are enabled again, after they were given their deadline to take what is written: for
    /// sealing, when nobody can hash for them any more. What is written meanwhile, they get then.
    pub async fn suspend_devices(&self) {
        self.devices.suspend().await;
    }

    pub(crate) fn claims(&self) -> &crate::device::claim::Claims {
        self.devices.claims()
    }

    pub(crate) fn ground(&self) -> &crate::device::ground::Ground {
        self.devices.ground()
    }

    /// How each device does.
    pub fn devices(&self) -> Vec<DeviceStatus> {
        self.devices.status()
    }

    /// Reopens files (on HUP, after they were moved away). Those of the devices only: the trail's own files have no
    /// business elsewhere while it is open. Devices do it before their next line.
    pub async fn reopen(&self) {
        self.devices.reopen();
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn positions(&self) -> Arc<cursor::Positions> {
        self.devices.positions()
    }

    pub(crate) fn redactor(&self) -> Arc<SharedRedactor> {
        self.devices.redactor()
    }

    /// What the trail is asked through.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How the trail does.
    pub fn health(&self) -> TrailHealth {
        self.shared.health()
    }

    /// The last checkpoint that is on disk. Keep one elsewhere: it proves that the trail was at least that long.
    pub fn last_checkpoint(&self) -> Option<Checkpoint> {
        self.shared.checkpoint()
    }

    /// Whether the trail is on disk, so that it has to be there again after a restart.
    pub fn is_kept(&self) -> bool {
        self.source.folder().is_some()
    }

    /// The hash of the line with this number, by which a checkpoint of `seq + 1` lines names it. `None` when the line is
    /// not there: never written, archived or lost. Looks for it in a file, so it is nothing for every request.
    pub async fn line_hash(&self, seq: u64) -> Result<Option<[u8; 32]>, TrailError> {
        let Some(folder) = self.source.folder().map(Path::to_owned) else { return Ok(None) };
        let read = spawn_blocking(move || match folder::line(&folder, seq) {
            Ok(line) => Ok(line.map(|line| hash(&line))),
            Err(source) => {
                Err(TrailError::Io { what: format!("cannot read the audit trail in {}", folder.display()), source })
            }
        });
        read.await.map_err(|error| stopped("reading the audit trail", error))?
    }

    /// Waits until a signed checkpoint on disk covers the entry: for an act so grave that the answer should wait for
    /// the proof. `None` when the trail is closed first. While sealed this waits for the unsealing.
    pub async fn signed(&self, receipt: Receipt) -> Option<Checkpoint> {
        self.shared.signed(receipt.seq).await
    }

    /// Syncs and signs now what would be within a second anyway.
    pub async fn checkpoint(&self) {
        let keeper = lock(&self.keeper).as_ref().map(|(keeper, _)| keeper.clone());
        if let Some(keeper) = keeper {
            keeper.checkpoint().await;
        }
    }

    /// The latest lines, oldest first, as they are written; checkpoints are among them.
    pub async fn recent(&self, count: usize) -> Vec<String> {
        match self.source.clone() {
            Source::Memory(ring) => ring.recent(count),
            Source::Folder(folder) => {
                let read = spawn_blocking(move || folder::recent(&folder, count)).await;
                read.ok().and_then(Result::ok).unwrap_or_default()
            }
        }
    }

    /// Writes a last checkpoint, flushes the devices (within their deadline) and stops.
    pub async fn close(&self) {
        let keeper = lock(&self.keeper).take();
        if let Some((keeper, mut task)) = keeper {
            keeper.stop();
            task.join_next().await;
        }
        self.desk.close();
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            let _ = spawn_blocking(move || writer.join()).await;
        }
        self.index.stop();
        self.devices.suspend().await;
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.desk.close();
        self.devices.abandon();
    }
}

/// Locks; a thread that panicked while it held the lock has left nothing half done that we would mind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to whoever comes too late.
pub(crate) fn closed() -> TrailError {
    TrailError::Unwritable { why: "it was closed".to_owned() }
}

fn stopped(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TrailError {
    TrailError::Io { what: format!("{what} failed"), source: std::io::Error::other(error) }
}

/// Looks at what is there; blocks.
fn find(place: Place, options: &Options) -> Result<(Medium, Resumed, Source), TrailError> {
    match place {
        Place::Folder(path) => {
            let folder = Folder::claim(path)?;
            let mut resumed = folder.resume(&options.keys)?;
            let source = Source::Folder(folder.path.clone());
            cursor::hold_back(&folder.path, resumed.head.next).map_err(|source| TrailError::Io {
                what: format!("cannot set back the audit devices' positions in {}", folder.path.display()),
                source,
            })?;
            let segment = resumed.segment.take();
            Ok((Medium::Folder { folder, segment, limit: options.segment_bytes }, resumed, source))
        }
        Place::Memory => {
            let ring = Arc::new(Ring::new(options.ring));
            Ok((Medium::Memory(Arc::clone(&ring)), Resumed::nowhere(), Source::Memory(ring)))
        }
    }
}

/// The entry as a JSON object of bounded size.
fn spell(mut entry: Entry) -> Result<Vec<u8>, TrailError> {
    let left_out = || Redacted::in_clear(&Value::from("left out: the entry would be larger than 1 MiB"));
    let mut body = Vec::with_capacity(entry.likely_length());
    serde_json::to_writer(&mut body, &entry).map_err(unspeakable)?;
    if body.len() > MAX_BODY {
        entry.response_data = left_out();
        body = serde_json::to_vec(&entry).map_err(unspeakable)?;
    }
    if body.len() > MAX_BODY {
        entry.request_data = left_out();
        body = serde_json::to_vec(&entry).map_err(unspeakable)?;
    }
    if body.len() > MAX_BODY {
        return Err(unspeakable("it is larger than 1 MiB even without data"));
    }
    Ok(body)
}
