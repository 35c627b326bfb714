//! Labels of versions: the model's own stages, so a version that has one is kept.

use super::{name, ours};
use crate::aws::input::Input;
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::json;
use strongroom_core::{CoreError, Reply};
use strongroom_model::VersionNumber;

/// The most labels of one version, and of one request.
const MOST: usize = 10;

/// `LabelParameterVersion`.
pub(super) async fn label(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let (labels, invalid) = labels(input)?;
    let number = number(input)?;
    let secrets = &call.open.secrets;
    let seen = secrets.granted_sight(call.grant).await.map_err(ours)?.ok_or_else(name::not_found)?;
    let done = match labels.is_empty() {
        true => number.or(seen.meta.current()).filter(|at| seen.meta.versions.contains_key(at)).ok_or_else(|| missing(input)),
        false => secrets.label_version(call.grant, number, &labels, MOST).await.map_err(|error| match error {
            CoreError::NotFound(_) => missing(input),
            CoreError::TooLarge(_) => Refusal::said(
                "ParameterVersionLabelLimitExceeded",
                "A parameter version can have maximum 10 labels. Move one or more labels to another version and try again.",
            ),
            other => ours(other),
        }),
    };
    let at = done?;
    Ok(Reply { version: Some(at.get()), ..Reply::data(json!({ "InvalidLabels": invalid, "ParameterVersion": at })) })
}

/// `UnlabelParameterVersion`.
pub(super) async fn unlabel(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let (labels, mut invalid) = labels(input)?;
    let number = number(input)?.ok_or_else(|| {
        Refusal::validation("Value at 'parameterVersion' failed to satisfy constraint: Member must not be null")
    })?;
    let secrets = &call.open.secrets;
    secrets.granted_sight(call.grant).await.map_err(ours)?.ok_or_else(name::not_found)?;
    let removed = secrets.unlabel_version(call.grant, number, &labels).await.map_err(|error| match error {
        CoreError::NotFound(_) => missing(input),
        other => ours(other),
    })?;
    invalid.extend(labels.into_iter().filter(|label| !removed.contains(label)));
    Ok(Reply {
        version: Some(number.get()),
        ..Reply::data(json!({ "RemovedLabels": removed, "InvalidLabels": invalid }))
    })
}

fn missing(input: &Input<'_>) -> Refusal {
    let named = name::plain(input, "Name");
    let number = input.number("ParameterVersion", 0, u64::MAX).ok().flatten().unwrap_or_default();
    let name = named.map_or_else(|_| String::new(), |named| named.text);
    let text = format!("Systems Manager could not find version {number} of {name}. Verify the version and try again.");
    Refusal::not_found(text).coded("ParameterVersionNotFound")
}

fn number(input: &Input<'_>) -> Result<Option<VersionNumber>, Refusal> {
    match input.number("ParameterVersion", 0, u64::MAX)? {
        None => Ok(None),
        Some(number) => VersionNumber::new(number).map(Some).ok_or_else(|| missing(input)),
    }
}

/// The labels that can be, and those that cannot.
fn labels(input: &Input<'_>) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let sent = input.texts("Labels")?.unwrap_or_default();
    if sent.is_empty() || sent.len() > MOST {
        let text =
            format!("Value at 'labels' failed to satisfy constraint: Member must have length between 1 and {MOST}");
        return Err(Refusal::validation(text));
    }
    if sent.iter().any(|label| label.is_empty() || label.chars().count() > 100) {
        return Err(Refusal::validation(
            "Value at 'labels' failed to satisfy constraint: Member must satisfy constraint: [Member must have length \
             between 1 and 100]",
        ));
    }
    let fits = |label: &&str| {
        let lower = label.to_ascii_lowercase();
        let reserved = lower.starts_with("aws") || lower.starts_with("ssm");
        let first_is_digit = label.starts_with(|c: char| c.is_ascii_digit());
        !reserved && !first_is_digit && label.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    let (good, bad): (Vec<&str>, Vec<&str>) = sent.into_iter().partition(fits);
    let own = |labels: Vec<&str>| labels.into_iter().map(str::to_owned).collect();
    Ok((own(good), own(bad)))
}
