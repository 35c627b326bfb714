//! The tidying after the cut: access keys, tokens and leases at the same time, again and again until nothing is left.
//! Every act is repeatable, so it does not matter where a crash cuts it off.

use super::preview::TokenWalk;
use super::{Emergency, Target, Turned};
use crate::CoreError;
use crate::access_key::AccessKeyId;
use crate::incident::{Failure, Incident, Incidents, Step, StepKind, TOKENS_NAMED};
use crate::token::TokenKey;
use crate::webhook::Severity;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Tokens revoked at the same time.
const AT_ONCE: usize = 32;
/// Failures kept of each step.
const MOST_FAILURES: usize = 50;
/// How long to wait for leases before looking again though none has moved.
const PATIENCE: Duration = Duration::from_secs(1);

impl Emergency {
    /// Cuts what a crash left uncut, before anything is served.
    pub(crate) async fn begin(&self, incidents: &Incidents) -> Result<(), CoreError> {
        for id in incidents.unfinished().await? {
            if let Some(incident) = incidents.find(&id).await? {
                self.cut(incidents, incident).await?;
            }
        }
        Ok(())
    }

    /// Carries on whatever is not finished and nobody works at. For housekeeping, every second.
    pub(crate) async fn resume(self: &Arc<Self>, incidents: &Arc<Incidents>) -> Result<(), CoreError> {
        for id in incidents.unfinished().await? {
            self.start(incidents, id);
        }
        Ok(())
    }

    /// Works at an incident in the background, unless somebody does.
    pub(super) fn start(self: &Arc<Self>, incidents: &Arc<Incidents>, id: String) {
        let Some(at_work) = self.claim(&id) else { return };
        let (emergency, incidents) = (Arc::clone(self), Arc::clone(incidents));
        self.tasks.start(|mut stop| async move {
            let done = tokio::select! {
                done = emergency.work(&incidents, &id) => done,
                _ = stop.wait_for(|stop| *stop) => Ok(()),
            };
            drop(at_work);
            if let Err(error) = done {
                tracing::warn!(incident = id, %error, "an incident could not be carried on; it is tried again");
            }
        });
    }

    /// Keeps everybody else from working at an incident; `None` when somebody does.
    pub(super) fn claim(self: &Arc<Self>, id: &str) -> Option<AtWork> {
        let is_free = self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        is_free.then(|| AtWork { emergency: Arc::clone(self), id: id.to_owned() })
    }

