//! `drills/`: how fast things can be cut off, found out on canaries. Who may not read a target cannot have it drilled, and
//! who may not know of it does not see its drills.

use super::route::{Context, Parameter, Route, itself, parameter};
use super::shipping::{some, wrong};
use super::trail::{needed, to_json, told};
use serde_json::{Value, json};
use strongroom_core::drill::{CredentialType, Drill, Order, Wish};
use strongroom_core::rotation::Schedule;
use strongroom_core::{Access, CoreError, Endpoint, Fields, Operation, Reply, boxed};

const PATH: Parameter = parameter("path", "string", "The secret, or the role of an engine such as database/creds/app.");
const CREDENTIALS: Parameter = Parameter {
    name: "credentials",
    kind: "string",
    about: "What to try: secret-version, token, principal, access-key, login; by commas; everything when not given.",
    operations: &[Operation::Write],
};
const ROUNDS: Parameter = Parameter {
    name: "rounds",
    kind: "integer",
    about: "How often each; 3 when not given, 20 at most.",
    operations: &[Operation::Write],
};
const ORDER: &[Parameter] = &[
    PATH,
    CREDENTIALS,
    ROUNDS,
    parameter("rotate", "boolean", "Whether to rotate the secret itself too, for good; needs `update` on it."),
];
const PLAN: &[Parameter] = &[
    PATH,
    CREDENTIALS,
    ROUNDS,
    Parameter {
        name: "schedule",
        kind: "string",
        about: "rate(7 days), rate(4 hours), cron(0 8 ? * MON *), in UTC. Needed.",
        operations: &[Operation::Write],
    },
    Parameter {
        name: "window",
        kind: "string",
        about: "Hours in which it may begin, such as 3h; when not given, it may begin late.",
        operations: &[Operation::Write],
    },
    Parameter {
        name: "forget",
        kind: "boolean",
        about: "Whether to forget the target's drills too.",
        operations: &[Operation::Delete],
    },
];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: line(
            "drills/run",
            &[Operation::Write],
            "Cuts off canaries of a target's kind, and measures how fast.",
        ),
        policy: "sys/drills/run",
        parameters: ORDER,
        answer: "drill",
        object: itself,
        handler: |context| boxed(|| run(context)),
    },
    Route {
        endpoint: line(
            "drills/preview",
            &[Operation::Write],
            "Tells what a drill would make and change, and does nothing.",
        ),
        policy: "sys/drills/preview",
        parameters: ORDER,
        answer: "path, credentials, rounds, makes, changes",
        object: itself,
        handler: |context| boxed(|| preview(context)),
    },
    Route {
        endpoint: line(
            "drills/history",
            &[Operation::Read],
            "Tells the drills of a target, newest first, and their trend.",
        ),
        policy: "sys/drills/history",
        parameters: &[PATH],
        answer: "path, running, drills, trends, rotation, fetched, absent",
        object: itself,
        handler: |context| boxed(|| history(context)),
    },
    Route {
        endpoint: line(
            "drills/table",
            &[Operation::Read],
            "Tells how fast what can be cut off, by credential type and reading pattern.",
        ),
        policy: "sys/drills/table",
        parameters: &[PATH],
        answer: "rows, absent",
        object: itself,
        handler: |context| boxed(|| table(context)),
    },
    Route {
        endpoint: line(
            "drills/schedules",
            &[Operation::Read, Operation::Write, Operation::Delete],
            "Lists what is planned, plans drills of a target, or ends that.",
        ),
        policy: "sys/drills/schedules",
        parameters: PLAN,
        answer: "schedules",
        object: itself,
        handler: |context| boxed(|| schedules(context)),
    },
    Route {
        endpoint: line(
            "drills/settings",
            &[Operation::Read, Operation::Write],
            "Tells or says how old the last drill of a target may be before that is told.",
        ),
        policy: "sys/drills/settings",
        parameters: &[Parameter {
            name: "max_age",
            kind: "string",
            about: "A duration such as 720h; 0: any age.",
            operations: &[Operation::Write],
        }],
        answer: "max_age_seconds",
        object: itself,
        handler: |context| boxed(|| settings(context)),
    },
];

