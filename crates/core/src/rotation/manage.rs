//! What callers may do: plan, begin, cancel, look. Each takes a grant for the secret itself, so the policies that say
//! who may write a secret say who may have it rotated.

use super::method::{Made, Method, Order, Pin};
use super::record::{Called, Cause, Job, Key, Past, Phase, Plan, Rotation};
use super::view::Cancelled;
use super::{RotationView, Rotations, Schedule};
use crate::gate::Grant;
use crate::mount::Mount;
use crate::secret::VersionId;
use crate::{CoreError, SecretAct};
use serde_json::{Map, Value};
use std::sync::Arc;
use strongroom_model::policy::Question;
use strongroom_model::{Capability, RequestPath, SecretId, SecretPath, Timestamp, VersionNumber, VersionSelector};

/// The longest reason.
const LONGEST_REASON: usize = 256;

/// What to change about a plan; what is `None` stays.
#[derive(Default)]
pub struct PlanChange {
    /// The way to rotate.
    pub method: Option<String>,
    /// What it is told.
    pub options: Option<Map<String, Value>>,
    /// The secret with the login that may change others, or none any more. Naming it says that it is to serve the login in
    /// force now; any other change keeps whom it served.
    pub admin: Option<Option<SecretPath>>,
    /// When, or on demand only.
    pub schedule: Option<Option<Schedule>>,
    /// How a foreign function is to name the secret.
    pub called: Option<Called>,
    /// What other dialects show as what carries it out.
    pub shown: Option<String>,
    /// Days between two rotations, where a dialect counts so.
    pub every_days: Option<u32>,
    /// Whether it also rotates when somebody who read the value in force is cut off.
    pub when_disabled: Option<bool>,
}

/// Why somebody has a secret rotated now.
#[derive(Default)]
pub struct Reason {
    /// In their words, where they gave some.
    pub text: Option<String>,
    /// Whether others know the value in force: it is worthless once the new one is in force.
    pub leaked: bool,
}

/// What became of a job that was to begin.
pub(super) enum Begun {
    /// It began.
    Here(Box<Rotation>),
    /// Another one had begun just before.
    Elsewhere,
    /// There is no such secret, or nobody says any more how it rotates.
    Nothing,
}

/// A secret that a caller may act on.
struct Target {
    mount: Arc<Mount>,
    key: Key,
    secret: SecretId,
}

impl Rotations {
    /// Says how and when a secret rotates. Nothing begins by that before its time.
    pub async fn plan(&self, grant: &Grant, change: PlanChange) -> Result<RotationView, CoreError> {
        let target = self.target(grant, SecretAct::Write).await?;
        let known = self.book.get(&target.key).await?;
        let known = known.filter(|known| known.value.secret == target.secret);
        let before = known.as_ref().map(|known| &known.value);
        let (shown, every_days, turned) = (change.shown.clone(), change.every_days, change.schedule.is_some());
        let names_admin = change.admin.is_some();
        let plan = self.changed(&target, before.map(|known| known.plan.clone()), change).await?;
        self.check_admin(grant, &target, &plan)?;
        let pin = before.and_then(|known| known.pin.clone()).filter(|_| !names_admin);
        let made = before.map(|known| known.made.as_slice()).unwrap_or_default();
        let (lane, pin) = self.check_plan(&target, &plan, (names_admin, pin), made).await?;
        let now = self.clock.now();
        let enabled = plan.schedule.is_some() && (turned || before.is_none_or(|known| known.enabled));
        let next = match plan.schedule.as_ref().filter(|_| enabled) {
            Some(schedule) => Some(schedule.next(before.and_then(|known| known.last).unwrap_or(now).max(now))?),
            None => None,
        };
        let kept = self.keep_plan(&target, (plan, lane, pin), enabled, next).await?;
        self.show_plan(&target, &kept, shown, every_days).await?;
        self.expect(kept.due);
        self.view(&kept).await
    }

