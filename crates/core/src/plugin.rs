//! The joints for auth methods and secrets engines: what a plug-in promises, and what it is given.
//!
//! A plug-in gets its mount's own records, the clock and randomness as values. It never sees the core, a token, or
//! another mount. A method proves who somebody is, and the core makes the token; an engine makes and unmakes
//! credentials, and the core remembers them as leases and says when.

use crate::drill::Rehearses;
use crate::lease::{Diary, Issuance, LeaseEnd, LeaseOrder, LeaseTerms};
use crate::mount::{Holding, LockoutLimits, MountClass, MountSpec, Neighbours, OutsideLogin};
use crate::password_policy::PasswordPolicies;
use crate::records::{Listed, PutRecord, Records, Stored};
use crate::rotation::{Alarm, Methods};
use crate::{Captures, CoreError, Endpoint, Fields, Grant, Login, Operation, Reply, Terms};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{Clock, Entropy, MountId, NamespaceId, SecretString, Timestamp};

/// A request to a plug-in, already granted.
pub struct Call<'a> {
    /// The line of the plug-in's table that the path fits.
    pub endpoint: &'static Endpoint,
    /// What is wanted.
    pub operation: Operation,
    /// The named parts of the path.
    pub captures: Captures,
    /// The parameters.
    pub fields: &'a Fields,
    /// Proof that it may proceed.
    pub grant: &'a Grant,
}

/// What a plug-in leads to.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once per request, on its way out; a box would cost an allocation each time"
)]
pub enum Outcome {
    /// An answer.
    Reply(Reply),
    /// Somebody proved who they are.
    Login(Box<Login>),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Proves who somebody is.
#[async_trait]
pub trait AuthMethod: Send + Sync {
    /// Its routes below its mount.
    fn endpoints(&self) -> &'static [Endpoint];

    /// Whether what a write would touch is there, so that policy can tell create from update. `None`: does not matter.
    async fn exists(&self, _endpoint: &'static Endpoint, _captures: &Captures) -> Result<Option<bool>, CoreError> {
        Ok(None)
    }

    /// Serves one request.
    async fn call(&self, call: Call<'_>) -> Result<Outcome, CoreError>;

    /// Asked when a token of this mount is renewed, with the note that the login left: the terms that hold now, or an
    /// error when the principal may no longer be here.
    async fn renew(&self, note: &Map<String, Value>) -> Result<Terms, CoreError>;

    /// Does what is due without anybody asking, such as removing what is expired. Called about once an hour while the
    /// strongroom is open; should take a while only, since it is waited for before the keys go.
    async fn work(&self) -> Result<(), CoreError> {
        Ok(())
    }

    /// Removes everything the mount keeps. Must be repeatable: it is run again after a crash.
    async fn wipe(&self) -> Result<(), CoreError>;

    /// How it shuts out whoever fails to log in too often, if it does.
    fn lockout(&self) -> Option<&dyn Lockout> {
        None
    }
}

/// Shuts out whoever fails to log in too often, and lets them in again.
#[async_trait]
pub trait Lockout: Send + Sync {
    /// The known principals that are shut out now, in order. A name that a stranger made up is not among them.
    async fn shut_out(&self) -> Result<Vec<String>, CoreError>;

    /// Forgets the failures under a name. Repeatable: a name that is not shut out is success.
    async fn let_in(&self, alias: &str) -> Result<(), CoreError>;
}

/// What an engine leads to.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once per request, on its way out; a box would cost an allocation each time"
)]
pub enum Served {
    /// An answer.
    Reply(Reply),
    /// A credential is to be made: the core records its lease first, then has [`SecretsEngine::issue`] make it.
    Issue(Box<Issuance>),
}

impl From<Reply> for Served {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Makes credentials in an outside system, and unmakes them.
///
/// An error of [`CoreError::Unreachable`] says that the outside system cannot be reached, so that everything in its lane
/// waits. One of [`CoreError::Unanswered`] says so only when several leases in a row fail with it; one of
/// [`CoreError::Crowded`] has the lease tried again soon. Any other error is about the one lease.
#[async_trait]
pub trait SecretsEngine: Send + Sync {
    /// Its routes below its mount.
    fn endpoints(&self) -> &'static [Endpoint];

    /// Whether what a write would touch is there, so that policy can tell create from update. `None`: does not matter.
    async fn exists(&self, _endpoint: &'static Endpoint, _captures: &Captures) -> Result<Option<bool>, CoreError> {
        Ok(None)
    }

