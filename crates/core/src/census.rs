//! Counts what there is of tokens, entities, aliases and secrets, for the gauges of use that dashboards for Vault show.
//!
//! Invariants: nobody waits for a count, and a request never causes one; it goes through the records page by page, at
//! intervals that the operator chose, and the first time only after one of them, so that starting costs nothing. What is
//! given out is the last count that was finished. Does not know how gauges are named: the doors do.

use crate::CoreError;
use crate::identity::Entity;
use crate::mount::{MountClass, Mounts};
use crate::plugin::AuthMethod;
use crate::records::{Listed, Records};
use crate::token::Token;
use arc_swap::ArcSwapOption;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::Shelf;
use strongroom_model::{Clock, MountId, NamespaceId, Ttl};
use tokio::sync::watch;

/// Records looked at in one step.
const STEP: usize = 128;

/// Upper bounds of the classes by life, as Vault's gauges have them.
const LIVES: [(&str, u64); 9] = [
    ("1m", 60),
    ("10m", 600),
    ("20m", 1_200),
    ("1h", 3_600),
    ("2h", 7_200),
    ("1d", 86_400),
    ("2d", 2 * 86_400),
    ("7d", 7 * 86_400),
    ("30d", 30 * 86_400),
];

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Service tokens that are alive.
    pub tokens: u64,
    /// Of these, how many came in through each kind of auth method (`token` for those made by hand).
    pub tokens_by_auth: BTreeMap<String, u64>,
    /// How many have each policy; one token counts for each that it has.
    pub tokens_by_policy: BTreeMap<String, u64>,
    /// How many were made with which time to live, by upper bound; `+Inf` for longer, and for those that never die.
    pub tokens_by_ttl: BTreeMap<&'static str, u64>,
    /// Entities.
    pub entities: u64,
    /// Aliases, by kind and path of the auth mount.
    pub aliases: BTreeMap<(String, String), u64>,
    /// Users that are shut out after failed logins.
    pub shut_out: u64,
    /// Secrets, by path of the KV mount.
    pub secrets: BTreeMap<String, u64>,
}

/// Counts from time to time.
pub struct Census {
    records: Arc<Records>,
    mounts: Arc<Mounts>,
    clock: Arc<dyn Clock>,
    /// None: never.
    interval: Option<Duration>,
    latest: ArcSwapOption<Counts>,
}

impl Census {
    pub(crate) fn new(
        records: &Arc<Records>,
        mounts: &Arc<Mounts>,
        clock: &Arc<dyn Clock>,
        interval: Option<Duration>,
    ) -> Self {
        let (records, mounts, clock) = (Arc::clone(records), Arc::clone(mounts), Arc::clone(clock));
        Self { records, mounts, clock, interval, latest: ArcSwapOption::empty() }
    }

    /// What the last count found; `None` before the first.
    pub fn latest(&self) -> Option<Arc<Counts>> {
        self.latest.load_full()
    }

    /// Counts until it is told to stop.
    pub(crate) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let Some(interval) = self.interval else { return };
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let counted = tokio::select! {
                counted = self.count() => counted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if let Err(error) = counted {
                tracing::warn!(%error, "tokens, entities and secrets could not be counted; their gauges keep the last count");
            }
        }
    }

    /// How many service tokens are alive, counted now.
    pub async fn tokens(&self) -> Result<u64, CoreError> {
        let (mut count, now) = (0, self.clock.now());
        self.each("token", |listed: Listed<Token>| count += u64::from(!listed.value.is_expired(now))).await?;
        Ok(count)
    }

    /// How many entities there are, counted now.
    pub async fn entities(&self) -> Result<u64, CoreError> {
        let mut count = 0;
        self.each("entity", |_: Listed<IgnoredAny>| count += 1).await?;
        Ok(count)
    }

    /// Counts now.
    pub async fn count(&self) -> Result<Arc<Counts>, CoreError> {
        let mut counts = Counts::default();
        let now = self.clock.now();
        self.each("token", |listed: Listed<Token>| {
            if !listed.value.is_expired(now) {
                self.take_token(&listed.value, &mut counts);
            }
        })
        .await?;
        self.each("entity", |listed: Listed<Entity>| {
            counts.entities += 1;
            for alias in &listed.value.aliases {
                if let Some(mount) = self.mounts.table().by_accessor(&alias.mount_accessor) {
                    *counts.aliases.entry((mount.kind.clone(), mount.path.with_slash())).or_default() += 1;
                }
            }
        })
        .await?;
        for mount in self.mounts.table().of(MountClass::Auth) {
            let method = self.mounts.table().method(mount.id);
            if let Some(lockout) = method.as_deref().and_then(AuthMethod::lockout) {
                counts.shut_out += lockout.shut_out().await?.len() as u64;
            }
        }
        for mount in self.mounts.table().of(MountClass::Secret).iter().filter(|mount| mount.kind == "kv") {
            let counted = crate::secret::count(&self.records, mount.id).await?;
            counts.secrets.insert(mount.path.with_slash(), counted);
        }
        let counts = Arc::new(counts);
        self.latest.store(Some(Arc::clone(&counts)));
        Ok(counts)
    }

    fn take_token(&self, token: &Token, counts: &mut Counts) {
        counts.tokens += 1;
        *counts.tokens_by_auth.entry(self.kind_of(token.mount)).or_default() += 1;
        for policy in &token.policies {
            *counts.tokens_by_policy.entry(policy.to_string()).or_default() += 1;
        }
        *counts.tokens_by_ttl.entry(class_of(token.creation_ttl)).or_default() += 1;
    }

    /// The kind of the auth method that made a token.
    fn kind_of(&self, mount: Option<MountId>) -> String {
        let table = self.mounts.table();
        mount.and_then(|id| table.known(id)).map_or_else(|| "token".to_owned(), |mount| mount.kind.clone())
    }

    /// Every record of a shelf, page by page.
    async fn each<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        mut take: impl FnMut(Listed<T>),
    ) -> Result<(), CoreError> {
        let shelf = Shelf::new(kind, NamespaceId::ROOT);
        let mut after = None;
        loop {
            let page = self.records.scan::<T>(&shelf, after.as_ref(), STEP).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(shelf.named(&last.name));
            page.into_iter().for_each(&mut take);
            // Whoever waits for an answer goes first.
            tokio::task::yield_now().await;
        }
    }
}

/// The class of a life, by its upper bound.
pub fn class_of(ttl: Ttl) -> &'static str {
    let secs = ttl.secs();
    LIVES.iter().find(|(_, most)| secs > 0 && secs <= *most).map_or("+Inf", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_belongs_to_the_next_bound_and_one_without_end_to_the_last() {
        for (secs, class) in [(1, "1m"), (60, "1m"), (61, "10m"), (3_600, "1h"), (86_401, "2d"), (0, "+Inf")] {
            assert_eq!(class_of(Ttl::from_secs(secs)), class, "{secs}");
        }
        assert_eq!(class_of(Ttl::from_secs(768 * 3_600)), "+Inf");
    }
}
