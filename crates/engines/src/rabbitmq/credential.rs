use super::{LANE, RabbitMq};
use crate::failure::outside;
use crate::sent;
use crate::template::Wording;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strongroom_connectors::NewLogin;
use strongroom_core::lease::{Issuance, LeaseEnd, LeaseOrder, LeaseOwner};
use strongroom_core::password_policy::PasswordPolicy;
use strongroom_core::{Call, CoreError, Fields, Served};
use strongroom_model::{RoleName, Timestamp};

/// What the lease of a user remembers.
#[derive(Serialize, Deserialize)]
struct Note {
    role: RoleName,
    login: String,
    /// When it was asked for.
    began: Timestamp,
}

impl Note {
    fn read(note: &Map<String, Value>) -> Result<Self, CoreError> {
        serde_json::from_value(Value::Object(note.clone()))
            .map_err(|_| CoreError::Unreadable { kind: "rabbitmq lease" })
    }
}

impl RabbitMq {
    /// `creds/ROLE`: what is to be made. Nothing is made yet.
    pub(super) async fn order(&self, call: &Call<'_>) -> Result<Served, CoreError> {
        let name = sent::name(&call.captures)?;
        let unknown = || CoreError::Invalid(format!("unknown role: {name}"));
        self.role(&name).await?.ok_or_else(unknown)?;
        let connection = self.require_connection().await?;
        let wording = Wording {
            display_name: &call.grant.require_bearer()?.token().display_name,
            role: name.as_str(),
            now: self.context.now(),
        };
        let login = connection.value.template()?.render(&wording, &*self.context.entropy)?;
        let note = Note { role: name.clone(), login: login.clone(), began: wording.now };
        let Ok(Value::Object(note)) = serde_json::to_value(&note) else {
            return Err(CoreError::Internal("the note of a user cannot be written"));
        };
        Ok(Served::Issue(Box::new(Issuance {
            note,
            lane: LANE.to_owned(),
            subject: login,
            role: name.to_string(),
            terms: self.lease_terms().await?,
            asked: call.fields.ttl("ttl")?.unwrap_or_default(),
            owner: LeaseOwner::Token,
        })))
    }

    /// Makes the user of a recorded lease.
    pub(super) async fn make_user(&self, lease: &LeaseOrder) -> Result<Fields, CoreError> {
        let note = Note::read(&lease.note)?;
        let absent = || CoreError::Invalid(format!("the role \"{}\" was removed meanwhile", note.role));
        let role = self.role(&note.role).await?.ok_or_else(absent)?;
        let connection = self.require_connection().await?;
        let password = match &connection.value.password_policy {
            None => PasswordPolicy::standard().generate(&*self.context.entropy),
            Some(policy) => {
                let absent = || CoreError::Invalid(format!("the password policy \"{policy}\" does not exist"));
                self.context.passwords.generate(policy).await?.ok_or_else(absent)?
            }
        };
        let connector = self.link().await?;
        let login = NewLogin { name: &note.login, password: &password, expires: lease.expires };
        // Stays if this future is dropped while the broker is asked.
        self.unsure.ask(&note.login);
        let made = connector.create_login(&login, &[role.value.statement()]).await;
        if made.as_ref().map_or_else(|error| !error.may_have_acted(), |()| true) {
            self.unsure.settle(&note.login);
        }
        made.map_err(|error| outside(LANE, &error))?;
        let mut data = Map::new();
        data.insert("username".to_owned(), json!(note.login));
        data.insert("password".to_owned(), json!(password.expose()));
        Ok(Fields::new(data))
    }

    /// Whether it is certain that the broker made no user after an attempt to make it failed.
    pub(super) fn has_no_user(&self, note: &Map<String, Value>) -> bool {
        Note::read(note).is_ok_and(|note| self.unsure.is_settled(&note.login))
    }

    /// Ends the user and its connections.
    pub(super) async fn end_user(&self, lease: &LeaseEnd<'_>) -> Result<(), CoreError> {
        let note = Note::read(lease.note)?;
        let connector = self.link().await?;
        let until = self.unsure.until(&note.login, note.began, self.context.now()).filter(|_| !lease.was_handed_out);
        self.unsure.end(&*connector, LANE, &note.login, &[], until).await
    }
}
