//! Builds the rooms of an open strongroom in four storeys, each from those below it: what everything stands on, who may do
//! something, what is held for them, and what watches over that. Nothing is started here and no work grows with the number
//! of secrets or tokens.

use super::keeper::Housekeeper;
use super::{Open, Parts, Settings};
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
use crate::mount::Mounts;
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
use crate::{CoreError, Cubbyholes};
use std::sync::Arc;
use strongroom_audit::Trail;
use strongroom_barrier::Barrier;
use strongroom_model::{Clock, Entropy, Ttl};
use tokio::sync::{Mutex, Notify};

/// Builds everything.
pub(super) async fn open(parts: Parts) -> Result<Open, CoreError> {
    let Parts { barrier, trail, plugins, metrics, doorway, settings, clock, entropy } = parts;
    let (plugins_of_rotation, longest_life) = (Arc::clone(&plugins), settings.max_lease_ttl);
    let ground = Ground::lay(barrier, trail, metrics, clock, entropy);
    let callers = Callers::build(&ground, plugins, settings).await?;
    let holdings = Holdings::build(&ground, &callers, &plugins_of_rotation).await?;
    let lookout = Lookout::build(&ground, &callers, &holdings, &doorway).await?;
    Ok(put_together(ground, callers, holdings, lookout, longest_life))
}

/// What every room stands on.
struct Ground {
    barrier: Arc<Barrier>,
    trail: Arc<Trail>,
    records: Arc<Records>,
    hmac: Arc<Hmac>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Ground {
    fn lay(
        barrier: Arc<Barrier>,
        trail: Arc<Trail>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let records = Arc::new(Records::new(Arc::clone(&barrier), &metrics, &clock));
        let hmac = Arc::new(Hmac::new(Arc::clone(&barrier)));
        let hub = Arc::new(Hub::new(Arc::clone(&clock), &*entropy));
        Self { barrier, trail, records, hmac, hub, metrics, clock, entropy }
    }

    fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records)
    }

    fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    fn trail(&self) -> Arc<Trail> {
        Arc::clone(&self.trail)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.entropy)
    }
}

/// Who may do something, and where.
struct Callers {
    blocks: Arc<Blocks>,
    identity: Arc<Identity>,
    policies: Arc<PolicyStore>,
    settings: ServerSettings,
    quotas: Arc<Quotas>,
    passwords: Arc<PasswordPolicies>,
    mounts: Arc<Mounts>,
    census: Arc<Census>,
    book: Arc<Book>,
    tokens: Arc<Tokens>,
    access_keys: Arc<AccessKeys>,
}

impl Callers {
    async fn build(ground: &Ground, plugins: Arc<Plugins>, settings: Settings) -> Result<Self, CoreError> {
        let blocks = Arc::new(Blocks::load(ground.records()).await?);
        let identity = Arc::new(Identity::new(ground.records(), &ground.metrics, ground.clock(), ground.entropy()));
        let policies = Arc::new(PolicyStore::new(ground.records(), &ground.metrics, &ground.clock));
        policies.ensure_default().await?;
        let passwords = Arc::new(PasswordPolicies::new(ground.records(), ground.entropy()));
        let mounts = Mounts::load(
            ground.records(),
            plugins,
            Arc::clone(&passwords),
            ground.hub(),
            ground.clock(),
            ground.entropy(),
        );
        let mounts = Arc::new(mounts.await?);
        let census = Arc::new(Census::new(&ground.records, &mounts, &ground.clock, settings.usage_gauges));
        let book = Arc::new(Book::new(ground.records(), ground.clock()));
        let tokens = Arc::new(Tokens::new(
            ground.records(),
            Arc::clone(&identity),
            Arc::clone(&mounts),
            Arc::clone(&book),
            Arc::clone(&blocks),
            ground.hub(),
            settings,
            &ground.metrics,
            ground.clock(),
            ground.entropy(),
        ));
        let access_keys = AccessKeys::new(ground.records(), Arc::clone(&identity), ground.clock(), ground.entropy());
        Ok(Self {
            settings: ServerSettings::load(&ground.records, &ground.hmac, &*ground.clock).await?,
            quotas: Arc::new(Quotas::load(&ground.records).await?),
            access_keys: Arc::new(access_keys),
            blocks,
            identity,
            policies,
            passwords,
            mounts,
            census,
            book,
            tokens,
        })
    }
}

