//! Carrying out a drill that is recorded: canary by canary, one drill at a time, and what is told of its end.

use super::record::{Drill, RotationTrial, Verdict};
use super::target::Target;
use super::trial::Scene;
use super::{Drills, Trial};
use crate::metrics::Labels;
use crate::rotation::Urged;
use crate::webhook::{Notice, Severity, Topic};
use crate::{CoreError, Grant};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use strongroom_model::SecretPath;
use tokio::time::Instant;

/// How long a real rotation is waited for.
const ROTATION_LIMIT: Duration = Duration::from_secs(300);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

impl Drills {
    /// Works at a drill in the background, unless somebody does.
    pub(super) fn start(self: &Arc<Self>, drill: Drill) {
        if !self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(drill.id.clone()) {
            return;
        }
        let drills = Arc::clone(self);
        self.tasks.start(|mut stop| async move {
            let id = drill.id.clone();
            let done = tokio::select! {
                done = drills.carry_out(drill) => done,
                _ = stop.wait_for(|stop| *stop) => Ok(()),
            };
            drills.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Err(error) = done {
                tracing::warn!(drill = id, %error, "a drill could not be ended; its canary is still to be taken away, which is tried again");
                if let Err(error) = drills.tell_stuck(&id, &error).await {
                    tracing::warn!(drill = id, %error, "that a drill cannot be ended could not be told");
                }
            }
            drills.ended.send_modify(|ended| *ended += 1);
        });
    }

