//! Reading values.

use crate::aws::input::label;
use crate::aws::operation::Call;
use crate::aws::refusal::{NO_SECRET, Refusal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use strongroom_core::secret::{Labelled, Picked, SecretValue, suffix};
use strongroom_core::{CoreError, Reply};
use strongroom_model::{SecretBytes, Timestamp};

/// What an answer says besides the value, which the trail shows as it is.
const FACTS: &[&str] = &["ARN", "Name", "VersionId", "VersionStages", "CreatedDate"];

/// `GetSecretValue`.
pub(super) async fn get(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let wanted = input.secret()?;
    let (id, stage) = (input.version_id("VersionId")?, input.stage("VersionStage")?);
    let seen = match call.open.secrets.pick(call.grant, id.as_ref(), stage.as_ref()).await? {
        Picked::Here(seen) => seen,
        Picked::OtherStage => {
            return Err(Refusal::request(
                "You provided a VersionStage that is not associated to the provided VersionId.",
            ));
        }
        Picked::NoVersion => {
            let what = match (&id, &stage) {
                (Some(id), _) => format!("VersionId: {}", id.as_str()),
                (None, stage) => format!("staging label: {}", stage.as_ref().map_or("AWSCURRENT", label)),
            };
            return Err(Refusal::not_found(format!(
                "Secrets Manager can't find the specified secret value for {what}"
            )));
        }
    };
    let own = suffix(seen.secret);
    if wanted.suffix.is_some_and(|sent| sent != own) {
        return Err(Refusal::not_found(NO_SECRET));
    }
    let arn = input.names.arn(&wanted.path, &own);
    let Labelled { number, id, stages, created, value, .. } = *seen;
    let mut data = Map::new();
    data.insert("ARN".to_owned(), json!(arn));
    data.insert("Name".to_owned(), json!(wanted.path.aws_name()));
    data.insert("VersionId".to_owned(), json!(id));
    data.insert("VersionStages".to_owned(), stages.iter().map(label).collect());
    data.insert("CreatedDate".to_owned(), epoch(created));
    let (name, text) = spelled(value)?;
    data.insert(name.to_owned(), Value::String(text));
    Ok(Reply { version: Some(number.get()), facts: FACTS, ..Reply::data(Value::Object(data)) })
}

/// A value as AWS's clients can read it: text as it is, bytes in base64, and an object of another dialect as its JSON,
/// without blanks and with sorted names, so that it reads the same each time.
pub(super) fn spelled(value: SecretValue) -> Result<(&'static str, String), CoreError> {
    Ok(match value {
        SecretValue::Text(text) => ("SecretString", text.expose().to_owned()),
        SecretValue::Bytes(bytes) => ("SecretBinary", STANDARD.encode(bytes.expose())),
        SecretValue::Object(fields) => {
            let json = SecretBytes::from_json(fields.map());
            let json = json.map_err(|_| CoreError::Internal("a secret could not be written as JSON"))?;
            ("SecretString", String::from_utf8_lossy(json.expose()).into_owned())
        }
    })
}

/// A moment in seconds since 1970 with three decimals, as AWS writes it.
pub(in crate::aws) fn epoch(time: Timestamp) -> Value {
    let millis = time.nanos() / 1_000_000;
    json!(millis as f64 / 1_000.0)
}
