//! What drills found: the history of a target with its trend, and the table that a decision record wants. What is measured
//! and what is concluded from the way somebody reads are told apart.

use super::record::{CredentialType, Drill, Key, RotationTrial, Standing, Trial};
use super::{CANARY, Drills};
use crate::event::shows;
use crate::inquiry::Sight;
use crate::{CoreError, Grant};
use serde::Serialize;
use std::collections::BTreeMap;
use strongroom_audit::{Absence, Pattern, Use, object_of, path_object};
use strongroom_model::Timestamp;

/// Consumers named of a rotation at most.
const MOST_NAMED: usize = 200;

/// One line of the revocation table: a credential type, and those who read in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The path that policies speak of.
    pub path: String,
    /// What is cut off.
    pub credential: CredentialType,
    /// How they read: `periodic`, `at-start`, `once`, `irregular`, `never`; `none` when nobody does.
    pub pattern: String,
    /// How many.
    pub consumers: u64,
    /// How many measurements there are.
    pub samples: u64,
    /// From the order to the first refusal, in microseconds, of half of them at most. Measured.
    pub denied_p50_us: Option<u64>,
    /// The same, of 99 in 100; with few samples the longest.
    pub denied_p99_us: Option<u64>,
    /// The last one.
    pub denied_last_us: Option<u64>,
    /// When such a consumer meets the refusal.
    pub learns: Learns,
    /// When the last drill that went well ended.
    pub last_drill: Option<Timestamp>,
    /// `done`, `failed`, `broken-off`: how the last one ended.
    pub last_state: &'static str,
    /// Whether the last one is longer ago than it may be.
    pub overdue: bool,
}

/// When a consumer meets the refusal, and how that is known.
#[derive(Clone, Debug, Serialize)]
pub struct Learns {
    /// `measured`, `derived` (from how it reads, as the trail tells) or `unknown`.
    pub basis: &'static str,
    /// Microseconds from the order, at most.
    pub within_us: Option<u64>,
    /// In words.
    pub text: String,
}

/// The drills of one target.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// The path that policies speak of.
    pub path: String,
    /// One that is under way.
    pub running: Option<Drill>,
    /// Those that ended, newest first.
    pub drills: Vec<Drill>,
    /// How the figures went, for each credential type.
    pub trends: Vec<Trend>,
    /// Who has fetched what the last real rotation made, if there was one.
    pub rotation: Option<RotationTrial>,
    /// Those who read it.
    pub fetched: Vec<Fetched>,
    /// Reads that do not count, since they are not in the trail any more: of `fetched`, what is `not-yet` may be unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absence>,
}

/// The revocation table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// The lines.
    pub rows: Vec<Row>,
    /// Reads that do not count among consumers and their patterns, since they are not in the trail any more. What drills
    /// measured is kept apart from the trail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absence>,
}

/// How a figure went from drill to drill.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// The credential type.
    pub credential: CredentialType,
    /// Oldest first: when, and the median of that drill in microseconds.
    pub medians_us: Vec<(Timestamp, u64)>,
    /// The last of them against the median of those before, as a factor; `None` while there is nothing to compare.
    pub last_against_before: Option<f64>,
}

/// Whether a consumer has what a rotation made.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// As people call it; empty where the caller may not ask who reads.
    pub principal: String,
    /// How it reads.
    pub pattern: String,
    /// `refreshed` or `not-yet`.
    pub state: &'static str,
    /// Microseconds from the new version's being in force to its first fetch.
    pub after_us: Option<u64>,
}

