//! The whole server without its doors: from a store and a trail to an open strongroom, and back to a sealed one.

use crate::access_key::{AccessKeyId, MadeKey};
use crate::drill::{Door as DrillDoor, Doorway};
use crate::gate::entry_of;
use crate::metrics::{Labels, Metrics};
use crate::open::{Open, Parts, Settings};
use crate::plugin::Plugins;
use crate::snapshot::RestoreOrder;
use crate::{Auth, CoreError, Grant, Visit, audit, boxed};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use strongroom_audit::{DecisionNote, Entry, EntryKind, Outcome, Trail, TrailHealth, Word};
use strongroom_barrier::{
    Barrier, BarrierError, Door, Heir, Init, Opening, SealKind, SealStatus, Sealed, Share, SlotSpec, Uninitialised,
};
use strongroom_model::{Clock, Entropy, Kinded, Names, RequestId, SecretBytes, SecretString};
use strongroom_storage::{Committed, Epoch, Store};
use tokio::sync::Mutex;

/// What the binary gives.
pub struct Setup {
    /// Where ciphertext is kept.
    pub store: Arc<dyn Store>,
    /// The right to write to it.
    pub epoch: Epoch,
    /// Where every request is recorded.
    pub trail: Arc<Trail>,
    /// Auth methods.
    pub plugins: Arc<Plugins>,
    /// Lifetimes.
    pub settings: Settings,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What the key files hold, when a static seal is configured: the current key first, then one being replaced. The
    /// first that fits opens at start; the current one becomes a slot at initialisation.
    pub static_keys: Vec<SecretBytes>,
    /// Take a store that is older than the trail knows, or another trail than the store knows (after one of them was
    /// restored on purpose).
    pub accept_rollback: bool,
}

/// What the server is at this moment.
#[derive(Clone)]
pub enum State {
    /// Never initialised.
    Uninitialised(Arc<Uninitialised>),
    /// Waiting for its shares.
    Sealed(Arc<Sealed>),
    /// Serving.
    Open(Arc<Open>),
}

/// What initialisation made, shown once.
pub struct Initialised {
    /// The unseal shares.
    pub shares: Vec<Share>,
    /// The first root token.
    pub root: Auth,
}

/// Proof that somebody who may seal asked for it. Carried out after the request is recorded, since recording needs keys.
pub struct SealOrder(());

impl SealOrder {
    /// The order that a grant of the seal endpoint gives.
    pub fn new(_grant: &Grant) -> Self {
        Self(())
    }
}

/// The server without its doors.
pub struct Strongroom {
    setup: Setup,
    state: ArcSwap<State>,
    metrics: Arc<Metrics>,
    /// Ids of requests.
    names: Names,
    /// Where drills come in.
    doorway: Arc<Doorway>,
    /// The store was replaced by a snapshot since it was last open, so that it need not continue what the trail knows.
    restored: AtomicBool,
    /// Initialised by this process, and nobody was given the keys yet.
    unseen: AtomicBool,
    /// Held while the state changes.
    changing: Mutex<()>,
}

impl Strongroom {
    /// Looks at the store; opens at once when a static key fits.
    pub async fn start(setup: Setup) -> Result<Arc<Self>, CoreError> {
        let state = look(&setup).await?;
        let (metrics, restored) = (Arc::new(Metrics::default()), AtomicBool::new(false));
        let sealing = metrics.timing("vault.core.seal-internal", Labels::new());
        metrics.also_name(&sealing, "vault.core.seal");
        let strongroom = Self {
            names: Names::of(Arc::clone(&setup.entropy)),
            setup,
            state: ArcSwap::from_pointee(state),
            metrics,
            doorway: Arc::default(),
            restored,
            unseen: AtomicBool::new(false),
            changing: Mutex::new(()),
        };
        strongroom.open_by_key_file().await?;
        Ok(Arc::new(strongroom))
    }

    /// What it is at this moment.
    pub fn state(&self) -> State {
        State::clone(&self.state.load())
    }

    /// The open strongroom, or the reason why there is none.
    pub fn open(&self) -> Result<Arc<Open>, CoreError> {
        match &**self.state.load() {
            State::Open(open) => Ok(Arc::clone(open)),
            State::Sealed(_) => Err(CoreError::Sealed),
            State::Uninitialised(_) => Err(CoreError::Uninitialised),
        }
    }

