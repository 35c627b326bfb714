use super::roster::Roster;
use super::{MountConfig, MountSpec, Neighbours};
use crate::event::{Hub, Note};
use crate::memo::Memo;
use crate::password_policy::PasswordPolicies;
use crate::plugin::{AuthMethod, MountContext, Plugins, SecretsEngine};
use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant};
use ahash::AHashMap;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use strongroom_audit::{MountNote, Spelt};
use strongroom_barrier::{Address, BarrierError, Shelf, Txn};
use strongroom_model::{Clock, Entropy, MountId, MountPath, NamespaceId, RequestPath};
use tokio::sync::Mutex;

/// Which table a mount belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountClass {
    /// A secrets engine.
    Secret,
    /// An auth method.
    Auth,
}

impl MountClass {
    /// The word of the trail and of Vault's audit format.
    pub fn word(self) -> &'static str {
        match self {
            MountClass::Secret => "secret",
            MountClass::Auth => "auth",
        }
    }
}

/// One mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Stays when the mount is moved.
    pub id: MountId,
    /// A handle for people and policies: `kv_1a2b3c4d`.
    pub accessor: String,
    /// Where it is; auth mounts begin with `auth/`.
    pub path: MountPath,
    /// Secrets engine or auth method.
    pub class: MountClass,
    /// The engine or method.
    pub kind: String,
    /// What people write about it.
    pub description: String,
    /// `version` and so on.
    pub options: BTreeMap<String, String>,
    /// Its settings.
    pub config: MountConfig,
    /// Accepted and given back.
    pub local: bool,
    /// Accepted and given back.
    pub seal_wrap: bool,
    /// How the trail names it.
    #[serde(skip)]
    note: Memo<Spelt<MountNote>>,
}

impl Mount {
    /// How the trail names it.
    pub fn note(&self) -> Spelt<MountNote> {
        let note = || MountNote {
            path: self.path.to_string(),
            kind: self.kind.clone(),
            accessor: self.accessor.clone(),
            class: self.class.word().to_owned(),
        };
        self.note.get_or_make(|| note().into()).clone()
    }

    /// Whether it is one of those that always exist and can be neither removed nor moved.
    pub fn is_builtin(&self) -> bool {
        BUILTIN.iter().any(|(path, ..)| *path == self.path.as_str())
    }

    /// Whether this is a KV mount that keeps versions.
    pub fn is_versioned_kv(&self) -> bool {
        self.kind == "kv" && self.options.get("version").is_some_and(|version| version == "2")
    }
}

/// Mounts that always exist: path, kind, class, description.
const BUILTIN: [(&str, &str, MountClass, &str); 4] = [
    ("sys", "system", MountClass::Secret, "system endpoints used for control, policy and debugging"),
    ("identity", "identity", MountClass::Secret, "identity store"),
    ("cubbyhole", "cubbyhole", MountClass::Secret, "per-token private secret storage"),
    ("auth/token", "token", MountClass::Auth, "token based credentials"),
];

/// What is mounted, at one moment.
#[derive(Default, Clone)]
pub struct MountTable {
    by_path: AHashMap<String, Arc<Mount>>,
    by_id: HashMap<MountId, Arc<Mount>>,
    methods: HashMap<MountId, Arc<dyn AuthMethod>>,
    /// Those of removed mounts too, as long as they have leases to revoke.
    engines: HashMap<MountId, Arc<dyn SecretsEngine>>,
    /// Mounts that serve nobody any more, whose data is still to be wiped.
    removed: HashMap<MountId, Arc<Mount>>,
}

/// A running plug-in.
#[derive(Clone)]
enum Plugin {
    /// A mount that the core or a dialect serves itself.
    None,
    Method(Arc<dyn AuthMethod>),
    Engine(Arc<dyn SecretsEngine>),
}

impl Plugin {
    fn method(&self) -> Option<&dyn AuthMethod> {
        match self {
            Plugin::Method(method) => Some(&**method),
            Plugin::None | Plugin::Engine(_) => None,
        }
    }
}

