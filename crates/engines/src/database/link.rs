use super::config::Config;
use crate::failure::outside;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_connectors::{Connector, open};
use strongroom_core::CoreError;
use strongroom_model::RoleName;

/// A connector with the edition of the connection that it was made for.
type Link = (u64, Arc<dyn Connector>);

/// The connectors in use, one for each connection, of the edition it has now.
#[derive(Default)]
pub(super) struct Links {
    open: Mutex<HashMap<RoleName, Link>>,
}

impl Links {
    /// The connector of this edition; one of an earlier edition is let go: who uses it still may.
    pub(super) fn get(&self, config: &Config) -> Result<Arc<dyn Connector>, CoreError> {
        let mut open_links = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((edition, connector)) = open_links.get(&config.name)
            && *edition == config.edition
        {
            return Ok(Arc::clone(connector));
        }
        let connector = open(config.kind().system(), config.settings());
        let connector = connector.map_err(|error| outside(config.name.as_str(), &error))?;
        open_links.insert(config.name.clone(), (config.edition, Arc::clone(&connector)));
        Ok(connector)
    }

    /// Lets go what is open to one database: nothing waits for it, and what still runs ends by its own deadlines.
    pub(super) fn drop_one(&self, name: &RoleName) {
        drop(self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name));
    }

    /// Lets go everything.
    pub(super) fn drop_all(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
