//! What each phase does. Every act may be repeated, since a crash may come after it and before the next phase is stored.

use super::Rotations;
use super::lane::Lane;
use super::mask::Mask;
use super::method::{Function, Made, Method, Order, Retired, Rotator, Step, StepOrder};
use super::record::{Ending, Job, Phase, Rotation};
use crate::CoreError;
use crate::mount::Mount;
use crate::secret::{SecretMetadata, SecretValue, Standing};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{SecretPath, Stage, Timestamp, Ttl, VersionNumber, VersionSelector};

/// What comes after a step.
pub(super) enum Next {
    /// Another phase.
    Phase(Phase),
    /// Other phases, entered at those times, and the end after them if they came so far: acts that may all be repeated are
    /// stored at once.
    Leap(Vec<(Phase, Timestamp)>, Option<Ending>),
    /// The same one again, after a while.
    Wait(String, Duration),
    /// Nothing: it is over.
    End(Ending),
    /// The secret is gone.
    Forget,
}

/// How long one call to an outside system may take before it counts as unanswered. A foreign function has limits of its
/// own.
const LONGEST_CALL: Duration = Duration::from_secs(90);
/// How long a function's key lives: four steps of a quarter of an hour each would be too long for one key.
const KEY_LIFE: u64 = 3_600;
/// How often a secret that waits for its deletion is looked at.
const WAIT_MARKED: Duration = Duration::from_secs(600);

/// One rotation as its phases work on it.
struct Work<'a> {
    rotation: &'a Rotation,
    job: &'a Job,
    mount: Arc<Mount>,
    meta: Box<SecretMetadata>,
    lane: Arc<Lane>,
}

/// The values that an order speaks of.
struct Values {
    current: SecretValue,
    previous: Option<SecretValue>,
    admin: Option<SecretValue>,
}

impl Rotations {
    /// Does what the phase of a job says.
    pub(super) async fn step(&self, rotation: &Rotation, job: &Job) -> Result<Next, CoreError> {
        let Some(mount) = self.mounts.table().by_id(rotation.key.mount).cloned() else { return Ok(Next::Forget) };
        let meta = match self.secrets.standing(&mount, &rotation.key.path, rotation.secret).await? {
            Standing::Here(meta) => meta,
            Standing::Marked => return Ok(Next::Wait("the secret waits for its deletion".to_owned(), WAIT_MARKED)),
            Standing::Gone => return Ok(Next::Forget),
        };
        let lane = self.lanes.get(&rotation.lane);
        let work = Work { rotation, job, mount, meta, lane };
        if let Some(phase) = work.given_up() {
            return Ok(Next::Phase(phase));
        }
        if let Some(ending) = work.abandoned() {
            return Ok(Next::End(ending));
        }
        if job.left().is_some() {
            return Ok(Next::End(Ending::Rotated));
        }
        match self.method(&rotation.plan.method)? {
            method if job.trial => self.step_trial(&work, method).await,
            Method::Own(rotator) => self.step_own(&work, &**rotator).await,
            Method::Foreign(function) => self.step_foreign(&work, &**function).await,
        }
    }

    /// A trial: the value in force is proved as a version in preparation, which goes again whatever comes of it.
    async fn step_trial(&self, work: &Work<'_>, method: &Method) -> Result<Next, CoreError> {
        match &work.job.phase {
            Phase::Creating => {
                let Values { current, .. } = self.values(work).await?;
                let (secret, token) = (work.rotation.secret, &work.job.token);
                let new = self.secrets.prepare(&work.mount, work.path(), secret, token, current).await?;
                Ok(Next::Phase(Phase::Testing { new }))
            }
            Phase::Testing { .. } => {
                match method {
                    Method::Own(rotator) => {
                        let values = self.values(work).await?;
                        self.call(work, rotator.test(&self.order(work, &values), &values.current)).await?;
                    }
                    Method::Foreign(function) => self.have(work, &**function, Step::Test).await?,
                }
                Ok(Next::Phase(Phase::Clearing))
            }
            Phase::RollingBack { from, why, .. } => self.roll_back(work, from, why).await,
            _ => {
                let (path, secret) = (work.path(), work.rotation.secret);
                self.secrets.discard(&work.mount, path, secret, &work.job.token).await?;
                Ok(Next::End(Ending::Tried))
            }
        }
    }

