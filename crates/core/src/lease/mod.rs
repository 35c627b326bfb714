//! Keeps the promise that every credential handed out dies on time. A lease is stored before its credential exists, so a
//! crash can leave a lease without a credential but never a credential without a lease.
//!
//! Does not know how to make or unmake a credential: engines do.

mod order;

pub use order::{Granted, Issuance, LeaseOrder, LeaseOwner, LeaseTerms};

use crate::mount::Mounts;
use crate::plugin::{Call, Served};
use crate::{Captures, CoreError, Endpoint, Fields, Grant, Operation, Reply};
use std::sync::Arc;

/// What names a lease whatever its mount's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LeaseKey;

/// Leases, and the engines behind them.
pub struct Leases {
    mounts: Arc<Mounts>,
}

impl Leases {
    pub(crate) fn new(mounts: Arc<Mounts>) -> Self {
        Self { mounts }
    }

    /// Serves a request to the engine of the granted mount.
    pub async fn serve(
        &self,
        grant: &Grant,
        endpoint: &'static Endpoint,
        captures: Captures,
        operation: Operation,
        fields: &Fields,
    ) -> Result<Reply, CoreError> {
        let engine =
            self.mounts.table().engine(grant.mount()?.id).ok_or(CoreError::Internal("a mount without its engine"))?;
        match engine.call(Call { endpoint, operation, captures, fields, grant }).await? {
            Served::Reply(reply) => Ok(reply),
            Served::Issue(_) => Err(CoreError::Internal("leases are not there yet")),
        }
    }
}
