//! Policies of secrets themselves. They can only forbid: what they allow, ours must allow too. What they forbid is
//! forbidden through every dialect (`core/src/secret/guard.rs`).

use super::describe::{bad_token, sighted};
use super::tag::nothing;
use super::write::check_suffix;
use crate::aws::input::Input;
use crate::aws::operation::{Asked, Call, Place};
use crate::aws::refusal::Refusal;
use serde_json::{Map, Value, json};
use strongroom_core::secret::{Guard, ParticularsChange, Sighting};
use strongroom_core::{Operation::Read, Reply, SecretAct};
use strongroom_model::SecretPath;

/// `GetResourcePolicy`.
pub(super) async fn get(call: Call<'_>) -> Result<Reply, Refusal> {
    let (path, seen) = sighted(&call).await?;
    only_default(&call.input)?;
    let mut data = named(&call.input, &path, &seen);
    if let Some(policy) = &seen.meta.particulars().policy {
        data.insert("ResourcePolicy".to_owned(), json!(policy));
    }
    Ok(Reply::data(Value::Object(data)))
}

/// `ListResourcePolicies`.
pub(super) async fn list(call: Call<'_>) -> Result<Reply, Refusal> {
    let (path, seen) = sighted(&call).await?;
    call.input.number("MaxResults", 1, 100)?;
    // There is one page, so nothing leads to another.
    if call.input.text("NextToken")?.is_some() {
        return Err(bad_token());
    }
    let mut data = named(&call.input, &path, &seen);
    let policies = seen.meta.particulars().policy.iter();
    let policies = policies.map(|_| json!({ "PolicyName": "default" }));
    data.insert("ResourcePolicies".to_owned(), policies.collect());
    Ok(Reply::data(Value::Object(data)))
}

/// `PutResourcePolicy`.
pub(super) async fn put(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = check_suffix(&call).await?;
    only_default(input)?;
    let policy = text(input)?;
    let guard = Guard::parse(policy).map_err(malformed)?;
    if input.flag("BlockPublicPolicy")? && guard.is_public() {
        return Err(Refusal::said(
            "PublicPolicyException",
            "The resource policy grants broad access to the secret. Name the principals, or do not block public policies.",
        ));
    }
    let change = ParticularsChange { policy: Some(Some(policy.to_owned())), ..ParticularsChange::default() };
    let seen = call.open.secrets.describe(call.grant, &change).await?;
    Ok(Reply::data(Value::Object(named(input, &path, &seen))))
}

/// `DeleteResourcePolicy`.
pub(super) async fn delete(call: Call<'_>) -> Result<Reply, Refusal> {
    let path = check_suffix(&call).await?;
    only_default(&call.input)?;
    let change = ParticularsChange { policy: Some(None), ..ParticularsChange::default() };
    let seen = call.open.secrets.describe(call.grant, &change).await?;
    Ok(Reply::data(Value::Object(named(&call.input, &path, &seen))))
}

/// With a secret it asks for that one, and without one for nothing but a key.
pub(super) fn asks_validate(input: &Input<'_>) -> Result<Asked, Refusal> {
    let place = match input.fields.has("SecretId") {
        true => Place::Secret { path: input.secret()?.path, act: SecretAct::ReadMetadata },
        false => Place::Path("sys/aws/validate-policy".to_owned()),
    };
    Ok(Asked { operation: Read, place })
}

/// `ValidateResourcePolicy`: syntax, broad access, and whether it would shut its own caller out.
pub(super) async fn validate(call: Call<'_>) -> Result<Reply, Refusal> {
    let mut errors = Vec::new();
    let mut fail = |check: &str, text: &str| errors.push(json!({ "CheckName": check, "ErrorMessage": text }));
    match Guard::parse(text(&call.input)?) {
        Err(problem) => fail("SYNTAX_CHECK", &problem.to_string()),
        Ok(guard) => {
            if guard.is_public() {
                fail("PUBLIC_POLICY_CHECK", "The resource policy grants broad access to the secret.");
            }
            if guard.shuts_out_all() {
                fail("LOCKOUT_CHECK", "The resource policy would shut the caller out from changing it.");
            }
        }
    }
    if call.input.fields.has("SecretId") {
        sighted(&call).await?;
    }
    let mut data = nothing().data.unwrap_or_default();
    data.map_mut().insert("PolicyValidationPassed".to_owned(), json!(errors.is_empty()));
    data.map_mut().insert("ValidationErrors".to_owned(), Value::Array(errors));
    Ok(Reply { data: Some(data), ..Reply::default() })
}

fn named(input: &Input<'_>, path: &SecretPath, seen: &Sighting) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("ARN".to_owned(), json!(input.names.arn(path, &seen.suffix())));
    data.insert("Name".to_owned(), json!(path.aws_name()));
    data
}

fn text<'a>(input: &Input<'a>) -> Result<&'a str, Refusal> {
    let text = input.need("ResourcePolicy")?;
    if text.is_empty() || text.len() > 20_480 {
        return Err(Refusal::validation(
            "Value at 'resourcePolicy' failed to satisfy constraint: Member must have length between 1 and 20480",
        ));
    }
    Ok(text)
}

fn only_default(input: &Input<'_>) -> Result<(), Refusal> {
    match input.text("PolicyName")? {
        None | Some("default") => Ok(()),
        Some(_) => Err(Refusal::parameter("There is no policy but the one named default.")),
    }
}

fn malformed(problem: strongroom_core::CoreError) -> Refusal {
    Refusal::said("MalformedPolicyDocumentException", format!("The policy document cannot be used: {problem}"))
}
