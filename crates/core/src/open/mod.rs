//! The open strongroom: what exists only while it is unsealed. Its rooms are built in [`build`], each from those below it,
//! and end together; what has to be done again and again, whoever asks, is the [`keeper`]'s. It decides nothing itself:
//! requests go through its gate.

mod build;
mod keeper;

use crate::access_key::AccessKeys;
use crate::alert::Alerts;
use crate::audit::{AuditDevices, Hmac, TrailMemory};
use crate::census::Census;
use crate::ceremony::{Rekeying, RootGeneration, Rotation};
use crate::drill::{Doorway, Drills};
use crate::emergency::Emergency;
use crate::event::Events;
use crate::gate::Gate;
use crate::identity::Identity;
use crate::incident::Incidents;
use crate::inquiry::Inquiry;
use crate::lease::Leases;
use crate::login::Logins;
use crate::metrics::Metrics;
use crate::mount::{MountClass, MountSpec, Mounts};
use crate::password_policy::PasswordPolicies;
use crate::plugin::Plugins;
use crate::policy::PolicyStore;
use crate::quota::Quotas;
use crate::retention::Retention;
use crate::rotation::Rotations;
use crate::secret::Secrets;
use crate::setting::ServerSettings;
use crate::shipping::Shipping;
use crate::task::Tasks;
use crate::token::Tokens;
use crate::webhook::Webhooks;
use crate::wrapping::Wrapping;
use crate::{Auth, CoreError, Cubbyholes};
use keeper::Housekeeper;
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Redactor, Trail};
use strongroom_barrier::{Barrier, Health, SealStatus};
use strongroom_model::{Clock, Entropy, MountPath, SecretString, Ttl};

/// What an operator set for the whole server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The life of a token for which nothing else is said. Vault: 768 hours.
    pub default_lease_ttl: Ttl,
    /// The longest life of a token. Vault: 768 hours.
    pub max_lease_ttl: Ttl,
    /// How often tokens and entities are counted for the gauges of use; `None`: never.
    pub usage_gauges: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_lease_ttl: Ttl::from_secs(768 * 3_600),
            max_lease_ttl: Ttl::from_secs(768 * 3_600),
            usage_gauges: Some(Duration::from_secs(600)),
        }
    }
}

/// The open strongroom: everything that can only be done with the keys. That it exists is the proof of being unsealed.
pub struct Open {
    /// The one way in.
    pub gate: Gate,
    /// Tokens.
    pub tokens: Arc<Tokens>,
    /// Entities and aliases.
    pub identity: Arc<Identity>,
    /// Policies.
    pub policies: Arc<PolicyStore>,
    /// Password policies.
    pub passwords: Arc<PasswordPolicies>,
    /// What is set for the whole server.
    pub settings: ServerSettings,
    /// Limits on the rate of requests and on leases.
    pub quotas: Arc<Quotas>,
    /// Mounts.
    pub mounts: Arc<Mounts>,
    /// Versioned secrets.
    pub secrets: Arc<Secrets>,
    /// Keys that requests are signed with.
    pub access_keys: Arc<AccessKeys>,
    /// What tokens keep for themselves.
    pub cubbyholes: Arc<Cubbyholes>,
    /// Answers under wrapping tokens.
    pub wrapping: Wrapping,
    /// Auth methods.
    pub logins: Logins,
    /// Leases, and the engines behind them.
    pub leases: Arc<Leases>,
    /// Rotations of secrets.
    pub rotations: Arc<Rotations>,
    /// Audit devices.
    pub devices: AuditDevices,
    /// New terms of the encryption key.
    pub rotation: Arc<Rotation>,
    /// Questions to the trail.
    pub inquiry: Inquiry,
    /// Suspicions of misuse.
    pub alerts: Arc<Alerts>,
    /// Copies of the trail for others.
    pub shipping: Arc<Shipping>,
    /// How long the trail is kept.
    pub retention: Arc<Retention>,
    /// Messages to outside places.
    pub webhooks: Arc<Webhooks>,
    /// What just changed.
    pub events: Events,
    /// Cutting off.
    pub emergency: Arc<Emergency>,
    /// Rehearsals of that.
    pub drills: Arc<Drills>,
    /// What was cut off.
    pub incidents: Arc<Incidents>,
    /// How many tokens and entities there are.
    pub census: Arc<Census>,
    /// New unseal keys.
    pub rekeying: Rekeying,
    /// New root tokens.
    pub root_generation: RootGeneration,
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) clock: Arc<dyn Clock>,
    trail: Arc<Trail>,
    hmac: Arc<Hmac>,
    trail_memory: Arc<TrailMemory>,
    keeper: Arc<Housekeeper>,
    pub(crate) tasks: Tasks,
}

