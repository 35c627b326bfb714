//! What the maker of a session lets it do ("IAM User Guide", session policies): a policy in AWS's language, policies of
//! ours, or both. What neither allows is refused, whatever the role may; what the document denies is refused always.
//!
//! A condition that nobody here can judge is met where it denies and not met where it allows.

use super::session::Narrowing;
use super::verify::VerifiedKey;
use crate::secret::{Deed, Holds, condition, fits, texts};
use crate::{CoreError, Fields};
use serde_json::{Map, Value};
use std::net::IpAddr;
use strongroom_model::PolicyName;

/// What a request signed with a key is, in AWS's words.
pub struct Wish {
    /// `secretsmanager`, `ssm` or `sts`.
    pub service: &'static str,
    /// `GetSecretValue`.
    pub action: &'static str,
    /// The ARN of what it is about; that of a secret without its six characters. Empty unless [`VerifiedKey::is_narrowed`].
    pub resource: String,
}

/// A policy in AWS's language for a session.
pub(super) struct Document(Vec<Statement>);

struct Statement {
    denies: bool,
    /// Patterns, and whether they list what is left out (`NotAction`, `NotResource`).
    actions: (Vec<String>, bool),
    resources: (Vec<String>, bool),
    conditions: Map<String, Value>,
}

/// The longest that AWS takes.
const LONGEST: usize = 2_048;

impl VerifiedKey {
    /// Whether its maker let it do less than its role may.
    pub fn is_narrowed(&self) -> bool {
        self.narrowing().is_some()
    }

    /// What its maker let it do.
    pub(crate) fn narrowing(&self) -> Option<&Narrowing> {
        self.key().session.as_ref()?.narrowing.as_ref()
    }
}

impl Narrowing {
    /// Policies of ours; what they allow is allowed as well.
    pub(crate) fn policies(&self) -> &[PolicyName] {
        &self.policies
    }

    /// What the document says: `Some(true)` allows, `Some(false)` denies, `None` says nothing. `suffix` are the six
    /// characters of the secret that it is about.
    pub(crate) fn judge(
        &self,
        wish: &Wish,
        suffix: Option<&str>,
        fields: &Fields,
        address: Option<IpAddr>,
    ) -> Result<Option<bool>, CoreError> {
        let Some(text) = &self.document else { return Ok(None) };
        let document = Document::parse(text).map_err(|_| CoreError::Unreadable { kind: "access-key" })?;
        let sent = |name| fields.text(name).map(|text| text.filter(|text| !text.is_empty()));
        let (stage, version) = (sent("VersionStage")?, sent("VersionId")?);
        let reads = wish.action == "GetSecretValue" && version.is_none();
        let stage = stage.or_else(|| reads.then(|| "AWSCURRENT".to_owned()));
        let resource = match suffix {
            Some(suffix) => format!("{}-{suffix}", wish.resource),
            None => wish.resource.clone(),
        };
        let deed = Deed {
            who: &[],
            action: &format!("{}:{}", wish.service, wish.action),
            stage: stage.as_deref(),
            version: version.as_deref(),
            address,
        };
        Ok(document.judge(&deed, &resource))
    }
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, CoreError> {
        let bad = |what: &str| CoreError::Invalid(what.to_owned());
        if text.len() > LONGEST {
            return Err(bad("it is longer than 2048 characters"));
        }
        let Ok(Value::Object(map)) = serde_json::from_str::<Value>(text) else {
            return Err(bad("it is no JSON object"));
        };
        if map.keys().any(|key| !["Version", "Id", "Statement"].contains(&key.as_str())) {
            return Err(bad("it has an element besides Version, Id and Statement"));
        }
        if map.get("Version").is_some_and(|version| version != "2012-10-17" && version != "2008-10-17") {
            return Err(bad("its Version is not 2012-10-17"));
        }
        let statements = match map.get("Statement") {
            Some(Value::Array(list)) if !list.is_empty() => list.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(bad("it has no Statement")),
        };
        Ok(Self(statements.into_iter().map(Statement::parse).collect::<Result<_, _>>()?))
    }

    fn judge(&self, deed: &Deed<'_>, resource: &str) -> Option<bool> {
        let mut about = self.0.iter().filter(|one| one.is_about(deed, resource)).peekable();
        about.peek()?;
        Some(!about.any(|one| one.denies))
    }
}

impl Statement {
    fn parse(value: &Value) -> Result<Self, CoreError> {
        let bad = |what: &str| CoreError::Invalid(what.to_owned());
        let map = value.as_object().ok_or_else(|| bad("a statement is no object"))?;
        let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        if map.keys().any(|key| !known.contains(&key.as_str())) {
            return Err(bad("a statement has an element that session policies do not have, such as Principal"));
        }
        let denies = match map.get("Effect").and_then(Value::as_str) {
            Some("Deny") => true,
            Some("Allow") => false,
            _ => return Err(bad("a statement's Effect is neither Allow nor Deny")),
        };
        let either = |one: &str, other: &str| match (map.get(one), map.get(other)) {
            (Some(list), None) => texts(list).map(|list| (list, false)),
            (None, Some(list)) => texts(list).map(|list| (list, true)),
            _ => None,
        };
        let actions =
            either("Action", "NotAction").ok_or_else(|| bad("a statement needs either Action or NotAction"))?;
        if actions.0.iter().any(|action| action != "*" && !action.contains(':')) {
            return Err(bad("an action names no service, as secretsmanager:GetSecretValue does"));
        }
        let resources = either("Resource", "NotResource");
        let resources = resources.ok_or_else(|| bad("a statement needs either Resource or NotResource"))?;
        let conditions = match map.get("Condition") {
            None => Map::new(),
            Some(Value::Object(conditions)) if conditions.values().all(Value::is_object) => conditions.clone(),
            Some(_) => return Err(bad("a statement's Condition is no object of objects")),
        };
        Ok(Self { denies, actions, resources, conditions })
    }

