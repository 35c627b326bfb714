//! The task of one destination: read, put into the form, carry, note how far it is; and again.

use super::carrier::{Carrier, Settled};
use super::far_end::Shipper;
use crate::metrics::{Counter, Metrics};
use crate::{CoreError, webhook::Backoff};
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_audit::{Entry, Form, Formatter, Lines, Parcel, Reader, Trail, TrailError};
use strongroom_model::{Clock, Timestamp};
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};

/// How long the thread of a destination waits for lines before it looks around.
const PATIENCE: Duration = Duration::from_millis(200);
/// A destination that takes nothing for so long is told of in the trail.
const ALARM: Duration = Duration::from_secs(60);

/// How a destination does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShipperStatus {
    /// Its name.
    pub name: String,
    /// Its kind and place.
    pub to: String,
    /// The form.
    pub format: &'static str,
    /// The number of the next line that it will get.
    pub next: u64,
    /// Lines that are written and were not sent yet.
    pub behind: u64,
    /// How long ago the oldest of them was written, as far as is known, in seconds.
    pub lag_seconds: u64,
    /// Lines before this one are known to be taken; a restart sends again from here.
    pub settled: u64,
    /// Lines sent since the server was unsealed, repetitions included.
    pub sent: u64,
    /// Lines that were gone from the trail's folder when it was their turn.
    pub dropped: u64,
    /// When something was last taken.
    pub last_sent: Option<Timestamp>,
    /// What hinders it now.
    pub error: Option<String>,
}

/// What the task and its owner tell each other.
#[derive(Default)]
pub(super) struct Control(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    next: u64,
    settled: u64,
    sent: u64,
    dropped: u64,
    oldest: Option<Timestamp>,
    last_sent: Option<Timestamp>,
    error: Option<String>,
    replay: Option<u64>,
}

impl Control {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the task go on from there.
    pub(super) fn replay(&self, from: u64) {
        self.inside().replay = Some(from);
    }

    pub(super) fn status(&self, shipper: &Shipper, written: u64, now: Timestamp) -> ShipperStatus {
        let inside = self.inside();
        let behind = written.saturating_sub(inside.next);
        let oldest = inside.oldest.filter(|_| behind > 0);
        ShipperStatus {
            name: shipper.name.clone(),
            to: shipper.to.label(),
            format: shipper.form.word(),
            next: inside.next,
            behind,
            lag_seconds: oldest.map_or(0, |oldest| now.since(oldest).as_secs()),
            settled: inside.settled,
            sent: inside.sent,
            dropped: inside.dropped,
            last_sent: inside.last_sent,
            error: inside.error.clone(),
        }
    }
}

pub(super) struct Worker {
    shipper: Shipper,
    trail: Arc<Trail>,
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
    sent: Arc<Counter>,
    failed: Arc<Counter>,
    /// Lives outside while a blocking thread reads.
    reader: Option<Reader>,
    formatter: Formatter,
    /// Since when it fails, and whether the trail was told.
    failing: Option<(Timestamp, bool)>,
}

impl Worker {
    pub(super) fn new(
        shipper: Shipper,
        trail: &Arc<Trail>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
        control: &Arc<Control>,
    ) -> Self {
        let label = |result: &str| vec![("shipper", shipper.name.clone()), ("result", result.to_owned())];
        let (sent, failed) = (
            metrics.counter("strongroom_shipping_lines", label("sent")),
            metrics.counter("strongroom_shipping_lines", label("failed")),
        );
        let reader = trail.reader(&shipper.name, shipper.from);
        {
            let mut inside = control.inside();
            (inside.next, inside.settled) = (reader.next(), reader.next());
        }
        let formatter = trail.formatter(shipper.form);
        let (trail, clock, control) = (Arc::clone(trail), Arc::clone(clock), Arc::clone(control));
        Self { shipper, trail, clock, control, sent, failed, reader: Some(reader), formatter, failing: None }
    }

