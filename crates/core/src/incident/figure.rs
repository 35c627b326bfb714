//! What was measured: from the moment at which the order was durable to the last use that was let through, and to the
//! moment at which use was refused. Taken from the trail, which has an entry of every use, each time they are asked for.

use super::record::Incident;
use super::store::Incidents;
use crate::CoreError;
use crate::emergency::Target;
use serde::Serialize;
use std::sync::Arc;
use strongroom_audit::{Query, Row, Thing, Use, object_of};
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
    /// Uses that were let through after the acknowledgement: those that were under way.
    pub accepted_after: u64,
    /// Uses that were refused after it.
    pub refused_after: u64,
    /// Whether there were more uses than were counted.
    pub more: bool,
    /// Microseconds from the acknowledgement until nothing was left to do.
    pub finished_us: Option<u64>,
    /// Who used it.
    pub consumers: Vec<ConsumerFigure>,
}

/// What was measured of one consumer.
#[derive(Clone, Debug, Serialize)]
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
    /// `refreshed`: it has a new version; `refused`: it tried and was not let in; `not-seen`: it has not come since.
    pub state: &'static str,
    /// The version that it has.
    pub version: Option<u64>,
}

/// Uses counted at most.
const MOST: usize = 1_000;
/// Consumers told of at most.
const MOST_CONSUMERS: usize = 1_000;

impl Incidents {
    /// The figures as they stand, whoever may see them.
    pub(super) async fn figures(&self, incident: &Incident) -> Result<Figures, CoreError> {
        let Some(start) = incident.acknowledged else { return Ok(Figures::default()) };
        let micros = |at: Timestamp| u64::try_from(at.since(start).as_micros()).unwrap_or(u64::MAX);
        let mut figures = Figures {
            cut_us: incident.cut.as_ref().map(|cut| micros(cut.at)),
            refusal_in_force_us: incident.refused.map(micros),
            finished_us: incident.finished.map(micros),
            ..Figures::default()
        };
        if let Some(query) = self.uses_of(incident) {
            let page = self.trail.query(Query { from: Some(start.nanos()), limit: MOST, ..query }).await?;
            figures.more = page.next.is_some() && page.rows.len() >= MOST;
            let (mut last, until) = (0, incident.lifted.as_ref().map(|lifted| lifted.at));
            for row in &page.rows {
                let time = Timestamp::parse(&row.time).unwrap_or(start);
                if until.is_some_and(|until| time >= until) {
                    break;
                }
                match is_use(incident, row) {
                    Some(true) => {
                        figures.accepted_after += 1;
                        last = last.max(micros(time));
                    }
                    Some(false) => figures.refused_after += 1,
                    None => {}
                }
            }
            figures.last_accepted_us = Some(last);
        }
        figures.consumers = self.consumers(incident, start).await?;
        Ok(figures)
    }

    /// The entries of the trail in which the target was used.
    pub(super) fn uses_of(&self, incident: &Incident) -> Option<Query> {
        let outcomes = Query { kinds: vec!["outcome".to_owned()], ..Query::default() };
        match &incident.target {
            Target::Secret { .. } => {
                let object = self.object(&incident.target)?;
                Some(Query { things: vec![Thing::Object(object)], ..outcomes })
            }
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

    /// The one name of a secret in the trail.
    pub(super) fn object(&self, target: &Target) -> Option<String> {
        let Target::Secret { mount, name, .. } = target else { return None };
        let table = Arc::clone(&self.mounts.table());
        table.by_id(*mount).map(|mount| object_of(&mount.accessor, name.as_str()))
    }

    async fn consumers(&self, incident: &Incident, start: Timestamp) -> Result<Vec<ConsumerFigure>, CoreError> {
        let uses = match &incident.target {
            Target::Secret { .. } => match self.object(&incident.target) {
                Some(object) => self.trail.uses(Some(object), |_| true).await?,
                None => Vec::new(),
            },
            Target::Principal { entity, .. } => {
                let id = entity.to_string();
                self.trail.uses(None, move |one| one.consumer == id).await?
            }
            Target::AccessKey { key, .. } => {
                let id = key.to_string();
                self.trail.uses(None, move |one| one.consumer == id).await?
            }
            _ => Vec::new(),
        };
        let mut figures: Vec<_> = uses.iter().map(|one| consumer(incident, start, one)).collect();
        figures.sort_by_key(|figure| (figure.state, std::cmp::Reverse(figure.last_accepted)));
        figures.truncate(MOST_CONSUMERS);
        Ok(figures)
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
        _ => Some(accepted),
    }
}

fn consumer(incident: &Incident, start: Timestamp, one: &Use) -> ConsumerFigure {
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
        principal: if one.name.is_empty() { one.consumer.clone() } else { one.name.clone() },
        path: one.path.clone(),
        habit: serde_json::to_value(one.habit().pattern)
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned))
            .unwrap_or_default(),
        last_accepted: last,
        last_accepted_us: since.map_or(0, |at| u64::try_from(at.since(start).as_micros()).unwrap_or(u64::MAX)),
        refused,
        state: if has_new {
            "refreshed"
        } else if refused.is_some() {
            "refused"
        } else {
            "not-seen"
        },
        version: one.last_version,
    }
}
