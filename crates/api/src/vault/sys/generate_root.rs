//! `sys/generate-root/`: a root token from unseal keys. Anybody may begin, since there may be no token left; the nonce
//! is told to who began, and cancelling needs it, or sudo. In Vault anybody may cancel (CVE-2026-5807). The same under
//! `sys/generate-root-token/`, which OpenBao's command line asks since 2.6, for who has a token.

use crate::vault::ceremony::{nonce, pgp_is_refused, share};
use crate::vault::route::Context;
use serde_json::{Value, json};
use strongroom_core::ceremony::{RootStatus, RootStep};
use strongroom_core::{CoreError, Operation, Reply, Share};
use strongroom_model::SecretString;

/// `sys/generate-root/attempt`. The field `key` is ours: with an unseal key, an attempt that has none makes way.
pub(super) async fn attempt(context: Context<'_>) -> Result<Reply, CoreError> {
    let (generation, fields) = (&context.open.root_generation, context.fields);
    match context.operation {
        Operation::Read => Ok(Reply::data(body(&generation.status(context.grant).await, ""))),
        Operation::Delete => {
            generation.cancel(context.grant, &fields.text_or_empty("nonce")?).await?;
            Ok(Reply::empty())
        }
        _ => {
            pgp_is_refused(fields, &["pgp_key"])?;
            let otp = fields.secret("otp")?.filter(|otp| !otp.is_empty());
            let share: Option<Share> = fields.has("key").then(|| share(fields)).transpose()?;
            let start = generation.start(context.grant, otp, share.as_ref()).await?;
            let otp = start.otp.as_ref().map_or("", SecretString::expose);
            Ok(Reply::data(body(&start.status, otp)))
        }
    }
}

/// `sys/generate-root/update`.
pub(super) async fn update(context: Context<'_>) -> Result<Reply, CoreError> {
    let (share, nonce) = (share(context.fields)?, nonce(context.fields)?);
    match context.open.root_generation.update(context.grant, &nonce, &share).await? {
        RootStep::Progress(status) => Ok(Reply::data(body(&status, ""))),
        RootStep::Made { encoded, auth, required } => {
            let data = json!({
                "nonce": nonce, "started": true, "progress": required, "required": required, "complete": true,
                "encoded_token": encoded.expose(), "encoded_root_token": encoded.expose(), "pgp_fingerprint": "",
                "otp": "", "otp_length": 0,
            });
            Ok(Reply { unseen: Some(auth), ..Reply::data(data) })
        }
    }
}

fn body(status: &RootStatus, otp: &str) -> Value {
    json!({
        "nonce": status.nonce, "started": status.started, "progress": status.progress, "required": status.required,
        "complete": false, "encoded_token": "", "encoded_root_token": "", "pgp_fingerprint": "", "otp": otp,
        "otp_length": status.otp_length,
    })
}
