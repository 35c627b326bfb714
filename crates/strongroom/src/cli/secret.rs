//! The envelope the server answers with, as far as the command line needs it: lease, data, login, wrapping. Read
//! leniently, because old and foreign servers leave fields out; printed in the order Vault prints it. Answers that are
//! no envelope (`sys/health`, `sys/seal-status`) become its data.

use super::error::CliError;
use serde::Serialize;
use serde_json::{Map, Value};

/// One answer. Not `Debug`: it holds secrets.
#[derive(Serialize)]
pub(crate) struct Secret {
    /// The server's name for the request.
    pub(crate) request_id: String,
    /// Empty when nothing was leased.
    pub(crate) lease_id: String,
    /// Seconds.
    pub(crate) lease_duration: u64,
    /// Whether the lease can be renewed.
    pub(crate) renewable: bool,
    /// What was asked for.
    pub(crate) data: Option<Map<String, Value>>,
    /// What the server wants the user to know.
    pub(crate) warnings: Option<Vec<String>>,
    /// What a login gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<Map<String, Value>>,
    /// Where the answer was put when it was wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrap_info: Option<Map<String, Value>>,
    /// The type of the mount that answered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mount_type: String,
}

/// The fields by which an envelope is known.
const MARKS: [&str; 5] = ["data", "auth", "wrap_info", "request_id", "warnings"];

impl Secret {
    /// Reads a body; `None` when it is empty or has nothing but errors.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, CliError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        // The error of serde_json may quote the value it stumbled over, so only the place is kept.
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            CliError::Answer(format!("it is not JSON (line {}, column {})", error.line(), error.column()))
        })?;
        Ok(Self::from_value(value))
    }

    /// The same for a parsed body.
    pub(crate) fn from_value(value: Value) -> Option<Self> {
        let Value::Object(mut fields) = value else { return None };
        if !MARKS.iter().any(|mark| fields.contains_key(*mark)) {
            fields.remove("errors");
            return (!fields.is_empty()).then(|| Self::of_data(fields));
        }
        let mut text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (request_id, lease_id, mount_type) = (text("request_id"), text("lease_id"), text("mount_type"));
        let mut object = |name: &str| match fields.remove(name) {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        };
        let (data, auth, wrap_info) = (object("data"), object("auth"), object("wrap_info"));
        let warnings = fields.get("warnings").and_then(Value::as_array).filter(|list| !list.is_empty());
        Some(Self {
            request_id,
            lease_id,
            lease_duration: fields.get("lease_duration").and_then(Value::as_u64).unwrap_or(0),
            renewable: fields.get("renewable").and_then(Value::as_bool).unwrap_or(false),
            data,
            warnings: warnings.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            auth,
            wrap_info,
            mount_type,
        })
    }

    /// An envelope around data of our own.
    pub(crate) fn of_data(data: Map<String, Value>) -> Self {
        Self {
            request_id: String::new(),
            lease_id: String::new(),
            lease_duration: 0,
            renewable: false,
            data: Some(data),
            warnings: None,
            auth: None,
            wrap_info: None,
            mount_type: String::new(),
        }
    }

    /// One entry of the data.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.data.as_ref()?.get(key).filter(|value| !value.is_null())
    }

    /// One entry of the data that is an object.
    pub(crate) fn object(&self, key: &str) -> Option<&Map<String, Value>> {
        self.get(key)?.as_object()
    }

    /// The keys of a listing.
    pub(crate) fn keys(&self) -> Option<&[Value]> {
        self.get("keys")?.as_array().map(Vec::as_slice)
    }

    /// Whether there is anything to show beside the envelope.
    pub(crate) fn says_something(&self) -> bool {
        self.data.as_ref().is_some_and(|data| !data.is_empty()) || self.warnings.is_some()
    }

    /// A field by the name `-field` knows it by: Vault's names for the login, the wrapping and the lease come before
    /// the data's.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        let named = |map: &Map<String, Value>, names: &[(&str, &str)]| {
            let (_, inner) = names.iter().find(|(shown, _)| *shown == name)?;
            map.get(*inner).cloned()
        };
        let special = match (&self.auth, &self.wrap_info) {
            (Some(auth), _) => named(auth, AUTH_FIELDS),
            (None, Some(wrap)) => named(wrap, WRAP_FIELDS),
            (None, None) => self.plain_field(name),
        };
        special.or_else(|| self.get(name).cloned()).filter(|value| !value.is_null())
    }

    fn plain_field(&self, name: &str) -> Option<Value> {
        match name {
            "lease_duration" | "refresh_interval" => Some(self.lease_duration.into()),
            "lease_id" => Some(self.lease_id.clone().into()),
            "request_id" => Some(self.request_id.clone().into()),
            "renewable" => Some(self.renewable.into()),
            "data" => Some(self.get("data").cloned().unwrap_or_else(|| self.data.clone().unwrap_or_default().into())),
            _ => None,
        }
    }
}

const AUTH_FIELDS: &[(&str, &str)] = &[
    ("token", "client_token"),
    ("token_accessor", "accessor"),
    ("token_duration", "lease_duration"),
    ("token_renewable", "renewable"),
    ("token_policies", "token_policies"),
    ("identity_policies", "identity_policies"),
    ("policies", "policies"),
];

const WRAP_FIELDS: &[(&str, &str)] = &[
    ("wrapping_token", "token"),
    ("wrapping_accessor", "accessor"),
    ("wrapping_token_ttl", "ttl"),
    ("wrapping_token_creation_time", "creation_time"),
    ("wrapping_token_creation_path", "creation_path"),
    ("wrapped_accessor", "wrapped_accessor"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_envelope_is_printed_in_vaults_order() {
        let body = br#"{"auth":null,"data":{"b":1,"a":2.50},"lease_duration":0,"lease_id":"","renewable":false,
            "request_id":"r","warnings":null,"wrap_info":null,"mount_type":"kv"}"#;
        let secret = Secret::parse(body).unwrap().unwrap();
        let shown = serde_json::to_string(&secret).unwrap();
        let expected = r#"{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":{"a":2.50,"b":1},"warnings":null,"mount_type":"kv"}"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_no_envelope_becomes_its_data() {
        let secret = Secret::from_value(json!({"initialized": true})).unwrap();
        assert_eq!(secret.get("initialized"), Some(&json!(true)));
        assert!(Secret::from_value(json!({"errors": []})).is_none());
        assert!(Secret::parse(b" \n").unwrap().is_none());
    }

    #[test]
    fn a_broken_answer_is_not_quoted() {
        let error = Secret::parse(br#"{"data": "hunter2" x"#).err().unwrap().to_string();
        assert!(!error.contains("hunter2") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn fields_have_vaults_names() {
        let login = Secret::from_value(json!({"auth": {"client_token": "t"}, "data": {"x": 1}})).unwrap();
        assert_eq!((login.field("token"), login.field("x")), (Some(json!("t")), Some(json!(1))));
        let wrapped = Secret::from_value(json!({"wrap_info": {"token": "w"}})).unwrap();
        assert_eq!(wrapped.field("wrapping_token"), Some(json!("w")));
        let plain = Secret::from_value(json!({"data": {"x": 1, "n": null}, "lease_duration": 5})).unwrap();
        assert_eq!(
            (plain.field("refresh_interval"), plain.field("data")),
            (Some(json!(5)), Some(json!({"x": 1, "n": null})))
        );
        assert_eq!(plain.field("n"), None);
    }
}
