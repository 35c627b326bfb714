//! What just changed: waited for by one request after the other, or heard as a stream of server-sent events.

use super::route::{Context, Parameter, Route, itself, parameter};
use super::trail::{told, words};
use serde_json::json;
use std::time::Duration;
use strongroom_core::event::Wanted;
use strongroom_core::{Access, CoreError, Endpoint, Fields, Operation, Reply, boxed};

const PREFIX: Parameter =
    parameter("prefix", "string", "The beginning of paths, whole parts of it; secrets also without `data/`.");
const AFTER: Parameter =
    parameter("after", "string", "The id of the last event heard, or `oldest`; when not given, from now on.");
const KINDS: Parameter = parameter("type", "string", "Types of events, by commas: secret-written, lease-cut ...");

/// The endpoints. Both stand for one path of policies: who may read it hears of what their policies show them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "events",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Waits for what changes: new versions, deletions, leases, revocations, mounts, incidents.",
        },
        policy: "sys/events",
        parameters: &[
            PREFIX,
            AFTER,
            KINDS,
            parameter("wait", "string", "How long to wait when there is nothing, 60s at most; 0 when not given."),
        ],
        answer: "events, after, resync",
        object: itself,
        handler: |context| boxed(|| poll(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "events/stream",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Streams what changes, as server-sent events, for as long as the token may hear of it.",
        },
        policy: "sys/events",
        parameters: &[PREFIX, AFTER, KINDS],
        answer: "a stream of the media type text/event-stream",
        object: itself,
        handler: |context| boxed(|| stream(context)),
    },
];

async fn poll(context: Context<'_>) -> Result<Reply, CoreError> {
    let wait = context.fields.ttl("wait")?.map_or(Duration::ZERO, |ttl| ttl.0);
    let batch = context.open.events.poll(context.grant, wanted(context.fields)?, wait).await?;
    let events: Vec<_> = batch.events.iter().map(|event| &**event).collect();
    told(&context, &json!({ "events": events, "after": batch.after, "resync": batch.resync }))
}

async fn stream(context: Context<'_>) -> Result<Reply, CoreError> {
    let streamed = context.open.events.stream(context.grant, wanted(context.fields)?)?;
    Ok(Reply { streamed: Some(streamed), ..Reply::empty() })
}

fn wanted(fields: &Fields) -> Result<Wanted, CoreError> {
    Ok(Wanted { prefix: fields.text_or_empty("prefix")?, after: fields.text("after")?, kinds: words(fields, "type")? })
}
