//! `rotation/`: how and when secrets rotate, and where each is. A path names a secret with its mount (`secret/app/db`), and
//! policies speak of the secret itself: who may write it may have it rotated, who may read its metadata may look.

use super::route::{Context, Parameter, Route, parameter};
use super::trail::{to_json, told};
use serde_json::{Value, json};
use strongroom_core::rotation::{PlanChange, Reason, RotationView, Schedule};
use strongroom_core::{Access, Captures, CoreError, Endpoint, Fields, Object, Operation, Reply, SecretAct, boxed};
use strongroom_model::SecretPath;

const PLAN: &[Parameter] = &[
    parameter(
        "method",
        "string",
        "The way to rotate, such as postgres-alternating; when not given, the secret's field engine with -single.",
    ),
    parameter("options", "object", "What that way is told; never a secret."),
    parameter("admin", "string", "The secret in the same mount with a login that may change others; empty: none."),
    parameter("schedule", "string", "rate(10 days), rate(4 hours), cron(0 8 1 * ? *), in UTC; empty: on demand only."),
    parameter(
        "when_disabled",
        "boolean",
        "Whether it also rotates when somebody who read the value in force is cut off.",
    ),
    parameter("window", "string", "Hours in which it may begin, such as 3h; when not given, it may begin late."),
];

const START: &[Parameter] = &[
    parameter("reason", "string", "Why; kept in the history and in the trail."),
    parameter(
        "leaked",
        "boolean",
        "Others know the value in force: it is made worthless, also where it would have stayed good.",
    ),
];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: line(
            "rotation/status/{path..}",
            Operation::Read,
            "Tells how a secret rotates, and where a rotation under way is.",
        ),
        policy: "{path..}",
        parameters: &[],
        answer: "path, plan, enabled, last, next, running, before, advice",
        object: |captures, _| secret(captures, SecretAct::ReadMetadata),
        handler: |context| boxed(|| status(context)),
    },
    Route {
        endpoint: line(
            "rotation/history/{path..}",
            Operation::Read,
            "Tells which rotations of a secret ended, and how: newest first, fifty at most.",
        ),
        policy: "{path..}",
        parameters: &[],
        answer: "rotations",
        object: |captures, _| secret(captures, SecretAct::ReadMetadata),
        handler: |context| boxed(|| history(context)),
    },
    Route {
        endpoint: line(
            "rotation/schedule/{path..}",
            Operation::Write,
            "Says how and when a secret rotates; what is not sent stays.",
        ),
        policy: "{path..}",
        parameters: PLAN,
        answer: "path, plan, enabled, last, next, running, before, advice",
        object: |captures, _| secret(captures, SecretAct::Write),
        handler: |context| boxed(|| schedule(context)),
    },
    Route {
        endpoint: line(
            "rotation/start/{path..}",
            Operation::Write,
            "Begins a rotation now, by the plan that the secret has.",
        ),
        policy: "{path..}",
        parameters: START,
        answer: "path, plan, enabled, last, next, running, before, advice",
        object: |captures, _| secret(captures, SecretAct::Write),
        handler: |context| boxed(|| start(context)),
    },
    Route {
        endpoint: line(
            "rotation/cancel/{path..}",
            Operation::Write,
            "Ends the schedule, and a rotation under way whose value is not in force yet; one that cannot be rolled back ends as it stands.",
        ),
        policy: "{path..}",
        parameters: &[],
        answer: "path, plan, enabled, last, next, running, before, advice, cancelled",
        object: |captures, _| secret(captures, SecretAct::WriteMetadata),
        handler: |context| boxed(|| cancel(context)),
    },
];

const fn line(pattern: &'static str, operation: Operation, help: &'static str) -> Endpoint {
    let operations: &'static [Operation] = match operation {
        Operation::Read => &[Operation::Read],
        _ => &[Operation::Write],
    };
    Endpoint { pattern, operations, access: Access::Token, help }
}

/// The whole path; the dialect takes the mount off it once it is known.
fn secret(captures: &Captures, act: SecretAct) -> Result<Object, CoreError> {
    Ok(Object::Secret { path: SecretPath::parse(captures.get("path"))?, act })
}

async fn status(context: Context<'_>) -> Result<Reply, CoreError> {
    shown(&context, &context.open.rotations.status(context.grant).await?)
}

async fn history(context: Context<'_>) -> Result<Reply, CoreError> {
    let past = context.open.rotations.history(context.grant).await?;
    let all: Vec<Value> = past.iter().map(to_json).collect::<Result<_, _>>()?;
    told(&context, &json!({ "rotations": all }))
}

async fn schedule(context: Context<'_>) -> Result<Reply, CoreError> {
    let view = context.open.rotations.plan(context.grant, change(context.fields)?).await?;
    shown(&context, &view)
}

async fn start(context: Context<'_>) -> Result<Reply, CoreError> {
    let leaked = context.fields.flag("leaked")?.unwrap_or_default();
    let reason = Reason { text: context.fields.text("reason")?, leaked };
    shown(&context, &context.open.rotations.start(context.grant, None, reason).await?)
}

async fn cancel(context: Context<'_>) -> Result<Reply, CoreError> {
    match context.open.rotations.cancel(context.grant).await? {
        Some(view) => shown(&context, &view),
        None => Err(CoreError::Unfit("nobody said how this secret rotates, so there is nothing to cancel".to_owned())),
    }
}

fn change(fields: &Fields) -> Result<PlanChange, CoreError> {
    let window = fields.text("window")?;
    let schedule = match fields.text("schedule")? {
        Some(text) if text.trim().is_empty() => Some(None),
        Some(text) => Some(Some(Schedule::parse(&text, window.as_deref())?)),
        None if window.is_some() => return Err(CoreError::Missing("schedule, with the window")),
        None => None,
    };
    let admin = match fields.text("admin")? {
        Some(text) if text.is_empty() => Some(None),
        Some(text) => Some(Some(SecretPath::parse(&text)?)),
        None => None,
    };
    Ok(PlanChange {
        method: fields.text("method")?.filter(|method| !method.is_empty()),
        options: fields.object("options")?.map(Fields::into_map),
        admin,
        schedule,
        when_disabled: fields.flag("when_disabled")?,
        ..PlanChange::default()
    })
}

fn shown(context: &Context<'_>, view: &RotationView) -> Result<Reply, CoreError> {
    told(context, &to_json(view)?)
}