    /// Does what is left of an incident.
    async fn work(self: &Arc<Self>, incidents: &Arc<Incidents>, id: &str) -> Result<(), CoreError> {
        let Some(incident) = incidents.find(id).await?.filter(|incident| incident.lifted.is_none()) else {
            return Ok(());
        };
        let incident = self.cut(incidents, incident).await?;
        let (keys, tokens, leases, rotation, ()) = tokio::join!(
            self.tidy(incidents, &incident, StepKind::AccessKeys),
            self.tidy(incidents, &incident, StepKind::Tokens),
            self.tidy(incidents, &incident, StepKind::Leases),
            self.tidy(incidents, &incident, StepKind::Rotation),
            incidents.keep_if_stale(id),
        );
        keys.and(tokens).and(leases).and(rotation)?;
        let now = self.now();
        let incident = incidents
            .amend(id, |kept| {
                let done = kept.steps.iter().all(|step| step.ended.is_some());
                kept.finished = kept.finished.or(Some(now).filter(|_| done));
                // Leases are refused by outside systems, which is known when they are gone.
                kept.refused = kept.refused.or(kept.finished);
            })
            .await?;
        match incident.finished {
            Some(_) => {
                let said = "done: nothing is left to revoke";
                incidents.note(&incident, said, true).await?;
                incidents.tell(&incident, "incident-done", Severity::Info, said).await;
                incidents.try_keep(id).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn tidy(
        self: &Arc<Self>,
        incidents: &Arc<Incidents>,
        incident: &Incident,
        what: StepKind,
    ) -> Result<(), CoreError> {
        if !incident.needs(what) {
            return Ok(());
        }
        match what {
            // Those of a network are found with its tokens.
            StepKind::AccessKeys => self.tidy_keys(incidents, incident).await,
            StepKind::Tokens => self.tidy_tokens(incidents, incident).await,
            StepKind::Leases => self.tidy_leases(incidents, incident).await,
            StepKind::Rotation => self.tidy_rotation(incidents, incident).await,
        }
    }

    /// A value that others know is good until its system has another: that is not given up before somebody lifts it.
    async fn tidy_rotation(&self, incidents: &Incidents, incident: &Incident) -> Result<(), CoreError> {
        let what = StepKind::Rotation;
        let (Target::Secret { mount, name, .. }, Some(rotate)) = (&incident.target, self.rotate.get()) else {
            return Ok(());
        };
        let known = match self.mount_by_id(*mount) {
            Some(mount) => self.rooms.secrets.known(&mount, name).await?,
            None => None,
        };
        if known.is_none() {
            return self.end_step(incidents, incident, what, 0, Vec::new()).await;
        }
        let hidden = incident.cut.as_ref().filter(|cut| !cut.rotated).and_then(|cut| cut.version);
        let why = match rotate.pursue(*mount, name, incident.opened, hidden).await? {
            Turned::Done(version) => {
                self.note_rotated(incidents, incident, version).await?;
                return self.end_step(incidents, incident, what, 1, Vec::new()).await;
            }
            Turned::Pending { why, .. } => why,
            Turned::NoPlan => "nobody says any more how it rotates".to_owned(),
        };
        let failure = rotation_failure(why);
        if incident.steps.iter().any(|step| step.what == what && step.failures.first() == Some(&failure)) {
            return Ok(());
        }
        self.end_step(incidents, incident, what, 0, vec![failure]).await
    }

    async fn note_rotated(&self, incidents: &Incidents, incident: &Incident, version: u64) -> Result<(), CoreError> {
        let amended = incidents.amend(&incident.id, |kept| {
            if let Some(cut) = kept.cut.as_mut() {
                cut.how = match (cut.rotated, cut.version) {
                    (false, Some(hidden)) => format!("version {hidden} was out of use; rotated to version {version}"),
                    _ => format!("rotated to version {version}"),
                };
                (cut.rotated, cut.version) = (true, Some(version));
            }
        });
        amended.await.map(|_| ())
    }

    async fn tidy_keys(&self, incidents: &Incidents, incident: &Incident) -> Result<(), CoreError> {
        let Target::Principal { entity, .. } = &incident.target else { return Ok(()) };
        let keys = self.rooms.access_keys.lasting_of(*entity).await?;
        let total = self.disable_keys(incidents, incident, keys.into_iter().map(|key| key.id)).await?;
        self.end_step(incidents, incident, StepKind::AccessKeys, total, Vec::new()).await
    }

    /// Puts those out of use that are in use, or would be if another incident were lifted: lifting must know of each of
    /// them, and of no other, so they are noted first. Gives how many there are.
    async fn disable_keys(
        &self,
        incidents: &Incidents,
        incident: &Incident,
        keys: impl Iterator<Item = AccessKeyId>,
    ) -> Result<u64, CoreError> {
        let others = incidents.standing_beside(&incident.id).await?;
        let mut ours = Vec::new();
        for id in keys {
            let disabled = self.rooms.access_keys.is_disabled(&id).await?;
            if disabled == Some(false) || (disabled == Some(true) && others.iter().any(|other| other.holds_key(&id))) {
                ours.push(id);
            }
        }
        let what = StepKind::AccessKeys;
        incidents
            .amend(&incident.id, |kept| {
                // Orders of former times had no such step for a network.
                if kept.step(what).is_none() {
                    kept.steps.push(Step::new(what));
                }
                if let Some(step) = kept.step(what) {
                    let new: Vec<_> = ours.iter().filter(|id| !step.keys.contains(id)).cloned().collect();
                    step.keys.extend(new);
                    step.total = step.keys.len() as u64;
                }
            })
            .await?;
        incidents.hold_keys(&incident.id, &ours).await?;
        for id in &ours {
            self.rooms.access_keys.set_disabled(id, true).await?;
        }
        Ok(ours.len() as u64)
    }

    async fn tidy_tokens(self: &Arc<Self>, incidents: &Incidents, incident: &Incident) -> Result<(), CoreError> {
        if let Target::Principal { .. } = &incident.target {
            self.rooms.tokens.complete_index().await?;
        }
        let mut walk = TokenWalk::of(&incident.target);
        let (mut done, mut failures) = (0_u64, Vec::new());
        let (own, mut spared) = (self.own_tokens(&incident.target, &incident.by.accessor).await?, false);
        while let Some(mut keys) = self.next_tokens(&mut walk).await? {
            let before = keys.len();
            keys.retain(|key| own.iter().all(|(own, _)| own != key));
            spared |= keys.len() < before;
            if keys.is_empty() {
                continue;
            }
            self.name_tokens(incidents, incident, &keys).await?;
            self.revoke_all(keys, &mut done, &mut failures).await;
            self.amend_step(incidents, incident, StepKind::Tokens, |step| step.done = step.done.max(done)).await?;
        }
        if let Target::Address { .. } = &incident.target {
            let used = walk.others.iter().filter_map(|text| AccessKeyId::parse(text).ok());
            let total = self.disable_keys(incidents, incident, used).await?;
            self.end_step(incidents, incident, StepKind::AccessKeys, total, Vec::new()).await?;
            let mut beyond = Vec::new();
            for who in &walk.batch {
                beyond.push(batch_left(who, self.title_of(who).await?));
            }
            beyond.extend(spared.then(|| {
                "the token that ordered this, or one that it descends from, was used or handed out there, too, and was \
                 spared so that somebody can see it through: get another one from elsewhere, and revoke it"
                    .to_owned()
            }));
            self.amend_step(incidents, incident, StepKind::Tokens, |step| step.beyond.clone_from(&beyond)).await?;
        }
        self.end_step(incidents, incident, StepKind::Tokens, done, failures).await
    }

    /// Notes which tokens are revoked, before they are gone and nobody can tell.
    async fn name_tokens(
        &self,
        incidents: &Incidents,
        incident: &Incident,
        keys: &[TokenKey],
    ) -> Result<(), CoreError> {
        let known = incidents.find(&incident.id).await?;
        let step = known.iter().flat_map(|known| &known.steps).find(|step| step.what == StepKind::Tokens);
        let room = TOKENS_NAMED.saturating_sub(step.map_or(0, |step| step.tokens.len()));
        if room == 0 {
            return Ok(());
        }
        let mut names = Vec::new();
        for key in keys.iter().take(room) {
            names.extend(self.rooms.tokens.kept(*key).await?.map(|token| token.accessor));
        }
        let note = |kept: &mut Incident| {
            if let Some(step) = kept.step(StepKind::Tokens) {
                let new: Vec<_> = names.iter().filter(|name| !step.tokens.contains(name)).cloned().collect();
                step.tokens.extend(new);
            }
        };
        incidents.amend(&incident.id, note).await.map(|_| ())
    }

    async fn revoke_all(self: &Arc<Self>, keys: Vec<TokenKey>, done: &mut u64, failures: &mut Vec<Failure>) {
        let mut running = JoinSet::new();
        let mut keys = keys.into_iter();
        loop {
            while running.len() < AT_ONCE {
                let Some(key) = keys.next() else { break };
                let tokens = Arc::clone(&self.rooms.tokens);
                running.spawn(async move { tokens.revoke_tree(key).await });
            }
            match running.join_next().await {
                None => return,
                Some(Ok(Ok(()))) => *done += 1,
                Some(Ok(Err(error))) => failures.push(Failure {
                    what: "a token".to_owned(),
                    why: error.to_string(),
                    next: "it is refused already, and revoking it is tried again every second".to_owned(),
                }),
                Some(Err(_)) => failures.push(Failure {
                    what: "a token".to_owned(),
                    why: "its revocation was broken off".to_owned(),
                    next: "it is tried again every second; the log has the cause".to_owned(),
                }),
            }
        }
    }

    async fn tidy_leases(&self, incidents: &Incidents, incident: &Incident) -> Result<(), CoreError> {
        let Some(scope) = incident.target.leases() else { return Ok(()) };
        let leases = &self.rooms.leases;
        if !leases.is_time_to_look(&incident.id) {
            return Ok(());
        }
        let mut progress = leases.progress();
        leases.cut_off(&scope).await?;
        let mut most = incident.steps.iter().find(|step| step.what == StepKind::Leases).map_or(0, |step| step.total);
        loop {
            progress.borrow_and_update();
            if let Some(left) = leases.remaining_now(&incident.id, &scope, MOST_FAILURES).await? {
                most = most.max(left.count);
                if left.is_none() {
                    return self.end_step(incidents, incident, StepKind::Leases, most, Vec::new()).await;
                }
                let done = most.saturating_sub(left.count);
                let failures: Vec<Failure> =
                    left.failures.into_iter().map(|(what, why)| lease_failure(what, why)).collect();
                self.amend_step(incidents, incident, StepKind::Leases, |step| {
                    (step.total, step.done) = (most, done);
                    step.failures.clone_from(&failures);
                })
                .await?;
                if left.failing == left.count {
                    // Nothing but failures: the lanes try again by themselves, and housekeeping looks again.
                    return Ok(());
                }
            }
            let _ = tokio::time::timeout(PATIENCE, progress.changed()).await;
            tokio::time::sleep(leases.rest_before_look(&incident.id)).await;
        }
    }

    async fn end_step(
        &self,
        incidents: &Incidents,
        incident: &Incident,
        what: StepKind,
        done: u64,
        failures: Vec<Failure>,
    ) -> Result<(), CoreError> {
        let now = self.now();
        let failed = failures.len() as u64;
        self.amend_step(incidents, incident, what, |step| {
            step.done = step.done.max(done);
            step.total = step.total.max(step.done + failed);
            step.failures = failures.iter().take(MOST_FAILURES).cloned().collect();
            step.ended = Some(now).filter(|_| failed == 0);
        })
        .await
    }

    async fn amend_step(
        &self,
        incidents: &Incidents,
        incident: &Incident,
        what: StepKind,
        mut change: impl FnMut(&mut Step) + Send,
    ) -> Result<(), CoreError> {
        let mut begins_to_fail = false;
        let kept = incidents
            .amend(&incident.id, |kept| {
                if let Some(step) = kept.step(what) {
                    let went_well = step.failures.is_empty();
                    change(step);
                    begins_to_fail = went_well && !step.failures.is_empty();
                }
            })
            .await?;
        let Some(step) = kept.steps.iter().find(|step| step.what == what) else { return Ok(()) };
        let said = match (step.ended, step.failures.first()) {
            (Some(_), _) => format!("{}: {} done", what.word(), step.done),
            (None, Some(failure)) => {
                // The name of what failed is in the record, for who may see it.
                format!("{}: {} of {}; some failed: {}", what.word(), step.done, step.total, failure.why)
            }
            (None, None) => format!("{}: {} of {}", what.word(), step.done, step.total.max(step.done)),
        };
        if begins_to_fail {
            incidents.tell(&kept, "incident-failing", Severity::Critical, &said).await;
        }
        incidents.note(&kept, &said, step.ended.is_some()).await
    }
}

/// Somebody works at an incident, until this is dropped. Two at once would rotate a secret twice, or hide the version that
/// the other has just put in force.
pub(super) struct AtWork {
    emergency: Arc<Emergency>,
    id: String,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.emergency.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// What to do about batch tokens: who bears them is an entity with that title, or else nobody but a name.
fn batch_left(who: &str, title: Option<String>) -> String {
    let left = |name: &str| {
        format!(
            "batch tokens of {name} were used from there, and are good elsewhere until they expire: nothing is stored that \
             could be revoked"
        )
    };
    match title {
        Some(title) => format!("{}; cut off who bears them with `revoke -principal={who}`", left(&title)),
        None => format!(
            "{}, and they are no principal's; take away what they may in their policies, and revoke the token they were made \
             with (`revoke -principal=ACCESSOR`) so that there will be no more",
            left(who)
        ),
    }
}

fn lease_failure(what: String, why: String) -> Failure {
    let next = "it is tried again until it works: mend the outside system, or have it forgotten with \
                `lease revoke -prefix -force`, which leaves the credential in place";
    Failure { what, why, next: next.to_owned() }
}

fn rotation_failure(why: String) -> Failure {
    let next = "the former value still lets in; it is tried again until it works: mend the outside system or the plan \
                (`rotate status`), or lift the incident when the value is worthless by other means";
    Failure { what: "the rotation".to_owned(), why, next: next.to_owned() }
}
