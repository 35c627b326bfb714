//! Ending leases before their time. Every verb marks the leases durably and leaves the rest to the lanes; who wants to
//! wait for the outcome, waits for what the lanes say.

use super::Leases;
use super::lane::Lane;
use super::ledger::Haste;
use super::record::{Cause, Lease, LeaseKey, Moving, moving};
use super::whole::{Walk, is_lost};
use crate::records::PutRecord;
use crate::{CoreError, Grant};
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::Entry;
use strongroom_barrier::Txn;
use strongroom_model::{EntityId, MountId, MountPath};
use tokio::sync::watch;

/// How long a caller who wants to wait is kept.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// Leases that were marked together: a part of one mount.
pub(super) struct Marked {
    pub(super) mount: MountId,
    pub(super) path: String,
}

impl Leases {
    /// Has a lease revoked; with `wait`, returns when the credential is gone, or says why it is not. A lease that is
    /// not there is no error.
    pub async fn revoke(self: &Arc<Self>, grant: &Grant, id: &str, wait: bool) -> Result<(), CoreError> {
        let Some((key, stored)) = self.find(id).await? else { return Ok(()) };
        grant.note_ended(self.id_of(&key), stored.value.subject.clone());
        let (lease, name) = (&stored.value, stored.value.lane.clone());
        let lane = self.lane(key.mount, &name);
        let (attempts, outages) = (lease.attempts(), lane.outages());
        lane.release();
        let progress = self.book.progress.subscribe();
        self.book.mark(std::slice::from_ref(&key), Cause::Revoked).await?;
        lane.push_urgent(key.clone());
        lane.beat.ring();
        if !wait {
            return Ok(());
        }
        let awaited = Awaited { what: id, before: vec![(outages, lane)], of: Of::One { key, attempts } };
        self.wait(progress, &awaited).await
    }

    /// Has every lease below a prefix revoked; says how many were marked.
    pub async fn revoke_prefix(self: &Arc<Self>, grant: &Grant, prefix: &str, wait: bool) -> Result<u64, CoreError> {
        self.meters.revoke_prefix.over(|| self.end_prefix(grant, prefix, wait)).await
    }

    async fn end_prefix(self: &Arc<Self>, grant: &Grant, prefix: &str, wait: bool) -> Result<u64, CoreError> {
        if self.find(prefix).await?.is_some() {
            return self.revoke(grant, prefix, wait).await.map(|()| 1);
        }
        let progress = self.book.progress.subscribe();
        let scope = self.below(prefix);
        let before: Vec<_> = self.book.lanes.all().into_iter().map(|lane| (lane.outages(), lane)).collect();
        for part in &scope {
            before.iter().filter(|(_, lane)| lane.mount == part.mount).for_each(|(_, lane)| lane.release());
        }
        let count = self.end_all(&scope, Cause::Revoked).await?;
        if !wait {
            return match self.lost_in(&scope) {
                None => Ok(count),
                Some(why) => Err(unrevoked(prefix, why)),
            };
        }
        let before = before.into_iter().filter(|(_, lane)| scope.iter().any(|part| part.mount == lane.mount)).collect();
        self.wait(progress, &Awaited { what: prefix, before, of: Of::All(scope) }).await?;
        Ok(count)
    }

    /// Has every lease of an entity revoked, whichever token asked for it; says how many were marked.
    pub async fn revoke_entity(&self, _grant: &Grant, entity: EntityId) -> Result<usize, CoreError> {
        let marked = self.book.end_entity(entity, Cause::Revoked, true).await?;
        Ok(usize::try_from(marked).unwrap_or(usize::MAX))
    }

    /// Forgets every lease below a prefix, whatever became of the credentials: the trail says that they may live on.
    pub async fn force(self: &Arc<Self>, grant: &Grant, prefix: &str) -> Result<u64, CoreError> {
        self.meters.revoke_force.over(|| self.forget_prefix(grant, prefix)).await
    }

    async fn forget_prefix(self: &Arc<Self>, grant: &Grant, prefix: &str) -> Result<u64, CoreError> {
        let by = grant.principal().map(|principal| principal.display_name.clone()).unwrap_or_default();
        let note = format!("forgotten by force, asked for by {by}: the credential may still be there");
        let mut count = 0;
        for part in self.below(prefix) {
            let mut walk = Walk::over(part.mount, &part.path);
            while let Some(page) = walk.next(&self.book).await? {
                for listed in page {
                    let key = LeaseKey { mount: part.mount, path: part.path.clone(), suffix: listed.text() };
                    count += u64::from(self.force_one(&key, &listed.value, &note).await?);
                }
            }
            if self.book.ledger.count_of(part.mount, &part.path) > 0 {
                count += self.force_lost(&part, &note).await?;
            }
        }
        Ok(count)
    }

