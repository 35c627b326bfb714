//! Copies of the trail for collectors of logs, beside the audit devices that Vault knows: each destination a task of its
//! own that reads the trail behind its writer.
//!
//! Invariants: no request waits for a destination; every entry is sent at least once, in order, and what was taken is
//! noted durably, so that a restart or a death of the process leaves nothing out and repeats a little; a destination that
//! takes nothing is waited for without end, and how far it is behind can be seen. Sealed, nothing is sent: names of tokens
//! could not be hashed. Knows nothing of what entries mean.

mod carrier;
mod far_end;
mod frame;
mod worker;

pub use far_end::{Facility, FarEnd, NewShipper, Shipper, Transport};
pub use strongroom_audit::Form as ShipFormat;
pub use worker::ShipperStatus;

use crate::configured::Configured;
use crate::metrics::Metrics;
use crate::records::Records;
use crate::task::Tasks;
use crate::{CoreError, Grant};
use far_end::Shippers;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strongroom_audit::Trail;
use strongroom_model::{Clock, Timestamp};
use worker::{Control, Worker};

/// More destinations than anybody needs; each costs a waiting thread.
const MOST: usize = 16;

/// All destinations.
pub struct Shipping {
    shippers: Configured<Shippers>,
    running: Mutex<BTreeMap<String, Running>>,
    trail: Arc<Trail>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Held while one is added or removed, so that no two tasks have one position.
    changing: tokio::sync::Mutex<()>,
}

struct Running {
    tasks: Tasks,
    control: Arc<Control>,
}

/// From where entries are sent again.
pub enum Replay {
    /// From the entry with this number.
    Entry(u64),
    /// From the first entry at or after this time.
    Time(Timestamp),
}

impl Shipping {
    pub(crate) async fn load(
        records: &Arc<Records>,
        trail: &Arc<Trail>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CoreError> {
        Ok(Self {
            shippers: Configured::load(records, "shippers").await?,
            running: Mutex::default(),
            trail: Arc::clone(trail),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Starts all that there are.
    pub(crate) fn begin(&self) {
        for shipper in self.shippers.current().0.values() {
            if let Err(error) = shipper.claim(&self.trail) {
                // Added before that was refused: what it has sent so far is not broken off.
                tracing::error!(destination = shipper.name, %error, "two write to one file");
            }
            self.start(shipper.clone());
        }
    }

    /// Stops all; each goes on where it was when the server is unsealed again.
    pub(crate) async fn end(&self) {
        let running = std::mem::take(&mut *self.running());
        running.values().for_each(|one| one.tasks.tell_to_stop());
        for (name, one) in running {
            one.tasks.finish().await;
            self.trail.release_file(&owner(&name));
        }
    }

    /// Adds a destination and starts it. It gets what happens from now on, or from where it was asked for.
    pub async fn add(&self, grant: &Grant, mut new: NewShipper) -> Result<(), CoreError> {
        let _changing = self.changing.lock().await;
        let from = match new.from.take() {
            Some(from) => self.place(from).await?,
            None => self.trail.health().entries,
        };
        let shipper = new.checked(from, self.clock.now())?;
        if self.shippers.current().0.contains_key(&shipper.name) {
            return Err(exists(&shipper.name));
        }
        shipper.claim(&self.trail)?;
        let added = self.add_claimed(grant, shipper.clone()).await;
        if added.is_err() {
            self.trail.release_file(&owner(&shipper.name));
        }
        added
    }

    async fn add_claimed(&self, grant: &Grant, shipper: Shipper) -> Result<(), CoreError> {
        shipper.probe(&self.trail).await?;
        let kept = shipper.clone();
        let add = move |shippers: &mut Shippers| {
            if shippers.0.contains_key(&kept.name) {
                return Err(exists(&kept.name));
            }
            if shippers.0.len() >= MOST {
                return Err(CoreError::TooLarge(format!("there are {MOST} destinations already; remove one first")));
            }
            shippers.0.insert(kept.name.clone(), kept);
            Ok(())
        };
        // A position that a crash left behind from one of the same name would leave entries out.
        self.trail.forget_reader(&shipper.name);
        self.shippers.change(grant, add).await?;
        self.start(shipper);
        Ok(())
    }

    /// Stops a destination and forgets it; `false` when there is none of that name.
    pub async fn remove(&self, grant: &Grant, name: &str) -> Result<bool, CoreError> {
        let _changing = self.changing.lock().await;
        let mut was_there = false;
        let there = &mut was_there;
        let remove = move |shippers: &mut Shippers| {
            *there = shippers.0.remove(name).is_some();
            Ok(())
        };
        self.shippers.change(grant, remove).await?;
        self.halt(name).await;
        if was_there {
            self.trail.release_file(&owner(name));
            self.trail.forget_reader(name);
        }
        Ok(was_there)
    }

    /// Sends entries again from a place on; gives the number of the first one.
    pub async fn replay(&self, _grant: &Grant, name: &str, from: Replay) -> Result<u64, CoreError> {
        let _changing = self.changing.lock().await;
        let place = self.place(from).await?;
        let control = self.running().get(name).map(|one| Arc::clone(&one.control));
        let missing =
            || CoreError::NotFound("there is no destination of that name; see `strongroom shipping list`".to_owned());
        control.ok_or_else(missing)?.replay(place);
        Ok(place)
    }

    /// Every destination and how it does, by name.
    pub fn status(&self) -> Vec<ShipperStatus> {
        let written = self.trail.health().entries;
        let running = self.running();
        let shippers = self.shippers.current();
        let of = |shipper: &Shipper| {
            let control = running.get(&shipper.name).map(|one| Arc::clone(&one.control)).unwrap_or_default();
            control.status(shipper, written, self.clock.now())
        };
        shippers.0.values().map(of).collect()
    }

    fn start(&self, shipper: Shipper) {
        let control = Arc::new(Control::default());
        let tasks = Tasks::new();
        let name = shipper.name.clone();
        let worker = Worker::new(shipper, &self.trail, &self.metrics, &self.clock, &control);
        tasks.start(|stop| worker.run(stop));
        self.running().insert(name, Running { tasks, control });
    }

    async fn halt(&self, name: &str) {
        let running = self.running().remove(name);
        if let Some(running) = running {
            running.tasks.finish().await;
        }
    }

    async fn place(&self, from: Replay) -> Result<u64, CoreError> {
        let time = match from {
            Replay::Entry(number) => return Ok(number),
            Replay::Time(time) => time,
        };
        let query = strongroom_audit::Query { from: Some(time.nanos()), limit: 1, ..Default::default() };
        let page = self.trail.query(query).await?;
        Ok(page.rows.first().map_or(page.end, |row| row.seq))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a destination is called where a file has two writers.
fn owner(name: &str) -> String {
    format!("the destination `{name}`")
}

fn exists(name: &str) -> CoreError {
    CoreError::Exists(format!("there is a destination `{name}` already; remove it first"))
}
