use super::record::AccessKey;
use super::store::{AccessKeys, TRIES};
use super::web::WebTrust;
use crate::records::{PutRecord, Stored};
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{EntityId, NamespaceId, PolicyName, RoleName, Timestamp, Ttl};

/// A role that holders of access keys can assume: policies for a while, under a name of its own. Who may is decided by
/// policy on `sys/aws/roles/NAME/assume`, and by the list of those it trusts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AssumableRole {
    /// Its name.
    pub name: RoleName,
    /// What its sessions may do.
    pub policies: Vec<PolicyName>,
    /// Entities that may assume it; empty: whoever policy lets.
    pub trusted: Vec<EntityId>,
    /// The identity provider whose tokens may assume it; none: no token may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebTrust>,
    /// The longest session.
    pub max_session: Ttl,
    /// When it was made.
    pub created: Timestamp,
}

/// What to set about a role; what is `None` stays.
#[derive(Clone, Default)]
pub struct RoleChange {
    /// What its sessions may do.
    pub policies: Option<Vec<PolicyName>>,
    /// Entities that may assume it.
    pub trusted: Option<Vec<EntityId>>,
    /// The longest session: between fifteen minutes and twelve hours, as in AWS.
    pub max_session: Option<Ttl>,
    /// The identity provider whose tokens may assume it; `Some(None)`: none.
    pub web: Option<Option<WebTrust>>,
}

/// The role that a key is a session of.
pub(super) enum Behind {
    /// It is a session of no role.
    Nothing,
    /// The role as it is now.
    Role(Arc<Stored<AssumableRole>>),
    /// The role was removed since, or another has its name.
    Gone,
}

fn shelf() -> Shelf {
    Shelf::new("aws-role", NamespaceId::ROOT).counted()
}

fn role_at(name: &RoleName) -> Address {
    shelf().named(name.as_str())
}

impl AccessKeys {
    /// The role with that name.
    pub async fn role(&self, name: &RoleName) -> Result<Option<AssumableRole>, CoreError> {
        Ok(self.records.get::<AssumableRole>(&role_at(name)).await?.map(|found| found.value.clone()))
    }

    /// The role that decides what a key may do. Looked up at each use: in AWS, too, who changes a role changes what its
    /// sessions may do at once (IAM User Guide, "Disabling permissions for temporary security credentials").
    pub(super) async fn role_behind(&self, key: &AccessKey) -> Result<Behind, CoreError> {
        let Some((session, name)) = key.session.as_ref().and_then(|one| Some((one, one.role.as_ref()?))) else {
            return Ok(Behind::Nothing);
        };
        let found = self.records.get::<AssumableRole>(&role_at(name)).await?;
        let is_same = |role: &AssumableRole| session.role_made.is_none_or(|made| made == role.created);
        Ok(found.filter(|found| is_same(&found.value)).map_or(Behind::Gone, Behind::Role))
    }

    /// The key as it is to be told: a session has the policies that its role has now.
    pub(super) async fn as_now(&self, mut key: AccessKey) -> Result<AccessKey, CoreError> {
        match self.role_behind(&key).await? {
            Behind::Nothing => {}
            Behind::Role(role) => key.policies.clone_from(&role.value.policies),
            Behind::Gone => key.policies.clear(),
        }
        Ok(key)
    }

    /// The names of all roles.
    pub async fn roles(&self, _grant: &Grant) -> Result<Vec<String>, CoreError> {
        let listed = self.records.scan_all::<AssumableRole>(&shelf()).await?;
        let mut names: Vec<String> = listed.iter().map(|one| one.value.name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Makes or changes a role. `root` cannot be among its policies.
    pub async fn write_role(&self, _grant: &Grant, name: &RoleName, change: RoleChange) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let found = self.records.get::<AssumableRole>(&role_at(name)).await?;
            let blank = AssumableRole {
                name: name.clone(),
                policies: Vec::new(),
                trusted: Vec::new(),
                web: None,
                max_session: Ttl::from_secs(3_600),
                created: self.clock.now(),
            };
            let mut role = found.as_ref().map_or(blank, |found| found.value.clone());
            role.policies = change.policies.clone().unwrap_or(role.policies);
            role.trusted = change.trusted.clone().unwrap_or(role.trusted);
            role.max_session = change.max_session.unwrap_or(role.max_session);
            role.web = change.web.clone().unwrap_or(role.web);
            check(&role)?;
            let txn = match &found {
                Some(found) => Txn::new().expect(role_at(name), found.rev),
                None => Txn::new().expect_absent(role_at(name)),
            };
            match self.records.commit(txn.put_record(role_at(name), &role)?).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes a role, and its sessions end with it, because each use looks for the role.
    pub async fn delete_role(&self, _grant: &Grant, name: &RoleName) -> Result<(), CoreError> {
        self.records.commit(Txn::new().delete(role_at(name))).await.map(|_| ())
    }
}

fn check(role: &AssumableRole) -> Result<(), CoreError> {
    if role.policies.is_empty() || role.policies.iter().any(PolicyName::is_root) {
        return Err(CoreError::Invalid("a role needs policies, and `root` cannot be one of them".to_owned()));
    }
    if role.policies.len() > 64 || role.trusted.len() > 1_024 {
        return Err(CoreError::Invalid("a role takes at most 64 policies and trusts at most 1024 entities".to_owned()));
    }
    if !(900..=43_200).contains(&role.max_session.secs()) {
        return Err(CoreError::Invalid("max_session must lie between 900 s and 43200 s".to_owned()));
    }
    role.web.as_ref().map_or(Ok(()), WebTrust::check)
}
