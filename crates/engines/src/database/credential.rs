use super::Database;
use crate::failure::outside;
use crate::sent;
use crate::template::{Template, Wording};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strongroom_connectors::NewLogin;
use strongroom_core::lease::{Issuance, LeaseEnd, LeaseOrder, LeaseTerms};
use strongroom_core::{Call, CoreError, Fields, Served};
use strongroom_model::{RoleName, SecretString, Timestamp};

/// What the lease of a login remembers: enough to find and to end it when the role is gone.
#[derive(Serialize, Deserialize)]
struct Note {
    db: RoleName,
    role: RoleName,
    login: String,
    /// When it was asked for.
    #[serde(default)]
    began: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    renewal: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revocation: Vec<String>,
}

impl Note {
    fn write(&self) -> Result<Map<String, Value>, CoreError> {
        match serde_json::to_value(self) {
            Ok(Value::Object(note)) => Ok(note),
            _ => Err(CoreError::Internal("the note of a login cannot be written")),
        }
    }

    fn read(note: &Map<String, Value>) -> Result<Self, CoreError> {
        Self::deserialize(note).map_err(|_| CoreError::Unreadable { kind: "database lease" })
    }
}

impl Database {
    /// `creds/ROLE`: what is to be made. Nothing is made yet.
    pub(super) async fn order(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let name = sent::name(&call.captures)?;
        let unknown = || CoreError::Invalid(format!("unknown role: {name}"));
        let role = self.role(&name).await?.ok_or_else(unknown)?;
        let role = &role.value;
        let config = self.require_config(&role.db_name).await?;
        self.require_allowed(&role.db_name, &name).await?;
        if role.creation.is_empty() && config.value.kind().needs_creation_statements() {
            return Err(CoreError::Invalid(format!(
                "empty creation statements: say in the role \"{name}\" how a login is made and what it may do"
            )));
        }
        let wording = Wording {
            display_name: &call.grant.require_bearer()?.token().display_name,
            role: name.as_str(),
            now: self.context.now(),
        };
        let login = Template::parse(config.value.username_template())?.render(&wording, &*self.context.entropy)?;
        let note = Note {
            db: role.db_name.clone(),
            role: name.clone(),
            login: login.clone(),
            began: wording.now,
            renewal: role.renewal.clone(),
            revocation: role.revocation.clone(),
        };
        Ok(Served::Issue(Box::new(Issuance {
            note: note.write()?,
            lane: role.db_name.to_string(),
            subject: login,
            role: name.to_string(),
            terms: role.terms(),
            asked: call.fields.ttl("ttl")?.unwrap_or_default(),
            owner: role.owner,
        })))
    }

    /// Makes the login of a recorded lease.
    pub(super) async fn make_login(&self, lease: &LeaseOrder) -> Result<Fields, CoreError> {
        let note = Note::read(&lease.note)?;
        let absent = || CoreError::Invalid(format!("the role \"{}\" was removed meanwhile", note.role));
        let role = self.role(&note.role).await?.ok_or_else(absent)?;
        let config = self.require_config(&note.db).await?;
        let policy = role.value.password_policy.as_ref().or(config.value.password_policy.as_ref());
        let password = self.password(policy).await?;
        let connector = self.links.get(&config.value)?;
        let login = NewLogin { name: &note.login, password: &password, expires: lease.expires };
        // Stays if this future is dropped while the database is asked.
        self.unsure.ask(&note.login);
        let made = connector.create_login(&login, &role.value.creation).await;
        if made.as_ref().map_or_else(|error| !error.may_have_acted(), |()| true) {
            self.unsure.settle(&note.login);
        }
        if made.is_err() && !role.value.rollback.is_empty() {
            let undone = connector.drop_login(&note.login, &role.value.rollback).await;
            if let Err(error) = undone {
                tracing::warn!(connection = %note.db, login = %note.login, %error, "rollback statements failed");
            }
        }
        made.map_err(|error| outside(note.db.as_str(), &error))?;
        let mut data = Map::new();
        data.insert("username".to_owned(), json!(note.login));
        data.insert("password".to_owned(), json!(password.expose()));
        Ok(Fields::new(data))
    }

    /// Whether it is certain that the database made no login after an attempt to make it failed.
    pub(super) fn has_no_login(&self, note: &Map<String, Value>) -> bool {
        Note::read(note).is_ok_and(|note| self.unsure.is_settled(&note.login))
    }

    /// A new password by the policy, or as Vault makes them.
    pub(super) async fn password(&self, policy: Option<&RoleName>) -> Result<SecretString, CoreError> {
        let Some(name) = policy else {
            return Ok(strongroom_core::password_policy::PasswordPolicy::standard().generate(&*self.context.entropy));
        };
        let absent = || CoreError::Invalid(format!("the password policy \"{name}\" does not exist"));
        self.context.passwords.generate(name).await?.ok_or_else(absent)
    }

    /// The terms that hold now for a login.
    pub(super) async fn terms_of(&self, note: &Map<String, Value>) -> Result<LeaseTerms, CoreError> {
        let note = Note::read(note)?;
        let absent =
            || CoreError::Invalid(format!("the role \"{}\" is gone, so its logins are not renewed", note.role));
        Ok(self.role(&note.role).await?.ok_or_else(absent)?.value.terms())
    }

    /// Tells the database until when the login lives now.
    pub(super) async fn prolong_login(&self, note: &Map<String, Value>, expires: Timestamp) -> Result<(), CoreError> {
        let note = Note::read(note)?;
        let renewed = self.link(&note.db).await?.renew_login(&note.login, expires, &note.renewal).await;
        renewed.map_err(|error| outside(note.db.as_str(), &error))
    }

    /// Ends the login and its sessions. A connection that was removed leaves logins that nobody can end.
    pub(super) async fn end_login(&self, lease: &LeaseEnd<'_>) -> Result<(), CoreError> {
        let note = Note::read(lease.note)?;
        let connector = self.link(&note.db).await?;
        let until = self.unsure.until(&note.login, note.began, self.context.now()).filter(|_| !lease.was_handed_out);
        self.unsure.end(&*connector, note.db.as_str(), &note.login, &note.revocation, until).await
    }

    /// Whether the database ends the login together with others that end at the same moment.
    pub(super) async fn ends_in_company(&self, lease: &LeaseEnd<'_>) -> bool {
        let Ok(note) = Note::read(lease.note) else { return false };
        let connector = self.link(&note.db).await;
        lease.was_handed_out && connector.is_ok_and(|connector| connector.drops_in_company(&note.revocation))
    }
}
