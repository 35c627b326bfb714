use super::session::{Wanted, role_name, unmade};
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use strongroom_core::Reply;
use strongroom_core::access_key::NewSession;

/// How long a session may last that was made with a session ("role chaining": one hour).
const CHAINED: u64 = 3_600;

pub(super) async fn assume_role(call: Call<'_>) -> Result<Reply, Refusal> {
    let keys = &call.open.access_keys;
    let refuse = || {
        Refusal::denied("The role does not exist, or does not trust the caller; ask an operator").coded("AccessDenied")
    };
    let key = call.tour.key.ok_or_else(refuse)?.key();
    let role = keys.role(&role_name(&call.input)?).await?.ok_or_else(refuse)?;
    let entity = call.grant.bearer().and_then(|bearer| bearer.entity()).map(|entity| entity.id);
    if !role.trusted.is_empty() && !entity.is_some_and(|entity| role.trusted.contains(&entity)) {
        return Err(refuse());
    }
    let is_chained = key.session.as_ref().is_some_and(|session| session.role.is_some());
    let mut wanted = Wanted::read(&call, &role, if is_chained { CHAINED } else { u64::MAX }).await?;
    let new = NewSession {
        issuer: key.id.clone(),
        name: wanted.name.clone(),
        ttl: wanted.ttl,
        narrowing: wanted.narrowing.take(),
    };
    let made = keys.assume(call.grant, &role, new).await.map_err(unmade)?;
    wanted.answer(&call, &role, made)
}
