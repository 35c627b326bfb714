//! What waits to be sent, on disk, a line for each destination: one that is down holds up no other.

use super::hook::{HookStatus, Hooks, Kept, Style, Webhook};
use super::notice::Notice;
use super::post::{Answer, Parcel};
use crate::CoreError;
use crate::configured::Configured;
use crate::metrics::Metrics;
use crate::records::{Listed, PutRecord, Records};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_audit::{Entry, Outcome, Trail};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{Clock, Entropy, Kind, NamespaceId, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// The most messages that wait for one destination.
pub(super) const MOST_WAITING: usize = 1_000;
/// Messages taken from a line at once.
const PORTION: usize = 32;
/// How long a receiver may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// A message that nobody took for so long is given up.
const PATIENCE: Duration = Duration::from_secs(3 * 86_400);
/// The first wait after a failure, doubled each time up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// A message in its line, under the time of its next attempt.
#[derive(Clone, Serialize, Deserialize)]
struct Waiting {
    id: String,
    notice: Notice,
    made: Timestamp,
    attempts: u32,
}

#[derive(Clone)]
pub(super) struct Queue {
    records: Arc<Records>,
    trail: Arc<Trail>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    lines: Arc<Mutex<HashMap<String, Line>>>,
    /// Held by who adds or sends, so that the bound holds and no message is sent by two at once.
    busy: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
    wake: Arc<Notify>,
}

/// What is known of a line since unsealing.
#[derive(Clone, Default)]
struct Line {
    last_sent: Option<Timestamp>,
    error: Option<String>,
    lost: u64,
    /// Whether the trail was told that messages are left out, until one is taken again.
    told_full: bool,
}

fn shelf(hook: &str) -> Shelf {
    Shelf::new("webhook-queue", NamespaceId::ROOT).within(hook)
}

impl Queue {
    pub(super) fn new(
        records: &Arc<Records>,
        trail: &Arc<Trail>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Self {
        Self {
            records: Arc::clone(records),
            trail: Arc::clone(trail),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            lines: Arc::default(),
            busy: Arc::default(),
            wake: Arc::default(),
        }
    }

    /// Puts the notice into these lines; gives how many had room.
    pub(super) async fn put(&self, hooks: &[&str], notice: &Notice) -> Result<usize, CoreError> {
        let made = self.clock.now();
        let mut taken = 0;
        for hook in hooks {
            if self.records.scan::<Waiting>(&shelf(hook), None, MOST_WAITING).await?.len() >= MOST_WAITING {
                self.leave_out(hook, "its queue is full").await;
                continue;
            }
            let id = format!("msg_{}", hex::encode(self.entropy.array::<12>()));
            let at = shelf(hook).ordered(made.nanos(), &id);
            let waiting = Waiting { id, notice: notice.clone(), made, attempts: 0 };
            self.records.commit(Txn::new().put_record(at, &waiting)?).await?;
            taken += 1;
        }
        self.wake();
        Ok(taken)
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Empties the line of a destination that is gone.
    pub(super) async fn forget(&self, hook: &str) -> Result<(), CoreError> {
        let turn = self.turn(hook);
        let _turn = turn.lock().await;
        loop {
            let page = self.records.scan::<Waiting>(&shelf(hook), None, PORTION).await?;
            if page.is_empty() {
                break;
            }
            let gone = page.iter().fold(Txn::new(), |txn, one| txn.delete(shelf(hook).ordered(one.number, &one.name)));
            self.records.commit(gone).await?;
        }
        self.lines().remove(hook);
        Ok(())
    }

    pub(super) async fn status(&self, webhook: Webhook) -> Result<HookStatus, CoreError> {
        let waiting = self.records.scan::<Waiting>(&shelf(&webhook.name), None, MOST_WAITING).await?.len() as u64;
        let line = self.lines().get(&webhook.name).cloned().unwrap_or_default();
        Ok(HookStatus { webhook, waiting, last_sent: line.last_sent, error: line.error, lost: line.lost })
    }

    /// Sends what is due, each line in a task of its own, until told to stop.
    pub(super) async fn run(&self, hooks: &Configured<Hooks>, mut stop: watch::Receiver<bool>) {
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lanes: JoinSet<String> = JoinSet::new();
        let mut running = Vec::new();
        loop {
            tokio::select! {
                _ = every_second.tick() => {}
                () = self.wake.notified() => {}
                Some(done) = lanes.join_next() => {
                    match done {
                        Ok(name) => running.retain(|known| *known != name),
                        Err(_) => running.clear(),
                    }
                    continue;
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
            for kept in hooks
                .current()
                .0
                .values()
                .filter(|kept| !running.contains(&kept.webhook.name))
                .cloned()
                .collect::<Vec<_>>()
            {
                running.push(kept.webhook.name.clone());
                let queue = self.clone();
                lanes.spawn(async move {
                    queue.work(&kept).await;
                    kept.webhook.name
                });
            }
        }
        // What is under way is sent again after the next start: at least once.
        lanes.shutdown().await;
    }

    /// One round over all lines.
    pub(super) async fn pass(&self, hooks: &Configured<Hooks>) {
        for kept in hooks.current().0.values() {
            self.work(kept).await;
        }
    }

    async fn work(&self, kept: &Kept) {
        let turn = self.turn(&kept.webhook.name);
        let _turn = turn.lock().await;
        if let Err(error) = self.work_line(kept).await {
            tracing::warn!(webhook = kept.webhook.name, %error, "a queue of messages could not be worked on; it is tried again in a second");
        }
    }

    /// Sends what is due in one line, oldest first, until one fails: those behind it would fail as well.
    async fn work_line(&self, kept: &Kept) -> Result<(), CoreError> {
        let shelf = shelf(&kept.webhook.name);
        loop {
            let now = self.clock.now();
            let page: Vec<Listed<Waiting>> = self.records.scan(&shelf, None, PORTION).await?;
            let due: Vec<_> = page.into_iter().filter(|one| one.number <= now.nanos()).collect();
            if due.is_empty() {
                return Ok(());
            }
            for one in due {
                if !self.attempt(kept, &shelf, one).await? {
                    return Ok(());
                }
            }
        }
    }

    /// One attempt; whether the line can go on.
    async fn attempt(&self, kept: &Kept, shelf: &Shelf, one: Listed<Waiting>) -> Result<bool, CoreError> {
        let name = &kept.webhook.name;
        let at = shelf.ordered(one.number, &one.name);
        let mut waiting = one.value;
        let sent = self.send(kept, &waiting.notice, &waiting.id, waiting.made).await;
        let now = self.clock.now();
        match sent {
            Ok(_) => {
                self.records.commit(Txn::new().delete(at)).await?;
                self.count(name, "sent");
                let mut lines = self.lines();
                let line = lines.entry(name.clone()).or_default();
                (line.last_sent, line.error, line.told_full) = (Some(now), None, false);
                Ok(true)
            }
            Err(error) => {
                self.count(name, "failed");
                self.lines().entry(name.clone()).or_default().error = Some(error.to_string());
                waiting.attempts = waiting.attempts.saturating_add(1);
                let txn = Txn::new().delete(at);
                if now.since(waiting.made) >= PATIENCE {
                    self.records.commit(txn).await?;
                    self.leave_out(name, "nobody took it for three days").await;
                    return Ok(true);
                }
                let next = now.plus(self.wait(waiting.attempts));
                let at = shelf.ordered(next.nanos(), &waiting.id);
                self.records.commit(txn.put_record(at, &waiting)?).await?;
                Ok(false)
            }
        }
    }

    /// Sends one message; anything but success is an error.
    pub(super) async fn send(
        &self,
        kept: &Kept,
        notice: &Notice,
        id: &str,
        made: Timestamp,
    ) -> Result<Answer, CoreError> {
        let target = kept.target()?;
        let body = match kept.webhook.style {
            Style::Json => notice.json(id, made),
            Style::Slack => notice.slack(),
        };
        let body = body.to_string().into_bytes();
        let (time, key) = (self.clock.now(), Some(kept.key.get()));
        let parcel = Parcel { id, time, media_type: "application/json", body, key, authorization: None };
        let answer = target.post(parcel, DEADLINE).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        // What the receiver says is not repeated: it may quote what we sent to a wrong place.
        let why = format!("it answered with status {}", answer.status);
        Err(CoreError::Outside { system: target.place(), why })
    }

    /// Between half of the doubled wait and all of it, so that many servers do not come back at once.
    fn wait(&self, attempts: u32) -> Duration {
        let full = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_WAIT);
        let share = f64::from(u16::from_be_bytes(self.entropy.array())) / f64::from(u16::MAX);
        full.mul_f64(0.5 + share / 2.0)
    }

    /// Counts a message that is not sent, and has the trail say so once.
    async fn leave_out(&self, hook: &str, why: &str) {
        self.count(hook, "lost");
        let told = {
            let mut lines = self.lines();
            let line = lines.entry(hook.to_owned()).or_default();
            line.lost += 1;
            std::mem::replace(&mut line.told_full, true)
        };
        if told {
            return;
        }
        tracing::warn!(webhook = hook, why, "a message is not sent");
        let note = format!("a message is not sent: {why}; see that the receiver works, or remove the webhook");
        let mut entry = Entry::event("webhook-lost", format!("sys/webhooks/{hook}"), note);
        entry.outcome = Some(Outcome { result: Kind::Unavailable.word().into(), error: None, missing: None });
        if let Err(error) = self.trail.append(entry).await {
            tracing::warn!(%error, "that a message is not sent could not be recorded");
        }
    }

    fn count(&self, hook: &str, result: &'static str) {
        let labels = vec![("webhook", hook.to_owned()), ("result", result.to_owned())];
        self.metrics.counter("strongroom_webhook_messages", labels).add(1);
    }

    fn turn(&self, hook: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(busy.entry(hook.to_owned()).or_default())
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
