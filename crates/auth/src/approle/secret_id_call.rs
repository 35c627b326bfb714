use super::role::{Role, uuid};
use super::secret_id::SecretId;
use super::{AppRole, TRIES};
use crate::sent;
use serde_json::json;
use std::sync::Arc;
use strongroom_core::{CoreError, Fields, Reply, Stored};
use strongroom_model::{RoleName, SecretString};

impl AppRole {
    pub(super) async fn generate_secret_id(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let secret = SecretString::new(uuid(&*self.context.entropy));
        self.register(name, sent, &secret).await
    }

    pub(super) async fn take_secret_id(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let secret = required_secret(sent)?;
        self.register(name, sent, &secret).await
    }

    async fn register(&self, name: &RoleName, sent: &Fields, secret: &SecretString) -> Result<Reply, CoreError> {
        let key = self.secret_ids.key(secret);
        for _ in 0..TRIES {
            let role = self.roles.require(name).await?;
            let new = SecretId::new(&role.value, sent, &self.context)?;
            match self.secret_ids.keep(&role, &key, &new).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(()) => {
                    return Ok(Reply::data(json!({
                        "secret_id": secret.expose(),
                        "secret_id_accessor": new.accessor,
                        "secret_id_num_uses": new.uses_left,
                        "secret_id_ttl": new.ttl.secs(),
                    })));
                }
            }
        }
        Err(CoreError::Conflict)
    }

    /// Vault answers 400 for a role that is not there, and 404 for one without secret ids.
    pub(super) async fn list_accessors(&self, name: &RoleName) -> Result<Reply, CoreError> {
        let role = match self.roles.require(name).await {
            Err(CoreError::NotFound(text)) => return Err(CoreError::Invalid(text)),
            other => other?,
        };
        Reply::keys(self.secret_ids.accessors(&role.value.instance).await?)
    }

    /// A secret id that is not there is an empty answer, as in Vault.
    pub(super) async fn look_up_secret_id(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let secret = required_secret(sent)?;
        let role = self.roles.require(name).await?;
        let found = self.secret_ids.find(&role.value.instance, &self.secret_ids.key(&secret)).await?;
        Ok(found.map_or_else(Reply::empty, |found| Reply::data(found.value.shown())))
    }

    pub(super) async fn destroy_secret_id(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let secret = required_secret(sent)?;
        let role = self.roles.require(name).await?;
        self.secret_ids.destroy(&role.value.instance, &self.secret_ids.key(&secret)).await?;
        Ok(Reply::empty())
    }

    pub(super) async fn look_up_accessor(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let (role, accessor) = self.role_and_accessor(name, sent).await?;
        let found = self.secret_ids.by_accessor(&role.value.instance, &accessor).await?;
        let (_, found) = found.ok_or_else(no_accessor)?;
        Ok(Reply::data(found.value.shown()))
    }

    pub(super) async fn destroy_accessor(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let (role, accessor) = self.role_and_accessor(name, sent).await?;
        let found = self.secret_ids.by_accessor(&role.value.instance, &accessor).await?;
        let (key, _) = found.ok_or_else(no_accessor)?;
        self.secret_ids.destroy(&role.value.instance, &key).await?;
        Ok(Reply::empty())
    }

    async fn role_and_accessor(
        &self,
        name: &RoleName,
        sent: &Fields,
    ) -> Result<(Arc<Stored<Role>>, String), CoreError> {
        let accessor = sent::id(sent, "secret_id_accessor")?.ok_or(CoreError::Missing("secret_id_accessor"))?;
        Ok((self.roles.require(name).await?, accessor))
    }
}

fn required_secret(sent: &Fields) -> Result<SecretString, CoreError> {
    sent::secret(sent, "secret_id")?.ok_or(CoreError::Missing("secret_id"))
}

/// Terraform looks for the first words to learn that a secret id has expired.
fn no_accessor() -> CoreError {
    CoreError::NotFound(
        "failed to find accessor entry for secret_id_accessor: it has expired, was destroyed, or is of another role"
            .to_owned(),
    )
}
