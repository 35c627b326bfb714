//! Rotations that something other than a caller or the schedule asks for: a value that is known to others, somebody who
//! read it and is cut off.
//!
//! That somebody was cut off is noted in the commit that does it, so no crash loses it; which secrets they read is asked
//! of the trail. Only secrets whose plan says so rotate by that.

use super::Rotations;
use super::manage::Begun;
use super::record::{Cause, Key, Phase, Rotation};
use crate::CoreError;
use crate::gate::Grant;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{MountId, NamespaceId, SecretPath, Timestamp};

/// Notes read at once.
const PAGE: usize = 32;

/// What became of a rotation that an event asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urged {
    /// It begins.
    Begun,
    /// One was under way already.
    UnderWay,
    /// Nobody said how this secret rotates.
    NoPlan,
}

/// Somebody who was cut off.
#[derive(Clone, Serialize, Deserialize)]
struct CutOff {
    /// The entity, or the access key where there is none, as the trail names who reads.
    consumer: String,
    /// What happened, in words.
    why: String,
    at: Timestamp,
}

fn shelf() -> Shelf {
    Shelf::new("rotation-cause", NamespaceId::ROOT)
}

/// Notes in a commit that somebody is cut off by it.
pub(crate) fn cut_off(txn: Txn, consumer: &str, why: &str, at: Timestamp) -> Result<Txn, CoreError> {
    let note = CutOff { consumer: consumer.to_owned(), why: why.to_owned(), at };
    txn.put_record(shelf().ordered(at.nanos(), consumer), &note)
}

impl Rotations {
    /// Has a secret rotated because something happened. The grant is one for whatever found that out.
    pub async fn urge(&self, _grant: &Grant, mount: MountId, path: &SecretPath, why: &str) -> Result<Urged, CoreError> {
        self.urge_internal(mount, path, why).await
    }

    /// As [`Rotations::urge`], for what somebody with the right to rotate the secret asked for earlier.
    pub(crate) async fn urge_internal(&self, mount: MountId, path: &SecretPath, why: &str) -> Result<Urged, CoreError> {
        let key = Key { mount, path: path.clone() };
        match self.book.get(&key).await? {
            None => Ok(Urged::NoPlan),
            Some(known) if known.value.job.as_ref().is_some_and(|job| !job.trial) => Ok(Urged::UnderWay),
            Some(_) => {
                let cause = Cause { trigger: why.to_owned(), leaked: false };
                Ok(match self.begin_job(&key, &cause, None).await? {
                    Begun::Here(rotation) => {
                        self.hand_over(Some(&rotation));
                        Urged::Begun
                    }
                    Begun::Elsewhere => Urged::UnderWay,
                    Begun::Nothing => Urged::NoPlan,
                })
            }
        }
    }

    /// Makes the rotation under way one that leaves the former value worthless. Where the new value is in force already
    /// it may be what is known to others, so another rotation follows.
    pub(super) async fn hasten(&self, key: &Key, cause: &Cause) -> Result<Option<Rotation>, CoreError> {
        let now = self.clock.now();
        let changed = self.book.change(key, |rotation| {
            if let Some(job) = &mut rotation.job {
                (job.leaked, job.wake) = (true, job.wake.min(now));
                if matches!(job.phase, Phase::Retiring { .. } | Phase::RollingBack { .. }) {
                    rotation.again = Some(cause.clone());
                }
            }
            Ok(None)
        });
        let changed = changed.await?;
        self.expect(changed.as_ref().and_then(|rotation| rotation.due));
        Ok(changed)
    }

    /// Rotates what those who were cut off had read, where the plan says so.
    pub(super) async fn see_to_causes(&self) -> Result<(), CoreError> {
        loop {
            let page = self.book.records.scan::<CutOff>(&shelf(), None, PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for one in page {
                self.rotate_what_was_read(&one.value).await?;
                self.book.records.commit(Txn::new().delete(shelf().ordered(one.number, &one.name))).await?;
            }
        }
    }

    async fn rotate_what_was_read(&self, cut: &CutOff) -> Result<(), CoreError> {
        let consumer = cut.consumer.clone();
        for one in self.trail.uses(None, move |one| one.consumer == consumer && one.reads > 0).await? {
            let Some(key) = self.key_of(&one.object) else { continue };
            let Some(known) = self.book.get(&key).await? else { continue };
            let replaced = known.value.last.is_some_and(|last| last.nanos() > one.last);
            if !known.value.plan.when_disabled || replaced {
                continue;
            }
            let done = self.urge_internal(key.mount, &key.path, &format!("{} who had read it", cut.why)).await;
            if let Err(error) = done {
                let (secret, why) = (self.name(&key), &cut.why);
                tracing::warn!(secret, why, %error, "a secret could not be rotated although somebody who read it was cut off");
            }
        }
        Ok(())
    }

    /// The secret that an object of the trail is: the mount's accessor, a colon, the path.
    fn key_of(&self, object: &str) -> Option<Key> {
        let (accessor, path) = object.split_once(':')?;
        let mount = self.mounts.table().by_accessor(accessor)?.id;
        Some(Key { mount, path: SecretPath::parse(path).ok()? })
    }
}
