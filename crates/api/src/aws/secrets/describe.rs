//! What is known of a secret besides its value.

use super::value::epoch;
use crate::aws::arn::Names;
use crate::aws::input::label;
use crate::aws::operation::Call;
use crate::aws::refusal::{NO_SECRET, Refusal};
use serde_json::{Map, Value, json};
use strongroom_core::Reply;
use strongroom_core::secret::{Particulars, RotationSetting, Sighting};
use strongroom_model::{SecretPath, Timestamp};

/// What stands for the barrier's own keys where no other was named (recorded on AWS).
const DEFAULT_KEY: &str = "DefaultEncryptionKey";

/// `DescribeSecret`.
pub(super) async fn describe(call: Call<'_>) -> Result<Reply, Refusal> {
    let (path, seen) = sighted(&call).await?;
    let mut data = entry(&call.input.names, &path, &seen);
    data.insert("VersionIdsToStages".to_owned(), stages_by_id(&seen));
    data.retain(|name, value| name != "VersionIdsToStages" || value.as_object().is_some_and(|map| !map.is_empty()));
    Ok(Reply::data(Value::Object(data)))
}

/// `ListSecretVersionIds`.
pub(super) async fn versions(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let (path, seen) = sighted(&call).await?;
    let all = input.flag("IncludeDeprecated")?;
    let most = input.number("MaxResults", 1, 100)?.unwrap_or(100);
    let after = match input.text("NextToken")? {
        None => u64::MAX,
        Some(token) => call
            .open
            .secrets
            .open_mark(token)?
            .and_then(|mark| mark.strip_prefix("versions ")?.parse().ok())
            .ok_or_else(bad_token)?,
    };
    let now = call.grant.visit().arrived;
    let mut shown = Vec::new();
    let mut next = None;
    for (number, version) in seen.meta.versions.iter().rev().filter(|(number, _)| number.get() < after) {
        let stages = seen.meta.stages_of(*number);
        if version.is_gone(now) || (stages.is_empty() && !all) {
            continue;
        }
        if shown.len() as u64 == most {
            next = Some(call.open.secrets.seal_mark(&format!("versions {}", number.get() + 1))?);
            break;
        }
        let mut one = json!({
            "VersionId": seen.version_id(*number), "CreatedDate": epoch(version.created),
            "KmsKeyIds": [seen.meta.particulars().kms_key.as_deref().unwrap_or(DEFAULT_KEY)],
        });
        if let (Some(map), false) = (one.as_object_mut(), stages.is_empty()) {
            map.insert("VersionStages".to_owned(), stages.iter().map(label).collect());
        }
        shown.push(one);
    }
    let mut data = Map::new();
    data.insert("ARN".to_owned(), json!(input.names.arn(&path, &seen.suffix())));
    data.insert("Name".to_owned(), json!(path.aws_name()));
    data.insert("Versions".to_owned(), Value::Array(shown));
    next.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Ok(Reply::data(Value::Object(data)))
}

pub(super) fn bad_token() -> Refusal {
    Refusal::said("InvalidNextTokenException", "The NextToken value is invalid.")
}

/// The secret that is meant; a whole ARN must be its own.
pub(super) async fn sighted(call: &Call<'_>) -> Result<(SecretPath, Sighting), Refusal> {
    let wanted = call.input.secret()?;
    let seen = call.open.secrets.sight(call.grant).await?;
    match wanted.suffix {
        Some(sent) if sent != seen.suffix() => Err(Refusal::not_found(NO_SECRET)),
        _ => Ok((wanted.path, seen)),
    }
}

/// Ids of versions that bear labels, with those; also of one in preparation that has no value yet.
pub(super) fn stages_by_id(seen: &Sighting) -> Value {
    let mut ids = Map::new();
    for (stage, number) in &seen.meta.stages {
        let labels = ids.entry(seen.version_id(*number).as_str()).or_insert_with(|| json!([]));
        labels.as_array_mut().map(|labels| labels.push(json!(label(stage)))).unwrap_or_default();
    }
    if let Some(reserved) = &seen.meta.particulars().reserved {
        ids.insert(reserved.as_str().to_owned(), json!(["AWSPENDING"]));
    }
    Value::Object(ids)
}

/// What descriptions and lists share. What is not set is not there.
pub(super) fn entry(names: &Names<'_>, path: &SecretPath, seen: &Sighting) -> Map<String, Value> {
    let more = seen.meta.particulars();
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| drop(value.map(|value| data.insert(name.to_owned(), value)));
    put("ARN", Some(json!(names.arn(path, &seen.suffix()))));
    put("Name", Some(json!(path.aws_name())));
    put("Description", (!more.description.is_empty()).then(|| json!(more.description)));
    put("KmsKeyId", more.kms_key.as_ref().map(|key| json!(key)));
    put("CreatedDate", Some(epoch(seen.meta.created)));
    put("LastChangedDate", Some(epoch(seen.meta.updated)));
    put("LastAccessedDate", more.read_day.map(|day| json!(day * 86_400)));
    put("DeletedDate", more.deletion.map(|deletion| epoch(deletion.marked)));
    put("Tags", tags(more));
    if let Some(rotation) = &more.rotation {
        put("RotationEnabled", Some(json!(rotation.enabled)));
        put("RotationLambdaARN", rotation.function.as_ref().map(|function| json!(function)));
        put("RotationRules", rules(rotation));
        put("LastRotatedDate", rotation.last.map(epoch));
        put("NextRotationDate", rotation.next.map(epoch));
    }
    data
}

fn tags(more: &Particulars) -> Option<Value> {
    more.tags.as_ref().map(|tags| tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect())
}

fn rules(rotation: &RotationSetting) -> Option<Value> {
    let mut rules = Map::new();
    rotation.every_days.map(|days| rules.insert("AutomaticallyAfterDays".to_owned(), json!(days)));
    rotation.schedule.as_ref().map(|text| rules.insert("ScheduleExpression".to_owned(), json!(text)));
    rotation.window.as_ref().map(|text| rules.insert("Duration".to_owned(), json!(text)));
    (!rules.is_empty()).then_some(Value::Object(rules))
}

/// The moment that lists are sorted by, where it is one.
pub(super) fn read_moment(seen: &Sighting) -> Timestamp {
    Timestamp::from_secs(seen.meta.particulars().read_day.unwrap_or(0) * 86_400)
}
