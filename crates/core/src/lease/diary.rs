use crate::CoreError;
use crate::mount::Mounts;
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Entry, Outcome, Trail};
use strongroom_model::{Kind, MountId};

/// Something that an engine did without being asked.
pub struct Deed {
    /// What it was, for the trail: `static-role-rotate`.
    pub operation: &'static str,
    /// What it was done to, below the mount: `static-roles/app`.
    pub path: String,
    /// The credential's name in the outside system.
    pub subject: String,
    /// How long the outside system took.
    pub took: Duration,
    /// Why it did not work, when it did not.
    pub failure: Option<String>,
    /// Anything else worth telling.
    pub note: String,
}

/// Where an engine tells what it did without being asked: entries of the trail that name its mount.
#[derive(Clone)]
pub struct Diary {
    trail: Arc<Trail>,
    mounts: Arc<Mounts>,
    mount: MountId,
}

impl Diary {
    pub(super) fn new(trail: &Arc<Trail>, mounts: &Arc<Mounts>, mount: MountId) -> Self {
        Self { trail: Arc::clone(trail), mounts: Arc::clone(mounts), mount }
    }

    /// Writes it into the trail; when this returns it stands there. An engine keeps what it did open until then.
    pub async fn note(&self, deed: Deed) -> Result<(), CoreError> {
        let table = self.mounts.table();
        let mount = table.known(self.mount);
        let path = mount.map_or_else(|| deed.path.clone(), |mount| format!("{}/{}", mount.path, deed.path));
        let mut entry = Entry::event(deed.operation, path, deed.note);
        entry.subject = Some(deed.subject);
        entry.mount = mount.map(|mount| mount.note());
        entry.duration_us = u64::try_from(deed.took.as_micros()).unwrap_or(u64::MAX);
        entry.outcome = Some(match deed.failure {
            None => Outcome::ok(),
            Some(why) => Outcome::failed(Kind::Unavailable, why),
        });
        self.trail.append(entry).await?;
        Ok(())
    }
}
