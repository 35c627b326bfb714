//! Replaces values by keyed hashes before they come near the trail.
//!
//! Whoever knows a value (and has the key, through `sys/audit-hash`) can find where it was used; whoever reads the
//! trail learns no value. Names are kept. Vault hashes strings only and leaves numbers, booleans and anything that
//! looks like a time in clear; here every leaf is hashed, since a PIN is a number. Holds no key.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Deeper values are replaced whole; requests cannot nest deeper than the JSON parser allows (128) anyway.
const MAX_DEPTH: usize = 64;

/// Hashes with a key that the trail does not know.
pub trait Redactor: Send + Sync {
    /// HMAC-SHA256 of the data.
    fn hmac(&self, data: &[u8]) -> [u8; 32];

    /// The hash that stands in one device for a hash of the trail: whoever has two devices' copies cannot tell by the
    /// hashes where they speak of the same value.
    fn hmac_in(&self, device: &str, hash: [u8; 32]) -> [u8; 32];
}

/// What a hash of the trail begins with, as a whole JSON text.
const QUOTED: &[u8] = b"\"hmac-sha256:";

/// Puts a device's hashes in place of the trail's in a rendered line, wherever one is a whole text. They are as long.
/// Without a key they are blotted out.
pub(crate) fn rehash(line: &mut [u8], device: &str, redactor: Option<&dyn Redactor>) {
    let mut at = 0;
    while let Some(found) = line.get(at..).and_then(|rest| rest.windows(QUOTED.len()).position(|text| text == QUOTED)) {
        let begin = at + found + QUOTED.len();
        at = begin;
        let Some(text) = line.get_mut(begin..begin + 64) else { return };
        let mut hash = [0; 32];
        if hex::decode_to_slice(&*text, &mut hash).is_err() {
            continue;
        }
        let hash = redactor.map_or([0; 32], |redactor| redactor.hmac_in(device, hash));
        text.copy_from_slice(hex::encode(hash).as_bytes());
        at = begin + 64;
    }
}

/// The hash of a text as Vault spells it: `hmac-sha256:` and 64 lower-case hex digits.
pub fn redact_text(text: &str, redactor: &dyn Redactor) -> String {
    spell_hash(&redactor.hmac(text.as_bytes()))
}

/// A keyed hash as Vault spells it.
pub fn spell_hash(hash: &[u8; 32]) -> String {
    Digest::new(hash).text().to_owned()
}

/// A keyed hash, spelt in place. At once: `hex::encode` goes digit by digit, and an entry has a dozen of them.
struct Digest([u8; NAME.len() + 64]);

/// What each of them begins with.
const NAME: &[u8] = b"hmac-sha256:";

impl Digest {
    fn new(hash: &[u8; 32]) -> Self {
        let mut spelt = [0; NAME.len() + 64];
        let (name, digits) = spelt.split_at_mut(NAME.len());
        name.copy_from_slice(NAME);
        // Fails only for another length.
        let _ = hex::encode_to_slice(hash, digits);
        Self(spelt)
    }

    fn text(&self) -> &str {
        // Letters and digits of ASCII alone.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Data of a request or of an answer as it stands in a line: JSON whose leaves are keyed hashes, put into words once.
#[derive(Clone, Debug, Default)]
pub struct Redacted(Option<Arc<RawValue>>);

impl Redacted {
    /// What somebody puts into words, who has hidden what must be. `None` where that fails.
    pub fn of(shown: &impl Serialize) -> Option<Self> {
        to_raw_value(shown).ok().map(|text| Self(Some(text.into())))
    }

    /// A value as it is, in which nothing has to be hidden. No conversion, so that nobody writes a value down by accident.
    pub fn in_clear(value: &Value) -> Self {
        if value.is_null() { Self::default() } else { Self::of(value).unwrap_or_default() }
    }

    /// Every leaf of a value hidden.
    pub fn hiding(value: &Value, redactor: &dyn Redactor) -> Self {
        // A value can always be put into words.
        Self::of(&Hidden::new(value, redactor)).unwrap_or_default()
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> usize {
        self.0.as_ref().map_or(0, |text| text.get().len())
    }

    /// The same, taken apart.
    pub fn value(&self) -> Value {
        self.0.as_ref().and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default()
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_deref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Redacted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self((text.get() != "null").then(|| text.into())))
    }
}

/// A value to be put into words with every string, number and boolean replaced by its hash; `null` stays, and so do
/// names. A number is hashed as it is written, so `5` and `"5"` have the same hash.
pub struct Hidden<'a> {
    value: &'a Value,
    depth: usize,
    redactor: &'a dyn Redactor,
}

impl<'a> Hidden<'a> {
    /// Hides a value's leaves.
    pub fn new(value: &'a Value, redactor: &'a dyn Redactor) -> Self {
        Self { value, depth: 0, redactor }
    }

