//! A version on its way out as the text that is kept: most answers say it again letter by letter, and taking it apart first
//! would cost more than everything else about them.
//!
//! What a dialect and the trail say of the version besides is put into words once for each state of its secret, and lies
//! beside that state: keyed hashes in place of values, and what people noted of the secret as they wrote it.

use super::value::SecretValue;
use crate::audit::{Hmac, LONGEST_WORDS};
use crate::memo::Memo;
use crate::{CoreError, Fields};
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use strongroom_audit::Redacted;
use strongroom_model::SecretBytes;

/// Under these names the value and what is known of it stand in an answer, and so in the trail.
const VALUE: &str = "data";
const METADATA: &str = "metadata";

/// What is said of the latest version of a secret, once it was read.
pub(super) type Telling = Memo<Arc<Told>>;

/// What is said of a version besides its value.
pub(super) struct Told {
    /// What is known of it, as a JSON object.
    metadata: String,
    /// What the trail says of value and metadata.
    words: OnceLock<Redacted>,
}

impl Told {
    /// Of the version of which that is known, whose secret keeps it there, if it does.
    pub(super) fn of(telling: Option<&Telling>, metadata: impl FnOnce() -> String) -> Arc<Self> {
        if let Some(known) = telling.and_then(Memo::get) {
            return Arc::clone(known);
        }
        let told = Arc::new(Self { metadata: metadata(), words: OnceLock::new() });
        // Long notes of people are put into words each time, for the same reason as long values.
        if let Some(telling) = telling.filter(|_| told.metadata.len() <= LONGEST_WORDS) {
            telling.keep(Arc::clone(&told));
        }
        told
    }
}

/// A version of a secret whose value is a JSON object that nobody has taken apart. No `Debug`: it is the secret.
pub struct VersionText {
    /// As it is kept: a byte that says that it is an object, then the object.
    kept: SecretBytes,
    told: Arc<Told>,
}

impl VersionText {
    /// Of a version as it is kept, which is an object.
    pub(super) fn of(kept: SecretBytes, told: Arc<Told>) -> Self {
        Self { kept, told }
    }

    /// The value: a JSON object.
    pub fn value(&self) -> &[u8] {
        self.kept.expose().get(1..).unwrap_or_default()
    }

    /// What is known of the version: a JSON object.
    pub fn metadata(&self) -> &str {
        &self.told.metadata
    }

    /// The same, taken apart.
    pub fn fields(&self) -> Result<Fields, CoreError> {
        let unreadable = || CoreError::Unreadable { kind: "secret-version" };
        let Ok(value) = SecretValue::decode(&self.kept)?.into_object() else { return Err(unreadable()) };
        let metadata: Value = serde_json::from_str(&self.told.metadata).map_err(|_| unreadable())?;
        Ok([(VALUE.to_owned(), Value::Object(value.into_map())), (METADATA.to_owned(), metadata)].into_iter().collect())
    }

    /// Names of [`VersionText::fields`] under which there is no value.
    pub const FACTS: &'static [&'static str] = &[METADATA];

    /// What the trail says of it.
    pub(crate) fn words(&self, hmac: &Hmac) -> Redacted {
        if let Some(known) = self.told.words.get() {
            return known.clone();
        }
        // What was decrypted is what was encoded, so it can be taken apart.
        let fields = self.fields().unwrap_or_default();
        let words = hmac.redact_reply(fields.map(), Self::FACTS, None);
        if words.length() <= LONGEST_WORDS {
            let _ = self.told.words.set(words.clone());
        }
        words
    }
}
