use crate::gate::Grant;
use crate::identity::Identity;
use crate::mount::Mounts;
use crate::plugin::{Call, Outcome};
use crate::token::{NewToken, Tokens};
use crate::{Captures, CoreError, Endpoint, Fields, Login, Operation, Reply};
use std::sync::Arc;

/// Calls auth methods, and turns a proven principal into an entity and a token.
pub struct Logins {
    mounts: Arc<Mounts>,
    identity: Arc<Identity>,
    tokens: Arc<Tokens>,
}

impl Logins {
    pub(crate) fn new(mounts: Arc<Mounts>, identity: Arc<Identity>, tokens: Arc<Tokens>) -> Self {
        Self { mounts, identity, tokens }
    }

    /// Serves a request to the auth method of the granted mount.
    pub async fn call(
        &self,
        grant: &Grant,
        endpoint: &'static Endpoint,
        captures: Captures,
        operation: Operation,
        fields: &Fields,
    ) -> Result<Reply, CoreError> {
        let method =
            self.mounts.table().method(grant.mount()?.id).ok_or(CoreError::Internal("a mount without its method"))?;
        match method.call(Call { endpoint, operation, captures, fields, grant }).await? {
            Outcome::Reply(reply) => Ok(reply),
            Outcome::Login(login) => self.complete(grant, *login).await,
        }
    }

    async fn complete(&self, grant: &Grant, login: Login) -> Result<Reply, CoreError> {
        let mount = grant.mount()?;
        if login.policies.iter().any(strongroom_model::PolicyName::is_root) {
            return Err(CoreError::Invalid("auth methods cannot create root tokens".to_owned()));
        }
        let entity = match &login.alias {
            Some(alias) => Some(self.identity.resolve_login(&mount.accessor, alias).await?.value.id),
            None => None,
        };
        let path = grant.visit().path.to_string();
        let (auth, warnings) = self.tokens.create(NewToken::from_login(login, mount.id, path, entity)).await?;
        Ok(Reply { auth: Some(auth), warnings, ..Reply::default() })
    }
}
