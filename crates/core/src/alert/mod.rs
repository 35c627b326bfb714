//! Says when somebody uses secrets as nobody did before, judged from the trail alone.
//!
//! Invariants: requests never wait for it, since it reads what is written; what "before" means is asked of the trail's
//! index, so nothing is learnt that could be lost, and a restart changes no judgement about history; an alert is an entry
//! of the trail before it leaves the house, and a muted one is counted. Prevents nothing: policies do.

mod judge;
mod mute;
mod recent;

pub use judge::{Alert, Suspicion};
pub use mute::Mute;

use crate::configured::Configured;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::mount::Mounts;
use crate::records::Records;
use crate::webhook::{Backoff, Notice, Severity, Topic, Webhooks};
use crate::{CoreError, Grant};
use judge::Judge;
use mute::Mutes;
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Entry, Line, LineReader, Lines, Page, Query, Reader, Trail};
use strongroom_model::{Clock, Timestamp};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// How long the thread waits for lines before it looks around.
const PATIENCE: Duration = Duration::from_millis(250);
/// The rest between two looks: lines are then judged many at once, and the trail's writer need not wake anybody for each.
const PACE: Duration = Duration::from_millis(200);
/// How often the position is made durable, with two syncs.
const SAVED_EVERY: Duration = Duration::from_secs(5);
/// The reader's name; those of copies of the trail cannot begin so.
const READER: &str = "own-alerts";
/// Alerts that are listed.
const LISTED: usize = 200;

/// Follows the trail and tells of suspicions.
pub struct Alerts {
    mutes: Configured<Mutes>,
    trail: Arc<Trail>,
    webhooks: Arc<Webhooks>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    identity: Arc<Identity>,
    mounts: Arc<Mounts>,
}

impl Alerts {
    pub(crate) async fn load(
        records: &Arc<Records>,
        trail: &Arc<Trail>,
        webhooks: &Arc<Webhooks>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
        (mounts, identity): (&Arc<Mounts>, &Arc<Identity>),
    ) -> Result<Self, CoreError> {
        Ok(Self {
            mutes: Configured::load(records, "alert-mutes").await?,
            trail: Arc::clone(trail),
            webhooks: Arc::clone(webhooks),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            identity: Arc::clone(identity),
            mounts: Arc::clone(mounts),
        })
    }

    /// The latest alerts, newest first, as entries of the trail.
    pub async fn recent(&self, _grant: &Grant) -> Result<Page, CoreError> {
        let query = Query {
            kinds: vec!["event".to_owned()],
            operations: Suspicion::ALL.iter().map(|one| one.word().to_owned()).collect(),
            backwards: true,
            limit: LISTED,
            ..Query::default()
        };
        Ok(self.trail.query(query).await?)
    }

    /// The mutes that have not ended.
    pub fn mutes(&self) -> Vec<Mute> {
        let now = self.clock.now();
        self.mutes.current().0.values().filter(|mute| mute.until > now).cloned().collect()
    }

    /// Mutes alerts until a time, with a reason. The request's own entry says who did.
    pub async fn mute(&self, grant: &Grant, mute: Mute) -> Result<(), CoreError> {
        let now = self.clock.now();
        let mute = mute.checked(now)?;
        self.mutes.change(grant, move |mutes| mutes.put(mute, now)).await
    }

    /// Takes a mute back; `false` when there is none of that name.
    pub async fn unmute(&self, grant: &Grant, name: &str) -> Result<bool, CoreError> {
        let mut was_there = false;
        let there = &mut was_there;
        let change = move |mutes: &mut Mutes| {
            *there = mutes.0.remove(name).is_some();
            Ok(())
        };
        self.mutes.change(grant, change).await?;
        Ok(was_there)
    }

