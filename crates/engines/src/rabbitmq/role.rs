use super::{RabbitMq, TRIES, endpoint};
use crate::sent::{self, replace};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::{Call, CoreError, Fields, Operation, Reply, Served, Stored};
use strongroom_model::RoleName;

/// What a user of a role may do, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) name: RoleName,
    tags: String,
    vhosts: BTreeMap<String, Rights>,
    vhost_topics: BTreeMap<String, BTreeMap<String, TopicRights>>,
}

/// Patterns of names of queues and exchanges. Empty: none.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rights {
    configure: String,
    write: String,
    read: String,
}

/// Patterns of routing keys.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TopicRights {
    write: String,
    read: String,
}

impl Role {
    fn read(name: RoleName, sent: &Fields, kept: Option<&Role>) -> Result<Self, CoreError> {
        let mut role = kept.cloned().unwrap_or(Self {
            name,
            tags: String::new(),
            vhosts: BTreeMap::new(),
            vhost_topics: BTreeMap::new(),
        });
        if let Some(tags) = sent.list("tags")? {
            role.tags = tags.join(",");
        }
        replace(&mut role.vhosts, rights(sent, "vhosts")?);
        replace(&mut role.vhost_topics, rights(sent, "vhost_topics")?);
        if role.tags.is_empty() && role.vhosts.is_empty() && role.vhost_topics.is_empty() {
            return Err(CoreError::Invalid("both tags, vhosts, and vhost_topics not specified".to_owned()));
        }
        Ok(role)
    }

    /// What the connector is told.
    pub(super) fn statement(&self) -> String {
        self.shown().to_string()
    }

    fn shown(&self) -> Value {
        json!({ "tags": self.tags, "vhosts": self.vhosts, "vhost_topics": self.vhost_topics })
    }
}

/// JSON, as such or in a text.
fn rights<T: DeserializeOwned + Default>(sent: &Fields, field: &str) -> Result<Option<T>, CoreError> {
    let parsed = match sent.value(field) {
        None => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Some(T::default())),
        Some(Value::String(text)) => serde_json::from_str(text),
        Some(value) => serde_json::from_value(value.clone()),
    };
    parsed.map(Some).map_err(|error| CoreError::Field {
        field: field.to_owned(),
        problem: format!("must be JSON as {{\"/\": {{\"read\": \".*\"}}}}: {error}"),
    })
}

impl RabbitMq {
    pub(super) fn role_shelf(&self) -> Shelf {
        self.context.records.shelf("rabbitmq-role").counted()
    }

    pub(super) fn role_at(&self, name: &RoleName) -> Address {
        self.role_shelf().named(name.as_str())
    }

    /// The role with that name.
    pub(super) async fn role(&self, name: &RoleName) -> Result<Option<Arc<Stored<Role>>>, CoreError> {
        self.context.records.get(&self.role_at(name)).await
    }

    pub(super) async fn call_role(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let reply = match (call.endpoint.pattern, call.operation) {
            (endpoint::ROLES, Operation::List) => {
                let listed = self.context.records.scan_all::<Role>(&self.role_shelf()).await?;
                let mut names: Vec<String> = listed.iter().map(|listed| listed.value.name.to_string()).collect();
                names.sort_unstable();
                Reply::keys(names)?
            }
            (endpoint::ROLE, Operation::Read) => {
                let role = self.role(&sent::name(&call.captures)?).await?.ok_or(CoreError::Nothing)?;
                Reply::data(role.value.shown())
            }
            (endpoint::ROLE, Operation::Write) => self.write_role(call).await?,
            (endpoint::ROLE, Operation::Delete) => {
                let at = self.role_at(&sent::name(&call.captures)?);
                self.context.records.commit(Txn::new().delete(at)).await?;
                Reply::empty()
            }
            _ => return Err(CoreError::Unsupported),
        };
        Ok(Served::Reply(reply))
    }

    async fn write_role(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        for _ in 0..TRIES {
            let kept = self.role(&name).await?;
            if kept.is_none() && !call.grant.creates() {
                return Err(CoreError::Conflict);
            }
            let role = Role::read(name.clone(), call.fields, kept.as_ref().map(|kept| &kept.value))?;
            let txn = match &kept {
                None => Txn::new().expect_absent(self.role_at(&name)),
                Some(kept) => Txn::new().expect(self.role_at(&name), kept.rev),
            };
            match self.context.records.commit(self.context.records.put(txn, self.role_at(&name), &role)?).await {
                Err(CoreError::Conflict) => continue,
                other => other?,
            }
            return Ok(Reply::empty());
        }
        Err(CoreError::Conflict)
    }
}
