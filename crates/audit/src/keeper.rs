//! Sees to it that what is written becomes durable and signed in time: the one task of the trail that knows of timers.
//!
//! Syncing happens here, beside the writer, so that appends go on meanwhile: what is written is synced, then the
//! writer signs (after syncing the few lines that came meanwhile), then that is synced, and only then does the
//! checkpoint count as the last one.

use crate::desk::Desk;
use crate::device::Devices;
use crate::shared::Shared;
use crate::writer::Command;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// The keeper looks this many times in the longest span that an entry may stay unsigned.
const LOOKS: u32 = 4;

/// Handle and body of the task.
#[derive(Clone)]
pub(crate) struct Keeper {
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    devices: Arc<Devices>,
    every: Duration,
    stop: Arc<Notify>,
}

impl Keeper {
    /// One that sees to a checkpoint after `every` at the latest.
    pub(crate) fn new(desk: Arc<Desk>, shared: Arc<Shared>, devices: Arc<Devices>, every: Duration) -> Self {
        Self { desk, shared, devices, every, stop: Arc::new(Notify::new()) }
    }

    /// Asks the task to end.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Runs until it is stopped or the writer is gone.
    pub(crate) async fn run(self) {
        let mut ticks = interval((self.every / LOOKS).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        let mut synced = 0;
        let mut look_for_file = false;
        loop {
            tokio::select! {
                () = self.stop.notified() => return,
                _ = ticks.tick() => {}
            }
            self.desk.rouse();
            if self.shared.is_failing() && self.desk.send(Command::Probe).await.is_err() {
                return;
            }
            // Also while nothing is written: every other tick is soon enough to notice within a second.
            look_for_file = !look_for_file;
            if look_for_file && self.desk.send(Command::Look).await.is_err() {
                return;
            }
            for event in self.devices.look() {
                let _ = self.desk.send(Command::Note(Box::new(event))).await;
            }
            let written = self.shared.written();
            if !written.is_unkept(self.shared.can_sign(), synced) {
                looks = 0;
                continue;
            }
            looks += 1;
            if looks >= LOOKS - 1 {
                looks = 0;
                self.checkpoint().await;
                synced = written.next;
            }
        }
    }

    /// Syncs, signs, syncs.
    pub(crate) async fn checkpoint(&self) {
        let Some((file, next)) = self.desk.ask(|answer| Command::Prepare { answer }).await else { return };
        if !self.sync(file).await {
            return;
        }
        let signed = self.desk.ask(|answer| Command::Checkpoint { synced: next, answer }).await.flatten();
        if let Some((checkpoint, file)) = signed
            && self.sync(file).await
        {
            let _ = self.desk.send(Command::Durable(checkpoint)).await;
        }
    }

    /// Syncs in the background; tells the writer when that fails. In memory there is nothing to sync.
    async fn sync(&self, file: Option<Arc<File>>) -> bool {
        let Some(file) = file else { return true };
        let why = match spawn_blocking(move || file.sync_data()).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let why = format!("the disk did not confirm what was written: {why}");
        let _ = self.desk.send(Command::SyncFailed(why)).await;
        false
    }
}