    /// Follows the trail until told to stop.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // Where no position was ever saved: who tries again begins no later than the first time.
        let from = self.trail.health().entries;
        let work = async {
            let mut backoff = Backoff::default();
            loop {
                if let Err(error) = self.follow(from).await {
                    tracing::warn!(%error, "alerts could not be judged; it is tried again");
                }
                backoff.rest().await;
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Reads on without end, or until something fails. What was read and not judged is read again.
    async fn follow(&self, from: u64) -> Result<(), CoreError> {
        let mut judge = Judge::new(Arc::clone(&self.trail));
        let mut reader = self.trail.reader(READER, from);
        let (mut judged, mut saved, mut saved_at) = (None, None, Instant::now());
        let (mut lines, mut entries) = (Lines::default(), LineReader::default());
        loop {
            (reader, lines) = read(reader, lines).await?;
            for (seq, text) in lines.texts() {
                let Some((entry, time)) = parsed(&mut entries, text) else { continue };
                let Some(case) = judge.look(&entry, seq, time) else { continue };
                for alert in judge.settle(case).await? {
                    self.raise(alert).await?;
                }
            }
            // After a death some are judged again, which repeats an alert at worst. The last ones before a quiet time are
            // saved too: what is not, no archive takes.
            if !lines.is_empty() {
                judged = Some(lines.next);
            }
            if let Some(next) = judged.filter(|_| judged != saved && saved_at.elapsed() >= SAVED_EVERY) {
                (saved, saved_at) = (judged, Instant::now());
                reader = save(reader, next).await?;
            }
            if lines.behind == 0 {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    async fn raise(&self, alert: Alert) -> Result<(), CoreError> {
        let word = alert.suspicion.word();
        let count = |result: &str| {
            let labels = vec![("kind", word.to_owned()), ("result", result.to_owned())];
            self.metrics.counter("strongroom_alerts", labels).add(1);
        };
        let table = Arc::clone(&self.mounts.table());
        // A name that cannot be found out holds up no alert.
        let names = self.identity.names_of(&table, &alert.by).await.ok().flatten();
        let name = names.as_ref().map_or(&alert.principal, |names| &names.title).clone();
        let text = alert.text(&name);
        let now = self.clock.now();
        if self.mutes.current().0.values().any(|mute| mute.until > now && mute.covers(&alert, names.as_ref())) {
            count("muted");
            return Ok(());
        }
        count("raised");
        self.trail.append(Entry::event(word, alert.path.clone(), text.clone())).await?;
        let severity = match alert.suspicion {
            Suspicion::AfterRevocation => Severity::Critical,
            _ => Severity::Warning,
        };
        let mut notice = Notice::new(Topic::Alert, word, severity, text).at(alert.path);
        notice = notice.with("principal", name).with("entry", alert.seq.to_string());
        if !alert.address.is_empty() {
            notice = notice.with("address", alert.address);
        }
        notice.time = Some(alert.time);
        self.webhooks.tell(notice).await?;
        Ok(())
    }
}

async fn read(mut reader: Reader, mut lines: Lines) -> Result<(Reader, Lines), CoreError> {
    let done = spawn_blocking(move || {
        let read = reader.read(&mut lines, PATIENCE);
        (reader, lines, read)
    });
    let (reader, lines, read) = done.await.map_err(|_| CoreError::Internal("the reader of alerts broke"))?;
    read?;
    Ok((reader, lines))
}

async fn save(mut reader: Reader, next: u64) -> Result<Reader, CoreError> {
    let done = spawn_blocking(move || {
        let saved = reader.save(next);
        (reader, saved)
    });
    let (reader, saved) = done.await.map_err(|_| CoreError::Internal("the reader of alerts broke"))?;
    saved?;
    Ok(reader)
}

/// An entry with the time of its line; nothing for lines of other kinds, and for intents, which nobody is judged by.
fn parsed<'a>(entries: &mut LineReader, text: &'a str) -> Option<(Line<'a>, Timestamp)> {
    let line = entries.read_but_intents(text)?;
    let time = Timestamp::parse(&line.time)?;
    Some((line, time))
}
