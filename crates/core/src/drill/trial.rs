//! One measurement: somebody uses a credential again and again, as a client does, while it is cut off.
//!
//! Spans are taken from a clock that nobody sets. A use counts as let in after the acknowledgement only when it began
//! after it: one that was under way may end later.

use super::canary::{Canary, Keeper, hindered};
use super::record::{CredentialType, Drill, Trial};
use super::target::Target;
use super::{Door, Drills, Met};
use crate::access_key::MadeKey;
use crate::emergency::Target as Cut;
use crate::lease::LeaseScope;
use crate::{CoreError, Fields};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{SecretPath, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// Uses that are let in before the order is given.
const BEFORE: u64 = 3;
/// How long something may go on being let in before that is given up, and counts as not refused.
const LIMIT: Duration = Duration::from_secs(10);
/// The same for an outside system.
const OUTSIDE_LIMIT: Duration = Duration::from_secs(60);
/// Between two uses through the server's own door: a drill must not be a load.
const PAUSE: Duration = Duration::from_millis(1);
/// The same when nothing was answered again and again: who is away is not called back by more tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who uses what.
enum User {
    /// A token on the canary.
    Token,
    /// An access key on the canary secret.
    Key { key: Box<MadeKey>, region: String },
    /// A login on the outside system.
    Login(Fields),
}

/// What all trials of a drill share.
pub(super) struct Scene<'a> {
    pub(super) drill: &'a Drill,
    pub(super) target: &'a Target,
    pub(super) door: &'a Arc<dyn Door>,
    pub(super) keeper: Option<&'a Keeper>,
}

/// A use, from a beginning in microseconds.
struct Use {
    began: Instant,
    ended: Instant,
    let_in: bool,
}

/// Uses that told nothing.
#[derive(Default)]
struct Hindered {
    count: u64,
    /// Since the last one that did.
    in_a_row: u32,
}

impl Hindered {
    fn again(&mut self) {
        self.count += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    fn pause(&self) -> Duration {
        PAUSE.saturating_mul(2_u32.saturating_pow(self.in_a_row)).min(LONGEST_PAUSE)
    }
}

impl Drills {
    /// One trial with a canary of its own.
    pub(super) async fn trial(
        &self,
        scene: &Scene<'_>,
        credential: CredentialType,
        canary: Canary,
    ) -> Result<Trial, CoreError> {
        if credential == CredentialType::SecretVersion
            && let Some(keeper) = scene.keeper
        {
            keeper.write().await?;
        }
        let user = self.user(scene, credential, &canary).await?;
        let used = watch::Sender::new(0_u64);
        let limit = if credential == CredentialType::Login { OUTSIDE_LIMIT } else { LIMIT };
        let using = self.use_until_refused(scene, credential, &canary, &user, &used, limit);
        let mut watching = used.subscribe();
        let cutting = async {
            // The sender outlives this; that it never gets so far is for the user to say.
            let _ = tokio::time::timeout(limit, watching.wait_for(|uses| *uses >= BEFORE)).await;
            let (at, ordered) = (self.rooms.clock.now(), Instant::now());
            self.cut(scene, credential, &canary, at).await?;
            Ok::<_, CoreError>((at, ordered, Instant::now()))
        };
        let (used, cut) = tokio::join!(using, cutting);
        let ((uses, hindered), (at, ordered, acknowledged)) = (used?, cut?);
        Ok(figures(credential, at, (ordered, acknowledged), &uses, &hindered))
    }

    async fn user(&self, scene: &Scene<'_>, credential: CredentialType, canary: &Canary) -> Result<User, CoreError> {
        match credential {
            CredentialType::Login => {
                // Asked for as a program does: with its token, through the door.
                match scene.door.read(&canary.token, &scene.target.path).await {
                    Met::LetIn(fields) => Ok(User::Login(fields)),
                    met => Err(hindered("the canary was given no login", &met)),
                }
            }
            CredentialType::AccessKey => {
                let region = scene.door.region_of(&scene.target.mount.path);
                let region =
                    region.ok_or_else(|| CoreError::Unfit("no region leads to this mount any more".to_owned()))?;
                Ok(User::Key { key: Box::new(self.key_of_canary(scene.drill, canary).await?), region })
            }
            _ => Ok(User::Token),
        }
    }