    /// Begins a rotation now. `Unfit` when one is under way, unless the value is known to others: then the one under way
    /// makes the former value worthless, and another follows where the new one is in force already.
    pub async fn start(
        &self,
        grant: &Grant,
        token: Option<VersionId>,
        reason: Reason,
    ) -> Result<RotationView, CoreError> {
        let target = self.target(grant, SecretAct::Write).await?;
        let cause = Cause { trigger: trigger(grant, &reason)?, leaked: reason.leaked };
        let begun = loop {
            let known = self.planned(&target).await?;
            if let Some(job) = known.job.as_ref().filter(|job| !job.trial) {
                if token.as_ref() == Some(&job.token) {
                    return self.view(&known).await;
                }
                if reason.leaked {
                    let hastened = self.hasten(&target.key, &cause).await?;
                    return self.view(&hastened.ok_or(CoreError::Nothing)?).await;
                }
                return Err(CoreError::Unfit(format!(
                    "a rotation of this secret is under way, and {}; wait for its end, or cancel it",
                    job.phase.said()
                )));
            }
            match self.begin_job(&target.key, &cause, token.clone()).await? {
                Begun::Here(rotation) => break *rotation,
                // Somebody began one since the look above.
                Begun::Elsewhere => {}
                Begun::Nothing => return Err(CoreError::Nothing),
            }
        };
        self.hand_over(Some(&begun));
        if let Some(token) = token {
            // Who chose the id sees it under way as soon as they are answered.
            self.secrets.announce(&target.mount, &target.key.path, target.secret, &token).await?;
        }
        self.view(&begun).await
    }

    /// Tries the proof of a rotation with the value in force, as a version in preparation that goes again. What is under
    /// way is left alone: it proves more.
    pub async fn try_out(&self, grant: &Grant) -> Result<RotationView, CoreError> {
        let target = self.target(grant, SecretAct::Write).await?;
        let known = self.planned(&target).await?;
        if known.job.is_some() {
            return self.view(&known).await;
        }
        let trigger = format!("{} (trial)", trigger(grant, &Reason::default())?);
        match self.record_job(&target.key, &Cause { trigger, leaked: false }, None, true).await? {
            Begun::Here(rotation) => {
                self.hand_over(Some(&rotation));
                self.view(&rotation).await
            }
            Begun::Elsewhere => self.view(&self.planned(&target).await?).await,
            Begun::Nothing => Err(CoreError::Nothing),
        }
    }

    /// Ends the schedule, and a rotation under way. One that cannot be rolled back because the outside system does not let it
    /// is given up as it stands; one whose new value is in force ends with that, unless others know the former value. The view
    /// says which of these it was.
    pub async fn cancel(&self, grant: &Grant) -> Result<Option<RotationView>, CoreError> {
        let target = self.target(grant, SecretAct::WriteMetadata).await?;
        let who = grant.principal().map_or_else(|| "somebody".to_owned(), |who| who.display_name.clone());
        let now = self.clock.now();
        let mut came_to = Cancelled::NothingUnderWay;
        let changed = self.book.change(&target.key, |rotation| {
            (rotation.enabled, rotation.next) = (false, None);
            came_to = Cancelled::NothingUnderWay;
            if let Some(job) = &mut rotation.job {
                came_to = cancel_job(job, &who);
                job.wake = job.wake.min(now);
            }
            Ok(None)
        });
        let changed = changed.await?;
        self.secrets
            .note_rotation(&target.mount, &target.key.path, |setting| (setting.enabled, setting.next) = (false, None))
            .await?;
        let Some(rotation) = changed else { return Ok(None) };
        self.lanes.get(&rotation.lane).look_again();
        self.expect(rotation.due);
        let view = self.view(&rotation).await?;
        Ok(Some(RotationView { cancelled: Some(came_to.into()), ..view }))
    }

    /// How a secret rotates and where it is. `Nothing` when nobody said.
    pub async fn status(&self, grant: &Grant) -> Result<RotationView, CoreError> {
        let target = self.target(grant, SecretAct::ReadMetadata).await?;
        let known = self.planned(&target).await?;
        self.view(&known).await
    }