    async fn step_own(&self, work: &Work<'_>, rotator: &dyn Rotator) -> Result<Next, CoreError> {
        match &work.job.phase {
            Phase::Creating => {
                let value = self.made(work, rotator).await?;
                let (path, token) = (work.path(), &work.job.token);
                let new = self.secrets.prepare(&work.mount, path, work.rotation.secret, token, value).await?;
                Ok(Next::Phase(Phase::Setting { new }))
            }
            Phase::Setting { new } => {
                let (values, value) = (self.values(work).await?, self.version(work, *new).await?);
                let made = self.note_made(work, rotator, &value).await?;
                let order = Order { made: &made, ..self.order(work, &values) };
                self.call(work, rotator.set(&order, &value)).await?;
                Ok(Next::Phase(Phase::Testing { new: *new }))
            }
            Phase::Testing { new } => {
                let (values, value) = (self.values(work).await?, self.version(work, *new).await?);
                self.call(work, rotator.test(&self.order(work, &values), &value)).await?;
                Ok(self.leap(work, rotator, *new).await)
            }
            Phase::Finishing { new } => self.finish(work, *new).await,
            Phase::Retiring { former } => {
                let since = self.clock.now().since(work.job.since);
                self.retire(work, rotator, *former, since).await
            }
            Phase::Clearing => Ok(Next::End(Ending::Tried)),
            Phase::RollingBack { new, from, why } => {
                if let Some(new) = new {
                    self.undo(work, rotator, *new).await?;
                }
                self.roll_back(work, from, why).await
            }
        }
    }

    /// From the proof as far as it goes: what fails on the way is tried again from the phase that it came to.
    async fn leap(&self, work: &Work<'_>, rotator: &dyn Rotator, new: VersionNumber) -> Next {
        let mut way = vec![(Phase::Finishing { new }, self.clock.now())];
        let Ok(Next::Phase(phase)) = self.finish(work, new).await else { return Next::Leap(way, None) };
        way.push((phase.clone(), self.clock.now()));
        let Phase::Retiring { former } = phase else { return Next::Leap(way, None) };
        match self.retire(work, rotator, former, Duration::ZERO).await {
            Ok(Next::End(ending)) => Next::Leap(way, Some(ending)),
            _ => Next::Leap(way, None),
        }
    }

    async fn made(&self, work: &Work<'_>, rotator: &dyn Rotator) -> Result<SecretValue, CoreError> {
        let values = self.values(work).await?;
        let order = self.order(work, &values);
        let lane = rotator.lane(&order)?;
        if lane != work.rotation.lane {
            // Counted from the next rotation on; the bound is there to spare the outside system, not to be exact.
            self.book
                .change(&work.rotation.key, |rotation| {
                    rotation.lane.clone_from(&lane);
                    Ok(None)
                })
                .await?;
        }
        rotator.create(&order).await
    }

    async fn undo(&self, work: &Work<'_>, rotator: &dyn Rotator, new: VersionNumber) -> Result<(), CoreError> {
        let which = VersionSelector::Number(new);
        let Some((_, value)) = self.secrets.peek(&work.mount, work.path(), &which).await? else { return Ok(()) };
        if self.secrets.peek(&work.mount, work.path(), &VersionSelector::Current).await?.is_none() {
            // Whoever took the value in force away wants it in force nowhere.
            return Ok(());
        }
        let mut values = self.values(work).await?;
        if work.meta.current() != Some(work.job.current) {
            // Somebody wrote meanwhile, perhaps more than once: what is good outside is what was in force at the beginning.
            let begun = self.known_value(work, VersionSelector::Number(work.job.current)).await?;
            values.previous = begun.or(values.previous);
        }
        self.call(work, rotator.undo(&self.order(work, &values), &value)).await?;
        self.forget_made(work, rotator.makes(&value)?.into_iter().collect()).await
    }

