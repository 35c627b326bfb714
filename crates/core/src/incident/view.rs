//! An incident as a caller may see it. Who may know of the target does not for that know of all that it reached: what a
//! principal read, its tokens and leases, what lies below a mount.

use super::figure::Figures;
use super::record::Incident;
use super::store::Incidents;
use crate::emergency::Touch;
use crate::event::shows;
use crate::inquiry::Sight;
use crate::{CoreError, Grant};
use std::time::Duration;
use strongroom_model::policy::Acl;

/// How long an answer to an order waits for its figures.
const MEASURING: Duration = Duration::from_secs(3);

/// Whose eyes it is shown to.
pub(super) struct Viewer<'a> {
    /// None for who may see all incidents.
    acl: Option<&'a Acl>,
    /// Paths that the policies show, whatever `sudo` says of incidents.
    sight: Sight,
}

impl<'a> Viewer<'a> {
    /// Who was granted a request about incidents: `sudo` there shows all of them.
    pub(super) fn of(grant: &'a Grant, incidents: &Incidents) -> Result<Self, CoreError> {
        let acl = grant.acl().filter(|_| !grant.has_sudo());
        Ok(Self { acl, sight: Sight::of(grant, &incidents.mounts)? })
    }

    /// Who was granted something else, for which `sudo` is needed anyway: only the policies count.
    pub(super) fn by_policies(grant: &'a Grant, incidents: &Incidents) -> Result<Self, CoreError> {
        let acl = grant.acl().filter(|acl| !acl.is_root());
        Ok(Self { acl, sight: Sight::by_policies(grant, &incidents.mounts)? })
    }

    /// The record without names that the viewer may not know. Counts stay.
    pub(super) fn record(&self, mut incident: Incident) -> Incident {
        let Some(acl) = self.acl else { return incident };
        for touch in &mut incident.before.touches {
            retain_known(acl, touch);
        }
        let keys = shows(acl, "sys/access-keys");
        for step in &mut incident.steps {
            if !keys {
                step.keys.clear();
            }
            if !shows(acl, "auth/token/accessors") {
                step.tokens.clear();
            }
            for failure in &mut step.failures {
                if failure.what.contains('/') && !is_known_lease(acl, &failure.what) {
                    "a lease that you may not see".clone_into(&mut failure.what);
                    "ask who may see it".clone_into(&mut failure.why);
                }
            }
        }
        if let Some(lifted) = incident.lifted.as_mut().filter(|_| !keys) {
            lifted.restored.retain(|what| !what.starts_with("access key "));
            lifted.lost.retain(|what| !what.starts_with("access key "));
        }
        incident
    }

    /// The figures without consumers of what the viewer may not know.
    pub(super) fn figures(&self, mut figures: Figures) -> Figures {
        figures.consumers.retain(|one| self.sight.shows(&one.path));
        figures
    }

    /// What a question to the trail may show.
    pub(super) fn path_test(&self) -> strongroom_audit::PathTest {
        let sight = self.sight.clone();
        Box::new(move |path| sight.shows(path))
    }
}

impl Incidents {
    /// An incident that the caller just ordered, and its figures, as far as their policies show what it reached.
    pub async fn ordered(&self, grant: &Grant, incident: Incident) -> Result<(Incident, Figures), CoreError> {
        let viewer = Viewer::by_policies(grant, self)?;
        // What was done must be said, whether or not it can be measured now: behind a busy trail that takes a while.
        let figures = match tokio::time::timeout(MEASURING, self.figures(&incident)).await {
            Ok(Ok(figures)) => viewer.figures(figures),
            Ok(Err(error)) => Figures::later(&incident, &error.to_string()),
            Err(_) => Figures::later(&incident, "the trail is busy"),
        };
        Ok((viewer.record(incident), figures))
    }

    /// One incident and its figures, as the caller may see them. `NotFound` also when they may not know of it.
    pub async fn shown(&self, grant: &Grant, id: &str) -> Result<(Incident, Figures), CoreError> {
        let viewer = Viewer::of(grant, self)?;
        let incident = self.read(grant, id).await?;
        let figures = viewer.figures(self.figures(&incident).await?);
        Ok((viewer.record(incident), figures))
    }

    /// All incidents of which the caller may know, as they may see them, the latest first.
    pub async fn listed(&self, grant: &Grant) -> Result<Vec<Incident>, CoreError> {
        let viewer = Viewer::of(grant, self)?;
        Ok(self.list(grant).await?.into_iter().map(|incident| viewer.record(incident)).collect())
    }
}

/// The same rules by which a preview names things.
fn retain_known(acl: &Acl, touch: &mut Touch) {
    let all = match touch.what.as_str() {
        "leases" => return touch.names.retain(|id| is_known_lease(acl, id)),
        "tokens" => shows(acl, "auth/token/accessors"),
        "access-keys" => shows(acl, "sys/access-keys"),
        "consumers" => shows(acl, "sys/trail/who-reads"),
        _ => true,
    };
    if !all {
        touch.names.clear();
    }
}

fn is_known_lease(acl: &Acl, id: &str) -> bool {
    shows(acl, &format!("sys/leases/lookup/{id}"))
}