    /// Lets drills come in by a door like anybody. Once per opening of the doors; a later one takes its place.
    pub fn open_door(&self, door: Arc<dyn DrillDoor>) {
        self.doorway.set(door);
    }

    /// How the trail does.
    pub fn trail_health(&self) -> TrailHealth {
        self.setup.trail.health()
    }

    /// What is counted, sealed or open.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Time, as everything below sees it.
    pub fn clock(&self) -> &dyn Clock {
        &*self.setup.clock
    }

    /// Randomness, as everything below sees it.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.setup.entropy
    }

    /// The id of a request that has just come.
    pub fn name_request(&self) -> RequestId {
        RequestId::random(&self.names)
    }

    /// Makes keys, shares and the first root token. With shares the server is sealed afterwards, as Vault's; with a key
    /// file alone it is open.
    pub async fn init(&self, mut init: Init) -> Result<Initialised, CoreError> {
        if let Some(key) = self.setup.static_keys.first() {
            init.slots.push(SlotSpec::Static { key: key.duplicate() });
        }
        self.init_with(init, None).await
    }

    /// As [`Strongroom::init`] for a development server: a chosen root token, `secret/` mounted, open when it returns.
    pub async fn init_dev(&self, init: Init, root: Option<SecretString>) -> Result<Initialised, CoreError> {
        let initialised = self.init_with(init, Some(root)).await?;
        Ok(initialised)
    }

    async fn init_with(&self, init: Init, dev: Option<Option<SecretString>>) -> Result<Initialised, CoreError> {
        let _guard = self.changing.lock().await;
        let State::Uninitialised(door) = self.state() else {
            return Err(CoreError::Invalid("Vault is already initialized".to_owned()));
        };
        let outcome = door.init(init, self.setup.clock.now()).await?;
        let open = boxed(|| self.build(outcome.barrier)).await?;
        let for_people = dev.is_none();
        let stays_open = dev.is_some() || !self.setup.static_keys.is_empty();
        if dev.is_some() {
            open.mount_dev_secrets().await?;
        }
        let root = open.root_token(dev.flatten()).await?;
        if stays_open {
            boxed(|| open.begin()).await?;
            self.state.store(Arc::new(State::Open(open)));
        } else {
            open.end().await;
            self.state.store(Arc::new(look(&self.setup).await?));
        }
        self.unseen.store(for_people, Ordering::SeqCst);
        Ok(Initialised { shares: outcome.shares, root })
    }

    /// Ends initialising: with the keys given out, or (when that could not be recorded, so that nobody gets to see them)
    /// with the store as empty as before, since nobody could ever open it.
    pub async fn settle_init(&self, given_out: bool) -> Result<(), CoreError> {
        let _guard = self.changing.lock().await;
        if !self.unseen.swap(false, Ordering::SeqCst) || given_out {
            return Ok(());
        }
        if let State::Open(open) = self.state() {
            self.state.store(Arc::new(look(&self.setup).await?));
            open.end().await;
        }
        let emptied = self.setup.store.replace(self.setup.epoch, Box::new(std::iter::empty())).await;
        emptied.map_err(BarrierError::from)?;
        tracing::error!("initialising was taken back, because it could not be recorded in the audit trail");
        self.state.store(Arc::new(look(&self.setup).await?));
        Ok(())
    }

    /// Takes one unseal share. On an open server nothing happens, as with Vault.
    pub async fn unseal(&self, share: Share) -> Result<SealStatus, CoreError> {
        let _guard = self.changing.lock().await;
        let sealed = match self.state() {
            State::Open(open) => return Ok(open.seal_status()),
            State::Uninitialised(_) => return Err(CoreError::Uninitialised),
            State::Sealed(sealed) => sealed,
        };
        match self.metrics.watch("vault.core.unseal", &self.setup.clock).over(|| sealed.submit(share)).await? {
            Opening::Progress(status) => Ok(status),
            Opening::Open(barrier) => {
                let open = self.enter(barrier).await?;
                Ok(open.seal_status())
            }
        }
    }

    /// Forgets the shares handed in so far.
    pub fn reset_unseal(&self) {
        if let State::Sealed(sealed) = self.state() {
            sealed.reset();
        }
    }

    /// The root token of `-dev` on data that was kept: the one that is there, with all that hangs on it, or a new one
    /// beside those that exist.
    pub async fn dev_root(&self, root: Option<SecretString>) -> Result<SecretString, CoreError> {
        let open = self.open()?;
        open.mount_dev_secrets().await?;
        if let Some(known) = &root
            && let Some(bearer) = open.tokens.find(known).await?
        {
            let token = bearer.token();
            if token.is_root() && token.expires.is_none() && !bearer.is_counted() {
                return Ok(known.duplicate());
            }
            if let Some(key) = bearer.key() {
                open.tokens.revoke_orphan(key).await?;
            }
        }
        Ok(open.root_token(root).await?.client_token)
    }

    /// Makes an access key for whoever holds `root`, for `-dev`: with an id and a secret of the user's choice, or fresh.
    pub async fn dev_access_key(&self, chosen: Option<(String, SecretString)>) -> Result<MadeKey, CoreError> {
        let chosen = chosen.map(|(id, secret)| Ok::<_, CoreError>((AccessKeyId::parse(&id)?, secret))).transpose()?;
        self.open()?.access_keys.create_root(chosen).await
    }

    /// Lifetimes, as an operator set them.
    pub fn settings(&self) -> &Settings {
        &self.setup.settings
    }

    /// Seals: later requests are refused, running ones end, keys are wiped.
    pub async fn seal(&self, _order: SealOrder) -> Result<(), CoreError> {
        self.seal_now().await
    }

    async fn seal_now(&self) -> Result<(), CoreError> {
        let _guard = self.changing.lock().await;
        if let State::Open(open) = self.state() {
            let clock = &self.setup.clock;
            self.metrics.watch("vault.core.seal-internal", clock).over(|| self.shut(&open)).await?;
        }
        Ok(())
    }

    async fn shut(&self, open: &Open) -> Result<(), CoreError> {
        self.state.store(Arc::new(look(&self.setup).await?));
        self.metrics.watch("vault.core.pre_seal", &self.setup.clock).over(|| open.end()).await;
        Ok(())
    }

    /// Replaces the store by a snapshot. Requests under way end first; the server is sealed while it lasts, and open
    /// again when the keys of before open what was restored (else it waits for the unseal keys of the snapshot, or a key
    /// file opens it). When it fails, or the process is killed on the way, the store is as it was.
    pub async fn restore(&self, order: RestoreOrder) -> Result<(), CoreError> {
        let _guard = self.changing.lock().await;
        let open = self.open()?;
        // Unseal keys may have been replaced since it was examined.
        if !order.forced {
            open.check_belongs(&order.report)?;
        }
        let heir = open.barrier.heir()?;
        let report = order.report.clone();
        let rows = order.into_rows()?;
        self.state.store(Arc::new(look(&self.setup).await?));
        open.end().await;
        drop(open);
        let replaced = match self.setup.store.replace(self.setup.epoch, rows).await {
            Ok(Committed::At(_)) => Ok(()),
            Ok(Committed::Unknown) => Err(BarrierError::Unknown.into()),
            Ok(Committed::Conflict(_) | Committed::Fenced) => Err(BarrierError::Superseded.into()),
            Err(error) => Err(CoreError::from(BarrierError::from(error))),
        };
        self.restored.store(replaced.is_ok(), Ordering::SeqCst);
        let what = format!("the snapshot {} of the strongroom {}", report.digest, report.meta.cluster_id);
        let note = match &replaced {
            Ok(()) => format!("the store was replaced by {what}, of generation {}", report.meta.generation),
            Err(error) => format!("the store could not be replaced by {what}: {error}"),
        };
        let noted = self.setup.trail.append(Entry::event("snapshot_restored", "sys/storage/raft/snapshot", note)).await;
        self.state.store(Arc::new(look(&self.setup).await?));
        self.open_again(&heir).await?;
        noted?;
        replaced
    }

    async fn open_again(&self, heir: &Heir) -> Result<(), CoreError> {
        let State::Sealed(sealed) = self.state() else { return Ok(()) };
        if !sealed.is_open_to(heir) {
            return self.open_by_key_file().await;
        }
        let barrier = sealed.reopen(heir).await?;
        self.enter(barrier).await.map(|_| ())
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.setup.store
    }

    /// Records that a change is about to be made through an endpoint that no gate guards (initialise, unseal).
    pub async fn note_intent(&self, visit: &Visit, operation: impl Into<Word>) -> Result<(), CoreError> {
        self.setup.trail.append(entry_of(visit, EntryKind::Intent, operation, self.setup.clock.now())).await?;
        Ok(())
    }

    /// Records a request that no open gate saw: while sealed or uninitialised, or one so malformed that it has no path.
    pub async fn note<T>(
        &self,
        visit: &Visit,
        operation: impl Into<Word>,
        result: &Result<T, CoreError>,
    ) -> Result<(), CoreError> {
        let mut entry = entry_of(visit, EntryKind::Outcome, operation, self.setup.clock.now());
        entry.decision = Some(DecisionNote {
            granted: result.is_ok(),
            policy: None,
            rule: None,
            line: None,
            reason: if result.is_ok() { "unauthenticated endpoint" } else { "refused at the door" }.into(),
        });
        entry.outcome = Some(match result {
            Ok(_) => Outcome::ok(),
            Err(error) => Outcome::failed(error.kind(), error.to_string()),
        });
        self.setup.trail.append(entry).await?;
        Ok(())
    }

    /// Reopens the files of audit devices, after they were moved away.
    pub async fn reopen_devices(&self) {
        self.setup.trail.reopen().await;
    }

    /// Lets nobody wait for events any more: the doors are about to close, and streams have no end of their own.
    pub fn hush(&self) {
        if let State::Open(open) = self.state() {
            open.events.hush();
        }
    }

    /// Ends: seals if open, closes the trail.
    pub async fn close(&self) {
        if let Err(error) = self.seal_now().await {
            tracing::error!(%error, "the store could not be looked at while closing");
        }
        self.setup.trail.close().await;
    }

    /// What opens the store, or will when it is initialised: a key file, if it is to open by itself.
    pub fn seal_kind(&self) -> SealKind {
        match self.state() {
            State::Uninitialised(_) if self.setup.static_keys.is_empty() => SealKind::Shamir,
            State::Uninitialised(_) => SealKind::Static,
            State::Sealed(sealed) => sealed.status().kind,
            State::Open(open) => open.seal_status().kind,
        }
    }

    async fn open_by_key_file(&self) -> Result<(), CoreError> {
        let State::Sealed(sealed) = self.state() else { return Ok(()) };
        if !sealed.has(SealKind::Static) {
            return Ok(());
        }
        for key in &self.setup.static_keys {
            match sealed.open_static(key).await {
                Ok(barrier) => return self.enter(barrier).await.map(|_| ()),
                Err(error) => tracing::error!(%error, "the server stays sealed: a key file does not open it"),
            }
        }
        Ok(())
    }

    /// From keys to serving. A store that is older than the trail's last checkpoint is refused, and a trail that does
    /// not continue what the store remembers of it.
    async fn enter(&self, barrier: Arc<Barrier>) -> Result<Arc<Open>, CoreError> {
        let accept = self.setup.accept_rollback || self.restored.load(Ordering::SeqCst);
        if let Err(error) = audit::compare(&barrier, &self.setup.trail, accept).await {
            barrier.close().await;
            return Err(error);
        }
        let opening = || async {
            // What opening takes room for would be carried by all that waits for it.
            let open = boxed(|| self.build(barrier)).await?;
            boxed(|| open.begin()).await.map(|()| open)
        };
        let open = self.metrics.watch("vault.core.post_unseal", &self.setup.clock).over(opening).await?;
        self.restored.store(false, Ordering::SeqCst);
        self.state.store(Arc::new(State::Open(Arc::clone(&open))));
        Ok(open)
    }

    async fn build(&self, barrier: Arc<Barrier>) -> Result<Arc<Open>, CoreError> {
        let parts = Parts {
            barrier,
            trail: Arc::clone(&self.setup.trail),
            plugins: Arc::clone(&self.setup.plugins),
            metrics: Arc::clone(&self.metrics),
            doorway: Arc::clone(&self.doorway),
            settings: self.setup.settings.clone(),
            clock: Arc::clone(&self.setup.clock),
            entropy: Arc::clone(&self.setup.entropy),
        };
        Open::new(parts).await
    }
}

async fn look(setup: &Setup) -> Result<State, CoreError> {
    let door = Door::of(Arc::clone(&setup.store), setup.epoch, Arc::clone(&setup.entropy)).await?;
    Ok(match door {
        Door::Uninitialised(door) => State::Uninitialised(Arc::new(door)),
        Door::Sealed(sealed) => State::Sealed(Arc::new(sealed)),
    })
}
