//! What was measured: from the moment at which the order was durable to the last use that was let through, and to the
//! moment at which use was refused. Taken from the trail, which has an entry of every use, and from what was kept of
//! entries that have left it. What neither tells is said to be unknown; it is never said that there was none.

use super::evidence::{Counted, Evidence, KeptConsumer};
use super::record::Incident;
use super::store::Incidents;
use crate::CoreError;
use crate::emergency::Target;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_audit::{Absence, Query, Row, Thing, Use, object_of};
use strongroom_model::Timestamp;

/// What was measured of an incident.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Microseconds from the acknowledgement until the act that makes use fail was durable.
    pub cut_us: Option<u64>,
    /// Microseconds from the acknowledgement until the server, asking as a user would, was refused.
    pub refusal_in_force_us: Option<u64>,
    /// Microseconds from the acknowledgement to the last use that was let through; 0 when none was.
    pub last_accepted_us: Option<u64>,
    /// Uses that were let through after the acknowledgement: those that were under way. `None` when nobody knows, or for
    /// what is not counted: the trail does not name the uses of leases, nor what comes through an auth mount.
    pub accepted_after: Option<u64>,
    /// Uses that were refused after it.
    pub refused_after: Option<u64>,
    /// Whether there were more uses than were counted.
    pub more: bool,
    /// Microseconds from the acknowledgement until nothing was left to do.
    pub finished_us: Option<u64>,
    /// Who used it.
    pub consumers: Vec<ConsumerFigure>,
    /// What is not known of all this, since its entries are not in the trail any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
}

/// What cannot be told, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Whether uses after the order are among it; otherwise only those who used it before, and not since.
    pub uses: bool,
    /// The latest time of an entry that is gone, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Timestamp>,
    /// In words: `unknown: archived up to ...`.
    pub text: String,
}

impl Figures {
    /// What the record alone tells, when the trail cannot be asked now.
    pub(super) fn later(incident: &Incident, why: &str) -> Self {
        let text = format!("unknown as yet: {why}; ask again with `strongroom incident show {}`", incident.id);
        Self { unknown: Some(Unknown { uses: true, up_to: None, text }), ..Self::of_record(incident) }
    }

    fn of_record(incident: &Incident) -> Self {
        let Some(start) = incident.acknowledged else { return Self::default() };
        let micros = |at: Timestamp| u64::try_from(at.since(start).as_micros()).unwrap_or(u64::MAX);
        Self {
            cut_us: incident.cut.as_ref().map(|cut| micros(cut.at)),
            refusal_in_force_us: incident.refused.map(micros),
            finished_us: incident.finished.map(micros),
            ..Self::default()
        }
    }
}

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumerState {
    /// It has not come since.
    NotSeen,
    /// It has a new version.
    Refreshed,
    /// It tried and was not let in.
    Refused,
}

/// What was measured of one consumer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsumerFigure {
    /// As people call it.
    pub principal: String,
    /// What it reads.
    pub path: String,
    /// How it reads: `periodic`, `once` ...
    pub habit: String,
    /// Its last use that was let through, ever.
    pub last_accepted: Option<Timestamp>,
    /// Microseconds from the acknowledgement to its last use of what was cut off; 0 when it has not used it since.
    pub last_accepted_us: u64,
    /// Its last refusal since.
    pub refused: Option<Timestamp>,
    /// Where it stands.
    pub state: ConsumerState,
    /// The version that it has.
    pub version: Option<u64>,
}

/// Uses counted in one go.
const PAGE: usize = 1_000;
/// So many times when somebody looks ...
const GLANCE: usize = 2;
/// ... and when it is kept for good.
const THOROUGH: usize = 64;
/// Consumers told of at most.
const MOST_CONSUMERS: usize = 1_000;