/// What is held for callers, and made for them.
struct Holdings {
    secrets: Arc<Secrets>,
    cubbyholes: Arc<Cubbyholes>,
    wrapping: Wrapping,
    leases: Arc<Leases>,
    webhooks: Arc<Webhooks>,
    rotations: Arc<Rotations>,
}

impl Holdings {
    async fn build(ground: &Ground, callers: &Callers, plugins: &Plugins) -> Result<Self, CoreError> {
        let Ground { records, trail, hmac, hub, metrics, clock, entropy, .. } = ground;
        let Callers { mounts, tokens, identity, access_keys, passwords, quotas, book, .. } = callers;
        let secrets = Arc::new(Secrets::new(ground.records(), ground.hub(), ground.clock(), ground.entropy()));
        let leases = Leases::new(LeaseParts {
            book,
            mounts,
            tokens,
            identity,
            quotas,
            trail,
            events: hub,
            metrics,
            clock,
            entropy,
        });
        let webhooks = Arc::new(Webhooks::load(records, trail, metrics, clock, entropy).await?);
        let rotations = Rotations::new(RotationParts {
            records,
            methods: &plugins.methods,
            mounts,
            secrets: &secrets,
            access_keys,
            passwords,
            trail,
            metrics,
            webhooks: &webhooks,
            alarms: plugins.alarms.clone(),
            clock,
            entropy,
        });
        Ok(Self {
            cubbyholes: Arc::new(Cubbyholes::new(ground.records())),
            wrapping: Wrapping::new(ground.records(), Arc::clone(tokens), Arc::clone(hmac)),
            leases: Arc::new(leases),
            rotations: Arc::new(rotations),
            secrets,
            webhooks,
        })
    }
}

/// What watches over all that, tells of it, and cuts it off.
struct Lookout {
    inquiry: Inquiry,
    incidents: Arc<Incidents>,
    emergency: Arc<Emergency>,
    events: Events,
    shipping: Arc<Shipping>,
    alerts: Arc<Alerts>,
    drills: Arc<Drills>,
    trail_memory: Arc<TrailMemory>,
    retention: Arc<Retention>,
    devices: AuditDevices,
}

impl Lookout {
    async fn build(
        ground: &Ground,
        callers: &Callers,
        holdings: &Holdings,
        doorway: &Arc<Doorway>,
    ) -> Result<Self, CoreError> {
        let Ground { barrier, records, trail, metrics, clock, .. } = ground;
        let Callers { mounts, identity, policies, tokens, .. } = callers;
        let incidents = Arc::new(Incidents::new(
            ground.records(),
            ground.trail(),
            (Arc::clone(mounts), Arc::clone(identity)),
            ground.hub(),
            Arc::clone(&holdings.webhooks),
        ));
        let emergency = Arc::new(Emergency::new(rooms_to_cut_off(ground, callers, holdings)));
        emergency.attach(Arc::clone(&holdings.rotations) as Arc<dyn Rotate>);
        let shipping = Arc::new(Shipping::load(records, trail, metrics, clock).await?);
        let drills = Drills::load(records, rooms_to_drill_in(ground, callers, holdings, &emergency), doorway).await?;
        let trail_memory = Arc::new(TrailMemory::new(Arc::clone(barrier), ground.trail()));
        let retention = Retention::load(RetentionParts {
            records,
            trail,
            barrier,
            memory: &trail_memory,
            shipping: &shipping,
            incidents: &incidents,
            webhooks: &holdings.webhooks,
            clock,
        });
        Ok(Self {
            inquiry: Inquiry::new(trail, mounts, &holdings.secrets, identity, policies, barrier, clock),
            events: Events::new(ground.hub(), Arc::clone(tokens), Arc::clone(identity), Arc::clone(policies)),
            alerts: Arc::new(
                Alerts::load(records, trail, &holdings.webhooks, metrics, clock, (mounts, identity)).await?,
            ),
            devices: AuditDevices::new(ground.records(), ground.trail(), Arc::clone(&ground.hmac)),
            retention: Arc::new(retention.await?),
            incidents,
            drills: Arc::new(drills),
            emergency,
            shipping,
            trail_memory,
        })
    }
}

