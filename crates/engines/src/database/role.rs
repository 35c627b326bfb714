use crate::sent::{self, replace};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strongroom_core::lease::{LeaseOwner, LeaseTerms};
use strongroom_core::{CoreError, Fields};
use strongroom_model::{RoleName, Ttl};

/// What logins of a role are made by, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) name: RoleName,
    pub(super) db_name: RoleName,
    pub(super) creation: Vec<String>,
    pub(super) revocation: Vec<String>,
    pub(super) rollback: Vec<String>,
    pub(super) renewal: Vec<String>,
    pub(super) default_ttl: Ttl,
    pub(super) max_ttl: Ttl,
    pub(super) password_policy: Option<RoleName>,
    pub(super) owner: LeaseOwner,
}

impl Role {
    /// What may be sent about one.
    pub(super) const FIELDS: &[&str] = &[
        "name",
        "db_name",
        "creation_statements",
        "revocation_statements",
        "rollback_statements",
        "renew_statements",
        "default_ttl",
        "max_ttl",
        "credential_type",
        "credential_config",
        "lease_owner",
    ];

    /// A new role from what was sent.
    pub(super) fn create(name: RoleName, sent: &Fields) -> Result<Self, CoreError> {
        let db_name = sent.text_or_empty("db_name")?;
        if db_name.is_empty() {
            return Err(CoreError::Invalid("database name is required: set db_name".to_owned()));
        }
        let mut role = Self {
            name,
            db_name: RoleName::parse(&db_name)?,
            creation: Vec::new(),
            revocation: Vec::new(),
            rollback: Vec::new(),
            renewal: Vec::new(),
            default_ttl: Ttl::ZERO,
            max_ttl: Ttl::ZERO,
            password_policy: None,
            owner: LeaseOwner::Token,
        };
        role.take(sent)?;
        Ok(role)
    }

    /// This role with what was sent; what was not sent stays.
    pub(super) fn changed(&self, sent: &Fields) -> Result<Self, CoreError> {
        let mut role = self.clone();
        if let Some(db_name) = sent.text("db_name")?.filter(|name| !name.is_empty()) {
            role.db_name = RoleName::parse(&db_name)?;
        }
        role.take(sent)?;
        Ok(role)
    }

    fn take(&mut self, sent: &Fields) -> Result<(), CoreError> {
        replace(&mut self.creation, sent::statements(sent, "creation_statements")?);
        replace(&mut self.revocation, sent::statements(sent, "revocation_statements")?);
        replace(&mut self.rollback, sent::statements(sent, "rollback_statements")?);
        replace(&mut self.renewal, sent::statements(sent, "renew_statements")?);
        replace(&mut self.default_ttl, sent.ttl("default_ttl")?);
        replace(&mut self.max_ttl, sent.ttl("max_ttl")?);
        if let Some(policy) = sent::password_settings(sent)? {
            self.password_policy = policy;
        }
        match sent.text("lease_owner")?.as_deref() {
            None => {}
            Some("token") => self.owner = LeaseOwner::Token,
            Some("identity") => self.owner = LeaseOwner::Identity,
            Some(_) => return Err(wrong("lease_owner", "must be `token` or `identity`")),
        }
        if !self.max_ttl.is_zero() && self.default_ttl > self.max_ttl {
            return Err(CoreError::Invalid("default_ttl is longer than max_ttl".to_owned()));
        }
        Ok(())
    }

    /// How long its logins live.
    pub(super) fn terms(&self) -> LeaseTerms {
        LeaseTerms { ttl: self.default_ttl, max_ttl: self.max_ttl, renewable: true }
    }

    /// As reading it answers.
    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "db_name": self.db_name,
            "creation_statements": self.creation,
            "revocation_statements": self.revocation,
            "rollback_statements": self.rollback,
            "renew_statements": self.renewal,
            "default_ttl": self.default_ttl.secs(),
            "max_ttl": self.max_ttl.secs(),
            "credential_type": "password",
            "lease_owner": self.owner,
        });
        if let (Some(policy), Some(map)) = (&self.password_policy, shown.as_object_mut()) {
            map.insert("credential_config".to_owned(), json!({ "password_policy": policy }));
        }
        shown
    }
}

fn wrong(field: &str, problem: &str) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: problem.to_owned() }
}