/// Refuses to tune when somebody is shut out where nobody ever is.
fn check_lockout(mount: &Mount, method: Option<&dyn AuthMethod>) -> Result<(), CoreError> {
    match mount.config.lockout {
        Some(_) if method.and_then(AuthMethod::lockout).is_none() => Err(CoreError::Invalid(format!(
            "tuning of user lockout configuration for type \"{}\" not allowed: it shuts nobody out",
            mount.kind
        ))),
        _ => Ok(()),
    }
}

impl MountTable {
    /// The mount that a path lies in (the longest that fits), and what follows it in the path.
    pub fn resolve<'p>(&self, path: &'p RequestPath) -> Option<(Arc<Mount>, &'p str)> {
        let mut end = path.as_str().len();
        loop {
            let prefix = path.as_str().get(..end)?;
            if let Some(mount) = self.by_path.get(prefix) {
                return Some((Arc::clone(mount), path.below(&mount.path)?));
            }
            end = prefix.rfind('/')?;
        }
    }

    /// The mount with that id.
    pub fn by_id(&self, id: MountId) -> Option<&Arc<Mount>> {
        self.by_id.get(&id)
    }

    /// The mount with that accessor.
    pub fn by_accessor(&self, accessor: &str) -> Option<&Arc<Mount>> {
        self.by_id.values().find(|mount| mount.accessor == accessor)
    }

    /// The mount at exactly that path.
    pub fn at(&self, path: &MountPath) -> Option<&Arc<Mount>> {
        self.by_path.get(path.as_str())
    }

    /// The running auth method of a mount.
    pub fn method(&self, id: MountId) -> Option<Arc<dyn AuthMethod>> {
        self.methods.get(&id).cloned()
    }

    /// The running engine of a mount, also of a removed one that is not wiped yet.
    pub fn engine(&self, id: MountId) -> Option<Arc<dyn SecretsEngine>> {
        self.engines.get(&id).cloned()
    }

    /// The mount with that id, also a removed one that is not wiped yet.
    pub fn known(&self, id: MountId) -> Option<&Arc<Mount>> {
        self.by_id.get(&id).or_else(|| self.removed.get(&id))
    }

    /// Removed mounts that are not wiped yet.
    pub fn removed(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.removed.values()
    }

    /// Every mount that may have leases, removed ones too.
    pub(crate) fn with_leases(&self) -> impl Iterator<Item = MountId> {
        let live = self.by_id.values().filter(|mount| mount.class == MountClass::Secret && mount.kind != "kv");
        live.filter(|mount| !mount.is_builtin()).map(|mount| mount.id).chain(self.removed.keys().copied())
    }

    /// Every running engine with its mount.
    pub fn engines(&self) -> impl Iterator<Item = (&Arc<Mount>, &Arc<dyn SecretsEngine>)> {
        self.engines.iter().filter_map(|(id, engine)| Some((self.known(*id)?, engine)))
    }

    /// All mounts of a class, in the order of their paths.
    pub fn of(&self, class: MountClass) -> Vec<Arc<Mount>> {
        let mut mounts: Vec<_> = self.by_id.values().filter(|mount| mount.class == class).cloned().collect();
        mounts.sort_by(|a, b| a.path.cmp(&b.path));
        mounts
    }

    fn insert(&mut self, mount: Mount, plugin: Plugin) {
        let mount = Arc::new(mount);
        self.by_path.insert(mount.path.as_str().to_owned(), Arc::clone(&mount));
        match plugin {
            Plugin::None => {}
            Plugin::Method(method) => drop(self.methods.insert(mount.id, method)),
            Plugin::Engine(engine) => drop(self.engines.insert(mount.id, engine)),
        }
        self.by_id.insert(mount.id, mount);
    }

    /// Puts another state of a mount in place of the one that is there.
    fn replace(&mut self, mount: Mount) {
        if let Some(old) = self.by_id.get(&mount.id) {
            self.by_path.remove(old.path.as_str());
        }
        self.insert(mount, Plugin::None);
    }

    /// A mount that is still to be wiped; its engine goes on revoking.
    fn retire(&mut self, mount: Mount, plugin: Plugin) {
        if let Plugin::Engine(engine) = plugin {
            self.engines.insert(mount.id, engine);
        }
        self.removed.insert(mount.id, Arc::new(mount));
    }

    fn remove(&mut self, id: MountId) {
        self.methods.remove(&id);
        if let Some(mount) = self.by_id.remove(&id) {
            self.by_path.remove(mount.path.as_str());
            self.removed.insert(id, mount);
        }
    }

    /// Forgets a removed mount; gives its engine, to be closed.
    fn forget(&mut self, id: MountId) -> Option<Arc<dyn SecretsEngine>> {
        self.removed.remove(&id);
        self.engines.remove(&id)
    }
}

