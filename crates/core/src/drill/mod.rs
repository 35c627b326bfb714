//! Drills: how fast something can be cut off, found out by cutting off a canary of the same kind.
//!
//! A canary is made, used through the server's own door or on the outside system as its users do, cut off by the very
//! act of an emergency, and used again until it is refused. Nothing of anybody's is touched, unless a real rotation was
//! asked for. Invariants: what will be made is recorded before it is made, and taken away again, also after a crash;
//! figures are measured, and what is concluded from them is labelled so; who may not read the target cannot have it
//! drilled, and who may not know of it does not learn of its drills. Decides nothing about real incidents.

mod book;
mod canary;
mod door;
mod order;
mod record;
mod run;
mod standing;
mod table;
mod target;
mod trial;
mod upkeep;

pub(crate) use door::Doorway;
pub use door::{Door, Met, Rehearses};
pub use order::{Order, Preview};
pub use record::{CredentialType, Drill, RotationTrial, Trial, Verdict};
pub use standing::{Planned, Settings, Wish};
pub use table::{Fetched, History, Learns, Row, Table, Trend};

use crate::CoreError;
use crate::access_key::AccessKeys;
use crate::configured::Configured;
use crate::emergency::Emergency;
use crate::identity::Identity;
use crate::lease::Leases;
use crate::metrics::Metrics;
use crate::mount::Mounts;
use crate::policy::PolicyStore;
use crate::records::Records;
use crate::rotation::Rotations;
use crate::secret::Secrets;
use crate::task::Tasks;
use crate::token::Tokens;
use crate::webhook::Webhooks;
use book::Book;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use strongroom_audit::Trail;
use strongroom_model::{Clock, Entropy};
use tokio::sync::watch;

/// What the trail, policies and alerts call whoever a drill makes. No caller can have this name: see [`not_a_canary`], and
/// those of tokens made by hand begin otherwise.
pub(crate) const CANARY: &str = "drill-canary";

/// The name of a caller who is no drill's. A mount `drill` with a user `canary`, or a role with such a session, would raise no
/// alerts by its name.
pub(crate) fn not_a_canary(name: String) -> String {
    if name.strip_prefix("access-key-").unwrap_or(&name) == CANARY { name + "-login" } else { name }
}

/// Rehearses revocation.
pub struct Drills {
    book: Book,
    settings: Configured<Settings>,
    rooms: Rooms,
    doorway: Arc<Doorway>,
    /// Drills that somebody works at.
    active: Mutex<HashSet<String>>,
    /// One at a time: two at once would measure each other.
    turn: tokio::sync::Mutex<()>,
    /// Held by whoever sees to what is due: what is planned begins once.
    looking: tokio::sync::Mutex<()>,
    ended: watch::Sender<u64>,
    /// Nanoseconds: nothing is due before, as far as is known.
    due: AtomicU64,
    tasks: Tasks,
}

/// The rooms that a drill goes through.
pub(crate) struct Rooms {
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) policies: Arc<PolicyStore>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) access_keys: Arc<AccessKeys>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) rotations: Arc<Rotations>,
    pub(crate) emergency: Arc<Emergency>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Drills {
    pub(crate) async fn load(records: &Arc<Records>, rooms: Rooms, doorway: &Arc<Doorway>) -> Result<Self, CoreError> {
        Ok(Self {
            book: Book::new(records),
            settings: Configured::load(records, "drills").await?,
            rooms,
            doorway: Arc::clone(doorway),
            active: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            looking: tokio::sync::Mutex::new(()),
            ended: watch::Sender::new(0),
            due: AtomicU64::new(0),
            tasks: Tasks::new(),
        })
    }

    /// Begins to see to what is due, and to what a crash left behind.
    pub(crate) fn begin(self: &Arc<Self>) {
        let drills = Arc::clone(self);
        self.tasks.start(|stop| drills.keep(stop));
    }

    /// Stops anywhere; canaries that are left are taken away after the next unsealing.
    pub(crate) async fn end(&self) {
        self.tasks.finish().await;
    }
}
