//! What was cut off: the records, the figures, and taking it back.

use super::route::{Context, Route, itself, parameter};
use super::trail::{needed, to_json, told};
use serde_json::{Value, json};
use strongroom_core::incident::Incident;
use strongroom_core::{Access, CoreError, Endpoint, Operation, Reply, boxed};

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "incidents",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Lists incidents about what the caller may see; with sudo, all.",
        },
        policy: "sys/incidents",
        parameters: &[],
        answer: "incidents",
        object: itself,
        handler: |context| boxed(|| list(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "incidents/{id}",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Shows an incident and its figures as they stand.",
        },
        policy: "sys/incidents/{id}",
        parameters: &[],
        answer: "incident, figures",
        object: itself,
        handler: |context| boxed(|| show(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "incidents/{id}/report",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Shows all of an incident: record, figures, timeline from the trail, stragglers.",
        },
        policy: "sys/incidents/{id}/report",
        parameters: &[],
        answer: "incident, figures, timeline, timeline_more, stragglers",
        object: itself,
        handler: |context| boxed(|| report(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "incidents/{id}/lift",
            operations: &[Operation::Write],
            access: Access::Sudo,
            help: "Takes back what can be: shows the version again, enables the principal, removes the block.",
        },
        policy: "sys/incidents/{id}/lift",
        parameters: &[parameter("reason", "string", "Why. Needed.")],
        answer: "incident",
        object: itself,
        handler: |context| boxed(|| lift(context)),
    },
];

async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    let incidents = context.open.incidents.listed(context.grant).await?;
    let shown: Result<Vec<Value>, CoreError> = incidents.iter().map(shown).collect();
    told(&context, &json!({ "incidents": shown? }))
}

async fn show(context: Context<'_>) -> Result<Reply, CoreError> {
    let incidents = &context.open.incidents;
    let (incident, figures) = incidents.shown(context.grant, context.captures.get("id")).await?;
    told(&context, &json!({ "incident": shown(&incident)?, "figures": to_json(&figures)? }))
}

async fn report(context: Context<'_>) -> Result<Reply, CoreError> {
    let report = context.open.incidents.report(context.grant, context.captures.get("id")).await?;
    let mut told_report = to_json(&report)?;
    if let Some(fields) = told_report.as_object_mut() {
        fields.insert("incident".to_owned(), shown(&report.incident)?);
    }
    told(&context, &told_report)
}

async fn lift(context: Context<'_>) -> Result<Reply, CoreError> {
    let reason = needed(context.fields, "reason")?;
    let open = context.open;
    let id = context.captures.get("id");
    let incident = open.emergency.lift(&open.incidents, context.grant, id, &reason).await?;
    let (incident, _) = open.incidents.ordered(context.grant, incident).await?;
    told(&context, &json!({ "incident": shown(&incident)? }))
}

/// The record with what follows from it.
pub(super) fn shown(incident: &Incident) -> Result<Value, CoreError> {
    let mut value = to_json(incident)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("state".to_owned(), json!(incident.state()));
        fields.insert("name".to_owned(), json!(incident.target.text()));
    }
    Ok(value)
}
