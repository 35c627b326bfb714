use super::role::Role;
use super::{BATCH, Database, TRIES, endpoint};
use crate::sent;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::{Call, CoreError, Operation, Reply, Served, Stored};
use strongroom_model::RoleName;

impl Database {
    fn role_shelf(&self) -> Shelf {
        self.context.records.shelf("database-role").counted()
    }

    fn role_at(&self, name: &RoleName) -> Address {
        self.role_shelf().named(name.as_str())
    }

    /// The role with that name.
    pub(super) async fn role(&self, name: &RoleName) -> Result<Option<Arc<Stored<Role>>>, CoreError> {
        self.context.records.get(&self.role_at(name)).await
    }

    /// The paths of roles.
    pub(super) async fn call_role(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let reply = match (call.endpoint.pattern, call.operation) {
            (endpoint::ROLES, Operation::List) => Reply::keys(self.role_names().await?)?,
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

    async fn role_names(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.context.records.scan_all::<Role>(&self.role_shelf()).await?;
        let mut names: Vec<String> = listed.iter().map(|listed| listed.value.name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn write_role(&self, call: &Call<'_>) -> Result<Reply, CoreError> {
        let name = sent::name(&call.captures)?;
        for _ in 0..TRIES {
            let (role, txn) = match self.role(&name).await? {
                None if !call.grant.creates() => return Err(CoreError::Conflict),
                None => (Role::create(name.clone(), call.fields)?, Txn::new().expect_absent(self.role_at(&name))),
                Some(kept) => (kept.value.changed(call.fields)?, Txn::new().expect(self.role_at(&name), kept.rev)),
            };
            let txn = self.context.records.put(txn, self.role_at(&name), &role)?;
            match self.context.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => other?,
            }
            return Ok(sent::done(call.fields, Role::FIELDS));
        }
        Err(CoreError::Conflict)
    }

    /// Removes all roles.
    pub(super) async fn wipe_roles(&self) -> Result<(), CoreError> {
        loop {
            let listed = self.context.records.scan::<Role>(&self.role_shelf(), None, BATCH).await?;
            if listed.is_empty() {
                return Ok(());
            }
            let gone = listed.iter().map(|listed| self.role_at(&listed.value.name));
            self.context.records.commit(gone.fold(Txn::new(), Txn::delete)).await?;
        }
    }
}
