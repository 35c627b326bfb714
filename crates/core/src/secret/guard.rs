//! A policy of a secret's own, in AWS's language ("IAM JSON policy elements reference"). Only what it denies counts here:
//! what it allows, policies of ours must allow as well, so one that allows much opens nothing. Pure.
//!
//! What is not understood is taken as a reason to deny: an unknown condition holds, an unknown principal is everybody.

use crate::{Cidr, CoreError};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// A policy ready to answer.
pub struct Guard {
    statements: Vec<Statement>,
}

struct Statement {
    denies: bool,
    everybody: bool,
    /// Names at the end of ARNs (`user/ann`, `role/deploy`).
    who: Vec<String>,
    actions: Vec<String>,
    /// Whether the actions listed are the ones left out (`NotAction`).
    others: bool,
    conditions: Map<String, Value>,
}

/// Who does what, as such a policy sees it.
pub struct Deed<'a> {
    /// Names by which it may call the caller (`user/ann`).
    pub who: &'a [String],
    /// `secretsmanager:GetSecretValue`.
    pub action: &'a str,
    /// The label that is asked for.
    pub stage: Option<&'a str>,
    /// The version that is asked for; `None` also when the dialect has numbers.
    pub version: Option<&'a str>,
    /// From where.
    pub address: Option<IpAddr>,
}

/// What is told about a condition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody here knows; taken as a reason to deny.
    Unknown,
}

impl Guard {
    /// Reads a policy. The error says what cannot be, and repeats nothing.
    pub fn parse(text: &str) -> Result<Self, CoreError> {
        let bad = |what: &str| CoreError::Invalid(what.to_owned());
        let Ok(Value::Object(map)) = serde_json::from_str::<Value>(text) else {
            return Err(bad("it is no JSON object"));
        };
        let known = ["Version", "Id", "Statement"];
        if map.keys().any(|key| !known.contains(&key.as_str())) {
            return Err(bad("it has an element besides Version, Id and Statement"));
        }
        let statements = match map.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() && list.len() <= 100 => list.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(bad("it has no Statement")),
        };
        let statements = statements.into_iter().map(Statement::parse).collect::<Result<_, _>>()?;
        Ok(Self { statements })
    }

    /// Whether it forbids the deed.
    pub fn denies(&self, deed: &Deed<'_>) -> bool {
        self.statements.iter().any(|statement| statement.denies && statement.is_about(deed))
    }

    /// Whether it allows something to everybody without a condition.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(|one| !one.denies && one.everybody && one.conditions.is_empty())
    }

    /// Whether it forbids everybody to change it.
    pub fn shuts_out_all(&self) -> bool {
        let names = |one: &Statement| one.names_action("secretsmanager:PutResourcePolicy");
        self.statements.iter().any(|one| one.denies && one.everybody && one.conditions.is_empty() && names(one))
    }
}

impl Statement {
    fn parse(value: &Value) -> Result<Self, CoreError> {
        let bad = |what: &str| CoreError::Invalid(what.to_owned());
        let map = value.as_object().ok_or_else(|| bad("a statement is no object"))?;
        let known = ["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"];
        if map.keys().any(|key| !known.contains(&key.as_str())) {
            return Err(bad(
                "a statement has an element besides Sid, Effect, Principal, Action, NotAction, Resource and Condition",
            ));
        }
        let denies = match map.get("Effect").and_then(Value::as_str) {
            Some("Deny") => true,
            Some("Allow") => false,
            _ => return Err(bad("a statement's Effect is neither Allow nor Deny")),
        };
        let (everybody, who) = principals(map.get("Principal").ok_or_else(|| bad("a statement has no Principal"))?)?;
        let (list, others) = match (map.get("Action"), map.get("NotAction")) {
            (Some(list), None) => (list, false),
            (None, Some(list)) => (list, true),
            _ => return Err(bad("a statement needs either Action or NotAction")),
        };
        let actions = texts(list).ok_or_else(|| bad("actions must be a text or a list of texts"))?;
        let conditions = match map.get("Condition") {
            None => Map::new(),
            Some(Value::Object(conditions)) => conditions.clone(),
            Some(_) => return Err(bad("a statement's Condition is no object")),
        };
        if !map.contains_key("Resource") {
            return Err(bad("a statement has no Resource"));
        }
        Ok(Self { denies, everybody, who, actions, others, conditions })
    }

