//! What the trail told of an incident, kept beside its record: entries leave the trail by age, and what they told of a leak
//! is asked for years later. Taken when it was cut off, while it is worked at, when it is done, when it is lifted, and
//! before any entry leaves.
//!
//! Invariants: sealed as the record is, and bounded; only one takes it at a time, and it never loses what it had. Decides
//! nothing about who may see it: that is for the view.

use super::figure::{ConsumerFigure, Unknown};
use super::record::Incident;
use super::store::{Incidents, path_of};
use crate::CoreError;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strongroom_audit::{Query, Row, Thing};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{NamespaceId, Timestamp};

/// What was counted, and who uses it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Evidence {
    /// The entries before this one are in it.
    pub(super) end: u64,
    /// Whether it was taken after the incident was lifted, and is the last.
    pub(super) closed: bool,
    /// The one name of a secret, in case its mount goes.
    pub(super) object: Option<String>,
    /// Uses after the order; none for what entries do not name.
    pub(super) counted: Option<Counted>,
    pub(super) consumers: Vec<KeptConsumer>,
    pub(super) unknown: Option<Unknown>,
}

/// Uses after the order.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) last_us: u64,
    pub(super) more: bool,
}

/// A consumer, with the names by which the trail tells it from others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptConsumer {
    pub(super) consumer: String,
    pub(super) object: String,
    pub(super) figure: ConsumerFigure,
}

/// Entries about an incident, in their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Course {
    /// The entries before this one were looked at.
    end: u64,
    /// Whether it was taken after the incident was lifted, and is the last.
    #[serde(default)]
    closed: bool,
    /// What the server did.
    pub(super) told: Vec<Row>,
    /// Uses of the target.
    pub(super) uses: Vec<Row>,
    /// Whether there were more of them than are kept.
    #[serde(default)]
    pub(super) more: bool,
}

/// How long before the order the timeline begins.
const BEFORE: Duration = Duration::from_secs(15 * 60);
/// Entries of a kind in it at most.
const MOST: usize = 200;
/// Uses before the order among them at most, the last ones: what is read often must leave room for what came after.
const MOST_BEFORE: usize = 50;
/// Entries of the trail after which what was kept of an open incident is taken anew.
const STALE: u64 = 50_000;
/// Bytes of one part that is kept: a store takes half a mebibyte under one key.
const ROOM: usize = 384 * 1_024;

fn evidence_at(id: &str) -> Address {
    Shelf::new("incident-evidence", NamespaceId::ROOT).named(id.as_bytes())
}

fn course_at(id: &str) -> Address {
    Shelf::new("incident-course", NamespaceId::ROOT).named(id.as_bytes())
}

impl Counted {
    /// Counts an entry: a use that was let through, one that was refused, or none.
    pub(super) fn add(&mut self, accepted: Option<bool>, after: Duration) {
        match accepted {
            Some(true) => {
                self.accepted += 1;
                self.last_us = self.last_us.max(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
            }
            Some(false) => self.refused += 1,
            None => {}
        }
    }
}

impl Incidents {
    /// Keeps what the trail tells of an incident now.
    pub(crate) async fn keep(&self, id: &str) -> Result<(), CoreError> {
        let _alone = self.keeping.lock().await;
        let Some(incident) = self.find(id).await? else { return Ok(()) };
        let mut evidence = self.all_of(&incident).await?;
        let mut course = self.course(&incident, None).await?;
        fit(&mut evidence, |evidence| &mut evidence.consumers)?;
        fit(&mut course, |course| &mut course.uses)?;
        fit(&mut course, |course| &mut course.told)?;
        let txn = Txn::new().put_record(evidence_at(id), &evidence)?.put_record(course_at(id), &course)?;
        self.records.commit(txn).await.map(|_| ())
    }

    /// Keeps it, or says in the log why not: what is done about a leak does not wait for it, and it is kept before entries
    /// leave.
    pub(crate) async fn try_keep(&self, id: &str) {
        if let Err(error) = self.keep(id).await {
            tracing::warn!(incident = id, %error, "what the trail tells of an incident is kept later");
        }
    }

    /// Keeps it when nothing was kept yet, or that was a while ago: for an incident that is still worked at.
    pub(crate) async fn keep_if_stale(&self, id: &str) {
        let fresh = |kept: &Evidence| self.trail.health().entries.saturating_sub(kept.end) < STALE;
        if !matches!(self.kept(id).await, Ok(Some(kept)) if fresh(&kept)) {
            self.try_keep(id).await;
        }
    }

