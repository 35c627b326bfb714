//! Devices: copies of the trail for others, in the form that Vault writes.
//!
//! A device follows the trail by reading what is written, with a thread of its own, from a position that survives a
//! restart. Nothing is handed to it, so it can never hold up the trail; when it was stuck it goes on where it stopped,
//! and may repeat lines but leaves none out (in memory it may: the ring forgets, and the status counts). A device that
//! takes nothing for the length of the deadline counts as failed, and the trail says so.

pub(crate) mod claim;
pub(crate) mod cursor;
mod datagram;
pub(crate) mod follow;
pub(crate) mod ground;
pub(crate) mod option;
pub(crate) mod render;
pub(crate) mod sink;
mod stream;
mod syslog;
mod worker;

use crate::shared::{Shared, Written};
use crate::trail::{Source, lock};
use crate::{Entry, Redactor, TrailError};
use claim::Claims;
use cursor::{Cursor, Positions};
use ground::Ground;
use option::{DeviceOptions, Target};
use render::Renderer;
use serde::{Deserialize, Serialize};
use sink::Sink;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use worker::{Control, Worker};

/// A device as the operator asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// The path it is enabled under, without slash (`file`).
    pub path: String,
    /// `file`, `socket` or `syslog`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What people wrote about it.
    pub description: String,
    /// `file_path`, `address` and so on, as Vault names them.
    pub options: BTreeMap<String, String>,
}

/// How a device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The path it is enabled under.
    pub path: String,
    /// Whether it takes entries now.
    pub healthy: bool,
    /// Entries that wait for it.
    pub behind: u64,
    /// Lines that it will never get: forgotten by a trail in memory, or missing from the trail's folder.
    pub dropped: u64,
    /// The last error.
    pub error: Option<String>,
}

/// The key for what devices hash themselves; it comes and goes with the seal.
pub(crate) type SharedRedactor = Mutex<Option<Arc<dyn Redactor>>>;

/// All devices of a trail.
pub(crate) struct Devices {
    shared: Arc<Shared>,
    source: Source,
    deadline: Duration,
    redactor: Arc<SharedRedactor>,
    positions: Arc<Positions>,
    claims: Claims,
    ground: Ground,
    running: Mutex<BTreeMap<String, Device>>,
}

struct Device {
    control: Arc<Control>,
    thread: std::thread::JoinHandle<()>,
    watch: Watch,
    /// The name under which the trail tells what it met.
    event: &'static str,
}

/// A far end, and whether it can be written to now.
struct Tried {
    sink: Sink,
    opened: Result<(), TrailError>,
}

/// What was seen of a device at the last look.
struct Watch {
    progress: (u64, u64),
    since: Instant,
    /// Set while it counts as failed: it has recovered once it got this far.
    failed_at: Option<u64>,
}

impl Devices {
    /// None yet.
    pub(crate) fn new(shared: Arc<Shared>, source: Source, deadline: Duration) -> Self {
        Self {
            ground: Ground::new(source.folder()),
            shared,
            source,
            deadline,
            redactor: Arc::default(),
            positions: Arc::default(),
            claims: Claims::default(),
            running: Mutex::default(),
        }
    }

    /// Where positions in a trail in memory are kept.
    pub(crate) fn positions(&self) -> Arc<Positions> {
        Arc::clone(&self.positions)
    }

