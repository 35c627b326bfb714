//! Making secrets and writing versions.

use super::secret;
use super::tag::tags;
use crate::aws::arn::new_name;
use crate::aws::input::{Input, label, stage, wrong};
use crate::aws::operation::{Asked, Call, Place};
use crate::aws::refusal::{NO_SECRET, Refusal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use strongroom_core::secret::{NewVersion, ParticularsChange, SecretValue, Staged, VersionId};
use strongroom_core::{CoreError, Operation::Write, Reply, SecretAct};
use strongroom_model::{SecretBytes, SecretPath, SecretString, Stage};

/// The longest value, in bytes.
const LONGEST: usize = 65_536;
/// Recorded on AWS.
const NO_TOKEN: &str = "You must provide a ClientRequestToken value. We recommend a UUID-type value.";

pub(super) fn asks_create(input: &Input<'_>) -> Result<Asked, Refusal> {
    let path = new_name(input.need("Name")?)?;
    Ok(Asked { operation: Write, place: Place::Secret { path, act: SecretAct::Write } })
}

/// Without a value only what is known of the secret changes, and other rules of a policy speak of that.
pub(super) fn asks_update(input: &Input<'_>) -> Result<Asked, Refusal> {
    let has_value = input.fields.has("SecretString") || input.fields.has("SecretBinary");
    secret(input, Write, if has_value { SecretAct::Write } else { SecretAct::WriteMetadata })
}

/// `CreateSecret`.
pub(super) async fn create(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = new_name(input.need("Name")?)?;
    refuse_replicas(input)?;
    let mut change = particulars(input)?;
    change.tags = tags(input)?;
    let token = token(input)?;
    let first = value(input)?.map(|value| NewVersion { value, id: token, stages: Vec::new() });
    let made = call.open.secrets.make(call.grant, &change, first.as_ref()).await.map_err(|error| match error {
        CoreError::Exists(_) => {
            Refusal::exists(format!("The operation failed because the secret {} already exists.", path.aws_name()))
        }
        CoreError::Marked => Refusal::from(CoreError::Marked).reworded(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ),
        other => other.into(),
    })?;
    Ok(written(input, &path, &made, false))
}

/// `PutSecretValue`.
pub(super) async fn put(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = check_suffix(&call).await?;
    let id = token(input)?;
    input.sized("RotationToken", 36, 256)?;
    let value =
        value(input)?.ok_or_else(|| Refusal::request("You must provide either SecretString or SecretBinary."))?;
    let stages = match input.texts("VersionStages")? {
        None => Vec::new(),
        Some(labels) if (1..=20).contains(&labels.len()) => {
            labels.into_iter().map(stage).collect::<Result<Vec<Stage>, _>>()?
        }
        Some(_) => {
            return Err(Refusal::validation(
                "Value at 'versionStages' failed to satisfy constraint: Member must have length between 1 and 20",
            ));
        }
    };
    let version = NewVersion { value, id, stages };
    let put = call.open.secrets.put(call.grant, &version).await.map_err(in_use)?;
    Ok(written(input, &path, &put, true))
}

/// `UpdateSecret`.
pub(super) async fn update(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = check_suffix(&call).await?;
    let change = particulars(input)?;
    input.version_id("ClientRequestToken")?;
    let secrets = &call.open.secrets;
    let staged = match value(input)? {
        Some(value) => {
            let version = NewVersion { value, id: token(input)?, stages: Vec::new() };
            secrets.put_with(call.grant, &change, &version).await.map_err(in_use)?
        }
        None => Staged { secret: secrets.describe(call.grant, &change).await?, number: None },
    };
    Ok(written(input, &path, &staged, false))
}

/// A whole ARN must be that of the secret that bears the name now.
pub(super) async fn check_suffix(call: &Call<'_>) -> Result<SecretPath, Refusal> {
    let wanted = call.input.secret()?;
    if let Some(sent) = wanted.suffix {
        let own = call.open.secrets.granted_suffix(call.grant).await?;
        if own.as_deref() != Some(sent.as_str()) {
            return Err(Refusal::not_found(NO_SECRET));
        }
    }
    Ok(wanted.path)
}

fn in_use(error: CoreError) -> Refusal {
    match error {
        CoreError::Exists(_) => Refusal::exists(
            "You can't use this ClientRequestToken because it is already in use for a version with another value.",
        ),
        other => other.into(),
    }
}

fn written(input: &Input<'_>, path: &SecretPath, staged: &Staged, with_stages: bool) -> Reply {
    let mut data = json!({ "ARN": input.names.arn(path, &staged.secret.suffix()), "Name": path.aws_name() });
    if let (Some(number), Some(map)) = (staged.number, data.as_object_mut()) {
        map.insert("VersionId".to_owned(), json!(staged.secret.version_id(number)));
        if with_stages {
            let stages = staged.secret.meta.stages_of(number);
            map.insert("VersionStages".to_owned(), stages.iter().map(label).collect());
        }
    }
    Reply { version: staged.number.map(strongroom_model::VersionNumber::get), ..Reply::data(data) }
}

fn particulars(input: &Input<'_>) -> Result<ParticularsChange, Refusal> {
    Ok(ParticularsChange {
        description: input.bounded("Description", 2_048)?.map(str::to_owned),
        kms_key: input.bounded("KmsKeyId", 2_048)?.filter(|key| !key.is_empty()).map(str::to_owned),
        ..ParticularsChange::default()
    })
}

/// `ClientRequestToken`: clients make one up where their user gave none.
fn token(input: &Input<'_>) -> Result<VersionId, Refusal> {
    input.version_id("ClientRequestToken")?.ok_or_else(|| Refusal::request(NO_TOKEN))
}

/// The value that was sent, if any.
fn value(input: &Input<'_>) -> Result<Option<SecretValue>, Refusal> {
    let too_long = |name| {
        Refusal::validation(format!(
            "Value at '{name}' failed to satisfy constraint: Member must have length between 1 and {LONGEST}"
        ))
    };
    match (input.text("SecretString")?, input.text("SecretBinary")?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::parameter(
            "You can't specify both a binary secret value and a string secret value in the same secret.",
        )),
        (Some(text), None) if (1..=LONGEST).contains(&text.len()) => {
            Ok(Some(SecretValue::Text(SecretString::new(text.to_owned()))))
        }
        (Some(_), None) => Err(too_long("secretString")),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text).map_err(|_| wrong("SecretBinary", "base64"))?;
            let bytes = SecretBytes::new(bytes);
            if !(1..=LONGEST).contains(&bytes.len()) {
                return Err(too_long("secretBinary"));
            }
            Ok(Some(SecretValue::Bytes(bytes)))
        }
    }
}

fn refuse_replicas(input: &Input<'_>) -> Result<(), Refusal> {
    input.flag("ForceOverwriteReplicaSecret")?;
    let elsewhere = input.sized("CrossAccountPrimaryARN", 20, 2_048)?.is_some();
    if elsewhere || input.list("AddReplicaRegions")?.is_some_and(|regions| !regions.is_empty()) {
        return Err(Refusal::request(super::replica::NONE));
    }
    Ok(())
}