impl Drills {
    /// The drills of a target that the caller may know of.
    pub async fn history(&self, grant: &Grant, typed: &str) -> Result<History, CoreError> {
        let unknown = || CoreError::NotFound("no drill of this is known, or you may not know of it".to_owned());
        let sight = Sight::of(grant, &self.rooms.mounts)?;
        let key = self.key_of(typed).map_err(|_| unknown())?;
        let path = self.shown_path(&key).filter(|path| sight.shows(path)).ok_or_else(unknown)?;
        let running = self.book.under_way().await?.into_iter().find(|one| one.key == key);
        let drills = self.book.past(&key).await?;
        if running.is_none() && drills.is_empty() {
            return Err(unknown());
        }
        let trends = trends(&drills);
        let rotation = drills.iter().find_map(|drill| drill.rotation.clone());
        let fetched = match &rotation {
            Some(rotation) => {
                let named = grant.acl().is_some_and(|acl| shows(acl, "sys/trail/who-reads"));
                let (mut told, table) = (Vec::new(), std::sync::Arc::clone(&self.rooms.mounts.table()));
                for one in self.uses(&key).await?.iter().take(MOST_NAMED) {
                    let title = self.rooms.identity.title_of(&table, &one.consumer).await?;
                    let name = title.unwrap_or_else(|| one.name.clone());
                    let name = if named { name } else { String::new() };
                    told.push(fetched(one, rotation, name));
                }
                told
            }
            None => Vec::new(),
        };
        let absent = self.rooms.trail.absent().await?;
        Ok(History { path, running, drills, trends, rotation, fetched, absent })
    }

    /// The revocation table, of all targets that the caller may know of, or of one.
    pub async fn table(&self, grant: &Grant, typed: Option<&str>) -> Result<Table, CoreError> {
        let sight = Sight::of(grant, &self.rooms.mounts)?;
        let wanted = match typed {
            Some(typed) => match self.key_of(typed) {
                Ok(key) => Some(key),
                Err(_) => return Ok(Table::default()),
            },
            None => None,
        };
        let mut rows = Vec::new();
        for standing in self.book.standings().await? {
            if wanted.as_ref().is_some_and(|wanted| *wanted != standing.key) {
                continue;
            }
            let Some(path) = self.shown_path(&standing.key).filter(|path| sight.shows(path)) else { continue };
            rows.extend(self.rows_of(&standing, path).await?);
        }
        rows.sort_by(|a, b| (&a.path, a.credential, &a.pattern).cmp(&(&b.path, b.credential, &b.pattern)));
        Ok(Table { rows, absent: self.rooms.trail.absent().await? })
    }

    async fn rows_of(&self, standing: &Standing, path: String) -> Result<Vec<Row>, CoreError> {
        let drills = self.book.past(&standing.key).await?;
        let uses = self.uses(&standing.key).await?;
        let overdue = self.late_at(standing).is_some_and(|late| late <= self.rooms.clock.now());
        let mut rows = Vec::new();
        for credential in CredentialType::ALL {
            // Newest drill first, each in the order of its trials.
            let trials: Vec<&Trial> = drills.iter().flat_map(|drill| drill.trials.iter().rev()).collect();
            let denied: Vec<u64> =
                trials.iter().filter(|one| one.credential == credential).filter_map(|one| one.denied_us).collect();
            if denied.is_empty() {
                continue;
            }
            for (pattern, group) in grouped(&uses, credential) {
                rows.push(Row {
                    path: path.clone(),
                    credential,
                    pattern: pattern.map_or_else(|| "none".to_owned(), word),
                    consumers: group.len() as u64,
                    samples: denied.len() as u64,
                    denied_p50_us: quantile(&denied, 50),
                    denied_p99_us: quantile(&denied, 99),
                    denied_last_us: denied.first().copied(),
                    learns: learns(credential, pattern, &group, quantile(&denied, 99)),
                    last_drill: standing.last,
                    last_state: drills.first().map_or("none", Drill::state),
                    overdue,
                });
            }
        }
        Ok(rows)
    }

    /// Who uses a target, without canaries.
    async fn uses(&self, key: &Key) -> Result<Vec<Use>, CoreError> {
        let table = std::sync::Arc::clone(&self.rooms.mounts.table());
        let Some(mount) = table.by_id(key.mount) else { return Ok(Vec::new()) };
        let object = match key.is_secret {
            true => object_of(&mount.accessor, &key.name),
            false => path_object(&mount.accessor, &key.name),
        };
        let mut uses = self.rooms.trail.uses(Some(object), |one| !one.name.starts_with(CANARY)).await?;
        uses.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(uses)
    }
}

/// Consumers who hold such a credential, by how they read. One empty group when there are none.
fn grouped(uses: &[Use], credential: CredentialType) -> BTreeMap<Option<u8>, Vec<&Use>> {
    let mut groups: BTreeMap<Option<u8>, Vec<&Use>> = BTreeMap::new();
    for one in uses {
        let signs = one.dialects.iter().any(|dialect| dialect == "aws");
        let brings_token = one.dialects.is_empty() || one.dialects.iter().any(|dialect| dialect != "aws");
        let holds = match credential {
            CredentialType::AccessKey => signs,
            CredentialType::Token | CredentialType::Principal => brings_token,
            CredentialType::SecretVersion | CredentialType::Login => true,
        };
        if holds {
            groups.entry(Some(rank(one.habit().pattern))).or_default().push(one);
        }
    }
    if groups.is_empty() {
        groups.insert(None, Vec::new());
    }
    groups
}

