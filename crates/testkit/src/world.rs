use crate::ManualClock;
use serde_json::Value;
use std::sync::Arc;
use strongroom_audit::{Options, Place, Trail};
use strongroom_barrier::SystemEntropy;
use strongroom_core::{Init, Open, Plugins, Setup, Share, SlotSpec, Strongroom};
use strongroom_model::{Clock, SecretString};
use strongroom_storage::{Entry, Epoch, Memory, Store};

/// What the program has: the kinds of auth method and secrets engine.
fn plugins() -> Plugins {
    strongroom_auth::plugins().with_all(strongroom_engines::plugins())
}

/// A strongroom in memory with a manual clock.
pub struct World {
    /// The strongroom.
    pub strongroom: Arc<Strongroom>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// Its trail.
    pub trail: Arc<Trail>,
    /// Its store, to be looked at or tampered with.
    pub store: Arc<dyn Store>,
}

impl World {
    /// A strongroom that was never initialised.
    pub async fn uninitialised() -> Self {
        Self::over(Arc::new(Memory::new())).await
    }

    /// A strongroom over a store that may hold something already.
    pub async fn over(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::new());
        let options = Options { ring: 400_000, ..Options::default() };
        let trail = Trail::open_with(Place::Memory, Arc::clone(&clock) as Arc<dyn Clock>, options).await;
        Self::with(store, clock, trail.expect("a trail in memory opens")).await
    }

    /// A strongroom over a store and a trail of the test's own.
    pub async fn with(store: Arc<dyn Store>, clock: Arc<ManualClock>, trail: Arc<Trail>) -> Self {
        Self::with_plugins(store, clock, trail, plugins()).await
    }

    /// As [`World::with`], with plug-ins of the test's own.
    pub async fn with_plugins(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        trail: Arc<Trail>,
        plugins: Plugins,
    ) -> Self {
        let setup = Setup {
            store: Arc::clone(&store),
            epoch: Epoch::default(),
            trail: Arc::clone(&trail),
            plugins: Arc::new(plugins),
            settings: Default::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
            static_keys: Vec::new(),
            accept_rollback: false,
        };
        let strongroom = Strongroom::start(setup).await.expect("a strongroom starts over this store");
        Self { strongroom, clock, trail, store }
    }

    /// An open strongroom with `secret/` mounted; gives its root token.
    pub async fn open() -> (Self, SecretString) {
        let world = Self::uninitialised().await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let made = world.strongroom.init_dev(init, None).await.expect("a fresh strongroom initialises");
        (world, made.root.client_token)
    }

    /// A sealed strongroom; gives its shares (threshold 2 of 3) and root token.
    pub async fn sealed() -> (Self, Vec<Share>, SecretString) {
        let world = Self::uninitialised().await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 3, threshold: 2 }] };
        let made = world.strongroom.init(init).await.expect("a fresh strongroom initialises");
        (world, made.shares, made.root.client_token)
    }

    /// The kinds of secrets engine that can be enabled, beside versioned secrets.
    pub fn engine_kinds() -> Vec<&'static str> {
        plugins().engine_kinds().collect()
    }

    /// The kinds of auth method that can be enabled.
    pub fn auth_kinds() -> Vec<&'static str> {
        plugins().auth_kinds().collect()
    }

    /// The lines of the trail so far, checkpoints left out.
    pub async fn entries(&self) -> Vec<Value> {
        let lines = self.trail.recent(usize::MAX).await;
        let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line of the trail is JSON"));
        parsed.filter(|line| line.get("path").is_some()).collect()
    }

    /// The entries that say how requests ended.
    pub async fn outcomes(&self) -> Vec<Value> {
        self.entries().await.into_iter().filter(|entry| entry["kind"] == "outcome").collect()
    }

    /// Everything in the store, byte for byte: to see that a refused request changed nothing, or to look for secrets.
    pub async fn snapshot(&self) -> Vec<Entry> {
        self.store.list(b"", None, usize::MAX).await.expect("a store in memory can be listed")
    }

    /// The rooms, while it is open.
    pub fn rooms(&self) -> Arc<Open> {
        self.strongroom.open().expect("the strongroom is open")
    }
}