    /// Notes, before it is made, which login a strategy makes; all that are noted.
    async fn note_made(
        &self,
        work: &Work<'_>,
        rotator: &dyn Rotator,
        value: &SecretValue,
    ) -> Result<Vec<Made>, CoreError> {
        let mut made = work.rotation.made.clone();
        let Some(new) = rotator.makes(value)?.filter(|new| !made.contains(new)) else { return Ok(made) };
        let changed = self.book.change(&work.rotation.key, |rotation| {
            if !rotation.made.contains(&new) {
                rotation.made.push(new.clone());
            }
            Ok(None)
        });
        made = changed.await?.map_or(made, |rotation| rotation.made);
        Ok(made)
    }

    async fn forget_made(&self, work: &Work<'_>, gone: Vec<Made>) -> Result<(), CoreError> {
        if !gone.iter().any(|one| work.rotation.made.contains(one)) {
            return Ok(());
        }
        let changed = self.book.change(&work.rotation.key, |rotation| {
            rotation.made.retain(|one| !gone.contains(one));
            Ok(None)
        });
        changed.await.map(|_| ())
    }

    async fn finish(&self, work: &Work<'_>, new: VersionNumber) -> Result<Next, CoreError> {
        let now = self.clock.now();
        let plan = &work.rotation.plan;
        let next = match plan.schedule.as_ref().filter(|_| work.rotation.enabled) {
            Some(schedule) => Some(schedule.next(now)?),
            None => None,
        };
        let versions = (work.job.current, new);
        let done = self.secrets.put_in_force(&work.mount, work.path(), versions, |setting| {
            (setting.last, setting.next) = (Some(now), next);
        });
        if done.await? {
            return Ok(Next::Phase(Phase::Retiring { former: work.job.current }));
        }
        Ok(Next::Phase(work.overtaken(Some(new))))
    }

    async fn retire(
        &self,
        work: &Work<'_>,
        rotator: &dyn Rotator,
        former: VersionNumber,
        since: Duration,
    ) -> Result<Next, CoreError> {
        let Some(value) = self.known_value(work, VersionSelector::Number(former)).await? else {
            return Ok(Next::End(Ending::Rotated));
        };
        let values = self.values(work).await?;
        if work.job.leaked {
            self.call(work, rotator.spoil(&self.order(work, &values), &value)).await?;
            if let Some(kept) = rotator.makes(&values.current)? {
                let made = work.rotation.made.iter().filter(|one| one.place == kept.place && **one != kept);
                self.forget_made(work, made.cloned().collect()).await?;
            }
            return Ok(Next::End(Ending::Rotated));
        }
        Ok(match self.call(work, rotator.retire(&self.order(work, &values), &value, since)).await? {
            Retired::Done => Next::End(Ending::Rotated),
            Retired::Dropped(gone) => {
                self.forget_made(work, gone).await?;
                Next::End(Ending::Rotated)
            }
            Retired::InUse(why, span) => Next::Wait(why, span),
        })
    }

    async fn roll_back(&self, work: &Work<'_>, from: &str, why: &str) -> Result<Next, CoreError> {
        self.secrets.discard(&work.mount, work.path(), work.rotation.secret, &work.job.token).await?;
        Ok(Next::End(Ending::RolledBack { phase: from.to_owned(), why: why.to_owned(), unsettled: false }))
    }