/// What an open strongroom is built from.
pub(crate) struct Parts {
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) doorway: Arc<Doorway>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Open {
    /// Builds the rooms and makes what must always exist. Work does not grow with the number of secrets or tokens.
    pub(crate) async fn new(parts: Parts) -> Result<Arc<Self>, CoreError> {
        build::open(parts).await.map(Arc::new)
    }

    /// Begins to serve: signs the trail's checkpoints, starts devices and housekeeping.
    pub(crate) async fn begin(&self) -> Result<(), CoreError> {
        self.trail_memory.begin().await;
        self.trail.set_redactor(Some(Arc::clone(&self.hmac) as Arc<dyn Redactor>));
        self.devices.start().await?;
        self.shipping.begin();
        self.leases.begin().await?;
        self.rotations.begin();
        self.emergency.begin(&self.incidents).await?;
        self.tokens.step_index().await?;
        self.drills.begin();
        let keeper = Arc::clone(&self.keeper);
        self.tasks.start(|stop| async move { keeper.stay(stop).await });
        let rotation = Arc::clone(&self.rotation);
        self.tasks.start(|stop| async move { rotation.run(stop).await });
        let alerts = Arc::clone(&self.alerts);
        self.tasks.start(|stop| async move { alerts.run(stop).await });
        let census = Arc::clone(&self.census);
        self.tasks.start(|stop| async move { census.run(stop).await });
        let retention = Arc::clone(&self.retention);
        self.tasks.start(|stop| async move { retention.run(stop).await });
        let webhooks = Arc::clone(&self.webhooks);
        self.tasks.start(|stop| async move { webhooks.run(stop).await });
        let trail_memory = Arc::clone(&self.trail_memory);
        self.tasks.start(|stop| async move { trail_memory.run(stop).await });
        Ok(())
    }

    /// Ends everything that needs the keys, and wipes them.
    pub(crate) async fn end(&self) {
        self.events.end().await;
        self.drills.end().await;
        self.tasks.finish().await;
        self.emergency.end().await;
        self.rotations.end().await;
        self.leases.end().await;
        self.shipping.end().await;
        self.trail.suspend_devices().await;
        self.trail_memory.end().await;
        self.trail.set_redactor(None);
        self.barrier.close().await;
    }

    /// Makes the first root token. Only initialisation and `-dev` call it.
    pub(crate) async fn root_token(&self, id: Option<SecretString>) -> Result<Auth, CoreError> {
        self.tokens.create_root(id).await
    }

    /// Mounts `secret/` as versioned KV if nothing is there, as a development server has it.
    pub(crate) async fn mount_dev_secrets(&self) -> Result<(), CoreError> {
        self.mount_dev("secret", "key/value secret storage").await
    }

    /// Mounts `parameter/` as versioned KV if nothing is there, when a client of a development server first needs it.
    pub async fn mount_dev_parameters(&self) -> Result<(), CoreError> {
        self.mount_dev("parameter", "parameters, as AWS's clients see them").await
    }

    async fn mount_dev(&self, path: &str, description: &str) -> Result<(), CoreError> {
        let path = MountPath::parse(path)?;
        if self.mounts.table().at(&path).is_some() {
            return Ok(());
        }
        let spec = MountSpec {
            kind: "kv".to_owned(),
            description: description.to_owned(),
            options: [("version".to_owned(), "2".to_owned())].into(),
            ..MountSpec::default()
        };
        let made = self.mounts.enable_internal(path.clone(), MountClass::Secret, spec).await;
        match made {
            // Somebody else was quicker.
            Err(_) if self.mounts.table().at(&path).is_some() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Lets housekeeping run now instead of within a second.
    pub fn wake_housekeeping(&self) {
        self.keeper.wake();
    }

    /// One round of housekeeping, for tests that turn the clock: expired tokens and leases, interrupted revocations, removed
    /// mounts.
    pub async fn housekeep(&self) {
        self.keeper.run().await;
        self.leases.settle().await;
        // What ended just now may let a removed mount go.
        self.keeper.run().await;
    }

    /// Writability and generation of the store.
    pub fn health(&self) -> Health {
        self.barrier.health()
    }

    /// What may be told to anybody about the seal.
    pub fn seal_status(&self) -> SealStatus {
        self.barrier.seal_status()
    }
}