    /// Forgets the leases of a path whose records are lost.
    async fn force_lost(&self, part: &Marked, note: &str) -> Result<u64, CoreError> {
        let lost = self.book.lost_turns(part.mount, &part.path).await?;
        let mut count = 0;
        for (key, turn) in lost {
            let id = self.id_of(&key);
            let mut entry = Entry::event("lease-force", id.clone(), format!("{note}; its record was lost"));
            entry.lease_id = Some(id);
            entry.mount = self.mounts.table().known(key.mount).map(|mount| mount.note());
            self.trail.append(entry).await?;
            self.book.forget_lost(&key, turn).await?;
            count += 1;
        }
        Ok(count)
    }

    /// What is wrong with leases whose records are lost, if there are any.
    fn lost_in(&self, scope: &[Marked]) -> Option<String> {
        let lost: Vec<_> = scope.iter().flat_map(|part| self.book.lost.of_path(part.mount, &part.path)).collect();
        let (first, why) = lost.first()?;
        let more = match lost.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        Some(format!(
            "{}{more}: {why}; end that login by hand, then forget the lease with sys/leases/revoke-force",
            self.id_of(first)
        ))
    }

    async fn force_one(&self, key: &LeaseKey, lease: &Lease, note: &str) -> Result<bool, CoreError> {
        let lane = self.book.lanes.find(key.mount, &lease.lane);
        if lane.is_some_and(|lane| lane.is_making(&key.suffix)) {
            // What is only being made would be made after it was forgotten.
            self.book.mark(std::slice::from_ref(key), Cause::Revoked).await?;
            return Ok(false);
        }
        self.trail.append(self.event("lease-force", key, lease, note)).await?;
        self.book.forget(key, Haste::Soon).await?;
        Ok(true)
    }

