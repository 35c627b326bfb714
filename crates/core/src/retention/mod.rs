//! How long the trail is kept, and what is kept whatever its age.
//!
//! Invariants: only whole segments leave, into archives that were read again before anything is removed, and not before
//! incidents have kept what they need of them; what falls under a
//! legal hold leaves neither the trail nor the archives while the hold stands; placing and lifting one is an entry with its
//! reason. Without a setting nothing ever leaves. Does not know how archives are made: the trail does.

mod hold;

pub use hold::{LegalHold, NewHold};
pub use strongroom_audit::{Absence, Archiving};

use crate::audit::{TrailMemory, TrailSeal};
use crate::configured::Configured;
use crate::incident::Incidents;
use crate::inquiry::Inquiry;
use crate::records::Records;
use crate::shipping::Shipping;
use crate::webhook::{Notice, Severity, Topic, Webhooks};
use crate::{CoreError, Grant};
use hold::Holds;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strongroom_audit::{ArchiveOrder, Entry, Hold, Trail, TrailError};
use strongroom_barrier::Barrier;
use strongroom_model::{Clock, Timestamp};
use tokio::sync::{Notify, watch};

/// How often it is looked whether something is old enough.
const PACE: Duration = Duration::from_secs(600);
/// Archives that one request makes: four segments each.
const AT_ONCE: usize = 4;
const DAY: u64 = 86_400;
/// A hundred years.
const LONGEST: u64 = 36_525;

/// How long the trail is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// Days after which segments leave for archives; never when not given.
    pub keep_days: Option<u64>,
    /// Where archives go; among the trail's files when not given.
    pub folder: Option<PathBuf>,
    /// Days after which archives in that folder are removed; never when not given.
    pub archives_keep_days: Option<u64>,
}

/// How the last round went.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// When it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Segments that left the trail.
    pub removed: u64,
    /// What stayed although it was old enough, and why.
    pub kept: Vec<Stayed>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Lines that stayed.
#[derive(Clone, Debug, Serialize)]
pub struct Stayed {
    /// The number of the first.
    pub first: u64,
    /// The number behind the last.
    pub next: u64,
    /// Why.
    pub why: String,
}

/// Keeps the trail as long as it is to be kept.
pub struct Retention {
    keeping: Configured<Keeping>,
    holds: Configured<Holds>,
    trail: Arc<Trail>,
    barrier: Arc<Barrier>,
    memory: Arc<TrailMemory>,
    shipping: Arc<Shipping>,
    incidents: Arc<Incidents>,
    webhooks: Arc<Webhooks>,
    clock: Arc<dyn Clock>,
    last: Mutex<Round>,
    wake: Notify,
    /// Held while something leaves, and while a hold is placed: what is being removed is not held too late.
    working: tokio::sync::Mutex<()>,
}

/// What it is built from.
pub(crate) struct RetentionParts<'a> {
    pub(crate) records: &'a Arc<Records>,
    pub(crate) trail: &'a Arc<Trail>,
    pub(crate) barrier: &'a Arc<Barrier>,
    pub(crate) memory: &'a Arc<TrailMemory>,
    pub(crate) shipping: &'a Arc<Shipping>,
    pub(crate) incidents: &'a Arc<Incidents>,
    pub(crate) webhooks: &'a Arc<Webhooks>,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

impl Retention {
    pub(crate) async fn load(parts: RetentionParts<'_>) -> Result<Self, CoreError> {
        Ok(Self {
            keeping: Configured::load(parts.records, "trail-keeping").await?,
            holds: Configured::load(parts.records, "trail-holds").await?,
            trail: Arc::clone(parts.trail),
            barrier: Arc::clone(parts.barrier),
            memory: Arc::clone(parts.memory),
            shipping: Arc::clone(parts.shipping),
            incidents: Arc::clone(parts.incidents),
            webhooks: Arc::clone(parts.webhooks),
            clock: Arc::clone(parts.clock),
            last: Mutex::default(),
            wake: Notify::new(),
            working: tokio::sync::Mutex::default(),
        })
    }

    /// How long the trail is kept.
    pub fn keeping(&self) -> Arc<Keeping> {
        self.keeping.current()
    }

