use super::session::{Wanted, role_name, unmade};
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::{Value, json};
use strongroom_core::Reply;
use strongroom_core::access_key::{WebRefusal, WebSession};
use strongroom_model::SecretString;

/// A role for who shows a token of a provider that the role trusts. The call is not signed.
pub(super) async fn assume_role(call: Call<'_>) -> Result<Reply, Refusal> {
    let keys = &call.open.access_keys;
    let token = SecretString::new(call.input.need("WebIdentityToken")?.to_owned());
    // A role that is not there, and one that trusts no provider, look alike to who may not know.
    let Some(role) = keys.role(&role_name(&call.input)?).await? else { return Err(refusal(WebRefusal::Untrusted)) };
    let mut wanted = Wanted::read(&call, &role, u64::MAX).await?;
    let new =
        WebSession { token: &token, name: wanted.name.clone(), ttl: wanted.ttl, narrowing: wanted.narrowing.take() };
    let made = keys.assume_with_token(call.grant, &role, new).await.map_err(unmade)?;
    let (made, guest) = made.map_err(refusal)?;
    let mut reply = wanted.answer(&call, &role, made)?;
    let mut data = reply.data.take().unwrap_or_default().into_map();
    let more =
        [("SubjectFromWebIdentityToken", guest.subject), ("Provider", guest.issuer), ("Audience", guest.audience)];
    data.extend(more.map(|(name, text)| (name.to_owned(), json!(text))));
    Ok(Reply { data: Reply::data(Value::Object(data)).data, ..reply })
}

/// In AWS's words (API reference, AssumeRoleWithWebIdentity).
fn refusal(refusal: WebRefusal) -> Refusal {
    match refusal {
        WebRefusal::Token(why) => {
            Refusal::said("InvalidIdentityToken", format!("The web identity token is not valid: {why}"))
        }
        WebRefusal::Issuer => {
            Refusal::said("InvalidIdentityToken", "The role trusts another OpenID Connect provider than the token's")
        }
        WebRefusal::Audience => Refusal::said("InvalidIdentityToken", "Incorrect token audience"),
        WebRefusal::Expired => Refusal::said(
            "ExpiredTokenException",
            "Token expired: current date/time must be before the expiration date/time",
        ),
        WebRefusal::Untrusted => Refusal::denied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
            .coded("AccessDenied")
            .with_status(403),
        WebRefusal::Unreachable(why) => Refusal::said(
            "IDPCommunicationError",
            format!("The keys of the identity provider cannot be had: {why}. Try again in a minute"),
        ),
    }
}