    /// Serves one request. Makes no credential that must end: it asks for one by [`Served::Issue`].
    async fn call(&self, call: Call<'_>) -> Result<Served, CoreError>;

    /// Makes the credential of a lease that is already recorded, and gives the data of the answer. Whatever it makes
    /// must be found again by the note alone. The call is given up after some time, as after an error: then the core
    /// revokes, so nothing may be made after the future was dropped.
    async fn issue(&self, lease: &LeaseOrder) -> Result<Fields, CoreError>;

    /// Whether it is certain that an attempt to make the credential with this note, which failed, made nothing: then
    /// its lease is forgotten at once. Asked only after [`SecretsEngine::issue`] failed, in the same process.
    fn made_nothing(&self, _note: &Map<String, Value>) -> bool {
        false
    }

    /// The terms that hold now for a lease with this note, or an error when it may not be prolonged.
    async fn terms(&self, note: &Map<String, Value>) -> Result<LeaseTerms, CoreError>;

    /// Tells the outside system until when the credential lives now. Repeatable.
    async fn prolong(&self, note: &Map<String, Value>, expires: Timestamp) -> Result<(), CoreError>;

    /// Unmakes the credential. Repeatable: one that is gone, or never came to be, is success.
    async fn revoke(&self, lease: &LeaseEnd<'_>) -> Result<(), CoreError>;

    /// Whether the outside system unmakes this credential by one act with others that are asked for at the same moment, so
    /// that many may be asked for at once and burden it no more than one.
    async fn revokes_in_company(&self, _lease: &LeaseEnd<'_>) -> bool {
        false
    }

    /// What it has to do with a login that it did not make; asked by engines of other mounts that want it.
    async fn holds(&self, _login: OutsideLogin<'_>) -> Result<Option<Holding>, CoreError> {
        Ok(None)
    }

    /// How its credentials are tried in a drill, for engines whose can be.
    fn rehearses(&self) -> Option<&dyn Rehearses> {
        None
    }

    /// Does what is due without being asked, and says when to come again; `None`: not before somebody has called. Called
    /// by a task of the mount's own, after each change through the mount and at the time that it said. What it did in an
    /// outside system it tells the diary before it forgets it.
    async fn work(&self, _diary: &Diary) -> Result<Option<Timestamp>, CoreError> {
        Ok(None)
    }

    /// Gives back what it holds open. Called once, when the mount is gone or the server seals.
    async fn close(&self) {}

    /// Removes everything the mount keeps. Must be repeatable: it is run again after a crash. No lease is left by then.
    async fn wipe(&self) -> Result<(), CoreError>;
}

/// What a plug-in is given for one mount.
#[derive(Clone)]
pub struct MountContext {
    /// The mount's own records.
    pub records: MountRecords,
    /// Password policies, for who must make passwords.
    pub passwords: Arc<PasswordPolicies>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The other mounts, for who takes what they may hold.
    pub neighbours: Neighbours,
}

impl MountContext {
    pub(crate) fn new(
        records: &Arc<Records>,
        mount: MountId,
        passwords: &Arc<PasswordPolicies>,
        (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
        neighbours: Neighbours,
    ) -> Self {
        let records = MountRecords { records: Arc::clone(records), mount };
        let (passwords, clock, entropy) = (Arc::clone(passwords), Arc::clone(clock), Arc::clone(entropy));
        Self { records, passwords, clock, entropy, neighbours }
    }

    /// When the mount shuts out whoever fails to log in, as it is tuned now.
    pub fn lockout(&self) -> LockoutLimits {
        self.neighbours.lockout()
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The records of one mount: shelves that no other mount can name.
#[derive(Clone)]
pub struct MountRecords {
    records: Arc<Records>,
    mount: MountId,
}

impl MountRecords {
    /// A shelf of this mount. `kind` is a constant word of the plug-in (`approle-role`).
    pub fn shelf(&self, kind: &'static str) -> Shelf {
        Shelf::new(kind, NamespaceId::ROOT).within(self.mount.as_bytes())
    }

    /// The record at that place.
    pub async fn get<T>(&self, at: &Address) -> Result<Option<Arc<Stored<T>>>, CoreError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.records.get(at).await
    }

    /// Records of a shelf after a place, at most `limit`.
    pub async fn scan<T: DeserializeOwned>(
        &self,
        shelf: &Shelf,
        after: Option<&Address>,
        limit: usize,
    ) -> Result<Vec<Listed<T>>, CoreError> {
        self.records.scan(shelf, after, limit).await
    }

    /// All records of a shelf.
    pub async fn scan_all<T: DeserializeOwned>(&self, shelf: &Shelf) -> Result<Vec<Listed<T>>, CoreError> {
        self.records.scan_all(shelf).await
    }

    /// Adds a typed put to a transaction.
    pub fn put<T: Serialize>(&self, txn: Txn, at: Address, value: &T) -> Result<Txn, CoreError> {
        txn.put_record(at, value)
    }

    /// Commits; durable when it returns. `CoreError::Conflict` when a compare did not hold.
    pub async fn commit(&self, txn: Txn) -> Result<(), CoreError> {
        self.records.commit(txn).await.map(|_| ())
    }

    /// A keyed hash of a secret, for looking it up without storing it.
    pub fn keyed_hash(&self, purpose: &'static str, secret: &SecretString) -> [u8; 32] {
        let mut input = self.mount.as_bytes().to_vec();
        input.extend_from_slice(secret.expose().as_bytes());
        let hash = self.records.barrier().keyed_hash(purpose, &input);
        zeroize::Zeroize::zeroize(&mut input);
        hash
    }
}

type StartAuth = fn(MountContext) -> Arc<dyn AuthMethod>;
type StartEngine = Box<dyn Fn(MountContext) -> Arc<dyn SecretsEngine> + Send + Sync>;

/// The plug-ins of this binary, by kind.
#[derive(Default)]
pub struct Plugins {
    auth: BTreeMap<&'static str, StartAuth>,
    engines: BTreeMap<&'static str, StartEngine>,
    /// Names of the outside systems that engines speak to.
    systems: Vec<&'static str>,
    /// Ways to rotate a secret.
    pub(crate) methods: Methods,
    /// Who is told when a rotation needs somebody.
    pub(crate) alarms: Vec<Arc<dyn Alarm>>,
}

/// What can be enabled.
pub struct Kinds {
    /// Auth methods.
    pub auth: Vec<&'static str>,
    /// Outside systems that engines speak to.
    pub systems: Vec<&'static str>,
    /// Secrets engines.
    pub secret: Vec<&'static str>,
}

impl Plugins {
    /// No plug-ins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an auth method.
    pub fn with_auth(mut self, kind: &'static str, start: StartAuth) -> Self {
        self.auth.insert(kind, start);
        self
    }

    /// Adds a secrets engine.
    pub fn with_engine(
        mut self,
        kind: &'static str,
        start: impl Fn(MountContext) -> Arc<dyn SecretsEngine> + Send + Sync + 'static,
    ) -> Self {
        self.engines.insert(kind, Box::new(start));
        self
    }

    /// Adds names of outside systems that engines speak to, for the catalog.
    pub fn with_systems(mut self, names: impl Iterator<Item = &'static str>) -> Self {
        self.systems.extend(names);
        self.systems.sort_unstable();
        self
    }

    /// Adds ways to rotate a secret.
    pub fn with_methods(mut self, methods: Methods) -> Self {
        self.methods = self.methods.with_all(methods);
        self
    }

    /// Adds somebody who is told when a rotation needs to be looked at.
    pub fn with_alarm(mut self, alarm: Arc<dyn Alarm>) -> Self {
        self.alarms.push(alarm);
        self
    }

    /// Adds all of another set.
    pub fn with_all(mut self, other: Plugins) -> Self {
        self.methods = self.methods.with_all(other.methods);
        self.alarms.extend(other.alarms);
        self.auth.extend(other.auth);
        self.engines.extend(other.engines);
        self.systems.extend(other.systems);
        self.systems.sort_unstable();
        self
    }

    /// The secrets engines that can be enabled, beside versioned secrets.
    pub fn engine_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.engines.keys().copied()
    }

    pub(crate) fn start_engine(&self, kind: &str, context: MountContext) -> Option<Arc<dyn SecretsEngine>> {
        self.engines.get(kind).map(|start| start(context))
    }

    /// The auth methods that can be enabled.
    pub fn auth_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.auth.keys().copied()
    }

    pub(crate) fn start_auth(&self, kind: &str, context: MountContext) -> Option<Arc<dyn AuthMethod>> {
        self.auth.get(kind).map(|start| start(context))
    }

    /// Everything that can be enabled, each list in order.
    pub(crate) fn kinds(&self) -> Kinds {
        let mut secret: Vec<_> = self.engine_kinds().chain(["kv"]).collect();
        secret.sort_unstable();
        Kinds { auth: self.auth_kinds().collect(), systems: self.systems.clone(), secret }
    }

    /// Refuses kinds that do not exist, and settles the version of a KV mount.
    pub(crate) fn check(&self, class: MountClass, mut spec: MountSpec) -> Result<MountSpec, CoreError> {
        match (class, spec.kind.as_str()) {
            (MountClass::Auth, kind) if self.auth.contains_key(kind) => Ok(spec),
            (MountClass::Secret, kind) if self.engines.contains_key(kind) => Ok(spec),
            (MountClass::Secret, kind @ ("kv" | "kv-v2" | "generic")) => {
                let version = match (kind, spec.options.get("version").map(String::as_str)) {
                    ("kv-v2", None | Some("2" | "")) | ("kv", Some("2")) => "2",
                    ("kv" | "generic", None | Some("1" | "")) => "1",
                    _ => {
                        return Err(CoreError::Invalid("the option `version` of a kv mount must be 1 or 2".to_owned()));
                    }
                };
                spec.options.insert("version".to_owned(), version.to_owned());
                spec.kind = "kv".to_owned();
                Ok(spec)
            }
            (class, kind) => {
                let known = match class {
                    MountClass::Auth => self.auth_kinds().collect::<Vec<_>>(),
                    MountClass::Secret => self.engine_kinds().chain(["kv"]).collect(),
                };
                let known = known.join(", ");
                Err(CoreError::Invalid(format!("plugin not found in the catalog: {kind}; this version has: {known}")))
            }
        }
    }
}