    async fn step_foreign(&self, work: &Work<'_>, function: &dyn Function) -> Result<Next, CoreError> {
        let (path, secret, token) = (work.path(), work.rotation.secret, &work.job.token);
        match &work.job.phase {
            Phase::Creating => {
                self.secrets.announce(&work.mount, path, secret, token).await?;
                self.have(work, function, Step::Create).await?;
                let (_, meta) = self.secrets.identify(&work.mount, path).await?;
                let missing =
                    "the function made no version in preparation; it must put one with the ClientRequestToken";
                let new = meta.version_of(secret, token);
                let new = new.ok_or_else(|| CoreError::Invalid(missing.to_owned()))?;
                Ok(Next::Phase(Phase::Setting { new }))
            }
            Phase::Setting { new } => {
                self.have(work, function, Step::Set).await?;
                Ok(Next::Phase(Phase::Testing { new: *new }))
            }
            Phase::Testing { new } => {
                self.have(work, function, Step::Test).await?;
                Ok(Next::Phase(Phase::Finishing { new: *new }))
            }
            Phase::Finishing { new } => {
                if work.meta.current() != Some(*new) {
                    self.have(work, function, Step::Finish).await?;
                }
                let (_, meta) = self.secrets.identify(&work.mount, path).await?;
                if meta.current() != Some(*new) {
                    let why = "the function did not put its version in force; it must move AWSCURRENT to it";
                    return Err(CoreError::Invalid(why.to_owned()));
                }
                self.finish(work, *new).await
            }
            Phase::Retiring { .. } => Ok(Next::End(Ending::Rotated)),
            Phase::Clearing => Ok(Next::End(Ending::Tried)),
            Phase::RollingBack { from, why, .. } => self.roll_back(work, from, why).await,
        }
    }

    /// Has a function do one step, with a key of its own.
    async fn have(&self, work: &Work<'_>, function: &dyn Function, step: Step) -> Result<(), CoreError> {
        let _permit = work.lane.permits.acquire().await.map_err(|_| CoreError::Internal("a lane was closed"))?;
        let key = self
            .access_keys
            .lend(&work.mount, work.path(), work.rotation.plan.admin.as_ref(), Ttl::from_secs(KEY_LIFE))
            .await?;
        let called = work.rotation.plan.called.as_ref();
        let name = work.path().aws_name();
        let order = StepOrder {
            step,
            secret: called.map_or(name.as_ref(), |called| called.name.as_str()),
            token: work.job.token.as_str(),
            key: &key,
            region: called.map_or("", |called| called.region.as_str()),
        };
        let done = function.call(&order).await;
        self.access_keys.take_back(&key).await?;
        match done {
            Err(CoreError::Outside { system, why }) => {
                let mut mask = self.values_of(work).await?;
                mask.add_text(key.key.id.as_str());
                mask.add_text(key.secret.expose());
                key.session_token.iter().for_each(|token| mask.add_text(token.expose()));
                Err(CoreError::Outside { system, why: mask.apply(&why) })
            }
            other => other,
        }
    }

    /// All values that a function can have read or made.
    async fn values_of(&self, work: &Work<'_>) -> Result<Mask, CoreError> {
        let mut mask = Mask::default();
        let pending = work.meta.version_of(work.rotation.secret, &work.job.token);
        let numbers = [work.meta.current(), work.meta.stages.get(&Stage::Previous).copied(), pending];
        let (_, meta) = self.secrets.identify(&work.mount, work.path()).await?;
        let made = meta.version_of(work.rotation.secret, &work.job.token);
        for number in numbers.into_iter().chain([made]).flatten() {
            let which = VersionSelector::Number(number);
            let found = self.secrets.peek(&work.mount, work.path(), &which).await?;
            found.iter().for_each(|(_, value)| mask.add(value));
        }
        if let Some(admin) = &work.rotation.plan.admin {
            let found = self.secrets.peek(&work.mount, admin, &VersionSelector::Current).await?;
            found.iter().for_each(|(_, value)| mask.add(value));
        }
        Ok(mask)
    }

    /// A call to an outside system, bounded in number and time.
    async fn call<T>(&self, work: &Work<'_>, act: impl Future<Output = Result<T, CoreError>>) -> Result<T, CoreError> {
        let _permit = work.lane.permits.acquire().await.map_err(|_| CoreError::Internal("a lane was closed"))?;
        let done = tokio::time::timeout(LONGEST_CALL, act).await.map_err(|_| CoreError::Unreachable {
            system: work.rotation.lane.clone(),
            why: format!("no answer came within {} s", LONGEST_CALL.as_secs()),
        })?;
        if done.is_ok() {
            work.lane.came_up();
        }
        done
    }

