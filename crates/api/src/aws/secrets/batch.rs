//! Many values at once. Each secret passes the gate and stands in the trail for itself, as a reading of its own.

use super::list::{self, Filters};
use super::{asks_list, asks_read, value};
use crate::aws::operation::{Passage, Tour};
use crate::aws::refusal::Refusal;
use serde_json::{Map, Value, json};
use strongroom_core::{Access, Fields, Reply, boxed};

pub(in crate::aws) const READING: Passage =
    Passage { access: Access::Token, asks: asks_read, act: |call| boxed(|| value::get(call)) };
const LISTING: Passage = Passage { access: Access::Token, asks: asks_list, act: |call| boxed(|| list::names(call)) };

/// The operation by which each secret stands in the trail.
const READ: &str = "GetSecretValue";
const BATCH: &str = "BatchGetSecretValue";

/// `BatchGetSecretValue`.
pub(super) async fn get(tour: &Tour<'_>) -> Result<Reply, Refusal> {
    let input = tour.input(tour.fields);
    let wanted = match wanted(&input) {
        Ok(wanted) => wanted,
        Err(refusal) => return tour.turn_away(BATCH, refusal).await,
    };
    let (ids, next) = match wanted {
        Some(ids) => (ids, None),
        None => {
            let listed = tour.pass(BATCH, &LISTING, tour.fields).await?.data.unwrap_or_default();
            (listed.list("Names")?.unwrap_or_default(), listed.text("NextToken")?)
        }
    };
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        let fields: Fields = [("SecretId".to_owned(), json!(id))].into_iter().collect();
        match tour.pass(READ, &READING, &fields).await {
            Ok(reply) => values.push(Value::Object(reply.data.unwrap_or_default().into_map())),
            Err(refusal) => {
                // What concerns the server and not this secret ends the whole.
                if refusal.words().status >= 500 {
                    return Err(refusal);
                }
                errors.push(
                    json!({ "SecretId": id, "ErrorCode": refusal.words().code, "Message": refusal.words().text }),
                );
            }
        }
    }
    let mut data = Map::new();
    data.insert("SecretValues".to_owned(), Value::Array(values));
    data.insert("Errors".to_owned(), Value::Array(errors));
    next.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Ok(Reply::data(Value::Object(data)))
}

/// The secrets that are named; `None` when filters choose them.
fn wanted(input: &crate::aws::input::Input<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let ids = input.texts("SecretIdList")?;
    let filters = Filters::read(input)?;
    let has_filters = input.list("Filters")?.is_some_and(|filters| !filters.is_empty());
    match ids {
        Some(_) if has_filters => {
            Err(Refusal::parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both."))
        }
        Some(_) if input.fields.has("MaxResults") => Err(Refusal::parameter(
            "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
        )),
        Some(ids) if (1..=20).contains(&ids.len()) => Ok(Some(ids.into_iter().map(str::to_owned).collect())),
        Some(_) => Err(Refusal::validation(
            "Value at 'secretIdList' failed to satisfy constraint: Member must have length between 1 and 20",
        )),
        None if has_filters => {
            input.number("MaxResults", 1, 20)?;
            drop(filters);
            Ok(None)
        }
        None => Err(Refusal::parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")),
    }
}
