use super::UserPass;
use super::password::{PasswordHash, refuse_foreign_hash, sent_password};
use super::user::{User, UserTerms};
use strongroom_core::{CoreError, Fields, Reply};
use strongroom_model::{RoleName, SecretString};

impl UserPass {
    pub(super) async fn list_users(&self) -> Result<Reply, CoreError> {
        Reply::keys(self.users.names().await?)
    }

    pub(super) async fn read_user(&self, name: &RoleName) -> Result<Reply, CoreError> {
        let user = self.users.find(name).await?.ok_or(CoreError::Nothing)?;
        Ok(Reply::data(user.value.terms.shown()))
    }

    /// Creates or updates as the gate granted it. When the user came or went since, the caller has to ask again: the
    /// other of the two may be more than its policies allow.
    pub(super) async fn write_user(&self, name: &RoleName, sent: &Fields, creates: bool) -> Result<Reply, CoreError> {
        refuse_foreign_hash(sent)?;
        let password = sent_password(sent)?;
        let warnings = match (creates, self.users.find(name).await?) {
            (true, None) => self.create_user(name, sent, password.ok_or(CoreError::Missing("password"))?).await?,
            (false, Some(_)) => self.update_user(name, sent, password).await?,
            _ => return Err(CoreError::Conflict),
        };
        Ok(Reply { warnings, ..Reply::empty() })
    }

    async fn create_user(
        &self,
        name: &RoleName,
        sent: &Fields,
        password: SecretString,
    ) -> Result<Vec<String>, CoreError> {
        let mut terms = UserTerms::default();
        let warnings = terms.update(sent)?;
        let password = self.hash(password).await?;
        self.users.create(&User { name: name.clone(), password, terms }).await?;
        Ok(warnings)
    }

    async fn update_user(
        &self,
        name: &RoleName,
        sent: &Fields,
        password: Option<SecretString>,
    ) -> Result<Vec<String>, CoreError> {
        let hash = match password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        let update = |user: &mut User| {
            if let Some(hash) = &hash {
                user.password = hash.duplicate();
            }
            user.terms.update(sent)
        };
        self.users.change(name, update).await
    }

    pub(super) async fn delete_user(&self, name: &RoleName) -> Result<Reply, CoreError> {
        self.users.delete(name).await?;
        Ok(Reply::empty())
    }

    pub(super) async fn write_password(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        refuse_foreign_hash(sent)?;
        let password = sent_password(sent)?.ok_or(CoreError::Missing("password"))?;
        self.users.require(name).await?;
        let hash = self.hash(password).await?;
        let replace = |user: &mut User| {
            user.password = hash.duplicate();
            Ok(())
        };
        self.users.change(name, replace).await?;
        Ok(Reply::empty())
    }

    pub(super) async fn write_policies(&self, name: &RoleName, sent: &Fields) -> Result<Reply, CoreError> {
        let warnings = self.users.change(name, |user| user.terms.update_policies(sent)).await?;
        Ok(Reply { warnings, ..Reply::empty() })
    }

    async fn hash(&self, password: SecretString) -> Result<PasswordHash, CoreError> {
        let salt = self.context.entropy.array();
        self.pool.enter()?.compute(move || PasswordHash::create(&password, &salt)).await
    }
}