    /// Rotations of a secret that ended, newest first.
    pub async fn history(&self, grant: &Grant) -> Result<Vec<Past>, CoreError> {
        let target = self.target(grant, SecretAct::ReadMetadata).await?;
        self.book.history(&target.key).await
    }

    /// Records a job, after the trail says so.
    pub(super) async fn begin_job(
        &self,
        key: &Key,
        cause: &Cause,
        token: Option<VersionId>,
    ) -> Result<Begun, CoreError> {
        self.record_job(key, cause, token, false).await
    }

    async fn record_job(
        &self,
        key: &Key,
        cause: &Cause,
        token: Option<VersionId>,
        trial: bool,
    ) -> Result<Begun, CoreError> {
        let Some(mount) = self.mounts.table().by_id(key.mount).cloned() else { return Ok(Begun::Nothing) };
        let (secret, meta) = match self.secrets.identify(&mount, &key.path).await {
            Ok(found) => found,
            Err(CoreError::Nothing) => return self.book.forget(key).await.map(|()| Begun::Nothing),
            Err(error) => return Err(error),
        };
        let empty = || CoreError::Unfit("the secret has no value to rotate; write one first".to_owned());
        let current = meta.current().ok_or_else(empty)?;
        let token = token.map_or_else(|| self.fresh_id(), Ok)?;
        if meta.version_of(secret, &token).is_some() {
            return Err(CoreError::Exists("the id of the new version is in use for another version".to_owned()));
        }
        let verb = if trial { "tries" } else { "asks for" };
        let note = format!("{} {verb} version {}", cause.trigger, token.as_str());
        self.trail.append(self.event("rotation-begin", key, &note)).await?;
        let job = new_job((token, cause, trial), current, self.clock.now());
        let (mut gone, mut is_ours) = (None, false);
        let changed = self.book.change(key, |rotation| {
            let free = rotation.job.as_ref().is_none_or(|before| before.trial && !trial);
            is_ours = free && rotation.secret == secret;
            if is_ours {
                gone = rotation.job.replace(job.clone());
                rotation.again = None;
            }
            Ok(None)
        });
        let begun = changed.await?;
        if let Some(trial) = gone.filter(|_| is_ours) {
            self.secrets.discard(&mount, &key.path, secret, &trial.token).await?;
        }
        Ok(match begun {
            None => Begun::Nothing,
            Some(rotation) if rotation.secret != secret => Begun::Nothing,
            Some(_) if !is_ours => Begun::Elsewhere,
            Some(rotation) => Begun::Here(Box::new(rotation)),
        })
    }