    /// Works until told to stop. What is being sent then is sent again after the next start.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut halted = stop.clone();
        let work = async {
            let mut backoff = Backoff::default();
            loop {
                match self.work(&mut stop).await {
                    Ok(()) => return,
                    Err(error) => {
                        self.fail(error.to_string()).await;
                        backoff.rest().await;
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = halted.wait_for(|stop| *stop) => {}
        }
    }

    /// Until told to stop, or something other than the far end fails.
    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), CoreError> {
        let mut carrier = Carrier::of(&self.shipper, &self.trail)?;
        let ended = self.carry(&mut carrier, stop).await;
        if ended.is_err() {
            // What the far end may not have taken yet goes with the connection.
            self.again_from(carrier.lost());
        }
        ended
    }

    async fn carry(&mut self, carrier: &mut Carrier, stop: &mut watch::Receiver<bool>) -> Result<(), CoreError> {
        let mut backoff = Backoff::default();
        while !*stop.borrow() {
            let replay = self.control.inside().replay.take();
            if let Some(from) = replay {
                carrier.lost();
                self.go_to(from);
                self.save(from).await?;
            }
            if carrier.is_gone().await {
                self.again_from(carrier.lost());
            }
            let lines = self.read().await?;
            let parcels = self.parcels(&lines);
            if parcels.is_empty() {
                self.note(&lines, None);
                continue;
            }
            match carrier.send_at(&parcels, &*self.clock).await {
                Ok(settled) => {
                    backoff = Backoff::default();
                    self.settle(&lines, &parcels, settled).await?;
                }
                Err(why) => {
                    let first = lines.iter().next().map_or(lines.next, |line| line.seq);
                    let again = carrier.lost().map_or(first, |lost| lost.min(first));
                    self.go_to(again);
                    self.fail(why).await;
                    backoff.rest().await;
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Lines, CoreError> {
        let read = |reader: &mut Reader| {
            let mut lines = Lines::default();
            reader.read(&mut lines, PATIENCE).map(|()| lines)
        };
        self.with_reader(read).await
    }

    async fn save(&mut self, next: u64) -> Result<(), CoreError> {
        self.with_reader(move |reader| reader.save(next)).await
    }

    async fn with_reader<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Reader) -> Result<T, TrailError> + Send + 'static,
    ) -> Result<T, CoreError> {
        let held = self.reader.take();
        let mut reader = held.unwrap_or_else(|| self.trail.reader(&self.shipper.name, self.shipper.from));
        let done = spawn_blocking(move || {
            let done = act(&mut reader);
            (reader, done)
        });
        let (reader, done) = done.await.map_err(|_: JoinError| CoreError::Internal("a reader of the trail broke"))?;
        self.reader = Some(reader);
        Ok(done?)
    }

    fn parcels(&mut self, lines: &Lines) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        for line in lines.iter() {
            self.formatter.format(line.text, &mut parcels);
        }
        parcels
    }

    fn note(&self, lines: &Lines, oldest: Option<Timestamp>) {
        let mut inside = self.control.inside();
        (inside.next, inside.dropped, inside.oldest) = (lines.next, lines.dropped, oldest);
    }

    async fn settle(&mut self, lines: &Lines, parcels: &[Parcel], settled: Settled) -> Result<(), CoreError> {
        let settled = match settled {
            Settled::All => lines.next,
            Settled::Before(seq) => seq,
        };
        self.save(settled).await?;
        let count = parcels.len() as u64;
        self.sent.add(count);
        // What waits is about as old as the last that went.
        self.note(lines, parcels.last().map(|last| last.time));
        let recovered = {
            let mut inside = self.control.inside();
            inside.settled = settled;
            inside.sent += count;
            (inside.last_sent, inside.error) = (Some(self.clock.now()), None);
            self.failing.take().is_some_and(|(_, told)| told)
        };
        if recovered {
            self.tell("shipping_recovered", format!("it takes entries again, up to number {}", lines.next)).await;
        }
        Ok(())
    }

    fn again_from(&mut self, from: Option<u64>) {
        if let Some(from) = from {
            self.go_to(from);
        }
    }

    fn go_to(&mut self, next: u64) {
        if let Some(reader) = &mut self.reader {
            reader.go_to(next);
        }
        // The form of Vault keeps account of which requests have their first line.
        if self.shipper.form == Form::Vault {
            self.formatter = self.trail.formatter(self.shipper.form);
        }
        self.control.inside().next = next;
    }

    async fn fail(&mut self, why: String) {
        self.failed.add(1);
        let now = self.clock.now();
        {
            let mut inside = self.control.inside();
            inside.error = Some(why.clone());
            inside.oldest = inside.oldest.or(Some(now));
        }
        let (since, told) = *self.failing.get_or_insert((now, false));
        if !told && now.since(since) >= ALARM {
            self.failing = Some((since, true));
            let note = format!(
                "it has taken nothing for {} s: {why}; the trail goes on without it",
                now.since(since).as_secs()
            );
            self.tell("shipping_failed", note).await;
        }
    }

    async fn tell(&self, event: &'static str, note: String) {
        tracing::warn!(shipper = self.shipper.name, event, note, "a copy of the trail");
        let entry = Entry::event(event, format!("sys/shipping/{}", self.shipper.name), note);
        if let Err(error) = self.trail.append(entry).await {
            tracing::warn!(%error, "how a copy of the trail does could not be recorded");
        }
    }
}
