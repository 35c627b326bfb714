//! What many lines say alike, with the words for it made once: mounts, and who asks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A part of an entry with the words that stand for it in a line. Copies share both.
pub struct Spelt<T>(Arc<Said<T>>);

struct Said<T> {
    what: T,
    /// Made when a line first says them. `None` where it could not be put into words, so that the line says why.
    words: OnceLock<Option<Box<RawValue>>>,
}

impl<T> From<T> for Spelt<T> {
    fn from(what: T) -> Self {
        Self(Arc::new(Said { what, words: OnceLock::new() }))
    }
}

impl<T: Serialize> Spelt<T> {
    fn words(&self) -> Option<&RawValue> {
        self.0.words.get_or_init(|| to_raw_value(&self.0.what).ok()).as_deref()
    }

    /// How long the words are, in bytes.
    pub fn length(&self) -> usize {
        self.words().map_or(0, |words| words.get().len())
    }
}

impl<T> Clone for Spelt<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Spelt<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.what
    }
}

impl<T: fmt::Debug> fmt::Debug for Spelt<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.what.fmt(to)
    }
}

impl<T: Serialize> Serialize for Spelt<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.words() {
            Some(words) => words.serialize(serializer),
            None => self.0.what.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spelt<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MountNote;

    #[test]
    fn it_is_written_and_read_as_what_it_stands_for() {
        let note =
            || MountNote { path: "a\"b".into(), kind: "kv".into(), accessor: "kv_1".into(), class: "secret".into() };
        let spelt = Spelt::from(note());
        let text = serde_json::to_string(&note()).unwrap();
        assert_eq!((serde_json::to_string(&spelt.clone()).unwrap(), spelt.length()), (text.clone(), text.len()));
        assert_eq!(serde_json::to_value(&spelt).unwrap(), serde_json::to_value(note()).unwrap());
        assert_eq!(*serde_json::from_str::<Spelt<MountNote>>(&text).unwrap(), note());
        assert_eq!(format!("{spelt:?}"), format!("{:?}", note()));
    }
}