    /// How the last round went.
    pub fn last(&self) -> Round {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What of the trail lies in archives, or is missing.
    pub async fn absent(&self, _grant: &Grant) -> Result<Vec<Absence>, CoreError> {
        Ok(self.trail.absent().await?)
    }

    /// Sets how long the trail is kept; what is too old leaves soon after.
    pub async fn keep(&self, grant: &Grant, keeping: Keeping) -> Result<(), CoreError> {
        let field =
            |field: &str, problem: &str| Err(CoreError::Field { field: field.to_owned(), problem: problem.to_owned() });
        let is_span = |days: Option<u64>| days.is_none_or(|days| (1..=LONGEST).contains(&days));
        if !is_span(keeping.keep_days) {
            return field("keep_days", "must be 1 to 36525, or 0 for ever");
        }
        if !is_span(keeping.archives_keep_days) {
            return field("archives_keep_days", "must be 1 to 36525, or 0 for ever");
        }
        if keeping.archives_keep_days.zip(keeping.keep_days).is_some_and(|(archives, trail)| archives <= trail) {
            return field("archives_keep_days", "counts from the entries' time, so it must be more than keep_days");
        }
        if keeping.folder.as_ref().is_some_and(|folder| !folder.is_absolute()) {
            return field("folder", "must be an absolute path");
        }
        // Found out by who sets it, not by the first round that is due.
        if let Some(folder) = &keeping.folder {
            self.trail.check_archives(folder.clone(), true).await.map_err(|error| refused(&error))?;
        }
        self.keeping
            .change(grant, move |kept| {
                *kept = keeping;
                Ok(())
            })
            .await?;
        self.wake.notify_one();
        Ok(())
    }

    /// The holds that stand, by name.
    pub fn holds(&self) -> Vec<LegalHold> {
        self.holds.current().0.values().cloned().collect()
    }

    /// Places a hold. When it returns nothing that falls under it is removed any more, and the trail says so.
    pub async fn place(&self, grant: &Grant, inquiry: &Inquiry, hold: NewHold) -> Result<(), CoreError> {
        let hold = hold.checked()?;
        let things = match &hold.prefix {
            Some(prefix) => inquiry.prefixes(grant, prefix)?,
            None => Vec::new(),
        };
        let entity = match &hold.principal {
            Some(name) => inquiry.entity_named(name).await?,
            None => None,
        };
        let NewHold { name, reason, prefix, principal, from, to } = hold;
        let (placed_by, placed) = (who(grant), self.clock.now());
        let hold = LegalHold { name, reason, prefix, principal, from, to, placed_by, placed, things, entity };
        let note = format!("{} holds {}: {}", hold.placed_by, hold.says(), hold.reason);
        let place = path_of(&hold.name);
        let _working = self.working.lock().await;
        self.holds.change(grant, move |holds| holds.place(hold)).await?;
        self.trail.append(Entry::event("legal_hold_placed", place, note)).await?;
        Ok(())
    }

    /// Lifts a hold; `false` when there is none of that name.
    pub async fn lift(&self, grant: &Grant, name: &str, reason: &str) -> Result<bool, CoreError> {
        if reason.trim().is_empty() || reason.len() > 1_024 {
            return Err(CoreError::Invalid("lifting a hold needs a reason of at most 1024 characters".to_owned()));
        }
        let Some(hold) = self.holds.current().0.get(name).cloned() else { return Ok(false) };
        // Said before it is done: a hold is never lifted without a word.
        let note = format!("{} lifts the hold of {} on {}: {reason}", who(grant), hold.placed_by, hold.says());
        self.trail.append(Entry::event("legal_hold_lifted", path_of(name), note)).await?;
        let mut was_there = false;
        let there = &mut was_there;
        self.holds
            .change(grant, move |holds| {
                *there = holds.0.remove(name).is_some();
                Ok(())
            })
            .await?;
        Ok(was_there)
    }

    /// Moves what is older into archives now; what is old enough by the setting when no time is given. One call does a
    /// bounded part of it and says whether there is more.
    pub async fn archive(
        &self,
        _grant: &Grant,
        before: Option<Timestamp>,
        folder: Option<PathBuf>,
    ) -> Result<Archiving, CoreError> {
        let now = self.clock.now();
        let due = || self.keeping().keep_days.and_then(|days| earlier(now, days));
        let before = before.map(|before| before.min(now)).or_else(due).ok_or(CoreError::Missing("before"))?;
        let _working = self.working.lock().await;
        self.incidents.keep_all().await?;
        self.archive_older(before, folder, AT_ONCE, &Arc::default()).await
    }

    async fn archive_older(
        &self,
        before: Timestamp,
        folder: Option<PathBuf>,
        most: usize,
        stop: &Arc<AtomicBool>,
    ) -> Result<Archiving, CoreError> {
        let order = self.order(before, folder, most, stop).await?;
        let seal = Arc::new(TrailSeal(Arc::clone(&self.barrier)));
        Ok(self.trail.archive(order, seal, self.clock.now()).await?)
    }

    async fn order(
        &self,
        before: Timestamp,
        folder: Option<PathBuf>,
        most: usize,
        stop: &Arc<AtomicBool>,
    ) -> Result<ArchiveOrder, CoreError> {
        let kept = self.keeping().folder.clone();
        // One that was set was there then: it may be the place where a disk is mounted.
        let make = folder.is_some() || kept.is_none();
        let usual = || kept.or_else(|| self.trail.archives());
        let nowhere = || CoreError::Invalid("a trail in memory is not archived; keep it in a folder".to_owned());
        let folder = folder.or_else(usual).ok_or_else(nowhere)?;
        let holds = self.holds().iter().map(|hold| Hold { name: hold.name.clone(), scope: hold.scope() }).collect();
        // The line that the store remembers is looked for at the next unsealing.
        let keep_from = self.memory.size().await.map_or(0, |size| size.saturating_sub(1));
        let reading = |one: &crate::shipping::ShipperStatus| {
            (format!("the destination `{}`", one.name), one.settled.min(one.next))
        };
        let readers = self.shipping.status().iter().map(reading).collect();
        Ok(ArchiveOrder { before, folder, make, holds, keep_from, readers, most, stop: Arc::clone(stop) })
    }

    /// Looks from time to time whether something is old enough, until told to stop.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.wake.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let broken_off = Arc::new(AtomicBool::new(false));
            let stopped = async {
                let _ = stop.wait_for(|stop| *stop).await;
                // A step is ended in its middle, and nothing of it counts.
                broken_off.store(true, Ordering::Relaxed);
            };
            let round = self.round(&broken_off);
            tokio::pin!(round, stopped);
            tokio::select! {
                () = &mut round => {}
                () = &mut stopped => return round.await,
            }
        }
    }

    /// One look; public for tests that turn the clock.
    pub async fn look(&self) {
        self.round(&Arc::default()).await;
    }

    async fn round(&self, stop: &Arc<AtomicBool>) {
        let keeping = self.keeping();
        if keeping.keep_days.is_none() && keeping.archives_keep_days.is_none() {
            return;
        }
        let now = self.clock.now();
        let mut round = Round { time: Some(now), ..Round::default() };
        if let Err(error) = self.work(&keeping, now, stop, &mut round).await {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            round.error = Some(error.to_string());
        }
        let before = std::mem::replace(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner), round.clone());
        if round.error != before.error {
            self.tell(&round).await;
        }
    }

    async fn work(
        &self,
        keeping: &Keeping,
        now: Timestamp,
        stop: &Arc<AtomicBool>,
        round: &mut Round,
    ) -> Result<(), CoreError> {
        // One that went away since it was set is told, at the start of the server too, and not made anew: it may be the
        // place where a disk is mounted.
        if let Some(folder) = &keeping.folder {
            self.trail.check_archives(folder.clone(), false).await?;
        }
        if let Some(before) = keeping.keep_days.and_then(|days| earlier(now, days)) {
            self.incidents.keep_all().await?;
            loop {
                let _working = self.working.lock().await;
                let done = self.archive_older(before, None, 1, stop).await?;
                round.removed += done.removed;
                if !done.more || done.removed == 0 {
                    round.kept = done.kept.into_iter().map(Stayed::of).collect();
                    break;
                }
            }
        }
        if let Some(before) = keeping.archives_keep_days.and_then(|days| earlier(now, days)) {
            let _working = self.working.lock().await;
            let order = self.order(before, None, usize::MAX, stop).await?;
            self.trail.drop_archives(order).await?;
        }
        Ok(())
    }

    /// Says that archiving does not work, or does again.
    async fn tell(&self, round: &Round) {
        let (event, severity, text) = match &round.error {
            Some(why) => ("trail_archive_failed", Severity::Warning, format!("old entries stay where they are: {why}")),
            None => ("trail_archive_recovered", Severity::Info, "old entries are archived again".to_owned()),
        };
        tracing::warn!(%text, "archiving the audit trail");
        let told = self.trail.append(Entry::event(event, "sys/trail/archive", text.clone())).await;
        let sent = self.webhooks.tell(Notice::new(Topic::Server, event, severity, text)).await;
        if let Some(error) = told.map(|_| ()).map_err(CoreError::from).and(sent).err() {
            tracing::warn!(%error, "that archiving does not work could not be told");
        }
    }
}

impl Stayed {
    fn of(kept: strongroom_audit::Kept) -> Self {
        Self { first: kept.first, next: kept.next, why: kept.why }
    }
}

fn refused(error: &TrailError) -> CoreError {
    CoreError::Field { field: "folder".to_owned(), problem: format!("does not do: {error}") }
}

fn path_of(hold: &str) -> String {
    format!("sys/trail/holds/{hold}")
}

fn who(grant: &Grant) -> String {
    grant.principal().map_or_else(|| "somebody".to_owned(), |principal| principal.display_name.clone())
}

/// So many days before; nothing before there was time.
fn earlier(now: Timestamp, days: u64) -> Option<Timestamp> {
    now.nanos().checked_sub(days.saturating_mul(DAY).saturating_mul(1_000_000_000)).map(Timestamp::from_nanos)
}
