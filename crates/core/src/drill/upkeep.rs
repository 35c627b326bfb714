//! What is seen to without being asked: canaries that a crash left, schedules, drills that are too long ago.

use super::record::{Standing, Verdict};
use super::{Drills, order};
use crate::CoreError;
use crate::metrics::Labels;
use crate::webhook::Severity;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strongroom_model::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Every so many seconds drills are looked for that nobody works at.
const LOOK_LEFT: u32 = 5;

impl Drills {
    pub(super) async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ticks, mut came_in) = (0_u32, false);
        loop {
            tokio::select! {
                _ = every_second.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            // What a crash left is seen to as soon as there is a door to come in by.
            let is_open = self.doorway.get().is_ok();
            let looks = is_open && (!came_in || ticks.is_multiple_of(LOOK_LEFT));
            came_in |= is_open;
            ticks = ticks.wrapping_add(1);
            if let Err(error) = self.round(looks).await {
                tracing::warn!(%error, "drills could not be seen to; it is tried again");
            }
        }
    }

    /// One round of what is due.
    pub(super) async fn round(self: &Arc<Self>, looks: bool) -> Result<(), CoreError> {
        let _alone = self.looking.lock().await;
        if looks {
            self.take_up().await?;
        }
        let now = self.rooms.clock.now();
        if self.due.load(Ordering::SeqCst) > now.nanos() {
            return Ok(());
        }
        // What is due from now on says so again.
        self.due.store(u64::MAX, Ordering::SeqCst);
        for standing in self.book.standings().await? {
            if let Err(error) = self.see_to(&standing, now).await {
                tracing::warn!(%error, "a planned drill could not be seen to; it is tried again");
                self.expect(Some(now.plus(Duration::from_secs(60))));
            }
        }
        Ok(())
    }

    /// Waits until every drill that began has ended: for tests that turn the clock.
    pub async fn settle(self: &Arc<Self>) -> Result<(), CoreError> {
        self.due.store(0, Ordering::SeqCst);
        self.round(true).await?;
        let mut ended = self.ended.subscribe();
        while !self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty() {
            ended.changed().await.map_err(|_| CoreError::Sealed)?;
        }
        Ok(())
    }

    /// Ends what a crash broke off, and takes canaries away that could not be before.
    async fn take_up(self: &Arc<Self>) -> Result<(), CoreError> {
        for mut drill in self.book.under_way().await? {
            if self.is_active(&drill.id) {
                continue;
            }
            if drill.verdict.is_none() {
                drill.verdict = Some(Verdict::BrokenOff);
                self.book.keep(&drill).await?;
            }
            self.start(drill);
        }
        Ok(())
    }

    async fn see_to(self: &Arc<Self>, standing: &Standing, now: Timestamp) -> Result<(), CoreError> {
        if let Some(next) = standing.next {
            if next <= now {
                self.begin_planned(standing, now).await?;
            } else {
                self.expect(Some(next));
            }
        }
        match self.late_at(standing) {
            Some(late) if late <= now && !standing.told_late => self.tell_late(standing, now).await,
            Some(late) if late > now => {
                self.expect(Some(late));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn begin_planned(self: &Arc<Self>, standing: &Standing, now: Timestamp) -> Result<(), CoreError> {
        let Some(schedule) = &standing.schedule else { return Ok(()) };
        let next = schedule.next(now)?;
        // Set first: one that cannot be drilled must not be tried each second.
        self.book.plan(&standing.key, now, |kept| kept.next = kept.next.and(Some(next))).await?;
        self.expect(Some(next));
        if schedule.missed(standing.next.unwrap_or(now), now)?.is_some() {
            return Ok(());
        }
        let Some(target) = self.target_of(&standing.key).await? else {
            let path = self.shown_path(&standing.key).unwrap_or_default();
            return self.tell("drill-failed", Severity::Warning, &path, "what is planned to be drilled is gone").await;
        };
        let wanted: Vec<_> =
            standing.credentials.iter().copied().filter(|one| target.credentials.contains(one)).collect();
        let settled = order::settled(&target, &wanted, Some(u64::from(standing.rounds)))?;
        let drill = self.record(&target, "the schedule".to_owned(), settled, false).await?;
        self.start(drill);
        Ok(())
    }

    async fn tell_late(&self, standing: &Standing, now: Timestamp) -> Result<(), CoreError> {
        let path = self.shown_path(&standing.key).unwrap_or_default();
        let text = match standing.last {
            Some(last) => format!("the last drill that went well ended at {last}, which is longer ago than it may be"),
            None => "no drill has gone well yet, for longer than may be".to_owned(),
        };
        self.note("drill-overdue", &path, text.clone()).await?;
        self.rooms.metrics.counter("strongroom.drill.overdue.total", Labels::new()).add(1);
        self.tell("drill-overdue", Severity::Warning, &path, &text).await?;
        self.book.plan(&standing.key, now, |kept| kept.told_late = true).await.map(|_| ())
    }
}
