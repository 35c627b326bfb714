//! One record of what operators set for the whole server, held in memory because every request asks for it.
//!
//! A change is durable before anybody sees it. Not for things that grow with use: those are records of their own.

use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant};
use arc_swap::ArcSwap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::NamespaceId;
use tokio::sync::Mutex;

/// A setting of the whole server, with its default where nobody set it.
pub struct Configured<T> {
    records: Arc<Records>,
    at: Address,
    value: ArcSwap<T>,
    /// Held while it changes, so that of two changes neither is lost.
    changing: Mutex<()>,
}

impl<T> Configured<T>
where
    T: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Reads it once; `name` is a constant word.
    pub(crate) async fn load(records: &Arc<Records>, name: &'static str) -> Result<Self, CoreError> {
        let at = Shelf::new("configured", NamespaceId::ROOT).named(name);
        let stored = records.get::<T>(&at).await?;
        let value = stored.map(|stored| stored.value.clone()).unwrap_or_default();
        Ok(Self { records: Arc::clone(records), at, value: ArcSwap::from_pointee(value), changing: Mutex::new(()) })
    }

    /// What is set now.
    pub fn current(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Changes it; an error of the closure leaves everything as it was.
    pub async fn change(
        &self,
        _grant: &Grant,
        change: impl FnOnce(&mut T) -> Result<(), CoreError> + Send,
    ) -> Result<(), CoreError> {
        self.change_internal(change).await
    }

    /// A change that the server makes on its own.
    pub(crate) async fn change_internal(
        &self,
        change: impl FnOnce(&mut T) -> Result<(), CoreError> + Send,
    ) -> Result<(), CoreError> {
        let _guard = self.changing.lock().await;
        let mut value = T::clone(&self.value.load());
        change(&mut value)?;
        self.records.commit(Txn::new().put_record(self.at.clone(), &value)?).await?;
        self.value.store(Arc::new(value));
        Ok(())
    }
}