impl Unknown {
    fn of(gone: &[&Absence], uses: bool) -> Option<Self> {
        if gone.is_empty() {
            return None;
        }
        let up_to = gone.iter().filter_map(|gap| gap.to).max();
        let archived = gone.iter().all(|gap| gap.archived);
        let text = match up_to {
            Some(up_to) if archived => format!("unknown: archived up to {up_to}"),
            _ => "unknown: entries are missing from the trail; `strongroom audit verify` tells more".to_owned(),
        };
        Some(Self { uses, up_to, text })
    }

    fn with(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        let uses = self.uses || other.uses;
        let later = if other.up_to > self.up_to { other } else { self };
        Self { uses, ..later }
    }
}

impl Incidents {
    /// The figures as they stand, whoever may see them.
    pub(super) async fn figures(&self, incident: &Incident) -> Result<Figures, CoreError> {
        let Some(start) = incident.acknowledged else { return Ok(Figures::default()) };
        let evidence = self.gather(incident, start, GLANCE).await?;
        let uses = evidence.counted.filter(|_| evidence.unknown.as_ref().is_none_or(|unknown| !unknown.uses));
        Ok(Figures {
            last_accepted_us: uses.map(|uses| uses.last_us),
            accepted_after: uses.map(|uses| uses.accepted),
            refused_after: uses.map(|uses| uses.refused),
            more: uses.is_some_and(|uses| uses.more),
            consumers: evidence.consumers.into_iter().map(|kept| kept.figure).collect(),
            unknown: evidence.unknown,
            ..Figures::of_record(incident)
        })
    }

    /// What is to be kept of an incident: everything that can be told now.
    pub(super) async fn all_of(&self, incident: &Incident) -> Result<Evidence, CoreError> {
        match incident.acknowledged {
            Some(start) => self.gather(incident, start, THOROUGH).await,
            None => Ok(Evidence::default()),
        }
    }

    /// What the trail tells, with what was kept of entries that are not in it any more.
    async fn gather(&self, incident: &Incident, start: Timestamp, pages: usize) -> Result<Evidence, CoreError> {
        let kept = match self.kept(&incident.id).await? {
            // What happens after it was lifted is none of it.
            Some(kept) if kept.closed => return Ok(kept),
            kept => kept,
        };
        let object = self.object(&incident.target).or_else(|| kept.as_ref().and_then(|kept| kept.object.clone()));
        let (mut end, mut counted) =
            self.count(incident, start, object.as_deref(), (0, Counted::default()), pages).await?;
        let live = self.consumers(incident, start, object.as_deref()).await?;
        // Asked last: what leaves while it is counted must not be taken for what never was.
        let absent = self.trail.absent().await?;
        let known = kept.as_ref().map_or(0, |kept| kept.end);
        let after = |gap: &&Absence| gap.to.is_none_or(|to| to >= start);
        let lost: Vec<&Absence> = absent.iter().filter(|gap| gap.next > known).collect();
        let mut unknown = Unknown::of(&lost, false);
        let lost: Vec<&Absence> = lost.into_iter().filter(after).collect();
        if let Some(uses) = Unknown::of(&lost, counted.is_some()) {
            unknown = Some(uses.with(unknown));
        }
        if let Some(kept) = kept.as_ref().filter(|_| absent.iter().any(|gap| after(&gap))) {
            let before = (kept.end, kept.counted.unwrap_or_default());
            (end, counted) = self.count(incident, start, object.as_deref(), before, pages).await?;
        }
        if incident.target.kind() == "secret" && object.is_none() {
            let text = "unknown: its mount is gone, and with it the name that entries have".to_owned();
            unknown = Some(Unknown { uses: true, up_to: None, text });
        }
        let (mut consumers, mut before) = (live, None);
        if let Some(kept) = kept.filter(|_| !absent.is_empty()) {
            consumers = merged(kept.consumers, consumers);
            before = kept.unknown;
        }
        let unknown = match (before, unknown) {
            (Some(before), now) => Some(before.with(now)),
            (None, now) => now,
        };
        Ok(Evidence { end, closed: incident.lifted.is_some(), object, counted, consumers, unknown })
    }

