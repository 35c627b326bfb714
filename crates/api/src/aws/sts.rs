//! STS: who am I, and temporary credentials. The roles are records of ours (`sys/aws/roles`); nobody is asked elsewhere.

use super::input::Input;
use super::operation::{Asked, Call, Operation, Place, Tour, operation};
use super::refusal::Refusal;
use serde_json::json;
use strongroom_core::access_key::NewSession;
use strongroom_core::{CoreError, Operation::Read, Operation::Write, Reply};
use strongroom_model::{RoleName, Ttl};

pub(super) const OPERATIONS: &[Operation] = &[
    operation!("AssumeRole", Token, role_path, assume_role),
    operation!("AssumeRoleWithWebIdentity", Open, web_path, web_identity),
    operation!("GetCallerIdentity", Optional, identity_path, caller_identity),
];

/// A caller in AWS's words.
pub(super) struct Caller {
    pub(super) arn: String,
    id: String,
}

/// Who signed the request.
pub(in crate::aws) fn caller(tour: &Tour<'_>) -> Caller {
    let account = &tour.settings.account;
    let Some(key) = tour.key.map(|key| key.key()) else {
        return Caller { arn: format!("arn:aws:iam::{account}:anonymous"), id: String::new() };
    };
    match key.session.as_ref().and_then(|session| Some((session.role.as_ref()?, &session.name))) {
        Some((role, name)) => Caller {
            arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
            id: format!("{}:{name}", key.id),
        },
        None => Caller {
            arn: format!("arn:aws:iam::{account}:user/{}", key.name),
            id: key.entity.map_or_else(|| key.id.to_string(), |entity| entity.to_string()),
        },
    }
}

fn identity_path(_: &Input<'_>) -> Result<Asked, Refusal> {
    Ok(Asked { operation: Read, place: Place::Path("sys/aws/caller".to_owned()) })
}

async fn caller_identity(call: Call<'_>) -> Result<Reply, Refusal> {
    if call.tour.key.is_none() {
        return Err(Refusal::unsigned(call.tour.service));
    }
    let Caller { arn, id } = caller(call.tour);
    Ok(Reply::data(json!({ "Arn": arn, "UserId": id, "Account": call.tour.settings.account })))
}

fn role_path(input: &Input<'_>) -> Result<Asked, Refusal> {
    let role = role_name(input)?;
    Ok(Asked { operation: Write, place: Place::Path(format!("sys/aws/roles/{role}/assume")) })
}

fn role_name(input: &Input<'_>) -> Result<RoleName, Refusal> {
    let arn = input.need("RoleArn")?;
    let name = arn.strip_prefix(&format!("arn:aws:iam::{}:role/", input.names.account));
    let name = name.and_then(|name| RoleName::parse(name).ok());
    name.ok_or_else(|| Refusal::validation(format!("{} is invalid", "RoleArn")))
}

async fn assume_role(call: Call<'_>) -> Result<Reply, Refusal> {
    let (keys, input) = (&call.open.access_keys, &call.input);
    let refuse = || {
        Refusal::denied("The role does not exist, or does not trust the caller; ask an operator").coded("AccessDenied")
    };
    let key = call.tour.key.ok_or_else(refuse)?.key();
    if input.text("Policy")?.is_some_and(|policy| !policy.is_empty()) || has_prefix(input, "PolicyArns.") {
        return Err(Refusal::said(
            "MalformedPolicyDocument",
            "Session policies are not served: they would have to narrow policies of another language. Assume a narrower role",
        ));
    }
    let name = session_name(input)?;
    let secs = match input.text("DurationSeconds")? {
        None => 0,
        Some(text) => text.parse().map_err(|_| Refusal::said("ValidationError", "DurationSeconds must be a number"))?,
    };
    let role = keys.role(&role_name(input)?).await?.ok_or_else(refuse)?;
    let entity = call.grant.bearer().and_then(|bearer| bearer.entity()).map(|entity| entity.id);
    if !role.trusted.is_empty() && !entity.is_some_and(|entity| role.trusted.contains(&entity)) {
        return Err(refuse());
    }
    let wanted = NewSession { issuer: key.id.clone(), name: name.clone(), ttl: Ttl::from_secs(secs) };
    let made = keys.assume(call.grant, &role, wanted).await.map_err(|error| match error {
        CoreError::Invalid(text) => Refusal::said("ValidationError", text),
        other => other.into(),
    })?;
    let token = made.session_token.ok_or(CoreError::Internal("a session without a token"))?;
    let expiration = made.key.expires.map(|expires| expires.to_string()).unwrap_or_default();
    let account = &call.tour.settings.account;
    Ok(Reply::data(json!({
        "Credentials": {
            "AccessKeyId": made.key.id, "SecretAccessKey": made.secret.expose(),
            "SessionToken": token.expose(), "Expiration": expiration,
        },
        "AssumedRoleUser": {
            "AssumedRoleId": format!("{}:{name}", made.key.id),
            "Arn": format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name),
        },
    })))
}

fn session_name(input: &Input<'_>) -> Result<String, Refusal> {
    let name = input.need("RoleSessionName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(name.to_owned());
    }
    Err(Refusal::said("ValidationError", "RoleSessionName has 2 to 64 letters, digits and `_+=,.@-`"))
}

fn has_prefix(input: &Input<'_>, prefix: &str) -> bool {
    input.fields.map().keys().any(|name| name.starts_with(prefix))
}

fn web_path(_: &Input<'_>) -> Result<Asked, Refusal> {
    Ok(Asked { operation: Write, place: Place::Path("sys/aws/web-identity".to_owned()) })
}

async fn web_identity(_: Call<'_>) -> Result<Reply, Refusal> {
    Err(Refusal::said(
        "InvalidIdentityToken",
        "This version trusts no identity provider. Use an access key and AssumeRole, or ask an operator for one",
    ))
}