    /// Uses it until it is refused, or for as long as that is waited for; counts uses that told nothing, too.
    async fn use_until_refused(
        &self,
        scene: &Scene<'_>,
        credential: CredentialType,
        canary: &Canary,
        user: &User,
        used: &watch::Sender<u64>,
        limit: Duration,
    ) -> Result<(Vec<Use>, Hindered), CoreError> {
        let (mut uses, mut hindrances, since) = (Vec::new(), Hindered::default(), Instant::now());
        loop {
            let began = Instant::now();
            let met = self.use_once(scene, canary, user).await?;
            let ended = Instant::now();
            let refused = match met {
                Met::LetIn(_) => false,
                Met::Denied => true,
                // Only a version that is out of use is nothing to give.
                Met::Absent => credential == CredentialType::SecretVersion,
                Met::Hindered(_) => false,
            };
            if refused && uses.is_empty() {
                return Err(hindered("the canary could not be used before anything was cut off", &met));
            }
            match met {
                Met::Hindered(_) => hindrances.again(),
                _ => {
                    hindrances.in_a_row = 0;
                    uses.push(Use { began, ended, let_in: !refused });
                }
            }
            used.send_modify(|count| *count = uses.len() as u64);
            if refused || since.elapsed() > limit {
                return Ok((uses, hindrances));
            }
            tokio::time::sleep(hindrances.pause()).await;
        }
    }

    async fn use_once(&self, scene: &Scene<'_>, canary: &Canary, user: &User) -> Result<Met, CoreError> {
        match user {
            User::Token => Ok(scene.door.read(&canary.token, &scene.drill.canary_path(scene.target)).await),
            User::Key { key, region } => {
                Ok(scene.door.read_signed(key, region, &scene.drill.canary_secret(scene.target)).await)
            }
            User::Login(credential) => {
                let tried = scene.target.rehearses()?.lets_in(&scene.target.key.name, credential).await;
                Ok(match tried {
                    Ok(true) => Met::LetIn(Fields::new(serde_json::Map::new())),
                    Ok(false) => Met::Denied,
                    Err(error) => Met::Hindered(error.to_string()),
                })
            }
        }
    }

    /// The act of an emergency, on the canary.
    async fn cut(
        &self,
        scene: &Scene<'_>,
        credential: CredentialType,
        canary: &Canary,
        at: Timestamp,
    ) -> Result<(), CoreError> {
        let emergency = &self.rooms.emergency;
        let principal = || Cut::Principal { entity: canary.entity, name: canary.name.to_string(), called: None };
        match credential {
            CredentialType::SecretVersion => {
                let mount = &scene.target.mount;
                let name = SecretPath::parse(&scene.drill.canary_secret(scene.target))?;
                let place = mount.path.to_string();
                emergency.rehearse(Cut::Secret { mount: mount.id, place, name, versioned: true }, at).await
            }
            CredentialType::Token => emergency.rehearse(Cut::Token { accessor: canary.accessor.clone() }, at).await,
            CredentialType::Principal | CredentialType::AccessKey => emergency.rehearse(principal(), at).await,
            CredentialType::Login => {
                emergency.rehearse(principal(), at).await?;
                self.rooms.leases.cut_off(&LeaseScope::Entity(canary.entity)).await.map(|_| ())
            }
        }
    }
}

fn figures(
    credential: CredentialType,
    at: Timestamp,
    (ordered, acknowledged): (Instant, Instant),
    uses: &[Use],
    hindered: &Hindered,
) -> Trial {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let since = |from: Instant, to: Instant| micros(to.saturating_duration_since(from));
    let denied = uses.last().filter(|last| !last.let_in).map(|last| last.ended);
    let accepted = || uses.iter().filter(|one| one.let_in);
    Trial {
        credential,
        ordered: at,
        acknowledged_us: since(ordered, acknowledged),
        denied_us: denied.map(|denied| since(ordered, denied)),
        after_acknowledgement_us: denied.map(|denied| since(acknowledged, denied)),
        last_accepted_us: accepted().map(|one| since(acknowledged, one.ended)).max().unwrap_or_default(),
        accepted_after: accepted().filter(|one| one.began > acknowledged).count() as u64,
        uses: uses.len() as u64,
        hindered: hindered.count,
        silent: hindered.in_a_row > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A drill tried 26,774 logins in its minute at a database that was away.
    #[test]
    fn who_does_not_answer_is_asked_ever_more_seldom_and_anew_when_it_does() {
        let (mut hindered, mut waited) = (Hindered::default(), Duration::ZERO);
        assert_eq!(hindered.pause(), PAUSE);
        while waited < OUTSIDE_LIMIT {
            hindered.again();
            waited += hindered.pause();
        }
        assert!(hindered.count < 100, "{}", hindered.count);
        hindered.in_a_row = 0;
        assert_eq!(hindered.pause(), PAUSE);
    }

    #[tokio::test]
    async fn what_nobody_answered_for_is_not_told_as_let_in() {
        let now = Instant::now();
        let before = Use { began: now, ended: now, let_in: true };
        let acknowledged = now + Duration::from_secs(1);
        let mut hindered = Hindered::default();
        hindered.again();
        let at = Timestamp::from_secs(1);
        let trial = figures(CredentialType::Login, at, (acknowledged, acknowledged), &[before], &hindered);
        assert_eq!((trial.denied_us, trial.accepted_after, trial.silent), (None, 0, true));
    }
}
