//! Logins of databases: unique ones for each caller, which die with their lease. Serves the paths that Vault's engine of
//! this name has.
//!
//! Invariants: the lease of a login holds its name and the statements that end it before the login is made, so that it
//! can be ended whatever became of its role; no two leases have the same login; the password of a connection is never
//! given back, and a password that is to be changed is on disk before the database is given it. Does not decide how
//! long a login lives, nor remember it: leases do.

mod config;
mod config_call;
mod credential;
mod endpoint;
mod holder;
mod kind;
mod link;
mod role;
mod role_call;
mod root;
mod rotation;
mod schedule;
mod static_call;
mod static_role;
mod turn;

use crate::unsure::Unsure;
use crate::{rehearsal, sent};
use async_trait::async_trait;
use link::Links;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use strongroom_core::drill::Rehearses;
use strongroom_core::lease::{Diary, LeaseEnd, LeaseOrder, LeaseTerms};
use strongroom_core::mount::{Holding, OutsideLogin};
use strongroom_core::{
    Call, Captures, CoreError, Endpoint, Fields, MountContext, Operation, Reply, SecretsEngine, Served,
};
use strongroom_model::{RoleName, Timestamp};
use turn::Turns;

/// The kinds of databases, by the names that Vault's clients know.
pub(crate) fn systems() -> impl Iterator<Item = &'static str> {
    kind::names()
}

/// Starts the engine for one mount. Reads nothing and connects to nothing: both happen when they are needed.
pub fn start(context: MountContext) -> Arc<dyn SecretsEngine> {
    Arc::new(Engine(Arc::new(Database {
        links: Links::default(),
        unsure: Unsure::new(context.now()),
        turns: Turns::default(),
        seen: AtomicU64::new(0),
        unfinished: Unfinished::default(),
        context,
    })))
}

/// Changes of passwords that an earlier process began: it is surely gone, so that its first look at them does not wait
/// for their time.
#[derive(Default)]
struct Unfinished {
    roots: AtomicBool,
    roles: AtomicBool,
}

impl Unfinished {
    /// Whether this is the first look.
    fn is_first(looked: &AtomicBool) -> bool {
        !looked.swap(true, Ordering::SeqCst)
    }
}

/// A handle, so that what is done for several databases at once can hold the engine.
struct Engine(Arc<Database>);

struct Database {
    links: Links,
    unsure: Unsure,
    turns: Turns,
    /// The clock, when it was looked at last.
    seen: AtomicU64,
    unfinished: Unfinished,
    context: MountContext,
}

#[async_trait]
impl SecretsEngine for Engine {
    fn endpoints(&self) -> &'static [Endpoint] {
        endpoint::TABLE
    }

    async fn exists(&self, endpoint: &'static Endpoint, captures: &Captures) -> Result<Option<bool>, CoreError> {
        let database = &self.0;
        match endpoint.pattern {
            endpoint::CONFIG => Ok(Some(database.config(&sent::name(captures)?).await?.is_some())),
            endpoint::ROLE => Ok(Some(database.role(&sent::name(captures)?).await?.is_some())),
            endpoint::STATIC_ROLE => Ok(Some(database.static_role(&sent::name(captures)?).await?.is_some())),
            _ => Ok(None),
        }
    }

    async fn call(&self, call: Call<'_>) -> Result<Served, CoreError> {
        let database = &self.0;
        match (call.endpoint.pattern, call.operation) {
            (endpoint::CONFIGS | endpoint::CONFIG | endpoint::RESET | endpoint::RELOAD, _) => {
                database.call_config(&call).await
            }
            (endpoint::ROLES | endpoint::ROLE, _) => database.call_role(&call).await,
            (endpoint::CREDS, _) => database.order(&call).await,
            (endpoint::ROTATE_ROOT, Operation::Write) => {
                let name = sent::name(&call.captures)?;
                if let Some(config) = database.config(&name).await? {
                    call.grant.note_subject(&config.value.username);
                }
                database.rotate_root(&name).await.map(|()| Reply::empty().into())
            }
            _ => database.call_static(&call).await,
        }
    }

    async fn issue(&self, lease: &LeaseOrder) -> Result<Fields, CoreError> {
        self.0.make_login(lease).await
    }

    fn made_nothing(&self, note: &Map<String, Value>) -> bool {
        self.0.has_no_login(note)
    }

    async fn terms(&self, note: &Map<String, Value>) -> Result<LeaseTerms, CoreError> {
        self.0.terms_of(note).await
    }

    async fn prolong(&self, note: &Map<String, Value>, expires: Timestamp) -> Result<(), CoreError> {
        self.0.prolong_login(note, expires).await
    }

    async fn revoke(&self, lease: &LeaseEnd<'_>) -> Result<(), CoreError> {
        self.0.end_login(lease).await
    }

    async fn revokes_in_company(&self, lease: &LeaseEnd<'_>) -> bool {
        self.0.ends_in_company(lease).await
    }

    async fn holds(&self, login: OutsideLogin<'_>) -> Result<Option<Holding>, CoreError> {
        self.0.holds(login).await
    }

    fn rehearses(&self) -> Option<&dyn Rehearses> {
        Some(self)
    }

    async fn work(&self, diary: &Diary) -> Result<Option<Timestamp>, CoreError> {
        let (roots, roles) = tokio::join!(self.0.resume_roots(), self.0.rotate_due(diary));
        Ok([roots?, roles?].into_iter().flatten().min())
    }

    async fn close(&self) {
        self.0.links.drop_all();
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        self.0.wipe_static().await?;
        self.0.wipe_roles().await?;
        self.0.wipe_configs().await
    }
}

#[async_trait]
impl Rehearses for Engine {
    fn place(&self, typed: &str) -> Option<String> {
        rehearsal::place(typed)
    }

    async fn is_there(&self, place: &str) -> Result<bool, CoreError> {
        match rehearsal::role_of(place).map(RoleName::parse) {
            Some(Ok(role)) => Ok(self.0.role(&role).await?.is_some()),
            _ => Ok(false),
        }
    }

    async fn lets_in(&self, place: &str, credential: &Fields) -> Result<bool, CoreError> {
        let name = RoleName::parse(rehearsal::role_of(place).unwrap_or_default())?;
        let role = self.0.role(&name).await?.ok_or(CoreError::Nothing)?;
        let connection = &role.value.db_name;
        rehearsal::lets_in(&*self.0.link(connection).await?, connection.as_str(), credential).await
    }
}

impl Database {
    /// Whether the clock shows less than when this was asked last. A correction does not count.
    fn clock_went_back(&self, now: Timestamp) -> bool {
        const SLACK: Duration = Duration::from_secs(2);
        now.plus(SLACK).nanos() < self.seen.swap(now.nanos(), Ordering::SeqCst)
    }
}

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 64;

/// Records that one transaction removes while wiping.
const BATCH: usize = 32;