    /// Keeps what the trail tells of all incidents that may still change: before entries leave it.
    pub(crate) async fn keep_all(&self) -> Result<(), CoreError> {
        for id in self.changing().await? {
            self.keep(&id).await?;
        }
        Ok(())
    }

    /// What was kept.
    pub(super) async fn kept(&self, id: &str) -> Result<Option<Evidence>, CoreError> {
        Ok(self.records.get::<Evidence>(&evidence_at(id)).await?.map(|found| found.value.clone()))
    }

    /// The entries about an incident; those of uses only as far as a viewer may know of their paths.
    pub(super) async fn course(
        &self,
        incident: &Incident,
        visible: Option<&(dyn Fn() -> strongroom_audit::PathTest + Send + Sync)>,
    ) -> Result<Course, CoreError> {
        let begin = incident.opened.nanos().saturating_sub(u64::try_from(BEFORE.as_nanos()).unwrap_or(0));
        let kept = self.records.get::<Course>(&course_at(&incident.id)).await?.map(|found| found.value.clone());
        let kept = kept.map(|mut kept| {
            if let Some(shows) = visible.map(|visible| visible()) {
                kept.uses.retain(|row| shows(&row.path));
            }
            kept
        });
        let kept = match kept {
            Some(kept) if kept.closed => return Ok(kept),
            kept => kept,
        };
        let mut course = self.course_from(incident, begin, 0, visible).await?;
        let absent = self.trail.absent().await?;
        let is_gone = absent.iter().any(|gap| gap.to.is_none_or(|to| to >= Timestamp::from_nanos(begin)));
        if let Some(mut kept) = kept.filter(|_| is_gone) {
            course = self.course_from(incident, begin, kept.end, visible).await?;
            for (old, new) in [(kept.told, &mut course.told), (kept.uses, &mut course.uses)] {
                let since = std::mem::replace(new, old);
                new.extend(since);
                new.sort_by_key(|row| row.seq);
                new.dedup_by_key(|row| row.seq);
                kept.more |= new.len() > MOST;
                new.truncate(MOST);
            }
            course.more |= kept.more;
        }
        Ok(course)
    }

    async fn course_from(
        &self,
        incident: &Incident,
        begin: u64,
        line: u64,
        visible: Option<&(dyn Fn() -> strongroom_audit::PathTest + Send + Sync)>,
    ) -> Result<Course, CoreError> {
        let told = Query {
            things: vec![Thing::Path(path_of(&incident.id))],
            kinds: vec!["event".to_owned()],
            from: Some(incident.opened.nanos()).filter(|_| incident.opened > Timestamp::default()),
            start: Some(line),
            limit: MOST,
            ..Query::default()
        };
        let told = self.trail.query(told).await?;
        let object = match self.object(&incident.target) {
            Some(object) => Some(object),
            None => self.kept(&incident.id).await?.and_then(|kept| kept.object),
        };
        let closed = incident.lifted.is_some();
        let mut course = Course { end: told.end, closed, told: told.rows, ..Course::default() };
        let opened = Some(incident.opened.nanos());
        let uses = || super::figure::uses_of(incident, object.as_deref());
        let shows = || visible.map(|visible| visible());
        if let (Some(before), Some(since)) = (uses(), uses()) {
            let (from, limit) = (Some(begin), MOST_BEFORE);
            let before = Query { from, to: opened, backwards: true, limit, visible: shows(), ..before };
            let before = self.trail.query(before).await?;
            let limit = MOST - MOST_BEFORE;
            let since = Query { from: opened, start: Some(line), limit, visible: shows(), ..since };
            let since = self.trail.query(since).await?;
            course.more = before.next.is_some() || since.next.is_some();
            course.uses = before.rows.into_iter().rev().filter(|row| row.seq >= line).chain(since.rows).collect();
        }
        Ok(course)
    }

    /// Incidents of which the trail may tell more, or of which nothing was kept.
    async fn changing(&self) -> Result<Vec<String>, CoreError> {
        let mut ids = Vec::new();
        for (id, is_lifted) in self.all().await? {
            if !is_lifted || self.kept(&id).await?.is_none_or(|kept| !kept.closed) {
                ids.push(id);
            }
        }
        Ok(ids)
    }
}

/// Leaves out the last ones of a list until the whole fits under one key.
fn fit<W: Serialize, T>(whole: &mut W, list: impl Fn(&mut W) -> &mut Vec<T>) -> Result<(), CoreError> {
    loop {
        let size = serde_json::to_vec(whole).map_err(|_| CoreError::Unreadable { kind: "incident-evidence" })?.len();
        let list = list(whole);
        if size <= ROOM || list.is_empty() {
            return Ok(());
        }
        list.truncate(list.len() / 2);
    }
}
