use super::record::SealRecord;
use super::{Sealed, Uninitialised};
use crate::BarrierError;
use crate::opening::Ground;
use std::sync::Arc;
use strongroom_model::Entropy;
use strongroom_storage::{Epoch, Store};

/// What a store is, before any key is known.
pub enum Door {
    /// Never initialised.
    Uninitialised(Uninitialised),
    /// Initialised, and closed.
    Sealed(Sealed),
}

impl Door {
    /// Looks at the store's seal record. Refuses a store that has data and no seal record: initialising it anew would
    /// make the data unreadable.
    pub async fn of(store: Arc<dyn Store>, epoch: Epoch, entropy: Arc<dyn Entropy>) -> Result<Self, BarrierError> {
        let ground = Ground { store, epoch, entropy };
        if let Some(row) = SealRecord::read(&*ground.store).await? {
            return Ok(Door::Sealed(Sealed::new(ground, row)?));
        }
        if ground.store.list(b"", None, 1).await?.is_empty() {
            return Ok(Door::Uninitialised(Uninitialised::new(ground)));
        }
        // Somebody may have initialised it since the first look.
        match SealRecord::read(&*ground.store).await? {
            Some(row) => Ok(Door::Sealed(Sealed::new(ground, row)?)),
            None => Err(BarrierError::tampered(super::KIND, "removed")),
        }
    }
}
