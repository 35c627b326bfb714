//! Ending leases in an emergency, without a caller's grant, since it goes on after a crash; and what is left of them.

use super::Leases;
use super::book::PAGE;
use super::record::{Cause, Lease, LeaseKey, Stage, of_entity};
use crate::CoreError;
use strongroom_model::EntityId;

/// A lease that is to end and has not.
pub(crate) struct Remaining {
    pub(crate) id: String,
    /// How the last attempt failed, if there was one.
    pub(crate) error: Option<String>,
}

/// Whose leases are meant.
pub(crate) enum LeaseScope<'a> {
    /// Of an entity, by whichever token.
    Entity(EntityId),
    /// Below a mount or a part of its paths.
    Below(&'a str),
}

impl Leases {
    /// Marks leases as to be revoked, now; says how many there were.
    pub(crate) async fn cut_off(&self, scope: &LeaseScope<'_>) -> Result<u64, CoreError> {
        match scope {
            LeaseScope::Entity(entity) => self.book.end_entity(*entity, Cause::Revoked, true).await,
            LeaseScope::Below(prefix) => {
                let mut count = 0;
                for part in self.below(prefix) {
                    count += self.book.end_path(part.mount, &part.path, Cause::Revoked).await?;
                }
                Ok(count)
            }
        }
    }

    /// Changes whenever a lease ended or failed to.
    pub(crate) fn progress(&self) -> tokio::sync::watch::Receiver<u64> {
        self.book.progress.subscribe()
    }

    /// How many leases there are.
    pub(crate) async fn count_in(&self, scope: &LeaseScope<'_>) -> Result<(u64, Vec<String>), CoreError> {
        let (mut count, mut names) = (0, Vec::new());
        self.each(scope, |key, _| {
            count += 1;
            if names.len() < 20 {
                names.push(self.id_of(key));
            }
        })
        .await?;
        Ok((count, names))
    }

    /// Those that are to be revoked and are still there.
    pub(crate) async fn remaining(&self, scope: &LeaseScope<'_>) -> Result<Vec<Remaining>, CoreError> {
        let mut left = Vec::new();
        self.each(scope, |key, lease| match &lease.stage {
            Stage::Revoking(revoking) => left.push(Remaining { id: self.id_of(key), error: revoking.error.clone() }),
            _ if self.book.is_ending(key, lease) => left.push(Remaining { id: self.id_of(key), error: None }),
            _ => {}
        })
        .await?;
        for one in left.iter_mut().filter(|one| one.error.is_none()) {
            // A whole outside system that is away: its leases were not even tried.
            let outages = self.book.lanes.all().into_iter().filter_map(|lane| Some((lane.mount, lane.outage()?)));
            let table = self.mounts.table();
            let is_of = |mount| table.known(mount).is_some_and(|mount| one.id.starts_with(&mount.path.with_slash()));
            one.error = outages.into_iter().find(|(mount, _)| is_of(*mount)).map(|(_, outage)| outage.error);
        }
        Ok(left)
    }

    async fn each(&self, scope: &LeaseScope<'_>, mut see: impl FnMut(&LeaseKey, &Lease)) -> Result<(), CoreError> {
        match scope {
            LeaseScope::Entity(entity) => {
                let (shelf, mut after) = (of_entity(*entity), None);
                loop {
                    let links = self.book.records.scan::<LeaseKey>(&shelf, after.as_ref(), PAGE).await?;
                    let Some(last) = links.last() else { return Ok(()) };
                    after = Some(shelf.named(&last.name));
                    for link in links {
                        if let Some(lease) = self.book.get(&link.value).await? {
                            see(&link.value, &lease.value);
                        }
                    }
                }
            }
            LeaseScope::Below(prefix) => {
                for part in self.below(prefix) {
                    let mut after = None::<Vec<u8>>;
                    loop {
                        let page = self.book.page(part.mount, &part.path, after.as_deref()).await?;
                        let Some(last) = page.last() else { break };
                        after = Some(last.name.clone());
                        for listed in &page {
                            let (mount, path) = (part.mount, part.path.clone());
                            see(&LeaseKey { mount, path, suffix: listed.text() }, &listed.value);
                        }
                    }
                }
                Ok(())
            }
        }
    }
}
