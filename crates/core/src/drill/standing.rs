//! What is planned: drills at set times, and how old the last one may be.

use super::Drills;
use super::order::settled;
use super::record::{CredentialType, Standing};
use crate::inquiry::Sight;
use crate::rotation::Schedule;
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use strongroom_model::{Timestamp, Ttl};

/// What an operator set for all drills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many seconds old the last drill of a target may be before that is told; `None`: it may be any age.
    pub max_age_seconds: Option<u64>,
}

/// Drills that somebody wants at set times.
pub struct Wish {
    /// The secret, or the role or place of an engine.
    pub path: String,
    /// When.
    pub schedule: Schedule,
    /// What to try; empty: everything that can be.
    pub credentials: Vec<CredentialType>,
    /// How often each.
    pub rounds: Option<u64>,
}

/// What is planned for one target.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The path that policies speak of.
    pub path: String,
    /// When; `None`: when somebody asks.
    pub schedule: Option<String>,
    /// What its schedule tries.
    pub credentials: Vec<CredentialType>,
    /// How often each.
    pub rounds: u32,
    /// When next.
    pub next: Option<Timestamp>,
    /// When one last ended well.
    pub last: Option<Timestamp>,
    /// Whether that is too long ago.
    pub overdue: bool,
}

/// The shortest age that can be asked for.
const SHORTEST: u64 = 60;

impl Drills {
    /// Plans drills of a target that the caller could read. A rotation is never part of them: somebody asks for that.
    pub async fn schedule(&self, grant: &Grant, wish: Wish) -> Result<Planned, CoreError> {
        let target = self.target(grant, &wish.path).await?;
        let (credentials, rounds) = settled(&target, &wish.credentials, wish.rounds)?;
        self.book.has_room_for(&target.key).await?;
        let now = self.rooms.clock.now();
        let next = wish.schedule.next(now)?;
        let kept = self.book.plan(&target.key, now, |standing| {
            (standing.schedule, standing.next) = (Some(wish.schedule.clone()), Some(next));
            (standing.credentials, standing.rounds) = (credentials.clone(), rounds);
        });
        let kept = kept.await?;
        self.expect(Some(next));
        self.planned(&kept, now).ok_or(CoreError::Nothing)
    }

    /// Ends the schedule of a target, and forgets its drills too if asked. `NotFound` for what the caller may not know.
    pub async fn unschedule(&self, grant: &Grant, typed: &str, forget: bool) -> Result<(), CoreError> {
        let unknown = || CoreError::NotFound("no drill of this is known, or you may not know of it".to_owned());
        let sight = Sight::of(grant, &self.rooms.mounts)?;
        let key = self.key_of(typed).map_err(|_| unknown())?;
        let path = self.shown_path(&key).filter(|path| sight.shows(path)).ok_or_else(unknown)?;
        if self.book.standing(&key).await?.is_none() {
            return Err(unknown());
        }
        if forget {
            self.note("drill-forget", &path, "the drills of this are forgotten".to_owned()).await?;
            return self.book.forget(&key).await;
        }
        let change = |standing: &mut Standing| (standing.schedule, standing.next) = (None, None);
        self.book.plan(&key, self.rooms.clock.now(), change).await.map(|_| ())
    }

    /// What is planned, as far as the caller may know of it.
    pub async fn schedules(&self, grant: &Grant) -> Result<Vec<Planned>, CoreError> {
        let sight = Sight::of(grant, &self.rooms.mounts)?;
        let now = self.rooms.clock.now();
        let all = self.book.standings().await?;
        let mut planned: Vec<Planned> = all.iter().filter_map(|one| self.planned(one, now)).collect();
        planned.retain(|one| sight.shows(&one.path));
        planned.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(planned)
    }

    /// What holds for all drills.
    pub fn settings(&self) -> Settings {
        Settings::clone(&self.settings.current())
    }

    /// Says how old the last drill may be; zero: any age.
    pub async fn set_max_age(&self, grant: &Grant, age: Ttl) -> Result<Settings, CoreError> {
        let seconds = Some(age.secs()).filter(|seconds| *seconds > 0);
        if seconds.is_some_and(|seconds| seconds < SHORTEST) {
            let problem = format!("must be {SHORTEST} s at least, or 0 for any age");
            return Err(CoreError::Field { field: "max_age".to_owned(), problem });
        }
        self.settings
            .change(grant, |settings| {
                settings.max_age_seconds = seconds;
                Ok(())
            })
            .await?;
        self.expect(Some(Timestamp::default()));
        Ok(self.settings())
    }

    fn planned(&self, standing: &Standing, now: Timestamp) -> Option<Planned> {
        Some(Planned {
            path: self.shown_path(&standing.key)?,
            schedule: standing.schedule.as_ref().map(|schedule| schedule.text().to_owned()),
            credentials: standing.credentials.clone(),
            rounds: standing.rounds,
            next: standing.next,
            last: standing.last,
            overdue: self.late_at(standing).is_some_and(|late| late <= now),
        })
    }

    /// When the last drill of a target is too old, if that matters.
    pub(super) fn late_at(&self, standing: &Standing) -> Option<Timestamp> {
        let age = self.settings.current().max_age_seconds?;
        Some(standing.last.unwrap_or(standing.since).plus(std::time::Duration::from_secs(age)))
    }
}
