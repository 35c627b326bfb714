//! The words that entries have, so that a misspelt filter is refused: nothing found would read like nothing happened.

use crate::CoreError;
use strongroom_model::Kind;

/// Operations of our own API and Vault's, and acts on secrets. Other dialects have more.
pub(super) const OPERATIONS: [&str; 17] = [
    "read",
    "list",
    "create",
    "update",
    "patch",
    "delete",
    "write",
    "help",
    "delete-current",
    "delete-versions",
    "undelete",
    "destroy",
    "read-subkeys",
    "read-metadata",
    "write-metadata",
    "patch-metadata",
    "delete-all",
];

/// The foreign APIs, our own, and what the server notes on its own.
pub(super) const DIALECTS: [&str; 4] = ["vault", "aws", "native", INTERNAL];

/// What stands in the place of a foreign API in what the server notes on its own, which are events.
pub(super) const INTERNAL: &str = "internal";
pub(super) const EVENT: &str = "event";

/// Kinds of entries.
pub(super) fn kinds() -> Vec<&'static str> {
    vec!["outcome", "intent", EVENT]
}

/// How a request may have ended.
pub(super) fn outcomes() -> Vec<&'static str> {
    let errors = [
        Kind::Invalid,
        Kind::Denied,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Unsupported,
        Kind::TooLarge,
        Kind::TooMany,
        Kind::Sealed,
        Kind::Uninitialised,
        Kind::Unavailable,
        Kind::Tampered,
        Kind::Internal,
    ];
    ["ok", "failed"].into_iter().chain(errors.map(Kind::word)).collect()
}

/// Refuses a filter with a word that no entry has.
pub(super) fn known(field: &str, given: &[String], words: &[&str]) -> Result<(), CoreError> {
    match given.iter().find(|word| !words.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => {
            let problem = format!("must be of {}; not `{word}`", words.join(", "));
            Err(CoreError::Field { field: field.to_owned(), problem })
        }
    }
}
