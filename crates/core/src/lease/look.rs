//! Looking at leases: by id, by folder, by number, and those that cannot be revoked.

use super::Leases;
use super::book::PAGE;
use super::record::{Lease, LeaseKey, Stage, Turn, due, failing};
use super::whole::Walk;
use crate::quota::LeaseCount;
use crate::records::Stored;
use crate::{CoreError, Grant};
use std::collections::BTreeSet;
use std::sync::Arc;
use strongroom_model::{EntityId, MountId, Timestamp, Ttl};

/// What may be told of a lease.
pub struct LeaseView {
    /// Its id.
    pub id: String,
    /// `pending`, `active`, `revoking`, or `failing` when revoking it failed.
    pub state: &'static str,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was last renewed.
    pub renewed: Option<Timestamp>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// What is left of its life.
    pub ttl: Ttl,
    /// The credential's name in the outside system.
    pub subject: String,
    /// The role it was asked for by.
    pub role: String,
    /// Who asked, as people see them.
    pub display_name: String,
    /// The entity that asked.
    pub entity: Option<EntityId>,
    /// Attempts to revoke it that failed.
    pub attempts: u32,
    /// How the last one failed.
    pub error: Option<String>,
    /// When it is tried next, if it is to be revoked.
    pub next_attempt: Option<Timestamp>,
}

/// A lease that could not be revoked so far.
pub struct Irrevocable {
    /// Its id.
    pub id: String,
    /// The accessor of its mount.
    pub mount_accessor: String,
    /// How revoking it failed.
    pub error: String,
}

/// How leases stand, for a monitor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseGauges {
    /// All leases that are not gone.
    pub leases: u64,
    /// Those that could not be revoked so far by their own fault.
    pub failing: u64,
    /// Outside systems.
    pub lanes: u64,
    /// Outside systems that cannot be reached.
    pub lanes_down: u64,
}

impl Leases {
    /// A lease by its id.
    pub async fn lookup(&self, _grant: &Grant, id: &str) -> Result<Option<LeaseView>, CoreError> {
        let found = self.meters.look_up.over(|| self.find(id)).await?;
        Ok(found.map(|(key, lease)| self.view(&key, &lease.value)))
    }

