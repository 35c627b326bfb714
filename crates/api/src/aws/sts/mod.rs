//! STS: who am I, and temporary credentials. The roles are records of ours (`sys/aws/roles`); nobody is asked elsewhere,
//! except an identity provider for its keys where a role says so.

mod assume;
mod session;
mod web;

use super::input::Input;
use super::operation::{Asked, Call, Operation, Place, Tour, operation};
use super::refusal::Refusal;
use serde_json::json;
use strongroom_core::{Operation::Read, Reply};

pub(super) const OPERATIONS: &[Operation] = &[
    operation!("AssumeRole", Token, session::role_path, assume::assume_role),
    operation!("AssumeRoleWithWebIdentity", Open, session::role_path, web::assume_role),
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
