//! Asking for a drill: what it would make, and what is asked of whoever asks.

use super::Drills;
use super::record::{CredentialType, Drill, Key};
use super::target::{Target, allows};
use crate::{CoreError, Grant};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::Entry;
use strongroom_model::{Capability, Timestamp};

/// How often each credential is tried when nothing is said.
const ROUNDS: u32 = 3;
/// And at most.
const MOST_ROUNDS: u32 = 20;
/// How long a caller who asks for a drill waits for its end.
const PATIENCE: Duration = Duration::from_secs(40);

/// A drill that somebody asks for.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The secret, or the role or place of an engine.
    pub path: String,
    /// What to try; empty: everything that can be.
    pub credentials: Vec<CredentialType>,
    /// How often each.
    pub rounds: Option<u64>,
    /// Whether to rotate the secret itself too.
    pub rotate: bool,
}

/// What a drill would do.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The path that policies speak of.
    pub path: String,
    /// What would be tried.
    pub credentials: Vec<CredentialType>,
    /// How often each.
    pub rounds: u32,
    /// What would be made and taken away again, in words.
    pub makes: Vec<String>,
    /// What would stay changed, in words; empty unless a rotation is asked for.
    pub changes: Vec<String>,
}

impl Drills {
    /// What a drill would do, without doing it.
    pub async fn preview(&self, grant: &Grant, order: &Order) -> Result<Preview, CoreError> {
        let target = self.target(grant, &order.path).await?;
        let (credentials, rounds) = settled(&target, &order.credentials, order.rounds)?;
        self.check_rotation(grant, &target, order.rotate)?;
        let trials = usize::try_from(rounds).unwrap_or(usize::MAX).saturating_mul(credentials.len());
        let mut makes = vec![
            format!("{trials} principals called drill-canary-*, each with a token that reads the canary alone"),
            "two policies called drill-*".to_owned(),
        ];
        if target.key.is_secret {
            makes.push(format!("a canary secret beside it: {}/{}drill-canary-*", target.mount.path, target.folder()));
        } else {
            makes.push(format!("{rounds} logins at {}, used and ended on the outside system", target.path));
        }
        if credentials.contains(&CredentialType::AccessKey) {
            makes.push(format!("{rounds} access keys called drill-canary"));
        }
        let changes = match order.rotate {
            true => vec![format!("{} is rotated for good: its readers have to fetch a new value", target.path)],
            false => Vec::new(),
        };
        Ok(Preview { path: target.path, credentials, rounds, makes, changes })
    }

    /// Drills now. Gives the drill when it ended, or as it stands when that takes long.
    pub async fn run(self: &Arc<Self>, grant: &Grant, order: &Order) -> Result<Drill, CoreError> {
        let target = self.target(grant, &order.path).await?;
        let (credentials, rounds) = settled(&target, &order.credentials, order.rounds)?;
        self.check_rotation(grant, &target, order.rotate)?;
        let who = grant.principal().map_or_else(|| "somebody".to_owned(), |who| who.display_name.clone());
        let mut drill = self.record(&target, who, (credentials, rounds), order.rotate).await?;
        if order.rotate {
            self.urge(grant, &target, &mut drill).await?;
        }
        let mut ended = self.ended.subscribe();
        self.start(drill.clone());
        let waiting = async {
            loop {
                ended.borrow_and_update();
                let under_way = self.book.under_way().await?;
                match under_way.into_iter().find(|one| one.id == drill.id) {
                    None => return self.ended_one(&drill.key, &drill.id).await,
                    // Its canary could not be taken away yet, or the server seals.
                    Some(left) if !self.is_active(&drill.id) => return Ok(left),
                    Some(_) => ended.changed().await.map_err(|_| CoreError::Sealed)?,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(done) => done,
            Err(_) => Ok(drill),
        }
    }

    /// Records a drill of a target and says so in the trail, before anything is made.
    pub(super) async fn record(
        &self,
        target: &Target,
        trigger: String,
        (credentials, rounds): (Vec<CredentialType>, u32),
        rotate: bool,
    ) -> Result<Drill, CoreError> {
        self.doorway.get()?;
        self.book.has_room_for(&target.key).await?;
        if self.book.under_way().await?.iter().any(|one| one.key == target.key) {
            return Err(CoreError::Unfit("a drill of this is under way; wait for its end".to_owned()));
        }
        let begun = self.rooms.clock.now();
        let tag = hex::encode(self.rooms.entropy.array::<6>());
        let drill = Drill {
            id: format!("{:016x}-{tag}", begun.nanos()),
            key: target.key.clone(),
            path: target.path.clone(),
            trigger,
            credentials,
            rounds,
            rotate,
            rotating: None,
            tag,
            begun,
            ended: None,
            trials: Vec::new(),
            rotation: None,
            verdict: None,
            stuck: None,
        };
        let words: Vec<&str> = drill.credentials.iter().map(|one| one.word()).collect();
        let rotates = if rotate { "; rotates it" } else { "" };
        let note = format!("drill {} asked for by {}: {}{rotates}", drill.id, drill.trigger, words.join(", "));
        self.note("drill-begin", &drill.path, note).await?;
        self.book.open(&drill).await?;
        Ok(drill)
    }

    pub(super) async fn note(&self, word: &'static str, path: &str, note: String) -> Result<(), CoreError> {
        self.rooms.trail.append(Entry::event(word, path, note)).await?;
        Ok(())
    }

    async fn ended_one(&self, key: &Key, id: &str) -> Result<Drill, CoreError> {
        let past = self.book.past(key).await?;
        past.into_iter().find(|one| one.id == id).ok_or(CoreError::Nothing)
    }

    /// Who has a secret rotated must be able to write it.
    fn check_rotation(&self, grant: &Grant, target: &Target, rotate: bool) -> Result<(), CoreError> {
        if !rotate {
            return Ok(());
        }
        if !target.key.is_secret || !target.mount.is_versioned_kv() {
            return Err(CoreError::Unfit("only secrets of a KV version 2 mount rotate".to_owned()));
        }
        match grant.acl().is_some_and(|acl| allows(acl, &target.path, Capability::Update)) {
            true => Ok(()),
            false => Err(CoreError::DeniedBecause(
                "to have it rotated you need `update` on the secret; drill without a rotation, or ask who may"
                    .to_owned(),
            )),
        }
    }

    /// The first time a schedule comes due.
    pub(super) fn expect(&self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.due.fetch_min(at.nanos(), std::sync::atomic::Ordering::SeqCst);
        }
    }
}

/// What is tried and how often, within what the target has.
pub(super) fn settled(
    target: &Target,
    asked: &[CredentialType],
    rounds: Option<u64>,
) -> Result<(Vec<CredentialType>, u32), CoreError> {
    if let Some(other) = asked.iter().find(|one| !target.credentials.contains(one)) {
        let known: Vec<&str> = target.credentials.iter().map(|one| one.word()).collect();
        let problem = format!("cannot be {} here; {} can be tried", other.word(), known.join(", "));
        return Err(CoreError::Field { field: "credentials".to_owned(), problem });
    }
    let chosen = target.credentials.iter().filter(|one| asked.is_empty() || asked.contains(one));
    let rounds = rounds.map_or(Some(ROUNDS), |rounds| u32::try_from(rounds).ok());
    let rounds = rounds.filter(|rounds| (1..=MOST_ROUNDS).contains(rounds));
    let problem = || format!("must lie between 1 and {MOST_ROUNDS}");
    let rounds = rounds.ok_or_else(|| CoreError::Field { field: "rounds".to_owned(), problem: problem() })?;
    Ok((chosen.copied().collect(), rounds))
}