fn rooms_to_cut_off(ground: &Ground, callers: &Callers, holdings: &Holdings) -> Rooms {
    Rooms {
        mounts: Arc::clone(&callers.mounts),
        identity: Arc::clone(&callers.identity),
        tokens: Arc::clone(&callers.tokens),
        access_keys: Arc::clone(&callers.access_keys),
        blocks: Arc::clone(&callers.blocks),
        leases: Arc::clone(&holdings.leases),
        secrets: Arc::clone(&holdings.secrets),
        trail: ground.trail(),
        clock: ground.clock(),
        entropy: ground.entropy(),
    }
}

fn rooms_to_drill_in(
    ground: &Ground,
    callers: &Callers,
    holdings: &Holdings,
    emergency: &Arc<Emergency>,
) -> DrillRooms {
    DrillRooms {
        mounts: Arc::clone(&callers.mounts),
        identity: Arc::clone(&callers.identity),
        policies: Arc::clone(&callers.policies),
        tokens: Arc::clone(&callers.tokens),
        access_keys: Arc::clone(&callers.access_keys),
        leases: Arc::clone(&holdings.leases),
        secrets: Arc::clone(&holdings.secrets),
        rotations: Arc::clone(&holdings.rotations),
        webhooks: Arc::clone(&holdings.webhooks),
        emergency: Arc::clone(emergency),
        trail: ground.trail(),
        metrics: Arc::clone(&ground.metrics),
        clock: ground.clock(),
        entropy: ground.entropy(),
    }
}

/// The one way in, with what it asks.
fn gate(ground: &Ground, callers: &Callers, holdings: &Holdings) -> Gate {
    Gate::new(
        Arc::clone(&callers.tokens),
        Arc::clone(&callers.identity),
        Arc::clone(&callers.policies),
        Arc::clone(&holdings.secrets),
        Arc::clone(&holdings.cubbyholes),
        Arc::clone(&holdings.leases),
        Arc::clone(&callers.blocks),
        ground.trail(),
        Arc::clone(&ground.hmac),
        ground.clock(),
    )
}

fn housekeeper(ground: &Ground, callers: &Callers, holdings: &Holdings, lookout: &Lookout) -> Housekeeper {
    Housekeeper {
        tokens: Arc::clone(&callers.tokens),
        mounts: Arc::clone(&callers.mounts),
        access_keys: Arc::clone(&callers.access_keys),
        secrets: Arc::clone(&holdings.secrets),
        leases: Arc::clone(&holdings.leases),
        webhooks: Arc::clone(&holdings.webhooks),
        emergency: Arc::clone(&lookout.emergency),
        incidents: Arc::clone(&lookout.incidents),
        clock: ground.clock(),
        worked: Mutex::new(ground.clock.now()),
        wake: Notify::new(),
    }
}

fn put_together(ground: Ground, callers: Callers, holdings: Holdings, lookout: Lookout, longest_life: Ttl) -> Open {
    let gate = gate(&ground, &callers, &holdings);
    let keeper = Arc::new(housekeeper(&ground, &callers, &holdings, &lookout));
    let barrier = || Arc::clone(&ground.barrier);
    let rotation =
        Rotation::new(barrier(), ground.records(), Arc::clone(&callers.mounts), longest_life, ground.clock());
    let root_generation = RootGeneration::new(barrier(), Arc::clone(&callers.tokens), ground.clock(), ground.entropy());
    Open {
        gate,
        logins: Logins::new(Arc::clone(&callers.mounts), Arc::clone(&callers.identity), Arc::clone(&callers.tokens)),
        rotation: Arc::new(rotation),
        rekeying: Rekeying::new(barrier()),
        root_generation,
        keeper,
        tasks: Tasks::new(),
        tokens: callers.tokens,
        identity: callers.identity,
        policies: callers.policies,
        passwords: callers.passwords,
        settings: callers.settings,
        quotas: callers.quotas,
        mounts: callers.mounts,
        census: callers.census,
        access_keys: callers.access_keys,
        secrets: holdings.secrets,
        cubbyholes: holdings.cubbyholes,
        wrapping: holdings.wrapping,
        leases: holdings.leases,
        rotations: holdings.rotations,
        webhooks: holdings.webhooks,
        devices: lookout.devices,
        inquiry: lookout.inquiry,
        alerts: lookout.alerts,
        shipping: lookout.shipping,
        retention: lookout.retention,
        events: lookout.events,
        emergency: lookout.emergency,
        drills: lookout.drills,
        incidents: lookout.incidents,
        trail_memory: lookout.trail_memory,
        barrier: ground.barrier,
        clock: ground.clock,
        trail: ground.trail,
        hmac: ground.hmac,
    }
}
