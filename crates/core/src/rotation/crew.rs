//! Sees to what is due: reads the index up to now, and drives so many rotations at once, so many of them per outside
//! system. One that hangs or is down holds up its own secrets only.

use super::Rotations;
use super::record::{Key, due};
use crate::CoreError;
use crate::records::Listed;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use strongroom_model::Timestamp;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

/// Rotations driven at once.
const IN_HAND: usize = 128;
/// Those of one outside system.
const PER_LANE: usize = 48;
/// Due ones known in memory; the others wait in the index.
const KNOWN: usize = 4_096;
const PAGE: usize = 512;
/// How often it is looked ahead.
const LOOK_AHEAD: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Crew {
    running: JoinSet<()>,
    driven: HashMap<Id, (Key, String)>,
    known: HashSet<Key>,
    /// Those that have not begun to run, by outside system.
    waiting: HashMap<String, VecDeque<Key>>,
    per_lane: HashMap<String, usize>,
    /// Begun while somebody still drove the one before.
    later: HashMap<Key, String>,
    /// When it was last looked ahead.
    looked: Option<Timestamp>,
    /// Up to when ends of secrets are told of.
    told: Option<Timestamp>,
}

/// The task that does it.
pub(super) async fn work(rotations: Arc<Rotations>, mut stop: watch::Receiver<bool>) {
    let mut crew = Crew::default();
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let (mut due_for_causes, mut answered) = (true, 0);
    every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let ticket = rotations.rings.load(Ordering::SeqCst);
        if due_for_causes || ticket != answered {
            due_for_causes = false;
            crew.look_around(&rotations).await;
        }
        if let Err(error) = crew.fill(&rotations).await {
            tracing::warn!(%error, "rotations could not be seen to; it is tried again in a second");
        }
        if crew.known.is_empty() {
            answered = ticket;
            rotations.answered.send_modify(|answered| *answered = ticket.max(*answered));
        }
        tokio::select! {
            _ = every_second.tick() => due_for_causes = true,
            () = rotations.wake.notified() => {}
            Some(done) = crew.running.join_next_with_id() => crew.done(&done),
            _ = stop.wait_for(|stop| *stop) => break,
        }
        while let Some(done) = crew.running.try_join_next_with_id() {
            crew.done(&done);
        }
    }
    crew.running.shutdown().await;
}

impl Crew {
    fn done(&mut self, done: &Result<(Id, ()), JoinError>) {
        let id = match done {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some((key, lane)) = self.driven.remove(&id) else { return };
        match self.later.remove(&key) {
            Some(lane) => self.waiting.entry(lane).or_default().push_back(key),
            None => drop(self.known.remove(&key)),
        }
        if let Some(count) = self.per_lane.get_mut(&lane) {
            *count = count.saturating_sub(1);
        }
        self.per_lane.retain(|_, count| *count > 0);
    }

    /// Sees to what has no time of its own: who was cut off, and once a minute what ends soon.
    async fn look_around(&mut self, rotations: &Rotations) {
        let now = rotations.clock.now();
        let mut done = rotations.see_to_causes().await;
        // A clock that was set back must not stop it.
        if done.is_ok() && self.looked.is_none_or(|looked| looked > now || now.since(looked) >= LOOK_AHEAD) {
            done = rotations.look_ahead(self.told).await.map(|told| self.told = Some(told));
            self.looked = Some(now);
        }
        if let Err(error) = done {
            tracing::warn!(%error, "what rotations depend on could not be looked at; it is tried again");
        }
    }

    /// Reads what is due and starts as many as may run.
    async fn fill(&mut self, rotations: &Arc<Rotations>) -> Result<(), CoreError> {
        let now = rotations.clock.now();
        if rotations.due.load(Ordering::SeqCst) <= now.nanos() && self.known.len() < KNOWN {
            self.read(rotations, now).await?;
        }
        self.take_fresh(rotations);
        for (lane, keys) in &mut self.waiting {
            let held = rotations.lanes.get(lane).is_held(now);
            while !held
                && self.running.len() < IN_HAND
                && self.per_lane.get(lane).is_none_or(|count| *count < PER_LANE)
                && let Some(key) = keys.pop_front()
            {
                *self.per_lane.entry(lane.clone()).or_default() += 1;
                let (rotations, driven) = (Arc::clone(rotations), key.clone());
                let task = self.running.spawn(async move { rotations.drive(&driven).await });
                self.driven.insert(task.id(), (key, lane.clone()));
            }
        }
        self.waiting.retain(|_, keys| !keys.is_empty());
        Ok(())
    }

    fn take_fresh(&mut self, rotations: &Rotations) {
        let fresh = std::mem::take(&mut *rotations.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, lane) in fresh {
            if self.known.contains(&key) {
                // Who drives it may have looked before this one began.
                self.later.insert(key, lane);
                continue;
            }
            if self.known.len() >= KNOWN {
                // It stands in the index.
                rotations.due.store(0, Ordering::SeqCst);
                continue;
            }
            self.known.insert(key.clone());
            self.waiting.entry(lane).or_default().push_back(key);
        }
    }

    async fn read(&mut self, rotations: &Rotations, now: Timestamp) -> Result<(), CoreError> {
        // What is due from now on says so again; what is found to come later is noted below.
        rotations.due.store(u64::MAX, Ordering::SeqCst);
        let shelf = due();
        let mut after = None;
        loop {
            let page: Vec<Listed<Key>> = rotations.book.records.scan(&shelf, after.as_ref(), PAGE).await?;
            let complete = page.len() < PAGE;
            for line in page {
                if line.number > now.nanos() {
                    rotations.due.fetch_min(line.number, Ordering::SeqCst);
                    return Ok(());
                }
                after = Some(shelf.ordered(line.number, &line.name));
                self.take(rotations, line).await?;
                if self.known.len() >= KNOWN {
                    rotations.due.store(0, Ordering::SeqCst);
                    return Ok(());
                }
            }
            if complete {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, rotations: &Rotations, line: Listed<Key>) -> Result<(), CoreError> {
        let key = line.value;
        if self.known.contains(&key) {
            return Ok(());
        }
        let stored = rotations.book.get(&key).await?;
        let at = Timestamp::from_nanos(line.number);
        if let Some(stored) = stored.as_ref().filter(|stored| stored.value.due == Some(at)) {
            self.waiting.entry(stored.value.lane.clone()).or_default().push_back(key.clone());
            self.known.insert(key);
            return Ok(());
        }
        if !rotations.book.drop_line(at, &key, stored.as_deref()).await? {
            rotations.due.store(0, Ordering::SeqCst);
        }
        Ok(())
    }
}