    fn inside(&self, value: &'a Value) -> Self {
        Self { value, depth: self.depth + 1, redactor: self.redactor }
    }

    fn leaf<S: Serializer>(&self, text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        let spelt = Digest::new(&self.redactor.hmac(text.as_bytes()));
        serializer.serialize_str(spelt.text())
    }
}

impl Serialize for Hidden<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth > MAX_DEPTH {
            return serializer.serialize_str("hmac-sha256:left out, nested too deeply");
        }
        match self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, inner)| (name, self.inside(inner))))
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(|item| self.inside(item))),
            Value::String(text) => self.leaf(text, serializer),
            Value::Number(number) => self.leaf(&number.to_string(), serializer),
            Value::Bool(flag) => self.leaf(if *flag { "true" } else { "false" }, serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Fake;

    impl Redactor for Fake {
        fn hmac(&self, data: &[u8]) -> [u8; 32] {
            crate::chain::hash(data)
        }

        fn hmac_in(&self, device: &str, hash: [u8; 32]) -> [u8; 32] {
            crate::chain::hash(&[device.as_bytes(), &hash].concat())
        }
    }

    fn leaves<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(fields) => fields.values().for_each(|inner| leaves(inner, found)),
            Value::Array(items) => items.iter().for_each(|inner| leaves(inner, found)),
            leaf => found.push(leaf),
        }
    }

    #[test]
    fn no_leaf_stays_but_null_and_every_name_does() {
        let text = r#"{"password": "hunter2", "pin": 1234, "on": true, "none": null, "list": ["a", {"deep": 1.50}]}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let hidden = Redacted::hiding(&value, &Fake).value();
        let mut found = Vec::new();
        leaves(&hidden, &mut found);
        for leaf in found {
            let fine = leaf.is_null() || leaf.as_str().is_some_and(|text| text.starts_with("hmac-sha256:"));
            assert!(fine, "{leaf}");
        }
        assert_eq!(hidden["pin"], redact_text("1234", &Fake).as_str());
        assert_eq!(hidden["list"][1]["deep"], redact_text("1.50", &Fake).as_str());
        assert!(hidden.get("none").is_some());
    }

    #[test]
    fn nothing_is_null_and_what_is_read_is_what_was_written() {
        assert!(Redacted::default().is_null() && Redacted::in_clear(&Value::Null).is_null());
        for value in [json!(null), json!({}), json!({"a\"": ["b", null, {"c": 1.50}]}), json!("text")] {
            let line = serde_json::to_string(&Redacted::in_clear(&value)).unwrap();
            assert_eq!(line, value.to_string());
            let read: Redacted = serde_json::from_str(&line).unwrap();
            assert_eq!((read.value(), read.is_null()), (value.clone(), value.is_null()));
        }
    }

    #[test]
    fn a_device_has_hashes_of_its_own_and_nothing_else_of_a_line_changes() {
        let line = json!({"a": redact_text("x", &Fake), "b": [redact_text("y", &Fake)], "c": "hmac-sha256:left out",
                          "d": format!("say {}", redact_text("z", &Fake)), "hmac-sha256:": "\"hmac-sha256:"});
        let rehashed = |device: &str, redactor: Option<&dyn Redactor>| -> Value {
            let mut text = line.to_string().into_bytes();
            rehash(&mut text, device, redactor);
            serde_json::from_slice(&text).unwrap()
        };
        let (one, two) = (rehashed("one", Some(&Fake)), rehashed("two", Some(&Fake)));
        let in_one = Fake.hmac_in("one", Fake.hmac(b"x"));
        assert_eq!(one["a"], format!("hmac-sha256:{}", hex::encode(in_one)));
        for place in ["/a", "/b/0"] {
            let shown = [&line, &one, &two].map(|line| line.pointer(place).unwrap().as_str().unwrap());
            assert!(shown[0] != shown[1] && shown[1] != shown[2] && shown[0] != shown[2], "{shown:?}");
        }
        for name in ["c", "d", "hmac-sha256:"] {
            assert_eq!(one[name], line[name]);
        }
        assert_eq!(rehashed("one", None)["a"], format!("hmac-sha256:{}", "0".repeat(64)));
    }

    #[test]
    fn what_is_nested_too_deeply_is_left_out_and_does_not_overflow() {
        let mut value = json!("secret");
        for _ in 0..10_000 {
            value = Value::Array(vec![value]);
        }
        let text = Redacted::hiding(&value, &Fake).value().to_string();
        assert!(text.contains("left out"));
        // Dropping it the usual way would recurse 10,000 times.
        while let Value::Array(mut items) = value {
            value = items.pop().unwrap();
        }
    }
}
