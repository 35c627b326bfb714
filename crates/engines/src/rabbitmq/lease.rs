use super::RabbitMq;
use crate::sent::replace;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use strongroom_barrier::{Address, Txn};
use strongroom_core::lease::LeaseTerms;
use strongroom_core::{Call, CoreError, Operation, Reply, Served, Stored};
use strongroom_model::Ttl;

/// How long users live; zero: as the mount or the system says.
#[derive(Serialize, Deserialize)]
struct Lease {
    ttl: Ttl,
    max_ttl: Ttl,
}

impl RabbitMq {
    pub(super) fn lease_at(&self) -> Address {
        self.config_shelf().named("lease")
    }

    async fn lease(&self) -> Result<Option<Arc<Stored<Lease>>>, CoreError> {
        self.context.records.get(&self.lease_at()).await
    }

    pub(super) async fn lease_terms(&self) -> Result<LeaseTerms, CoreError> {
        let lease = self.lease().await?;
        let (ttl, max_ttl) = lease.map_or((Ttl::ZERO, Ttl::ZERO), |lease| (lease.value.ttl, lease.value.max_ttl));
        Ok(LeaseTerms { ttl, max_ttl, renewable: true })
    }

    pub(super) async fn call_lease(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let terms = self.lease_terms().await?;
        match call.operation {
            Operation::Read => {
                self.lease().await?.ok_or(CoreError::Nothing)?;
                Ok(Reply::data(json!({ "ttl": terms.ttl.secs(), "max_ttl": terms.max_ttl.secs() })).into())
            }
            Operation::Write => {
                let mut lease = Lease { ttl: terms.ttl, max_ttl: terms.max_ttl };
                replace(&mut lease.ttl, call.fields.ttl("ttl")?);
                replace(&mut lease.max_ttl, call.fields.ttl("max_ttl")?);
                if !lease.max_ttl.is_zero() && lease.ttl > lease.max_ttl {
                    return Err(CoreError::Invalid("ttl is longer than max_ttl".to_owned()));
                }
                let txn = self.context.records.put(Txn::new(), self.lease_at(), &lease)?;
                self.context.records.commit(txn).await?;
                Ok(Reply::empty().into())
            }
            _ => Err(CoreError::Unsupported),
        }
    }
}
