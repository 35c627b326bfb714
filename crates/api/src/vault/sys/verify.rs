use crate::vault::route::Context;
use serde_json::{Value, json};
use strongroom_core::{CoreError, Reply};

/// So many are named; a store in which more is wrong is restored, not mended row by row.
const NAMED: usize = 100;

/// `sys/strongroom/verify`: reads the whole store and names what is not as it was written. Ours; Vault has nothing like
/// it.
pub(super) async fn verify(context: Context<'_>) -> Result<Reply, CoreError> {
    let damage = context.open.verify(context.grant).await?;
    for found in damage.iter().take(NAMED) {
        tracing::error!(kind = found.kind, how = found.how, key = found.key, "a record of the store is damaged");
    }
    let named: Vec<Value> = damage
        .iter()
        .take(NAMED)
        .map(|found| json!({ "kind": found.kind, "how": found.how, "key": found.key }))
        .collect();
    Ok(Reply::data(json!({ "intact": damage.is_empty(), "damaged": damage.len(), "findings": named })))
}
