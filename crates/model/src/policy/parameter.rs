//! What a rule asks of a request beyond its path: parameters and wrapping. Merges the limits of several policies on
//! one pattern as Vault does (OpenBao `acl.go`, `NewACL`), and checks a request against them.
//!
//! Names compare in lower case. Values compare as JSON, numbers by value, so that `1.0` is no way around a denied `1`.

use super::parse::Rule;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// The limits that hold on one pattern.
#[derive(Default)]
pub(super) struct Limits {
    allowed: BTreeMap<String, Vec<Value>>,
    denied: BTreeMap<String, Vec<Value>>,
    required: Vec<String>,
    min_wrapping_ttl: Option<Duration>,
    max_wrapping_ttl: Option<Duration>,
}

/// Whether a rule has limits at all; most have none.
pub(super) fn limits_anything(rule: &Rule) -> bool {
    !rule.allowed_parameters.is_empty()
        || !rule.denied_parameters.is_empty()
        || !rule.required_parameters.is_empty()
        || rule.min_wrapping_ttl.is_some()
        || rule.max_wrapping_ttl.is_some()
}

impl Limits {
    /// Adds the limits of one more rule on the same pattern. Values under one name add up, and the empty list, which
    /// means every value, swallows them. Of two wrapping TTLs the shorter stays, also of two minimums.
    pub(super) fn merge(&mut self, rule: &Rule) {
        merge_values(&mut self.allowed, &rule.allowed_parameters);
        merge_values(&mut self.denied, &rule.denied_parameters);
        for name in &rule.required_parameters {
            if !self.required.contains(name) {
                self.required.push(name.clone());
            }
        }
        self.min_wrapping_ttl = shorter(self.min_wrapping_ttl, rule.min_wrapping_ttl);
        self.max_wrapping_ttl = shorter(self.max_wrapping_ttl, rule.max_wrapping_ttl);
    }

    /// Whether the wrapping TTL asked for is within the limits. A limit makes wrapping mandatory.
    pub(super) fn allows_wrapping(&self, asked: Option<Duration>) -> bool {
        let within_max = self.max_wrapping_ttl.is_none_or(|max| asked.is_some_and(|asked| asked <= max));
        let within_min = self.min_wrapping_ttl.is_none_or(|min| asked.is_some_and(|asked| asked >= min));
        within_max && within_min
    }

    /// The name of the first parameter that is missing, denied or not allowed; `None` when all is well.
    pub(super) fn refused_parameter(&self, sent: &Map<String, Value>) -> Option<String> {
        // The engine reads the lower-case name, so another spelling does not fulfil what is required.
        if let Some(missing) = self.required.iter().find(|name| !sent.contains_key(*name)) {
            return Some(missing.clone());
        }
        sent.iter().find(|(name, value)| !self.allows(&name.to_lowercase(), value)).map(|(name, _)| name.clone())
    }

    fn allows(&self, name: &str, value: &Value) -> bool {
        let denied =
            self.denied.contains_key("*") || self.denied.get(name).is_some_and(|values| is_among(value, values));
        let allowed = match self.allowed.get(name) {
            // `*` alone allows every name and value, also a parameter that is itself called `*`.
            _ if self.allowed.is_empty() || (self.allowed.len() == 1 && self.allowed.contains_key("*")) => true,
            Some(values) => is_among(value, values),
            None => self.allowed.contains_key("*"),
        };
        allowed && !denied
    }
}

fn merge_values(into: &mut BTreeMap<String, Vec<Value>>, from: &BTreeMap<String, Vec<Value>>) {
    for (name, values) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            Some(merged) if merged.is_empty() || values.is_empty() => merged.clear(),
            Some(merged) => merged.extend(values.iter().cloned()),
        }
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether a value is in a list; the empty list has every value.
fn is_among(value: &Value, list: &[Value]) -> bool {
    list.is_empty() || list.iter().any(|listed| fits(listed, value))
}

fn fits(listed: &Value, value: &Value) -> bool {
    match (listed, value) {
        (Value::String(glob), Value::String(text)) => glob_fits(glob, text),
        _ => same(listed, value),
    }
}

/// `foo*`, `*foo` and `*foo*`; a lone `*` is itself (go-secure-stdlib `GlobbedStringsMatch`).
fn glob_fits(glob: &str, text: &str) -> bool {
    if glob.len() < 2 {
        return glob == text;
    }
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(beginning)) => text.starts_with(beginning),
        (None, None) => glob == text,
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => decimal(&one.to_string()) == decimal(&other.to_string()),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

/// A JSON number as sign, digits without outer zeros, and the power of ten of the last digit: one form for one value.
/// `None` for a power beyond all use; two of those are not told apart, so that none slips past a denied one.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    let power: i64 = power.parse().ok()?;
    let power = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = power.checked_add(i64::try_from(digits.len() - significant.len()).ok()?)?;
    Some((negative, significant.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_compare_by_value_however_they_are_written() {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (one, other, equal) in [
            ("1", "1.0", true),
            ("100", "1e2", true),
            ("0.01", "1E-2", true),
            ("-0", "0.0", true),
            ("1", "-1", false),
            ("1", "10", false),
            ("9007199254740993", "9007199254740992", false),
            ("0", "0e99999999999999999999", true),
        ] {
            assert_eq!(same(&number(one), &number(other)), equal, "{one} {other}");
        }
        assert!(same(&json!({"a": [1, {"b": 2}]}), &number(r#"{"a": [1.0, {"b": 2e0}]}"#)));
        assert!(!same(&json!([1]), &json!([1, 2])));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!(1), &json!("1")));
    }

    #[test]
    fn stars_at_either_end_of_a_value_are_wild() {
        for (glob, text, expected) in [
            ("foo*", "foobar", true),
            ("foo*", "afoo", false),
            ("*foo", "barfoo", true),
            ("*foo", "foobar", false),
            ("*foo*", "a foo b", true),
            ("*foo*", "fo", false),
            ("**", "anything", true),
            ("*", "anything", false),
            ("*", "*", true),
            ("f*o", "foo", false),
            ("", "", true),
        ] {
            assert_eq!(glob_fits(glob, text), expected, "{glob} {text}");
        }
    }
}
