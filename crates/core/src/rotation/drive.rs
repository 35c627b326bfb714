//! Drives one rotation from phase to phase until it ends or has to wait, and decides what a failure means.

use super::Rotations;
use super::alarm::AlertKind;
use super::record::{Cause, Ending, Job, Key, Past, Phase, Rotation, backoff};
use super::step::Next;
use crate::CoreError;
use crate::secret::VersionId;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strongroom_audit::{Entry, Outcome, SecretNote};
use strongroom_model::{Kind, Kinded, Timestamp};

/// Tries of a phase that fails for good before it is rolled back.
const TRIES: u32 = 3;
/// Failures in a row after which somebody is told that it does not go on.
const STUCK: u32 = 4;
/// After a rotation that was rolled back, a scheduled one is tried again no later than that.
const AGAIN: Duration = Duration::from_secs(3_600);
/// A secret is past due that long after its time.
const LATE: Duration = Duration::from_secs(3_600);

impl Rotations {
    /// Goes on with a rotation as far as it goes now. What goes wrong here is written down or tried again in a second.
    pub(super) async fn drive(&self, key: &Key) {
        if let Err(error) = self.go_on(key).await {
            tracing::warn!(secret = key.path.as_str(), %error, "a rotation could not go on; it is tried again");
            self.due.fetch_min(self.clock.now().plus(Duration::from_secs(1)).nanos(), Ordering::SeqCst);
        }
    }

    async fn go_on(&self, key: &Key) -> Result<(), CoreError> {
        loop {
            let Some(stored) = self.book.get(key).await? else { return Ok(()) };
            let rotation = &stored.value;
            let now = self.clock.now();
            if rotation.due.is_none_or(|due| due > now) {
                self.expect(rotation.due);
                return Ok(());
            }
            let Some(job) = &rotation.job else {
                match &rotation.again {
                    Some(cause) => drop(self.begin_job(key, cause, None).await?),
                    None => self.begin_scheduled(rotation, now).await?,
                }
                continue;
            };
            match self.step(rotation, job).await {
                Ok(Next::Phase(phase)) => self.enter(key, &job.token, vec![(phase, self.clock.now())]).await?,
                Ok(Next::Leap(way, None)) => self.enter(key, &job.token, way).await?,
                Ok(Next::Leap(way, Some(ending))) => self.end_job(key, job, way, ending).await?,
                Ok(Next::Wait(why, span)) => self.put_off(key, &job.token, why, span).await?,
                Ok(Next::End(ending)) => self.end_job(key, job, Vec::new(), ending).await?,
                Ok(Next::Forget) => return self.book.forget(key).await,
                Err(error) => self.failed(rotation, job, &error).await?,
            }
        }
    }

    /// Begins what the schedule asks for, unless its window has passed by.
    async fn begin_scheduled(&self, rotation: &Rotation, now: Timestamp) -> Result<(), CoreError> {
        let planned = rotation.next.unwrap_or(now);
        let missed = match &rotation.plan.schedule {
            Some(schedule) => schedule.missed(planned, now)?,
            None => None,
        };
        let Some(next) = missed else {
            let cause = Cause { trigger: "schedule".to_owned(), leaked: false };
            return self.begin_job(&rotation.key, &cause, None).await.map(|_| ());
        };
        let text = "the window of its rotation passed by while the server could not rotate it";
        let advice = "rotate it now with `strongroom rotate start`, or widen its window";
        self.alarm(&rotation.key, AlertKind::Late, text.to_owned(), advice).await;
        self.book
            .change(&rotation.key, |rotation| {
                rotation.next = Some(next);
                Ok(None)
            })
            .await?;
        self.note_next(&rotation.key, Some(next)).await
    }

    async fn enter(&self, key: &Key, token: &VersionId, way: Vec<(Phase, Timestamp)>) -> Result<(), CoreError> {
        let now = self.clock.now();
        let changed = self.book.change(key, |rotation| {
            let Some(job) = rotation.job.as_mut().filter(|job| job.token == *token) else { return Ok(None) };
            way.iter().for_each(|(phase, at)| pass(job, phase, *at));
            // It keeps its place in the index while somebody drives it.
            (job.attempts, job.error, job.wake) = (0, None, job.wake.min(now));
            Ok(None)
        });
        changed.await.map(|_| ())
    }

