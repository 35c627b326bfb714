//! Logins of databases: unique ones for each caller, which die with their lease. Serves the paths that Vault's engine of
//! this name has.
//!
//! Invariants: the lease of a login holds its name and the statements that end it before the login is made, so that it
//! can be ended whatever became of its role; no two leases have the same login; the password of a connection is never
//! given back. Does not decide how long a login lives, nor remember it: leases do.

mod config;
mod config_call;
mod credential;
mod endpoint;
mod failure;
mod kind;
mod link;
mod role;
mod role_call;
mod sent;
mod template;

use async_trait::async_trait;
use link::Links;
use serde_json::{Map, Value};
use std::sync::Arc;
use strongroom_core::lease::{LeaseOrder, LeaseTerms};
use strongroom_core::{Call, Captures, CoreError, Endpoint, Fields, MountContext, SecretsEngine, Served};
use strongroom_model::Timestamp;

/// Starts the engine for one mount. Reads nothing and connects to nothing: both happen when they are needed.
pub fn start(context: MountContext) -> Arc<dyn SecretsEngine> {
    Arc::new(Database { links: Links::default(), context })
}

struct Database {
    links: Links,
    context: MountContext,
}

#[async_trait]
impl SecretsEngine for Database {
    fn endpoints(&self) -> &'static [Endpoint] {
        endpoint::TABLE
    }

    async fn exists(&self, endpoint: &'static Endpoint, captures: &Captures) -> Result<Option<bool>, CoreError> {
        match endpoint.pattern {
            endpoint::CONFIG => Ok(Some(self.config(&sent::name(captures)?).await?.is_some())),
            endpoint::ROLE => Ok(Some(self.role(&sent::name(captures)?).await?.is_some())),
            _ => Ok(None),
        }
    }

    async fn call(&self, call: Call<'_>) -> Result<Served, CoreError> {
        match call.endpoint.pattern {
            endpoint::CONFIGS | endpoint::CONFIG | endpoint::RESET | endpoint::RELOAD => self.call_config(&call).await,
            endpoint::ROLES | endpoint::ROLE => self.call_role(&call).await,
            endpoint::CREDS => self.order(&call).await,
            _ => Err(CoreError::Unsupported),
        }
    }

    async fn issue(&self, lease: &LeaseOrder) -> Result<Fields, CoreError> {
        self.make_login(lease).await
    }

    async fn terms(&self, note: &Map<String, Value>) -> Result<LeaseTerms, CoreError> {
        self.terms_of(note).await
    }

    async fn prolong(&self, note: &Map<String, Value>, expires: Timestamp) -> Result<(), CoreError> {
        self.prolong_login(note, expires).await
    }

    async fn revoke(&self, note: &Map<String, Value>) -> Result<(), CoreError> {
        self.end_login(note).await
    }

    async fn close(&self) {
        self.links.close_all().await;
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        self.wipe_roles().await?;
        self.wipe_configs().await
    }
}

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 64;

/// Records that one transaction removes while wiping.
const BATCH: usize = 32;
