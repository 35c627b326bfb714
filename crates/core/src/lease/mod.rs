//! Keeps the promise that every credential handed out dies on time. A lease is stored before its credential exists, so a
//! crash can leave a lease without a credential but never a credential without a lease.
//!
//! Expiry and every way of revoking are one path: a lease is marked, recalled with others or comes due, and its lane ends
//! it, again and again until that works. Nothing but lanes, recalls and the counts per path is loaded at start. Does not know how to make or
//! unmake a credential: engines do.

mod alarm;
mod beat;
mod book;
mod cut;
mod diary;
mod issue;
mod lane;
mod ledger;
mod look;
mod order;
mod pace;
mod recall;
mod record;
mod renew;
mod revoke;
mod run;
mod upkeep;
mod whole;
mod worker;

pub(crate) use book::Book;
pub(crate) use cut::LeaseScope;
pub use diary::{Deed, Diary};
pub(crate) use issue::Made;
pub(crate) use ledger::{Cap, CapScope};
pub use look::{Irrevocable, LeaseGauges, LeaseView};
pub use order::{Granted, Issuance, LeaseEnd, LeaseOrder, LeaseOwner, LeaseTerms};
pub(crate) use record::cut;

use crate::event::Hub;
use crate::identity::Identity;
use crate::metrics::{Counter, Labels, Metrics, Timing, Watch};
use crate::mount::Mounts;
use crate::quota::Quotas;
use crate::task::Tasks;
use crate::token::Tokens;
use crate::webhook::Webhooks;
use crate::{CoreError, Grant};
use alarm::Alarms;
use cut::Looks;
use lane::Lane;
use pace::Pace;
use record::{LaneNote, LeaseKey, lanes};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_audit::Trail;
use strongroom_model::{Clock, Entropy, MountId};
use upkeep::Upkeep;

/// How long after it was recorded a lease may stay pending. Its credential is taken for possibly made from then on.
const GRACE: Duration = Duration::from_secs(120);
/// A clock that went back by less was corrected, not turned.
const SLACK: Duration = Duration::from_secs(2);

/// Leases, and the engines behind them.
pub struct Leases {
    book: Arc<Book>,
    mounts: Arc<Mounts>,
    tokens: Arc<Tokens>,
    identity: Arc<Identity>,
    quotas: Arc<Quotas>,
    trail: Arc<Trail>,
    events: Arc<Hub>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    upkeep: Upkeep,
    pace: Pace,
    looks: Looks,
    alarms: Alarms,
    meters: Meters,
    /// Removed mounts whose leases are all marked.
    ended: Mutex<HashSet<MountId>>,
    failing: AtomicU64,
    /// What had happened when they were counted.
    counted_at: AtomicU64,
    last_seen: AtomicU64,
    went_back: AtomicBool,
    tasks: Tasks,
}

/// What is counted.
struct Meters {
    issue: Arc<Timing>,
    revoke: Arc<Timing>,
    renew: Watch,
    revoke_prefix: Watch,
    revoke_force: Watch,
    look_up: Watch,
    issued: Arc<Counter>,
    renewed: Arc<Counter>,
    revoked: Arc<Counter>,
    failed: Arc<Counter>,
}

impl Meters {
    fn of(metrics: &Metrics, clock: &Arc<dyn Clock>) -> Self {
        let counter = |name| metrics.counter(name, Labels::new());
        let watch = |name| metrics.watch(name, clock);
        let issue = metrics.timing("strongroom.lease.issue.duration.seconds", Labels::new());
        metrics.also_name(&issue, "vault.expire.register");
        Self {
            issue,
            renew: watch("vault.expire.renew"),
            revoke_prefix: watch("vault.expire.revoke-prefix"),
            revoke_force: watch("vault.expire.revoke-force"),
            look_up: watch("vault.expire.fetch-lease-times"),
            revoke: metrics.timing("vault.expire.revoke", Labels::new()),
            issued: counter("strongroom.lease.issued.total"),
            renewed: counter("strongroom.lease.renewed.total"),
            revoked: counter("strongroom.lease.revoked.total"),
            failed: counter("strongroom.lease.revoke.failed.total"),
        }
    }
}

/// What leases are built from.
pub(crate) struct LeaseParts<'a> {
    pub(crate) book: &'a Arc<Book>,
    pub(crate) mounts: &'a Arc<Mounts>,
    pub(crate) tokens: &'a Arc<Tokens>,
    pub(crate) identity: &'a Arc<Identity>,
    pub(crate) quotas: &'a Arc<Quotas>,
    pub(crate) trail: &'a Arc<Trail>,
    pub(crate) events: &'a Arc<Hub>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) entropy: &'a Arc<dyn Entropy>,
}

impl Leases {
    pub(crate) fn new(parts: LeaseParts<'_>) -> Self {
        Self {
            book: Arc::clone(parts.book),
            mounts: Arc::clone(parts.mounts),
            tokens: Arc::clone(parts.tokens),
            identity: Arc::clone(parts.identity),
            quotas: Arc::clone(parts.quotas),
            trail: Arc::clone(parts.trail),
            events: Arc::clone(parts.events),
            clock: Arc::clone(parts.clock),
            entropy: Arc::clone(parts.entropy),
            upkeep: Upkeep::default(),
            pace: Pace::new(),
            looks: Looks::default(),
            alarms: Alarms::default(),
            meters: Meters::of(parts.metrics, parts.clock),
            ended: Mutex::default(),
            failing: AtomicU64::new(0),
            counted_at: AtomicU64::new(u64::MAX),
            last_seen: AtomicU64::new(0),
            went_back: AtomicBool::new(false),
            tasks: Tasks::new(),
        }
    }

