//! Rotations that an emergency asks for: the value is known to others, and is to be worthless as soon as its system can be
//! told so.
//!
//! Invariants: an emergency waits for a rotation only as long as that goes on; one that does not is not given up, but tried
//! again until it went well or the incident was lifted, whatever was rolled back meanwhile. Hides nothing: the emergency
//! does.

use super::Rotations;
use super::manage::Begun;
use super::record::{Cause, Ending, Key, Past, Phase, Rotation};
use crate::CoreError;
use crate::emergency::{Rotate, Turned};
use crate::mount::Mount;
use async_trait::async_trait;
use std::time::Duration;
use strongroom_model::{MountId, SecretPath, Timestamp, VersionNumber};

/// How long an emergency waits for a rotation before it takes the value out of use.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long after one that was rolled back the next one begins.
const REST: Duration = Duration::from_secs(60);
/// What the history says of who asked for it.
const TRIGGER: &str = "emergency (leaked)";

fn cause() -> Cause {
    Cause { trigger: TRIGGER.to_owned(), leaked: true }
}

impl Rotations {
    async fn in_force(&self, mount: &Mount, path: &SecretPath) -> Result<Option<VersionNumber>, CoreError> {
        match self.secrets.identify(mount, path).await {
            Ok((_, meta)) => Ok(meta.current()),
            Err(CoreError::Nothing | CoreError::Marked) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until no rotation of that secret is under way. `false` when one does not go on, or not in time.
    async fn wait_for(&self, key: &Key) -> Result<bool, CoreError> {
        let waiting = async {
            let mut moved = self.moved.subscribe();
            loop {
                moved.borrow_and_update();
                let Some(known) = self.book.get(key).await? else { return Ok(true) };
                match &known.value.job {
                    None if known.value.again.is_none() => return Ok(true),
                    Some(job) if job.attempts > 0 => return Ok(false),
                    _ => {}
                }
                // The sender lives as long as `self`, so waiting cannot fail.
                let _ = moved.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or(Ok(false))
    }

    /// Begins a rotation because of an emergency, or makes the one under way serve it.
    async fn begin_for_emergency(&self, key: &Key, rotation: &Rotation) -> Result<(), CoreError> {
        match rotation.job.as_ref().filter(|job| !job.trial) {
            Some(_) => self.hasten(key, &cause()).await.map(|_| ()),
            None => match self.begin_job(key, &cause(), None).await? {
                Begun::Here(rotation) => {
                    self.hand_over(Some(&rotation));
                    Ok(())
                }
                // Somebody began one a moment ago, and did not say that the former value is known to others.
                Begun::Elsewhere => self.hasten(key, &cause()).await.map(|_| ()),
                Begun::Nothing => Ok(()),
            },
        }
    }

    /// Why a rotation has not come to its end.
    async fn hindrance(&self, key: &Key, rotation: &Rotation) -> Result<String, CoreError> {
        if let Some(job) = &rotation.job {
            let phase = job.phase.word();
            return Ok(job
                .error
                .as_ref()
                .map_or_else(|| format!("it is {phase}"), |why| format!("it is {phase}: {why}")));
        }
        Ok(match self.book.history(key).await?.into_iter().next().map(|past| past.outcome) {
            Some(Ending::RolledBack { phase, why, .. }) => format!("it was rolled back while {phase}: {why}"),
            _ => "it begins".to_owned(),
        })
    }

    /// Whether the version in force is the work of a rotation for an emergency that began since then.
    async fn has_turned(
        &self,
        key: &Key,
        rotation: &Rotation,
        now: VersionNumber,
        since: Timestamp,
    ) -> Result<bool, CoreError> {
        if let Some(job) = &rotation.job {
            let is_in_force = match job.phase {
                // Put in force before that is stored: the last phases are stored at once.
                Phase::Testing { new } | Phase::Finishing { new } => now == new,
                Phase::Retiring { former } => now != former,
                _ => false,
            };
            return Ok(is_in_force && job.leaked && job.begun >= since);
        }
        let last = self.book.history(key).await?.into_iter().next();
        let serves = |past: Past| past.trigger == TRIGGER && past.begun >= since && past.outcome == Ending::Rotated;
        Ok(rotation.again.is_none() && last.is_some_and(serves))
    }

    async fn is_rested(&self, key: &Key) -> Result<bool, CoreError> {
        let last = self.book.history(key).await?.into_iter().next();
        Ok(last.is_none_or(|last| last.ended.plus(REST) <= self.clock.now()))
    }
}

#[async_trait]
impl Rotate for Rotations {
    async fn rotate(&self, mount: MountId, secret: &SecretPath, since: Timestamp) -> Result<Turned, CoreError> {
        let key = Key { mount, path: secret.clone() };
        let Some(place) = self.mounts.table().by_id(mount).cloned() else { return Ok(Turned::NoPlan) };
        // In this order: a rotation that goes on meanwhile is then seen as far as what it has put in force.
        let Some(before) = self.in_force(&place, secret).await? else { return Ok(Turned::NoPlan) };
        let Some(known) = self.book.get(&key).await? else { return Ok(Turned::NoPlan) };
        // What it put in force before a crash must not be taken for what is known to others.
        if self.has_turned(&key, &known.value, before, since).await? {
            let is_over = self.wait_for(&key).await?;
            return Ok(match (is_over, self.book.get(&key).await?) {
                (false, Some(known)) => {
                    let why = self.hindrance(&key, &known.value).await?;
                    Turned::Pending { version: Some(before.get()), known: None, why }
                }
                _ => Turned::Done(before.get()),
            });
        }
        self.begin_for_emergency(&key, &known.value).await?;
        let is_over = self.wait_for(&key).await?;
        let now = self.in_force(&place, secret).await?.filter(|now| *now != before).map(VersionNumber::get);
        match (now, self.book.get(&key).await?) {
            (Some(version), _) if is_over => Ok(Turned::Done(version)),
            (_, None) => Ok(Turned::NoPlan),
            (version, Some(known)) => {
                let why = self.hindrance(&key, &known.value).await?;
                Ok(Turned::Pending { version, known: Some(before.get()), why })
            }
        }
    }

    async fn is_planned(&self, mount: MountId, secret: &SecretPath) -> Result<bool, CoreError> {
        Ok(self.book.get(&Key { mount, path: secret.clone() }).await?.is_some())
    }

    async fn pursue(
        &self,
        mount: MountId,
        secret: &SecretPath,
        since: Timestamp,
        hidden: Option<u64>,
    ) -> Result<Turned, CoreError> {
        let key = Key { mount, path: secret.clone() };
        let Some(place) = self.mounts.table().by_id(mount).cloned() else { return Ok(Turned::NoPlan) };
        let Some(known) = self.book.get(&key).await? else { return Ok(Turned::NoPlan) };
        let rotation = &known.value;
        let why = self.hindrance(&key, rotation).await?;
        let pending = Turned::Pending { version: None, known: hidden, why };
        if let Some(job) = &rotation.job {
            if !job.leaked {
                self.begin_for_emergency(&key, rotation).await?;
            }
            return Ok(pending);
        }
        if rotation.again.is_some() {
            return Ok(pending);
        }
        let now = self.in_force(&place, secret).await?.map(VersionNumber::get);
        match now.filter(|now| Some(*now) != hidden && rotation.last.is_some_and(|last| last >= since)) {
            Some(version) => return Ok(Turned::Done(version)),
            None if self.is_rested(&key).await? => self.begin_for_emergency(&key, rotation).await?,
            None => {}
        }
        Ok(pending)
    }

    async fn give_up(&self, mount: MountId, secret: &SecretPath) -> Result<(), CoreError> {
        let now = self.clock.now();
        let key = Key { mount, path: secret.clone() };
        let changed = self.book.change(&key, |rotation| {
            rotation.again.take_if(|again| again.trigger == TRIGGER);
            if let Some(job) = rotation.job.as_mut().filter(|job| job.trigger == TRIGGER) {
                job.cancelled = Some("who lifted the incident".to_owned());
                job.wake = job.wake.min(now);
            }
            Ok(None)
        });
        let changed = changed.await?;
        self.expect(changed.and_then(|rotation| rotation.due));
        Ok(())
    }
}
