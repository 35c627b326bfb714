use super::TRIES;
use super::role::{Instance, Role};
use super::roles::role_shelf;
use super::secret_id::{SecretId, is_past};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_core::{CoreError, MountContext, MountRecords, Stored};
use strongroom_model::{SecretString, Timestamp};

/// Keeps secret ids, each under its role's instance and its own keyed hash, with two ways to it: by accessor, and by
/// the time at which it expires. The three records come and go together.
#[derive(Clone)]
pub(super) struct SecretIds {
    context: MountContext,
}

/// The keyed hash of a secret id: the name it is kept under. Useless for logging in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SecretKey(String);

impl SecretKey {
    /// To tell it from others.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// Leads from an accessor to the secret id.
#[derive(Clone, Serialize, Deserialize)]
struct Pointer {
    secret: SecretKey,
    expires: Option<Timestamp>,
}

/// Leads from a time of expiry to the secret id.
#[derive(Serialize, Deserialize)]
struct Due {
    instance: Instance,
    secret: SecretKey,
    accessor: String,
}

/// A role that is gone, whose secret ids are still to be removed.
#[derive(Serialize, Deserialize)]
pub(super) struct Doomed {
    pub(super) instance: Instance,
}

/// Secret ids that one transaction removes. Each is three changes, each change may touch a page of the barrier's own, and
/// every storage engine takes a hundred operations.
const BATCH: usize = 12;

impl SecretIds {
    pub(super) fn new(context: MountContext) -> Self {
        Self { context }
    }

    fn records(&self) -> &MountRecords {
        &self.context.records
    }

    fn at(&self, instance: &Instance, secret: &SecretKey) -> Address {
        self.records().shelf("approle-secret-id").within(instance.as_str()).named(&secret.0)
    }

    fn accessors_of(&self, instance: &Instance) -> Shelf {
        self.records().shelf("approle-accessor").counted().within(instance.as_str())
    }

    fn expiry_shelf(&self) -> Shelf {
        self.records().shelf("approle-expiry")
    }

    fn expiry_at(&self, instance: &Instance, secret: &SecretKey, expires: Timestamp) -> Address {
        self.expiry_shelf().ordered(expires.nanos(), format!("{}/{}", instance.as_str(), secret.0))
    }

    fn doomed_shelf(&self) -> Shelf {
        self.records().shelf("approle-doomed")
    }

    pub(super) fn doomed_at(&self, instance: &Instance) -> Address {
        self.doomed_shelf().named(instance.as_str())
    }

    /// The name under which a secret id is kept.
    pub(super) fn key(&self, secret: &SecretString) -> SecretKey {
        SecretKey(hex::encode(self.records().keyed_hash("approle-secret-id", secret)))
    }

