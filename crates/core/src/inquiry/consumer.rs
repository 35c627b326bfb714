//! Who reads a secret, and what somebody reads: from the counts that the index keeps, beside the secret as it is now.

use super::Inquiry;
use super::sight::{Aim, Sight};
use crate::{CoreError, Grant};
use serde::Serialize;
use std::collections::HashMap;
use strongroom_audit::{Absence, Habit, Use};
use strongroom_model::{EntityId, SecretPath, Timestamp};

/// Whether a consumer has what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Freshness {
    /// It has fetched the current version.
    Refreshed {
        /// When first.
        at: Timestamp,
    },
    /// It has not, since the current version was written.
    Stale {
        /// When that was.
        since: Timestamp,
    },
    /// It never got a value.
    Never,
    /// There is nothing to compare with: no versions, or the secret is gone.
    Unknown,
}

/// One principal's use of one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Consumer {
    /// The entity's name now, the one of its login where nobody named it, or else what the trail calls it.
    pub principal: String,
    /// The entity's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The accessor, of a token without entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accessor: Option<String>,
    /// The path that policies speak of, as the mount is called now.
    pub path: String,
    /// The one name.
    pub object: String,
    /// How often a value was given.
    pub reads: u64,
    /// How often not.
    pub refused: u64,
    /// First read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Last refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refused: Option<Timestamp>,
    /// Reads per day between the first and the last one.
    pub per_day: f64,
    /// The version given last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_version: Option<u64>,
    /// From where; at most sixteen.
    pub addresses: Vec<String>,
    /// Whether there were more.
    pub more_addresses: bool,
    /// Through which foreign APIs.
    pub dialects: Vec<String>,
    /// How it reads.
    pub habit: Habit,
    /// Whether it has the current version.
    pub freshness: Freshness,
}

/// Who reads one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Readers {
    /// The path that policies speak of.
    pub path: String,
    /// The one name.
    pub object: String,
    /// The version in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// When it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_since: Option<Timestamp>,
    /// The consumers, the latest first.
    pub consumers: Vec<Consumer>,
    /// What is not counted, since it is not in the trail any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absence>,
}

/// What one principal reads.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// As it was asked for.
    pub principal: String,
    /// The things, the latest first.
    pub uses: Vec<Consumer>,
    /// What is not counted, since it is not in the trail any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absence>,
    /// What the caller should know beside it.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// The version in force.
#[derive(Clone, Copy, Default)]
struct InForce {
    version: Option<u64>,
    since: Option<Timestamp>,
}

impl Inquiry {
    /// Who reads this. What the caller may not know of looks like what nobody reads and nobody has.
    pub async fn who_reads(&self, grant: &Grant, typed: &str) -> Result<Readers, CoreError> {
        let sight = Sight::of(grant, &self.mounts)?;
        let unknown = || CoreError::NotFound("there is no such path, or you may not know of it".to_owned());
        let aim = sight.object(typed).map_err(|_| unknown())?;
        if !sight.shows(&aim.path) {
            return Err(unknown());
        }
        let in_force = self.in_force(&aim).await?;
        let mut consumers = Vec::new();
        for one in self.trail.uses(Some(aim.object.clone()), |_| true).await? {
            let name = self.name_of(&one).await?;
            consumers.push(Consumer::of(&one, name, aim.path.clone(), in_force));
        }
        consumers.sort_by_key(|one| std::cmp::Reverse(one.last.max(one.last_refused)));
        Ok(Readers {
            path: aim.path,
            object: aim.object,
            current_version: in_force.version,
            current_since: in_force.since,
            consumers,
            absent: self.trail.absent().await?,
        })
    }

