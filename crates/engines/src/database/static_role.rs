use super::schedule::Schedule;
use crate::sent::{self, expose, replace};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strongroom_core::{CoreError, Fields};
use strongroom_model::{RoleName, SecretString, Timestamp};

/// An existing login whose password is kept and changed, as its operator wants it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StaticRole {
    pub(super) name: RoleName,
    pub(super) db_name: RoleName,
    pub(super) username: String,
    pub(super) schedule: Schedule,
    pub(super) rotation: Vec<String>,
    pub(super) password_policy: Option<RoleName>,
}

/// What is known of that login's password. A record of its own, so that changing a role and changing its password do
/// not wait for each other.
#[derive(Serialize, Deserialize)]
pub(super) struct Keeping {
    pub(super) held: Held,
    pub(super) phase: Phase,
    /// When the password is to be changed by the schedule.
    pub(super) planned: Timestamp,
    /// When it is looked at next: as planned, or to try again. Its number on the shelf of what is due.
    pub(super) due: Timestamp,
    /// Attempts in a row that failed.
    pub(super) failures: u32,
    /// How the last one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// The password that was last known to work.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Held {
    /// Nobody told us, and it was not changed yet.
    Nothing,
    /// This one.
    Password {
        #[serde(serialize_with = "expose")]
        password: SecretString,
        since: Timestamp,
    },
}

/// How far a change is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// None is under way.
    Resting,
    /// The database was, or will be, given this password; whether it has it is not known. It is given no other before
    /// that is.
    Setting {
        #[serde(serialize_with = "expose")]
        candidate: SecretString,
    },
}

/// A name on the shelf of what is due.
#[derive(Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) role: RoleName,
}

impl StaticRole {
    /// What may be sent about one.
    pub(super) const FIELDS: &[&str] = &[
        "name",
        "db_name",
        "username",
        "password",
        "rotation_period",
        "rotation_schedule",
        "rotation_window",
        "rotation_statements",
        "skip_import_rotation",
        "credential_type",
        "credential_config",
    ];

    /// A new role from what was sent.
    pub(super) fn create(name: RoleName, sent: &Fields) -> Result<Self, CoreError> {
        let require = |field: &'static str| {
            let text = sent.text_or_empty(field)?;
            let absent = || CoreError::Invalid(format!("{field} is a required field to create a static account"));
            Some(text).filter(|text| !text.is_empty()).ok_or_else(absent)
        };
        let (db_name, username) = (RoleName::parse(&require("db_name")?)?, require("username")?);
        let absent = || {
            CoreError::Invalid(
                "one of rotation_schedule or rotation_period must be provided to create a static account".to_owned(),
            )
        };
        let schedule = Schedule::read(sent, None)?.ok_or_else(absent)?;
        let mut role = Self { name, db_name, username, schedule, rotation: Vec::new(), password_policy: None };
        role.take(sent)?;
        Ok(role)
    }

    /// This role with what was sent; what was not sent stays.
    pub(super) fn changed(&self, sent: &Fields) -> Result<Self, CoreError> {
        let mut role = self.clone();
        for (field, kept) in [("username", self.username.as_str()), ("db_name", self.db_name.as_str())] {
            // The password that is kept is of this login in this database.
            let other = sent.text(field)?.filter(|sent| !sent.is_empty());
            if other
                .is_some_and(|sent| if field == "db_name" { !sent.eq_ignore_ascii_case(kept) } else { sent != kept })
            {
                return Err(CoreError::Invalid(format!(
                    "cannot update static account {field}: make another static role for another login"
                )));
            }
        }
        replace(&mut role.schedule, Schedule::read(sent, Some(&self.schedule))?);
        role.take(sent)?;
        Ok(role)
    }

    fn take(&mut self, sent: &Fields) -> Result<(), CoreError> {
        replace(&mut self.rotation, sent::statements(sent, "rotation_statements")?);
        if let Some(policy) = sent::password_settings(sent)? {
            self.password_policy = policy;
        }
        Ok(())
    }

    /// As reading it answers.
    pub(super) fn shown(&self, keeping: Option<&Keeping>) -> Value {
        let mut shown = Map::new();
        shown.insert("db_name".to_owned(), json!(self.db_name));
        shown.insert("username".to_owned(), json!(self.username));
        shown.insert("rotation_statements".to_owned(), json!(self.rotation));
        shown.insert("credential_type".to_owned(), json!("password"));
        self.schedule.show(&mut shown);
        if let Some(policy) = &self.password_policy {
            shown.insert("credential_config".to_owned(), json!({ "password_policy": policy }));
        }
        if let Some(keeping) = keeping {
            if let Held::Password { since, .. } = &keeping.held {
                shown.insert("last_vault_rotation".to_owned(), json!(since));
            }
            shown.insert("next_vault_rotation".to_owned(), json!(keeping.planned));
            if let Some(error) = &keeping.error {
                shown.insert("rotation_failures".to_owned(), json!(keeping.failures));
                shown.insert("rotation_error".to_owned(), json!(error));
                shown.insert("rotation_next_attempt".to_owned(), json!(keeping.due));
            }
        }
        Value::Object(shown)
    }
}

impl Keeping {
    /// Of a role that is new: its password is to be changed at that time.
    pub(super) fn new(held: Held, planned: Timestamp) -> Self {
        Self { held, phase: Phase::Resting, planned, due: planned, failures: 0, error: None }
    }

    /// Whether a change was begun and nobody wrote down how it went: somebody is at it, or it was broken off.
    pub(super) fn is_abandoned(&self) -> bool {
        matches!(self.phase, Phase::Setting { .. }) && self.failures == 0
    }

    pub(super) fn duplicate(&self) -> Self {
        let held = match &self.held {
            Held::Nothing => Held::Nothing,
            Held::Password { password, since } => Held::Password { password: password.duplicate(), since: *since },
        };
        let phase = match &self.phase {
            Phase::Resting => Phase::Resting,
            Phase::Setting { candidate } => Phase::Setting { candidate: candidate.duplicate() },
        };
        Self { held, phase, error: self.error.clone(), ..*self }
    }
}