    async fn put_off(&self, key: &Key, token: &VersionId, why: String, span: Duration) -> Result<(), CoreError> {
        let wake = self.clock.now().plus(span);
        let changed = self.book.change(key, |rotation| {
            if let Some(job) = rotation.job.as_mut().filter(|job| job.token == *token) {
                let wake = if job.is_to_end() { self.clock.now() } else { wake };
                (job.error, job.wake) = (Some(why.clone()), wake);
            }
            Ok(None)
        });
        changed.await.map(|_| ())
    }

    /// Notes a failure: tried again when that may help, rolled back when it does not.
    async fn failed(&self, rotation: &Rotation, job: &Job, error: &CoreError) -> Result<(), CoreError> {
        let attempts = job.attempts.saturating_add(1);
        let passing = !matches!(
            error.kind(),
            Kind::Invalid | Kind::NotFound | Kind::Conflict | Kind::Unsupported | Kind::TooLarge | Kind::Denied
        ) && !matches!(error, CoreError::Outside { .. });
        let [part] = self.entropy.array::<1>();
        if matches!(error, CoreError::Unreachable { .. }) {
            self.lanes.get(&rotation.lane).went_down(self.clock.now(), part);
        }
        let new = match &job.phase {
            Phase::Creating => Some(None),
            Phase::Setting { new } | Phase::Testing { new } => Some(Some(*new)),
            _ => None,
        };
        // A trial waits for nothing: what is in force works as it did.
        if let Some(new) = new.filter(|_| (!passing || job.trial) && attempts >= TRIES) {
            let (from, why) = (job.phase.word().to_owned(), error.to_string());
            return self
                .enter(&rotation.key, &job.token, vec![(Phase::RollingBack { new, from, why }, self.clock.now())])
                .await;
        }
        let told_late = self.tell_if_stuck(rotation, job, attempts, error).await;
        let wake = self.clock.now().plus(backoff(attempts, part));
        let changed = self.book.change(&rotation.key, |rotation| {
            if let Some(job) = rotation.job.as_mut().filter(|now| now.token == job.token) {
                let wake = if job.is_to_end() { self.clock.now() } else { wake };
                (job.attempts, job.error, job.wake) = (attempts, Some(error.to_string()), wake);
                rotation.alarmed |= attempts >= STUCK || told_late;
            }
            rotation.told_late |= told_late;
            Ok(None)
        });
        changed.await?;
        self.moved.send_modify(|moved| *moved += 1);
        Ok(())
    }

    /// Tells of what does not go on; says whether it told that the secret is past due.
    async fn tell_if_stuck(&self, rotation: &Rotation, job: &Job, attempts: u32, error: &CoreError) -> bool {
        let labels = vec![("method", rotation.plan.method.clone()), ("phase", job.phase.word().to_owned())];
        self.metrics.counter("strongroom.rotation.retry.total", labels).add(1);
        let (key, advice) = (&rotation.key, super::view::advice(&job.phase, true));
        if attempts == STUCK {
            let text = format!("its rotation is held up while {}: {error}", job.phase.word());
            self.alarm(key, AlertKind::Stuck, text, advice).await;
        }
        let in_force = matches!(job.phase, Phase::Retiring { .. });
        let is_late = rotation.next.is_some_and(|next| next.plus(LATE) < self.clock.now());
        if !is_late || in_force || rotation.told_late {
            return false;
        }
        let text = format!("it is past due: its rotation is held up while {}: {error}", job.phase.word());
        self.alarm(key, AlertKind::Late, text, advice).await;
        true
    }

    /// Ends a job: into the trail, then into the history, and the next time is set.
    async fn end_job(
        &self,
        key: &Key,
        Job { token, leaked, .. }: &Job,
        way: Vec<(Phase, Timestamp)>,
        ending: Ending,
    ) -> Result<(), CoreError> {
        let leaked = *leaked;
        let Some(stored) = self.book.get(key).await? else { return Ok(()) };
        let Some(job) = stored.value.job.clone().filter(|job| job.token == *token) else { return Ok(()) };
        if job.leaked && !leaked {
            // Meanwhile somebody said that others know the former value: it is not given up yet.
            return self.enter(key, token, way).await;
        }
        let now = self.clock.now();
        self.record_end(&stored.value, &job, &ending, now).await?;
        let changed = self.book.change(key, |rotation| {
            let Some(mut job) = rotation.job.take_if(|job| job.token == *token && job.leaked == leaked) else {
                return Ok(None);
            };
            way.iter().for_each(|(phase, at)| pass(&mut job, phase, *at));
            let left = job.left();
            let mut phases = job.took;
            phases.push((job.phase.word().to_owned(), millis(now.since(job.since))));
            if ending == Ending::Rotated {
                rotation.last = Some(now);
            }
            // By the schedule as it is now: it may have been given anew meanwhile.
            (rotation.next, rotation.told_late) = (next_time(rotation, &ending, now)?, false);
            rotation.alarmed = ending != Ending::Rotated && (rotation.alarmed || ending != Ending::Tried);
            Ok(Some(Past {
                version_id: token.as_str().to_owned(),
                trigger: job.trigger,
                begun: job.begun,
                ended: now,
                phases,
                outcome: ending.clone(),
                left,
            }))
        });
        let changed = changed.await?;
        self.moved.send_modify(|moved| *moved += 1);
        self.note_next(key, changed.and_then(|rotation| rotation.next)).await
    }

