use crate::gate::Grant;
use crate::identity::Identity;
use crate::mount::{MountClass, Mounts};
use crate::plugin::{AuthMethod, Call, Outcome};
use crate::token::{NewToken, Tokens};
use crate::{Captures, CoreError, Endpoint, Fields, Login, Operation, Reply};
use std::sync::Arc;

/// Calls auth methods, and turns a proven principal into an entity and a token.
pub struct Logins {
    mounts: Arc<Mounts>,
    identity: Arc<Identity>,
    tokens: Arc<Tokens>,
}

/// Principals of one mount who are shut out after failed logins.
pub struct ShutOut {
    /// The accessor of the mount.
    pub accessor: String,
    /// Their names there, in order.
    pub aliases: Vec<String>,
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

    /// Who is shut out after failed logins, by mount: of one mount, or of all that have any.
    pub async fn shut_out(&self, _grant: &Grant, accessor: Option<&str>) -> Result<Vec<ShutOut>, CoreError> {
        let mounts = self.mounts.table().of(MountClass::Auth);
        let mut found = Vec::new();
        for mount in mounts.iter().filter(|mount| accessor.is_none_or(|wanted| wanted == mount.accessor)) {
            let method = self.mounts.table().method(mount.id);
            let Some(lockout) = method.as_deref().and_then(AuthMethod::lockout) else { continue };
            let aliases = lockout.shut_out().await?;
            if !aliases.is_empty() {
                found.push(ShutOut { accessor: mount.accessor.clone(), aliases });
            }
        }
        Ok(found)
    }

    /// Lets somebody in again who was shut out, now and not only when their time is over.
    pub async fn let_in(&self, _grant: &Grant, accessor: &str, alias: &str) -> Result<(), CoreError> {
        let unknown = || CoreError::Invalid(format!("no auth method has the accessor \"{accessor}\"; see sys/auth"));
        let id = self.mounts.table().by_accessor(accessor).map(|mount| mount.id).ok_or_else(unknown)?;
        let method = self.mounts.table().method(id).ok_or_else(unknown)?;
        match method.lockout() {
            Some(lockout) => lockout.let_in(alias).await,
            None => Ok(()),
        }
    }

    async fn complete(&self, grant: &Grant, login: Login) -> Result<Reply, CoreError> {
        let mount = grant.mount()?;
        if login.policies.iter().any(strongroom_model::PolicyName::is_root) {
            return Err(CoreError::Invalid("auth methods cannot create root tokens".to_owned()));
        }
        let entity = match &login.alias {
            Some(alias) => Some(self.identity.resolve_login(mount, alias, login.called.as_deref()).await?.value.id),
            None => None,
        };
        let path = grant.visit().path.to_string();
        let (auth, warnings) = self.tokens.create(NewToken::from_login(login, mount.id, path, entity)).await?;
        Ok(Reply { auth: Some(auth), warnings, ..Reply::default() })
    }
}