    /// Who writes to which file, devices and others.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Where no copy may be written.
    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }

    /// What hashes accessors, for others that copy the trail.
    pub(crate) fn redactor(&self) -> Arc<SharedRedactor> {
        Arc::clone(&self.redactor)
    }

    /// What hashes accessors from now on.
    pub(crate) fn set_redactor(&self, redactor: Option<Arc<dyn Redactor>>) {
        *lock(&self.redactor) = redactor;
    }

    /// Starts one, or says why it cannot work.
    pub(crate) async fn enable(&self, spec: DeviceSpec) -> Result<(), TrailError> {
        let (path, options) = self.check(spec)?;
        self.claim(&path, &options)?;
        let started = async {
            let sink = self.open(&options).await?;
            sink.opened?;
            self.start(path.clone(), &options, sink.sink, None)
        };
        let started = started.await;
        if started.is_err() {
            self.claims.release(&owner(&path));
        }
        started
    }

    fn claim(&self, path: &str, options: &DeviceOptions) -> Result<(), TrailError> {
        match &options.target {
            Target::File(file) => self.claims.claim(&owner(path), file),
            _ => Ok(()),
        }
    }

    /// Starts one that was enabled before. Where its far end is not there now, it goes on trying: what happens meanwhile
    /// waits in the trail.
    pub(crate) async fn resume(&self, spec: DeviceSpec) -> Result<(), TrailError> {
        let (path, options) = self.check(spec)?;
        if let Err(error) = self.claim(&path, &options) {
            // Enabled before that was refused: what it has taken so far is not broken off.
            tracing::error!(device = path, %error, "two write to one file");
        }
        let sink = self.open(&options).await?;
        let hindered = sink.opened.err().map(|error| error.to_string());
        if let Some(error) = &hindered {
            tracing::error!(device = path, %error, "an audit device does not work yet and is tried again");
        }
        self.start(path, &options, sink.sink, hindered)
    }

    fn check(&self, spec: DeviceSpec) -> Result<(String, DeviceOptions), TrailError> {
        let options = DeviceOptions::parse(&spec.kind, &spec.options)?;
        if lock(&self.running).contains_key(&spec.path) {
            return Err(TrailError::Device(format!("there is an audit device at `{}` already", spec.path)));
        }
        Ok((spec.path, options))
    }

    async fn open(&self, options: &DeviceOptions) -> Result<Tried, TrailError> {
        let (options, ground) = (options.clone(), self.ground.clone());
        let opened = spawn_blocking(move || {
            let mut sink = Sink::new(&options, &ground);
            let opened = sink.prove();
            Tried { sink, opened }
        });
        opened.await.map_err(|error| TrailError::Device(error.to_string()))
    }

    fn start(
        &self,
        path: String,
        options: &DeviceOptions,
        sink: Sink,
        hindered: Option<String>,
    ) -> Result<(), TrailError> {
        let mut running = lock(&self.running);
        let (shared, source, redactor) = (Arc::clone(&self.shared), self.source.clone(), Arc::clone(&self.redactor));
        let cursor = Cursor::new(&path, options, &source, &self.positions);
        let event = sink.event();
        let renderer = Renderer::new(options, redactor).of_device(&path);
        let worker = Worker::new(cursor, renderer, sink, shared, source, hindered);
        let control = worker.control();
        let thread = std::thread::Builder::new().name("audit-device".to_owned()).spawn(move || worker.run());
        let thread =
            thread.map_err(|source| TrailError::Io { what: "cannot start an audit device".to_owned(), source })?;
        let watch = Watch { progress: control.progress(), since: Instant::now(), failed_at: None };
        running.insert(path, Device { control, thread, watch, event });
        Ok(())
    }

    /// Stops one for good: enabled again, it will begin with what happens then.
    pub(crate) async fn disable(&self, path: &str) -> bool {
        let Some(device) = lock(&self.running).remove(path) else { return false };
        self.claims.release(&owner(path));
        device.control.stop_and_forget();
        self.shared.nudge();
        end(device, Instant::now() + self.deadline).await;
        true
    }

    /// Gives all of them until the deadline to take what is written, then stops them. Enabled again, each goes on there.
    pub(crate) async fn suspend(&self) {
        let running = std::mem::take(&mut *lock(&self.running));
        running.keys().for_each(|path| self.claims.release(&owner(path)));
        running.values().for_each(|device| device.control.drain());
        self.shared.nudge();
        let deadline = Instant::now() + self.deadline;
        for device in running.into_values() {
            end(device, deadline).await;
        }
    }

    /// Tells all of them to stop, without waiting.
    pub(crate) fn abandon(&self) {
        lock(&self.running).values().for_each(|device| device.control.stop());
        self.shared.nudge();
    }

    /// Makes all of them open their files anew.
    pub(crate) fn reopen(&self) {
        lock(&self.running).values().for_each(|device| device.control.reopen());
        self.shared.nudge();
    }

    /// How each does.
    pub(crate) fn status(&self) -> Vec<DeviceStatus> {
        let written = self.shared.written();
        let running = lock(&self.running);
        let each = running.iter().map(|(path, device)| DeviceStatus {
            path: path.clone(),
            healthy: device.watch.failed_at.is_none(),
            behind: written.next.saturating_sub(device.control.progress().0),
            dropped: device.control.dropped(),
            error: device.control.error(),
        });
        each.collect()
    }

    /// Looks at each; what the trail should say about them.
    pub(crate) fn look(&self) -> Vec<Entry> {
        let (written, now) = (self.shared.written(), Instant::now());
        let mut events = Vec::new();
        for (path, device) in lock(&self.running).iter_mut() {
            let (notes, event) = (device.control.take_notes().into_iter(), device.event);
            events.extend(notes.map(|note| Entry::event(event, path.as_str(), note)));
            events.extend(device.judge(path, written, now, self.deadline));
        }
        events
    }
}

/// What a device is called where a file has two writers.
fn owner(path: &str) -> String {
    format!("the audit device `{path}`")
}

impl Device {
    /// Whether it failed or recovered since the last look.
    fn judge(&mut self, path: &str, written: Written, now: Instant, deadline: Duration) -> Option<Entry> {
        let progress = self.control.progress();
        let watch = &mut self.watch;
        if watch.progress != progress || progress.0 >= written.next {
            watch.progress = progress;
            watch.since = now;
        }
        if watch.failed_at.is_none() && now.duration_since(watch.since) >= deadline {
            watch.failed_at = Some(written.next);
            let why = self.control.error().unwrap_or_else(|| "it is stuck".to_owned());
            let note =
                format!("it took no entry for {:.1} s: {why}; the trail goes on without it", deadline.as_secs_f64());
            tracing::error!(device = path, %note, "audit device failed");
            return Some(Entry::event("audit_device_failed", path, note));
        }
        if watch.failed_at.is_some_and(|at| progress.0 >= at) {
            watch.failed_at = None;
            tracing::info!(device = path, "audit device recovered");
            let note = format!("it has taken all entries up to number {}", progress.0.saturating_sub(1));
            return Some(Entry::event("audit_device_recovered", path, note));
        }
        None
    }
}

/// Waits for the thread until the deadline, tells it to stop, and waits a moment longer. A thread that hangs in a
/// system call (a dead network file system) cannot be ended; it is left behind and ends with the process.
async fn end(device: Device, deadline: Instant) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while !device.thread.is_finished() && Instant::now() < deadline {
        ticks.tick().await;
    }
    device.control.stop();
    device.thread.thread().unpark();
    let last = Instant::now() + Duration::from_millis(500);
    while !device.thread.is_finished() && Instant::now() < last {
        ticks.tick().await;
    }
    if device.thread.is_finished() {
        let _ = device.thread.join();
    } else {
        tracing::error!("an audit device hangs in a system call and was left behind");
    }
}