    /// Whether somebody works at it.
    pub(super) fn is_active(&self, id: &str) -> bool {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    async fn carry_out(&self, mut drill: Drill) -> Result<(), CoreError> {
        let _turn = self.turn.lock().await;
        if drill.verdict.is_none() {
            let verdict = match self.rehearse(&mut drill).await {
                Ok(verdict) => verdict,
                Err(error) => Verdict::Failed(error.to_string()),
            };
            drill.verdict = Some(verdict);
            self.book.keep(&drill).await?;
        }
        self.finish(drill).await
    }

    /// Tells, once for each drill, that something of it is still there, and keeps why.
    async fn tell_stuck(&self, id: &str, error: &CoreError) -> Result<(), CoreError> {
        self.rooms.metrics.counter("strongroom.drill.clearing.total", Labels::new()).add(1);
        let under_way = self.book.under_way().await?;
        let Some(mut drill) = under_way.into_iter().find(|drill| drill.id == id && drill.verdict.is_some()) else {
            return Ok(());
        };
        let why = error.to_string();
        if drill.stuck.is_none() {
            let text = format!("its canaries are not taken away yet, which is tried again until it works: {why}");
            self.note("drill-clearing", &drill.path, format!("drill {id}: {text}")).await?;
            self.tell("drill-clearing", Severity::Warning, &drill.path, &text).await?;
        }
        if drill.stuck.as_ref() == Some(&why) {
            return Ok(());
        }
        drill.stuck = Some(why);
        self.book.keep(&drill).await
    }

    /// Takes the canaries away, and moves the drill into the history.
    pub(super) async fn finish(&self, mut drill: Drill) -> Result<(), CoreError> {
        self.clear(&drill).await?;
        let now = self.rooms.clock.now();
        (drill.ended, drill.stuck) = (Some(now), None);
        let verdict = drill.verdict.clone().unwrap_or(Verdict::BrokenOff);
        let why = match &verdict {
            Verdict::Failed(why) => format!(": {why}"),
            _ => String::new(),
        };
        let note = format!("drill {} {}: {} trials{why}", drill.id, verdict.word(), drill.trials.len());
        self.note("drill-end", &drill.path, note).await?;
        self.book.close(&drill, now).await?;
        self.count(&drill, &verdict);
        match verdict {
            Verdict::Done => Ok(()),
            Verdict::Failed(why) => self.tell("drill-failed", Severity::Warning, &drill.path, &why).await,
            Verdict::BrokenOff => {
                self.tell("drill-broken-off", Severity::Info, &drill.path, "the server stopped in the middle").await
            }
        }
    }

    /// Tells whoever wants to hear of drills.
    pub(super) async fn tell(
        &self,
        event: &'static str,
        severity: Severity,
        path: &str,
        why: &str,
    ) -> Result<(), CoreError> {
        let text = format!("drill of {path}: {why}");
        self.rooms.webhooks.tell(Notice::new(Topic::Drill, event, severity, text).at(path)).await.map(|_| ())
    }

    fn count(&self, drill: &Drill, verdict: &Verdict) {
        let metrics = &self.rooms.metrics;
        let labels: Labels = vec![("result", verdict.word().to_owned())];
        metrics.counter("strongroom.drill.total", labels).add(1);
        for trial in &drill.trials {
            let Some(denied) = trial.denied_us else { continue };
            let labels: Labels = vec![("credential", trial.credential.word().to_owned())];
            let timing = metrics.timing("strongroom.drill.denied.duration.seconds", labels);
            timing.note(Duration::from_micros(denied));
        }
    }

    async fn rehearse(&self, drill: &mut Drill) -> Result<Verdict, CoreError> {
        let gone = || CoreError::NotFound("what was to be drilled is gone".to_owned());
        let target = Arc::new(self.target_of(&drill.key).await?.ok_or_else(gone)?);
        let door = self.doorway.get()?;
        drill.rotation = self.rotated(drill, &target).await?;
        self.write_rights(drill, &target).await?;
        let keeper = match target.key.is_secret {
            true => Some(self.keeper_of(drill, &target, &door).await?),
            false => None,
        };
        if let Some(keeper) = &keeper {
            keeper.write().await?;
        }
        let mut number = 0;
        for _ in 0..drill.rounds {
            for credential in drill.credentials.clone() {
                if credential != super::CredentialType::SecretVersion
                    && drill.trials.last().is_some_and(|last| last.credential == super::CredentialType::SecretVersion)
                    && let Some(keeper) = &keeper
                {
                    // The one before hid what this one reads.
                    keeper.write().await?;
                }
                number += 1;
                let canary = self.canary(drill, number).await?;
                let scene = Scene { drill, target: &target, door: &door, keeper: keeper.as_ref() };
                let trial = self.trial(&scene, credential, canary).await?;
                drill.trials.push(trial);
                self.book.keep(drill).await?;
            }
        }
        Ok(judged(&drill.trials))
    }

    /// Has the secret rotated, before anything else: whoever asks must be told at once when that cannot be.
    pub(super) async fn urge(&self, grant: &Grant, target: &Target, drill: &mut Drill) -> Result<(), CoreError> {
        let name = SecretPath::parse(&drill.key.name)?;
        let before = self.version(target, &name).await?;
        let ordered = self.rooms.clock.now();
        let trigger = format!("drill {}", drill.id);
        let urged = self.rooms.rotations.urge(grant, target.mount.id, &name, &trigger).await;
        let why = match urged {
            Ok(Urged::Begun) => {
                drill.rotating = Some((ordered, before));
                return self.book.keep(drill).await;
            }
            Ok(Urged::UnderWay) => "a rotation of the secret is under way already; wait for its end".to_owned(),
            Ok(Urged::NoPlan) => {
                "nobody said how this secret rotates; say so with `strongroom rotate schedule`".to_owned()
            }
            Err(error) => error.to_string(),
        };
        drill.verdict = Some(Verdict::Failed(why.clone()));
        self.finish(drill.clone()).await?;
        Err(CoreError::Unfit(why))
    }

    async fn version(&self, target: &Target, name: &SecretPath) -> Result<u64, CoreError> {
        let meta = self.rooms.secrets.known(&target.mount, name).await?;
        Ok(meta.and_then(|meta| meta.current()).map_or(0, |number| number.get()))
    }

    /// Waits for the new version of a rotation that was asked for.
    async fn rotated(&self, drill: &Drill, target: &Target) -> Result<Option<RotationTrial>, CoreError> {
        let Some((ordered, before)) = drill.rotating else { return Ok(None) };
        let (name, began) = (SecretPath::parse(&drill.key.name)?, Instant::now());
        loop {
            let version = self.version(target, &name).await?;
            if version > before {
                let in_force = self.rooms.clock.now();
                let in_force_us = u64::try_from(in_force.since(ordered).as_micros()).unwrap_or(u64::MAX);
                return Ok(Some(RotationTrial { ordered, in_force, in_force_us, version }));
            }
            if began.elapsed() > ROTATION_LIMIT {
                return Err(CoreError::Unfit(
                    "the rotation did not come to its end in five minutes; see `strongroom rotate status`".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A drill went well when everything was refused in the end, and nothing that began after an acknowledgement was let in.
fn judged(trials: &[Trial]) -> Verdict {
    let open = trials.iter().find(|trial| trial.denied_us.is_none());
    if let Some(silent) = open.filter(|open| open.silent) {
        let (word, tries) = (silent.credential.word(), silent.hindered);
        return Verdict::Failed(format!(
            "nobody can tell whether the {word} is refused: {tries} tries were not answered, the last of them among these; \
             drill it again when its system answers"
        ));
    }
    if let Some(open) = open {
        return Verdict::Failed(format!("the {} was still let in when that was given up", open.credential.word()));
    }
    // An outside system has its own time; what this server decides holds from its acknowledgement on.
    let own = trials.iter().filter(|trial| trial.credential != super::CredentialType::Login);
    match own.into_iter().find(|trial| trial.accepted_after > 0) {
        Some(late) => {
            let word = late.credential.word();
            Verdict::Failed(format!("the {word} was let in after the revocation had been acknowledged"))
        }
        None => Verdict::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::CredentialType;
    use strongroom_model::Timestamp;

    #[test]
    fn a_system_that_was_away_in_the_end_is_not_said_to_have_let_anybody_in() {
        let mut trial = Trial {
            credential: CredentialType::Login,
            ordered: Timestamp::from_secs(1),
            acknowledged_us: 1,
            denied_us: None,
            after_acknowledgement_us: None,
            last_accepted_us: 0,
            accepted_after: 0,
            uses: 3,
            hindered: 70,
            silent: true,
        };
        let said = |trial: &Trial| match judged(std::slice::from_ref(trial)) {
            Verdict::Failed(why) => why,
            other => other.word().to_owned(),
        };
        assert!(said(&trial).contains("nobody can tell") && !said(&trial).contains("let in"), "{}", said(&trial));
        trial.silent = false;
        assert!(said(&trial).contains("still let in"), "{}", said(&trial));
    }
}
