use crate::access_key::AccessKeys;
use crate::alert::Alerts;
use crate::audit::{AuditDevices, Hmac, TrailMemory};
use crate::census::Census;
use crate::ceremony::{Rekeying, RootGeneration, Rotation};
use crate::drill::{Doorway, Drills, Rooms as DrillRooms};
use crate::emergency::{Blocks, Emergency, Rooms, Rotate};
use crate::event::{Events, Hub};
use crate::gate::Gate;
use crate::identity::Identity;
use crate::incident::Incidents;
use crate::inquiry::Inquiry;
use crate::lease::{Book, LeaseParts, Leases};
use crate::login::Logins;
use crate::metrics::Metrics;
use crate::mount::{Mount, MountClass, MountSpec, Mounts};
use crate::password_policy::PasswordPolicies;
use crate::plugin::Plugins;
use crate::policy::PolicyStore;
use crate::quota::Quotas;
use crate::records::Records;
use crate::retention::{Retention, RetentionParts};
use crate::rotation::{RotationParts, Rotations};
use crate::secret::Secrets;
use crate::setting::ServerSettings;
use crate::shipping::Shipping;
use crate::task::Tasks;
use crate::token::Tokens;
use crate::webhook::Webhooks;
use crate::wrapping::Wrapping;
use crate::{Auth, CoreError, Cubbyholes};
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Redactor, Trail};
use strongroom_barrier::{Barrier, Health, SealStatus};
use strongroom_model::{Clock, Entropy, MountPath, SecretString, Timestamp, Ttl};
use tokio::sync::{Mutex, Notify};

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
        let Parts { barrier, trail, plugins, metrics, doorway, settings, clock, entropy } = parts;
        let records = Arc::new(Records::new(Arc::clone(&barrier)));
        let (methods, alarms) = (plugins.methods.clone(), plugins.alarms.clone());
        let hmac = Arc::new(Hmac::new(Arc::clone(&barrier)));
        let (c, e) = (&clock, &entropy);
        let hub = Arc::new(Hub::new(Arc::clone(c), &**e));
        let blocks = Arc::new(Blocks::load(Arc::clone(&records)).await?);
        let identity = Arc::new(Identity::new(Arc::clone(&records), Arc::clone(c), Arc::clone(e)));
        let policies = Arc::new(PolicyStore::new(Arc::clone(&records)));
        policies.ensure_default().await?;
        let server_settings = ServerSettings::load(&records, &hmac, &**c).await?;
        let quotas = Arc::new(Quotas::load(&records).await?);
        let passwords = Arc::new(PasswordPolicies::new(Arc::clone(&records), Arc::clone(e)));
        let mounts = Arc::new(
            Mounts::load(
                Arc::clone(&records),
                plugins,
                Arc::clone(&passwords),
                Arc::clone(&hub),
                Arc::clone(c),
                Arc::clone(e),
            )
            .await?,
        );
        let longest_life = settings.max_lease_ttl;
        let census = Arc::new(Census::new(&records, &mounts, c, settings.usage_gauges));
        let book = Arc::new(Book::new(Arc::clone(&records), Arc::clone(c)));
        let tokens = Arc::new(Tokens::new(
            Arc::clone(&records),
            Arc::clone(&identity),
            Arc::clone(&mounts),
            Arc::clone(&book),
            Arc::clone(&blocks),
            Arc::clone(&hub),
            settings,
            Arc::clone(c),
            Arc::clone(e),
        ));
        let secrets = Arc::new(Secrets::new(Arc::clone(&records), Arc::clone(&hub), Arc::clone(c), Arc::clone(e)));
        let access_keys =
            Arc::new(AccessKeys::new(Arc::clone(&records), Arc::clone(&identity), Arc::clone(c), Arc::clone(e)));
        let cubbyholes = Arc::new(Cubbyholes::new(Arc::clone(&records)));
        let wrapping = Wrapping::new(Arc::clone(&records), Arc::clone(&tokens), Arc::clone(&hmac));
        let leases = Arc::new(Leases::new(LeaseParts {
            book: &book,
            mounts: &mounts,
            tokens: &tokens,
            identity: &identity,
            quotas: &quotas,
            trail: &trail,
            events: &hub,
            metrics: &metrics,
            clock: c,
            entropy: e,
        }));
        let gate = Gate::new(
            Arc::clone(&tokens),
            Arc::clone(&identity),
            Arc::clone(&policies),
            Arc::clone(&secrets),
            Arc::clone(&cubbyholes),
            Arc::clone(&leases),
            Arc::clone(&blocks),
            Arc::clone(&trail),
            Arc::clone(&hmac),
            Arc::clone(c),
        );
        let logins = Logins::new(Arc::clone(&mounts), Arc::clone(&identity), Arc::clone(&tokens));
        let b = &barrier;
        let rotation =
            Rotation::new(Arc::clone(b), Arc::clone(&records), Arc::clone(&mounts), longest_life, Arc::clone(c));
        let root_generation = RootGeneration::new(Arc::clone(b), Arc::clone(&tokens), Arc::clone(c), Arc::clone(e));
        let rekeying = Rekeying::new(Arc::clone(b));
        let webhooks = Arc::new(Webhooks::load(&records, &trail, &metrics, c, e).await?);
        let rotations = Arc::new(Rotations::new(RotationParts {
            records: &records,
            methods: &methods,
            mounts: &mounts,
            secrets: &secrets,
            access_keys: &access_keys,
            passwords: &passwords,
            trail: &trail,
            metrics: &metrics,
            webhooks: &webhooks,
            alarms,
            clock: c,
            entropy: e,
        }));
        let inquiry = Inquiry::new(&trail, &mounts, &secrets, &identity, &policies, b, c);
        let incidents =
            Arc::new(Incidents::new(Arc::clone(&records), Arc::clone(&trail), Arc::clone(&mounts), Arc::clone(&hub)));
        let emergency = Arc::new(Emergency::new(Rooms {
            mounts: Arc::clone(&mounts),
            identity: Arc::clone(&identity),
            tokens: Arc::clone(&tokens),
            access_keys: Arc::clone(&access_keys),
            leases: Arc::clone(&leases),
            secrets: Arc::clone(&secrets),
            blocks,
            trail: Arc::clone(&trail),
            clock: Arc::clone(c),
            entropy: Arc::clone(e),
        }));
        emergency.attach(Arc::clone(&rotations) as Arc<dyn Rotate>);
        let events = Events::new(hub, Arc::clone(&tokens), Arc::clone(&identity), Arc::clone(&policies));
        let shipping = Arc::new(Shipping::load(&records, &trail, &metrics, c).await?);
        let alerts = Arc::new(Alerts::load(&records, &trail, &webhooks, &metrics, c).await?);
        let drill_rooms = DrillRooms {
            mounts: Arc::clone(&mounts),
            identity: Arc::clone(&identity),
            policies: Arc::clone(&policies),
            tokens: Arc::clone(&tokens),
            access_keys: Arc::clone(&access_keys),
            leases: Arc::clone(&leases),
            secrets: Arc::clone(&secrets),
            rotations: Arc::clone(&rotations),
            emergency: Arc::clone(&emergency),
            trail: Arc::clone(&trail),
            webhooks: Arc::clone(&webhooks),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(c),
            entropy: Arc::clone(e),
        };
        let drills = Arc::new(Drills::load(&records, drill_rooms, &doorway).await?);
        let trail_memory = Arc::new(TrailMemory::new(Arc::clone(b), Arc::clone(&trail)));
        let retention = RetentionParts {
            records: &records,
            trail: &trail,
            barrier: b,
            memory: &trail_memory,
            shipping: &shipping,
            webhooks: &webhooks,
            clock: c,
        };
        let retention = Arc::new(Retention::load(retention).await?);
        let devices = AuditDevices::new(records, Arc::clone(&trail), Arc::clone(&hmac));
        let keeper = Arc::new(Housekeeper {
            tokens: Arc::clone(&tokens),
            mounts: Arc::clone(&mounts),
            secrets: Arc::clone(&secrets),
            access_keys: Arc::clone(&access_keys),
            leases: Arc::clone(&leases),
            webhooks: Arc::clone(&webhooks),
            clock: Arc::clone(c),
            worked: Mutex::new(c.now()),
            emergency: Arc::clone(&emergency),
            incidents: Arc::clone(&incidents),
            wake: Notify::new(),
        });
        let open = Self {
            gate,
            tokens,
            identity,
            policies,
            passwords,
            settings: server_settings,
            quotas,
            mounts,
            secrets,
            access_keys,
            cubbyholes,
            wrapping,
            logins,
            leases,
            rotations,
            devices,
            rotation: Arc::new(rotation),
            inquiry,
            alerts,
            shipping,
            retention,
            webhooks,
            events,
            emergency,
            drills,
            incidents,
            census,
            rekeying,
            root_generation,
            barrier,
            clock,
            trail,
            hmac,
            trail_memory,
            keeper,
            tasks: Tasks::new(),
        };
        Ok(Arc::new(open))
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
        self.drills.begin();
        let keeper = Arc::clone(&self.keeper);
        self.tasks.start(|mut stop| async move {
            let mut every_second = tokio::time::interval(Duration::from_secs(1));
            every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = every_second.tick() => {}
                    () = keeper.wake.notified() => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                keeper.run().await;
            }
        });
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
        self.keeper.wake.notify_one();
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