    /// Counts uses from a line on, beside those that were counted before; where to go on the next time.
    async fn count(
        &self,
        incident: &Incident,
        start: Timestamp,
        object: Option<&str>,
        (mut line, mut counted): (u64, Counted),
        pages: usize,
    ) -> Result<(u64, Option<Counted>), CoreError> {
        let until = incident.lifted.as_ref().map(|lifted| lifted.at);
        for _ in 0..pages {
            let Some(query) = uses_of(incident, object) else {
                return Ok((self.trail.health().entries, None));
            };
            let to = until.map(Timestamp::nanos);
            let query = Query { from: Some(start.nanos()), to, start: Some(line), limit: PAGE, ..query };
            let page = self.trail.query(query).await?;
            for row in &page.rows {
                counted.add(is_use(incident, row), Timestamp::parse(&row.time).unwrap_or(start).since(start));
            }
            counted.more = page.next.is_some();
            line = page.next.unwrap_or(page.end);
            if page.next.is_none() {
                break;
            }
        }
        Ok((line, Some(counted)))
    }

    /// The one name of a secret in the trail.
    pub(super) fn object(&self, target: &Target) -> Option<String> {
        let Target::Secret { mount, name, .. } = target else { return None };
        let table = Arc::clone(&self.mounts.table());
        table.by_id(*mount).map(|mount| object_of(&mount.accessor, name.as_str()))
    }

    async fn consumers(
        &self,
        incident: &Incident,
        start: Timestamp,
        object: Option<&str>,
    ) -> Result<Vec<KeptConsumer>, CoreError> {
        let uses = match (&incident.target, object) {
            (Target::Secret { .. }, Some(object)) => self.trail.uses(Some(object.to_owned()), |_| true).await?,
            (Target::Principal { entity, .. }, _) => {
                let id = entity.to_string();
                self.trail.uses(None, move |one| one.consumer == id).await?
            }
            (Target::AccessKey { key, .. }, _) => {
                let id = key.to_string();
                self.trail.uses(None, move |one| one.consumer == id).await?
            }
            _ => Vec::new(),
        };
        let mut kept = Vec::new();
        for one in uses {
            let figure = consumer(incident, start, &one, self.title_of(&one.consumer).await?);
            kept.push(KeptConsumer { consumer: one.consumer, object: one.object, figure });
        }
        Ok(sorted(kept))
    }

    /// What people call the entity of that id, if it is one.
    async fn title_of(&self, id: &str) -> Result<Option<String>, CoreError> {
        let table = Arc::clone(&self.mounts.table());
        self.identity.title_of(&table, id).await
    }
}

fn sorted(mut consumers: Vec<KeptConsumer>) -> Vec<KeptConsumer> {
    consumers.sort_by_key(|one| (one.figure.state, std::cmp::Reverse(one.figure.last_accepted)));
    consumers.truncate(MOST_CONSUMERS);
    consumers
}

/// Consumers as they were when that was kept, with what the trail has of them since.
fn merged(kept: Vec<KeptConsumer>, live: Vec<KeptConsumer>) -> Vec<KeptConsumer> {
    let mut all = kept;
    for new in live {
        let same = |one: &&mut KeptConsumer| (&one.consumer, &one.object) == (&new.consumer, &new.object);
        match all.iter_mut().find(same) {
            Some(old) => old.figure.go_on(new.figure),
            None => all.push(new),
        }
    }
    sorted(all)
}

impl ConsumerFigure {
    /// Adds what came later, which may tell again of what is known.
    fn go_on(&mut self, later: Self) {
        if later.last_accepted >= self.last_accepted {
            (self.last_accepted, self.version) = (later.last_accepted, later.version);
        }
        self.last_accepted_us = self.last_accepted_us.max(later.last_accepted_us);
        self.refused = self.refused.max(later.refused);
        let refreshed = [self.state, later.state].contains(&ConsumerState::Refreshed);
        self.state = match (refreshed, self.refused) {
            (true, _) => ConsumerState::Refreshed,
            (false, Some(_)) => ConsumerState::Refused,
            (false, None) => ConsumerState::NotSeen,
        };
        (self.principal, self.path) = (later.principal, later.path);
    }
}

