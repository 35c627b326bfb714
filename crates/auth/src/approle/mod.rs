//! AppRole: machines log in with a role id, which is no secret, and a secret id, which is. Serves the paths that
//! Vault's method of this name has.
//!
//! Invariants: a secret id is shown once and kept only as a keyed hash; it belongs to one *instance* of a role, so the
//! secret ids of a deleted role are powerless from the commit that deletes it, even if the server dies before they are
//! removed; a counted use is durable before the login is granted; a stranger cannot tell an unknown role id from a
//! wrong secret id, unless the mount is tuned to shut out roles by their ids, of which there are only those that are known
//! (otherwise nobody is: secret ids are drawn at random, and who knows a role id could shut out its machines); where it
//! is, of guesses sent at once no more are looked at than may fail. Does not make tokens or entities: the core does.

mod endpoint;
mod login;
mod role;
mod role_call;
mod roles;
mod secret_id;
mod secret_id_call;
mod secret_ids;
mod setting;

use crate::failures::Failures;
use crate::turns::Turns;
use async_trait::async_trait;
use roles::Roles;
use secret_ids::SecretIds;
use serde_json::{Map, Value};
use setting::Setting;
use std::sync::Arc;
use strongroom_core::{
    AuthMethod, Call, Captures, CoreError, Endpoint, Lockout, MountContext, Operation, Outcome, Reply, Terms,
};
use strongroom_model::RoleName;

/// Starts the method for one mount. Reads nothing: roles and secret ids are looked up when they are needed.
pub fn start(context: MountContext) -> Arc<dyn AuthMethod> {
    let secret_ids = SecretIds::new(context.clone());
    let roles = Roles::new(context.clone(), secret_ids.clone());
    let failures = Failures::new(context.clone(), ("approle-failure", "approle-failure-end"));
    Arc::new(AppRole { roles, secret_ids, failures, turns: Turns::new(), context })
}

struct AppRole {
    roles: Roles,
    secret_ids: SecretIds,
    failures: Failures,
    turns: Turns,
    context: MountContext,
}

#[async_trait]
impl AuthMethod for AppRole {
    fn endpoints(&self) -> &'static [Endpoint] {
        endpoint::TABLE
    }

    async fn exists(&self, endpoint: &'static Endpoint, captures: &Captures) -> Result<Option<bool>, CoreError> {
        if endpoint.pattern != endpoint::ROLE {
            return Ok(None);
        }
        let name = RoleName::parse(captures.get("name"))?;
        Ok(Some(self.roles.find(&name).await?.is_some()))
    }

    async fn call(&self, call: Call<'_>) -> Result<Outcome, CoreError> {
        match call.endpoint.pattern {
            endpoint::LOGIN => self.login(&call).await.map(|login| Outcome::Login(Box::new(login))),
            endpoint::ROLES => self.list_roles().await.map(Outcome::Reply),
            endpoint::TIDY => self.tidy().await.map(Outcome::Reply),
            _ => self.call_role(&call).await.map(Outcome::Reply),
        }
    }

    async fn renew(&self, note: &Map<String, Value>) -> Result<Terms, CoreError> {
        self.renewed_terms(note).await
    }

    async fn work(&self) -> Result<(), CoreError> {
        self.tidy().await.map(drop)
    }

    fn lockout(&self) -> Option<&dyn Lockout> {
        Some(self)
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        self.roles.wipe().await?;
        self.failures.wipe().await?;
        self.secret_ids.wipe().await
    }
}

#[async_trait]
impl Lockout for AppRole {
    async fn shut_out(&self) -> Result<Vec<String>, CoreError> {
        let mut ids = Vec::new();
        if self.context.lockout().tuned {
            for id in self.failures.shut_out().await? {
                if self.roles.by_role_id(&id).await?.is_some() {
                    ids.push(id);
                }
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    async fn let_in(&self, alias: &str) -> Result<(), CoreError> {
        self.failures.forget(alias).await
    }
}

impl AppRole {
    /// The paths below a role.
    async fn call_role(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = RoleName::parse(call.captures.get("name"))?;
        let sent = call.fields;
        if let Some(setting) = Setting::at(call.endpoint.pattern) {
            return self.call_setting(setting, call.operation, &name, sent).await;
        }
        match (call.endpoint.pattern, call.operation) {
            (endpoint::ROLE, Operation::Read) => self.read_role(&name).await,
            (endpoint::ROLE, Operation::Write) => self.write_role(&name, sent, call.grant.creates()).await,
            (endpoint::ROLE, Operation::Delete) => self.delete_role(&name).await,
            (endpoint::ROLE_ID, Operation::Read) => self.read_role_id(&name).await,
            (endpoint::ROLE_ID, Operation::Write) => self.write_role_id(&name, sent).await,
            (endpoint::SECRET_ID, Operation::Write) => self.generate_secret_id(&name, sent).await,
            (endpoint::SECRET_ID, Operation::List) => self.list_accessors(&name).await,
            (endpoint::CUSTOM_SECRET_ID, Operation::Write) => self.take_secret_id(&name, sent).await,
            (endpoint::LOOKUP, Operation::Write) => self.look_up_secret_id(&name, sent).await,
            (endpoint::DESTROY, Operation::Write | Operation::Delete) => self.destroy_secret_id(&name, sent).await,
            (endpoint::ACCESSOR_LOOKUP, Operation::Write) => self.look_up_accessor(&name, sent).await,
            (endpoint::ACCESSOR_DESTROY, Operation::Write | Operation::Delete) => {
                self.destroy_accessor(&name, sent).await
            }
            _ => Err(CoreError::Unsupported),
        }
    }

    /// Removes what is expired, within the call: no task is left behind that a shutdown would have to wait for.
    async fn tidy(&self) -> Result<Reply, CoreError> {
        self.secret_ids.bury_all().await?;
        self.secret_ids.sweep_expired().await?;
        Ok(Reply::empty().warn("Tidy operation successfully completed: no expired secret ID of this mount is left."))
    }
}

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 64;
