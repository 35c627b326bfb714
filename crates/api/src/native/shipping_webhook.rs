//! `webhooks/`: outside places that are told of what happens. All of it needs sudo.

use super::route::{Context, Parameter, Route, itself};
use super::shipping::{some, wrong};
use serde_json::json;
use std::collections::BTreeSet;
use strongroom_core::webhook::{NewWebhook, Style, Topic};
use strongroom_core::{Access, CoreError, Endpoint, Fields, Operation, Reply, boxed};

const fn given(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about, operations: &[Operation::Write] }
}

const NEW: &[Parameter] = &[
    given("url", "string", "Where messages are posted to: https://..."),
    given("style", "string", "json (when not given), or slack: a text in the form that Slack takes."),
    given("topics", "array", "alert, rotation, incident, drill, parameter, server; all when not given."),
    given("ca", "string", "Who vouches for the receiver, in PEM; the machine's authorities when not given."),
    given("key", "string", "What messages are signed with (Standard Webhooks); made and shown once when not given."),
    given("internal", "boolean", "Allows addresses of this machine, its link, and its cloud's metadata."),
];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "webhooks",
            operations: &[Operation::Read],
            access: Access::Sudo,
            help: "Lists the webhooks and how each does.",
        },
        policy: "sys/webhooks",
        parameters: &[],
        answer: "webhooks",
        object: itself,
        handler: |context| boxed(|| list(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "webhooks/{name}",
            operations: &[Operation::Write, Operation::Delete],
            access: Access::Sudo,
            help: "Adds or changes a webhook, or removes it with what waits for it.",
        },
        policy: "sys/webhooks/{name}",
        parameters: NEW,
        answer: "key",
        object: itself,
        handler: |context| boxed(|| change(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "webhooks/{name}/try",
            operations: &[Operation::Write],
            access: Access::Sudo,
            help: "Sends a trial message now.",
        },
        policy: "sys/webhooks/{name}/try",
        parameters: &[],
        answer: "status",
        object: itself,
        handler: |context| boxed(|| try_out(context)),
    },
];

async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(json!({ "webhooks": context.open.webhooks.list().await? })))
}

async fn change(context: Context<'_>) -> Result<Reply, CoreError> {
    let (webhooks, name) = (&context.open.webhooks, context.captures.get("name"));
    if context.operation == Operation::Delete {
        let was_there = webhooks.remove(context.grant, name).await?;
        return if was_there { Ok(Reply::empty()) } else { Err(CoreError::Nothing) };
    }
    let key = webhooks.set(context.grant, new(name, context.fields)?).await?;
    Ok(key.map_or_else(Reply::empty, |key| Reply::data(json!({ "key": key.expose() }))))
}

async fn try_out(context: Context<'_>) -> Result<Reply, CoreError> {
    let answer = context.open.webhooks.try_out(context.grant, context.captures.get("name")).await?;
    Ok(Reply::data(json!({ "status": answer.status })))
}

fn new(name: &str, fields: &Fields) -> Result<NewWebhook, CoreError> {
    let style = match some(fields, "style")? {
        None => Style::Json,
        Some(word) => Style::parse(&word).ok_or_else(|| wrong("style", "must be json or slack"))?,
    };
    let topic = |word: String| {
        Topic::parse(&word)
            .ok_or_else(|| wrong("topics", "must be of alert, rotation, incident, drill, parameter, server"))
    };
    let topics: BTreeSet<Topic> =
        fields.list("topics")?.unwrap_or_default().into_iter().map(topic).collect::<Result<_, _>>()?;
    Ok(NewWebhook {
        name: name.to_owned(),
        url: fields.secret("url")?.ok_or(CoreError::Missing("url"))?,
        style,
        topics,
        ca: some(fields, "ca")?,
        internal: fields.flag("internal")?.unwrap_or_default(),
        key: fields.secret("key")?,
    })
}
