//! What engines do without being asked (the rotation of static roles): a task for each mount, so that an engine that
//! hangs holds up nobody else.

use super::beat::Beat;
use super::record::backoff;
use super::{Diary, Leases};
use crate::plugin::SecretsEngine;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use strongroom_model::{Clock, Entropy, MountId, Timestamp};
use tokio::sync::{Notify, watch};

/// The tasks of all mounts with an engine.
#[derive(Default)]
pub(super) struct Upkeep(Mutex<HashMap<MountId, Arc<Chore>>>);

/// The task of one mount.
struct Chore {
    beat: Beat,
    /// Breaks off what hangs.
    quit: Notify,
}

impl Upkeep {
    fn locked(&self) -> MutexGuard<'_, HashMap<MountId, Arc<Chore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a mount's engine see to what is due.
    pub(super) fn ring(&self, mount: MountId) {
        if let Some(chore) = self.locked().get(&mount) {
            chore.beat.ring();
        }
    }

    /// Ends the task of a mount.
    pub(super) fn stop(&self, mount: MountId) {
        if let Some(chore) = self.locked().remove(&mount) {
            chore.quit.notify_one();
        }
    }

    /// Has every engine see to what is due.
    pub(super) fn ring_all(&self) {
        for chore in self.locked().values() {
            chore.beat.ring();
        }
    }

    /// Starts tasks for mounts that are new, ends those of removed ones, and rings where the time has come.
    pub(super) fn tick(&self, leases: &Leases) {
        let Leases { mounts, trail, tasks, clock, entropy, .. } = leases;
        let table = mounts.table();
        let gone: Vec<MountId> = self.locked().keys().filter(|id| table.by_id(**id).is_none()).copied().collect();
        gone.into_iter().for_each(|id| self.stop(id));
        for (mount, engine) in table.engines().filter(|(mount, _)| table.by_id(mount.id).is_some()) {
            let mut chores = self.locked();
            let chore = chores.entry(mount.id).or_insert_with(|| {
                let chore = Arc::new(Chore { beat: Beat::new(), quit: Notify::new() });
                let (mine, engine) = (Arc::clone(&chore), Arc::clone(engine));
                let means = Means {
                    name: mount.path.to_string(),
                    diary: Diary::new(trail, mounts, mount.id),
                    clock: Arc::clone(clock),
                    entropy: Arc::clone(entropy),
                };
                tasks.start(|stop| mine.run(engine, means, stop));
                chore
            });
            if chore.beat.is_due(clock.now()) {
                chore.beat.begin();
                chore.beat.ring();
            }
        }
    }

    /// Has every engine see to what is due, and waits until each has.
    pub(super) async fn settle(&self) {
        let chores: Vec<_> = self.locked().values().cloned().collect();
        let tickets: Vec<_> = chores.iter().map(|chore| chore.beat.ring()).collect();
        for (chore, ticket) in chores.iter().zip(tickets) {
            chore.beat.over(ticket).await;
        }
    }
}

/// What a task works with.
struct Means {
    /// The mount's path, for the log.
    name: String,
    diary: Diary,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Chore {
    async fn run(self: Arc<Self>, engine: Arc<dyn SecretsEngine>, means: Means, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let ticket = tokio::select! {
                ticket = self.beat.rung() => ticket,
                () = self.quit.notified() => return self.beat.answer(u64::MAX),
                _ = stop.wait_for(|stop| *stop) => return,
            };
            self.beat.begin();
            let done = tokio::select! {
                done = engine.work(&means.diary) => done,
                () = self.quit.notified() => return self.beat.answer(u64::MAX),
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let next: Option<Timestamp> = match done {
                Ok(next) => {
                    failures = 0;
                    next
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(mount = means.name, %error, "an engine could not do what is due; it is tried again");
                    let [part] = means.entropy.array::<1>();
                    Some(means.clock.now().plus(backoff(failures, part)))
                }
            };
            next.into_iter().for_each(|next| self.beat.expect(next));
            self.beat.answer(ticket);
        }
    }
}