    fn order<'a>(&'a self, work: &'a Work<'_>, values: &'a Values) -> Order<'a> {
        Order {
            secret: work.path().as_str(),
            version: work.job.token.as_str(),
            options: &work.rotation.plan.options,
            current: &values.current,
            previous: values.previous.as_ref(),
            admin: values.admin.as_ref(),
            pin: work.rotation.pin.as_ref(),
            made: &work.rotation.made,
            passwords: &self.passwords,
            entropy: &*self.entropy,
        }
    }

    async fn values(&self, work: &Work<'_>) -> Result<Values, CoreError> {
        let peek = |path, which| async move { self.secrets.peek(&work.mount, path, &which).await };
        let current = self.known_value(work, VersionSelector::Current).await?;
        let gone = || CoreError::NotFound("the value in force was deleted; write one, then rotate again".to_owned());
        let current = current.ok_or_else(gone)?;
        let previous = peek(work.path(), VersionSelector::Stage(Stage::Previous)).await?.map(|(_, value)| value);
        let admin = match &work.rotation.plan.admin {
            None => None,
            Some(path) => {
                let found = peek(path, VersionSelector::Current).await?.map(|(_, value)| value);
                let missing =
                    || CoreError::NotFound(format!("there is no secret {path} with the login that may change others"));
                Some(found.ok_or_else(missing)?)
            }
        };
        Ok(Values { current, previous, admin })
    }

    /// A value that was in force. One that others know may be hidden, and is to be made worthless all the same.
    async fn known_value(&self, work: &Work<'_>, which: VersionSelector) -> Result<Option<SecretValue>, CoreError> {
        let found = match work.job.leaked {
            true => self.secrets.peek_hidden(&work.mount, work.path(), &which).await?,
            false => self.secrets.peek(&work.mount, work.path(), &which).await?,
        };
        Ok(found.map(|(_, value)| value))
    }

    async fn version(&self, work: &Work<'_>, number: VersionNumber) -> Result<SecretValue, CoreError> {
        let found = self.secrets.peek(&work.mount, work.path(), &VersionSelector::Number(number)).await?;
        let gone = || CoreError::NotFound("somebody removed the version in preparation".to_owned());
        found.map(|(_, value)| value).ok_or_else(gone)
    }
}

impl Work<'_> {
    fn path(&self) -> &SecretPath {
        &self.rotation.key.path
    }

    /// The phase to turn to when the rotation is not wanted any more.
    fn given_up(&self) -> Option<Phase> {
        let new = match &self.job.phase {
            Phase::Creating => None,
            Phase::Setting { new } | Phase::Testing { new } => Some(*new),
            Phase::Finishing { .. } | Phase::Retiring { .. } | Phase::Clearing | Phase::RollingBack { .. } => {
                return None;
            }
        };
        if let Some(who) = &self.job.cancelled {
            let from = self.job.phase.word().to_owned();
            return Some(Phase::RollingBack { new, from, why: format!("{who} cancelled it") });
        }
        let current = self.meta.current();
        let moved = current != Some(self.job.current) && current != new;
        moved.then(|| self.overtaken(new))
    }

    /// The end of a rotation that cannot be rolled back, when nobody wants to wait for that any longer. The version in
    /// preparation stays: its value may be the one that the outside system has.
    fn abandoned(&self) -> Option<Ending> {
        let (Some(who), Phase::RollingBack { new, from, why }) = (&self.job.abandoned, &self.job.phase) else {
            return None;
        };
        let before = self.job.current;
        let kept = new.map_or_else(String::new, |new| {
            format!(
                "; the outside system has the value of version {before}, which was in force when it began, or that of \
                 version {new}, which stays AWSPENDING"
            )
        });
        let error = self.job.error.as_deref().unwrap_or("it was not tried");
        let why = format!("{why}. {who} gave up rolling it back after {} tries ({error}){kept}", self.job.attempts);
        Some(Ending::RolledBack { phase: from.clone(), why, unsettled: new.is_some() })
    }

    fn overtaken(&self, new: Option<VersionNumber>) -> Phase {
        let from = self.job.phase.word().to_owned();
        let why = "somebody put another version in force meanwhile; that one stays".to_owned();
        Phase::RollingBack { new, from, why }
    }
}
