//! Ending leases in an emergency, without a caller's grant, since it goes on after a crash; and what is left of them.

use super::Leases;
use super::book::PAGE;
use super::record::{Cause, Lease, LeaseKey, Stage, of_entity};
use super::whole::Walk;
use crate::CoreError;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use strongroom_model::EntityId;
use tokio::time::Instant;

/// Leases that are to end and have not.
#[derive(Default)]
pub(crate) struct Remaining {
    pub(crate) count: u64,
    /// Of these, how many were tried in vain, or wait for an outside system that is away.
    pub(crate) failing: u64,
    /// Some of those that fail: their ids, and how the last attempt failed.
    pub(crate) failures: Vec<(String, String)>,
}

impl Remaining {
    pub(crate) fn is_none(&self) -> bool {
        self.count == 0
    }
}

/// When somebody last looked what is left of something, so that looking, which reads all leases that are meant, takes a
/// small share of the time however many there are.
#[derive(Default)]
pub(super) struct Looks(Mutex<HashMap<String, Look>>);

struct Look {
    ended: Instant,
    took: Duration,
    happened: u64,
}

/// How many times longer than a look nobody looks again.
const REST: u32 = 20;

impl Looks {
    /// Whether it is time to look again: something happened to leases since, and the look before it is long over.
    fn is_time(&self, what: &str, happened: u64, now: Instant) -> bool {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(what).is_none_or(|look| look.happened != happened && now >= look.ended + look.took * REST)
    }

    /// How long not to look again.
    fn rest(&self, what: &str, now: Instant) -> Duration {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(what).map_or(Duration::ZERO, |look| (look.ended + look.took * REST).duration_since(now))
    }

    fn note(&self, what: &str, look: Look) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned(), look);
    }

    fn forget(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }
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
            LeaseScope::Below(prefix) => self.end_all(&self.below(prefix), Cause::Revoked).await,
        }
    }

    /// Whether there are leases below a path, as they are counted.
    pub(crate) fn any_below(&self, prefix: &str) -> bool {
        self.below(prefix).iter().any(|part| {
            self.book.ledger.count_of(part.mount, &part.path) > 0
                || !self.book.lost.of_path(part.mount, &part.path).is_empty()
        })
    }

    /// Changes whenever a lease ended or failed to.
    pub(crate) fn progress(&self) -> tokio::sync::watch::Receiver<u64> {
        self.book.progress.subscribe()
    }

    /// How many leases there are.
    pub(crate) async fn count_in(&self, scope: &LeaseScope<'_>) -> Result<(u64, Vec<String>), CoreError> {
        let (mut count, mut names) = (0, Vec::new());
        let mut see = |key: &LeaseKey| {
            count += 1;
            if names.len() < 20 {
                names.push(self.id_of(key));
            }
        };
        let lost = self.each(scope, |key, _| see(key)).await?;
        lost.iter().for_each(|(key, _)| see(key));
        Ok((count, names))
    }

    /// Those that are to be revoked and are still there, with at most so many failures. Reads all that are meant.
    pub(crate) async fn remaining(&self, scope: &LeaseScope<'_>, most: usize) -> Result<Remaining, CoreError> {
        let lanes = self.book.lanes.all();
        let down = lanes.iter().filter_map(|lane| Some(((lane.mount, lane.name.as_str()), lane.outage()?.error)));
        let down: HashMap<_, _> = down.collect();
        let mut left = Remaining::default();
        let lost = self.each(scope, |key, lease| {
            if !self.book.is_ending(key, lease) {
                return;
            }
            left.count += 1;
            let said = match &lease.stage {
                Stage::Revoking(revoking) => revoking.error.as_ref(),
                _ => None,
            };
            // A whole outside system that is away: its leases were not even tried.
            let Some(error) = said.or_else(|| down.get(&(key.mount, lease.lane.as_str()))) else { return };
            left.failing += 1;
            if left.failures.len() < most {
                left.failures.push((self.id_of(key), error.clone()));
            }
        });
        for (key, why) in lost.await? {
            left.count += 1;
            left.failing += 1;
            if left.failures.len() < most {
                left.failures.push((self.id_of(&key), why));
            }
        }
        Ok(left)
    }

    /// As [`Leases::remaining`], for who asks again and again by the same name: nothing while nothing can be new, or
    /// while it was looked too lately for how long that takes.
    pub(crate) async fn remaining_now(
        &self,
        name: &str,
        scope: &LeaseScope<'_>,
        most: usize,
    ) -> Result<Option<Remaining>, CoreError> {
        let (began, happened) = (Instant::now(), self.book.happened());
        if !self.looks.is_time(name, happened, began) {
            return Ok(None);
        }
        let left = self.remaining(scope, most).await?;
        match left.is_none() {
            true => self.looks.forget(name),
            false => self.looks.note(name, Look { ended: Instant::now(), took: began.elapsed(), happened }),
        }
        Ok(Some(left))
    }

    /// Whether [`Leases::remaining_now`] would look.
    pub(crate) fn is_time_to_look(&self, name: &str) -> bool {
        self.looks.is_time(name, self.book.happened(), Instant::now())
    }

    /// How long [`Leases::remaining_now`] would not look.
    pub(crate) fn rest_before_look(&self, name: &str) -> Duration {
        self.looks.rest(name, Instant::now())
    }

    /// Shows all leases that are meant; gives those whose records are lost.
    async fn each(
        &self,
        scope: &LeaseScope<'_>,
        mut see: impl FnMut(&LeaseKey, &Lease),
    ) -> Result<Vec<(LeaseKey, String)>, CoreError> {
        let mut lost = Vec::new();
        match scope {
            LeaseScope::Entity(entity) => {
                let (shelf, mut after) = (of_entity(*entity), None);
                loop {
                    let links = self.book.records.scan::<LeaseKey>(&shelf, after.as_ref(), PAGE).await?;
                    let Some(last) = links.last() else { break };
                    after = Some(shelf.named(&last.name));
                    for link in links {
                        match self.book.unless_lost(&link.value, self.book.peek(&link.value).await)? {
                            Some(lease) => see(&link.value, &lease.value),
                            None => lost.extend(self.book.lost.find(&link.value).map(|why| (link.value, why))),
                        }
                    }
                }
            }
            LeaseScope::Below(prefix) => {
                for part in self.below(prefix) {
                    let known = self.book.ledger.count_of(part.mount, &part.path);
                    let mut walk = Walk::over(part.mount, &part.path);
                    while let Some(page) = walk.next(&self.book).await? {
                        for listed in &page {
                            let (mount, path) = (part.mount, part.path.clone());
                            see(&LeaseKey { mount, path, suffix: listed.text() }, &listed.value);
                        }
                    }
                    // While they end, fewer are met all the time.
                    if walk.seen < known && known == self.book.ledger.count_of(part.mount, &part.path) {
                        self.book.note_missing(part.mount, &part.path).await?;
                    }
                    lost.extend(self.book.lost.of_path(part.mount, &part.path));
                }
            }
        }
        Ok(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_looked_at_only_when_something_happened_and_not_for_much_of_the_time() {
        let (looks, ended, took) = (Looks::default(), Instant::now(), Duration::from_secs(1));
        assert!(looks.is_time("a", 7, ended));
        looks.note("a", Look { ended, took, happened: 7 });
        assert!(!looks.is_time("a", 7, ended + took * 1_000));
        assert!(!looks.is_time("a", 8, ended + took * 5));
        assert!(looks.is_time("a", 8, ended + took * REST) && looks.is_time("b", 7, ended));
        looks.forget("a");
        assert!(looks.is_time("a", 7, ended));
    }
}