/// The entries of the trail in which the target was used; `None` where they do not name it.
pub(super) fn uses_of(incident: &Incident, object: Option<&str>) -> Option<Query> {
    let outcomes = Query { kinds: vec!["outcome".to_owned()], ..Query::default() };
    match &incident.target {
        Target::Secret { .. } => Some(Query { things: vec![Thing::Object(object?.to_owned())], ..outcomes }),
        Target::Principal { entity, .. } => Some(Query { principals: vec![entity.to_string()], ..outcomes }),
        Target::AccessKey { key, .. } => Some(Query { principals: vec![key.to_string()], ..outcomes }),
        Target::Token { accessor } => Some(Query { principals: vec![accessor.clone()], ..outcomes }),
        Target::Mount { path, auth: false, .. } => {
            Some(Query { prefixes: vec![Thing::Path(format!("{path}/"))], ..outcomes })
        }
        Target::Address { network } => {
            let network = *network;
            Some(Query { address: Some(Box::new(move |address| network.contains(address))), ..outcomes })
        }
        Target::Mount { .. } | Target::LeasePrefix { .. } => None,
    }
}

/// Whether an entry is a use that was let through, one that was refused, or none of what was cut off.
fn is_use(incident: &Incident, row: &Row) -> Option<bool> {
    let accepted = row.granted == Some(true) && row.result.as_deref() == Some("ok");
    match &incident.target {
        Target::Secret { .. } => {
            // The act is the same whatever a dialect calls reading.
            let reads = row.act.as_deref().map_or(row.operation == "read", |act| act == "read");
            let cut = incident.cut.as_ref();
            let is_newer = accepted
                && cut
                    .and_then(|cut| Some((cut, cut.version?, row.version?)))
                    .is_some_and(|(cut, known, given)| if cut.rotated { given >= known } else { given > known });
            (reads && !is_newer).then_some(accepted)
        }
        // Probes are answered to anybody, also there: nobody was let in by that.
        Target::Address { .. } if accepted && is_probe(row) => None,
        _ => Some(accepted),
    }
}

/// Whether an answer needed nobody's rights and passed no gate: health, seal status, the description of the API.
fn is_probe(row: &Row) -> bool {
    // What passes the gate lies on a mount, whose accessor its one name begins with.
    row.reason.as_deref() == Some("unauthenticated endpoint") && row.object.starts_with('/')
}

fn consumer(incident: &Incident, start: Timestamp, one: &Use, title: Option<String>) -> ConsumerFigure {
    let time = |nanos: u64| (nanos > 0).then(|| Timestamp::from_nanos(nanos));
    let (last, refused) = (time(one.last), time(one.last_refused).filter(|at| *at >= start));
    let cut = incident.cut.as_ref();
    let hidden = cut.filter(|cut| !cut.rotated).and_then(|cut| cut.version);
    let rotated = cut.filter(|cut| cut.rotated).and_then(|cut| cut.version);
    let has_new = match (hidden, rotated, one.newest) {
        (Some(hidden), _, Some(newest)) => newest > hidden,
        (None, Some(new), Some(newest)) => newest >= new,
        _ => false,
    };
    let since = last.filter(|at| *at >= start && !has_new);
    ConsumerFigure {
        principal: title.unwrap_or_else(|| if one.name.is_empty() { one.consumer.clone() } else { one.name.clone() }),
        path: one.path.clone(),
        habit: serde_json::to_value(one.habit().pattern)
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned))
            .unwrap_or_default(),
        last_accepted: last,
        last_accepted_us: since.map_or(0, |at| u64::try_from(at.since(start).as_micros()).unwrap_or(u64::MAX)),
        refused,
        state: match (has_new, refused) {
            (true, _) => ConsumerState::Refreshed,
            (false, Some(_)) => ConsumerState::Refused,
            (false, None) => ConsumerState::NotSeen,
        },
        version: one.last_version,
    }
}
