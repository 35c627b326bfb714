//! `sys/rekey/`: new unseal keys. Starting and cancelling need a token with sudo, unlike in Vault, where anybody may
//! (CVE-2026-5807); handing in shares needs the nonce, for those who hold shares need not have a token. OpenBao spells
//! the same `sys/rotate/root/`, and there every step takes a token.

use crate::vault::ceremony::{nonce, pgp_is_refused, share, shares_and_threshold};
use crate::vault::route::Context;
use serde_json::{Value, json};
use strongroom_core::ceremony::{RekeyPlan, RekeyStatus, RekeyStep, Verification};
use strongroom_core::{CoreError, Operation, Reply, Share};

/// `sys/rekey/init`.
pub(super) async fn init(context: Context<'_>) -> Result<Reply, CoreError> {
    let rekeying = &context.open.rekeying;
    match context.operation {
        Operation::Delete => {
            rekeying.cancel(context.grant).await;
            Ok(Reply::empty())
        }
        Operation::Read => Ok(progress(&rekeying.status(context.grant).await)),
        _ => {
            pgp_is_refused(context.fields, &["pgp_keys"])?;
            if context.fields.flag("backup")?.unwrap_or(false) {
                return Err(CoreError::Invalid(
                    "backup: unseal keys are kept nowhere in this version; hand each to its holder".to_owned(),
                ));
            }
            let (shares, threshold) = shares_and_threshold(context.fields)?;
            let verify = context.fields.flag("require_verification")?.unwrap_or(false);
            let plan = RekeyPlan { shares, threshold, verify };
            Ok(progress(&rekeying.start(context.grant, plan).await?))
        }
    }
}

/// `sys/rekey/update`.
pub(super) async fn update(context: Context<'_>) -> Result<Reply, CoreError> {
    let (share, nonce) = (share(context.fields)?, nonce(context.fields)?);
    match context.open.rekeying.update(context.grant, &nonce, &share).await? {
        RekeyStep::Progress(status) => Ok(progress(&status)),
        RekeyStep::Made { shares, verification_nonce, order } => {
            if let Some(order) = order {
                context.after.order_shares(order);
            }
            let mut body = json!({
                "nonce": nonce,
                "complete": true,
                "keys": shares.iter().map(Share::to_hex).collect::<Vec<_>>(),
                "keys_base64": shares.iter().map(Share::to_base64).collect::<Vec<_>>(),
                "pgp_fingerprints": null,
                "backup": false,
                "verification_required": verification_nonce.is_some(),
            });
            add(&mut body, verification_nonce);
            Ok(Reply::data(body))
        }
    }
}

/// `sys/rekey/verify`.
pub(super) async fn verify(context: Context<'_>) -> Result<Reply, CoreError> {
    let rekeying = &context.open.rekeying;
    match context.operation {
        Operation::Read => Ok(verification(&rekeying.verification(context.grant).await?)),
        Operation::Delete => {
            let nonce = context.fields.text_or_empty("nonce")?;
            Ok(verification(&rekeying.restart_verification(context.grant, &nonce).await?))
        }
        _ => {
            let (share, nonce) = (share(context.fields)?, nonce(context.fields)?);
            match rekeying.verify(context.grant, &nonce, &share).await? {
                Some(more) => Ok(verification(&Verification { nonce, ..more })),
                None => Ok(Reply::data(json!({ "nonce": nonce, "complete": true }))),
            }
        }
    }
}

/// `sys/rekey/backup`: there never are any.
pub(super) async fn backup(_: Context<'_>) -> Result<Reply, CoreError> {
    Err(CoreError::Invalid("no backed-up keys found".to_owned()))
}

/// `sys/rotate/root`, OpenBao's way of a new root key under the same unseal keys: here the two come together.
pub(super) async fn bare(_: Context<'_>) -> Result<Reply, CoreError> {
    Err(CoreError::Invalid(
        "the root key changes together with the unseal keys, which takes those in force: begin with sys/rotate/root/init"
            .to_owned(),
    ))
}

/// `sys/rekey-recovery-key/...`: there are no recovery keys, since unseal keys and a key file can stand side by side.
pub(super) async fn recovery(_: Context<'_>) -> Result<Reply, CoreError> {
    Err(CoreError::Invalid(
        "recovery rekeying not supported: this server has unseal keys and no recovery keys; use sys/rekey".to_owned(),
    ))
}

fn progress(status: &RekeyStatus) -> Reply {
    let mut body = json!({
        "nonce": status.nonce,
        "started": status.plan.is_some(),
        "t": status.plan.map_or(0, |plan| plan.threshold),
        "n": status.plan.map_or(0, |plan| plan.shares),
        "progress": status.progress,
        "required": status.required,
        "pgp_fingerprints": null,
        "backup": false,
        "verification_required": status.plan.is_some_and(|plan| plan.verify),
    });
    add(&mut body, status.verification_nonce.clone());
    Reply::data(body)
}

/// Vault leaves the field out when there is none.
fn add(body: &mut Value, verification_nonce: Option<String>) {
    if let (Some(map), Some(nonce)) = (body.as_object_mut(), verification_nonce) {
        map.insert("verification_nonce".to_owned(), Value::String(nonce));
    }
}

fn verification(verification: &Verification) -> Reply {
    Reply::data(json!({
        "nonce": verification.nonce,
        "started": true,
        "t": verification.threshold,
        "n": verification.shares,
        "progress": verification.progress,
    }))
}