    fn is_about(&self, deed: &Deed<'_>) -> bool {
        let named = self.everybody || self.who.iter().any(|name| deed.who.contains(name));
        named && self.names_action(deed.action) && self.conditions_hold(deed)
    }

    fn names_action(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        self.actions.iter().any(|pattern| fits(&pattern.to_ascii_lowercase(), &action)) != self.others
    }

    fn conditions_hold(&self, deed: &Deed<'_>) -> bool {
        let each = self.conditions.iter().flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, values)| condition(operator, key, values, deed))
        });
        each.into_iter().all(|holds| !matches!(holds, Holds::No))
    }
}

/// Everybody, or names at the end of ARNs. The account itself is everybody, because there is one account.
fn principals(value: &Value) -> Result<(bool, Vec<String>), CoreError> {
    let bad = || CoreError::Invalid("a Principal must be \"*\" or {\"AWS\": ARN or list of ARNs}".to_owned());
    let list = match value {
        Value::String(text) if text == "*" => return Ok((true, Vec::new())),
        Value::Object(map) if map.len() == 1 => map.get("AWS").and_then(texts).ok_or_else(bad)?,
        _ => return Err(bad()),
    };
    let mut who = Vec::new();
    for text in list {
        let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        let name = text.strip_prefix("arn:aws:").and_then(|rest| rest.splitn(4, ':').last()).unwrap_or_default();
        match name {
            _ if text == "*" || is_account => return Ok((true, Vec::new())),
            "root" => return Ok((true, Vec::new())),
            "" => return Err(bad()),
            name => who.push(name.to_owned()),
        }
    }
    Ok((false, who))
}

/// A text, or a list of them.
pub(crate) fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Compares what a condition names with what was sent; `None` when nobody here can.
type Compare = fn(&str, &str) -> Option<bool>;

/// Whether a condition holds for a deed.
pub(crate) fn condition(operator: &str, key: &str, values: &Value, deed: &Deed<'_>) -> Holds {
    let operator = operator.strip_prefix("ForAnyValue:").or(operator.strip_prefix("ForAllValues:")).unwrap_or(operator);
    let (operator, if_exists) = operator.strip_suffix("IfExists").map_or((operator, false), |rest| (rest, true));
    let Some(values) = texts(values) else { return Holds::Unknown };
    let sent = match key.to_ascii_lowercase().as_str() {
        "secretsmanager:versionstage" => deed.stage.map(str::to_owned),
        "secretsmanager:versionid" => deed.version.map(str::to_owned),
        "aws:sourceip" => deed.address.map(|address| address.to_string()),
        _ => return Holds::Unknown,
    };
    let (positive, matches): (bool, Compare) = match operator {
        "StringEquals" => (true, |wanted, sent| Some(wanted == sent)),
        "StringNotEquals" => (false, |wanted, sent| Some(wanted == sent)),
        "StringEqualsIgnoreCase" => (true, |wanted, sent| Some(wanted.eq_ignore_ascii_case(sent))),
        "StringNotEqualsIgnoreCase" => (false, |wanted, sent| Some(wanted.eq_ignore_ascii_case(sent))),
        "StringLike" => (true, |wanted, sent| Some(fits(wanted, sent))),
        "StringNotLike" => (false, |wanted, sent| Some(fits(wanted, sent))),
        "IpAddress" => (true, lies_in),
        "NotIpAddress" => (false, lies_in),
        _ => return Holds::Unknown,
    };
    let Some(sent) = sent else {
        // A key that is not in the request fails what asks for a value, and passes what asks for another one.
        return if if_exists || !positive { Holds::Yes } else { Holds::No };
    };
    let found = values.iter().map(|wanted| matches(wanted, &sent)).collect::<Option<Vec<bool>>>();
    match found {
        None => Holds::Unknown,
        Some(found) if found.contains(&true) == positive => Holds::Yes,
        Some(_) => Holds::No,
    }
}