    fn fresh_id(&self) -> Result<VersionId, CoreError> {
        let bytes = self.entropy.array::<16>();
        VersionId::parse(&uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
    }

    pub(super) async fn view(&self, rotation: &Rotation) -> Result<RotationView, CoreError> {
        let before = self.book.history(&rotation.key).await?.into_iter().next();
        Ok(RotationView::of(rotation, self.name(&rotation.key), before))
    }

    async fn target(&self, grant: &Grant, act: SecretAct) -> Result<Target, CoreError> {
        let (mount, path) = grant.secret(act)?;
        if !mount.is_versioned_kv() {
            return Err(CoreError::Unfit("only secrets of a KV version 2 mount rotate".to_owned()));
        }
        let (secret, _) = self.secrets.identify(mount, path).await?;
        let key = Key { mount: mount.id, path: path.clone() };
        Ok(Target { mount: Arc::clone(mount), key, secret })
    }

    async fn planned(&self, target: &Target) -> Result<Rotation, CoreError> {
        let known = self.book.get(&target.key).await?.filter(|known| known.value.secret == target.secret);
        let none = "nobody said how this secret rotates; say so with `strongroom rotate schedule`";
        known.map(|known| known.value.clone()).ok_or_else(|| CoreError::Unfit(none.to_owned()))
    }

    async fn changed(&self, target: &Target, old: Option<Plan>, change: PlanChange) -> Result<Plan, CoreError> {
        let method = match (change.method, &old) {
            (Some(method), _) => method,
            (None, Some(old)) => old.method.clone(),
            (None, None) => self.usual_method(target).await?,
        };
        let old = old.filter(|old| old.method == method);
        let when_disabled = old.as_ref().is_some_and(|old| old.when_disabled);
        let (options, admin, schedule, called) =
            old.map_or_else(Default::default, |old| (old.options, old.admin, old.schedule, old.called));
        Ok(Plan {
            method,
            options: change.options.unwrap_or(options),
            admin: change.admin.unwrap_or(admin),
            schedule: change.schedule.unwrap_or(schedule),
            called: change.called.or(called),
            when_disabled: change.when_disabled.unwrap_or(when_disabled),
        })
    }

    /// The way to rotate that the secret's own field `engine` suggests.
    async fn usual_method(&self, target: &Target) -> Result<String, CoreError> {
        let seen = self.secrets.peek(&target.mount, &target.key.path, &VersionSelector::Current).await?;
        let engine =
            seen.and_then(|(_, value)| value.into_object().ok()).and_then(|fields| fields.text("engine").ok()?);
        let engine = engine.ok_or(CoreError::Missing("method"))?;
        let name = format!("{engine}-single");
        self.method(&name).map(|_| name)
    }

    /// Who names a secret with a powerful login must be able to read it.
    fn check_admin(&self, grant: &Grant, target: &Target, plan: &Plan) -> Result<(), CoreError> {
        let Some(admin) = &plan.admin else { return Ok(()) };
        let section = if target.mount.is_versioned_kv() { "data/" } else { "" };
        let path = RequestPath::parse(&format!("{}/{section}{admin}", target.mount.path))?;
        let question =
            Question { path: &path, capability: Capability::Read, sudo: false, parameters: None, wrap_ttl: None };
        match grant.acl().is_some_and(|acl| acl.decide(&question).granted) {
            true => Ok(()),
            false => Err(CoreError::DeniedBecause(format!(
                "the login that may change others is in {path}, which you may not read; ask who may"
            ))),
        }
    }

    /// Has the method look at the plan; the outside system's name, and whom the login that may change others serves.
    async fn check_plan(
        &self,
        target: &Target,
        plan: &Plan,
        (names_admin, pin): (bool, Option<Pin>),
        made: &[Made],
    ) -> Result<(String, Option<Pin>), CoreError> {
        let method = self.method(&plan.method)?;
        let peek = |path, which| async move { self.secrets.peek(&target.mount, path, &which).await };
        let admin = match &plan.admin {
            Some(path) => {
                let found = peek(path, VersionSelector::Current).await?.map(|(_, value)| value);
                let missing = || {
                    CoreError::Unfit(format!(
                        "there is no value in {}/{path}, which was named as the login that may change others; write it \
                         first, or name another one",
                        target.mount.path
                    ))
                };
                Some(found.ok_or_else(missing)?)
            }
            None => None,
        };
        let Method::Own(rotator) = method else { return Ok((plan.method.clone(), None)) };
        let current = peek(&target.key.path, VersionSelector::Current).await?;
        let empty = || CoreError::Unfit("the secret has no value to rotate; write one first".to_owned());
        let (_, current) = current.ok_or_else(empty)?;
        let mut order = Order {
            secret: target.key.path.as_str(),
            version: "",
            options: &plan.options,
            current: &current,
            previous: None,
            admin: admin.as_ref(),
            pin: None,
            made,
            passwords: &self.passwords,
            entropy: &*self.entropy,
        };
        let pin = if names_admin { rotator.pin(&order)? } else { pin.filter(|_| plan.admin.is_some()) };
        order.pin = pin.as_ref();
        let lane = rotator.lane(&order)?;
        Ok((lane, pin))
    }

    async fn keep_plan(
        &self,
        target: &Target,
        (plan, lane, pin): (Plan, String, Option<Pin>),
        enabled: bool,
        next: Option<Timestamp>,
    ) -> Result<Rotation, CoreError> {
        let new = Rotation {
            key: target.key.clone(),
            secret: target.secret,
            plan,
            pin,
            made: Vec::new(),
            enabled,
            lane,
            job: None,
            next,
            due: None,
            last: None,
            ended: 0,
            told_late: false,
            alarmed: false,
            again: None,
        };
        let changed = self.book.change(&target.key, |rotation| {
            if rotation.secret != new.secret {
                // A secret of the same name was here before.
                (rotation.secret, rotation.job, rotation.last) = (new.secret, None, None);
                rotation.made.clear();
            }
            if rotation.job.is_some() && rotation.plan.method != new.plan.method {
                let why = "a rotation is under way; wait for its end, or cancel it, before the method changes";
                return Err(CoreError::Unfit(why.to_owned()));
            }
            if rotation.job.is_some() && rotation.pin.is_some() && rotation.pin != new.pin {
                let why = "a rotation of the login that the plan was written for is under way; wait for its end, or \
                           cancel it, before the plan is for another one";
                return Err(CoreError::Unfit(why.to_owned()));
            }
            (rotation.plan, rotation.lane) = (new.plan.clone(), new.lane.clone());
            rotation.pin.clone_from(&new.pin);
            (rotation.enabled, rotation.next) = (enabled, next);
            Ok(None)
        });
        match changed.await? {
            Some(rotation) => Ok(rotation),
            None => self.book.insert(new).await,
        }
    }

    async fn show_plan(
        &self,
        target: &Target,
        kept: &Rotation,
        shown: Option<String>,
        every_days: Option<u32>,
    ) -> Result<(), CoreError> {
        let schedule = kept.plan.schedule.as_ref();
        self.secrets
            .note_rotation(&target.mount, &target.key.path, |setting| {
                setting.enabled = kept.enabled || schedule.is_none();
                setting.next = kept.next;
                if shown.is_some() {
                    setting.function.clone_from(&shown);
                }
                setting.every_days = every_days;
                let text = schedule.map(|schedule| schedule.text().to_owned());
                setting.schedule = text.filter(|_| every_days.is_none());
                setting.window = schedule.and_then(Schedule::window).map(|hours| format!("{hours}h"));
            })
            .await
    }
}

/// Has a rotation under way end, if it still can.
fn cancel_job(job: &mut Job, who: &str) -> Cancelled {
    match &job.phase {
        Phase::Creating | Phase::Setting { .. } | Phase::Testing { .. } => {
            job.cancelled = Some(who.to_owned());
            Cancelled::RollingBack
        }
        // Only what was tried and failed: what is under way may well end by itself.
        Phase::RollingBack { .. } if job.attempts > 0 && !job.trial => {
            job.abandoned = Some(who.to_owned());
            Cancelled::GivenUp
        }
        Phase::RollingBack { .. } => Cancelled::RollingBack,
        Phase::Clearing => Cancelled::RollingBack,
        Phase::Retiring { .. } if !job.leaked => {
            job.cancelled = Some(who.to_owned());
            Cancelled::Left
        }
        Phase::Retiring { .. } => Cancelled::Known,
        Phase::Finishing { .. } => Cancelled::TooLate,
    }
}

/// Who asked, and why if they said so, for the history and the trail.
fn trigger(grant: &Grant, reason: &Reason) -> Result<String, CoreError> {
    let who = grant.principal().map_or_else(|| "somebody".to_owned(), |who| who.display_name.clone());
    let text = reason.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.len() > LONGEST_REASON || text.chars().any(char::is_control)) {
        return Err(CoreError::Invalid(format!("a reason has at most {LONGEST_REASON} bytes in one line")));
    }
    Ok(match (reason.leaked, text) {
        (true, Some(text)) => format!("{who} (leaked: {text})"),
        (true, None) => format!("{who} (leaked)"),
        (false, Some(text)) => format!("{who} ({text})"),
        (false, None) => who,
    })
}

fn new_job((token, cause, trial): (VersionId, &Cause, bool), current: VersionNumber, now: Timestamp) -> Job {
    Job {
        token,
        trigger: cause.trigger.clone(),
        begun: now,
        wake: now,
        current,
        phase: Phase::Creating,
        since: now,
        attempts: 0,
        error: None,
        took: Vec::new(),
        cancelled: None,
        abandoned: None,
        leaked: cause.leaked,
        trial,
    }
}
