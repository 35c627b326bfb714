//! Removing parameters: at once and with all versions, as AWS does.

use super::{asks_delete, name, ours, value};
use crate::aws::operation::{Call, Passage, Tour};
use crate::aws::refusal::Refusal;
use crate::aws::secrets::nothing;
use serde_json::json;
use strongroom_core::{Access, Fields, Reply, boxed};
use strongroom_model::{Kind, Kinded};

const REMOVAL: Passage = Passage { access: Access::Token, asks: asks_delete, act: |call| boxed(|| one(call)) };

/// `DeleteParameter`.
pub(super) async fn one(call: Call<'_>) -> Result<Reply, Refusal> {
    let secrets = &call.open.secrets;
    secrets.granted_sight(call.grant).await.map_err(ours)?.ok_or_else(name::not_found)?;
    secrets.delete_all(call.grant).await.map_err(ours)?;
    Ok(nothing())
}

/// `DeleteParameters`. What the caller may not remove is told with what is not there, unless nothing was removed.
pub(super) async fn many(tour: &Tour<'_>) -> Result<Reply, Refusal> {
    const ACTION: &str = "DeleteParameters";
    let names = match value::names(&tour.input(tour.fields)) {
        Ok(names) => names,
        Err(refusal) => return tour.turn_away(ACTION, refusal).await,
    };
    let (mut deleted, mut invalid, mut denied) = (Vec::new(), Vec::new(), None);
    for name in names {
        let fields: Fields = [("Name".to_owned(), json!(name))].into_iter().collect();
        match (tour.pass(ACTION, &REMOVAL, &fields).await, &denied) {
            (Ok(_), _) => deleted.push(name),
            (Err(refusal), _) if refusal.words().status >= 500 => return Err(refusal),
            (Err(refusal), None) if refusal.cause().kind() == Kind::Denied => {
                denied = Some(refusal);
                invalid.push(name);
            }
            (Err(_), _) => invalid.push(name),
        }
    }
    match denied {
        Some(refusal) if deleted.is_empty() => Err(refusal),
        _ => Ok(Reply::data(json!({ "DeletedParameters": deleted, "InvalidParameters": invalid }))),
    }
}
