//! Users of RabbitMQ: unique ones for each caller, which die with their lease. Serves the paths that Vault's engine of
//! this name has.
//!
//! Invariants: the lease of a user holds its name before the user is made; the administrator's password is never given
//! back. A mount has one broker. Does not decide how long a user lives, nor remember it: leases do.

mod connection;
mod credential;
mod endpoint;
mod lease;
mod role;

use crate::unsure::Unsure;
use crate::{rehearsal, sent};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use strongroom_barrier::{Shelf, Txn};
use strongroom_connectors::Connector;
use strongroom_core::drill::Rehearses;
use strongroom_core::lease::{LeaseEnd, LeaseOrder, LeaseTerms};
use strongroom_core::{Call, Captures, CoreError, Endpoint, Fields, MountContext, SecretsEngine, Served};
use strongroom_model::{RoleName, Timestamp};

/// Starts the engine for one mount. Reads nothing and connects to nothing: both happen when they are needed.
pub fn start(context: MountContext) -> Arc<dyn SecretsEngine> {
    Arc::new(RabbitMq { link: Mutex::default(), unsure: Unsure::new(context.now()), context })
}

struct RabbitMq {
    /// The connector in use, with the edition of the connection that it was made for.
    link: Mutex<Option<(u64, Arc<dyn Connector>)>>,
    unsure: Unsure,
    context: MountContext,
}

#[async_trait]
impl SecretsEngine for RabbitMq {
    fn endpoints(&self) -> &'static [Endpoint] {
        endpoint::TABLE
    }

    async fn exists(&self, endpoint: &'static Endpoint, captures: &Captures) -> Result<Option<bool>, CoreError> {
        match endpoint.pattern {
            endpoint::CONNECTION => Ok(Some(self.connection().await?.is_some())),
            endpoint::ROLE => Ok(Some(self.role(&sent::name(captures)?).await?.is_some())),
            _ => Ok(None),
        }
    }

    async fn call(&self, call: Call<'_>) -> Result<Served, CoreError> {
        match call.endpoint.pattern {
            endpoint::CONNECTION => self.call_connection(&call).await,
            endpoint::LEASE => self.call_lease(&call).await,
            endpoint::ROLES | endpoint::ROLE => self.call_role(&call).await,
            endpoint::CREDS => self.order(&call).await,
            _ => Err(CoreError::Unsupported),
        }
    }

    async fn issue(&self, lease: &LeaseOrder) -> Result<Fields, CoreError> {
        self.make_user(lease).await
    }

    fn made_nothing(&self, note: &Map<String, Value>) -> bool {
        self.has_no_user(note)
    }

    async fn terms(&self, _note: &Map<String, Value>) -> Result<LeaseTerms, CoreError> {
        self.lease_terms().await
    }

    /// Users have no end there.
    async fn prolong(&self, _note: &Map<String, Value>, _expires: Timestamp) -> Result<(), CoreError> {
        Ok(())
    }

    async fn revoke(&self, lease: &LeaseEnd<'_>) -> Result<(), CoreError> {
        self.end_user(lease).await
    }

    fn rehearses(&self) -> Option<&dyn Rehearses> {
        Some(self)
    }

    async fn close(&self) {
        self.unlink();
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        loop {
            let roles = self.context.records.scan::<role::Role>(&self.role_shelf(), None, BATCH).await?;
            if roles.is_empty() {
                break;
            }
            let gone = roles.iter().map(|listed| self.role_at(&listed.value.name));
            self.context.records.commit(gone.fold(Txn::new(), Txn::delete)).await?;
        }
        let txn = Txn::new().delete(self.connection_at()).delete(self.lease_at());
        self.context.records.commit(txn).await
    }
}

#[async_trait]
impl Rehearses for RabbitMq {
    fn place(&self, typed: &str) -> Option<String> {
        rehearsal::place(typed)
    }

    async fn is_there(&self, place: &str) -> Result<bool, CoreError> {
        match rehearsal::role_of(place).map(RoleName::parse) {
            Some(Ok(role)) => Ok(self.role(&role).await?.is_some()),
            _ => Ok(false),
        }
    }

    async fn lets_in(&self, _place: &str, credential: &Fields) -> Result<bool, CoreError> {
        rehearsal::lets_in(&*self.link().await?, LANE, credential).await
    }
}

impl RabbitMq {
    fn config_shelf(&self) -> Shelf {
        self.context.records.shelf("rabbitmq-config")
    }
}

/// What the core calls the broker of a mount.
const LANE: &str = "rabbitmq";

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 64;

/// Records that one transaction removes while wiping.
const BATCH: usize = 32;
