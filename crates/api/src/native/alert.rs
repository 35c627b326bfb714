//! `alerts/`: suspicions of misuse, and mutes of them. All of it needs sudo: an alert names paths whatever the caller sees.

use super::route::{Context, Parameter, Route, itself};
use super::shipping::{some, wrong};
use super::trail::to_json;
use serde_json::json;
use strongroom_core::alert::{Mute, Suspicion};
use strongroom_core::{Access, CoreError, Endpoint, Operation, Reply, boxed};
use strongroom_model::Timestamp;

const fn given(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about, operations: &[Operation::Write] }
}

const MUTE: &[Parameter] = &[
    given("kind", "string", "first-read, new-network, denial-burst, after-revocation or disabled-version; or all."),
    given("prefix", "string", "The beginning of paths."),
    given("principal", "string", "Who, as alerts name them."),
    given("reason", "string", "Why. Needed."),
    given("until", "string", "Until when, in RFC 3339, within 90 days. Needed."),
];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "alerts",
            operations: &[Operation::Read],
            access: Access::Sudo,
            help: "Lists the latest alerts, and the mutes that have not ended.",
        },
        policy: "sys/alerts",
        parameters: &[],
        answer: "alerts, mutes, absent",
        object: itself,
        handler: |context| boxed(|| list(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "alerts/mutes/{name}",
            operations: &[Operation::Write, Operation::Delete],
            access: Access::Sudo,
            help: "Mutes alerts until a time, with a reason, or takes that back.",
        },
        policy: "sys/alerts/mutes/{name}",
        parameters: MUTE,
        answer: "nothing",
        object: itself,
        handler: |context| boxed(|| change(context)),
    },
];

async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    let page = context.open.alerts.recent(context.grant).await?;
    let rows = page.rows.iter().map(|row| {
        let kind = row.operation.strip_prefix("alert-").unwrap_or(&row.operation);
        json!({ "kind": kind, "time": row.time, "path": row.path, "text": row.note, "seq": row.seq })
    });
    let mut data = json!({ "alerts": rows.collect::<Vec<_>>(), "mutes": context.open.alerts.mutes() });
    if let Some(fields) = data.as_object_mut().filter(|_| !page.absent.is_empty()) {
        fields.insert("absent".to_owned(), to_json(&page.absent)?);
    }
    Ok(Reply::data(data))
}

async fn change(context: Context<'_>) -> Result<Reply, CoreError> {
    let (alerts, name, fields) = (&context.open.alerts, context.captures.get("name"), context.fields);
    if context.operation == Operation::Delete {
        let was_there = alerts.unmute(context.grant, name).await?;
        return if was_there { Ok(Reply::empty()) } else { Err(CoreError::Nothing) };
    }
    let suspicion = match some(fields, "kind")? {
        None => None,
        Some(word) => Some(Suspicion::parse(&word).ok_or_else(|| wrong("kind", "is no kind of alert"))?),
    };
    let until = some(fields, "until")?.ok_or(CoreError::Missing("until"))?;
    let mute = Mute {
        name: name.to_owned(),
        suspicion,
        prefix: some(fields, "prefix")?,
        principal: some(fields, "principal")?,
        reason: some(fields, "reason")?.ok_or(CoreError::Missing("reason"))?,
        until: Timestamp::parse(&until).ok_or_else(|| wrong("until", "must be a time such as 2026-04-10T14:00:00Z"))?,
    };
    let remark = match &mute.principal {
        Some(word) => context.open.inquiry.remark_on_mute(context.grant, word).await?,
        None => None,
    };
    alerts.mute(context.grant, mute).await?;
    Ok(Reply { warnings: remark.into_iter().collect(), ..Reply::empty() })
}
