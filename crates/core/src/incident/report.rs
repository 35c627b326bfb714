use super::figure::ConsumerState;
use super::figure::Figures;
use super::record::Incident;
use super::store::Incidents;
use super::view::Viewer;
use crate::inquiry::NamedRow;
use crate::{CoreError, Grant};
use serde::Serialize;
use std::sync::Arc;

/// Everything there is to say about an incident.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The record.
    pub incident: Incident,
    /// What was measured, as it stands.
    pub figures: Figures,
    /// What the server did, and uses of the target around that time, in order.
    pub timeline: Vec<NamedRow>,
    /// Whether there were more uses than stand there: earlier ones before the order, later ones since.
    pub timeline_more: bool,
    /// Who has not got over it: consumers without a new version, and what could not be done yet.
    pub stragglers: Vec<String>,
}

impl Incidents {
    /// The report of an incident that the caller may know of.
    pub async fn report(&self, grant: &Grant, id: &str) -> Result<Report, CoreError> {
        let viewer = Viewer::of(grant, self)?;
        let incident = self.read(grant, id).await?;
        let figures = viewer.figures(self.figures(&incident).await?);
        let course = self.course(&incident, Some(&|| viewer.path_test())).await?;
        let mut timeline = course.told;
        timeline.extend(course.uses);
        timeline.sort_by_key(|row| row.seq);
        timeline.dedup_by_key(|row| row.seq);
        let table = Arc::clone(&self.mounts.table());
        let timeline = self.identity.named(&table, timeline).await;
        let incident = viewer.record(incident);
        let stragglers = stragglers(&incident, &figures);
        Ok(Report { incident, figures, timeline, timeline_more: course.more, stragglers })
    }
}

fn stragglers(incident: &Incident, figures: &Figures) -> Vec<String> {
    let mut open = Vec::new();
    let behind = figures.consumers.iter().filter(|_| incident.target.kind() == "secret" && incident.lifted.is_none());
    for one in behind.filter(|one| one.state != ConsumerState::Refreshed) {
        let how = if one.state == ConsumerState::Refused { "is refused" } else { "has not come since" };
        open.push(format!("{} {how} and has no newer version of {}", one.principal, one.path));
    }
    if let Some(unknown) = figures.unknown.as_ref().filter(|_| incident.lifted.is_none()) {
        let who =
            if unknown.uses { "who used it since the order" } else { "who used it before, and has not come since" };
        open.push(format!("{who}: {}", unknown.text));
    }
    open.extend(incident.lifted.iter().flat_map(|lifted| lifted.lost.iter().cloned()));
    if incident.lifted.is_none() {
        open.extend(incident.steps.iter().flat_map(|step| step.beyond.iter().cloned()));
    }
    for failure in incident.steps.iter().filter(|step| step.ended.is_none()).flat_map(|step| &step.failures) {
        open.push(format!("{}: {}; {}", failure.what, failure.why, failure.next));
    }
    open
}