    async fn record_end(
        &self,
        rotation: &Rotation,
        job: &Job,
        ending: &Ending,
        now: Timestamp,
    ) -> Result<(), CoreError> {
        let left = job.left().map_or_else(String::new, |left| format!("; {left}"));
        let note = format!("{} of version {}{left}", job.trigger, job.token.as_str());
        let mut entry = self.event("rotation-end", &rotation.key, &note);
        entry.duration_us = u64::try_from(now.since(job.begun).as_micros()).unwrap_or(u64::MAX);
        let word = match ending {
            Ending::Rotated => "rotated",
            Ending::Tried => "tried",
            Ending::RolledBack { .. } => "rolled-back",
        };
        let labels = vec![("method", rotation.plan.method.clone()), ("outcome", word.to_owned())];
        self.metrics.counter("strongroom.rotation.ended.total", labels).add(1);
        self.metrics.timing("strongroom.rotation.duration.seconds", Vec::new()).note(now.since(job.begun));
        entry.outcome = Some(match ending {
            Ending::Rotated | Ending::Tried => Outcome::ok(),
            Ending::RolledBack { phase, why, .. } => Outcome::failed(Kind::Unavailable, format!("{phase}: {why}")),
        });
        self.trail.append(entry).await?;
        match ending {
            Ending::RolledBack { phase, why, unsettled } => {
                let what = if job.trial { "the trial of its rotation" } else { "its rotation" };
                let text = format!("{what} failed while {phase}, and the former value is still in force: {why}");
                let advice = if *unsettled { super::view::UNSETTLED } else { super::view::advice_after(phase) };
                self.alarm(&rotation.key, AlertKind::Failed, text, advice).await;
            }
            Ending::Rotated if rotation.alarmed => {
                let text = "it rotated again after it had failed or was held up".to_owned();
                self.alarm(&rotation.key, AlertKind::Recovered, text, "nothing is to be done").await;
            }
            Ending::Rotated | Ending::Tried => {}
        }
        Ok(())
    }

    /// An entry about something that happened to a secret's rotation without a request.
    pub(super) fn event(&self, operation: &'static str, key: &Key, note: &str) -> Entry {
        let mut entry = Entry::event(operation, self.name(key), note);
        entry.secret = Some(SecretNote { name: key.path.as_str().to_owned(), act: "rotate".into() });
        entry.mount = self.mounts.table().known(key.mount).map(|mount| mount.note());
        entry
    }

    /// The secret with its mount, for people.
    pub(super) fn name(&self, key: &Key) -> String {
        match self.mounts.table().known(key.mount) {
            Some(mount) => format!("{}/{}", mount.path, key.path),
            None => key.path.to_string(),
        }
    }

    /// Shows when the secret rotates next.
    pub(super) async fn note_next(&self, key: &Key, next: Option<Timestamp>) -> Result<(), CoreError> {
        let Some(mount) = self.mounts.table().by_id(key.mount).cloned() else { return Ok(()) };
        self.secrets.note_rotation(&mount, &key.path, |setting| setting.next = next).await
    }
}

/// Enters a phase.
fn pass(job: &mut Job, phase: &Phase, at: Timestamp) {
    job.took.push((job.phase.word().to_owned(), millis(at.since(job.since))));
    (job.phase, job.since) = (phase.clone(), at);
}

fn next_time(rotation: &Rotation, ending: &Ending, now: Timestamp) -> Result<Option<Timestamp>, CoreError> {
    let Some(schedule) = rotation.plan.schedule.as_ref().filter(|_| rotation.enabled) else { return Ok(None) };
    let next = schedule.next(now)?;
    Ok(Some(match ending {
        Ending::Rotated => next,
        Ending::Tried => rotation.next.unwrap_or(next),
        Ending::RolledBack { .. } => next.min(now.plus(AGAIN)),
    }))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
