//! `cubbyhole/`: what a token keeps for itself.

use super::route::{Answer, Context, Route};
use strongroom_core::Operation::{self, Delete, List, Patch, Read, Write};
use strongroom_core::{Access, Captures, CoreError, Endpoint, Object, Reply, boxed};
use strongroom_model::FolderPath;

pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "",
            operations: &[List],
            access: Access::Token,
            help: "Lists what the caller's token keeps for itself.",
        },
        object: of_place,
        handler: |context| -> Answer<'_> { boxed(|| serve(context)) },
    },
    Route {
        endpoint: Endpoint {
            pattern: "{path..}",
            operations: &[Read, Write, Delete, List],
            access: Access::Token,
            help: "Reads, writes, deletes or lists what the caller's token keeps for itself; it ends with the token.",
        },
        object: of_place,
        handler: |context| -> Answer<'_> { boxed(|| serve(context)) },
    },
];

fn of_place(captures: &Captures, _operation: Operation) -> Result<Object, CoreError> {
    Ok(Object::Cubbyhole { place: FolderPath::parse(captures.get("path"))? })
}

async fn serve(context: Context<'_>) -> Result<Reply, CoreError> {
    let cubbyholes = &context.open.cubbyholes;
    match context.operation {
        Read => read(context).await,
        List => Reply::keys(cubbyholes.list(context.grant).await?),
        Delete => cubbyholes.delete(context.grant).await.map(|()| Reply::empty()),
        Write if context.fields.map().is_empty() => Err(CoreError::Invalid("missing data fields".to_owned())),
        Write => cubbyholes.write(context.grant, context.fields).await.map(|()| Reply::empty()),
        Patch => Err(CoreError::Unsupported),
    }
}

async fn read(context: Context<'_>) -> Result<Reply, CoreError> {
    if let Some(reply) = context.open.wrapping.as_cubbyhole(context.grant).await? {
        return Ok(reply);
    }
    let data = context.open.cubbyholes.read(context.grant).await?.ok_or(CoreError::Nothing)?;
    Ok(Reply { data: Some(data), ..Reply::empty() })
}
