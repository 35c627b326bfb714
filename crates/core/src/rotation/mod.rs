//! Rotation: gives a secret a new value in its outside system and here, without a moment in which readers have none
//! that works. Not to be mistaken for new terms of the encryption key, which are a matter of `ceremony`.
//!
//! A rotation is a row of phases, each stored before its act, and every act may be repeated; so it goes on after a crash
//! where it was. The new value is written as the version in preparation and put in force by moving a label, for all
//! dialects at the same instant. Whatever fails for good is rolled back, and the value in force stays. One rotation at a
//! time per secret; calls to one outside system are bounded. Knows no outside system: strategies do.

mod ahead;
mod alarm;
mod book;
mod crew;
mod drive;
mod emergency;
mod lane;
mod manage;
mod mask;
mod method;
mod record;
mod schedule;
mod step;
mod urge;
mod view;

pub use alarm::{Alarm, Alert, AlertKind};
pub use manage::{PlanChange, Reason};
pub use mask::hide;
pub use method::{Function, Made, Method, Methods, Order, Pin, Retired, Rotator, Step, StepOrder};
pub use record::{Called, Ending, Past, Plan};
pub use schedule::Schedule;
pub use urge::Urged;
pub(crate) use urge::cut_off;
pub use view::{Cancellation, Progress, RotationView};

use crate::CoreError;
use crate::access_key::AccessKeys;
use crate::metrics::Metrics;
use crate::mount::Mounts;
use crate::password_policy::PasswordPolicies;
use crate::records::Records;
use crate::secret::Secrets;
use crate::task::Tasks;
use crate::webhook::Webhooks;
use alarm::Signs;
use book::Book;
use lane::Lanes;
use record::{Key, Rotation};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_audit::Trail;
use strongroom_model::{Clock, Entropy, Timestamp};
use tokio::sync::{Notify, watch};

/// Rotations of secrets.
pub struct Rotations {
    book: Book,
    methods: Methods,
    mounts: Arc<Mounts>,
    secrets: Arc<Secrets>,
    access_keys: Arc<AccessKeys>,
    passwords: Arc<PasswordPolicies>,
    trail: Arc<Trail>,
    metrics: Arc<Metrics>,
    webhooks: Arc<Webhooks>,
    alarms: Vec<Arc<dyn Alarm>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    lanes: Lanes,
    /// Nanoseconds: nothing is due before, as far as is known.
    due: AtomicU64,
    /// Begun for a caller, and not seen by who drives them yet.
    fresh: Mutex<Vec<(Key, String)>>,
    wake: Notify,
    rings: AtomicU64,
    answered: watch::Sender<u64>,
    /// Grows whenever a rotation ends or a try fails, for those who wait for one.
    moved: watch::Sender<u64>,
    tasks: Tasks,
}

/// What rotations are built from.
pub(crate) struct RotationParts<'a> {
    pub(crate) records: &'a Arc<Records>,
    pub(crate) methods: &'a Methods,
    pub(crate) mounts: &'a Arc<Mounts>,
    pub(crate) secrets: &'a Arc<Secrets>,
    pub(crate) access_keys: &'a Arc<AccessKeys>,
    pub(crate) passwords: &'a Arc<PasswordPolicies>,
    pub(crate) trail: &'a Arc<Trail>,
    pub(crate) metrics: &'a Arc<Metrics>,
    pub(crate) webhooks: &'a Arc<Webhooks>,
    pub(crate) alarms: Vec<Arc<dyn Alarm>>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) entropy: &'a Arc<dyn Entropy>,
}

impl Rotations {
    pub(crate) fn new(parts: RotationParts<'_>) -> Self {
        let mut alarms: Vec<Arc<dyn Alarm>> = vec![Arc::new(Signs { metrics: Arc::clone(parts.metrics) })];
        alarms.extend(parts.alarms);
        Self {
            book: Book { records: Arc::clone(parts.records) },
            methods: parts.methods.clone(),
            mounts: Arc::clone(parts.mounts),
            secrets: Arc::clone(parts.secrets),
            access_keys: Arc::clone(parts.access_keys),
            passwords: Arc::clone(parts.passwords),
            trail: Arc::clone(parts.trail),
            metrics: Arc::clone(parts.metrics),
            webhooks: Arc::clone(parts.webhooks),
            alarms,
            clock: Arc::clone(parts.clock),
            entropy: Arc::clone(parts.entropy),
            lanes: Lanes::default(),
            due: AtomicU64::new(0),
            fresh: Mutex::default(),
            wake: Notify::new(),
            rings: AtomicU64::new(0),
            answered: watch::Sender::new(0),
            moved: watch::Sender::new(0),
            tasks: Tasks::new(),
        }
    }

    /// Begins to see to what is due.
    pub(crate) fn begin(self: &Arc<Self>) {
        let rotations = Arc::clone(self);
        self.tasks.start(|stop| crew::work(rotations, stop));
    }

    /// Stops anywhere; what was under way goes on after the next unsealing.
    pub(crate) async fn end(&self) {
        self.tasks.finish().await;
    }

    /// Waits until nothing is due and nothing under way: for tests that turn the clock.
    pub async fn settle(&self) {
        self.due.store(0, Ordering::SeqCst);
        let ticket = self.rings.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.answered.subscribe().wait_for(|answered| *answered >= ticket).await;
    }

    /// Notes that something is due at that time.
    fn expect(&self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.due.fetch_min(at.nanos(), Ordering::SeqCst);
            self.wake.notify_one();
        }
    }

    /// Has one that was begun driven, without a look into the index.
    fn hand_over(&self, begun: Option<&Rotation>) {
        if let Some(begun) = begun {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.push((begun.key.clone(), begun.lane.clone()));
            self.wake.notify_one();
        }
    }

    /// Whether there is a way to rotate of that name.
    pub fn knows(&self, name: &str) -> bool {
        self.methods.get(name).is_some()
    }

    fn method(&self, name: &str) -> Result<&Method, CoreError> {
        self.methods.get(name).ok_or_else(|| {
            let known = self.methods.names().collect::<Vec<_>>().join(", ");
            CoreError::Invalid(format!("there is no way to rotate called {name}; this server has: {known}"))
        })
    }
}
