//! Policies of a parameter: when it ends, and what is to be told before. Read here, kept as they were sent, and acted on
//! by the core.

use crate::aws::refusal::Refusal;
use serde_json::{Value, json};
use std::time::Duration;
use strongroom_core::secret::{Reminder, ReminderKind};
use strongroom_model::Timestamp;

/// Policies as they are to be kept.
#[derive(Default)]
pub(super) struct Policies {
    /// Each as it was sent.
    pub(super) texts: Vec<String>,
    /// When the parameter ends.
    pub(super) expires: Option<Timestamp>,
}

const MOST: usize = 10;

/// Reads `Policies`: a JSON list of them. An empty list or object takes all away.
pub(super) fn read(text: &str) -> Result<Policies, Refusal> {
    let bad = || attribute("Policies must be a JSON list of objects with Type, Version and Attributes");
    let sent = match serde_json::from_str(text).map_err(|_| bad())? {
        Value::Array(items) => items,
        one @ Value::Object(_) => vec![one],
        _ => return Err(bad()),
    };
    let sent: Vec<Value> = sent.into_iter().filter(|one| one.as_object().is_none_or(|map| !map.is_empty())).collect();
    if sent.len() > MOST {
        let text = format!(
            "You specified more than the maximum number of allowed policies for the parameter. The maximum is {MOST}."
        );
        return Err(Refusal::said("PoliciesLimitExceededException", text));
    }
    let mut policies = Policies::default();
    let mut kinds = Vec::new();
    for one in &sent {
        let kind = one.get("Type").and_then(Value::as_str).ok_or_else(bad)?;
        if one.get("Version").and_then(Value::as_str) != Some("1.0") {
            return Err(attribute("the Version of a policy is 1.0"));
        }
        let of = |name: &str| one.get("Attributes").and_then(|attributes| attributes.get(name)).and_then(Value::as_str);
        match kind {
            "Expiration" => policies.expires = Some(moment(of("Timestamp"))?),
            "ExpirationNotification" => drop(span(of("Before"), of("Unit"))?),
            "NoChangeNotification" => drop(span(of("After"), of("Unit"))?),
            _ => {
                return Err(Refusal::said(
                    "InvalidPolicyTypeException",
                    "The policy type isn't supported. Parameter Store supports the following policy types: Expiration, \
                     ExpirationNotification, and NoChangeNotification.",
                ));
            }
        }
        kinds.push(kind);
        policies.texts.push(one.to_string());
    }
    let count = |kind: &str| kinds.iter().filter(|one| **one == kind).count();
    if count("Expiration") > 1 || (count("ExpirationNotification") > 0 && count("Expiration") == 0) {
        return Err(Refusal::said(
            "IncompatiblePolicyException",
            "There is a conflict in the policies specified for this parameter. It can have one Expiration policy, and an \
             ExpirationNotification only beside that.",
        ));
    }
    Ok(policies)
}

/// The policies as descriptions and histories show them.
pub(super) fn shown(texts: &[String]) -> Value {
    let one = |text: &String| {
        let policy: Value = serde_json::from_str(text).unwrap_or_default();
        json!({ "PolicyText": text, "PolicyType": policy.get("Type"), "PolicyStatus": "Pending" })
    };
    texts.iter().map(one).collect()
}

/// When kept policies let the parameter end.
pub(super) fn end(texts: &[String]) -> Option<Timestamp> {
    let moment = |text: &String| {
        let policy: Value = serde_json::from_str(text).ok()?;
        Timestamp::parse(policy.pointer("/Attributes/Timestamp")?.as_str()?)
    };
    texts.iter().find_map(moment)
}

/// What kept policies want told of a version that is written now.
pub(super) fn reminders(texts: &[String], now: Timestamp) -> Vec<Reminder> {
    let end = end(texts);
    let reminder = |text: &String| {
        let policy: Value = serde_json::from_str(text).ok()?;
        let of = |name: &str| policy.get("Attributes")?.get(name)?.as_str();
        let (at, kind) = match policy.get("Type")?.as_str()? {
            "Expiration" => (end?, ReminderKind::Expired),
            "ExpirationNotification" => {
                let before = span(of("Before"), of("Unit")).ok()?;
                let nanos = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
                (Timestamp::from_nanos(end?.nanos().saturating_sub(nanos)), ReminderKind::Expiring)
            }
            _ => (now.plus(span(of("After"), of("Unit")).ok()?), ReminderKind::Unchanged),
        };
        Some(Reminder { at, kind, policy: text.clone() })
    };
    texts.iter().filter_map(reminder).collect()
}

fn moment(text: Option<&str>) -> Result<Timestamp, Refusal> {
    let parsed = text.and_then(Timestamp::parse);
    parsed.ok_or_else(|| attribute("the Timestamp of an Expiration is a moment as 2026-12-02T21:34:33.000Z"))
}

fn span(length: Option<&str>, unit: Option<&str>) -> Result<Duration, Refusal> {
    let number = length.and_then(|text| text.parse::<u32>().ok()).filter(|number| *number > 0);
    match (number, unit) {
        (Some(number), Some("Days")) => Ok(Duration::from_secs(u64::from(number) * 86_400)),
        (Some(number), Some("Hours")) => Ok(Duration::from_secs(u64::from(number) * 3_600)),
        _ => Err(attribute("a notification needs Before or After, a number as text, and the Unit Days or Hours")),
    }
}

fn attribute(why: &str) -> Refusal {
    let text = format!("A policy attribute or its value is invalid: {why}.");
    Refusal::said("InvalidPolicyAttributeException", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_aws_reads_them() {
        let end = r#"{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2026-12-02T21:34:33.000Z"}}"#;
        let tell = r#"{"Type":"ExpirationNotification","Version":"1.0","Attributes":{"Before":"15","Unit":"Days"}}"#;
        let quiet = r#"{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"20","Unit":"Days"}}"#;
        let read_all = |items: &[&str]| read(&format!("[{}]", items.join(",")));
        let policies = read_all(&[end, tell, quiet]).ok().unwrap();
        assert_eq!((policies.texts.len(), policies.expires), (3, Timestamp::parse("2026-12-02T21:34:33Z")));
        assert_eq!(super::end(&policies.texts), policies.expires);
        let now = Timestamp::parse("2026-11-21T00:00:00Z").unwrap();
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let told: Vec<_> = reminders(&policies.texts, now).into_iter().map(|one| (one.at, one.kind)).collect();
        assert_eq!(
            told,
            [
                (at("2026-12-02T21:34:33Z"), ReminderKind::Expired),
                (at("2026-11-17T21:34:33Z"), ReminderKind::Expiring),
                (at("2026-12-11T00:00:00Z"), ReminderKind::Unchanged),
            ]
        );
        for none in ["[]", "{}", "[{}]"] {
            assert!(read(none).ok().unwrap().texts.is_empty());
        }
        let code = |text: &str| read(text).err().unwrap().words().code;
        assert_eq!(code("nothing"), "InvalidPolicyAttributeException");
        assert_eq!(code(r#"[{"Type":"Other","Version":"1.0"}]"#), "InvalidPolicyTypeException");
        assert_eq!(code(&end.replace("2026-", "x")), "InvalidPolicyAttributeException");
        assert_eq!(code(&format!("[{end},{end}]")), "IncompatiblePolicyException");
        assert_eq!(code(&format!("[{tell}]")), "IncompatiblePolicyException");
        assert_eq!(code(&format!("[{}]", [quiet; 11].join(","))), "PoliciesLimitExceededException");
    }
}