    fn is_about(&self, deed: &Deed<'_>, resource: &str) -> bool {
        let action = deed.action.to_ascii_lowercase();
        let names = |(patterns, others): &(Vec<String>, bool), fit: &dyn Fn(&str) -> bool| {
            patterns.iter().any(|pattern| fit(pattern)) != *others
        };
        names(&self.actions, &|pattern| fits(&pattern.to_ascii_lowercase(), &action))
            && names(&self.resources, &|pattern| fits(pattern, resource))
            && self.conditions_hold(deed)
    }

    fn conditions_hold(&self, deed: &Deed<'_>) -> bool {
        let mut each = self.conditions.iter().flat_map(|(operator, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, values)| condition(operator, key, values, deed))
        });
        each.all(|holds| holds == Holds::Yes || (self.denies && holds == Holds::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:prod/db";

    fn judge(statements: Value, action: &'static str, sent: Value) -> Option<bool> {
        let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let narrowing = Narrowing::new(Some(text), Vec::new()).unwrap().unwrap();
        let wish = Wish { service: "secretsmanager", action, resource: SECRET.to_owned() };
        let fields = Fields::new(sent.as_object().unwrap().clone());
        narrowing.judge(&wish, Some("Ab12Cd"), &fields, "10.1.2.3".parse().ok()).unwrap()
    }

    #[test]
    fn a_document_allows_what_it_names_and_denies_what_it_denies() {
        let one = |effect: &str, action: Value, resource: Value, condition: Value| json!({"Effect": effect, "Action": action, "Resource": resource, "Condition": condition});
        let stage = json!({"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}});
        let (get, none) = ("GetSecretValue", json!({}));
        for (statements, action, sent, expected) in [
            (one("Allow", json!("*"), json!("*"), none.clone()), get, json!({}), Some(true)),
            (
                one("Allow", json!("secretsmanager:get*"), json!([SECRET, format!("{SECRET}-??????")]), none.clone()),
                get,
                json!({}),
                Some(true),
            ),
            (one("Allow", json!("secretsmanager:Get*"), json!(SECRET), none.clone()), get, json!({}), None),
            (one("Allow", json!("ssm:*"), json!("*"), none.clone()), get, json!({}), None),
            (one("Allow", json!("secretsmanager:*"), json!("*"), stage.clone()), get, json!({}), Some(true)),
            (
                one("Allow", json!("secretsmanager:*"), json!("*"), stage.clone()),
                get,
                json!({"VersionStage": "AWSPENDING"}),
                None,
            ),
            (
                one("Allow", json!("*"), json!("*"), json!({"StringEquals": {"aws:PrincipalTag/x": "y"}})),
                get,
                json!({}),
                None,
            ),
            (
                json!([
                    one("Allow", json!("*"), json!("*"), none.clone()),
                    one("Deny", json!("*"), json!("*"), json!({"StringEquals": {"aws:PrincipalTag/x": "y"}}))
                ]),
                get,
                json!({}),
                Some(false),
            ),
            (
                json!([
                    one("Allow", json!("*"), json!("*"), none.clone()),
                    one("Deny", json!("secretsmanager:Delete*"), json!("*"), none.clone())
                ]),
                get,
                json!({}),
                Some(true),
            ),
            (
                json!([{"Effect": "Allow", "NotAction": "secretsmanager:Delete*", "NotResource": "arn:*:other*"}]),
                get,
                json!({}),
                Some(true),
            ),
            (
                json!([{"Effect": "Allow", "NotAction": "secretsmanager:Delete*", "Resource": "*"}]),
                "DeleteSecret",
                json!({}),
                None,
            ),
        ] {
            assert_eq!(judge(statements.clone(), action, sent), expected, "{statements} {action}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_when_it_is_sent() {
        let with = |statement: Value| json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        for bad in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            json!({"Version": "2020-01-01", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
                .to_string(),
            with(json!([])),
            with(json!({"Effect": "Allow", "Action": "*"})),
            with(json!({"Effect": "Allow", "Action": "GetSecretValue", "Resource": "*"})),
            with(json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"})),
            with(json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": "x"}})),
            with(json!({"Effect": "Perhaps", "Action": "*", "Resource": "*"})),
            with(json!({"Effect": "Allow", "Action": "*", "Resource": "x".repeat(2_048)})),
        ] {
            assert!(Narrowing::new(Some(bad.clone()), Vec::new()).is_err(), "{bad}");
        }
        assert!(Narrowing::new(None, Vec::new()).unwrap().is_none());
    }
}
