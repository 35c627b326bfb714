//! Legal holds: what of the trail must not be removed, by whose word and why.

use crate::CoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strongroom_audit::{Query, Thing};
use strongroom_model::Timestamp;

/// More holds at once than anybody can oversee.
const MOST: usize = 256;

/// What an operator asks to be held. What is not given limits nothing; without any limit everything is held.
pub struct NewHold {
    /// Its name.
    pub name: String,
    /// Why: a case, an order, a date.
    pub reason: String,
    /// The beginning of paths.
    pub prefix: Option<String>,
    /// A name, id or display name of an entity, or an accessor of a token.
    pub principal: Option<String>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
}

/// A hold that stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LegalHold {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The beginning of paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed: Timestamp,
    /// What the prefix meant when it was placed: a mount that is moved or removed later changes nothing.
    pub(super) things: Vec<Thing>,
    /// The id of the entity that was called so then.
    pub(super) entity: Option<String>,
}

/// All holds, by name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Holds(pub(super) BTreeMap<String, LegalHold>);

impl NewHold {
    pub(super) fn checked(self) -> Result<Self, CoreError> {
        let invalid = |why: &str| Err(CoreError::Invalid(why.to_owned()));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(fits) {
            return invalid("the name of a hold must have 1 to 64 of the characters a-z, A-Z, 0-9, ., - and _");
        }
        if self.reason.trim().is_empty() || self.reason.len() > 1_024 {
            return invalid("a hold needs a reason of at most 1024 characters: a case, an order");
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return invalid("the time of a hold must begin before it ends");
        }
        Ok(self)
    }
}

impl LegalHold {
    /// The entries that fall under it.
    pub(super) fn scope(&self) -> Query {
        Query {
            prefixes: self.things.clone(),
            principals: self.principal.iter().chain(&self.entity).cloned().collect(),
            from: self.from.map(Timestamp::nanos),
            to: self.to.map(Timestamp::nanos),
            ..Query::default()
        }
    }

    /// What it holds, in words.
    pub(super) fn says(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.prefix.as_ref().map(|prefix| format!("paths that begin with {prefix}")));
        words.extend(self.principal.as_ref().map(|who| format!("by {who}")));
        words.extend(self.from.map(|from| format!("from {from}")));
        words.extend(self.to.map(|to| format!("before {to}")));
        if words.is_empty() { "everything".to_owned() } else { words.join(", ") }
    }
}

impl Holds {
    pub(super) fn place(&mut self, hold: LegalHold) -> Result<(), CoreError> {
        if self.0.contains_key(&hold.name) {
            let why = format!("there is a hold `{}` already; lift it first, or give this one another name", hold.name);
            return Err(CoreError::Exists(why));
        }
        if self.0.len() >= MOST {
            return Err(CoreError::TooLarge(format!("there are {MOST} holds already; lift one first")));
        }
        self.0.insert(hold.name.clone(), hold);
        Ok(())
    }
}