/// Changes the table and keeps it.
pub struct Mounts {
    records: Arc<Records>,
    plugins: Arc<Plugins>,
    passwords: Arc<PasswordPolicies>,
    events: Arc<Hub>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    table: Arc<ArcSwap<MountTable>>,
    /// Held by a plug-in that is about to take a login which another may take too.
    taking: Arc<Mutex<()>>,
    /// Held while the table changes; readers never wait for it.
    changing: Mutex<()>,
}

const ROOT: NamespaceId = NamespaceId::ROOT;

fn shelf() -> Shelf {
    Shelf::new("mount", ROOT)
}

/// Where a mount is kept, for who must see that it is still there.
pub(crate) fn mount_at(id: MountId) -> Address {
    shelf().named(id.as_bytes())
}

/// Mounts whose data is still to be wiped.
fn wiping() -> Shelf {
    Shelf::new("mount-wiping", ROOT)
}

impl Mounts {
    /// Loads the table; the mounts that always exist are made on the first start.
    pub(crate) async fn load(
        records: Arc<Records>,
        plugins: Arc<Plugins>,
        passwords: Arc<PasswordPolicies>,
        events: Arc<Hub>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CoreError> {
        let mounts = Self {
            records,
            plugins,
            passwords,
            events,
            clock,
            entropy,
            table: Arc::new(ArcSwap::from_pointee(MountTable::default())),
            taking: Arc::default(),
            changing: Mutex::new(()),
        };
        let mut table = MountTable::default();
        for listed in mounts.records.scan_all::<Mount>(&shelf()).await? {
            let plugin = mounts.start(&listed.value);
            table.insert(listed.value, plugin);
        }
        for mount in mounts.to_wipe().await? {
            let plugin = mounts.start(&mount);
            table.retire(mount, plugin);
        }
        mounts.check_roster(&table).await?;
        for (path, kind, class, description) in BUILTIN {
            let path = MountPath::parse(path)?;
            if table.at(&path).is_none() {
                let spec =
                    MountSpec { kind: kind.to_owned(), description: description.to_owned(), ..MountSpec::default() };
                let mount = mounts.make(path, class, spec);
                let txn = Txn::new().put_record(shelf().named(mount.id.as_bytes()), &mount)?;
                table.insert(mount, Plugin::None);
                mounts.commit_with_roster(txn, &table).await?;
            }
        }
        mounts.table.store(Arc::new(table));
        Ok(mounts)
    }

    /// What is mounted now.
    pub fn table(&self) -> arc_swap::Guard<Arc<MountTable>> {
        self.table.load()
    }

    /// Mounts something at a free path.
    pub async fn enable(
        &self,
        _grant: &Grant,
        path: MountPath,
        class: MountClass,
        spec: MountSpec,
    ) -> Result<Arc<Mount>, CoreError> {
        self.enable_internal(path, class, spec).await
    }

    /// As [`Mounts::enable`], for the server's own mounts (`-dev` makes `secret/`).
    pub(crate) async fn enable_internal(
        &self,
        path: MountPath,
        class: MountClass,
        spec: MountSpec,
    ) -> Result<Arc<Mount>, CoreError> {
        let spec = self.plugins.check(class, spec)?;
        let _guard = self.changing.lock().await;
        let mut table = MountTable::clone(&self.table.load());
        if let Some(taken) = table.by_path.values().find(|mount| mount.path.overlaps(&path)) {
            return Err(CoreError::Invalid(format!("path is already in use at {}", shown_path(taken))));
        }
        let mount = self.make(path, class, spec);
        let plugin = self.start(&mount);
        check_lockout(&mount, plugin.method())?;
        let txn = Txn::new().put_record(shelf().named(mount.id.as_bytes()), &mount)?;
        let id = mount.id;
        table.insert(mount, plugin);
        self.commit_with_roster(txn, &table).await?;
        let made = table.by_id(id).cloned();
        self.table.store(Arc::new(table));
        made.iter().for_each(|made| self.events.tell(Note::mount(made.path.as_str(), "enabled")));
        made.ok_or(CoreError::Internal("a mount just made is not in the table"))
    }

    /// Removes a mount. It serves no more when this returns; its leases are revoked and its data is wiped afterwards.
    /// A path where nothing is mounted is no error, as in Vault.
    pub async fn disable(&self, _grant: &Grant, path: &MountPath) -> Result<bool, CoreError> {
        let _guard = self.changing.lock().await;
        let mut table = MountTable::clone(&self.table.load());
        let Some(mount) = table.at(path).cloned() else { return Ok(false) };
        if mount.is_builtin() {
            return Err(CoreError::Invalid(format!("cannot unmount \"{}\"", shown_path(&mount))));
        }
        let txn = Txn::new().delete(shelf().named(mount.id.as_bytes()));
        let txn = txn.put_record(wiping().named(mount.id.as_bytes()), mount.as_ref())?;
        table.remove(mount.id);
        self.commit_with_roster(txn, &table).await?;
        self.table.store(Arc::new(table));
        self.events.tell(Note::mount(mount.path.as_str(), "disabled"));
        Ok(true)
    }

    /// Changes a mount by a function that may refuse.
    pub async fn tune(
        &self,
        _grant: &Grant,
        path: &MountPath,
        change: impl FnOnce(&mut Mount) -> Result<(), CoreError> + Send,
    ) -> Result<Arc<Mount>, CoreError> {
        let _guard = self.changing.lock().await;
        let mut table = MountTable::clone(&self.table.load());
        let Some(current) = table.at(path) else {
            return Err(CoreError::Invalid(format!("no mount at \"{}\"", path.with_slash())));
        };
        let mut changed = Mount::clone(current);
        change(&mut changed)?;
        check_lockout(&changed, table.method(changed.id).as_deref())?;
        self.save(&changed).await?;
        let id = changed.id;
        table.replace(changed);
        let made = table.by_id(id).cloned();
        self.table.store(Arc::new(table));
        made.iter().for_each(|made| self.events.tell(Note::mount(made.path.as_str(), "changed")));
        made.ok_or(CoreError::Internal("a mount just tuned is not in the table"))
    }

    /// Moves a mount to a free path of its class. Nothing in it is read or rewritten: everything is kept under ids.
    pub async fn relocate(&self, _grant: &Grant, from: &MountPath, to: MountPath) -> Result<(), CoreError> {
        let _guard = self.changing.lock().await;
        let mut table = MountTable::clone(&self.table.load());
        let Some(current) = table.at(from) else {
            return Err(CoreError::Invalid(format!("no matching mount at \"{}\"", from.with_slash())));
        };
        if current.is_builtin() {
            return Err(CoreError::Invalid(format!("cannot remount \"{}\"", from.with_slash())));
        }
        let mut moved = Mount::clone(current);
        let others = table.by_path.values().filter(|mount| mount.id != moved.id);
        if let Some(taken) = others.into_iter().find(|mount| mount.path.overlaps(&to)) {
            return Err(CoreError::Invalid(format!("path is already in use at {}", shown_path(taken))));
        }
        moved.path = to;
        self.save(&moved).await?;
        let told = [Note::mount(from.as_str(), "moved away"), Note::mount(moved.path.as_str(), "moved here")];
        table.replace(moved);
        self.table.store(Arc::new(table));
        self.events.tell_all(told.into());
        Ok(())
    }

    /// What can be enabled.
    pub fn kinds(&self) -> crate::Kinds {
        self.plugins.kinds()
    }

    /// The mounts whose data is still to be wiped.
    pub(crate) async fn to_wipe(&self) -> Result<Vec<Mount>, CoreError> {
        Ok(self.records.scan_all::<Mount>(&wiping()).await?.into_iter().map(|listed| listed.value).collect())
    }

    /// Wipes what an auth method or engine kept; versioned secrets are wiped by the secret store.
    pub(crate) async fn wipe_plugin(&self, mount: &Mount) -> Result<(), CoreError> {
        let running = self.table.load().engine(mount.id).map(Plugin::Engine);
        match running.unwrap_or_else(|| self.start(mount)) {
            Plugin::Method(method) => method.wipe().await,
            Plugin::Engine(engine) => engine.wipe().await,
            Plugin::None => Ok(()),
        }
    }

    /// Notes that nothing of the mount is left.
    pub(crate) async fn wiped(&self, mount: &Mount) -> Result<(), CoreError> {
        let _guard = self.changing.lock().await;
        self.records.commit(Txn::new().delete(wiping().named(mount.id.as_bytes()))).await?;
        let mut table = MountTable::clone(&self.table.load());
        let engine = table.forget(mount.id);
        self.table.store(Arc::new(table));
        if let Some(engine) = engine {
            engine.close().await;
        }
        Ok(())
    }

    fn make(&self, path: MountPath, class: MountClass, spec: MountSpec) -> Mount {
        let suffix: [u8; 4] = {
            let mut bytes = [0; 4];
            self.entropy.fill(&mut bytes);
            bytes
        };
        let accessor = match class {
            MountClass::Secret => format!("{}_{}", spec.kind, hex::encode(suffix)),
            MountClass::Auth => format!("auth_{}_{}", spec.kind, hex::encode(suffix)),
        };
        Mount {
            id: MountId::random(&*self.entropy),
            accessor,
            path,
            class,
            kind: spec.kind,
            description: spec.description,
            options: spec.options,
            config: spec.config,
            local: spec.local,
            seal_wrap: spec.seal_wrap,
            note: Memo::default(),
        }
    }

    fn start(&self, mount: &Mount) -> Plugin {
        let neighbours = Neighbours::of(mount.id, &self.table, &self.taking);
        let context =
            MountContext::new(&self.records, mount.id, &self.passwords, (&self.clock, &self.entropy), neighbours);
        match mount.class {
            MountClass::Auth => self.plugins.start_auth(&mount.kind, context).map_or(Plugin::None, Plugin::Method),
            MountClass::Secret => self.plugins.start_engine(&mount.kind, context).map_or(Plugin::None, Plugin::Engine),
        }
    }

    /// Refuses a table from which a record was taken while the server was away. A store without a roster is a new one,
    /// since a roster that was taken away is noticed when it is asked for.
    async fn check_roster(&self, table: &MountTable) -> Result<(), CoreError> {
        match self.records.get::<Roster>(&Roster::at()).await? {
            Some(kept) if kept.value != Roster::of(table.by_id.keys()) => {
                Err(CoreError::Barrier(BarrierError::Tampered { kind: "mount".to_owned(), how: "removed" }))
            }
            _ => Ok(()),
        }
    }

    async fn commit_with_roster(&self, txn: Txn, table: &MountTable) -> Result<(), CoreError> {
        self.records.commit(txn.put_record(Roster::at(), &Roster::of(table.by_id.keys()))?).await.map(|_| ())
    }

    async fn save(&self, mount: &Mount) -> Result<(), CoreError> {
        self.records.commit(Txn::new().put_record(shelf().named(mount.id.as_bytes()), mount)?).await?;
        Ok(())
    }
}

/// As Vault names it in errors: auth mounts without the `auth/` in front.
fn shown_path(mount: &Mount) -> String {
    let path = mount.path.with_slash();
    match mount.class {
        MountClass::Auth => path.strip_prefix("auth/").map(str::to_owned).unwrap_or(path),
        MountClass::Secret => path,
    }
}
