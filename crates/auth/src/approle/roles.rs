use super::TRIES;
use super::role::Role;
use super::secret_ids::{Doomed, SecretIds};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::{CoreError, Fields, MountContext, MountRecords, Stored};
use strongroom_model::RoleName;

/// Keeps roles, and leads from a role id to its role.
pub(super) struct Roles {
    context: MountContext,
    secret_ids: SecretIds,
}

/// Leads from a role id to the role.
#[derive(Serialize, Deserialize)]
struct Pointer {
    role: RoleName,
}

/// Roles that one transaction removes while wiping; each is three changes, as a secret id is.
const BATCH: usize = 12;

pub(super) fn role_shelf(records: &MountRecords) -> Shelf {
    records.shelf("approle-role").counted()
}

impl Roles {
    pub(super) fn new(context: MountContext, secret_ids: SecretIds) -> Self {
        Self { context, secret_ids }
    }

    fn records(&self) -> &MountRecords {
        &self.context.records
    }

    fn at(&self, name: &RoleName) -> Address {
        role_shelf(self.records()).named(name.as_str())
    }

    fn id_shelf(&self) -> Shelf {
        self.records().shelf("approle-role-id")
    }

    fn id_at(&self, role_id: &str) -> Address {
        self.id_shelf().named(role_id)
    }

    /// The role with that name.
    pub(super) async fn find(&self, name: &RoleName) -> Result<Option<Arc<Stored<Role>>>, CoreError> {
        self.records().get(&self.at(name)).await
    }

    /// The role with that name, or an error that says so.
    pub(super) async fn require(&self, name: &RoleName) -> Result<Arc<Stored<Role>>, CoreError> {
        self.find(name).await?.ok_or_else(|| absent(name))
    }

    /// The role with that role id.
    pub(super) async fn by_role_id(&self, role_id: &str) -> Result<Option<Arc<Stored<Role>>>, CoreError> {
        let Some(pointer) = self.records().get::<Pointer>(&self.id_at(role_id)).await? else { return Ok(None) };
        let role = self.find(&pointer.value.role).await?;
        // Between the two reads the role may have got another id.
        Ok(role.filter(|role| role.value.role_id == role_id))
    }

    /// The names of all roles, sorted.
    pub(super) async fn names(&self) -> Result<Vec<String>, CoreError> {
        let roles = self.records().scan_all::<Role>(&role_shelf(self.records())).await?;
        let mut names: Vec<_> = roles.into_iter().map(|listed| listed.value.name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a role. `Conflict` when there is one meanwhile: the caller was granted to create, not to update.
    pub(super) async fn create(&self, name: &RoleName, sent: &Fields) -> Result<Vec<String>, CoreError> {
        let (role, warnings) = Role::create(name.clone(), sent, &*self.context.entropy)?;
        let txn = Txn::new().expect_absent(self.at(name));
        let txn = self.claim_id(txn, &role)?;
        match self.records().commit(self.records().put(txn, self.at(name), &role)?).await {
            Err(CoreError::Conflict) => Err(self.taken_or_conflict(&role).await?),
            other => other.map(|()| warnings),
        }
    }

    /// Changes a role by a function that may refuse. It is called again when somebody else was quicker.
    pub(super) async fn change<R: Send>(
        &self,
        name: &RoleName,
        edit: impl Fn(&mut Role) -> Result<R, CoreError> + Send + Sync,
    ) -> Result<R, CoreError> {
        for _ in 0..TRIES {
            let current = self.require(name).await?;
            let mut role = current.value.clone();
            let result = edit(&mut role)?;
            let mut txn = Txn::new().expect(self.at(name), current.rev);
            if role.role_id != current.value.role_id {
                txn = self.claim_id(txn, &role)?.delete(self.id_at(&current.value.role_id));
            }
            match self.records().commit(self.records().put(txn, self.at(name), &role)?).await {
                Err(CoreError::Conflict) => match self.taken_or_conflict(&role).await? {
                    CoreError::Conflict => continue,
                    taken => return Err(taken),
                },
                other => return other.map(|()| result),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes a role with its secret ids. Those are powerless from the first commit on; the others only make room.
    pub(super) async fn delete(&self, name: &RoleName) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(current) = self.find(name).await? else { return Ok(()) };
            let txn = Txn::new().expect(self.at(name), current.rev);
            match self.records().commit(self.without(txn, &current.value)?).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(()) => return self.secret_ids.bury(&current.value.instance).await,
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes all roles; their secret ids are left to [`SecretIds::wipe`].
    pub(super) async fn wipe(&self) -> Result<(), CoreError> {
        loop {
            let page = self.records().scan::<Role>(&role_shelf(self.records()), None, BATCH).await?;
            if page.is_empty() {
                return Ok(());
            }
            let txn = page.iter().try_fold(Txn::new(), |txn, listed| self.without(txn, &listed.value))?;
            self.records().commit(txn).await?;
        }
    }

    /// Removes a role and notes that its secret ids are still to be removed.
    fn without(&self, txn: Txn, role: &Role) -> Result<Txn, CoreError> {
        let txn = txn.delete(self.at(&role.name)).delete(self.id_at(&role.role_id));
        self.records().put(txn, self.secret_ids.doomed_at(&role.instance), &Doomed { instance: role.instance.clone() })
    }

    fn claim_id(&self, txn: Txn, role: &Role) -> Result<Txn, CoreError> {
        let at = self.id_at(&role.role_id);
        self.records().put(txn.expect_absent(at.clone()), at, &Pointer { role: role.name.clone() })
    }

    /// Why a commit did not hold: the role id belongs to another role, or somebody else was quicker.
    async fn taken_or_conflict(&self, role: &Role) -> Result<CoreError, CoreError> {
        let owner = self.records().get::<Pointer>(&self.id_at(&role.role_id)).await?;
        Ok(match owner {
            Some(owner) if owner.value.role != role.name => CoreError::Invalid("role_id already in use".to_owned()),
            _ => CoreError::Conflict,
        })
    }
}

/// A role name stands in the path of the request, so naming it tells nothing new.
fn absent(name: &RoleName) -> CoreError {
    CoreError::NotFound(format!("role \"{name}\" does not exist"))
}
