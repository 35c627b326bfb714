use super::user::User;
use super::{BATCH, TRIES};
use serde::de::IgnoredAny;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::{CoreError, MountContext, MountRecords, Stored};
use strongroom_model::RoleName;

/// Keeps users.
pub(super) struct Users {
    context: MountContext,
}

impl Users {
    pub(super) fn new(context: MountContext) -> Self {
        Self { context }
    }

    fn records(&self) -> &MountRecords {
        &self.context.records
    }

    fn shelf(&self) -> Shelf {
        self.records().shelf("userpass-user").counted()
    }

    fn at(&self, name: &RoleName) -> Address {
        self.shelf().named(name.as_str())
    }

    /// The user with that name.
    pub(super) async fn find(&self, name: &RoleName) -> Result<Option<Arc<Stored<User>>>, CoreError> {
        self.records().get(&self.at(name)).await
    }

    /// The user with that name, or an error that says so. The name stands in the path, so the error tells nothing new.
    pub(super) async fn require(&self, name: &RoleName) -> Result<Arc<Stored<User>>, CoreError> {
        self.find(name).await?.ok_or_else(|| CoreError::NotFound(format!("user \"{name}\" does not exist")))
    }

    /// The names of all users, in order.
    pub(super) async fn names(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.records().scan_all::<IgnoredAny>(&self.shelf()).await?;
        let mut names: Vec<_> = listed.iter().map(|listed| listed.text()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Adds a user. `Conflict` when there is one of that name.
    pub(super) async fn create(&self, user: &User) -> Result<(), CoreError> {
        let at = self.at(&user.name);
        let txn = self.records().put(Txn::new().expect_absent(at.clone()), at, user)?;
        self.records().commit(txn).await
    }

    /// Changes a user by a function that may refuse. It is called again when somebody else was quicker.
    pub(super) async fn change<R: Send>(
        &self,
        name: &RoleName,
        edit: impl Fn(&mut User) -> Result<R, CoreError> + Send + Sync,
    ) -> Result<R, CoreError> {
        for _ in 0..TRIES {
            let current = self.require(name).await?;
            let mut user = current.value.duplicate();
            let result = edit(&mut user)?;
            let txn = Txn::new().expect(self.at(name), current.rev);
            match self.records().commit(self.records().put(txn, self.at(name), &user)?).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|()| result),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes a user, if there is one.
    pub(super) async fn delete(&self, name: &RoleName) -> Result<(), CoreError> {
        self.records().commit(Txn::new().delete(self.at(name))).await
    }

    /// Removes all users.
    pub(super) async fn wipe(&self) -> Result<(), CoreError> {
        loop {
            let page = self.records().scan::<IgnoredAny>(&self.shelf(), None, BATCH).await?;
            if page.is_empty() {
                return Ok(());
            }
            let delete = |txn: Txn, name: &[u8]| txn.delete(self.shelf().named(name));
            let txn = page.iter().fold(Txn::new(), |txn, listed| delete(txn, &listed.name));
            self.records().commit(txn).await?;
        }
    }
}
