//! Replaces values by keyed hashes before they come near the trail.
//!
//! Whoever knows a value (and has the key, through `sys/audit-hash`) can find where it was used; whoever reads the
//! trail learns no value. Names are kept. Vault hashes strings only and leaves numbers, booleans and anything that
//! looks like a time in clear; here every leaf is hashed, since a PIN is a number. Holds no key.

use serde_json::{Map, Value};

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

/// A keyed hash as Vault spells it. At once: `hex::encode` goes digit by digit, and an entry has a dozen of them.
pub fn spell_hash(hash: &[u8; 32]) -> String {
    const NAME: &[u8] = b"hmac-sha256:";
    let mut spelt = [0; NAME.len() + 64];
    let (name, digits) = spelt.split_at_mut(NAME.len());
    name.copy_from_slice(NAME);
    // Fails only for another length.
    let _ = hex::encode_to_slice(hash, digits);
    String::from_utf8_lossy(&spelt).into_owned()
}

/// The same structure with every string, number and boolean replaced by its hash; `null` stays. A number is hashed as
/// it is written, so `5` and `"5"` have the same hash.
pub fn redact(value: &Value, redactor: &dyn Redactor) -> Value {
    redact_except(value, &[], redactor)
}

/// As [`redact`], but leaves those leaves in clear whose nearest name is listed: elements of a list count as having
/// the list's name.
pub fn redact_except(value: &Value, clear: &[&str], redactor: &dyn Redactor) -> Value {
    walk(value, false, 0, &Rule { clear, redactor })
}

struct Rule<'a> {
    clear: &'a [&'a str],
    redactor: &'a dyn Redactor,
}

fn walk(value: &Value, in_clear: bool, depth: usize, rule: &Rule<'_>) -> Value {
    if depth > MAX_DEPTH {
        return Value::String("hmac-sha256:left out, nested too deeply".to_owned());
    }
    match value {
        Value::Null => Value::Null,
        Value::Object(fields) => {
            let each = fields.iter().map(|(name, inner)| {
                let named = rule.clear.contains(&name.as_str());
                (name.clone(), walk(inner, named, depth + 1, rule))
            });
            Value::Object(each.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| walk(item, in_clear, depth + 1, rule)).collect(),
        leaf if in_clear => leaf.clone(),
        Value::String(text) => Value::String(redact_text(text, rule.redactor)),
        Value::Number(number) => Value::String(redact_text(&number.to_string(), rule.redactor)),
        Value::Bool(flag) => Value::String(redact_text(if *flag { "true" } else { "false" }, rule.redactor)),
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
        let hidden = redact(&value, &Fake);
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
    fn a_listed_name_keeps_its_own_leaves_but_not_those_of_inner_names() {
        let value = json!({"keys": ["a", "b"], "ttl": 5, "data": {"keys": "c"}, "other": {"x": "d"}});
        let hidden = redact_except(&value, &["keys", "other"], &Fake);
        assert_eq!(hidden["keys"], json!(["a", "b"]));
        assert_eq!(hidden["data"]["keys"], "c");
        assert_ne!(hidden["other"]["x"], "d");
        assert_ne!(hidden["ttl"], 5);
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
        let text = redact(&value, &Fake).to_string();
        assert!(text.contains("left out"));
        // Dropping it the usual way would recurse 10,000 times.
        while let Value::Array(mut items) = value {
            value = items.pop().unwrap();
        }
    }
}