const PATTERNS: [(Pattern, &str); 5] = [
    (Pattern::Periodic, "periodic"),
    (Pattern::AtStart, "at-start"),
    (Pattern::Once, "once"),
    (Pattern::Irregular, "irregular"),
    (Pattern::Never, "never"),
];

fn rank(pattern: Pattern) -> u8 {
    PATTERNS.iter().position(|(one, _)| *one == pattern).and_then(|at| u8::try_from(at).ok()).unwrap_or_default()
}

fn word(rank: u8) -> String {
    PATTERNS.get(usize::from(rank)).map(|(_, word)| (*word).to_owned()).unwrap_or_default()
}

fn learns(credential: CredentialType, pattern: Option<u8>, group: &[&Use], denied: Option<u64>) -> Learns {
    let say = |basis, within_us, text: String| Learns { basis, within_us, text };
    if credential == CredentialType::Login {
        let text = "the outside system refuses whoever logs in with it, and ends its sessions; when they next log in is theirs";
        return say("measured", denied, text.to_owned());
    }
    match pattern.map(word).as_deref() {
        Some("periodic") => {
            let longest = group.iter().filter_map(|one| one.habit().period_seconds).fold(0.0_f64, f64::max);
            let within = denied.map(|denied| denied.saturating_add((longest * 1e6) as u64));
            say("derived", within, format!("reads every {longest} s at most, so the next read is refused within that"))
        }
        Some("at-start") => say("unknown", None, "at its next start; until then it keeps what it has".to_owned()),
        Some("once" | "irregular") => say("unknown", None, "at its next read; no period shows".to_owned()),
        Some("never") => say("unknown", None, "it was never given a value".to_owned()),
        _ => say("unknown", None, "nobody reads it, as far as the trail tells".to_owned()),
    }
}

fn fetched(one: &Use, rotation: &RotationTrial, principal: String) -> Fetched {
    let has = one.newest.is_some_and(|newest| newest >= rotation.version);
    let after = Timestamp::from_nanos(one.newest_at).since(rotation.in_force);
    Fetched {
        principal,
        pattern: word(rank(one.habit().pattern)),
        state: if has { "refreshed" } else { "not-yet" },
        after_us: has.then(|| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)),
    }
}

fn trends(drills: &[Drill]) -> Vec<Trend> {
    let mut trends = Vec::new();
    for credential in CredentialType::ALL {
        let medians_us: Vec<(Timestamp, u64)> = drills
            .iter()
            .rev()
            .filter_map(|drill| {
                let of = drill.trials.iter().filter(|trial| trial.credential == credential);
                let denied: Vec<u64> = of.filter_map(|trial| trial.denied_us).collect();
                Some((drill.begun, quantile(&denied, 50)?))
            })
            .collect();
        let Some(((_, last), before)) = medians_us.split_last() else { continue };
        let before: Vec<u64> = before.iter().map(|(_, median)| *median).collect();
        let last_against_before =
            quantile(&before, 50).filter(|before| *before > 0).map(|before| *last as f64 / before as f64);
        trends.push(Trend { credential, medians_us, last_against_before });
    }
    trends
}

/// The value that so many in a hundred do not exceed, by the nearest rank.
fn quantile(values: &[u64], percent: usize) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(quantile(&[], 50), None);
        assert_eq!((quantile(&[7], 50), quantile(&[7], 99)), (Some(7), Some(7)));
        let values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!((quantile(&values, 50), quantile(&values, 99)), (Some(100), Some(198)));
    }

    #[test]
    fn what_nobody_was_seen_doing_is_not_called_measured() {
        for pattern in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
            let told = learns(CredentialType::Token, pattern, &[], Some(5));
            assert_ne!(told.basis, "measured", "{pattern:?}");
            assert_eq!(told.within_us.is_some(), told.basis == "derived", "{pattern:?}");
        }
    }
}
