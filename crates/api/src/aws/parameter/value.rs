//! Reading values. Each parameter passes the gate and stands in the trail for itself.

use super::name::{self, Named, Wanted};
use super::note::{Known, word};
use super::{asks_selected, ours, reference};
use crate::aws::input::Input;
use crate::aws::operation::{Call, Passage, Tour};
use crate::aws::refusal::Refusal;
use crate::aws::secrets::epoch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use strongroom_core::secret::{ParameterKind, SecretValue, SecretVersion, Sighting};
use strongroom_core::tool::Digest;
use strongroom_core::{Access, CoreError, Fields, Reply, boxed};
use strongroom_model::{Kind, Kinded, SecretBytes};

/// One reading of one parameter.
pub(super) const READING: Passage =
    Passage { access: Access::Token, asks: asks_selected, act: |call| boxed(|| read(call)) };

/// The most names of one request.
const MOST: usize = 10;

/// `GetParameter`.
pub(super) async fn one(tour: &Tour<'_>) -> Result<Reply, Refusal> {
    const ACTION: &str = "GetParameter";
    let input = tour.input(tour.fields);
    let name = match input.need("Name") {
        Ok(name) => name.to_owned(),
        Err(refusal) => return tour.turn_away(ACTION, refusal).await,
    };
    let found = get(tour, ACTION, &name).await?;
    Ok(Reply::data(json!({ "Parameter": found })))
}

/// `GetParameters`.
pub(super) async fn many(tour: &Tour<'_>) -> Result<Reply, Refusal> {
    const ACTION: &str = "GetParameters";
    let names = match names(&tour.input(tour.fields)) {
        Ok(names) => names,
        Err(refusal) => return tour.turn_away(ACTION, refusal).await,
    };
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match get(tour, ACTION, &name).await {
            Ok(one) => found.push(one),
            Err(refusal) if refusal.cause().kind() == Kind::NotFound => missing.push(name),
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(Reply::data(json!({ "Parameters": found, "InvalidParameters": missing })))
}

/// The list `Names`.
pub(super) fn names(input: &Input<'_>) -> Result<Vec<String>, Refusal> {
    let names = input.texts("Names")?.unwrap_or_default();
    if names.is_empty() || names.len() > MOST {
        let text =
            format!("Value at 'names' failed to satisfy constraint: Member must have length between 1 and {MOST}");
        return Err(Refusal::validation(text));
    }
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    Ok(seen.into_iter().map(str::to_owned).collect())
}

/// One parameter by name, wherever it is kept.
pub(super) async fn get(tour: &Tour<'_>, action: &'static str, name: &str) -> Result<Value, Refusal> {
    if let Some(secret) = name.strip_prefix(name::REFERENCE) {
        return reference::get(tour, action, secret).await;
    }
    let decrypt = tour.fields.value("WithDecryption").cloned().unwrap_or(Value::Bool(false));
    let fields = [("Name".to_owned(), json!(name)), ("WithDecryption".to_owned(), decrypt)].into_iter().collect();
    found(tour.pass(action, &READING, &fields).await?)
}

/// The parameter that a reading gave.
pub(super) fn found(reply: Reply) -> Result<Value, Refusal> {
    Ok(Value::Object(reply.data.unwrap_or_default().into_map()))
}

async fn read(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let named = name::selected(input.need("Name")?, &input.names)?;
    let decrypt = input.flag("WithDecryption")?;
    let seen = call.open.secrets.see(call.grant, &named.version.selector()).await.map_err(ours)?;
    let version = match (seen.version, &named.version) {
        (Some(version), Wanted::Latest | Wanted::Number(_) | Wanted::Label(_)) => version,
        (None, Wanted::Latest) => return Err(name::not_found()),
        (_, _) => return Err(name::no_version(&named)),
    };
    let number = version.info.number;
    let data = rendered(input, &named, &seen.secret, version, decrypt)?;
    Ok(Reply { version: Some(number.get()), ..Reply::data(Value::Object(data)) })
}

fn rendered(
    input: &Input<'_>,
    named: &Named,
    secret: &Sighting,
    version: SecretVersion,
    decrypt: bool,
) -> Result<Map<String, Value>, Refusal> {
    let known = Known(secret);
    let (number, notes) = (version.info.number, known.notes(version.info.number));
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    put("Name", json!(name::shown(&named.path, &known)));
    put("Type", json!(word(notes.kind)));
    put("Version", json!(number));
    if let Some(selector) = named.version.text() {
        put("Selector", json!(selector));
    }
    put("LastModifiedDate", epoch(version.info.version.created));
    put("ARN", json!(input.names.parameter_arn(&named.path)));
    put("DataType", json!(notes.data_type));
    put("Value", text(secret, version, notes.kind, decrypt)?);
    Ok(data)
}

/// The value, or what stands for it when it is secret and not to be decrypted.
pub(super) fn text(
    secret: &Sighting,
    version: SecretVersion,
    kind: ParameterKind,
    decrypt: bool,
) -> Result<Value, CoreError> {
    if kind == ParameterKind::SecureString && !decrypt {
        return Ok(Value::String(stand_in(secret, version.info.number.get())?));
    }
    Ok(Value::String(match version.value {
        SecretValue::Text(text) => text.expose().to_owned(),
        SecretValue::Bytes(bytes) => STANDARD.encode(bytes.expose()),
        SecretValue::Object(fields) => match only_value(&fields) {
            Some(text) => text,
            None => {
                let json = SecretBytes::from_json(fields.map());
                let json = json.map_err(|_| CoreError::Internal("a secret could not be written as JSON"))?;
                String::from_utf8_lossy(json.expose()).into_owned()
            }
        },
    }))
}

/// The text of an object that is nothing but `{"value": TEXT}`: so Vault's clients see a parameter, and so they write one.
fn only_value(fields: &Fields) -> Option<String> {
    let only = fields.map().len() == 1;
    fields.value("value").filter(|_| only).and_then(Value::as_str).map(str::to_owned)
}

/// What clients get in place of a ciphertext: the same for a version each time, and made of nothing secret, so that
/// nobody can decrypt it anywhere.
fn stand_in(secret: &Sighting, number: u64) -> Result<String, CoreError> {
    let said = format!("stand-in for version {number} of {}", secret.id);
    let mut bytes = vec![1, 2, 2, 0, 0x78];
    bytes.extend_from_slice(&Digest::parse("sha2-256")?.sum(said.as_bytes()));
    Ok(STANDARD.encode(bytes))
}