    /// Begins to see to what is due. Reads the lanes and the counts, and no lease.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<(), CoreError> {
        let mounts: Vec<MountId> = self.mounts.table().with_leases().collect();
        self.book.ledger.begin(mounts.into_iter(), &self.tasks).await?;
        for listed in self.book.records.scan_all::<LaneNote>(&lanes()).await? {
            let note = listed.value;
            self.lane(note.mount, &note.name).noted(note.longest);
        }
        self.book.load_recalls().await?;
        self.finish_moves().await?;
        let leases = Arc::clone(self);
        self.tasks.start(|stop| leases.keep_recalls(stop));
        let leases = Arc::clone(self);
        self.tasks.start(|mut stop| async move {
            let mut every_second = tokio::time::interval(Duration::from_secs(1));
            every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = every_second.tick() => leases.tick(),
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
        });
        Ok(())
    }

    /// Stops seeing to anything; what was begun is due again after the next unsealing. Closes the engines.
    pub(crate) async fn end(&self) {
        self.tasks.finish().await;
        let engines: Vec<_> = self.mounts.table().engines().map(|(_, engine)| Arc::clone(engine)).collect();
        for engine in engines {
            engine.close().await;
        }
    }

    /// Rings wherever the time has come.
    fn tick(&self) {
        let now = self.clock.now();
        let before = self.last_seen.swap(now.nanos(), Ordering::SeqCst);
        let is_back = now.plus(SLACK).nanos() < before;
        if is_back {
            self.went_back.store(true, Ordering::SeqCst);
            self.upkeep.ring_all();
        }
        for lane in self.book.lanes.all() {
            if is_back {
                lane.clock_went_back.store(true, Ordering::SeqCst);
                lane.release();
            }
            if is_back || lane.beat.is_due(now) {
                lane.beat.begin();
                lane.beat.ring();
            }
        }
        self.book.recalls.begin();
        self.upkeep.tick(self);
    }

    /// Notes that a request came: what nobody waits for steps back while many come.
    pub(crate) fn visited(&self) {
        self.pace.visited();
    }

    /// Whether the clock was seen going back since the server was unsealed.
    fn seen_back(&self) -> bool {
        self.went_back.load(Ordering::SeqCst)
    }

    /// One round of everything that is due, waited for: for tests that turn the clock.
    pub async fn settle(&self) {
        self.tick();
        self.upkeep.settle().await;
        self.book.recalls.settle().await;
        let lanes = self.book.lanes.all();
        let tickets: Vec<_> = lanes.iter().map(|lane| lane.beat.ring()).collect();
        for (lane, ticket) in lanes.iter().zip(tickets) {
            lane.beat.over(ticket).await;
        }
    }

    /// What housekeeping does every second: entities that were cut off, the number of leases that fail, and
    /// whether somebody should know.
    pub(crate) async fn keep_house(&self, webhooks: &Webhooks) -> Result<(), CoreError> {
        self.book.carry_out_cuts().await?;
        self.count_failing().await?;
        self.tell_of_trouble(webhooks).await
    }

    /// Has everything tried now that was put off, without waiting for it.
    pub fn tidy(self: &Arc<Self>, _grant: &Grant) {
        self.wake(None);
    }

    /// Has everything of a mount, or of all, tried now that was put off: outside systems that were away, and leases that
    /// failed by themselves. In the background, since they may be many.
    fn wake(self: &Arc<Self>, mount: Option<MountId>) {
        let is_meant = move |id: MountId| mount.is_none_or(|mount| mount == id);
        for lane in self.book.lanes.all().into_iter().filter(|lane| is_meant(lane.mount)) {
            lane.release();
            lane.beat.ring();
        }
        let leases = Arc::clone(self);
        self.tasks.start(|mut stop| async move {
            let woken = tokio::select! {
                woken = leases.book.wake_failing(is_meant) => woken,
                _ = stop.wait_for(|stop| *stop) => Ok(()),
            };
            if let Err(error) = woken {
                tracing::warn!(%error, "leases that were put off could not be woken; they are tried at their time");
            }
        });
    }

    /// The lane of that name; its task is started when it is new.
    fn lane(self: &Arc<Self>, mount: MountId, name: &str) -> Arc<Lane> {
        let (lane, is_new) = self.book.lanes.find_or_make(mount, name);
        if is_new {
            let (leases, lane) = (Arc::clone(self), Arc::clone(&lane));
            self.tasks.start(|stop| leases.keep_lane(lane, stop));
        }
        lane
    }

    /// The limit on leases that a new one on this path has to keep.
    fn cap_of(&self, key: &LeaseKey) -> Option<Cap> {
        let table = self.mounts.table();
        self.quotas.lease_cap(table.by_id(key.mount)?, &key.path)
    }
}
