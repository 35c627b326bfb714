use super::config::Config;
use super::{BATCH, Database, TRIES, endpoint};
use crate::failure::outside;
use crate::sent;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_connectors::{Connector, open};
use strongroom_core::{Call, CoreError, Operation, Reply, Served, Stored};
use strongroom_model::RoleName;

impl Database {
    pub(super) fn config_shelf(&self) -> Shelf {
        self.context.records.shelf("database-config").counted()
    }

    pub(super) fn config_at(&self, name: &RoleName) -> Address {
        self.config_shelf().named(name.as_str())
    }

    /// The connection with that name.
    pub(super) async fn config(&self, name: &RoleName) -> Result<Option<Arc<Stored<Config>>>, CoreError> {
        self.context.records.get(&self.config_at(name)).await
    }

    /// The connection with that name, or an error that says so.
    pub(super) async fn require_config(&self, name: &RoleName) -> Result<Arc<Stored<Config>>, CoreError> {
        let absent = || CoreError::Invalid(format!("failed to find entry for connection with name: \"{name}\""));
        self.config(name).await?.ok_or_else(absent)
    }

    /// The connector to that database, opened when it is first needed and after each change.
    pub(super) async fn link(&self, name: &RoleName) -> Result<Arc<dyn Connector>, CoreError> {
        let config = self.require_config(name).await?;
        self.links.get(&config.value)
    }

    /// The paths of connections.
    pub(super) async fn call_config(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let reply = match (call.endpoint.pattern, call.operation) {
            (endpoint::CONFIGS, Operation::List) => Reply::keys(self.config_names().await?)?,
            (endpoint::CONFIG, Operation::Read) => self.read_config(call).await?,
            (endpoint::CONFIG, Operation::Write) => self.write_config(call).await?,
            (endpoint::CONFIG, Operation::Delete) => self.delete_config(call).await?,
            (endpoint::RESET, Operation::Write) => self.reset(call).await?,
            (endpoint::RELOAD, Operation::Write) => self.reload(call.captures.get("plugin")).await?,
            _ => return Err(CoreError::Unsupported),
        };
        Ok(Served::Reply(reply))
    }

    async fn config_names(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.context.records.scan_all::<Config>(&self.config_shelf()).await?;
        let mut names: Vec<String> = listed.iter().map(|listed| listed.value.name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn read_config(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let config = self.config(&sent::name(&call.captures)?).await?.ok_or(CoreError::Nothing)?;
        Ok(Reply::data(config.value.shown()))
    }

    async fn write_config(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        for _ in 0..TRIES {
            let kept = self.config(&name).await?;
            if kept.is_none() && !call.grant.creates() {
                return Err(CoreError::Conflict);
            }
            let (config, txn) = match &kept {
                None => (Config::create(name.clone(), call.fields)?, Txn::new().expect_absent(self.config_at(&name))),
                Some(kept) => (kept.value.changed(call.fields)?, Txn::new().expect(self.config_at(&name), kept.rev)),
            };
            if config.verify_connection {
                self.verify(&config).await?;
            }
            // A static role that comes at once must not find free what this takes.
            let turn = self.context.neighbours.turn().await;
            self.require_unkept(&config, kept.as_ref().map(|kept| &kept.value)).await?;
            let mut txn = self.context.records.put(txn, self.config_at(&name), &config)?;
            if call.fields.has("password") {
                // Whoever says what the password is knows better than a change that was not finished.
                txn = txn.delete(self.attempt_at(&name));
            }
            match self.context.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => other?,
            }
            drop(turn);
            self.links.drop_one(&name);
            return Ok(Reply::empty());
        }
        Err(CoreError::Conflict)
    }

    /// Logs in with what is about to be kept, over a connector of its own.
    async fn verify(&self, config: &Config) -> Result<(), CoreError> {
        let refuse = |error: &dyn std::fmt::Display| {
            CoreError::Invalid(format!("error creating database object: error verifying connection: {error}"))
        };
        let connector = open(config.kind().system(), config.settings()).map_err(|error| refuse(&error))?;
        let checked = connector.check().await;
        connector.close().await;
        checked.map_err(|error| refuse(&error))
    }

    async fn delete_config(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        let txn = Txn::new().delete(self.config_at(&name)).delete(self.attempt_at(&name));
        self.context.records.commit(txn).await?;
        self.links.drop_one(&name);
        Ok(Reply::empty())
    }

    async fn reset(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let config = self.require_config(&sent::name(&call.captures)?).await?;
        self.links.drop_one(&config.value.name);
        let connector = self.links.get(&config.value)?;
        connector.check().await.map_err(|error| outside(config.value.name.as_str(), &error))?;
        Ok(Reply::empty())
    }

    async fn reload(&self, plugin: &str) -> Result<Reply, CoreError> {
        let listed = self.context.records.scan_all::<Config>(&self.config_shelf()).await?;
        let mut reloaded = Vec::new();
        for config in listed.into_iter().map(|listed| listed.value).filter(|config| config.plugin() == plugin) {
            self.links.drop_one(&config.name);
            reloaded.push(config.name.to_string());
        }
        if reloaded.is_empty() {
            return Err(CoreError::Invalid(format!("no connections with plugin_name \"{plugin}\" found")));
        }
        Ok(Reply::data(serde_json::json!({ "count": reloaded.len(), "connections": reloaded })))
    }

    /// Removes all connections.
    pub(super) async fn wipe_configs(&self) -> Result<(), CoreError> {
        loop {
            let listed = self.context.records.scan::<Config>(&self.config_shelf(), None, BATCH).await?;
            if listed.is_empty() {
                return Ok(());
            }
            let gone = listed.iter().map(|listed| &listed.value.name);
            let gone = gone.flat_map(|name| [self.config_at(name), self.attempt_at(name)]);
            self.context.records.commit(gone.fold(Txn::new(), Txn::delete)).await?;
        }
    }
}