fn lies_in(network: &str, address: &str) -> Option<bool> {
    Some(Cidr::parse(network).ok()?.contains(address.parse().ok()?))
}

/// Whether a text fits a pattern with `*` and `?`. Each star is tried from where the last one stood, so it takes no more
/// steps than both are long.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(c) if *c == '?' || text.get(seen) == Some(c) => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                Some((before, from)) => {
                    (at, seen) = (before + 1, from + 1);
                    star = Some((before, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn denied(statement: Value, action: &str, stage: Option<&str>, address: &str) -> bool {
        let guard = Guard::parse(&json!({"Version": "2012-10-17", "Statement": statement}).to_string()).unwrap();
        let who = ["user/ann".to_owned()];
        guard.denies(&Deed { who: &who, action, stage, version: None, address: address.parse().ok() })
    }

    fn deny(principal: Value, action: &str, condition: Value) -> Value {
        json!({"Effect": "Deny", "Principal": principal, "Action": action, "Resource": "*", "Condition": condition})
    }

    const GET: &str = "secretsmanager:GetSecretValue";

    #[test]
    fn what_it_denies_is_denied_to_whom_it_names() {
        let arn = |name: &str| json!({"AWS": format!("arn:aws:iam::123456789012:{name}")});
        for (principal, action, expected) in [
            (json!("*"), GET, true),
            (json!("*"), "secretsmanager:*", true),
            (json!("*"), "SecretsManager:Get*", true),
            (json!("*"), "secretsmanager:PutSecretValue", false),
            (arn("user/ann"), "*", true),
            (arn("user/bob"), "*", false),
            (arn("root"), "*", true),
            (json!({"AWS": ["123456789012"]}), "*", true),
        ] {
            assert_eq!(
                denied(deny(principal.clone(), action, json!({})), GET, None, "::1"),
                expected,
                "{principal} {action}"
            );
        }
        let allow = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
        assert!(!denied(allow, GET, None, "::1"));
    }

    #[test]
    fn conditions_hold_as_in_aws_and_unknown_ones_deny() {
        let stage = |operator: &str| json!({operator: {"secretsmanager:VersionStage": "AWSCURRENT"}});
        let net = |operator: &str| json!({operator: {"aws:SourceIp": ["10.0.0.0/8"]}});
        for (condition, sent, expected) in [
            (stage("StringEquals"), Some("AWSCURRENT"), true),
            (stage("StringEquals"), Some("AWSPENDING"), false),
            (stage("StringEquals"), None, false),
            (stage("StringNotEquals"), Some("AWSPENDING"), true),
            (stage("StringNotEquals"), Some("AWSCURRENT"), false),
            (stage("ForAnyValue:StringNotEquals"), None, true),
            (stage("StringEqualsIfExists"), None, true),
            (net("IpAddress"), None, true),
            (net("NotIpAddress"), None, false),
            (json!({"StringEquals": {"aws:PrincipalTag/x": "y"}}), None, true),
            (json!({"ArnLike": {"secretsmanager:VersionStage": "x"}}), None, true),
            (json!({"IpAddress": {"aws:SourceIp": "home"}}), None, true),
        ] {
            let statement = deny(json!("*"), "*", condition.clone());
            assert_eq!(denied(statement, GET, sent, "10.1.2.3"), expected, "{condition} {sent:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let one = |statement: Value| json!({"Statement": [statement]}).to_string();
        for bad in [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            one(json!({"Effect": "Maybe", "Principal": "*", "Action": "*", "Resource": "*"})),
            one(json!({"Effect": "Deny", "Action": "*", "Resource": "*"})),
            one(json!({"Effect": "Deny", "NotPrincipal": "*", "Action": "*", "Resource": "*"})),
            one(json!({"Effect": "Deny", "Principal": {"Service": "x"}, "Action": "*", "Resource": "*"})),
            one(json!({"Effect": "Deny", "Principal": "*", "Resource": "*"})),
        ] {
            assert!(Guard::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stars_cost_no_more_than_both_lengths() {
        assert!(fits("a*b?d", "axxbcd") && !fits("a*b", "ac") && fits("*", "") && !fits("?", ""));
        assert!(!fits(&"*a".repeat(2_000), &"b".repeat(20_000)));
    }
}
