//! `sys/wrapping/`: wrapping what the caller brings, and what can be done with a wrapping token. The wrapping of other
//! answers needs no endpoint: any request may ask for it by `X-Vault-Wrap-TTL`.

use crate::vault::route::{Answer, Context, Route, itself};
use strongroom_core::Operation::{self, Read, Write};
use strongroom_core::{Access, Captures, CoreError, Endpoint, Object, Reply, boxed};

/// `sys/wrapping/wrap`.
pub(super) const WRAP: Route = Route {
    endpoint: Endpoint {
        pattern: "wrapping/wrap",
        operations: &[Write],
        access: Access::Token,
        help: "Puts what is sent under a wrapping token.",
    },
    object: itself,
    handler: |context| -> Answer<'_> { boxed(|| wrap(context)) },
};

/// `sys/wrapping/lookup`: whoever holds the token may look at it, as in Vault.
pub(super) const LOOKUP: Route = Route {
    endpoint: Endpoint {
        pattern: "wrapping/lookup",
        operations: &[Read, Write],
        access: Access::Open,
        help: "Tells when and by which request a wrapping token was made.",
    },
    object: of_wrapping,
    handler: |context| -> Answer<'_> { boxed(|| lookup(context)) },
};

/// `sys/wrapping/unwrap`.
pub(super) const UNWRAP: Route = Route {
    endpoint: Endpoint {
        pattern: "wrapping/unwrap",
        operations: &[Write],
        access: Access::Token,
        help: "Gives the answer under a wrapping token, once.",
    },
    object: of_wrapping,
    handler: |context| -> Answer<'_> { boxed(|| unwrap(context)) },
};

/// `sys/wrapping/rewrap`.
pub(super) const REWRAP: Route = Route {
    endpoint: Endpoint {
        pattern: "wrapping/rewrap",
        operations: &[Write],
        access: Access::Token,
        help: "Puts the answer under a wrapping token under a new one, and ends the old one.",
    },
    object: of_wrapping,
    handler: |context| -> Answer<'_> { boxed(|| rewrap(context)) },
};

fn of_wrapping(_captures: &Captures, _operation: Operation) -> Result<Object, CoreError> {
    Ok(Object::Wrapping)
}

async fn wrap(context: Context<'_>) -> Result<Reply, CoreError> {
    if context.grant.visit().wrap_ttl.is_none() {
        return Err(CoreError::Invalid("endpoint requires response wrapping to be used".to_owned()));
    }
    Ok(Reply { data: Some(context.fields.duplicate()), ..Reply::empty() })
}

async fn lookup(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(context.open.wrapping.lookup(context.grant).await?))
}

async fn unwrap(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.wrapping.open(context.grant).await
}

async fn rewrap(context: Context<'_>) -> Result<Reply, CoreError> {
    context.open.wrapping.rewrap(context.grant).await
}