const fn line(pattern: &'static str, operations: &'static [Operation], help: &'static str) -> Endpoint {
    Endpoint { pattern, operations, access: Access::Token, help }
}

async fn run(context: Context<'_>) -> Result<Reply, CoreError> {
    let drill = context.open.drills.run(context.grant, &order(context.fields)?).await?;
    told(&context, &json!({ "drill": shown(&drill)? }))
}

async fn preview(context: Context<'_>) -> Result<Reply, CoreError> {
    let preview = context.open.drills.preview(context.grant, &order(context.fields)?).await?;
    told(&context, &preview)
}

async fn history(context: Context<'_>) -> Result<Reply, CoreError> {
    let history = context.open.drills.history(context.grant, &needed(context.fields, "path")?).await?;
    let drills: Vec<Value> = history.drills.iter().map(shown).collect::<Result<_, _>>()?;
    let running = history.running.as_ref().map(shown).transpose()?;
    let mut all = to_json(&history)?;
    if let Some(fields) = all.as_object_mut() {
        fields.insert("drills".to_owned(), json!(drills));
        fields.insert("running".to_owned(), json!(running));
    }
    told(&context, &all)
}

async fn table(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = some(context.fields, "path")?;
    let table = context.open.drills.table(context.grant, path.as_deref()).await?;
    told(&context, &table)
}

async fn schedules(context: Context<'_>) -> Result<Reply, CoreError> {
    let (drills, grant, fields) = (&context.open.drills, context.grant, context.fields);
    match context.operation {
        Operation::Write => {
            let schedule = some(fields, "schedule")?.ok_or(CoreError::Missing("schedule"))?;
            let schedule = Schedule::parse(&schedule, some(fields, "window")?.as_deref())?;
            let path = needed(fields, "path")?;
            let wish = Wish { path, schedule, credentials: credentials(fields)?, rounds: fields.count("rounds")? };
            let planned = drills.schedule(grant, wish).await?;
            told(&context, &json!({ "schedules": [to_json(&planned)?] }))
        }
        Operation::Delete => {
            let forget = fields.flag("forget")?.unwrap_or_default();
            drills.unschedule(grant, &needed(fields, "path")?, forget).await?;
            Ok(Reply::empty())
        }
        _ => told(&context, &json!({ "schedules": to_json(&drills.schedules(grant).await?)? })),
    }
}

async fn settings(context: Context<'_>) -> Result<Reply, CoreError> {
    let drills = &context.open.drills;
    let settings = match context.operation {
        Operation::Write => {
            let age = context.fields.ttl("max_age")?.ok_or(CoreError::Missing("max_age"))?;
            drills.set_max_age(context.grant, age).await?
        }
        _ => drills.settings(),
    };
    told(&context, &settings)
}

fn order(fields: &Fields) -> Result<Order, CoreError> {
    Ok(Order {
        path: needed(fields, "path")?,
        credentials: credentials(fields)?,
        rounds: fields.count("rounds")?,
        rotate: fields.flag("rotate")?.unwrap_or_default(),
    })
}

fn credentials(fields: &Fields) -> Result<Vec<CredentialType>, CoreError> {
    let words = fields.list("credentials")?.unwrap_or_default();
    let unknown = || wrong("credentials", "must be of secret-version, token, principal, access-key, login");
    words.iter().filter(|word| !word.is_empty()).map(|word| CredentialType::parse(word).ok_or_else(unknown)).collect()
}

/// The record with its state, without what only the server needs.
fn shown(drill: &Drill) -> Result<Value, CoreError> {
    let mut value = to_json(drill)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("key");
        fields.remove("tag");
        fields.remove("rotating");
        fields.insert("state".to_owned(), json!(drill.state()));
    }
    Ok(value)
}
