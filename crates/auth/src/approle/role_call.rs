use super::AppRole;
use crate::sent;
use serde_json::json;
use strongroom_core::{CoreError, Fields, Reply};
use strongroom_model::RoleName;

impl AppRole {
    pub(super) async fn list_roles(&self) -> Result<Reply, CoreError> {
        Reply::keys(self.roles.names().await?)
    }

    pub(super) async fn read_role(&self, name: &RoleName) -> Result<Reply, CoreError> {
        let role = self.roles.find(name).await?.ok_or(CoreError::Nothing)?;
        Ok(Reply::data(role.value.shown()))
    }

    /// Creates or updates as the gate granted it. When the role came or went since, the caller has to ask again: the
    /// other of the two may be more than its policies allow.
    pub(super) async fn write_role(&self, name: &RoleName, sent: &Fields, creates: bool) -> Result<Reply, CoreError> {
        let warnings = match (creates, self.roles.find(name).await?) {
            (true, None) => self.roles.create(name, sent).await?,
            (false, Some(_)) => self.roles.change(name, |role| role.update(sent)).await?,
            _ => return Err(CoreError::Conflict),
        };
        Ok(Reply { warnings, ..Reply::empty() })
    }

    pub(super) async fn delete_role(&self, name: &RoleName) -> Result<Reply, CoreError> {
        self.roles.delete(name).await?;
        Ok(Reply::empty())
    }

    pub(super) async fn read_role_id(&self, name: &RoleName) -> Result<Reply, CoreError> {
        let role = self.roles.find(name).await?.ok_or(CoreError::Nothing)?;
        Ok(Reply::data(json!({ "role_id": role.value.role_id })))
    }

    pub(super) async fn write_role_id(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let role_id = sent::id(sent, "role_id")?.ok_or(CoreError::Missing("role_id"))?;
        let rename = |role: &mut super::role::Role| {
            role.role_id.clone_from(&role_id);
            Ok(())
        };
        self.roles.change(name, rename).await?;
        Ok(Reply::empty())
    }
}
