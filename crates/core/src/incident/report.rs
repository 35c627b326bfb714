use super::figure::Figures;
use super::record::Incident;
use super::store::{Incidents, path_of};
use super::view::Viewer;
use crate::{CoreError, Grant};
use serde::Serialize;
use std::time::Duration;
use strongroom_audit::{Query, Row, Thing};
use strongroom_model::{Kinded, Timestamp};

/// Everything there is to say about an incident.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The record.
    pub incident: Incident,
    /// What was measured, as it stands.
    pub figures: Figures,
    /// What the server did, and uses of the target around that time, in order.
    pub timeline: Vec<Row>,
    /// Who has not got over it: consumers without a new version, and what could not be done yet.
    pub stragglers: Vec<String>,
}

/// How long before the order the timeline begins.
const BEFORE: Duration = Duration::from_secs(15 * 60);
/// Uses in it at most.
const MOST: usize = 200;

impl Incidents {
    /// The report of an incident that the caller may know of.
    pub async fn report(&self, grant: &Grant, id: &str) -> Result<Report, CoreError> {
        let viewer = Viewer::of(grant, self)?;
        let incident = self.read(grant, id).await?;
        let figures = viewer.figures(self.figures(&incident).await?);
        let mut timeline = self.told(&incident).await?;
        if let Some(query) = self.uses_of(&incident) {
            let begin = incident.opened.nanos().saturating_sub(u64::try_from(BEFORE.as_nanos()).unwrap_or(0));
            let query = Query { from: Some(begin), limit: MOST, visible: viewer.paths(), ..query };
            match self.trail.query(query).await {
                Ok(page) => timeline.extend(page.rows),
                // The record is worth having without it.
                Err(error) => tracing::warn!(%error, kind = error.kind().word(), "a timeline is without uses"),
            }
        }
        timeline.sort_by_key(|row| row.seq);
        let incident = viewer.record(incident);
        let stragglers = stragglers(&incident, &figures);
        Ok(Report { incident, figures, timeline, stragglers })
    }

    async fn told(&self, incident: &Incident) -> Result<Vec<Row>, CoreError> {
        let query = Query {
            things: vec![Thing::Path(path_of(&incident.id))],
            kinds: vec!["event".to_owned()],
            from: Some(incident.opened.nanos()).filter(|_| incident.opened > Timestamp::default()),
            limit: MOST,
            ..Query::default()
        };
        Ok(self.trail.query(query).await?.rows)
    }
}

fn stragglers(incident: &Incident, figures: &Figures) -> Vec<String> {
    let mut open = Vec::new();
    let behind = figures.consumers.iter().filter(|_| incident.target.kind() == "secret" && incident.lifted.is_none());
    for one in behind.filter(|one| one.state != "refreshed") {
        let how = if one.state == "refused" { "is refused" } else { "has not come since" };
        open.push(format!("{} {how} and has no newer version of {}", one.principal, one.path));
    }
    for failure in incident.steps.iter().filter(|step| step.ended.is_none()).flat_map(|step| &step.failures) {
        open.push(format!("{}: {}; {}", failure.what, failure.why, failure.next));
    }
    open
}
