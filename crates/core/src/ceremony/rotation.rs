use crate::mount::Mounts;
use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::{Address, Barrier, KeyStatus, Shelf, Txn};
use strongroom_model::{Clock, NamespaceId, Ttl};
use tokio::sync::{Notify, watch};

/// New terms of the key that seals namespace keys: when asked for, or by themselves after so much use or time; and what
/// follows from each in the background.
pub struct Rotation {
    barrier: Arc<Barrier>,
    records: Arc<Records>,
    mounts: Arc<Mounts>,
    /// The longest life of a token where no mount says otherwise.
    longest_life: Ttl,
    clock: Arc<dyn Clock>,
    wake: Notify,
}

/// When a new term begins by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationConfig {
    /// After the key has sealed so many things.
    pub max_operations: u64,
    /// After so many seconds; 0 for never.
    pub interval: u64,
    /// Whether at all.
    pub enabled: bool,
}

/// Vault's default and upper limit: nine tenths of what SP 800-38D allows for a key with random nonces. Here every
/// object has a key of its own, so the limit does not bind; it is kept because policies ask for it.
const MOST_OPERATIONS: u64 = 3_865_470_566;
const LEAST_OPERATIONS: u64 = 1_000_000;
const SHORTEST_INTERVAL: u64 = 24 * 3_600;

/// How often it is looked whether something is due.
const PACE: Duration = Duration::from_secs(60);

impl Default for RotationConfig {
    fn default() -> Self {
        Self { max_operations: MOST_OPERATIONS, interval: 0, enabled: true }
    }
}

impl RotationConfig {
    fn check(&self) -> Result<(), CoreError> {
        if self.interval != 0 && self.interval < SHORTEST_INTERVAL {
            return Err(CoreError::Invalid("interval must be greater or equal to 24h0m0s".to_owned()));
        }
        if !(LEAST_OPERATIONS..=MOST_OPERATIONS).contains(&self.max_operations) {
            return Err(CoreError::Invalid(format!(
                "max_operations must be in the range [{LEAST_OPERATIONS},{MOST_OPERATIONS}]"
            )));
        }
        Ok(())
    }
}

fn place() -> Address {
    Shelf::new("rotation", NamespaceId::ROOT).named("config")
}

impl Rotation {
    pub(crate) fn new(
        barrier: Arc<Barrier>,
        records: Arc<Records>,
        mounts: Arc<Mounts>,
        longest_life: Ttl,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { barrier, records, mounts, longest_life, clock, wake: Notify::new() }
    }

    /// Begins a new term; what is sealed from now on is sealed under it. The rest follows in the background.
    pub async fn rotate(&self, _grant: &Grant) -> Result<(), CoreError> {
        self.barrier.rotate(self.clock.now()).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// The term, its age and use, and how far the background has come.
    pub fn status(&self) -> Result<KeyStatus, CoreError> {
        Ok(self.barrier.key_status()?)
    }

    /// When a new term begins by itself.
    pub async fn config(&self) -> Result<RotationConfig, CoreError> {
        Ok(self.records.get(&place()).await?.map_or_else(RotationConfig::default, |stored| stored.value))
    }

    /// Sets when a new term begins by itself.
    pub async fn configure(&self, _grant: &Grant, config: RotationConfig) -> Result<(), CoreError> {
        config.check()?;
        self.records.commit(Txn::new().put_record(place(), &config)?).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// What is due now, to its end: a new term, sealing under it, forgetting old ones. For tests, and for who waits.
    pub async fn round(&self) -> Result<(), CoreError> {
        self.round_while(|| true).await
    }

    async fn round_while(&self, goes_on: impl Fn() -> bool) -> Result<(), CoreError> {
        if self.is_due().await? {
            self.barrier.rotate(self.clock.now()).await?;
            tracing::info!("a new term of the encryption key has begun, as sys/rotate/config says");
        }
        while goes_on() && self.barrier.sweep().await? {}
        Ok(self.barrier.forget_terms(self.clock.now(), self.longest_carried()).await?)
    }

    async fn is_due(&self) -> Result<bool, CoreError> {
        let (config, status) = (self.config().await?, self.status()?);
        let age = self.clock.now().since(status.installed).as_secs();
        let is_old = config.interval != 0 && age >= config.interval;
        Ok(config.enabled && (is_old || status.encryptions >= config.max_operations))
    }

    /// The longest life of a batch token, whichever mount made it: its term must be there until then.
    fn longest_carried(&self) -> Duration {
        let table = self.mounts.table();
        let classes = [crate::mount::MountClass::Auth, crate::mount::MountClass::Secret];
        let mounts = classes.into_iter().flat_map(|class| table.of(class));
        let longest = mounts.map(|mount| mount.config.max_lease_ttl).max().unwrap_or(0);
        Duration::from_secs(longest.max(self.longest_life.secs()))
    }

    /// Looks every minute, and when it is woken, until told to stop.
    pub(crate) async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stopped = stop.clone();
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                () = self.wake.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if let Err(error) = self.round_while(|| !*stopped.borrow()).await {
                tracing::warn!(%error, "sealing under the current term could not be finished; it is tried again in a minute");
            }
        }
    }
}