    /// Folders and leases directly below a prefix.
    pub async fn list(&self, _grant: &Grant, prefix: &str) -> Result<Vec<String>, CoreError> {
        let prefix = prefix.trim_matches('/');
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let (mut names, mut full) = (BTreeSet::new(), Vec::new());
        for (mount, path, whole) in self.places() {
            if whole == prefix {
                full.push((mount, path));
            } else if let Some((folder, _)) = format!("{whole}/").strip_prefix(&start).and_then(|r| r.split_once('/')) {
                names.insert(format!("{folder}/"));
            }
        }
        for (mount, path) in full {
            let known = self.book.ledger.count_of(mount, &path);
            let mut walk = Walk::over(mount, &path);
            while let Some(page) = walk.next(&self.book).await? {
                names.extend(page.iter().map(|listed| listed.text()));
            }
            if walk.seen < known && known == self.book.ledger.count_of(mount, &path) {
                // No list gets shorter because somebody cut a record out of the store.
                self.book.note_missing(mount, &path).await?;
                names.extend(self.book.lost.of_path(mount, &path).into_iter().map(|(key, _)| key.suffix));
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Mounts by path, and how many leases each has.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let table = self.mounts.table();
        let named = |(mount, count)| Some((table.known(mount)?.path.with_slash(), count));
        self.book.ledger.totals().into_iter().filter_map(named).collect()
    }

    /// How leases stand.
    pub fn gauges(&self) -> LeaseGauges {
        let lanes = self.book.lanes.all();
        let down = lanes.iter().filter(|lane| lane.outage().is_some()).count();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        LeaseGauges {
            leases: self.book.ledger.totals().into_iter().map(|(_, count)| count).sum(),
            failing: self.failing.load(std::sync::atomic::Ordering::Relaxed),
            lanes: count(lanes.len()),
            lanes_down: count(down),
        }
    }

    /// Leases that could not be revoked so far: those that failed by themselves, and those that wait for an outside
    /// system that cannot be reached. At most `limit`; says too whether there are more.
    pub async fn irrevocable(&self, _grant: &Grant, limit: usize) -> Result<(Vec<Irrevocable>, bool), CoreError> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for (key, why) in self.book.still_lost().await? {
            if found.len() >= limit {
                return Ok((found, true));
            }
            found.push(self.irrevocable_one(&key, why));
            seen.insert(key);
        }
        let mut after = None;
        loop {
            let page = self.book.records.scan::<LeaseKey>(&failing(), after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(failing().named(&last.name));
            for listed in page {
                if found.len() >= limit {
                    return Ok((found, true));
                }
                if !seen.contains(&listed.value)
                    && let Some(lease) = self.book.unless_lost(&listed.value, self.book.get(&listed.value).await)?
                    && let Stage::Revoking(revoking) = &lease.value.stage
                {
                    found.push(self.irrevocable_one(&listed.value, revoking.error.clone().unwrap_or_default()));
                    seen.insert(listed.value);
                }
            }
        }
        for lane in self.book.lanes.all() {
            let Some(outage) = lane.outage() else { continue };
            let more = self.waiting(lane.mount, &lane.name, &outage.error, limit, (&mut found, &seen)).await?;
            if more {
                return Ok((found, true));
            }
        }
        Ok((found, false))
    }

    /// Adds what is due in a lane that is down; `true` when there is no room for all.
    async fn waiting(
        &self,
        mount: MountId,
        lane: &str,
        error: &str,
        limit: usize,
        (found, seen): (&mut Vec<Irrevocable>, &BTreeSet<LeaseKey>),
    ) -> Result<bool, CoreError> {
        let (shelf, now) = (due(mount, lane), self.book.now().nanos());
        let mut after = None;
        loop {
            let page = self.book.records.scan::<Turn>(&shelf, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(false) };
            after = Some(shelf.ordered(last.number, &last.name));
            for turn in page {
                if turn.number > now {
                    return Ok(false);
                }
                let key = LeaseKey { mount, path: turn.value.path, suffix: turn.value.suffix };
                if seen.contains(&key) {
                    continue;
                }
                if found.len() >= limit {
                    return Ok(true);
                }
                found.push(self.irrevocable_one(&key, error.to_owned()));
            }
        }
    }

    fn irrevocable_one(&self, key: &LeaseKey, error: String) -> Irrevocable {
        let table = self.mounts.table();
        let mount_accessor = table.known(key.mount).map(|mount| mount.accessor.clone()).unwrap_or_default();
        Irrevocable { id: self.id_of(key), mount_accessor, error }
    }

    /// Counts those that fail by themselves anew, if anything happened since; there should be none.
    pub(super) async fn count_failing(&self) -> Result<(), CoreError> {
        let (happened, lost) = (self.book.happened(), self.book.lost.count());
        let version = happened.wrapping_add(lost << 32);
        if self.counted_at.swap(version, std::sync::atomic::Ordering::Relaxed) == version {
            return Ok(());
        }
        let (mut count, mut after) = (lost, None);
        loop {
            let page = self.book.records.scan::<LeaseKey>(&failing(), after.as_ref(), PAGE).await?;
            count += u64::try_from(page.len()).unwrap_or(u64::MAX);
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(failing().named(&last.name)),
                _ => break,
            }
        }
        self.failing.store(count, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// How many leases count by a limit.
    pub(crate) fn counted(&self, rule: &LeaseCount) -> u64 {
        let cap = rule.place(&self.mounts.table());
        cap.map_or(0, |cap| self.book.ledger.count(cap.mount, &cap.scope))
    }

    /// A lease by its id: under each mount that the id may lie in, removed ones too, since their paths can be taken
    /// again.
    pub(super) async fn find(&self, id: &str) -> Result<Option<(LeaseKey, Arc<Stored<Lease>>)>, CoreError> {
        let Some((place, suffix)) = id.trim_matches('/').rsplit_once('/') else { return Ok(None) };
        let places = self.places();
        for (mount, path, _) in places.into_iter().filter(|(.., whole)| whole == place) {
            let key = LeaseKey { mount, path, suffix: suffix.to_owned() };
            if let Some(lease) = self.book.get(&key).await? {
                return Ok(Some((key, lease)));
            }
        }
        Ok(None)
    }

    /// As callers write it; a removed mount is named by where it was.
    pub(super) fn id_of(&self, key: &LeaseKey) -> String {
        let table = self.mounts.table();
        table.known(key.mount).map_or_else(|| format!("{}/{}", key.path, key.suffix), |mount| key.id(&mount.path))
    }

    /// Every path that has leases: its mount, the path below it, and the whole.
    fn places(&self) -> Vec<(MountId, String, String)> {
        let table = self.mounts.table();
        let mut places = Vec::new();
        for (mount, _) in self.book.ledger.totals() {
            let Some(known) = table.known(mount) else { continue };
            let paths = self.book.ledger.paths(mount).into_iter();
            places.extend(paths.map(|(path, _)| (mount, path.clone(), format!("{}/{path}", known.path))));
        }
        places
    }

    fn view(&self, key: &LeaseKey, lease: &Lease) -> LeaseView {
        let now = self.book.now();
        let error = match &lease.stage {
            Stage::Revoking(revoking) => revoking.error.clone(),
            _ => None,
        };
        let is_ending = self.book.is_ending(key, lease);
        LeaseView {
            id: self.id_of(key),
            state: if is_ending && !lease.stage.is_revoking() { "revoking" } else { lease.stage.word() },
            issued: lease.issued,
            expires: lease.expires,
            renewed: lease.renewed,
            renewable: lease.renewable && lease.is_active(now) && !is_ending,
            ttl: Ttl(lease.expires.since(now)),
            subject: lease.subject.clone(),
            role: lease.role.clone(),
            display_name: lease.display_name.clone(),
            entity: lease.entity,
            attempts: lease.attempts(),
            error,
            // One that was not tried yet has its turn at the beginning of time.
            next_attempt: lease.stage.is_revoking().then_some(lease.due.max(lease.issued)),
        }
    }
}