    /// What somebody reads, as far as the caller may know of it.
    pub async fn reads_what(&self, grant: &Grant, principal: &str) -> Result<Reading, CoreError> {
        let sight = Sight::of(grant, &self.mounts)?;
        let entities = self.entities_called(principal).await?;
        let wanted = principal.to_owned();
        let is_it = move |one: &Use| one.consumer == wanted || one.name == wanted || entities.contains(&one.consumer);
        let mut uses = Vec::new();
        for one in self.trail.uses(None, is_it).await? {
            let aim = sight.aim(&one.object);
            let path = aim.as_ref().map_or_else(|| one.path.clone(), |aim| aim.path.clone());
            if !sight.shows(&path) {
                continue;
            }
            let in_force = match &aim {
                Some(aim) => self.in_force(aim).await?,
                None => InForce::default(),
            };
            uses.push(Consumer::of(&one, self.name_of(&one).await?, path, in_force));
        }
        uses.sort_by_key(|one| std::cmp::Reverse(one.last.max(one.last_refused)));
        let warnings = match uses.is_empty() {
            true => self.remarks_on(&sight, &[principal.to_owned()]).await?,
            false => Vec::new(),
        };
        Ok(Reading { principal: principal.to_owned(), uses, absent: self.trail.absent().await?, warnings })
    }

    async fn in_force(&self, aim: &Aim) -> Result<InForce, CoreError> {
        let secret = SecretPath::parse(&aim.name).ok().filter(|_| aim.is_secret);
        let Some(secret) = secret else { return Ok(InForce::default()) };
        let Some(meta) = self.secrets.known(&aim.mount, &secret).await? else { return Ok(InForce::default()) };
        let current = meta.current().and_then(|number| meta.info(number));
        Ok(match current {
            None => InForce::default(),
            // A mount without versions has one that is written over.
            Some(info) if !aim.mount.is_versioned_kv() => InForce { version: None, since: Some(info.version.created) },
            Some(info) => InForce { version: Some(info.number.get()), since: Some(info.version.created) },
        })
    }

    /// What people call a consumer now.
    pub(super) async fn name_of(&self, one: &Use) -> Result<String, CoreError> {
        let Some(id) = EntityId::parse(&one.consumer).filter(|_| one.is_entity) else { return Ok(one.name.clone()) };
        let entity = self.identity.by_id(id).await?;
        Ok(entity.map_or_else(|| one.name.clone(), |entity| entity.value.title(&self.mounts.table())))
    }

    /// Who uses what, by object.
    pub(super) async fn all_uses(&self) -> Result<HashMap<String, Vec<Use>>, CoreError> {
        let mut uses: HashMap<String, Vec<Use>> = HashMap::new();
        for one in self.trail.uses(None, |_| true).await? {
            uses.entry(one.object.clone()).or_default().push(one);
        }
        Ok(uses)
    }
}

impl Consumer {
    fn of(one: &Use, principal: String, path: String, in_force: InForce) -> Self {
        let time = |nanos: u64| (nanos > 0).then(|| Timestamp::from_nanos(nanos));
        let days = one.last.saturating_sub(one.first) as f64 / 86_400e9;
        let per_day = if one.reads > 1 && days > 0.0 { (one.reads - 1) as f64 / days } else { 0.0 };
        Self {
            principal: if principal.is_empty() { one.consumer.clone() } else { principal },
            entity: one.is_entity.then(|| one.consumer.clone()),
            accessor: (!one.is_entity).then(|| one.consumer.clone()),
            path,
            object: one.object.clone(),
            reads: one.reads,
            refused: one.refused,
            first: time(one.first),
            last: time(one.last),
            last_refused: time(one.last_refused),
            per_day: (per_day * 100.0).round() / 100.0,
            last_version: one.last_version,
            addresses: one.addresses.clone(),
            more_addresses: one.more_addresses,
            dialects: one.dialects.clone(),
            habit: one.habit(),
            freshness: freshness(one, in_force),
        }
    }
}

fn freshness(one: &Use, in_force: InForce) -> Freshness {
    let at = |nanos: u64| Timestamp::from_nanos(nanos);
    match (in_force.version, in_force.since) {
        _ if one.reads == 0 => Freshness::Never,
        (Some(version), Some(since)) if one.newest.is_none_or(|newest| newest < version) => Freshness::Stale { since },
        (Some(_), _) => Freshness::Refreshed { at: at(one.newest_at) },
        (None, Some(since)) if at(one.last) < since => Freshness::Stale { since },
        (None, Some(_)) => Freshness::Refreshed { at: at(one.last) },
        (None, None) => Freshness::Unknown,
    }
}
