//! The joints for auth methods (and, in time, secrets engines): what a plug-in promises, and what it is given.
//!
//! A plug-in gets its mount's own records, the clock and randomness as values. It never sees the core, a token, or
//! another mount; it proves who somebody is, and the core makes the token.

use crate::mount::{MountClass, MountSpec};
use crate::records::{Listed, PutRecord, Records, Stored};
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

    /// Removes everything the mount keeps. Must be repeatable: it is run again after a crash.
    async fn wipe(&self) -> Result<(), CoreError>;
}

/// What a plug-in is given for one mount.
#[derive(Clone)]
pub struct MountContext {
    /// The mount's own records.
    pub records: MountRecords,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl MountContext {
    pub(crate) fn new(
        records: &Arc<Records>,
        mount: MountId,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Self {
        let records = MountRecords { records: Arc::clone(records), mount };
        Self { records, clock: Arc::clone(clock), entropy: Arc::clone(entropy) }
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

/// The plug-ins of this binary, by kind.
#[derive(Default)]
pub struct Plugins {
    auth: BTreeMap<&'static str, StartAuth>,
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

    /// The auth methods that can be enabled.
    pub fn auth_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.auth.keys().copied()
    }

    pub(crate) fn start_auth(&self, kind: &str, context: MountContext) -> Option<Arc<dyn AuthMethod>> {
        self.auth.get(kind).map(|start| start(context))
    }

    /// Refuses kinds that do not exist, and settles the version of a KV mount.
    pub(crate) fn check(&self, class: MountClass, mut spec: MountSpec) -> Result<MountSpec, CoreError> {
        match (class, spec.kind.as_str()) {
            (MountClass::Auth, kind) if self.auth.contains_key(kind) => Ok(spec),
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
                    MountClass::Auth => self.auth_kinds().collect::<Vec<_>>().join(", "),
                    MountClass::Secret => "kv".to_owned(),
                };
                Err(CoreError::Invalid(format!("plugin not found in the catalog: {kind}; this version has: {known}")))
            }
        }
    }
}
