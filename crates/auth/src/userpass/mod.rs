//! Userpass: people log in with a user name and a password. Serves the paths that Vault's method of this name has.
//!
//! Invariants: a password is kept only as an Argon2id hash; a stranger cannot tell an unknown user from a wrong password,
//! neither by the answer nor by the work done; five wrong passwords in a row (or as the mount is tuned) shut a name out for
//! fifteen minutes, whether or not there is such a user, and a restart does not forget it; at most half of the cores compute hashes at once. Does
//! not make tokens or entities: the core does.

mod endpoint;
mod login;
mod password;
mod pool;
mod user;
mod user_call;
mod users;

use crate::failures::Failures;
use crate::turns::Turns;
use async_trait::async_trait;
use pool::Pool;
use serde_json::{Map, Value};
use std::sync::{Arc, LazyLock};
use strongroom_core::{
    AuthMethod, Call, Captures, CoreError, Endpoint, Lockout, MountContext, Operation, Outcome, Reply, Terms,
};
use strongroom_model::RoleName;
use users::Users;

pub use password::hashes_computed;

/// Starts the method for one mount. Reads nothing: users and failed logins are looked up when they are needed.
pub fn start(context: MountContext) -> Arc<dyn AuthMethod> {
    let (users, failures) =
        (Users::new(context.clone()), Failures::new(context.clone(), ("userpass-failure", "userpass-failure-end")));
    Arc::new(UserPass { users, failures, turns: Turns::new(), pool: &POOL, context })
}

/// One for all mounts of the process: what it limits is the cores.
static POOL: LazyLock<Pool> = LazyLock::new(Pool::for_this_machine);

struct UserPass {
    users: Users,
    failures: Failures,
    turns: Turns,
    pool: &'static Pool,
    context: MountContext,
}

#[async_trait]
impl AuthMethod for UserPass {
    fn endpoints(&self) -> &'static [Endpoint] {
        endpoint::TABLE
    }

    async fn exists(&self, endpoint: &'static Endpoint, captures: &Captures) -> Result<Option<bool>, CoreError> {
        if endpoint.pattern != endpoint::USER {
            return Ok(None);
        }
        let name = RoleName::parse(captures.get("name"))?;
        Ok(Some(self.users.find(&name).await?.is_some()))
    }

    async fn call(&self, call: Call<'_>) -> Result<Outcome, CoreError> {
        if call.endpoint.pattern == endpoint::USERS {
            return self.list_users().await.map(Outcome::Reply);
        }
        let name = RoleName::parse(call.captures.get("name"))?;
        if call.endpoint.pattern == endpoint::LOGIN {
            return self.login(&name, &call).await.map(|login| Outcome::Login(Box::new(login)));
        }
        self.call_user(&name, &call).await.map(Outcome::Reply)
    }

    async fn renew(&self, note: &Map<String, Value>) -> Result<Terms, CoreError> {
        self.renewed_terms(note).await
    }

    async fn wipe(&self) -> Result<(), CoreError> {
        self.users.wipe().await?;
        self.failures.wipe().await
    }

    fn lockout(&self) -> Option<&dyn Lockout> {
        Some(self)
    }
}

#[async_trait]
impl Lockout for UserPass {
    /// Names without a user are left out: some people type their password there.
    async fn shut_out(&self) -> Result<Vec<String>, CoreError> {
        let mut names = Vec::new();
        for name in self.failures.shut_out().await? {
            if self.users.find(&RoleName::parse(&name)?).await?.is_some() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn let_in(&self, alias: &str) -> Result<(), CoreError> {
        self.failures.forget(RoleName::parse(alias)?.as_str()).await
    }
}

impl UserPass {
    /// The paths of one user.
    async fn call_user(&self, name: &RoleName, call: &Call<'_>) -> Result<Reply, CoreError> {
        match (call.endpoint.pattern, call.operation) {
            (endpoint::USER, Operation::Read) => self.read_user(name).await,
            (endpoint::USER, Operation::Write) => self.write_user(name, call.fields, call.grant.creates()).await,
            (endpoint::USER, Operation::Delete) => self.delete_user(name).await,
            (endpoint::PASSWORD, Operation::Write) => self.write_password(name, call.fields).await,
            (endpoint::POLICIES, Operation::Write) => self.write_policies(name, call.fields).await,
            _ => Err(CoreError::Unsupported),
        }
    }
}

/// How often a change is tried again when somebody else changed the same record.
const TRIES: usize = 16;

/// Records that one transaction removes.
const BATCH: usize = 24;