    /// Marks the leases of a removed mount; `true` when none is left.
    pub(crate) async fn end_mount(&self, mount: MountId) -> Result<bool, CoreError> {
        let paths = self.book.ledger.paths(mount);
        if paths.is_empty() {
            return Ok(true);
        }
        // None can be added to a removed mount, so that marking them once is enough as long as the server runs.
        let is_first = !self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&mount);
        if is_first {
            let parts: Vec<_> = paths.into_iter().map(|(path, _)| Marked { mount, path }).collect();
            self.end_all(&parts, Cause::Mount).await?;
            self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(mount);
        }
        Ok(false)
    }

    /// Moves a mount, and marks its leases: their ids name its old path, and whoever holds one must not be told that there
    /// is nothing to revoke while the credential lives. Both happen, or neither, whatever it is interrupted by.
    pub async fn relocate(&self, grant: &Grant, from: &MountPath, to: MountPath) -> Result<(), CoreError> {
        let Some(mount) = self.mounts.table().at(from).map(|mount| mount.id) else {
            return self.mounts.relocate(grant, from, to).await;
        };
        let at = moving().named(mount.as_bytes());
        let txn = Txn::new().put_record(at.clone(), &Moving { mount, from: from.clone() })?;
        self.book.records.commit(txn).await?;
        let moved = self.mounts.relocate(grant, from, to).await;
        if moved.is_ok() {
            self.end_moved(mount).await?;
        }
        self.book.records.commit(Txn::new().delete(at)).await?;
        moved
    }

    async fn end_moved(&self, mount: MountId) -> Result<(), CoreError> {
        let paths = self.book.ledger.paths(mount).into_iter();
        let parts: Vec<_> = paths.map(|(path, _)| Marked { mount, path }).collect();
        self.end_all(&parts, Cause::Moved).await.map(drop)
    }

    /// Marks every lease of these paths; says how many. One whose record is lost keeps those of no other path: it fails when
    /// the rest is done.
    pub(super) async fn end_all(&self, parts: &[Marked], cause: Cause) -> Result<u64, CoreError> {
        let (mut count, mut failure) = (0, None);
        for part in parts {
            match self.book.end_path(part.mount, &part.path, cause).await {
                Ok(marked) => count += marked,
                Err(error) if is_lost(&error) => failure = failure.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        failure.map_or(Ok(count), Err)
    }

    /// Carries out what an earlier process left of moves. Before anything is served, so nothing new is meant.
    pub(super) async fn finish_moves(&self) -> Result<(), CoreError> {
        for found in self.book.records.scan_all::<Moving>(&moving()).await? {
            let Moving { mount, from } = found.value;
            if self.mounts.table().known(mount).is_some_and(|mount| mount.path != from) {
                self.end_moved(mount).await?;
            }
            self.book.records.commit(Txn::new().delete(moving().named(mount.as_bytes()))).await?;
        }
        Ok(())
    }

    /// Forgets the lanes of a mount that has no leases any more.
    pub(crate) async fn forget_mount(&self, mount: MountId) -> Result<(), CoreError> {
        let lanes = self.book.lanes.remove(mount);
        let txn = lanes.iter().fold(Txn::new(), |txn, lane| txn.delete(super::record::lane_at(mount, &lane.name)));
        lanes.iter().for_each(|lane| lane.close());
        self.book.moved();
        if !txn.is_empty() {
            self.book.records.commit(txn).await?;
        }
        self.upkeep.stop(mount);
        self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&mount);
        Ok(())
    }

    /// The paths that have leases below a prefix, which names a mount, a part of its paths, or everything.
    pub(super) fn below(&self, prefix: &str) -> Vec<Marked> {
        let prefix = prefix.trim_matches('/');
        let table = self.mounts.table();
        let mut found = Vec::new();
        for (mount, _) in self.book.ledger.totals() {
            let Some(place) = table.known(mount) else { continue };
            for (path, _) in self.book.ledger.paths(mount) {
                let whole = format!("{}/{path}", place.path);
                let rest = whole.strip_prefix(prefix);
                if prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                    found.push(Marked { mount, path });
                }
            }
        }
        found
    }

    async fn first_left(&self, scope: &[Marked]) -> Result<Option<Left>, CoreError> {
        if scope.iter().any(|part| self.book.recalls.cover_path(part.mount, &part.path)) {
            return Ok(Some(Left::Waiting));
        }
        let mut failing = None;
        for part in scope {
            let mut walk = Walk::over(part.mount, &part.path);
            while let Some(page) = walk.next(&self.book).await? {
                match page.iter().find(|listed| listed.value.attempts() == 0) {
                    // New ones may come while we wait; they were not meant.
                    Some(listed) if listed.value.stage.is_revoking() => return Ok(Some(Left::Waiting)),
                    _ => {}
                }
                let error = page.iter().find(|listed| listed.value.attempts() > 0).map(|l| error_of(&l.value));
                failing = failing.or(error);
            }
        }
        Ok(failing.or_else(|| self.lost_in(scope)).map(Left::Failing))
    }

    /// Looks again whenever a lease ended or failed to, until all is over.
    async fn wait(&self, mut progress: watch::Receiver<u64>, awaited: &Awaited<'_>) -> Result<(), CoreError> {
        let waiting = async {
            loop {
                progress.borrow_and_update();
                if self.is_over(awaited).await? {
                    return Ok(());
                }
                if progress.changed().await.is_err() {
                    return Err(CoreError::Sealed);
                }
            }
        };
        let late = || unrevoked(awaited.what, format!("it takes longer than {} s", SYNC_LIMIT.as_secs()));
        tokio::time::timeout(SYNC_LIMIT, waiting).await.unwrap_or_else(|_| Err(late()))
    }

    /// Whether what is waited for is gone; an error when it failed.
    async fn is_over(&self, awaited: &Awaited<'_>) -> Result<bool, CoreError> {
        let failure = match &awaited.of {
            Of::One { key, attempts } => match self.book.get(key).await? {
                None => return Ok(true),
                Some(lease) => (lease.value.attempts() > *attempts).then(|| error_of(&lease.value)),
            },
            Of::All(scope) => match self.first_left(scope).await? {
                None => return Ok(true),
                Some(Left::Failing(error)) => Some(error),
                Some(Left::Waiting) => None,
            },
        };
        let down = awaited.before.iter().filter(|(outages, lane)| lane.outages() > *outages);
        let down = down.filter_map(|(_, lane)| lane.outage()).map(|outage| outage.error).next();
        match failure.or(down) {
            Some(error) => Err(unrevoked(awaited.what, error)),
            None => Ok(false),
        }
    }
}

/// What a caller waits for.
struct Awaited<'a> {
    what: &'a str,
    /// The lanes it goes through, and how often each had been down before.
    before: Vec<(u64, Arc<Lane>)>,
    of: Of,
}

enum Of {
    One { key: LeaseKey, attempts: u32 },
    All(Vec<Marked>),
}

/// What is left of leases that were marked.
enum Left {
    /// Some are yet to be tried.
    Waiting,
    /// All that are left were tried, and failed like this.
    Failing(String),
}

fn error_of(lease: &Lease) -> String {
    match &lease.stage {
        super::record::Stage::Revoking(revoking) => revoking.error.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

fn unrevoked(what: &str, why: String) -> CoreError {
    CoreError::Unrevoked { what: what.to_owned(), why }
}