    /// The secret id of that instance, if it is alive. One found expired is removed.
    pub(super) async fn find(
        &self,
        instance: &Instance,
        secret: &SecretKey,
    ) -> Result<Option<Arc<Stored<SecretId>>>, CoreError> {
        let found = self.records().get::<SecretId>(&self.at(instance, secret)).await?;
        let Some(expired) = found.as_ref().filter(|found| found.value.is_expired(self.context.now())) else {
            return Ok(found);
        };
        match self.remove(instance, secret, expired).await {
            Ok(()) | Err(CoreError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The living secret id of that instance with that accessor. Accessors of other roles lead nowhere from here.
    pub(super) async fn by_accessor(
        &self,
        instance: &Instance,
        accessor: &str,
    ) -> Result<Option<(SecretKey, Arc<Stored<SecretId>>)>, CoreError> {
        let at = self.accessors_of(instance).named(accessor);
        let Some(pointer) = self.records().get::<Pointer>(&at).await? else { return Ok(None) };
        let secret = pointer.value.secret.clone();
        let found = self.find(instance, &secret).await?;
        Ok(found.filter(|found| found.value.accessor == accessor).map(|found| (secret, found)))
    }

    /// The accessors of the living secret ids of that instance, sorted.
    pub(super) async fn accessors(&self, instance: &Instance) -> Result<Vec<String>, CoreError> {
        let now = self.context.now();
        let all = self.records().scan_all::<Pointer>(&self.accessors_of(instance)).await?;
        let living = all.iter().filter(|listed| !is_past(listed.value.expires, now));
        let mut accessors: Vec<_> = living.map(|listed| listed.text()).collect();
        accessors.sort_unstable();
        Ok(accessors)
    }

    /// Keeps a new secret id of a role. `Conflict` when the role was changed meanwhile, so that nobody gets one from a
    /// role that is gone or narrower by now.
    pub(super) async fn keep(&self, role: &Stored<Role>, secret: &SecretKey, new: &SecretId) -> Result<(), CoreError> {
        // An expired one of the same text, which tidying has not reached, does not stand in the way.
        if self.find(&role.value.instance, secret).await?.is_some() {
            return Err(CoreError::Invalid(
                "SecretID is already registered; destroy it first, or choose another".to_owned(),
            ));
        }
        let instance = &role.value.instance;
        let at = self.at(instance, secret);
        let txn = Txn::new().expect(role_shelf(self.records()).named(role.value.name.as_str()), role.rev);
        let mut txn = self.records().put(txn.expect_absent(at.clone()), at, new)?;
        let pointer = Pointer { secret: secret.clone(), expires: new.expires };
        txn = self.records().put(txn, self.accessors_of(instance).named(&new.accessor), &pointer)?;
        if let Some(expires) = new.expires {
            let due = Due { instance: instance.clone(), secret: secret.clone(), accessor: new.accessor.clone() };
            txn = self.records().put(txn, self.expiry_at(instance, secret, expires), &due)?;
        }
        self.records().commit(txn).await
    }

    /// Counts a use. Durable when it returns; `Conflict` when the role or the secret id was changed meanwhile.
    pub(super) async fn spend(
        &self,
        role: &Stored<Role>,
        secret: &SecretKey,
        used: &Stored<SecretId>,
    ) -> Result<(), CoreError> {
        let instance = &role.value.instance;
        let at = self.at(instance, secret);
        let txn = Txn::new().expect(role_shelf(self.records()).named(role.value.name.as_str()), role.rev);
        let txn = txn.expect(at.clone(), used.rev);
        let txn = match used.value.uses_left {
            0 => return Ok(()),
            1 => self.without(txn, instance, secret, &used.value.accessor, used.value.expires),
            uses => {
                let left = SecretId { uses_left: uses - 1, updated: self.context.now(), ..used.value.clone() };
                self.records().put(txn, at, &left)?
            }
        };
        self.records().commit(txn).await
    }

    /// Destroys a secret id, whoever is using it at this moment.
    pub(super) async fn destroy(&self, instance: &Instance, secret: &SecretKey) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(found) = self.find(instance, secret).await? else { return Ok(()) };
            match self.remove(instance, secret, &found).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    async fn remove(&self, instance: &Instance, secret: &SecretKey, found: &Stored<SecretId>) -> Result<(), CoreError> {
        let txn = Txn::new().expect(self.at(instance, secret), found.rev);
        self.records().commit(self.without(txn, instance, secret, &found.value.accessor, found.value.expires)).await
    }

    /// The three records of a secret id, away.
    fn without(
        &self,
        txn: Txn,
        instance: &Instance,
        secret: &SecretKey,
        accessor: &str,
        expires: Option<Timestamp>,
    ) -> Txn {
        let txn = txn.delete(self.at(instance, secret)).delete(self.accessors_of(instance).named(accessor));
        match expires {
            Some(expires) => txn.delete(self.expiry_at(instance, secret, expires)),
            None => txn,
        }
    }

    /// Removes the secret ids of a role that is gone. Nobody can add to them any more, so this ends.
    pub(super) async fn bury(&self, instance: &Instance) -> Result<(), CoreError> {
        let shelf = self.accessors_of(instance);
        loop {
            let page = self.records().scan::<Pointer>(&shelf, None, BATCH).await?;
            if page.is_empty() {
                return self.records().commit(Txn::new().delete(self.doomed_at(instance))).await;
            }
            let txn = page.iter().fold(Txn::new(), |txn, listed| {
                self.without(txn, instance, &listed.value.secret, &listed.text(), listed.value.expires)
            });
            self.records().commit(txn).await?;
        }
    }

    /// Ends what a crash interrupted: removes the secret ids of all roles that are gone.
    pub(super) async fn bury_all(&self) -> Result<(), CoreError> {
        loop {
            let page = self.records().scan::<Doomed>(&self.doomed_shelf(), None, BATCH).await?;
            if page.is_empty() {
                return Ok(());
            }
            for listed in page {
                self.bury(&listed.value.instance).await?;
            }
        }
    }

    /// Removes every secret id whose time has come.
    pub(super) async fn sweep_expired(&self) -> Result<(), CoreError> {
        let now = self.context.now().nanos();
        loop {
            let page = self.records().scan::<Due>(&self.expiry_shelf(), None, BATCH).await?;
            let mut txn = Txn::new();
            for listed in page.iter().take_while(|listed| listed.number <= now) {
                let Due { instance, secret, accessor } = &listed.value;
                let expires = Timestamp::from_nanos(listed.number);
                // A secret id that was destroyed and registered anew since the scan has another record here.
                txn = txn.expect_present(self.expiry_at(instance, secret, expires));
                txn = self.without(txn, instance, secret, accessor, Some(expires));
            }
            if txn.is_empty() {
                return Ok(());
            }
            match self.records().commit(txn).await {
                // Somebody else removed one of them, so there is less to do now.
                Ok(()) | Err(CoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes everything, after the roles are gone.
    pub(super) async fn wipe(&self) -> Result<(), CoreError> {
        self.bury_all().await
    }
}
