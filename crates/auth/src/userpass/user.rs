use super::password::PasswordHash;
use crate::token_terms::TokenTerms;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use strongroom_core::{CoreError, Fields};
use strongroom_model::RoleName;

/// A user as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: RoleName,
    pub(super) password: PasswordHash,
    pub(super) terms: UserTerms,
}

impl User {
    /// A second copy, to be changed and put in the place of the first.
    pub(super) fn duplicate(&self) -> Self {
        Self { name: self.name.clone(), password: self.password.duplicate(), terms: self.terms.clone() }
    }
}

/// What tokens of a user are like, with the older names under which it was said.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct UserTerms {
    pub(super) token: TokenTerms,
    /// Older names that were used, which Vault then shows too.
    older: BTreeSet<String>,
}

/// Older names of fields, each with the newer one.
const OLDER: [(&str, &str); 4] = [
    ("policies", "token_policies"),
    ("ttl", "token_ttl"),
    ("max_ttl", "token_max_ttl"),
    ("bound_cidrs", "token_bound_cidrs"),
];

impl UserTerms {
    /// Takes over what was sent; what was not sent stays. When an older and a newer name are both sent, the newer counts.
    /// Refuses what contradicts itself.
    pub(super) fn update(&mut self, sent: &Fields) -> Result<Vec<String>, CoreError> {
        let warnings = self.token.update(&by_newer_names(sent)).map_err(|error| by_sent_name(error, sent))?;
        for (older, newer) in OLDER {
            if sent.has(older) {
                self.older.insert(older.to_owned());
            } else if sent.has(newer) {
                self.older.remove(older);
            }
        }
        self.token.check()?;
        Ok(warnings)
    }

    /// Takes over policies and nothing else: who may write those may not slip in another field.
    pub(super) fn update_policies(&mut self, sent: &Fields) -> Result<Vec<String>, CoreError> {
        let names = ["token_policies", "policies"];
        let only: Fields =
            names.iter().filter_map(|name| Some(((*name).to_owned(), sent.value(name)?.clone()))).collect();
        if !names.iter().any(|name| only.has(name)) {
            return Err(CoreError::Missing("token_policies"));
        }
        self.update(&only)
    }

    /// Every field, as reading a user answers.
    pub(super) fn shown(&self) -> Value {
        let is_set = |value: &Value| *value != json!([]) && *value != json!(0);
        let older = OLDER.iter().filter(|(older, _)| self.older.contains(*older));
        let older = older.filter_map(|(older, newer)| Some((*older, self.token.show(newer).filter(is_set)?)));
        let newer = TokenTerms::NAMES.iter().filter_map(|name| Some((*name, self.token.show(name)?)));
        Value::Object(newer.chain(older).map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
    }
}

fn older_name(newer: &str) -> Option<&'static str> {
    OLDER.iter().find(|(_, name)| *name == newer).map(|(older, _)| *older)
}

/// The fields of tokens, each under its newer name.
fn by_newer_names(sent: &Fields) -> Fields {
    let value = |name| sent.value(name).or_else(|| sent.value(older_name(name)?));
    TokenTerms::NAMES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?.clone()))).collect()
}

/// Names the field that was sent rather than the one it stands for.
fn by_sent_name(error: CoreError, sent: &Fields) -> CoreError {
    match error {
        CoreError::Field { field, problem } if !sent.has(&field) => {
            CoreError::Field { field: older_name(&field).map_or(field, str::to_owned), problem }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(all: &[Value]) -> Result<Value, CoreError> {
        let mut terms = UserTerms::default();
        for sent in all {
            terms.update(&Fields::new(sent.as_object().unwrap().clone()))?;
        }
        Ok(terms.shown())
    }

    #[test]
    fn a_user_of_whom_nothing_was_said_shows_the_fields_of_tokens_only() {
        let shown = updated(&[]).unwrap();
        let names: Vec<_> = shown.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, TokenTerms::NAMES);
        assert_eq!(shown["token_policies"], json!([]));
    }

    #[test]
    fn older_names_set_the_newer_ones_and_are_shown_as_long_as_they_are_used() {
        let older = json!({"policies": "web", "ttl": 60, "max_ttl": "2m", "bound_cidrs": "127.0.0.1/32"});
        let shown = updated(std::slice::from_ref(&older)).unwrap();
        assert_eq!((&shown["token_policies"], &shown["policies"]), (&json!(["web"]), &json!(["web"])));
        assert_eq!((&shown["token_ttl"], &shown["ttl"]), (&json!(60), &json!(60)));
        assert_eq!((&shown["token_max_ttl"], &shown["max_ttl"]), (&json!(120), &json!(120)));
        assert_eq!(shown["token_bound_cidrs"], json!(["127.0.0.1"]));
        assert_eq!(shown["bound_cidrs"], json!(["127.0.0.1"]));
        let shown = updated(&[older, json!({"token_ttl": 90, "token_policies": ""})]).unwrap();
        assert_eq!((&shown["token_ttl"], &shown["ttl"]), (&json!(90), &Value::Null));
        assert_eq!((&shown["token_policies"], &shown["policies"]), (&json!([]), &Value::Null));
        assert_eq!(shown["max_ttl"], json!(120));
    }

    #[test]
    fn of_two_names_the_newer_counts() {
        let shown = updated(&[json!({"ttl": 60, "token_ttl": 90})]).unwrap();
        assert_eq!((&shown["token_ttl"], &shown["ttl"]), (&json!(90), &json!(90)));
    }

    #[test]
    fn a_refusal_names_the_field_that_was_sent() {
        let refused = |sent| updated(&[sent]).unwrap_err().to_string();
        assert!(refused(json!({"ttl": -1})).contains("`ttl`"));
        assert!(refused(json!({"token_ttl": -1})).contains("`token_ttl`"));
        assert!(refused(json!({"policies": "root"})).contains("`policies`"));
        assert!(refused(json!({"bound_cidrs": "here"})).contains("`bound_cidrs`"));
        assert!(refused(json!({"ttl": 61, "max_ttl": 60})).contains("cannot be greater"));
    }
}