/// How often auth methods are asked to do what is due.
const METHODS_WORK: Duration = Duration::from_secs(3_600);

/// Removes what is due: expired tokens, descendants of revoked ones, data of removed mounts.
struct Housekeeper {
    tokens: Arc<Tokens>,
    mounts: Arc<Mounts>,
    secrets: Arc<Secrets>,
    access_keys: Arc<AccessKeys>,
    leases: Arc<Leases>,
    webhooks: Arc<Webhooks>,
    clock: Arc<dyn Clock>,
    /// When auth methods were last asked to do what is due.
    worked: Mutex<Timestamp>,
    emergency: Arc<Emergency>,
    incidents: Arc<Incidents>,
    wake: Notify,
}

impl Housekeeper {
    async fn run(&self) {
        if let Err(error) = self.round().await {
            tracing::warn!(%error, "housekeeping could not finish; it is tried again in a second");
        }
    }

    async fn round(&self) -> Result<(), CoreError> {
        self.tokens.resume().await?;
        self.secrets.resume().await?;
        self.secrets.note_reads().await?;
        self.secrets.purge_due().await?;
        self.secrets.remind_due(&self.webhooks).await?;
        self.secrets.end_due().await?;
        self.access_keys.housekeep().await?;
        while self.tokens.sweep(256).await? == 256 {}
        self.leases.keep_house().await?;
        self.emergency.resume(&self.incidents).await?;
        for mount in self.mounts.to_wipe().await? {
            if let Err(error) = self.wipe(&mount).await {
                tracing::warn!(mount = %mount.path, %error, "a removed mount could not be wiped; it is tried again");
            }
        }
        self.let_methods_work().await;
        Ok(())
    }

    /// Wipes what a removed mount kept, when its leases are gone: until then they need what its engine knows.
    async fn wipe(&self, mount: &Mount) -> Result<(), CoreError> {
        if mount.class == MountClass::Secret && mount.kind == "kv" {
            self.secrets.wipe(mount).await?;
        } else if self.leases.end_mount(mount.id).await? {
            self.mounts.wipe_plugin(mount).await?;
            self.leases.forget_mount(mount.id).await?;
        } else {
            return Ok(());
        }
        self.mounts.wiped(mount).await
    }

    /// Asks each auth method to do what is due, once an hour. One that fails does not hold up the others.
    async fn let_methods_work(&self) {
        let mut worked = self.worked.lock().await;
        let now = self.clock.now();
        // A clock that was set back must not stop it for longer than an hour.
        if *worked <= now && now.since(*worked) < METHODS_WORK {
            return;
        }
        *worked = now;
        for mount in self.mounts.table().of(MountClass::Auth) {
            let Some(method) = self.mounts.table().method(mount.id) else { continue };
            if let Err(error) = method.work().await {
                tracing::warn!(mount = %mount.path, %error, "an auth method could not put itself in order; it is tried again in an hour");
            }
        }
    }
}
